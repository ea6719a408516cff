/* Building answers: what handlers say, and the text that goes out. */
#ifndef ENGINE_HTTP_ANSWER_H
#define ENGINE_HTTP_ANSWER_H

#include "engine/http/exchange.h"

/* A whole answer from memory, which must last as long as the exchange. */
void answer_text(struct exchange *x, int status, struct conf_str type, struct conf_str body);
/* An error, or a redirect: goes where error_page says, else answers with the standard page. What
 * was prepared before is forgotten. */
void answer_page(struct exchange *x, int status);
/* The standard page, whatever error_page says. */
void answer_standard_page(struct exchange *x, int status);
bool answer_is_redirect(int status);
/* A redirect; a target that starts with '/' is made absolute. */
void answer_redirect(struct exchange *x, int status, struct conf_str target);
/* One more header; name and value must last as long as the exchange. */
void answer_header(struct exchange *x, struct conf_str name, struct conf_str value);
/* The type for the path's extension, else default_type. */
struct conf_str answer_type_of_path(const struct exchange *x);
/* Forgets what was prepared. */
void answer_reset(struct exchange *x);
/* Closes a file that will not be sent. */
void answer_drop_body(struct exchange *x);

#endif
