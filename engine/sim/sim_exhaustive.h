/* Every interleaving of what can happen to a supervisor of a few workers: so many signals and so
 * many faults in all, and in between, in every order, what the world owes: results of forks, words
 * of workers, exits of those that were told to go, configurations, the other master. Timers come
 * when nothing is owed; that one comes earlier, because the world is late, counts as a fault. */
#ifndef ENGINE_SIM_SIM_EXHAUSTIVE_H
#define ENGINE_SIM_SIM_EXHAUSTIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/sim/sim_coverage.h"

enum { SIM_PATH_MAX = 200 };

struct sim_search {
    uint32_t workers;         /* 1 .. 3 */
    uint32_t signals, faults; /* how many may come, in all */
    uint32_t depth;           /* events after BOOT; 0: no bound but SIM_PATH_MAX */
    uint64_t states_max;      /* gives up beyond that */
    uint64_t sabotage;        /* set of SUP_SABOTAGE(...): can the search say no? */
    struct sim_coverage *coverage;
    uint64_t states, steps, repeated;
    uint64_t at_rest;   /* states in which nothing more can happen: all of them were whole */
    uint32_t deepest;   /* how deep the search got */
    bool complete;      /* no state was left out */
    const char *broken; /* the sentence that did not hold; NULL */
    size_t path_count;  /* and how it came to be */
    char path[SIM_PATH_MAX + 1][32];
};

void sim_search(struct sim_search *search);

#endif
