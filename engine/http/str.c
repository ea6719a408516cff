/* Small operations on counted text. */
#include "engine/http/str.h"

bool str_equal_nocase(struct conf_str a, struct conf_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (str_lower(a.at[i]) != str_lower(b.at[i]))
            return false;
    return true;
}

bool str_to_u64(struct conf_str text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.at[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return true;
}

struct conf_str str_trim(struct conf_str text)
{
    while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text = str_make(text.at + 1, text.len - 1);
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

bool str_list_has(struct conf_str list, struct conf_str word)
{
    while (list.len > 0)
        if (str_equal_nocase(str_trim(str_cut(&list, ',')), word))
            return true;
    return false;
}

struct conf_str str_cut(struct conf_str *rest, char separator)
{
    const char *end = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
    struct conf_str piece = *rest;
    if (end == NULL) {
        *rest = str_make(rest->at + rest->len, 0);
        return piece;
    }
    piece.len = (size_t)(end - rest->at);
    *rest = str_make(end + 1, rest->len - piece.len - 1);
    return piece;
}

size_t str_from_u64(char *out, uint64_t value)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}
