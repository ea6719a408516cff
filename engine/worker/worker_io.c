/* Moves the bytes of one connection: receives, feeds the parser and the body decoder, runs the
 * exchange, sends. What it finds out becomes an event for engine/core/conn.h; it decides nothing.
 */
#include <errno.h>
#include <netinet/tcp.h>

#include "engine/http/limits.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/http/talk.h"
#include "engine/worker/worker_impl.h"
#include "faultinject/fault.h"

static bool io_make_room(struct connection *c);
static void io_finish(struct turn *t);

/* A failed call on a connection's socket, as an event. */
void io_push_failure(struct turn *t, int err)
{
    bool reset = err == -ECONNRESET || err == -EPIPE;
    turn_push(t, reset ? CONN_EV_RESET : CONN_EV_ERROR, 0);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Input after the last answer only shows that the client is still there: it needs no buffer. */
static void io_receive_away(struct turn *t)
{
    struct connection *c = t->c;
    ssize_t got = sys_recv(c->client.fd, c->worker->scratch, sizeof c->worker->scratch);
    if (got > 0)
        turn_push(t, CONN_EV_BYTES, 0);
    else if (got == 0)
        turn_push(t, CONN_EV_END, 0);
    else if (got == -EAGAIN)
        turn_push(t, CONN_EV_EMPTY, 0);
    else
        io_push_failure(t, (int)got);
}

static void io_pass_to_tunnel(struct turn *t)
{
    struct connection *c = t->c;
    struct buffer *in = c->in;
    if (c->flight->x.answer.body == BODY_UPSTREAM) {
        upstream_tunnel_send(t);
        return;
    }
    exchange_input(&c->flight->x, str_make(in->bytes + in->at, in->len - in->at));
    in->at = in->len; /* the bytes stay in place until the handler has taken them */
    io_send(t);
}

static void io_end_of_tunnel(struct turn *t)
{
    struct connection *c = t->c;
    c->input_ended = true;
    if (c->flight->x.answer.body == BODY_UPSTREAM) {
        upstream_tunnel_send(t);
        return;
    }
    exchange_input_end(&c->flight->x);
    io_send(t);
}

void io_receive(struct turn *t)
{
    struct connection *c = t->c;
    if (c->conn.state == CONN_LINGERING) {
        io_receive_away(t);
        return;
    }
    if (!io_make_room(c)) {
        log_line(LEVEL_CRIT, "*%llu no memory for a client's input",
                 (unsigned long long)c->client.number);
        turn_push(t, CONN_EV_ERROR, 0);
        return;
    }
    bool tunnel = c->conn.state == CONN_TUNNEL;
    ssize_t got = wire_recv(c, c->in->bytes + c->in->len, c->in->size - c->in->len);
    if (got > 0) {
        c->in->len += (uint32_t)got;
        WORKER_COUNT(c->worker, bytes_in, got);
        turn_push(t, CONN_EV_BYTES, 0);
        if (tunnel)
            io_pass_to_tunnel(t);
    } else if (got == 0) {
        turn_push(t, CONN_EV_END, 0);
        if (tunnel)
            io_end_of_tunnel(t);
    } else if (got == -EAGAIN) {
        turn_push(t, CONN_EV_EMPTY, 0);
    } else {
        io_push_failure(t, (int)got);
    }
}

/* The head in the buffer is too long for it: it goes on in one that any head we accept fits in. */
static bool io_grow(struct connection *c)
{
    struct http1_limits limits = c->flight->x.head.limits;
    struct buffer *larger = buffer_take(c->worker, limits.head_bytes + BUFFER_BYTES);
    if (larger == NULL)
        return false;
    memcpy(larger->bytes, c->in->bytes, c->in->len);
    larger->at = c->in->at;
    larger->len = c->in->len;
    buffer_give(c->worker, c->in);
    c->in = larger;
    return true;
}

/* Makes sure that the buffer exists and has room behind its bytes. While a parsed head stands in
 * it, only what follows the head may be moved; before that all of it. */
static bool io_make_room(struct connection *c)
{
    struct buffer *in = c->in;
    if (in == NULL)
        return (c->in = buffer_take(c->worker, BUFFER_BYTES)) != NULL;
    struct flight *flight = c->flight;
    bool parsed = flight != NULL && flight->parsed;
    if (parsed) {
        if (in->at == in->len)
            in->at = in->len = flight->base + flight->x.head.at;
    } else if (flight != NULL && flight->base > 0 && in->len == in->size) {
        memmove(in->bytes, in->bytes + flight->base, in->len - flight->base);
        in->len -= flight->base;
        in->at = flight->base = 0;
    } else if (flight == NULL && in->at == in->len) {
        in->at = in->len = 0;
    }
    return in->len < in->size || (!parsed && io_grow(c));
}

bool io_buffered(const struct connection *c)
{
    return c->in != NULL && c->in->at < c->in->len;
}

/* ---- a request's head ------------------------------------------------------------------------ */

/* Takes a flight for the request whose first bytes are in the buffer. */
static bool io_begin_request(struct turn *t)
{
    struct connection *c = t->c;
    c->flight = flight_take(c->worker, &c->client);
    if (c->flight == NULL) {
        log_line(LEVEL_CRIT, "*%llu no memory for a request", (unsigned long long)c->client.number);
        turn_push(t, CONN_EV_ERROR, 0);
        return false;
    }
    const struct conf_server *server = c->client.listen->default_server;
    size_t line = server->large_buffer_size, first = server->client_header_buffer_size;
    size_t head = line * server->large_buffer_count;
    /* What fits into the first buffer needs no large one. */
    const struct http1_limits limits = {
        .line_bytes = (uint32_t)(line > first ? line : first),
        .head_bytes = (uint32_t)(head > first ? head : first),
    };
    struct exchange *x = &c->flight->x;
    http1_init(&x->head, &limits, x->headers, EXCHANGE_HEADERS_MAX);
    c->flight->base = c->in->at;
    t->requests++;
    return true;
}

void io_parse(struct turn *t)
{
    struct connection *c = t->c;
    if (c->flight == NULL && !io_begin_request(t))
        return;
    struct flight *flight = c->flight;
    struct http1 *head = &flight->x.head;
    enum http1_result result =
        http1_feed(head, c->in->bytes + flight->base, c->in->len - flight->base);
    if (result == HTTP1_MORE) {
        turn_push(t, CONN_EV_HEAD_MORE, 0);
        return;
    }
    flight->parsed = true;
    c->in->at = flight->base + head->at;
    c->client.requests++;
    if (result == HTTP1_BAD) {
        flight->x.buf = c->in->bytes + flight->base;
        exchange_log(&flight->x, LEVEL_INFO, "client sent an invalid request: %s",
                     http1_reason(head->reason));
        turn_push_event(t, (struct conn_event){.kind = CONN_EV_HEAD_BAD,
                                               .status = (uint16_t)http1_status(head->reason)});
        return;
    }
    http1_body_begin(&flight->body, head);
    unsigned flags = 0;
    flags |= head->flags & HTTP1_KEEP_ALIVE ? CONN_KEEP_ALIVE : 0;
    flags |= head->flags & HTTP1_EXPECT_CONTINUE ? CONN_EXPECTS : 0;
    flags |= http1_body_done(&flight->body) ? 0 : CONN_HAS_BODY;
    turn_push(t, CONN_EV_HEAD_DONE, flags);
}

/* ---- executing it ---------------------------------------------------------------------------- */

void io_push_response(struct turn *t)
{
    struct connection *c = t->c;
    const struct answer *answer = &c->flight->x.answer;
    if (answer->body != BODY_UPSTREAM)
        upstream_drop(c->flight);
    if (answer->silent) {
        turn_push(t, CONN_EV_ABANDONED, 0);
        return;
    }
    unsigned flags = 0;
    flags |= exchange_must_close(&c->flight->x) ? CONN_MUST_CLOSE : 0;
    flags |= answer->upgraded ? CONN_UPGRADED : 0;
    flags |= io_buffered(c) ? CONN_BUFFERED : 0;
    turn_push_event(t, (struct conn_event){.kind = CONN_EV_RESPONSE,
                                           .flags = (uint8_t)flags,
                                           .left = http1_body_left(&c->flight->body)});
}

static void io_record_request(struct connection *c)
{
    c->last_nonce = c->flight->x.nonce;
    worker_record(c->worker, HIST_ENGINE_REQUEST,
                  &(struct hist_record){.conn = c->hist_id, .req = c->last_nonce});
}

enum decoded { DECODED_MORE, DECODED_DONE, DECODED_BAD };

/* Runs what is buffered of the body through the decoder. */
static enum decoded io_decode(struct turn *t)
{
    struct connection *c = t->c;
    struct flight *flight = c->flight;
    struct buffer *in = c->in;
    while (in != NULL && !http1_body_done(&flight->body)) {
        struct http1_piece piece;
        enum http1_result result =
            http1_body_feed(&flight->body, in->bytes + in->at, in->len - in->at, &piece);
        in->at += (uint32_t)piece.used;
        if (!flight->over && piece.len > 0)
            exchange_body(&flight->x, str_make(piece.data, piece.len));
        if (result == HTTP1_BAD) {
            turn_push_event(
                t, (struct conn_event){.kind = CONN_EV_BODY_BAD,
                                       .status = (uint16_t)http1_status(flight->body.reason)});
            return DECODED_BAD;
        }
        if (result == HTTP1_MORE && in->at == in->len)
            return DECODED_MORE;
    }
    return http1_body_done(&flight->body) ? DECODED_DONE : DECODED_MORE;
}

static void io_push_body_done(struct turn *t)
{
    turn_push(t, CONN_EV_BODY_DONE, io_buffered(t->c) ? CONN_BUFFERED : 0);
}

static void io_executed(struct turn *t);

void io_want_body(struct turn *t)
{
    struct flight *flight = t->c->flight;
    if (t->c->conn.state == CONN_EXECUTING && exchange_wants_body(&flight->x) &&
        !http1_body_done(&flight->body))
        turn_push(t, CONN_EV_BODY_WANTED, 0);
}

/* A server that takes a streamed body slowly slows the client down. */
static void io_hold_body(struct turn *t)
{
    struct flight *flight = t->c->flight;
    const struct talk *talk = flight->x.talk;
    if (talk == NULL || !talk->streams || talk->body.len == 0 || flight->body_held)
        return;
    flight->body_held = true;
    turn_push(t, CONN_EV_BODY_HELD, 0);
}

void io_execute(struct turn *t)
{
    struct connection *c = t->c;
    struct worker *w = c->worker;
    struct flight *flight = c->flight;
    struct exchange *x = &flight->x;
    if (fault_sabotage(FAULT_sabotage_vanish)) {
        c->vanishing = true;
        turn_push(t, CONN_EV_ABANDONED, 0);
        return;
    }
    fault_step(FAULT_worker_request);
    WORKER_COUNT(w, requests, 1);
    fault_step(FAULT_shm_update); /* counted, and its status is not yet */
    exchange_execute(x, c->in->bytes + flight->base);
    io_record_request(c);
    if (fault_sabotage(FAULT_sabotage_execute_twice))
        io_record_request(c);
    io_executed(t);
}

/* The request has gone as far as it could: it is answered, or waits for its body or for a time. */
static void io_executed(struct turn *t)
{
    struct connection *c = t->c;
    struct flight *flight = c->flight;
    struct exchange *x = &flight->x;
    conn_use(&c->conn, &c->worker->limits[x->location->number]);
    upstream_attend(t);
    if (!exchange_answered(x)) {
        io_want_body(t);
        return;
    }
    if (!http1_body_done(&flight->body)) {
        enum decoded decoded = io_decode(t);
        if (decoded == DECODED_BAD)
            return; /* the connection answers 400 instead */
        if (decoded == DECODED_DONE)
            io_push_body_done(t);
    }
    io_push_response(t);
}

void io_parse_body(struct turn *t)
{
    struct connection *c = t->c;
    struct flight *flight = c->flight;
    bool had_answered = flight->over || exchange_answered(&flight->x);
    enum decoded decoded = io_decode(t);
    if (decoded == DECODED_BAD)
        return;
    if (decoded == DECODED_DONE) {
        io_push_body_done(t);
        if (!had_answered)
            exchange_body_end(&flight->x);
        if (flight->over) { /* it stayed only for the decoder */
            flight_give(c->worker, flight);
            c->flight = NULL;
            return;
        }
    }
    if (had_answered)
        return;
    upstream_attend(t);
    if (exchange_answered(&flight->x))
        io_push_response(t);
    else if (decoded == DECODED_MORE)
        io_hold_body(t);
}

void io_respond(struct turn *t, int status)
{
    struct connection *c = t->c;
    if (c->flight == NULL && !io_begin_request(t))
        return;
    exchange_refuse(&c->flight->x, c->in->bytes + c->flight->base, status);
    if (exchange_answered(&c->flight->x))
        io_push_response(t);
}

void io_continue(struct turn *t)
{
    t->c->flight->prefix = STR("HTTP/1.1 100 Continue\r\n\r\n");
    io_send(t);
}

void io_wake(struct turn *t)
{
    struct exchange *x = &t->c->flight->x;
    if (exchange_answered(x)) {
        x->wake_ns = 0;
        io_send(t);
        return;
    }
    bool held = x->handler == NULL; /* not even its location may be known */
    exchange_wake(x);
    if (held) {
        io_executed(t);
        return;
    }
    upstream_attend(t);
    if (exchange_answered(x))
        io_push_response(t);
}

/* ---- answering ------------------------------------------------------------------------------- */

/* Nagle's algorithm has nothing to gain where answers leave in one piece, and costs a kept
 * connection its latency. */
static void io_set_nodelay(struct connection *c)
{
    if (c->nodelay || !c->flight->x.location->tcp_nodelay ||
        c->client.peer.plain.sa_family == AF_UNIX)
        return;
    sys_setsockopt_int(c->client.fd, IPPROTO_TCP, TCP_NODELAY, 1);
    c->nodelay = true;
}

static void io_set_cork(struct connection *c, bool on)
{
    if (c->flight->corked == on || c->client.peer.plain.sa_family == AF_UNIX)
        return;
    sys_setsockopt_int(c->client.fd, IPPROTO_TCP, TCP_CORK, on);
    c->flight->corked = on;
}

static enum pull io_pull(struct connection *c)
{
    struct flight *flight = c->flight;
    bool relayed = flight->x.answer.body == BODY_UPSTREAM;
    if (flight->out == NULL && (!relayed || flight->relay.has_file))
        flight->out = buffer_take(c->worker, BUFFER_BYTES);
    if (flight->out == NULL && (!relayed || flight->relay.has_file))
        return PULL_BROKEN;
    if (relayed)
        return upstream_pull(c);
    return exchange_pull(&flight->x, flight->out->bytes, flight->out->size, &flight->piece);
}

void io_begin_answer(struct turn *t)
{
    struct connection *c = t->c;
    struct flight *flight = c->flight;
    struct exchange *x = &flight->x;
    bool closes = conn_closes(&c->conn);
    fault_step(FAULT_worker_response);
    flight->head = exchange_head(x, closes);
    if (flight->head.at == NULL) {
        exchange_log(x, LEVEL_CRIT, "no memory for an answer's head");
        turn_push(t, CONN_EV_ABANDONED, 0);
        return;
    }
    const struct answer *answer = &x->answer;
    if (!answer->upgraded)
        limits_find_rate(x);
    if (answer->body == BODY_MEMORY)
        flight->piece = answer->memory;
    if (answer->body == BODY_FILE) {
        flight->file_left = answer->length;
        flight->file_at = (off_t)answer->file_offset;
        if (x->location->tcp_nopush && c->client.tls == NULL)
            io_set_cork(c, true);
    }
    if (!closes)
        io_set_nodelay(c);
    if (answer->body >= BODY_PULL && !answer->upgraded)
        io_pull(c); /* so that the first piece travels with the head */
    io_send(t);
}

/* Has the answer more to send? Gets the next piece of a generated body. */
static enum pull io_next_piece(struct connection *c)
{
    struct flight *flight = c->flight;
    struct exchange *x = &flight->x;
    if (flight_has_texts(flight) || flight->file_left > 0)
        return PULL_DATA;
    if (!exchange_answered(x) || c->conn.state == CONN_EXECUTING || c->conn.state == CONN_BODY)
        return PULL_WAIT; /* only a 100 Continue was to be sent */
    if (x->answer.body < BODY_PULL)
        return PULL_END;
    if (x->answer.upgraded && c->conn.state == CONN_WRITING)
        return PULL_END; /* the 101 itself; the tunnel follows */
    return io_pull(c);
}

/* How much limit_rate lets go now: a second's worth at once, then as time passes. 0: nothing, until
 * x->wake_ns. */
static size_t io_rate_allowance(struct exchange *x)
{
    const struct http_site *site = x->site;
    uint64_t passed_ns = site->now_ns - x->started_ns + NS_PER_S;
    uint64_t may =
        x->rate_after_bytes + (uint64_t)((__uint128_t)x->rate_bytes * passed_ns / NS_PER_S);
    if (may > x->bytes_sent) {
        uint64_t left = may - x->bytes_sent;
        return left < SEND_TURN_BYTES ? (size_t)left : SEND_TURN_BYTES;
    }
    uint64_t late_ns =
        (uint64_t)((__uint128_t)(x->bytes_sent - may + 1) * NS_PER_S / x->rate_bytes);
    x->wake_ns = site->now_ns + (late_ns > RATE_STEP_NS ? late_ns : RATE_STEP_NS);
    return 0;
}

void io_send(struct turn *t)
{
    struct connection *c = t->c;
    struct exchange *x = &c->flight->x;
    size_t allowance = x->rate_bytes == 0 ? SEND_TURN_BYTES : io_rate_allowance(x);
    bool progress = false;
    for (;;) {
        enum pull next = io_next_piece(c);
        if (next == PULL_END) {
            /* That the answer is whole is said by TLS as well, before anything is closed. */
            if (conn_closes(&c->conn) && !wire_say_goodbye(c))
                turn_push(t, CONN_EV_BLOCKED, 0);
            else
                io_finish(t);
            return;
        }
        if (next == PULL_WAIT) {
            turn_push(t, CONN_EV_FLUSHED, 0);
            return;
        }
        if (next == PULL_BROKEN) {
            turn_push(t, CONN_EV_ABANDONED, 0);
            return;
        }
        if (allowance == 0) { /* limit_rate: not before x->wake_ns */
            turn_push(t, CONN_EV_FLUSHED, 0);
            return;
        }
        ssize_t sent = wire_send(c, allowance);
        if (sent < 0 && sent != -EAGAIN) {
            io_push_failure(t, (int)sent);
            return;
        }
        if (sent > 0) {
            progress = true;
            allowance -= (size_t)sent < allowance ? (size_t)sent : allowance;
        }
        if (sent > 0 && x->rate_bytes != 0) {
            allowance = io_rate_allowance(x);
            continue;
        }
        /* Out of room, or out of its share of this turn: writability calls it back. */
        if (sent == -EAGAIN || allowance == 0) {
            turn_push(t, CONN_EV_BLOCKED, progress ? CONN_PROGRESS : 0);
            return;
        }
    }
}

static void io_count_status(struct worker *w, int status)
{
    if (status < 300)
        WORKER_COUNT(w, status_2xx, 1);
    else if (status < 400)
        WORKER_COUNT(w, status_3xx, 1);
    else if (status < 500)
        WORKER_COUNT(w, status_4xx, 1);
    else
        WORKER_COUNT(w, status_5xx, 1);
}

/* The last byte of an answer was given to the kernel. */
static void io_finish(struct turn *t)
{
    struct connection *c = t->c;
    struct flight *flight = c->flight;
    struct exchange *x = &flight->x;
    bool tunnel = c->conn.state == CONN_TUNNEL;
    if (!tunnel) {
        io_count_status(c->worker, x->answer.status);
        worker_record(c->worker, HIST_ENGINE_RESPONSE,
                      &(struct hist_record){.conn = c->hist_id,
                                            .req = x->nonce,
                                            .a = (uint64_t)x->answer.status,
                                            .b = x->body_sent,
                                            .c = conn_closes(&c->conn)});
    }
    bool opens_tunnel = x->answer.upgraded && !tunnel;
    if (!opens_tunnel) {
        io_set_cork(c, false);
        upstream_drop(flight);
        exchange_end(x);
        flight->over = true;
        if (http1_body_done(&flight->body)) {
            flight_give(c->worker, flight);
            c->flight = NULL;
        }
    }
    turn_push(t, CONN_EV_ANSWERED, io_buffered(c) ? CONN_BUFFERED : 0);
    c->client.pipelined = io_buffered(c);
}

void io_enter_tunnel(struct turn *t)
{
    io_set_nodelay(t->c);
    io_pass_to_tunnel(t);
}
