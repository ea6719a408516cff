/* map: a variable that depends on others through a table. */
#include "engine/conf/load.h"

#include <stdlib.h>
#include <string.h>

#include "engine/conf/setters.h"

/* While its block is being read. */
struct map_block {
    struct scope scope; /* first, so that entries find the rest */
    struct conf_map *map;
    struct list exact, heads, tails, regexes; /* struct conf_map_entry */
    bool has_fallback;
};

static bool map_option(struct load *load, struct map_block *block,
                       const struct statement *statement, bool *taken)
{
    *taken = true;
    if (statement->count == 0 && str_is(statement->name.text, "hostnames"))
        block->map->hostnames = true;
    else if (statement->count == 0 && str_is(statement->name.text, "volatile"))
        block->map->is_volatile = true;
    else
        *taken = false;
    if (*taken || statement->count == 1)
        return true;
    return load_fail(load, &statement->name.place,
                     "invalid number of the map parameters: a source and a value are expected");
}

static bool map_fallback(struct load *load, struct map_block *block, const struct word *value)
{
    if (block->has_fallback)
        return load_fail(load, &value->place, "duplicate default map parameter");
    block->has_fallback = true;
    return text_compile(load, value, &block->map->fallback);
}

static bool map_is_new(struct load *load, const struct list *list, const struct word *word,
                       struct conf_str key)
{
    const struct conf_map_entry *entries = list->items;
    for (size_t i = 0; i < list->count; i++)
        if (str_equal(entries[i].key, key))
            return load_fail(load, &word->place, "conflicting parameter \"%s\"", word->text.at);
    return true;
}

/* Where a key belongs, and what of it is compared: ".x" and "*.x" are kept as ".x", "x.*" as "x.".
 */
static struct list *map_list(struct map_block *block, struct conf_str *key)
{
    bool head = str_begins(*key, "*.") || str_begins(*key, ".");
    if (block->map->hostnames && head && key->len > 2) {
        size_t star = key->at[0] == '*';
        *key = (struct conf_str){key->at + star, key->len - star};
        return &block->heads;
    }
    if (block->map->hostnames && key->len > 2 && strcmp(key->at + key->len - 2, ".*") == 0) {
        key->len--;
        return &block->tails;
    }
    return &block->exact;
}

static bool map_regex(struct load *load, const struct word *word, struct conf_map_entry *entry)
{
    bool ignore_case = word->text.at[1] == '*';
    entry->regex = regex_compile(load, word, word->text.at + 1 + ignore_case, ignore_case);
    return entry->regex != NULL;
}

static bool map_entry(struct load *load, struct scope *scope, const struct statement *statement)
{
    struct map_block *block = (struct map_block *)(void *)scope;
    const struct word *word = &statement->name, *value = &statement->args[0];
    bool taken;
    if (statement->block)
        return load_fail(load, &word->place, "unexpected \"{\" in \"map\"");
    if (str_is(word->text, "include") && statement->count == 1)
        return parse_include_as(load, scope, map_entry, statement);
    if (!map_option(load, block, statement, &taken) || taken)
        return !load->failed;
    if (str_is(word->text, "default"))
        return map_fallback(load, block, value);
    struct conf_map_entry entry = {.key = {"", 0}};
    struct list *list = &block->regexes;
    if (str_begins(word->text, "~")) {
        if (!map_regex(load, word, &entry))
            return false;
    } else {
        struct conf_str key = word->text;
        size_t skip = str_begins(key, "\\"); /* before a word that would have a meaning */
        key = (struct conf_str){key.at + skip, key.len - skip};
        if (!load_copy_lower(load, key, &entry.key))
            return false;
        entry.whole_too = str_begins(entry.key, ".");
        list = map_list(block, &entry.key);
        if (!map_is_new(load, list, word, entry.key))
            return false;
    }
    struct conf_map_entry *slot = load_add(load, list, sizeof *slot);
    if (slot == NULL || !text_compile(load, value, &entry.value))
        return false;
    *slot = entry;
    return true;
}

static int map_compare_keys(const void *a, const void *b)
{
    const struct conf_map_entry *left = a, *right = b;
    return strcmp(left->key.at, right->key.at);
}

/* The longest first: the one that says most counts. */
static int map_compare_lengths(const void *a, const void *b)
{
    const struct conf_map_entry *left = a, *right = b;
    return (left->key.len < right->key.len) - (left->key.len > right->key.len);
}

static struct conf_map_entries map_entries(const struct list *list,
                                           int (*compare)(const void *, const void *))
{
    if (list->count > 0 && compare != NULL)
        qsort(list->items, list->count, sizeof(struct conf_map_entry), compare);
    return (struct conf_map_entries){list->items, list->count};
}

bool set_map(struct load *load, struct scope *scope, const struct directive *directive,
             const struct statement *statement)
{
    (void)directive;
    const struct word *name = &statement->args[1];
    struct map_block *block = load_scratch(load, sizeof *block);
    struct conf_map *map = load_alloc(load, sizeof *map);
    if (block == NULL || map == NULL)
        return false;
    if (name->text.len < 2 || name->text.at[0] != '$')
        return load_fail(load, &name->place,
                         "invalid variable name \"%s\", a $ and a name are expected",
                         name->text.at);
    const struct conf_str plain = {name->text.at + 1, name->text.len - 1};
    block->scope.parent = scope;
    block->scope.context = scope->context;
    block->map = map;
    if (!text_compile(load, &statement->args[0], &map->source) ||
        !named_define_map(load, name, plain, map) ||
        !parse_block(load, &block->scope, map_entry, statement))
        return false;
    map->exact = map_entries(&block->exact, map_compare_keys);
    map->heads = map_entries(&block->heads, map_compare_lengths);
    map->tails = map_entries(&block->tails, map_compare_lengths);
    map->regexes = map_entries(&block->regexes, NULL);
    return true;
}
