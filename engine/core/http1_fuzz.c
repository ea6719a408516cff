/* Fuzzes the request parser and the body decoder: whatever comes, it neither crashes nor reads
 * beyond its input, its spans lie within the head, and its verdict does not depend on how the bytes
 * were cut. The first byte of an input chooses where. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/http1.h"

enum { HEADERS = 40, LINE_BYTES = 512, HEAD_BYTES = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : abort())

static void begin(struct http1 *p, struct http1_header *headers)
{
    const struct http1_limits limits = {.line_bytes = LINE_BYTES, .head_bytes = HEAD_BYTES};
    http1_init(p, &limits, headers, HEADERS);
}

/* A copy of its own, so that the sanitizer sees one byte too far. */
static enum http1_result feed(struct http1 *p, const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    MUST(copy != NULL);
    memcpy(copy, text, len);
    char *exact = realloc(copy, len > 0 ? len : 1);
    enum http1_result result = http1_feed(p, exact, len);
    free(exact);
    return result;
}

static void check_spans(const struct http1 *p)
{
    const struct http1_span spans[] = {p->line, p->method, p->target, p->path, p->query, p->host};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        MUST(spans[i].at <= p->at && spans[i].len <= p->at - spans[i].at);
    for (unsigned i = 0; i < p->header_count; i++) {
        const struct http1_header *header = &p->headers[i];
        MUST(header->name_at + header->name_len <= p->at);
        MUST(header->value.at + header->value.len <= p->at);
    }
}

/* All of the body in pieces of `step` bytes; returns its length and how it ended. */
static enum http1_result decode(const struct http1 *p, const char *text, size_t len, size_t step,
                                uint64_t *total)
{
    struct http1_body body;
    http1_body_begin(&body, p);
    enum http1_result result = http1_body_done(&body) ? HTTP1_DONE : HTTP1_MORE;
    size_t at = 0, seen = 0;
    *total = 0;
    while (result == HTTP1_MORE) {
        struct http1_piece piece = {0};
        if (at == seen && (seen += step < len - seen ? step : len - seen) == at)
            break;
        result = http1_body_feed(&body, text + at, seen - at, &piece);
        MUST(piece.used <= seen - at);
        MUST(piece.len == 0 || (piece.data >= text + at && piece.data + piece.len <= text + seen));
        MUST(result != HTTP1_MORE || piece.used > 0 || at < seen);
        *total += piece.len;
        at += piece.used;
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct http1 whole, cut;
    struct http1_header headers[HEADERS], cut_headers[HEADERS];
    const char *text = (const char *)data + 1;
    size_t len = size - 1, step = (size_t)data[0] % 64 + 1, seen = 0;
    begin(&whole, headers);
    enum http1_result result = feed(&whole, text, len), stepped = HTTP1_MORE;
    begin(&cut, cut_headers);
    while (stepped == HTTP1_MORE && seen < len) {
        seen += step < len - seen ? step : len - seen;
        stepped = feed(&cut, text, seen);
    }
    if (len == 0)
        return 0;
    MUST(result == stepped && whole.reason == cut.reason);
    if (result != HTTP1_DONE)
        return 0;
    MUST(whole.at == cut.at && whole.framing == cut.framing && whole.flags == cut.flags &&
         whole.header_count == cut.header_count && whole.content_length == cut.content_length);
    check_spans(&whole);
    uint64_t total, cut_total;
    result = decode(&whole, text + whole.at, len - whole.at, SIZE_MAX / 2, &total);
    stepped = decode(&whole, text + whole.at, len - whole.at, step, &cut_total);
    MUST(result == stepped && (result == HTTP1_BAD || total == cut_total));
    return 0;
}
