/* The Range header. */
#include "engine/http/range.h"

/* The last `suffix` bytes of the document. */
static enum range_verdict range_suffix(uint64_t suffix, uint64_t size, struct range *out)
{
    if (suffix == 0 || size == 0)
        return RANGE_UNSATISFIABLE;
    out->len = suffix < size ? suffix : size;
    out->offset = size - out->len;
    return RANGE_PART;
}

/* FIRST-LAST, FIRST- or -SUFFIX. */
static enum range_verdict range_parse_one(struct conf_str text, uint64_t size, struct range *out)
{
    uint64_t first, last = UINT64_MAX;
    if (memchr(text.at, '-', text.len) == NULL)
        return RANGE_WHOLE;
    struct conf_str first_text = str_trim(str_cut(&text, '-')), last_text = str_trim(text);
    if (last_text.len > 0 && !str_to_u64(last_text, &last))
        return RANGE_WHOLE;
    if (first_text.len == 0)
        return last_text.len > 0 ? range_suffix(last, size, out) : RANGE_WHOLE;
    if (!str_to_u64(first_text, &first) || first > last)
        return RANGE_WHOLE;
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    out->offset = first;
    out->len = (last < size ? last + 1 : size) - first;
    return RANGE_PART;
}

enum range_verdict range_parse(struct conf_str header, uint64_t size, struct range *out,
                               size_t most, size_t *count)
{
    struct conf_str unit = str_make(header.at, header.len < 6 ? header.len : 6);
    uint64_t total = 0;
    *count = 0;
    if (!str_equal_nocase(unit, STR("bytes=")))
        return RANGE_WHOLE;
    struct conf_str rest = str_make(header.at + 6, header.len - 6);
    do {
        struct range range;
        enum range_verdict verdict = range_parse_one(str_trim(str_cut(&rest, ',')), size, &range);
        if (verdict == RANGE_WHOLE)
            return RANGE_WHOLE;
        if (verdict == RANGE_UNSATISFIABLE)
            continue;
        if (*count == most)
            return RANGE_WHOLE;
        out[(*count)++] = range;
        total += range.len;
    } while (rest.len > 0);
    if (*count == 0)
        return RANGE_UNSATISFIABLE;
    return total > size ? RANGE_WHOLE : RANGE_PART;
}
