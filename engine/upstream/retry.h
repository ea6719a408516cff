/* When a request that a server did not answer well is given to another one (proxy_next_upstream),
 * and what the client is told when it is not. */
#ifndef ENGINE_UPSTREAM_RETRY_H
#define ENGINE_UPSTREAM_RETRY_H

#include "engine/conf/conf_proxy.h"

/* What came of one try. */
enum retry_cause {
    RETRY_ERROR, /* no connection, or it broke */
    RETRY_TIMEOUT,
    RETRY_INVALID_HEADER, /* what came is no answer */
    RETRY_STATUS,         /* an answer, whose status the configuration may not like */
};

struct retry {
    uint64_t began_ns; /* of the first try */
    uint32_t tries_left;
    bool idempotent;   /* the method may be repeated */
    bool request_sent; /* some of it has gone out in this try */
    bool body_gone;    /* the body was not kept */
    bool committed;    /* the client has got something of an answer */
};

/* Is the status one for which another server is to be asked? */
bool retry_wants_status(const struct conf_proxy *proxy, unsigned status);
/* May another server be asked, as far as the request is concerned? */
bool retry_may(const struct conf_proxy *proxy, const struct retry *retry, enum retry_cause cause,
               unsigned status, uint64_t now_ns);
/* Does it count against the server? 403 and 404 are answers of a healthy one. */
bool retry_is_failure(enum retry_cause cause, unsigned status);
/* What the client is told: 502 or 504. */
int retry_status(enum retry_cause cause);

#endif
