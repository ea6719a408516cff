/* For tests of TLS: a folder with certificates of their own making, a configuration, and two ends
 * of a connection in one process. */
#ifndef ENGINE_TLS_TLS_FIXTURE_H
#define ENGINE_TLS_TLS_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/conf/conf.h"
#include "engine/tls/tls.h"
#include "engine/tls/tls_context.h"

static char folder[64];

static inline const char *in_folder(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline void write_file(const char *name, const void *bytes, size_t len)
{
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* NAME.pem and NAME.key: a certificate for the host `name`, signed by its own key. */
static inline void make_certificate(const char *name, EVP_PKEY *key, const char *passphrase)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_NAME_new();
    char names[128];
    snprintf(names, sizeof names, "DNS:%s,IP:127.0.0.1", name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    assert_non_null(key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 4711);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_subject_name(certificate, subject);
    X509_set_issuer_name(certificate, subject);
    X509_set_pubkey(certificate, key);
    X509_add_ext(certificate, extension, -1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    char path[128];
    snprintf(path, sizeof path, "%s.pem", name);
    FILE *file = fopen(in_folder(path), "w");
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
    snprintf(path, sizeof path, "%s.key", name);
    file = fopen(in_folder(path), "w");
    const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_128_cbc() : NULL;
    assert_int_equal(PEM_write_PrivateKey(file, key, cipher, (const unsigned char *)passphrase,
                                          passphrase != NULL ? (int)strlen(passphrase) : 0, NULL,
                                          NULL),
                     1);
    fclose(file);
    X509_EXTENSION_free(extension);
    X509_NAME_free(subject);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static inline int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/mw_tls_test.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    make_certificate("a.test", EVP_EC_gen("P-256"), NULL);
    make_certificate("b.test", EVP_EC_gen("P-256"), NULL);
    make_certificate("rsa.test", EVP_RSA_gen(2048), NULL);
    make_certificate("locked.test", EVP_EC_gen("P-256"), "open sesame");
    return 0;
}

static inline int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* ---- a configuration ------------------------------------------------------------------------- */

/* `body` inside http { }, on the second line. */
static inline struct conf *load_http(const char *body)
{
    char text[4096];
    struct conf_error error;
    int len = snprintf(text, sizeof text, "events {} http {\n%s }\n", body);
    write_file("test.conf", text, (size_t)len);
    struct conf *conf = conf_load(in_folder("test.conf"), "/srv/", NULL, &error);
    if (conf == NULL)
        fail_msg("%s at %u:%u in\n%s", error.message, error.line, error.column, text);
    return conf;
}

/* A whole server with TLS: its own directives, beside the address. */
static inline const char *tls_server(const char *directives)
{
    static char text[2048];
    snprintf(text, sizeof text, "server { listen 127.0.0.1:8443 ssl; %s }", directives);
    return text;
}

/* ---- two ends -------------------------------------------------------------------------------- */

struct ends {
    int fds[2]; /* the server's, the client's */
    struct tls *server, *client;
};

static inline void ends_open(struct ends *e, struct tls_context *server, void *owner,
                             struct tls_context *client, const char *name,
                             struct tls_sessions *sessions)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, e->fds), 0);
    e->server = tls_accept(server, e->fds[0], owner);
    e->client = tls_connect(client, e->fds[1], name, true, sessions);
    assert_non_null(e->server);
    assert_non_null(e->client);
}

/* Both until both are done or one has failed: what the server and the client say. */
static inline void ends_shake(struct ends *e, int *server, int *client)
{
    *server = *client = -EAGAIN;
    for (int turns = 0; turns < 64 && (*server == -EAGAIN || *client == -EAGAIN); turns++) {
        if (*client == -EAGAIN)
            *client = tls_handshake(e->client);
        if (*client != 0 && *client != -EAGAIN)
            return;
        if (*server == -EAGAIN)
            *server = tls_handshake(e->server);
        if (*server != 0 && *server != -EAGAIN) { /* the client is told */
            *client = tls_handshake(e->client);
            return;
        }
    }
}

static inline void ends_agree(struct ends *e)
{
    int server, client;
    ends_shake(e, &server, &client);
    assert_int_equal(server, 0);
    assert_int_equal(client, 0);
}

static inline void ends_close(struct ends *e)
{
    tls_free(e->server);
    tls_free(e->client);
    close(e->fds[0]);
    close(e->fds[1]);
}

/* Says `text` from one end to the other; the tickets of TLS 1.3 come to the client with it. */
static inline void say(struct tls *from, struct tls *to, const char *text)
{
    char heard[256];
    assert_int_equal(tls_send(from, text, strlen(text)), strlen(text));
    assert_int_equal(tls_recv(to, heard, sizeof heard), strlen(text));
    assert_memory_equal(heard, text, strlen(text));
}

/* ---- a server and a client --------------------------------------------------------------------
 */

#define PAIR "ssl_certificate a.test.pem; ssl_certificate_key a.test.key; "

/* A server and a client of one configuration each. */
struct rig {
    struct conf *conf;
    struct tls_contexts *contexts;
    struct tls_context *server, *client;
    struct conf_tls client_conf;
};

static inline void rig_open(struct rig *r, const char *directives)
{
    struct conf_error error = {.message = ""};
    r->conf = load_http(tls_server(directives));
    r->contexts = tls_contexts_open(r->conf, &error);
    assert_string_equal(error.message, "");
    assert_non_null(r->contexts);
    r->server = tls_contexts_of(r->contexts, &r->conf->servers[0]);
    r->client_conf = (struct conf_tls){.protocols = 15};
    r->client = tls_client_open(&r->client_conf, &error);
    assert_non_null(r->client);
}

/* The client trusts this one certificate, and whoever has it. */
static inline void rig_trust(struct rig *r, const char *file)
{
    struct conf_error error;
    tls_client_close(r->client);
    const char *path = in_folder(file);
    r->client_conf.trusted_certificate.text = (struct conf_str){path, strlen(path)};
    r->client_conf.verify = CONF_TLS_VERIFY_ON;
    r->client_conf.verify_depth = 1;
    r->client = tls_client_open(&r->client_conf, &error);
    assert_non_null(r->client);
}

static inline void rig_close(struct rig *r)
{
    tls_client_close(r->client);
    tls_contexts_close(r->contexts);
    conf_free(r->conf);
}

#endif
