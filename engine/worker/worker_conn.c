/* Carries out what a connection decides: one switch, and what surrounds it (the table of
 * connections, watchers, the timer, the gauges). */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_impl.h"
#include "faultinject/fault.h"

enum gauge { GAUGE_NONE, GAUGE_READING, GAUGE_WRITING, GAUGE_WAITING };

static void connection_settle(struct connection *c);
static void connection_close(struct turn *t, const struct conn_effect *effect);
static void connection_defer(struct connection *c);
static void connection_count(struct connection *c, enum gauge gauge);

/* ---- deciding and doing ---------------------------------------------------------------------- */

void turn_push_event(struct turn *t, struct conn_event event)
{
    CHECK(t->count < EVENTS_PER_TURN_MAX);
    t->events[(t->first + t->count++) % EVENTS_PER_TURN_MAX] = event;
}

void turn_push(struct turn *t, enum conn_event_kind kind, unsigned flags)
{
    turn_push_event(t, (struct conn_event){.kind = (uint8_t)kind, .flags = (uint8_t)flags});
}

/* Carries out one effect. What comes of it is pushed as an event. */
static void turn_perform(struct turn *t, const struct conn_effect *effect)
{
    struct connection *c = t->c;
    switch ((enum conn_effect_kind)effect->kind) {
    case CONN_DO_READ_ON:
        c->events |= EV_READ;
        break;
    case CONN_DO_READ_OFF:
        c->events &= (uint8_t)~EV_READ;
        break;
    case CONN_DO_WRITE_ON:
        c->events |= EV_WRITE;
        break;
    case CONN_DO_WRITE_OFF:
        c->events &= (uint8_t)~EV_WRITE;
        break;
    case CONN_DO_SHAKE:
        io_shake(t);
        break;
    case CONN_DO_RECV:
        io_receive(t);
        break;
    case CONN_DO_PARSE:
        if (t->requests < REQUESTS_PER_TURN)
            io_parse(t);
        else
            connection_defer(c);
        break;
    case CONN_DO_PARSE_BODY:
        io_parse_body(t);
        break;
    case CONN_DO_CONTINUE:
        io_continue(t);
        break;
    case CONN_DO_EXECUTE:
        connection_count(c, GAUGE_WRITING); /* a status page counts the connection it answers */
        io_execute(t);
        break;
    case CONN_DO_RESPOND:
        io_respond(t, effect->status);
        break;
    case CONN_DO_KEEP:
    case CONN_DO_ANNOUNCE:
        break; /* io_begin_answer asks conn_closes */
    case CONN_DO_SEND:
        io_send(t);
        break;
    case CONN_DO_TUNNEL:
        io_enter_tunnel(t);
        break;
    case CONN_DO_DISCARD:
        if (c->in != NULL)
            c->in->at = c->in->len;
        break;
    case CONN_DO_SHUTDOWN_WRITE:
        wire_say_goodbye(c);
        sys_shutdown_write(c->client.fd);
        break;
    case CONN_DO_CLOSE:
    case CONN_DO_RESET:
        connection_close(t, effect);
        break;
    case CONN_EFFECT_COUNT:
        CHECK(!"an effect that does not exist");
    }
}

/* Which armed sabotages act in this event. */
static uint32_t turn_sabotages(enum conn_event_kind kind)
{
    static const enum fault_point points[] = {
#define S(symbol, word, when) FAULT_sabotage_##word,
        CONN_SABOTAGES(S)
#undef S
    };
    uint32_t listened = conn_sabotages(kind), bits = 0;
    for (unsigned i = 0; listened >> i != 0; i++)
        if ((listened >> i & 1) && fault_sabotage(points[i]))
            bits |= 1u << i;
    return bits;
}

void turn_run(struct turn *t)
{
    struct connection *c = t->c;
    while (t->count > 0 && !t->ended) {
        struct conn_event event = t->events[t->first];
        t->first = (t->first + 1) % EVENTS_PER_TURN_MAX;
        t->count--;
        event.sabotage = fault_armed() ? turn_sabotages(event.kind) : 0;
        struct conn_effects effects;
        conn_step(&c->conn, c->worker->site.now_ns, &event, &effects);
        for (uint32_t i = 0; i < effects.count; i++)
            turn_perform(t, &effects.items[i]);
        if (event.kind == CONN_EV_RESPONSE && !t->ended)
            io_begin_answer(t);
    }
    if (!t->ended)
        connection_settle(c);
}

static void connection_happen(struct connection *c, enum conn_event_kind kind, unsigned flags)
{
    struct turn turn = {.c = c};
    turn_push(&turn, kind, flags);
    turn_run(&turn);
}

static bool connection_is_left(const struct connection *c)
{
    return c->flight != NULL && upstream_client_has_left(c);
}

static void connection_on_io(struct ev_loop *loop, ev_io *io, int revents)
{
    struct connection *c = io->data;
    (void)loop;
    if (revents & EV_ERROR) {
        worker_give_up(c->worker);
        connection_happen(c, CONN_EV_CUT, 0);
        return;
    }
    struct turn turn = {.c = c};
    if (revents & EV_WRITE & c->events)
        turn_push(&turn, CONN_EV_WRITABLE, 0);
    else if (revents & EV_READ & c->events && !c->deferred) /* first what has come already */
        /* Level-triggered: it waits for another turn. */
        turn_push(&turn, connection_is_left(c) ? CONN_EV_RESET : CONN_EV_READABLE, 0);
    turn_run(&turn);
}

/* When the request under way wants to be called; 0: no request, or it waits for no time. */
static uint64_t connection_wake_ns(const struct connection *c)
{
    return c->flight != NULL && !c->flight->over ? c->flight->x.wake_ns : 0;
}

void connections_sabotage_cut(struct worker *w)
{
    for (uint32_t i = 0; i < w->args->conf->worker_connections; i++) {
        if (connection_wake_ns(&w->connections[i]) == 0)
            continue;
        connection_happen(&w->connections[i], CONN_EV_CUT, 0);
        return;
    }
}

static void connection_on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct connection *c = timer->data;
    (void)loop;
    (void)revents;
    c->timer_ns = 0;
    uint64_t wake_ns = connection_wake_ns(c);
    if (wake_ns == 0 && fault_sabotage(FAULT_sabotage_no_timeouts))
        return;
    struct turn turn = {.c = c};
    turn_push(&turn, CONN_EV_TIMER, 0);
    if (wake_ns != 0 && wake_ns <= c->worker->site.now_ns)
        io_wake(&turn);
    turn_run(&turn);
}

/* ---- after a turn ---------------------------------------------------------------------------- */

static void connection_watch(struct connection *c)
{
    if (c->fresh)
        return;
    int events = c->input_held ? c->events & ~EV_READ : c->events;
    if ((c->io.events & (EV_READ | EV_WRITE)) != events || !ev_is_active(&c->io)) {
        ev_io_stop(c->worker->loop, &c->io);
        ev_io_modify(&c->io, events);
        if (events != 0)
            ev_io_start(c->worker->loop, &c->io);
    }
    if (c->client.tls != NULL && (events & EV_READ) && wire_pending(c))
        ev_feed_event(c->worker->loop, &c->io, EV_READ);
}

/* Sets the timer for what comes first. A timer that comes too early is left alone: deadlines move
 * with each request, and moving timers costs more than one that finds nothing to do. */
static void connection_arm(struct connection *c)
{
    uint64_t due_ns = conn_next_deadline_ns(&c->conn);
    uint64_t wake_ns = connection_wake_ns(c);
    if (wake_ns != 0 && wake_ns < due_ns)
        due_ns = wake_ns;
    if (due_ns == CONN_NEVER_NS || (c->timer_ns != 0 && c->timer_ns <= due_ns))
        return;
    struct worker *w = c->worker;
    ev_timer_stop(w->loop, &c->timer);
    ev_timer_set(&c->timer, clock_ev_delay(due_ns, w->site.now_ns), 0.);
    ev_timer_start(w->loop, &c->timer);
    c->timer_ns = due_ns;
}

static enum gauge connection_gauge_of(enum conn_state state)
{
    switch (state) {
    case CONN_FRESH:
    case CONN_IDLE:
        return GAUGE_WAITING;
    case CONN_SHAKING:
    case CONN_READING:
        return GAUGE_READING;
    case CONN_BODY:
    case CONN_EXECUTING:
    case CONN_WRITING:
    case CONN_DISCARDING:
    case CONN_TUNNEL:
    case CONN_LINGERING:
        return GAUGE_WRITING;
    case CONN_CLOSED:
    case CONN_STATE_COUNT:
        break;
    }
    return GAUGE_NONE;
}

static void connection_count(struct connection *c, enum gauge gauge)
{
    if (gauge == c->gauge)
        return;
    struct score_counters *counters = &c->worker->args->row->counters;
    uint64_t *const places[] = {NULL, &counters->reading, &counters->writing, &counters->waiting};
    if (c->gauge != GAUGE_NONE)
        SCORE_ADD(*places[c->gauge], -1);
    if (gauge != GAUGE_NONE)
        SCORE_ADD(*places[gauge], 1);
    c->gauge = (uint8_t)gauge;
}

static void connection_list(struct connection *c, bool idle)
{
    if (idle == c->idle_listed)
        return;
    if (idle)
        link_append(&c->worker->idle, &c->link);
    else
        link_remove(&c->link);
    c->idle_listed = idle;
}

static void connection_settle(struct connection *c)
{
    enum conn_state state = c->conn.state;
    if (c->flight == NULL && c->in != NULL && !io_buffered(c)) {
        buffer_give(c->worker, c->in);
        c->in = NULL;
    }
    connection_count(c, connection_gauge_of(state));
    if (!c->deferred && !c->fresh)
        connection_list(c, state == CONN_IDLE || state == CONN_FRESH || state == CONN_SHAKING);
    connection_watch(c);
    connection_arm(c);
}

/* ---- one after the other --------------------------------------------------------------------- */

/* A client with many pipelined requests waits while others have their turn. */
static void connection_defer(struct connection *c)
{
    struct worker *w = c->worker;
    connection_list(c, false);
    c->deferred = true;
    link_append(&w->deferred, &c->link);
    ev_timer_start(w->loop, &w->others);
}

static void connections_on_others(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    (void)loop;
    (void)revents;
    struct link due;
    link_init(&due);
    while (!link_alone(&w->deferred)) {
        struct link *link = w->deferred.next;
        link_remove(link);
        link_append(&due, link);
    }
    while (!link_alone(&due)) {
        struct connection *c = CONNECTION_OF(due.next);
        link_remove(&c->link);
        c->deferred = false;
        struct turn turn = {.c = c};
        if (c->conn.state == CONN_READING)
            io_parse(&turn);
        turn_run(&turn);
    }
}

/* A client's first request usually comes with its connection: a new connection is read before the
 * loop sleeps again, and one that is answered and closed at once never needs to be watched. */
void connections_serve_newcomers(struct worker *w)
{
    while (!link_alone(&w->fresh)) {
        struct connection *c = CONNECTION_OF(w->fresh.next);
        link_remove(&c->link);
        c->fresh = false;
        connection_happen(c, CONN_EV_READABLE, 0);
    }
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void connection_remember_peer(struct connection *c, const struct sockaddr_storage *peer)
{
    memset(&c->client.peer, 0, sizeof c->client.peer);
    c->client.peer.plain.sa_family = peer->ss_family;
    if (peer->ss_family == AF_INET || peer->ss_family == AF_INET6)
        memcpy(&c->client.peer, peer, sizeof c->client.peer);
    c->hist_id = 0;
    if (peer->ss_family == AF_INET)
        c->hist_id =
            hist_conn(c->client.peer.in.sin_addr.s_addr, ntohs(c->client.peer.in.sin_port));
    else if (peer->ss_family == AF_UNIX)
        c->hist_id = hist_conn_unix(((const struct sockaddr_un *)(const void *)peer)->sun_path);
}

void connection_open(struct worker *w, const struct listener *listener, int fd,
                     const struct sockaddr_storage *peer)
{
    CHECK(!link_alone(&w->free)); /* admission counts */
    struct connection *c = CONNECTION_OF(w->free.next);
    link_remove(&c->link);
    const struct conf_server *server = listener->conf->default_server;
    c->client = (struct http_client){.listen = listener->conf,
                                     .number = ++w->connection_number,
                                     .opened_ns = w->site.now_ns,
                                     .fd = fd};
    connection_remember_peer(c, peer);
    c->last_nonce = 0;
    c->nodelay = c->vanishing = false;
    c->input_held = c->input_ended = false;
    c->fresh = true;
    link_append(&w->fresh, &c->link);
    ev_io_set(&c->io, fd, 0);
    WORKER_COUNT(w, accepted, 1);
    WORKER_COUNT(w, active, 1);
    worker_record(w, HIST_ENGINE_ACCEPT,
                  &(struct hist_record){.conn = c->hist_id, .a = listener->port});
    conn_use(&c->conn, &w->limits[server->fallback->number]);
    unsigned flags = w->adm.state == ADM_DRAINING ? CONN_DRAINING : 0;
    flags |= listener->conf->ssl || listener->conf->proxy_protocol ? CONN_SHAKES : 0;
    connection_happen(c, CONN_EV_ACCEPTED, flags);
}

static void connection_record_close(struct connection *c, unsigned why)
{
    if (c->vanishing)
        return;
    worker_record(c->worker, HIST_ENGINE_CLOSE,
                  &(struct hist_record){
                      .conn = c->hist_id, .req = c->last_nonce, .a = why, .b = c->conn.requests});
}

static void connection_close(struct turn *t, const struct conn_effect *effect)
{
    struct connection *c = t->c;
    struct worker *w = c->worker;
    t->ended = true;
    connection_record_close(c, effect->why);
    ev_io_stop(w->loop, &c->io);
    ev_timer_stop(w->loop, &c->timer);
    c->timer_ns = 0;
    c->events = 0;
    bool midway = c->flight != NULL && !c->flight->over;
    if (effect->kind == CONN_DO_CLOSE && !midway) /* nobody shall take half an answer for whole */
        wire_say_goodbye(c);
    shake_end(c);
    if (midway && effect->why == CONN_WHY_PEER)
        exchange_abandon(&c->flight->x, http1_body_done(&c->flight->body) ? 499 : 400);
    if (effect->kind == CONN_DO_RESET)
        sys_close_reset(c->client.fd);
    else
        sys_close(c->client.fd);
    flight_give(w, c->flight);
    buffer_give(w, c->in);
    c->flight = NULL;
    c->in = NULL;
    connection_count(c, GAUGE_NONE);
    WORKER_COUNT(w, active, -1);
    if (effect->why == CONN_WHY_SHED)
        WORKER_COUNT(w, shed, 1);
    link_remove(&c->link);
    c->idle_listed = c->deferred = c->fresh = false;
    link_append(w->free.next, &c->link); /* first: its memory is warm */
    admission_happen(w, ADM_EV_CLOSED, 0);
}

void connections_tell(struct worker *w, enum conn_event_kind kind)
{
    for (uint32_t i = 0; i < w->adm.options.connections_max; i++)
        if (w->connections[i].conn.state != CONN_CLOSED)
            connection_happen(&w->connections[i], kind, 0);
}

/* A client that has just come gets this long for the first byte of its request before it counts as
 * one that only takes up room. */
#define FRESH_PATIENCE_NS (1 * NS_PER_S)

static bool connection_is_spared(const struct connection *c)
{
    bool is_new = c->conn.state == CONN_FRESH || c->conn.state == CONN_SHAKING;
    return c->conn.state == CONN_CLOSED || conn_leaves(&c->conn) ||
           (is_new && c->worker->site.now_ns - c->conn.opened_ns < FRESH_PATIENCE_NS);
}

/* The longest idle connection that may be told; NULL: there is none. */
static struct connection *connections_find_idle(struct worker *w)
{
    for (struct link *link = w->idle.next; link != &w->idle; link = link->next)
        if (!connection_is_spared(CONNECTION_OF(link)))
            return CONNECTION_OF(link);
    return NULL;
}

/* Who has been told is spared from then on, whether it closes at once or later. */
void connections_relieve(struct worker *w, uint32_t count)
{
    struct connection *c;
    uint32_t told = 0;
    for (; told < count && (c = connections_find_idle(w)) != NULL; told++)
        connection_happen(c, CONN_EV_REAP, 0);
    for (uint32_t i = 0; i < w->adm.options.connections_max && told < count; i++) {
        c = &w->connections[i];
        if (connection_is_spared(c))
            continue;
        connection_happen(c, CONN_EV_REAP, 0);
        told++;
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

/* How long an idle connection is kept while draining: long enough for a busy client to come by once
 * more and be told Connection: close, short against any bound on a drain. */
#define DRAIN_IDLE_NS (2 * NS_PER_S)

static struct conn_limits connection_limits(const struct worker *w,
                                            const struct conf_location *location)
{
    _Static_assert((int)CONN_LINGERING_OFF == LINGERING_OFF &&
                       (int)CONN_LINGERING_ON == LINGERING_ON &&
                       (int)CONN_LINGERING_ALWAYS == LINGERING_ALWAYS,
                   "one meaning, one number");
    uint64_t drain_idle_ns = DRAIN_IDLE_NS;
    if (w->args->drain_ns != 0 && w->args->drain_ns / 2 < drain_idle_ns)
        drain_idle_ns = w->args->drain_ns / 2;
    return (struct conn_limits){
        .header_timeout_ns = location->client_header_timeout_ns,
        .body_timeout_ns = location->client_body_timeout_ns,
        .send_timeout_ns = location->send_timeout_ns,
        .keepalive_timeout_ns = location->keepalive_timeout_ns,
        .keepalive_time_ns = location->keepalive_time_ns,
        .lingering_time_ns = location->lingering_time_ns,
        .lingering_timeout_ns = location->lingering_timeout_ns,
        .drain_idle_ns = drain_idle_ns,
        .keepalive_requests = location->keepalive_requests,
        .discard_bytes = DISCARD_BYTES,
        .lingering = (uint8_t)location->lingering_close,
        .reset_timedout = location->reset_timedout_connection,
    };
}

static int connections_init_limits(struct worker *w)
{
    const struct conf *conf = w->args->conf;
    w->limits = sys_calloc(conf->location_count + 1, sizeof *w->limits);
    if (w->limits == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < conf->location_count; i++)
        w->limits[i] = connection_limits(w, conf->locations[i]);
    return 0;
}

int connections_init(struct worker *w)
{
    uint32_t count = w->args->conf->worker_connections;
    link_init(&w->free);
    link_init(&w->idle);
    link_init(&w->deferred);
    link_init(&w->fresh);
    ev_timer_init(&w->others, connections_on_others, 0., 0.);
    w->others.data = w;
    w->connections = sys_calloc(count, sizeof *w->connections);
    if (w->connections == NULL || connections_init_limits(w) != 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        struct connection *c = &w->connections[i];
        c->worker = w;
        conn_init(&c->conn, NULL);
        ev_io_init(&c->io, connection_on_io, -1, 0);
        ev_timer_init(&c->timer, connection_on_timer, 0., 0.);
        c->io.data = c->timer.data = c;
        link_append(&w->free, &c->link);
    }
    return 0;
}

void connections_free(struct worker *w)
{
    for (uint32_t i = 0; w->connections != NULL && i < w->args->conf->worker_connections; i++) {
        if (w->connections[i].conn.state !=
            CONN_CLOSED) /* a worker that must go says what it cut */
            connection_record_close(&w->connections[i], CONN_WHY_DRAIN);
        flight_give(w, w->connections[i].flight);
        buffer_give(w, w->connections[i].in);
        shake_end(&w->connections[i]);
    }
    free(w->limits);
    free(w->connections);
    memory_free(w);
}
