/* Writes what clients see into the history, and counts it. */
#ifndef SCENARIOS_WITNESS_PROBER_RECORD_H
#define SCENARIOS_WITNESS_PROBER_RECORD_H

#include "scenarios/witness/prober.h"

void prober_record_population(struct prober_population *pop);
void prober_record_connect(struct prober_conn *c);
void prober_record_connected(struct prober_conn *c);
void prober_record_connect_failed(struct prober_conn *c, int error);
void prober_record_request(struct prober_conn *c, struct prober_request *r, uint16_t flags);
void prober_record_sent(struct prober_conn *c, const struct prober_request *r);
void prober_record_first_byte(struct prober_conn *c, const struct prober_request *r);
/* Ends a request. Writes what is owed before it: a request that never reached a connection gets
 * its client.request here, with the flag `partial`, so that every end has its beginning. */
void prober_record_end(struct prober_conn *c, struct prober_request *r, enum hist_outcome outcome,
                       uint16_t flags);
/* As above, for a request that waited for a connection in vain. */
void prober_record_unsent(struct prober_population *pop, uint64_t due_ns,
                          enum hist_outcome outcome);
void prober_record_close(struct prober_conn *c, enum hist_close reason);
/* Tells how many are established if that has changed, and has not been told just now. */
void prober_record_held(struct prober_population *pop, uint64_t now_ns);
void prober_record_lag(struct prober *p, uint64_t now_ns, uint64_t lag_ns);
void prober_record_done(struct prober *p);

uint64_t prober_nonce(struct prober *p);
uint64_t prober_random(struct prober *p);
/* The latency below which `permille` of the good answers stayed. */
uint64_t prober_latency_ns(const struct prober *p, unsigned permille);

#endif
