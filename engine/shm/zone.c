/* Zones: one shared mapping each, a robust lock at its start, the room behind it. The descriptor of
 * a mapping is closed at once, so that zones cost no process a descriptor. */
#include "engine/shm/zone.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/os/log.h"
#include "engine/os/memfd.h"
#include "engine/os/sys.h"
#include "faultinject/fault.h"

struct zone_head {
    pthread_mutex_t lock;
    char room[] __attribute__((aligned(64)));
};

struct zone {
    char name[ZONE_NAME_MAX];
    const struct zone_kind *kind;
    size_t size;    /* of the mapping */
    unsigned users; /* sets of zones it belongs to; counted in this process only */
    struct zone_head *head;
};

struct zones {
    size_t count;
    struct zone *items[];
};

static int zone_init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    int err = pthread_mutexattr_init(&attr);
    if (err != 0)
        return -err;
    err = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (err == 0)
        err = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (err == 0)
        err = pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
    return -err;
}

static void zone_free(struct zone *zone)
{
    if (zone->head != NULL)
        memfd_unmap(zone->head, zone->size);
    free(zone);
}

static struct zone *zone_new(const struct zone_wish *wish, int *err)
{
    int fd;
    struct zone *zone = sys_alloc(sizeof *zone);
    if (zone == NULL) {
        *err = -ENOMEM;
        return NULL;
    }
    *zone = (struct zone){.kind = wish->kind, .size = wish->size, .users = 1};
    memcpy(zone->name, wish->name, strlen(wish->name) + 1);
    zone->head = memfd_map(wish->name, wish->size, &fd, err);
    if (zone->head != NULL) {
        sys_close(fd);
        *err = zone_init_lock(&zone->head->lock);
    }
    if (*err != 0) {
        zone_free(zone);
        return NULL;
    }
    zone->kind->init(zone_room(zone), zone_size(zone));
    return zone;
}

/* The zone of another configuration that this wish may go on with; NULL: there is none. */
static struct zone *zone_of_before(const struct zones *before, const struct zone_wish *wish)
{
    for (size_t i = 0; before != NULL && i < before->count; i++) {
        struct zone *zone = before->items[i];
        if (zone->kind == wish->kind && zone->size == wish->size &&
            strcmp(zone->name, wish->name) == 0)
            return zone;
    }
    return NULL;
}

struct zones *zones_open(const struct zone_wish *wishes, size_t count, const struct zones *before,
                         int *err)
{
    struct zones *zones = sys_alloc(sizeof *zones + count * sizeof(struct zone *));
    *err = zones == NULL ? -ENOMEM : 0;
    if (zones == NULL)
        return NULL;
    zones->count = 0;
    while (zones->count < count) {
        const struct zone_wish *wish = &wishes[zones->count];
        CHECK(strlen(wish->name) < ZONE_NAME_MAX && wish->size >= ZONE_BYTES_MIN);
        struct zone *zone = zone_of_before(before, wish);
        if (zone != NULL)
            zone->users++;
        else if ((zone = zone_new(wish, err)) == NULL) {
            zones_close(zones);
            return NULL;
        }
        zones->items[zones->count++] = zone;
    }
    return zones;
}

void zones_close(struct zones *zones)
{
    if (zones == NULL)
        return;
    for (size_t i = 0; i < zones->count; i++)
        if (--zones->items[i]->users == 0)
            zone_free(zones->items[i]);
    free(zones);
}

struct zone *zones_at(const struct zones *zones, size_t index)
{
    CHECK(index < zones->count);
    return zones->items[index];
}

void *zone_room(struct zone *zone)
{
    return zone->head->room;
}

size_t zone_size(const struct zone *zone)
{
    return zone->size - sizeof *zone->head;
}

/* Whoever held the lock died in the middle of a change. */
static void zone_recover(struct zone *zone)
{
    log_line(LEVEL_ALERT, "a process died while it changed zone \"%s\"; its contents start afresh",
             zone->name);
    memset(zone_room(zone), 0, zone_size(zone));
    zone->kind->init(zone_room(zone), zone_size(zone));
    CHECK(pthread_mutex_consistent(&zone->head->lock) == 0);
}

void zone_lock(struct zone *zone)
{
    int err = pthread_mutex_lock(&zone->head->lock);
    CHECK(err == 0 || err == EOWNERDEAD);
    if (err == EOWNERDEAD && !fault_sabotage(FAULT_sabotage_lock_stays))
        zone_recover(zone);
    fault_step(FAULT_shm_update);
}

void zone_unlock(struct zone *zone)
{
    CHECK(pthread_mutex_unlock(&zone->head->lock) == 0);
}
