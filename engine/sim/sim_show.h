/* What mw-sim prints of a run. */
#ifndef ENGINE_SIM_SIM_SHOW_H
#define ENGINE_SIM_SIM_SHOW_H

#include "engine/sim/sim_run.h"

int sim_exit_code(const struct sim_result *result);
/* The worse of two exit codes: a crash, then an invariant, a violation, no progress. */
int sim_worse(int a, int b);
void sim_show_violations(const struct judge *judge, FILE *out);
void sim_show_verdicts(const struct judge *judge, FILE *out);
/* "129 requests, 0 failed, ..." */
void sim_show_result(const struct sim_result *result, FILE *out);
/* One object: verdicts, trouble, numbers. */
void sim_show_json(const struct sim *s, const struct sim_plan *plan,
                   const struct sim_result *result, FILE *out);

#endif
