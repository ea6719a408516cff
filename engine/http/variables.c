/* The value of each variable of engine/conf/variables.def: one function each, found through one
 * table. A variable without a function does not link. */
#include "engine/http/variables.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "engine/http/map.h"
#include "engine/http/regex.h"
#include "engine/http/variables_impl.h"
#include "engine/os/clock.h"

enum { MAP_DEPTH_MAX = 32 };

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

bool variable_set(struct exchange *x, uint32_t index, struct conf_str value)
{
    size_t bytes = x->site->conf->variable_count * sizeof *x->values;
    if (x->values == NULL) {
        x->values = pool_take(&x->pool, bytes);
        if (x->values == NULL)
            return false;
        memset(x->values, 0, bytes);
    }
    x->values[index] = value;
    return true;
}

/* A map is looked through once for a request, unless it is volatile. */
static struct conf_str variable_mapped(struct exchange *x, uint32_t index,
                                       const struct conf_map *map)
{
    if (x->map_depth == MAP_DEPTH_MAX) {
        exchange_log(x, LEVEL_ERR, "cycle while evaluating variable \"%s\"",
                     x->site->conf->variables[index].name.at);
        return STR("");
    }
    x->map_depth++;
    struct conf_str value = map_value(x, map);
    x->map_depth--;
    if (value.at != NULL && !map->is_volatile)
        variable_set(x, index, value);
    return value;
}

static struct conf_str variable_named(struct exchange *x, uint32_t index)
{
    const struct conf_map *map = x->site->conf->variables[index].map;
    if (x->values != NULL && x->values[index].at != NULL)
        return x->values[index];
    if (map != NULL)
        return variable_mapped(x, index, map);
    if (x->location->uninitialized_variable_warn)
        exchange_log(x, LEVEL_WARN, "using uninitialized \"%s\" variable",
                     x->site->conf->variables[index].name.at);
    return STR("");
}

struct conf_str variable_segment(struct exchange *x, const struct conf_segment *segment)
{
    if (segment->variable == VAR_LITERAL)
        return segment->text;
    if (segment->variable == VAR_CAPTURE)
        return regex_group(x, segment->index);
    if (segment->variable == VAR_NAMED)
        return variable_named(x, segment->index);
    return variable_table[segment->variable](x, segment->text);
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
        struct conf_str value = variable_segment(x, &text->segments[i]);
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
    if (address->plain.sa_family == AF_UNIX || address->in.sin_port == 0)
        return STR("");
    return variable_number(x, ntohs(address->in.sin_port)); /* in6 has it in the same place */
}
