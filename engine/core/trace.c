/* The supervisor's steps as text, and back. One table of fields serves both directions. */
#include "engine/core/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NAME=NUMBER fields: where each lies in its struct. */
struct field {
    const char *name;
    size_t offset, size;
};
#define FIELD(type, name, member)                                                                  \
    {                                                                                              \
        name, offsetof(type, member), sizeof(((type *)0)->member)                                  \
    }

static const struct field settings_fields[] = {
    FIELD(struct sup_settings, "workers", workers),
    FIELD(struct sup_settings, "drain", drain_ns),
    FIELD(struct sup_settings, "watchdog", watchdog_ns),
    FIELD(struct sup_settings, "backoff_min", backoff_min_ns),
    FIELD(struct sup_settings, "backoff_max", backoff_max_ns),
    FIELD(struct sup_settings, "reload_timeout", reload_timeout_ns),
    FIELD(struct sup_settings, "generations", generations),
    {NULL, 0, 0},
};
static const struct field options_fields[] = {
    FIELD(struct sup_options, "seed", seed),
    FIELD(struct sup_options, "grace", grace_ns),
    FIELD(struct sup_options, "fast", fast_ns),
    FIELD(struct sup_options, "stable", stable_ns),
    FIELD(struct sup_options, "tree_period", tree_period_ns),
    FIELD(struct sup_options, "old_master", has_old_master),
    {NULL, 0, 0},
};
static const struct field event_fields[] = {FIELD(struct sup_event, "a", a), {NULL, 0, 0}};
static const struct field effect_fields[] = {
    FIELD(struct sup_effect, "a", a),
    FIELD(struct sup_effect, "b", b),
    {NULL, 0, 0},
};

/* ---- printing -------------------------------------------------------------------------- */

/* Text that grows to the right; `at` beyond `size` says that it did not fit. */
struct text {
    char *out;
    size_t size, at;
};

static void put(struct text *t, const char *word)
{
    size_t len = strlen(word);
    if (t->at + len < t->size)
        memcpy(t->out + t->at, word, len + 1);
    t->at += len;
}

static void put_number(struct text *t, uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    put(t, digits);
}

static uint64_t field_get(const struct field *f, const void *of)
{
    uint64_t value = 0; /* the engine's machines are little-endian */
    memcpy(&value, (const char *)of + f->offset, f->size);
    return value;
}

static void put_fields(struct text *t, const struct field *f, const void *of)
{
    for (; f->name != NULL; f++) {
        uint64_t value = field_get(f, of);
        if (value == 0)
            continue;
        put(t, " ");
        put(t, f->name);
        put(t, "=");
        put_number(t, value);
    }
}

static void put_name(struct text *t, int slot, uint32_t generation)
{
    put(t, " ");
    if (slot < 0)
        put(t, "-");
    else
        put_number(t, (uint64_t)slot);
    put(t, ".");
    put_number(t, generation);
}

static void put_sabotage(struct text *t, uint64_t sabotage)
{
    const char *before = " sabotage=";
    for (unsigned bit = 0; bit < SUP_SABOTAGE_COUNT; bit++) {
        if ((sabotage & (UINT64_C(1) << bit)) == 0)
            continue;
        put(t, before);
        put(t, sup_sabotage_word(bit));
        before = ",";
    }
}

static size_t finish(struct text *t)
{
    put(t, "\n");
    return t->at < t->size ? t->at : 0;
}

static bool names_worker(enum sup_event_kind kind)
{
    return kind >= SUP_SPAWNED && kind < SUP_TIMER;
}

size_t trace_print_start(char *out, size_t size, const struct sup_options *options)
{
    struct text t = {out, size, 0};
    put(&t, "start");
    put_fields(&t, options_fields, options);
    put_fields(&t, settings_fields, &options->settings);
    return finish(&t);
}

static void put_event(struct text *t, const struct sup_event *event)
{
    put(t, sup_event_word(event->kind));
    if (names_worker(event->kind))
        put_name(t, event->slot, event->generation);
    put_fields(t, event_fields, event);
    if (event->kind == SUP_CONF_OK)
        put_fields(t, settings_fields, &event->settings);
    put_sabotage(t, event->sabotage);
}

static void put_effect(struct text *t, const struct sup_effect *effect)
{
    put(t, sup_effect_word(effect->kind));
    if (effect->slot >= 0 || effect->generation != 0)
        put_name(t, effect->slot, effect->generation);
    put_fields(t, effect_fields, effect);
    if (effect->reason != SUP_BECAUSE_NONE) {
        put(t, " because=");
        put(t, sup_reason_word(effect->reason));
    }
}

size_t trace_print_step(char *out, size_t size, uint64_t now_ns, const struct sup_event *event,
                        const struct sup_effects *effects)
{
    struct text t = {out, size, 0};
    put_number(&t, now_ns);
    put(&t, " ");
    put_event(&t, event);
    for (uint32_t i = 0; i < effects->count; i++) {
        put(&t, i == 0 ? " -> " : "; ");
        put_effect(&t, &effects->at[i]);
    }
    return finish(&t);
}

/* ---- parsing --------------------------------------------------------------------------- */

static bool take(const char **at, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(*at, word, len) != 0)
        return false;
    *at += len;
    return true;
}

static bool take_number(const char **at, uint64_t *number)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    *number = strtoull(*at, &end, 10);
    *at = end;
    return true;
}

static bool ends_word(char c)
{
    return c == '\0' || c == ' ' || c == '\n' || c == ';' || c == ',';
}

enum list { EVENTS, EFFECTS, REASONS, SABOTAGES };

static const char *word_of(enum list list, unsigned index)
{
    switch (list) {
    case EVENTS:
        return sup_event_word(index);
    case EFFECTS:
        return sup_effect_word(index);
    case REASONS:
        return sup_reason_word(index);
    default:
        return sup_sabotage_word(index);
    }
}

/* A word of a list: the number whose word stands here, followed by the end of the word. */
static bool take_word(const char **at, enum list list, unsigned count, unsigned *index)
{
    for (unsigned i = 0; i < count; i++) {
        const char *after = *at;
        if (take(&after, word_of(list, i)) && ends_word(*after)) {
            *at = after;
            *index = i;
            return true;
        }
    }
    return false;
}

static bool take_name(const char **at, int16_t *slot, uint32_t *generation)
{
    const char *p = *at;
    uint64_t s = 0, g;
    bool none = take(&p, " -.");
    if (!none && !(take(&p, " ") && take_number(&p, &s) && take(&p, ".")))
        return false;
    if (s > INT16_MAX || !take_number(&p, &g) || g > UINT32_MAX)
        return false;
    *slot = none ? -1 : (int16_t)s;
    *generation = (uint32_t)g;
    *at = p;
    return true;
}

/* " NAME=NUMBER" for any of these fields. */
static bool take_field(const char **at, const struct field *f, void *into)
{
    for (; f->name != NULL; f++) {
        const char *p = *at;
        uint64_t value;
        if (!(take(&p, " ") && take(&p, f->name) && take(&p, "=") && take_number(&p, &value)))
            continue;
        if (f->size < sizeof(value) && value >> (8 * f->size) != 0)
            return false;
        memcpy((char *)into + f->offset, &value, f->size);
        *at = p;
        return true;
    }
    return false;
}

static bool take_sabotage(const char **at, uint64_t *sabotage)
{
    unsigned bit;
    const char *p = *at;
    if (!take(&p, " sabotage="))
        return false;
    do {
        if (!take_word(&p, SABOTAGES, SUP_SABOTAGE_COUNT, &bit))
            return false;
        *sabotage |= UINT64_C(1) << bit;
    } while (take(&p, ","));
    *at = p;
    return true;
}

static bool take_event(const char **at, struct sup_event *event)
{
    unsigned kind;
    if (!take_word(at, EVENTS, SUP_EVENT_COUNT, &kind))
        return false;
    *event = (struct sup_event){.kind = (enum sup_event_kind)kind};
    if (names_worker(event->kind) && !take_name(at, &event->slot, &event->generation))
        return false;
    while (take_field(at, event_fields, event) ||
           take_field(at, settings_fields, &event->settings) || take_sabotage(at, &event->sabotage))
        continue;
    return true;
}

static bool take_effect(const char **at, struct sup_effect *effect)
{
    unsigned kind, reason;
    if (!take_word(at, EFFECTS, SUP_EFFECT_COUNT, &kind))
        return false;
    *effect = (struct sup_effect){.kind = (uint8_t)kind, .slot = -1};
    take_name(at, &effect->slot, &effect->generation);
    while (take_field(at, effect_fields, effect))
        continue;
    if (take(at, " because=")) {
        if (!take_word(at, REASONS, SUP_REASON_COUNT, &reason))
            return false;
        effect->reason = (uint8_t)reason;
    }
    return true;
}

static bool take_effects(const char **at, struct sup_effects *effects)
{
    effects->count = 0;
    memset(effects->cells, 0, sizeof(effects->cells));
    if (!take(at, " -> "))
        return true;
    do {
        if (effects->count == SUP_EFFECTS_MAX || !take_effect(at, &effects->at[effects->count]))
            return false;
        effects->count++;
    } while (take(at, "; "));
    return true;
}

static bool take_start(const char **at, struct sup_options *options)
{
    *options = (struct sup_options){0};
    while (take_field(at, options_fields, options) ||
           take_field(at, settings_fields, &options->settings))
        continue;
    return true;
}

enum trace_kind trace_parse(const char *line, struct trace_line *out)
{
    const char *at = line;
    enum trace_kind kind = TRACE_STEP;
    bool understood;

    if (*at == '#' || *at == '\n' || *at == '\0')
        return TRACE_COMMENT;
    if (take(&at, "start")) {
        kind = TRACE_START;
        understood = take_start(&at, &out->options);
    } else {
        understood = take_number(&at, &out->now_ns) && take(&at, " ") &&
                     take_event(&at, &out->event) && take_effects(&at, &out->effects);
    }
    take(&at, "\n");
    if (understood && *at == '\0')
        return kind;
    out->bad = at;
    return TRACE_BAD;
}

bool trace_same_effects(const struct sup_effects *a, const struct sup_effects *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct sup_effect *x = &a->at[i], *y = &b->at[i];
        if (x->kind != y->kind || x->reason != y->reason || x->slot != y->slot ||
            x->generation != y->generation || x->a != y->a || x->b != y->b)
            return false;
    }
    return true;
}
