/* A zone holds an area for each group, found by what the group is: its name and servers. So states
 * outlive a reload that leaves a group as it is, and a changed group starts anew.
 *
 * A worker has a seat in an area: its own part of each server's number of connections. A worker
 * that is killed cannot take its part back; whoever comes next finds its pid gone and does. */
#include "engine/upstream/peers_zone.h"

#include <errno.h>
#include <string.h>

#include "engine/os/sys.h"

enum { SEATS = 256 };

/* The room: a head, then areas one after the other. An area: its head, states, seats' owners, and
 * the seats, `count` numbers each. */
struct room {
    uint64_t used; /* bytes, the head included; 0: nothing was put here yet */
};
struct area {
    uint64_t id, bytes;
    uint32_t count;
    int32_t owners[SEATS]; /* pids; 0: free */
};

static size_t round_up(size_t bytes)
{
    return (bytes + 15) & ~(size_t)15;
}

static size_t area_bytes(uint32_t count)
{
    return round_up(sizeof(struct area)) + round_up(count * sizeof(struct balance_state)) +
           round_up(SEATS * count * sizeof(uint32_t));
}

static struct balance_state *area_states(struct area *area)
{
    return (struct balance_state *)(void *)((char *)area + round_up(sizeof *area));
}

static uint32_t *area_seat(struct area *area, unsigned seat)
{
    char *states = (char *)area_states(area);
    uint32_t *seats =
        (uint32_t *)(void *)(states + round_up(area->count * sizeof(struct balance_state)));
    return seats + (size_t)seat * area->count;
}

static void zone_init(void *room, size_t size)
{
    (void)size;
    ((struct room *)room)->used = round_up(sizeof(struct room));
}

const struct zone_kind zone_kind_upstream = {.name = "upstream", .init = zone_init};

/* ---- areas ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *at, size_t len)
{
    const unsigned char *bytes = at;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t group_id(const struct conf_upstream *conf)
{
    uint64_t id = mix(UINT64_C(0xcbf29ce484222325), conf->name.at, conf->name.len + 1);
    for (size_t i = 0; i < conf->server_count; i++) {
        const struct conf_upstream_server *server = &conf->servers[i];
        id = mix(id, server->text.at, server->text.len + 1);
        id = mix(id, &server->weight, sizeof server->weight);
        id = mix(id, &server->backup, sizeof server->backup);
    }
    return id;
}

static struct area *area_find(struct room *room, uint64_t id, uint32_t count)
{
    size_t at = round_up(sizeof *room);
    while (at < room->used) {
        struct area *area = (struct area *)(void *)((char *)room + at);
        if (area->id == id && area->count == count)
            return area;
        at += area->bytes;
    }
    return NULL;
}

static struct area *area_new(struct room *room, size_t size, uint64_t id, struct peers *peers)
{
    uint32_t count = peers->group.count;
    size_t bytes = area_bytes(count);
    if (bytes > size - room->used)
        return NULL;
    struct area *area = (struct area *)(void *)((char *)room + room->used);
    memset(area, 0, bytes);
    area->id = id;
    area->bytes = bytes;
    area->count = count;
    memcpy(area_states(area), peers->states, count * sizeof(struct balance_state));
    room->used += bytes; /* last: an area is there whole, or not at all */
    return area;
}

/* ---- seats ----------------------------------------------------------------------------------- */

static bool is_gone(int pid)
{
    return sys_kill(pid, 0) == -ESRCH;
}

static void seat_clear(struct area *area, unsigned seat)
{
    struct balance_state *states = area_states(area);
    uint32_t *counts = area_seat(area, seat);
    for (uint32_t i = 0; i < area->count; i++) {
        states[i].conns -= counts[i] < states[i].conns ? counts[i] : states[i].conns;
        counts[i] = 0;
    }
    area->owners[seat] = 0;
}

/* false: all are taken. */
static bool seat_take(struct peers *peers, struct area *area)
{
    uint32_t *mine = NULL;
    for (unsigned seat = 0; seat < SEATS; seat++) {
        int owner = area->owners[seat];
        if (owner != 0 && (owner == peers->pid || is_gone(owner)))
            seat_clear(area, seat);
        if (area->owners[seat] == 0 && mine == NULL) {
            area->owners[seat] = peers->pid;
            peers->seat_number = seat;
            mine = area_seat(area, seat);
        }
    }
    peers->seat = mine;
    return mine != NULL;
}

/* With the zone locked. */
static bool join(struct peers *peers, struct zone *zone)
{
    struct room *room = zone_room(zone);
    struct area *area = area_find(room, peers->area_id, peers->group.count);
    if (area == NULL)
        area = area_new(room, zone_size(zone), peers->area_id, peers);
    bool joined = area != NULL && seat_take(peers, area);
    peers->zone = joined ? zone : NULL;
    peers->area = area;
    peers->group.states = joined ? area_states(area) : peers->states;
    return joined;
}

bool peers_share(struct peers *peers, struct zone *zone, int pid)
{
    peers->pid = pid;
    peers->area_id = group_id(peers->conf);
    zone_lock(zone);
    bool joined = join(peers, zone);
    zone_unlock(zone);
    return joined;
}

bool peers_check(struct peers *peers)
{
    const struct room *room = zone_room(peers->zone);
    const struct area *area = peers->area;
    bool inside = (size_t)((const char *)area - (const char *)room) < room->used;
    if (inside && area->id == peers->area_id && area->count == peers->group.count &&
        area->owners[peers->seat_number] == peers->pid)
        return true;
    return join(peers, peers->zone);
}

void peers_leave(struct peers *peers)
{
    struct zone *zone = peers->zone;
    if (zone == NULL)
        return;
    zone_lock(zone);
    if (peers_check(peers))
        seat_clear(peers->area, peers->seat_number);
    zone_unlock(zone);
    peers->zone = NULL;
}
