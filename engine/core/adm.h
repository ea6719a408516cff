/* Admission: what a worker decides about accepting. Whether its listeners are watched, how many
 * connections a wake may take, what happens at a limit, when a drain is over and when to leave.
 * Decides only: events in, effects out; the driver accepts, watches and closes.
 *
 * How a driver accepts:
 *     listener ready:  adm_step(READY);
 *     while (adm_may_accept(adm)) {        // EMPTY, a failure or the batch's end stops it
 *         fd = accept();                   // on the listeners that are ready, in turn
 *         adm_step(ACCEPTED or what accept said); carry out its effects;
 *     }
 * Every ACCEPTED is followed by one CLOSED when that connection is gone.
 *
 * Descriptors: accepting stops `fd_reserve` descriptors before the limit is reached, so that
 * connections already taken can still open files. If accept says EMFILE all the same (the limit
 * was lowered, the system is full), accepting pauses; it resumes when something of ours is closed
 * and, because others' descriptors free unseen, after a delay that doubles from retry_min to
 * retry_max until an accept succeeds. It never spins and never gives up. */
#ifndef ENGINE_CORE_ADM_H
#define ENGINE_CORE_ADM_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/core/cell.h"

#define ADM_NEVER_NS UINT64_MAX

/* S(SYMBOL, "word", "meaning") */
#define ADM_STATES(S)                                                                              \
    S(NEW, "new", "not serving yet")                                                               \
    S(ACCEPTING, "accepting", "the listeners are watched")                                         \
    S(FULL, "full", "no room for another connection")                                              \
    S(STARVED, "starved", "the system refused a descriptor or memory")                             \
    S(DRAINING, "draining", "no new connections; leaves with the last one, or at the bound")       \
    S(GONE, "gone", "told to leave")

enum adm_state {
#define S(symbol, word, meaning) ADM_##symbol,
    ADM_STATES(S)
#undef S
        ADM_STATE_COUNT
};

/* E(SYMBOL, "word", "meaning") */
#define ADM_EVENTS(E)                                                                              \
    E(START, "start", "the worker is ready to serve")                                              \
    E(READY, "ready", "a listener has a connection waiting")                                       \
    E(ACCEPTED, "accepted", "accept gave a connection")                                            \
    E(EMPTY, "empty", "no listener has one (EAGAIN)")                                              \
    E(ABORTED, "aborted",                                                                          \
      "the client was gone (ECONNABORTED, EPROTO, EINTR, EPERM, network errors)")                  \
    E(NO_FD, "no-fd", "EMFILE or ENFILE")                                                          \
    E(NO_MEMORY, "no-memory", "ENOMEM, ENOBUFS, or no memory for the connection's state")          \
    E(BROKEN, "broken", "any other failure of accept")                                             \
    E(CLOSED, "closed", "a connection that was ACCEPTED is gone, its descriptor closed")           \
    E(FREED, "freed", "another descriptor or a good deal of memory was given back")                \
    E(FD_LIMIT, "fd-limit", "the descriptor limit is now `value`")                                 \
    E(OTHERS, "others", "the worker has `value` connections that it did not accept")               \
    E(DRAIN, "drain", "QUIT, or the master said so")                                               \
    E(ORPHAN, "orphan", "the master is gone")                                                      \
    E(STOP, "stop", "TERM, INT, or the master said so")                                            \
    E(TIMER, "timer", "the deadline may have passed")

enum adm_event_kind {
#define E(symbol, word, meaning) ADM_EV_##symbol,
    ADM_EVENTS(E)
#undef E
        ADM_EVENT_COUNT
};

/* Wrong behaviours (faultinject/points.def `sabotage.*`), set by the driver in the event at which
 * they act: S(SYMBOL, word, "when") */
#define ADM_SABOTAGES(S)                                                                           \
    S(DIE_AT_EMFILE, die_at_emfile, "NO_FD")                                                       \
    S(NEVER_RESUME, never_resume, "NO_FD")                                                         \
    S(SPIN_AT_EMFILE, spin_at_emfile, "NO_FD")                                                     \
    S(CRASH_AT_CONNECTIONS, crash_at_connections, "ACCEPTED that reaches the limit")               \
    S(SERVE_OLD, serve_old, "DRAIN: go on accepting")                                              \
    S(DRAIN_FOR_EVER, drain_for_ever, "DRAIN, ORPHAN, TIMER: forget the bound")                    \
    S(IGNORE_TERM, ignore_term, "STOP")                                                            \
    S(HOARD_ACCEPTS, hoard_accepts, "READY: no batch")
enum {
#define S(symbol, word, when) ADM_SAB_BIT_##symbol,
    ADM_SABOTAGES(S)
#undef S
        ADM_SAB_COUNT
};
enum adm_sabotage {
#define S(symbol, word, when) ADM_SAB_##symbol = 1 << ADM_SAB_BIT_##symbol,
    ADM_SABOTAGES(S)
#undef S
};
/* The sabotages that an event of this kind listens to: the driver asks for these points only. */
uint32_t adm_sabotages(enum adm_event_kind kind);

struct adm_event {
    uint8_t kind; /* enum adm_event_kind */
    uint32_t sabotage;
    uint64_t value; /* FD_LIMIT, OTHERS */
};

/* E(SYMBOL, "word", "meaning") */
#define ADM_EFFECTS(E)                                                                             \
    E(WATCH, "watch", "watch the listeners")                                                       \
    E(UNWATCH, "unwatch", "do not watch them (why)")                                               \
    E(RELIEVE, "relieve",                                                                          \
      "`value` connections shall go: idle ones to other servers, then CONN_EV_REAP to clients, "   \
      "the longest idle first, then others")                                                       \
    E(DRAIN_ALL, "drain-all", "CONN_EV_DRAIN to every connection; the drain has begun")            \
    E(CLOSE_ALL, "close-all", "CONN_EV_CUT to every connection: the drain bound passed")           \
    E(EXIT, "exit", "leave the process with code `value`")                                         \
    E(ABORT, "abort", "abort() (sabotage)")

enum adm_effect_kind {
#define E(symbol, word, meaning) ADM_DO_##symbol,
    ADM_EFFECTS(E)
#undef E
        ADM_EFFECT_COUNT
};

/* Why accepting stopped; the numbers are those of HIST_PAUSE_LIST (a test of the worker holds them
 * together). */
enum adm_why { ADM_WHY_CONNECTIONS, ADM_WHY_FD, ADM_WHY_MEMORY, ADM_WHY_DRAIN };

enum { ADM_EFFECTS_MAX = 4 };

struct adm_effects {
    uint32_t count;
    uint16_t cell; /* that the event came to; CORE_NO_CELL: a timer that was early */
    struct adm_effect {
        uint8_t kind; /* enum adm_effect_kind */
        uint8_t why;  /* WATCH: what had stopped it; UNWATCH: enum adm_why */
        uint32_t value;
    } items[ADM_EFFECTS_MAX];
};

enum { ADM_BATCH_MAX = 64 }; /* accepts in one wake with multi_accept */

struct adm_options {
    uint32_t connections_max;            /* worker_connections, OTHERS included; at least 1 */
    uint32_t fd_limit;                   /* RLIMIT_NOFILE; 0 not known */
    uint32_t fd_base;                    /* descriptors open before the first connection */
    uint32_t fd_reserve;                 /* kept free for files of connections already taken */
    bool multi_accept;                   /* ADM_BATCH_MAX a wake, else one */
    uint64_t retry_min_ns, retry_max_ns; /* 0: ADM_RETRY_MIN_NS, ADM_RETRY_MAX_NS */
    uint64_t relieve_ns;      /* while FULL ask again for relief after this; 0: ADM_RELIEVE_NS */
    uint64_t drain_ns;        /* longest drain; 0 no bound */
    uint64_t orphan_drain_ns; /* longest drain without a master; 0: as drain_ns */
};
#define ADM_RETRY_MIN_NS UINT64_C(20000000)
#define ADM_RETRY_MAX_NS UINT64_C(500000000)
#define ADM_RELIEVE_NS UINT64_C(1000000000)

struct adm {
    struct adm_options options;
    uint64_t deadline_ns; /* ADM_NEVER_NS: none */
    uint64_t retry_ns;    /* the next delay of STARVED */
    uint64_t accepted;    /* in all */
    uint32_t active;      /* accepted and not closed */
    uint32_t others;      /* connections to other servers */
    uint32_t limit;       /* connections there is room for beside them */
    bool by_fd;           /* it is descriptors that set the limit, not connections_max */
    uint32_t grant;       /* accepts left in this wake */
    uint8_t state;        /* enum adm_state; changed in one place */
    uint8_t why;          /* of FULL and STARVED: enum adm_why */
    bool stuck;           /* sabotage.never_resume */
};

void adm_init(struct adm *a, const struct adm_options *options);
/* Effects are written from items[0] on; count is set. */
void adm_step(struct adm *a, uint64_t now_ns, const struct adm_event *event,
              struct adm_effects *effects);
static inline uint64_t adm_next_deadline_ns(const struct adm *a)
{
    return a->deadline_ns;
}
static inline bool adm_may_accept(const struct adm *a)
{
    return a->grant > 0;
}
/* Aborts if admission is in a condition that no order of events leads to. */
void adm_check(const struct adm *a);

const char *adm_state_name(unsigned state);
const char *adm_event_name(unsigned kind);
const char *adm_effect_name(unsigned kind);
unsigned adm_cell_count(void);
/* False: out of range. */
bool adm_cell_name(unsigned cell, struct core_cell *out);

#endif
