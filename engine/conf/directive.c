/* The directive table, made from directives.def, and the setters its simple kinds share. */
#include "engine/conf/load.h"

#include <stdio.h>
#include <string.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"

#define ARGS(min, max) min, max, false
#define BLOCK(min, max) min, max, true
#define FLAG .kind = SETTER_FLAG
#define NUMBER(lowest, highest) .kind = SETTER_NUMBER, .low = lowest, .high = highest
#define SIZE(lowest, highest) .kind = SETTER_SIZE, .low = lowest, .high = highest
#define TIME .kind = SETTER_TIME
#define WORDS(...)                                                                                 \
    .kind = SETTER_WORDS, .words = (const char *const[])                                           \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define IGNORED .kind = SETTER_IGNORED
#define CUSTOM(function, arguments) .kind = SETTER_CUSTOM, .set = function, .syntax = arguments

const struct directive conf_directives[DIRECTIVE_COUNT] = {
#define DIRECTIVE(directive, where, arguments, setter, preset, text)                               \
    {#directive, where, arguments, setter, .fallback = preset, .sentence = text},
#include "engine/conf/directives.def"
#undef DIRECTIVE
};

const struct directive *directive_find(const char *name)
{
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        if (strcmp(conf_directives[i].name, name) == 0)
            return &conf_directives[i];
    }
    return NULL;
}

/* nginx's directives that this build does not have, so that an error can tell them from typos. */
static bool directive_is_nginx(const char *name)
{
    static const char *const names[] = {
#define NGINX_DIRECTIVE(nginx_name) nginx_name,
#include "engine/conf/nginx_directives.def"
#undef NGINX_DIRECTIVE
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i]);
        bool all = names[i][len - 1] == '_';
        if (all ? strncmp(names[i], name, len) == 0 : strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

#define NAME_MAX_BYTES 40

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many letters to insert, remove or change to get from one name to the other. */
static unsigned directive_distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_BYTES + 1];
    size_t width = strlen(b);
    if (width > NAME_MAX_BYTES)
        return NAME_MAX_BYTES;
    for (size_t j = 0; j <= width; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= width; j++) {
            unsigned above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
            corner = above;
        }
    }
    return row[width];
}

bool directive_unknown(struct load *load, const struct word *name)
{
    if (directive_is_nginx(name->text.at))
        return load_fail(load, &name->place,
                         "unknown directive \"%s\" (nginx has it, this build does not)",
                         name->text.at);
    unsigned best = name->text.len > 5 ? 2 : 1;
    const char *likely = NULL;
    for (size_t i = 0; i < DIRECTIVE_COUNT && name->text.len < NAME_MAX_BYTES; i++) {
        unsigned distance = directive_distance(name->text.at, conf_directives[i].name);
        if (distance < best || (distance == best && likely == NULL)) {
            best = distance;
            likely = conf_directives[i].name;
        }
    }
    if (likely == NULL)
        return load_fail(load, &name->place, "unknown directive \"%s\"", name->text.at);
    return load_fail(load, &name->place, "unknown directive \"%s\" (did you mean \"%s\"?)",
                     name->text.at, likely);
}

static bool bad_range(struct load *load, const struct directive *directive, const struct word *word)
{
    return load_fail(
        load, &word->place, "invalid value \"%s\" in \"%s\" directive, it must be %s%llu to %llu",
        word->text.at, directive->name, directive->kind == SETTER_SIZE ? "a size from " : "",
        (unsigned long long)directive->low, (unsigned long long)directive->high);
}

static bool bad_word(struct load *load, const struct directive *directive, const struct word *word)
{
    char words[256] = "";
    size_t used = 0;
    for (size_t i = 0; directive->words[i] != NULL; i++)
        used += (size_t)snprintf(words + used, sizeof words - used, "%s\"%s\"",
                                 i == 0                            ? ""
                                 : directive->words[i + 1] == NULL ? " or "
                                                                   : ", ",
                                 directive->words[i]);
    return load_fail(load, &word->place, "invalid value \"%s\" in \"%s\" directive, it must be %s",
                     word->text.at, directive->name, words);
}

static bool find_word(const char *const *words, struct conf_str text, uint64_t *out)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (str_is(text, words[i])) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool directive_set_scalar(struct load *load, struct scope *scope, const struct directive *directive,
                          const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    uint64_t number = 0;
    bool flag = false, good = false;
    switch (directive->kind) {
    case SETTER_FLAG:
        if (!value_flag(word->text, &flag))
            return load_fail(load, &word->place,
                             "invalid value \"%s\" in \"%s\" directive, it must be \"on\" or "
                             "\"off\"",
                             word->text.at, directive->name);
        number = flag;
        break;
    case SETTER_IGNORED:
    case SETTER_NUMBER:
        if (!value_number(word->text, &number))
            return load_fail(load, &word->place, "invalid number \"%s\" in \"%s\" directive",
                             word->text.at, directive->name);
        good = directive->kind == SETTER_IGNORED ||
               (number >= directive->low && number <= directive->high);
        if (!good)
            return bad_range(load, directive, word);
        break;
    case SETTER_SIZE:
        if (!value_size(word->text, &number) || number < directive->low || number > directive->high)
            return bad_range(load, directive, word);
        break;
    case SETTER_TIME:
        if (!value_time(word->text, &number))
            return load_fail(load, &word->place,
                             "invalid value \"%s\" in \"%s\" directive, it must be a time such "
                             "as 30s, 500ms or 1h30m",
                             word->text.at, directive->name);
        break;
    case SETTER_WORDS:
        if (!find_word(directive->words, word->text, &number))
            return bad_word(load, directive, word);
        break;
    case SETTER_CUSTOM:
        return directive->set(load, scope, directive, statement);
    }
    scope_set(scope, directive_id(directive), number, word->text);
    return true;
}
