/* One simulated world: a master and its workers, which are the real supervisor, admission and
 * connection code driven on the simulated kernel, clients, a director who disturbs them, and the
 * judge, who reads the history as it is written. */
#ifndef ENGINE_SIM_SIM_H
#define ENGINE_SIM_SIM_H

#include <stdio.h>

#include "engine/core/adm.h"
#include "engine/core/balance.h"
#include "engine/core/conn.h"
#include "engine/core/sup.h"
#include "engine/sim/sim_kernel.h"
#include "engine/sim/sim_plan.h"
#include "engine/sim/sim_run.h"
#include "engine/upstream/retry.h"
#include "faultinject/decide.h"
#include "scenarios/judge/judge.h"

enum {
    SIM_PORT = 8080,
    SIM_BACKEND_PORT = 9000,  /* of the first */
    SIM_CONNECTIONS_MAX = 96, /* of one worker */
    SIM_CLIENTS_MAX = 1024,
    SIM_ROWS = SUP_WORKERS_MAX,
    SIM_EVENTS_MAX = 256, /* for the supervisor, waiting */
};
#define SIM_MS UINT64_C(1000000)
#define SIM_SECOND UINT64_C(1000000000)
#define SIM_HEARTBEAT_NS (50 * SIM_MS)

/* ---- the worker -------------------------------------------------------------------------------
 */

struct sim_connection {
    struct conn conn;
    struct kernel_segment head; /* of the request under way */
    uint64_t wake_ns, timer_ns; /* when the handler goes on, and its timer; 0 none */
    uint64_t last_req;
    uint32_t number; /* the history's */
    uint32_t body_come, body_left;
    int fd;
    uint8_t parts; /* of the answer, still to be sent */
    bool reads;    /* the socket is watched */
    bool has_head; /* a request is buffered */
    bool partial;  /* a part of one is */
    bool answering;
    bool resume; /* stalled as it was about to execute */
    uint16_t status;
};

enum { SIM_TAG_LINE = 5 }; /* of a master's line to the other one */

/* What master and workers say on a channel, as engine/worker/worker.h has it. */
enum sim_word { WORD_POISED = 1, WORD_GO, WORD_READY, WORD_DRAIN, WORD_STOP };

enum sim_stage { SIM_BOOTS, SIM_READIES, SIM_SERVES, SIM_LEFT };

struct sim_worker {
    struct adm adm;
    struct conn_limits limits;
    uint64_t adm_timer_ns; /* 0: none is set */
    uint64_t due_timer_ns; /* for the first of the connections whose time is over; 0 none */
    uint32_t generation, config;
    unsigned process;
    int16_t slot;
    int listen_fd, channel_fd;
    uint8_t stage; /* enum sim_stage */
    uint8_t owed;  /* enum sim_word that the master has not been told yet; 0 none */
    bool started, watched, orphaned, draining; /* watched: the listener was, at one time */
    bool looked_at;                            /* the watcher has told what it was given */
    uint32_t connection_high;                  /* none above was ever used */
    uint32_t answers;                          /* that clients got the first byte of */
    uint64_t beat_lost;                        /* heartbeats missed while it was busy or stuck */
    struct sim_connection connections[SIM_CONNECTIONS_MAX];
};

/* ---- proxying ---------------------------------------------------------------------------------
 */

enum { SIM_UPLINKS_MAX = SIM_CONNECTIONS_MAX + 16 };
enum sim_uplink_state {
    UPLINK_NONE,
    UPLINK_CONNECTING,
    UPLINK_ASKING, /* and being answered */
    UPLINK_IDLE
};

/* A worker's connection to a backend. */
struct sim_uplink {
    uint64_t due_ns; /* when it is given up */
    int fd;
    uint16_t connection; /* whose request it carries */
    uint8_t state, server;
    bool reused, received; /* received: something of the answer */
};

/* What one request's tries depend on, as engine/http/talk.h has it. */
struct sim_talk {
    struct balance_choice choice;
    struct retry retry;
    uint64_t answered; /* the request that the backend says it answers */
    int16_t server;    /* that is asked, or BALANCE_NONE */
    uint16_t uplink;   /* + 1; 0 none */
};

/* A worker's, in a world that has backends. */
struct sim_proxy {
    struct balance_group group;
    struct balance_server servers[SIM_BACKENDS_MAX];
    struct balance_state states[SIM_BACKENDS_MAX];
    uint64_t random, timer_ns;  /* timer: for the first that is due; 0 none */
    uint32_t count, kept, high; /* of uplinks: all, idle ones; none above was ever used */
    struct sim_uplink uplinks[SIM_UPLINKS_MAX];
    struct sim_talk talks[SIM_CONNECTIONS_MAX]; /* by the client's connection */
};

/* A request that a backend has read. */
struct sim_asked {
    uint64_t req, due_ns, period_ns;
    uint8_t left, before_head; /* pieces of the answer, and those in which its head has not ended */
    bool begun, closes;
};

struct sim_backend {
    unsigned process;
    int listen_fd; /* -1: it does not listen */
    uint8_t mood;  /* enum sim_mood */
    bool alive;
    struct sim_asked asked[KERNEL_FDS_MAX]; /* by descriptor */
};

struct sim_backends {
    uint8_t of_process[KERNEL_PROCS_MAX]; /* index + 1; 0: no backend */
    bool trouble;                         /* as the judge was told */
    uint32_t turn;                        /* changes of mood */
    struct sim_backend at[SIM_BACKENDS_MAX];
};

/* ---- the master -------------------------------------------------------------------------------
 */

struct sim_row {
    uint32_t pid; /* 0: free */
    unsigned process;
    uint32_t generation;
    int16_t slot;
    int channel_fd;
    bool told, settled;
};

struct sim_master {
    struct sup sup;
    struct sup_effects effects;
    unsigned process;
    int listen_fd;
    uint32_t pid;
    uint64_t deadline_ns; /* of the timers that are set; 0 none */
    bool beats_on, settle_on, again_on, stepping, gone, listeners_stopped;
    bool booting;                  /* a new binary that has not had its first turn */
    bool upgraded, has_old;        /* another one started it, which is still there */
    int line_fd;                   /* to the other master, while there is one; -1 none */
    uint32_t config, config_tried; /* numbers: what serves, what is being tried */
    uint32_t generation_tried;
    uint64_t reload_begun_ns; /* of the last one */
    uint32_t event_first, event_count;
    struct sup_event events[SIM_EVENTS_MAX];
    struct sim_row rows[SIM_ROWS];
};

/* ---- clients ----------------------------------------------------------------------------------
 */

enum sim_client_state { CLIENT_FREE, CLIENT_CONNECTS, CLIENT_IDLE, CLIENT_BUSY, CLIENT_LEAVES };

struct sim_client {
    uint8_t state;                                 /* enum sim_client_state */
    uint8_t load;                                  /* index in the plan */
    bool announced, answered, begun_answer, wants; /* wants: a request waits for the connection */
    unsigned connection;
    uint32_t body_left; /* of a body that is sent slowly */
    uint32_t number, requests, last_pid, last_gen, next_free;
    uint64_t connect_ns, since_ns;
    uint64_t due_at_ns; /* when to look after it; 0 never */
    uint64_t req, due_ns, req_begun_ns, last_req;
    uint16_t flags;
};

/* What has come of a load so far. */
struct sim_load_state {
    bool runs;
    uint8_t turn; /* of its arrivals: those of an earlier turn are void */
    uint32_t rate_milli, open, established, newest_gen;
    uint64_t requests, ended[HIST_OUTCOME_COUNT];
    struct sim_random random;
};

struct sim_clients {
    struct sim_client at[SIM_CLIENTS_MAX];
    uint32_t used, free, number;
    uint64_t timer_ns; /* for the first of those who must be looked after; 0 none */
    uint64_t req, requests, failed;
    bool stopped, paused; /* for good; while it is quiet */
    struct sim_load_state loads[SIM_LOADS_MAX];
};

/* ---- the director -----------------------------------------------------------------------------
 */

enum {
    SIM_ASKS_MAX = 64,
    SIM_RELOADS_MAX = 64,
    SIM_STORMS_MAX = 16,
    SIM_BEGINS_MAX = 8,
    SIM_ARMS_MAX = 64
};

struct sim_director {
    uint32_t config, config_workers; /* the file's */
    bool config_valid;
    uint32_t sequence;
    struct {
        uint32_t sequence, config, before;
        uint64_t begun_ns;
        bool waits;
    } reloads[SIM_RELOADS_MAX];
    size_t reload_count;
    struct {
        uint32_t sequence;
        uint64_t begun_ns;
    } asks[SIM_ASKS_MAX];
    size_t ask_count;
    uint64_t act_begun_ns, stop_ns;
    uint32_t upgrade, upgrade_sequence, storms, fired, arms;
    bool upgrade_asked;      /* and its outcome is not known */
    int rules[SIM_ARMS_MAX]; /* of the acts, in the order they were armed */
    struct {
        uint32_t set, left, period_us, sent;
    } storm[SIM_STORMS_MAX];
    enum hist_phase phase;
    bool ready, stopping, master_gone;
    uint32_t good_config, reports[HIST_REPORT_COUNT];
    enum hist_report last_report;
    uint32_t at_phase[SIM_ROWS]; /* pids of the workers when the phase began */
};

/* A story's place in its acts. */
struct sim_story {
    size_t next;
    bool entered; /* the act is under way */
    uint64_t entered_ns, clock_ns;
    double begins[SIM_BEGINS_MAX]; /* what `begin` saw when the act was entered */
    uint32_t baseline_fds, baseline_children;
    unsigned trouble_count;
    char trouble[SIM_TROUBLE_MAX][SIM_TROUBLE_ROOM];
};

/* ---- the whole --------------------------------------------------------------------------------
 */

struct sim {
    struct kernel kernel;
    struct sim_plan plan;
    struct judge *judge;
    struct hist_writer history; /* closed, or to a file */
    FILE *status;               /* a line for each step of the supervisor; NULL none */
    FILE *trace;                /* engine/core/trace.h; NULL none */
    uint64_t hash, records;
    const char *broken; /* the sentence of sup_check() that did not hold; NULL */
    struct fault_board board;
    struct fault_board_file board_file;
    struct fault_self selves[KERNEL_PROCS_MAX];
    struct fault_decision stalls[KERNEL_PROCS_MAX]; /* why a process is stalled */
    struct sim_coverage *coverage;                  /* NULL not counted */
    /* The second is the new binary's in an upgrade, while it lasts; if it is the one that is left,
     * it becomes the first. `master` is the one whose turn it is, else the first, to whom the
     * director speaks. */
    struct sim_master masters[2], *master;
    struct sim_clients clients;
    struct sim_director director;
    struct sim_story story;
    struct sim_worker workers[KERNEL_PROCS_MAX];
    struct sim_backends backends;
    struct sim_proxy proxies[KERNEL_PROCS_MAX]; /* their workers' */
};

/* hooks.outside */
enum sim_outside {
    SIM_OUT_ARRIVAL,
    SIM_OUT_CLIENT,
    SIM_OUT_SAMPLE,
    SIM_OUT_ACT,
    SIM_OUT_DISARM,
    SIM_OUT_STORM,
    SIM_OUT_ASK,
    SIM_OUT_PHASE,
    SIM_OUT_CONT,
    SIM_OUT_BOOT,
    SIM_OUT_OTHER,
    SIM_OUT_ADOPT,
    SIM_OUT_STORY,
    SIM_OUT_BACKENDS
};

static inline struct sim *sim_of(struct kernel *k)
{
    return k->owner;
}

/* sim_run.c. A record is filled in where its writer has it: the time here, who wrote it by
 * sim_worker_record(). */
void sim_record(struct sim *s, struct hist_record *r);

/* sim_fault.c. What came of asking a point. */
enum sim_fault {
    SIM_NO_FAULT,
    SIM_FAULT,     /* *hit is for the caller */
    SIM_FAULT_LOST /* the process ended, or hangs */
};
enum sim_fault sim_fault_ask(struct sim *s, unsigned process, enum fault_point point,
                             struct fault_hit *hit);
/* As sim_fault_ask() where only errno concerns the caller: 0, or a negative errno; 1: lost. */
int sim_fault_step(struct sim *s, unsigned process, enum fault_point point);
bool sim_sabotage(struct sim *s, unsigned process, enum fault_point point);
void sim_fault_identify(struct sim *s, unsigned process, enum fault_role role, int slot,
                        uint32_t generation);
/* Index of the rule, or -1: the text is no rule. */
int sim_fault_arm(struct sim *s, const char *text);
void sim_fault_disarm(struct sim *s, unsigned rule);

/* sim_master.c */
void sim_master_start(struct sim *s);
void sim_master_turn(struct sim *s);
void sim_master_signalled(struct sim *s, int number);
void sim_master_tell(struct sim *s, const struct sup_event *event);
const struct sim_row *sim_master_row(const struct sim *s, int slot, uint32_t generation);
/* What a master does before it starts its workers; `old`: who started it, NULL nobody. */
void sim_master_begin(struct sim *s, const struct sim_master *old);
/* sim_upgrade.c */
void sim_upgrade_start(struct sim *s);
void sim_upgrade_boot(struct sim *s);
void sim_upgrade_line(struct sim *s);
void sim_upgrade_signal(struct sim *s, int number);
void sim_upgrade_ready(struct sim *s);
/* The old master is gone and the new one stays. */
bool sim_upgrade_succeeds(const struct sim *s);
void sim_upgrade_adopt(struct sim *s);
/* True: asking failed and must be done again. */
bool sim_upgrade_reap(struct sim *s);
/* Whose process it is; NULL: no master's. */
struct sim_master *sim_master_of(struct sim *s, unsigned process);
/* sim_effects.c: carries out one effect; returns without a word if the master is gone. */
void sim_master_perform(struct sim *s, const struct sup_effect *effect);
void sim_master_reap(struct sim *s);

/* sim_worker.c */
void sim_worker_start(struct sim *s, unsigned process, const struct sim_row *row, uint32_t config,
                      int channel_fd);
void sim_worker_turn(struct sim *s, unsigned process);
void sim_worker_signalled(struct sim *s, unsigned process, int number);
void sim_worker_happen(struct sim *s, struct sim_worker *w, enum adm_event_kind kind,
                       uint64_t value);
void sim_worker_record(struct sim *s, const struct sim_worker *w, enum hist_kind kind,
                       struct hist_record *r);
/* Its limits are looked at with the next beat. */
void sim_worker_heartbeat(struct sim *s, struct sim_worker *w);
uint64_t sim_worker_beat(const struct sim *s, unsigned process);

/* sim_connection.c */
enum {
    SIM_TAG_DUE = 6,
    SIM_TAG_UPLINKS_DUE,
    SIM_TAG_CONNECTION = 16,
    SIM_TAG_UPLINK = SIM_TAG_CONNECTION + SIM_CONNECTIONS_MAX
};
void sim_connection_open(struct sim *s, struct sim_worker *w, int fd);
void sim_connection_happen(struct sim *s, struct sim_worker *w, struct sim_connection *c,
                           enum conn_event_kind kind, unsigned flags);
void sim_connection_noted(struct sim *s, struct sim_worker *w, const struct kernel_note *note);
void sim_connections_tell(struct sim *s, struct sim_worker *w, enum conn_event_kind kind);
void sim_connections_relieve(struct sim *s, struct sim_worker *w, uint32_t count);
void sim_connections_resume(struct sim *s, struct sim_worker *w);
/* The timer for those whose time is over has come. */
void sim_connections_due(struct sim *s, struct sim_worker *w);

/* What came of a proxied request: a part of its answer; nobody to answer it, so that the client
 * gets this status; an answer that has broken off. */
void sim_connection_relay(struct sim *s, struct sim_worker *w, struct sim_connection *c, bool first,
                          bool last);
void sim_connection_refused(struct sim *s, struct sim_worker *w, struct sim_connection *c,
                            uint16_t status);
void sim_connection_broken(struct sim *s, struct sim_worker *w, struct sim_connection *c);

/* sim_uplink.c: connections of workers to backends. */
void sim_proxy_start(struct sim *s, unsigned process);
/* Hands on the request of this connection: 0, or the status that its client gets at once. */
int sim_proxy_ask(struct sim *s, struct sim_worker *w, uint32_t connection);
/* Nobody waits for the answer any more. */
void sim_proxy_end(struct sim *s, struct sim_worker *w, uint32_t connection);
/* Does it wait for a backend? */
bool sim_proxy_asks(const struct sim *s, const struct sim_worker *w, uint32_t connection);
/* Nothing may be left of requests when all connections are gone. */
void sim_proxy_check(struct sim *s, const struct sim_worker *w);
/* The request that the backend's answer was for. */
uint64_t sim_proxy_answered(struct sim *s, const struct sim_worker *w, uint32_t connection);
void sim_uplink_noted(struct sim *s, struct sim_worker *w, const struct kernel_note *note);
void sim_uplinks_due(struct sim *s, struct sim_worker *w);
/* Closes idle ones, and says how many. */
uint32_t sim_uplinks_relieve(struct sim *s, struct sim_worker *w, uint32_t most);

/* sim_backend.c */
void sim_backends_start(struct sim *s);
void sim_backends_heal(struct sim *s);
/* The time in which a request may suffer from what is over has passed, unless there was more. */
void sim_backends_calmed(struct sim *s, uint32_t turn);
/* Something has happened for which workers may leave a backend out. */
void sim_backends_troubled(struct sim *s);
void sim_backend_mood(struct sim *s, uint32_t which, enum sim_mood mood);
void sim_backend_turn(struct sim *s, unsigned process);
static inline bool sim_is_backend(const struct sim *s, unsigned process)
{
    return s->backends.of_process[process] != 0;
}

/* sim_client.c */
void sim_clients_start(struct sim *s);
void sim_clients_stop(struct sim *s);
void sim_client_arrival(struct sim *s, uint32_t packed);
void sim_client_request(struct sim *s, unsigned load);
void sim_load_start(struct sim *s, unsigned load);
void sim_load_stop(struct sim *s, unsigned load);
void sim_load_rate(struct sim *s, unsigned load, uint32_t rate_milli);
void sim_client_event(struct sim *s, uint32_t client, enum kernel_client_event event,
                      const struct kernel_segment *segment);
void sim_clients_timer(struct sim *s);
void sim_clients_close_held(struct sim *s);

/* sim_director.c */
void sim_director_start(struct sim *s);
void sim_director_outside(struct sim *s, enum sim_outside what, uint32_t a);
void sim_director_reported(struct sim *s, enum hist_report report, uint32_t generation);
void sim_director_ready(struct sim *s);
void sim_director_upgraded(struct sim *s, enum hist_upgrade what);
void sim_director_reopened(struct sim *s);
void sim_director_resized(struct sim *s, uint32_t workers);
void sim_director_master_gone(struct sim *s, int status);
/* The report of the last reload has not come in time. */
void sim_director_unreported(struct sim *s);
void sim_director_enter(struct sim *s, enum hist_phase phase);
void sim_director_stop(struct sim *s, enum sim_stop how);
/* Why the tree has not converged; NULL: it has. */
const char *sim_director_unsettled(const struct sim *s);
void sim_director_param(struct sim *s, enum hist_param param, uint64_t value);

/* sim_acts.c */
void sim_act_perform(struct sim *s, uint32_t index);
void sim_act_limit_fds(struct sim *s, uint32_t limit);
void sim_act_storm(struct sim *s, uint32_t storm);
/* Writes a configuration (workers: 0, one that is not valid), asks for a reload. */
void sim_act_config(struct sim *s, uint32_t workers);
void sim_act_hup(struct sim *s, bool valid, bool waits);
void sim_signal(struct sim *s, uint32_t pid, int number, enum hist_target target);

/* sim_story.c: acts that wait for one another. */
void sim_story_turn(struct sim *s);

/* sim_watch.c: what mw-watch would see. */
void sim_watch_sample(struct sim *s);
void sim_watch_state(struct sim *s, unsigned process, char state);

#endif
