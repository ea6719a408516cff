/* Variables that the configuration defines: by `set`, or as a named group of a regular
 * expression. All of them share one list, so that a request keeps their values in one array. */
#include "engine/conf/load.h"

#include <string.h>

/* While the configuration is being read. */
struct named_wish {
    struct conf_named named;
    bool defined;
    struct place place;
};

static struct named_wish *named_find(struct load *load, const struct word *word,
                                     struct conf_str name, uint32_t *index)
{
    struct named_wish *all = load->variables.items;
    for (size_t i = 0; i < load->variables.count; i++) {
        if (str_equal(all[i].named.name, name)) {
            *index = (uint32_t)i;
            return &all[i];
        }
    }
    struct named_wish *wish = load_add(load, &load->variables, sizeof *wish);
    if (wish == NULL || !load_copy(load, name.at, name.len, &wish->named.name))
        return NULL;
    wish->place = word->place;
    *index = (uint32_t)(load->variables.count - 1);
    return wish;
}

bool named_use(struct load *load, const struct word *word, struct conf_str name, uint32_t *index)
{
    return named_find(load, word, name, index) != NULL;
}

bool named_define(struct load *load, const struct word *word, struct conf_str name, uint32_t *index)
{
    struct conf_str lower;
    if (!load_copy_lower(load, name, &lower))
        return false;
    if (text_is_built_in(lower))
        return load_fail(load, &word->place,
                         "variable \"%s\" has a meaning of its own and cannot be set: take another "
                         "name",
                         lower.at);
    struct named_wish *wish = named_find(load, word, lower, index);
    if (wish != NULL)
        wish->defined = true;
    return wish != NULL;
}

bool named_define_map(struct load *load, const struct word *word, struct conf_str name,
                      const struct conf_map *map)
{
    uint32_t index;
    if (!named_define(load, word, name, &index))
        return false;
    struct named_wish *wish = (struct named_wish *)load->variables.items + index;
    if (wish->named.map != NULL)
        return load_fail(load, &word->place, "the duplicate \"%s\" variable: another map makes it",
                         wish->named.name.at);
    wish->named.map = map;
    return true;
}

bool named_build(struct load *load)
{
    const struct named_wish *all = load->variables.items;
    struct conf_named *variables = load_alloc(load, load->variables.count * sizeof *variables);
    if (variables == NULL)
        return false;
    for (size_t i = 0; i < load->variables.count; i++) {
        if (!all[i].defined)
            return load_fail(load, &all[i].place, "unknown \"%s\" variable", all[i].named.name.at);
        variables[i] = all[i].named;
    }
    load->conf->variables = variables;
    load->conf->variable_count = load->variables.count;
    return true;
}
