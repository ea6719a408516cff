/* What the director does to the server: signals, storms, faults, reloads. */
#include <errno.h>
#include <signal.h>

#include "engine/sim/sim.h"

static const uint64_t upgrade_wait_ns = 100 * SIM_MS;

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

static bool lives(const struct sim *s, const struct sim_row *row)
{
    return row->pid != 0 && kernel_alive(&s->kernel, row->process);
}

/* The nth of the live workers; 0: there is none. */
static uint32_t nth_worker(const struct sim *s, uint32_t n)
{
    uint32_t live = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < SIM_ROWS; i++) {
            const struct sim_row *row = &s->master->rows[i];
            if (!lives(s, row))
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
        const struct sim_row *row = &s->master->rows[i];
        if (lives(s, row))
            sim_signal(s, row->pid, number, HIST_TO_WORKER);
    }
}

/* ---- storms -----------------------------------------------------------------------------------
 */

static void record_storm(struct sim *s, uint32_t set, bool begin, uint32_t count)
{
    bool one = (set & (set - 1)) == 0;
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_STORM,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .a = one ? (uint64_t)__builtin_ctz(set) : 0,
                                        .b = begin,
                                        .c = count});
}

/* The next signal of the set, around and around. */
static int next_signal(uint32_t set, uint32_t sent)
{
    for (uint32_t skip = sent % (uint32_t)__builtin_popcount(set); skip > 0; skip--)
        set &= set - 1;
    return __builtin_ctz(set);
}

void sim_act_storm(struct sim *s, uint32_t storm)
{
    struct sim_director *d = &s->director;
    uint32_t set = d->storm[storm].set;
    if (d->storm[storm].left == 0 || d->stopping) {
        record_storm(s, set, false, 0);
        d->storm[storm].set = 0;
        d->storms--;
        return;
    }
    d->storm[storm].left--;
    int number = next_signal(set, d->storm[storm].sent++);
    int err = kernel_kill(&s->kernel, s->master->pid, number);
    sim_record(s, &(struct hist_record){.kind = HIST_STORM_SIGNAL,
                                        .role = HIST_FAULT,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .a = (uint64_t)number,
                                        .b = HIST_TO_MASTER,
                                        .c = (uint64_t)-err});
    kernel_outside(&s->kernel, s->kernel.now_ns + d->storm[storm].period_us * UINT64_C(1000),
                   SIM_OUT_STORM, storm);
}

static void begin_storm(struct sim *s, const struct sim_act *act)
{
    struct sim_director *d = &s->director;
    uint32_t storm = 0;
    while (storm < SIM_STORMS_MAX && d->storm[storm].set != 0)
        storm++;
    if (storm == SIM_STORMS_MAX || act->a == 0)
        return;
    d->storm[storm].set = act->a;
    d->storm[storm].left = act->b;
    d->storm[storm].period_us = act->c;
    d->storm[storm].sent = 0;
    record_storm(s, act->a, true, act->b);
    d->storms++;
    sim_act_storm(s, storm);
}

/* ---- reloads ----------------------------------------------------------------------------------
 */

void sim_act_config(struct sim *s, uint32_t workers)
{
    struct sim_director *d = &s->director;
    bool valid = workers > 0;
    d->config++;
    d->config_valid = valid;
    if (valid) {
        d->config_workers = workers;
        d->good_config = d->config;
    }
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_CONFIG,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .gen = d->config,
                                        .a = valid,
                                        .b = d->config_workers});
}

void sim_act_hup(struct sim *s, bool valid, bool waits)
{
    struct sim_director *d = &s->director;
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_RELOAD,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .gen = d->config,
                                        .a = valid,
                                        .b = ++d->sequence});
    if (d->reload_count < SIM_RELOADS_MAX) {
        d->reloads[d->reload_count].sequence = d->sequence;
        d->reloads[d->reload_count].config = d->config;
        d->reloads[d->reload_count].before = s->master->generation_tried;
        d->reloads[d->reload_count].waits = waits;
        d->reloads[d->reload_count++].begun_ns = s->kernel.now_ns;
    }
    kernel_kill(&s->kernel, s->master->pid, SIGHUP);
}

/* ---- acts -------------------------------------------------------------------------------------
 */

static void ask(struct sim *s, uint32_t patience_ms)
{
    struct sim_director *d = &s->director;
    if (d->ask_count == SIM_ASKS_MAX)
        return;
    d->asks[d->ask_count].sequence = ++d->sequence;
    d->asks[d->ask_count++].begun_ns = s->kernel.now_ns;
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_ASK,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .a = SIGUSR1,
                                        .b = d->sequence});
    kernel_kill(&s->kernel, s->master->pid, SIGUSR1);
    kernel_outside(&s->kernel, s->kernel.now_ns + patience_ms * SIM_MS, SIM_OUT_ASK, d->sequence);
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
        const struct sim_row *row = &s->master->rows[i];
        if (!lives(s, row))
            continue;
        s->kernel.processes[row->process].fd_limit = limit;
        sim_worker_heartbeat(s, &s->workers[row->process]);
    }
}

static void arm(struct sim *s, const struct sim_act *act)
{
    struct sim_director *d = &s->director;
    int rule = sim_fault_arm(s, s->plan.texts[act->b]);
    if (rule < 0)
        return;
    if (d->arms < SIM_ARMS_MAX)
        d->rules[d->arms++] = rule;
    if (act->a > 0)
        kernel_outside(&s->kernel, s->kernel.now_ns + act->a * SIM_MS, SIM_OUT_DISARM,
                       (uint32_t)rule);
}

static void disarm(struct sim *s, uint32_t which)
{
    for (uint32_t i = 0; i < s->director.arms; i++)
        if ((which == SIM_EVERY_RULE || which == i) && s->director.rules[i] >= 0) {
            sim_fault_disarm(s, (unsigned)s->director.rules[i]);
            s->director.rules[i] = -1;
        }
}

/* Whoever is there of these now; a worker is the one that was born first, or last. */
static void signal_to(struct sim *s, int number, enum sim_receiver to)
{
    const struct sim_row *first = NULL, *last = NULL;
    if (to == SIM_MASTER || to == SIM_ALL || to == SIM_GROUP)
        sim_signal(s, s->master->pid, number, to == SIM_MASTER ? HIST_TO_MASTER : HIST_TO_ALL);
    for (size_t i = 0; i < SIM_ROWS; i++) {
        const struct sim_row *row = &s->master->rows[i];
        if (!lives(s, row))
            continue;
        uint64_t born_ns = s->kernel.processes[row->process].born_ns;
        if (to == SIM_ALL_WORKERS || to == SIM_ALL || to == SIM_GROUP)
            sim_signal(s, row->pid, number, to == SIM_ALL_WORKERS ? HIST_TO_WORKER : HIST_TO_ALL);
        if (first == NULL || born_ns < s->kernel.processes[first->process].born_ns)
            first = row;
        if (last == NULL || born_ns > s->kernel.processes[last->process].born_ns)
            last = row;
    }
    if (to == SIM_WORKER && first != NULL)
        sim_signal(s, first->pid, number, HIST_TO_WORKER);
    if (to == SIM_LAST_WORKER && last != NULL)
        sim_signal(s, last->pid, number, HIST_TO_WORKER);
}

/* USR2. While one is under way it is a signal like others: nobody waits for its outcome. */
static void ask_upgrade(struct sim *s, uint32_t fate)
{
    struct sim_director *d = &s->director;
    if (d->upgrade_asked || s->masters[1].pid != 0) {
        sim_signal(s, s->master->pid, SIGUSR2, HIST_TO_MASTER);
        return;
    }
    d->upgrade_asked = true;
    d->upgrade = fate;
    d->upgrade_sequence = ++d->sequence;
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_UPGRADE,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .a = fate == SIM_FATE_RETURNS || fate == SIM_FATE_STAYS,
                                        .b = d->upgrade_sequence,
                                        .c = 1});
    kernel_kill(&s->kernel, s->master->pid, SIGUSR2);
}

static void perform_of_story(struct sim *s, const struct sim_act *act)
{
    switch ((enum sim_act_kind)act->kind) {
    case SIM_ACT_SIGNAL_TO:
        signal_to(s, (int)act->a, (enum sim_receiver)act->b);
        break;
    case SIM_ACT_CONFIG:
        sim_act_config(s, act->a);
        break;
    case SIM_ACT_HUP:
        sim_act_hup(s, (act->a & SIM_HUP_FAILS) == 0, act->a & SIM_HUP_WAITS);
        break;
    case SIM_ACT_PHASE:
        sim_director_enter(s, (enum hist_phase)act->a);
        break;
    case SIM_ACT_DISARM:
        disarm(s, act->a);
        break;
    case SIM_ACT_START:
        sim_load_start(s, act->a);
        break;
    case SIM_ACT_RELEASE:
        sim_load_stop(s, act->a);
        break;
    case SIM_ACT_RATE:
        sim_load_rate(s, act->a, act->b);
        break;
    case SIM_ACT_STOP:
        sim_director_stop(s, (enum sim_stop)act->a);
        break;
    default: /* those that wait are the story's own */
        break;
    }
}

void sim_act_perform(struct sim *s, uint32_t index)
{
    const struct sim_act *act = &s->plan.acts[index];
    if (act->skipped || s->director.stopping || s->director.master_gone)
        return;
    bool reloads = act->kind == SIM_ACT_RELOAD || act->kind == SIM_ACT_BAD_RELOAD;
    if (reloads && (s->director.upgrade_asked || s->masters[1].pid != 0)) {
        /* Two masters that serve two configurations are nothing that an operator would want. */
        kernel_outside(&s->kernel, s->kernel.now_ns + upgrade_wait_ns, SIM_OUT_ACT, index);
        return;
    }
    switch ((enum sim_act_kind)act->kind) {
    case SIM_ACT_RELOAD:
    case SIM_ACT_BAD_RELOAD:
        sim_act_config(s, act->kind == SIM_ACT_RELOAD ? act->a : 0);
        sim_act_hup(s, act->kind == SIM_ACT_RELOAD, act->b != 0);
        break;
    case SIM_ACT_SIGNAL_MASTER:
        signal_one(s, s->master->pid, (int)act->a, HIST_TO_MASTER);
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
        ask(s, act->a);
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
        for (uint32_t i = 0; i < act->b; i++)
            sim_client_request(s, act->a);
        break;
    case SIM_ACT_UPGRADE:
        ask_upgrade(s, act->a);
        break;
    case SIM_ACT_BACKEND:
        sim_backend_mood(s, act->a, (enum sim_mood)act->b);
        break;
    default:
        perform_of_story(s, act);
    }
}
