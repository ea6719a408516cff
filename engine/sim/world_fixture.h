/* For tests of the simulated world: one world, made before each test and freed behind it. */
#ifndef ENGINE_SIM_WORLD_FIXTURE_H
#define ENGINE_SIM_WORLD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/sim/sim_run.h"

static struct sim *world;
static struct sim_plan plan;
static const struct sim_outputs no_outputs = {.history_path = NULL};

static inline int setup(void **state)
{
    (void)state;
    world = sim_new();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    sim_free(world);
    return 0;
}

#endif
