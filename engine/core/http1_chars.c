/* Tables of the HTTP/1.x parser: characters, names, methods' words and reasons, and the few
 * comparisons that need them. */
#include "engine/core/http1_chars.h"

#include <string.h>

#include "engine/core/check.h"
#include "engine/core/http1.h"

/* One row for sixteen bytes; http1_test.c compares it with the rules it was made from. */
const uint8_t http1_classes[256] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x08, 0x1d, 0x0c, 0x09, 0x1d, 0x3d, 0x1d, 0x1d, 0x1c, 0x1c, 0x1d, 0x1d, 0x1c, 0x1f, 0x1d, 0x2c,
    0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x0c, 0x1c, 0x0c, 0x1c, 0x0c, 0x2c,
    0x0c, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f,
    0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x0c, 0x0c, 0x0c, 0x0d, 0x1d,
    0x0d, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f,
    0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x0c, 0x0d, 0x0c, 0x1d, 0x00,
    0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c,
    0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c,
    0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c,
    0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c,
    0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c,
    0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c,
    0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c,
    0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c,
};

static const struct {
    uint16_t status;
    const char *word;
} reasons[HTTP1_REASON_COUNT] = {
#define R(symbol, number, text) [HTTP1_R_##symbol] = {.status = number, .word = text},
    HTTP1_REASONS(R)
#undef R
};

unsigned http1_status(enum http1_reason reason)
{
    CORE_CHECK((unsigned)reason < HTTP1_REASON_COUNT);
    return reasons[reason].status;
}

const char *http1_reason(enum http1_reason reason)
{
    CORE_CHECK((unsigned)reason < HTTP1_REASON_COUNT);
    return reasons[reason].word;
}

/* Length, first and last letter give each known name a place of its own; the compiler refuses an
 * initialiser that comes twice. */
#define NAME_HASH(length, first, last) (((length) + 4 * (first) + (last)) & 63)

static const uint8_t name_at_hash[64] = {
#define N(symbol, text, length, first, last) [NAME_HASH(length, first, last)] = HTTP1_NAME_##symbol,
    HTTP1_NAMES(N)
#undef N
};

static const struct {
    const char *text;
    size_t len;
} names[HTTP1_NAME_COUNT] = {[HTTP1_NAME_OTHER] = {"", 0},
#define N(symbol, name, length, first, last) [HTTP1_NAME_##symbol] = {name, length},
                             HTTP1_NAMES(N)
#undef N
};

/* `text` is in lower case and holds letters, digits and hyphens, so that one bit is all that letter
 * case can change. The control bytes that the bit would turn into a hyphen or a digit are no part
 * of what is compared: names are tokens and values are clean before they come here. The end of
 * `text` equals nothing, so the comparison stops there. */
static bool same(const char *at, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((at[i] | 0x20) != text[i])
            return false;
    return true;
}

uint8_t http1_name_of(const char *at, size_t len)
{
    size_t hash = NAME_HASH(len, (uint8_t)at[0] | 0x20u, (uint8_t)at[len - 1] | 0x20u);
    uint8_t name = name_at_hash[hash];
    return names[name].len == len && same(at, names[name].text, len) ? name : HTTP1_NAME_OTHER;
}

/* Eight bytes at a time: below 0x20 or 0x7f anywhere in the word? Borrows start only at a byte that
 * is such a one, so a clean word never looks dirty. */
static bool word_is_clean(const char *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    uint64_t del = word ^ (ones * 0x7f);
    uint64_t low = (word - ones * 0x20) & ~word, is_del = (del - ones) & ~del;
    return ((low | is_del) & tops) == 0;
}

static bool bytes_are_clean(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!http1_is(at[i], HTTP1_C_VALUE))
            return false;
    return true;
}

bool http1_value_is_clean(const char *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8)
        if (!word_is_clean(at) && !bytes_are_clean(at, 8)) /* a tab is dirty to the word only */
            return false;
    return bytes_are_clean(at, len);
}

bool http1_span_is(const char *buf, struct http1_span span, const char *text)
{
    return same(buf + span.at, text, span.len) && text[span.len] == '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool http1_list_has(const char *buf, struct http1_span span, const char *text)
{
    const char *at = buf + span.at, *end = at + span.len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        const char *last = stop;
        while (at < last && is_blank(*at))
            at++;
        while (last > at && is_blank(last[-1]))
            last--;
        if (same(at, text, (size_t)(last - at)) && text[last - at] == '\0')
            return true;
        at = stop + 1;
    }
    return false;
}
