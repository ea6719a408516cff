/* The Range header: which parts of a document a client asks for (RFC 9110 14). */
#ifndef ENGINE_HTTP_RANGE_H
#define ENGINE_HTTP_RANGE_H

#include "engine/http/str.h"

enum range_verdict {
    RANGE_WHOLE,         /* no range, not one we know, or too many: send everything (200) */
    RANGE_PART,          /* 206: one or more */
    RANGE_UNSATISFIABLE, /* 416 */
};
struct range {
    uint64_t offset, len;
};

/* Reads the header's value for a document of `size` bytes. Up to `most` ranges are written to
 * `out`; more of them, or more bytes than the document has, mean all of it. */
enum range_verdict range_parse(struct conf_str header, uint64_t size, struct range *out,
                               size_t most, size_t *count);

#endif
