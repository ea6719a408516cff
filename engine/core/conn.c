/* The life of one connection as a table: what each event means in each state. The cells are small
 * functions; change() alone moves a connection from one state to another. */
#include "engine/core/conn.h"

#include "engine/core/conn_priv.h"

static void ignored(const struct step *s)
{
    (void)s;
}

/* The driver told of something that cannot be: its books and ours differ. */
static void impossible(const struct step *s)
{
    (void)s;
    abort();
}

static void begin(const struct step *s)
{
    struct conn *c = s->c;
    c->flags = told(s, CONN_DRAINING) ? DRAINING : 0;
    c->requests = 0;
    c->grace = 0;
    c->why = CONN_WHY_DONE;
    c->opened_ns = s->now_ns;
    c->linger_end_ns = CONN_NEVER_NS;
    enum conn_state state = told(s, CONN_SHAKES) ? CONN_SHAKING : CONN_FRESH;
    change(s, state, after(s, c->limits->header_timeout_ns));
    watch_read(s, true);
}

static void shake(const struct step *s)
{
    emit(s, CONN_DO_SHAKE);
}

/* It waits for the client... */
static void shake_more(const struct step *s)
{
    watch_write(s, false);
    watch_read(s, true);
}

/* ... or for room, and then what the client sends can wait. */
static void shake_blocked(const struct step *s)
{
    watch_read(s, false);
    watch_write(s, true);
}

/* The time for the first head has run since the connection was accepted. */
static void shaken(const struct step *s)
{
    shake_more(s);
    change(s, CONN_FRESH, s->c->deadline_ns);
}

/* Whoever is there does not speak what is spoken here. */
static void refuse_client(const struct step *s)
{
    close_because(s, CONN_WHY_BAD);
}

static void shed(const struct step *s)
{
    close_because(s, CONN_WHY_SHED);
}

static void receive(const struct step *s)
{
    emit(s, CONN_DO_RECV);
}

static void receive_idle(const struct step *s)
{
    if (has(s, DRAINING) && sabotaged(s, CONN_SAB_CLOSE_IDLE_ON_DRAIN))
        close_because(s, CONN_WHY_FAULT);
    else
        receive(s);
}

/* Input that nobody wants yet stays in the kernel, where it slows its sender down. */
static void put_off(const struct step *s)
{
    set(s, UNREAD);
    watch_read(s, false);
}

static void receive_or_put_off(const struct step *s)
{
    if (has(s, BODY_LEFT))
        receive(s);
    else
        put_off(s);
}

static void receive_body(const struct step *s)
{
    if (has(s, HELD))
        put_off(s);
    else
        receive(s);
}

static void next_bytes(const struct step *s)
{
    clear(s, LAST_LOOK);
    s->c->why = CONN_WHY_DONE;
    change(s, CONN_READING, after(s, s->c->limits->header_timeout_ns));
    emit(s, CONN_DO_PARSE);
}

/* The first bytes of a first request: the head's time runs since the connection was accepted. */
static void first_bytes(const struct step *s)
{
    if (has(s, LAST_LOOK)) {
        next_bytes(s);
        return;
    }
    change(s, CONN_READING, s->c->deadline_ns);
    emit(s, CONN_DO_PARSE);
}

static void more_bytes(const struct step *s)
{
    emit(s, CONN_DO_PARSE);
}

static void body_bytes(const struct step *s)
{
    s->c->deadline_ns = after(s, s->c->limits->body_timeout_ns);
    emit(s, CONN_DO_PARSE_BODY);
}

static void late_body_bytes(const struct step *s)
{
    emit(s, CONN_DO_PARSE_BODY);
}

static void discarded_bytes(const struct step *s)
{
    s->c->deadline_ns = conn_linger_deadline(s);
    emit(s, CONN_DO_PARSE_BODY);
}

static void lingering_bytes(const struct step *s)
{
    s->c->deadline_ns = conn_linger_deadline(s);
    emit(s, CONN_DO_DISCARD);
}

/* The last look before an idle connection is closed found nothing. */
static void looked(const struct step *s)
{
    if (has(s, LAST_LOOK))
        close_because(s, s->c->why);
}

static void close_peer(const struct step *s)
{
    close_because(s, CONN_WHY_PEER);
}

/* The client has closed its half and may still read: what it asked for is answered. */
static void note_end(const struct step *s)
{
    set(s, ENDED);
    watch_read(s, false);
}

static void close_lingered(const struct step *s)
{
    close_because(s, s->c->why);
}

static void close_error(const struct step *s)
{
    close_because(s, CONN_WHY_ERROR);
}

static void want_more(const struct step *s)
{
    if (has(s, ENDED))
        close_because(s, CONN_WHY_PEER);
    else
        watch_read(s, true);
}

static void execute(const struct step *s)
{
    s->c->requests++;
    if (told(s, CONN_KEEP_ALIVE))
        set(s, WANTS_KEEP);
    if (told(s, CONN_HAS_BODY))
        set(s, told(s, CONN_EXPECTS) ? BODY_LEFT | EXPECTS : BODY_LEFT);
    change(s, CONN_EXECUTING, CONN_NEVER_NS);
    emit(s, CONN_DO_EXECUTE);
}

static void refuse_head(const struct step *s)
{
    respond(s, s->event->status, CONN_WHY_BAD);
}

static void read_body(const struct step *s)
{
    if (!has(s, BODY_LEFT) || has(s, RESPONDING))
        return; /* there is none, it has come already, or its request is given up */
    bool expects = has(s, EXPECTS);
    clear(s, HELD | EXPECTS | UNREAD);
    change(s, CONN_BODY, after(s, s->c->limits->body_timeout_ns));
    if (expects)
        emit(s, CONN_DO_CONTINUE);
    watch_read(s, true);
    emit(s, CONN_DO_PARSE_BODY);
}

/* The client is not to blame for a handler that takes its time. */
static void hold_body(const struct step *s)
{
    set(s, HELD);
    s->c->deadline_ns = CONN_NEVER_NS;
}

static void body_over(const struct step *s)
{
    clear(s, BODY_LEFT | EXPECTS | HELD);
    change(s, CONN_EXECUTING, CONN_NEVER_NS);
}

static void late_body_over(const struct step *s)
{
    clear(s, BODY_LEFT | EXPECTS);
}

static void refuse_body(const struct step *s)
{
    clear(s, BODY_LEFT);
    respond(s, s->event->status, CONN_WHY_BAD);
}

/* An answer is under way and its request turns out malformed: nothing after it can be trusted. */
static void late_bad_body(const struct step *s)
{
    s->c->why = CONN_WHY_BAD;
    set(s, CLOSES | UNREAD);
    clear(s, BODY_LEFT);
}

static void close_bad(const struct step *s)
{
    s->c->why = CONN_WHY_BAD;
    set(s, UNREAD);
    conn_leave(s);
}

static void wait_for_room(const struct step *s)
{
    if (told(s, CONN_PROGRESS) || s->c->deadline_ns == CONN_NEVER_NS)
        s->c->deadline_ns = after(s, s->c->limits->send_timeout_ns);
    watch_write(s, true);
}

/* A tunnel that cannot send takes no more either: its buffer is bounded. */
static void wait_for_room_in_tunnel(const struct step *s)
{
    wait_for_room(s);
    watch_read(s, false);
}

/* 100 Continue does not fit: the client's deadline is that of its body. */
static void wait_to_continue(const struct step *s)
{
    watch_write(s, true);
}

static void continued(const struct step *s)
{
    watch_write(s, false);
}

static void go_on_sending(const struct step *s)
{
    emit(s, CONN_DO_SEND);
}

/* All there is was sent; the handler decides when there is more, and the client owes nothing. */
static void rest(const struct step *s)
{
    s->c->deadline_ns = CONN_NEVER_NS;
    watch_write(s, false);
}

static void rest_in_tunnel(const struct step *s)
{
    rest(s);
    watch_read(s, true);
}

/* There will be no answer; where clients that deserve none are to be reset, this one is. */
static void give_up(const struct step *s)
{
    end_life(s, s->c->limits->reset_timedout ? CONN_DO_RESET : CONN_DO_CLOSE, CONN_WHY_DONE);
}

/* A tunnel's two ends agree by closing, so a half close is its last word too. */
static void end_tunnel(const struct step *s)
{
    set(s, UNREAD);
    conn_leave(s);
}

static void drain_fresh(const struct step *s)
{
    set(s, DRAINING);
    if (sabotaged(s, CONN_SAB_RESET_ACCEPTED))
        end_life(s, CONN_DO_RESET, CONN_WHY_FAULT);
}

static void drain_inflight(const struct step *s)
{
    set(s, DRAINING);
    if (sabotaged(s, CONN_SAB_DROP_INFLIGHT))
        close_because(s, CONN_WHY_FAULT);
}

static void drain_reading(const struct step *s)
{
    if (s->c->requests == 0 && sabotaged(s, CONN_SAB_RESET_ACCEPTED))
        drain_fresh(s);
    else
        drain_inflight(s);
}

static void drain_idle(const struct step *s)
{
    set(s, DRAINING);
    if (sabotaged(s, CONN_SAB_CLOSE_IDLE_ON_DRAIN))
        close_because(s, CONN_WHY_FAULT);
    else
        s->c->deadline_ns = earlier(s->c->deadline_ns, after(s, s->c->limits->drain_idle_ns));
}

static void note_drain(const struct step *s)
{
    set(s, DRAINING);
}

/* An idle connection's time is over. A request may have arrived in this very moment: one more recv
 * decides, so that none that has reached this host is lost. */
static void look_once_more(const struct step *s, enum conn_why why)
{
    s->c->why = (uint8_t)why;
    s->c->deadline_ns = CONN_NEVER_NS;
    set(s, LAST_LOOK | LEAVE_SOON);
    emit(s, CONN_DO_RECV);
}

static void reap(const struct step *s)
{
    look_once_more(s, CONN_WHY_SHED);
}

/* A client that was here a moment ago is likely to be sending its next request: it is told with the
 * answer to that one. One that does not come soon is not waited for. */
static void reap_idle(const struct step *s)
{
    uint64_t due_ns = s->c->idle_ns + CONN_REAP_IDLE_NS;
    if (s->now_ns >= due_ns) {
        reap(s);
        return;
    }
    set(s, LEAVE_SOON);
    s->c->deadline_ns = earlier(s->c->deadline_ns, due_ns);
}

static void leave_soon(const struct step *s)
{
    set(s, LEAVE_SOON);
}

static void cut(const struct step *s)
{
    close_because(s, CONN_WHY_DRAIN);
}

static void time_fresh(const struct step *s)
{
    look_once_more(s, CONN_WHY_TIMEOUT);
}

static void time_idle(const struct step *s)
{
    enum conn_why otherwise = has(s, DRAINING) ? CONN_WHY_DRAIN : CONN_WHY_IDLE;
    look_once_more(s, has(s, LEAVE_SOON) ? CONN_WHY_SHED : otherwise);
}

/* Some of a request came: its sender is there, and is told. */
static void time_request(const struct step *s)
{
    if (s->c->limits->reset_timedout)
        close_timed_out(s);
    else
        respond(s, 408, CONN_WHY_TIMEOUT);
}

static void time_out(const struct step *s)
{
    close_timed_out(s);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define ROW(event, closed, shaking, fresh, reading, body, executing, writing, discarding, idle,    \
            tunnel, lingering)                                                                     \
    [CONN_EV_##event] = {                                                                          \
        [CONN_CLOSED] = closed,       [CONN_SHAKING] = shaking,                                    \
        [CONN_FRESH] = fresh,         [CONN_READING] = reading,                                    \
        [CONN_BODY] = body,           [CONN_EXECUTING] = executing,                                \
        [CONN_WRITING] = writing,     [CONN_DISCARDING] = discarding,                              \
        [CONN_IDLE] = idle,           [CONN_TUNNEL] = tunnel,                                      \
        [CONN_LINGERING] = lingering,                                                              \
    },

static conn_cell *const table[CONN_EVENT_COUNT][CONN_STATE_COUNT] = {
#include "engine/core/conn_cells.def"
};
#undef ROW

void conn_init(struct conn *c, const struct conn_limits *limits)
{
    *c = (struct conn){.limits = limits, .deadline_ns = CONN_NEVER_NS, .state = CONN_CLOSED};
}

void conn_step(struct conn *c, uint64_t now_ns, const struct conn_event *event,
               struct conn_effects *effects)
{
    CORE_CHECK(event->kind < CONN_EVENT_COUNT && c->state < CONN_STATE_COUNT);
    effects->count = 0;
    effects->cell = CORE_NO_CELL;
    if (event->kind == CONN_EV_TIMER && now_ns < c->deadline_ns)
        return; /* a timer that was left at an earlier deadline */
    const struct step s = {c, now_ns, event, effects};
    effects->cell = (uint16_t)(c->state * CONN_EVENT_COUNT + event->kind);
    table[event->kind][c->state](&s);
}

bool conn_leaves(const struct conn *c)
{
    return (c->flags & (LEAVE_SOON | CLOSES)) != 0;
}

bool conn_closes(const struct conn *c)
{
    return (c->flags & CLOSES) != 0;
}

uint32_t conn_sabotages(enum conn_event_kind kind)
{
    switch (kind) {
    case CONN_EV_ANSWERED:
        return CONN_SAB_SILENT_CLOSE | CONN_SAB_NO_LINGER;
    case CONN_EV_DRAIN:
        return CONN_SAB_CLOSE_IDLE_ON_DRAIN | CONN_SAB_DROP_INFLIGHT | CONN_SAB_RESET_ACCEPTED;
    case CONN_EV_READABLE:
        return CONN_SAB_CLOSE_IDLE_ON_DRAIN;
    default:
        return 0;
    }
}
