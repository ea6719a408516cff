/* The prober's clock: one absolute timer for arrivals, the heartbeat that measures the prober's own
 * lag, deadlines, and the end. */
#ifndef SCENARIOS_WITNESS_PROBER_LOOP_H
#define SCENARIOS_WITNESS_PROBER_LOOP_H

#include "scenarios/witness/prober.h"

/* Prepares an empty prober whose history is open. Returns 0 or a negative errno. */
int prober_loop_init(struct prober *p, uint64_t seed);
/* Starts all populations that are not paused and runs until told to quit. Returns the exit code. */
int prober_loop_run(struct prober *p);
/* Stops all populations; ends when nothing is outstanding, at the latest after their timeouts.
 * The second time it ends at once. */
void prober_loop_quit(struct prober *p);

#endif
