/* Worker processes as the master sees them: forked, told, listened to, reaped. */
#include <errno.h>
#include <sys/wait.h>

#include "engine/master/master_impl.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker.h"
#include "faultinject/fault.h"

static void channel_on_message(struct ev_loop *loop, ev_io *io, int revents);

static struct process *find(struct master *m, int slot, uint32_t generation)
{
    for (size_t i = 0; i < SCORE_SLOTS_MAX; i++) {
        struct process *p = &m->processes[i];
        if (p->pid != 0 && p->slot == slot && p->generation == generation)
            return p;
    }
    return NULL;
}

static struct score_row *row_of(const struct master *m, const struct process *p)
{
    return &m->board->rows[p->row];
}

/* ---- forking --------------------------------------------------------------------------- */

static const struct generation *generation_of(const struct master *m, uint32_t number)
{
    const struct conf *tried = m->trying.conf;
    return tried != NULL && tried->generation == number ? &m->trying : &m->current;
}

/* All signals wait while the process forks, so that none meets a child that still looks like the
 * master; the child lets them in when it is a worker. */
static pid_t fork_blocked(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, before);
    pid_t pid = sys_fork();
    if (pid != 0)
        sigprocmask(SIG_SETMASK, before, NULL);
    return pid;
}

static void sabotage_drift_rlimit(void)
{
    struct rlimit limit;
    if (sys_rlimit_get(RLIMIT_NOFILE, &limit) == 0)
        sys_rlimit_set(RLIMIT_NOFILE, limit.rlim_cur - 1);
}

/* 0, or a negative errno with nothing left behind. */
static int spawn(struct master *m, const struct sup_effect *effect)
{
    int fds[2];
    sigset_t before;

    fault_step(FAULT_master_spawn);
    int err = sys_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK, fds);
    if (err < 0)
        return err;
    int row = scoreboard_take(m->board, 0, effect->slot, effect->generation, clock_now_ns());
    CHECK(row >= 0); /* the supervisor has as many entries as there are rows */
    struct process *p = &m->processes[row];
    *p = (struct process){.slot = effect->slot,
                          .generation = effect->generation,
                          .row = row,
                          .channel_fd = fds[0],
                          .master = m};
    if (m->sup.announced && fault_sabotage(FAULT_sabotage_drift_rlimit))
        sabotage_drift_rlimit();
    pid_t pid = fork_blocked(&before);
    if (pid == 0) {
        p->channel_fd = fds[1];
        sys_close(fds[0]);
        child_run_worker(m, p, generation_of(m, effect->generation));
    }
    sys_close(fds[1]);
    if (pid < 0) {
        sys_close(fds[0]);
        SCORE_SET(m->board->rows[row].state, SCORE_FREE);
        return pid;
    }
    p->pid = pid;
    SCORE_SET(m->board->rows[row].pid, pid);
    ev_io_init(&p->channel, channel_on_message, fds[0], EV_READ);
    p->channel.data = p;
    ev_io_start(m->loop, &p->channel);
    return 0;
}

void workers_spawn(struct master *m, const struct sup_effect *effect)
{
    int err = spawn(m, effect);
    if (err < 0) {
        master_tell_worker(m, SUP_SPAWN_FAILED, effect->slot, effect->generation, (uint64_t)-err);
        return;
    }
    report_spawn(m, find(m, effect->slot, effect->generation));
    master_tell_worker(m, SUP_SPAWNED, effect->slot, effect->generation, 0);
}

/* ---- telling --------------------------------------------------------------------------- */

static int send_message(const struct process *p, enum channel_kind kind)
{
    const struct channel_message message = {.kind = (uint32_t)kind};
    ssize_t sent = sys_sendmsg_fd(p->channel_fd, &message, sizeof(message), -1);
    return sent < 0 ? (int)sent : 0;
}

/* The signal; where that fails the channel carries the same. */
static int tell(const struct process *p, int number, enum channel_kind kind)
{
    int err = sys_kill(p->pid, number);
    return err < 0 ? send_message(p, kind) : 0;
}

static int signal_of(enum sup_effect_kind kind)
{
    return kind == SUP_DO_DRAIN   ? SIGQUIT
           : kind == SUP_DO_TERM  ? SIGTERM
           : kind == SUP_DO_ABORT ? SIGABRT
                                  : SIGKILL;
}

void workers_order(struct master *m, const struct sup_effect *effect)
{
    struct process *p = find(m, effect->slot, effect->generation);
    int err;

    if (p == NULL) /* it has been reaped, the supervisor is about to hear of it */
        return;
    switch ((enum sup_effect_kind)effect->kind) {
    case SUP_DO_GO:
        err = send_message(p, CHANNEL_GO);
        break;
    case SUP_DO_DRAIN:
        fault_step(FAULT_master_drain);
        p->told = true;
        SCORE_SET(row_of(m, p)->state, SCORE_DRAINING);
        err = tell(p, signal_of(SUP_DO_DRAIN), CHANNEL_DRAIN);
        break;
    case SUP_DO_TERM:
        SCORE_SET(row_of(m, p)->state, SCORE_DRAINING);
        err = tell(p, signal_of(SUP_DO_TERM), CHANNEL_STOP);
        break;
    default:
        fault_step(FAULT_master_kill);
        SCORE_SET(row_of(m, p)->state, SCORE_KILLED);
        err = sys_kill(p->pid, signal_of((enum sup_effect_kind)effect->kind));
    }
    if (effect->kind != SUP_DO_GO)
        report_told(m, p, signal_of((enum sup_effect_kind)effect->kind), err);
    if (err < 0)
        master_tell_worker(m, SUP_UNTOLD, p->slot, p->generation, (uint64_t)-err);
}

void workers_reopen_logs(struct master *m)
{
    for (size_t i = 0; i < SCORE_SLOTS_MAX; i++)
        if (m->processes[i].pid != 0)
            tell(&m->processes[i], SIGUSR1, CHANNEL_REOPEN);
}

/* ---- listening ------------------------------------------------------------------------- */

static void channel_on_message(struct ev_loop *loop, ev_io *io, int revents)
{
    struct process *p = io->data;
    struct master *m = p->master;
    struct channel_message message;
    (void)revents;

    ssize_t got = sys_recvmsg_fd(io->fd, &message, sizeof(message), NULL);
    if (got == 0 || got == -ECONNRESET) {
        ev_io_stop(loop, io); /* it has closed its end; its exit will be reaped */
        return;
    }
    if (got != (ssize_t)sizeof(message))
        return;
    bool poised = message.kind == CHANNEL_POISED;
    if (!poised && message.kind != CHANNEL_READY)
        return;
    if (SCORE_GET(row_of(m, p)->state) < SCORE_DRAINING)
        SCORE_SET(row_of(m, p)->state, poised ? SCORE_POISED : SCORE_READY);
    master_tell_worker(m, poised ? SUP_POISED : SUP_READY, p->slot, p->generation, 0);
}

void workers_read_beats(struct master *m)
{
    for (size_t i = 0; i < SCORE_SLOTS_MAX; i++) {
        struct process *p = &m->processes[i];
        if (p->pid == 0)
            continue;
        uint64_t beat = SCORE_GET(row_of(m, p)->heartbeat);
        if (beat != p->beat)
            master_tell_worker(m, SUP_BEAT, p->slot, p->generation, beat);
        p->beat = beat;
    }
}

void workers_read_settled(struct master *m)
{
    for (size_t i = 0; i < SCORE_SLOTS_MAX; i++) {
        struct process *p = &m->processes[i];
        if (p->pid == 0 || !p->told || p->settled || !SCORE_GET(row_of(m, p)->draining))
            continue;
        p->settled = true;
        master_tell_worker(m, SUP_DRAINING, p->slot, p->generation, 0);
    }
}

/* ---- reaping --------------------------------------------------------------------------- */

static void bury(struct master *m, struct process *p, int status)
{
    int slot = p->slot;
    uint32_t generation = p->generation;

    report_exit(m, p, status);
    ev_io_stop(m->loop, &p->channel);
    sys_close(p->channel_fd);
    scoreboard_retire(m->board, p->row);
    p->pid = 0;
    master_sabotage_queue(m);
    master_tell_worker(m, SUP_EXITED, slot, generation, (uint64_t)status);
}

/* One SIGCHLD may stand for many exits, so every known child is asked for. Returns true when it
 * must be asked again soon because asking failed. */
bool workers_reap(struct master *m)
{
    bool one = fault_sabotage(FAULT_sabotage_reap_one), again = false;

    fault_step(FAULT_master_reap);
    for (size_t i = 0; i < SCORE_SLOTS_MAX; i++) {
        struct process *p = &m->processes[i];
        int status = 0;
        if (p->pid == 0)
            continue;
        pid_t pid = sys_waitpid(p->pid, &status, WNOHANG);
        if (pid == -ECHILD) /* somebody else reaped it: it is gone all the same */
            pid = p->pid;
        again |= pid < 0;
        if (pid != p->pid)
            continue;
        bury(m, p, status);
        if (one)
            return again;
    }
    return again;
}
