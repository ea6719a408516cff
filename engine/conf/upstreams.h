/* Groups of servers while a configuration is read: by `upstream` blocks, and by proxy_pass. */
#ifndef ENGINE_CONF_UPSTREAMS_H
#define ENGINE_CONF_UPSTREAMS_H

#include "engine/conf/conf_proxy.h"
#include "engine/conf/load.h"

/* NULL: there is none of that name (lower case). */
const struct conf_upstream *upstream_find(const struct load *load, struct conf_str name);
/* Keeps a copy; everything it points to must last. */
bool upstream_add(struct load *load, const struct conf_upstream *upstream);
/* The addresses of like->name, as servers that are otherwise like it. */
bool upstream_add_servers(struct load *load, struct list *servers, const struct place *place,
                          const struct conf_upstream_server *like, uint16_t port);

#endif
