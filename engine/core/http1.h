/* A push parser for HTTP/1.x requests (RFC 9112): bytes in; done, more or bad out.
 *
 * The caller owns one contiguous buffer per request head and appends to it what it receives.
 * http1_feed() is given the whole buffer each time and goes on where it stopped, so bytes are
 * looked at once; the buffer may move between calls because everything found is a span (offset,
 * length) into it. The verdict depends on the bytes alone, never on how they were cut. Nothing is
 * copied or allocated, nothing beyond `len` is read.
 *
 * The parser is strict where leniency is how requests get smuggled: lines end in CRLF, a line never
 * continues on the next, no space stands before a colon, Content-Length comes once and alone, and
 * the only transfer coding is chunked.
 *
 *     http1_init(&parser, &limits, headers, capacity);
 *     for (;;) {
 *         len += recv(fd, buf + len, size - len);
 *         switch (http1_feed(&parser, buf, len)) {
 *         case HTTP1_MORE: continue;              // grow the buffer if it is full
 *         case HTTP1_BAD:  answer(http1_status(parser.reason));
 *         case HTTP1_DONE: // the body, or the next request, starts at buf + parser.at
 */
#ifndef ENGINE_CORE_HTTP1_H
#define ENGINE_CORE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http1_result { HTTP1_MORE, HTTP1_DONE, HTTP1_BAD };

/* Why a request is refused, and the status that says so. R(SYMBOL, status, "word") */
#define HTTP1_REASONS(R)                                                                           \
    R(FINE, 0, "fine")                                                                             \
    R(METHOD, 400, "method")               /* not a token */                                       \
    R(METHOD_LONG, 501, "method-too-long") /* longer than any method */                            \
    R(TARGET, 400, "target")               /* a byte or form no target has */                      \
    R(LINE_LONG, 414, "request-line-too-long")                                                     \
    R(VERSION, 400, "version")                       /* no HTTP/d.d at the end of the line */      \
    R(VERSION_UNKNOWN, 505, "version-not-supported") /* HTTP/2 and others */                       \
    R(BARE_LF, 400, "bare-lf")                       /* a line that does not end in CRLF */        \
    R(BLANK_LINES, 400, "blank-lines")               /* too many before the request line */        \
    R(FOLDED, 400, "folded-line")                    /* obs-fold */                                \
    R(NAME, 400, "header-name")                      /* empty, space before colon, no token */     \
    R(VALUE, 400, "header-value")                    /* a control byte: NUL, CR, ... */            \
    R(HEADER_LONG, 431, "header-too-long")                                                         \
    R(HEAD_LONG, 431, "head-too-long")                                                             \
    R(HEADER_COUNT, 431, "too-many-headers")                                                       \
    R(HOST_MISSING, 400, "host-missing")                                                           \
    R(HOST_REPEATED, 400, "host-repeated")                                                         \
    R(HOST, 400, "host")             /* not a host and optional port */                            \
    R(LENGTH, 400, "content-length") /* not a number, or too big */                                \
    R(LENGTH_REPEATED, 400, "content-length-repeated")                                             \
    R(LENGTH_AND_CODING, 400, "length-and-coding") /* both Content-Length and a coding */          \
    R(CODING, 400, "transfer-encoding")            /* chunked is not the last, or twice */         \
    R(CODING_UNKNOWN, 501, "coding-not-supported") /* others before chunked */                     \
    R(CHUNK_SIZE, 400, "chunk-size")                                                               \
    R(CHUNK_END, 400, "chunk-end")             /* no CRLF after a chunk's data */                  \
    R(CHUNK_EXTENSION, 400, "chunk-extension") /* control byte, or bare LF */                      \
    R(CHUNK_EXTRA, 400, "chunk-extra")         /* extensions and trailers beyond a bound */        \
    R(TRAILER, 400, "trailer")                                                                     \
    R(STATUS_LINE, 502, "status-line") /* of a response: no HTTP/1.x and status */

enum http1_reason {
#define R(symbol, status, word) HTTP1_R_##symbol,
    HTTP1_REASONS(R)
#undef R
        HTTP1_REASON_COUNT
};
unsigned http1_status(enum http1_reason reason);    /* 400, 414, 431, 501, 505; 0 for FINE */
const char *http1_reason(enum http1_reason reason); /* the word */

/* Methods the engine knows by number. M(SYMBOL, "text"); anything else is HTTP1_OTHER. */
#define HTTP1_METHODS(M)                                                                           \
    M(GET, "GET")                                                                                  \
    M(HEAD, "HEAD")                                                                                \
    M(POST, "POST")                                                                                \
    M(PUT, "PUT")                                                                                  \
    M(DELETE, "DELETE")                                                                            \
    M(OPTIONS, "OPTIONS")                                                                          \
    M(PATCH, "PATCH")                                                                              \
    M(TRACE, "TRACE")                                                                              \
    M(CONNECT, "CONNECT")

enum http1_method {
    HTTP1_OTHER,
#define M(symbol, text) HTTP1_##symbol,
    HTTP1_METHODS(M)
#undef M
        HTTP1_METHOD_COUNT
};

/* Headers the engine looks up. N(SYMBOL, "name", length, first, last letter): the last three make
 * the hash by which a name is recognised; two names with one hash do not compile. */
#define HTTP1_NAMES(N)                                                                             \
    N(HOST, "host", 4, 'h', 't')                                                                   \
    N(CONNECTION, "connection", 10, 'c', 'n')                                                      \
    N(CONTENT_LENGTH, "content-length", 14, 'c', 'h')                                              \
    N(TRANSFER_ENCODING, "transfer-encoding", 17, 't', 'g')                                        \
    N(EXPECT, "expect", 6, 'e', 't')                                                               \
    N(UPGRADE, "upgrade", 7, 'u', 'e')                                                             \
    N(RANGE, "range", 5, 'r', 'e')                                                                 \
    N(IF_RANGE, "if-range", 8, 'i', 'e')                                                           \
    N(IF_MODIFIED_SINCE, "if-modified-since", 17, 'i', 'e')                                        \
    N(IF_UNMODIFIED_SINCE, "if-unmodified-since", 19, 'i', 'e')                                    \
    N(IF_MATCH, "if-match", 8, 'i', 'h')                                                           \
    N(IF_NONE_MATCH, "if-none-match", 13, 'i', 'h')                                                \
    N(CONTENT_TYPE, "content-type", 12, 'c', 'e')                                                  \
    N(USER_AGENT, "user-agent", 10, 'u', 't')                                                      \
    N(REFERER, "referer", 7, 'r', 'r')                                                             \
    N(COOKIE, "cookie", 6, 'c', 'e')                                                               \
    N(AUTHORIZATION, "authorization", 13, 'a', 'n')                                                \
    N(ACCEPT_ENCODING, "accept-encoding", 15, 'a', 'g')                                            \
    N(X_FORWARDED_FOR, "x-forwarded-for", 15, 'x', 'r')                                            \
    N(X_MW_NONCE, "x-mw-nonce", 10, 'x', 'e')

enum http1_name {
    HTTP1_NAME_OTHER,
#define N(symbol, text, length, first, last) HTTP1_NAME_##symbol,
    HTTP1_NAMES(N)
#undef N
        HTTP1_NAME_COUNT
};

struct http1_span {
    uint32_t at, len;
};

/* odd: what nginx calls an invalid name (ignore_invalid_headers): a token with other characters
 * than letters, digits and hyphens. underscore: of those it has only underscores. */
struct http1_header {
    struct http1_span value; /* without the white space around it */
    uint32_t name_at;
    uint16_t name_len;
    uint8_t name; /* enum http1_name */
    uint8_t odd : 1, underscore : 1;
};

enum http1_form {
    HTTP1_ORIGIN,    /* /path?query */
    HTTP1_ABSOLUTE,  /* http://host/path?query; its host counts, not the Host header's */
    HTTP1_AUTHORITY, /* host:port, of CONNECT only; path is empty */
    HTTP1_ASTERISK,  /* *, of OPTIONS only; path is "*" */
};

/* UNTIL_CLOSE is for responses only: the connection's end ends the body, so it is never DONE. */
enum http1_framing { HTTP1_NO_BODY, HTTP1_LENGTH, HTTP1_CHUNKED, HTTP1_UNTIL_CLOSE };

enum http1_flag {
    HTTP1_KEEP_ALIVE = 1 << 0,      /* the client would keep the connection */
    HTTP1_EXPECT_CONTINUE = 1 << 1, /* it waits for 100 before it sends the body */
    HTTP1_EXPECT_OTHER = 1 << 2,    /* an expectation nobody knows: 417 */
    HTTP1_UPGRADE_ASKED = 1 << 3,   /* Connection: upgrade and an Upgrade header, HTTP/1.1 */
    HTTP1_HAS_ESCAPE = 1 << 4,      /* the path has % : decode it */
    HTTP1_HAS_DOTS = 1 << 5,        /* the path has "/." or "//": normalise it */
    /* the rest are the parser's own */
    HTTP1_SAID_CLOSE = 1 << 8,
    HTTP1_SAID_KEEP_ALIVE = 1 << 9,
    HTTP1_SAID_UPGRADE = 1 << 10,
};

enum {
    HTTP1_METHOD_MAX = 32,     /* bytes of a method */
    HTTP1_HEADERS_MAX = 250,   /* the most that http1_init may be given room for */
    HTTP1_BLANK_LINES_MAX = 4, /* empty lines forgiven before a request (RFC 9112 2.2) */
};

/* line_bytes: the longest line, CRLF included. head_bytes: the longest head, including blank lines
 * before and the empty line at the end. */
struct http1_limits {
    uint32_t line_bytes, head_bytes;
};

struct http1 {
    /* results; the spans hold once the head is DONE (after BAD, those before the bad place) */
    uint32_t at;            /* bytes consumed; after DONE: where the body starts */
    uint32_t begin;         /* where the request line starts: blank lines may stand before it */
    struct http1_span line; /* the request line without CRLF, set as soon as it is complete */
    struct http1_span method, target;
    struct http1_span path, query; /* of the target; query without '?' */
    struct http1_span host;        /* without port; from the target if that has one; len 0: none */
    struct http1_header *headers;
    uint16_t header_count, header_max;
    uint16_t flags;                  /* enum http1_flag */
    uint8_t method_id;               /* enum http1_method */
    uint8_t form;                    /* enum http1_form */
    uint8_t minor;                   /* 0 or 1: HTTP/1.x; a higher x is spoken to as 1 */
    uint8_t framing;                 /* enum http1_framing */
    uint8_t reason;                  /* enum http1_reason, after BAD */
    uint8_t state;                   /* private */
    uint8_t blank_lines;             /* private */
    uint8_t first[HTTP1_NAME_COUNT]; /* index + 1 of the first header of each known name */
    uint64_t content_length;         /* of HTTP1_LENGTH */
    struct http1_limits limits;
    uint32_t scan; /* private: how far the line's end was sought */
};

/* Starts a request. `headers` has room for `header_max` (at most HTTP1_HEADERS_MAX) headers and
 * stays the caller's; one more is refused with 431. */
void http1_init(struct http1 *p, const struct http1_limits *limits, struct http1_header *headers,
                unsigned header_max);
/* buf[0..len) is all that came since http1_init. After DONE or BAD it says the same again. */
enum http1_result http1_feed(struct http1 *p, const char *buf, size_t len);
/* The first header of that name, NULL if there is none. */
const struct http1_header *http1_find(const struct http1 *p, enum http1_name name);
/* The first header of any name (lower case), NULL if there is none. O(headers). */
const struct http1_header *http1_find_text(const struct http1 *p, const char *buf, const char *name,
                                           size_t len);
/* Is the text the same but for letter case? Does the comma-separated list hold the token? `text`
 * is in lower case and holds only letters, digits and hyphens. */
bool http1_span_is(const char *buf, struct http1_span span, const char *text);
bool http1_list_has(const char *buf, struct http1_span span, const char *text);

/* ---- bodies ---------------------------------------------------------------------------------- */

enum { HTTP1_EXTRA_MAX = 16384 }; /* bytes of chunk extensions and trailers in one body */

struct http1_body {
    uint64_t left;   /* of the body (length), of this chunk (chunked) */
    uint64_t total;  /* bytes of the body delivered so far */
    uint32_t extra;  /* private: bytes of extensions and trailers */
    uint8_t framing; /* enum http1_framing */
    uint8_t state;   /* private */
    uint8_t digits;  /* private */
    uint8_t reason;  /* enum http1_reason, after BAD */
};

/* A run of body bytes within the buffer that was fed, perhaps empty, and the bytes used up. */
struct http1_piece {
    const char *data;
    size_t len;
    size_t used;
};

/* Starts the body of the request that `p` parsed. A request without a body is DONE at once. */
void http1_body_begin(struct http1_body *b, const struct http1 *p);
/* The same for any message; `length` counts with HTTP1_LENGTH only. */
void http1_body_start(struct http1_body *b, enum http1_framing framing, uint64_t length);
/* Takes bytes of the body and gives at most one run of data. MORE: call again with buf + used (if
 * used == len, when more has come). DONE: the body is over; what follows `used` is the next
 * request. A call may return DONE together with the last piece. */
enum http1_result http1_body_feed(struct http1_body *b, const char *buf, size_t len,
                                  struct http1_piece *piece);
/* Is the whole body here (also: there is none)? */
bool http1_body_done(const struct http1_body *b);
/* Bytes still to come; UINT64_MAX where that is not known (chunked and not done). */
uint64_t http1_body_left(const struct http1_body *b);

/* Chunks of an answer: head, data, HTTP1_CHUNK_TAIL, and HTTP1_CHUNK_LAST at the end. */
enum { HTTP1_CHUNK_HEAD_MAX = 18 };
#define HTTP1_CHUNK_TAIL "\r\n"
#define HTTP1_CHUNK_LAST "0\r\n\r\n"
/* Writes "SIZE\r\n" (no NUL) and returns its length. len must not be 0: that would end the body. */
size_t http1_chunk_head(char out[HTTP1_CHUNK_HEAD_MAX], uint64_t len);

#endif
