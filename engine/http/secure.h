/* May a request be answered on a connection with (or without) the TLS that it has? */
#ifndef ENGINE_HTTP_SECURE_H
#define ENGINE_HTTP_SECURE_H

#include "engine/http/exchange.h"

/* The server is known. 0, or the status that refuses it: nginx's 497 plain HTTP to an address with
 * TLS, 495 a client's certificate that is not good, 496 none where one must be, 421 another host
 * than the one TLS was agreed on for, where clients are verified. The reason is logged. */
int secure_refusal(struct exchange *x);

#endif
