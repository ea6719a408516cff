/* The judge is judged: every sabotage that exists in the simulation must be caught by a guarantee
 * that it names. */
#ifndef ENGINE_SIM_SIM_PROOF_H
#define ENGINE_SIM_SIM_PROOF_H

#include <stdio.h>

#include "engine/sim/sim_shrink.h"
#include "faultinject/fault.h"

struct sim_proof {
    enum fault_point point;
    enum guarantee guarantee; /* that caught it; GUARANTEE_COUNT: none did */
    uint64_t seed;            /* the first that shows it */
    struct sim_shrunk shrunk;
};

/* The sabotages of the simulation in turn: the point after `point` (FAULT_POINT_COUNT: the first).
 * FAULT_POINT_COUNT: there is no further one. */
enum fault_point sim_proof_next(enum fault_point point);
/* Looks for a seed from first to last. False: not caught. */
bool sim_prove(struct sim *s, enum fault_point point, uint64_t first, uint64_t last,
               struct sim_proof *proof);
/* All of them: a line each and the sum, or one object. False: one is not caught, or takes more than
 * SIM_PROOF_ACTS acts in the median. */
enum { SIM_PROOF_ACTS = 12 };
bool sim_proof_all(uint64_t first, uint64_t last, bool json, FILE *out);

#endif
