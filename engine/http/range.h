/* The Range header: which part of a document a client asks for (RFC 9110 14). */
#ifndef ENGINE_HTTP_RANGE_H
#define ENGINE_HTTP_RANGE_H

#include "engine/http/str.h"

enum range_verdict {
    RANGE_WHOLE,         /* no range, not one we know, or several: send everything (200) */
    RANGE_PART,          /* 206 */
    RANGE_UNSATISFIABLE, /* 416 */
};

/* Reads the header's value for a document of `size` bytes. */
enum range_verdict range_parse(struct conf_str header, uint64_t size, uint64_t *offset,
                               uint64_t *len);

#endif
