/* ssl_session_cache. Sessions in shared memory are kept as OpenSSL writes them (DER) in a table by
 * their id; the least recently used go when room is short. */
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

#include "engine/os/clock.h"
#include "engine/shm/table.h"
#include "engine/tls/tls_impl.h"

enum { SESSION_BYTES_MAX = 4096, SESSION_BLOCK_BYTES = 256 };

static void sessions_init(void *room, size_t size)
{
    uint64_t seed = 0;
    RAND_bytes((unsigned char *)&seed, sizeof seed);
    table_init(room, size, SESSION_BLOCK_BYTES, seed);
}
const struct zone_kind zone_kind_tls_sessions = {.name = "ssl_session_cache",
                                                 .init = sessions_init};

/* OpenSSL tells of TLS 1.3 sessions also where a ticket holds all there is to know. */
static bool session_is_in_ticket(SSL *ssl)
{
    return SSL_version(ssl) == TLS1_3_VERSION && (SSL_get_options(ssl) & SSL_OP_NO_TICKET) == 0;
}

/* 0: the session stays OpenSSL's. */
static int session_on_new(SSL *ssl, SSL_SESSION *session)
{
    unsigned char bytes[SESSION_BYTES_MAX], *at = bytes;
    unsigned id_len = 0;
    struct zone *zone = tls_of(ssl)->first->zone;
    int len = i2d_SSL_SESSION(session, NULL);
    const unsigned char *id = SSL_SESSION_get_id(session, &id_len);
    if (zone == NULL || len <= 0 || len > SESSION_BYTES_MAX || id_len == 0 ||
        session_is_in_ticket(ssl))
        return 0;
    i2d_SSL_SESSION(session, &at);
    zone_lock(zone);
    struct table *table = table_of(zone_room(zone));
    struct entry *entry = table_find(table, id, id_len);
    if (entry != NULL)
        table_remove(table, entry);
    entry = table_add(table, id, id_len, (size_t)len, true);
    if (entry != NULL)
        entry_write(table, entry, bytes);
    zone_unlock(zone);
    OPENSSL_cleanse(bytes, (size_t)len);
    return 0;
}

static SSL_SESSION *session_on_get(SSL *ssl, const unsigned char *id, int id_len, int *copy)
{
    unsigned char bytes[SESSION_BYTES_MAX];
    const unsigned char *at = bytes;
    size_t len = 0;
    struct zone *zone = tls_of(ssl)->first->zone;
    *copy = 0;
    if (zone == NULL || id_len <= 0)
        return NULL;
    zone_lock(zone);
    struct table *table = table_of(zone_room(zone));
    struct entry *entry = table_find(table, id, (size_t)id_len);
    if (entry != NULL && entry_value_len(entry) <= sizeof bytes) {
        len = entry_value_len(entry);
        entry_read(table, entry, bytes);
    }
    zone_unlock(zone);
    SSL_SESSION *session = len > 0 ? d2i_SSL_SESSION(NULL, &at, (long)len) : NULL;
    OPENSSL_cleanse(bytes, len);
    return session; /* OpenSSL looks at its age */
}

static void session_on_remove(SSL_CTX *ssl, SSL_SESSION *session)
{
    unsigned id_len = 0;
    const struct tls_context *context = tls_context_of(ssl);
    const unsigned char *id = SSL_SESSION_get_id(session, &id_len);
    if (context == NULL || context->zone == NULL || id_len == 0)
        return;
    zone_lock(context->zone);
    struct table *table = table_of(zone_room(context->zone));
    struct entry *entry = table_find(table, id, id_len);
    if (entry != NULL)
        table_remove(table, entry);
    zone_unlock(context->zone);
}

void tls_session_use(struct tls_context *context)
{
    const struct conf_tls *conf = context->conf;
    SSL_CTX *ssl = context->ssl;
    uint64_t timeout_s = conf->session_timeout_ns / NS_PER_S;
    SSL_CTX_set_timeout(ssl, timeout_s > 0 ? (long)timeout_s : 1);
    if (conf->cache == CONF_TLS_CACHE_OFF) {
        SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
        return;
    }
    long mode = SSL_SESS_CACHE_SERVER;
    if (conf->builtin_sessions == 0)
        mode |= SSL_SESS_CACHE_NO_INTERNAL;
    else
        SSL_CTX_sess_set_cache_size(ssl, (long)conf->builtin_sessions);
    SSL_CTX_set_session_cache_mode(ssl, mode);
    if (!conf->shared)
        return;
    SSL_CTX_sess_set_new_cb(ssl, session_on_new);
    SSL_CTX_sess_set_get_cb(ssl, session_on_get);
    SSL_CTX_sess_set_remove_cb(ssl, session_on_remove);
}
