/* A simulated worker: the driver of admission, as engine/worker is on a real kernel. */
#include <errno.h>
#include <signal.h>

#include "engine/sim/sim.h"

enum { TAG_LISTENER = 1, TAG_CHANNEL, TAG_ADMISSION, TAG_RETRY, TAG_HEARTBEAT };

static const uint64_t orphan_drain_ns = 5 * SIM_SECOND;
static const uint64_t drain_idle_ns = 2 * SIM_SECOND;

static void boot(struct sim *s, struct sim_worker *w);
static void serve(struct sim *s, struct sim_worker *w);
static void say(struct sim *s, struct sim_worker *w, enum sim_word word);
static bool accept_some(struct sim *s, struct sim_worker *w);
static void order_drain(struct sim *s, struct sim_worker *w);
static void read_channel(struct sim *s, struct sim_worker *w);

void sim_worker_record(struct sim *s, const struct sim_worker *w, enum hist_kind kind,
                       struct hist_record *r)
{
    r->kind = (uint16_t)kind;
    r->role = HIST_WORKER;
    r->slot = w->slot;
    r->gen = w->generation;
    r->pid = s->kernel.processes[w->process].pid;
    sim_record(s, r);
}

void sim_worker_turn(struct sim *s, unsigned process)
{
    struct sim_worker *w = &s->workers[process];
    switch ((enum sim_stage)w->stage) {
    case SIM_BOOTS:
        boot(s, w);
        break;
    case SIM_READIES:
        /* It may take its time; what follows is the next turn's. */
        w->stage = SIM_SERVES;
        if (sim_fault_step(s, process, FAULT_worker_ready) <= 0)
            kernel_wake(&s->kernel, process);
        break;
    case SIM_SERVES:
        if (sim_fault_step(s, process, FAULT_worker_loop) <= 0)
            serve(s, w);
        break;
    case SIM_LEFT:
        break;
    }
}

/* ---- beginning --------------------------------------------------------------------------------
 */

static struct conn_limits limits_of(const struct sim_plan *plan)
{
    uint64_t idle_ns = plan->drain_ns / 2 < drain_idle_ns ? plan->drain_ns / 2 : drain_idle_ns;
    return (struct conn_limits){
        .header_timeout_ns = 60 * SIM_SECOND,
        .body_timeout_ns = 60 * SIM_SECOND,
        .send_timeout_ns = 60 * SIM_SECOND,
        .keepalive_timeout_ns = plan->keepalive_ns,
        .lingering_time_ns = 30 * SIM_SECOND,
        .lingering_timeout_ns = 5 * SIM_SECOND,
        .drain_idle_ns = idle_ns,
        .keepalive_requests = 1000,
        .discard_bytes = 1 << 16,
        .lingering = CONN_LINGERING_ON,
    };
}

/* Which they are the child knows from the moment it was forked: by its first turn the master may
 * have others. */
static void close_masters_files(struct sim *s, const struct sim_worker *w)
{
    for (size_t i = 0; i < SIM_ROWS; i++) {
        const struct sim_row *row = &s->master->rows[i];
        if (row->pid != 0 && row->process != w->process)
            kernel_close(&s->kernel, w->process, row->channel_fd);
    }
    if (s->master->line_fd >= 0)
        kernel_close(&s->kernel, w->process, s->master->line_fd);
}

/* A new child: all signals are blocked since before the fork. */
void sim_worker_start(struct sim *s, unsigned process, const struct sim_row *row, uint32_t config,
                      int channel_fd)
{
    struct sim_worker *w = &s->workers[process];
    uint32_t used = w->connection_high;
    for (uint32_t i = 0; i < used; i++)
        w->connections[i].conn.state = CONN_CLOSED;
    w->process = process;
    w->slot = row->slot;
    w->generation = row->generation;
    w->config = config;
    w->channel_fd = channel_fd;
    w->listen_fd = s->master->listen_fd;
    w->stage = SIM_BOOTS;
    w->owed = 0;
    w->started = w->watched = w->orphaned = w->draining = w->looked_at = false;
    w->connection_high = 0;
    w->answers = 0;
    w->adm_timer_ns = w->due_timer_ns = 0;
    w->limits = limits_of(&s->plan);
    sim_fault_identify(s, process, FAULT_ROLE_WORKER, row->slot, row->generation);
    kernel_handle(&s->kernel, process, 0, 0);
    if (s->plan.backends > 0)
        sim_proxy_start(s, process);
    close_masters_files(s, w);
}

static uint32_t fd_reserve(uint32_t limit)
{
    uint32_t reserve = limit / 16;
    return reserve < 4 ? 4 : reserve > 64 ? 64 : reserve;
}

static void boot_admission(struct sim *s, struct sim_worker *w)
{
    const struct sim_plan *plan = &s->plan;
    const struct kernel_process *p = &s->kernel.processes[w->process];
    struct adm_options options = {
        .connections_max = plan->connections,
        .fd_limit = p->fd_limit,
        .fd_base = p->fd_count,
        .fd_reserve = fd_reserve(p->fd_limit),
        .multi_accept = plan->multi_accept,
        .drain_ns = plan->drain_ns,
        .orphan_drain_ns = plan->drain_ns < orphan_drain_ns ? plan->drain_ns : orphan_drain_ns,
    };
    adm_init(&w->adm, &options);
}

/* Handlers first, then the mask: what arrived meanwhile is delivered to them. */
static void watch_signals(struct sim *s, struct sim_worker *w)
{
    static const uint32_t ignored = KERNEL_BIT(SIGHUP) | KERNEL_BIT(SIGUSR2) |
                                    KERNEL_BIT(SIGWINCH) | KERNEL_BIT(SIGTTIN) |
                                    KERNEL_BIT(SIGTTOU) | KERNEL_BIT(SIGPIPE) | KERNEL_BIT(SIGALRM);
    static const uint32_t handled =
        KERNEL_BIT(SIGQUIT) | KERNEL_BIT(SIGTERM) | KERNEL_BIT(SIGINT) | KERNEL_BIT(SIGUSR1);
    if (sim_sabotage(s, w->process, FAULT_sabotage_lose_early_signal))
        s->kernel.processes[w->process].pending &= ~handled;
    kernel_handle(&s->kernel, w->process, handled, ignored);
    kernel_mask(&s->kernel, w->process, 0);
}

static void boot(struct sim *s, struct sim_worker *w)
{
    w->stage = SIM_READIES;
    kernel_busy(&s->kernel, w->process, SIM_MS);
    if (sim_fault_step(s, w->process, FAULT_worker_boot) > 0)
        return; /* gone, or it goes on when the stall ends */
    kernel_wake(&s->kernel, w->process);
}

static void begin_to_serve(struct sim *s, struct sim_worker *w)
{
    w->started = true;
    boot_admission(s, w);
    watch_signals(s, w);
    kernel_watch(&s->kernel, w->process, w->channel_fd, TAG_CHANNEL);
    sim_worker_record(s, w, HIST_ENGINE_WORKER_POISED, &(struct hist_record){.a = 0});
    if (sim_sabotage(s, w->process, FAULT_sabotage_accept_on_trial))
        sim_worker_happen(s, w, ADM_EV_START, 0);
    say(s, w, WORD_POISED);
}

static void accept_from_now_on(struct sim *s, struct sim_worker *w)
{
    if (w->adm.state == ADM_NEW)
        sim_worker_happen(s, w, ADM_EV_START, 0);
    sim_worker_record(s, w, HIST_ENGINE_WORKER_READY, &(struct hist_record){.a = 0});
    say(s, w, WORD_READY);
}

/* Tried again with each heartbeat until the channel takes it. */
static void say(struct sim *s, struct sim_worker *w, enum sim_word word)
{
    int err = sim_fault_step(s, w->process, FAULT_net_sendmsg);
    if (err == 0)
        err = kernel_channel_send(&s->kernel, w->process, w->channel_fd, word);
    if (err > 0)
        return;
    w->owed = err < 0 ? (uint8_t)word : 0;
    if (err < 0)
        kernel_timer(&s->kernel, w->process, s->kernel.now_ns + SIM_HEARTBEAT_NS, TAG_RETRY);
}

/* ---- a turn -----------------------------------------------------------------------------------
 */

static void timer_came(struct sim *s, struct sim_worker *w, uint16_t tag)
{
    if (tag == TAG_RETRY && w->owed != 0) {
        say(s, w, (enum sim_word)w->owed);
    } else if (tag == TAG_HEARTBEAT) {
        sim_worker_happen(s, w, ADM_EV_FD_LIMIT, s->kernel.processes[w->process].fd_limit);
    } else if (tag == TAG_ADMISSION && w->adm_timer_ns <= s->kernel.now_ns) {
        w->adm_timer_ns = 0;
        sim_worker_happen(s, w, ADM_EV_TIMER, 0);
    } else if (tag == SIM_TAG_DUE) {
        sim_connections_due(s, w);
    } else if (tag == SIM_TAG_UPLINKS_DUE) {
        sim_uplinks_due(s, w);
    }
}

static void serve(struct sim *s, struct sim_worker *w)
{
    struct kernel_note note;
    if (!w->started)
        begin_to_serve(s, w);
    sim_connections_resume(s, w);
    /* What comes meanwhile is the next turn's: a loop that always finds something to do is no turn.
     */
    uint32_t turns = s->kernel.processes[w->process].inbox_count;
    while (turns-- > 0 && w->stage == SIM_SERVES && kernel_inbox(&s->kernel, w->process, &note)) {
        if (note.tag >= SIM_TAG_UPLINK)
            sim_uplink_noted(s, w, &note);
        else if (note.tag >= SIM_TAG_CONNECTION)
            sim_connection_noted(s, w, &note);
        else if (note.item == KERNEL_TIMER)
            timer_came(s, w, note.tag);
        else if (note.tag == TAG_LISTENER)
            accept_some(s, w);
        else
            read_channel(s, w);
    }
}

void sim_worker_signalled(struct sim *s, unsigned process, int number)
{
    struct sim_worker *w = &s->workers[process];
    sim_worker_record(s, w, HIST_ENGINE_SIGNAL, &(struct hist_record){.a = (uint64_t)number});
    if (!w->started) /* the mask opens when it begins to serve */
        return;
    if (number == SIGUSR1)
        sim_worker_record(s, w, HIST_ENGINE_REOPEN, &(struct hist_record){.a = 0});
    else if (number == SIGQUIT)
        order_drain(s, w);
    else
        sim_worker_happen(s, w, ADM_EV_STOP, 0);
}

void sim_worker_heartbeat(struct sim *s, struct sim_worker *w)
{
    if (w->started)
        kernel_timer(&s->kernel, w->process, s->kernel.now_ns + SIM_HEARTBEAT_NS, TAG_HEARTBEAT);
}

/* The heartbeat that the master reads: it counts as long as the worker's loop turns. */
uint64_t sim_worker_beat(const struct sim *s, unsigned process)
{
    const struct kernel_process *p = &s->kernel.processes[process];
    uint64_t until_ns = p->stuck_ns != 0 ? p->stuck_ns : s->kernel.now_ns;
    if (!s->workers[process].started)
        return 0;
    /* While it is busy the beat of when it began stands; who is busy for less than a beat counts.
     */
    if (p->busy_until_ns > until_ns + SIM_HEARTBEAT_NS)
        return s->workers[process].beat_lost;
    return (until_ns - p->born_ns) / SIM_HEARTBEAT_NS + 1;
}

/* ---- admission --------------------------------------------------------------------------------
 */

static void leave(struct sim *s, struct sim_worker *w, uint32_t code)
{
    w->stage = SIM_LEFT;
    if (s->plan.backends > 0)
        sim_proxy_check(s, w);
    sim_worker_record(s, w, HIST_ENGINE_EXIT, &(struct hist_record){.a = code});
    kernel_exit(&s->kernel, w->process, (int)code << 8);
}

static void watch_listener(struct sim *s, struct sim_worker *w, const struct adm_effect *effect)
{
    bool on = effect->kind == ADM_DO_WATCH, first = !w->watched;
    if (on)
        kernel_watch(&s->kernel, w->process, w->listen_fd, TAG_LISTENER);
    else
        kernel_unwatch(&s->kernel, w->process, w->listen_fd);
    w->watched = true;
    if (first)
        return;
    sim_worker_record(s, w, HIST_ENGINE_ACCEPT_PAUSE,
                      &(struct hist_record){.a = !on, .b = effect->why, .c = w->adm.active});
}

static void begin_drain(struct sim *s, struct sim_worker *w)
{
    if (sim_fault_step(s, w->process, FAULT_worker_drain) > 0 &&
        !kernel_alive(&s->kernel, w->process))
        return;
    w->draining = true;
    kernel_close(&s->kernel, w->process, w->listen_fd);
    sim_worker_record(s, w, HIST_ENGINE_DRAIN, &(struct hist_record){.a = w->adm.active});
    sim_connections_tell(s, w, CONN_EV_DRAIN);
}

static void perform(struct sim *s, struct sim_worker *w, const struct adm_effect *effect)
{
    switch ((enum adm_effect_kind)effect->kind) {
    case ADM_DO_WATCH:
    case ADM_DO_UNWATCH:
        watch_listener(s, w, effect);
        break;
    case ADM_DO_RELIEVE:
        sim_connections_relieve(s, w, effect->value);
        break;
    case ADM_DO_DRAIN_ALL:
        begin_drain(s, w);
        break;
    case ADM_DO_CLOSE_ALL:
        sim_connections_tell(s, w, CONN_EV_CUT);
        break;
    case ADM_DO_EXIT:
        leave(s, w, effect->value);
        break;
    case ADM_DO_ABORT:
        w->stage = SIM_LEFT;
        kernel_exit(&s->kernel, w->process, SIGABRT);
        break;
    case ADM_EFFECT_COUNT:
        break;
    }
}

static uint32_t sabotages(struct sim *s, const struct sim_worker *w, enum adm_event_kind kind)
{
    static const enum fault_point points[] = {
#define S(symbol, word, when) FAULT_sabotage_##word,
        ADM_SABOTAGES(S)
#undef S
    };
    uint32_t listened = s->board.armed != 0 ? adm_sabotages(kind) : 0, bits = 0;
    for (unsigned i = 0; listened >> i != 0; i++)
        if ((listened >> i & 1) && sim_sabotage(s, w->process, points[i]))
            bits |= 1u << i;
    return bits;
}

void sim_worker_happen(struct sim *s, struct sim_worker *w, enum adm_event_kind kind,
                       uint64_t value)
{
    const struct adm_event event = {
        .kind = (uint8_t)kind, .value = value, .sabotage = sabotages(s, w, kind)};
    struct adm_effects effects;
    adm_step(&w->adm, s->kernel.now_ns, &event, &effects);
    adm_check(&w->adm);
    if (s->coverage != NULL)
        sim_coverage_cell(s->coverage, SIM_ADM, effects.cell);
    for (uint32_t i = 0; i < effects.count && kernel_alive(&s->kernel, w->process); i++)
        perform(s, w, &effects.items[i]);
    uint64_t due_ns = adm_next_deadline_ns(&w->adm);
    if (w->stage != SIM_SERVES || due_ns == ADM_NEVER_NS ||
        (w->adm_timer_ns != 0 && w->adm_timer_ns <= due_ns))
        return;
    w->adm_timer_ns = due_ns;
    kernel_timer(&s->kernel, w->process, due_ns, TAG_ADMISSION);
}

/* What a failed accept means; false: there is no point in trying again in this turn. */
static bool accept_failed(struct sim *s, struct sim_worker *w, int err)
{
    enum adm_event_kind kind = ADM_EV_BROKEN;
    if (err == -EAGAIN)
        kind = ADM_EV_EMPTY;
    else if (err == -EMFILE || err == -ENFILE)
        kind = ADM_EV_NO_FD;
    else if (err == -ENOMEM || err == -ENOBUFS)
        kind = ADM_EV_NO_MEMORY;
    else if (err == -ECONNABORTED || err == -EINTR || err == -EPROTO || err == -EPERM)
        kind = ADM_EV_ABORTED;
    sim_worker_happen(s, w, kind, 0);
    return kind == ADM_EV_ABORTED;
}

/* What one wake may take. False: nobody waits, or accepting is of no use now. */
static bool accept_some(struct sim *s, struct sim_worker *w)
{
    if (w->adm.state != ADM_ACCEPTING)
        return false;
    sim_worker_happen(s, w, ADM_EV_READY, 0);
    while (w->stage == SIM_SERVES && adm_may_accept(&w->adm)) {
        w->beat_lost = sim_worker_beat(s, w->process);
        int fd = sim_fault_step(s, w->process, FAULT_net_accept);
        if (fd > 0)
            return false;
        if (fd == 0)
            fd = kernel_accept(&s->kernel, w->process, w->listen_fd);
        else
            kernel_watch(&s->kernel, w->process, w->listen_fd, TAG_LISTENER);
        if (fd < 0) {
            if (!accept_failed(s, w, fd))
                return false;
            continue;
        }
        sim_connection_open(s, w, fd);
        sim_worker_happen(s, w, ADM_EV_ACCEPTED, 0);
    }
    return true;
}

/* Who already waits is taken first, as a real worker does. */
static void order_drain(struct sim *s, struct sim_worker *w)
{
    const struct kernel_listener *listener = kernel_listener(&s->kernel, SIM_PORT);
    uint64_t most = w->adm.accepted + (listener != NULL ? listener->waiting : 0);
    while (w->adm.accepted < most && w->stage == SIM_SERVES && accept_some(s, w))
        ;
    if (w->stage == SIM_SERVES && kernel_alive(&s->kernel, w->process))
        sim_worker_happen(s, w, ADM_EV_DRAIN, 0);
}

/* ---- the channel ------------------------------------------------------------------------------
 */

/* Nobody would tell this worker to go, so it goes by itself. Sabotaged: the closed channel stays
 * readable and the loop spins. */
static void become_orphan(struct sim *s, struct sim_worker *w)
{
    if (w->orphaned)
        return;
    if (sim_sabotage(s, w->process, FAULT_sabotage_orphans_stay)) {
        kernel_stall(&s->kernel, w->process, true);
        return;
    }
    w->orphaned = true;
    kernel_unwatch(&s->kernel, w->process, w->channel_fd);
    sim_worker_record(s, w, HIST_ENGINE_ORPHAN, &(struct hist_record){.a = 0});
    sim_worker_happen(s, w, ADM_EV_ORPHAN, 0);
}

static void read_channel(struct sim *s, struct sim_worker *w)
{
    uint32_t word = 0;
    int got = kernel_channel_recv(&s->kernel, w->process, w->channel_fd, &word);
    if (got == 0)
        become_orphan(s, w);
    else if (got > 0 && word == WORD_GO)
        accept_from_now_on(s, w);
    else if (got > 0 && word == WORD_DRAIN)
        order_drain(s, w);
    else if (got > 0 && word == WORD_STOP)
        sim_worker_happen(s, w, ADM_EV_STOP, 0);
}
