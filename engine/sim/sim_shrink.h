/* Makes a failing run small: takes out of its schedule whatever is not needed for the failure. */
#ifndef ENGINE_SIM_SIM_SHRINK_H
#define ENGINE_SIM_SIM_SHRINK_H

#include "engine/sim/sim_run.h"

struct sim_shrunk {
    size_t acts_before, acts_after;
    unsigned runs;
    enum guarantee
        guarantee; /* what the run still breaks; GUARANTEE_COUNT: an invariant, progress */
};

/* False: the plan does not fail. Else *plan has become as small as single removals can make it. */
bool sim_shrink(struct sim *s, struct sim_plan *plan, enum guarantee only, struct sim_shrunk *out);

#endif
