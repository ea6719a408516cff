/* Which server and which location answer a request. */
#ifndef ENGINE_HTTP_ROUTE_H
#define ENGINE_HTTP_ROUTE_H

#include "engine/http/exchange.h"

/* The server of `listen` whose name fits `host` (lower case, without port and final dot): an exact
 * name, else the longest "*.x" or ".x", else the longest "x.*". NULL: none does. */
const struct conf_server *route_server(const struct conf_listen *listen, struct conf_str host);
/* As above, else the first whose regular expression matches: before there is a request. */
const struct conf_server *route_early(const struct conf_listen *listen, struct conf_str host);
/* As route_server, else the first whose regular expression matches x->host, else the default
 * server. */
const struct conf_server *route_request(struct exchange *x);
/* The location of x->server for x->path: nginx's order of exact, prefix and regular expression,
 * level by level. The server's own level if none fits; NULL: a regular expression failed. */
const struct conf_location *route_location(struct exchange *x);
/* The location "@name" of the server; NULL: it has none. */
const struct conf_location *route_named(const struct conf_server *server, struct conf_str name);

#endif
