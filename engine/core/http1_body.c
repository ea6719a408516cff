/* Bodies of HTTP/1.x messages: where the data is and where the body ends (RFC 9112 6, 7). */
#include "engine/core/http1.h"

#include "engine/core/check.h"
#include "engine/core/http1_chars.h"

enum state {
    SIZE_FIRST, /* a chunk's size: at least one digit */
    SIZE,
    BLANK, /* white space after the size: an extension must follow */
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* at the start of a line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    OVER,
    BROKEN,
};

enum { DIGITS_MAX = 16 };

static enum http1_result refuse(struct http1_body *b, enum http1_reason reason);
static enum http1_result take_byte(struct http1_body *b, char c);

void http1_body_begin(struct http1_body *b, const struct http1 *p)
{
    http1_body_start(b, p->framing, p->content_length);
}

void http1_body_start(struct http1_body *b, enum http1_framing framing, uint64_t length)
{
    *b = (struct http1_body){.framing = (uint8_t)framing};
    if (framing == HTTP1_CHUNKED) {
        b->state = SIZE_FIRST;
    } else {
        b->left = framing == HTTP1_LENGTH ? length : framing == HTTP1_UNTIL_CLOSE ? UINT64_MAX : 0;
        b->state = b->left ? DATA : OVER;
    }
}

static void take_data(struct http1_body *b, const char *at, size_t len, struct http1_piece *piece)
{
    piece->data = at;
    piece->len = len < b->left ? len : (size_t)b->left;
    piece->used += piece->len;
    b->left -= piece->len;
    b->total += piece->len;
    if (b->left == 0)
        b->state = b->framing == HTTP1_CHUNKED ? DATA_CR : OVER;
}

enum http1_result http1_body_feed(struct http1_body *b, const char *buf, size_t len,
                                  struct http1_piece *piece)
{
    *piece = (struct http1_piece){.data = buf};
    if (b->state == BROKEN)
        return HTTP1_BAD;
    while (b->state != OVER && piece->used < len) {
        if (b->state == DATA) {
            take_data(b, buf + piece->used, len - piece->used, piece);
            break;
        }
        enum http1_result result = take_byte(b, buf[piece->used++]);
        if (result == HTTP1_BAD)
            return result;
    }
    return b->state == OVER ? HTTP1_DONE : HTTP1_MORE;
}

bool http1_body_done(const struct http1_body *b)
{
    return b->state == OVER;
}

uint64_t http1_body_left(const struct http1_body *b)
{
    if (b->state == OVER)
        return 0;
    return b->framing == HTTP1_LENGTH ? b->left : UINT64_MAX;
}

static enum http1_result refuse(struct http1_body *b, enum http1_reason reason)
{
    b->state = BROKEN;
    b->reason = (uint8_t)reason;
    return HTTP1_BAD;
}

static enum http1_result enter(struct http1_body *b, enum state state)
{
    b->state = (uint8_t)state;
    return HTTP1_MORE;
}

static enum http1_result take_digit(struct http1_body *b, char c)
{
    unsigned letter = (unsigned)c | 0x20u;
    unsigned digit = c <= '9' ? (unsigned)(c - '0') : letter - 'a' + 10;
    /* A number that only fits without its sign is a mistake or an attack, never a size. */
    if (++b->digits > DIGITS_MAX || b->left > (uint64_t)INT64_MAX >> 4)
        return refuse(b, HTTP1_R_CHUNK_SIZE);
    b->left = b->left << 4 | digit;
    return enter(b, SIZE);
}

/* After the size's last digit: the end of the line, or extensions. */
static enum http1_result take_size(struct http1_body *b, char c)
{
    if (http1_is(c, HTTP1_C_HEX) && b->state != BLANK)
        return take_digit(b, c);
    if (b->state == SIZE_FIRST)
        return refuse(b, HTTP1_R_CHUNK_SIZE);
    if (c == ';')
        return enter(b, EXTENSION);
    if (c == ' ' || c == '\t')
        return enter(b, BLANK);
    if (c == '\r' && b->state == SIZE)
        return enter(b, SIZE_LF);
    return refuse(b, HTTP1_R_CHUNK_SIZE);
}

static enum http1_result take_extension(struct http1_body *b, char c)
{
    if (c == '\r')
        return enter(b, SIZE_LF);
    return http1_is(c, HTTP1_C_VALUE) ? HTTP1_MORE : refuse(b, HTTP1_R_CHUNK_EXTENSION);
}

static enum http1_result take_size_lf(struct http1_body *b, char c)
{
    if (c != '\n')
        return refuse(b, HTTP1_R_CHUNK_EXTENSION);
    b->digits = 0;
    return enter(b, b->left ? DATA : TRAILER);
}

/* Trailers are checked and dropped: nothing in the engine may depend on what comes after a body. */
static enum http1_result take_trailer(struct http1_body *b, char c)
{
    switch (b->state) {
    case TRAILER:
        if (c == '\r')
            return enter(b, LAST_LF);
        break;
    case TRAILER_NAME:
        if (c == ':')
            return enter(b, TRAILER_VALUE);
        break;
    default: /* TRAILER_VALUE */
        if (c == '\r')
            return enter(b, TRAILER_LF);
        return http1_is(c, HTTP1_C_VALUE) ? HTTP1_MORE : refuse(b, HTTP1_R_TRAILER);
    }
    return http1_is(c, HTTP1_C_TOKEN) ? enter(b, TRAILER_NAME) : refuse(b, HTTP1_R_TRAILER);
}

static enum http1_result take_exactly(struct http1_body *b, char c, char wanted, enum state next,
                                      enum http1_reason reason)
{
    return c == wanted ? enter(b, next) : refuse(b, reason);
}

/* What does not count towards the body must still have an end. */
static bool is_extra(enum state state)
{
    return state == BLANK || state == EXTENSION || state == TRAILER || state == TRAILER_NAME ||
           state == TRAILER_VALUE;
}

static enum http1_result take_byte(struct http1_body *b, char c)
{
    if (is_extra(b->state) && ++b->extra > HTTP1_EXTRA_MAX)
        return refuse(b, HTTP1_R_CHUNK_EXTRA);
    switch ((enum state)b->state) {
    case SIZE_FIRST:
    case SIZE:
    case BLANK:
        return take_size(b, c);
    case EXTENSION:
        return take_extension(b, c);
    case SIZE_LF:
        return take_size_lf(b, c);
    case DATA_CR:
        return take_exactly(b, c, '\r', DATA_LF, HTTP1_R_CHUNK_END);
    case DATA_LF:
        return take_exactly(b, c, '\n', SIZE_FIRST, HTTP1_R_CHUNK_END);
    case TRAILER:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return take_trailer(b, c);
    case TRAILER_LF:
        return take_exactly(b, c, '\n', TRAILER, HTTP1_R_TRAILER);
    case LAST_LF:
        return take_exactly(b, c, '\n', OVER, HTTP1_R_TRAILER);
    case DATA:
    case OVER:
    case BROKEN:
        break;
    }
    abort(); /* those states take no single byte */
}

size_t http1_chunk_head(char out[HTTP1_CHUNK_HEAD_MAX], uint64_t len)
{
    CORE_CHECK(len > 0);
    unsigned digits = (67u - (unsigned)__builtin_clzll(len)) / 4;
    for (unsigned i = digits; i > 0; i--, len >>= 4)
        out[i - 1] = "0123456789abcdef"[len & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
