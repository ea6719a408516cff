/* The Range header. */
#include "engine/http/range.h"

/* The last `suffix` bytes of the document. */
static enum range_verdict range_suffix(uint64_t suffix, uint64_t size, uint64_t *offset,
                                       uint64_t *len)
{
    if (suffix == 0 || size == 0)
        return RANGE_UNSATISFIABLE;
    *len = suffix < size ? suffix : size;
    *offset = size - *len;
    return RANGE_PART;
}

enum range_verdict range_parse(struct conf_str header, uint64_t size, uint64_t *offset,
                               uint64_t *len)
{
    struct conf_str unit = str_make(header.at, header.len < 6 ? header.len : 6);
    if (!str_equal_nocase(unit, STR("bytes=")))
        return RANGE_WHOLE;
    struct conf_str rest = str_make(header.at + 6, header.len - 6);
    /* Several ranges may be answered with the whole document, which costs us nothing to get right.
     */
    if (memchr(rest.at, ',', rest.len) != NULL || memchr(rest.at, '-', rest.len) == NULL)
        return RANGE_WHOLE;
    struct conf_str first_text = str_trim(str_cut(&rest, '-'));
    struct conf_str last_text = str_trim(rest);
    uint64_t first, last = UINT64_MAX;
    if (last_text.len > 0 && !str_to_u64(last_text, &last))
        return RANGE_WHOLE;
    if (first_text.len == 0)
        return last_text.len > 0 ? range_suffix(last, size, offset, len) : RANGE_WHOLE;
    if (!str_to_u64(first_text, &first) || first > last)
        return RANGE_WHOLE;
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    *offset = first;
    *len = (last < size ? last + 1 : size) - first;
    return RANGE_PART;
}
