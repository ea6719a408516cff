/* Groups of servers: from the configuration to what the balancers need. */
#include "engine/upstream/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/upstream/peers_zone.h"

_Static_assert((int)CONF_ROUND_ROBIN == BALANCE_ROUND_ROBIN &&
                   (int)CONF_LEAST_CONN == BALANCE_LEAST_CONN &&
                   (int)CONF_IP_HASH == BALANCE_IP_HASH && (int)CONF_HASH == BALANCE_HASH &&
                   (int)CONF_CONSISTENT == BALANCE_CONSISTENT &&
                   (int)CONF_RANDOM == BALANCE_RANDOM && (int)CONF_RANDOM_TWO == BALANCE_RANDOM_TWO,
               "one meaning, one number");

static int compare_points(const void *a, const void *b)
{
    const struct balance_point *left = a, *right = b;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->server < right->server ? -1 : left->server > right->server;
}

/* The circle of a consistent hash. */
static int make_circle(struct peers *peers)
{
    struct balance_group *group = &peers->group;
    size_t count = 0;
    for (uint32_t i = 0; i < group->primaries; i++)
        count += peers->servers[i].weight * BALANCE_POINTS_PER_WEIGHT;
    peers->points = sys_calloc(count, sizeof *peers->points);
    if (peers->points == NULL)
        return -ENOMEM;
    struct balance_point *at = peers->points;
    for (uint32_t i = 0; i < group->primaries; i++) {
        balance_points(&peers->servers[i], i, at);
        at += peers->servers[i].weight * BALANCE_POINTS_PER_WEIGHT;
    }
    qsort(peers->points, count, sizeof *peers->points, compare_points);
    group->points = peers->points;
    group->point_count = balance_points_unique(peers->points, (uint32_t)count);
    return 0;
}

static void describe(struct peers *peers, const struct conf_upstream *conf)
{
    for (size_t i = 0; i < conf->server_count; i++) {
        const struct conf_upstream_server *server = &conf->servers[i];
        peers->servers[i] = (struct balance_server){
            .fail_timeout_ns = server->fail_timeout_ns,
            .weight = server->weight,
            .max_fails = server->max_fails,
            .max_conns = server->max_conns,
            .down = server->down,
            .name = server->name.at,
            .name_len = server->name.len,
        };
        peers->available += !server->down;
    }
    peers->group = (struct balance_group){
        .servers = peers->servers,
        .states = peers->states,
        .count = (uint32_t)conf->server_count,
        .primaries = (uint32_t)conf->primary_count,
        .random = &peers->random,
        .method = (uint8_t)conf->method,
    };
}

int peers_open(struct peers *peers, const struct conf_upstream *conf, uint64_t seed)
{
    *peers = (struct peers){.conf = conf, .random = seed | 1};
    peers->servers = sys_calloc(conf->server_count, sizeof *peers->servers);
    peers->states = sys_calloc(conf->server_count, sizeof *peers->states);
    if (peers->servers == NULL || peers->states == NULL) {
        peers_close(peers);
        return -ENOMEM;
    }
    describe(peers, conf);
    balance_init(&peers->group);
    int err = conf->method == CONF_CONSISTENT ? make_circle(peers) : 0;
    if (err != 0)
        peers_close(peers);
    return err;
}

void peers_close(struct peers *peers)
{
    free(peers->servers);
    free(peers->states);
    free(peers->points);
    *peers = (struct peers){0};
}

int upstreams_open(struct upstreams *all, const struct conf *conf, const struct zones *zones,
                   uint64_t seed, int pid)
{
    *all = (struct upstreams){.conf = conf};
    all->groups = sys_calloc(conf->upstream_count + 1, sizeof *all->groups);
    if (all->groups == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < conf->upstream_count; i++) {
        const struct conf_upstream *upstream = conf->upstreams[i];
        struct peers *peers = &all->groups[i];
        int err = peers_open(peers, upstream, seed + i * UINT64_C(0x9e3779b97f4a7c15));
        if (err != 0)
            return err;
        if (upstream->has_zone && zones != NULL &&
            !peers_share(peers, zones_at(zones, upstream->zone), pid))
            log_line(LEVEL_ERR,
                     "zone \"%s\" has no room for upstream \"%s\": each worker counts alone",
                     conf->zones[upstream->zone].name.at, upstream->name.at);
    }
    return 0;
}

void upstreams_close(struct upstreams *all)
{
    for (size_t i = 0; all->groups != NULL && i < all->conf->upstream_count; i++) {
        peers_leave(&all->groups[i]);
        peers_close(&all->groups[i]);
    }
    free(all->groups);
    all->groups = NULL;
}

struct peers *upstreams_find(const struct upstreams *all, struct conf_str name)
{
    for (size_t i = 0; i < all->conf->upstream_count; i++) {
        struct conf_str here = all->conf->upstreams[i]->name;
        if (here.len == name.len && memcmp(here.at, name.at, name.len) == 0)
            return &all->groups[i];
    }
    return NULL;
}

int peers_pick(struct peers *peers, struct balance_choice *choice, uint64_t now_ns)
{
    if (peers->zone == NULL)
        return balance_pick(&peers->group, choice, now_ns);
    struct zone *zone = peers->zone;
    zone_lock(zone);
    bool shared = peers_check(peers);
    int server = balance_pick(&peers->group, choice, now_ns);
    if (shared && server != BALANCE_NONE)
        peers->seat[server]++;
    zone_unlock(zone);
    return server;
}

bool peers_release(struct peers *peers, int server, enum balance_outcome outcome, uint64_t now_ns)
{
    if (peers->zone == NULL)
        return balance_release(&peers->group, server, outcome, now_ns);
    struct zone *zone = peers->zone;
    zone_lock(zone);
    bool shared = peers_check(peers), left_out = false;
    /* Nothing on the seat: the zone was emptied since, and there is nothing to give back. */
    if (!shared || peers->seat[server] > 0) {
        if (shared)
            peers->seat[server]--;
        left_out = balance_release(&peers->group, server, outcome, now_ns);
    }
    zone_unlock(zone);
    return left_out;
}
