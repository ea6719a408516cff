/* Variables made by `map`. */
#ifndef ENGINE_HTTP_MAP_H
#define ENGINE_HTTP_MAP_H

#include "engine/http/exchange.h"

/* The value for this request; at == NULL: no memory. */
struct conf_str map_value(struct exchange *x, const struct conf_map *map);

#endif
