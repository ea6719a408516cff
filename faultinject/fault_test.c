/* Fault points in real processes: each kind, in children that may die of it; what is written to the
 * history; processes that race for the firings of one rule; a board whose users are killed. */
#include "faultinject/fault.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "faultinject/board.h"
#include "faultinject/plan.h"
#include "scenarios/history/hist.h"

#if MW_FAULTS

struct stage {
    char dir[64], path[96];
    struct fault_board_file file;
};

static int set_up(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "/tmp/fault-test-XXXXXX");
    if (!mkdtemp(s->dir))
        return -1;
    snprintf(s->path, sizeof s->path, "%s/board", s->dir);
    if (fault_board_open(&s->file, s->path, true, 11) != 0)
        return -1;
    setenv("MW_FAULT_BOARD", s->path, 1);
    setenv("MW_HISTORY", s->dir, 1);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *s = *state;
    DIR *dir = opendir(s->dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    rmdir(s->dir);
    fault_board_close(&s->file);
    unsetenv("MW_FAULT_BOARD");
    unsetenv("MW_HISTORY");
    free(s);
    return 0;
}

static int arm(struct stage *s, const char *text)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    if (!fault_plan_parse(&plan, text, &error))
        fail_msg("%s: %s", text, error.what);
    int index = -1;
    for (size_t i = 0; i < plan.count; i++)
        index = fault_board_arm(&s->file, &plan.rules[i]);
    return index;
}

static uint64_t fired(const struct stage *s, unsigned index)
{
    struct fault_status status;
    assert_true(fault_board_status(s->file.board, index, &status));
    return status.fired;
}

/* Starts a child that is worker 2 of generation 5 and exits with what `body` returns. */
static pid_t start(int (*body)(void))
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (fault_attach() != 0 || hist_open_env(&hist_self, "child", HIST_WORKER) != 1)
        _exit(101);
    fault_identify(FAULT_ROLE_WORKER, 2, 5);
    _exit(body());
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) != pid)
        ;
    return status;
}

static int exit_of(int (*body)(void))
{
    int status = wait_for(start(body));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void wait_until_fired(const struct stage *s, unsigned index, uint64_t count)
{
    const struct timespec step = {.tv_nsec = 1000000};
    for (int i = 0; i < 10000 && fired(s, index) < count; i++)
        nanosleep(&step, NULL);
    assert_true(fired(s, index) >= count);
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- what a caller gets -----------------------------------------------------------------------
 */

static int takes_one_step(void)
{
    return fault_step(FAULT_worker_request);
}

static int recv_fault(void)
{
    struct fault_hit hit;
    errno = ENOTTY; /* a fault point does not touch it */
    if (!fault_check(FAULT_net_recv, &hit))
        return errno == ENOTTY ? 0 : 1;
    return errno == ENOTTY ? (int)hit.kind * 10 + (int)(hit.value % 10) : 1;
}

static void a_disarmed_point_does_nothing(void **state)
{
    struct stage *s = *state;
    assert_int_equal(exit_of(takes_one_step), 0);
    arm(s, "net.recv errno=ENOMEM role=master");
    assert_int_equal(exit_of(recv_fault), 0);
    unsetenv("MW_FAULT_BOARD");
    assert_int_equal(fault_attach(), 0);
    struct fault_hit hit;
    assert_false(fault_check(FAULT_net_recv, &hit));
}

static void a_caller_is_told_errno_short_and_corrupt(void **state)
{
    struct stage *s = *state;
    int rule = arm(s, "net.recv errno=ENOMEM");
    assert_int_equal(exit_of(recv_fault), FAULT_ERRNO * 10 + ENOMEM % 10);
    fault_board_disarm(&s->file, (unsigned)rule);
    rule = arm(s, "net.recv short=7");
    assert_int_equal(exit_of(recv_fault), FAULT_SHORT * 10 + 7);
    fault_board_disarm(&s->file, (unsigned)rule);
    arm(s, "net.recv corrupt");
    assert_in_range(exit_of(recv_fault), FAULT_CORRUPT * 10, FAULT_CORRUPT * 10 + 9);
}

static int sabotage_or_step(void)
{
    return (fault_sabotage(FAULT_sabotage_reap_one) ? 1 : 0) +
           (fault_step(FAULT_master_reload_parse) == ENOSPC ? 2 : 0) +
           (fault_sabotage(FAULT_sabotage_leak_fd) ? 4 : 0);
}

static void steps_fail_and_sabotage_is_switched_on(void **state)
{
    arm(*state, "sabotage.reap_one ; master.reload.parse errno=ENOSPC");
    assert_int_equal(exit_of(sabotage_or_step), 3);
}

/* ---- what a fault does itself -----------------------------------------------------------------
 */

static void ignore(int number)
{
    (void)number;
}

static int steps_with_handlers(void)
{
    struct sigaction handled = {.sa_handler = ignore};
    sigset_t all;
    sigaction(SIGSEGV, &handled, NULL);
    sigaction(SIGTERM, &handled, NULL);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    struct rlimit no_core = {0};
    setrlimit(RLIMIT_CORE, &no_core);
    return takes_one_step();
}

static void a_crash_is_by_the_signal_whatever_the_handlers(void **state)
{
    static const struct {
        const char *plan;
        int number;
    } cases[] = {{"worker.request crash", SIGSEGV},
                 {"worker.request crash=TERM", SIGTERM},
                 {"worker.request crash=KILL", SIGKILL},
                 {"worker.request crash=ABRT", SIGABRT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rule = arm(*state, cases[i].plan);
        assert_int_equal(exit_of(steps_with_handlers), 1000 + cases[i].number);
        fault_board_disarm(&((struct stage *)*state)->file, (unsigned)rule);
    }
}

static void a_stop_can_be_continued(void **state)
{
    int status;
    arm(*state, "worker.request crash=STOP");
    pid_t pid = start(takes_one_step);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    kill(pid, SIGCONT);
    assert_int_equal(wait_for(pid), 0);
}

static void an_exit_has_its_code(void **state)
{
    arm(*state, "worker.request exit=37");
    assert_int_equal(exit_of(takes_one_step), 37);
}

/* Takes a step while a timer interrupts it; exits 0 if the step took at least 50 ms. */
static int steps_slowly(void)
{
    struct sigaction handled = {.sa_handler = ignore};
    sigaction(SIGALRM, &handled, NULL);
    struct itimerspec often = {.it_interval.tv_nsec = 3000000, .it_value.tv_nsec = 3000000};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, NULL, &timer);
    timer_settime(timer, 0, &often, NULL);
    uint64_t before = now_ns(CLOCK_MONOTONIC);
    int error = takes_one_step();
    return error ? error : now_ns(CLOCK_MONOTONIC) - before < 50000000;
}

static void a_delay_lasts_through_signals(void **state)
{
    arm(*state, "worker.request delay=50ms");
    assert_int_equal(exit_of(steps_slowly), 0);
}

static int recv_after_delays(void)
{
    uint64_t before = now_ns(CLOCK_MONOTONIC);
    int told = recv_fault();
    return now_ns(CLOCK_MONOTONIC) - before < 30000000 ? 1 : told;
}

static void delays_add_up_and_an_errno_follows(void **state)
{
    arm(*state, "net.recv delay=10ms; net.recv delay=20ms; net.recv short=3");
    assert_int_equal(exit_of(recv_after_delays), FAULT_SHORT * 10 + 3);
}

static void a_stall_lasts_until_disarmed(void **state)
{
    struct stage *s = *state;
    int status, rule = arm(s, "worker.request stall");
    pid_t pid = start(takes_one_step);
    wait_until_fired(s, (unsigned)rule, 1);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    arm(s, "net.recv errno"); /* another rule's coming does not wake it */
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    fault_board_disarm(&s->file, (unsigned)rule);
    assert_int_equal(wait_for(pid), 0);
}

static int spins_and_tells_its_cpu(void)
{
    takes_one_step();
    return now_ns(CLOCK_PROCESS_CPUTIME_ID) >= 20000000 ? 9 : 1;
}

static void a_spin_burns_until_disarmed(void **state)
{
    struct stage *s = *state;
    int status, rule = arm(s, "worker.request spin");
    pid_t pid = start(spins_and_tells_its_cpu);
    wait_until_fired(s, (unsigned)rule, 1);
    clockid_t cpu;
    assert_int_equal(clock_getcpuclockid(pid, &cpu), 0);
    const struct timespec step = {.tv_nsec = 1000000};
    for (int i = 0; i < 30000 && now_ns(cpu) < 20000000; i++)
        nanosleep(&step, NULL);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    fault_board_disarm(&s->file, (unsigned)rule);
    assert_int_equal(WEXITSTATUS(wait_for(pid)), 9);
}

/* ---- history ----------------------------------------------------------------------------------
 */

static void a_firing_is_in_the_history_even_of_the_dead(void **state)
{
    struct stage *s = *state;
    arm(s, "worker.request crash=KILL after=1 times=1");
    assert_int_equal(exit_of(takes_one_step), 0);
    pid_t pid = start(takes_one_step);
    wait_for(pid);
    struct hist h;
    char why[128];
    assert_int_equal(hist_read(&h, s->dir, why, sizeof why), 0);
    size_t found = 0;
    for (size_t i = 0; i < h.count; i++) {
        const struct hist_record *r = &h.records[i];
        if (r->kind != HIST_FAULT_FIRED)
            continue;
        found++;
        assert_int_equal(r->pid, pid);
        assert_int_equal(r->slot, 2);
        assert_int_equal(r->gen, 5);
        assert_int_equal(r->role, HIST_WORKER);
        assert_int_equal(r->a, FAULT_worker_request);
        assert_int_equal(r->b, (uint64_t)FAULT_CRASH << 32 | SIGKILL);
        assert_int_equal(r->c,
                         UINT64_C(2) << 32 | 1); /* the rule's second call, its first firing */
    }
    assert_int_equal(found, 1);
    hist_free(&h);
}

/* ---- several processes ------------------------------------------------------------------------
 */

enum { RACERS = 6, CALLS = 3000, TIMES = 100 };

static int counts_firings(void)
{
    int count = 0;
    for (int i = 0; i < CALLS; i++)
        count += fault_step(FAULT_log_write) != 0;
    return count;
}

static void racing_processes_share_the_firings_of_a_rule(void **state)
{
    struct stage *s = *state;
    pid_t pids[RACERS];
    uint64_t total = 0;
    int often = arm(s, "log.write errno times=100");
    for (size_t i = 0; i < RACERS; i++)
        pids[i] = start(counts_firings);
    for (size_t i = 0; i < RACERS; i++)
        total += (uint64_t)WEXITSTATUS(wait_for(pids[i]));
    assert_int_equal(total, TIMES);
    assert_int_equal(fired(s, (unsigned)often), TIMES);
    struct fault_status status;
    fault_board_status(s->file.board, (unsigned)often, &status);
    assert_int_equal(status.calls, RACERS * CALLS);
}

static int calls_for_ever(void)
{
    while (fault_step(FAULT_log_write) >= 0)
        ;
    return 0;
}

/* Users are killed in the middle of deciding; the board serves those that come after. */
static void a_board_survives_users_that_are_killed(void **state)
{
    struct stage *s = *state;
    int rule = arm(s, "log.write errno every=3");
    for (int i = 0; i < 40; i++) {
        uint64_t before = fired(s, (unsigned)rule);
        pid_t pid = start(calls_for_ever);
        wait_until_fired(s, (unsigned)rule, before + 1);
        kill(pid, SIGKILL);
        wait_for(pid);
    }
    fault_board_disarm(&s->file, (unsigned)rule);
    arm(s, "log.write errno times=7");
    assert_int_equal(exit_of(counts_firings), 7);
}

static int chance_pattern(void)
{
    int bits = 0;
    for (int i = 0; i < 7; i++)
        bits = bits << 1 | (fault_step(FAULT_log_write) != 0);
    return bits;
}

static void runs_repeat(void **state)
{
    struct stage *s = *state;
    int first[8], rule = arm(s, "log.write errno chance=1/2");
    int changes = 0;
    for (int life = 0; life < 8; life++) {
        first[life] = exit_of(chance_pattern);
        changes += life > 0 && first[life] != first[life - 1];
    }
    assert_true(changes > 0); /* the next life of a worker is another one */
    fault_board_disarm(&s->file, (unsigned)rule);
    fault_board_close(&s->file);
    unlink(s->path);
    assert_int_equal(fault_board_open(&s->file, s->path, true, 11), 0);
    arm(s, "log.write errno chance=1/2");
    for (int life = 0; life < 8; life++)
        assert_int_equal(exit_of(chance_pattern), first[life]);
}

/* ---- attaching --------------------------------------------------------------------------------
 */

static void a_board_that_is_no_board_is_an_error(void **state)
{
    struct stage *s = *state;
    setenv("MW_FAULT_BOARD", s->dir, 1);
    assert_int_equal(fault_attach(), -EISDIR);
    setenv("MW_FAULT_BOARD", "/nowhere/board", 1);
    assert_int_equal(fault_attach(), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_disarmed_point_does_nothing),
        TEST(a_caller_is_told_errno_short_and_corrupt),
        TEST(steps_fail_and_sabotage_is_switched_on),
        TEST(a_crash_is_by_the_signal_whatever_the_handlers),
        TEST(a_stop_can_be_continued),
        TEST(an_exit_has_its_code),
        TEST(a_delay_lasts_through_signals),
        TEST(delays_add_up_and_an_errno_follows),
        TEST(a_stall_lasts_until_disarmed),
        TEST(a_spin_burns_until_disarmed),
        TEST(a_firing_is_in_the_history_even_of_the_dead),
        TEST(racing_processes_share_the_firings_of_a_rule),
        TEST(a_board_survives_users_that_are_killed),
        TEST(runs_repeat),
        TEST(a_board_that_is_no_board_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void a_build_without_fault_points_says_so(void **state)
{
    (void)state;
    struct fault_hit hit;
    assert_int_equal(fault_attach(), 0);
    setenv("MW_FAULT_BOARD", "/any", 1);
    assert_int_equal(fault_attach(), -ENOSYS);
    fault_identify(FAULT_ROLE_WORKER, 0, 1);
    assert_false(fault_check(FAULT_net_recv, &hit));
    assert_int_equal(fault_step(FAULT_worker_boot), 0);
    assert_false(fault_sabotage(FAULT_sabotage_reap_one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_without_fault_points_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
