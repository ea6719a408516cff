/* What the judge knows of the world at this moment of the history: the process tree, the
 * connections and the requests under way, the parameters, phases, reloads and stops. Kept by
 * world_take(), read by the checkers; queries are O(1) unless they say otherwise. */
#ifndef SCENARIOS_JUDGE_WORLD_H
#define SCENARIOS_JUDGE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/history/hist.h"

enum { WORLD_POPULATIONS_MAX = 32 };

struct world_process {
    uint32_t pid;
    uint32_t parent;
    uint64_t born_ns;     /* watch.fork or engine.spawn, whichever first; 0 before the history */
    uint64_t ready_ns;    /* engine.worker_ready, or first answer a client got from it; 0 not yet */
    uint64_t told_ns;     /* engine.tell of QUIT: its master's clock runs from here; 0 not told */
    uint64_t drain_ns;    /* engine.drain; 0 not draining */
    uint64_t exit_ns;     /* watch.exit or engine.worker_exit, whichever first; 0 alive */
    uint64_t exit_status; /* as wait(2); ~0 unknown */
    uint64_t stopped_ns;  /* SIGSTOP seen (director.signal or state T); 0 running */
    int16_t slot;         /* -1 unknown */
    uint32_t gen;         /* configuration number if any answer told, else engine generation */
    uint32_t generation;  /* the engine's, as its master told; 0 unknown */
    bool full;            /* engine.accept_pause: it has no room for another connection */
    bool is_master;       /* the watched root, or an engine.master */
    bool is_worker;       /* a child of a master */
};

/* A request the prober has begun and that has not ended. */
struct world_request {
    uint64_t req;
    struct hist_record begun;     /* client.request */
    struct hist_record executed;  /* engine.request; kind HIST_NONE: not seen */
    struct hist_record responded; /* engine.response */
    uint64_t sent_ns, first_byte_ns;
};

/* A connection between client.connect and client.close, as both ends told it. */
struct world_connection {
    uint64_t conn;
    int16_t population; /* index */
    uint64_t connect_ns, connected_ns, accepted_ns;
    uint32_t server_pid;                 /* from engine.accept or an answer; 0 unknown */
    struct hist_record closed_by_server; /* engine.close; kind HIST_NONE: none seen */
    uint64_t last_request_ns, last_end_ns;
    uint64_t last_answer_ns; /* latest client.first_byte; 0 none */
    uint32_t newest_gen;     /* newest configuration an answer on it named */
    uint64_t requests;       /* begun on it */
};

struct world_population {
    enum hist_population kind;
    bool proxied;
    uint64_t rate_milli, clients, held; /* held: latest client.held */
    bool known;
};

struct world {
    uint64_t now_ns, begin_ns, ready_ns, end_ns;
    uint64_t stop_ns;                  /* director.stop: the server is being stopped; 0 not yet */
    uint64_t stopped_ns;               /* director.stopped */
    bool stop_graceful, master_killed; /* director.stop a=2 or KILL sent to the master */
    uint32_t master_pid;               /* the watched root, 0 unknown */
    enum hist_phase phase;
    uint64_t phase_ns;
    uint64_t param[HIST_PARAM_COUNT];
    bool param_known[HIST_PARAM_COUNT];
    struct world_population populations[WORLD_POPULATIONS_MAX];

    uint32_t
        config_current; /* number of the configuration that should serve (last successful reload) */
    uint32_t config_latest; /* number of the file's configuration (last director.config) */
    bool config_latest_valid;
    uint64_t reload_begun_ns; /* last director.reload; 0 none */
    uint64_t reload_ended_ns; /* its director.reloaded; 0 under way */
    uint64_t reloads_asked, reloads_ok, reloads_refused, reloads_undone;
    struct hist_record last_reload, last_reloaded;

    uint64_t disturbed_ns;         /* time of the last signal, fault firing, exit or reload */
    struct hist_record last_fault; /* last fault.fired */
    struct hist_record
        last_signal; /* last director.signal or storm.signal that is not a pure reload/reopen */
    struct hist_record last_exit; /* last worker exit */
    uint64_t max_lag_ns;          /* worst client.lag so far */
    uint64_t live_workers;        /* children of the master that have not exited */
    uint64_t watch_period_ns;     /* of mw-watch; 0: nobody watches */
    bool watched;                 /* watch.root was seen */
    bool upgrading;               /* a new binary starts, or there are two masters */
    uint32_t new_master_pid;      /* of them the newer, 0 none */
    uint32_t new_binary_pid;      /* the last one started, as the server's trace tells */
    uint32_t parting_pid;         /* the master that a signal told to go; 0 none */

    struct world_tables *tables; /* private */
};

void world_init(struct world *w);
void world_take(struct world *w, const struct hist_record *r);
void world_release(struct world *w);

const struct world_process *world_process(const struct world *w, uint32_t pid); /* NULL unknown */
/* Its master told it to go, or it says that it goes: one that is stopped does not hear. */
static inline bool world_told_to_go(const struct world_process *p)
{
    return p->told_ns != 0 || p->drain_ns != 0;
}
const struct world_request *
world_request(const struct world *w,
              uint64_t req); /* NULL ended/unknown; during client.end still there */
const struct world_connection *
world_connection(const struct world *w, uint64_t conn); /* NULL; during client.close still there */
/* Calls visit for every process ever seen, in order of appearance, until it returns false. O(n). */
void world_processes(const struct world *w, bool (*visit)(const struct world_process *p, void *arg),
                     void *arg);
/* Of the workers that lived at since_ns or later none had room for another connection: who waits
 * then is taken by nobody. As far as the server tells; O(n). */
bool world_was_full(const struct world *w, uint64_t since_ns);
/* The request a response of population `index` belongs to may be judged: not abusive, not
 * abandoned on purpose. */
bool world_population_counts(const struct world *w, int16_t index);
/* It is for an application behind the server, and that is in trouble. */
bool world_backend_fails(const struct world *w, int16_t index);
/* What may break or delay what a process serves; never a sabotage, which is what the judge is there
 * to catch. A set of these says which count. */
enum world_cause {
    WORLD_BREAKS = 1, /* from outside: a deadly signal that was sent, a fault that fired */
    WORLD_SLOWS = 2,  /* from outside: SIGSTOP, a fault that delays or stalls */
    WORLD_EXITS = 4   /* its own: it crashed, or its watchdog aborted it */
};
/* May who gets this signal end of it? Not of those that a server gives a meaning of its own, or
 * that harm nobody. */
bool signal_ends(uint64_t number);
/* The latest cause in [from_ns, to_ns] that concerns process `pid` (0: any). NULL: there is none.
 * O(causes since from_ns). */
const struct hist_record *world_cause(const struct world *w, uint32_t pid, uint64_t from_ns,
                                      uint64_t to_ns, unsigned which);
/* The prober was later than limit_ns somewhere in [from_ns, to_ns]. */
bool world_lagged(const struct world *w, uint64_t from_ns, uint64_t to_ns, uint64_t limit_ns);
/* Does a client's record say little about how long it took, because the prober was late for half of
 * that or more? A prober that was late for less measured a wait all the same. */
bool world_mismeasured(const struct world *w, const struct hist_record *r, uint64_t took_ns);
/* During a client.end: was it lost to the idle-close race? Sent on a connection that had been idle,
 * gone at once without an answer, and, as far as is known, never executed. */
bool world_idle_race(const struct world *w, const struct hist_record *end);
uint64_t world_param(const struct world *w, enum hist_param p, uint64_t otherwise);

#endif
