/* Facts about a connection, in nginx's forms. */
#include "engine/tls/tls_peer.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/tls/tls_impl.h"

typedef bool fact_writer(const struct tls *tls, X509 *peer, BIO *out);

static bool write_hex(BIO *out, const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        BIO_printf(out, "%02x", bytes[i]);
    return len > 0;
}

/* ---- the connection -------------------------------------------------------------------------- */

static bool write_protocol(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)peer;
    return BIO_puts(out, SSL_get_version(tls->ssl)) > 0;
}

static bool write_cipher(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)peer;
    return BIO_puts(out, SSL_get_cipher_name(tls->ssl)) > 0;
}

static bool write_ciphers(const struct tls *tls, X509 *peer, BIO *out)
{
    unsigned char *raw;
    size_t width = SSL_get0_raw_cipherlist(tls->ssl, NULL);
    size_t len = SSL_get0_raw_cipherlist(tls->ssl, &raw);
    (void)peer;
    for (size_t i = 0; width > 0 && i + width <= len; i += width) {
        const SSL_CIPHER *cipher = SSL_CIPHER_find(tls->ssl, raw + i);
        BIO_puts(out, i > 0 ? ":" : "");
        if (cipher != NULL) {
            BIO_puts(out, SSL_CIPHER_get_name(cipher));
        } else {
            BIO_puts(out, "0x");
            write_hex(out, raw + i, width);
        }
    }
    return len > 0;
}

static bool write_server_name(const struct tls *tls, X509 *peer, BIO *out)
{
    const char *name = tls_server_name(tls);
    (void)peer;
    return name != NULL && BIO_puts(out, name) > 0;
}

static bool write_session_id(const struct tls *tls, X509 *peer, BIO *out)
{
    unsigned len = 0;
    const SSL_SESSION *session = SSL_get0_session(tls->ssl);
    (void)peer;
    if (session == NULL)
        return false;
    const unsigned char *id = SSL_SESSION_get_id(session, &len);
    return write_hex(out, id, len);
}

static bool write_session_reused(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)peer;
    return BIO_puts(out, SSL_session_reused(tls->ssl) ? "r" : ".") > 0;
}

/* ---- its client ------------------------------------------------------------------------------ */

static bool write_client_verify(const struct tls *tls, X509 *peer, BIO *out)
{
    if (peer == NULL)
        return BIO_puts(out, "NONE") > 0;
    if (tls_client(tls) == TLS_CLIENT_GOOD)
        return BIO_puts(out, "SUCCESS") > 0;
    return BIO_printf(out, "FAILED:%s", tls_client_reason(tls)) > 0;
}

/* PEM, each byte written by `put`; the last line feed is left out. */
static bool write_pem(X509 *peer, BIO *out, void (*put)(BIO *out, char byte))
{
    const char *text = NULL;
    BIO *pem = peer != NULL ? BIO_new(BIO_s_mem()) : NULL;
    bool good = pem != NULL && PEM_write_bio_X509(pem, peer) == 1;
    long len = good ? BIO_get_mem_data(pem, &text) : 0;
    for (long i = 0; i < len - 1; i++)
        put(out, text[i]);
    BIO_free(pem);
    return good;
}

static void put_raw(BIO *out, char byte)
{
    BIO_write(out, &byte, 1);
}

static void put_folded(BIO *out, char byte)
{
    BIO_write(out, &byte, 1);
    if (byte == '\n')
        BIO_puts(out, "\t");
}

static void put_escaped(BIO *out, char byte)
{
    bool plain = strchr("-._~", byte) != NULL || (byte >= '0' && byte <= '9') ||
                 (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    if (plain)
        BIO_write(out, &byte, 1);
    else
        BIO_printf(out, "%%%02X", (unsigned char)byte);
}

static bool write_client_raw_cert(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)tls;
    return write_pem(peer, out, put_raw) && BIO_puts(out, "\n") > 0;
}

static bool write_client_cert(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)tls;
    return write_pem(peer, out, put_folded);
}

static bool write_client_escaped_cert(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)tls;
    bool good = write_pem(peer, out, put_escaped);
    if (good)
        put_escaped(out, '\n');
    return good;
}

static bool write_client_s_dn(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)tls;
    return peer != NULL &&
           X509_NAME_print_ex(out, X509_get_subject_name(peer), 0, XN_FLAG_RFC2253) >= 0;
}

static bool write_client_i_dn(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)tls;
    return peer != NULL &&
           X509_NAME_print_ex(out, X509_get_issuer_name(peer), 0, XN_FLAG_RFC2253) >= 0;
}

static bool write_client_fingerprint(const struct tls *tls, X509 *peer, BIO *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    (void)tls;
    return peer != NULL && X509_digest(peer, EVP_sha1(), digest, &len) == 1 &&
           write_hex(out, digest, len);
}

static bool write_client_serial(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)tls;
    return peer != NULL && i2a_ASN1_INTEGER(out, X509_get0_serialNumber(peer)) > 0;
}

static bool write_client_v_start(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)tls;
    return peer != NULL && ASN1_TIME_print(out, X509_get0_notBefore(peer)) == 1;
}

static bool write_client_v_end(const struct tls *tls, X509 *peer, BIO *out)
{
    (void)tls;
    return peer != NULL && ASN1_TIME_print(out, X509_get0_notAfter(peer)) == 1;
}

static bool write_client_v_remain(const struct tls *tls, X509 *peer, BIO *out)
{
    int days = 0, seconds = 0;
    (void)tls;
    if (peer == NULL || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(peer)) != 1)
        return false;
    return BIO_printf(out, "%d", days > 0 ? days : 0) > 0;
}

/* ---- as text --------------------------------------------------------------------------------- */

static fact_writer *const writers[] = {
#define F(symbol, meaning) [TLS_FACT_##symbol] = write_##symbol,
    TLS_FACTS(F)
#undef F
};

char *tls_fact(const struct tls *tls, enum tls_fact fact)
{
    const char *text = NULL;
    char *copy = NULL;
    X509 *peer = SSL_get1_peer_certificate(tls->ssl);
    BIO *out = BIO_new(BIO_s_mem());
    if (out != NULL && writers[fact](tls, peer, out)) {
        long len = BIO_get_mem_data(out, &text);
        copy = len > 0 ? strndup(text, (size_t)len) : NULL;
    }
    BIO_free(out);
    X509_free(peer);
    return copy;
}

const char *tls_server_name(const struct tls *tls)
{
    return SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
}

enum tls_client tls_client(const struct tls *tls)
{
    if (SSL_get0_peer_certificate(tls->ssl) == NULL)
        return TLS_CLIENT_NONE;
    switch (SSL_get_verify_result(tls->ssl)) {
    case X509_V_OK:
        return TLS_CLIENT_GOOD;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return TLS_CLIENT_UNKNOWN;
    default:
        return TLS_CLIENT_BAD;
    }
}

const char *tls_client_reason(const struct tls *tls)
{
    return X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl));
}

void tls_forget_session(struct tls *tls)
{
    SSL_SESSION *session = SSL_get_session(tls->ssl);
    if (session != NULL)
        SSL_CTX_remove_session(tls->first->ssl, session);
}
