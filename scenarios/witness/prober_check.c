/* Bodies: an echo of the nonce, the pattern, or a stream of numbered events. */
#include "scenarios/witness/prober_check.h"

#include <string.h>

#include "scenarios/history/pattern.h"

static void feed_text(struct prober_check *c, const char *data, size_t len);
static void feed_pattern(struct prober_check *c, const char *data, size_t len);
static void feed_events(struct prober_check *c, const char *data, size_t len);
static enum prober_verdict end_echo(struct prober_check *c, bool at_eof, uint32_t *label);

void prober_check_begin(struct prober_check *c, enum prober_check_kind kind, uint64_t nonce)
{
    memset(c, 0, offsetof(struct prober_check, text));
    c->kind = kind;
    c->nonce = nonce;
}

void prober_check_feed(struct prober_check *c, const char *data, size_t len)
{
    if (len == 0)
        return;
    switch (c->kind) {
    case CHECK_FRAMING:
        break;
    case CHECK_ECHO:
    case CHECK_UPLOAD:
        feed_text(c, data, len);
        break;
    case CHECK_PATTERN:
        feed_pattern(c, data, len);
        break;
    case CHECK_STREAM:
        feed_events(c, data, len);
        break;
    }
    c->offset += len;
    c->last = data[len - 1];
}

enum prober_verdict prober_check_end(struct prober_check *c, bool at_eof, uint32_t *label)
{
    *label = 0;
    switch (c->kind) {
    case CHECK_FRAMING:
        return BODY_RIGHT;
    case CHECK_ECHO:
    case CHECK_UPLOAD:
        return end_echo(c, at_eof, label);
    case CHECK_STREAM:
        if (c->wrong)
            return BODY_WRONG;
        return c->text_len > 0 || !c->events_begun ? BODY_CUT : BODY_RIGHT;
    case CHECK_PATTERN:
        break;
    }
    if (c->wrong || c->offset == 0)
        return BODY_WRONG;
    if (c->expected != 0 && c->offset != c->expected)
        return at_eof && c->offset < c->expected ? BODY_CUT : BODY_WRONG;
    return BODY_RIGHT;
}

static void feed_text(struct prober_check *c, const char *data, size_t len)
{
    size_t room = sizeof(c->text) - c->text_len;
    size_t copy = len < room ? len : room;
    memcpy(c->text + c->text_len, data, copy);
    c->text_len = (uint8_t)(c->text_len + copy);
}

const char *pattern_span(uint64_t offset, size_t *len)
{
    static unsigned char table[PATTERN_PERIOD + PATTERN_SPAN_MAX];
    static bool filled;
    if (!filled) {
        pattern_fill(table, sizeof(table), 0);
        filled = true;
    }
    if (*len > PATTERN_SPAN_MAX)
        *len = PATTERN_SPAN_MAX;
    return (const char *)table + offset % PATTERN_PERIOD;
}

static void feed_pattern(struct prober_check *c, const char *data, size_t len)
{
    uint64_t offset = c->offset;
    while (len > 0 && !c->wrong) {
        size_t n = len;
        const char *right = pattern_span(offset, &n);
        c->wrong = memcmp(right, data, n) != 0;
        offset += n;
        data += n;
        len -= n;
    }
}

/* Reads decimal digits; returns where they end, NULL if there are none or they overflow. */
static const char *read_digits(const char *at, const char *end, uint64_t *value)
{
    const char *begin = at;
    *value = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(*value, UINT64_C(10), value) ||
            __builtin_add_overflow(*value, (uint64_t)(*at - '0'), value))
            return NULL;
    return at > begin ? at : NULL;
}

/* One line of a stream: empty, a comment, or "data: NONCE k". */
static void take_event_line(struct prober_check *c)
{
    static const char prefix[] = "data: ";
    const char *end = c->text + c->text_len, *at;
    uint64_t nonce, k;
    if (c->text_len == 0 || c->text[0] == ':')
        return;
    if (c->text_len <= strlen(prefix) || memcmp(c->text, prefix, strlen(prefix)) != 0) {
        c->wrong = true;
        return;
    }
    at = read_digits(c->text + strlen(prefix), end, &nonce);
    if (at == NULL || nonce != c->nonce || at >= end || *at != ' ' ||
        (at = read_digits(at + 1, end, &k)) == NULL || at != end) {
        c->wrong = true;
        return;
    }
    if (c->events_begun ? k != c->events : k > 1)
        c->wrong = true;
    c->events_begun = true;
    c->events = k + 1;
}

static void feed_events(struct prober_check *c, const char *data, size_t len)
{
    for (size_t i = 0; i < len && !c->wrong; i++) {
        if (data[i] == '\n') {
            if (c->text_len > 0 && c->text[c->text_len - 1] == '\r')
                c->text_len--;
            take_event_line(c);
            c->text_len = 0;
        } else if (c->text_len < sizeof(c->text)) {
            c->text[c->text_len++] = data[i];
        } else {
            c->wrong = true;
        }
    }
}

/* "NONCE", then a label or the number of bytes uploaded, then perhaps more. */
static enum prober_verdict end_echo(struct prober_check *c, bool at_eof, uint32_t *label)
{
    const char *end = c->text + c->text_len;
    uint64_t nonce, number;
    const char *at = read_digits(c->text, end, &nonce);
    bool cut = at_eof && (c->offset == 0 || c->last != '\n');
    if (c->offset == 0)
        return cut ? BODY_CUT : BODY_WRONG;
    if (at == NULL || nonce != c->nonce || (at < end && *at != ' ' && *at != '\n' && *at != '\r'))
        return cut ? BODY_CUT : BODY_WRONG;
    if (cut)
        return BODY_CUT;
    if (at == end || *at != ' ')
        return BODY_RIGHT;
    at = read_digits(at + 1, end, &number);
    if (at == NULL || (at < end && *at != ' ' && *at != '\n' && *at != '\r'))
        return BODY_RIGHT; /* a label that is not a number names no configuration */
    if (c->kind == CHECK_UPLOAD && end - at >= 3 && memcmp(at, " ok", 3) == 0)
        return number == c->uploaded ? BODY_RIGHT : BODY_WRONG;
    if (c->kind == CHECK_UPLOAD && end - at >= 4 && memcmp(at, " bad", 4) == 0)
        return BODY_WRONG;
    if (number <= UINT32_MAX)
        *label = (uint32_t)number;
    return BODY_RIGHT;
}
