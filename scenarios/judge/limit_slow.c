/* limit/slow-accept: one slow or stopped worker does not delay connections that others could take
 * beyond the bound. */
#include "scenarios/judge/causes.h"

#include <signal.h>

#define MS(ns) ((double)(ns) / 1e6)

enum { STOPS_KEPT = 64 };

struct slow_accept {
    struct {
        uint32_t pid;
        uint64_t t_ns;
    } stops[STOPS_KEPT]; /* workers that were stopped, a ring */
    unsigned next;
    uint64_t judged, worst_ns;
};

static void slow_accept_stopped(struct slow_accept *s, const struct hist_record *r)
{
    bool stops = r->kind == HIST_WATCH_STATE ? r->a == 'T' : r->a == SIGSTOP;
    if (!stops)
        return;
    unsigned at = s->next++ % STOPS_KEPT;
    s->stops[at].pid = r->pid;
    s->stops[at].t_ns = r->t_ns;
}

/* Taken by a worker before that worker was stopped: nobody else can serve it. A server without a
 * trace does not tell when it took a connection: the client's word must do, and if no answer came
 * it may have been any worker. */
static bool belongs_to_the_stopped(const struct slow_accept *s, const struct world *w,
                                   const struct hist_record *r)
{
    const struct world_connection *conn = world_connection(w, r->conn);
    uint64_t taken_ns = conn == NULL        ? 0
                        : conn->accepted_ns ? conn->accepted_ns
                                            : conn->connected_ns;
    for (unsigned i = 0; taken_ns && i < STOPS_KEPT && i < s->next; i++)
        if (s->stops[i].t_ns >= taken_ns &&
            (conn->server_pid == 0 || conn->server_pid == s->stops[i].pid))
            return true;
    return false;
}

/* Clients that are slow themselves say nothing about the server. */
static bool is_quick(const struct world *w, int16_t index)
{
    if (index < 0 || index >= WORLD_POPULATIONS_MAX || !w->populations[index].known)
        return true;
    switch (w->populations[index].kind) {
    case HIST_UPLOAD:
    case HIST_SLOW:
    case HIST_HELD:
    case HIST_ABUSIVE:
        return false;
    default:
        return true;
    }
}

/* A request on a new connection while a worker is slow. */
static bool slow_accept_concerns(const struct slow_accept *s, const struct world *w,
                                 const struct hist_record *r)
{
    bool acting = w->phase_ns != 0 && w->phase == HIST_PHASE_ACT && world_serving(w);
    uint64_t took_ns = r->kind == HIST_CLIENT_FIRST_BYTE ? r->a : r->c;
    bool reused = (r->flags & HIST_BIT(HIST_F_REUSED)) != 0;
    return acting && !reused && !world_mismeasured(w, r, took_ns) && is_quick(w, r->slot) &&
           !belongs_to_the_stopped(s, w, r);
}

/* Broken by what the story did, not by waiting. */
static bool was_broken(const struct world *w, const struct hist_record *end)
{
    const struct world_request *q = world_request(w, end->req);
    const struct world_connection *conn = world_connection(w, end->conn);
    uint64_t from_ns = q ? q->begun.t_ns : end->t_ns;
    return world_cause(w, conn ? conn->server_pid : 0, from_ns, end->t_ns, WORLD_BREAKS) != NULL;
}

static void slow_accept_judge(struct judge_context *c, const struct hist_record *r)
{
    struct slow_accept *s = c->state;
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_SLOW_ACCEPT_BOUND, 0);
    bool lost = r->kind == HIST_CLIENT_END;
    if (lost && (!end_is_failure(w, r) || was_broken(w, r)))
        return;
    uint64_t took_ns = lost ? r->c : r->a;
    judge_seen(c, 1);
    s->judged++;
    if (took_ns > s->worst_ns)
        s->worst_ns = took_ns;
    if (lost || took_ns > bound_ns)
        judge_violate(c, r, world_cause(w, 0, w->phase_ns, r->t_ns, WORLD_SLOWS),
                      "a new connection %s %.0f ms while one worker was slow, %.0f ms are allowed",
                      lost ? "failed after" : "waited", MS(took_ns), MS(bound_ns));
}

static void slow_accept_observe(struct judge_context *c, const struct hist_record *r)
{
    struct slow_accept *s = c->state;
    if (!world_param(c->world, HIST_P_SLOW_ACCEPT_BOUND, 0))
        return;
    if (r->kind != HIST_CLIENT_FIRST_BYTE && r->kind != HIST_CLIENT_END)
        slow_accept_stopped(s, r);
    else if (slow_accept_concerns(s, c->world, r))
        slow_accept_judge(c, r);
}

static void slow_accept_finish(struct judge_context *c)
{
    struct slow_accept *s = c->state;
    if (!world_param(c->world, HIST_P_SLOW_ACCEPT_BOUND, 0))
        judge_unknown(c, "the story makes no worker slow");
    else if (!s->judged)
        judge_unknown(c, "no new connection while a worker was slow");
    else
        judge_strength(c, "%llu new connections beside a slow worker, %.1f ms at worst",
                       (unsigned long long)s->judged, MS(s->worst_ns));
}

static const unsigned slow_accept_kinds[] = {HIST_CLIENT_FIRST_BYTE, HIST_CLIENT_END,
                                             HIST_DIRECTOR_SIGNAL,   HIST_STORM_SIGNAL,
                                             HIST_WATCH_STATE,       HIST_NONE};
const struct checker judge_limit_slow_accept = {.kinds = slow_accept_kinds,
                                                .state_size = sizeof(struct slow_accept),
                                                .observe = slow_accept_observe,
                                                .finish = slow_accept_finish};
