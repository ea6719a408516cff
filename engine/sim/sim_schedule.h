/* Schedules as text: what a story becomes, what shrinking leaves, what is kept of a seed that once
 * failed. One line for each part of a plan, in any order but that of the acts:
 *
 *     # what it is for
 *     mw-sim schedule
 *     seed 17
 *     workers 4                                    an option of SIM_OPTIONS
 *     theme general                                which limits the judge is told of
 *     end graceful                                 how the server is stopped: fast, graceful, kill
 *     always sabotage.lose_reload                  a rule armed for the whole run
 *     load NAME KIND rate=5 clients=4 body=100 service=50ms spread=900ms timeout=8s paused proxied
 *     at 50ms signal-worker STOP 0                 an act of SIM_ACTS, at its time
 *     story reload/long-requests                   the acts make the phases
 *     param workers 2                              what the judge is told, instead of the usual
 *     then wait 10s fresh.ok 60 >=                 an act, when the one before it is over */
#ifndef ENGINE_SIM_SIM_SCHEDULE_H
#define ENGINE_SIM_SIM_SCHEDULE_H

#include <stdio.h>

#include "engine/sim/sim_plan.h"

enum { SIM_COMPLAINT_MAX = 512 };

/* 0, or -1 and a complaint that names file, line, what was found and what was expected. */
int sim_schedule_read(struct sim_plan *plan, const char *path, char *complaint);
/* The acts that were taken out are left out. False: errno. */
bool sim_schedule_write(const struct sim_plan *plan, FILE *out);
/* One act as it stands in a schedule, without its time. */
void sim_schedule_act(const struct sim_plan *plan, const struct sim_act *act, FILE *out);
/* The acts and options as a list for people. */
void sim_schedule_help(FILE *out);

#endif
