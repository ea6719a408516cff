/* The watcher on real process trees, with the process connector where it may be used and by looking
 * alone: forks, exits, states and what processes use. */
#include "scenarios/witness/watch_fixture.h"

/* Does it stand in the history with this wait status? By looking alone a status may stay unknown.
 */
static bool exited_with(pid_t pid, uint64_t status)
{
    struct hist_record r;
    if (!recorded(HIST_WATCH_EXIT, pid, ANY, &r))
        return false;
    bool unknown = r.a == UINT64_MAX && !stage->watch.tree.exact;
    if (r.a != status && !unknown)
        fail_msg("process %ld ended with %#llx, not %#llx", (long)pid, (unsigned long long)r.a,
                 (unsigned long long)status);
    return true;
}

/* ---- forks and exits --------------------------------------------------------------------------
 */

static void reap_all(void)
{
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

/* A child that forks a grandchild and reaps it at once; then a child killed by a signal. */
static void grow_and_wither(void)
{
    stage->shared->pids[0] = branch();
    if (stage->shared->pids[0] == 0) {
        stage->shared->pids[0] = getpid();
        pid_t pid = branch();
        if (pid == 0) {
            wait_at(1);
            _exit(3);
        }
        stage->shared->pids[1] = pid;
        waitpid(pid, NULL, 0);
        wait_at(2);
        _exit(7);
    }
    waitpid(stage->shared->pids[0], NULL, 0);
    wait_at(0);
    pid_t late = branch();
    if (late == 0)
        for (;;)
            pause();
    stage->shared->pids[2] = late;
    reap_all();
    wait_at(3);
}

static void forks_and_exits_are_recorded(void **state)
{
    (void)state;
    struct hist_record r, fork_record, exit_record;
    start(grow_and_wither);
    assert_true(recorded(HIST_WATCH_ROOT, stage->root, stage->watch.connector_fd >= 0, &r));
    pid_t child = told_pid(0), grandchild = told_pid(1);
    LOOK_UNTIL(recorded(HIST_WATCH_FORK, grandchild, child, &r));
    assert_true(recorded(HIST_WATCH_FORK, child, stage->root, &r));
    open_gate(1);
    LOOK_UNTIL(exited_with(grandchild, 3 << 8));
    LOOK_UNTIL(recorded(HIST_WATCH_REAPED, grandchild, ANY, &r));
    open_gate(2);
    LOOK_UNTIL(exited_with(child, 7 << 8));
    open_gate(0);
    pid_t late = told_pid(2);
    LOOK_UNTIL(recorded(HIST_WATCH_FORK, late, stage->root, &fork_record));
    kill(late, SIGKILL);
    LOOK_UNTIL(exited_with(late, SIGKILL));
    assert_true(recorded(HIST_WATCH_EXIT, late, ANY, &exit_record));
    assert_int_equal(exit_record.b, stage->root);
    assert_true(fork_record.t_ns <= exit_record.t_ns);
    assert_true(exit_record.t_ns <= hist_now_ns());
    open_gate(3);
    LOOK_UNTIL(exited_with(stage->root, 0));
    assert_int_equal(stage->watch.tree.lost, 0);
}

static void grow_quick_ones(void)
{
    wait_at(0);
    for (int i = 0; i < 50; i++) {
        pid_t pid = branch();
        if (pid == 0)
            _exit(i);
        waitpid(pid, NULL, 0);
    }
    stage->shared->pids[0] = getpid();
    wait_at(0);
}

/* The connector misses none, however short it lives; and each exit has its own status. */
static void the_shortest_lives_are_seen_when_exact(void **state)
{
    (void)state;
    start(grow_quick_ones);
    open_gate(0);
    told_pid(0);
    look();
    struct hist h;
    char why[128];
    size_t forks = 0, exits = 0;
    assert_int_equal(hist_read(&h, stage->path, why, sizeof why), 0);
    for (size_t i = 0; i < h.count; i++) {
        forks += h.records[i].kind == HIST_WATCH_FORK;
        if (h.records[i].kind == HIST_WATCH_EXIT && h.records[i].a == exits << 8)
            exits++;
    }
    hist_free(&h);
    if (stage->watch.tree.exact) {
        assert_int_equal(forks, 50);
        assert_int_equal(exits, 50);
    }
    assert_int_equal(stage->watch.tree.lost, 0);
}

static void grow_an_orphan(void)
{
    pid_t pid = branch();
    if (pid == 0) {
        pid_t orphan = fork(); /* not bound to its parent's life */
        if (orphan == 0) {
            wait_at(1);
            _exit(9);
        }
        stage->shared->pids[1] = orphan;
        wait_at(0);
        _exit(0);
    }
    stage->shared->pids[0] = pid;
    reap_all();
    wait_at(2);
}

static void an_orphan_is_still_of_the_tree(void **state)
{
    (void)state;
    struct hist_record r;
    start(grow_an_orphan);
    pid_t parent = told_pid(0), orphan = told_pid(1);
    LOOK_UNTIL(recorded(HIST_WATCH_FORK, orphan, parent, &r));
    open_gate(0);
    LOOK_UNTIL(recorded(HIST_WATCH_REAPED, parent, ANY, &r));
    LOOK_UNTIL(watch_tree_find(&stage->watch.tree, orphan)->parent == getpid());
    assert_int_equal(stage->watch.tree.workers, 0); /* it is nobody's worker */
    open_gate(1);
    LOOK_UNTIL(exited_with(orphan, 9 << 8));
    look();
    assert_int_equal(stage->watch.tree.zombies, 0); /* it is ours to reap, not the tree's */
}

/* ---- states -----------------------------------------------------------------------------------
 */

static void grow_a_zombie(void)
{
    pid_t pid = branch();
    if (pid == 0)
        _exit(5);
    stage->shared->pids[0] = pid;
    wait_at(0);
    waitpid(pid, NULL, 0);
    wait_at(1);
}

static void a_zombie_has_an_age(void **state)
{
    (void)state;
    struct hist_record r;
    start(grow_a_zombie);
    pid_t zombie = told_pid(0);
    LOOK_UNTIL(stage->watch.tree.zombies == 1);
    LOOK_UNTIL(exited_with(zombie, 5 << 8));
    LOOK_UNTIL(stage->watch.tree.oldest_zombie_ns > 30000000);
    assert_true(recorded(HIST_WATCH_TREE, stage->root, ANY, &r));
    assert_int_equal(r.a, 0);
    assert_int_equal(r.b, 1);
    assert_true(r.c > 30000000);
    assert_true(recorded(HIST_WATCH_STATE, zombie, 'Z', &r));
    open_gate(0);
    LOOK_UNTIL(recorded(HIST_WATCH_REAPED, zombie, ANY, &r));
    assert_true(r.a > 30000000);
    look();
    assert_int_equal(stage->watch.tree.zombies, 0);
}

static void grow_one_child(void)
{
    pid_t pid = branch();
    if (pid == 0) {
        wait_at(1);
        int fds[10];
        for (int i = 0; i < 10; i++)
            fds[i] = dup(0);
        /* Pages with rights in turn cannot be merged into one mapping. */
        char *at = mmap(NULL, 20 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < 20; i += 2)
            mprotect(at + i * 4096, 4096, PROT_READ | PROT_WRITE);
        wait_at(1);
        for (int i = 0; i < 10; i++)
            close(fds[i]);
        struct timespec used;
        do
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        while (used.tv_sec == 0 && used.tv_nsec < 50000000);
        wait_at(1);
        execl("/bin/sleep", "sleep", "1000", (char *)NULL); /* or until the test is over */
        _exit(99);
    }
    stage->shared->pids[0] = pid;
    reap_all();
    wait_at(0);
}

static void stopping_and_continuing_shows(void **state)
{
    (void)state;
    struct hist_record stopped, r;
    start(grow_one_child);
    pid_t child = told_pid(0);
    LOOK_UNTIL(recorded(HIST_WATCH_STATE, child, 'S', &r));
    kill(child, SIGSTOP);
    LOOK_UNTIL(recorded(HIST_WATCH_STATE, child, 'T', &stopped));
    assert_int_equal(stopped.b, stage->root);
    kill(child, SIGCONT);
    LOOK_UNTIL(recorded(HIST_WATCH_STATE, child, 'S', &r) && r.t_ns > stopped.t_ns);
}

static uint64_t fds_of(pid_t pid)
{
    struct hist_record r;
    return recorded(HIST_WATCH_PROC, pid, ANY, &r) ? r.a >> 32 : 0;
}

static uint64_t mappings_of(pid_t pid)
{
    struct hist_record r;
    return recorded(HIST_WATCH_PROC, pid, ANY, &r) ? r.a & UINT32_MAX : 0;
}

static void samples_follow_what_a_process_uses(void **state)
{
    (void)state;
    struct hist_record r;
    start(grow_one_child);
    pid_t child = told_pid(0);
    LOOK_UNTIL(fds_of(child) > 0);
    uint64_t fds = fds_of(child), mappings = mappings_of(child);
    assert_true(mappings > 0);
    open_gate(1);
    LOOK_UNTIL(fds_of(child) == fds + 10);
    LOOK_UNTIL(mappings_of(child) >= mappings + 19);
    assert_true(recorded(HIST_WATCH_PROC, child, ANY, &r));
    assert_true(r.c > 100000); /* resident bytes */
    uint64_t cpu_ns = r.b;
    open_gate(1);
    LOOK_UNTIL(fds_of(child) == fds);
    LOOK_UNTIL(recorded(HIST_WATCH_PROC, child, ANY, &r) && r.b >= 50000000 && r.b > cpu_ns);
}

static void a_program_that_is_executed_shows(void **state)
{
    (void)state;
    struct hist_record r;
    start(grow_one_child);
    pid_t child = told_pid(0);
    look();
    assert_false(watch_tree_is_master(&stage->watch.tree, child));
    for (int i = 0; i < 3; i++)
        open_gate(1);
    LOOK_UNTIL(recorded(HIST_WATCH_EXEC, child, ANY, &r));
    assert_true(watch_tree_is_master(&stage->watch.tree, child)); /* a new binary's master */
}

/* ---- the connector's own trouble --------------------------------------------------------------
 */

static void events_that_were_lost_are_made_up_for(void **state)
{
    (void)state;
    struct hist_record r;
    struct connector_event lost = {.what = CONNECTOR_LOST};
    start(grow_and_wither);
    pid_t child = told_pid(0), grandchild = told_pid(1);
    LOOK_UNTIL(recorded(HIST_WATCH_FORK, grandchild, child, &r));
    stage->watch.tree.exact = true; /* as if events came: but from here on none does */
    if (stage->watch.connector_fd >= 0)
        connector_close(stage->watch.connector_fd);
    stage->watch.connector_fd = -1;
    open_gate(1);
    LOOK_UNTIL(recorded(HIST_WATCH_EXIT, grandchild, ANY, &r));
    assert_true(stage->watch.tree.lost > 0);
    open_gate(2);
    LOOK_UNTIL(recorded(HIST_WATCH_REAPED, child, ANY, &r));
    open_gate(0);
    pid_t late = told_pid(2);
    look();
    assert_false(recorded(HIST_WATCH_FORK, late, ANY, &r));
    watch_tree_take(&stage->watch.tree, &lost);
    assert_true(recorded(HIST_WATCH_FORK, late, stage->root, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(forks_and_exits_are_recorded),     TEST(the_shortest_lives_are_seen_when_exact),
        TEST(an_orphan_is_still_of_the_tree),   TEST(a_zombie_has_an_age),
        TEST(stopping_and_continuing_shows),    TEST(samples_follow_what_a_process_uses),
        TEST(a_program_that_is_executed_shows), TEST(events_that_were_lost_are_made_up_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
