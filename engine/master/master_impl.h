/* What the files of the master share. One struct, one loop, one place where the supervisor steps.
 */
#ifndef ENGINE_MASTER_MASTER_IMPL_H
#define ENGINE_MASTER_MASTER_IMPL_H

#include <ev.h>
#include <signal.h>
#include <stdio.h>

#include "engine/core/sup.h"
#include "engine/master/generation.h"
#include "engine/master/listeners.h"
#include "engine/master/master.h"
#include "engine/shm/scoreboard.h"
#include "scenarios/history/hist.h"

/* Results of effects that wait for their step: at most one for each effect of one step, and the
 * signals of one wake-up. */
enum { MASTER_EVENTS_MAX = 2 * SUP_EFFECTS_MAX };

struct master;

/* A worker process that has not been reaped. */
struct process {
    pid_t pid; /* 0: this entry is free */
    int slot;
    uint32_t generation;
    int row;        /* in the scoreboard */
    int channel_fd; /* the master's end */
    bool told;      /* DRAIN was given: its `draining` is of interest */
    bool settled;   /* ... and was seen */
    uint64_t beat;  /* heartbeat last read */
    ev_io channel;
    struct master *master;
};

struct master {
    const struct master_options *options;
    struct ev_loop *loop;
    ev_timer deadline; /* the supervisor's next */
    ev_timer beats;    /* reads heartbeats */
    ev_timer settle;   /* while a reload waits for old workers: have they stopped accepting? */
    ev_timer again;    /* a waitpid that failed is tried again */

    struct sup sup;
    struct sup_effects effects;
    struct sup_event events[MASTER_EVENTS_MAX]; /* ring */
    unsigned event_first, event_count;
    bool stepping;
    FILE *trace;

    struct generation current, trying;
    struct listeners listeners;
    struct process processes[SCORE_SLOTS_MAX]; /* by scoreboard row */
    struct scoreboard *board;
    char refusal[1024]; /* why the configuration was not taken */

    pid_t pid;
    pid_t new_pid; /* the new binary's master while this one is the old, 0 none */
    pid_t old_pid; /* the old master while this one is the new, 0 none */
    int other_fd;  /* the line between old and new master, -1 none */
    ev_io other;
    bool foreground;
    bool pid_written;
    bool listeners_stopped; /* sabotage close_listener_early */
    int daemon_fd;          /* whoever started us waits at the other end, -1 none */
    int exit_code;
};

/* master.c */
/* Tells the supervisor; its effects are carried out before this returns, unless it is already
 * being told something: then right after. */
void master_tell(struct master *m, const struct sup_event *event);
void master_tell_worker(struct master *m, enum sup_event_kind kind, int slot, uint32_t generation,
                        uint64_t a);
/* Fills in this process and the current generation where they are 0. */
void master_record(const struct master *m, enum hist_kind kind, const struct hist_record *fields);

/* A record about the master itself. */
#define OWN_RECORD(...) (&(struct hist_record){.slot = -1, __VA_ARGS__})

/* effects.c */
void master_carry_out(struct master *m, const struct sup_effect *effect);
struct sup_settings master_settings(const struct conf *conf);
void master_sabotage_queue(struct master *m); /* a worker ended, or is one too many */

/* workers.c */
void workers_spawn(struct master *m, const struct sup_effect *effect);
void workers_order(struct master *m, const struct sup_effect *effect);
/* True: asking failed and must be done again soon. */
bool workers_reap(struct master *m);
void workers_read_beats(struct master *m);
void workers_read_settled(struct master *m);
void workers_reopen_logs(struct master *m);

/* child.c: what the forked process does; does not return. */
_Noreturn void child_run_worker(struct master *m, const struct process *p,
                                const struct generation *g);
void child_reset_signals(void);

/* upgrade.c */
/* Finds what an older master or systemd left for this process. */
int upgrade_inherit(struct master *m);
void upgrade_watch_old(struct master *m);
void upgrade_say_ready(struct master *m);
void upgrade_start(struct master *m);
void upgrade_signal(struct master *m, int number);
bool upgrade_reap(struct master *m); /* as workers_reap() */

/* files.c: the pid file */
/* Points the error log to `path` and to all that `conf` names beside its first. 0, or -errno. */
int files_open_logs(const struct conf *conf, const char *path);
int files_write_pid(struct master *m);
int files_write_oldbin(struct master *m);
void files_restore_pid(struct master *m);
/* The old master is gone and may have left its FILE.oldbin. */
void files_clear_oldbin(struct master *m, pid_t old_pid);
void files_remove(struct master *m);
void files_remove_one(const char *path, pid_t pid); /* if it names pid; says so where it cannot */

/* report.c: what people, witnesses and the status page are told */
void report_effect(struct master *m, const struct sup_effect *effect);
void report_signal(struct master *m, int number, bool obeyed);
void report_spawn(struct master *m, const struct process *p);
void report_told(struct master *m, const struct process *p, int number, int err);
void report_exit(struct master *m, const struct process *p, int status);

#endif
