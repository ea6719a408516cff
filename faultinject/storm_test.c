/* Storms: who is hit and who never is, how often, how fast, and what is written about it. */
#include "faultinject/storm.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A tree that counts its signals: a root, its children, and a child of the first one. */
enum { CHILDREN = 3, PROCESSES = 2 + CHILDREN, ROOT = 0, FIRST = 1, GRANDCHILD = 1 + CHILDREN };

struct tally {
    volatile uint32_t hits[PROCESSES][32]; /* by process and signal */
    volatile pid_t pids[PROCESSES];
    volatile uint32_t ready;
};

static struct tally *tally;
static size_t who;

static void count_hit(int number)
{
    __atomic_add_fetch(&tally->hits[who][number], 1, __ATOMIC_RELAXED);
}

_Noreturn static void live_and_count(size_t index)
{
    struct sigaction counting = {.sa_handler = count_hit};
    who = index;
    sigaction(SIGUSR1, &counting, NULL);
    sigaction(SIGUSR2, &counting, NULL);
    sigaction(SIGHUP, &counting, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    tally->pids[index] = getpid();
    __atomic_add_fetch(&tally->ready, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
}

_Noreturn static void grow_tree(void)
{
    setpgid(0, 0);
    for (size_t i = 0; i < CHILDREN; i++)
        if (fork() == 0) {
            if (i == 0 && fork() == 0)
                live_and_count(GRANDCHILD);
            live_and_count(FIRST + i);
        }
    live_and_count(ROOT);
}

static void wait_ms(void)
{
    const struct timespec step = {.tv_nsec = 1000000};
    nanosleep(&step, NULL);
}

static int set_up(void **state)
{
    (void)state;
    tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fork() == 0)
        grow_tree();
    for (int i = 0; i < 10000 && tally->ready < PROCESSES; i++)
        wait_ms();
    return tally->ready == PROCESSES ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kill(-tally->pids[ROOT], SIGKILL);
    while (wait(NULL) > 0)
        ;
    munmap(tally, sizeof *tally);
    return 0;
}

/* A slow storm, so that no signal coalesces: each must be seen. */
static struct storm storm_of(enum hist_target to, const char *signals, uint64_t count)
{
    struct storm storm = {
        .pid = tally->pids[ROOT], .to = to, .rate_hz = 500, .count = count, .seed = 3};
    const char *bad;
    size_t len;
    assert_true(storm_signals_parse(&storm, signals, &bad, &len));
    return storm;
}

static struct storm_result run(const struct storm *storm)
{
    struct storm_result result;
    struct hist_writer none = {.fd = -1};
    assert_int_equal(storm_run(storm, &none, &result), 0);
    return result;
}

static void wait_for_hits(size_t process, int number, uint32_t count)
{
    for (int i = 0; i < 10000 && tally->hits[process][number] < count; i++)
        wait_ms();
    assert_in_range(tally->hits[process][number], count, count);
}

static uint32_t hits_of(size_t process)
{
    uint32_t hits = 0;
    for (int i = 0; i < 32; i++)
        hits += tally->hits[process][i];
    return hits;
}

static void a_storm_to_the_master_hits_nobody_else(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_MASTER, "USR1", 1);
    struct storm_result result = run(&storm);
    assert_int_equal(result.sent, 1);
    wait_for_hits(ROOT, SIGUSR1, 1);
    for (size_t i = FIRST; i < PROCESSES; i++)
        assert_int_equal(hits_of(i), 0);
}

static void a_storm_to_workers_takes_turns(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_WORKER, "USR1", CHILDREN);
    assert_int_equal(run(&storm).sent, CHILDREN);
    for (size_t i = 0; i < CHILDREN; i++)
        wait_for_hits(FIRST + i, SIGUSR1, 1);
    assert_int_equal(hits_of(ROOT) + hits_of(GRANDCHILD), 0);
    storm.only = tally->pids[FIRST + 1];
    storm.count = 1;
    assert_int_equal(run(&storm).sent, 1);
    wait_for_hits(FIRST + 1, SIGUSR1, 2);
    assert_int_equal(hits_of(FIRST) + hits_of(FIRST + 2), 2);
}

static void a_process_that_is_not_a_child_is_not_hit(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_WORKER, "USR1", 2);
    storm.only = tally->pids[GRANDCHILD];
    struct storm_result result = run(&storm);
    assert_int_equal(result.sent, 0);
    assert_int_equal(result.failed, 2);
    assert_int_equal(hits_of(GRANDCHILD), 0);
}

static void a_storm_to_all_reaches_grandchildren(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_ALL, "USR2", 1);
    assert_int_equal(run(&storm).sent, PROCESSES);
    for (size_t i = 0; i < PROCESSES; i++)
        wait_for_hits(i, SIGUSR2, 1);
}

static void a_storm_to_the_group_needs_a_group_of_its_own(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_GROUP, "USR2", 1);
    struct storm_result result;
    struct hist_writer none = {.fd = -1};
    assert_int_equal(run(&storm).sent, 1);
    for (size_t i = 0; i < PROCESSES; i++)
        wait_for_hits(i, SIGUSR2, 1);
    storm.pid = tally->pids[FIRST]; /* led by the root */
    assert_int_equal(storm_run(&storm, &none, &result), -EINVAL);
    storm.pid = getpgrp(); /* ours */
    assert_int_not_equal(storm_run(&storm, &none, &result), 0);
}

/* The tree of the storm's own process is the test's: it must not hit itself. */
static void a_storm_does_not_hit_itself(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_ALL, "USR1", 1);
    storm.pid = getpid();
    assert_int_equal(run(&storm).sent, PROCESSES); /* USR1 would have killed us */
}

static void a_mix_has_its_weights(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_MASTER, "HUP:9,USR1:1", 200);
    assert_int_equal(run(&storm).sent, 200);
    assert_true(tally->hits[ROOT][SIGHUP] > tally->hits[ROOT][SIGUSR1]);
    assert_true(tally->hits[ROOT][SIGUSR1] > 0);
}

static void a_storm_ends_with_its_root(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_MASTER, "KILL", 1000);
    pid_t root = fork();
    if (root == 0)
        for (;;)
            pause();
    storm.pid = root;
    struct sigaction reap = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};
    struct sigaction before;
    sigaction(SIGCHLD, &reap, &before); /* no zombie is left to be hit */
    struct storm_result result = run(&storm);
    sigaction(SIGCHLD, &before, NULL);
    assert_true(result.root_gone);
    assert_in_range(result.sent, 1, 999);
    struct hist_writer none = {.fd = -1};
    assert_int_equal(storm_run(&storm, &none, &result), -ESRCH);
}

static void the_rate_is_kept_by_deadlines(void **state)
{
    (void)state;
    struct storm storm = storm_of(HIST_TO_MASTER, "USR1", 2000);
    storm.rate_hz = STORM_RATE_MAX_HZ;
    struct storm_result result = run(&storm);
    assert_int_equal(result.sent, 2000);
    /* 2000 rounds at 10 kHz last 199.9 ms; never shorter, and a loaded machine may make it longer.
     */
    assert_true(result.elapsed_ns >= 199900000);
    assert_true(hits_of(ROOT) > 0);
}

static void each_signal_is_in_the_history(void **state)
{
    (void)state;
    char path[] = "/tmp/storm-test-XXXXXX", why[128];
    close(mkstemp(path));
    unlink(path);
    struct storm storm = storm_of(HIST_TO_MASTER, "HUP:1,USR1:1", 60);
    struct hist_writer history;
    struct storm_result result;
    struct hist h[2];
    for (int run_number = 0; run_number < 2; run_number++) {
        assert_int_equal(hist_open(&history, path, HIST_FAULT), 0);
        assert_int_equal(storm_run(&storm, &history, &result), 0);
        hist_close(&history);
        assert_int_equal(hist_read(&h[run_number], path, why, sizeof why), 0);
        unlink(path);
        assert_int_equal(h[run_number].count, 60);
    }
    for (size_t i = 0; i < 60; i++) {
        const struct hist_record *r = &h[0].records[i];
        assert_int_equal(r->kind, HIST_STORM_SIGNAL);
        assert_int_equal(r->pid, tally->pids[ROOT]);
        assert_int_equal(r->b, HIST_TO_MASTER);
        assert_int_equal(r->c, 0);
        assert_int_equal(r->a, h[1].records[i].a); /* the same seed, the same signals */
    }
    hist_free(&h[0]);
    hist_free(&h[1]);
}

static void bad_lists_of_signals_are_refused(void **state)
{
    (void)state;
    static const char *const bad_lists[] = {
        "", "HUP,", "NOSUCH", "HUP:", "HUP:0", ",HUP", "HUP:1:2", "HUP USR1"};
    struct storm storm;
    const char *bad;
    size_t len;
    for (size_t i = 0; i < sizeof bad_lists / sizeof bad_lists[0]; i++)
        assert_false(storm_signals_parse(&storm, bad_lists[i], &bad, &len));
    assert_true(storm_signals_parse(&storm, "HUP:3,SIGWINCH,CHLD", &bad, &len));
    assert_int_equal(storm.signal_count, 3);
    assert_int_equal(storm.signals[0].weight, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_storm_to_the_master_hits_nobody_else),
        TEST(a_storm_to_workers_takes_turns),
        TEST(a_process_that_is_not_a_child_is_not_hit),
        TEST(a_storm_to_all_reaches_grandchildren),
        TEST(a_storm_to_the_group_needs_a_group_of_its_own),
        TEST(a_storm_does_not_hit_itself),
        TEST(a_mix_has_its_weights),
        TEST(a_storm_ends_with_its_root),
        TEST(the_rate_is_kept_by_deadlines),
        TEST(each_signal_is_in_the_history),
        cmocka_unit_test(bad_lists_of_signals_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
