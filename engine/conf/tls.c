/* The ssl_* directives. Whether files and names of ciphers are right is found out by OpenSSL, when
 * contexts are made (engine/tls/tls_context.h): here they only get their places. */
#include <string.h>

#include "engine/conf/load.h"
#include "engine/conf/setters.h"
#include "engine/conf/value.h"

#define BUILTIN_SESSIONS 20480 /* OpenSSL's own number */

/* ---- setters --------------------------------------------------------------------------------- */

/* The word as text of a value; errors about it will name the word's place. */
static bool tls_set(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct word *word, struct conf_str text)
{
    if (!load_refuse_variables(load, word, directive->name))
        return false;
    scope_set(scope, directive_id(directive), 0, text);
    scope->values[directive_id(directive)].place = word->place;
    return true;
}

bool set_tls_text(struct load *load, struct scope *scope, const struct directive *directive,
                  const struct statement *statement)
{
    struct conf_str text;
    const struct word *word = &statement->args[0];
    return load_copy(load, word->text.at, word->text.len, &text) &&
           tls_set(load, scope, directive, word, text);
}

/* Relative to the main file's folder, as in nginx. */
bool set_tls_file(struct load *load, struct scope *scope, const struct directive *directive,
                  const struct statement *statement)
{
    struct conf_str path;
    const struct word *word = &statement->args[0];
    return load_path(load, load->folder, word->text, &path) &&
           tls_set(load, scope, directive, word, path);
}

static bool tls_add_file(struct load *load, struct list *list, const struct directive *directive,
                         const struct word *word)
{
    if (!load_refuse_variables(load, word, directive->name))
        return false;
    struct conf_tls_text *file = load_add(load, list, sizeof *file);
    if (file == NULL || !load_path(load, load->folder, word->text, &file->text))
        return false;
    file->file = word->place.file;
    file->line = word->place.line;
    file->column = word->place.column;
    return true;
}

bool set_tls_certificate(struct load *load, struct scope *scope, const struct directive *directive,
                         const struct statement *statement)
{
    return tls_add_file(load, &scope->certificates, directive, &statement->args[0]);
}

bool set_tls_key(struct load *load, struct scope *scope, const struct directive *directive,
                 const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    if (str_begins(word->text, "engine:") || str_begins(word->text, "store:"))
        return load_fail(load, &word->place,
                         "keys of engines are not supported by this build: \"%s\", give a file",
                         word->text.at);
    return tls_add_file(load, &scope->keys, directive, word);
}

bool set_tls_ticket_key(struct load *load, struct scope *scope, const struct directive *directive,
                        const struct statement *statement)
{
    return tls_add_file(load, &scope->ticket_keys, directive, &statement->args[0]);
}

static const struct {
    const char *name;
    enum conf_tls_protocol bit;
} tls_protocols[] = {{"TLSv1", CONF_TLS_1_0},
                     {"TLSv1.1", CONF_TLS_1_1},
                     {"TLSv1.2", CONF_TLS_1_2},
                     {"TLSv1.3", CONF_TLS_1_3}};

bool set_tls_protocols(struct load *load, struct scope *scope, const struct directive *directive,
                       const struct statement *statement)
{
    uint64_t bits = scope->values[directive_id(directive)].number;
    for (size_t i = 0; i < statement->count; i++) {
        const struct word *word = &statement->args[i];
        uint64_t bit = 0;
        for (size_t j = 0; j < sizeof tls_protocols / sizeof tls_protocols[0]; j++)
            if (str_is(word->text, tls_protocols[j].name))
                bit = tls_protocols[j].bit;
        if (bit == 0)
            return load_fail(load, &word->place,
                             "invalid value \"%s\" in \"%s\" directive, it must be \"TLSv1\", "
                             "\"TLSv1.1\", \"TLSv1.2\" or \"TLSv1.3\"",
                             word->text.at, directive->name);
        bits |= bit;
    }
    scope_set(scope, directive_id(directive), bits, (struct conf_str){"", 0});
    return true;
}

/* ---- ssl_session_cache ----------------------------------------------------------------------- */

static bool cache_bad(struct load *load, const struct word *word)
{
    return load_fail(load, &word->place,
                     "invalid session cache \"%s\", it must be \"off\", \"none\", "
                     "\"builtin[:SESSIONS]\" or \"shared:NAME:SIZE\"",
                     word->text.at);
}

static bool cache_shared(struct load *load, struct scope *scope, const struct word *word)
{
    const char *name = word->text.at + strlen("shared:");
    const char *colon = strchr(name, ':');
    uint64_t size = 0;
    if (colon == NULL || colon == name)
        return cache_bad(load, word);
    struct conf_str size_text = {colon + 1, strlen(colon + 1)}, zone_name;
    if (!value_size(size_text, &size) || size == 0)
        return cache_bad(load, word);
    scope->tls_shared = true;
    return load_copy(load, name, (size_t)(colon - name), &zone_name) &&
           load_zone(load, CONF_ZONE_tls_sessions, zone_name, size, &word->place, &scope->tls_zone);
}

static bool cache_builtin(struct load *load, struct scope *scope, const struct word *word)
{
    size_t skip = strlen("builtin:");
    scope->tls_builtin = BUILTIN_SESSIONS;
    if (str_is(word->text, "builtin"))
        return true;
    struct conf_str number = {word->text.at + skip, word->text.len - skip};
    return (value_number(number, &scope->tls_builtin) && scope->tls_builtin > 0 &&
            scope->tls_builtin <= INT32_MAX) ||
           cache_bad(load, word);
}

bool set_tls_cache(struct load *load, struct scope *scope, const struct directive *directive,
                   const struct statement *statement)
{
    enum conf_tls_cache cache = CONF_TLS_CACHE_SERVER;
    for (size_t i = 0; i < statement->count; i++) {
        const struct word *word = &statement->args[i];
        bool off = str_is(word->text, "off"), none = str_is(word->text, "none");
        bool good = true;
        if ((off || none) && statement->count == 1)
            cache = off ? CONF_TLS_CACHE_OFF : CONF_TLS_CACHE_NONE;
        else if (str_begins(word->text, "shared:"))
            good = cache_shared(load, scope, word);
        else if (str_is(word->text, "builtin") || str_begins(word->text, "builtin:"))
            good = cache_builtin(load, scope, word);
        else
            good = cache_bad(load, word);
        if (!good)
            return false;
    }
    scope_set(scope, directive_id(directive), cache, (struct conf_str){"", 0});
    return true;
}

/* ---- what a server has ----------------------------------------------------------------------- */

static struct conf_tls_text tls_text(const struct scope *scope, enum directive_id id)
{
    const struct value *value = scope_value(scope, id);
    return (struct conf_tls_text){
        .text = value->set ? value->text : (struct conf_str){"", 0},
        .file = value->place.file,
        .line = value->place.line,
        .column = value->place.column,
    };
}

/* Lists are inherited whole. */
static const struct scope *tls_level(const struct scope *scope, enum directive_id id)
{
    while (!scope->values[id].set && scope->parent != NULL)
        scope = scope->parent;
    return scope;
}

static bool tls_build_pairs(struct load *load, const struct scope *scope, struct conf_tls *tls)
{
    const struct list *certificates = &tls_level(scope, D_ssl_certificate)->certificates;
    const struct list *keys = &tls_level(scope, D_ssl_certificate_key)->keys;
    const struct conf_tls_text *certificate = certificates->items, *key = keys->items;
    struct conf_tls_pair *pairs = load_alloc(load, certificates->count * sizeof *pairs);
    if (pairs == NULL)
        return false;
    for (size_t i = 0; i < certificates->count; i++) {
        if (i >= keys->count) {
            const struct place place = {certificate[i].file, certificate[i].line,
                                        certificate[i].column};
            return load_fail(load, &place,
                             "no \"ssl_certificate_key\" is defined for certificate \"%s\"",
                             certificate[i].text.at);
        }
        pairs[i] = (struct conf_tls_pair){certificate[i], key[i]};
    }
    tls->pairs = pairs;
    tls->pair_count = certificates->count;
    return true;
}

static void tls_build_sessions(const struct scope *scope, struct conf_tls *tls)
{
    const struct scope *level = tls_level(scope, D_ssl_session_cache);
    const struct list *keys = &tls_level(scope, D_ssl_session_ticket_key)->ticket_keys;
    tls->cache = (enum conf_tls_cache)level->values[D_ssl_session_cache].number;
    tls->builtin_sessions = level->tls_builtin;
    tls->shared = level->tls_shared;
    tls->zone = level->tls_zone;
    tls->session_timeout_ns = scope_number(scope, D_ssl_session_timeout);
    tls->tickets = scope_number(scope, D_ssl_session_tickets) != 0;
    tls->ticket_keys = keys->items;
    tls->ticket_key_count = keys->count;
}

static bool tls_check_verify(struct load *load, const struct scope *scope,
                             const struct conf_tls *tls)
{
    bool needs = tls->verify == CONF_TLS_VERIFY_ON || tls->verify == CONF_TLS_VERIFY_OPTIONAL;
    if (!needs || tls->client_certificate.text.len > 0 || tls->trusted_certificate.text.len > 0)
        return true;
    return load_fail(load, &scope_value(scope, D_ssl_verify_client)->place,
                     "no \"ssl_client_certificate\" for \"ssl_verify_client\"");
}

bool build_tls(struct load *load, const struct scope *scope, struct conf_server *out)
{
    struct conf_tls *tls = load_alloc(load, sizeof *tls);
    if (tls == NULL || !tls_build_pairs(load, scope, tls))
        return false;
    tls->password_file = tls_text(scope, D_ssl_password_file);
    tls->protocols = (unsigned)scope_number(scope, D_ssl_protocols);
    tls->ciphers = tls_text(scope, D_ssl_ciphers);
    tls->curves = tls_text(scope, D_ssl_ecdh_curve);
    tls->prefer_server_ciphers = scope_number(scope, D_ssl_prefer_server_ciphers) != 0;
    tls->reject_handshake = scope_number(scope, D_ssl_reject_handshake) != 0;
    tls->verify = (enum conf_tls_verify)scope_number(scope, D_ssl_verify_client);
    tls->verify_depth = (unsigned)scope_number(scope, D_ssl_verify_depth);
    tls->client_certificate = tls_text(scope, D_ssl_client_certificate);
    tls->trusted_certificate = tls_text(scope, D_ssl_trusted_certificate);
    tls->crl = tls_text(scope, D_ssl_crl);
    tls->dhparam = tls_text(scope, D_ssl_dhparam);
    tls->buffer_size = scope_number(scope, D_ssl_buffer_size);
    tls_build_sessions(scope, tls);
    out->tls = tls;
    return tls->pair_count == 0 || tls_check_verify(load, scope, tls);
}

static bool client_pair(struct load *load, const struct scope *scope, struct conf_tls *tls)
{
    struct conf_tls_pair pair = {tls_text(scope, D_proxy_ssl_certificate),
                                 tls_text(scope, D_proxy_ssl_certificate_key)};
    if (pair.certificate.text.len == 0)
        return true;
    if (pair.key.text.len == 0)
        return load_fail(load, &scope_value(scope, D_proxy_ssl_certificate)->place,
                         "no \"proxy_ssl_certificate_key\" is defined for certificate \"%s\"",
                         pair.certificate.text.at);
    struct conf_tls_pair *kept = load_alloc(load, sizeof *kept);
    if (kept == NULL)
        return false;
    *kept = pair;
    tls->pairs = kept;
    tls->pair_count = 1;
    return true;
}

bool build_client_tls(struct load *load, const struct scope *scope, struct conf_proxy *proxy)
{
    struct conf_tls *tls = load_alloc(load, sizeof *tls);
    struct conf_tls **slot = load_add(load, &load->client_tls, sizeof *slot);
    if (tls == NULL || slot == NULL || !client_pair(load, scope, tls))
        return false;
    *slot = tls;
    proxy->tls_index = load->client_tls.count - 1;
    tls->password_file = tls_text(scope, D_proxy_ssl_password_file);
    tls->protocols = (unsigned)scope_number(scope, D_proxy_ssl_protocols);
    tls->ciphers = tls_text(scope, D_proxy_ssl_ciphers);
    tls->curves = tls_text(scope, D_ssl_ecdh_curve);
    tls->trusted_certificate = tls_text(scope, D_proxy_ssl_trusted_certificate);
    tls->crl = tls_text(scope, D_proxy_ssl_crl);
    tls->verify_depth = (unsigned)scope_number(scope, D_proxy_ssl_verify_depth);
    tls->verify =
        scope_number(scope, D_proxy_ssl_verify) != 0 ? CONF_TLS_VERIFY_ON : CONF_TLS_VERIFY_OFF;
    if (tls->verify == CONF_TLS_VERIFY_ON && tls->trusted_certificate.text.len == 0)
        return load_fail(load, &scope_value(scope, D_proxy_ssl_verify)->place,
                         "no proxy_ssl_trusted_certificate for proxy_ssl_verify");
    return true;
}

bool build_tls_listen(struct load *load, const struct conf_listen *listen,
                      const struct place *place)
{
    const struct conf_tls *tls = listen->default_server->tls;
    if (!listen->ssl || tls->pair_count > 0 || tls->reject_handshake)
        return true;
    return load_fail(load, place,
                     "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive");
}
