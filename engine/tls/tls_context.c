/* Contexts of servers: one SSL_CTX for each server with certificates, chosen by the name that a
 * client sends. What nginx does, this does: sessions and tickets are the business of the context
 * that a connection begins with, the one of its address's default server. */
#include "engine/tls/tls_context.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/os/clock.h"
#include "engine/os/sys.h"
#include "engine/tls/tls_impl.h"

bool tls_refuse(struct conf_error *error, const struct conf_tls_text *at, const char *format, ...)
{
    *error = (struct conf_error){.line = at->file != NULL ? at->line : 0, .column = at->column};
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    if (at->file != NULL)
        snprintf(error->file, sizeof error->file, "%s", at->file);
    return false;
}

/* ---- what every context has ------------------------------------------------------------------ */

static uint64_t context_options(const struct conf_tls *conf)
{
    uint64_t options = SSL_OP_SINGLE_DH_USE | SSL_OP_NO_COMPRESSION | SSL_OP_NO_ANTI_REPLAY |
                       SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_SSLv3 | SSL_OP_NO_RENEGOTIATION;
    options |= conf->protocols & CONF_TLS_1_0 ? 0 : SSL_OP_NO_TLSv1;
    options |= conf->protocols & CONF_TLS_1_1 ? 0 : SSL_OP_NO_TLSv1_1;
    options |= conf->protocols & CONF_TLS_1_2 ? 0 : SSL_OP_NO_TLSv1_2;
    options |= conf->protocols & CONF_TLS_1_3 ? 0 : SSL_OP_NO_TLSv1_3;
    options |= conf->prefer_server_ciphers ? SSL_OP_CIPHER_SERVER_PREFERENCE : 0;
    return options;
}

/* Buffers are given back when they are empty, so that an idle connection does not hold 34 KB; one
 * read takes as much as there is, not a header first. */
static bool context_begin(struct tls_context *context, const SSL_METHOD *method)
{
    const struct conf_tls *conf = context->conf;
    context->ssl = SSL_CTX_new(method);
    if (context->ssl == NULL)
        return false;
    SSL_CTX_set_app_data(context->ssl, context);
    SSL_CTX_set_options(context->ssl, context_options(conf));
    SSL_CTX_set_min_proto_version(context->ssl, 0);
    SSL_CTX_set_max_proto_version(context->ssl, 0);
    SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(context->ssl, 1);
    SSL_CTX_set_num_tickets(context->ssl, 1); /* each connection gets what the next one needs */
    return true;
}

static bool context_set_ciphers(struct tls_context *context, struct conf_error *error)
{
    const struct conf_tls *conf = context->conf;
    if (conf->ciphers.text.len > 0 &&
        SSL_CTX_set_cipher_list(context->ssl, conf->ciphers.text.at) != 1)
        return tls_refuse(error, &conf->ciphers, "SSL_CTX_set_cipher_list(\"%s\") failed (SSL: %s)",
                          conf->ciphers.text.at, tls_error_text());
    if (conf->curves.text.len > 0 && strcmp(conf->curves.text.at, "auto") != 0 &&
        SSL_CTX_set1_curves_list(context->ssl, conf->curves.text.at) != 1)
        return tls_refuse(error, &conf->curves, "SSL_CTX_set1_curves_list(\"%s\") failed (SSL: %s)",
                          conf->curves.text.at, tls_error_text());
    return true;
}

/* The chain is as the client sent it, right or not: whether that matters is decided for each
 * request, when it is known whom it is for. */
static int context_verified(int good, X509_STORE_CTX *chain)
{
    (void)good;
    (void)chain;
    return 1;
}

static void context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ssl);
    if (context->ticket_keys != NULL)
        OPENSSL_cleanse(context->ticket_keys,
                        context->ticket_key_count * sizeof *context->ticket_keys);
    free(context->ticket_keys);
    free(context);
}

static struct tls_context *context_new(const struct conf_tls *conf, const SSL_METHOD *method,
                                       struct conf_error *error)
{
    static const struct conf_tls_text nowhere;
    ERR_clear_error();
    struct tls_context *context = sys_alloc(sizeof *context);
    if (context != NULL) {
        *context = (struct tls_context){.conf = conf};
        if (context_begin(context, method))
            return context;
        context_free(context);
    }
    tls_refuse(error, &nowhere, "SSL_CTX_new() failed (SSL: %s)", tls_error_text());
    return NULL;
}

/* ---- a server's ------------------------------------------------------------------------------ */

/* Connections of one certificate resume each other's sessions, those of others do not. */
static bool context_name_sessions(SSL_CTX *ssl)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(digest, "HTTP", 4) == 1;
    for (long more = SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_FIRST); good && more == 1;
         more = SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_NEXT)) {
        unsigned char one[EVP_MAX_MD_SIZE];
        unsigned one_len = 0;
        good = X509_digest(SSL_CTX_get0_certificate(ssl), EVP_sha256(), one, &one_len) == 1 &&
               EVP_DigestUpdate(digest, one, one_len) == 1;
    }
    const STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(ssl);
    for (int i = 0; good && i < sk_X509_NAME_num(names); i++) {
        unsigned char one[EVP_MAX_MD_SIZE];
        unsigned one_len = 0;
        good = X509_NAME_digest(sk_X509_NAME_value(names, i), EVP_sha256(), one, &one_len) == 1 &&
               EVP_DigestUpdate(digest, one, one_len) == 1;
    }
    good = good && EVP_DigestFinal_ex(digest, id, &len) == 1 &&
           SSL_CTX_set_session_id_context(ssl, id, len) == 1;
    EVP_MD_CTX_free(digest);
    return good;
}

/* SSL_set_SSL_CTX() takes over the certificates only. */
static void context_switch(SSL *ssl, const struct tls_context *context)
{
    SSL_set_SSL_CTX(ssl, context->ssl);
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(context->ssl),
                   SSL_CTX_get_verify_callback(context->ssl));
    SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(context->ssl));
    SSL_clear_options(ssl, SSL_get_options(ssl) & ~SSL_CTX_get_options(context->ssl));
    SSL_set_options(ssl, SSL_CTX_get_options(context->ssl));
}

static int context_on_name(SSL *ssl, int *alert, void *arg)
{
    struct tls_contexts *all = arg;
    const struct tls *tls = tls_of(ssl);
    const struct tls_context *context = tls_context_of(SSL_get_SSL_CTX(ssl));
    bool refuses = context->conf->reject_handshake;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct conf_server *server =
        all->choose != NULL && tls->owner != NULL ? all->choose(tls->owner, name) : NULL;
    if (server != NULL) {
        const struct tls_context *chosen = all->items[server->index];
        refuses = server->tls->reject_handshake;
        if (chosen != NULL && chosen != context)
            context_switch(ssl, chosen);
    }
    if (!refuses)
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void context_set_verify(struct tls_context *context)
{
    const struct conf_tls *conf = context->conf;
    if (conf->verify == CONF_TLS_VERIFY_OFF)
        return;
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, context_verified);
    SSL_CTX_set_verify_depth(context->ssl, (int)conf->verify_depth);
}

static struct tls_context *context_of_server(struct tls_contexts *all,
                                             const struct conf_server *server,
                                             struct conf_error *error)
{
    struct tls_context *context = context_new(server->tls, TLS_server_method(), error);
    if (context == NULL)
        return NULL;
    context->all = all;
    context_set_verify(context);
    if (!context_set_ciphers(context, error) ||
        !tls_load_pairs(context->ssl, context->conf, error) ||
        !tls_load_authorities(context->ssl, context->conf, error) ||
        !tls_load_dhparam(context->ssl, context->conf, error) ||
        !tls_load_ticket_keys(context, error)) {
        context_free(context);
        return NULL;
    }
    if (!context_name_sessions(context->ssl)) {
        static const struct conf_tls_text nowhere;
        tls_refuse(error, &nowhere, "a session id context failed (SSL: %s)", tls_error_text());
        context_free(context);
        return NULL;
    }
    SSL_CTX_set_tlsext_servername_callback(context->ssl, context_on_name);
    SSL_CTX_set_tlsext_servername_arg(context->ssl, all);
    tls_session_use(context);
    tls_ticket_use(context);
    return context;
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct tls_contexts *tls_contexts_open(const struct conf *conf, struct conf_error *error)
{
    size_t count = conf->server_count, clients = conf->client_tls_count;
    struct tls_contexts *all =
        sys_calloc(1, sizeof *all + (count + clients) * sizeof(struct tls_context *));
    if (all == NULL) {
        *error = (struct conf_error){.message = "no memory for TLS"};
        return NULL;
    }
    all->conf = conf;
    for (size_t i = 0; i < count; i++) {
        const struct conf_server *server = &conf->servers[i];
        if (server->tls->pair_count == 0 && !server->tls->reject_handshake)
            continue;
        all->items[server->index] = context_of_server(all, server, error);
        if (all->items[server->index] == NULL) {
            tls_contexts_close(all);
            return NULL;
        }
    }
    for (size_t i = 0; i < clients; i++) {
        all->items[count + i] = tls_client_open(conf->client_tls[i], error);
        if (all->items[count + i] == NULL) {
            tls_contexts_close(all);
            return NULL;
        }
    }
    return all;
}

void tls_contexts_close(struct tls_contexts *contexts)
{
    if (contexts == NULL)
        return;
    size_t count = contexts->conf->server_count + contexts->conf->client_tls_count;
    for (size_t i = 0; i < count; i++)
        context_free(contexts->items[i]);
    free(contexts);
}

struct tls_context *tls_contexts_of(const struct tls_contexts *contexts,
                                    const struct conf_server *server)
{
    return contexts->items[server->index];
}

struct tls_context *tls_contexts_client(const struct tls_contexts *contexts, size_t index)
{
    return contexts->items[contexts->conf->server_count + index];
}

void tls_contexts_start(struct tls_contexts *contexts, const struct zones *zones,
                        tls_choose *choose)
{
    contexts->choose = choose;
    for (size_t i = 0; i < contexts->conf->server_count; i++) {
        struct tls_context *context = contexts->items[i];
        if (context != NULL && context->conf->shared)
            context->zone = zones_at(zones, context->conf->zone);
    }
}

/* ---- a client's ------------------------------------------------------------------------------ */

static int client_on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_sessions *sessions = tls_of(ssl)->sessions;
    if (sessions == NULL)
        return 0;
    SSL_SESSION_free(sessions->latest);
    sessions->latest = session;
    return 1; /* ours from now on */
}

struct tls_context *tls_client_open(const struct conf_tls *conf, struct conf_error *error)
{
    struct tls_context *context = context_new(conf, TLS_client_method(), error);
    if (context == NULL)
        return NULL;
    bool verifies = conf->verify != CONF_TLS_VERIFY_OFF;
    SSL_CTX_set_verify(context->ssl, verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_verify_depth(context->ssl, (int)conf->verify_depth);
    SSL_CTX_set_session_cache_mode(context->ssl,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context->ssl, client_on_session);
    if (context_set_ciphers(context, error) && tls_load_pairs(context->ssl, conf, error) &&
        tls_load_authorities(context->ssl, conf, error))
        return context;
    context_free(context);
    return NULL;
}

void tls_client_close(struct tls_context *context)
{
    context_free(context);
}
