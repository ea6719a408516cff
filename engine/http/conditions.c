/* Conditional requests. */
#include "engine/http/conditions.h"

/* Is the etag in the list? A weak comparison ignores W/, a strong one refuses it. */
static bool conditions_list_has(struct conf_str list, struct conf_str etag, bool weak)
{
    if (str_equal(str_trim(list), STR("*")))
        return true;
    while (list.len > 0) {
        struct conf_str item = str_trim(str_cut(&list, ','));
        if (str_starts(item, STR("W/"))) {
            if (!weak)
                continue;
            item = str_make(item.at + 2, item.len - 2);
        }
        if (etag.len > 0 && str_equal(item, etag))
            return true;
    }
    return false;
}

int conditions_check(const struct exchange *x, const struct conditions *is)
{
    struct conf_str match = exchange_known_header(x, HTTP1_NAME_IF_MATCH);
    struct conf_str unmodified = exchange_known_header(x, HTTP1_NAME_IF_UNMODIFIED_SINCE);
    struct conf_str none_match = exchange_known_header(x, HTTP1_NAME_IF_NONE_MATCH);
    struct conf_str modified = exchange_known_header(x, HTTP1_NAME_IF_MODIFIED_SINCE);
    uint64_t second;
    if (match.at != NULL && !conditions_list_has(match, is->etag, false))
        return 412;
    if (match.at == NULL && unmodified.at != NULL && date_parse_http(unmodified, &second) &&
        is->modified_s > second)
        return 412;
    if (none_match.at != NULL)
        return conditions_list_has(none_match, is->etag, true) ? 304 : 200;
    /* By default exactly the date we gave: a file put back from a backup is older than the client's
     * copy and yet another one. */
    int rule = x->location->if_modified_since;
    if (modified.at == NULL || rule == IF_MODIFIED_OFF || !date_parse_http(modified, &second))
        return 200;
    bool fresh = rule == IF_MODIFIED_EXACT ? second == is->modified_s : second >= is->modified_s;
    return fresh ? 304 : 200;
}

bool conditions_allow_range(const struct exchange *x, const struct conditions *is)
{
    struct conf_str condition = exchange_known_header(x, HTTP1_NAME_IF_RANGE);
    if (condition.at == NULL)
        return true;
    return (is->etag.len > 0 && str_equal(condition, is->etag)) || str_equal(condition, is->date);
}
