/* Every overflow is an error: a number that wraps would be a value nobody wrote. */
#include "engine/conf/value.h"

#include <strings.h>
#include <string.h>

#include "engine/os/clock.h"

static bool value_digits(const char **at, const char *end, uint64_t *out)
{
    const char *start = *at;
    uint64_t value = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
            return false;
    }
    *out = value;
    return *at > start;
}

bool value_number(struct conf_str text, uint64_t *out)
{
    const char *at = text.at, *end = text.at + text.len;
    uint64_t value;
    if (!value_digits(&at, end, &value) || at != end || value > INT64_MAX)
        return false;
    *out = value;
    return true;
}

bool value_size(struct conf_str text, uint64_t *out_bytes)
{
    const char *at = text.at, *end = text.at + text.len;
    uint64_t value, unit = 1;
    if (!value_digits(&at, end, &value))
        return false;
    if (at < end) {
        const char *units = "kKmMgG";
        const char *letter = memchr(units, *at, 6);
        if (letter == NULL || at + 1 != end)
            return false;
        unit = UINT64_C(1) << (10 * ((letter - units) / 2 + 1));
    }
    if (__builtin_mul_overflow(value, unit, &value) || value > INT64_MAX)
        return false;
    *out_bytes = value;
    return true;
}

static const struct {
    const char *name;
    uint64_t ns;
} value_units[] = {
    {"y", 31536000 * NS_PER_S},
    {"M", 2592000 * NS_PER_S},
    {"w", 604800 * NS_PER_S},
    {"d", 86400 * NS_PER_S},
    {"h", 3600 * NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"s", NS_PER_S},
    {"ms", NS_PER_MS},
};
#define VALUE_UNITS (sizeof value_units / sizeof value_units[0])

/* The unit at *at, which must be smaller than the one before; without one it is seconds, and last.
 */
static bool value_unit(const char **at, const char *end, size_t *next, uint64_t *out_ns)
{
    size_t len = 0;
    while (*at + len < end && (*at)[len] != ' ' && ((*at)[len] < '0' || (*at)[len] > '9'))
        len++;
    if (len == 0) {
        *out_ns = NS_PER_S;
        *next = VALUE_UNITS;
        return *at == end;
    }
    for (size_t i = *next; i < VALUE_UNITS; i++) {
        if (strlen(value_units[i].name) == len && memcmp(value_units[i].name, *at, len) == 0) {
            *at += len;
            *next = i + 1;
            *out_ns = value_units[i].ns;
            return true;
        }
    }
    return false;
}

bool value_time(struct conf_str text, uint64_t *out_ns)
{
    const char *at = text.at, *end = text.at + text.len;
    uint64_t total = 0;
    size_t next = 0;
    do {
        uint64_t value, unit_ns;
        if (!value_digits(&at, end, &value) || !value_unit(&at, end, &next, &unit_ns) ||
            __builtin_mul_overflow(value, unit_ns, &value) ||
            __builtin_add_overflow(total, value, &total))
            return false;
        while (at < end && *at == ' ')
            at++;
    } while (at < end);
    if (total > INT64_MAX)
        return false;
    *out_ns = total;
    return true;
}

bool value_flag(struct conf_str text, bool *out)
{
    /* nginx does not mind the case of these two words. */
    if (strcasecmp(text.at, "on") != 0 && strcasecmp(text.at, "off") != 0)
        return false;
    *out = text.len == 2;
    return true;
}
