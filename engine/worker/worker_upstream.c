/* Asks servers on behalf of a client's request: picks, connects, sends, and tells the talk what
 * went wrong. */
#include "engine/worker/worker_upstream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/os/log.h"
#include "engine/os/sys.h"

/* ---- the client's side ----------------------------------------------------------------------- */

/* May the client's connection be told of an answer? (It was not yet.) */
static bool awaits_answer(const struct connection *c)
{
    return c->conn.state == CONN_EXECUTING || c->conn.state == CONN_BODY;
}

static struct uplink *link_of(const struct turn *t)
{
    return t->c->flight->x.talk->link;
}

/* Whose request waits for a server, or for its turn, is asked for with every request; who reads an
 * answer of our own is found out by sending. */
bool upstream_client_has_left(const struct connection *c)
{
    const struct flight *flight = c->flight;
    if (flight->over)
        return false;
    const struct exchange *x = &flight->x;
    const struct talk *talk = x->talk;
    bool waits = c->conn.state == CONN_EXECUTING && x->handler == NULL;
    bool asks =
        talk != NULL && !talk->conf->ignore_client_abort &&
        (c->conn.state == CONN_EXECUTING || (c->conn.state == CONN_WRITING && talk->link != NULL));
    if ((!waits && !asks) || !sys_peer_has_ended(c->client.fd))
        return false;
    exchange_log(x, LEVEL_INFO, "client prematurely closed connection%s",
                 asks ? ", so upstream connection is closed too" : "");
    return true;
}

void upstream_drop(struct flight *flight)
{
    struct talk *talk = flight->x.talk;
    if (talk == NULL || talk->link == NULL)
        return;
    uplink_close(talk->link);
    talk->link = NULL;
}

void upstream_go_on(struct turn *t, enum talk_next next)
{
    struct connection *c = t->c;
    if (next != TALK_GO_ON) {
        relay_free(c->worker, &c->flight->relay);
        conn_use(&c->conn, &c->worker->limits[c->flight->x.location->number]);
    }
    upstream_attend(t);
    if (awaits_answer(c) && exchange_answered(&c->flight->x))
        io_push_response(t);
    else if (!exchange_answered(&c->flight->x))
        io_want_body(t);
}

void upstream_fail(struct turn *t, enum retry_cause cause, const char *format, ...)
{
    struct talk *talk = t->c->flight->x.talk;
    bool reused = talk->link->reused && talk->try->received == 0;
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    upstream_drop(t->c->flight);
    upstream_go_on(t, talk_failed(talk, cause, reused, "%s", message));
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void upstream_connected(struct turn *t, struct uplink *u);

/* Goes on with the handshake. */
static void upstream_shake(struct turn *t, struct uplink *u)
{
    int result = tls_handshake(u->tls);
    if (result == 0)
        upstream_connected(t, u);
    else if (result == -EAGAIN)
        uplink_watch(u, tls_wants_write(u->tls) ? EV_WRITE : EV_READ);
    else
        upstream_fail(t, RETRY_ERROR, "SSL_do_handshake() failed (%s)",
                      result == -EPROTO ? tls_reason(u->tls) : strerror(-result));
}

/* The socket stands: TLS where it is wanted, then the request. */
static void upstream_begin(struct turn *t, struct uplink *u)
{
    struct talk *talk = uplink_talk(u);
    if (!talk->tls || u->tls != NULL) {
        upstream_connected(t, u);
        return;
    }
    int err = uplink_secure(u, talk);
    if (err != 0) {
        upstream_fail(t, RETRY_ERROR, "TLS cannot be begun (%d: %s)", -err, strerror(-err));
        return;
    }
    u->state = UPLINK_HANDSHAKE;
    talk->shaking = true;
    uplink_wait(u, talk->conf->connect_timeout_ns);
    upstream_shake(t, u);
}

static void upstream_connected(struct turn *t, struct uplink *u)
{
    const struct conf_proxy *conf = uplink_talk(u)->conf;
    uplink_talk(u)->shaking = false;
    talk_connected(uplink_talk(u));
    u->state = UPLINK_ASKING;
    u->requests++;
    uplink_watch(u, EV_READ);
    uplink_wait(u, conf->send_timeout_ns);
    upstream_send(t);
}

/* Takes a connection to the server that was picked; NULL: there is none, *err says why. */
static struct uplink *upstream_take_link(struct turn *t, struct talk *talk, int *err)
{
    struct worker *w = t->c->worker;
    struct uplink *u =
        uplink_reuse(w, talk->peers, talk->server_index, talk->tls ? talk->conf : NULL);
    if (u == NULL)
        u = uplink_open(w, talk->peers, talk->server_index, talk->conf->socket_keepalive, err);
    else
        u->state = UPLINK_ASKING;
    if (u == NULL)
        return NULL;
    u->c = t->c;
    u->head_sent = 0;
    u->body_sent = 0;
    u->sent_all = u->send_failed = false;
    talk->link = u;
    return u;
}

/* Is it this machine that has no room for another connection? */
static bool is_shortage(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS;
}

/* One try. Afterwards the talk waits for a socket, or is ready for another try, or has failed. */
static void upstream_ask(struct turn *t)
{
    struct talk *talk = t->c->flight->x.talk;
    int err = 0;
    if (!talk_pick(talk))
        return;
    struct uplink *u = upstream_take_link(t, talk, &err);
    if (u == NULL && is_shortage(err)) {
        talk_lacks(talk, "no connection can be made (%d: %s)", -err, strerror(-err));
        return;
    }
    if (u == NULL) {
        talk_failed(talk, RETRY_ERROR, false, "connect() failed (%d: %s)", -err, strerror(-err));
        return;
    }
    if (u->state == UPLINK_ASKING && (u->reused || !talk->tls)) {
        upstream_connected(t, u);
        return;
    }
    u->state = UPLINK_CONNECTING; /* a handshake begins in a turn of its own */
    uplink_watch(u, EV_WRITE);
    uplink_wait(u, talk->conf->connect_timeout_ns);
}

void upstream_attend(struct turn *t)
{
    struct flight *flight = t->c->flight;
    struct exchange *x = &flight->x;
    while (x->talk != NULL && x->talk->state == TALK_READY && !exchange_answered(x))
        upstream_ask(t);
    if (x->talk != NULL && x->talk->link != NULL && x->talk->streams)
        upstream_send(t);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* What is in memory of head and body. Bytes sent, 0 where there is nothing, or -errno. */
static ssize_t send_memory(struct uplink *u, struct talk *talk)
{
    size_t skip = talk->streams ? 0 : (size_t)u->body_sent;
    struct iovec iov[2];
    int count = 0;
    if (u->head_sent < talk->head.len)
        iov[count++] =
            (struct iovec){(void *)(talk->head.at + u->head_sent), talk->head.len - u->head_sent};
    if (talk->has_body && talk->body.fd < 0 && talk->body.len > skip)
        iov[count++] = (struct iovec){talk->body.memory + skip, talk->body.len - skip};
    if (count == 0)
        return 0;
    ssize_t sent = uplink_writev(u, iov, count);
    if (sent <= 0)
        return sent;
    size_t head = talk->head.len - u->head_sent;
    head = (size_t)sent < head ? (size_t)sent : head;
    u->head_sent += head;
    u->body_sent += (uint64_t)sent - head;
    if (talk->streams && (size_t)sent > head)
        talk_taken(talk, (size_t)sent - head);
    return sent;
}

static ssize_t send_file(struct uplink *u, struct talk *talk)
{
    if (!talk->has_body || talk->body.fd < 0 || u->body_sent >= talk->body.length)
        return 0;
    ssize_t sent =
        uplink_send_file(u, talk->body.fd, u->body_sent, talk->body.length - u->body_sent);
    if (sent > 0)
        u->body_sent += (uint64_t)sent;
    return sent == 0 ? -EIO : sent;
}

/* The streamed body that had come is sent: the client may go on. */
static void upstream_want_more(struct turn *t)
{
    struct flight *flight = t->c->flight;
    if (!flight->body_held || exchange_answered(&flight->x))
        return;
    flight->body_held = false;
    turn_push(t, CONN_EV_BODY_WANTED, 0);
}

static void upstream_sent(struct turn *t, struct uplink *u)
{
    struct talk *talk = uplink_talk(u);
    uplink_watch(u, EV_READ);
    if (talk->streams && !talk->body_whole) {
        uplink_wait(u, 0); /* it is the client that everybody waits for */
        upstream_want_more(t);
        return;
    }
    u->sent_all = talk->sent_whole = true;
    uplink_wait(u, talk->conf->read_timeout_ns);
}

void upstream_send(struct turn *t)
{
    struct uplink *u = link_of(t);
    if (u->state == UPLINK_CONNECTING || u->state == UPLINK_HANDSHAKE || u->send_failed ||
        u->sent_all)
        return;
    struct talk *talk = uplink_talk(u);
    for (;;) {
        ssize_t sent = send_memory(u, talk);
        if (sent == 0)
            sent = send_file(u, talk);
        if (sent > 0) {
            talk_sent(talk, (size_t)sent);
            uplink_wait(u, talk->conf->send_timeout_ns);
            continue;
        }
        if (sent == 0) {
            upstream_sent(t, u);
        } else if (sent == -EAGAIN) {
            uplink_watch(u, EV_READ | EV_WRITE);
        } else {
            /* It has gone, or has answered and gone: reading tells which. */
            u->send_failed = true;
            talk->retry.request_sent = true;
            uplink_watch(u, EV_READ);
        }
        return;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void upstream_on_connected(struct turn *t, struct uplink *u)
{
    int err = sys_socket_error(u->fd);
    if (err != 0)
        upstream_fail(t, RETRY_ERROR, "connect() failed (%d: %s)", -err, strerror(-err));
    else
        upstream_begin(t, u);
}

void upstream_happen(struct uplink *u, int revents)
{
    struct turn turn = {.c = u->c};
    struct talk *talk = uplink_talk(u);
    if (u->state == UPLINK_CONNECTING) {
        upstream_on_connected(&turn, u);
    } else if (u->state == UPLINK_HANDSHAKE) {
        upstream_shake(&turn, u);
    } else {
        if (revents & EV_WRITE & u->events) {
            if (u->state == UPLINK_TUNNEL) {
                upstream_tunnel_send(&turn);
                turn_run(&turn); /* what can be read waits for another turn */
                return;
            }
            upstream_send(&turn);
        }
        if (revents & EV_READ && talk->link == u && u->events & EV_READ)
            upstream_receive(&turn);
    }
    turn_run(&turn);
}

void upstream_time_out(struct uplink *u)
{
    static const char message[] = "upstream timed out (110: Connection timed out)";
    struct turn turn = {.c = u->c};
    struct talk *talk = uplink_talk(u);
    if (talk->state == TALK_ASKED) {
        upstream_fail(&turn, RETRY_TIMEOUT, "%s", message);
    } else {
        talk_broke(talk, "%s", message);
        u->c->flight->relay.broken = true;
        upstream_drop(u->c->flight);
        upstream_pass_on(&turn);
    }
    turn_run(&turn);
}
