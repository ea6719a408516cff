/* TLS for clients, non-blocking, without verification: certificates are not what is tested. */
#ifndef SCENARIOS_WITNESS_PROBER_TLS_H
#define SCENARIOS_WITNESS_PROBER_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct prober_tls;

/* NULL and errno ENOMEM if there is no memory. */
struct prober_tls *prober_tls_new(int fd);
void prober_tls_free(struct prober_tls *tls);
/* 1 agreed; 0 wait for *events; -1 failed, with errno: 0 the peer closed, EPROTO it speaks no TLS.
 */
int prober_tls_handshake(struct prober_tls *tls, int *events);
/* As recv and send. */
ssize_t prober_tls_read(struct prober_tls *tls, char *data, size_t len);
ssize_t prober_tls_write(struct prober_tls *tls, const char *data, size_t len);

#endif
