/* Requests and answers on an established connection. */
#ifndef SCENARIOS_WITNESS_PROBER_EXCHANGE_H
#define SCENARIOS_WITNESS_PROBER_EXCHANGE_H

#include "scenarios/witness/prober.h"

/* Writes the next batch (one request; `depth` of them if pipelined) into the connection's buffer.
 */
void prober_exchange_prepare(struct prober_conn *c, uint64_t due_ns);
/* Begins to send what was prepared. */
void prober_exchange_start(struct prober_conn *c);
/* Sends what may be sent now, and waits for what has to be waited for. */
void prober_exchange_send(struct prober_conn *c);
void prober_exchange_receive(struct prober_conn *c);
/* Ends all outstanding requests: the one whose answer is under way, and those behind it. */
void prober_exchange_end(struct prober_conn *c, enum hist_outcome current, enum hist_outcome rest);
/* The connection broke with this errno; 0: the server closed it. Classifies and closes. */
void prober_exchange_lost(struct prober_conn *c, int error);
/* The longest head a request of this population can have. */
size_t prober_exchange_head_max(const struct prober_spec *spec);

#endif
