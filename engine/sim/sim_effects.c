/* What the simulated master does for each effect of the supervisor. */
#include <errno.h>
#include <signal.h>

#include "engine/sim/sim.h"

enum { TAG_ROW = 16, FD_LIMIT = 256 };

static void spawn(struct sim *s, const struct sup_effect *effect);
static void send_go(struct sim *s, const struct sup_effect *effect);
static void send_signal(struct sim *s, const struct sup_effect *effect);
static void load_conf(struct sim *s, uint32_t generation);
static void commit(struct sim *s, uint32_t generation);
static void report(struct sim *s, const struct sup_effect *effect);

static void record(struct sim *s, enum hist_kind kind, const struct sup_effect *e, uint64_t a,
                   uint64_t b)
{
    sim_record(
        s, &(struct hist_record){.kind = (uint16_t)kind,
                                 .role = HIST_MASTER,
                                 .slot = e->slot,
                                 .pid = s->master->pid,
                                 .gen = e->generation ? e->generation : s->master->sup.generation,
                                 .a = a,
                                 .b = b});
}

static void resume_listeners(struct sim *s)
{
    if (s->master->listeners_stopped)
        kernel_listener_stop(&s->kernel, s->master->process, s->master->listen_fd, false);
    s->master->listeners_stopped = false;
}

static void record_pid_file(struct sim *s, uint64_t file, uint32_t pid)
{
    sim_record(s, &(struct hist_record){.kind = HIST_WATCH_PIDFILE,
                                        .role = HIST_WATCH,
                                        .slot = -1,
                                        .pid = pid,
                                        .a = file,
                                        .b = pid != 0});
}

static void ready(struct sim *s, const struct sup_effect *effect)
{
    record(s, HIST_ENGINE_READY, effect, effect->a, 0);
    record_pid_file(s, 0, s->master->pid);
    sim_upgrade_ready(s);
    sim_director_ready(s);
}

static void leave(struct sim *s, int code)
{
    struct sim_master *m = s->master;
    m->gone = true;
    if (m == &s->masters[0]) /* one whose place is taken had its number in the other file */
        record_pid_file(s, sim_upgrade_succeeds(s), 0);
    kernel_exit(&s->kernel, m->process, code << 8);
}

static void perform_upgrade(struct sim *s, const struct sup_effect *effect)
{
    switch ((enum sup_effect_kind)effect->kind) {
    case SUP_DO_UPGRADE_START:
        sim_upgrade_start(s);
        break;
    case SUP_DO_UPGRADE_REPORT:
        record(s, HIST_ENGINE_UPGRADE, effect, effect->a, s->masters[1].pid);
        sim_director_upgraded(s, (enum hist_upgrade)effect->a);
        break;
    case SUP_DO_RESTORE_PID:
        record_pid_file(s, 0, s->master->pid);
        record_pid_file(s, 1, 0);
        break;
    default:
        sim_upgrade_signal(s, effect->kind == SUP_DO_UPGRADE_QUIT ? SIGQUIT : SIGKILL);
    }
}

void sim_master_perform(struct sim *s, const struct sup_effect *effect)
{
    struct sim_master *m = s->master;
    switch ((enum sup_effect_kind)effect->kind) {
    case SUP_DO_SPAWN:
        spawn(s, effect);
        break;
    case SUP_DO_GO:
        send_go(s, effect);
        break;
    case SUP_DO_DRAIN:
    case SUP_DO_TERM:
    case SUP_DO_ABORT:
    case SUP_DO_KILL:
        send_signal(s, effect);
        break;
    case SUP_DO_RESPAWN:
        if (effect->a > 0)
            record(s, HIST_ENGINE_BREAKER, effect, effect->a, effect->b);
        break;
    case SUP_DO_RETRY:
        record(s, HIST_ENGINE_SPAWN_FAILED, effect, effect->a, effect->b);
        break;
    case SUP_DO_LOAD_CONF:
        load_conf(s, effect->generation);
        break;
    case SUP_DO_DISCARD_CONF:
        resume_listeners(s);
        break;
    case SUP_DO_COMMIT:
        commit(s, effect->generation);
        break;
    case SUP_DO_REPORT:
        report(s, effect);
        break;
    case SUP_DO_READY:
        ready(s, effect);
        break;
    case SUP_DO_RESIZED:
        record(s, HIST_ENGINE_RESIZED, effect, effect->a, 0);
        sim_director_resized(s, (uint32_t)effect->a);
        break;
    case SUP_DO_REOPEN_LOGS:
        record(s, HIST_ENGINE_REOPEN, effect, 0, 0);
        sim_director_reopened(s);
        break;
    case SUP_DO_UPGRADE_START:
    case SUP_DO_UPGRADE_QUIT:
    case SUP_DO_UPGRADE_KILL:
    case SUP_DO_UPGRADE_REPORT:
    case SUP_DO_RESTORE_PID:
        perform_upgrade(s, effect);
        break;
    case SUP_DO_STOPPING:
        record(s, HIST_ENGINE_STOP, effect, effect->a, 0);
        kernel_close(&s->kernel, m->process, m->listen_fd);
        break;
    case SUP_DO_EXIT:
        leave(s, (int)effect->a);
        break;
    case SUP_DO_KEEP_CONF:
    case SUP_DO_NOTE:
    case SUP_EFFECT_COUNT:
        break;
    }
}

/* ---- workers ----------------------------------------------------------------------------------
 */

static struct sim_row *free_row(struct sim_master *m)
{
    for (size_t i = 0; i < SIM_ROWS; i++)
        if (m->rows[i].pid == 0)
            return &m->rows[i];
    return NULL;
}

static void tell(struct sim *s, enum sup_event_kind kind, const struct sup_effect *e, uint64_t a)
{
    sim_master_tell(
        s, &(struct sup_event){.kind = kind, .slot = e->slot, .generation = e->generation, .a = a});
}

/* Forks with all signals blocked. 0, a negative errno with nothing left behind, or 1: lost. */
static int fork_worker(struct sim *s, struct sim_row *row)
{
    struct sim_master *m = s->master;
    struct kernel *k = &s->kernel;
    int fds[2];
    int err = sim_fault_step(s, m->process, FAULT_master_spawn);
    if (err == 0)
        err = sim_fault_step(s, m->process, FAULT_net_socketpair);
    if (err == 0)
        err = kernel_socketpair(k, m->process, fds);
    if (err != 0)
        return err;
    int child = sim_fault_step(s, m->process, FAULT_proc_fork);
    if (child == 0) {
        kernel_mask(k, m->process, UINT32_MAX);
        child = kernel_fork(k, m->process);
        kernel_mask(k, m->process, 0);
    }
    if (child <= 0) {
        kernel_close(k, m->process, fds[0]);
        kernel_close(k, m->process, fds[1]);
        return child;
    }
    row->process = (unsigned)child;
    row->pid = k->processes[child].pid;
    row->channel_fd = fds[0];
    kernel_close_on_exec(k, m->process, fds[0]);
    kernel_close(k, m->process, fds[1]);
    kernel_close(k, (unsigned)child, fds[0]);
    uint32_t config = row->generation == m->sup.trying ? m->config_tried : m->config;
    sim_worker_start(s, (unsigned)child, row, config, fds[1]);
    k->processes[child].fd_limit = s->plan.story ? s->plan.fd_limit : FD_LIMIT;
    kernel_watch(k, m->process, fds[0], (uint16_t)(TAG_ROW + (row - m->rows)));
    return 0;
}

static void spawn(struct sim *s, const struct sup_effect *effect)
{
    struct sim_row *row = free_row(s->master);
    if (row == NULL)
        abort(); /* the supervisor has as many entries as there are rows */
    *row = (struct sim_row){.slot = effect->slot, .generation = effect->generation};
    int err = fork_worker(s, row);
    if (err > 0 && !kernel_alive(&s->kernel, s->master->process))
        return;
    if (err != 0) {
        tell(s, SUP_SPAWN_FAILED, effect, (uint64_t)(err < 0 ? -err : EINTR));
        return;
    }
    sim_record(s, &(struct hist_record){.kind = HIST_WATCH_FORK,
                                        .role = HIST_WATCH,
                                        .slot = -1,
                                        .pid = row->pid,
                                        .a = s->master->pid});
    sim_record(s, &(struct hist_record){.kind = HIST_ENGINE_SPAWN,
                                        .role = HIST_MASTER,
                                        .slot = row->slot,
                                        .pid = row->pid,
                                        .gen = row->generation});
    tell(s, SUP_SPAWNED, effect, 0);
}

static int number_of(enum sup_effect_kind kind)
{
    switch (kind) {
    case SUP_DO_DRAIN:
        return SIGQUIT;
    case SUP_DO_TERM:
        return SIGTERM;
    case SUP_DO_ABORT:
        return SIGABRT;
    default:
        return SIGKILL;
    }
}

static void record_watchdog(struct sim *s, const struct sim_row *row, int number, uint64_t silent)
{
    if (silent == 0)
        return;
    sim_record(s, &(struct hist_record){.kind = HIST_ENGINE_WATCHDOG,
                                        .role = HIST_MASTER,
                                        .slot = row->slot,
                                        .pid = row->pid,
                                        .gen = row->generation,
                                        .a = (uint64_t)number,
                                        .b = silent});
}

static void send_go(struct sim *s, const struct sup_effect *effect)
{
    const struct sim_row *row = sim_master_row(s, effect->slot, effect->generation);
    if (row == NULL)
        return;
    int err = sim_fault_step(s, s->master->process, FAULT_net_sendmsg);
    if (err == 0)
        err = kernel_channel_send(&s->kernel, s->master->process, row->channel_fd, WORD_GO);
    if (err < 0)
        tell(s, SUP_UNTOLD, effect, (uint64_t)-err);
}

static void record_told(struct sim *s, const struct sim_row *row, int number, int err)
{
    sim_record(s, &(struct hist_record){.kind = HIST_ENGINE_TELL,
                                        .role = HIST_MASTER,
                                        .slot = row->slot,
                                        .pid = row->pid,
                                        .gen = row->generation,
                                        .a = (uint64_t)number,
                                        .b = err < 0 ? (uint64_t)-err : 0});
}

/* The signal; for DRAIN and TERM the channel carries the same where the signal cannot be sent. */
static void send_signal(struct sim *s, const struct sup_effect *effect)
{
    struct sim_row *row = (struct sim_row *)sim_master_row(s, effect->slot, effect->generation);
    int number = number_of((enum sup_effect_kind)effect->kind);
    bool by_channel = number == SIGQUIT || number == SIGTERM;
    if (row == NULL) /* it has been reaped, the supervisor is about to hear of it */
        return;
    if (number == SIGABRT || number == SIGKILL)
        record_watchdog(s, row, number, effect->a);
    row->told = row->told || number == SIGQUIT;
    int err = sim_fault_step(s, s->master->process, FAULT_proc_kill);
    if (err == 0)
        err = kernel_kill(&s->kernel, row->pid, number);
    if (err < 0 && by_channel)
        err = kernel_channel_send(&s->kernel, s->master->process, row->channel_fd,
                                  number == SIGQUIT ? WORD_DRAIN : WORD_STOP);
    record_told(s, row, number, err);
    if (err < 0)
        tell(s, SUP_UNTOLD, effect, (uint64_t)-err);
}

/* ---- configurations ---------------------------------------------------------------------------
 */

static void load_conf(struct sim *s, uint32_t generation)
{
    struct sim_master *m = s->master;
    const struct sim_plan *plan = &s->plan;
    struct sup_event event = {.kind = SUP_CONF_BAD};
    const struct sup_effect about = {.slot = -1, .generation = generation};

    record(s, HIST_ENGINE_RELOAD, &about, 0, 0);
    m->generation_tried = generation;
    m->reload_begun_ns = s->kernel.now_ns;
    kernel_busy(&s->kernel, m->process, SIM_MS);
    int err = sim_fault_step(s, m->process, FAULT_master_reload_parse);
    if (err == 0 && s->director.config_valid) {
        m->config_tried = s->director.config;
        event.kind = SUP_CONF_OK;
        event.settings = (struct sup_settings){
            .workers = s->director.config_workers,
            .drain_ns = plan->drain_ns,
            .watchdog_ns = plan->watchdog_ns,
            .backoff_min_ns = plan->backoff_min_ns,
            .backoff_max_ns = plan->backoff_max_ns,
            .reload_timeout_ns = plan->reload_timeout_ns,
        };
        m->listeners_stopped = sim_sabotage(s, m->process, FAULT_sabotage_close_listener_early);
        if (m->listeners_stopped)
            kernel_listener_stop(&s->kernel, m->process, m->listen_fd, true);
    }
    sim_master_tell(s, &event);
}

static void commit(struct sim *s, uint32_t generation)
{
    struct sim_master *m = s->master;
    sim_fault_step(s, m->process, FAULT_master_reload_commit);
    resume_listeners(s);
    m->config = m->config_tried;
    sim_fault_identify(s, m->process, FAULT_ROLE_MASTER, -1, generation);
    sim_director_resized(s, m->sup.settings.workers);
}

static void report(struct sim *s, const struct sup_effect *effect)
{
    static const enum hist_report words[] = {
        [SUP_RELOAD_OK] = HIST_REPORT_OK,
        [SUP_RELOAD_REFUSED] = HIST_REPORT_REFUSED,
        [SUP_RELOAD_UNDONE] = HIST_REPORT_UNDONE,
    };
    const struct sup_effect about = {.slot = -1, .generation = s->master->sup.generation};
    record(s, HIST_ENGINE_RELOADED, &about, words[effect->a], effect->generation);
    sim_director_reported(s, words[effect->a], effect->generation);
}
