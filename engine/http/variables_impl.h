/* What the files with getters share. A getter gives a variable's value for a request; `argument` is
 * the rest of a prefix variable's name. at == NULL: the variable has no value. */
#ifndef ENGINE_HTTP_VARIABLES_IMPL_H
#define ENGINE_HTTP_VARIABLES_IMPL_H

#include "engine/http/variables.h"

typedef struct conf_str variable_get(struct exchange *x, struct conf_str argument);

#define VARIABLE(symbol, name, meaning) variable_get variable_##symbol;
#define PREFIX_VARIABLE VARIABLE
#include "engine/conf/variables.def"
#undef VARIABLE
#undef PREFIX_VARIABLE

#define GETTER(symbol)                                                                             \
    struct conf_str variable_##symbol(struct exchange *x __attribute__((unused)),                  \
                                      struct conf_str argument __attribute__((unused)))

static const struct conf_str variable_none = {NULL, 0};

struct conf_str variable_number(struct exchange *x, uint64_t value);
/* Nanoseconds as seconds with three decimals. */
struct conf_str variable_seconds(struct exchange *x, uint64_t ns);
struct conf_str variable_address(struct exchange *x, const union http_address *address);
struct conf_str variable_port(struct exchange *x, const union http_address *address);

#endif
