/* reload/balanced: what many reloads leave behind in the master and in its workers.
 *
 * Old workers on their way out cost the master a descriptor each, so the least of the samples after
 * is compared with the median of those before: a leak lifts them all. So do workers that are there
 * again: a master that lacks some is not compared. A worker's descriptors hold its clients too, so
 * the least of each worker's samples stands for it. */
#include <stdlib.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/table.h"

typedef unsigned long long ull;

enum {
    SAMPLES = 64,
    SAMPLES_MIN = 3,
    RELOADS_MIN = 3,
    FD_SLACK = 2,
    MAPPING_SLACK = 16,
    WORKERS_MAX = 4096
};
#define RSS_SLACK_BYTES (4ull << 20)

enum { FDS, MAPPINGS, RSS, SIZE_COUNT };
static const char *const size_names[SIZE_COUNT] = {"descriptors", "mappings", "resident bytes"};

struct sizes {
    uint64_t of[SIZE_COUNT];
};

/* The latest samples, a ring. */
struct samples {
    struct sizes items[SAMPLES];
    size_t count;
    struct hist_record last;
};

/* The least of a live worker's samples. */
struct worker {
    struct sizes least;
    uint64_t samples;
    bool first_born;
};

struct balanced {
    struct samples before, after;
    struct table workers;
    bool begun;
    struct sizes first_workers; /* the least of those born before the first reload */
    uint64_t first_samples;
    uint64_t reloads, workers_asked;
    bool resized;
};

static struct sizes sizes_of(const struct hist_record *r)
{
    return (struct sizes){{r->a >> 32, r->a & UINT32_MAX, r->c}};
}

static void samples_add(struct samples *s, const struct hist_record *r)
{
    s->items[s->count++ % SAMPLES] = sizes_of(r);
    s->last = *r;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The value that `permille` of the samples do not exceed: 0 the least, 500 the median. */
static uint64_t samples_quantile(const struct samples *s, unsigned size, size_t permille)
{
    uint64_t sorted[SAMPLES];
    size_t count = s->count < SAMPLES ? s->count : SAMPLES;
    if (count == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        sorted[i] = s->items[i].of[size];
    qsort(sorted, count, sizeof(sorted[0]), compare);
    return sorted[(count - 1) * permille / 1000];
}

static void least(struct sizes *into, const struct sizes *from, bool first)
{
    for (unsigned i = 0; i < SIZE_COUNT; i++)
        if (first || from->of[i] < into->of[i])
            into->of[i] = from->of[i];
}

static void worker_sample(struct judge_context *c, const struct hist_record *r)
{
    struct balanced *b = c->state;
    struct sizes now = sizes_of(r);
    struct worker *worker = table_add(&b->workers, r->pid);
    if (worker == NULL)
        return;
    if (worker->samples == 0)
        worker->first_born = b->reloads == 0;
    least(&worker->least, &now, worker->samples == 0);
    worker->samples++;
    if (worker->first_born && b->reloads == 0) {
        least(&b->first_workers, &now, b->first_samples == 0);
        b->first_samples++;
    }
}

static void balanced_sample(struct judge_context *c, const struct hist_record *r)
{
    struct balanced *b = c->state;
    const struct world *w = c->world;
    const struct world_process *p = world_process(w, r->pid);
    bool whole = !w->watched || w->live_workers >= world_param(w, HIST_P_WORKERS, 0);
    if (!world_serving(w) || r->a == 0)
        return;
    if (r->pid == w->master_pid && whole)
        samples_add(b->reloads == 0 ? &b->before : &b->after, r);
    else if (p != NULL && p->is_worker && p->drain_ns == 0)
        worker_sample(c, r);
}

static void balanced_begin(struct balanced *b)
{
    table_release(&b->workers);
    *b = (struct balanced){.begun = true, .workers_asked = b->workers_asked};
    table_init(&b->workers, sizeof(struct worker), WORKERS_MAX);
}

static void balanced_observe(struct judge_context *c, const struct hist_record *r)
{
    struct balanced *b = c->state;
    /* A new master is another program, with other sizes. */
    if (!b->begun || r->kind == HIST_DIRECTOR_ADOPTED)
        balanced_begin(b);
    switch (r->kind) {
    case HIST_WATCH_PROC:
        balanced_sample(c, r);
        break;
    case HIST_DIRECTOR_ADOPTED:
        break;
    case HIST_DIRECTOR_RELOAD:
        b->reloads++;
        b->after.count = 0; /* only what the last reload leaves counts */
        break;
    case HIST_DIRECTOR_CONFIG:
        b->resized = b->resized || (r->b != 0 && b->workers_asked != 0 && r->b != b->workers_asked);
        b->workers_asked = r->b != 0 ? r->b : b->workers_asked;
        break;
    case HIST_ENGINE_RESIZED: /* by TTIN or TTOU */
        b->resized = b->resized || (b->workers_asked != 0 && r->a != b->workers_asked);
        break;
    default:
        table_remove(&b->workers, r->pid);
        break;
    }
}

static uint64_t slack_of(const struct world *w, unsigned size)
{
    uint64_t fd_slack = world_param(w, HIST_P_FD_SLACK, FD_SLACK);
    if (size == FDS)
        return fd_slack;
    return size == RSS ? world_param(w, HIST_P_RSS_SLACK, RSS_SLACK_BYTES)
                       : fd_slack + MAPPING_SLACK;
}

static void judge_master(struct judge_context *c)
{
    struct balanced *b = c->state;
    for (unsigned i = 0; i < SIZE_COUNT; i++) {
        uint64_t before = samples_quantile(&b->before, i, 500);
        uint64_t after = samples_quantile(&b->after, i, 0);
        judge_seen(c, 1);
        if (after > before + slack_of(c->world, i))
            judge_violate(c, &b->after.last, NULL,
                          "the master had %llu %s before %llu reloads and has %llu after them",
                          (ull)before, size_names[i], (ull)b->reloads, (ull)after);
    }
}

/* The least of the live workers that were born under way. */
static bool newest_workers(const struct balanced *b, struct sizes *out)
{
    bool any = false;
    for (size_t slot = 0; slot < b->workers.room; slot++) {
        if (b->workers.keys[slot] == 0)
            continue;
        const struct worker *worker = table_find(&b->workers, b->workers.keys[slot]);
        if (worker->first_born || worker->samples < SAMPLES_MIN)
            continue;
        least(out, &worker->least, !any);
        any = true;
    }
    return any;
}

static void judge_workers(struct judge_context *c)
{
    struct balanced *b = c->state;
    struct sizes last = {{0}};
    if (b->first_samples < SAMPLES_MIN || !newest_workers(b, &last))
        return;
    for (unsigned i = 0; i < SIZE_COUNT; i++) {
        judge_seen(c, 1);
        if (last.of[i] > b->first_workers.of[i] + slack_of(c->world, i))
            judge_violate(c, &b->after.last, NULL,
                          "the first workers had %llu %s, those after %llu reloads have %llu",
                          (ull)b->first_workers.of[i], size_names[i], (ull)b->reloads,
                          (ull)last.of[i]);
    }
}

static void balanced_finish(struct judge_context *c)
{
    struct balanced *b = c->state;
    if (b->reloads < RELOADS_MIN) {
        judge_unknown(c, "%llu reloads are too few to tell a leak", (ull)b->reloads);
        return;
    }
    if (b->resized) {
        judge_unknown(c, "the number of workers changed between the reloads");
        return;
    }
    if (b->before.count < SAMPLES_MIN || b->after.count < SAMPLES_MIN) {
        judge_unknown(c, "fewer than %d samples of the master before or after the reloads",
                      SAMPLES_MIN);
        return;
    }
    judge_master(c);
    judge_workers(c);
    judge_strength(c,
                   "%llu reloads; the master's descriptors %llu -> %llu, mappings %llu -> %llu, "
                   "RSS %llu -> %llu kB",
                   (ull)b->reloads, (ull)samples_quantile(&b->before, FDS, 500),
                   (ull)samples_quantile(&b->after, FDS, 0),
                   (ull)samples_quantile(&b->before, MAPPINGS, 500),
                   (ull)samples_quantile(&b->after, MAPPINGS, 0),
                   (ull)samples_quantile(&b->before, RSS, 500) / 1024,
                   (ull)samples_quantile(&b->after, RSS, 0) / 1024);
}

static void balanced_release(void *state)
{
    struct balanced *b = state;
    table_release(&b->workers);
}

static const unsigned balanced_kinds[] = {
    HIST_WATCH_PROC,      HIST_DIRECTOR_ADOPTED, HIST_WATCH_EXIT,     HIST_ENGINE_WORKER_EXIT,
    HIST_DIRECTOR_RELOAD, HIST_DIRECTOR_CONFIG,  HIST_ENGINE_RESIZED, HIST_NONE};
const struct checker judge_reload_balanced = {.kinds = balanced_kinds,
                                              .state_size = sizeof(struct balanced),
                                              .observe = balanced_observe,
                                              .finish = balanced_finish,
                                              .release = balanced_release};
