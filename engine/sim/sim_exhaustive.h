/* Every interleaving, up to a depth, of what can happen to a supervisor of a few workers. */
#ifndef ENGINE_SIM_SIM_EXHAUSTIVE_H
#define ENGINE_SIM_SIM_EXHAUSTIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_PATH_MAX = 32 };

struct sim_search {
    uint32_t workers;    /* 1 .. 3 */
    uint32_t depth;      /* events after BOOT, at most SIM_PATH_MAX */
    uint64_t states_max; /* gives up beyond that */
    uint64_t *coverage;  /* a counter for each of sup's cells */
    uint64_t states, steps, repeated;
    uint32_t deepest;   /* how deep the search got */
    bool complete;      /* no state was left out */
    const char *broken; /* the sentence that did not hold; NULL */
    size_t path_count;  /* and how it came to be: event kinds */
    char path[SIM_PATH_MAX][32];
};

void sim_search(struct sim_search *search);

#endif
