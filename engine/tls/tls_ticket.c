/* Session tickets: what they are encrypted with.
 *
 * Without ssl_session_ticket_key the keys come from a secret that a master makes at its start. All
 * processes forked from it know it, so workers of all generations take each other's tickets without
 * sharing memory or talking. Each hour, by the clock that all processes have in common, the secret
 * is replaced by a hash of itself: what was encrypted before cannot be decrypted from what a
 * process knows then, but for the keys of the last day that are kept for tickets still in use. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/memfd.h"
#include "engine/os/sys.h"
#include "engine/tls/tls_impl.h"

#define TICKET_PERIOD_NS (3600 * NS_PER_S)
enum { TICKET_KEYS_MAX = 25, SECRET_BYTES = 32, PASS_MAGIC = 0x6d777431 };

/* keys[0] is of the secret's own hour, the others of the hours before. */
static struct secret {
    uint32_t magic; /* in another program's memory: is it this struct? */
    uint32_t count;
    uint64_t hour;
    unsigned char bytes[SECRET_BYTES];
    struct tls_ticket_key keys[TICKET_KEYS_MAX];
} secret;

/* ---- the secret ------------------------------------------------------------------------------ */

static void secret_derive(const char *label, unsigned char *out, size_t len)
{
    unsigned char full[SECRET_BYTES];
    unsigned full_len = 0;
    CHECK(HMAC(EVP_sha256(), secret.bytes, SECRET_BYTES, (const unsigned char *)label,
               strlen(label), full, &full_len) != NULL &&
          len <= full_len);
    memcpy(out, full, len);
    OPENSSL_cleanse(full, sizeof full);
}

static void secret_make_key(void)
{
    struct tls_ticket_key *key = &secret.keys[0];
    secret_derive("name", key->name, sizeof key->name);
    secret_derive("aes", key->aes, sizeof key->aes);
    secret_derive("hmac", key->hmac, sizeof key->hmac);
    key->key_bytes = 32;
}

/* One hour forward. */
static void secret_step(void)
{
    memmove(&secret.keys[1], &secret.keys[0], sizeof secret.keys - sizeof secret.keys[0]);
    secret.count += secret.count < TICKET_KEYS_MAX;
    secret_derive("next", secret.bytes, SECRET_BYTES);
    secret_make_key();
    secret.hour++;
}

void tls_secret_make(uint64_t now_ns)
{
    secret = (struct secret){.magic = PASS_MAGIC, .count = 1, .hour = now_ns / TICKET_PERIOD_NS};
    CHECK(RAND_bytes(secret.bytes, SECRET_BYTES) == 1);
    secret_make_key();
}

void tls_secret_move(uint64_t now_ns)
{
    while (secret.count > 0 && secret.hour < now_ns / TICKET_PERIOD_NS)
        secret_step();
}

int tls_secret_pass(void)
{
    int fd = -1, err = 0;
    void *at = memfd_map("mw-tickets", sizeof secret, &fd, &err);
    if (at == NULL)
        return err;
    memcpy(at, &secret, sizeof secret);
    memfd_unmap(at, sizeof secret);
    return fd;
}

bool tls_secret_take(int fd, uint64_t now_ns)
{
    struct secret found;
    ssize_t got = sys_pread(fd, &found, sizeof found, 0);
    sys_close(fd);
    uint64_t hour = now_ns / TICKET_PERIOD_NS;
    bool good = got == (ssize_t)sizeof found && found.magic == PASS_MAGIC && found.count > 0 &&
                found.count <= TICKET_KEYS_MAX && found.hour <= hour &&
                hour - found.hour <= TICKET_KEYS_MAX;
    if (good)
        secret = found;
    OPENSSL_cleanse(&found, sizeof found);
    tls_secret_move(now_ns);
    return good;
}

/* ---- encrypting and decrypting --------------------------------------------------------------- */

static const EVP_CIPHER *ticket_cipher(const struct tls_ticket_key *key)
{
    return key->key_bytes == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
}

static bool ticket_set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, key->key_bytes),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int ticket_encrypt(struct tls_ticket_key *key, unsigned char *name, unsigned char *iv,
                          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const EVP_CIPHER *how = ticket_cipher(key);
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(how)) != 1 ||
        EVP_EncryptInit_ex(cipher, how, NULL, key->aes, iv) != 1 || !ticket_set_mac(mac, key))
        return -1;
    memcpy(name, key->name, sizeof key->name);
    return 1;
}

/* Tickets of older keys are renewed; TLS 1.3 gives a new one each time anyway. */
static int ticket_decrypt(SSL *ssl, struct tls_ticket_key *keys, size_t count,
                          const unsigned char *name, const unsigned char *iv,
                          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(name, keys[i].name, sizeof keys[i].name) != 0)
            continue;
        if (!ticket_set_mac(mac, &keys[i]) ||
            EVP_DecryptInit_ex(cipher, ticket_cipher(&keys[i]), NULL, keys[i].aes, iv) != 1)
            return -1;
        return i == 0 && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
    }
    return 0;
}

static int ticket_on_use(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int encrypts)
{
    struct tls_context *context = tls_of(ssl)->first;
    struct tls_ticket_key *keys = context->ticket_keys;
    size_t count = context->ticket_key_count;
    if (count == 0) {
        tls_secret_move(clock_now_ns());
        keys = secret.keys;
        count = secret.count;
    }
    if (count == 0)
        return encrypts ? -1 : 0;
    return encrypts ? ticket_encrypt(&keys[0], name, iv, cipher, mac)
                    : ticket_decrypt(ssl, keys, count, name, iv, cipher, mac);
}

void tls_ticket_use(struct tls_context *context)
{
    if (!context->conf->tickets)
        SSL_CTX_set_options(context->ssl, SSL_OP_NO_TICKET);
    else
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context->ssl, ticket_on_use);
}
