/* What comes before the first request of a connection: a PROXY header, TLS. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "engine/http/proxy_protocol.h"
#include "engine/http/route.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_impl.h"

enum { NAME_BYTES_MAX = 255 };

static void shake_log(const struct connection *c, enum log_level level, const char *what,
                      const char *more)
{
    char peer[INET6_ADDRSTRLEN] = "unix:";
    const union http_address *address = &c->client.peer;
    if (address->plain.sa_family == AF_INET)
        inet_ntop(AF_INET, &address->in.sin_addr, peer, sizeof peer);
    else if (address->plain.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &address->in6.sin6_addr, peer, sizeof peer);
    if ((int)level <= c->client.listen->default_server->fallback->error_level)
        log_line(level, "*%llu %s%s, client: %s, server: %s", (unsigned long long)c->client.number,
                 what, more, peer, c->client.listen->text.at);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The server that a client names to TLS; the request's own server goes by its Host later. */
const struct conf_server *shake_choose(void *owner, const char *name)
{
    const struct connection *c = owner;
    char lower[NAME_BYTES_MAX];
    size_t len = name != NULL ? strlen(name) : 0;
    if (len > 0 && name[len - 1] == '.')
        len--;
    if (len == 0 || len > sizeof lower)
        return NULL;
    for (size_t i = 0; i < len; i++)
        lower[i] = str_lower(name[i]);
    return route_early(c->client.listen, str_make(lower, len));
}

/* ---- a PROXY header -------------------------------------------------------------------------- */

/* False: there is nothing to go on with yet, or ever. */
static bool shake_proxy(struct turn *t)
{
    struct connection *c = t->c;
    struct buffer *in = c->in;
    struct http_proxied said;
    size_t used;
    switch (proxy_protocol_parse(str_make(in->bytes, in->len), &said, &used)) {
    case PROXY_PROTOCOL_MORE:
        turn_push(t, CONN_EV_EMPTY, 0);
        return false;
    case PROXY_PROTOCOL_BAD:
        shake_log(c, LEVEL_ERR, "broken PROXY header", "");
        turn_push(t, CONN_EV_HEAD_BAD, 0);
        return false;
    case PROXY_PROTOCOL_DONE:
        break;
    }
    struct http_proxied *kept = sys_alloc(sizeof *kept);
    if (kept == NULL) {
        turn_push(t, CONN_EV_ERROR, 0);
        return false;
    }
    *kept = said;
    c->client.proxied = kept;
    in->at = (uint32_t)used;
    return true;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* A record of a handshake, or the hello of SSLv2 that old clients began with. */
static bool shake_is_tls(char first)
{
    return first == 0x16 || (first & 0x80) != 0;
}

static void shake_done(struct turn *t)
{
    struct connection *c = t->c;
    turn_push(t, CONN_EV_SHAKEN, 0);
    if (io_buffered(c))
        turn_push(t, CONN_EV_BYTES, 0);
    else if (wire_pending(c))
        turn_push(t, CONN_EV_READABLE, 0);
}

/* The part of the handshake that can be done now. */
static void shake_tls(struct turn *t)
{
    struct connection *c = t->c;
    struct tls *tls = c->client.tls;
    int result = tls_handshake(tls);
    if (result == 0) {
        shake_done(t);
    } else if (result == -EAGAIN) {
        turn_push(t, tls_wants_write(tls) ? CONN_EV_BLOCKED : CONN_EV_EMPTY, 0);
    } else if (result == -EPROTO) {
        shake_log(c, LEVEL_INFO, "TLS handshake failed: ", tls_reason(tls));
        turn_push(t, CONN_EV_HEAD_BAD, 0);
    } else {
        io_push_failure(t, result);
    }
}

static void shake_begin_tls(struct turn *t)
{
    struct connection *c = t->c;
    struct buffer *in = c->in;
    const struct conf_server *server = c->client.listen->default_server;
    c->client.tls = tls_accept(tls_contexts_of(c->worker->args->tls, server), c->client.fd, c);
    if (c->client.tls == NULL) {
        shake_log(c, LEVEL_CRIT, "no memory for TLS", "");
        turn_push(t, CONN_EV_ERROR, 0);
        return;
    }
    /* Several pieces of a handshake must not wait for each other's acknowledgement. */
    if (server->fallback->tcp_nodelay && c->client.peer.plain.sa_family != AF_UNIX) {
        sys_setsockopt_int(c->client.fd, IPPROTO_TCP, TCP_NODELAY, 1);
        c->nodelay = true;
    }
    tls_feed(c->client.tls, in->bytes + in->at, in->len - in->at);
    in->at = in->len; /* they stay in place until the handshake has read them */
    shake_tls(t);
}

/* ---- from the beginning ---------------------------------------------------------------------- */

/* The first bytes, into the connection's buffer. False: there are none. */
static bool shake_receive(struct turn *t)
{
    struct connection *c = t->c;
    if (c->in == NULL)
        c->in = buffer_take(c->worker, BUFFER_BYTES);
    if (c->in == NULL) {
        shake_log(c, LEVEL_CRIT, "no memory for a client's input", "");
        turn_push(t, CONN_EV_ERROR, 0);
        return false;
    }
    struct buffer *in = c->in;
    if (in->at == in->len)
        in->at = in->len = 0;
    ssize_t got = sys_recv(c->client.fd, in->bytes + in->len, in->size - in->len);
    if (got > 0) {
        in->len += (uint32_t)got;
        WORKER_COUNT(c->worker, bytes_in, got);
        return true;
    }
    if (got == 0)
        turn_push(t, CONN_EV_END, 0);
    else if (got == -EAGAIN)
        turn_push(t, CONN_EV_EMPTY, 0);
    else
        io_push_failure(t, (int)got);
    return false;
}

void io_shake(struct turn *t)
{
    struct connection *c = t->c;
    const struct conf_listen *listen = c->client.listen;
    if (c->client.tls != NULL) {
        shake_tls(t);
        return;
    }
    if (!shake_receive(t))
        return;
    if (listen->proxy_protocol && c->client.proxied == NULL && !shake_proxy(t))
        return;
    if (!listen->ssl)
        shake_done(t);
    else if (!io_buffered(c))
        turn_push(t, CONN_EV_EMPTY, 0); /* after the header, TLS is still to come */
    else if (shake_is_tls(c->in->bytes[c->in->at]))
        shake_begin_tls(t);
    else
        shake_done(t); /* its request is refused, in words it understands */
}

void shake_end(struct connection *c)
{
    tls_free(c->client.tls);
    free((void *)c->client.proxied);
    c->client.tls = NULL;
    c->client.proxied = NULL;
}
