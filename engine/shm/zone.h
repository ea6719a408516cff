/* Named zones: memory that all workers of all generations share, made by the master
 * (limit_req_zone, ssl_session_cache shared:, an upstream's zone). A zone outlives a reload when
 * its name, kind and size stay the same; then its contents are kept.
 *
 * A zone has one lock. It is robust: when a process dies holding it, the next one to take it starts
 * the zone afresh, empty, and says so in the log. Keep what happens under it short, and never call
 * out with it held. engine/shm/table.h lays a room out as a table of keys and values.
 *
 *   master  zones_open() for a new configuration before it forks its workers, zones_close() for the
 *           one that has gone (or the new one, when a reload is undone): zones used by both stay
 *   worker  zones_at(), zone_lock(), zone_unlock(); mappings come by inheritance */
#ifndef ENGINE_SHM_ZONE_H
#define ENGINE_SHM_ZONE_H

#include <stddef.h>

enum { ZONE_NAME_MAX = 64, ZONE_BYTES_MIN = 32768 };

/* Who uses a zone. One static object for each kind; zones of different kinds are never mixed up. */
struct zone_kind {
    const char *name;                      /* "limit_req" ..., for messages */
    void (*init)(void *room, size_t size); /* lays out a room that is all zero; size in bytes */
};

/* What a configuration asks for. */
struct zone_wish {
    const char *name; /* shorter than ZONE_NAME_MAX */
    const struct zone_kind *kind;
    size_t size; /* bytes, ZONE_BYTES_MIN or more */
};

struct zone;
struct zones; /* the zones of one configuration */

/* Zones for the wishes, taking over from `before` (NULL: none) those that stay the same. NULL and a
 * negative errno in *err. The result and `before` are closed apart, in any order. */
struct zones *zones_open(const struct zone_wish *wishes, size_t count, const struct zones *before,
                         int *err);
void zones_close(struct zones *zones); /* NULL is allowed */
/* In the order of the wishes. */
struct zone *zones_at(const struct zones *zones, size_t index);

void *zone_room(struct zone *zone);
size_t zone_size(const struct zone *zone); /* of the room, bytes */
/* Fault point shm.update fires with the lock held. */
void zone_lock(struct zone *zone);
void zone_unlock(struct zone *zone);

#endif
