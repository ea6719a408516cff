/* The value of each variable of engine/conf/variables.def: one function each, found through one
 * table. A variable without a function does not compile. */
#include "engine/http/variables.h"

#include <arpa/inet.h>
#include <strings.h>
#include <stdio.h>

#include "engine/http/static.h"
#include "engine/http/uri.h"
#include "engine/os/clock.h"
#include "engine/os/sys.h"

typedef struct conf_str variable_get(struct exchange *x, struct conf_str argument);

#define VARIABLE(symbol, name, meaning) static variable_get variable_##symbol;
#define PREFIX_VARIABLE VARIABLE
#include "engine/conf/variables.def"
#undef VARIABLE
#undef PREFIX_VARIABLE

static variable_get *const variable_table[VAR_COUNT] = {
#define VARIABLE(symbol, name, meaning) [VAR_##symbol] = variable_##symbol,
#define PREFIX_VARIABLE VARIABLE
#include "engine/conf/variables.def"
#undef VARIABLE
#undef PREFIX_VARIABLE
};

struct conf_str variable_value(struct exchange *x, enum conf_variable variable,
                               struct conf_str argument)
{
    return variable == VAR_LITERAL ? argument : variable_table[variable](x, argument);
}

struct conf_str variable_expand(struct exchange *x, const struct conf_text *text)
{
    if (text->count == 0)
        return STR("");
    if (text->count == 1 && text->segments[0].variable == VAR_LITERAL)
        return text->segments[0].text;
    struct builder out;
    builder_start(&out, &x->pool, 128);
    for (size_t i = 0; i < text->count; i++) {
        const struct conf_segment *segment = &text->segments[i];
        struct conf_str value = variable_value(x, segment->variable, segment->text);
        if (value.len > 0)
            builder_add(&out, value);
    }
    return builder_end(&out);
}

/* ---- helpers
 * ------------------------------------------------------------------------------------- */

static const struct conf_str variable_none = {NULL, 0};

static struct conf_str variable_number(struct exchange *x, uint64_t value)
{
    char *text = pool_take(&x->pool, 20);
    return text != NULL ? str_make(text, str_from_u64(text, value)) : variable_none;
}

/* Nanoseconds as seconds with three decimals. */
static struct conf_str variable_seconds(struct exchange *x, uint64_t ns)
{
    char *text = pool_take(&x->pool, 32);
    if (text == NULL)
        return variable_none;
    uint64_t ms = ns / NS_PER_MS;
    int len =
        snprintf(text, 32, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
    return str_make(text, (size_t)len);
}

static struct conf_str variable_address(struct exchange *x, const union http_address *address)
{
    char *text = pool_take(&x->pool, INET6_ADDRSTRLEN);
    const void *raw = address->plain.sa_family == AF_INET6 ? (const void *)&address->in6.sin6_addr
                                                           : (const void *)&address->in.sin_addr;
    if (address->plain.sa_family == AF_UNIX)
        return STR("unix:");
    if (text == NULL || !inet_ntop(address->plain.sa_family, raw, text, INET6_ADDRSTRLEN))
        return variable_none;
    return str_make(text, strlen(text));
}

static struct conf_str variable_port(struct exchange *x, const union http_address *address)
{
    if (address->plain.sa_family == AF_UNIX)
        return STR("");
    return variable_number(x, ntohs(address->in.sin_port)); /* in6 has it in the same place */
}

/* The address the client connected to, which a listener on all addresses does not know. */
static union http_address variable_local(const struct exchange *x)
{
    struct sockaddr_storage storage;
    socklen_t len = sizeof storage;
    union http_address local = {.plain.sa_family = AF_UNIX};
    if (sys_getsockname(x->client->fd, &storage, &len) == 0)
        memcpy(&local, &storage, sizeof local);
    return local;
}

/* May this request header be seen (ignore_invalid_headers, underscores_in_headers)? */
static bool variable_header_counts(const struct exchange *x, const struct http1_header *header)
{
    if (!header->odd || !x->server->ignore_invalid_headers)
        return true;
    return header->underscore && x->server->underscores_in_headers;
}

static bool variable_header_named(const struct exchange *x, const struct http1_header *header,
                                  struct conf_str name)
{
    if (header->name_len != name.len)
        return false;
    const char *sent = x->buf + header->name_at;
    for (size_t i = 0; i < name.len; i++) {
        char c = str_lower(sent[i]);
        if ((c == '_' ? '-' : c) != name.at[i])
            return false;
    }
    return true;
}

/* The part after "Basic " decoded, up to the colon. */
static struct conf_str variable_basic_user(struct exchange *x, struct conf_str sent)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *user = pool_take(&x->pool, sent.len + 1);
    size_t len = 0;
    uint32_t bits = 0, have = 0;
    for (size_t i = 0; user != NULL && i < sent.len; i++) {
        const char *digit = memchr(digits, sent.at[i], 64);
        if (digit == NULL)
            break;
        bits = bits << 6 | (uint32_t)(digit - digits);
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        char c = (char)(bits >> have);
        if (c == ':')
            return str_make(user, len);
        user[len++] = c;
    }
    return variable_none;
}

/* ---- one function each, in the order of variables.def
 * -------------------------------------------- */

#define GETTER(symbol)                                                                             \
    static struct conf_str variable_##symbol(struct exchange *x __attribute__((unused)),           \
                                             struct conf_str argument __attribute__((unused)))

GETTER(args)
{
    return x->args;
}

GETTER(arg)
{
    struct conf_str value;
    return uri_argument(x->args, argument, &value) ? value : variable_none;
}

GETTER(body_bytes_sent)
{
    return variable_number(x, x->body_sent);
}

GETTER(bytes_sent)
{
    return variable_number(x, x->bytes_sent);
}

GETTER(config_generation)
{
    return variable_number(x, x->site->generation);
}

GETTER(connection)
{
    return variable_number(x, x->client->number);
}

GETTER(connection_requests)
{
    return variable_number(x, x->client->requests);
}

GETTER(content_length)
{
    return exchange_known_header(x, HTTP1_NAME_CONTENT_LENGTH);
}

GETTER(content_type)
{
    return exchange_known_header(x, HTTP1_NAME_CONTENT_TYPE);
}

GETTER(document_root)
{
    return x->location->alias.len > 0 ? x->location->alias : x->location->root;
}

GETTER(document_uri)
{
    return x->path;
}

GETTER(host)
{
    return x->host.len > 0 ? x->host : variable_server_name(x, argument);
}

GETTER(hostname)
{
    return x->site->hostname;
}

GETTER(http)
{
    for (unsigned i = 0; i < x->head.header_count; i++) {
        const struct http1_header *header = &x->headers[i];
        if (variable_header_named(x, header, argument) && variable_header_counts(x, header))
            return exchange_span(x, header->value);
    }
    return variable_none;
}

GETTER(is_args)
{
    return x->args.len > 0 ? STR("?") : STR("");
}

GETTER(msec)
{
    return variable_seconds(x, x->site->wall_ns);
}

GETTER(pid)
{
    return variable_number(x, (uint64_t)x->site->pid);
}

GETTER(pipe)
{
    return x->client->pipelined ? STR("p") : STR(".");
}

GETTER(query_string)
{
    return x->args;
}

GETTER(remote_addr)
{
    return variable_address(x, &x->client->peer);
}

GETTER(remote_port)
{
    return variable_port(x, &x->client->peer);
}

GETTER(remote_user)
{
    struct conf_str sent = exchange_known_header(x, HTTP1_NAME_AUTHORIZATION);
    if (sent.len < 6 || !str_equal_nocase(str_make(sent.at, 6), STR("Basic ")))
        return variable_none;
    return variable_basic_user(x, str_trim(str_make(sent.at + 6, sent.len - 6)));
}

GETTER(request)
{
    return exchange_span(x, x->head.line);
}

GETTER(request_filename)
{
    return static_filename(x, x->path);
}

GETTER(request_length)
{
    return variable_number(x, x->head.at - x->head.begin + x->body_bytes);
}

GETTER(request_method)
{
    return exchange_span(x, x->head.method);
}

GETTER(request_nonce)
{
    return x->nonce != 0 ? variable_number(x, x->nonce) : STR("-");
}

GETTER(request_time)
{
    return variable_seconds(x, x->site->now_ns - x->started_ns);
}

GETTER(request_uri)
{
    return exchange_span(x, x->head.target);
}

GETTER(scheme)
{
    return STR("http");
}

/* The answer's head is text already: its lines are searched rather than kept twice. */
GETTER(sent_http)
{
    struct conf_str rest = x->answer.head;
    while (rest.len > 0) {
        struct conf_str value = str_cut(&rest, '\n');
        struct conf_str name = str_cut(&value, ':');
        if (name.len == argument.len && strncasecmp(name.at, argument.at, name.len) == 0) {
            value.len -= value.len > 0; /* the CR */
            return str_trim(value);
        }
    }
    return variable_none;
}

GETTER(server_addr)
{
    union http_address local = variable_local(x);
    return variable_address(x, &local);
}

GETTER(server_name)
{
    return x->server->name_count > 0 ? x->server->names[0] : STR("");
}

GETTER(server_port)
{
    union http_address local = variable_local(x);
    return variable_port(x, &local);
}

GETTER(server_protocol)
{
    return x->head.minor >= 1 ? STR("HTTP/1.1") : STR("HTTP/1.0");
}

GETTER(status)
{
    return variable_number(x, (uint64_t)x->answer.status);
}

GETTER(time_iso8601)
{
    date_update(&x->site->date, x->site->wall_ns);
    return str_make(x->site->date.iso8601, DATE_ISO_LEN);
}

GETTER(time_local)
{
    date_update(&x->site->date, x->site->wall_ns);
    return str_make(x->site->date.log, DATE_LOG_LEN);
}

GETTER(uri)
{
    return x->path;
}

GETTER(worker_slot)
{
    return variable_number(x, (uint64_t)x->site->slot);
}
