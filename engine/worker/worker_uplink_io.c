/* How the bytes of a connection to a server move: plainly, or through TLS. */
#include <errno.h>

#include "engine/http/variables.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_upstream.h"

enum { RECORD_BYTES_MAX = 16384 };

int uplink_secure(struct uplink *u, const struct talk *talk)
{
    struct worker *w = u->worker;
    const struct conf_proxy *conf = talk->conf;
    struct conf_str name = variable_expand(talk->x, &conf->ssl_name);
    char text[256];
    /* Of HOST:PORT the host is meant. */
    const char *colon = name.at != NULL ? memchr(name.at, ':', name.len) : NULL;
    if (colon != NULL && memchr(colon + 1, ':', (size_t)(name.at + name.len - colon - 1)) == NULL)
        name.len = (size_t)(colon - name.at);
    if (name.at == NULL || name.len >= sizeof text)
        return -EINVAL;
    memcpy(text, name.at, name.len);
    text[name.len] = '\0';
    struct tls_sessions *sessions = w->uplink_sessions[conf->tls_index];
    u->tls = tls_connect(tls_contexts_client(w->args->tls, conf->tls_index), u->fd, text,
                         conf->ssl_server_name, sessions != NULL ? &sessions[u->server] : NULL);
    u->tls_of = conf;
    return u->tls != NULL ? 0 : -ENOMEM;
}

bool uplink_pending(const struct uplink *u)
{
    return u->tls != NULL && tls_established(u->tls) && tls_pending(u->tls);
}

ssize_t uplink_recv(struct uplink *u, void *buf, size_t len)
{
    return u->tls != NULL ? tls_recv(u->tls, buf, len) : sys_recv(u->fd, buf, len);
}

/* One record's worth, put together. Called again after -EAGAIN it gives the same bytes. */
static ssize_t send_record(struct uplink *u, const struct iovec *iov, int count)
{
    char *room = u->worker->scratch;
    size_t len = 0;
    for (int i = 0; i < count && len < RECORD_BYTES_MAX; i++) {
        size_t part = RECORD_BYTES_MAX - len;
        part = iov[i].iov_len < part ? iov[i].iov_len : part;
        memcpy(room + len, iov[i].iov_base, part);
        len += part;
    }
    return tls_send(u->tls, room, len);
}

ssize_t uplink_writev(struct uplink *u, const struct iovec *iov, int count)
{
    ssize_t sent;
    if (u->tls != NULL)
        sent = send_record(u, iov, count);
    else if (count == 1)
        sent = sys_send(u->fd, iov[0].iov_base, iov[0].iov_len);
    else
        sent = sys_writev_socket(u->fd, iov, count);
    return sent == 0 ? -EAGAIN : sent;
}

ssize_t uplink_send_file(struct uplink *u, int file, uint64_t from, uint64_t len)
{
    off_t at = (off_t)from;
    if (u->tls == NULL)
        return sys_sendfile(u->fd, file, &at,
                            len < SEND_TURN_BYTES ? (size_t)len : (size_t)SEND_TURN_BYTES);
    size_t most = len < RECORD_BYTES_MAX ? (size_t)len : (size_t)RECORD_BYTES_MAX;
    ssize_t got = sys_pread(file, u->worker->scratch, most, at);
    return got <= 0 ? got : tls_send(u->tls, u->worker->scratch, (size_t)got);
}
