/* Runs a plan and says what came of it. */
#ifndef ENGINE_SIM_SIM_RUN_H
#define ENGINE_SIM_SIM_RUN_H

#include <stdio.h>

#include "engine/sim/sim_coverage.h"
#include "engine/sim/sim_plan.h"
#include "scenarios/judge/judge.h"

enum { SIM_TROUBLE_MAX = 8, SIM_TROUBLE_ROOM = 256 };

struct sim; /* all of a world; used for one run after the other */

struct sim_outputs {
    const char *history_path;      /* a folder that holds none yet; NULL none */
    FILE *status, *trace;          /* NULL none */
    struct sim_coverage *coverage; /* counts cells; NULL: nobody asks */
};

struct sim_result {
    uint64_t events, records, hash, simulated_ns, requests, failed;
    uint64_t cpu_ns;   /* of this thread, which is all that does not repeat itself */
    uint32_t violated; /* guarantees */
    const char
        *broken; /* the sentence that did not hold; "progress: ..." of one that has stalled */
    int error;   /* errno of the history */
};

/* What did not go as the story says; NULL beyond the last. */
const char *sim_trouble(const struct sim *s, unsigned number);

struct sim *sim_new(void); /* aborts without memory */
void sim_free(struct sim *s);
/* The judge's results stay until the next run. */
void sim_run(struct sim *s, const struct sim_plan *plan, const struct sim_outputs *outputs,
             struct sim_result *result);
const struct judge *sim_judge(const struct sim *s);
/* Did it break this guarantee (GUARANTEE_COUNT: any at all), an invariant, or fail to progress? */
bool sim_failed(const struct sim *s, const struct sim_result *result, enum guarantee g);

#endif
