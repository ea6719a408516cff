/* Regular expressions at work: matching, and what the groups of the last match hold. */
#ifndef ENGINE_HTTP_REGEX_H
#define ENGINE_HTTP_REGEX_H

#include "engine/http/exchange.h"

enum regex_verdict {
    REGEX_NO,
    REGEX_YES,
    REGEX_FAILED, /* too much work, or no memory: logged */
};

/* A match sets $1 to $9 and the variables of named groups. `subject` must last as long as the
 * exchange. */
enum regex_verdict regex_match(struct exchange *x, const struct conf_regex *regex,
                               struct conf_str subject);
/* The same without a request that could keep the groups. */
bool regex_fits(const struct conf_regex *regex, struct conf_str subject);
/* Group `group` of the last match; at == NULL: it matched nothing. */
struct conf_str regex_group(const struct exchange *x, uint32_t group);

#endif
