/* Contexts: what TLS connections have in common. Those of servers are made by the master from the
 * configuration, before it forks its workers, so that a certificate that cannot be used is a
 * configuration error with a place, and files that only root may read are enough. */
#ifndef ENGINE_TLS_TLS_CONTEXT_H
#define ENGINE_TLS_TLS_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/conf/conf.h"
#include "engine/shm/zone.h"

struct tls_context;
struct tls_contexts; /* of one configuration: of its servers, and of its proxies' clients */

/* NULL: a file or word of the configuration cannot be used, and *error says which. `conf` must
 * outlive the result. */
struct tls_contexts *tls_contexts_open(const struct conf *conf, struct conf_error *error);
void tls_contexts_close(struct tls_contexts *contexts); /* NULL is allowed */
/* The context of a server; NULL: it has no certificate and refuses no handshake. */
struct tls_context *tls_contexts_of(const struct tls_contexts *contexts,
                                    const struct conf_server *server);

/* The context of conf->client_tls[index]. */
struct tls_context *tls_contexts_client(const struct tls_contexts *contexts, size_t index);

/* A client named a server (SNI; NULL: it named none): which server's context is it to be? `owner`
 * is the connection's. NULL: the one it began with. */
typedef const struct conf_server *tls_choose(void *owner, const char *name);
/* In a worker, once: where sessions are kept (parallel to conf->zones), and who chooses. */
void tls_contexts_start(struct tls_contexts *contexts, const struct zones *zones,
                        tls_choose *choose);

/* The client's side, from certificates (none or several), password_file, protocols, ciphers,
 * trusted_certificate, crl, verify (OFF or ON) and verify_depth of `conf`, which must outlive it.
 */
struct tls_context *tls_client_open(const struct conf_tls *conf, struct conf_error *error);
void tls_client_close(struct tls_context *context); /* NULL is allowed */

/* The secret that ticket keys are made from. The master makes one, or takes over that of the master
 * before it in an upgrade, before it opens the first contexts; processes forked from it have the
 * same. It moves on by the clock, each process by itself, and what it was is forgotten: call
 * tls_secret_move() now and then. */
void tls_secret_make(uint64_t now_ns);
void tls_secret_move(uint64_t now_ns);
/* A descriptor with the secret for a new program to inherit, or a negative errno. */
int tls_secret_pass(void);
bool tls_secret_take(int fd, uint64_t now_ns); /* closes it; false: there was no secret in it */

#endif
