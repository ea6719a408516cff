/* One turn of the loop: what is due begins, what is ready is read, what waited is let in. */
#include "scenarios/witness/prober_loop.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "scenarios/witness/prober_conn.h"
#include "scenarios/witness/prober_pool.h"
#include "scenarios/witness/prober_record.h"
#include "scenarios/witness/prober_report.h"

enum {
    ARRIVAL_GRAIN_US = 100, /* arrivals within this share a wake-up */
    HEARTBEAT_MS = 1,
    SWEEP_MS = 50, /* every connection's deadline is looked at once in this time */
    PROGRESS_EVERY_MS = 50,
};

static void on_timer(struct ev_loop *loop, struct ev_io *w, int revents);
static void on_prepare(struct ev_loop *loop, struct ev_prepare *w, int revents);
static void beat(struct prober *p, uint64_t now_ns);
static void sweep(struct prober *p, uint64_t now_ns);
static bool is_over(const struct prober *p);
static void abandon_all(struct prober *p);
static void arm(struct prober *p, uint64_t due_ns);

int prober_loop_init(struct prober *p, uint64_t seed)
{
    p->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (p->loop == NULL)
        return -ENOMEM;
    p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (p->timer_fd < 0)
        return -errno;
    TAILQ_INIT(&p->graveyard);
    p->own_pid = (uint32_t)getpid();
    p->nonce_seed = seed * UINT64_C(0xd1342543de82ef95) + ((uint64_t)p->own_pid << 32);
    p->random = seed ^ UINT64_C(0x6d77);
    return 0;
}

int prober_loop_run(struct prober *p)
{
    p->heartbeat_ns = hist_now_ns() + HEARTBEAT_MS * PROBER_NS_PER_MS;
    p->progress_ns = p->heartbeat_ns + PROGRESS_EVERY_MS * PROBER_NS_PER_MS;
    for (int i = 0; i < p->population_count; i++)
        if (!p->populations[i].spec.paused)
            prober_pool_start(&p->populations[i]);
    ev_io_init(&p->timer, on_timer, p->timer_fd, EV_READ);
    ev_set_priority(&p->timer, EV_MAXPRI);
    ev_io_start(p->loop, &p->timer);
    ev_prepare_init(&p->prepare, on_prepare);
    ev_prepare_start(p->loop, &p->prepare);
    prober_report_ready();
    ev_run(p->loop, 0);
    abandon_all(p);
    for (int i = 0; i < p->population_count; i++) {
        p->populations[i].held_told_at_ns = 0; /* the last word is not held back */
        prober_record_held(&p->populations[i], hist_now_ns());
    }
    prober_record_done(p);
    if (p->own_errors_since_ns != 0)
        p->exit_code = 3; /* it never got going again */
    return p->exit_code;
}

void prober_loop_quit(struct prober *p)
{
    uint64_t now = hist_now_ns();
    for (int i = 0; i < p->population_count; i++)
        if (p->quitting)
            p->populations[i].quit_by_ns = now; /* told twice: at once */
        else
            prober_pool_quit(&p->populations[i], now);
    p->quitting = true;
}

static void on_timer(struct ev_loop *loop, struct ev_io *w, int revents)
{
    struct prober *p = (struct prober *)ev_userdata(loop);
    uint64_t expirations, now = hist_now_ns();
    (void)revents;
    if (read(w->fd, &expirations, sizeof(expirations)) == (ssize_t)sizeof(expirations))
        p->armed_ns = 0;
    if (now >= p->heartbeat_ns)
        beat(p, now);
}

/* Before the loop sleeps: begin what is due or was made possible, then set the alarm. */
static void on_prepare(struct ev_loop *loop, struct ev_prepare *w, int revents)
{
    struct prober *p = (struct prober *)ev_userdata(loop);
    uint64_t now = hist_now_ns(), due = p->heartbeat_ns;
    (void)w;
    (void)revents;
    prober_conn_bury(p);
    for (int i = 0; i < p->population_count; i++) {
        struct prober_population *pop = &p->populations[i];
        prober_pool_dispatch(pop, now);
        uint64_t next = prober_pool_arrive(pop, now);
        due = next < due ? next : due;
    }
    if (is_over(p))
        ev_break(loop, EVBREAK_ALL);
    arm(p, due);
}

/* Once each millisecond: how late is it, and what has run out of time? */
static void beat(struct prober *p, uint64_t now_ns)
{
    prober_record_lag(p, now_ns, now_ns - p->heartbeat_ns);
    uint64_t missed = (now_ns - p->heartbeat_ns) / (HEARTBEAT_MS * PROBER_NS_PER_MS);
    p->heartbeat_ns += (missed + 1) * HEARTBEAT_MS * PROBER_NS_PER_MS;
    sweep(p, now_ns);
    for (int i = 0; i < p->population_count; i++) {
        if (p->populations[i].quit_by_ns <= now_ns)
            prober_pool_give_up(&p->populations[i], now_ns);
        prober_pool_expire(&p->populations[i], now_ns);
        prober_record_held(&p->populations[i], now_ns);
    }
    if (now_ns >= p->progress_ns) {
        p->progress_ns = now_ns + PROGRESS_EVERY_MS * PROBER_NS_PER_MS;
        prober_report_progress(p);
    }
}

/* A slice of all connections: a stalled server with thousands of them must not make us late. */
static void sweep(struct prober *p, uint64_t now_ns)
{
    size_t slice = p->conn_count / SWEEP_MS + 1;
    for (size_t i = 0; i < slice && p->conn_count > 0; i++) {
        if (p->sweep_next == 0 || p->sweep_next > p->conn_count)
            p->sweep_next = p->conn_count;
        struct prober_conn *c = p->conns[--p->sweep_next];
        if (c->deadline_ns != 0 && c->deadline_ns <= now_ns)
            prober_conn_expire(c);
    }
}

static bool is_over(const struct prober *p)
{
    if (p->exit_code != 0)
        return true;
    if (!p->quitting)
        return false;
    for (int i = 0; i < p->population_count; i++)
        if (p->populations[i].queue.count > 0)
            return false;
    return p->conn_count == 0;
}

static void abandon_all(struct prober *p)
{
    while (p->conn_count > 0)
        prober_conn_abandon(p->conns[p->conn_count - 1]);
    for (int i = 0; i < p->population_count; i++)
        prober_pool_drop(&p->populations[i]);
}

static void arm(struct prober *p, uint64_t due_ns)
{
    uint64_t grain = ARRIVAL_GRAIN_US * UINT64_C(1000);
    uint64_t at = (due_ns + grain - 1) / grain * grain;
    if (at == p->armed_ns)
        return;
    struct itimerspec alarm = {.it_value = {.tv_sec = (time_t)(at / PROBER_NS_PER_S),
                                            .tv_nsec = (long)(at % PROBER_NS_PER_S)}};
    if (timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &alarm, NULL) == 0)
        p->armed_ns = at;
}
