/* Answers, line by line and then by Content-Length, by chunks, or to the end of the connection. */
#include "scenarios/witness/prober_response.h"

#include <string.h>
#include <strings.h>

enum {
    AT_STATUS,
    AT_HEADER,
    AT_BODY,
    AT_CHUNK_SIZE,
    AT_CHUNK,
    AT_CHUNK_END,
    AT_TRAILER,
    AT_EOF_BODY,
    AT_DONE,
    AT_BAD,
};

/* A line without its end; cut off at PROBER_LINE_MAX if it came in pieces. */
struct line {
    const char *text;
    size_t len;
};

static enum prober_event step_line(struct prober_response *r, const char *data, size_t len,
                                   size_t *used);
static enum prober_event step_body(struct prober_response *r, const char *data, size_t len,
                                   size_t *used);
static enum prober_event bad(struct prober_response *r, const char *fault);

void prober_response_init(struct prober_response *r)
{
    memset(r, 0, offsetof(struct prober_response, line));
    r->state = AT_STATUS;
}

enum prober_event prober_response_step(struct prober_response *r, const char *data, size_t len,
                                       size_t *used)
{
    size_t total = 0;
    for (;;) {
        size_t took = 0;
        enum prober_event event;
        if (r->state == AT_DONE)
            event = RESPONSE_DONE;
        else if (r->state == AT_BAD)
            event = RESPONSE_BAD;
        else if (total == len)
            event = RESPONSE_MORE;
        else if (r->state == AT_BODY || r->state == AT_CHUNK || r->state == AT_EOF_BODY)
            event = step_body(r, data + total, len - total, &took);
        else
            event = step_line(r, data + total, len - total, &took);
        total += took;
        /* A line that says nothing by itself: go on while there are bytes. */
        if (event == RESPONSE_MORE && (total < len || r->state == AT_DONE))
            continue;
        *used = total;
        return event;
    }
}

bool prober_response_ends_at_eof(const struct prober_response *r)
{
    return r->state == AT_EOF_BODY;
}

static enum prober_event bad(struct prober_response *r, const char *fault)
{
    r->state = AT_BAD;
    r->fault = fault;
    return RESPONSE_BAD;
}

static enum prober_event step_body(struct prober_response *r, const char *data, size_t len,
                                   size_t *used)
{
    size_t take = len;
    if (r->state != AT_EOF_BODY && take > r->left)
        take = (size_t)r->left;
    r->body = data;
    r->body_len = take;
    r->body_bytes += take;
    *used = take;
    if (r->state == AT_EOF_BODY)
        return RESPONSE_BODY;
    r->left -= take;
    if (r->left == 0)
        r->state = r->state == AT_BODY ? AT_DONE : AT_CHUNK_END;
    return RESPONSE_BODY;
}

/* True when a whole line is there; it points into the data or into r->line. */
static bool take_line(struct prober_response *r, const char *data, size_t len, size_t *used,
                      struct line *out)
{
    const char *end = memchr(data, '\n', len);
    size_t n = end != NULL ? (size_t)(end - data) : len;
    *used = end != NULL ? n + 1 : n;
    r->head_bytes += (uint32_t)*used;
    *out = (struct line){data, n};
    if (end == NULL || r->line_len > 0) {
        size_t room = sizeof(r->line) - r->line_len;
        size_t copy = n < room ? n : room;
        memcpy(r->line + r->line_len, data, copy);
        r->line_len = (uint16_t)(r->line_len + copy);
        *out = (struct line){r->line, r->line_len};
    }
    if (end == NULL)
        return false;
    r->line_len = 0;
    if (out->len > 0 && out->text[out->len - 1] == '\r')
        out->len--;
    return true;
}

static bool parse_decimal(const char *text, size_t len, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(text[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(*value, UINT64_C(10), value) ||
            __builtin_add_overflow(*value, (uint64_t)digit, value))
            return false;
    }
    return len > 0;
}

static enum prober_event take_status(struct prober_response *r, struct line l)
{
    uint64_t status;
    if (l.len < 12 || memcmp(l.text, "HTTP/1.", 7) != 0 || (l.text[7] != '0' && l.text[7] != '1') ||
        l.text[8] != ' ' || (l.len > 12 && l.text[12] != ' '))
        return bad(r, "not a status line");
    if (!parse_decimal(l.text + 9, 3, &status) || status < 100 || status > 599)
        return bad(r, "not a status code");
    r->status = (uint16_t)status;
    r->close = l.text[7] == '0';
    r->state = AT_HEADER;
    return RESPONSE_MORE;
}

static bool is_word(struct line l, const char *word)
{
    return strlen(word) == l.len && strncasecmp(l.text, word, l.len) == 0;
}

/* Whether a comma-separated value holds a word. */
static bool has_word(struct line value, const char *word)
{
    while (value.len > 0) {
        const char *comma = memchr(value.text, ',', value.len);
        size_t len = comma != NULL ? (size_t)(comma - value.text) : value.len;
        struct line item = {value.text, len};
        while (item.len > 0 && (item.text[0] == ' ' || item.text[0] == '\t'))
            item.text++, item.len--;
        while (item.len > 0 && (item.text[item.len - 1] == ' ' || item.text[item.len - 1] == '\t'))
            item.len--;
        if (is_word(item, word))
            return true;
        size_t skip = comma != NULL ? len + 1 : len;
        value.text += skip;
        value.len -= skip;
    }
    return false;
}

static enum prober_event take_length(struct prober_response *r, struct line value)
{
    uint64_t length;
    if (!parse_decimal(value.text, value.len, &length))
        return bad(r, "Content-Length is not a number");
    if (r->has_length && length != r->left)
        return bad(r, "two different Content-Length");
    r->has_length = true;
    r->left = length;
    return RESPONSE_MORE;
}

/* The harness's own headers. What is not a number there is as good as not there. */
static void take_own(struct prober_response *r, struct line name, struct line value)
{
    uint64_t number;
    if (!parse_decimal(value.text, value.len, &number))
        return;
    if (is_word(name, "X-Mw-Gen"))
        r->gen = (uint32_t)number;
    else if (is_word(name, "X-Mw-Pid"))
        r->pid = (uint32_t)number;
    else if (is_word(name, "X-Mw-Slot"))
        r->slot = number < UINT16_MAX ? (uint16_t)(number + 1) : 0;
    else if (is_word(name, "X-Mw-Nonce")) {
        r->nonce = number;
        r->has_nonce = true;
    }
}

static enum prober_event take_header(struct prober_response *r, struct line l)
{
    const char *colon = memchr(l.text, ':', l.len);
    if (colon == NULL || colon == l.text || memchr(l.text, ' ', (size_t)(colon - l.text)) != NULL)
        return bad(r, "not a header line");
    struct line name = {l.text, (size_t)(colon - l.text)};
    struct line value = {colon + 1, l.len - name.len - 1};
    while (value.len > 0 && (value.text[0] == ' ' || value.text[0] == '\t'))
        value.text++, value.len--;
    while (value.len > 0 && (value.text[value.len - 1] == ' ' || value.text[value.len - 1] == '\t'))
        value.len--;
    switch (name.text[0] | 0x20) {
    case 'c':
        if (is_word(name, "Content-Length"))
            return take_length(r, value);
        if (is_word(name, "Connection")) {
            if (has_word(value, "close"))
                r->close = true;
            else if (has_word(value, "keep-alive"))
                r->close = false;
        }
        break;
    case 't':
        if (is_word(name, "Transfer-Encoding")) {
            if (!is_word(value, "chunked"))
                return bad(r, "a Transfer-Encoding other than chunked");
            r->chunked = true;
        }
        break;
    case 'x':
        take_own(r, name, value);
        break;
    default:
        break;
    }
    return RESPONSE_MORE;
}

/* The empty line: decides how the body is framed. */
static enum prober_event end_head(struct prober_response *r)
{
    if (r->status < 200 && r->status != 101) {
        prober_response_init(r);
        return RESPONSE_MORE;
    }
    if (r->chunked && r->has_length)
        return bad(r, "both Content-Length and Transfer-Encoding");
    if (r->status == 101 || r->status == 204 || r->status == 304)
        r->state = AT_DONE;
    else if (r->chunked)
        r->state = AT_CHUNK_SIZE;
    else if (r->has_length)
        r->state = r->left > 0 ? AT_BODY : AT_DONE;
    else {
        r->state = AT_EOF_BODY;
        r->close = true;
    }
    return RESPONSE_HEAD;
}

static enum prober_event take_chunk_size(struct prober_response *r, struct line l)
{
    uint64_t size = 0;
    size_t i = 0;
    for (; i < l.len; i++) {
        char c = l.text[i], low = (char)(c | 0x20);
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (low >= 'a' && low <= 'f')
            digit = (unsigned)(low - 'a' + 10);
        else
            break;
        if (i == 15)
            return bad(r, "a chunk size too large");
        size = size * 16 + digit;
    }
    if (i == 0 || (i < l.len && l.text[i] != ';' && l.text[i] != ' '))
        return bad(r, "not a chunk size");
    r->left = size;
    r->state = size > 0 ? AT_CHUNK : AT_TRAILER;
    return RESPONSE_MORE;
}

static enum prober_event step_line(struct prober_response *r, const char *data, size_t len,
                                   size_t *used)
{
    struct line l;
    bool whole = take_line(r, data, len, used, &l);
    if (r->head_bytes > PROBER_HEAD_MAX && r->state != AT_CHUNK_SIZE && r->state != AT_CHUNK_END)
        return bad(r, "the head is too long");
    if (!whole)
        return RESPONSE_MORE;
    switch (r->state) {
    case AT_STATUS:
        return take_status(r, l);
    case AT_HEADER:
        return l.len == 0 ? end_head(r) : take_header(r, l);
    case AT_CHUNK_SIZE:
        r->head_bytes = 0;
        return take_chunk_size(r, l);
    case AT_CHUNK_END:
        r->state = AT_CHUNK_SIZE;
        return l.len == 0 ? RESPONSE_MORE : bad(r, "a chunk longer than its size");
    default: /* AT_TRAILER */
        if (l.len == 0)
            r->state = AT_DONE;
        return RESPONSE_MORE;
    }
}
