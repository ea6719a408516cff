/* Makes a location's struct conf_proxy from what its levels say. */
#include <string.h>
#include <strings.h>

#include "engine/conf/address.h"
#include "engine/conf/conf_proxy.h"
#include "engine/conf/load.h"
#include "engine/conf/upstreams.h"

/* The nearest level that names this directive; its list counts whole. */
static const struct scope *level_of(const struct scope *scope, enum directive_id id)
{
    while (!scope->values[id].set && scope->parent != NULL)
        scope = scope->parent;
    return scope;
}

/* ---- where to -------------------------------------------------------------------------------- */

/* A group of its own for an address that no `upstream` block names. */
static const struct conf_upstream *implicit_upstream(struct load *load, const struct place *place,
                                                     struct conf_str name, uint16_t port)
{
    struct list servers = {0};
    struct conf_upstream_server like = {
        .weight = 1, .max_fails = 1, .fail_timeout_ns = UINT64_C(10) * 1000000000, .name = name};
    if (!upstream_add_servers(load, &servers, place, &like, port))
        return NULL;
    struct conf_upstream upstream = {.name = name,
                                     .servers = servers.items,
                                     .server_count = servers.count,
                                     .primary_count = servers.count};
    return upstream_add(load, &upstream) ? upstream_find(load, name) : NULL;
}

/* The end of the address in what follows "http://": the URI's '/', or ':' after a unix path. */
static size_t address_end(struct conf_str rest)
{
    if (str_begins(rest, "unix:")) {
        const char *colon = memchr(rest.at + 5, ':', rest.len - 5);
        return colon != NULL ? (size_t)(colon - rest.at) : rest.len;
    }
    size_t end = 0;
    while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?')
        end++;
    return end;
}

static bool build_names(struct load *load, const struct address_parts *parts, struct conf_str name,
                        uint16_t usual, struct conf_proxy *proxy)
{
    static const struct conf_str local = {"localhost", 9}, none = {"", 0};
    if (parts->unix_path) {
        proxy->host = local;
        proxy->port = none;
        return true;
    }
    bool plain = parts->port.len == 0 || parts->number == usual;
    size_t len = plain && parts->port.len > 0 ? name.len - parts->port.len - 1 : name.len;
    proxy->host = name;
    if (len != name.len && !load_copy(load, name.at, len, &proxy->host))
        return false;
    proxy->port = parts->port.len > 0
                      ? parts->port
                      : (usual == 443 ? (struct conf_str){"443", 3} : (struct conf_str){"80", 2});
    return true;
}

static bool build_target(struct load *load, const struct scope *scope, struct conf_proxy *proxy)
{
    const struct place *place = &scope->proxy_place;
    struct conf_str url = scope->values[D_proxy_pass].text, name;
    proxy->tls = str_begins(url, "https://");
    size_t skip = proxy->tls ? 8 : 7;
    uint16_t usual = proxy->tls ? 443 : 80;
    struct conf_str rest = {url.at + skip, url.len - skip};
    size_t end = address_end(rest);
    size_t uri = str_begins(rest, "unix:") && end < rest.len ? end + 1 : end;
    if (!load_copy(load, rest.at, end, &name) ||
        !load_copy(load, rest.at + uri, rest.len - uri, &proxy->uri))
        return false;
    proxy->has_uri = proxy->uri.len > 0;
    struct address_parts parts;
    const char *wrong = address_split(name, usual, &parts);
    if (wrong != NULL)
        return load_fail(load, place, "%s in upstream \"%s\"", wrong, name.at);
    struct conf_str lower;
    if (!build_names(load, &parts, name, usual, proxy) ||
        !(parts.unix_path ? load_copy(load, name.at, name.len, &lower)
                          : load_copy_lower(load, name, &lower)))
        return false;
    proxy->upstream = upstream_find(load, lower);
    if (proxy->upstream == NULL)
        proxy->upstream = implicit_upstream(load, place, lower, usual);
    return proxy->upstream != NULL;
}

/* ---- headers --------------------------------------------------------------------------------- */

/* What is set where the configuration does not say otherwise. An empty value keeps the client's
 * header from being passed: all of these concern one connection only. Connection: close. */
static const struct {
    const char *name;
    enum conf_variable variable; /* VAR_LITERAL: text */
    const char *text;
} presets[] = {
    {"Host", VAR_proxy_host, ""},
    {"Connection", VAR_LITERAL, "close"},
    {"Content-Length", VAR_proxy_internal_body_length, ""},
    {"Transfer-Encoding", VAR_proxy_internal_chunked, ""},
    {"TE", VAR_LITERAL, ""},
    {"Keep-Alive", VAR_LITERAL, ""},
    {"Expect", VAR_LITERAL, ""},
    {"Upgrade", VAR_LITERAL, ""},
};

static bool headers_have(const struct list *headers, const char *name)
{
    const struct conf_header *items = headers->items;
    for (size_t i = 0; i < headers->count; i++)
        if (strcasecmp(items[i].name.at, name) == 0)
            return true;
    return false;
}

static bool build_headers(struct load *load, const struct scope *scope, struct conf_proxy *proxy)
{
    const struct list *own = &level_of(scope, D_proxy_set_header)->proxy_headers;
    size_t room = own->count + sizeof presets / sizeof presets[0];
    struct conf_header *headers = load_alloc(load, room * sizeof *headers);
    if (headers == NULL)
        return false;
    if (own->count > 0)
        memcpy(headers, own->items, own->count * sizeof *headers);
    size_t count = own->count;
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (headers_have(own, presets[i].name))
            continue;
        struct conf_segment *segment = load_alloc(load, sizeof *segment);
        if (segment == NULL)
            return false;
        *segment = (struct conf_segment){.variable = presets[i].variable,
                                         .text = {presets[i].text, strlen(presets[i].text)}};
        headers[count++] = (struct conf_header){
            .name = {presets[i].name, strlen(presets[i].name)},
            .value = {segment, 1},
        };
    }
    proxy->headers = headers;
    proxy->header_count = count;
    return true;
}

static bool names_have(const struct list *names, struct conf_str name)
{
    const struct conf_str *items = names->items;
    for (size_t i = 0; i < names->count; i++)
        if (str_equal(items[i], name))
            return true;
    return false;
}

/* Its number as the parser of responses gives it (enum http1_response_name); 0: it has none. */
static unsigned response_name(struct conf_str name)
{
    static const char *const names[] = {
#define RESPONSE_NAME(symbol, text, length, first, last) text,
#include "engine/core/http1_response_names.def"
#undef RESPONSE_NAME
    };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_is(name, names[i]))
            return i + 1;
    return 0;
}

static bool build_hidden(struct load *load, const struct scope *scope, struct conf_proxy *proxy)
{
    static const char *const usual[] = {"date",
                                        "server",
                                        "x-pad",
                                        "x-accel-expires",
                                        "x-accel-redirect",
                                        "x-accel-limit-rate",
                                        "x-accel-buffering",
                                        "x-accel-charset"};
    const struct list *pass = &level_of(scope, D_proxy_pass_header)->proxy_pass_headers;
    const struct list *own = &level_of(scope, D_proxy_hide_header)->proxy_hide;
    const struct conf_str *names = own->items;
    struct conf_str *hide = load_alloc(load, (own->count + 1) * sizeof *hide);
    if (hide == NULL)
        return false;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        struct conf_str name = {usual[i], strlen(usual[i])};
        if (!names_have(pass, name))
            proxy->hidden |= UINT32_C(1) << response_name(name);
    }
    for (size_t i = 0; i < own->count; i++) {
        unsigned known = response_name(names[i]);
        if (known != 0)
            proxy->hidden |= UINT32_C(1) << known;
        else
            hide[proxy->hide_count++] = names[i];
    }
    proxy->hide = hide;
    return true;
}

/* ---- proxy_redirect -------------------------------------------------------------------------- */

static bool literal(struct load *load, struct conf_str at, struct conf_text *out)
{
    struct conf_segment *segment = load_alloc(load, sizeof *segment);
    if (segment == NULL)
        return false;
    *segment = (struct conf_segment){.variable = VAR_LITERAL, .text = at};
    *out = (struct conf_text){segment, 1};
    return true;
}

/* From the URL of proxy_pass to the location's path. */
static bool build_preset_redirect(struct load *load, const struct scope *scope,
                                  const struct conf_proxy *proxy, struct conf_proxy_redirect *out)
{
    struct conf_str url = scope->values[D_proxy_pass].text, from = url;
    struct conf_str path = scope->path.at != NULL ? scope->path : (struct conf_str){"", 0};
    if (!proxy->has_uri) { /* the path is passed whole, so it stays in what comes back */
        char *joined = load_alloc(load, url.len + path.len + 1);
        if (joined == NULL)
            return false;
        memcpy(joined, url.at, url.len);
        memcpy(joined + url.len, path.at, path.len);
        from = (struct conf_str){joined, url.len + path.len};
    }
    return literal(load, from, &out->from) && literal(load, path, &out->to);
}

static bool build_redirects(struct load *load, const struct scope *scope,
                            const struct scope *answering, struct conf_proxy *proxy)
{
    const struct scope *level = level_of(scope, D_proxy_redirect);
    const struct proxy_redirect_wish *wishes = level->proxy_redirects.items;
    size_t count = level->proxy_redirects.count;
    static const struct proxy_redirect_wish usual = {.preset = true};
    if (level->values[D_proxy_redirect].number != 0)
        return true;
    bool fallback = count == 0;
    if (fallback) {
        wishes = &usual;
        count = 1;
    }
    struct conf_proxy_redirect *redirects = load_alloc(load, count * sizeof *redirects);
    if (redirects == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (wishes[i].preset && proxy->upstream == NULL && fallback)
            continue; /* with variables in proxy_pass there is no such rule */
        if (wishes[i].preset && proxy->upstream == NULL)
            return load_fail(load, &wishes[i].place,
                             "\"proxy_redirect default\" cannot be used with variables in "
                             "\"proxy_pass\"");
        if (!wishes[i].preset)
            redirects[proxy->redirect_count] = wishes[i].redirect;
        else if (!build_preset_redirect(load, answering, proxy, &redirects[proxy->redirect_count]))
            return false;
        proxy->redirect_count++;
    }
    proxy->redirects = redirects;
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void build_scalars(const struct scope *scope, struct conf_proxy *proxy)
{
    const struct value *body = scope_value(scope, D_proxy_set_body);
    const struct value *buffers = scope_value(scope, D_proxy_buffers);
    proxy->http_1_0 = scope_number(scope, D_proxy_http_version) == 0;
    proxy->method = scope_value(scope, D_proxy_method)->compiled;
    proxy->sets_body = body->set;
    proxy->body = body->compiled;
    proxy->pass_body = scope_number(scope, D_proxy_pass_request_body) != 0;
    proxy->pass_headers = scope_number(scope, D_proxy_pass_request_headers) != 0;
    proxy->request_buffering = scope_number(scope, D_proxy_request_buffering) != 0;
    proxy->buffering = scope_number(scope, D_proxy_buffering) != 0;
    proxy->intercept_errors = scope_number(scope, D_proxy_intercept_errors) != 0;
    proxy->ignored = (uint32_t)scope_number(scope, D_proxy_ignore_headers);
    proxy->buffer_size = scope_number(scope, D_proxy_buffer_size);
    proxy->buffers_size = buffers->number * buffers->second;
    proxy->max_temp_file_size = scope_number(scope, D_proxy_max_temp_file_size);
    proxy->temp_path = scope_value(scope, D_proxy_temp_path)->text;
    proxy->connect_timeout_ns = scope_number(scope, D_proxy_connect_timeout);
    proxy->send_timeout_ns = scope_number(scope, D_proxy_send_timeout);
    proxy->read_timeout_ns = scope_number(scope, D_proxy_read_timeout);
    proxy->next = (uint32_t)scope_number(scope, D_proxy_next_upstream);
    proxy->next_tries = (uint32_t)scope_number(scope, D_proxy_next_upstream_tries);
    proxy->next_timeout_ns = scope_number(scope, D_proxy_next_upstream_timeout);
    proxy->ssl_name = scope_value(scope, D_proxy_ssl_name)->compiled;
    proxy->ssl_server_name = scope_number(scope, D_proxy_ssl_server_name) != 0;
    proxy->ssl_session_reuse = scope_number(scope, D_proxy_ssl_session_reuse) != 0;
    proxy->ignore_client_abort = scope_number(scope, D_proxy_ignore_client_abort) != 0;
    proxy->socket_keepalive = scope_number(scope, D_proxy_socket_keepalive) != 0;
}

static bool build_pass(struct load *load, const struct scope *answering, struct conf_proxy *proxy)
{
    if (answering->values[D_proxy_pass].number != 0) {
        proxy->pass = answering->proxy_target;
        return true;
    }
    if (!build_target(load, answering, proxy))
        return false;
    bool plain = answering->match == LOCATION_PREFIX || answering->match == LOCATION_EXACT ||
                 answering->match == LOCATION_PREFIX_FINAL;
    if (proxy->has_uri && !plain)
        return load_fail(load, &answering->proxy_place,
                         "\"proxy_pass\" cannot have URI part in location given by regular "
                         "expression, or inside named location, or inside \"if\" statement, or "
                         "inside \"limit_except\" block");
    return true;
}

bool build_proxy(struct load *load, const struct scope *scope, const struct scope *answering,
                 struct conf_location *location)
{
    struct conf_proxy *proxy = load_alloc(load, sizeof *proxy);
    if (proxy == NULL)
        return false;
    *proxy = (struct conf_proxy){.location_len = answering->path.len};
    location->proxy = proxy;
    build_scalars(scope, proxy);
    return build_pass(load, answering, proxy) && build_headers(load, scope, proxy) &&
           (!(proxy->tls || proxy->upstream == NULL) || build_client_tls(load, scope, proxy)) &&
           build_hidden(load, scope, proxy) && build_redirects(load, scope, answering, proxy);
}
