/* The directives that open a block: which level a statement belongs to. */
#include "engine/conf/load.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "engine/conf/setters.h"

bool set_events(struct load *load, struct scope *scope, const struct directive *directive,
                const struct statement *statement)
{
    (void)directive;
    load->has_events = true;
    struct scope *events = scope_new(load, scope, EVENTS, &statement->name.place);
    if (events == NULL || !parse_block(load, events, parse_directive, statement))
        return false;
    /* One level of each exists, so what events sets may as well be main's. */
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        if (events->values[i].set && conf_directives[i].contexts == EVENTS)
            scope->values[i] = events->values[i];
    }
    return true;
}

bool set_http(struct load *load, struct scope *scope, const struct directive *directive,
              const struct statement *statement)
{
    (void)directive;
    load->http = scope_new(load, scope, HTTP, &statement->name.place);
    return load->http != NULL && parse_block(load, load->http, parse_directive, statement);
}

bool set_server(struct load *load, struct scope *scope, const struct directive *directive,
                const struct statement *statement)
{
    (void)directive;
    struct scope *server = scope_new(load, scope, SERVER, &statement->name.place);
    struct scope **slot = load_add(load, &load->servers, sizeof(struct scope *));
    if (server == NULL || slot == NULL)
        return false;
    *slot = server;
    server->match = LOCATION_PART;
    server->number = load->servers.count - 1;
    return parse_block(load, server, parse_directive, statement) &&
           (server->has_listen || listen_default(load, server));
}

/* ---- location -------------------------------------------------------------------------------- */

/* One word: a modifier may be written together with its path, as in `=/path`. */
static struct conf_str location_modifier(struct conf_str *text)
{
    static const char *const modifiers[] = {"=", "^~", "~*", "~", "@"};
    for (size_t i = 0; i < sizeof modifiers / sizeof modifiers[0]; i++) {
        size_t len = strlen(modifiers[i]);
        if (!str_begins(*text, modifiers[i]))
            continue;
        if (*modifiers[i] != '@') /* which belongs to the name */
            *text = (struct conf_str){text->at + len, text->len - len};
        return (struct conf_str){modifiers[i], len};
    }
    return (struct conf_str){"", 0};
}

static bool location_match(struct load *load, const struct word *word, struct conf_str modifier,
                           struct scope *location)
{
    if (str_is(modifier, ""))
        location->match = LOCATION_PREFIX;
    else if (str_is(modifier, "="))
        location->match = LOCATION_EXACT;
    else if (str_is(modifier, "^~"))
        location->match = LOCATION_PREFIX_FINAL;
    else if (str_is(modifier, "@"))
        location->match = LOCATION_NAMED;
    else if (str_is(modifier, "~") || str_is(modifier, "~*"))
        location->match = LOCATION_REGEX;
    else
        return load_fail(load, &word->place,
                         "invalid location modifier \"%s\", it must be \"=\", \"^~\", \"~\" or "
                         "\"~*\"",
                         word->text.at);
    if (location->match != LOCATION_REGEX)
        return true;
    location->regex = regex_compile(load, word, location->path.at, str_is(modifier, "~*"));
    return location->regex != NULL;
}

static bool location_fits_parent(struct load *load, const struct word *word,
                                 const struct scope *child, const struct scope *parent)
{
    if (parent->context != LOCATION)
        return true;
    if (parent->match == LOCATION_EXACT || parent->match == LOCATION_NAMED)
        return load_fail(load, &word->place,
                         "location \"%s\" cannot be inside the %s location \"%s\"", child->path.at,
                         parent->match == LOCATION_EXACT ? "exact" : "named", parent->path.at);
    if (child->match == LOCATION_NAMED)
        return load_fail(load, &word->place,
                         "named location \"%s\" can be on the server level only", child->path.at);
    if (child->match != LOCATION_REGEX && !str_begins(child->path, parent->path.at))
        return load_fail(load, &word->place, "location \"%s\" is outside location \"%s\"",
                         child->path.at, parent->path.at);
    return true;
}

static bool location_is_new(struct load *load, const struct word *word, const struct scope *child,
                            const struct scope *parent)
{
    struct scope *const *others = parent->locations.items;
    for (size_t i = 0; i < parent->locations.count; i++) {
        bool both = (others[i]->match == LOCATION_EXACT) == (child->match == LOCATION_EXACT) &&
                    others[i]->match != LOCATION_REGEX && child->match != LOCATION_REGEX;
        if (both && str_equal(others[i]->path, child->path))
            return load_fail(load, &word->place, "duplicate location \"%s\", first in line %u",
                             child->path.at, others[i]->place.line);
    }
    return true;
}

bool set_location(struct load *load, struct scope *scope, const struct directive *directive,
                  const struct statement *statement)
{
    (void)directive;
    const struct word *word = &statement->args[statement->count - 1];
    struct scope *location = scope_new(load, scope, LOCATION, &statement->name.place);
    if (location == NULL)
        return false;
    struct conf_str path = word->text, modifier;
    modifier = statement->count == 2 ? statement->args[0].text : location_modifier(&path);
    if (!load_copy(load, path.at, path.len, &location->path) ||
        !location_match(load, &statement->args[0], modifier, location) ||
        !location_fits_parent(load, word, location, scope) ||
        !location_is_new(load, word, location, scope))
        return false;
    struct scope **slot = load_add(load, &scope->locations, sizeof(struct scope *));
    if (slot == NULL)
        return false;
    *slot = location;
    return parse_block(load, location, parse_directive, statement);
}

/* ---- types ----------------------------------------------------------------------------------- */

static bool types_add(struct load *load, struct scope *scope, struct conf_str type,
                      struct conf_str extension)
{
    struct conf_type entry = {.type = type};
    if (!load_copy_lower(load, extension, &entry.extension))
        return false;
    struct conf_type *types = scope->types.items;
    for (size_t i = 0; i < scope->types.count; i++) {
        if (str_equal(types[i].extension, entry.extension)) {
            types[i] = entry; /* as in nginx, the last one counts */
            return true;
        }
    }
    struct conf_type *slot = load_add(load, &scope->types, sizeof *slot);
    if (slot == NULL)
        return false;
    *slot = entry;
    return true;
}

static bool types_entry(struct load *load, struct scope *scope, const struct statement *statement)
{
    const struct word *name = &statement->name;
    if (statement->block)
        return load_fail(load, &name->place, "unexpected \"{\" in \"types\"");
    if (str_is(name->text, "include") && statement->count == 1)
        return parse_include_as(load, scope, types_entry, statement);
    if (statement->count == 0)
        return load_fail(load, &name->place, "type \"%s\" has no extensions in \"types\"",
                         name->text.at);
    struct conf_str type;
    if (!load_copy(load, name->text.at, name->text.len, &type))
        return false;
    for (size_t i = 0; i < statement->count; i++) {
        if (!types_add(load, scope, type, statement->args[i].text))
            return false;
    }
    return true;
}

bool set_types(struct load *load, struct scope *scope, const struct directive *directive,
               const struct statement *statement)
{
    (void)directive;
    return parse_block(load, scope, types_entry, statement);
}

/* ---- server_name ----------------------------------------------------------------------------- */

static bool name_is_valid(struct conf_str name)
{
    const char *star = memchr(name.at, '*', name.len);
    if (name.len > 0 && name.at[0] == '.')
        return name.len > 1 && name.at[1] != '.' && star == NULL;
    if (star == NULL)
        return true;
    size_t at = (size_t)(star - name.at);
    if (name.len < 3 || strchr(star + 1, '*') != NULL || strstr(name.at, "..") != NULL)
        return false;
    return (at == 0 && name.at[1] == '.') || (at == name.len - 1 && name.at[at - 1] == '.');
}

static bool name_hostname(struct load *load, const struct word *word, struct conf_str *out)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0)
        return load_fail(load, &word->place, "the host's name is not known for \"%s\"",
                         word->text.at);
    return load_copy_lower(load, (struct conf_str){host, strlen(host)}, out);
}

static bool name_regex(struct load *load, struct scope *scope, const struct word *word)
{
    const struct conf_regex **slot = load_add(load, &scope->name_regexes, sizeof *slot);
    if (slot == NULL)
        return false;
    if (word->text.len == 1)
        return load_fail(load, &word->place, "empty regex in server name \"~\"");
    *slot = regex_compile(load, word, word->text.at + 1, true);
    return *slot != NULL;
}

bool set_server_name(struct load *load, struct scope *scope, const struct directive *directive,
                     const struct statement *statement)
{
    (void)directive;
    for (size_t i = 0; i < statement->count; i++) {
        const struct word *word = &statement->args[i];
        struct conf_str *name = load_add(load, &scope->names, sizeof *name);
        if (name == NULL)
            return false;
        if (str_begins(word->text, "~")) {
            if (!load_copy(load, word->text.at, word->text.len, name) ||
                !name_regex(load, scope, word))
                return false;
            continue;
        }
        bool good = str_is(word->text, "$hostname") ? name_hostname(load, word, name)
                                                    : load_copy_lower(load, word->text, name);
        if (!good)
            return false;
        if (!name_is_valid(*name))
            return load_fail(load, &word->place, "server name \"%s\" is invalid", word->text.at);
    }
    return true;
}
