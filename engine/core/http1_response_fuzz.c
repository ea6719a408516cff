/* Fuzzes the response parser: no crash, no byte too far, spans within the head, and one verdict
 * however the bytes were cut. The first byte of an input chooses where, and whether it answers a
 * HEAD. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/http1_response.h"

enum { HEADERS = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : abort())

static enum http1_result feed(struct http1_response *p, const char *text, size_t len)
{
    char *exact = malloc(len > 0 ? len : 1);
    MUST(exact != NULL);
    memcpy(exact, text, len);
    enum http1_result result = http1_response_feed(p, exact, len);
    free(exact);
    return result;
}

static void check_spans(const struct http1_response *p)
{
    MUST(p->reason.at + p->reason.len <= p->at && p->headers_end <= p->at);
    for (unsigned i = 0; i < p->header_count; i++) {
        const struct http1_header *header = &p->headers[i];
        MUST(header->name_at + header->name_len <= p->at);
        MUST(header->value.at + header->value.len <= p->at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct http1_response whole, cut;
    struct http1_header headers[HEADERS], cut_headers[HEADERS];
    const char *text = (const char *)data + 1;
    size_t len = size - 1, step = (size_t)data[0] % 64 + 1, seen = 0;
    bool head_only = data[0] >= 128;
    http1_response_init(&whole, headers, HEADERS, head_only);
    enum http1_result result = feed(&whole, text, len), stepped = HTTP1_MORE;
    http1_response_init(&cut, cut_headers, HEADERS, head_only);
    while (stepped == HTTP1_MORE && seen < len) {
        seen += step < len - seen ? step : len - seen;
        stepped = feed(&cut, text, seen);
    }
    MUST(result == stepped && whole.bad == cut.bad);
    if (result != HTTP1_DONE)
        return 0;
    MUST(whole.at == cut.at && whole.status == cut.status && whole.framing == cut.framing &&
         whole.flags == cut.flags && whole.header_count == cut.header_count &&
         whole.content_length == cut.content_length);
    MUST(whole.status >= 100 && whole.status <= 999);
    MUST(!head_only || whole.framing == HTTP1_NO_BODY);
    check_spans(&whole);
    return 0;
}
