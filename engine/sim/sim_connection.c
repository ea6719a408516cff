/* The connections of a simulated worker: the driver of the connection's life, and a handler that
 * takes some time and answers with what the client can check. */
#include <errno.h>
#include <string.h>

#include "engine/sim/sim.h"

enum { TURN_EVENTS_MAX = 16, LONG_PARTS = 5 };
static const uint64_t part_ns = 20 * SIM_MS;
static const uint64_t fresh_patience_ns = SIM_SECOND;

/* One connection's turn while it runs: the events that are still to be told. */
struct turn {
    struct sim *s;
    struct sim_worker *w;
    struct sim_connection *c;
    unsigned first, count;
    bool ended;
    struct {
        uint8_t kind, flags; /* of a conn_event */
    } events[TURN_EVENTS_MAX];
};

static void run(struct turn *t);
static void receive(struct turn *t);
static void parse_head(struct turn *t);
static void parse_body(struct turn *t);
static void execute(struct turn *t);
static void hand_on(struct turn *t);
static void answer(struct turn *t);
static void close_connection(struct turn *t, const struct conn_effect *effect);

static void push(struct turn *t, enum conn_event_kind kind, unsigned flags)
{
    uint32_t at = (t->first + t->count++) % TURN_EVENTS_MAX;
    t->events[at].kind = (uint8_t)kind;
    t->events[at].flags = (uint8_t)flags;
}

static uint16_t tag_of(const struct turn *t)
{
    return (uint16_t)(SIM_TAG_CONNECTION + (t->c - t->w->connections));
}

static uint32_t index_of(const struct sim_worker *w, const struct sim_connection *c)
{
    return (uint32_t)(c - w->connections);
}

static bool is_proxied(const struct sim_connection *c)
{
    return c->head.flags & SEGMENT_PROXIED;
}

static void watch(struct turn *t, bool on)
{
    t->c->reads = on;
    if (on)
        kernel_watch(&t->s->kernel, t->w->process, t->c->fd, tag_of(t));
    else
        kernel_unwatch(&t->s->kernel, t->w->process, t->c->fd);
}

/* ---- deciding and doing -----------------------------------------------------------------------
 */

static void perform(struct turn *t, const struct conn_effect *effect)
{
    switch ((enum conn_effect_kind)effect->kind) {
    case CONN_DO_READ_ON:
    case CONN_DO_READ_OFF:
        watch(t, effect->kind == CONN_DO_READ_ON);
        break;
    case CONN_DO_RECV:
        receive(t);
        break;
    case CONN_DO_PARSE:
        parse_head(t);
        break;
    case CONN_DO_PARSE_BODY:
        parse_body(t);
        break;
    case CONN_DO_EXECUTE:
        execute(t);
        break;
    case CONN_DO_RESPOND:
        t->c->parts = 1;
        push(t, CONN_EV_RESPONSE, CONN_MUST_CLOSE);
        break;
    case CONN_DO_DISCARD:
        t->c->has_head = t->c->partial = false;
        break;
    case CONN_DO_SHUTDOWN_WRITE:
        kernel_shutdown_write(&t->s->kernel, t->w->process, t->c->fd);
        break;
    case CONN_DO_CLOSE:
    case CONN_DO_RESET:
        close_connection(t, effect);
        break;
    default: /* sending never blocks here, and nobody expects 100 or wants a tunnel */
        break;
    }
}

static uint32_t sabotages(struct turn *t, enum conn_event_kind kind)
{
    static const enum fault_point points[] = {
#define S(symbol, word, when) FAULT_sabotage_##word,
        CONN_SABOTAGES(S)
#undef S
    };
    uint32_t listened = t->s->board.armed != 0 ? conn_sabotages(kind) : 0, bits = 0;
    for (unsigned i = 0; listened >> i != 0; i++)
        if ((listened >> i & 1) && sim_sabotage(t->s, t->w->process, points[i]))
            bits |= 1u << i;
    return bits;
}

/* Deadlines move with each request and hardly ever come, so one timer serves all of a worker; one
 * that comes too early is left alone. */
static void arm_due(struct sim *s, struct sim_worker *w, uint64_t due_ns)
{
    if (due_ns == CONN_NEVER_NS || (w->due_timer_ns != 0 && w->due_timer_ns <= due_ns))
        return;
    w->due_timer_ns = due_ns;
    kernel_timer(&s->kernel, w->process, due_ns, SIM_TAG_DUE);
}

static void arm(struct turn *t)
{
    struct sim_connection *c = t->c;
    if (c->wake_ns != c->timer_ns) {
        c->timer_ns = c->wake_ns;
        if (c->wake_ns != 0)
            kernel_timer(&t->s->kernel, t->w->process, c->wake_ns, tag_of(t));
    }
    arm_due(t->s, t->w, conn_next_deadline_ns(&c->conn));
}

static void run(struct turn *t)
{
    struct kernel *k = &t->s->kernel;
    while (t->count > 0 && !t->ended && kernel_alive(k, t->w->process)) {
        const uint8_t kind = t->events[t->first].kind;
        const struct conn_event event = {.kind = kind,
                                         .flags = t->events[t->first].flags,
                                         .sabotage = sabotages(t, (enum conn_event_kind)kind)};
        t->first = (t->first + 1) % TURN_EVENTS_MAX;
        t->count--;
        struct conn_effects effects;
        conn_step(&t->c->conn, k->now_ns, &event, &effects);
        conn_check(&t->c->conn);
        if (t->s->coverage != NULL)
            sim_coverage_cell(t->s->coverage, SIM_CONN, effects.cell);
        for (uint32_t i = 0; i < effects.count && !t->ended; i++)
            perform(t, &effects.items[i]);
        if (event.kind == CONN_EV_RESPONSE && !t->ended)
            answer(t);
    }
    if (!t->ended && kernel_alive(k, t->w->process))
        arm(t);
}

void sim_connection_happen(struct sim *s, struct sim_worker *w, struct sim_connection *c,
                           enum conn_event_kind kind, unsigned flags)
{
    struct turn t = {.s = s, .w = w, .c = c};
    push(&t, kind, flags);
    run(&t);
}

/* ---- receiving --------------------------------------------------------------------------------
 */

static void take(struct sim_connection *c, const struct kernel_segment *segment)
{
    if (segment->kind == SEGMENT_HEAD) {
        c->has_head = true;
        c->partial = false;
        c->head = *segment;
        c->body_come = 0;
    } else if (segment->kind == SEGMENT_PART) {
        c->partial = true;
    } else if (segment->kind == SEGMENT_BODY) {
        c->body_come += segment->bytes;
    }
}

/* One recv: all that has come. */
static void receive(struct turn *t)
{
    struct kernel_segment segment;
    enum kernel_recv got;
    bool some = false;
    int err = sim_fault_step(t->s, t->w->process, FAULT_net_recv);
    if (err > 0)
        return;
    if (err < 0) {
        push(t, err == -ECONNRESET ? CONN_EV_RESET : CONN_EV_ERROR, 0);
        return;
    }
    while ((got = kernel_recv(&t->s->kernel, t->w->process, t->c->fd, &segment)) == RECV_DATA) {
        take(t->c, &segment);
        some = true;
    }
    if (some)
        push(t, CONN_EV_BYTES, 0);
    else
        push(t,
             got == RECV_EMPTY ? CONN_EV_EMPTY
             : got == RECV_END ? CONN_EV_END
                               : CONN_EV_RESET,
             0);
}

static void parse_head(struct turn *t)
{
    struct sim_connection *c = t->c;
    if (!c->has_head) {
        push(t, CONN_EV_HEAD_MORE, 0);
        return;
    }
    c->has_head = false;
    c->body_left = c->head.bytes;
    c->last_req = c->head.req;
    push(t, CONN_EV_HEAD_DONE,
         (c->head.flags & SEGMENT_CLOSES ? 0 : CONN_KEEP_ALIVE) |
             (c->head.bytes > 0 ? CONN_HAS_BODY : 0));
}

static void parse_body(struct turn *t)
{
    struct sim_connection *c = t->c;
    uint32_t used = c->body_come < c->body_left ? c->body_come : c->body_left;
    c->body_come -= used;
    c->body_left -= used;
    if (c->body_left > 0)
        return;
    push(t, CONN_EV_BODY_DONE, 0);
    if (!c->answering) { /* the handler has what it waited for */
        c->answering = true;
        c->wake_ns = t->s->kernel.now_ns + 1;
    }
}

/* ---- the handler ------------------------------------------------------------------------------
 */

static void record(struct turn *t, enum hist_kind kind, uint64_t a, uint64_t b, uint64_t c)
{
    sim_worker_record(
        t->s, t->w, kind,
        &(struct hist_record){.conn = t->c->number, .req = t->c->last_req, .a = a, .b = b, .c = c});
}

static void execute(struct turn *t)
{
    struct sim_connection *c = t->c;
    struct sim *s = t->s;
    c->parts = c->head.flags & SEGMENT_LONG ? LONG_PARTS : 1;
    c->status = 200;
    c->answering = false;
    c->wake_ns = 0;
    if (sim_fault_step(s, t->w->process, FAULT_worker_request) > 0) {
        c->resume = true;
        return;
    }
    record(t, HIST_ENGINE_REQUEST, 0, 0, 0);
    if (s->board.armed != 0 && sim_sabotage(s, t->w->process, FAULT_sabotage_execute_twice))
        record(t, HIST_ENGINE_REQUEST, 0, 0, 0);
    if (c->body_left > 0) {
        push(t, CONN_EV_BODY_WANTED, 0);
        return;
    }
    if (is_proxied(c)) {
        hand_on(t);
        return;
    }
    c->answering = true;
    uint64_t service_ns =
        c->head.service_us > 0 ? c->head.service_us * UINT64_C(1000) : s->plan.service_ns;
    struct sim_random *random = &s->kernel.processes[t->w->process].random;
    c->wake_ns = s->kernel.now_ns + service_ns / 2 + sim_random_below(random, service_ns);
}

static bool send_part(struct turn *t, unsigned flags)
{
    const struct sim_worker *w = t->w;
    struct fault_hit hit;
    enum sim_fault fault = sim_fault_ask(t->s, w->process, FAULT_net_send, &hit);
    if (fault == SIM_FAULT_LOST || t->ended)
        return false;
    bool mixed =
        t->s->board.armed != 0 && sim_sabotage(t->s, w->process, FAULT_sabotage_mixed_generation);
    const struct kernel_segment segment = {
        .kind = SEGMENT_ANSWER,
        .flags = (uint8_t)(flags | (mixed ? SEGMENT_MIXED : 0)),
        .bytes = t->c->status,
        .slot = w->slot,
        .gen = w->config,
        .pid = t->s->kernel.processes[w->process].pid,
        .req = is_proxied(t->c) && t->c->status == 200
                   ? sim_proxy_answered(t->s, w, index_of(t->w, t->c))
                   : t->c->last_req,
    };
    bool sent = fault == SIM_NO_FAULT && kernel_send(&t->s->kernel, w->process, t->c->fd, &segment);
    if (!sent)
        push(t, CONN_EV_RESET, 0);
    return sent;
}

/* Sends the next part; an answer of one part is both its first and its last. */
static void answer(struct turn *t)
{
    struct sim_connection *c = t->c;
    bool first = c->conn.state == CONN_WRITING && c->answering;
    bool last = c->parts <= 1, closes = conn_closes(&c->conn);
    c->answering = false;
    c->wake_ns = 0;
    if (sim_fault_step(t->s, t->w->process, FAULT_worker_response) > 0)
        return;
    if (!send_part(t, (first ? SEGMENT_FIRST : 0) | (last ? SEGMENT_LAST : 0) |
                          (closes ? SEGMENT_CLOSES : 0)))
        return;
    c->parts--;
    if (last) {
        record(t, HIST_ENGINE_RESPONSE, c->status, 64, closes);
        push(t, CONN_EV_ANSWERED, c->has_head ? CONN_BUFFERED : 0);
    } else {
        uint64_t spread_ns = c->head.spread_ms * SIM_MS / LONG_PARTS;
        push(t, CONN_EV_FLUSHED, 0);
        if (is_proxied(c))
            return; /* the next part comes when the backend's does */
        c->wake_ns = t->s->kernel.now_ns + (spread_ns > 0 ? spread_ns : part_ns);
    }
}

/* The handler's time has come: the answer begins, or goes on. */
static void wake(struct turn *t)
{
    struct sim_connection *c = t->c;
    c->wake_ns = 0;
    if (c->conn.state == CONN_WRITING) {
        answer(t);
    } else if (c->conn.state == CONN_EXECUTING && c->answering && is_proxied(c)) {
        hand_on(t); /* its body has come */
    } else if (c->conn.state == CONN_EXECUTING && c->answering) {
        push(t, CONN_EV_RESPONSE, c->has_head ? CONN_BUFFERED : 0);
    }
}

/* ---- proxied requests -------------------------------------------------------------------------
 */

static void refuse(struct turn *t, uint16_t status)
{
    t->c->status = status;
    t->c->parts = 1;
    t->c->answering = true;
    push(t, CONN_EV_RESPONSE, t->c->has_head ? CONN_BUFFERED : 0);
}

static void hand_on(struct turn *t)
{
    t->c->answering = false;
    int status = sim_proxy_ask(t->s, t->w, index_of(t->w, t->c));
    if (status != 0)
        refuse(t, (uint16_t)status);
}

void sim_connection_refused(struct sim *s, struct sim_worker *w, struct sim_connection *c,
                            uint16_t status)
{
    struct turn t = {.s = s, .w = w, .c = c};
    refuse(&t, status);
    run(&t);
}

void sim_connection_relay(struct sim *s, struct sim_worker *w, struct sim_connection *c, bool first,
                          bool last)
{
    struct turn t = {.s = s, .w = w, .c = c};
    c->parts = last ? 1 : 2;
    if (first) {
        c->answering = true;
        push(&t, CONN_EV_RESPONSE, c->has_head ? CONN_BUFFERED : 0);
    } else if (c->conn.state == CONN_WRITING) {
        answer(&t);
    }
    run(&t);
}

void sim_connection_broken(struct sim *s, struct sim_worker *w, struct sim_connection *c)
{
    sim_connection_happen(s, w, c, CONN_EV_ABANDONED, 0);
}

/* Whose request waits for a backend's answer, and who is gone: so is the request. */
static bool client_has_left(struct turn *t)
{
    const struct sim_connection *c = t->c;
    bool waits = is_proxied(c) &&
                 (c->conn.state == CONN_EXECUTING || c->conn.state == CONN_WRITING) &&
                 sim_proxy_asks(t->s, t->w, index_of(t->w, c));
    return waits && kernel_has_ended(&t->s->kernel, t->w->process, c->fd);
}

void sim_connection_noted(struct sim *s, struct sim_worker *w, const struct kernel_note *note)
{
    struct sim_connection *c = &w->connections[note->tag - SIM_TAG_CONNECTION];
    struct turn t = {.s = s, .w = w, .c = c};
    if (c->conn.state == CONN_CLOSED)
        return;
    if (note->item == KERNEL_READABLE) {
        if (c->reads)
            push(&t, client_has_left(&t) ? CONN_EV_RESET : CONN_EV_READABLE, 0);
    } else if (c->wake_ns == 0 || c->wake_ns > s->kernel.now_ns) {
        return; /* an earlier connection's, or an earlier request's */
    } else {
        wake(&t);
    }
    run(&t);
}

void sim_connections_due(struct sim *s, struct sim_worker *w)
{
    uint64_t next_ns = CONN_NEVER_NS;
    if (w->due_timer_ns == 0 || w->due_timer_ns > s->kernel.now_ns)
        return;
    w->due_timer_ns = 0;
    for (uint32_t i = 0; i < w->connection_high && kernel_alive(&s->kernel, w->process); i++) {
        struct sim_connection *c = &w->connections[i];
        if (c->conn.state == CONN_CLOSED)
            continue;
        if (conn_next_deadline_ns(&c->conn) <= s->kernel.now_ns)
            sim_connection_happen(s, w, c, CONN_EV_TIMER, 0);
        else if (conn_next_deadline_ns(&c->conn) < next_ns)
            next_ns = conn_next_deadline_ns(&c->conn);
    }
    if (kernel_alive(&s->kernel, w->process))
        arm_due(s, w, next_ns);
}

/* Requests that were about to be executed when the worker began to hang. */
void sim_connections_resume(struct sim *s, struct sim_worker *w)
{
    for (uint32_t i = 0; s->board.armed != 0 && i < w->connection_high; i++) {
        struct sim_connection *c = &w->connections[i];
        struct turn t = {.s = s, .w = w, .c = c};
        if (!c->resume || c->conn.state == CONN_CLOSED)
            continue;
        c->resume = false;
        execute(&t);
        run(&t);
    }
}

/* ---- beginning and end ------------------------------------------------------------------------
 */

void sim_connection_open(struct sim *s, struct sim_worker *w, int fd)
{
    uint32_t i = 0;
    while (i < w->connection_high && w->connections[i].conn.state != CONN_CLOSED)
        i++;
    if (i == w->connection_high)
        w->connection_high++;
    struct sim_connection *c = &w->connections[i];
    memset(c, 0, sizeof(*c));
    conn_init(&c->conn, &w->limits);
    c->fd = fd;
    c->number = kernel_file(&s->kernel, w->process, fd)->client;
    sim_worker_record(s, w, HIST_ENGINE_ACCEPT,
                      &(struct hist_record){.conn = c->number, .a = SIM_PORT});
    sim_connection_happen(s, w, c, CONN_EV_ACCEPTED,
                          w->adm.state == ADM_DRAINING ? CONN_DRAINING : 0);
}

static void close_connection(struct turn *t, const struct conn_effect *effect)
{
    struct sim_connection *c = t->c;
    t->ended = true;
    record(t, HIST_ENGINE_CLOSE, effect->why, c->conn.requests, 0);
    if (is_proxied(c))
        sim_proxy_end(t->s, t->w, index_of(t->w, c));
    if (effect->kind == CONN_DO_RESET)
        kernel_close_reset(&t->s->kernel, t->w->process, c->fd);
    else
        kernel_close(&t->s->kernel, t->w->process, c->fd);
    sim_worker_happen(t->s, t->w, ADM_EV_CLOSED, 0);
}

void sim_connections_tell(struct sim *s, struct sim_worker *w, enum conn_event_kind kind)
{
    for (uint32_t i = 0; i < w->connection_high && kernel_alive(&s->kernel, w->process); i++)
        if (w->connections[i].conn.state != CONN_CLOSED)
            sim_connection_happen(s, w, &w->connections[i], kind, 0);
}

/* ---- relief -----------------------------------------------------------------------------------
 */

static bool is_spared(const struct sim *s, const struct sim_connection *c)
{
    bool fresh =
        c->conn.state == CONN_FRESH && s->kernel.now_ns - c->conn.opened_ns < fresh_patience_ns;
    return c->conn.state == CONN_CLOSED || conn_leaves(&c->conn) || fresh;
}

static bool is_idle(const struct sim_connection *c)
{
    return c->conn.state == CONN_IDLE || c->conn.state == CONN_FRESH;
}

/* Idle ones to backends, then the longest idle first: the one whose deadline is the nearest. Then
 * others. */
void sim_connections_relieve(struct sim *s, struct sim_worker *w, uint32_t count)
{
    count -= sim_uplinks_relieve(s, w, count);
    for (; count > 0; count--) {
        struct sim_connection *oldest = NULL;
        for (uint32_t i = 0; i < w->connection_high; i++) {
            struct sim_connection *c = &w->connections[i];
            if (is_idle(c) && !is_spared(s, c) &&
                (oldest == NULL || c->conn.deadline_ns < oldest->conn.deadline_ns))
                oldest = c;
        }
        if (oldest == NULL)
            break;
        sim_connection_happen(s, w, oldest, CONN_EV_REAP, 0);
    }
    for (uint32_t i = 0; i < w->connection_high && count > 0; i++) {
        struct sim_connection *c = &w->connections[i];
        if (is_spared(s, c))
            continue;
        sim_connection_happen(s, w, c, CONN_EV_REAP, 0);
        count--;
    }
}
