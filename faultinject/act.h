/* What a fault does to the process it happens in, and the record of it. */
#ifndef FAULTINJECT_ACT_H
#define FAULTINJECT_ACT_H

#include <stdbool.h>

#include "faultinject/decide.h"
#include "scenarios/history/hist.h"

/* Carries out delay, crash, exit, stall and spin. True: it is for the caller to do (errno, short,
 * corrupt, sabotage). Uses system calls only, no function of the C library that could be wrapped.
 */
bool fault_act(const struct fault_board *board, const struct fault_decision *decision);
/* The fault.fired record of a decision; its time is left to the writer. */
struct hist_record fault_record(const struct fault_self *self, enum fault_point point,
                                const struct fault_decision *decision);

#endif
