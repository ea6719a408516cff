/* What the director says while the prober runs: start, stop, release, rate, quit. */
#ifndef SCENARIOS_WITNESS_PROBER_COMMAND_H
#define SCENARIOS_WITNESS_PROBER_COMMAND_H

#include "scenarios/witness/prober.h"

/* Listens on stdin, and for SIGTERM and SIGINT. The end of stdin means quit. */
void prober_command_open(struct prober *p);
/* Carries out one line. Returns NULL, or what was wrong with it. */
const char *prober_command_run(struct prober *p, const char *line);

#endif
