/* When draining was asked for (starts.h). */
#include "scenarios/judge/starts.h"

#include "scenarios/judge/later.h"

enum {
    EDGE_NS = 100000000, /* closer than this to the bound it may have been the bound */
    MARGIN_NS = 1000000000,
    IDLE_NS = 1000000000,
    SPARED_NS = 500000000, /* who was here more recently is not turned away for want of room */
    IDLE_PERCENT = 45      /* half, less what two clocks may differ by */
};

bool starts_take(struct starts *s, const struct hist_record *r)
{
    if (r->kind != HIST_DIRECTOR_RELOAD && r->kind != HIST_DIRECTOR_STOP)
        return false;
    if (r->a == 1) /* one that is to be refused asks nobody to drain */
        s->records[s->count++ % STARTS_MAX] = *r;
    return true;
}

const struct hist_record *starts_within(const struct starts *s, uint64_t from_ns, uint64_t to_ns)
{
    const struct hist_record *first = NULL;
    for (size_t i = 0; i < STARTS_MAX && i < s->count; i++) {
        const struct hist_record *start = &s->records[(s->count - 1 - i) % STARTS_MAX];
        if (start->t_ns <= from_ns)
            break;
        if (start->t_ns < to_ns)
            first = start;
    }
    return first;
}

const struct hist_record *starts_of_connection(const struct starts *s, const struct world *w,
                                               const struct hist_record *r)
{
    const struct world_connection *connection = world_connection(w, r->conn);
    const struct hist_record *first = NULL;
    if (connection == NULL || connection->connect_ns == 0)
        return NULL;
    if (connection->newest_gen == 0)
        return starts_within(s, connection->connect_ns, r->t_ns);
    for (size_t i = 0; i < STARTS_MAX && i < s->count; i++) {
        const struct hist_record *start = &s->records[(s->count - 1 - i) % STARTS_MAX];
        if (start->kind == HIST_DIRECTOR_RELOAD && start->gen <= connection->newest_gen)
            break;
        if (start->t_ns < r->t_ns)
            first = start;
    }
    return first;
}

/* The story's bound leaves the server some time to end what it cuts; where only that bound is
 * stated, a second of it (but no more than three quarters) is taken for that time. */
static uint64_t own_bound_ns(const struct world *w)
{
    uint64_t bound_ns = w->param[HIST_P_DRAIN_BOUND];
    uint64_t margin_ns = bound_ns / 4 * 3 < MARGIN_NS ? bound_ns / 4 * 3 : MARGIN_NS;
    return world_param(w, HIST_P_DRAIN_TIMEOUT, bound_ns - margin_ns);
}

/* When process `pid` began to drain, as far as the server tells; else when that was asked for. One
 * that was stopped or stalled heard late that it is to go, and its time ran all the same. */
static uint64_t drain_begin_ns(const struct world *w, uint32_t pid, uint64_t start_ns)
{
    const struct world_process *p = world_process(w, pid);
    if (p != NULL && p->told_ns != 0) /* perhaps before this start, and long before it was heard */
        return p->told_ns;
    bool told = p != NULL && p->drain_ns > start_ns;
    return told && world_cause(w, pid, 0, p->drain_ns, WORLD_SLOWS) == NULL ? p->drain_ns
                                                                            : start_ns;
}

static bool drain_is_bounded(const struct world *w)
{
    return w->param_known[HIST_P_DRAIN_BOUND] || w->param_known[HIST_P_DRAIN_TIMEOUT];
}

bool drain_bound_passed(const struct world *w, uint32_t pid, uint64_t start_ns, uint64_t t_ns)
{
    return drain_is_bounded(w) &&
           t_ns + EDGE_NS >= drain_begin_ns(w, pid, start_ns) + own_bound_ns(w);
}

bool drain_was_cut(const struct world *w, uint32_t pid, uint64_t t_ns)
{
    const struct world_process *p = world_process(w, pid);
    return p != NULL && p->drain_ns != 0 && drain_bound_passed(w, pid, 0, t_ns);
}

bool drain_idle_passed(const struct world *w, uint32_t pid, uint64_t start_ns, uint64_t t_ns)
{
    uint64_t grace_ns = own_bound_ns(w) / 100 * IDLE_PERCENT;
    if (grace_ns > IDLE_NS)
        grace_ns = IDLE_NS;
    return drain_is_bounded(w) && t_ns >= drain_begin_ns(w, pid, start_ns) + grace_ns;
}

bool idle_close_was_due(const struct world *w, const struct hist_record *end)
{
    const struct world_connection *connection = world_connection(w, end->conn);
    const struct world_request *request = world_request(w, end->req);
    const struct world_process *p = world_process(w, server_of(w, end));
    uint64_t timeout_ns = world_param(w, HIST_P_KEEPALIVE_TIMEOUT, 0);
    if (connection == NULL || request == NULL || connection->last_answer_ns == 0)
        return false;
    uint64_t idle_ns = earlier(request->begun.t_ns, connection->last_answer_ns);
    const struct hist_record *close = &connection->closed_by_server;
    if (timeout_ns != 0 && idle_ns + timeout_ns / 20 + EDGE_NS >= timeout_ns)
        return true;
    if (close->kind == HIST_NONE)
        return false;
    if (close->a == HIST_WHY_SHED)
        return idle_ns >= SPARED_NS;
    return close->a == HIST_WHY_DRAIN && p != NULL && p->drain_ns != 0 &&
           drain_idle_passed(w, p->pid, p->drain_ns, close->t_ns);
}

bool cut_at_drain_bound(const struct world *w, const struct hist_record *end)
{
    uint32_t pid = server_of(w, end);
    const struct world_process *p = world_process(w, pid);
    return p != NULL && p->drain_ns != 0 && drain_bound_passed(w, pid, p->drain_ns, end->t_ns);
}

bool end_has_reason(const struct world *w, const struct hist_record *end)
{
    return world_idle_race(w, end) || cut_at_drain_bound(w, end) ||
           outside_cause(w, server_of(w, end), begun_of(w, end), end) != NULL;
}
