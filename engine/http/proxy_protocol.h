/* The PROXY protocol, versions 1 and 2: the header by which a load balancer says who its client is
 * (haproxy.org/download/2.6/doc/proxy-protocol.txt). Bytes in, addresses out. */
#ifndef ENGINE_HTTP_PROXY_PROTOCOL_H
#define ENGINE_HTTP_PROXY_PROTOCOL_H

#include "engine/http/exchange.h"

enum proxy_protocol { PROXY_PROTOCOL_DONE, PROXY_PROTOCOL_MORE, PROXY_PROTOCOL_BAD };

/* Looks for a header at the beginning of `bytes`. DONE: it is the first *used bytes, and *out holds
 * what it says. No header is larger than PROXY_PROTOCOL_BYTES_MAX: more is BAD. */
enum { PROXY_PROTOCOL_BYTES_MAX = 4096 };
enum proxy_protocol proxy_protocol_parse(struct conf_str bytes, struct http_proxied *out,
                                         size_t *used);

#endif
