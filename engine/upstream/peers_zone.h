/* What workers share about a group of servers, in a zone (engine/shm/zone.h). */
#ifndef ENGINE_UPSTREAM_PEERS_ZONE_H
#define ENGINE_UPSTREAM_PEERS_ZONE_H

#include "engine/upstream/peers.h"

/* Moves a group's states to the zone, where another worker, also of the configuration before, may
 * have put them already. What workers that are gone have left counted is taken back. false: there
 * is no room. */
bool peers_share(struct peers *peers, struct zone *zone, int pid);
/* With the zone locked: is the group's area still there? A zone starts afresh when a process dies
 * in a change of it; then the area is made anew. false: there is no room, this worker counts alone
 * from now on. */
bool peers_check(struct peers *peers);
/* Gives up this worker's part. */
void peers_leave(struct peers *peers);

#endif
