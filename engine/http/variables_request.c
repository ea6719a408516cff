/* Variables: what the client asked for. */
#include <openssl/rand.h>

#include "engine/http/talk.h"
#include "engine/http/uri.h"
#include "engine/http/variables_impl.h"

bool variable_header_counts(const struct exchange *x, const struct http1_header *header)
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

GETTER(args)
{
    return x->args;
}

GETTER(arg)
{
    struct conf_str value;
    return uri_argument(x->args, argument, &value) ? value : variable_none;
}

GETTER(content_length)
{
    return exchange_known_header(x, HTTP1_NAME_CONTENT_LENGTH);
}

GETTER(content_type)
{
    return exchange_known_header(x, HTTP1_NAME_CONTENT_TYPE);
}

GETTER(document_uri)
{
    return x->path;
}

GETTER(host)
{
    return x->host.len > 0 ? x->host : variable_server_name(x, argument);
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

GETTER(query_string)
{
    return x->args;
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

GETTER(request_length)
{
    return variable_number(x, x->head.at - x->head.begin + x->body_bytes);
}

GETTER(request_method)
{
    return exchange_method(x);
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

GETTER(server_protocol)
{
    return x->head.minor >= 1 ? STR("HTTP/1.1") : STR("HTTP/1.0");
}

GETTER(uri)
{
    return x->path;
}

/* NAME=VALUE, as one of those that a Cookie header holds. */
static bool variable_is_cookie(struct conf_str pair, struct conf_str name, struct conf_str *value)
{
    *value = pair;
    struct conf_str found = str_trim(str_cut(value, '='));
    bool has_sign = found.len < pair.len && value->at > found.at + found.len;
    *value = str_trim(*value);
    return has_sign && str_equal_nocase(found, name);
}

GETTER(cookie)
{
    for (unsigned i = 0; i < x->head.header_count; i++) {
        if (x->headers[i].name != HTTP1_NAME_COOKIE)
            continue;
        struct conf_str rest = exchange_span(x, x->headers[i].value), value;
        while (rest.len > 0)
            if (variable_is_cookie(str_trim(str_cut(&rest, ';')), argument, &value))
                return value;
    }
    return variable_none;
}

/* Only who passes a request on needs its body whole. */
GETTER(request_body)
{
    const struct talk *talk = x->talk;
    if (talk == NULL || talk->streams || talk->body.fd >= 0 || talk->body.len == 0)
        return variable_none;
    return str_make(talk->body.memory, talk->body.len);
}

/* The file has no name of its own, but its descriptor has. */
GETTER(request_body_file)
{
    if (x->body_path.at != NULL)
        return x->body_path;
    if (x->talk == NULL || x->talk->body.fd < 0)
        return variable_none;
    struct builder path;
    builder_start(&path, &x->pool, 48);
    builder_add(&path, STR("/proc/"));
    builder_add_u64(&path, (uint64_t)x->site->pid);
    builder_add(&path, STR("/fd/"));
    builder_add_u64(&path, (uint64_t)x->talk->body.fd);
    return builder_end(&path);
}

GETTER(request_id)
{
    enum { ID_BYTES = 16 };
    static const char hex[] = "0123456789abcdef";
    unsigned char random[ID_BYTES];
    if (x->request_id != NULL)
        return str_make(x->request_id, 2 * ID_BYTES);
    char *text = pool_take(&x->pool, 2 * ID_BYTES);
    if (text == NULL || RAND_bytes(random, ID_BYTES) != 1)
        return variable_none;
    for (int i = 0; i < ID_BYTES; i++) {
        text[2 * i] = hex[random[i] >> 4];
        text[2 * i + 1] = hex[random[i] & 15];
    }
    x->request_id = text;
    return str_make(text, 2 * ID_BYTES);
}
