/* Variables: what $name means for a request. */
#ifndef ENGINE_HTTP_VARIABLES_H
#define ENGINE_HTTP_VARIABLES_H

#include "engine/http/exchange.h"

/* The value of one variable; at == NULL where it has none (logs show "-"). */
struct conf_str variable_value(struct exchange *x, enum conf_variable variable,
                               struct conf_str argument);
/* As above, for a piece of compiled text. */
struct conf_str variable_segment(struct exchange *x, const struct conf_segment *segment);
/* Gives a variable of conf.variables its value, which must last as long as the exchange. False: no
 * memory. */
bool variable_set(struct exchange *x, uint32_t index, struct conf_str value);
/* Text with its variables replaced; at == NULL: no memory. */
struct conf_str variable_expand(struct exchange *x, const struct conf_text *text);

/* May this request header be seen (ignore_invalid_headers, underscores_in_headers)? */
bool variable_header_counts(const struct exchange *x, const struct http1_header *header);

#endif
