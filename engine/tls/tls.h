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

/* 0: done. -EAGAIN. -EPROTO: failed, tls_reason() says why; the connection is to be closed. */
int tls_handshake(struct tls *tls);
/* Bytes taken or given; tls_recv: 0 is the peer's end (close_notify, or its FIN). Otherwise
 * -EAGAIN, -EPROTO, or the socket's own error. */
ssize_t tls_recv(struct tls *tls, void *buf, size_t len);
ssize_t tls_send(struct tls *tls, const void *buf, size_t len);
/* Does the call that said -EAGAIN last wait for room to write, instead of for input? */
bool tls_wants_write(const struct tls *tls);
/* Decrypted bytes that tls_recv() gives without the socket being readable. */
size_t tls_pending(const struct tls *tls);
/* Says close_notify, once; never waits for the peer's. */
void tls_shutdown(struct tls *tls);
/* For one line of a log; stays in place until the next call on this connection. */
const char *tls_reason(const struct tls *tls);
void tls_free(struct tls *tls); /* NULL is allowed; the socket stays the caller's */

#endif
