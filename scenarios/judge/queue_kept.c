/* respawn/queue-kept, reload/queue-kept: who waits in an accept queue is accepted by somebody, also
 * when the worker it waited for is gone or the listeners change. */
#include <signal.h>
#include <string.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/world.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum {
    MOMENTS_MAX = 256,
    AFTER_NS = 1000000000, /* who connects within this of it may have come to the same queue */
    BLUR_NS = 5000000,     /* a worker may die after an accept that it had not told of yet */
};

/* Something happened to those who accept: a worker's end or stop, a reload. */
struct moment {
    struct hist_record record;
    uint64_t until_ns; /* it may still take effect */
    bool untold;       /* it ended with a connection that it had not told of: excused once */
};

struct queues {
    struct moment moments[MOMENTS_MAX]; /* a ring */
    size_t count;
    uint64_t kept, longest_ns, excused;
};

static void moment_add(struct queues *q, const struct hist_record *r, uint64_t until_ns)
{
    struct moment *m = &q->moments[q->count++ % MOMENTS_MAX];
    *m = (struct moment){.record = *r, .until_ns = until_ns};
}

/* The latest that touches [from_ns, to_ns]. */
static struct moment *moment_within(struct queues *q, uint64_t from_ns, uint64_t to_ns)
{
    for (size_t i = 0; i < MOMENTS_MAX && i < q->count; i++) {
        struct moment *m = &q->moments[(q->count - 1 - i) % MOMENTS_MAX];
        if (m->record.t_ns <= to_ns && m->until_ns >= from_ns)
            return m;
    }
    return NULL;
}

/* A server without a trace shows that it accepted by answering. */
static bool still_waits(const struct world *w, const struct world_connection *connection)
{
    return traced(w) ? connection->accepted_ns == 0 : connection->last_answer_ns == 0;
}

static void queue_accepted(struct judge_context *c, const struct hist_record *r,
                           const struct world_connection *connection)
{
    struct queues *q = c->state;
    uint64_t from_ns = connection->connected_ns;
    struct moment *m = moment_within(q, from_ns, r->t_ns);
    if (m == NULL || from_ns > m->record.t_ns + AFTER_NS || r->t_ns < m->record.t_ns)
        return;
    judge_seen(c, 1);
    q->kept++;
    if (r->t_ns - from_ns > q->longest_ns)
        q->longest_ns = r->t_ns - from_ns;
}

/* The worker may have accepted it, and died before it told. */
static bool was_untold(struct queues *q, struct moment *m, const struct hist_record *r)
{
    bool death = m->record.kind == HIST_WATCH_EXIT || m->record.kind == HIST_ENGINE_WORKER_EXIT;
    bool near = r->t_ns < m->record.t_ns + BLUR_NS && m->record.t_ns < r->t_ns + BLUR_NS;
    if (!death || !near || m->untold)
        return false;
    q->excused++;
    return m->untold = true;
}

static void queue_lost(struct judge_context *c, const struct hist_record *r,
                       const struct world_connection *connection)
{
    struct queues *q = c->state;
    struct moment *m = moment_within(q, connection->connected_ns, r->t_ns);
    if (m == NULL || was_untold(q, m, r))
        return;
    judge_violate(c, r, &m->record,
                  "a connection that waited to be accepted ended as %s, %.1f ms after it was "
                  "established",
                  hist_outcome_name((unsigned)r->a), MS(r->t_ns - connection->connected_ns));
}

/* True: the record is about a connection. */
static bool queue_connection(struct judge_context *c, const struct hist_record *r)
{
    const struct world *w = c->world;
    bool accepts = r->kind == (traced(w) ? HIST_ENGINE_ACCEPT : HIST_CLIENT_FIRST_BYTE);
    if (r->kind != HIST_ENGINE_ACCEPT && r->kind != HIST_CLIENT_FIRST_BYTE &&
        r->kind != HIST_CLIENT_END)
        return false;
    if (!accepts && !end_is_failure(w, r))
        return true;
    const struct world_connection *connection = world_connection(w, r->conn);
    if (connection == NULL || connection->connected_ns == 0 || !world_serving(w))
        return true;
    if (accepts && connection->requests <= 1)
        queue_accepted(c, r, connection);
    else if (!accepts && still_waits(w, connection))
        queue_lost(c, r, connection);
    return true;
}

/* ---- respawn/queue-kept -----------------------------------------------------------------------
 */

static bool is_worker(const struct world *w, uint32_t pid)
{
    const struct world_process *p = world_process(w, pid);
    return p != NULL && p->is_worker && !p->is_master;
}

static void respawn_queue_observe(struct judge_context *c, const struct hist_record *r)
{
    const struct world *w = c->world;
    if (!traced(w) || queue_connection(c, r)) /* who had accepted what a dead worker lost? */
        return;
    bool stop = r->kind == HIST_DIRECTOR_SIGNAL && r->a == SIGSTOP;
    if ((stop || exit_is_news(w, r)) && is_worker(w, r->pid) && world_has_master(w))
        moment_add(c->state, r, r->t_ns + AFTER_NS);
}

static void queue_finish(struct judge_context *c, const char *nothing, const char *what)
{
    struct queues *q = c->state;
    if (q->count == 0)
        judge_unknown(c, "%s", nothing);
    else if (c->result->checked == 0)
        judge_unknown(c, "no connection waited to be accepted then");
    judge_strength(c, "%llu %s, %llu waiting connections accepted, after %.1f ms at most",
                   (ull)q->count, what, (ull)q->kept, MS(q->longest_ns));
}

static void respawn_queue_finish(struct judge_context *c)
{
    queue_finish(c, "no worker ended or was stopped", "workers gone");
    if (!traced(c->world))
        judge_unknown(c, "only the server's own trace tells what a dead worker had accepted");
}

static const unsigned respawn_queue_kinds[] = {
    HIST_ENGINE_ACCEPT,      HIST_CLIENT_FIRST_BYTE, HIST_CLIENT_END, HIST_WATCH_EXIT,
    HIST_ENGINE_WORKER_EXIT, HIST_DIRECTOR_SIGNAL,   HIST_NONE};
const struct checker judge_respawn_queue_kept = {.kinds = respawn_queue_kinds,
                                                 .state_size = sizeof(struct queues),
                                                 .observe = respawn_queue_observe,
                                                 .finish = respawn_queue_finish};

/* ---- reload/queue-kept ------------------------------------------------------------------------
 */

/* Old workers, and with them what only they had, may last as long as a drain. */
static void reload_queue_observe(struct judge_context *c, const struct hist_record *r)
{
    struct queues *q = c->state;
    uint64_t tail_ns = world_param(c->world, HIST_P_DRAIN_BOUND, 0) + AFTER_NS;
    if (queue_connection(c, r))
        return;
    if (r->kind == HIST_DIRECTOR_RELOAD)
        moment_add(q, r, r->a == 1 ? UINT64_MAX : r->t_ns + AFTER_NS);
    else if (q->count > 0 && q->moments[(q->count - 1) % MOMENTS_MAX].until_ns == UINT64_MAX)
        q->moments[(q->count - 1) % MOMENTS_MAX].until_ns = r->t_ns + tail_ns;
}

static void reload_queue_finish(struct judge_context *c)
{
    queue_finish(c, "nothing was reloaded", "reloads");
}

static const unsigned reload_queue_kinds[] = {HIST_ENGINE_ACCEPT,     HIST_CLIENT_FIRST_BYTE,
                                              HIST_CLIENT_END,        HIST_DIRECTOR_RELOAD,
                                              HIST_DIRECTOR_RELOADED, HIST_NONE};
const struct checker judge_reload_queue_kept = {.kinds = reload_queue_kinds,
                                                .state_size = sizeof(struct queues),
                                                .observe = reload_queue_observe,
                                                .finish = reload_queue_finish};
