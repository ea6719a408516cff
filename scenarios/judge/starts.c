/* When draining was asked for (starts.h). */
#include "scenarios/judge/starts.h"

enum {
    EDGE_NS = 100000000, /* closer than this to the bound it may have been the bound */
    MARGIN_NS = 1000000000
};

bool starts_take(struct starts *s, const struct hist_record *r)
{
    if (r->kind == HIST_DIRECTOR_RELOAD || (r->kind == HIST_DIRECTOR_STOP && r->a == 1))
        s->records[s->count++ % STARTS_MAX] = *r;
    return r->kind == HIST_DIRECTOR_RELOAD || r->kind == HIST_DIRECTOR_STOP;
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

/* The story's bound leaves the server some time to end what it cuts; where only that bound is
 * stated, a second of it (but no more than half) is taken for that time. */
static uint64_t own_bound_ns(const struct world *w)
{
    uint64_t bound_ns = w->param[HIST_P_DRAIN_BOUND];
    uint64_t margin_ns = bound_ns / 2 < MARGIN_NS ? bound_ns / 2 : MARGIN_NS;
    return world_param(w, HIST_P_DRAIN_TIMEOUT, bound_ns - margin_ns);
}

bool drain_bound_passed(const struct world *w, uint32_t pid, uint64_t start_ns, uint64_t t_ns)
{
    const struct world_process *p = world_process(w, pid);
    if (!w->param_known[HIST_P_DRAIN_BOUND] && !w->param_known[HIST_P_DRAIN_TIMEOUT])
        return false;
    uint64_t from_ns = p != NULL && p->drain_ns > start_ns ? p->drain_ns : start_ns;
    return t_ns + EDGE_NS >= from_ns + own_bound_ns(w);
}
