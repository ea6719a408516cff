/* Levels of a configuration and how a value is inherited. */
#include "engine/conf/load.h"

const struct value *scope_value(const struct scope *scope, enum directive_id id)
{
    while (!scope->values[id].set && scope->parent != NULL)
        scope = scope->parent;
    return &scope->values[id];
}

struct scope *scope_new(struct load *load, struct scope *parent, unsigned context,
                        const struct place *place)
{
    struct scope *scope = load_scratch(load, sizeof *scope);
    if (scope == NULL)
        return NULL;
    scope->parent = parent;
    scope->context = context;
    scope->place = *place;
    return scope;
}

bool scope_add_part(struct load *load, struct scope *scope, struct scope *part, size_t rule)
{
    struct part *slot = load_add(load, &scope->parts, sizeof *slot);
    if (slot == NULL)
        return false;
    *slot = (struct part){part, rule};
    return true;
}

void scope_set(struct scope *scope, enum directive_id id, uint64_t number, struct conf_str text)
{
    struct value *value = &scope->values[id];
    value->set = true;
    value->number = number;
    value->text = text;
}
