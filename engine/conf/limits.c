/* Setters of limits that all workers keep together: how often a client may ask, and how many
 * requests it may have under way. And of how fast it is answered. */
#include "engine/conf/load.h"

#include <string.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"

enum { RATE_UNIT = 1000 }; /* a thousandth of a request */

/* zone=NAME:SIZE */
static bool limit_zone(struct load *load, const struct word *word, enum conf_zone_kind kind,
                       size_t *index)
{
    const char *colon = strchr(word->text.at, ':');
    uint64_t size;
    if (!str_begins(word->text, "zone=") || colon == NULL ||
        !value_size((struct conf_str){colon + 1, strlen(colon + 1)}, &size))
        return load_fail(load, &word->place, "invalid parameter \"%s\", zone=NAME:SIZE is expected",
                         word->text.at);
    struct conf_str name;
    const char *at = word->text.at + strlen("zone=");
    return load_copy(load, at, (size_t)(colon - at), &name) &&
           load_zone(load, kind, name, size, &word->place, index);
}

/* rate=Nr/s or rate=Nr/m, in thousandths of a request a second. */
static bool limit_rate_of_zone(struct load *load, const struct word *word, uint64_t *rate)
{
    struct conf_str text = word->text;
    uint64_t number, scale = 0;
    if (text.len > 8 && str_begins(text, "rate=")) {
        const char *unit = text.at + text.len - 3;
        scale = strcmp(unit, "r/s") == 0 ? 1 : strcmp(unit, "r/m") == 0 ? 60 : 0;
    }
    if (scale == 0 || !value_number((struct conf_str){text.at + 5, text.len - 8}, &number) ||
        number == 0 || number > UINT32_MAX)
        return load_fail(load, &word->place,
                         "invalid rate \"%s\", rate=Nr/s or rate=Nr/m is expected", text.at);
    *rate = number * RATE_UNIT / scale;
    return true;
}

bool set_limit_req_zone(struct load *load, struct scope *scope, const struct directive *directive,
                        const struct statement *statement)
{
    (void)scope;
    (void)directive;
    struct conf_limit *limit = load_alloc(load, sizeof *limit);
    size_t index;
    return limit != NULL && text_compile(load, &statement->args[0], &limit->key) &&
           limit_rate_of_zone(load, &statement->args[2], &limit->rate) &&
           limit_zone(load, &statement->args[1], CONF_ZONE_limit_req, &index) &&
           load_zone_limit(load, index, limit, &statement->args[1].place);
}

bool set_limit_conn_zone(struct load *load, struct scope *scope, const struct directive *directive,
                         const struct statement *statement)
{
    (void)scope;
    (void)directive;
    struct conf_limit *limit = load_alloc(load, sizeof *limit);
    size_t index;
    return limit != NULL && text_compile(load, &statement->args[0], &limit->key) &&
           limit_zone(load, &statement->args[1], CONF_ZONE_limit_conn, &index) &&
           load_zone_limit(load, index, limit, &statement->args[1].place);
}

static bool limit_is_new(struct load *load, const struct list *list, size_t zone,
                         const struct statement *statement)
{
    const struct conf_limit_rule *rules = list->items;
    for (size_t i = 0; i + 1 < list->count; i++)
        if (rules[i].zone == zone)
            return load_fail(load, &statement->name.place, "\"%s\" directive is duplicate",
                             statement->name.text.at);
    return true;
}

static bool limit_option(struct load *load, const struct word *word, struct conf_limit_rule *rule)
{
    struct conf_str text = word->text;
    uint64_t number;
    bool burst = str_begins(text, "burst="), delay = str_begins(text, "delay=");
    if (str_is(text, "nodelay")) {
        rule->delay = UINT64_MAX;
        return true;
    }
    if ((!burst && !delay) ||
        !value_number((struct conf_str){text.at + 6, text.len - 6}, &number) || number == 0 ||
        number > UINT32_MAX)
        return load_fail(load, &word->place,
                         "invalid parameter \"%s\", zone=NAME, burst=N, delay=N or nodelay is "
                         "expected",
                         text.at);
    *(burst ? &rule->burst : &rule->delay) = number * RATE_UNIT;
    return true;
}

bool set_limit_req(struct load *load, struct scope *scope, const struct directive *directive,
                   const struct statement *statement)
{
    (void)directive;
    struct conf_limit_rule *rule = load_add(load, &scope->limit_reqs, sizeof *rule);
    bool named = false;
    for (size_t i = 0; rule != NULL && i < statement->count; i++) {
        const struct word *word = &statement->args[i];
        struct conf_str name = {word->text.at + 5, word->text.len - 5};
        bool zone = str_begins(word->text, "zone=");
        if (zone ? !load_zone(load, CONF_ZONE_limit_req, name, 0, &word->place, &rule->zone)
                 : !limit_option(load, word, rule))
            return false;
        named |= zone;
    }
    if (rule != NULL && !named)
        return load_fail(load, &statement->name.place,
                         "\"limit_req\" must have \"zone\" parameter");
    return rule != NULL && limit_is_new(load, &scope->limit_reqs, rule->zone, statement);
}

bool set_limit_conn(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    (void)directive;
    const struct word *zone = &statement->args[0], *count = &statement->args[1];
    struct conf_limit_rule *rule = load_add(load, &scope->limit_conns, sizeof *rule);
    if (rule == NULL ||
        !load_zone(load, CONF_ZONE_limit_conn, zone->text, 0, &zone->place, &rule->zone))
        return false;
    if (!value_number(count->text, &rule->burst) || rule->burst == 0 || rule->burst > UINT16_MAX)
        return load_fail(load, &count->place,
                         "invalid number of connections \"%s\", 1 to 65535 is expected",
                         count->text.at);
    return limit_is_new(load, &scope->limit_conns, rule->zone, statement);
}

/* ---- bytes a second -------------------------------------------------------------------------- */

bool set_limit_rate(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    bool after = directive_id(directive) == D_limit_rate_after;
    uint64_t size = 0;
    if (memchr(word->text.at, '$', word->text.len) == NULL && !value_size(word->text, &size))
        return load_fail(load, &word->place,
                         "invalid value \"%s\" in \"%s\" directive, it must be a size",
                         word->text.at, directive->name);
    scope_set(scope, directive_id(directive), size, word->text);
    struct conf_text *text = after ? &scope->limit_rate_after : &scope->limit_rate;
    return text_compile(load, word, text);
}
