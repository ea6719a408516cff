/* Many seeds, several at a time. */
#ifndef ENGINE_SIM_SIM_SWARM_H
#define ENGINE_SIM_SIM_SWARM_H

#include "engine/sim/sim_command.h"
#include "engine/sim/sim_coverage.h"

struct sim_swarm {
    uint64_t seeds, violations, stalled, broken, differ, events, records, simulated_ns;
    uint64_t hash; /* of all histories; the order in which they were run is of no matter */
    uint64_t holds[GUARANTEE_COUNT], violated[GUARANTEE_COUNT], first_seed[GUARANTEE_COUNT];
    double wall_s;
    int worst; /* exit code */
};

/* Runs the command's seeds; failures are printed to `failures` (NULL: not), progress to stderr.
 * coverage: NULL, nobody asks. */
void sim_swarm_run(const struct sim_command *c, FILE *failures, struct sim_coverage *coverage,
                   struct sim_swarm *out);
void sim_swarm_print(const struct sim_command *c, const struct sim_swarm *swarm, FILE *out);

/* What is printed if this thread's run aborts. */
void sim_expect_crash(const char *repeat);
const char *sim_crash_text(void);

#endif
