/* What the configuration names: certificates, keys, authorities, lists of revoked certificates,
 * keys of tickets. OpenSSL reads its own formats. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/os/sys.h"
#include "engine/tls/tls_impl.h"

enum { PASSWORDS_BYTES_MAX = 65536 };

static bool refuse_file(struct conf_error *error, const struct conf_tls_text *file,
                        const char *what)
{
    return tls_refuse(error, file, "cannot load %s \"%s\" (SSL: %s)", what, file->text.at,
                      tls_error_text());
}

/* At most `size` bytes of a file; a negative errno. */
static ssize_t file_read(const char *path, char *out, size_t size)
{
    int fd = sys_open(path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < size) {
        got = sys_read(fd, out + len, size - len);
        len += got > 0 ? (size_t)got : 0;
    }
    sys_close(fd);
    return got < 0 ? got : (ssize_t)len;
}

/* ---- certificates and keys ------------------------------------------------------------------- */

/* The passphrases of a file, and the one to try now; `text` NULL: the file is not there. */
struct passwords {
    char *text;
    const char *at;
    bool asked;
};

static int password_give(char *out, int size, int writing, void *data)
{
    struct passwords *passwords = data;
    size_t len = passwords->at != NULL ? strcspn(passwords->at, "\r\n") : 0;
    (void)writing;
    passwords->asked = true;
    if (passwords->at == NULL || size <= 0 || len > (size_t)size)
        return -1;
    memcpy(out, passwords->at, len);
    return (int)len;
}

static bool passwords_open(struct passwords *passwords, const struct conf_tls_text *file,
                           struct conf_error *error)
{
    *passwords = (struct passwords){0};
    if (file->text.len == 0)
        return true;
    passwords->text = sys_calloc(1, PASSWORDS_BYTES_MAX + 1);
    ssize_t len = passwords->text != NULL
                      ? file_read(file->text.at, passwords->text, PASSWORDS_BYTES_MAX)
                      : -ENOMEM;
    if (len >= 0)
        return true;
    free(passwords->text);
    return tls_refuse(error, file, "cannot load passphrases \"%s\" (%d: %s)", file->text.at,
                      (int)-len, strerror((int)-len));
}

static void passwords_close(struct passwords *passwords)
{
    if (passwords->text == NULL)
        return;
    OPENSSL_cleanse(passwords->text, PASSWORDS_BYTES_MAX);
    free(passwords->text);
}

/* Tries the passphrases one after the other, where the key has one. */
static bool key_load(SSL_CTX *ssl, const char *path, struct passwords *passwords)
{
    passwords->at = passwords->text;
    for (;;) {
        passwords->asked = false;
        ERR_clear_error();
        if (SSL_CTX_use_PrivateKey_file(ssl, path, SSL_FILETYPE_PEM) == 1)
            return true;
        if (!passwords->asked || passwords->at == NULL)
            return false;
        passwords->at += strcspn(passwords->at, "\n");
        passwords->at += *passwords->at == '\n';
        if (*passwords->at == '\0')
            return false;
    }
}

static bool pair_load(SSL_CTX *ssl, const struct conf_tls_pair *pair, struct passwords *passwords,
                      struct conf_error *error)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ssl, pair->certificate.text.at) != 1)
        return refuse_file(error, &pair->certificate, "certificate");
    return key_load(ssl, pair->key.text.at, passwords) ||
           refuse_file(error, &pair->key, "certificate key");
}

bool tls_load_pairs(SSL_CTX *ssl, const struct conf_tls *conf, struct conf_error *error)
{
    struct passwords passwords;
    bool good = true;
    if (!passwords_open(&passwords, &conf->password_file, error))
        return false;
    SSL_CTX_set_default_passwd_cb(ssl, password_give);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, &passwords);
    for (size_t i = 0; i < conf->pair_count && good; i++)
        good = pair_load(ssl, &conf->pairs[i], &passwords, error);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);
    passwords_close(&passwords);
    return good;
}

/* ---- authorities ----------------------------------------------------------------------------- */

static bool authorities_load(SSL_CTX *ssl, const struct conf_tls_text *file,
                             struct conf_error *error)
{
    ERR_clear_error();
    return file->text.len == 0 || SSL_CTX_load_verify_file(ssl, file->text.at) == 1 ||
           refuse_file(error, file, "authorities");
}

static bool revoked_load(SSL_CTX *ssl, const struct conf_tls_text *file, struct conf_error *error)
{
    if (file->text.len == 0)
        return true;
    ERR_clear_error();
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    if (lookup == NULL || X509_load_crl_file(lookup, file->text.at, X509_FILETYPE_PEM) < 1)
        return refuse_file(error, file, "revoked certificates");
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return true;
}

bool tls_load_authorities(SSL_CTX *ssl, const struct conf_tls *conf, struct conf_error *error)
{
    if (!authorities_load(ssl, &conf->client_certificate, error) ||
        !authorities_load(ssl, &conf->trusted_certificate, error) ||
        !revoked_load(ssl, &conf->crl, error))
        return false;
    if (conf->client_certificate.text.len == 0)
        return true;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(conf->client_certificate.text.at);
    if (names == NULL)
        return refuse_file(error, &conf->client_certificate, "authorities");
    SSL_CTX_set_client_CA_list(ssl, names);
    return true;
}

bool tls_load_dhparam(SSL_CTX *ssl, const struct conf_tls *conf, struct conf_error *error)
{
    if (conf->dhparam.text.len == 0)
        return true;
    ERR_clear_error();
    BIO *file = BIO_new_file(conf->dhparam.text.at, "r");
    EVP_PKEY *key = file != NULL ? PEM_read_bio_Parameters(file, NULL) : NULL;
    BIO_free(file);
    bool used = key != NULL && SSL_CTX_set0_tmp_dh_pkey(ssl, key) == 1; /* it is theirs then */
    if (!used)
        EVP_PKEY_free(key);
    return used || refuse_file(error, &conf->dhparam, "DH parameters");
}

/* ---- keys of tickets ------------------------------------------------------------------------- */

/* nginx's layout: name, then (48 bytes) AES key and HMAC key, or (80 bytes) HMAC key and AES key.
 */
static bool ticket_key_read(struct tls_ticket_key *key, const struct conf_tls_text *file,
                            struct conf_error *error)
{
    unsigned char bytes[81];
    ssize_t len = file_read(file->text.at, (char *)bytes, sizeof bytes);
    if (len < 0)
        return tls_refuse(error, file, "cannot load ticket key \"%s\" (%d: %s)", file->text.at,
                          (int)-len, strerror((int)-len));
    if (len != 48 && len != 80)
        return tls_refuse(error, file, "ticket key \"%s\" must be 48 or 80 bytes", file->text.at);
    key->key_bytes = len == 48 ? 16 : 32;
    const unsigned char *first = bytes + 16, *second = first + key->key_bytes;
    memcpy(key->name, bytes, 16);
    memcpy(key->aes, len == 48 ? first : second, key->key_bytes);
    memcpy(key->hmac, len == 48 ? second : first, key->key_bytes);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return true;
}

bool tls_load_ticket_keys(struct tls_context *context, struct conf_error *error)
{
    const struct conf_tls *conf = context->conf;
    if (conf->ticket_key_count == 0)
        return true;
    context->ticket_keys = sys_calloc(conf->ticket_key_count, sizeof *context->ticket_keys);
    if (context->ticket_keys == NULL)
        return tls_refuse(error, &conf->ticket_keys[0], "no memory for ticket keys");
    context->ticket_key_count = conf->ticket_key_count;
    for (size_t i = 0; i < conf->ticket_key_count; i++)
        if (!ticket_key_read(&context->ticket_keys[i], &conf->ticket_keys[i], error))
            return false;
    return true;
}
