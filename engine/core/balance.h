/* Load balancing: which of a group's servers gets the next request. nginx's methods, to the letter,
 * and its passive health: a server that failed max_fails times within fail_timeout is left out for
 * as long, then tried again with one request. Decides only; times come in, nothing is allocated.
 *
 * What changes (struct balance_state) is apart from what a configuration says (struct
 * balance_server), so that it can lie in memory that workers share; the caller holds the lock.
 *
 *     balance_begin(&choice, key);                    once for each request
 *     i = balance_pick(&group, &choice, now_ns);      for each try; BALANCE_NONE: no server left
 *     balance_release(&group, i, outcome, now_ns);    when that try is over */
#ifndef ENGINE_CORE_BALANCE_H
#define ENGINE_CORE_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BALANCE_SERVERS_MAX = 512, BALANCE_NONE = -1, BALANCE_POINTS_PER_WEIGHT = 160 };

enum balance_method {
    BALANCE_ROUND_ROBIN,
    BALANCE_LEAST_CONN,
    BALANCE_IP_HASH,
    BALANCE_HASH,
    BALANCE_CONSISTENT,
    BALANCE_RANDOM,
    BALANCE_RANDOM_TWO,
};

struct balance_server {
    uint64_t fail_timeout_ns;
    uint32_t weight;    /* 1 or more */
    uint32_t max_fails; /* 0: failures do not count */
    uint32_t max_conns; /* 0: any */
    bool down;
    const char *name; /* as configured: servers of one name share their points on the circle */
    size_t name_len;
};

struct balance_state {
    int64_t current, effective; /* weights of the smooth round robin */
    uint64_t failed_ns;         /* the last failure */
    uint64_t checked_ns;        /* the last failure, or the last try after one */
    uint32_t fails, conns;
};

/* A place on the circle of BALANCE_CONSISTENT. */
struct balance_point {
    uint32_t hash, server;
};

struct balance_group {
    const struct balance_server *servers; /* backups behind the others */
    struct balance_state *states;
    const struct balance_point *points; /* sorted by hash */
    uint32_t point_count;
    uint32_t count, primaries;
    uint64_t *random; /* the state of this group's stream; not 0 */
    uint8_t method;   /* enum balance_method */
};

/* What one request's choices depend on and remember. */
struct balance_choice {
    const char *key; /* address bytes for IP_HASH, text for HASH and CONSISTENT */
    size_t key_len;
    uint64_t tried[BALANCE_SERVERS_MAX / 64];
    uint32_t hash, rehash, hops; /* private */
    bool hashed, backups;        /* private */
};

enum balance_outcome { BALANCE_SERVED, BALANCE_FAILED };

/* Before anything is picked from these states. */
void balance_init(const struct balance_group *group);
void balance_begin(struct balance_choice *choice, const char *key, size_t key_len);
int balance_pick(const struct balance_group *group, struct balance_choice *choice, uint64_t now_ns);
/* Did this failure make the server one that is left out? */
bool balance_release(const struct balance_group *group, int server, enum balance_outcome outcome,
                     uint64_t now_ns);
/* Nobody else could be asked: such a server's failures do not count. */
bool balance_is_single(const struct balance_group *group);

/* One server's points, weight times BALANCE_POINTS_PER_WEIGHT; the caller sorts them all. */
void balance_points(const struct balance_server *server, uint32_t index, struct balance_point *out);
/* Sorted points of one hash: only the first counts. Returns how many are left. */
uint32_t balance_points_unique(struct balance_point *points, uint32_t count);

#endif
