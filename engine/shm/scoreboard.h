/* The scoreboard: what the master and its workers show each other, the status page and
 * `mw-engine -s reload --wait`, in one shared mapping that the master makes before the first
 * worker. No locks: every field has one writer and is read with relaxed atomics, so that a process
 * killed at any instruction leaves it usable; totals of workers that are gone are added to
 * `retired` by the master when it reaps. */
#ifndef ENGINE_SHM_SCOREBOARD_H
#define ENGINE_SHM_SCOREBOARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Counters of a worker. COUNTER(symbol, "name", gauge, "meaning"): one list for the struct, the
 * JSON page and the Prometheus page. */
#define SCORE_COUNTERS(C)                                                                          \
    C(accepted, "accepted", 0, "connections accepted")                                             \
    C(requests, "requests", 0, "requests executed")                                                \
    C(active, "active", 1, "connections established")                                              \
    C(reading, "reading", 1, "connections whose request is being read")                            \
    C(writing, "writing", 1, "connections whose answer is being sent")                             \
    C(waiting, "waiting", 1, "idle keep-alive connections")                                        \
    C(bytes_in, "bytes_in", 0, "bytes received")                                                   \
    C(bytes_out, "bytes_out", 0, "bytes sent")                                                     \
    C(status_2xx, "responses_2xx", 0, "answers with status 2xx")                                   \
    C(status_3xx, "responses_3xx", 0, "answers with status 3xx")                                   \
    C(status_4xx, "responses_4xx", 0, "answers with status 4xx")                                   \
    C(status_5xx, "responses_5xx", 0, "answers with status 5xx")                                   \
    C(accept_errors, "accept_errors", 0, "accepts that failed")                                    \
    C(accept_pauses, "accept_pauses", 0, "times accepting was paused")                             \
    C(shed, "shed", 0, "connections turned away at a limit")

enum {
    SCORE_SLOTS_MAX = 256, /* rows; old and new generation each take rows during a reload */
    SCORE_REPORTS = 16,
    SCORE_VERSION = 2,
};

struct score_counters {
#define C(symbol, name, gauge, meaning) uint64_t symbol;
    SCORE_COUNTERS(C)
#undef C
};

/* One worker process. Rows are given out by the master; a row is reused after its worker is reaped.
 */
struct score_row {
    /* written by the master */
    uint32_t state; /* enum score_state */
    int32_t pid;
    int32_t slot;
    uint32_t generation;
    uint64_t since_ns;
    /* written by the worker */
    uint64_t heartbeat; /* grows at least each 100 ms while its loop turns */
    uint64_t draining;
    struct score_counters counters;
} __attribute__((aligned(64)));

/* POISED: it could accept and waits for the master's go, READY: it accepts. */
enum score_state {
    SCORE_FREE,
    SCORE_STARTING,
    SCORE_POISED,
    SCORE_READY,
    SCORE_DRAINING,
    SCORE_KILLED
};

/* The outcome of one reload. */
struct score_report {
    uint32_t generation; /* that it tried */
    uint32_t outcome;    /* enum hist_report */
    char text[832];      /* room for a whole error of a configuration */
};

struct scoreboard {
    uint32_t version; /* SCORE_VERSION, for readers in other processes */
    int32_t fd;       /* the master's, of this memory */
    /* written by the master */
    int32_t master_pid;
    uint32_t generation; /* current */
    uint32_t workers;    /* configured */
    uint64_t started_ns;
    uint32_t generation_tried; /* the highest that a reload has begun to load */
    uint64_t reloads_asked, reloads_ok, reloads_refused, reloads_undone;
    uint64_t report_count;                      /* grows after the report is written */
    struct score_report reports[SCORE_REPORTS]; /* the last ones; report k at k % SCORE_REPORTS */
    uint64_t respawns, crashes, watchdog_aborts, spawn_failures;
    uint64_t breaker_until_ns; /* respawning is slowed until; 0 no */
    uint32_t upgrade_state;    /* enum hist_upgrade + 1 of the last step, 0 none */
    uint32_t retiring;         /* odd while the master moves a row's totals to `retired` */
    struct score_counters retired;
    struct score_row rows[SCORE_SLOTS_MAX];
};

/* Maps a fresh scoreboard, shared with children. NULL and *err = -errno without memory. */
struct scoreboard *scoreboard_new(int *err);
void scoreboard_free(struct scoreboard *board);
/* Takes a free row (master). -1: none is free. */
int scoreboard_take(struct scoreboard *board, pid_t pid, int slot, uint32_t generation,
                    uint64_t now_ns);
/* Writes down how a reload ended (master). */
void scoreboard_report(struct scoreboard *board, uint32_t generation, uint32_t outcome,
                       const char *text);
/* Finds the first report that is kept about a generation above `after`. */
bool scoreboard_find_report(const struct scoreboard *board, uint32_t after,
                            struct score_report *out);
/* Another process's scoreboard, read-only. NULL and *err as memfd_find() says. */
const struct scoreboard *scoreboard_attach(pid_t master, int *err);
void scoreboard_detach(const struct scoreboard *board);
/* Adds a dead worker's totals to `retired` and frees its row (master). */
void scoreboard_retire(struct scoreboard *board, int row);
/* Sum over live rows and retired. */
void scoreboard_total(const struct scoreboard *board, struct score_counters *out);

#define SCORE_ADD(field, n) __atomic_store_n(&(field), (field) + (uint64_t)(n), __ATOMIC_RELAXED)
#define SCORE_SET(field, n) __atomic_store_n(&(field), (n), __ATOMIC_RELAXED)
#define SCORE_GET(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* Pages. Write at most size bytes, return what snprintf would. */
int scoreboard_json(const struct scoreboard *board, uint64_t now_ns, char *out, size_t size);
int scoreboard_prometheus(const struct scoreboard *board, uint64_t now_ns, char *out, size_t size);

#endif
