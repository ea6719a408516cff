/* One request and its answer: from a parsed head to a handler, and from a handler to bytes. */
#include "engine/http/exchange.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/http/access_log.h"
#include "engine/http/answer.h"
#include "engine/http/handler.h"
#include "engine/http/limits.h"
#include "engine/http/phases.h"
#include "engine/http/route.h"
#include "engine/http/secure.h"
#include "engine/http/status.h"
#include "engine/http/talk.h"
#include "engine/http/uri.h"
#include "engine/os/log.h"

const struct handler *const handler_table[] = {
    [HANDLE_STATIC] = &handler_static,
    [HANDLE_PROXY] = &handler_proxy,
    [HANDLE_STATUS_JSON] = &handler_status_json,
    [HANDLE_STATUS_PROMETHEUS] = &handler_status_prometheus,
    [HANDLE_STUB_STATUS] = &handler_stub_status,
    [HANDLE_ECHO] = &handler_echo,
    [HANDLE_DELAY] = &handler_delay,
    [HANDLE_BYTES] = &handler_bytes,
    [HANDLE_UPLOAD] = &handler_upload,
    [HANDLE_STREAM] = &handler_stream,
    [HANDLE_TUNNEL] = &handler_tunnel,
};

void http_site_tick(struct http_site *site, uint64_t now_ns, uint64_t wall_ns)
{
    site->now_ns = now_ns;
    site->wall_ns = wall_ns;
}

void exchange_prepare(struct exchange *x, struct http_site *site, const struct http_client *client)
{
    memset(x, 0, offsetof(struct exchange, headers));
    memset((char *)x + offsetof(struct exchange, path), 0,
           offsetof(struct exchange, pool) - offsetof(struct exchange, path));
    x->site = site;
    x->client = client;
    x->peer = &client->peer;
    x->buf = "";
    x->path = x->args = x->host = STR("");
    x->answer.content_type = x->answer.head = x->answer.reason = x->answer.passed = STR("");
    x->answer.file_fd = -1;
    x->answer.modified_s = -1;
    x->started_ns = site->now_ns;
    pool_start(&x->pool);
}

/* The default server and its own level, before anything better is known. */
static void exchange_use_defaults(struct exchange *x)
{
    x->server = x->client->listen->default_server;
    x->location = x->server->fallback;
}

static bool exchange_copy_host(struct exchange *x)
{
    struct conf_str sent = exchange_span(x, x->head.host);
    while (sent.len > 0 && sent.at[sent.len - 1] == '.')
        sent.len--;
    size_t upper = 0;
    while (upper < sent.len && sent.at[upper] == str_lower(sent.at[upper]))
        upper++;
    if (upper == sent.len) {
        x->host = sent;
        return true;
    }
    char *lower = pool_take(&x->pool, sent.len + 1);
    if (lower == NULL)
        return false;
    for (size_t i = 0; i < sent.len; i++)
        lower[i] = str_lower(sent.at[i]);
    x->host = str_make(lower, sent.len);
    return true;
}

/* Fills in the normalised path; the status that refuses the request otherwise. */
static int exchange_normalise(struct exchange *x)
{
    struct conf_str raw = exchange_span(x, x->head.path);
    x->args = exchange_span(x, x->head.query);
    /* TRACE would show a script what it must not see, such as cookies. */
    if (x->head.form == HTTP1_AUTHORITY || x->head.form == HTTP1_ASTERISK ||
        x->head.method_id == HTTP1_TRACE)
        return 405;
    if (raw.len == 0)
        raw = STR("/");
    if ((x->head.flags & (HTTP1_HAS_ESCAPE | HTTP1_HAS_DOTS)) == 0) {
        x->path = raw;
        return 0;
    }
    char *room = pool_take(&x->pool, raw.len);
    if (room == NULL)
        return 500;
    size_t len = 0;
    if (uri_normalise(raw, x->server->merge_slashes, room, &len) != URI_OK)
        return 400;
    x->path = str_make(room, len);
    return 0;
}

static void exchange_find_nonce(struct exchange *x)
{
    struct conf_str sent = exchange_known_header(x, HTTP1_NAME_X_MW_NONCE);
    if (sent.at == NULL || !str_to_u64(sent, &x->nonce))
        x->nonce = exchange_argument(x, "n", 0);
}

void exchange_execute(struct exchange *x, const char *buf)
{
    x->buf = buf;
    exchange_use_defaults(x);
    if (!exchange_copy_host(x)) {
        exchange_refuse(x, buf, 500);
        return;
    }
    x->server = route_request(x);
    x->location = x->server->fallback;
    int refusal = secure_refusal(x);
    if (refusal == 0)
        refusal = exchange_normalise(x);
    if (refusal != 0) {
        exchange_refuse(x, buf, refusal);
        return;
    }
    exchange_find_nonce(x);
    phases_run(x);
}

void exchange_refuse(struct exchange *x, const char *buf, int status)
{
    x->buf = buf;
    if (x->location == NULL)
        exchange_use_defaults(x);
    answer_page(x, status);
    phases_continue(x);
}

/* ---- other paths ----------------------------------------------------------------------------- */

bool exchange_may_redirect(struct exchange *x)
{
    if (++x->redirects <= INTERNAL_REDIRECTS_MAX)
        return true;
    exchange_log(x, LEVEL_ERR, "rewrite or internal redirection cycle while processing \"%.*s\"",
                 (int)x->path.len, x->path.at);
    answer_page(x, 500);
    return false;
}

bool exchange_set_path(struct exchange *x, struct conf_str path, struct conf_str args)
{
    /* A path without its slash would name a neighbour of the root. */
    if (path.len == 0 || path.at[0] != '/') {
        struct builder whole;
        builder_start(&whole, &x->pool, path.len + 2);
        builder_add_char(&whole, '/');
        builder_add(&whole, path);
        path = builder_end(&whole);
        if (path.at == NULL)
            return false;
    }
    if (!uri_stays_inside(path)) {
        exchange_log(x, LEVEL_ERR, "the path \"%.*s\" leads out of the root", (int)path.len,
                     path.at);
        return false;
    }
    x->path = path;
    x->args = args;
    return true;
}

/* What an earlier handler has prepared is forgotten. */
static void exchange_restart(struct exchange *x, enum phase phase)
{
    answer_reset(x);
    x->handler = NULL;
    x->wake_ns = 0;
    x->internal = true;
    x->restarted = true;
    x->phase = (uint8_t)phase;
}

void exchange_redirect(struct exchange *x, struct conf_str path, struct conf_str args)
{
    if (!exchange_may_redirect(x))
        return;
    if (!exchange_set_path(x, path, args)) {
        answer_page(x, 500);
        return;
    }
    x->location = x->server->fallback;
    exchange_restart(x, PHASE_server_rewrite);
}

void exchange_redirect_named(struct exchange *x, struct conf_str name)
{
    if (!exchange_may_redirect(x))
        return;
    const struct conf_location *location = route_named(x->server, name);
    if (location == NULL) {
        exchange_log(x, LEVEL_ERR, "could not find named location \"%.*s\"", (int)name.len,
                     name.at);
        answer_page(x, 500);
        return;
    }
    x->location = location;
    x->fits_location = true;
    exchange_restart(x, PHASE_rewrite);
}

/* ---- the request's body, time passing -------------------------------------------------------- */

bool exchange_wants_body(const struct exchange *x)
{
    return !exchange_answered(x) && x->handler != NULL && x->handler->reads_body;
}

void exchange_body(struct exchange *x, struct conf_str piece)
{
    x->body_bytes += piece.len;
    if (!exchange_wants_body(x))
        return;
    uint64_t limit = x->location->client_max_body_size;
    if (limit != 0 && x->body_bytes > limit)
        answer_page(x, 413); /* a chunked body, whose length nobody told us */
    else if (x->handler->body != NULL)
        x->handler->body(x, piece);
    phases_continue(x);
}

void exchange_body_end(struct exchange *x)
{
    x->body_over = true;
    if (exchange_wants_body(x) && x->handler->body_end != NULL)
        x->handler->body_end(x);
    phases_continue(x);
}

void exchange_wake(struct exchange *x)
{
    x->wake_ns = 0;
    if (exchange_answered(x))
        return;
    if (x->handler == NULL)
        phases_run(x);
    else if (x->handler->wake != NULL)
        x->handler->wake(x);
    phases_continue(x);
}

enum pull exchange_pull(struct exchange *x, char *room, size_t size, struct conf_str *piece)
{
    enum { TAIL = sizeof HTTP1_CHUNK_TAIL - 1, FRAME = HTTP1_CHUNK_HEAD_MAX + TAIL };
    *piece = str_make(room, 0);
    size_t len = 0;
    if (!x->answer.chunked) {
        enum pull made = x->handler->pull(x, room, size, &len);
        piece->len = len;
        return made;
    }
    CHECK(size > FRAME);
    if (x->answer.chunks_over)
        return PULL_END;
    enum pull made = x->handler->pull(x, room + HTTP1_CHUNK_HEAD_MAX, size - FRAME, &len);
    if (made == PULL_END) {
        x->answer.chunks_over = true;
        *piece = STR(HTTP1_CHUNK_LAST);
        return PULL_DATA;
    }
    if (made != PULL_DATA)
        return made;
    char head[HTTP1_CHUNK_HEAD_MAX];
    size_t head_len = http1_chunk_head(head, len);
    char *begin = room + HTTP1_CHUNK_HEAD_MAX - head_len;
    memcpy(begin, head, head_len);
    memcpy(room + HTTP1_CHUNK_HEAD_MAX + len, HTTP1_CHUNK_TAIL, TAIL);
    *piece = str_make(begin, head_len + len + TAIL);
    return made;
}

void exchange_input(struct exchange *x, struct conf_str piece)
{
    x->state.tunnel.pending = piece;
}

void exchange_input_end(struct exchange *x)
{
    x->state.tunnel.ended = true;
}

void exchange_end(struct exchange *x)
{
    if (x->head.line.len > 0 && exchange_answered(x))
        access_log_write(x);
    if (x->holds != NULL)
        limits_release(x);
    answer_drop_body(x);
    if (x->talk != NULL)
        talk_free(x->talk);
    pool_reset(&x->pool);
}

struct conf_str exchange_method(const struct exchange *x)
{
    return x->head.method_id == HTTP1_GET ? STR("GET") : exchange_span(x, x->head.method);
}

struct conf_str exchange_known_header(const struct exchange *x, enum http1_name name)
{
    const struct http1_header *header = http1_find(&x->head, name);
    return header != NULL ? exchange_span(x, header->value) : str_make(NULL, 0);
}

uint64_t exchange_argument(const struct exchange *x, const char *name, uint64_t otherwise)
{
    struct conf_str value;
    uint64_t number;
    if (uri_argument(x->args, str_make(name, strlen(name)), &value) && str_to_u64(value, &number))
        return number;
    return otherwise;
}

/* keepalive_disable: browsers that stumble over connections that are kept. */
static bool exchange_is_disabled(const struct exchange *x)
{
    const struct conf_location *location = x->location;
    bool msie6 = location->keepalive_disable_msie6 && x->head.method_id == HTTP1_POST;
    if (!msie6 && !location->keepalive_disable_safari)
        return false;
    struct conf_str agent = exchange_known_header(x, HTTP1_NAME_USER_AGENT);
    if (agent.len == 0)
        return false;
    const char *msie = memmem(agent.at, agent.len, "MSIE ", 5);
    size_t left = msie != NULL ? agent.len - (size_t)(msie - agent.at) : 0;
    if (msie6 && left > 6 && msie[5] >= '4' && msie[5] <= '6' && msie[6] == '.' &&
        memmem(msie, left, "SV1", 3) == NULL)
        return true;
    return location->keepalive_disable_safari &&
           memmem(agent.at, agent.len, "Safari/", 7) != NULL &&
           memmem(agent.at, agent.len, "Mac OS X", 8) != NULL &&
           memmem(agent.at, agent.len, "Chrome/", 7) == NULL;
}

bool exchange_must_close(const struct exchange *x)
{
    const struct answer *answer = &x->answer;
    bool endless = answer->body >= BODY_PULL && !answer->length_known && !answer->upgraded;
    bool note = !answer->from_upstream && status_note(answer->status).len > 0;
    return (endless && x->head.minor == 0) || note || exchange_is_disabled(x);
}

/* To every place that the location names; before there is one, to the process's own. */
static void exchange_log_line(const struct exchange *x, enum log_level level, const char *line)
{
    const struct conf_location *location = x->location;
    if (location == NULL) {
        log_line(level, "%s", line);
        return;
    }
    const struct access_logs *logs = x->site->logs;
    const struct conf_log_file *file = location->error_file;
    bool own = file == NULL || file->index >= logs->count;
    if ((int)level <= location->error_file_level)
        log_line_to(own ? NULL : file->path.at, own ? -1 : logs->files[file->index].fd, level, "%s",
                    line);
    for (size_t i = 0; i < location->more_error_log_count; i++) {
        const struct conf_error_log *more = &location->more_error_logs[i];
        bool opened = more->file != NULL && more->file->index < logs->count;
        if ((int)level <= more->level && (opened || more->file == NULL))
            log_line_to(more->path.at, opened ? logs->files[more->file->index].fd : STDERR_FILENO,
                        level, "%s", line);
    }
}

void exchange_log(const struct exchange *x, enum log_level level, const char *format, ...)
{
    enum { MESSAGE_MAX = 1024, REQUEST_MAX = 512, UPSTREAM_MAX = 512, LINE_MAX_BYTES = 4096 };
    if (x->location != NULL && (int)level > x->location->error_level)
        return;
    char message[MESSAGE_MAX], upstream[UPSTREAM_MAX] = "", peer[INET6_ADDRSTRLEN] = "unix:";
    const union http_address *address = x->peer;
    if (address->plain.sa_family == AF_INET)
        inet_ntop(AF_INET, &address->in.sin_addr, peer, sizeof peer);
    else if (address->plain.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &address->in6.sin6_addr, peer, sizeof peer);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (x->talk != NULL)
        talk_describe(x->talk, upstream, sizeof upstream);
    struct conf_str line = exchange_span(x, x->head.line), host = exchange_span(x, x->head.host);
    int line_len = line.len < REQUEST_MAX ? (int)line.len : REQUEST_MAX;
    const char *server =
        x->server != NULL && x->server->name_count > 0 ? x->server->names[0].at : "";
    char whole[LINE_MAX_BYTES];
    snprintf(whole, sizeof whole, "*%llu %s, client: %s, server: %s, request: \"%.*s\"%s%s%.*s%s",
             (unsigned long long)x->client->number, message, peer, server, line_len, line.at,
             upstream, host.len > 0 ? ", host: \"" : "", (int)host.len, host.at,
             host.len > 0 ? "\"" : "");
    exchange_log_line(x, level, whole);
}
