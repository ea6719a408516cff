/* Reloads as they bear on workers: which of them nobody replaces any more, and how many the server
 * should have now. Told by the engine's trace where there is one, else by the director. */
#ifndef SCENARIOS_JUDGE_ROLLS_H
#define SCENARIOS_JUDGE_ROLLS_H

#include <stdbool.h>
#include <stdint.h>

#include "scenarios/judge/judge.h"
#include "scenarios/judge/world.h"

/* The kinds rolls_take needs. */
#define ROLLS_KINDS                                                                                \
    HIST_DIRECTOR_CONFIG, HIST_DIRECTOR_RELOAD, HIST_DIRECTOR_RELOADED, HIST_DIRECTOR_SIGNAL,      \
        HIST_STORM_SIGNAL, HIST_ENGINE_RELOAD, HIST_ENGINE_RELOADED, HIST_ENGINE_RESIZED,          \
        HIST_DIRECTOR_ADOPTED

struct rolls {
    uint64_t begun_ns;               /* the reload whose end is not known; 0 none */
    uint64_t committed_ns;           /* when the last one that succeeded had begun; 0 none */
    uint64_t ended_ns;               /* when the last one ended */
    uint64_t config_workers;         /* what the last valid configuration asks for; 0 not told */
    uint64_t trying_workers;         /* and the one that is being tried */
    uint64_t workers;                /* and the one that serves; 0 not told */
    bool resized;                    /* ... and was changed since the reload under way began */
    uint32_t trying_gen;             /* the engine's generation that is being tried; 0 not told */
    uint32_t gen;                    /* and the one that serves; 0 not told */
    uint32_t undone_from, undone_to; /* and those that were given up since the last success */
};

/* True: a reload has just succeeded. */
bool rolls_take(struct rolls *rolls, const struct world *world, const struct hist_record *r);
/* A worker of a reload that was undone: it never served, and is to go. */
bool rolls_undone(const struct rolls *rolls, const struct world_process *p);
/* A worker that was told to go, or is of a configuration that serves no more, or never did. */
bool rolls_retired(const struct rolls *rolls, const struct world_process *p);
/* The same, or it will be once the reload that is under way succeeds. */
bool rolls_may_retire(const struct rolls *rolls, const struct world_process *p);
/* How many workers should serve, N. */
uint64_t rolls_wanted(const struct rolls *rolls, const struct world *world);
/* How many do: they live and are not to go. O(processes). */
uint64_t rolls_serving(const struct rolls *rolls, const struct world *world);

/* Died before it ever served: belongs to respawn/backoff. */
bool died_at_start(const struct world *world, const struct world_process *p);

#endif
