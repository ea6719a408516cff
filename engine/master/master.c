/* The master's life: it starts, then turns signals, exits, messages and time into events for the
 * supervisor, and carries out what the supervisor answers. */
#include "engine/master/master.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/core/trace.h"
#include "engine/master/master_impl.h"
#include "engine/master/start.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "faultinject/fault.h"

static const double settle_s = 0.002; /* a reload's report is late by this at most */
static const double again_s = 0.05;

static void master_loop(struct master *m);

int master_run(const struct master_options *options)
{
    struct master *m = sys_calloc(1, sizeof(*m));
    if (m == NULL)
        return 1;
    m->options = options;
    m->other_fd = m->daemon_fd = -1;
    m->exit_code = 1;
    if (start_master(m)) {
        master_loop(m);
        files_remove(m);
        log_line(LEVEL_NOTICE, "exit");
    }
    end_master(m);
    int code = m->exit_code;
    free(m);
    return code;
}

void master_record(const struct master *m, enum hist_kind kind, const struct hist_record *fields)
{
    if (!hist_on())
        return;
    struct hist_record record = *fields;
    record.kind = (uint16_t)kind;
    if (record.pid == 0)
        record.pid = (uint32_t)m->pid;
    if (record.gen == 0)
        record.gen = m->sup.generation;
    hist_put(&hist_self, &record);
}

/* ---- telling the supervisor ------------------------------------------------------------ */

/* Which of the sabotages that could matter now are armed. */
static uint64_t armed_sabotage(uint64_t wanted)
{
    static const enum fault_point points[] = {
#define S(symbol, word) [SUP_SABOTAGE_##symbol] = FAULT_sabotage_##word,
        SUP_SABOTAGES(S)
#undef S
    };
    uint64_t armed = 0;
    for (unsigned bit = 0; wanted >> bit != 0 && bit < SUP_SABOTAGE_COUNT; bit++)
        if ((wanted & UINT64_C(1) << bit) && fault_sabotage(points[bit]))
            armed |= UINT64_C(1) << bit;
    return armed;
}

static void write_trace(struct master *m, uint64_t now_ns, const struct sup_event *event)
{
    static char line[TRACE_LINE_MAX];
    size_t len = trace_print_step(line, sizeof(line), now_ns, event, &m->effects);
    fwrite(line, 1, len, m->trace);
    fflush(m->trace);
}

static void step(struct master *m, struct sup_event event)
{
    uint64_t now_ns = clock_now_ns();

    event.sabotage = armed_sabotage(sup_sabotage_wanted(&m->sup, now_ns, &event));
    sup_step(&m->sup, now_ns, &event, &m->effects);
    if (m->trace != NULL)
        write_trace(m, now_ns, &event);
    const char *broken = sup_check(&m->sup);
    if (broken != NULL)
        log_check_failed(broken, __FILE__, __LINE__);
    for (uint32_t i = 0; i < m->effects.count; i++) {
        report_effect(m, &m->effects.at[i]);
        master_carry_out(m, &m->effects.at[i]);
    }
}

static void start_timer(struct master *m, ev_timer *timer, double after_s, double repeat_s)
{
    ev_timer_stop(m->loop, timer);
    ev_timer_set(timer, after_s, repeat_s);
    ev_timer_start(m->loop, timer);
}

/* A heartbeat is read four times in the longest silence that is allowed, once a second at least. */
static double beats_s(const struct master *m)
{
    double silence_s = (double)m->sup.settings.watchdog_ns / (double)NS_PER_S;
    return silence_s > 4 ? 1 : silence_s > 0.2 ? silence_s / 4 : 0.05;
}

static void arm_timers(struct master *m)
{
    uint64_t due_ns = sup_next_deadline_ns(&m->sup);

    ev_now_update(m->loop);
    ev_timer_stop(m->loop, &m->deadline);
    if (due_ns != UINT64_MAX)
        start_timer(m, &m->deadline, clock_ev_delay(due_ns, clock_now_ns()), 0);
    if (m->sup.settings.watchdog_ns == 0)
        ev_timer_stop(m->loop, &m->beats);
    else if (!ev_is_active(&m->beats) || m->beats.repeat != beats_s(m))
        start_timer(m, &m->beats, beats_s(m), beats_s(m));
    if (m->sup.mode != SUP_MODE_RETIRING)
        ev_timer_stop(m->loop, &m->settle);
    else if (!ev_is_active(&m->settle))
        start_timer(m, &m->settle, settle_s, settle_s);
}

void master_tell(struct master *m, const struct sup_event *event)
{
    CHECK(m->event_count < MASTER_EVENTS_MAX);
    m->events[(m->event_first + m->event_count++) % MASTER_EVENTS_MAX] = *event;
    if (m->stepping)
        return;
    m->stepping = true;
    while (m->event_count > 0) {
        struct sup_event next = m->events[m->event_first];
        m->event_first = (m->event_first + 1) % MASTER_EVENTS_MAX;
        m->event_count--;
        step(m, next);
    }
    m->stepping = false;
    arm_timers(m);
}

void master_tell_worker(struct master *m, enum sup_event_kind kind, int slot, uint32_t generation,
                        uint64_t a)
{
    master_tell(m, &(struct sup_event){
                       .kind = kind, .slot = (int16_t)slot, .generation = generation, .a = a});
}

/* ---- the loop's callbacks -------------------------------------------------------------- */

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int revents)
{
    struct master *m = watcher->data;
    (void)loop;
    (void)revents;
    /* In the foreground a terminal that changes its size sends it too. */
    bool obeyed = watcher->signum != SIGWINCH || !m->foreground;
    report_signal(m, watcher->signum, obeyed);
    if (!obeyed)
        return;
    if (watcher->signum == SIGUSR2 && getppid() > 1 &&
        fault_sabotage(FAULT_sabotage_upgrade_needs_init))
        return;
    workers_read_beats(m);
    if (watcher->signum == SIGHUP)
        SCORE_ADD(m->board->reloads_asked, 1);
    switch (watcher->signum) {
#define SIGNAL(name, event, word, text)                                                            \
    case SIG##name:                                                                                \
        master_tell(m, &(struct sup_event){.kind = SUP_##event});                                  \
        break;
#include "engine/master/signals.def"
#undef SIGNAL
    }
}

static void reap(struct master *m)
{
    bool again = workers_reap(m);
    again |= upgrade_reap(m);
    if (again)
        start_timer(m, &m->again, again_s, 0);
}

static void on_child(struct ev_loop *loop, ev_signal *watcher, int revents)
{
    (void)loop;
    (void)revents;
    reap(watcher->data);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    reap(timer->data);
}

/* Beats come first: a master that was late itself must not find its workers silent. */
static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct master *m = timer->data;
    (void)loop;
    (void)revents;
    workers_read_beats(m);
    master_tell(m, &(struct sup_event){.kind = SUP_TIMER});
}

static void on_beats(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    workers_read_beats(timer->data);
    tls_secret_move(clock_now_ns());
}

static void on_settle(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    workers_read_settled(timer->data);
}

/* ---- the loop -------------------------------------------------------------------------- */

enum {
#define SIGNAL(name, event, word, text) WATCH_##name,
#include "engine/master/signals.def"
#undef SIGNAL
    WATCH_CHLD,
    WATCH_COUNT
};

static void watch_signals(struct master *m, ev_signal *watchers)
{
    static const int numbers[] = {
#define SIGNAL(name, event, word, text) [WATCH_##name] = SIG##name,
#include "engine/master/signals.def"
#undef SIGNAL
        [WATCH_CHLD] = SIGCHLD,
    };
    for (size_t i = 0; i < WATCH_COUNT; i++) {
        ev_signal_init(&watchers[i], i == WATCH_CHLD ? on_child : on_signal, numbers[i]);
        watchers[i].data = m;
        ev_signal_start(m->loop, &watchers[i]);
    }
    sigset_t none; /* they were blocked since main(); what arrived meanwhile is delivered now */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void master_loop(struct master *m)
{
    ev_signal watchers[WATCH_COUNT];

    ev_init(&m->deadline, on_deadline);
    ev_init(&m->beats, on_beats);
    ev_init(&m->settle, on_settle);
    ev_init(&m->again, on_again);
    m->deadline.data = m->beats.data = m->settle.data = m->again.data = m;
    m->exit_code = 0;
    master_tell(m, &(struct sup_event){.kind = SUP_BOOT});
    watch_signals(m, watchers);
    if (m->sup.mode != SUP_MODE_DONE)
        ev_run(m->loop, 0);
}
