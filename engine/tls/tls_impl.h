/* What the files of engine/tls share. */
#ifndef ENGINE_TLS_TLS_IMPL_H
#define ENGINE_TLS_TLS_IMPL_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "engine/conf/conf.h"
#include "engine/shm/zone.h"
#include "engine/tls/tls.h"
#include "engine/tls/tls_context.h"

struct tls {
    SSL *ssl;
    void *owner;
    struct tls_context *first;     /* that it began with; SNI may change the SSL's */
    struct tls_sessions *sessions; /* client side */
    const char *fed;               /* to be read before the socket */
    size_t fed_len;
    int fd;
    int error;         /* of the socket's last call: a negative errno, 0 none */
    bool ended;        /* the socket has given its end */
    bool wants_write;  /* what the last -EAGAIN waits for */
    bool drained;      /* whatever was buffered is not a whole record */
    bool more_follows; /* what is written may wait for what comes next */
    bool in_record;    /* a part of a record was sent: nothing may come before the rest */
    bool failed;       /* nothing more can be said on it */
    bool said_goodbye;
};

/* Keys of session tickets, as in nginx's files. */
struct tls_ticket_key {
    unsigned char name[16], aes[32], hmac[32];
    size_t key_bytes; /* 16 or 32: AES-128 or AES-256, and as many of the HMAC key */
};

struct tls_context {
    SSL_CTX *ssl;
    const struct conf_tls *conf;
    struct tls_contexts *all; /* server side: the configuration it belongs to */
    struct zone *zone;        /* ssl_session_cache shared: */
    struct tls_ticket_key *ticket_keys;
    size_t ticket_key_count; /* 0: tls_ticket.c's own */
};

struct tls_contexts {
    const struct conf *conf;
    tls_choose *choose;
    struct tls_context *items[]; /* by conf_server.index, NULL where TLS is not spoken; behind them
                                  * those of conf.client_tls */
};

/* What OpenSSL says about its first error since ERR_clear_error(), in one line. */
const char *tls_error_text(void);

/* tls.c */
static inline struct tls *tls_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}
/* tls_context.c */
static inline struct tls_context *tls_context_of(const SSL_CTX *ssl)
{
    return SSL_CTX_get_app_data(ssl);
}
/* Records a mistake of the configuration with its place; false. */
bool tls_refuse(struct conf_error *error, const struct conf_tls_text *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* tls_files.c: what the configuration names. False: *error is filled in. */
bool tls_load_pairs(SSL_CTX *ssl, const struct conf_tls *conf, struct conf_error *error);
bool tls_load_authorities(SSL_CTX *ssl, const struct conf_tls *conf, struct conf_error *error);
bool tls_load_dhparam(SSL_CTX *ssl, const struct conf_tls *conf, struct conf_error *error);
bool tls_load_ticket_keys(struct tls_context *context, struct conf_error *error);

/* tls_ticket.c, tls_session.c: let the context encrypt tickets, keep sessions. */
void tls_ticket_use(struct tls_context *context);
void tls_session_use(struct tls_context *context);

#endif
