/* Conditional requests (RFC 9110 13): does the client have the document already? */
#ifndef ENGINE_HTTP_CONDITIONS_H
#define ENGINE_HTTP_CONDITIONS_H

#include "engine/http/exchange.h"

/* What the document is. */
struct conditions {
    uint64_t modified_s;
    struct conf_str date; /* Last-Modified */
    struct conf_str etag; /* with its quotes; empty where etag is off */
};

/* 200 send it, 304 the client has it, 412 a precondition failed. */
int conditions_check(const struct exchange *x, const struct conditions *is);
/* May a Range header be honoured (If-Range)? */
bool conditions_allow_range(const struct exchange *x, const struct conditions *is);

#endif
