/* The rules of a server or location: rewrite, set, if, break, return. */
#ifndef ENGINE_HTTP_REWRITE_H
#define ENGINE_HTTP_REWRITE_H

#include "engine/http/exchange.h"

/* What a `return` answers. */
void rewrite_return(struct exchange *x, int status, const struct conf_text *text);

#endif
