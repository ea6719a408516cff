/* limit_req, limit_conn and limit_rate. */
#ifndef ENGINE_HTTP_LIMITS_H
#define ENGINE_HTTP_LIMITS_H

#include "engine/http/exchange.h"

/* What limit_req or limit_conn said of a request. */
enum limit_verdict {
    LIMIT_NOT_ASKED,
    LIMIT_PASSED,
    LIMIT_DELAYED,
    LIMIT_REJECTED,
    LIMIT_DELAYED_DRY_RUN,
    LIMIT_REJECTED_DRY_RUN,
};

/* The request is over: it does not count any more. */
void limits_release(struct exchange *x);
/* A size as people write it: 100, 8k, 1m. */
bool limits_parse_size(struct conf_str text, uint64_t *bytes);
/* The rate and the bytes before it holds, once the answer is known; rate 0: there is none. */
void limits_find_rate(struct exchange *x);

#endif
