/* shm: what workers share, as the status page shows it and as it outlives them. See guarantees.def
 * for the sentences. */
#include <string.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum { NEAR_NS = 300000000 }; /* what a death itself costs; see respawn/isolation */

/* ---- shm/consistent ---------------------------------------------------------------------------
 */

struct consistent {
    struct hist_record last; /* page */
    uint64_t pages;
};

/* What the total has above the rows is of workers that are gone: it only grows. */
static void consistent_observe(struct judge_context *c, const struct hist_record *r)
{
    struct consistent *s = c->state;
    bool same_master = s->last.kind != HIST_NONE && s->last.pid == r->pid;
    judge_seen(c, 1);
    s->pages++;
    if (r->b > r->a)
        judge_violate(c, r, NULL, "the page's total is %llu, its %llu rows have %llu", (ull)r->a,
                      (ull)r->c, (ull)r->b);
    else if (same_master && s->last.b <= s->last.a && r->a - r->b < s->last.a - s->last.b)
        judge_violate(c, r, &s->last, "%llu requests of workers that are gone, there had been %llu",
                      (ull)(r->a - r->b), (ull)(s->last.a - s->last.b));
    s->last = *r;
}

static void consistent_finish(struct judge_context *c)
{
    const struct consistent *s = c->state;
    if (s->pages == 0)
        judge_unknown(c, "nobody looked at the status page");
    judge_strength(c, "%llu status pages add up, the last with %llu requests", (ull)s->pages,
                   (ull)s->last.a);
}

static const unsigned consistent_kinds[] = {HIST_DIRECTOR_STATUS, HIST_NONE};
const struct checker judge_shm_consistent = {.kinds = consistent_kinds,
                                             .state_size = sizeof(struct consistent),
                                             .observe = consistent_observe,
                                             .finish = consistent_finish};

/* ---- shm/kept ---------------------------------------------------------------------------------
 */

struct kept {
    struct hist_record last;
    uint64_t pages, reloads;
    bool reloaded; /* since the last page */
};

static void kept_observe(struct judge_context *c, const struct hist_record *r)
{
    struct kept *s = c->state;
    if (r->kind != HIST_DIRECTOR_STATUS) {
        s->reloaded = s->reloaded || r->kind == HIST_DIRECTOR_RELOADED;
        return;
    }
    bool comparable = s->last.kind != HIST_NONE && s->last.pid == r->pid;
    if (comparable && s->reloaded) {
        judge_seen(c, 1);
        s->reloads++;
    }
    if (comparable && r->a < s->last.a)
        judge_violate(c, r, &s->last, "%llu requests are counted, %llu had been", (ull)r->a,
                      (ull)s->last.a);
    s->reloaded = false;
    s->pages++;
    s->last = *r;
}

static void kept_finish(struct judge_context *c)
{
    const struct kept *s = c->state;
    if (s->pages == 0)
        judge_unknown(c, "nobody looked at the status page");
    else if (s->reloads == 0)
        judge_unknown(c, "nobody looked before a reload and after it");
    judge_strength(c, "%llu reloads between two pages, nothing was forgotten", (ull)s->reloads);
}

static const unsigned kept_kinds[] = {HIST_DIRECTOR_STATUS, HIST_DIRECTOR_RELOADED, HIST_NONE};
const struct checker judge_shm_kept = {.kinds = kept_kinds,
                                       .state_size = sizeof(struct kept),
                                       .observe = kept_observe,
                                       .finish = kept_finish};

/* ---- shm/survives-crash -----------------------------------------------------------------------
 */

struct survival {
    struct hist_record crash; /* the last inside an update */
    struct causes causes;
    uint64_t crashes, served;
};

static bool is_crash(const struct hist_record *r)
{
    return fault_is_at(r, "shm.update") &&
           (r->b >> 32 == HIST_FAULT_CRASH || r->b >> 32 == HIST_FAULT_EXIT);
}

static void survival_end(struct judge_context *c, const struct hist_record *r)
{
    struct survival *s = c->state;
    const struct world *w = c->world;
    uint64_t begun_ns = begun_of(w, r);
    if (!world_serving(w) || begun_ns < s->crash.t_ns + NEAR_NS || r->a == HIST_ABANDONED ||
        !world_population_counts(w, r->slot))
        return;
    judge_seen(c, 1);
    s->served += r->a == HIST_OK;
    uint32_t pid = server_of(w, r); /* unknown: who waited for somebody has no excuse */
    bool excused = pid != 0 && outside_cause(w, pid, begun_ns, r) != NULL;
    if (end_is_failure(w, r) && !world_idle_race(w, r) && !excused)
        judge_violate(c, r, &s->crash,
                      "a request begun %.0f ms after a worker died inside an update of shared "
                      "memory ended as %s",
                      MS(begun_ns - s->crash.t_ns), hist_outcome_name((unsigned)r->a));
}

static void survival_observe(struct judge_context *c, const struct hist_record *r)
{
    struct survival *s = c->state;
    causes_take(&s->causes, r);
    if (is_crash(r)) {
        s->crash = *r;
        s->crashes++;
    } else if (s->crash.kind == HIST_NONE) {
        return;
    } else if (r->kind == HIST_CLIENT_END) {
        survival_end(c, r);
    } else if (r->kind == HIST_WATCH_EXIT && world_serving(c->world)) {
        const struct world_process *p = world_process(c->world, r->pid);
        bool worker = p != NULL && p->is_worker && !p->is_master && p->exit_ns == r->t_ns;
        if (worker && exit_is_abnormal(r->a) && causes_of(&s->causes, c->world, r->pid) == NULL)
            judge_violate(c, r, &s->crash,
                          "worker %u ended %.1f ms after another died inside an update of shared "
                          "memory",
                          r->pid, MS(r->t_ns - s->crash.t_ns));
    }
}

static void survival_finish(struct judge_context *c)
{
    const struct survival *s = c->state;
    if (s->crashes == 0)
        judge_unknown(c, "no worker died inside an update of shared memory");
    else if (c->result->checked == 0)
        judge_unknown(c, "nothing was asked for after that");
    judge_strength(c, "%llu workers died inside an update, %llu requests were served after it",
                   (ull)s->crashes, (ull)s->served);
}

static const unsigned survival_kinds[] = {CAUSES_KINDS, HIST_CLIENT_END, HIST_WATCH_EXIT,
                                          HIST_NONE};
const struct checker judge_shm_survives_crash = {.kinds = survival_kinds,
                                                 .state_size = sizeof(struct survival),
                                                 .observe = survival_observe,
                                                 .finish = survival_finish};
