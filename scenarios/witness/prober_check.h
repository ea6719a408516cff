/* Is this answer's body the one its request asked for? Fed piece by piece, bounded memory. */
#ifndef SCENARIOS_WITNESS_PROBER_CHECK_H
#define SCENARIOS_WITNESS_PROBER_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/witness/prober_spec.h"

enum { PROBER_TEXT_MAX = 96, PATTERN_PERIOD = 89 * 89, PATTERN_SPAN_MAX = 16384 };

enum prober_verdict { BODY_RIGHT, BODY_WRONG, BODY_CUT };

struct prober_check {
    enum prober_check_kind kind;
    bool wrong;
    bool events_begun;
    char last;        /* byte of the body */
    uint8_t text_len; /* of the body's beginning, or of the event's line under way */
    uint64_t nonce;
    uint64_t offset;   /* bytes of body so far */
    uint64_t expected; /* bytes the answer must have, 0 any */
    uint64_t uploaded; /* bytes the request's body had */
    uint64_t events;   /* number of the next event */
    char text[PROBER_TEXT_MAX];
};

void prober_check_begin(struct prober_check *c, enum prober_check_kind kind, uint64_t nonce);
void prober_check_feed(struct prober_check *c, const char *data, size_t len);
/* The verdict on the whole body. `label` is what an echo names itself, 0 if it does not.
 * `at_eof`: the body's end was only told by the connection's end. */
enum prober_verdict prober_check_end(struct prober_check *c, bool at_eof, uint32_t *label);

/* Up to PATTERN_SPAN_MAX pattern bytes from an offset; *len is cut to what is there. */
const char *pattern_span(uint64_t offset, size_t *len);

#endif
