/* Where documents are. */
#ifndef ENGINE_HTTP_STATIC_H
#define ENGINE_HTTP_STATIC_H

#include "engine/http/exchange.h"

/* Redirects to the same path with a slash at its end. */
void static_add_slash(struct exchange *x);
/* Root or alias of the request's location; at == NULL: no memory. */
struct conf_str static_root(struct exchange *x);
/* The file that `path` means in the request's location; at == NULL: no memory. */
struct conf_str static_filename(struct exchange *x, struct conf_str path);

#endif
