/* A client's connection from connect() to close(). */
#ifndef SCENARIOS_WITNESS_PROBER_CONN_H
#define SCENARIOS_WITNESS_PROBER_CONN_H

#include <sys/types.h>

#include "scenarios/witness/prober.h"

/* Opens a connection for the request that was due then. All that can go wrong ends the request. */
void prober_conn_open(struct prober_population *pop, uint64_t due_ns);
void prober_conn_set_state(struct prober_conn *c, enum prober_state state);
/* Waits for these events (EV_READ, EV_WRITE) and no others. */
void prober_conn_watch(struct prober_conn *c, int events);
/* As recv and send: -1 and errno, EAGAIN when it would block. */
ssize_t prober_conn_read(struct prober_conn *c, char *data, size_t len);
ssize_t prober_conn_write(struct prober_conn *c, const char *head, size_t head_len,
                          const char *body, size_t body_len);
/* Looks at a connection without requests just before it is used or closed. If the server has closed
 * it, or has said anything, that is taken note of, and the connection is not to be used. */
bool prober_conn_lives(struct prober_conn *c);
/* Records the close. The structure lives until the loop's turn ends, with state CONN_CLOSED. */
void prober_conn_close(struct prober_conn *c, enum hist_close reason);
/* Ends what is outstanding and closes. */
void prober_conn_abandon(struct prober_conn *c);
/* Its patience is over. */
void prober_conn_expire(struct prober_conn *c);
/* Its population was stopped: leaves as soon as it decently can. */
void prober_conn_stop(struct prober_conn *c);
/* Gives closed connections back for use. */
void prober_conn_bury(struct prober *p);

#endif
