/* limit_rate: how fast an answer may leave. The worker keeps to it (engine/worker/worker_io.c). */
#include "engine/http/limits.h"
#include "engine/http/variables.h"

/* A size as people write it: 100, 8k, 1m. */
bool limits_parse_size(struct conf_str text, uint64_t *bytes)
{
    uint64_t unit = 1;
    char last = text.len > 0 ? str_lower(text.at[text.len - 1]) : '\0';
    if (last == 'k' || last == 'm') {
        unit = last == 'k' ? 1024 : 1024 * 1024;
        text.len--;
    }
    return str_to_u64(text, bytes) && !__builtin_mul_overflow(*bytes, unit, bytes);
}

static uint64_t limit_size_of(struct exchange *x, const struct conf_text *text)
{
    uint64_t bytes;
    struct conf_str value = variable_expand(x, text);
    return value.at != NULL && limits_parse_size(value, &bytes) ? bytes : 0;
}

void limits_find_rate(struct exchange *x)
{
    if (!x->rate_is_set && !x->location->limits_rate)
        return;
    if (!x->rate_is_set)
        x->rate_bytes = limit_size_of(x, &x->location->limit_rate);
    x->rate_after_bytes = limit_size_of(x, &x->location->limit_rate_after);
}
