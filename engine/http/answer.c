/* Building answers. The head is formatted once, when it is known whether the connection stays. */
#include "engine/http/answer.h"

#include <strings.h>

#include "engine/http/error_page.h"
#include "engine/http/expires.h"
#include "engine/http/documents.h"
#include "engine/http/status.h"
#include "engine/http/variables.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"

bool answer_is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Answers that never have a body (RFC 9110 6.4.1). */
static bool answer_is_bodiless(int status)
{
    return status < 200 || status == 204 || status == 304;
}

void answer_drop_body(struct exchange *x)
{
    if (x->answer.document != NULL)
        document_give(x->answer.document);
    else if (x->answer.file_fd >= 0)
        sys_close(x->answer.file_fd);
    x->answer.document = NULL;
    x->answer.file_fd = -1;
    x->answer.body = BODY_NONE;
}

void answer_text(struct exchange *x, int status, struct conf_str type, struct conf_str body)
{
    struct answer *answer = &x->answer;
    answer->status = status;
    answer->content_type = type;
    answer->body = BODY_MEMORY;
    answer->memory = body;
    answer->length = body.len;
    answer->length_known = true;
}

static bool answer_tells_version(const struct exchange *x)
{
    return x->location == NULL || x->location->server_tokens;
}

static struct conf_str answer_server_words(const struct exchange *x)
{
    return answer_tells_version(x) ? STR(SERVER_NAME "/" SERVER_VERSION) : STR(SERVER_NAME);
}

static struct conf_str answer_server_line(const struct exchange *x)
{
    return answer_tells_version(x) ? STR("Server: " SERVER_NAME "/" SERVER_VERSION "\r\n")
                                   : STR("Server: " SERVER_NAME "\r\n");
}

void answer_reset(struct exchange *x)
{
    answer_drop_body(x);
    x->answer.status = 0;
    x->answer.header_count = 0;
    x->answer.length_known = x->answer.chunked = false;
    x->answer.silent = x->answer.upgraded = false;
    x->answer.from_upstream = x->answer.has_server = x->answer.has_date = false;
    x->answer.passed = STR("");
    x->answer.modified_s = -1;
    x->answer.content_type = STR("");
}

void answer_page(struct exchange *x, int status)
{
    if (!error_page_divert(x, status))
        answer_standard_page(x, status);
}

void answer_standard_page(struct exchange *x, int status)
{
    answer_reset(x);
    x->handler = NULL;
    int seen = status_seen(status);
    if (status_title(seen).len == 0) { /* not one that people have a name for */
        answer_text(x, status, STR(""), STR(""));
        return;
    }
    struct builder page;
    builder_start(&page, &x->pool, 256);
    struct conf_str note = status_note(status);
    /* The page says what browsers and RFC 9110 call it, the status line what nginx does. */
    struct conf_str title = status == 302 ? STR("Found") : status_title(seen);
    for (int part = 0; part < 2; part++) {
        builder_add(&page, part == 0 ? STR("<html>\r\n<head><title>")
                                     : STR("</title></head>\r\n<body>\r\n<center><h1>"));
        builder_add_u64(&page, (uint64_t)seen);
        builder_add_char(&page, ' ');
        builder_add(&page, part == 0 && note.len > 0 ? note : title);
    }
    builder_add(&page, STR("</h1></center>\r\n"));
    if (note.len > 0) {
        builder_add(&page, STR("<center>"));
        builder_add(&page, note);
        builder_add(&page, STR("</center>\r\n"));
    }
    builder_add(&page, STR("<hr><center>"));
    builder_add(&page, answer_server_words(x));
    builder_add(&page, STR("</center>\r\n</body>\r\n</html>\r\n"));
    struct conf_str text = builder_end(&page);
    answer_text(x, status, STR("text/html"), text.at != NULL ? text : STR(""));
}

void answer_header(struct exchange *x, struct conf_str name, struct conf_str value)
{
    CHECK(x->answer.header_count < ANSWER_HEADERS_MAX);
    x->answer.headers[x->answer.header_count++] = (struct answer_header){name, value};
}

/* http://HOST[:PORT], as the client knows us. */
static void answer_add_origin(struct exchange *x, struct builder *to)
{
    struct conf_str none = STR("");
    struct conf_str port = variable_value(x, VAR_server_port, none);
    bool secure = x->client->tls != NULL;
    builder_add(to, secure ? STR("https://") : STR("http://"));
    bool named = x->location->server_name_in_redirect;
    builder_add(to, variable_value(x, named ? VAR_server_name : VAR_host, none));
    if (x->location->port_in_redirect && port.len > 0 &&
        !str_equal(port, secure ? STR("443") : STR("80"))) {
        builder_add_char(to, ':');
        builder_add(to, port);
    }
}

void answer_redirect(struct exchange *x, int status, struct conf_str target)
{
    if (error_page_divert(x, status))
        return;
    answer_standard_page(x, status);
    if (target.len == 0)
        return;
    if (target.at[0] == '/' && x->location->absolute_redirect) {
        struct builder absolute;
        builder_start(&absolute, &x->pool, target.len + 128);
        answer_add_origin(x, &absolute);
        builder_add(&absolute, target);
        target = builder_end(&absolute);
        if (target.at == NULL) {
            answer_page(x, 500);
            return;
        }
    }
    answer_header(x, STR("Location"), target);
}

struct conf_str answer_type_of_path(const struct exchange *x)
{
    const struct conf_location *location = x->location;
    size_t dot = x->path.len;
    while (dot > 0 && x->path.at[dot - 1] != '.' && x->path.at[dot - 1] != '/')
        dot--;
    if (dot == 0 || x->path.at[dot - 1] == '/')
        return location->default_type;
    struct conf_str extension = str_make(x->path.at + dot, x->path.len - dot);
    size_t low = 0, high = location->type_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct conf_str here = location->types[middle].extension;
        size_t common = here.len < extension.len ? here.len : extension.len;
        int order = strncasecmp(here.at, extension.at, common);
        if (order == 0 && here.len == extension.len)
            return location->types[middle].type;
        if (order < 0 || (order == 0 && here.len < extension.len))
            low = middle + 1;
        else
            high = middle;
    }
    return location->default_type;
}

/* ---- the head ----------------------------------------------------------------------------------
 */

static void answer_add_line(struct builder *head, struct conf_str name, struct conf_str value)
{
    struct conf_str between = STR(": "), end = STR("\r\n");
    if (!builder_reserve(head, name.len + between.len + value.len + end.len))
        return;
    builder_put(head, name);
    builder_put(head, between);
    builder_put(head, value);
    builder_put(head, end);
}

/* Does add_header (without `always`) apply to answers with this status? nginx's list. */
static bool answer_takes_headers(int status)
{
    return status == 200 || status == 201 || status == 204 || status == 206 || status == 304 ||
           answer_is_redirect(status);
}

/* expires and add_header. What they replace: enum conf_replaces. */
static unsigned answer_add_configured(struct exchange *x, struct builder *head)
{
    unsigned replaced = 0;
    if (x->location == NULL)
        return replaced;
    bool takes = answer_takes_headers(x->answer.status);
    if (takes && x->location->expires.kind != EXPIRES_OFF && expires_add(x, head))
        replaced |= REPLACES_FRESHNESS;
    for (size_t i = 0; i < x->location->header_count; i++) {
        const struct conf_header *header = &x->location->headers[i];
        if (!header->always && !takes)
            continue;
        struct conf_str value = variable_expand(x, &header->value);
        replaced |= header->replaces;
        if (value.len > 0)
            answer_add_line(head, header->name, value);
    }
    return replaced;
}

static bool answer_is_replaced(struct conf_str name, unsigned replaced)
{
    static const struct {
        const char *name;
        unsigned bit;
    } all[] = {{"Expires", REPLACES_FRESHNESS},
               {"Cache-Control", REPLACES_FRESHNESS},
               {"Last-Modified", REPLACES_MODIFIED},
               {"ETag", REPLACES_ETAG}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if ((replaced & all[i].bit) &&
            str_equal_nocase(name, str_make(all[i].name, strlen(all[i].name))))
            return true;
    return false;
}

/* The answer's own headers but those that configured ones take the place of; then these. */
static void answer_add_replacing(struct exchange *x, struct builder *head)
{
    struct answer *answer = &x->answer;
    struct builder configured;
    builder_start(&configured, &x->pool, 256);
    unsigned replaced = answer_add_configured(x, &configured);
    for (size_t i = 0; i < answer->header_count; i++)
        if (!answer_is_replaced(answer->headers[i].name, replaced))
            answer_add_line(head, answer->headers[i].name, answer->headers[i].value);
    for (struct conf_str rest = answer->passed; rest.len > 0;) {
        struct conf_str line = str_cut(&rest, '\n'), value = line;
        if (answer_is_replaced(str_cut(&value, ':'), replaced))
            continue;
        builder_add(head, line);
        builder_add_char(head, '\n');
    }
    struct conf_str text = builder_end(&configured);
    head->failed |= text.at == NULL;
    builder_add(head, text);
}

/* Headers beside those that say what kind of answer it is. */
static void answer_add_headers(struct exchange *x, struct builder *head)
{
    const struct answer *answer = &x->answer;
    if (x->location != NULL && x->location->replaces != 0) {
        answer_add_replacing(x, head);
        return;
    }
    for (size_t i = 0; i < answer->header_count; i++)
        answer_add_line(head, answer->headers[i].name, answer->headers[i].value);
    builder_add(head, answer->passed);
    answer_add_configured(x, head);
}

static void answer_add_status_line(const struct answer *answer, struct builder *head)
{
    int status = answer->status;
    struct conf_str line = status_line(status);
    if (line.len > 0 && !answer->from_upstream) {
        builder_add(head, line);
        return;
    }
    builder_add(head, STR("HTTP/1.1 "));
    builder_add_u64(head, (uint64_t)status);
    builder_add_char(head, ' ');
    if (answer->from_upstream)
        builder_add(head, answer->reason);
    builder_add(head, STR("\r\n"));
}

/* The second value of keepalive_timeout. */
static void answer_add_keep_alive(struct builder *head, uint64_t timeout_ns)
{
    builder_add(head, STR("Keep-Alive: timeout="));
    builder_add_u64(head, timeout_ns / NS_PER_S);
    builder_add(head, STR("\r\n"));
}

/* How the body's end is told: a length, chunks, or the connection's end. */
static void answer_add_framing(struct exchange *x, struct builder *head)
{
    struct answer *answer = &x->answer;
    bool bodiless =
        answer_is_bodiless(answer->status) ||
        (answer->from_upstream && !answer->length_known && x->head.method_id == HTTP1_HEAD);
    if (bodiless)
        return;
    if (answer->length_known) {
        builder_add(head, STR("Content-Length: "));
        builder_add_u64(head, answer->length);
        builder_add(head, STR("\r\n"));
    } else if (x->head.minor >= 1) {
        answer->chunked = answer->body >= BODY_PULL;
        builder_add(head, STR("Transfer-Encoding: chunked\r\n"));
    }
}

/* A short body is put right behind its head: what lies in one piece is cheaper to send. */
static struct conf_str answer_end_head(struct answer *answer, struct builder *head)
{
    enum { BEHIND_BYTES_MAX = 2048 };
    bool behind = answer->body == BODY_MEMORY && answer->memory.len <= BEHIND_BYTES_MAX;
    size_t body_len = behind ? answer->memory.len : 0;
    if (behind)
        builder_add(head, answer->memory);
    struct conf_str text = builder_end(head);
    if (text.at == NULL || !behind)
        return text;
    text.len -= body_len;
    answer->memory.at = text.at + text.len;
    return text;
}

struct conf_str exchange_head(struct exchange *x, bool close)
{
    struct answer *answer = &x->answer;
    struct builder head;
    if (x->sent_status != 0) {
        answer->status = x->sent_status;
        answer->reason = status_title(x->sent_status);
    }
    builder_start(&head, &x->pool, 768);
    if (!answer->from_upstream)
        answer->status = status_seen(answer->status);
    answer_add_status_line(answer, &head);
    if (!answer->has_server)
        builder_add(&head, answer_server_line(x));
    date_update(&x->site->date, x->site->wall_ns);
    if (!answer->has_date)
        builder_add(&head, str_make(x->site->date.line, DATE_LINE_LEN));
    if (answer->content_type.len > 0 && !answer_is_bodiless(answer->status))
        answer_add_line(&head, STR("Content-Type"), answer->content_type);
    answer_add_framing(x, &head);
    if (!answer->upgraded)
        builder_add(&head,
                    close ? STR("Connection: close\r\n") : STR("Connection: keep-alive\r\n"));
    if (!close && !answer->upgraded && x->location != NULL && x->location->keepalive_header_ns != 0)
        answer_add_keep_alive(&head, x->location->keepalive_header_ns);
    answer_add_headers(x, &head);
    builder_add(&head, STR("\r\n"));
    bool head_only = x->head.method_id == HTTP1_HEAD || answer_is_bodiless(answer->status);
    if (head_only && !answer->upgraded)
        answer_drop_body(x);
    answer->head = answer_end_head(answer, &head);
    return answer->head;
}
