/* The prober's own parser of HTTP/1 answers: bytes in; "more", a piece of body, "done" or "bad"
 * out. It shares nothing with any server under test, so a mistake there cannot hide here. */
#ifndef SCENARIOS_WITNESS_PROBER_RESPONSE_H
#define SCENARIOS_WITNESS_PROBER_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROBER_LINE_MAX = 256, PROBER_HEAD_MAX = 65536 };

enum prober_event {
    RESPONSE_MORE, /* all bytes taken, the answer is not complete */
    RESPONSE_HEAD, /* status and headers are known */
    RESPONSE_BODY, /* body, body_len point at a piece of it, inside the bytes given */
    RESPONSE_DONE, /* the answer is complete; bytes left over belong to the next one */
    RESPONSE_BAD,  /* this is not HTTP/1; fault says why */
};

struct prober_response {
    unsigned char state;
    bool close; /* this is the connection's last answer: by header, version or framing */
    bool chunked, has_length, has_nonce;
    uint16_t status;
    uint16_t slot; /* X-Mw-Slot + 1, 0 unknown */
    uint16_t line_len;
    uint32_t head_bytes;
    uint32_t gen, pid; /* X-Mw-Gen, X-Mw-Pid; 0 unknown */
    uint64_t nonce;    /* X-Mw-Nonce */
    uint64_t left;     /* bytes to come: of the body, or of the chunk */
    uint64_t body_bytes;
    const char *body;
    size_t body_len;
    const char *fault;
    char line[PROBER_LINE_MAX]; /* the beginning of a line that came in pieces */
};

void prober_response_init(struct prober_response *r);
/* Takes some of the bytes and tells how many. Call again with the rest until MORE, DONE or BAD. */
enum prober_event prober_response_step(struct prober_response *r, const char *data, size_t len,
                                       size_t *used);
/* The server closed: true if that is how this answer ends. */
bool prober_response_ends_at_eof(const struct prober_response *r);

#endif
