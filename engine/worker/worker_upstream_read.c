/* Receives answers: the head for the talk to judge, the body for the client, and what a tunnel
 * carries in both directions. */
#include <errno.h>
#include <stdio.h>

#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_upstream.h"

enum { READS_PER_TURN = 8 }; /* then others have their turn */

/* ---- passing on ------------------------------------------------------------------------------ */

void upstream_pass_on(struct turn *t)
{
    struct connection *c = t->c;
    bool sending = c->conn.state == CONN_WRITING || c->conn.state == CONN_TUNNEL;
    if (sending && (c->events & EV_WRITE) == 0)
        io_send(t);
}

static void upstream_close_link(struct turn *t, bool may_keep)
{
    struct talk *talk = t->c->flight->x.talk;
    struct uplink *u = talk->link;
    talk->link = NULL;
    uplink_finish(u, may_keep);
}

/* All of the answer has come. */
static void upstream_complete(struct turn *t, bool clean)
{
    struct flight *flight = t->c->flight;
    struct talk *talk = flight->x.talk;
    bool stays = clean && (talk->response.flags & HTTP1_RESPONSE_STAYS) && talk->link->sent_all;
    flight->relay.ended = true;
    talk_over(talk);
    upstream_close_link(t, stays);
}

static void upstream_break(struct turn *t, const char *what)
{
    struct flight *flight = t->c->flight;
    talk_broke(flight->x.talk, "%s", what);
    flight->relay.broken = true;
    upstream_close_link(t, false);
}

/* ---- the body -------------------------------------------------------------------------------- */

/* Takes the framing out of buf[0..len): the data is moved together. Its length; *used: bytes that
 * belonged to the body. */
static enum http1_result decode(struct http1_body *body, char *buf, size_t len, size_t *data,
                                size_t *used)
{
    enum http1_result result = HTTP1_MORE;
    *data = *used = 0;
    do {
        struct http1_piece piece;
        result = http1_body_feed(body, buf + *used, len - *used, &piece);
        if (piece.len > 0 && piece.data != buf + *data)
            memmove(buf + *data, piece.data, piece.len);
        *data += piece.len;
        *used += piece.used;
    } while (result == HTTP1_MORE && *used < len);
    return result;
}

static void upstream_judge_body(struct turn *t, enum http1_result result, size_t left)
{
    struct talk *talk = t->c->flight->x.talk;
    if (result == HTTP1_BAD) {
        upstream_break(t, "upstream sent invalid chunked response");
        return;
    }
    if (result != HTTP1_DONE)
        return;
    if (left > 0)
        exchange_log(talk->x, LEVEL_WARN,
                     "upstream sent more data than its answer has while reading upstream");
    upstream_complete(t, left == 0);
}

static struct relay_limits limits_of(const struct talk *talk, bool tunnel)
{
    const struct conf_proxy *conf = talk->conf;
    return (struct relay_limits){
        .memory = conf->buffers_size,
        .file = conf->max_temp_file_size,
        .one_buffer = tunnel || !talk->buffers,
        .folder = conf->temp_path.at,
    };
}

static void upstream_spill(struct turn *t, const char *at, size_t len)
{
    struct flight *flight = t->c->flight;
    struct talk *talk = flight->x.talk;
    bool opened = false;
    int err = relay_spill(&flight->relay, at, len, talk->conf->temp_path.at, &opened);
    if (opened)
        exchange_log(talk->x, LEVEL_WARN,
                     "an upstream response is buffered to a temporary file in \"%s\" while reading "
                     "upstream",
                     talk->conf->temp_path.at);
    if (err == 0)
        return;
    exchange_log(talk->x, LEVEL_CRIT, "a temporary file in \"%s\" cannot be written (%d: %s)",
                 talk->conf->temp_path.at, -err, strerror(-err));
    upstream_break(t, "the response cannot be buffered");
}

/* Bytes that came into `room`. */
static void upstream_take_body(struct turn *t, struct relay_room room, size_t got)
{
    struct flight *flight = t->c->flight;
    size_t data, used;
    enum http1_result result = decode(&flight->relay.body, room.at, got, &data, &used);
    talk_received(flight->x.talk, got, data);
    if (!room.spill)
        relay_fill(&flight->relay, data);
    else if (data > 0)
        upstream_spill(t, room.at, data);
    if (flight->x.talk->link != NULL)
        upstream_judge_body(t, result, got - used);
}

static void upstream_end_of_body(struct turn *t)
{
    if (t->c->flight->relay.body.framing == HTTP1_UNTIL_CLOSE)
        upstream_complete(t, false);
    else
        upstream_break(t, "upstream prematurely closed connection");
}

static void upstream_broken_body(struct turn *t, int err)
{
    char message[128];
    snprintf(message, sizeof message, "recv() failed (%d: %s)", -err, strerror(-err));
    upstream_break(t, message);
}

static void upstream_receive_body(struct turn *t)
{
    struct flight *flight = t->c->flight;
    struct talk *talk = flight->x.talk;
    struct uplink *u = talk->link;
    for (int i = 0; i < READS_PER_TURN && talk->link != NULL; i++) {
        struct relay_limits limits = limits_of(talk, false);
        struct relay_room room = relay_room(t->c->worker, &flight->relay, &limits);
        if (room.len == 0) {
            flight->relay.full = true;
            uplink_watch(u, u->events & ~EV_READ);
            uplink_wait(u, 0);
            break;
        }
        ssize_t got = uplink_recv(u, room.at, room.len);
        if (got == -EAGAIN)
            break;
        if (got < 0) {
            upstream_broken_body(t, (int)got);
        } else if (got == 0) {
            upstream_end_of_body(t);
        } else {
            uplink_wait(u, talk->conf->read_timeout_ns);
            upstream_take_body(t, room, (size_t)got);
            bool more = room.spill || (size_t)got == room.len;
            if (talk->link == u && !more && u->tls == NULL)
                break; /* that was all for now */
        }
    }
    if (talk->link == u && (u->events & EV_READ) && uplink_pending(u))
        ev_feed_event(u->worker->loop, &u->io, EV_READ);
    upstream_pass_on(t);
}

static void upstream_resume(struct connection *c)
{
    struct flight *flight = c->flight;
    struct talk *talk = flight->x.talk;
    if (!flight->relay.full || talk == NULL || talk->link == NULL)
        return;
    flight->relay.full = false;
    uplink_watch(talk->link, talk->link->events | EV_READ);
    uplink_wait(talk->link, talk->conf->read_timeout_ns);
}

/* The next of what another server answers, framed as the head said. */
enum pull upstream_pull(struct connection *c)
{
    struct flight *flight = c->flight;
    struct answer *answer = &flight->x.answer;
    enum pull made = relay_pull(c->worker, &flight->relay, flight->out, &flight->piece);
    upstream_resume(c);
    if (!answer->chunked || answer->chunks_over)
        return made;
    if (made == PULL_DATA) {
        size_t len = http1_chunk_head(flight->frame_text, flight->piece.len);
        flight->frame = str_make(flight->frame_text, len);
        answer->chunks_over =
            flight->relay.ended && !flight->relay.broken && relay_is_empty(&flight->relay);
        flight->tail =
            answer->chunks_over ? STR(HTTP1_CHUNK_TAIL HTTP1_CHUNK_LAST) : STR(HTTP1_CHUNK_TAIL);
    } else if (made == PULL_END) {
        answer->chunks_over = true;
        flight->piece = STR(HTTP1_CHUNK_LAST);
        made = PULL_DATA;
    }
    return made;
}

/* ---- the head -------------------------------------------------------------------------------- */

static const char *head_problem(enum http1_reason reason)
{
    switch (reason) {
    case HTTP1_R_STATUS_LINE:
        return "upstream sent no valid HTTP/1.0 header";
    case HTTP1_R_LENGTH:
    case HTTP1_R_LENGTH_REPEATED:
        return "upstream sent invalid \"Content-Length\" header";
    case HTTP1_R_LENGTH_AND_CODING:
        return "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same "
               "time";
    case HTTP1_R_CODING:
    case HTTP1_R_CODING_UNKNOWN:
        return "upstream sent unknown \"Transfer-Encoding\"";
    case HTTP1_R_HEADER_COUNT:
        return "upstream sent too many headers";
    default:
        return "upstream sent invalid header";
    }
}

/* The answer's body starts in the buffer of its head. */
static void upstream_begin_body(struct turn *t)
{
    struct flight *flight = t->c->flight;
    struct relay *relay = &flight->relay;
    struct talk *talk = flight->x.talk;
    struct buffer *first = relay->first;
    uint32_t rest = first->len - talk->response.at;
    first->at = first->len = talk->response.at;
    relay->front = relay->back = first;
    relay->memory = first->size;
    http1_body_start(&relay->body, (enum http1_framing)talk->response.framing,
                     talk->response.content_length);
    talk->try->received -= rest; /* counted again as body */
    talk->link->state = UPLINK_ANSWERING;
    const struct relay_room room = {.at = first->bytes + first->at, .len = rest};
    upstream_take_body(t, room, rest);
}

static void upstream_begin_tunnel(struct turn *t)
{
    struct flight *flight = t->c->flight;
    struct relay *relay = &flight->relay;
    struct talk *talk = flight->x.talk;
    relay->first->at = talk->response.at;
    relay->front = relay->back = relay->first;
    relay->memory = relay->first->size;
    talk->link->state = UPLINK_TUNNEL;
}

static void upstream_judge_head(struct turn *t)
{
    struct flight *flight = t->c->flight;
    struct talk *talk = flight->x.talk;
    struct buffer *first = flight->relay.first;
    struct uplink *u = talk->link;
    enum talk_next next = talk_answered(talk, first->bytes);
    if (next != TALK_GO_ON) { /* by now the exchange may have another talk */
        talk->link = NULL;
        uplink_close(u);
    }
    if (next == TALK_GO_ON && flight->x.answer.upgraded)
        upstream_begin_tunnel(t);
    else if (next == TALK_GO_ON)
        upstream_begin_body(t);
    upstream_go_on(t, next);
}

/* An interim answer is not passed on; what follows it moves to the front. */
static void upstream_skip_interim(struct talk *talk, struct buffer *first)
{
    first->len -= talk->response.at;
    memmove(first->bytes, first->bytes + talk->response.at, first->len);
    talk_expect(talk, first->bytes);
}

static void upstream_parse_head(struct turn *t)
{
    struct flight *flight = t->c->flight;
    struct talk *talk = flight->x.talk;
    struct buffer *first = flight->relay.first;
    for (;;) {
        struct http1_response *response = &talk->response;
        enum http1_result result = http1_response_feed(response, first->bytes, first->len);
        if (result == HTTP1_BAD) {
            upstream_fail(t, RETRY_INVALID_HEADER, "%s",
                          head_problem((enum http1_reason)response->bad));
            return;
        }
        size_t head = result == HTTP1_DONE ? response->at : first->len;
        if (head > talk->conf->buffer_size ||
            (result == HTTP1_MORE && head == talk->conf->buffer_size)) {
            upstream_fail(t, RETRY_INVALID_HEADER, "upstream sent too big header");
            return;
        }
        if (result == HTTP1_MORE)
            return;
        if (response->status >= 200 || response->status == 101) {
            upstream_judge_head(t);
            return;
        }
        upstream_skip_interim(talk, first);
    }
}

static bool upstream_make_room(struct turn *t, struct talk *talk)
{
    struct flight *flight = t->c->flight;
    if (flight->relay.first != NULL)
        return true;
    size_t size = talk->conf->buffer_size;
    flight->relay.first =
        buffer_take(t->c->worker, size > BUFFER_BYTES ? size : (size_t)BUFFER_BYTES);
    if (flight->relay.first == NULL)
        return false;
    talk_expect(talk, flight->relay.first->bytes);
    return true;
}

static void upstream_receive_head(struct turn *t)
{
    struct flight *flight = t->c->flight;
    struct talk *talk = flight->x.talk;
    struct uplink *u = talk->link;
    if (!upstream_make_room(t, talk)) {
        upstream_fail(t, RETRY_ERROR, "no memory for an answer");
        return;
    }
    struct buffer *first = flight->relay.first;
    ssize_t got = uplink_recv(u, first->bytes + first->len, first->size - first->len);
    if (got == -EAGAIN)
        return;
    if (got < 0) {
        upstream_fail(t, RETRY_ERROR, "recv() failed (%d: %s)", (int)-got, strerror((int)-got));
    } else if (got == 0) {
        upstream_fail(t, RETRY_ERROR, "upstream prematurely closed connection");
    } else {
        first->len += (uint32_t)got;
        talk_received(talk, (size_t)got, 0);
        uplink_wait(u, talk->conf->read_timeout_ns);
        upstream_parse_head(t);
        if (t->c->flight->x.talk == talk && talk->link == u && uplink_pending(u))
            ev_feed_event(u->worker->loop, &u->io, EV_READ);
    }
}

/* ---- tunnels --------------------------------------------------------------------------------- */

static void upstream_receive_tunnel(struct turn *t)
{
    struct flight *flight = t->c->flight;
    struct talk *talk = flight->x.talk;
    struct uplink *u = talk->link;
    const struct relay_limits limits = limits_of(talk, true);
    struct relay_room room = relay_room(t->c->worker, &flight->relay, &limits);
    if (room.len == 0) {
        flight->relay.full = true;
        uplink_watch(u, u->events & ~EV_READ);
        return;
    }
    ssize_t got = uplink_recv(u, room.at, room.len);
    if (got == -EAGAIN)
        return;
    uplink_wait(u, talk->conf->read_timeout_ns);
    if (got > 0) {
        relay_fill(&flight->relay, (size_t)got);
        talk_received(talk, (size_t)got, (size_t)got);
        if (uplink_pending(u))
            ev_feed_event(u->worker->loop, &u->io, EV_READ);
    } else {
        flight->relay.ended = true; /* what it has said is still sent */
        talk_over(talk);
        upstream_close_link(t, false);
    }
    upstream_pass_on(t);
}

void upstream_tunnel_send(struct turn *t)
{
    struct connection *c = t->c;
    struct talk *talk = c->flight->x.talk;
    struct uplink *u = talk->link;
    struct buffer *in = c->in;
    if (u == NULL) {
        in->at = in->len; /* the server has gone */
        return;
    }
    while (in->at < in->len) {
        struct iovec iov = {in->bytes + in->at, in->len - in->at};
        ssize_t sent = uplink_writev(u, &iov, 1);
        if (sent == -EAGAIN)
            break;
        if (sent < 0) {
            c->flight->relay.ended = true;
            talk_over(talk);
            upstream_close_link(t, false);
            in->at = in->len;
            c->input_held = false;
            upstream_pass_on(t);
            return;
        }
        in->at += (uint32_t)sent;
        talk->try->sent += (uint64_t)sent;
        uplink_wait(u, talk->conf->read_timeout_ns);
    }
    c->input_held = in->at < in->len;
    uplink_watch(u, EV_READ | (c->input_held ? EV_WRITE : 0));
    if (!c->input_held && c->input_ended)
        sys_shutdown_write(u->fd);
}

/* ---- what came ------------------------------------------------------------------------------- */

void upstream_receive(struct turn *t)
{
    switch ((enum uplink_state)t->c->flight->x.talk->link->state) {
    case UPLINK_ASKING:
        upstream_receive_head(t);
        break;
    case UPLINK_ANSWERING:
        upstream_receive_body(t);
        break;
    case UPLINK_TUNNEL:
        upstream_receive_tunnel(t);
        break;
    case UPLINK_CONNECTING:
    case UPLINK_HANDSHAKE:
    case UPLINK_IDLE:
        break;
    }
}
