/* expires: how long an answer may be kept by caches. */
#ifndef ENGINE_HTTP_EXPIRES_H
#define ENGINE_HTTP_EXPIRES_H

#include "engine/http/exchange.h"

/* Adds the headers Expires and Cache-Control, if the location says so. Did it? */
bool expires_add(struct exchange *x, struct builder *head);

#endif
