/* Accepting: watches the listeners when admission says so and accepts what it grants.
 *
 * How the listeners are watched was measured (Linux 6.18, N idle workers, one connection at a time;
 * context switches of workers per connection):
 *     each worker watches them in its own epoll                  N    and one accept succeeds
 *     each watches an inner epoll that has them EPOLLEXCLUSIVE   N    the kernel ends the chain of
 *                                                                     wake-ups only at a process
 *                                                                     that sleeps in that very
 * epoll each has them EPOLLEXCLUSIVE in the epoll it sleeps in     1    but always the same worker,
 * and when that one took 50 ms from wake-up to accept, so did every connection (worst 53 ms; the
 * first way: 0.7 ms) The first way is the simplest and the only one in which a slow or stopped
 * worker delays nobody: all are woken and the quickest accepts. The idle wake-ups cost little (1.02
 * returns to user space per connection: a woken worker finds the queue empty inside the kernel) and
 * vanish under load, when workers do not sleep. Who wants exactly one uses `listen ... reuseport`.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_impl.h"
#include "faultinject/fault.h"

static void admission_watch(struct worker *w, const struct adm_effect *effect);
static void admission_drain(struct worker *w);
static bool listener_is_own(const struct worker *w, const struct listener *listener);

/* Four heartbeats and a slow turn: whose beat stands still for longer is not waited for. */
#define PEER_SILENT_NS (300 * NS_PER_MS)

/* ---- deciding and doing ---------------------------------------------------------------------- */

static void admission_perform(struct worker *w, const struct adm_effect *effect)
{
    switch ((enum adm_effect_kind)effect->kind) {
    case ADM_DO_WATCH:
    case ADM_DO_UNWATCH:
        admission_watch(w, effect);
        break;
    case ADM_DO_RELIEVE:
        connections_relieve(w, effect->value - uplinks_relieve(w, effect->value));
        break;
    case ADM_DO_DRAIN_ALL:
        admission_drain(w);
        break;
    case ADM_DO_CLOSE_ALL:
        connections_tell(w, CONN_EV_CUT);
        break;
    case ADM_DO_EXIT:
        worker_leave(w, (int)effect->value);
        break;
    case ADM_DO_ABORT:
        abort();
    case ADM_EFFECT_COUNT:
        CHECK(!"an effect that does not exist");
    }
}

/* Which armed sabotages act in this event. */
static uint32_t admission_sabotages(enum adm_event_kind kind)
{
    static const enum fault_point points[] = {
#define S(symbol, word, when) FAULT_sabotage_##word,
        ADM_SABOTAGES(S)
#undef S
    };
    uint32_t listened = adm_sabotages(kind), bits = 0;
    for (unsigned i = 0; listened >> i != 0; i++)
        if ((listened >> i & 1) && fault_sabotage(points[i]))
            bits |= 1u << i;
    return bits;
}

static void admission_arm(struct worker *w)
{
    uint64_t due_ns = adm_next_deadline_ns(&w->adm);
    ev_timer_stop(w->loop, &w->admission);
    if (due_ns == ADM_NEVER_NS)
        return;
    ev_timer_set(&w->admission, clock_ev_delay(due_ns, w->site.now_ns), 0.);
    ev_timer_start(w->loop, &w->admission);
}

void admission_happen(struct worker *w, enum adm_event_kind kind, uint64_t value)
{
    const struct adm_event event = {
        .kind = (uint8_t)kind, .value = value, .sabotage = admission_sabotages(kind)};
    struct adm_effects effects;
    uint64_t before_ns = adm_next_deadline_ns(&w->adm);
    adm_step(&w->adm, w->site.now_ns, &event, &effects);
    for (uint32_t i = 0; i < effects.count; i++)
        admission_perform(w, &effects.items[i]);
    if (adm_next_deadline_ns(&w->adm) != before_ns || kind == ADM_EV_TIMER)
        admission_arm(w);
}

/* ---- sockets of one's own ---------------------------------------------------------------------
 */

/* Whose socket it is: with `reuseport` each worker has one, or more where there were more workers
 * when they were made. */
static uint32_t listener_owner(const struct worker *w, const struct listener *listener)
{
    return listener->part % w->args->conf->workers;
}

static bool listener_is_own(const struct worker *w, const struct listener *listener)
{
    return !listener->conf->reuseport ||
           listener_owner(w, listener) == (uint32_t)w->args->slot % w->args->conf->workers;
}

static void peers_look(struct worker *w)
{
    for (size_t i = 0; i < SCORE_SLOTS_MAX; i++) {
        const struct score_row *row = &w->args->board->rows[i];
        uint32_t slot = (uint32_t)SCORE_GET(row->slot);
        if (SCORE_GET(row->state) != SCORE_READY || slot >= SCORE_SLOTS_MAX ||
            SCORE_GET(row->generation) != w->args->generation)
            continue;
        uint64_t beat = SCORE_GET(row->heartbeat);
        if (beat != w->peers[slot].beat)
            w->peers[slot] = (struct peer){.beat = beat, .moved_ns = w->site.now_ns};
    }
}

/* Clients that wait for a worker that is gone, hangs or was stopped are everybody's. */
void admission_help(struct worker *w)
{
    if (!w->watching || w->args->part_count == 0)
        return;
    peers_look(w);
    for (size_t i = 0; i < w->listener_count; i++) {
        struct listener *listener = &w->listeners[i];
        if (listener_is_own(w, listener))
            continue;
        uint64_t moved_ns = w->peers[listener_owner(w, listener)].moved_ns;
        bool silent = w->site.now_ns - moved_ns > PEER_SILENT_NS;
        if (silent && !fault_sabotage(FAULT_sabotage_forsake_queue))
            ev_io_start(w->loop, &listener->io);
        else
            ev_io_stop(w->loop, &listener->io);
    }
}

/* The listeners' watchers, and word of it: a pause is something people ask about. */
static void admission_watch(struct worker *w, const struct adm_effect *effect)
{
    static const char *const why[] = {"worker_connections are in use", "no descriptor is left",
                                      "no memory is left", "draining"};
    bool on = effect->kind == ADM_DO_WATCH;
    w->watching = on;
    for (size_t i = 0; i < w->listener_count; i++) {
        if (on && listener_is_own(w, &w->listeners[i]))
            ev_io_start(w->loop, &w->listeners[i].io);
        else
            ev_io_stop(w->loop, &w->listeners[i].io);
    }
    if (!w->started) {
        w->started = true;
        return;
    }
    worker_record(w, HIST_ENGINE_ACCEPT_PAUSE,
                  &(struct hist_record){.a = !on, .b = effect->why, .c = w->adm.active});
    if (on || effect->why == ADM_WHY_DRAIN)
        return;
    WORKER_COUNT(w, accept_pauses, 1);
    log_line(LEVEL_WARN, "accepting is paused with %u connections: %s", w->adm.active,
             why[effect->why]);
}

/* A listener that nobody accepts from would let clients in who are reset in the end. */
static void listeners_close(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++) {
        if (w->listeners[i].fd >= 0)
            sys_close(w->listeners[i].fd);
        w->listeners[i].fd = -1;
    }
}

static void admission_drain(struct worker *w)
{
    fault_step(FAULT_worker_drain);
    listeners_close(w);
    SCORE_SET(w->args->row->draining, 1);
    if (!w->given_up) /* nobody told it to */
        worker_record(w, HIST_ENGINE_DRAIN, &(struct hist_record){.a = w->adm.active});
    access_logs_flush(&w->logs);
    connections_tell(w, CONN_EV_DRAIN);
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* What a failed accept means for admission. */
static enum adm_event_kind admission_event_of(int err)
{
    switch (-err) {
    case EAGAIN:
        return ADM_EV_EMPTY;
    case EMFILE:
    case ENFILE:
        return ADM_EV_NO_FD;
    case ENOMEM:
    case ENOBUFS:
        return ADM_EV_NO_MEMORY;
    case ECONNABORTED:
    case EPROTO:
    case EINTR:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return ADM_EV_ABORTED;
    default:
        return ADM_EV_BROKEN;
    }
}

/* False: there is no point in trying again in this turn. */
static bool admission_fail(struct worker *w, const struct listener *listener, int err)
{
    enum adm_event_kind kind = admission_event_of(err);
    if (kind != ADM_EV_EMPTY) {
        WORKER_COUNT(w, accept_errors, 1);
        if (fault_sabotage(FAULT_sabotage_shed_established))
            connections_sabotage_cut(w);
    }
    if (kind == ADM_EV_BROKEN)
        log_line(LEVEL_CRIT, "accept() on %s failed (%d: %s)", listener->conf->text.at, -err,
                 strerror(-err));
    admission_happen(w, kind, 0);
    return kind == ADM_EV_ABORTED;
}

/* What one wake may take. False: nobody waits, or accepting is of no use now. */
static bool admission_take(struct worker *w, const struct listener *listener)
{
    admission_happen(w, ADM_EV_READY, 0);
    while (adm_may_accept(&w->adm)) {
        struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
        socklen_t peer_len = sizeof peer;
        int fd = sys_accept(listener->fd, &peer, &peer_len);
        if (fd < 0) {
            if (!admission_fail(w, listener, fd))
                return false;
            continue;
        }
        if (peer_len == 0 || peer.ss_family == AF_UNSPEC)
            peer.ss_family = AF_UNIX;
        fault_step(FAULT_worker_accept);
        connection_open(w, listener, fd, &peer);
        admission_happen(w, ADM_EV_ACCEPTED, 0);
    }
    return true;
}

static void admission_on_ready(struct ev_loop *loop, ev_io *io, int revents)
{
    struct listener *listener = io->data;
    (void)loop;
    if (revents & EV_ERROR)
        worker_give_up(listener->worker);
    else
        admission_take(listener->worker, listener);
}

/* Those who wait now, and none that come while they are taken: accepting may be slow. Of a unix
 * socket only the longest queue is known. */
static void admission_take_waiting(struct worker *w, const struct listener *listener)
{
    int waiting = sys_accept_queue(listener->fd);
    uint64_t most = w->adm.accepted + (uint64_t)(waiting < 0 ? listener->conf->backlog : waiting);
    while (w->adm.accepted < most && ev_is_active(&listener->io) && admission_take(w, listener))
        ;
}

/* Who already waits is taken first: at a stop nobody else would, and the kernel resets them when
 * the last descriptor of the listener is closed. */
void admission_order_drain(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++)
        admission_take_waiting(w, &w->listeners[i]);
    admission_happen(w, ADM_EV_DRAIN, 0);
}

static void admission_on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    admission_happen(timer->data, ADM_EV_TIMER, 0);
}

/* ---- start ----------------------------------------------------------------------------------- */

static uint16_t listener_port(const struct conf_listen *listen)
{
    if (listen->addr.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&listen->addr)->sin_port);
    if (listen->addr.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&listen->addr)->sin6_port);
    return 0;
}

/* The lowest descriptor that is free: what lies below is in use before the first connection. */
static uint32_t admission_fd_base(void)
{
    int fd = sys_open("/dev/null", O_RDONLY, 0);
    if (fd < 0)
        return 0;
    sys_close(fd);
    return (uint32_t)fd;
}

/* Descriptors kept for files that connections already taken want to open. */
static uint32_t admission_fd_reserve(uint64_t limit)
{
    enum { LEAST = 4, MOST = 64, SHARE = 16 };
    uint64_t reserve = limit / SHARE;
    return reserve < LEAST ? LEAST : reserve > MOST ? MOST : (uint32_t)reserve;
}

/* How long a worker whose master is gone may go on serving. */
#define ORPHAN_DRAIN_NS (5 * NS_PER_S)

int admission_init(struct worker *w)
{
    const struct conf *conf = w->args->conf;
    struct rlimit limit = {.rlim_cur = 0};
    w->fd_limit = sys_rlimit_get(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
    struct adm_options options = {
        .connections_max = conf->worker_connections,
        .fd_limit = w->fd_limit < UINT32_MAX ? (uint32_t)w->fd_limit : UINT32_MAX,
        .fd_base = admission_fd_base(),
        .fd_reserve = admission_fd_reserve(w->fd_limit),
        /* Where nobody else could take a connection, none is left for them. */
        .multi_accept = conf->multi_accept || conf->workers == 1,
        .drain_ns = w->args->drain_ns,
        .orphan_drain_ns = ORPHAN_DRAIN_NS,
    };
    if (w->args->drain_ns != 0 && w->args->drain_ns < options.orphan_drain_ns)
        options.orphan_drain_ns = w->args->drain_ns;
    adm_init(&w->adm, &options);
    ev_timer_init(&w->admission, admission_on_timer, 0., 0.);
    w->admission.data = w;
    w->listener_count = conf->listen_count + w->args->part_count;
    w->listeners = sys_calloc(w->listener_count + 1, sizeof *w->listeners);
    if (w->listeners == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < w->listener_count; i++) {
        const struct listen_part *part =
            i < conf->listen_count ? NULL : &w->args->parts[i - conf->listen_count];
        struct listener *listener = &w->listeners[i];
        listener->worker = w;
        listener->conf = &conf->listens[part != NULL ? part->listen : i];
        listener->fd = part != NULL ? part->fd : w->args->listen_fds[i];
        listener->part = part != NULL ? part->part : 0;
        listener->port = listener_port(listener->conf);
        ev_io_init(&listener->io, admission_on_ready, listener->fd, EV_READ);
        listener->io.data = listener;
    }
    return 0;
}

void admission_free(struct worker *w)
{
    free(w->listeners);
}
