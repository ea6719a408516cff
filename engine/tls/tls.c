/* A connection: OpenSSL above, the socket below, through a BIO of our own. */
#include "engine/tls/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/tls/tls_impl.h"

static char reason[256];

/* ---- the socket below ------------------------------------------------------------------------ */

static int bio_done(BIO *bio, struct tls *tls, ssize_t result, bool writing)
{
    tls->error = result < 0 ? (int)result : 0;
    if (result != -EAGAIN)
        return result < 0 ? -1 : (int)result;
    tls->wants_write = writing;
    if (writing)
        BIO_set_retry_write(bio);
    else
        BIO_set_retry_read(bio);
    return -1;
}

static int bio_read(BIO *bio, char *buf, int len)
{
    struct tls *tls = BIO_get_data(bio);
    size_t room = len < 0 ? 0 : (size_t)len;
    BIO_clear_retry_flags(bio);
    if (tls->fed_len > 0) {
        size_t part = tls->fed_len < room ? tls->fed_len : room;
        memcpy(buf, tls->fed, part);
        tls->fed += part;
        tls->fed_len -= part;
        return (int)part;
    }
    ssize_t got = sys_recv(tls->fd, buf, room);
    tls->ended |= got == 0 && room > 0;
    return bio_done(bio, tls, got, false);
}

/* Nobody waits for a ticket of TLS 1.3: it travels with the first answer. */
static bool bio_writes_ticket(const struct tls *tls)
{
    return SSL_get_state(tls->ssl) == TLS_ST_SW_SESSION_TICKET &&
           SSL_version(tls->ssl) == TLS1_3_VERSION;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
    struct tls *tls = BIO_get_data(bio);
    size_t size = len < 0 ? 0 : (size_t)len;
    bool more = tls->more_follows || bio_writes_ticket(tls);
    BIO_clear_retry_flags(bio);
    ssize_t sent = more ? sys_send_more(tls->fd, buf, size) : sys_send(tls->fd, buf, size);
    return bio_done(bio, tls, sent, true);
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct tls *tls = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return tls != NULL && tls->ended;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *method;
    if (method != NULL)
        return method;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "engine/os/sys");
    if (method == NULL || BIO_meth_set_read(method, bio_read) != 1 ||
        BIO_meth_set_write(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1 ||
        BIO_meth_set_create(method, bio_create) != 1) {
        BIO_meth_free(method);
        method = NULL;
    }
    return method;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static struct tls *tls_new(struct tls_context *context, int fd)
{
    BIO_METHOD *method = bio_method();
    struct tls *tls = sys_alloc(sizeof *tls);
    if (method == NULL || tls == NULL) {
        free(tls);
        return NULL;
    }
    *tls = (struct tls){.fd = fd, .first = context, .ssl = SSL_new(context->ssl)};
    BIO *bio = tls->ssl != NULL ? BIO_new(method) : NULL;
    if (bio == NULL) {
        tls_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    return tls;
}

struct tls *tls_accept(struct tls_context *context, int fd, void *owner)
{
    struct tls *tls = tls_new(context, fd);
    if (tls == NULL)
        return NULL;
    tls->owner = owner;
    SSL_set_accept_state(tls->ssl);
    return tls;
}

/* A name and not an address: RFC 6066 3. */
static bool tls_is_host(const char *name)
{
    return strchr(name, ':') == NULL && strspn(name, "0123456789.") != strlen(name);
}

static bool tls_name_peer(SSL *ssl, const char *name, bool sni)
{
    bool host = tls_is_host(name);
    if (host && sni && SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE)
        return true;
    if (!host)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1;
}

struct tls *tls_connect(struct tls_context *context, int fd, const char *name, bool sni,
                        struct tls_sessions *sessions)
{
    struct tls *tls = tls_new(context, fd);
    if (tls == NULL)
        return NULL;
    SSL_set_connect_state(tls->ssl);
    tls->sessions = sessions;
    if (name != NULL && !tls_name_peer(tls->ssl, name, sni)) {
        tls_free(tls);
        return NULL;
    }
    if (sessions != NULL && sessions->latest != NULL)
        SSL_set_session(tls->ssl, sessions->latest);
    return tls;
}

void tls_sessions_forget(struct tls_sessions *sessions)
{
    SSL_SESSION_free(sessions->latest);
    sessions->latest = NULL;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    /* A connection that was not shut down would take its session with it out of the cache. */
    if (tls->ssl != NULL && !tls->failed && tls_established(tls))
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    free(tls);
}

/* ---- calls ----------------------------------------------------------------------------------- */

const char *tls_error_text(void)
{
    unsigned long code = ERR_get_error();
    if (code == 0)
        snprintf(reason, sizeof reason, "no reason known");
    else
        ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return reason;
}

static void tls_prepare(struct tls *tls)
{
    ERR_clear_error();
    tls->error = 0;
    tls->wants_write = false;
}

/* What a call that did not succeed means: 0 the peer's end, or a negative errno. */
static int tls_outcome(struct tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        tls->drained = true;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        tls->failed = true;
        return tls->error != 0 ? tls->error : 0;
    default:
        tls->failed = true;
        if (tls->error != 0) /* the socket's failure is the cause, the alert that follows is not */
            return tls->error;
        tls_error_text();
        return -EPROTO;
    }
}

void tls_feed(struct tls *tls, const char *bytes, size_t len)
{
    tls->fed = bytes;
    tls->fed_len = len;
}

int tls_handshake(struct tls *tls)
{
    tls_prepare(tls);
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1) {
        tls->drained = false; /* a first request may have come with the end of the handshake */
        CHECK(tls->fed_len == 0);
        return 0;
    }
    int outcome = tls_outcome(tls, result);
    CHECK(outcome != -EAGAIN || tls->fed_len == 0);
    return outcome == 0 ? -ECONNRESET : outcome;
}

bool tls_established(const struct tls *tls)
{
    return SSL_is_init_finished(tls->ssl);
}

/* Several records may have come at once: as many as there is room for. */
ssize_t tls_recv(struct tls *tls, void *buf, size_t len)
{
    size_t taken = 0;
    tls_prepare(tls);
    while (taken < len) {
        size_t room = len - taken;
        int got = SSL_read(tls->ssl, (char *)buf + taken, room < INT_MAX ? (int)room : INT_MAX);
        if (got <= 0) {
            int outcome = tls_outcome(tls, got);
            return taken > 0 ? (ssize_t)taken : outcome;
        }
        taken += (size_t)got;
        tls->drained = !SSL_has_pending(tls->ssl);
        if (tls->drained)
            break;
    }
    return (ssize_t)taken;
}

ssize_t tls_send_more(struct tls *tls, const void *buf, size_t len)
{
    tls->more_follows = true;
    ssize_t sent = tls_send(tls, buf, len);
    tls->more_follows = false;
    return sent;
}

ssize_t tls_send(struct tls *tls, const void *buf, size_t len)
{
    tls_prepare(tls);
    int sent = SSL_write(tls->ssl, buf, len < INT_MAX ? (int)len : INT_MAX);
    tls->in_record = sent <= 0;
    if (sent > 0)
        return sent;
    int outcome = tls_outcome(tls, sent);
    return outcome == 0 ? -EPIPE : outcome;
}

bool tls_wants_write(const struct tls *tls)
{
    return tls->wants_write;
}

bool tls_pending(const struct tls *tls)
{
    return !tls->drained && SSL_has_pending(tls->ssl);
}

int tls_shutdown(struct tls *tls)
{
    if (tls->said_goodbye || tls->failed || tls->in_record || !tls_established(tls))
        return 0;
    tls_prepare(tls);
    int result = SSL_shutdown(tls->ssl);
    if (result < 0 && tls_outcome(tls, result) == -EAGAIN && tls->wants_write)
        return -EAGAIN;
    tls->said_goodbye = true;
    return 0;
}

const char *tls_reason(const struct tls *tls)
{
    (void)tls;
    return reason;
}

void *tls_owner(const struct tls *tls)
{
    return tls->owner;
}
