/* Delta debugging (ddmin): halves, then quarters, ... of the acts are taken out as long as the same
 * guarantee stays broken; then the delays of processes are made shorter, and clients that are not
 * needed are sent away. Every object has random numbers of its own, so what is left behaves as
 * before. */
#include "engine/sim/sim_shrink.h"

struct shrinker {
    struct sim *s;
    struct sim_plan *plan;
    struct sim_shrunk *out;
};

static bool still_fails(struct shrinker *shrinker)
{
    static const struct sim_outputs nothing = {.history_path = NULL};
    struct sim_result result;
    shrinker->out->runs++;
    sim_run(shrinker->s, shrinker->plan, &nothing, &result);
    if (shrinker->out->guarantee == GUARANTEE_COUNT)
        return result.broken != NULL;
    return sim_failed(shrinker->s, &result, shrinker->out->guarantee);
}

/* What is broken in the first place: the first guarantee, or something of our own. */
static bool find_failure(struct shrinker *shrinker, enum guarantee only)
{
    static const struct sim_outputs nothing = {.history_path = NULL};
    struct sim_result result;
    sim_run(shrinker->s, shrinker->plan, &nothing, &result);
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        shrinker->out->guarantee = (enum guarantee)g;
        if ((only == GUARANTEE_COUNT || only == g) &&
            sim_failed(shrinker->s, &result, (enum guarantee)g))
            return true;
    }
    shrinker->out->guarantee = GUARANTEE_COUNT;
    return only == GUARANTEE_COUNT && result.broken != NULL;
}

/* Tries the plan without `count` of the acts that are left, from number `from` on. */
static bool try_without(struct shrinker *shrinker, size_t from, size_t count)
{
    struct sim_plan *plan = shrinker->plan;
    bool taken[SIM_ACTS_MAX] = {false};
    size_t left = 0, removed = 0;
    for (size_t i = 0; i < plan->act_count; i++) {
        if (plan->acts[i].skipped)
            continue;
        taken[i] = left >= from && left < from + count;
        plan->acts[i].skipped = taken[i];
        removed += taken[i];
        left++;
    }
    if (removed > 0 && still_fails(shrinker))
        return true;
    for (size_t i = 0; i < plan->act_count; i++)
        if (taken[i])
            plan->acts[i].skipped = false;
    return false;
}

static void shrink_acts(struct shrinker *shrinker)
{
    for (size_t part = sim_plan_acts_left(shrinker->plan); part > 1; part /= 2)
        for (size_t from = 0; from < sim_plan_acts_left(shrinker->plan);)
            if (!try_without(shrinker, from, part))
                from += part;
    for (bool smaller = true; smaller;) {
        smaller = false;
        for (size_t from = 0; from < sim_plan_acts_left(shrinker->plan);)
            if (try_without(shrinker, from, 1))
                smaller = true;
            else
                from++;
    }
}

static void shrink_loads(struct shrinker *shrinker)
{
    static const enum hist_population kinds[] = {HIST_DOWNLOAD, HIST_HELD, HIST_POOLED, HIST_POST};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct sim_load *load = sim_plan_load(shrinker->plan, kinds[i]);
        if (load == NULL || load->paused)
            continue;
        load->paused = true;
        load->paused = still_fails(shrinker);
    }
}

/* None of the drawn jitter, a sixteenth of it, an eighth, ... */
static void shrink_delays(struct shrinker *shrinker)
{
    uint64_t drawn_ns = shrinker->plan->jitter_ns;
    for (uint64_t part = 0; part < 16; part = part == 0 ? 1 : part * 2) {
        shrinker->plan->jitter_ns = drawn_ns * part / 16;
        if (still_fails(shrinker))
            return;
    }
    shrinker->plan->jitter_ns = drawn_ns;
}

bool sim_shrink(struct sim *s, struct sim_plan *plan, enum guarantee only, struct sim_shrunk *out)
{
    struct shrinker shrinker = {s, plan, out};
    *out =
        (struct sim_shrunk){.acts_before = sim_plan_acts_left(plan), .guarantee = GUARANTEE_COUNT};
    if (!find_failure(&shrinker, only))
        return false;
    shrink_acts(&shrinker);
    shrink_loads(&shrinker);
    shrink_delays(&shrinker);
    out->acts_after = sim_plan_acts_left(plan);
    return true;
}
