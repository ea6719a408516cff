/* The groups of servers of a configuration as one worker uses them: who is asked next, and who is
 * known to fail. A group with a zone shares that with all workers. Decides nothing itself: picking
 * is engine/core/balance.h's. */
#ifndef ENGINE_UPSTREAM_PEERS_H
#define ENGINE_UPSTREAM_PEERS_H

#include "engine/conf/conf_proxy.h"
#include "engine/core/balance.h"
#include "engine/shm/zone.h"

struct peers {
    const struct conf_upstream *conf;
    struct balance_group group;
    struct zone *zone; /* NULL: the states are this worker's own */
    struct area *area; /* in the zone: the group's (peers_zone.c), ... */
    uint64_t area_id;
    uint32_t *seat; /* ... and this worker's part of each server's connections */
    unsigned seat_number;
    int pid;
    uint32_t available; /* servers that are not down: the most that one request may try */
    uint64_t random;
    struct balance_server *servers;
    struct balance_state *states; /* own ones */
    struct balance_point *points;
};

/* All groups of a configuration; upstreams_of() finds one by its conf. */
struct upstreams {
    const struct conf *conf;
    struct peers *groups;
};
/* `seed` starts the streams of random choices; `pid` is the worker's. 0, or a negative errno. */
int upstreams_open(struct upstreams *all, const struct conf *conf, const struct zones *zones,
                   uint64_t seed, int pid);
void upstreams_close(struct upstreams *all);
static inline struct peers *upstreams_of(const struct upstreams *all,
                                         const struct conf_upstream *conf)
{
    return &all->groups[conf->index];
}
/* By name (lower case); NULL: there is none. */
struct peers *upstreams_find(const struct upstreams *all, struct conf_str name);

/* One group by itself, without a zone. 0, or -ENOMEM. */
int peers_open(struct peers *peers, const struct conf_upstream *conf, uint64_t seed);
void peers_close(struct peers *peers);

/* BALANCE_NONE: nobody is left to be asked. */
int peers_pick(struct peers *peers, struct balance_choice *choice, uint64_t now_ns);
/* Did this failure make the server one that is left out? */
bool peers_release(struct peers *peers, int server, enum balance_outcome outcome, uint64_t now_ns);

#endif
