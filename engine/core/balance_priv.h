/* What the parts of load balancing share. */
#ifndef ENGINE_CORE_BALANCE_PRIV_H
#define ENGINE_CORE_BALANCE_PRIV_H

#include "engine/core/balance.h"

enum { HOPS_MAX = 20 }; /* after so many places that will not do, round robin decides */

/* A range of servers: the primaries, or the backups. */
struct range {
    uint32_t first, end;
};

/* May this server be given the request? */
bool balance_may(const struct balance_group *group, const struct balance_choice *choice, uint32_t i,
                 uint64_t now_ns);
/* Counts a choice that was made otherwise than by weights. */
int balance_take(const struct balance_group *group, struct balance_choice *choice, uint32_t i,
                 uint64_t now_ns);
/* The smooth weighted round robin among those servers for which `among` (NULL: all) says yes. */
int balance_smooth(const struct balance_group *group, struct balance_choice *choice,
                   struct range range, uint64_t now_ns,
                   bool (*among)(const struct balance_group *group, uint32_t i, uint32_t like),
                   uint32_t like);

/* balance_keyed.c: BALANCE_NONE where round robin must decide. */
int balance_pick_hash(const struct balance_group *group, struct balance_choice *choice,
                      uint64_t now_ns);
int balance_pick_ip(const struct balance_group *group, struct balance_choice *choice,
                    uint64_t now_ns);
int balance_pick_consistent(const struct balance_group *group, struct balance_choice *choice,
                            uint64_t now_ns);
int balance_pick_random(const struct balance_group *group, struct balance_choice *choice,
                        uint64_t now_ns);

static inline uint32_t balance_total_weight(const struct balance_group *group)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < group->primaries; i++)
        total += group->servers[i].weight;
    return total;
}

/* Whose share of the weights, laid end to end, is `at` (below their total) in? */
static inline uint32_t balance_at_weight(const struct balance_group *group, uint32_t at)
{
    uint32_t i = 0;
    while (at >= group->servers[i].weight)
        at -= group->servers[i++].weight;
    return i;
}

#endif
