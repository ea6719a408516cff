/* OpenSSL behind calls shaped like the plain ones. */
#include "scenarios/witness/prober_tls.h"

#include <errno.h>
#include <ev.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *context(void);
static ssize_t failed(SSL *ssl, int rc);

/* A session is exactly OpenSSL's; the name only keeps its header out of ours. */
static SSL *ssl_of(struct prober_tls *tls)
{
    return (SSL *)tls;
}

struct prober_tls *prober_tls_new(int fd)
{
    SSL_CTX *ctx = context();
    SSL *ssl = ctx != NULL ? SSL_new(ctx) : NULL;
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        errno = ENOMEM;
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return (struct prober_tls *)ssl;
}

void prober_tls_free(struct prober_tls *tls)
{
    SSL_free(ssl_of(tls));
}

int prober_tls_handshake(struct prober_tls *tls, int *events)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(ssl_of(tls));
    if (rc == 1)
        return 1;
    ssize_t result = failed(ssl_of(tls), rc);
    *events = SSL_want_write(ssl_of(tls)) ? EV_WRITE : EV_READ;
    if (result < 0 && errno == EAGAIN)
        return 0;
    if (result == 0)
        errno = 0;
    return -1;
}

ssize_t prober_tls_read(struct prober_tls *tls, char *data, size_t len)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_read(ssl_of(tls), data, len > INT_MAX ? INT_MAX : (int)len);
    return rc > 0 ? rc : failed(ssl_of(tls), rc);
}

ssize_t prober_tls_write(struct prober_tls *tls, const char *data, size_t len)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_write(ssl_of(tls), data, len > INT_MAX ? INT_MAX : (int)len);
    if (rc > 0)
        return rc;
    ssize_t result = failed(ssl_of(tls), rc);
    if (result == 0) {
        errno = EPIPE;
        return -1;
    }
    return result;
}

static SSL_CTX *context(void)
{
    static SSL_CTX *ctx;
    if (ctx != NULL || (ctx = SSL_CTX_new(TLS_client_method())) == NULL)
        return ctx;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    return ctx;
}

/* A peer that says goodbye by an alert has closed; one that speaks no TLS has not. */
static ssize_t failed_protocol(int error)
{
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || reason >= SSL_AD_REASON_OFFSET)
        return 0;
    errno = error != 0 ? error : EPROTO;
    return -1;
}

/* Like recv: 0 is the end of the connection, with or without TLS's goodbye. */
static ssize_t failed(SSL *ssl, int rc)
{
    int error = errno;
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        if (error == 0)
            return 0;
        errno = error;
        return -1;
    default:
        return failed_protocol(error);
    }
}
