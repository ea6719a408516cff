/* The director of a simulated run: its phases, what it waits for, and what it writes down of it. */
#include <signal.h>

#include "engine/sim/sim.h"

static const uint64_t sample_ns = 100 * SIM_MS;
enum { FD_LIMIT_USUAL = 256 };
static const uint64_t boot_bound_ns = 120 * SIM_SECOND;

static void put(struct sim *s, enum hist_kind kind, uint32_t gen, uint64_t a, uint64_t b,
                uint64_t c)
{
    sim_record(s, &(struct hist_record){.kind = (uint16_t)kind,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .gen = gen,
                                        .a = a,
                                        .b = b,
                                        .c = c});
}

void sim_director_param(struct sim *s, enum hist_param param, uint64_t value)
{
    put(s, HIST_DIRECTOR_PARAM, 0, param, value, 0);
}

/* ---- the bounds that this world keeps ----------------------------------------------------------
 */

/* How many workers accept at any time of a reload, unless somebody hurts them: as many as the
 * smallest configuration asks for. 0: somebody does. */
static uint64_t capacity_of(const struct sim_plan *p)
{
    uint64_t least = p->workers;
    for (size_t i = 0; i < p->act_count; i++) {
        const struct sim_act *act = &p->acts[i];
        bool reload = act->kind == SIM_ACT_RELOAD;
        if (!reload && act->kind != SIM_ACT_BAD_RELOAD && act->kind != SIM_ACT_STORM &&
            act->kind != SIM_ACT_ASK && act->kind != SIM_ACT_BACKEND)
            return 0;
        if (reload && act->a < least)
            least = act->a;
    }
    return p->theme == SIM_THEME_GENERAL ? least : 0;
}

static void state_usual_params(struct sim *s)
{
    const struct sim_plan *p = &s->plan;
    uint64_t orphan_ns = p->drain_ns < 5 * SIM_SECOND ? p->drain_ns : 5 * SIM_SECOND;
    sim_director_param(s, HIST_P_WORKERS, p->workers);
    sim_director_param(s, HIST_P_DRAIN_BOUND, p->drain_ns + 2 * SIM_SECOND);
    sim_director_param(s, HIST_P_DRAIN_TIMEOUT, p->drain_ns);
    sim_director_param(s, HIST_P_KILL_DELAY, SIM_SECOND);
    sim_director_param(s, HIST_P_FAST_BOUND, 2 * SIM_SECOND);
    sim_director_param(s, HIST_P_RESPAWN_DEADLINE,
                       p->backoff_max_ns + p->reload_timeout_ns + 3 * SIM_SECOND);
    sim_director_param(s, HIST_P_ZOMBIE_BOUND, 1500 * SIM_MS);
    sim_director_param(s, HIST_P_ORPHAN_BOUND, orphan_ns + SIM_SECOND);
    sim_director_param(s, HIST_P_CONTROL_BOUND, SIM_SECOND);
    sim_director_param(s, HIST_P_WATCHDOG_BOUND, p->watchdog_ns + 4 * SIM_SECOND);
    sim_director_param(s, HIST_P_CONVERGE_BOUND, p->converge_ns);
    sim_director_param(s, HIST_P_RECOVER_BOUND, 3 * SIM_SECOND);
    sim_director_param(s, HIST_P_KEEPALIVE_TIMEOUT, p->keepalive_ns);
    sim_director_param(s, HIST_P_RESPAWN_RATE, 12000);
    sim_director_param(s, HIST_P_CPU_PERMILLE, 100);
    sim_director_param(s, HIST_P_CUT_OVER_ALLOWANCE, SIM_MS);
    sim_director_param(s, HIST_P_GENERATION_HEADER, 1);
    sim_director_param(s, HIST_P_ENGINE_TRACE, 1);
    uint64_t capacity = capacity_of(p);
    if (capacity > 0)
        sim_director_param(s, HIST_P_CAPACITY, capacity);
    if (p->theme == SIM_THEME_FD_LIMIT)
        sim_director_param(s, HIST_P_FD_LIMIT, p->fd_limit);
    if (p->theme == SIM_THEME_CONNECTIONS)
        sim_director_param(s, HIST_P_WORKER_CONNECTIONS, p->connections);
    if (p->theme == SIM_THEME_SLOW_ACCEPT)
        sim_director_param(s, HIST_P_SLOW_ACCEPT_BOUND, 400 * SIM_MS);
}

static void state_params(struct sim *s)
{
    for (unsigned i = 0; s->plan.story && i < HIST_PARAM_COUNT; i++)
        if (s->plan.params[i] != UINT64_MAX)
            sim_director_param(s, (enum hist_param)i, s->plan.params[i]);
    if (!s->plan.story)
        state_usual_params(s);
}

/* ---- phases -----------------------------------------------------------------------------------
 */

void sim_director_enter(struct sim *s, enum hist_phase phase)
{
    struct sim_director *d = &s->director;
    d->phase = phase;
    for (size_t i = 0; i < SIM_ROWS; i++)
        d->at_phase[i] = s->master->rows[i].pid;
    put(s, HIST_DIRECTOR_PHASE, 0, phase, 0, 0);
}

static void phase_after(struct sim *s, uint64_t ns)
{
    kernel_outside(&s->kernel, s->kernel.now_ns + ns, SIM_OUT_PHASE, s->director.phase);
}

void sim_director_start(struct sim *s)
{
    struct sim_director *d = &s->director;
    d->config = d->good_config = 1;
    d->config_valid = true;
    d->config_workers = s->plan.workers;
    put(s, HIST_DIRECTOR_BEGIN, 0, 0, 0, 0);
    state_params(s);
    if (s->plan.rules[0] != '\0')
        sim_fault_arm(s, s->plan.rules);
    put(s, HIST_DIRECTOR_CONFIG, 1, 1, s->plan.workers, 0);
    kernel_outside(&s->kernel, s->kernel.now_ns + boot_bound_ns, SIM_OUT_BOOT, 0);
    sim_backends_start(s);
    sim_master_start(s);
    put(s, HIST_WATCH_ROOT, 0, 1, 0, 0);
}

void sim_director_ready(struct sim *s)
{
    if (s->director.ready)
        return;
    s->director.ready = true;
    put(s, HIST_DIRECTOR_READY, 1, 0, 0, 0);
    sim_director_enter(s, HIST_PHASE_BASELINE);
    sim_clients_start(s);
    if (s->plan.story)
        sim_story_turn(s);
    else
        phase_after(s, s->plan.baseline_ns);
    kernel_outside(&s->kernel, s->kernel.now_ns + sample_ns, SIM_OUT_SAMPLE, 0);
}

static void begin_acts(struct sim *s)
{
    s->director.act_begun_ns = s->kernel.now_ns;
    sim_director_enter(s, HIST_PHASE_ACT);
    for (uint32_t i = 0; i < s->plan.act_count; i++)
        kernel_outside(&s->kernel, s->kernel.now_ns + s->plan.acts[i].at_ns, SIM_OUT_ACT, i);
    phase_after(s, s->plan.act_ns);
}

/* Nothing disturbs the tree any more: rules are disarmed, limits lifted, the master goes on if it
 * was stopped. Workers that were stopped stay so: to replace them is the master's business. */
static void calm(struct sim *s)
{
    for (unsigned i = 0; i < FAULT_RULES_MAX; i++) {
        struct fault_status status;
        if (fault_board_status(&s->board, i, &status) && status.armed &&
            status.rule.kind != FAULT_SABOTAGE)
            sim_fault_disarm(s, i);
    }
    if (s->kernel.processes[s->master->process].state == KERNEL_STOPPED)
        sim_signal(s, s->master->pid, SIGCONT, HIST_TO_MASTER);
    sim_backends_heal(s);
    for (unsigned i = 1; i < s->kernel.processes_used; i++)
        if (kernel_alive(&s->kernel, i))
            s->kernel.processes[i].jitter_ns = s->plan.jitter_ns;
    if (s->plan.theme == SIM_THEME_FD_LIMIT)
        sim_act_limit_fds(s, FD_LIMIT_USUAL);
    if (s->plan.theme == SIM_THEME_CONNECTIONS || s->plan.theme == SIM_THEME_FD_LIMIT)
        sim_clients_close_held(s);
}

void sim_director_stop(struct sim *s, enum sim_stop how)
{
    static const int numbers[] = {
        [SIM_STOP_FAST] = SIGTERM, [SIM_STOP_GRACEFUL] = SIGQUIT, [SIM_STOP_KILL] = SIGKILL};
    struct sim_director *d = &s->director;
    d->stopping = true;
    d->stop_ns = s->kernel.now_ns;
    if (d->phase != HIST_PHASE_STOP)
        sim_director_enter(s, HIST_PHASE_STOP);
    put(s, HIST_DIRECTOR_STOP, 0, how, 0, 0);
    sim_signal(s, s->master->pid, numbers[how], HIST_TO_MASTER);
    if (s->masters[1].pid != 0)
        sim_signal(s, s->masters[1].pid, numbers[how], HIST_TO_MASTER);
}

static void next_phase(struct sim *s, enum hist_phase phase)
{
    if (phase != s->director.phase || s->director.stopping)
        return;
    switch (phase) {
    case HIST_PHASE_BASELINE:
        begin_acts(s);
        break;
    case HIST_PHASE_ACT:
        if (s->plan.quiet_ns > 0) {
            sim_director_enter(s, HIST_PHASE_QUIET);
            s->clients.paused = true;
            phase_after(s, s->plan.quiet_ns);
            break;
        }
        __attribute__((fallthrough));
    case HIST_PHASE_QUIET:
        s->clients.paused = false;
        sim_director_enter(s, HIST_PHASE_RECOVER);
        calm(s);
        phase_after(s, s->plan.converge_ns + 2 * SIM_SECOND);
        break;
    default:
        if (s->broken == NULL)
            s->broken = sim_director_unsettled(s);
        sim_director_stop(s, s->plan.stop);
    }
}

/* ---- has it converged? ------------------------------------------------------------------------
 */

const char *sim_director_unsettled(const struct sim *s)
{
    const struct sup *sup = &s->master->sup;
    uint32_t ready = 0;
    if (s->director.master_gone)
        return "progress: the master is gone though nobody stopped it";
    if (sup->mode != SUP_MODE_RUNNING)
        return "progress: the supervisor has not come to rest";
    for (uint32_t i = 0; i < sup->used; i++)
        ready += sup->workers[i].state == SUP_WORKER_READY;
    if (ready != sup->settings.workers || sup->used != ready)
        return "progress: not all workers are ready, or old ones are still there";
    for (unsigned i = 1; i < s->kernel.processes_used; i++)
        if (s->kernel.processes[i].state == KERNEL_ZOMBIE)
            return "progress: there is a zombie";
    return NULL;
}

/* ---- what the master reports ------------------------------------------------------------------
 */

static void forget_reload(struct sim *s, size_t i, enum hist_report report)
{
    struct sim_director *d = &s->director;
    d->last_report = report;
    d->reports[report]++;
    if (d->reloads[i].waits && !d->stopping) {
        put(s, HIST_DIRECTOR_RELOADED, d->reloads[i].config, report, d->reloads[i].sequence,
            s->kernel.now_ns - d->reloads[i].begun_ns);
        if (report == HIST_REPORT_OK)
            put(s, HIST_DIRECTOR_CUT_OVER, d->reloads[i].config, d->reloads[i].sequence, 0, 0);
    }
    d->reloads[i] = d->reloads[--d->reload_count];
}

/* The first reload that began after we asked has read our configuration: its outcome is ours. */
void sim_director_reported(struct sim *s, enum hist_report report, uint32_t generation)
{
    struct sim_director *d = &s->director;
    for (size_t i = 0; i < d->reload_count;)
        if (generation <= d->reloads[i].before)
            i++;
        else
            forget_reload(s, i, report);
}

void sim_director_unreported(struct sim *s)
{
    while (s->director.reload_count > 0)
        forget_reload(s, 0, HIST_REPORT_NONE);
}

static void answer(struct sim *s, size_t i, bool seen)
{
    struct sim_director *d = &s->director;
    put(s, HIST_DIRECTOR_ANSWER, 0, SIGUSR1, d->asks[i].sequence, seen);
    d->asks[i] = d->asks[--d->ask_count];
}

void sim_director_reopened(struct sim *s)
{
    while (s->director.ask_count > 0)
        answer(s, 0, true);
}

static void ask_overdue(struct sim *s, uint32_t sequence)
{
    for (size_t i = 0; i < s->director.ask_count; i++)
        if (s->director.asks[i].sequence == sequence) {
            answer(s, i, false);
            return;
        }
}

void sim_director_resized(struct sim *s, uint32_t workers)
{
    sim_director_param(s, HIST_P_WORKERS, workers);
}

void sim_director_master_gone(struct sim *s, int status)
{
    struct sim_director *d = &s->director;
    d->master_gone = true;
    if (d->stopping)
        put(s, HIST_DIRECTOR_STOPPED, 0, 1, (uint64_t)status, s->kernel.now_ns - d->stop_ns);
}

/* ---- the new binary of an upgrade --------------------------------------------------------------
 */

/* The workers of both have accepted for a while: the upgrade is taken back, or completed. */
static void part(struct sim *s, uint32_t pid)
{
    bool stays = s->director.upgrade == SIM_FATE_STAYS;
    if (s->masters[1].pid == pid && !s->director.stopping)
        sim_signal(s, stays ? s->masters[0].pid : pid, SIGQUIT, HIST_TO_MASTER);
}

void sim_director_upgraded(struct sim *s, enum hist_upgrade what)
{
    struct sim_director *d = &s->director;
    bool over = what == HIST_UPGRADE_READY || what == HIST_UPGRADE_FAILED;
    if (!over || !d->upgrade_asked)
        return;
    d->upgrade_asked = false;
    put(s, HIST_DIRECTOR_UPGRADED, 0, what, d->upgrade_sequence,
        what == HIST_UPGRADE_READY ? s->masters[1].pid : 0);
}

/* ---- time -------------------------------------------------------------------------------------
 */

void sim_director_outside(struct sim *s, enum sim_outside what, uint32_t a)
{
    switch (what) {
    case SIM_OUT_ARRIVAL:
        sim_client_arrival(s, a);
        break;
    case SIM_OUT_CLIENT:
        sim_clients_timer(s);
        break;
    case SIM_OUT_SAMPLE:
        sim_watch_sample(s);
        kernel_outside(&s->kernel, s->kernel.now_ns + sample_ns, SIM_OUT_SAMPLE, 0);
        break;
    case SIM_OUT_ACT:
        if (s->director.phase == HIST_PHASE_ACT)
            sim_act_perform(s, a);
        break;
    case SIM_OUT_DISARM:
        if (s->director.phase == HIST_PHASE_ACT)
            sim_fault_disarm(s, a);
        break;
    case SIM_OUT_STORM:
        sim_act_storm(s, a);
        break;
    case SIM_OUT_ASK:
        ask_overdue(s, a);
        break;
    case SIM_OUT_PHASE:
        next_phase(s, (enum hist_phase)a);
        break;
    case SIM_OUT_CONT:
        if (s->director.phase == HIST_PHASE_ACT)
            sim_signal(s, a, SIGCONT, HIST_TO_MASTER);
        break;
    case SIM_OUT_BOOT:
        if (!s->director.ready && s->broken == NULL)
            s->broken = "progress: the server has never become ready";
        break;
    case SIM_OUT_STORY:
        sim_story_turn(s);
        break;
    case SIM_OUT_OTHER:
        part(s, a);
        break;
    case SIM_OUT_BACKENDS:
        sim_backends_calmed(s, a);
        break;
    case SIM_OUT_ADOPT:
        sim_upgrade_adopt(s);
        break;
    }
}
