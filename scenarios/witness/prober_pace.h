/* Everything that takes its time on purpose: slow senders and readers, tunnels, abuse. */
#ifndef SCENARIOS_WITNESS_PROBER_PACE_H
#define SCENARIOS_WITNESS_PROBER_PACE_H

#include "scenarios/witness/prober.h"

/* A batch begins: how much of it may be sent at once, and whether a timer is needed. */
void prober_pace_begin(struct prober_conn *c);
void prober_pace_end(struct prober_conn *c);
/* How many bytes may be read now; 0 rests until the timer. */
size_t prober_pace_read_limit(struct prober_conn *c);
/* All that an abusive client wanted to send is sent. */
void prober_pace_abuse(struct prober_conn *c);
/* A held request may be finished. */
void prober_pace_release(struct prober_conn *c);

void prober_tunnel_begin(struct prober_conn *c);
void prober_tunnel_take(struct prober_conn *c, const char *data, size_t len);
/* Sends no more; ends well once everything has come back. */
void prober_tunnel_leave(struct prober_conn *c);

#endif
