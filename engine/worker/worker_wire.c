/* How bytes leave and come: plainly, or as records of TLS. Answers go out in as few pieces as can
 * be, head and body together. */
#include <errno.h>

#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_impl.h"

enum { RECORD_BYTES_MAX = 16384 };

/* ---- what was sent --------------------------------------------------------------------------- */

/* Takes `sent` bytes off the front of a text; what is left of `sent`. */
static size_t wire_shift(struct conf_str *text, size_t sent)
{
    size_t part = sent < text->len ? sent : text->len;
    if (part > 0) /* a text that there is not has no address */
        *text = str_make(text->at + part, text->len - part);
    return sent - part;
}

static void wire_count(struct connection *c, size_t sent, bool body)
{
    struct exchange *x = &c->flight->x;
    x->bytes_sent += sent;
    if (body)
        x->body_sent += sent;
    WORKER_COUNT(c->worker, bytes_out, sent);
}

/* Takes it off the texts; what is left of it came from the file. */
static size_t wire_account(struct connection *c, size_t sent)
{
    struct flight *flight = c->flight;
    size_t left = wire_shift(&flight->prefix, sent);
    size_t body = wire_shift(&flight->head, left);
    size_t data = wire_shift(&flight->frame, body);
    size_t file = wire_shift(&flight->tail, wire_shift(&flight->piece, data));
    wire_count(c, sent - body, false);
    wire_count(c, body, true);
    return file;
}

/* ---- plainly --------------------------------------------------------------------------------- */

/* The texts that are left to send, those that follow each other in memory as one. */
static int wire_texts(const struct flight *flight, struct iovec iov[FLIGHT_TEXT_COUNT])
{
    const struct conf_str texts[] = FLIGHT_TEXTS(flight);
    int count = 0;
    for (int i = 0; i < FLIGHT_TEXT_COUNT; i++) {
        struct iovec *last = &iov[count - 1];
        if (texts[i].len == 0)
            continue;
        if (count > 0 && (char *)last->iov_base + last->iov_len == texts[i].at)
            last->iov_len += texts[i].len;
        else
            iov[count++] = (struct iovec){(void *)(uintptr_t)texts[i].at, texts[i].len};
    }
    return count;
}

/* Cuts off what is beyond `most` bytes; how many texts are left. */
static int wire_cut(struct iovec *iov, int count, size_t most)
{
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len >= most) {
            iov[i].iov_len = most;
            return i + 1;
        }
        most -= iov[i].iov_len;
    }
    return count;
}

/* Sends all texts in one call. Bytes sent, 0 where there is nothing, or -errno. */
static ssize_t wire_send_texts(struct connection *c, size_t most)
{
    struct iovec iov[FLIGHT_TEXT_COUNT];
    int fd = c->client.fd, count = wire_cut(iov, wire_texts(c->flight, iov), most);
    ssize_t sent;
    if (count == 0)
        return 0;
    if (count > 1)
        sent = sys_writev_socket(fd, iov, count);
    else if (c->flight->file_left > 0)
        sent = sys_send_more(fd, iov[0].iov_base, iov[0].iov_len);
    else
        sent = sys_send(fd, iov[0].iov_base, iov[0].iov_len);
    if (sent <= 0)
        return sent < 0 ? sent : -EAGAIN;
    wire_account(c, (size_t)sent);
    return sent;
}

static ssize_t wire_send_file(struct connection *c, size_t most)
{
    struct flight *flight = c->flight;
    size_t len = flight->file_left < most ? (size_t)flight->file_left : most;
    ssize_t sent = sys_sendfile(c->client.fd, flight->x.answer.file_fd, &flight->file_at, len);
    if (sent == 0)
        return -EIO; /* the file is shorter than the length we announced */
    if (sent > 0) {
        flight->file_left -= (uint64_t)sent;
        wire_count(c, (size_t)sent, true);
    }
    return sent;
}

/* ---- as records ------------------------------------------------------------------------------ */

static size_t record_size(const struct connection *c)
{
    size_t size = c->flight->x.server->tls->buffer_size;
    return size < RECORD_BYTES_MAX ? size : RECORD_BYTES_MAX;
}

/* Puts what goes into the next record together in the worker's scratch; its length or -errno. */
static ssize_t record_gather(struct connection *c, size_t size)
{
    const struct flight *flight = c->flight;
    const struct conf_str texts[] = FLIGHT_TEXTS(flight);
    char *room = c->worker->scratch;
    size_t len = 0;
    for (int i = 0; i < FLIGHT_TEXT_COUNT && len < size; i++) {
        size_t part = texts[i].len < size - len ? texts[i].len : size - len;
        if (part > 0)
            memcpy(room + len, texts[i].at, part);
        len += part;
    }
    if (flight->file_left == 0 || len == size)
        return (ssize_t)len;
    size_t part = flight->file_left < size - len ? (size_t)flight->file_left : size - len;
    ssize_t got = sys_pread(flight->x.answer.file_fd, room + len, part, flight->file_at);
    if (got < 0)
        return got;
    if ((size_t)got < part)
        return -EIO; /* the file is shorter than the length we announced */
    return (ssize_t)(len + part);
}

/* Then TLS's goodbye follows, and travels with it. */
static bool record_is_last(const struct connection *c, size_t len)
{
    const struct flight *flight = c->flight;
    return conn_closes(&c->conn) && flight->x.answer.body != BODY_PULL &&
           flight->prefix.len + flight->head.len + flight->piece.len + flight->file_left == len;
}

static ssize_t wire_send_record(struct connection *c)
{
    _Static_assert((int)RECORD_BYTES_MAX <= (int)BUFFER_BYTES, "a record fits into the scratch");
    struct flight *flight = c->flight;
    struct iovec iov[FLIGHT_TEXT_COUNT];
    size_t size = record_size(c);
    const char *at = c->worker->scratch;
    ssize_t len;
    if (flight->file_left == 0 && wire_texts(flight, iov) == 1) { /* from where it is */
        at = iov[0].iov_base;
        len = (ssize_t)(iov[0].iov_len < size ? iov[0].iov_len : size);
    } else {
        len = record_gather(c, size);
    }
    if (len < 0)
        return len;
    ssize_t sent = record_is_last(c, (size_t)len) ? tls_send_more(c->client.tls, at, (size_t)len)
                                                  : tls_send(c->client.tls, at, (size_t)len);
    if (sent <= 0)
        return sent;
    size_t file = wire_account(c, (size_t)sent);
    flight->file_left -= file;
    flight->file_at += (off_t)file;
    return sent;
}

/* ---- either ---------------------------------------------------------------------------------- */

ssize_t wire_send(struct connection *c, size_t most)
{
    const struct flight *flight = c->flight;
    if (__builtin_expect(c->client.tls != NULL, 0))
        return wire_send_record(c);
    return flight_has_texts(flight) ? wire_send_texts(c, most) : wire_send_file(c, most);
}

/* Reading never waits for room to write: there are no new handshakes, and new keys are confirmed
 * with the next bytes that are sent. */
ssize_t wire_recv(struct connection *c, char *buf, size_t len)
{
    struct tls *tls = c->client.tls;
    return __builtin_expect(tls == NULL, 1) ? sys_recv(c->client.fd, buf, len)
                                            : tls_recv(tls, buf, len);
}

bool wire_say_goodbye(struct connection *c)
{
    return c->client.tls == NULL || tls_shutdown(c->client.tls) == 0;
}

bool wire_pending(const struct connection *c)
{
    return c->client.tls != NULL && tls_pending(c->client.tls);
}
