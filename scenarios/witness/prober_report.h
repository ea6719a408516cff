/* The JSON lines that the director reads. */
#ifndef SCENARIOS_WITNESS_PROBER_REPORT_H
#define SCENARIOS_WITNESS_PROBER_REPORT_H

#include "scenarios/witness/prober.h"

/* Makes stdout such that a reader who does not read cannot stop the prober. */
void prober_report_open(void);
void prober_report_ready(void);
/* Leaves the line out if the one before has not been read yet. */
void prober_report_progress(struct prober *p);
/* Waits, within bounds, until the reader has taken it. */
void prober_report_done(struct prober *p);

#endif
