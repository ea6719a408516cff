/* What the watcher's tests share: a stage with a history and a real process tree that is told what
 * to do step by step, so that nothing depends on how long a step takes. */
#ifndef SCENARIOS_WITNESS_WATCH_FIXTURE_H
#define SCENARIOS_WITNESS_WATCH_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "scenarios/witness/watch.h"

/* A stage: the watcher, its history and the watched tree. Processes of the tree wait at gates. */
enum { GATES = 4, PIDS = 4 };

struct shared {
    volatile pid_t pids[PIDS]; /* as the tree tells them */
};

struct stage {
    struct watch watch;
    struct watch_options options;
    struct hist_writer history;
    char dir[64], path[96], pidfile[96];
    struct shared *shared;
    int gates[GATES][2];
    int listener; /* the test's own, -1 none */
    pid_t root;
};

static struct stage *stage;

static inline void open_gate(int gate)
{
    assert_int_equal(write(stage->gates[gate][1], "", 1), 1);
}

static inline void wait_at(int gate)
{
    char byte;
    while (read(stage->gates[gate][0], &byte, 1) < 0 && errno == EINTR)
        ;
}

/* Forks a process of the tree; it dies with the test whatever happens. */
static inline pid_t branch(void)
{
    pid_t pid = fork();
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static inline int set_up(void **state, bool poll)
{
    stage = calloc(1, sizeof *stage);
    stage->listener = -1;
    snprintf(stage->dir, sizeof stage->dir, "/tmp/watch-test-XXXXXX");
    if (!mkdtemp(stage->dir))
        return -1;
    snprintf(stage->path, sizeof stage->path, "%s/watch.mwh", stage->dir);
    snprintf(stage->pidfile, sizeof stage->pidfile, "%s/server.pid", stage->dir);
    stage->shared = mmap(NULL, sizeof *stage->shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < GATES; i++)
        if (pipe2(stage->gates[i], O_CLOEXEC) != 0)
            return -1;
    stage->options = (struct watch_options){.period_ns = 10000000, .poll = poll};
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* orphans come to us, so that none is left behind */
    *state = stage;
    return 0;
}

static inline int set_up_exact(void **state)
{
    return set_up(state, false);
}

static inline int set_up_polled(void **state)
{
    return set_up(state, true);
}

/* Ends what is left of the tree: the root, and orphans, which have come to us. All are our own
 * children and not reaped yet, so that no pid can have become a stranger's. */
static inline void end_children(void)
{
    pid_t children[64];
    do {
        size_t count = proc_children(getpid(), children, 64);
        for (size_t i = 0; i < count; i++)
            kill(children[i], SIGKILL);
    } while (wait(NULL) > 0 || errno != ECHILD);
}

static inline int tear_down(void **state)
{
    (void)state;
    end_children();
    watch_close(&stage->watch);
    hist_close(&stage->history);
    for (int i = 0; i < GATES; i++) {
        close(stage->gates[i][0]);
        close(stage->gates[i][1]);
    }
    unlink(stage->path);
    unlink(stage->pidfile);
    int left = rmdir(stage->dir);
    munmap(stage->shared, sizeof *stage->shared);
    free(stage);
    return left;
}

/* Starts a tree and watches it. `grow` runs in the root and ends it by returning. */
static inline void start(void (*grow)(void))
{
    char why[256] = "";
    stage->root = branch();
    if (stage->root == 0) {
        close(stage->listener); /* or it would outlive the test's own */
        grow();
        _exit(0);
    }
    stage->options.root = stage->root;
    assert_int_equal(hist_open(&stage->history, stage->path, HIST_WATCH), 0);
    int error = watch_open(&stage->watch, &stage->options, &stage->history, why, sizeof why);
    if (error)
        fail_msg("%s", why);
    /* What is not exact says why. */
    assert_true((stage->watch.connector_fd >= 0) == (stage->watch.reason[0] == '\0'));
}

/* ---- reading what was recorded ----------------------------------------------------------------
 */

enum { ANY = -1 };

/* The last record of this kind, process (0 any) and a (ANY). False: there is none. */
static inline bool recorded(enum hist_kind kind, pid_t pid, int64_t a, struct hist_record *out)
{
    struct hist h;
    char why[128];
    bool found = false;
    *out = (struct hist_record){.kind = HIST_NONE};
    assert_int_equal(hist_read(&h, stage->path, why, sizeof why), 0);
    for (size_t i = 0; i < h.count; i++) {
        const struct hist_record *r = &h.records[i];
        if (r->kind != kind || (pid && r->pid != (uint32_t)pid) ||
            (a != ANY && r->a != (uint64_t)a))
            continue;
        *out = *r;
        found = true;
    }
    hist_free(&h);
    return found;
}

/* Looks until `condition` holds, for at most twenty seconds. */
#define LOOK_UNTIL(condition)                                                                      \
    do {                                                                                           \
        const struct timespec pause_ = {.tv_nsec = 2000000};                                       \
        for (int tries_ = 0; tries_ < 10000; tries_++) {                                           \
            look();                                                                                \
            if (condition)                                                                         \
                break;                                                                             \
            nanosleep(&pause_, NULL);                                                              \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static inline void look(void)
{
    if (!stage->watch.tree.exact)
        watch_tree_take_ends(&stage->watch.tree);
    watch_look(&stage->watch);
}

static inline pid_t told_pid(int index)
{
    LOOK_UNTIL(stage->shared->pids[index] > 0);
    return stage->shared->pids[index];
}

/* A test in both ways of watching. */
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, set_up_exact, tear_down),                                \
        cmocka_unit_test_setup_teardown(name, set_up_polled, tear_down)

#endif
