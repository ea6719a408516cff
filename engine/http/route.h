/* Which server and which location answer a request. */
#ifndef ENGINE_HTTP_ROUTE_H
#define ENGINE_HTTP_ROUTE_H

#include "engine/http/str.h"

/* The server of `listen` whose name fits `host` (lower case, without port and final dot): an exact
 * name, else the longest "*.x" or ".x", else the longest "x.*", else the default server. */
const struct conf_server *route_server(const struct conf_listen *listen, struct conf_str host);
/* The location of `server` for a normalised path; the server's own level if none fits. */
const struct conf_location *route_location(const struct conf_server *server, struct conf_str path);

#endif
