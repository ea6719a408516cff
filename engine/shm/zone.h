/* Named zones: memory that all workers of all generations share, made by the master
 * (limit_req_zone, ssl_session_cache shared:, an upstream's zone). A zone outlives a reload when
 * its name, kind and size stay the same; then its contents are kept.
 *
 * A zone has one lock. It is robust: when a process dies holding it, the next one to take it runs
 * the kind's `recover`, which must leave the zone usable (in doubt, empty). Keep what happens under
 * it short, and never call out with it held.
 *
 *   master  zones_open() for a new configuration before it forks its workers, zones_close() for the
 *           one that has gone (or the new one, when a reload is undone): zones used by both stay
 *   worker  zones_at(), zone_lock(), zone_unlock(); mappings come by inheritance */
#ifndef ENGINE_SHM_ZONE_H
#define ENGINE_SHM_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ZONE_NAME_MAX = 64, ZONE_BYTES_MIN = 32768 };

/* Who uses it, and how its room is laid out. One static object for each kind. */
struct zone_kind {
    const char *name;                         /* "limit_req" ..., for messages */
    void (*init)(void *room, size_t size);    /* a new zone, all zero */
    void (*recover)(void *room, size_t size); /* NULL: as init, on zeroed room */
};

/* What a configuration asks for. */
struct zone_wish {
    const char *name;
    const struct zone_kind *kind;
    size_t size; /* bytes, ZONE_BYTES_MIN or more */
};

struct zone;
struct zones; /* the zones of one configuration */

/* Zones for the wishes, taking over from `before` (NULL: none) those that stay the same. NULL and a
 * negative errno in *err. The result and `before` both stay valid until each is closed. */
struct zones *zones_open(const struct zone_wish *wishes, size_t count, struct zones *before,
                         int *err);
void zones_close(struct zones *zones); /* NULL is allowed */

/* In the order of the wishes. */
struct zone *zones_at(const struct zones *zones, size_t index);

void *zone_room(struct zone *zone);
size_t zone_size(const struct zone *zone); /* of the room */
void zone_lock(struct zone *zone);         /* fault point shm.update fires with the lock held */
void zone_unlock(struct zone *zone);

#endif
