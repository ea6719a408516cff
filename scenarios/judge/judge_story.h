/* Hand-made histories for the judge's tests: a clock, short words for what the witnesses tell, and
 * what the judge must say of it.
 *
 *     story_begin(2, STORY_TRACED);           master 100, workers 101 and 102, ready at 0 ms
 *     story_bound(HIST_P_RESPAWN_DEADLINE, 500);
 *     story_at(1000), story_signal(101, SIGKILL), story_dies(101, STORY_KILLED);
 *     story_at(1700), story_born(103, 0, 1), story_accepts(103);
 *     story_expect(G_respawn_deadline, VERDICT_VIOLATED);
 *     story_blames(G_respawn_deadline, HIST_WATCH_EXIT, 101, HIST_ENGINE_WORKER_READY);
 *
 * One story at a time; STORY_TEST makes the cmocka entry that frees it. What has no word of its own
 * is told by story_put, story_put_in_slot or story_take. Times are milliseconds since ready. */
#ifndef SCENARIOS_JUDGE_JUDGE_STORY_H
#define SCENARIOS_JUDGE_JUDGE_STORY_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "scenarios/judge/judge.h"

#define STORY_TEST(function) cmocka_unit_test_teardown(function, story_free)

enum { STORY_MASTER = 100, STORY_PIDS_MAX = 1024 };
/* STORY_TRACED: the server writes engine.* records; STORY_PLAIN: it does not, as nginx. */
enum story_server { STORY_PLAIN, STORY_TRACED };
/* Wait statuses. */
enum { STORY_KILLED = SIGKILL, STORY_CRASHED = SIGSEGV, STORY_LEFT = 0, STORY_CODE_1 = 1 << 8 };
#define STORY_UNKNOWN_STATUS UINT64_MAX

static struct {
    struct judge *judge;
    uint64_t now_ns;
    bool traced, finished;
    struct {
        int16_t slot;
        uint32_t gen;
    } workers[STORY_PIDS_MAX]; /* by pid, as story_born told */
} story;

/* ---- the clock and the plain records --------------------------------------------------------- */

static inline uint64_t story_ns(double ms)
{
    return (uint64_t)(ms * 1e6);
}

static inline void story_at(double ms)
{
    story.now_ns = story_ns(ms + 10000);
}

static inline void story_later(double ms)
{
    story.now_ns += story_ns(ms);
}

/* Tells *r, now unless it has a time of its own. */
static inline void story_take(struct hist_record r)
{
    if (r.t_ns == 0)
        r.t_ns = story.now_ns;
    judge_observe(story.judge, &r);
}

static inline void story_put_in_slot(enum hist_kind kind, uint32_t pid, int16_t slot, uint32_t gen,
                                     uint64_t a, uint64_t b, uint64_t c)
{
    story_take((struct hist_record){
        .kind = (uint16_t)kind, .pid = pid, .slot = slot, .gen = gen, .a = a, .b = b, .c = c});
}

static inline void story_put(enum hist_kind kind, uint32_t pid, uint64_t a, uint64_t b, uint64_t c)
{
    story_put_in_slot(kind, pid, -1, 0, a, b, c);
}

static inline void story_param(enum hist_param param, uint64_t value)
{
    story_put(HIST_DIRECTOR_PARAM, 0, param, value, 0);
}

static inline void story_bound(enum hist_param param, double ms)
{
    story_param(param, story_ns(ms));
}

static inline void story_phase(enum hist_phase phase)
{
    story_put(HIST_DIRECTOR_PHASE, 0, phase, 0, 0);
}

static inline void story_stop(bool graceful)
{
    story_put(HIST_DIRECTOR_STOP, STORY_MASTER, graceful, 0, 0);
}

/* ---- processes ------------------------------------------------------------------------------- */

static inline void story_put_worker(enum hist_kind kind, uint32_t pid, uint64_t a, uint64_t b)
{
    story_put_in_slot(kind, pid, story.workers[pid].slot, story.workers[pid].gen, a, b, 0);
}

/* The watcher sees a fork, and a traced master tells of it 0.2 ms later. */
static inline void story_born(uint32_t pid, int16_t slot, uint32_t gen)
{
    story.workers[pid].slot = story.traced ? slot : -1;
    story.workers[pid].gen = story.traced ? gen : 0;
    story_put(HIST_WATCH_FORK, pid, STORY_MASTER, 0, 0);
    if (!story.traced)
        return;
    story_later(0.2);
    story_put_worker(HIST_ENGINE_SPAWN, pid, 0, 0);
}

/* Only the engine tells this. */
static inline void story_accepts(uint32_t pid)
{
    if (story.traced)
        story_put_worker(HIST_ENGINE_WORKER_READY, pid, 0, 0);
}

static inline void story_drains(uint32_t pid)
{
    if (story.traced)
        story_put_worker(HIST_ENGINE_DRAIN, pid, 0, 0);
}

/* The watcher sees the exit; 0.3 ms later a traced master reaps it; at 10 ms it is seen gone. */
static inline void story_dies(uint32_t pid, uint64_t status)
{
    story_put(HIST_WATCH_EXIT, pid, status, STORY_MASTER, 0);
    story_later(0.3);
    if (story.traced)
        story_put_worker(HIST_ENGINE_WORKER_EXIT, pid, status, 0);
    story_later(9.7);
    story_put(HIST_WATCH_REAPED, pid, story_ns(10), 0, 0);
}

/* The director or a storm sends a signal: to the master, or to one worker. */
static inline void story_signal(uint32_t pid, int number)
{
    story_put(HIST_DIRECTOR_SIGNAL, pid, (uint64_t)number,
              pid == STORY_MASTER ? HIST_TO_MASTER : HIST_TO_WORKER, story.now_ns);
}

static inline void story_state(uint32_t pid, char letter)
{
    story_put(HIST_WATCH_STATE, pid, (unsigned char)letter, STORY_MASTER, 0);
}

static inline void story_fault(uint32_t pid, enum hist_fault kind)
{
    story_put(HIST_FAULT_FIRED, pid, 0, (uint64_t)kind << 32, 1);
}

/* A sample of the tree. */
static inline void story_tree(uint64_t live, uint64_t zombies, double oldest_ms)
{
    story_put(HIST_WATCH_TREE, STORY_MASTER, live, zombies, story_ns(oldest_ms));
}

/* A sample of the tree each 10 ms from now until `until_ms`. */
static inline void story_trees_until(double until_ms, uint64_t live)
{
    for (; story.now_ns < story_ns(until_ms + 10000); story_later(10))
        story_tree(live, 0, 0);
}

/* ---- reloads --------------------------------------------------------------------------------- */

static inline void story_config(uint32_t number, bool valid, uint64_t workers)
{
    story_put_in_slot(HIST_DIRECTOR_CONFIG, 0, -1, number, valid, workers, 0);
}

static inline void story_reload(uint32_t number, uint64_t sequence)
{
    story_put_in_slot(HIST_DIRECTOR_RELOAD, STORY_MASTER, -1, number, 1, sequence, 0);
}

static inline void story_reloaded(uint32_t number, uint64_t sequence, enum hist_report report)
{
    story_put_in_slot(HIST_DIRECTOR_RELOADED, STORY_MASTER, -1, number, report, sequence, 0);
}

/* ---- clients --------------------------------------------------------------------------------- */

static inline void story_population(int16_t index, enum hist_population kind)
{
    story_put_in_slot(HIST_CLIENT_POPULATION, 1, index, 0, kind, 100000, 1);
}

/* One record about a connection and a request, of population 0. */
static inline void story_client(enum hist_kind kind, uint64_t conn, uint64_t req, uint32_t pid,
                                uint64_t a, uint64_t b, uint64_t c, uint16_t flags)
{
    story_take((struct hist_record){.kind = (uint16_t)kind,
                                    .flags = flags,
                                    .pid = pid,
                                    .conn = conn,
                                    .req = req,
                                    .a = a,
                                    .b = b,
                                    .c = c});
}

/* Connects, and worker `pid` accepts it. */
static inline void story_connect(uint64_t conn, uint32_t pid)
{
    story_client(HIST_CLIENT_CONNECT, conn, 0, 1, 0, 0, 0, 0);
    story_client(HIST_CLIENT_CONNECTED, conn, 0, 1, story_ns(0.1), 0, 0, 0);
    if (story.traced)
        story_take((struct hist_record){
            .kind = HIST_ENGINE_ACCEPT, .pid = pid, .slot = story.workers[pid].slot, .conn = conn});
}

/* Sends a request, whole. flags: HIST_F_REUSED and the like. */
static inline void story_ask(uint64_t conn, uint64_t req, uint16_t flags)
{
    story_client(HIST_CLIENT_REQUEST, conn, req, 1, story.now_ns, 0, 0, flags);
    story_client(HIST_CLIENT_SENT, conn, req, 1, 0, 0, 0, flags);
}

/* It ends; pid 0: no answer came that could have named who served it. */
static inline void story_end(uint64_t conn, uint64_t req, uint32_t pid, enum hist_outcome outcome,
                             double latency_ms, uint16_t flags)
{
    bool ok = outcome == HIST_OK;
    if (ok)
        story_client(HIST_CLIENT_FIRST_BYTE, conn, req, pid, story_ns(latency_ms), 200, 0, flags);
    story_client(HIST_CLIENT_END, conn, req, pid, outcome, ok ? 200 : 0, story_ns(latency_ms),
                 flags);
}

static inline void story_close(uint64_t conn, enum hist_close how)
{
    story_client(HIST_CLIENT_CLOSE, conn, 0, 1, how, 0, 1, 0);
}

/* A whole exchange of its own connection, begun now, over after latency_ms. Worker `pid` has it;
 * the client learns that only from an answer. */
static inline void story_exchange(uint64_t req, uint32_t pid, enum hist_outcome outcome,
                                  double latency_ms)
{
    story_connect(req + 1000000, pid);
    story_ask(req + 1000000, req, 0);
    story_later(latency_ms);
    story_end(req + 1000000, req, outcome == HIST_OK ? pid : 0, outcome, latency_ms, 0);
    story_close(req + 1000000, HIST_CLOSE_CLIENT);
}

/* ---- beginning and judging ------------------------------------------------------------------- */

static inline int story_free(void **state)
{
    (void)state;
    judge_free(story.judge);
    story.judge = NULL;
    return 0;
}

/* Master 100 and workers 101, 102, ... in slots 0, 1, ... of generation 1, and all are ready. */
static inline void story_begin(uint32_t workers, enum story_server server)
{
    story.judge = judge_new();
    story.finished = false;
    story.traced = server == STORY_TRACED;
    story_at(-500);
    story_put(HIST_DIRECTOR_BEGIN, 1, 0, 0, 0);
    story_param(HIST_P_WORKERS, workers);
    story_param(HIST_P_ENGINE_TRACE, story.traced);
    story_put(HIST_WATCH_ROOT, STORY_MASTER, 1, story_ns(10), 0);
    if (story.traced)
        story_put_in_slot(HIST_ENGINE_MASTER, STORY_MASTER, -1, 1, 1, 0, 0);
    for (uint32_t i = 0; i < workers; i++) {
        story_born(STORY_MASTER + 1 + i, (int16_t)i, 1);
        story_accepts(STORY_MASTER + 1 + i);
    }
    story_at(0);
    story_put_in_slot(HIST_DIRECTOR_READY, STORY_MASTER, -1, 1, 0, 0, 0);
    story_phase(HIST_PHASE_BASELINE);
}

static inline const struct judge_result *story_result(enum guarantee g)
{
    if (!story.finished)
        judge_finish(story.judge);
    story.finished = true;
    return judge_result(story.judge, g);
}

static inline void story_print(enum guarantee g, const struct judge_result *result)
{
    char line[512];
    print_message("%s: %s: %s\n", guarantee_name(g), verdict_name(result->verdict), result->text);
    for (size_t i = 0; i < result->violation_count; i++) {
        const struct judge_violation *v = &result->violations[i];
        print_message("  %s\n", v->text);
        hist_print(line, sizeof line, &v->culprit, story_ns(10000));
        print_message("    culprit %s\n", line);
        hist_print(line, sizeof line, &v->cause, story_ns(10000));
        print_message("    cause   %s\n", v->cause.kind == HIST_NONE ? "none" : line);
    }
}

/* Ends the story. */
static inline void story_expect(enum guarantee g, enum verdict verdict)
{
    const struct judge_result *result = story_result(g);
    if (result->verdict == verdict)
        return;
    story_print(g, result);
    fail_msg("%s: expected %s", guarantee_name(g), verdict_name(verdict));
}

/* The first violation shows a record of this kind and pid, caused by one of that kind (HIST_NONE:
 * by nothing the checker knows). */
static inline void story_blames(enum guarantee g, enum hist_kind culprit, uint32_t pid,
                                enum hist_kind cause)
{
    const struct judge_result *result = story_result(g);
    const struct judge_violation *v = &result->violations[0];
    if (result->violation_count != 0 && v->culprit.kind == culprit && v->culprit.pid == pid &&
        v->cause.kind == cause)
        return;
    story_print(g, result);
    fail_msg("%s: expected %s of %u to be blamed, because of %s", guarantee_name(g),
             hist_kind_name(culprit), pid, cause ? hist_kind_name(cause) : "nothing");
}

#endif
