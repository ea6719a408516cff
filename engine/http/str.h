/* Small operations on counted text (struct conf_str); nothing here allocates, and none of the text
 * needs to end in a NUL. */
#ifndef ENGINE_HTTP_STR_H
#define ENGINE_HTTP_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/conf/conf.h"

#define STR(literal) ((struct conf_str){"" literal, sizeof(literal) - 1})

static inline struct conf_str str_make(const char *at, size_t len)
{
    return (struct conf_str){at, len};
}

static inline bool str_equal(struct conf_str a, struct conf_str b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static inline bool str_starts(struct conf_str text, struct conf_str prefix)
{
    return text.len >= prefix.len && memcmp(text.at, prefix.at, prefix.len) == 0;
}

static inline char str_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool str_equal_nocase(struct conf_str a, struct conf_str b);
/* Decimal digits only, the whole text; false also on overflow and on empty text. */
bool str_to_u64(struct conf_str text, uint64_t *out);
/* The text without blanks at both ends. */
struct conf_str str_trim(struct conf_str text);
/* Is `word` one of the comma-separated words of `list`, whatever the case? */
bool str_list_has(struct conf_str list, struct conf_str word);
/* Cuts the part before the first `separator` off *rest; the whole rest where there is none. */
struct conf_str str_cut(struct conf_str *rest, char separator);
/* Writes `value` in decimal at `out` (room for 20 bytes) and returns the number of digits. */
size_t str_from_u64(char *out, uint64_t value);

#endif
