/* serve/accounted: every request ends once, in a known way, and a server-side event explains each
 * failure.
 *
 * An explanation may be told before the client's end (the engine closed the connection) or a little
 * after it (the process is reaped), so failures without one wait. Their number is bounded: the
 * oldest is decided when there is no room. */
#include <errno.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/starts.h"

typedef unsigned long long ull;

enum { NEAR_NS = 1000000000 }; /* a state of the server this close explains a failed connect */

struct failure {
    struct hist_record end;
    uint64_t begun_ns;
    uint32_t pid; /* that served it; 0 unknown */
    bool explained;
};

struct accounted {
    struct failure failures[LATER_MAX]; /* a ring */
    size_t first, count;
    uint64_t begun, ended, failed, unexplained, never_sent;
    struct hist_record first_unexplained;
    /* When the server was last seen in a state that turns clients away. */
    uint64_t queue_full_ns, listener_gone_ns, paused_ns, no_worker_ns;
    uint64_t pauses; /* workers that do not accept now */
    struct hist_record done;
};

/* ---- explanations ---------------------------------------------------------------------------- */

/* The server's record of a close explains the client's end, unless it says that the client began.
 */
static bool close_explains(const struct hist_record *closed, const struct hist_record *end)
{
    return closed->kind == HIST_ENGINE_CLOSE &&
           (closed->a != HIST_WHY_PEER || end->a == HIST_TIMEOUT);
}

static bool is_near(uint64_t event_ns, uint64_t begun_ns)
{
    return event_ns != 0 && event_ns + NEAR_NS >= begun_ns;
}

/* For requests that no process took: the queue, the listeners, the workers' readiness. */
static bool turned_away(const struct accounted *a, const struct world *w, const struct failure *f)
{
    if (f->pid != 0)
        return false;
    bool no_worker = w->watched && w->live_workers == 0;
    return no_worker || a->pauses > 0 || is_near(a->queue_full_ns, f->begun_ns) ||
           is_near(a->listener_gone_ns, f->begun_ns) || is_near(a->paused_ns, f->begun_ns) ||
           is_near(a->no_worker_ns, f->begun_ns);
}

/* Without a trace an answer speaks for itself: the server chose the status or the body. */
static bool answer_explains(const struct world *w, const struct failure *f)
{
    bool answered = f->end.a == HIST_SERVER_ERROR || f->end.a == HIST_WRONG_BODY;
    return answered && !traced(w);
}

static bool is_explained(const struct accounted *a, const struct world *w, const struct failure *f)
{
    const struct world_connection *connection = world_connection(w, f->end.conn);
    const struct world_request *q = world_request(w, f->end.req);
    if (w->ready_ns == 0 || w->stop_ns != 0 || w->master_killed)
        return true;
    if (connection != NULL && close_explains(&connection->closed_by_server, &f->end))
        return true;
    if ((q != NULL && q->responded.kind != HIST_NONE) || drain_was_cut(w, f->pid, f->end.t_ns))
        return true;
    return answer_explains(w, f) || turned_away(a, w, f) ||
           world_cause(w, f->pid, earlier(f->begun_ns, NEAR_NS), f->end.t_ns,
                       WORLD_BREAKS | WORLD_SLOWS | WORLD_EXITS) != NULL;
}

/* Does a record that came after the failure explain it? */
static bool explains(const struct hist_record *r, const struct failure *f)
{
    switch (r->kind) {
    case HIST_ENGINE_CLOSE:
        return r->conn == f->end.conn && close_explains(r, &f->end);
    case HIST_ENGINE_RESPONSE:
        return r->req == f->end.req;
    case HIST_WATCH_EXIT:
    case HIST_ENGINE_WORKER_EXIT:
    case HIST_ENGINE_WATCHDOG:
        return f->pid == 0 || r->pid == f->pid;
    case HIST_FAULT_FIRED:
        return (f->pid == 0 || r->pid == f->pid) && r->b >> 32 != HIST_FAULT_SABOTAGE;
    case HIST_ENGINE_UNLISTEN:
        return f->pid == 0;
    default:
        return false;
    }
}

/* ---- the failures that wait ------------------------------------------------------------------ */

static struct failure *failure_at(struct accounted *a, size_t i)
{
    return &a->failures[(a->first + i) % LATER_MAX];
}

static void decide_oldest(struct judge_context *c)
{
    struct accounted *a = c->state;
    const struct failure *f = failure_at(a, 0);
    if (!f->explained && traced(c->world)) {
        judge_violate(c, &f->end, NULL,
                      "request %llu ended as %s and no event of the server explains it",
                      (ull)f->end.req, hist_outcome_name((unsigned)f->end.a));
    } else if (!f->explained) {
        if (a->unexplained++ == 0)
            a->first_unexplained = f->end;
    }
    a->first = (a->first + 1) % LATER_MAX;
    a->count--;
}

static void decide_due(struct judge_context *c)
{
    struct accounted *a = c->state;
    while (a->count > 0 && (failure_at(a, 0)->explained ||
                            failure_at(a, 0)->end.t_ns + LATER_NS < c->world->now_ns))
        decide_oldest(c);
}

static void take_failure(struct judge_context *c, const struct hist_record *r)
{
    struct accounted *a = c->state;
    struct failure f = {.end = *r, .begun_ns = begun_of(c->world, r)};
    f.pid = server_of(c->world, r);
    a->failed++;
    if (r->a == HIST_TIMEOUT && r->conn == 0) {
        a->never_sent++; /* its pool had no connection free: the requests on them are accounted */
        return;
    }
    if (is_explained(a, c->world, &f))
        return;
    if (a->count == LATER_MAX)
        decide_oldest(c);
    *failure_at(a, a->count++) = f;
}

/* ---- the checker ----------------------------------------------------------------------------- */

static void take_end(struct judge_context *c, const struct hist_record *r)
{
    struct accounted *a = c->state;
    a->ended++;
    judge_seen(c, 1);
    if (world_request(c->world, r->req) == NULL)
        judge_violate(c, r, NULL, "request %llu ended twice, or was never begun", (ull)r->req);
    else if (r->a >= HIST_OUTCOME_COUNT)
        judge_violate(c, r, NULL, "request %llu ended in an unknown way", (ull)r->req);
    else if (end_lacks_answer(c->world, r)) /* whose application fails is told so */
        take_failure(c, r);
}

static void take_state(struct accounted *a, const struct world *w, const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_WATCH_QUEUE:
        if (r->c != 0 && r->b >= r->c)
            a->queue_full_ns = r->t_ns;
        break;
    case HIST_WATCH_LISTEN:
        if (r->b == 0)
            a->listener_gone_ns = r->t_ns;
        break;
    case HIST_ENGINE_UNLISTEN:
        a->listener_gone_ns = r->t_ns;
        break;
    case HIST_ENGINE_ACCEPT_PAUSE:
        if (r->b == HIST_PAUSE_DRAIN)
            break; /* it never resumes, and others accept */
        a->pauses += r->a == 1 ? 1 : a->pauses > 0 ? (uint64_t)-1 : 0;
        a->paused_ns = r->t_ns;
        break;
    case HIST_WATCH_EXIT:
    case HIST_ENGINE_WORKER_EXIT:
        a->pauses = 0; /* it may have been the one; the next pause is told */
        if (w->live_workers == 0)
            a->no_worker_ns = r->t_ns;
        break;
    default:
        break;
    }
}

static void accounted_observe(struct judge_context *c, const struct hist_record *r)
{
    struct accounted *a = c->state;
    if (a->count > 0) {
        decide_due(c);
        for (size_t i = 0; i < a->count; i++)
            if (explains(r, failure_at(a, i)))
                failure_at(a, i)->explained = true;
    }
    if (r->kind == HIST_CLIENT_REQUEST)
        a->begun++;
    else if (r->kind == HIST_CLIENT_END)
        take_end(c, r);
    else if (r->kind == HIST_CLIENT_DONE)
        a->done = *r;
    else
        take_state(a, c->world, r);
}

static void accounted_finish(struct judge_context *c)
{
    struct accounted *a = c->state;
    while (a->count > 0)
        decide_oldest(c);
    bool complete = a->done.kind != HIST_NONE && a->done.c == 0;
    if (complete && a->begun > a->ended)
        judge_violate(c, &a->done, NULL, "%llu requests were begun and never ended",
                      (ull)(a->begun - a->ended));
    if (a->ended == 0)
        judge_unknown(c, "no request was made");
    else if (a->unexplained > 0)
        judge_unknown(c,
                      "%llu of %llu failures have no server-side event to join them to: the "
                      "server writes no trace (the first: request %llu, %s)",
                      (ull)a->unexplained, (ull)a->failed, (ull)a->first_unexplained.req,
                      hist_outcome_name((unsigned)a->first_unexplained.a));
    else if (a->done.kind != HIST_NONE && !complete)
        judge_unknown(c, "the prober lost %llu records", (ull)a->done.c);
    judge_strength(c, "%llu requests, %llu failed, each with its reason", (ull)a->ended,
                   (ull)a->failed);
}

static const unsigned accounted_kinds[] = {
    HIST_CLIENT_REQUEST,      HIST_CLIENT_END,  HIST_CLIENT_DONE,        HIST_ENGINE_CLOSE,
    HIST_ENGINE_RESPONSE,     HIST_WATCH_EXIT,  HIST_ENGINE_WORKER_EXIT, HIST_ENGINE_WATCHDOG,
    HIST_FAULT_FIRED,         HIST_WATCH_QUEUE, HIST_WATCH_LISTEN,       HIST_ENGINE_UNLISTEN,
    HIST_ENGINE_ACCEPT_PAUSE, HIST_NONE};
const struct checker judge_serve_accounted = {.kinds = accounted_kinds,
                                              .state_size = sizeof(struct accounted),
                                              .observe = accounted_observe,
                                              .finish = accounted_finish};
