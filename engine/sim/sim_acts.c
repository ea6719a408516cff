/* What the director does to the server: signals, storms, faults, reloads. */
#include <errno.h>
#include <signal.h>

#include "engine/sim/sim.h"

static const uint64_t patience_ns = 3 * SIM_SECOND;

static void reload(struct sim *s, bool valid, uint32_t workers, bool waits);

/* ---- signals ----------------------------------------------------------------------------------
 */

void sim_signal(struct sim *s, uint32_t pid, int number, enum hist_target target)
{
    int process = kernel_find(&s->kernel, pid);
    if (process <= 0)
        return;
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_SIGNAL,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = pid,
                                        .a = (uint64_t)number,
                                        .b = target,
                                        .c = s->kernel.now_ns});
    bool stopped = s->kernel.processes[process].state == KERNEL_STOPPED;
    kernel_kill(&s->kernel, pid, number);
    if (!kernel_alive(&s->kernel, (unsigned)process))
        return;
    bool stops = s->kernel.processes[process].state == KERNEL_STOPPED;
    if (stops != stopped)
        sim_watch_state(s, (unsigned)process, stops ? 'T' : 'S');
}

/* One of a generation that is being tried, or was a moment ago, is spared: whether it was ready
 * when it mattered cannot be told from a history in which its death and the report stand side by
 * side. Faults end such workers too, before they are ready. */
static bool may_be_hurt(const struct sim *s, const struct sim_row *row)
{
    const struct sup *sup = &s->master.sup;
    bool fresh = sup->mode == SUP_MODE_RETIRING && row->generation == sup->generation;
    /* Nor is one that was born while a reload is under way, whichever generation it is of. */
    bool born_in_it =
        sup->trying != 0 && s->kernel.processes[row->process].born_ns >= s->master.reload_begun_ns;
    return row->pid != 0 && kernel_alive(&s->kernel, row->process) && !fresh && !born_in_it;
}

/* The nth of the live workers; 0: there is none. */
static uint32_t nth_worker(const struct sim *s, uint32_t n)
{
    uint32_t live = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < SIM_ROWS; i++) {
            const struct sim_row *row = &s->master.rows[i];
            if (!may_be_hurt(s, row))
                continue;
            if (round == 1 && n-- == 0)
                return row->pid;
            live += round == 0;
        }
        if (live == 0)
            return 0;
        n %= live;
    }
    return 0;
}

/* Who is stopped is let go on some time later; the plan's end lets everybody go on. */
static void signal_one(struct sim *s, uint32_t pid, int number, enum hist_target target)
{
    if (pid == 0)
        return;
    sim_signal(s, pid, number, target);
    if (number == SIGSTOP && target == HIST_TO_MASTER)
        kernel_outside(&s->kernel, s->kernel.now_ns + 300 * SIM_MS, SIM_OUT_CONT, pid);
}

static void signal_all(struct sim *s, int number)
{
    for (size_t i = 0; i < SIM_ROWS; i++) {
        const struct sim_row *row = &s->master.rows[i];
        if (may_be_hurt(s, row))
            sim_signal(s, row->pid, number, HIST_TO_WORKER);
    }
}

/* ---- storms -----------------------------------------------------------------------------------
 */

static void record_storm(struct sim *s, int number, bool begin, uint32_t count)
{
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_STORM,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master.pid,
                                        .a = (uint64_t)number,
                                        .b = begin,
                                        .c = count});
}

/* packed: signal << 16 | signals still to be sent. */
void sim_act_storm(struct sim *s, uint32_t packed)
{
    static const int mixed[] = {SIGHUP, SIGUSR1, SIGCHLD, SIGHUP};
    int number = (int)(packed >> 16);
    uint32_t left = packed & 0xffff;
    int sent = number != 0 ? number : mixed[left % 4];
    if (left == 0 || s->director.stopping) {
        record_storm(s, number, false, 0);
        s->director.storms--;
        return;
    }
    int err = kernel_kill(&s->kernel, s->master.pid, sent);
    sim_record(s, &(struct hist_record){.kind = HIST_STORM_SIGNAL,
                                        .role = HIST_FAULT,
                                        .slot = -1,
                                        .pid = s->master.pid,
                                        .a = (uint64_t)sent,
                                        .b = HIST_TO_MASTER,
                                        .c = (uint64_t)-err});
    kernel_outside(&s->kernel, s->kernel.now_ns + SIM_MS, SIM_OUT_STORM,
                   (uint32_t)number << 16 | (left - 1));
}

static void begin_storm(struct sim *s, const struct sim_act *act)
{
    record_storm(s, (int)act->a, true, act->b);
    s->director.storms++;
    sim_act_storm(s, act->a << 16 | (act->b & 0xffff));
}

/* ---- reloads ----------------------------------------------------------------------------------
 */

static void reload(struct sim *s, bool valid, uint32_t workers, bool waits)
{
    struct sim_director *d = &s->director;
    d->config++;
    d->config_valid = valid;
    if (valid)
        d->config_workers = workers;
    struct hist_record r = {.kind = HIST_DIRECTOR_CONFIG,
                            .role = HIST_DIRECTOR,
                            .slot = -1,
                            .gen = d->config,
                            .a = valid,
                            .b = valid ? workers : d->config_workers};
    sim_record(s, &r);
    r = (struct hist_record){.kind = HIST_DIRECTOR_RELOAD,
                             .role = HIST_DIRECTOR,
                             .slot = -1,
                             .pid = s->master.pid,
                             .gen = d->config,
                             .a = valid,
                             .b = ++d->sequence};
    sim_record(s, &r);
    if (d->reload_count < SIM_RELOADS_MAX) {
        d->reloads[d->reload_count].sequence = d->sequence;
        d->reloads[d->reload_count].config = d->config;
        d->reloads[d->reload_count].before = s->master.generation_tried;
        d->reloads[d->reload_count].waits = waits;
        d->reloads[d->reload_count++].begun_ns = s->kernel.now_ns;
    }
    kernel_kill(&s->kernel, s->master.pid, SIGHUP);
}

/* ---- acts -------------------------------------------------------------------------------------
 */

static void ask(struct sim *s)
{
    struct sim_director *d = &s->director;
    if (d->ask_count == SIM_ASKS_MAX)
        return;
    d->asks[d->ask_count].sequence = ++d->sequence;
    d->asks[d->ask_count++].begun_ns = s->kernel.now_ns;
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_ASK,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master.pid,
                                        .a = SIGUSR1,
                                        .b = d->sequence});
    kernel_kill(&s->kernel, s->master.pid, SIGUSR1);
    kernel_outside(&s->kernel, s->kernel.now_ns + patience_ns, SIM_OUT_ASK, d->sequence);
}

static void slow(struct sim *s, uint32_t which, uint32_t ms)
{
    int process = kernel_find(&s->kernel, nth_worker(s, which));
    if (process > 0)
        s->kernel.processes[process].jitter_ns = ms * SIM_MS;
}

/* Workers find out with their next heartbeat. */
void sim_act_limit_fds(struct sim *s, uint32_t limit)
{
    for (size_t i = 0; i < SIM_ROWS; i++) {
        const struct sim_row *row = &s->master.rows[i];
        if (row->pid == 0 || !kernel_alive(&s->kernel, row->process))
            continue;
        s->kernel.processes[row->process].fd_limit = limit;
        sim_worker_heartbeat(s, &s->workers[row->process]);
    }
}

static void arm(struct sim *s, const struct sim_act *act)
{
    int rule = sim_fault_arm(s, sim_rule_texts[act->a]);
    if (rule >= 0)
        kernel_outside(&s->kernel, s->kernel.now_ns + act->b * SIM_MS, SIM_OUT_DISARM,
                       (uint32_t)rule);
}

void sim_act_perform(struct sim *s, uint32_t index)
{
    const struct sim_act *act = &s->plan.acts[index];
    if (act->skipped || s->director.stopping || s->director.master_gone)
        return;
    switch ((enum sim_act_kind)act->kind) {
    case SIM_ACT_RELOAD:
    case SIM_ACT_BAD_RELOAD:
        reload(s, act->kind == SIM_ACT_RELOAD, act->a, act->b != 0);
        break;
    case SIM_ACT_SIGNAL_MASTER:
        signal_one(s, s->master.pid, (int)act->a, HIST_TO_MASTER);
        break;
    case SIM_ACT_SIGNAL_WORKER:
        signal_one(s, nth_worker(s, act->b), (int)act->a, HIST_TO_WORKER);
        break;
    case SIM_ACT_SIGNAL_ALL:
        signal_all(s, (int)act->a);
        break;
    case SIM_ACT_STORM:
        begin_storm(s, act);
        break;
    case SIM_ACT_ASK:
        ask(s);
        break;
    case SIM_ACT_ARM:
        arm(s, act);
        break;
    case SIM_ACT_SLOW:
        slow(s, act->a, act->b);
        break;
    case SIM_ACT_FD_LIMIT:
        sim_act_limit_fds(s, act->a);
        break;
    case SIM_ACT_BURST:
        for (uint32_t i = 0; i < act->a; i++)
            sim_client_request(s, SIM_FRESH);
        break;
    case SIM_ACT_UPGRADE:
        s->director.upgrade = act->a;
        kernel_kill(&s->kernel, s->master.pid, SIGUSR2);
        break;
    case SIM_ACT_COUNT:
        break;
    }
}
