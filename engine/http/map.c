/* Looking a text up in a map: equal keys, then wildcards of host names, then regular expressions.
 */
#include "engine/http/map.h"

#include "engine/http/regex.h"
#include "engine/http/variables.h"

static bool map_ends(struct conf_str text, struct conf_str end)
{
    return text.len > end.len && memcmp(text.at + text.len - end.len, end.at, end.len) == 0;
}

static const struct conf_map_entry *map_find_exact(const struct conf_map *map, struct conf_str text)
{
    size_t low = 0, high = map->exact.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct conf_str key = map->exact.items[middle].key;
        int order = memcmp(key.at, text.at, key.len < text.len ? key.len : text.len);
        if (order == 0 && key.len == text.len)
            return &map->exact.items[middle];
        if (order < 0 || (order == 0 && key.len < text.len))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const struct conf_map_entry *map_find_host(const struct conf_map *map, struct conf_str host)
{
    for (size_t i = 0; i < map->heads.count; i++) {
        const struct conf_map_entry *entry = &map->heads.items[i];
        struct conf_str whole = str_make(entry->key.at + 1, entry->key.len - 1);
        if (map_ends(host, entry->key) || (entry->whole_too && str_equal(whole, host)))
            return entry;
    }
    for (size_t i = 0; i < map->tails.count; i++)
        if (str_starts(host, map->tails.items[i].key))
            return &map->tails.items[i];
    return NULL;
}

static const struct conf_map_entry *map_find_regex(struct exchange *x, const struct conf_map *map,
                                                   struct conf_str text)
{
    for (size_t i = 0; i < map->regexes.count; i++)
        if (regex_match(x, map->regexes.items[i].regex, text) == REGEX_YES)
            return &map->regexes.items[i];
    return NULL;
}

struct conf_str map_value(struct exchange *x, const struct conf_map *map)
{
    struct conf_str source = variable_expand(x, &map->source);
    char *lower = source.at == NULL ? NULL : pool_take(&x->pool, source.len + 1);
    if (lower == NULL)
        return str_make(NULL, 0);
    for (size_t i = 0; i < source.len; i++)
        lower[i] = str_lower(source.at[i]);
    struct conf_str text = str_make(lower, source.len);
    if (map->hostnames && text.len > 0 && text.at[text.len - 1] == '.')
        text.len--;
    const struct conf_map_entry *entry = map_find_exact(map, text);
    if (entry == NULL)
        entry = map_find_host(map, text);
    if (entry == NULL)
        entry = map_find_regex(x, map, source);
    return variable_expand(x, entry != NULL ? &entry->value : &map->fallback);
}
