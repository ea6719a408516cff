/* Addresses and networks of them. */
#ifndef ENGINE_HTTP_NETWORK_H
#define ENGINE_HTTP_NETWORK_H

#include "engine/http/exchange.h"

bool network_has(const struct conf_network *network, const union http_address *address);
bool network_any_has(const struct conf_network *networks, size_t count,
                     const union http_address *address);
/* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; false: it is none of them. */
bool network_parse_address(struct conf_str text, union http_address *address);

#endif
