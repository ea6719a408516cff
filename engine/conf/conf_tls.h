/* What one side of TLS is configured with: a server's ssl_* directives, or what a proxy says about
 * its upstream (it fills in the same struct). Texts keep their place, because only OpenSSL knows
 * whether they are right: engine/tls/tls_context.h reports what it refuses as conf errors. */
#ifndef ENGINE_CONF_CONF_TLS_H
#define ENGINE_CONF_CONF_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/conf/conf_str.h"

/* A word of the configuration and where it stands. text.len 0: not set. */
struct conf_tls_text {
    struct conf_str text;
    const char *file;
    unsigned line, column;
};

struct conf_tls_pair {
    struct conf_tls_text certificate, key; /* absolute paths */
};

enum conf_tls_protocol {
    CONF_TLS_1_0 = 1 << 0,
    CONF_TLS_1_1 = 1 << 1,
    CONF_TLS_1_2 = 1 << 2,
    CONF_TLS_1_3 = 1 << 3,
};
enum conf_tls_verify {
    CONF_TLS_VERIFY_OFF,
    CONF_TLS_VERIFY_ON,
    CONF_TLS_VERIFY_OPTIONAL,
    CONF_TLS_VERIFY_OPTIONAL_NO_CA,
};
enum conf_tls_cache {
    CONF_TLS_CACHE_NONE,   /* clients are let believe that sessions may be resumed */
    CONF_TLS_CACHE_OFF,    /* they are told that they may not */
    CONF_TLS_CACHE_SERVER, /* builtin, shared or both */
};

struct conf_tls {
    const struct conf_tls_pair *pairs;
    size_t pair_count;
    struct conf_tls_text password_file; /* of the keys */
    unsigned protocols;                 /* enum conf_tls_protocol */
    struct conf_tls_text ciphers, curves, dhparam;
    bool prefer_server_ciphers, reject_handshake;
    enum conf_tls_verify verify;
    unsigned verify_depth;
    struct conf_tls_text client_certificate, trusted_certificate, crl;
    size_t buffer_size; /* bytes in a record at most */
    /* sessions */
    enum conf_tls_cache cache;
    size_t builtin_sessions; /* of each worker; 0 none */
    bool shared;
    size_t zone; /* in conf.zones, where shared */
    uint64_t session_timeout_ns;
    bool tickets;
    const struct conf_tls_text *ticket_keys; /* files: the first encrypts, all decrypt */
    size_t ticket_key_count;
};

#endif
