/* A push parser for the heads of HTTP/1.x responses (RFC 9112), for the side that asks: bytes in;
 * done, more or bad out. As engine/core/http1.h, whose character tables, header records and body
 * decoder it shares: the whole buffer is given each time, what is found are spans into it, and the
 * verdict does not depend on how the bytes were cut.
 *
 * Lenient where servers are sloppy and nothing can be smuggled (a line may end in a bare LF, the
 * reason may be missing), strict about where the body ends.
 *
 *     http1_response_init(&response, headers, capacity, head_only);
 *     while (http1_response_feed(&response, buf, len) == HTTP1_MORE)   // too long: the caller
 * knows len += recv(fd, buf + len, size - len); http1_body_start(&body, response.framing,
 * response.content_length);   // from buf + at on
 */
#ifndef ENGINE_CORE_HTTP1_RESPONSE_H
#define ENGINE_CORE_HTTP1_RESPONSE_H

#include "engine/core/http1.h"

enum http1_response_name {
    HTTP1_RESPONSE_OTHER,
#define RESPONSE_NAME(symbol, text, length, first, last) HTTP1_RESPONSE_##symbol,
#include "engine/core/http1_response_names.def"
#undef RESPONSE_NAME
    HTTP1_RESPONSE_NAME_COUNT
};
/* enum http1_response_name of a header name in any letter case. */
uint8_t http1_response_name_of(const char *at, size_t len);

enum http1_response_flag {
    HTTP1_RESPONSE_STAYS = 1 << 0,    /* the connection can carry another request after this */
    HTTP1_RESPONSE_UPGRADED = 1 << 1, /* 101 */
    HTTP1_RESPONSE_BARE_LF = 1 << 2,  /* some line ends in LF alone */
    /* the rest are the parser's own */
    HTTP1_RESPONSE_SAID_CLOSE = 1 << 8,
    HTTP1_RESPONSE_SAID_KEEP_ALIVE = 1 << 9,
    HTTP1_RESPONSE_LENGTH_SEEN = 1 << 10,
    HTTP1_RESPONSE_CODING_SEEN = 1 << 11,
};

struct http1_response {
    /* results; the spans hold once the head is DONE (after BAD, those before the bad place) */
    uint32_t at;              /* bytes consumed; after DONE: where the body starts */
    struct http1_span reason; /* what stands behind the status, perhaps nothing */
    struct http1_header *headers;
    uint16_t header_count, header_max;
    uint16_t status;         /* 100 to 999 */
    uint16_t flags;          /* enum http1_response_flag */
    uint8_t minor;           /* 0 or 1 */
    uint8_t framing;         /* enum http1_framing */
    uint8_t bad;             /* enum http1_reason, after BAD */
    uint8_t state;           /* private */
    bool head_only;          /* the answer to a HEAD: no body follows, whatever is said */
    bool content_length_set; /* there is a Content-Length, also where no body follows */
    uint64_t content_length;
    uint32_t scan;        /* private: how far the line's end was sought */
    uint32_t headers_end; /* where the empty line starts */
};

/* Starts a response; `headers` stays the caller's and has room for `header_max`. */
void http1_response_init(struct http1_response *p, struct http1_header *headers,
                         unsigned header_max, bool head_only);
/* buf[0..len) is all that came since http1_response_init. An interim answer (1xx but 101) is DONE
 * as any other; the next one follows it. */
enum http1_result http1_response_feed(struct http1_response *p, const char *buf, size_t len);

#endif
