/* One attempt of the engine's master to bring up a new generation, as its trace tells it: which
 * workers it forked, which became ready (could accept, whether or not they were told to), which
 * died before.
 *
 * The master decides on what it knows: that a worker that was ready has died counts from when the
 * master reaped it, and no more once all were ready, since nothing but the commit is left then. */
#ifndef SCENARIOS_JUDGE_ATTEMPT_H
#define SCENARIOS_JUDGE_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "scenarios/judge/judge.h"
#include "scenarios/judge/world.h"

enum { ATTEMPT_WORKERS_MAX = 256 };

struct attempt {
    struct hist_record reload; /* engine.reload; kind HIST_NONE: none under way */
    struct {
        uint32_t pid;
        bool ready, dead; /* dead: somebody saw it end */
        bool reaped;      /* and the master knows */
    } workers[ATTEMPT_WORKERS_MAX];
    size_t worker_count;
    uint64_t config_workers;   /* what the last valid configuration asks for; 0 not told */
    uint64_t asked;            /* and the one that is tried */
    bool complete;             /* all had been ready at one time */
    struct hist_record broken; /* the first worker that died before it was ready */
};

/* The kinds attempt_take needs. */
#define ATTEMPT_KINDS                                                                              \
    HIST_DIRECTOR_CONFIG, HIST_ENGINE_RELOAD, HIST_ENGINE_SPAWN, HIST_ENGINE_WORKER_POISED,        \
        HIST_ENGINE_WORKER_READY, HIST_ENGINE_WORKER_EXIT, HIST_WATCH_EXIT

void attempt_take(struct attempt *a, const struct world *w, const struct hist_record *r);
/* Have as many been ready at one time as must be before the old may go? */
bool attempt_complete(const struct attempt *a);
/* Workers of the new generation that are ready and, as far as the master knows, alive. */
uint64_t attempt_ready(const struct attempt *a);
/* How many must be ready before the old may go; at least 1. */
uint64_t attempt_needed(const struct attempt *a, const struct world *w);

#endif
