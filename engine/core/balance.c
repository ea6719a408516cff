/* Round robin, least connections, and what all methods share: who may be asked, and health. */
#include "engine/core/balance.h"

#include <string.h>

#include "engine/core/balance_priv.h"
#include "engine/core/check.h"

void balance_init(const struct balance_group *group)
{
    CORE_CHECK(group->count <= BALANCE_SERVERS_MAX && group->primaries <= group->count);
    for (uint32_t i = 0; i < group->count; i++)
        group->states[i] = (struct balance_state){.effective = group->servers[i].weight};
}

void balance_begin(struct balance_choice *choice, const char *key, size_t key_len)
{
    *choice = (struct balance_choice){.key = key, .key_len = key_len};
}

bool balance_is_single(const struct balance_group *group)
{
    return group->count == 1;
}

/* ---- who may be asked ------------------------------------------------------------------------ */

bool balance_may(const struct balance_group *group, const struct balance_choice *choice, uint32_t i,
                 uint64_t now_ns)
{
    const struct balance_server *server = &group->servers[i];
    const struct balance_state *state = &group->states[i];
    if (choice->tried[i / 64] >> (i % 64) & 1 || server->down)
        return false;
    if (server->max_conns != 0 && state->conns >= server->max_conns)
        return false;
    if (server->max_fails == 0 || state->fails < server->max_fails || balance_is_single(group))
        return true;
    return now_ns - state->checked_ns > server->fail_timeout_ns;
}

int balance_take(const struct balance_group *group, struct balance_choice *choice, uint32_t i,
                 uint64_t now_ns)
{
    struct balance_state *state = &group->states[i];
    /* From here on others wait for what this one finds out. */
    if (now_ns - state->checked_ns > group->servers[i].fail_timeout_ns)
        state->checked_ns = now_ns;
    state->conns++;
    choice->tried[i / 64] |= UINT64_C(1) << (i % 64);
    return (int)i;
}

int balance_smooth(const struct balance_group *group, struct balance_choice *choice,
                   struct range range, uint64_t now_ns,
                   bool (*among)(const struct balance_group *group, uint32_t i, uint32_t like),
                   uint32_t like)
{
    int64_t total = 0;
    int best = BALANCE_NONE;
    for (uint32_t i = range.first; i < range.end; i++) {
        if (!balance_may(group, choice, i, now_ns) || (among != NULL && !among(group, i, like)))
            continue;
        struct balance_state *state = &group->states[i];
        state->current += state->effective;
        total += state->effective;
        if (state->effective < group->servers[i].weight)
            state->effective++; /* back, step by step, from what a failure took */
        if (best == BALANCE_NONE || state->current > group->states[best].current)
            best = (int)i;
    }
    if (best == BALANCE_NONE)
        return best;
    group->states[best].current -= total;
    return balance_take(group, choice, (uint32_t)best, now_ns);
}

/* ---- least connections ----------------------------------------------------------------------- */

/* Compares connections per weight: < 0 where i has fewer. */
static int64_t compare_load(const struct balance_group *group, uint32_t i, uint32_t j)
{
    return (int64_t)group->states[i].conns * group->servers[j].weight -
           (int64_t)group->states[j].conns * group->servers[i].weight;
}

static bool is_as_loaded(const struct balance_group *group, uint32_t i, uint32_t like)
{
    return compare_load(group, i, like) == 0;
}

static int pick_least(const struct balance_group *group, struct balance_choice *choice,
                      struct range range, uint64_t now_ns)
{
    int best = BALANCE_NONE;
    for (uint32_t i = range.first; i < range.end; i++)
        if (balance_may(group, choice, i, now_ns) &&
            (best == BALANCE_NONE || compare_load(group, i, (uint32_t)best) < 0))
            best = (int)i;
    if (best == BALANCE_NONE)
        return best;
    return balance_smooth(group, choice, range, now_ns, is_as_loaded, (uint32_t)best);
}

/* ---- picking --------------------------------------------------------------------------------- */

static int pick_in(const struct balance_group *group, struct balance_choice *choice,
                   struct range range, uint64_t now_ns)
{
    if (group->method == BALANCE_LEAST_CONN)
        return pick_least(group, choice, range, now_ns);
    return balance_smooth(group, choice, range, now_ns, NULL, 0);
}

static int pick_by_method(const struct balance_group *group, struct balance_choice *choice,
                          uint64_t now_ns)
{
    if (group->primaries < 2)
        return BALANCE_NONE;
    switch ((enum balance_method)group->method) {
    case BALANCE_IP_HASH:
        return balance_pick_ip(group, choice, now_ns);
    case BALANCE_HASH:
        return balance_pick_hash(group, choice, now_ns);
    case BALANCE_CONSISTENT:
        return balance_pick_consistent(group, choice, now_ns);
    case BALANCE_RANDOM:
    case BALANCE_RANDOM_TWO:
        return balance_pick_random(group, choice, now_ns);
    case BALANCE_ROUND_ROBIN:
    case BALANCE_LEAST_CONN:
        break;
    }
    return BALANCE_NONE;
}

int balance_pick(const struct balance_group *group, struct balance_choice *choice, uint64_t now_ns)
{
    int picked = BALANCE_NONE;
    if (!choice->backups) {
        picked = pick_by_method(group, choice, now_ns);
        if (picked == BALANCE_NONE)
            picked = pick_in(group, choice, (struct range){0, group->primaries}, now_ns);
    }
    if (picked == BALANCE_NONE && group->primaries < group->count) {
        choice->backups = true;
        picked = pick_in(group, choice, (struct range){group->primaries, group->count}, now_ns);
    }
    return picked;
}

bool balance_release(const struct balance_group *group, int server, enum balance_outcome outcome,
                     uint64_t now_ns)
{
    CORE_CHECK(server >= 0 && (uint32_t)server < group->count);
    const struct balance_server *conf = &group->servers[server];
    struct balance_state *state = &group->states[server];
    bool left_out = false;
    if (state->conns > 0)
        state->conns--;
    if (balance_is_single(group))
        return false;
    if (outcome == BALANCE_FAILED) {
        state->fails++;
        state->failed_ns = state->checked_ns = now_ns;
        if (conf->max_fails != 0) {
            state->effective -= conf->weight / conf->max_fails;
            left_out = state->fails >= conf->max_fails;
        }
        if (state->effective < 0)
            state->effective = 0;
    } else if (state->failed_ns < state->checked_ns) {
        state->fails = 0; /* the try after the failures went well */
    }
    return left_out;
}
