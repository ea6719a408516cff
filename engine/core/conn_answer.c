/* Around an answer: may the connection be kept, what comes after, and how to leave without taking
 * from the client an answer that it has not read yet. */
#include "engine/core/conn_priv.h"

static bool may_keep(const struct step *s);
static void discard_body(const struct step *s);
static void go_idle(const struct step *s);
static bool must_linger(const struct step *s);

/* The moment when an answer says whether it is the last: what is said here is binding. */
void conn_begin_answer(const struct step *s)
{
    clear(s, HELD);
    change(s, CONN_WRITING, CONN_NEVER_NS);
    if (told(s, CONN_UPGRADED)) {
        set(s, UPGRADED);
    } else if (may_keep(s)) {
        emit(s, CONN_DO_KEEP);
    } else {
        set(s, CLOSES);
        emit(s, CONN_DO_ANNOUNCE);
    }
    if (has(s, BODY_LEFT)) /* dropped meanwhile: some clients read only when they have sent all */
        watch_read(s, true);
}

void conn_answered(const struct step *s)
{
    if (has(s, UPGRADED)) {
        clear(s, FLAGS_OF_REQUEST);
        watch_write(s, false);
        change(s, CONN_TUNNEL, CONN_NEVER_NS);
        emit(s, CONN_DO_TUNNEL);
        watch_read(s, true);
    } else if (has(s, CLOSES)) {
        conn_leave(s);
    } else if (sabotaged(s, CONN_SAB_SILENT_CLOSE)) {
        close_because(s, CONN_WHY_FAULT);
    } else if (has(s, BODY_LEFT) && has(s, ENDED)) {
        close_because(s, CONN_WHY_PEER);
    } else if (has(s, BODY_LEFT)) {
        discard_body(s);
    } else {
        conn_next_request(s);
    }
}

/* A request is over and the connection stays. What the client has sent meanwhile is in the buffer
 * or still in the socket; only what is buffered must not wait for readability. */
void conn_next_request(const struct step *s)
{
    clear(s, FLAGS_OF_REQUEST);
    watch_write(s, false);
    if (told(s, CONN_BUFFERED)) {
        change(s, CONN_READING, after(s, s->c->limits->header_timeout_ns));
        emit(s, CONN_DO_PARSE);
    } else if (has(s, ENDED)) {
        close_because(s, CONN_WHY_PEER);
    } else {
        go_idle(s);
    }
}

void conn_leave(const struct step *s)
{
    if (sabotaged(s, CONN_SAB_NO_LINGER)) {
        close_because(s, CONN_WHY_FAULT);
        return;
    }
    if (!must_linger(s)) {
        close_because(s, s->c->why);
        return;
    }
    s->c->linger_end_ns = after(s, s->c->limits->lingering_time_ns);
    change(s, CONN_LINGERING, conn_linger_deadline(s));
    watch_write(s, false);
    emit(s, CONN_DO_SHUTDOWN_WRITE);
    if (told(s, CONN_BUFFERED))
        emit(s, CONN_DO_DISCARD);
    watch_read(s, true);
}

uint64_t conn_linger_deadline(const struct step *s)
{
    return earlier(after(s, s->c->limits->lingering_timeout_ns), s->c->linger_end_ns);
}

/* Can the body's rest, if there is any, be read and dropped without costing more than it is worth?
 * A client that waits for 100 may send it or not: nobody could tell what its next byte means. */
static bool body_allows_keep(const struct step *s)
{
    if (!has(s, BODY_LEFT))
        return true;
    return !has(s, EXPECTS) && s->event->left <= s->c->limits->discard_bytes;
}

/* A connection whose time has come, for one of many reasons of our own. */
static bool is_due_to_leave(const struct step *s)
{
    const struct conn_limits *limits = s->c->limits;
    if (has(s, DRAINING | LEAVE_SOON))
        return true;
    if (limits->keepalive_requests && s->c->requests >= limits->keepalive_requests)
        return true;
    return limits->keepalive_time_ns && s->now_ns - s->c->opened_ns >= limits->keepalive_time_ns;
}

/* Requests that the client had sent before it could know are answered before the connection goes;
 * a client that always has one more gets CONN_GRACE_MAX. */
static bool is_given_grace(const struct step *s)
{
    if (!told(s, CONN_BUFFERED) || s->c->grace >= CONN_GRACE_MAX)
        return false;
    s->c->grace++;
    return true;
}

static bool may_keep(const struct step *s)
{
    if (!has(s, WANTS_KEEP) || has(s, RESPONDING) || told(s, CONN_MUST_CLOSE))
        return false;
    if (!s->c->limits->keepalive_timeout_ns || !body_allows_keep(s))
        return false;
    return !is_due_to_leave(s) || is_given_grace(s);
}

static void discard_body(const struct step *s)
{
    watch_write(s, false);
    s->c->linger_end_ns = after(s, s->c->limits->lingering_time_ns);
    change(s, CONN_DISCARDING, conn_linger_deadline(s));
    watch_read(s, true);
}

static void go_idle(const struct step *s)
{
    uint64_t deadline_ns = after(s, s->c->limits->keepalive_timeout_ns);
    if (has(s, DRAINING))
        deadline_ns = earlier(deadline_ns, after(s, s->c->limits->drain_idle_ns));
    s->c->idle_ns = s->now_ns;
    change(s, CONN_IDLE, deadline_ns);
    watch_read(s, true);
}

/* Would a plain close reset the connection under an answer that the client has not read? It does
 * if input is unread, or comes later; a client that wanted to go on may still be sending. */
static bool must_linger(const struct step *s)
{
    const struct conn_limits *limits = s->c->limits;
    if (has(s, ENDED) || limits->lingering == CONN_LINGERING_OFF || !limits->lingering_timeout_ns)
        return false;
    return limits->lingering == CONN_LINGERING_ALWAYS || told(s, CONN_BUFFERED) ||
           has(s, BODY_LEFT | UNREAD | WANTS_KEEP | RESPONDING);
}
