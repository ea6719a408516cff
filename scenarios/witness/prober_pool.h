/* Populations: when requests arrive, which connection takes them, how many there are. */
#ifndef SCENARIOS_WITNESS_PROBER_POOL_H
#define SCENARIOS_WITNESS_PROBER_POOL_H

#include "scenarios/witness/prober.h"

/* Takes over a population. Returns NULL, or why not. */
const char *prober_pool_add(struct prober *p, const struct prober_spec *spec);
void prober_pool_start(struct prober_population *pop);
/* No new requests; outstanding ones finish; held ones are closed. */
void prober_pool_stop(struct prober_population *pop);
/* Stops it for good, and sets the time of prober_pool_give_up(): whoever waits for something now
 * has its whole patience, but what begins later, or goes on and on, gets no more than that. */
void prober_pool_quit(struct prober_population *pop, uint64_t now_ns);
/* Ends all that is left. */
void prober_pool_give_up(struct prober_population *pop, uint64_t now_ns);
void prober_pool_release(struct prober_population *pop);
void prober_pool_set_rate(struct prober_population *pop, uint64_t rate_milli);
/* Begins the requests that are due. Returns when the next one is, UINT64_MAX never. */
uint64_t prober_pool_arrive(struct prober_population *pop, uint64_t now_ns);
/* Lets waiting requests and standing clients take the room there is; closes what a stopped
 * population does not need any more. */
void prober_pool_dispatch(struct prober_population *pop, uint64_t now_ns);
/* Ends requests that waited longer than the patience. */
void prober_pool_expire(struct prober_population *pop, uint64_t now_ns);
/* Ends all requests that wait for a connection: the run is over. */
void prober_pool_drop(struct prober_population *pop);
struct prober_population *prober_pool_find(struct prober *p, const char *name);
void prober_pool_free(struct prober *p);

/* A failure of the prober itself, for which no server is to blame. */
void prober_own_error(struct prober *p, const char *what, int error);

#endif
