/* The supervisor: everything a master process decides, and nothing it does.
 *
 * Events go in, effects come out in a bounded array, and the result of an effect comes back as a
 * later event. There is no system call, clock, allocation or libev here, so the same code drives
 * the real master and the simulator. A worker is named by (slot, generation), never by a pid: of
 * each name at most one process lives at a time.
 *
 * How a driver runs it: sup_init() and SUP_BOOT; then for every event sup_step() and, before the
 * next step, every effect in order. When sup_next_deadline_ns() has come it delivers the beats of
 * all workers (SUP_BEAT) and then SUP_TIMER: deadlines are looked at in that step and in no other,
 * so a master that was itself stopped for a while does not take its workers for hung.
 *
 * sup_cells.def has the two tables: modes x inputs, and worker states x inputs. */
#ifndef ENGINE_CORE_SUP_H
#define ENGINE_CORE_SUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/core/cell.h"

enum {
    SUP_WORKERS_MAX = 256, /* entries: workers of all generations that live or wait */
    SUP_SLOTS_MAX = 128,   /* workers of one generation, so that two generations have room */
    SUP_EFFECTS_MAX = 2 * SUP_WORKERS_MAX + 32,
    SUP_CELL_WORDS = 5,
};

/* ---- events ------------------------------------------------------------------------------ */

/* For the master as a whole. E(SYMBOL, "word", "meaning") */
#define SUP_MASTER_EVENTS(E)                                                                       \
    E(BOOT, "boot", "the first configuration is loaded, its listeners listen: start")              \
    E(RELOAD, "reload", "HUP")                                                                     \
    E(QUIT, "quit", "QUIT: stop gracefully")                                                       \
    E(STOP, "stop", "TERM or INT: stop fast")                                                      \
    E(REOPEN, "reopen", "USR1")                                                                    \
    E(UPGRADE, "upgrade", "USR2")                                                                  \
    E(REST, "rest", "WINCH: the workers go, the master stays")                                     \
    E(GROW, "grow", "TTIN")                                                                        \
    E(SHRINK, "shrink", "TTOU")                                                                    \
    E(CONF_OK, "conf_ok", "LOAD_CONF: valid, its new listeners are open; settings are filled in")  \
    E(CONF_BAD, "conf_bad", "LOAD_CONF: refused, nothing was changed")                             \
    E(OTHER_READY, "other_ready", "the new binary's master says that its workers are ready")       \
    E(OTHER_GONE, "other_gone", "the other master is gone, or could not be started; a: status")

/* For one worker (slot, generation). */
#define SUP_WORKER_EVENTS(E)                                                                       \
    E(SPAWNED, "spawned", "SPAWN: the process exists")                                             \
    E(SPAWN_FAILED, "spawn_failed", "SPAWN: fork or its preparation failed; a: errno")             \
    E(POISED, "poised", "the worker says that it could accept, and waits for GO")                  \
    E(READY, "ready", "the worker says that it accepts")                                           \
    E(DRAINING, "draining", "the worker no longer accepts")                                        \
    E(BEAT, "beat", "its heartbeat counter; a: value")                                             \
    E(EXITED, "exited", "it was reaped; a: wait status")                                           \
    E(UNTOLD, "untold", "GO, DRAIN, TERM, ABORT or KILL could not be sent; a: errno")

enum sup_event_kind {
#define E(symbol, word, meaning) SUP_##symbol,
    SUP_MASTER_EVENTS(E) SUP_WORKER_EVENTS(E)
#undef E
        SUP_TIMER, /* a deadline may have come */
    SUP_EVENT_COUNT
};

/* What a configuration says to the supervisor. */
struct sup_settings {
    uint32_t workers;
    uint64_t drain_ns;       /* longest drain; 0 no bound */
    uint64_t watchdog_ns;    /* longest silence; 0 off */
    uint64_t backoff_min_ns; /* first delay of a slot that crashes again */
    uint64_t backoff_max_ns;
    uint64_t reload_timeout_ns; /* start to ready, of a worker or of a new binary */
    uint32_t generations; /* that may live at once, the one being tried included; 0 no bound */
};

/* Wrong behaviours of the core, for faultinject/points.def `sabotage.*`; S(SYMBOL, "word"). The
 * driver asks sup_sabotage_wanted() which of them would matter in a step, and puts those that are
 * armed into event.sabotage. */
#define SUP_SABOTAGES(S)                                                                           \
    S(DRAIN_BEFORE_READY, drain_before_ready)                                                      \
    S(NO_RESPAWN, no_respawn)                                                                      \
    S(SPAWN_TWICE, spawn_twice)                                                                    \
    S(KILL_NEIGHBOUR, kill_neighbour)                                                              \
    S(NO_BACKOFF, no_backoff)                                                                      \
    S(FORK_GIVES_UP, fork_gives_up)                                                                \
    S(NO_WATCHDOG, no_watchdog)                                                                    \
    S(DRAIN_FOR_EVER, drain_for_ever)                                                              \
    S(IGNORE_TERM, ignore_term)                                                                    \
    S(SERVE_OLD, serve_old)                                                                        \
    S(DIE_ON_BAD_CONFIG, die_on_bad_config)                                                        \
    S(DEAF_AFTER_FAILED_RELOAD, deaf_after_failed_reload)                                          \
    S(REPORT_EARLY, report_early)                                                                  \
    S(LOSE_RELOAD, lose_reload)                                                                    \
    S(WAIT_FOR_WORKERS, wait_for_workers)                                                          \
    S(FIVE_SIGNALS, five_signals)                                                                  \
    S(STOP_TWICE, stop_twice)                                                                      \
    S(HASTY_KILL, hasty_kill)                                                                      \
    S(GROW_TWICE, grow_twice)                                                                      \
    S(REST_AT_READY, rest_at_ready)                                                                \
    S(NO_RETURN, no_return)                                                                        \
    S(UPGRADE_STUCK, upgrade_stuck)                                                                \
    S(RELOAD_AT_ONCE, reload_at_once)                                                              \
    S(PILE_UP, pile_up)
enum sup_sabotage_bit {
#define S(symbol, word) SUP_SABOTAGE_##symbol,
    SUP_SABOTAGES(S)
#undef S
        SUP_SABOTAGE_COUNT
};
#define SUP_SABOTAGE(symbol) (UINT64_C(1) << SUP_SABOTAGE_##symbol)

struct sup_event {
    enum sup_event_kind kind;
    int16_t slot;        /* worker events */
    uint32_t generation; /* worker events */
    uint64_t a;
    uint64_t sabotage;            /* set of SUP_SABOTAGE(...) */
    struct sup_settings settings; /* CONF_OK */
};

/* ---- effects ----------------------------------------------------------------------------- */

/* F(SYMBOL, "word", "meaning"). "worker" effects name one by slot and generation. */
#define SUP_EFFECT_LIST(F)                                                                         \
    F(SPAWN, "spawn", "fork the worker; SPAWNED or SPAWN_FAILED must follow")                      \
    F(GO, "go", "tell the worker to accept; READY follows")                                        \
    F(DRAIN, "drain", "tell the worker to drain (QUIT); a: its bound in ns, 0 none")               \
    F(TERM, "term", "send the worker TERM")                                                        \
    F(ABORT, "abort", "send the worker ABRT: it is hung; a: ns it has been silent")                \
    F(KILL, "kill", "send the worker KILL; a: ns it has been silent, 0 not for that")              \
    F(RESPAWN, "respawn", "the worker crashed; a: ns until its successor, b: crashes in a row")    \
    F(RETRY, "retry", "forking the worker failed; a: errno, b: ns until it is tried again")        \
    F(LOAD_CONF, "load_conf", "load the configuration as generation; CONF_OK or CONF_BAD follows") \
    F(KEEP_CONF, "keep_conf", "generation serves the configuration that is current")               \
    F(DISCARD_CONF, "discard_conf", "close what was opened for generation only, free it")          \
    F(COMMIT, "commit", "generation is current; what only the old one needs is closed")            \
    F(REPORT, "report", "a reload ended; a: enum sup_outcome, b: wait status; reason, slot")       \
    F(READY, "ready", "for the first time all workers are ready; a: workers")                      \
    F(RESIZED, "resized", "a: workers wanted now")                                                 \
    F(REOPEN_LOGS, "reopen_logs", "open the logs anew and tell every worker to")                   \
    F(UPGRADE_START, "upgrade_start", "start the new binary; OTHER_READY or OTHER_GONE follows")   \
    F(UPGRADE_QUIT, "upgrade_quit", "send the new binary's master QUIT: it is overdue")            \
    F(UPGRADE_KILL, "upgrade_kill", "send it KILL")                                                \
    F(UPGRADE_REPORT, "upgrade_report", "a: enum sup_upgrade, b: wait status; reason")             \
    F(RESTORE_PID, "restore_pid", "the pid file names this master again, .oldbin goes")            \
    F(NOTE, "note", "tell the operator: a: the event's kind, reason")                              \
    F(STOPPING, "stopping", "a: 1 gracefully, 0 fast; close the listeners")                        \
    F(EXIT, "exit", "the master's end; a: exit code")

enum sup_effect_kind {
#define F(symbol, word, meaning) SUP_DO_##symbol,
    SUP_EFFECT_LIST(F)
#undef F
        SUP_EFFECT_COUNT
};

enum sup_outcome { SUP_RELOAD_OK, SUP_RELOAD_REFUSED, SUP_RELOAD_UNDONE };
enum sup_upgrade {
    SUP_UPGRADE_STARTED,
    SUP_UPGRADE_REFUSED,
    SUP_UPGRADE_READY,
    SUP_UPGRADE_FAILED,
    SUP_UPGRADE_OVER
};

/* Why; R(SYMBOL, "word", "as the operator reads it"). */
#define SUP_REASONS(R)                                                                             \
    R(NONE, "none", "")                                                                            \
    R(CONF, "conf", "the configuration is not valid")                                              \
    R(TOO_MANY, "too_many", "worker_processes is above the limit of 128")                          \
    R(EXITED, "exited", "a new worker exited before all were ready")                               \
    R(LATE, "late", "the new workers were not ready within reload_timeout")                        \
    R(CROWDED, "crowded", "too many workers of older configurations are still draining")           \
    R(STOPPING, "stopping", "the server is being stopped")                                         \
    R(BUSY, "busy", "another master of an upgrade is still there")                                 \
    R(DEFERRED, "deferred", "it will be done when what is under way has ended")                    \
    R(LAST_ONE, "last_one", "one worker is the least there can be")                                \
    R(STALLED, "stalled", "the new binary was not ready in time")                                  \
    R(DIED, "died", "the new binary exited before it was ready")                                   \
    R(DROPPED, "dropped", "dropped: the new binary did not become ready")
enum sup_reason {
#define R(symbol, word, text) SUP_BECAUSE_##symbol,
    SUP_REASONS(R)
#undef R
        SUP_REASON_COUNT
};

struct sup_effect {
    uint8_t kind;   /* enum sup_effect_kind */
    uint8_t reason; /* enum sup_reason */
    int16_t slot;   /* -1 none */
    uint32_t generation;
    uint64_t a, b;
};

struct sup_effects {
    uint32_t count;
    uint64_t cells[SUP_CELL_WORDS]; /* a set of those the step came to: sup_cell_name() */
    struct sup_effect at[SUP_EFFECTS_MAX];
};

/* ---- state ------------------------------------------------------------------------------- */

#define SUP_MODES(M)                                                                               \
    M(BOOTING, "booting", "the first workers, or those that were brought back, are not all ready") \
    M(RUNNING, "running", "nothing is under way")                                                  \
    M(LOADING, "loading", "a reload: the configuration is being read")                             \
    M(ROLLING, "rolling", "a reload: the new workers are starting beside the old")                 \
    M(SWITCHING, "switching", "a reload: it is committed, not all new workers accept yet")         \
    M(RETIRING, "retiring", "a reload: the old workers were told, not all have stopped accepting") \
    M(UNDOING, "undoing", "a reload: it failed, not all of its new workers are gone")              \
    M(UPGRADING, "upgrading", "the new binary is starting")                                        \
    M(RESTING, "resting", "the workers were told to go (WINCH), the master stays")                 \
    M(QUITTING, "quitting", "a graceful stop")                                                     \
    M(STOPPING, "stopping", "a fast stop")                                                         \
    M(DONE, "done", "EXIT was given")
enum sup_mode {
#define M(symbol, word, meaning) SUP_MODE_##symbol,
    SUP_MODES(M)
#undef M
        SUP_MODE_COUNT
};

#define SUP_WORKER_STATES(S)                                                                       \
    S(WAITING, "waiting", "no process: its start is put off until the deadline")                   \
    S(SPAWNING, "spawning", "SPAWN was given, its result is not in")                               \
    S(STARTING, "starting", "a process that is not ready")                                         \
    S(POISED, "poised", "it could accept; not told to, or it has not said that it does")           \
    S(READY, "ready", "it accepts")                                                                \
    S(DRAINING, "draining", "told to finish and go")                                               \
    S(TERMINATING, "terminating", "TERM was sent")                                                 \
    S(ABORTING, "aborting", "hung: ABRT was sent")                                                 \
    S(KILLING, "killing", "KILL was sent")
enum sup_worker_state {
#define S(symbol, word, meaning) SUP_WORKER_##symbol,
    SUP_WORKER_STATES(S)
#undef S
        SUP_WORKER_STATE_COUNT
};

enum sup_other {
    SUP_OTHER_NONE,
    SUP_OTHER_STARTING, /* the new binary, not ready */
    SUP_OTHER_ASKED,    /* the same, overdue and asked to leave */
    SUP_OTHER_KILLED,
    SUP_OTHER_NEW, /* two masters: this one is the old */
    SUP_OTHER_OLD, /* two masters: this one is the new */
};

struct sup_worker {
    uint64_t deadline_ns; /* when SUP_TIMER must look at it; UINT64_MAX never */
    uint64_t bound_ns;    /* DRAINING: TERM at this time; UINT64_MAX never */
    uint64_t born_ns;     /* its process was forked */
    uint64_t beat_ns;     /* its heartbeat last changed */
    uint64_t beat;        /* and was this */
    uint32_t generation;
    int16_t slot;
    uint8_t state;    /* enum sup_worker_state */
    uint8_t crashes;  /* in a row, each soon after its start; stops at 255 */
    uint8_t fails;    /* forks that failed in a row */
    bool leaving : 1; /* it is not replaced when it is gone */
    bool settled : 1; /* DRAINING: it no longer accepts, or we stopped waiting for it to say so */
    bool untold : 1;  /* POISED, DRAINING: telling it failed and is tried again */
    bool ghost : 1;   /* sabotage no_respawn: no process, counted as live */
};

struct sup_options {
    struct sup_settings settings;
    uint64_t seed;
    uint64_t grace_ns;  /* TERM or ABRT to KILL; longest wait for DRAINING after a commit */
    uint64_t fast_ns;   /* a fast stop: TERM to KILL */
    uint64_t stable_ns; /* a worker that lived this long has not crashed soon after its start */
    uint64_t tree_period_ns; /* respawns after crashes, over all slots: one each period, after a
                              * burst of twice the workers */
    bool has_old_master;     /* this master was started by an upgrade */
};
/* 1 s of grace, 1 s for a fast stop, 1 s to be stable, 10 respawns a second over the whole tree. */
struct sup_options sup_options_default(const struct sup_settings *settings, uint64_t seed);

/* Pending requests: bits, because a second of a kind asks for nothing new. */
enum { SUP_PENDING_RELOAD = 1, SUP_PENDING_UPGRADE = 2, SUP_PENDING_REST = 4 };

struct sup {
    uint64_t due_ns;           /* no deadline is earlier */
    uint64_t mode_deadline_ns; /* UINT64_MAX none */
    uint64_t tree_spare_ns;    /* when the tree's whole burst of respawns is there again */
    uint64_t random;
    struct sup_settings settings; /* of the current generation */
    struct sup_settings next;     /* of the one being tried */
    struct sup_settings before;   /* of those before the current one */
    struct sup_options options;   /* its settings are not used after sup_init */
    uint32_t generation;          /* current */
    uint32_t trying;              /* being loaded or rolled, 0 none */
    uint32_t outgoing;            /* SWITCHING: the one that serves until the current one does */
    uint32_t generation_last;     /* the highest number given out */
    struct {                      /* UNDOING: what will be reported */
        uint32_t generation;
        int16_t slot;
        uint8_t reason; /* enum sup_reason */
        uint64_t status;
    } undone;
    uint8_t mode;  /* enum sup_mode */
    uint8_t other; /* enum sup_other */
    uint8_t pending;
    int16_t pending_resize;
    bool announced : 1;     /* READY was given */
    bool resting : 1;       /* WINCH: no workers until a reload */
    bool returning : 1;     /* workers were brought back, not all are ready yet */
    bool owes_report : 1;   /* by a HUP that waits for the report */
    bool short_handed : 1;  /* a generation lacks workers because all entries are taken */
    bool reload_failed : 1; /* the last reload did */
    bool sabotaged : 1;     /* a sabotage did something: sup_check() asks less */
    /* sabotage five_signals and wait_for_workers */
    uint32_t stash;
    uint32_t signals;
    uint64_t signals_since_ns;
    uint32_t used;
    struct sup_worker workers[SUP_WORKERS_MAX]; /* the first `used`, in no order; keep this last */
};

void sup_init(struct sup *sup, const struct sup_options *options);
/* One event, at a time that never goes back. Fills *effects (its count starts at 0). */
void sup_step(struct sup *sup, uint64_t now_ns, const struct sup_event *event,
              struct sup_effects *effects);
/* When SUP_TIMER is due: perhaps too early, never too late; UINT64_MAX never. */
uint64_t sup_next_deadline_ns(const struct sup *sup);
/* What must hold after every step. NULL, or the sentence that does not hold. */
const char *sup_check(const struct sup *sup);
/* The sabotages that could change what this step decides. */
uint64_t sup_sabotage_wanted(const struct sup *sup, uint64_t now_ns, const struct sup_event *event);

const struct sup_worker *sup_find(const struct sup *sup, int slot, uint32_t generation);
/* Words as in the lists above, for traces and logs; "?" out of range. */
const char *sup_event_word(unsigned kind);
const char *sup_effect_word(unsigned kind);
const char *sup_mode_word(unsigned mode);
const char *sup_worker_state_word(unsigned state);
const char *sup_reason_word(unsigned reason);
const char *sup_reason_text(unsigned reason);
const char *sup_sabotage_word(unsigned bit);
unsigned sup_cell_count(void);
/* False: out of range. */
bool sup_cell_name(unsigned cell, struct core_cell *out);

#endif
