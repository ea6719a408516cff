/* error_page: what is answered instead of a standard page. */
#ifndef ENGINE_HTTP_ERROR_PAGE_H
#define ENGINE_HTTP_ERROR_PAGE_H

#include "engine/http/exchange.h"

/* Sends a request that was about to be answered `status` elsewhere, if the configuration says so.
 * False: it does not. */
bool error_page_divert(struct exchange *x, int status);
/* Is there a page for this status, so that an upstream's own need not be sent? */
bool error_page_exists(const struct exchange *x, int status);

#endif
