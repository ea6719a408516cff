/* The simulated master: turns signals, exits, messages and time into events for the supervisor, as
 * engine/master does on a real kernel. What it does for each effect is in sim_effects.c. */
#include <errno.h>
#include <signal.h>

#include "engine/core/trace.h"
#include "engine/sim/sim.h"

enum { TAG_DEADLINE = 1, TAG_BEATS, TAG_SETTLE, TAG_AGAIN, TAG_LINE = SIM_TAG_LINE, TAG_ROW = 16 };
static const uint64_t settle_ns = 2 * SIM_MS;
static const uint64_t again_ns = 50 * SIM_MS;

static const struct {
    int number;
    enum sup_event_kind event;
} orders[] = {
    {SIGHUP, SUP_RELOAD}, {SIGQUIT, SUP_QUIT},   {SIGTERM, SUP_STOP},
    {SIGINT, SUP_STOP},   {SIGUSR1, SUP_REOPEN}, {SIGUSR2, SUP_UPGRADE},
    {SIGWINCH, SUP_REST}, {SIGTTIN, SUP_GROW},   {SIGTTOU, SUP_SHRINK},
};

static void arm_timers(struct sim *s);
static void print_status(struct sim *s, const struct sup_event *event);

static bool gone(const struct sim *s)
{
    return s->master->gone || !kernel_alive(&s->kernel, s->master->process);
}

/* ---- telling the supervisor -------------------------------------------------------------------
 */

static uint64_t armed_sabotage(struct sim *s, uint64_t wanted)
{
    static const enum fault_point points[] = {
#define S(symbol, word) [SUP_SABOTAGE_##symbol] = FAULT_sabotage_##word,
        SUP_SABOTAGES(S)
#undef S
    };
    uint64_t armed = 0;
    for (unsigned bit = 0; wanted >> bit != 0 && bit < SUP_SABOTAGE_COUNT; bit++)
        if ((wanted & UINT64_C(1) << bit) && sim_sabotage(s, s->master->process, points[bit]))
            armed |= UINT64_C(1) << bit;
    return armed;
}

static void write_trace(struct sim *s, const struct sup_event *event)
{
    static char line[TRACE_LINE_MAX];
    size_t len = trace_print_step(line, sizeof(line), s->kernel.now_ns, event, &s->master->effects);
    fwrite(line, 1, len, s->trace);
}

static void step(struct sim *s, struct sup_event event)
{
    struct sim_master *m = s->master;
    if (s->board.armed != 0)
        event.sabotage = armed_sabotage(s, sup_sabotage_wanted(&m->sup, s->kernel.now_ns, &event));
    sup_step(&m->sup, s->kernel.now_ns, &event, &m->effects);
    if (s->coverage != NULL)
        sim_coverage_sup(s->coverage, &m->effects);
    const char *broken = sup_check(&m->sup);
    if (broken != NULL && s->broken == NULL)
        s->broken = broken;
    if (s->trace != NULL && !m->upgraded)
        write_trace(s, &event);
    if (s->status != NULL)
        print_status(s, &event);
    for (uint32_t i = 0; i < m->effects.count && !gone(s); i++)
        sim_master_perform(s, &m->effects.at[i]);
}

void sim_master_tell(struct sim *s, const struct sup_event *event)
{
    struct sim_master *m = s->master;
    if (m->event_count == SIM_EVENTS_MAX)
        abort();
    m->events[(m->event_first + m->event_count++) % SIM_EVENTS_MAX] = *event;
    if (m->stepping)
        return;
    m->stepping = true;
    while (m->event_count > 0 && !gone(s)) {
        struct sup_event next = m->events[m->event_first];
        m->event_first = (m->event_first + 1) % SIM_EVENTS_MAX;
        m->event_count--;
        step(s, next);
    }
    m->stepping = false;
    if (!gone(s))
        arm_timers(s);
}

static void tell_worker(struct sim *s, enum sup_event_kind kind, const struct sim_row *row,
                        uint64_t a)
{
    sim_master_tell(s, &(struct sup_event){
                           .kind = kind, .slot = row->slot, .generation = row->generation, .a = a});
}

/* ---- its loop ---------------------------------------------------------------------------------
 */

static uint64_t beats_ns(const struct sim *s)
{
    uint64_t silence_ns = s->master->sup.settings.watchdog_ns;
    return silence_ns > 4 * SIM_SECOND ? SIM_SECOND
           : silence_ns > 200 * SIM_MS ? silence_ns / 4
                                       : 50 * SIM_MS;
}

static void set_timer(struct sim *s, bool *on, uint64_t after_ns, uint16_t tag)
{
    if (*on)
        return;
    *on = true;
    kernel_timer(&s->kernel, s->master->process, s->kernel.now_ns + after_ns, tag);
}

static void arm_timers(struct sim *s)
{
    struct sim_master *m = s->master;
    uint64_t due_ns = sup_next_deadline_ns(&m->sup);
    if (due_ns != UINT64_MAX && (m->deadline_ns == 0 || due_ns < m->deadline_ns)) {
        m->deadline_ns = due_ns;
        kernel_timer(&s->kernel, m->process, due_ns, TAG_DEADLINE);
    }
    if (m->sup.settings.watchdog_ns != 0)
        set_timer(s, &m->beats_on, beats_ns(s), TAG_BEATS);
    if (m->sup.mode == SUP_MODE_RETIRING)
        set_timer(s, &m->settle_on, settle_ns, TAG_SETTLE);
}

static void read_beats(struct sim *s)
{
    for (size_t i = 0; i < SIM_ROWS && !gone(s); i++) {
        const struct sim_row *row = &s->master->rows[i];
        if (row->pid != 0)
            tell_worker(s, SUP_BEAT, row, sim_worker_beat(s, row->process));
    }
}

static void read_settled(struct sim *s)
{
    for (size_t i = 0; i < SIM_ROWS && !gone(s); i++) {
        struct sim_row *row = &s->master->rows[i];
        if (row->pid == 0 || !row->told || row->settled || !s->workers[row->process].draining)
            continue;
        row->settled = true;
        tell_worker(s, SUP_DRAINING, row, 0);
    }
}

/* A timer that finds its deadline moved finds nothing to do; the next is set after it. */
static void timer_came(struct sim *s, uint16_t tag)
{
    struct sim_master *m = s->master;
    switch (tag) {
    case TAG_DEADLINE:
        if (m->deadline_ns > s->kernel.now_ns)
            return;
        m->deadline_ns = 0;
        read_beats(s); /* first: a master that was late itself must not find its workers silent */
        if (!gone(s))
            sim_master_tell(s, &(struct sup_event){.kind = SUP_TIMER});
        break;
    case TAG_BEATS:
        m->beats_on = false;
        read_beats(s);
        break;
    case TAG_SETTLE:
        m->settle_on = false;
        read_settled(s);
        break;
    default:
        m->again_on = false;
        sim_master_reap(s);
    }
    if (!gone(s))
        arm_timers(s);
}

static void message_came(struct sim *s, struct sim_row *row)
{
    uint32_t word;
    if (row->pid == 0)
        return;
    int got = kernel_channel_recv(&s->kernel, s->master->process, row->channel_fd, &word);
    if (got == 0)
        kernel_unwatch(&s->kernel, s->master->process, row->channel_fd);
    else if (got > 0)
        tell_worker(s, word == WORD_POISED ? SUP_POISED : SUP_READY, row, 0);
}

void sim_master_turn(struct sim *s)
{
    struct kernel_note note;
    if (s->master->booting)
        sim_upgrade_boot(s);
    while (!gone(s) && kernel_inbox(&s->kernel, s->master->process, &note)) {
        if (note.item == KERNEL_TIMER)
            timer_came(s, note.tag);
        else if (note.tag == TAG_LINE)
            sim_upgrade_line(s);
        else
            message_came(s, &s->master->rows[note.tag - TAG_ROW]);
    }
}

static void master_record(struct sim *s, const struct hist_record *fields)
{
    struct hist_record r = *fields;
    r.role = HIST_MASTER;
    r.slot = -1;
    r.pid = s->master->pid;
    r.gen = s->master->sup.generation;
    sim_record(s, &r);
}

void sim_master_signalled(struct sim *s, int number)
{
    if (gone(s))
        return;
    if (number == SIGCHLD) {
        sim_master_reap(s);
        return;
    }
    master_record(s, &(struct hist_record){.kind = HIST_ENGINE_SIGNAL, .a = (uint64_t)number});
    if (number == SIGWINCH && !s->plan.daemon)
        return;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        if (orders[i].number == number)
            sim_master_tell(s, &(struct sup_event){.kind = orders[i].event});
}

/* ---- reaping ----------------------------------------------------------------------------------
 */

static void bury(struct sim *s, struct sim_row *row, int status)
{
    struct sim_row dead = *row;
    sim_record(s, &(struct hist_record){.kind = HIST_ENGINE_WORKER_EXIT,
                                        .role = HIST_MASTER,
                                        .slot = row->slot,
                                        .pid = row->pid,
                                        .gen = row->generation,
                                        .a = (uint64_t)(unsigned)status});
    kernel_close(&s->kernel, s->master->process, row->channel_fd);
    row->pid = 0;
    bool listens = s->master->sup.mode < SUP_MODE_QUITTING;
    if (listens && sim_sabotage(s, s->master->process, FAULT_sabotage_reset_queue)) {
        kernel_listener_stop(&s->kernel, s->master->process, s->master->listen_fd, true);
        kernel_listener_stop(&s->kernel, s->master->process, s->master->listen_fd, false);
    }
    tell_worker(s, SUP_EXITED, &dead, (uint64_t)status);
}

/* One SIGCHLD may stand for many exits, so every known child is asked for. */
void sim_master_reap(struct sim *s)
{
    struct sim_master *m = s->master;
    bool one = sim_sabotage(s, m->process, FAULT_sabotage_reap_one), again = false;
    if (sim_fault_step(s, m->process, FAULT_master_reap) > 0)
        return;
    for (size_t i = 0; i < SIM_ROWS && !gone(s); i++) {
        struct sim_row *row = &m->rows[i];
        int status = 0;
        if (row->pid == 0)
            continue;
        int got = sim_fault_step(s, m->process, FAULT_proc_waitpid);
        if (got == 0)
            got = kernel_waitpid(&s->kernel, m->process, row->pid, &status);
        if (got == -ECHILD)
            got = (int)row->pid;
        again |= got < 0;
        if (got != (int)row->pid)
            continue;
        bury(s, row, status);
        if (one)
            return;
    }
    if (!gone(s))
        again |= sim_upgrade_reap(s);
    if (again && !gone(s))
        set_timer(s, &m->again_on, again_ns, TAG_AGAIN);
}

/* ---- starting ---------------------------------------------------------------------------------
 */

static struct sup_options options_of(const struct sim *s, bool upgrade)
{
    const struct sim_plan *plan = &s->plan;
    const struct sup_settings settings = {
        .workers = upgrade ? s->director.config_workers : plan->workers,
        .drain_ns = plan->drain_ns,
        .watchdog_ns = plan->watchdog_ns,
        .backoff_min_ns = plan->backoff_min_ns,
        .backoff_max_ns = plan->backoff_max_ns,
        .reload_timeout_ns = plan->reload_timeout_ns,
    };
    struct sup_options options = sup_options_default(&settings, plan->seed);
    options.has_old_master = upgrade;
    return options;
}

void sim_master_begin(struct sim *s, const struct sim_master *old)
{
    struct sim_master *m = s->master;
    struct sup_options options = options_of(s, old != NULL);
    char line[512];
    m->config = m->config_tried = old != NULL ? s->director.config : 1;
    sup_init(&m->sup, &options);
    if (s->trace != NULL && old == NULL) { /* one of two masters has a trace of its own */
        size_t len = trace_print_start(line, sizeof(line), &options);
        fwrite(line, 1, len, s->trace);
    }
    uint32_t handled = KERNEL_BIT(SIGCHLD);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        handled |= KERNEL_BIT(orders[i].number);
    kernel_handle(&s->kernel, m->process, handled, KERNEL_BIT(SIGPIPE));
    kernel_mask(&s->kernel, m->process, 0);
    sim_record(s, &(struct hist_record){.kind = HIST_ENGINE_MASTER,
                                        .role = HIST_MASTER,
                                        .slot = -1,
                                        .pid = m->pid,
                                        .gen = old != NULL,
                                        .a = old != NULL ? old->pid : 0});
    sim_master_tell(s, &(struct sup_event){.kind = SUP_BOOT});
}

void sim_master_start(struct sim *s)
{
    struct sim_master *m = s->master;
    const struct sim_plan *plan = &s->plan;
    struct kernel *k = &s->kernel;
    m->process = (unsigned)kernel_fork(k, KERNEL_INIT);
    m->pid = k->processes[m->process].pid;
    m->line_fd = -1;
    k->processes[m->process].delay_ns = plan->delay_ns;
    k->processes[m->process].jitter_ns = plan->jitter_ns;
    sim_fault_identify(s, m->process, FAULT_ROLE_MASTER, -1, 0);
    bool tiny = sim_sabotage(s, m->process, FAULT_sabotage_tiny_backlog);
    m->listen_fd = kernel_listen(k, m->process, SIM_PORT, tiny ? 1 : plan->backlog);
    sim_master_begin(s, NULL);
}

struct sim_master *sim_master_of(struct sim *s, unsigned process)
{
    for (int i = 0; i < 2; i++)
        if (s->masters[i].pid != 0 && s->masters[i].process == process)
            return &s->masters[i];
    return NULL;
}

const struct sim_row *sim_master_row(const struct sim *s, int slot, uint32_t generation)
{
    for (size_t i = 0; i < SIM_ROWS; i++) {
        const struct sim_row *row = &s->master->rows[i];
        if (row->pid != 0 && row->slot == slot && row->generation == generation)
            return row;
    }
    return NULL;
}

/* ---- for people -------------------------------------------------------------------------------
 */

/* One letter for each state of a worker, a column for each of the first slots: `R1` is a ready
 * worker of generation 1. */
static void print_slots(const struct sim *s, char *out, size_t size)
{
    static const char letters[] = "wsSPRDTAK";
    const struct sup *sup = &s->master->sup;
    size_t at = 0;
    out[0] = '\0';
    for (int slot = 0; slot < 8; slot++) {
        char cell[32] = "";
        size_t used = 0;
        for (uint32_t i = 0; i < sup->used && used + 12 < sizeof(cell); i++)
            if (sup->workers[i].slot == slot)
                used +=
                    (size_t)snprintf(cell + used, sizeof(cell) - used, "%c%u",
                                     letters[sup->workers[i].state], sup->workers[i].generation);
        at += (size_t)snprintf(out + at, size - at, " %-8s", cell[0] != '\0' ? cell : ".");
    }
}

static void print_status(struct sim *s, const struct sup_event *event)
{
    const struct sim_master *m = s->master;
    char slots[256], who[24] = "";
    if (event->kind == SUP_BEAT || (event->kind == SUP_TIMER && m->effects.count == 0))
        return;
    if (event->kind >= SUP_SPAWNED && event->kind < SUP_TIMER)
        snprintf(who, sizeof(who), "%d.%u", event->slot, event->generation);
    print_slots(s, slots, sizeof(slots));
    fprintf(s->status, "%11.6f %-12s %-6s %-10s g%-4u%s |", (double)s->kernel.now_ns / 1e9,
            sup_event_word(event->kind), who, sup_mode_word(m->sup.mode), m->sup.generation, slots);
    for (uint32_t i = 0; i < m->effects.count && i < 6; i++) {
        const struct sup_effect *e = &m->effects.at[i];
        fprintf(s->status, e->slot >= 0 ? " %s:%d.%u" : " %s", sup_effect_word(e->kind), e->slot,
                e->generation);
    }
    fputs(m->effects.count > 6 ? " ...\n" : "\n", s->status);
}
