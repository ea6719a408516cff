/* One TLS connection over a non-blocking socket, server or client side, with OpenSSL. Bytes go
 * through engine/os/sys.h, so that net.recv and net.send faults fire below it. Nothing here waits:
 * -EAGAIN says that the call must be made again when the socket is ready, tls_wants_write() for
 * what. Contexts (certificates, sessions) are made from the configuration: tls_context.h. */
#ifndef ENGINE_TLS_TLS_H
#define ENGINE_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls;
struct tls_context;

/* A server's side of a connection. `owner` is what tls_owner() gives back, in callbacks as well.
 * NULL: no memory. */
struct tls *tls_accept(struct tls_context *context, int fd, void *owner);
/* A client's side. `name` (NULL: none) is sent where `sni` says so, unless it is an address, and it
 * is the name that the peer's certificate must be for if the context verifies. `sessions` (NULL:
 * none) is a place of the caller's, zeroed at first, where the connection finds a session to resume
 * and leaves new ones; it must outlive the connection. NULL: no memory, or a name that cannot be.
 */
struct tls_sessions {
    void *latest;
};
struct tls *tls_connect(struct tls_context *context, int fd, const char *name, bool sni,
                        struct tls_sessions *sessions);
void tls_sessions_forget(struct tls_sessions *sessions);
void tls_free(struct tls *tls); /* NULL is allowed; the socket stays the caller's */

/* Bytes that the caller has received already and TLS is to read first; they must stay in place
 * until the next tls_handshake() has returned, which takes all of them: at most 16384. */
void tls_feed(struct tls *tls, const char *bytes, size_t len);
/* 0: done. -EAGAIN. -EPROTO: failed, tls_reason() says why; the connection is to be closed.
 * -ECONNRESET: the peer has gone. Otherwise the socket's own error. */
int tls_handshake(struct tls *tls);
bool tls_established(const struct tls *tls); /* the handshake is over */

/* Bytes taken or given; tls_recv: 0 is the peer's end (close_notify, or its FIN). Otherwise
 * -EAGAIN, -EPROTO, or the socket's own error. After -EAGAIN the next tls_send must begin with the
 * same bytes. */
ssize_t tls_recv(struct tls *tls, void *buf, size_t len);
ssize_t tls_send(struct tls *tls, const void *buf, size_t len);
/* As tls_send; something follows at once, the bytes may wait for it in the kernel. */
ssize_t tls_send_more(struct tls *tls, const void *buf, size_t len);
/* Does the call that said -EAGAIN last wait for room to write, instead of for input? */
bool tls_wants_write(const struct tls *tls);
/* May tls_recv() give bytes without the socket being readable? Then it must be called again
 * before the socket is waited for. */
bool tls_pending(const struct tls *tls);
/* Says close_notify, once; never waits for the peer's. 0, also where it cannot be said any more; or
 * -EAGAIN: there is no room for it now. */
int tls_shutdown(struct tls *tls);
/* For one line of a log; stays in place until the next failure on any connection. */
const char *tls_reason(const struct tls *tls);
void *tls_owner(const struct tls *tls);

#endif
