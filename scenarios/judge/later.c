/* Suspicions that wait, and what excuses them (later.h). */
#include "scenarios/judge/later.h"

enum { BEFORE_NS = 1000000000 }; /* how long before a request its trouble may have begun */

void later_put(struct later *later, const struct suspicion *s)
{
    if (later->count == LATER_MAX)
        return; /* later_take was not asked first; the others stand for it */
    later->items[(later->first + later->count++) % LATER_MAX] = *s;
}

bool later_take(struct later *later, uint64_t now_ns, struct suspicion *out)
{
    if (later->count == 0)
        return false;
    const struct suspicion *oldest = &later->items[later->first];
    if (later->count < LATER_MAX && now_ns < oldest->record.t_ns + LATER_NS)
        return false;
    *out = *oldest;
    later->first = (later->first + 1) % LATER_MAX;
    later->count--;
    return true;
}

const struct hist_record *suspicion_excuse(const struct world *w, const struct suspicion *s,
                                           unsigned which)
{
    return world_cause(w, s->pid, s->from_ns, s->record.t_ns + LATER_NS, which);
}

const struct hist_record *outside_cause(const struct world *w, uint32_t pid, uint64_t begun_ns,
                                        const struct hist_record *end)
{
    uint64_t from_ns = earlier(begun_ns, BEFORE_NS);
    unsigned which = WORLD_BREAKS | (end->a == HIST_TIMEOUT ? WORLD_SLOWS : 0);
    const struct hist_record *cause = world_cause(w, pid, from_ns, end->t_ns, which);
    if (cause != NULL || pid == 0)
        return cause;
    /* A worker that was stopped or stalled is aborted by its watchdog, or killed at a bound: the
     * end is its master's doing, the cause is not. */
    if (world_cause(w, pid, from_ns, end->t_ns, WORLD_EXITS) == NULL)
        return NULL;
    return world_cause(w, pid, 0, end->t_ns, WORLD_SLOWS | WORLD_BREAKS);
}

uint32_t server_of(const struct world *w, const struct hist_record *r)
{
    if (r->kind == HIST_CLIENT_END && r->pid != 0)
        return r->pid;
    const struct world_request *q = world_request(w, r->req);
    const struct world_connection *c = world_connection(w, r->conn);
    if (q != NULL && q->executed.kind != HIST_NONE)
        return q->executed.pid;
    return c != NULL ? c->server_pid : 0;
}

bool heard_late(const struct world *w, uint32_t pid, uint64_t t_ns)
{
    const struct world_process *p = world_process(w, pid);
    return p != NULL && p->told_ns != 0 && world_cause(w, pid, 0, t_ns, WORLD_SLOWS) != NULL;
}

uint64_t begun_of(const struct world *w, const struct hist_record *end)
{
    const struct world_request *q = world_request(w, end->req);
    return q != NULL ? q->begun.t_ns : end->t_ns;
}

bool stopped_hard(const struct world *w)
{
    return w->master_killed || (w->stop_ns != 0 && !w->stop_graceful);
}

bool traced(const struct world *w)
{
    return world_param(w, HIST_P_ENGINE_TRACE, 0) != 0;
}
