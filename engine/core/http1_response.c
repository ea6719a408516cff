/* The head of an HTTP/1.x response, line by line, as the request's in http1.c. */
#include "engine/core/http1_response.h"

#include <string.h>

#include "engine/core/check.h"
#include "engine/core/http1_chars.h"

enum state { STATUS_LINE, HEADERS, OVER, BROKEN };

static enum http1_reason take_line(struct http1_response *p, const char *buf, uint32_t end);
static bool starts_badly(const struct http1_response *p, const char *buf, size_t len);

void http1_response_init(struct http1_response *p, struct http1_header *headers,
                         unsigned header_max, bool head_only)
{
    CORE_CHECK(header_max <= HTTP1_HEADERS_MAX);
    *p = (struct http1_response){
        .headers = headers, .header_max = (uint16_t)header_max, .head_only = head_only};
}

static enum http1_result refuse(struct http1_response *p, enum http1_reason reason)
{
    p->state = BROKEN;
    p->bad = (uint8_t)reason;
    return HTTP1_BAD;
}

enum http1_result http1_response_feed(struct http1_response *p, const char *buf, size_t len)
{
    while (p->state < OVER) {
        if (p->state == STATUS_LINE && starts_badly(p, buf, len))
            return refuse(p, HTTP1_R_STATUS_LINE);
        const char *newline = p->scan < len ? memchr(buf + p->scan, '\n', len - p->scan) : NULL;
        if (!newline) {
            p->scan = (uint32_t)len;
            return HTTP1_MORE;
        }
        uint32_t end = (uint32_t)(newline - buf);
        bool crlf = end > p->at && buf[end - 1] == '\r';
        if (!crlf)
            p->flags |= HTTP1_RESPONSE_BARE_LF;
        enum http1_reason reason = take_line(p, buf, crlf ? end - 1 : end);
        if (reason != HTTP1_R_FINE)
            return refuse(p, reason);
        p->at = p->scan = end + 1;
    }
    return p->state == OVER ? HTTP1_DONE : HTTP1_BAD;
}

/* ---- names ----------------------------------------------------------------------------------- */

#define NAME_HASH(length, first, last) ((5 * (length) + 9 * (first) + 5 * (last)) & 63)

static const uint8_t name_at_hash[64] = {
#define RESPONSE_NAME(symbol, text, length, first, last)                                           \
    [NAME_HASH(length, first, last)] = HTTP1_RESPONSE_##symbol,
#include "engine/core/http1_response_names.def"
#undef RESPONSE_NAME
};

static const struct {
    const char *text;
    size_t len;
} names[HTTP1_RESPONSE_NAME_COUNT] = {
    [HTTP1_RESPONSE_OTHER] = {"", 0},
#define RESPONSE_NAME(symbol, name, length, first, last) [HTTP1_RESPONSE_##symbol] = {name, length},
#include "engine/core/http1_response_names.def"
#undef RESPONSE_NAME
};

uint8_t http1_response_name_of(const char *at, size_t len)
{
    size_t hash = NAME_HASH(len, (uint8_t)at[0] | 0x20u, (uint8_t)at[len - 1] | 0x20u);
    uint8_t name = name_at_hash[hash];
    if (names[name].len != len)
        return HTTP1_RESPONSE_OTHER;
    for (size_t i = 0; i < len; i++)
        if ((at[i] | 0x20) != names[name].text[i])
            return HTTP1_RESPONSE_OTHER;
    return name;
}

/* ---- the status line ------------------------------------------------------------------------- */

/* What does not begin as HTTP/1 is refused at its first wrong byte: its end of line may never come.
 */
static bool starts_badly(const struct http1_response *p, const char *buf, size_t len)
{
    static const char begin[] = "HTTP/1.";
    size_t have = len - p->at;
    return memcmp(buf + p->at, begin, have < sizeof begin - 1 ? have : sizeof begin - 1) != 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* HTTP/1.x SP 3DIGIT [SP reason] */
static enum http1_reason take_status_line(struct http1_response *p, const char *buf, uint32_t end)
{
    enum { MINOR = 7, SPACE = 8, STATUS = 9, REASON = 12 };
    const char *line = buf + p->at;
    uint32_t len = end - p->at;
    if (len < REASON || !is_digit(line[MINOR]) || line[SPACE] != ' ' || line[STATUS] < '1' ||
        !is_digit(line[STATUS]) || !is_digit(line[STATUS + 1]) || !is_digit(line[STATUS + 2]))
        return HTTP1_R_STATUS_LINE;
    if (len > REASON && line[REASON] != ' ')
        return HTTP1_R_STATUS_LINE;
    if (!http1_value_is_clean(line + REASON, len - REASON))
        return HTTP1_R_STATUS_LINE;
    p->minor = line[MINOR] == '0' ? 0 : 1;
    p->status = (uint16_t)((line[STATUS] - '0') * 100 + (line[STATUS + 1] - '0') * 10 +
                           (line[STATUS + 2] - '0'));
    uint32_t skip = len > REASON ? REASON + 1 : REASON;
    p->reason = (struct http1_span){p->at + skip, len - skip};
    p->state = HEADERS;
    return HTTP1_R_FINE;
}

/* ---- headers --------------------------------------------------------------------------------- */

static enum http1_reason take_length(struct http1_response *p, const char *buf,
                                     struct http1_span value)
{
    if (p->flags & HTTP1_RESPONSE_LENGTH_SEEN)
        return HTTP1_R_LENGTH_REPEATED;
    if (p->flags & HTTP1_RESPONSE_CODING_SEEN)
        return HTTP1_R_LENGTH_AND_CODING;
    p->flags |= HTTP1_RESPONSE_LENGTH_SEEN;
    if (value.len == 0 || value.len > 18) /* 18 digits fit */
        return HTTP1_R_LENGTH;
    for (uint32_t i = value.at; i < value.at + value.len; i++) {
        if (!is_digit(buf[i]))
            return HTTP1_R_LENGTH;
        p->content_length = p->content_length * 10 + (uint64_t)(buf[i] - '0');
    }
    p->content_length_set = true;
    return HTTP1_R_FINE;
}

static enum http1_reason take_coding(struct http1_response *p, const char *buf,
                                     struct http1_span value)
{
    if (p->flags & HTTP1_RESPONSE_LENGTH_SEEN)
        return HTTP1_R_LENGTH_AND_CODING;
    if (p->flags & HTTP1_RESPONSE_CODING_SEEN)
        return HTTP1_R_CODING;
    p->flags |= HTTP1_RESPONSE_CODING_SEEN;
    return http1_span_is(buf, value, "chunked") ? HTTP1_R_FINE : HTTP1_R_CODING_UNKNOWN;
}

static enum http1_reason take_known(struct http1_response *p, const char *buf, uint8_t name,
                                    struct http1_span value)
{
    switch (name) {
    case HTTP1_RESPONSE_CONTENT_LENGTH:
        return take_length(p, buf, value);
    case HTTP1_RESPONSE_TRANSFER_ENCODING:
        return take_coding(p, buf, value);
    case HTTP1_RESPONSE_CONNECTION:
        if (http1_list_has(buf, value, "close"))
            p->flags |= HTTP1_RESPONSE_SAID_CLOSE;
        if (http1_list_has(buf, value, "keep-alive"))
            p->flags |= HTTP1_RESPONSE_SAID_KEEP_ALIVE;
        return HTTP1_R_FINE;
    default:
        return HTTP1_R_FINE;
    }
}

static enum http1_reason take_header(struct http1_response *p, const char *buf, uint32_t end)
{
    uint32_t at = p->at, stop = at;
    if (buf[at] == ' ' || buf[at] == '\t')
        return HTTP1_R_FOLDED;
    while (stop < end && http1_is(buf[stop], HTTP1_C_TOKEN))
        stop++;
    if (stop == at || stop == end || buf[stop] != ':' || stop - at > UINT16_MAX)
        return HTTP1_R_NAME;
    if (!http1_value_is_clean(buf + stop + 1, end - stop - 1))
        return HTTP1_R_VALUE;
    if (p->header_count == p->header_max)
        return HTTP1_R_HEADER_COUNT;
    struct http1_header *header = &p->headers[p->header_count++];
    *header = (struct http1_header){.value = http1_trim(buf, stop + 1, end),
                                    .name_at = at,
                                    .name_len = (uint16_t)(stop - at),
                                    .name = http1_response_name_of(buf + at, stop - at)};
    return take_known(p, buf, header->name, header->value);
}

/* Where the body ends (RFC 9112 6.3), and whether the connection can be used again. */
static enum http1_reason take_end(struct http1_response *p)
{
    bool bodiless = p->head_only || p->status < 200 || p->status == 204 || p->status == 304;
    if (bodiless)
        p->framing = HTTP1_NO_BODY;
    else if (p->flags & HTTP1_RESPONSE_CODING_SEEN)
        p->framing = HTTP1_CHUNKED;
    else if (p->content_length_set)
        p->framing = p->content_length > 0 ? HTTP1_LENGTH : HTTP1_NO_BODY;
    else
        p->framing = HTTP1_UNTIL_CLOSE;
    bool stays = p->minor > 0 || (p->flags & HTTP1_RESPONSE_SAID_KEEP_ALIVE);
    if (stays && !(p->flags & HTTP1_RESPONSE_SAID_CLOSE) && p->framing != HTTP1_UNTIL_CLOSE)
        p->flags |= HTTP1_RESPONSE_STAYS;
    if (p->status == 101)
        p->flags |= HTTP1_RESPONSE_UPGRADED;
    p->headers_end = p->at;
    p->state = OVER;
    return HTTP1_R_FINE;
}

/* [p->at, end) is a line without what ends it. */
static enum http1_reason take_line(struct http1_response *p, const char *buf, uint32_t end)
{
    if (p->state == STATUS_LINE)
        return take_status_line(p, buf, end);
    return end == p->at ? take_end(p) : take_header(p, buf, end);
}
