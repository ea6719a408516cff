/* The world's private memory, shared between world.c and world_processes.c. */
#ifndef SCENARIOS_JUDGE_WORLD_TABLES_H
#define SCENARIOS_JUDGE_WORLD_TABLES_H

#include "scenarios/judge/table.h"
#include "scenarios/judge/world.h"

/* Causes: as many as a storm of 10 kHz has in a second, and what it leads to. */
enum { WORLD_CAUSES = 16384, WORLD_LAGS = 256 };

/* A process, and which witnesses have told of its birth. */
struct world_member {
    struct world_process process;
    bool forked, spawned;
};

struct world_tables {
    struct table connections, requests;
    struct table pids; /* pid -> index of its latest process */
    struct world_member *processes;
    size_t process_count, process_room;
    uint64_t ended_request, ended_connection; /* leave with the next record */
    struct {
        struct hist_record record;
        enum world_cause effect;
    } causes[WORLD_CAUSES]; /* a ring */
    size_t cause_count;
    struct {
        uint64_t t_ns, lag_ns;
    } lags[WORLD_LAGS];
    size_t lag_count;
};

/* Births, exits, states, signals: everything about processes. */
void world_take_process(struct world *w, const struct hist_record *r);
/* client.first_byte with the pid that answered. */
void world_answered(struct world *w, const struct hist_record *r);
/* Remembers it if it is a cause, or a lag. */
void world_take_cause(struct world *w, const struct hist_record *r);

#endif
