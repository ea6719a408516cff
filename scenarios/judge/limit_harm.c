/* limit: who is harmed when a budget, a disk, memory or a queue runs out, or clients mean harm. See
 * guarantees.def for the sentences. */
#include <errno.h>
#include <string.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/starts.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum {
    BUDGETS_MAX = 512,
    LOST_MAX = 32,
    MASTER_SAMPLES_NS = 300000000, /* a master that starts or reloads is not at rest */
    SETTLED_NS = 350000000,        /* ready for so long, a worker has been seen as it is */
    LATER_DEATH_NS = 1000000000,
    FRESH_NS = 200000000, /* a queue was seen full so lately */
};

/* ---- limit/fd-budget --------------------------------------------------------------------------
 */

struct budget {
    struct {
        uint32_t pid;
        struct hist_record trait;
    } workers[BUDGETS_MAX];
    size_t count;
    uint64_t calm_ns;               /* since when the master has been at rest */
    struct hist_record first, last; /* its samples at rest */
    uint64_t judged;
};

static void budget_trait(struct budget *b, const struct world *w, const struct hist_record *r)
{
    const struct world_process *p = world_process(w, r->pid);
    if (r->a != HIST_TRAIT_OPEN_FILES || p == NULL || !p->is_worker || p->is_master)
        return;
    size_t i = 0;
    while (i < b->count && b->workers[i].pid != r->pid)
        i++;
    if (i == BUDGETS_MAX)
        return;
    b->workers[i].pid = r->pid;
    b->workers[i].trait = *r;
    b->count += i == b->count;
}

static void budget_observe(struct judge_context *c, const struct hist_record *r)
{
    struct budget *b = c->state;
    const struct world *w = c->world;
    if (r->kind == HIST_WATCH_TRAIT) {
        budget_trait(b, w, r);
    } else if (r->kind != HIST_WATCH_PROC) {
        b->calm_ns = r->t_ns; /* somebody came or went */
    } else if (r->pid == w->master_pid && world_serving(w) && !w->upgrading &&
               r->t_ns - b->calm_ns > MASTER_SAMPLES_NS) {
        b->first = b->first.kind == HIST_NONE ? *r : b->first;
        b->last = *r;
    }
}

static void budget_worker(struct judge_context *c, const struct hist_record *trait)
{
    struct budget *b = c->state;
    const struct world_process *p = world_process(c->world, trait->pid);
    uint64_t limit = c->world->param[HIST_P_FD_LIMIT];
    uint64_t until_ns = p->exit_ns != 0 ? p->exit_ns : c->world->now_ns;
    if (p->ready_ns == 0 || until_ns < p->ready_ns + SETTLED_NS)
        return;
    b->judged++;
    judge_seen(c, 1);
    if (trait->b != limit)
        judge_violate(c, trait, NULL, "worker %u may open %llu files, %llu are configured",
                      trait->pid, (ull)trait->b, (ull)limit);
}

static void budget_finish(struct judge_context *c)
{
    struct budget *b = c->state;
    const struct world *w = c->world;
    uint64_t slack = world_param(w, HIST_P_FD_SLACK, 0);
    uint64_t before = b->first.a >> 32, after = b->last.a >> 32;
    for (size_t i = 0; w->param_known[HIST_P_FD_LIMIT] && i < b->count; i++)
        budget_worker(c, &b->workers[i].trait);
    if (w->param_known[HIST_P_FD_LIMIT] && b->first.kind != HIST_NONE && after > before + slack)
        judge_violate(c, &b->last, &b->first,
                      "the master holds %llu descriptors at rest, it had "
                      "%llu",
                      (ull)after, (ull)before);
    if (!w->param_known[HIST_P_FD_LIMIT])
        judge_unknown(c, "no descriptor limit is configured for the workers");
    else if (b->judged == 0)
        judge_unknown(c, "no worker was seen for long enough");
    judge_strength(c,
                   "%llu workers have their limit, the master at rest %llu descriptors, then "
                   "%llu",
                   (ull)b->judged, (ull)before, (ull)after);
}

static const unsigned budget_kinds[] = {HIST_WATCH_TRAIT, HIST_WATCH_PROC,   HIST_WATCH_FORK,
                                        HIST_WATCH_EXIT,  HIST_WATCH_REAPED, HIST_NONE};
const struct checker judge_limit_fd_budget = {.kinds = budget_kinds,
                                              .state_size = sizeof(struct budget),
                                              .observe = budget_observe,
                                              .finish = budget_finish};

/* ---- limit/disk-full --------------------------------------------------------------------------
 */

struct disk {
    struct hist_record full; /* the first write that failed for want of room */
    uint64_t failures, served, told;
};

static bool is_disk_full(const struct hist_record *r)
{
    bool writes = fault_is_at(r, "fs.write") || fault_is_at(r, "log.write");
    return writes && r->b >> 32 == HIST_FAULT_ERRNO && (r->b & UINT32_MAX) == ENOSPC;
}

/* A failure that nothing the story did beside explains; the full disk itself is no excuse. */
static bool is_lost_to_server(const struct world *w, const struct hist_record *r)
{
    if (!end_is_failure(w, r) || world_idle_race(w, r))
        return false;
    const struct hist_record *cause = outside_cause(w, server_of(w, r), begun_of(w, r), r);
    return cause == NULL || is_disk_full(cause);
}

static void disk_observe(struct judge_context *c, const struct hist_record *r)
{
    struct disk *d = c->state;
    if (r->kind == HIST_FAULT_FIRED) {
        if (!is_disk_full(r))
            return;
        d->full = d->failures++ == 0 ? *r : d->full;
    } else if (d->full.kind == HIST_NONE || !world_serving(c->world)) {
        return;
    } else if (r->kind == HIST_DIRECTOR_SAID) {
        judge_seen(c, 1);
        d->told += r->a;
        if (r->a == 0)
            judge_violate(c, r, &d->full, "no line of the error log says that writing failed");
    } else if (is_lost_to_server(c->world, r)) {
        judge_violate(c, r, &d->full, "a request ended as %s when a log could not be written",
                      hist_outcome_name((unsigned)r->a));
    } else {
        d->served += r->a == HIST_OK;
    }
}

static void disk_finish(struct judge_context *c)
{
    const struct disk *d = c->state;
    judge_seen(c, d->served);
    if (d->failures == 0)
        judge_unknown(c, "no write failed for want of room");
    else if (d->told == 0)
        judge_unknown(c, "nobody looked whether it is said");
    judge_strength(c, "%llu writes failed, %llu requests were served all the same",
                   (ull)d->failures, (ull)d->served);
}

static const unsigned disk_kinds[] = {HIST_FAULT_FIRED, HIST_DIRECTOR_SAID, HIST_CLIENT_END,
                                      HIST_NONE};
const struct checker judge_limit_disk_full = {.kinds = disk_kinds,
                                              .state_size = sizeof(struct disk),
                                              .observe = disk_observe,
                                              .finish = disk_finish};

/* ---- limit/memory -----------------------------------------------------------------------------
 */

struct memory {
    struct hist_record last; /* refusal */
    struct hist_record lost[JUDGE_VIOLATIONS_MAX];
    uint64_t refusals, failed, served;
    struct causes causes;
};

static void memory_exit(struct judge_context *c, const struct hist_record *r)
{
    struct memory *m = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    if (m->last.kind == HIST_NONE || p == NULL || p->exit_ns != r->t_ns || m->last.pid != r->pid ||
        r->t_ns - m->last.t_ns > LATER_DEATH_NS || !exit_is_abnormal(r->a) ||
        causes_of(&m->causes, c->world, r->pid) != NULL || p->ready_ns == 0)
        return;
    judge_violate(c, r, &m->last, "worker %u ended %.1f ms after it was refused memory", r->pid,
                  MS(r->t_ns - m->last.t_ns));
}

static void memory_end(struct memory *m, const struct world *w, const struct hist_record *r)
{
    if (m->last.kind == HIST_NONE || !world_serving(w))
        return;
    m->served += r->a == HIST_OK;
    if (!end_is_failure(w, r) || world_idle_race(w, r) || cut_at_drain_bound(w, r))
        return;
    if (m->failed < JUDGE_VIOLATIONS_MAX)
        m->lost[m->failed] = *r;
    m->failed++;
}

static void memory_observe(struct judge_context *c, const struct hist_record *r)
{
    struct memory *m = c->state;
    causes_take(&m->causes, r);
    if (fault_is_at(r, "mem.alloc") && r->b >> 32 == HIST_FAULT_ERRNO && r->slot >= 0) {
        m->last = *r;
        m->refusals++;
    } else if (r->kind == HIST_WATCH_EXIT) {
        memory_exit(c, r);
    } else if (r->kind == HIST_CLIENT_END) {
        memory_end(m, c->world, r);
    }
}

static void memory_finish(struct judge_context *c)
{
    struct memory *m = c->state;
    judge_seen(c, m->refusals);
    for (uint64_t i = m->refusals; i < m->failed && i < JUDGE_VIOLATIONS_MAX; i++)
        judge_violate(c, &m->lost[i], &m->last,
                      "%llu requests failed for %llu refusals of memory; this one ended as %s",
                      (ull)m->failed, (ull)m->refusals, hist_outcome_name((unsigned)m->lost[i].a));
    if (m->refusals == 0)
        judge_unknown(c, "no worker was refused memory");
    else if (m->served == 0)
        judge_unknown(c, "no request was served after that");
    judge_strength(c, "%llu refusals of memory, %llu requests failed, %llu were served",
                   (ull)m->refusals, (ull)m->failed, (ull)m->served);
}

static const unsigned memory_kinds[] = {CAUSES_KINDS, HIST_WATCH_EXIT, HIST_CLIENT_END, HIST_NONE};
const struct checker judge_limit_memory = {.kinds = memory_kinds,
                                           .state_size = sizeof(struct memory),
                                           .observe = memory_observe,
                                           .finish = memory_finish};

/* ---- limit/backlog ----------------------------------------------------------------------------
 */

struct backlog {
    struct hist_record full;             /* the last sample of a full queue */
    struct hist_record harmed[LOST_MAX]; /* a ring: a queue may be seen full a little later */
    size_t harmed_count;
    uint64_t samples, served, worst_ns;
};

static void backlog_tell(struct judge_context *c, const struct hist_record *r)
{
    struct backlog *b = c->state;
    judge_violate(c, r, &b->full,
                  "a request on an established connection ended as %s after %.1f ms while the "
                  "accept queue was full",
                  hist_outcome_name((unsigned)r->a), MS(r->c));
}

/* Accepts that fail are how a story fills the queue: they excuse nobody. */
static bool is_excused(const struct hist_record *cause)
{
    return cause != NULL && !fault_is_at(cause, "net.accept");
}

static void backlog_end(struct judge_context *c, const struct hist_record *r)
{
    struct backlog *b = c->state;
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_RECOVER_BOUND, UINT64_MAX);
    bool reused = (r->flags & HIST_BIT(HIST_F_REUSED)) != 0;
    bool full = b->full.kind != HIST_NONE && r->t_ns - b->full.t_ns <= FRESH_NS;
    if (!reused || !world_serving(w) || r->a == HIST_ABANDONED ||
        !world_population_counts(w, r->slot))
        return;
    if (full) {
        judge_seen(c, 1);
        b->served += r->a == HIST_OK;
        b->worst_ns = r->a == HIST_OK && r->c > b->worst_ns ? r->c : b->worst_ns;
    }
    bool failed = end_is_failure(w, r) && !world_idle_race(w, r) &&
                  !is_excused(outside_cause(w, server_of(w, r), begun_of(w, r), r));
    /* It is late since it was due, which may be long before there was a connection for it. */
    uint64_t due_ns = r->t_ns - (r->c < r->t_ns ? r->c : r->t_ns);
    bool late = r->a == HIST_OK && r->c > bound_ns && !world_mismeasured(w, r, r->c) &&
                !is_excused(world_cause(w, server_of(w, r), due_ns, r->t_ns, WORLD_SLOWS));
    if (full && (failed || late))
        backlog_tell(c, r);
    else if (failed)
        b->harmed[b->harmed_count++ % LOST_MAX] = *r;
}

static void backlog_full(struct judge_context *c, const struct hist_record *r)
{
    struct backlog *b = c->state;
    b->full = *r;
    b->samples++;
    for (size_t i = 0; i < LOST_MAX && i < b->harmed_count; i++)
        if (r->t_ns - b->harmed[i].t_ns <= FRESH_NS)
            backlog_tell(c, &b->harmed[i]);
    b->harmed_count = 0;
}

static void backlog_observe(struct judge_context *c, const struct hist_record *r)
{
    if (r->kind == HIST_CLIENT_END)
        backlog_end(c, r);
    else if (r->c != 0 && r->b >= r->c)
        backlog_full(c, r);
}

static void backlog_finish(struct judge_context *c)
{
    const struct backlog *b = c->state;
    if (b->samples == 0)
        judge_unknown(c, "the accept queue was never seen full");
    else if (c->result->checked == 0)
        judge_unknown(c, "no established connection asked for anything meanwhile");
    judge_strength(c,
                   "%llu requests on established connections beside a full queue, %.1f ms at "
                   "worst",
                   (ull)b->served, MS(b->worst_ns));
}

static const unsigned backlog_kinds[] = {HIST_WATCH_QUEUE, HIST_CLIENT_END, HIST_NONE};
const struct checker judge_limit_backlog = {.kinds = backlog_kinds,
                                            .state_size = sizeof(struct backlog),
                                            .observe = backlog_observe,
                                            .finish = backlog_finish};

/* ---- limit/hostile-clients --------------------------------------------------------------------
 */

struct hostile {
    uint64_t begun_ns; /* the first that means harm has connected; 0 not yet */
    uint64_t enemies, served, worst_ns;
    struct causes causes;
};

static bool means_harm(const struct world *w, int16_t index)
{
    if (index < 0 || index >= WORLD_POPULATIONS_MAX || !w->populations[index].known)
        return false;
    enum hist_population kind = w->populations[index].kind;
    return kind == HIST_ABUSIVE || kind == HIST_SLOW || kind == HIST_HELD;
}

static void hostile_end(struct judge_context *c, const struct hist_record *r)
{
    struct hostile *h = c->state;
    const struct world *w = c->world;
    uint64_t bound_ns = w->param[HIST_P_HOSTILE_BOUND];
    uint64_t begun_ns = begun_of(w, r);
    if (bound_ns == 0 || h->begun_ns == 0 || begun_ns < h->begun_ns || !world_serving(w) ||
        means_harm(w, r->slot) || r->a == HIST_ABANDONED)
        return;
    judge_seen(c, 1);
    h->served += r->a == HIST_OK;
    h->worst_ns = r->a == HIST_OK && r->c > h->worst_ns ? r->c : h->worst_ns;
    /* A client that came late to its own turn may have met a time limit that is not for it. */
    bool late = r->a == HIST_OK && r->c > bound_ns;
    if ((late || is_lost_to_server(w, r)) && !world_mismeasured(w, r, r->c))
        judge_violate(c, r, NULL,
                      "a request of a client that means well ended as %s after %.1f ms beside "
                      "clients that mean harm",
                      hist_outcome_name((unsigned)r->a), MS(r->c));
}

static void hostile_observe(struct judge_context *c, const struct hist_record *r)
{
    struct hostile *h = c->state;
    causes_take(&h->causes, r);
    if (r->kind == HIST_CLIENT_CONNECTED && means_harm(c->world, r->slot)) {
        h->begun_ns = h->begun_ns == 0 ? r->t_ns : h->begun_ns;
        h->enemies++;
    } else if (r->kind == HIST_CLIENT_END) {
        hostile_end(c, r);
    } else if (r->kind == HIST_WATCH_EXIT && h->begun_ns != 0 && world_serving(c->world)) {
        const struct world_process *p = world_process(c->world, r->pid);
        /* One that never was ready has met no client. */
        bool worker =
            p != NULL && p->is_worker && !p->is_master && p->exit_ns == r->t_ns && p->ready_ns != 0;
        if (worker && exit_is_abnormal(r->a) && causes_of(&h->causes, c->world, r->pid) == NULL)
            judge_violate(c, r, NULL, "worker %u ended while clients meant harm", r->pid);
    }
}

static void hostile_finish(struct judge_context *c)
{
    const struct hostile *h = c->state;
    if (!c->world->param_known[HIST_P_HOSTILE_BOUND])
        judge_unknown(c, "how long others may wait is not stated");
    else if (h->enemies == 0)
        judge_unknown(c, "no client meant harm");
    else if (c->result->checked == 0)
        judge_unknown(c, "no client that means well asked for anything meanwhile");
    judge_strength(c,
                   "%llu connections that meant harm, %llu requests served beside them, %.1f ms "
                   "at worst",
                   (ull)h->enemies, (ull)h->served, MS(h->worst_ns));
}

static const unsigned hostile_kinds[] = {CAUSES_KINDS, HIST_CLIENT_CONNECTED, HIST_CLIENT_END,
                                         HIST_WATCH_EXIT, HIST_NONE};
const struct checker judge_limit_hostile_clients = {.kinds = hostile_kinds,
                                                    .state_size = sizeof(struct hostile),
                                                    .observe = hostile_observe,
                                                    .finish = hostile_finish};
