/* Processes and threads below the shim: who they are, what faults do to them, what is written about
 * it. A process shows who it is by the rules that hit it. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "faultinject/plan.h"
#include "faultinject/shim/rerun_fixture.h"
#include "scenarios/history/hist.h"

enum { THREADS = 4, CALLS = 2000 };

static unsigned arm(const char *text)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    if (!fault_plan_parse(&plan, text, &error))
        fail_msg("%s: %s", text, error.what);
    int index = fault_board_arm(&rerun_board, &plan.rules[0]);
    assert_true(index >= 0);
    return (unsigned)index;
}

static struct fault_status status_of(unsigned index)
{
    struct fault_status status;
    assert_true(fault_board_status(rerun_board.board, index, &status));
    return status;
}

static uint64_t disarm(unsigned index)
{
    assert_true(fault_board_disarm(&rerun_board, index));
    return status_of(index).fired;
}

/* Is this process hit by the rule for kill() that is armed? */
static bool is_hit(void)
{
    return kill(getpid(), 0) == -1 && errno == EPERM;
}

static int wait_for(pid_t child)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* A child that exits with what `body` returns, at once or when `gate` is closed. */
static pid_t start(int (*body)(void), const int gate[2])
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    char c;
    if (gate) {
        close(gate[1]);
        if (read(gate[0], &c, 1) != 0)
            _exit(99);
    }
    _exit(body());
}

static int exit_if_hit(void)
{
    return is_hit();
}

static int exit_if_child_hit(void)
{
    return WEXITSTATUS(wait_for(start(exit_if_hit, NULL)));
}

/* ---- who is who -------------------------------------------------------------------------------
 */

static void the_first_process_is_master_and_its_children_are_workers(void **state)
{
    (void)state;
    unsigned rule = arm("proc.kill errno=EPERM role=master");
    assert_true(is_hit());
    assert_int_equal(wait_for(start(exit_if_hit, NULL)), 0);
    assert_int_equal(disarm(rule), 1);
    rule = arm("proc.kill errno=EPERM role=worker");
    assert_false(is_hit());
    assert_int_equal(WEXITSTATUS(wait_for(start(exit_if_hit, NULL))), 1);
    assert_int_equal(disarm(rule), 1);
}

/* All wait at a gate until the last is there, so that they live at the same time. */
static void slots_are_numbered_in_order(void **state)
{
    (void)state;
    for (int slot = 0; slot < 3; slot++) {
        int gate[2];
        pid_t children[3];
        char plan[64];
        snprintf(plan, sizeof plan, "proc.kill errno=EPERM role=worker slot=%d", slot);
        unsigned rule = arm(plan);
        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        for (int i = 0; i < 3; i++)
            children[i] = start(exit_if_hit, gate);
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < 3; i++)
            assert_int_equal(WEXITSTATUS(wait_for(children[i])), i == slot);
        assert_int_equal(disarm(rule), 1);
    }
}

static void a_dead_workers_slot_is_given_to_the_next(void **state)
{
    (void)state;
    unsigned rule = arm("proc.kill errno=EPERM role=worker slot=0");
    for (int i = 0; i < 5; i++)
        assert_int_equal(WEXITSTATUS(wait_for(start(exit_if_hit, NULL))), 1);
    disarm(rule);
}

static void a_workers_child_is_who_the_worker_is(void **state)
{
    (void)state;
    unsigned rule = arm("proc.kill errno=EPERM role=worker slot=0");
    assert_int_equal(WEXITSTATUS(wait_for(start(exit_if_child_hit, NULL))), 1);
    disarm(rule);
}

static int leave_session_and_look(void)
{
    setsid();
    return is_hit();
}

static void a_master_may_send_itself_into_the_background(void **state)
{
    (void)state;
    unsigned rule = arm("proc.kill errno=EPERM role=master");
    assert_int_equal(WEXITSTATUS(wait_for(start(leave_session_and_look, NULL))), 1);
    disarm(rule);
}

/* sh asks kill() about itself. */
static char *const ask_argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
                                 (char *)(uintptr_t) "kill -0 $$ 2>/dev/null", NULL};

static int execute_without_environment(void)
{
    char *const none[] = {NULL};
    execve("/bin/sh", ask_argv, none);
    return 98;
}

static void who_it_is_survives_exec_also_without_environment(void **state)
{
    (void)state;
    unsigned rule = arm("proc.kill errno=EPERM role=worker slot=0");
    assert_int_equal(WEXITSTATUS(wait_for(start(execute_without_environment, NULL))), 1);
    assert_int_equal(disarm(rule), 1);
}

static int look_in_clone(void *unused)
{
    (void)unused;
    _exit(is_hit());
}

static void other_ways_to_make_a_process_make_workers(void **state)
{
    (void)state;
    static char stack[65536] __attribute__((aligned(16)));
    unsigned rule = arm("proc.kill errno=EPERM role=worker slot=0");
    pid_t child;
    assert_int_equal(posix_spawn(&child, "/bin/sh", NULL, NULL, ask_argv, environ), 0);
    assert_int_equal(WEXITSTATUS(wait_for(child)), 1);
    child = clone(look_in_clone, stack + sizeof stack, SIGCHLD, NULL);
    assert_int_equal(WEXITSTATUS(wait_for(child)), 1);
    child = vfork();
    if (child == 0)
        _exit(is_hit());
    assert_int_equal(WEXITSTATUS(wait_for(child)), 1);
    assert_int_equal(disarm(rule), 3);
}

/* What a worker forks is no worker that begins. */
static void what_the_master_forks_boots(void **state)
{
    (void)state;
    unsigned rule = arm("worker.boot exit=44");
    assert_int_equal(WEXITSTATUS(wait_for(start(exit_if_hit, NULL))), 44);
    assert_int_equal(disarm(rule), 1);
    rule = arm("worker.boot exit=44 after=1");
    assert_int_equal(WEXITSTATUS(wait_for(start(exit_if_child_hit, NULL))), 0);
    assert_int_equal(status_of(rule).calls, 1);
    assert_int_equal(disarm(rule), 0);
}

/* ---- what faults do ---------------------------------------------------------------------------
 */

static void a_process_can_crash_and_exit(void **state)
{
    (void)state;
    unsigned rule = arm("proc.kill crash=SEGV role=worker");
    int status = wait_for(start(exit_if_hit, NULL));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    disarm(rule);
    rule = arm("proc.kill exit=33 role=worker");
    assert_int_equal(WEXITSTATUS(wait_for(start(exit_if_hit, NULL))), 33);
    disarm(rule);
}

static void a_call_can_take_longer(void **state)
{
    (void)state;
    unsigned rule = arm("proc.kill delay=20ms times=1");
    uint64_t before_ns = hist_now_ns();
    assert_false(is_hit());
    assert_true(hist_now_ns() - before_ns >= 20000000u);
    disarm(rule);
}

static void a_process_hangs_until_the_rule_is_disarmed(void **state)
{
    (void)state;
    static const char *const plans[] = {"proc.kill stall role=worker",
                                        "proc.kill spin role=worker"};
    for (int i = 0; i < 2; i++) {
        unsigned rule = arm(plans[i]);
        pid_t child = start(exit_if_hit, NULL);
        while (status_of(rule).fired == 0)
            sched_yield();
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
        disarm(rule);
        assert_int_equal(wait_for(child), 0);
    }
}

/* ---- threads and signals ----------------------------------------------------------------------
 */

static void *call_often(void *hits)
{
    for (int i = 0; i < CALLS; i++)
        *(unsigned *)hits += is_hit();
    return NULL;
}

static size_t firings_of(pid_t pid, size_t *places)
{
    struct hist history;
    char why[256];
    size_t count = 0;
    *places = 0;
    assert_int_equal(hist_read(&history, rerun_folder, why, sizeof why), 0);
    for (size_t i = 0; i < history.count; i++) {
        const struct hist_record *r = &history.records[i];
        char name[sizeof r->b + sizeof r->c + 1] = "";
        count += r->kind == HIST_FAULT_FIRED && r->pid == (uint32_t)pid;
        memcpy(name, &r->b, sizeof r->b);
        memcpy(name + sizeof r->b, &r->c, sizeof r->c);
        *places += r->kind == HIST_FAULT_PLACE && r->pid == (uint32_t)pid &&
                   strcmp(name, "process_test") == 0;
    }
    hist_free(&history);
    return count;
}

static int call_from_threads(void)
{
    pthread_t threads[THREADS];
    unsigned hits[THREADS] = {0}, all = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, call_often, &hits[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        all += hits[i];
    }
    return all == THREADS * CALLS / 10 ? 0 : 1;
}

static void threads_share_a_rule_and_each_firing_is_written(void **state)
{
    (void)state;
    size_t places;
    unsigned rule = arm("proc.kill errno=EPERM role=worker every=10");
    pid_t child = start(call_from_threads, NULL);
    assert_int_equal(wait_for(child), 0);
    assert_int_equal(disarm(rule), THREADS * CALLS / 10);
    assert_int_equal(firings_of(child, &places), THREADS * CALLS / 10);
    assert_int_equal(places, THREADS * CALLS / 10);
}

static volatile sig_atomic_t ticks;

static void on_tick(int number)
{
    (void)number;
    int error = errno;
    is_hit();
    ticks++;
    errno = error;
}

static int call_under_signals(void)
{
    struct sigaction action = {.sa_handler = on_tick};
    struct itimerval often = {.it_interval = {.tv_usec = 100}, .it_value = {.tv_usec = 100}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (ticks < 200)
        if (!is_hit())
            return 1;
    return 0;
}

static void calls_in_signal_handlers_do_no_harm(void **state)
{
    (void)state;
    unsigned rule = arm("proc.kill errno=EPERM role=worker");
    assert_int_equal(wait_for(start(call_under_signals, NULL)), 0);
    disarm(rule);
}

/* ---- the history's descriptor -----------------------------------------------------------------
 */

static int close_all_and_open_others(void)
{
    char path[128];
    closefrom(3);
    snprintf(path, sizeof path, "%s/own", rerun_folder);
    int fd = -1;
    for (int i = 0; i < 500; i++)
        fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    for (int i = 0; i < 5000; i++) /* more than one window of records */
        if (!is_hit())
            return 1;
    return fd > 300 && lseek(fd, 0, SEEK_END) == 0 ? 0 : 2;
}

/* A server may close every descriptor that it does not know and use the number for its own. */
static void a_history_goes_on_when_its_descriptor_is_taken_away(void **state)
{
    (void)state;
    size_t places;
    unsigned rule = arm("proc.kill errno=EPERM role=worker");
    pid_t child = start(close_all_and_open_others, NULL);
    assert_int_equal(wait_for(child), 0);
    disarm(rule);
    assert_int_equal(firings_of(child, &places), 5000);
    assert_int_equal(places, 5000);
}

int main(int argc, char **argv)
{
    (void)argc;
    rerun_below_shim(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_process_is_master_and_its_children_are_workers),
        cmocka_unit_test(slots_are_numbered_in_order),
        cmocka_unit_test(a_dead_workers_slot_is_given_to_the_next),
        cmocka_unit_test(a_workers_child_is_who_the_worker_is),
        cmocka_unit_test(a_master_may_send_itself_into_the_background),
        cmocka_unit_test(who_it_is_survives_exec_also_without_environment),
        cmocka_unit_test(other_ways_to_make_a_process_make_workers),
        cmocka_unit_test(what_the_master_forks_boots),
        cmocka_unit_test(a_process_can_crash_and_exit),
        cmocka_unit_test(a_call_can_take_longer),
        cmocka_unit_test(a_process_hangs_until_the_rule_is_disarmed),
        cmocka_unit_test(threads_share_a_rule_and_each_firing_is_written),
        cmocka_unit_test(calls_in_signal_handlers_do_no_harm),
        cmocka_unit_test(a_history_goes_on_when_its_descriptor_is_taken_away),
    };
    return rerun_over(cmocka_run_group_tests_name("shim processes", tests, NULL, NULL));
}
