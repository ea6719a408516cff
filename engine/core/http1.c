/* The head of an HTTP/1.x request, line by line: a line is looked for with memchr, and parsed when
 * all of it is there. That makes the verdict independent of how the bytes were cut, and costs
 * nothing where a head comes in one piece, as it nearly always does. */
#include "engine/core/http1.h"

#include <string.h>

#include "engine/core/check.h"
#include "engine/core/http1_chars.h"

enum state { REQUEST_LINE, HEADERS, OVER, BROKEN };

static enum http1_result refuse(struct http1 *p, enum http1_reason reason);
static enum http1_result no_line(struct http1 *p, size_t len, uint64_t limit);
static enum http1_reason take_line(struct http1 *p, const char *buf, uint32_t end);
static bool starts_badly(const struct http1 *p, const char *buf, size_t stop);

void http1_init(struct http1 *p, const struct http1_limits *limits, struct http1_header *headers,
                unsigned header_max)
{
    CORE_CHECK(header_max <= HTTP1_HEADERS_MAX);
    *p = (struct http1){.limits = *limits, .headers = headers, .header_max = (uint16_t)header_max};
}

enum http1_result http1_feed(struct http1 *p, const char *buf, size_t len)
{
    while (p->state < OVER) {
        uint64_t limit = (uint64_t)p->at + p->limits.line_bytes;
        if (limit > p->limits.head_bytes)
            limit = p->limits.head_bytes;
        size_t stop = len < limit ? len : (size_t)limit;
        if (p->state == REQUEST_LINE && starts_badly(p, buf, stop))
            return refuse(p, HTTP1_R_METHOD);
        const char *newline = p->scan < stop ? memchr(buf + p->scan, '\n', stop - p->scan) : NULL;
        if (!newline) {
            p->scan = (uint32_t)stop;
            return no_line(p, len, limit);
        }
        uint32_t end = (uint32_t)(newline - buf);
        if (end == p->at || buf[end - 1] != '\r')
            return refuse(p, HTTP1_R_BARE_LF);
        enum http1_reason reason = take_line(p, buf, end - 1);
        if (reason != HTTP1_R_FINE)
            return refuse(p, reason);
        p->at = p->scan = end + 1;
    }
    return p->state == OVER ? HTTP1_DONE : HTTP1_BAD;
}

const struct http1_header *http1_find(const struct http1 *p, enum http1_name name)
{
    CORE_CHECK(name > HTTP1_NAME_OTHER && name < HTTP1_NAME_COUNT);
    return p->first[name] ? &p->headers[p->first[name] - 1] : NULL;
}

/* Any token, so unlike http1_span_is it minds which characters have a case. */
static bool is_name(const char *at, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((at[i] >= 'A' && at[i] <= 'Z' ? at[i] | 0x20 : at[i]) != name[i])
            return false;
    return true;
}

const struct http1_header *http1_find_text(const struct http1 *p, const char *buf, const char *name,
                                           size_t len)
{
    for (unsigned i = 0; i < p->header_count; i++) {
        const struct http1_header *header = &p->headers[i];
        if (header->name_len == len && is_name(buf + header->name_at, name, len))
            return header;
    }
    return NULL;
}

static enum http1_result refuse(struct http1 *p, enum http1_reason reason)
{
    p->state = BROKEN;
    p->scan = 0;
    p->reason = (uint8_t)reason;
    return HTTP1_BAD;
}

/* There is no end of the line before `limit`, or not yet. */
static enum http1_result no_line(struct http1 *p, size_t len, uint64_t limit)
{
    if (len < limit)
        return HTTP1_MORE;
    if (p->state == REQUEST_LINE)
        return refuse(p, HTTP1_R_LINE_LONG);
    return refuse(p, limit == p->limits.head_bytes ? HTTP1_R_HEAD_LONG : HTTP1_R_HEADER_LONG);
}

/* Whatever does not speak HTTP (TLS on a plain port) shows in its first byte; its sender need not
 * wait for the end of a line that may never come. */
static bool starts_badly(const struct http1 *p, const char *buf, size_t stop)
{
    if (stop <= p->at || http1_is(buf[p->at], HTTP1_C_TOKEN) || buf[p->at] == '\n')
        return false;
    return buf[p->at] != '\r' || (stop > p->at + 1 && buf[p->at + 1] != '\n');
}

/* ---- the request line ------------------------------------------------------------------------ */

/* Lines end in '\r', which belongs to no class: a loop over one class stops there by itself. */

static uint8_t method_of(const char *at, uint32_t len)
{
    static const struct {
        const char *text;
        uint32_t len;
    } methods[HTTP1_METHOD_COUNT] = {[HTTP1_OTHER] = {"", 0},
#define M(symbol, text) [HTTP1_##symbol] = {text, sizeof(text) - 1},
                                     HTTP1_METHODS(M)
#undef M
    };
    for (unsigned i = HTTP1_OTHER + 1; i < HTTP1_METHOD_COUNT; i++)
        if (methods[i].len == len && memcmp(at, methods[i].text, len) == 0)
            return (uint8_t)i;
    return HTTP1_OTHER;
}

static enum http1_reason take_method(struct http1 *p, const char *buf, uint32_t at)
{
    uint32_t stop = at;
    while (http1_is(buf[stop], HTTP1_C_TOKEN))
        stop++;
    if (stop == at || buf[stop] != ' ')
        return HTTP1_R_METHOD;
    p->method = (struct http1_span){at, stop - at};
    if (p->method.len > HTTP1_METHOD_MAX)
        return HTTP1_R_METHOD_LONG;
    p->method_id = method_of(buf + at, stop - at);
    return HTTP1_R_FINE;
}

static enum http1_reason take_version(struct http1 *p, const char *at, size_t len)
{
    if (len != 8 || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' || at[5] > '9' || at[6] != '.' ||
        at[7] < '0' || at[7] > '9')
        return HTTP1_R_VERSION;
    if (at[5] != '1')
        return HTTP1_R_VERSION_UNKNOWN;
    p->minor = at[7] == '0' ? 0 : 1;
    return HTTP1_R_FINE;
}

/* From `at` on: digits up to `end`, at least `least` of them. */
static bool is_port(const char *buf, uint32_t at, uint32_t end, uint32_t least)
{
    for (uint32_t i = at; i < end; i++)
        if (buf[i] < '0' || buf[i] > '9')
            return false;
    return end - at >= least;
}

/* HOST or HOST:PORT. An IPv6 address keeps its brackets. */
static bool take_host(const char *buf, struct http1_span span, struct http1_span *host)
{
    uint32_t at = span.at, end = span.at + span.len;
    if (at < end && buf[at] == '[') {
        for (at++;
             at < end && (http1_is(buf[at], HTTP1_C_HEX) || buf[at] == ':' || buf[at] == '.');)
            at++;
        if (at == end || buf[at] != ']' || at == span.at + 1)
            return false;
        at++;
    } else {
        while (at < end && http1_is(buf[at], HTTP1_C_HOST))
            at++;
    }
    *host = (struct http1_span){span.at, at - span.at};
    if (at == end)
        return true;
    return buf[at] == ':' && is_port(buf, at + 1, end, 0);
}

/* Splits what follows the authority, [at, end), in path and query, and notes what the path holds.
 */
static void take_path(struct http1 *p, const char *buf, uint32_t at, uint32_t end)
{
    uint32_t i = at;
    for (; i < end && buf[i] != '?'; i++) {
        if (!http1_is(buf[i], HTTP1_C_MARK))
            continue;
        if (buf[i] == '%')
            p->flags |= HTTP1_HAS_ESCAPE;
        else if (i + 1 < end && (buf[i + 1] == '.' || buf[i + 1] == '/'))
            p->flags |= HTTP1_HAS_DOTS;
    }
    p->path = (struct http1_span){at, i - at};
    p->query = i < end ? (struct http1_span){i + 1, end - i - 1} : (struct http1_span){i, 0};
}

static enum http1_reason take_absolute(struct http1 *p, const char *buf)
{
    uint32_t at = p->target.at, end = at + p->target.len, scheme;
    /* "http://h" is the shortest; with an s, "://" still lies within it */
    if (p->target.len < 8 || !http1_span_is(buf, (struct http1_span){at, 4}, "http"))
        return HTTP1_R_TARGET;
    scheme = (buf[at + 4] | 0x20) == 's' ? 5 : 4;
    if (memcmp(buf + at + scheme, "://", 3) != 0)
        return HTTP1_R_TARGET;
    uint32_t authority = at + scheme + 3, stop = authority;
    while (stop < end && buf[stop] != '/' && buf[stop] != '?')
        stop++;
    struct http1_span span = {authority, stop - authority};
    if (!take_host(buf, span, &p->host) || p->host.len == 0)
        return HTTP1_R_TARGET;
    p->form = HTTP1_ABSOLUTE;
    take_path(p, buf, stop, end);
    return HTTP1_R_FINE;
}

/* CONNECT host:port; the port must be there. */
static enum http1_reason take_authority(struct http1 *p, const char *buf)
{
    uint32_t end = p->target.at + p->target.len;
    if (!take_host(buf, p->target, &p->host) || p->host.len == 0)
        return HTTP1_R_TARGET;
    uint32_t colon = p->host.at + p->host.len;
    if (colon == end || !is_port(buf, colon + 1, end, 1))
        return HTTP1_R_TARGET;
    p->form = HTTP1_AUTHORITY;
    return HTTP1_R_FINE;
}

static enum http1_reason take_form(struct http1 *p, const char *buf)
{
    if (p->method_id == HTTP1_CONNECT)
        return take_authority(p, buf);
    if (buf[p->target.at] == '/') {
        p->form = HTTP1_ORIGIN;
        take_path(p, buf, p->target.at, p->target.at + p->target.len);
        return HTTP1_R_FINE;
    }
    if (p->method_id == HTTP1_OPTIONS && p->target.len == 1 && buf[p->target.at] == '*') {
        p->form = HTTP1_ASTERISK;
        p->path = p->target;
        return HTTP1_R_FINE;
    }
    return take_absolute(p, buf);
}

/* [at, end) is METHOD SP TARGET SP VERSION, with one space each. */
static enum http1_reason take_request_line(struct http1 *p, const char *buf, uint32_t end)
{
    uint32_t at = p->at;
    p->begin = at;
    p->line = (struct http1_span){at, end - at};
    enum http1_reason reason = take_method(p, buf, at);
    if (reason != HTTP1_R_FINE)
        return reason;
    at += p->method.len + 1;
    uint32_t stop = at;
    while (http1_is(buf[stop], HTTP1_C_TARGET))
        stop++;
    if (stop == at || (buf[stop] != ' ' && stop != end))
        return HTTP1_R_TARGET;
    p->target = (struct http1_span){at, stop - at};
    if (stop == end)
        return HTTP1_R_VERSION; /* HTTP/0.9 */
    reason = take_version(p, buf + stop + 1, end - stop - 1);
    if (reason != HTTP1_R_FINE)
        return reason;
    p->state = HEADERS;
    return take_form(p, buf);
}

/* ---- headers --------------------------------------------------------------------------------- */

static enum http1_reason take_length(struct http1 *p, const char *buf, struct http1_span value)
{
    if (p->framing == HTTP1_CHUNKED)
        return HTTP1_R_LENGTH_AND_CODING;
    if (value.len == 0 || value.len > 18) /* 18 digits fit */
        return HTTP1_R_LENGTH;
    uint64_t length = 0;
    for (uint32_t i = value.at; i < value.at + value.len; i++) {
        if (buf[i] < '0' || buf[i] > '9')
            return HTTP1_R_LENGTH;
        length = length * 10 + (uint64_t)(buf[i] - '0');
    }
    p->content_length = length;
    p->framing = HTTP1_LENGTH;
    return HTTP1_R_FINE;
}

/* Chunked and nothing else. Where chunked is not the last coding, the body's end cannot be known,
 * which is an error (RFC 9112 6.3); other codings before it are merely not supported. */
static enum http1_reason take_coding(struct http1 *p, const char *buf, struct http1_span value)
{
    if (p->framing == HTTP1_LENGTH)
        return HTTP1_R_LENGTH_AND_CODING;
    if (p->framing == HTTP1_CHUNKED || p->minor == 0)
        return HTTP1_R_CODING;
    if (http1_span_is(buf, value, "chunked")) {
        p->framing = HTTP1_CHUNKED;
        return HTTP1_R_FINE;
    }
    uint32_t last = value.at + value.len;
    while (last > value.at && buf[last - 1] != ',')
        last--;
    if (last == value.at)
        return HTTP1_R_CODING;
    struct http1_span before = {value.at, last - 1 - value.at};
    struct http1_span after = {last, value.at + value.len - last};
    bool once = http1_list_has(buf, after, "chunked") && !http1_list_has(buf, before, "chunked");
    return once ? HTTP1_R_CODING_UNKNOWN : HTTP1_R_CODING;
}

static void take_connection(struct http1 *p, const char *buf, struct http1_span value)
{
    if (http1_list_has(buf, value, "close"))
        p->flags |= HTTP1_SAID_CLOSE;
    if (http1_list_has(buf, value, "keep-alive"))
        p->flags |= HTTP1_SAID_KEEP_ALIVE;
    if (http1_list_has(buf, value, "upgrade"))
        p->flags |= HTTP1_SAID_UPGRADE;
}

/* What frames the message or names its host is understood at once; `first`: not seen before. */
static enum http1_reason take_known(struct http1 *p, const char *buf, uint8_t name,
                                    struct http1_span value, bool first)
{
    struct http1_span host;
    switch (name) {
    case HTTP1_NAME_HOST:
        if (!first)
            return HTTP1_R_HOST_REPEATED;
        if (!take_host(buf, value, &host))
            return HTTP1_R_HOST;
        if (p->host.len == 0)
            p->host = host;
        return HTTP1_R_FINE;
    case HTTP1_NAME_CONTENT_LENGTH:
        return first ? take_length(p, buf, value) : HTTP1_R_LENGTH_REPEATED;
    case HTTP1_NAME_TRANSFER_ENCODING:
        return take_coding(p, buf, value);
    case HTTP1_NAME_CONNECTION:
        take_connection(p, buf, value);
        return HTTP1_R_FINE;
    case HTTP1_NAME_EXPECT:
        if (p->minor > 0)
            p->flags |= http1_span_is(buf, value, "100-continue") ? HTTP1_EXPECT_CONTINUE
                                                                  : HTTP1_EXPECT_OTHER;
        return HTTP1_R_FINE;
    default:
        return HTTP1_R_FINE;
    }
}

static void mark_odd(struct http1_header *header, const char *name)
{
    header->odd = header->underscore = 1;
    for (unsigned i = 0; i < header->name_len; i++)
        if (!http1_is(name[i], HTTP1_C_PLAIN) && name[i] != '_')
            header->underscore = 0;
}

static enum http1_reason take_header(struct http1 *p, const char *buf, uint32_t end)
{
    uint32_t at = p->at, stop = at;
    unsigned all = HTTP1_C_TOKEN | HTTP1_C_PLAIN, classes;
    if (buf[at] == ' ' || buf[at] == '\t')
        return HTTP1_R_FOLDED;
    while ((classes = http1_classes[(uint8_t)buf[stop]]) & HTTP1_C_TOKEN) {
        all &= classes;
        stop++;
    }
    if (stop == at || buf[stop] != ':')
        return HTTP1_R_NAME;
    if (stop - at > UINT16_MAX)
        return HTTP1_R_HEADER_LONG;
    if (!http1_value_is_clean(buf + stop + 1, end - stop - 1))
        return HTTP1_R_VALUE;
    if (p->header_count == p->header_max)
        return HTTP1_R_HEADER_COUNT;
    uint8_t name = http1_name_of(buf + at, stop - at);
    struct http1_header *header = &p->headers[p->header_count++];
    *header = (struct http1_header){.value = http1_trim(buf, stop + 1, end),
                                    .name_at = at,
                                    .name_len = (uint16_t)(stop - at),
                                    .name = name};
    if (!(all & HTTP1_C_PLAIN))
        mark_odd(header, buf + at);
    if (name == HTTP1_NAME_OTHER)
        return HTTP1_R_FINE;
    bool first = p->first[name] == 0;
    if (first)
        p->first[name] = (uint8_t)p->header_count;
    return take_known(p, buf, name, header->value, first);
}

/* The empty line: what could not be said before all headers were seen. */
static enum http1_reason take_end(struct http1 *p)
{
    if (p->minor > 0 && !p->first[HTTP1_NAME_HOST])
        return HTTP1_R_HOST_MISSING;
    if (p->framing == HTTP1_LENGTH && p->content_length == 0)
        p->framing = HTTP1_NO_BODY;
    if (!(p->flags & HTTP1_SAID_CLOSE) && (p->minor > 0 || p->flags & HTTP1_SAID_KEEP_ALIVE))
        p->flags |= HTTP1_KEEP_ALIVE;
    if (p->minor > 0 && p->flags & HTTP1_SAID_UPGRADE && p->first[HTTP1_NAME_UPGRADE])
        p->flags |= HTTP1_UPGRADE_ASKED;
    if (p->framing == HTTP1_NO_BODY)
        p->flags &= (uint16_t)~HTTP1_EXPECT_CONTINUE;
    p->state = OVER;
    return HTTP1_R_FINE;
}

/* [p->at, end) is a line without its CRLF. */
static enum http1_reason take_line(struct http1 *p, const char *buf, uint32_t end)
{
    if (p->state == HEADERS)
        return end == p->at ? take_end(p) : take_header(p, buf, end);
    if (end == p->at)
        return ++p->blank_lines > HTTP1_BLANK_LINES_MAX ? HTTP1_R_BLANK_LINES : HTTP1_R_FINE;
    return take_request_line(p, buf, end);
}
