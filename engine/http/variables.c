/* The value of each variable of engine/conf/variables.def: one function each, found through one
 * table. A variable without a function does not link. */
#include "engine/http/variables.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "engine/http/variables_impl.h"
#include "engine/os/clock.h"

static variable_get *const variable_table[VAR_COUNT] = {
#define VARIABLE(symbol, name, meaning) [VAR_##symbol] = variable_##symbol,
#define PREFIX_VARIABLE VARIABLE
#include "engine/conf/variables.def"
#undef VARIABLE
#undef PREFIX_VARIABLE
};

struct conf_str variable_value(struct exchange *x, enum conf_variable variable,
                               struct conf_str argument)
{
    return variable == VAR_LITERAL ? argument : variable_table[variable](x, argument);
}

struct conf_str variable_expand(struct exchange *x, const struct conf_text *text)
{
    if (text->count == 0)
        return STR("");
    if (text->count == 1 && text->segments[0].variable == VAR_LITERAL)
        return text->segments[0].text;
    struct builder out;
    builder_start(&out, &x->pool, 128);
    for (size_t i = 0; i < text->count; i++) {
        const struct conf_segment *segment = &text->segments[i];
        struct conf_str value = variable_value(x, segment->variable, segment->text);
        if (value.len > 0)
            builder_add(&out, value);
    }
    return builder_end(&out);
}

/* ---- for getters ----------------------------------------------------------------------------- */

struct conf_str variable_number(struct exchange *x, uint64_t value)
{
    char *text = pool_take(&x->pool, 20);
    return text != NULL ? str_make(text, str_from_u64(text, value)) : variable_none;
}

struct conf_str variable_seconds(struct exchange *x, uint64_t ns)
{
    char *text = pool_take(&x->pool, 32);
    if (text == NULL)
        return variable_none;
    uint64_t ms = ns / NS_PER_MS;
    int len =
        snprintf(text, 32, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
    return str_make(text, (size_t)len);
}

struct conf_str variable_address(struct exchange *x, const union http_address *address)
{
    char *text = pool_take(&x->pool, INET6_ADDRSTRLEN);
    const void *raw = address->plain.sa_family == AF_INET6 ? (const void *)&address->in6.sin6_addr
                                                           : (const void *)&address->in.sin_addr;
    if (address->plain.sa_family == AF_UNIX)
        return STR("unix:");
    if (text == NULL || !inet_ntop(address->plain.sa_family, raw, text, INET6_ADDRSTRLEN))
        return variable_none;
    return str_make(text, strlen(text));
}

struct conf_str variable_port(struct exchange *x, const union http_address *address)
{
    if (address->plain.sa_family == AF_UNIX)
        return STR("");
    return variable_number(x, ntohs(address->in.sin_port)); /* in6 has it in the same place */
}
