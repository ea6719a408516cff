/* Where documents are. */
#ifndef ENGINE_HTTP_STATIC_H
#define ENGINE_HTTP_STATIC_H

#include "engine/http/exchange.h"

/* Root or alias of the request's location; at == NULL: no memory. */
struct conf_str static_root(struct exchange *x);
/* The file that `path` means in the request's location; at == NULL: no memory. */
struct conf_str static_filename(struct exchange *x, struct conf_str path);

#endif
