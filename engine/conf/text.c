/* Compiles text with variables into segments, so that a request only walks over them. */
#include "engine/conf/load.h"

#include <ctype.h>
#include <string.h>

static const struct {
    const char *name;
    enum conf_variable variable;
    bool prefix;
} text_variables[] = {
#define VARIABLE(symbol, name, meaning) {name, VAR_##symbol, false},
#define PREFIX_VARIABLE(symbol, name, meaning) {name, VAR_##symbol, true},
#include "engine/conf/variables.def"
#undef VARIABLE
#undef PREFIX_VARIABLE
};

static bool text_add(struct load *load, struct list *segments, enum conf_variable variable,
                     struct conf_str text)
{
    struct conf_segment *segment = load_add(load, segments, sizeof *segment);
    if (segment == NULL)
        return false;
    *segment = (struct conf_segment){variable, text};
    return true;
}

static bool text_is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The argument of a prefix variable; headers are written with - where names have _. */
static bool text_argument(struct load *load, enum conf_variable variable, struct conf_str name,
                          size_t prefix_len, struct conf_str *out)
{
    if (!load_copy(load, name.at + prefix_len, name.len - prefix_len, out))
        return false;
    for (char *c = (char *)out->at; *c != '\0' && variable != VAR_arg; c++)
        *c = *c == '_' ? '-' : *c;
    return true;
}

static bool text_add_variable(struct load *load, const struct word *word, struct list *segments,
                              struct conf_str written)
{
    struct conf_str name;
    if (!load_copy_lower(load, written, &name))
        return false;
    for (size_t i = 0; i < sizeof text_variables / sizeof text_variables[0]; i++) {
        size_t len = strlen(text_variables[i].name);
        enum conf_variable variable = text_variables[i].variable;
        if (!text_variables[i].prefix && str_is(name, text_variables[i].name))
            return text_add(load, segments, variable, (struct conf_str){"", 0});
        if (text_variables[i].prefix && name.len > len &&
            str_begins(name, text_variables[i].name)) {
            struct conf_str argument;
            return text_argument(load, variable, name, len, &argument) &&
                   text_add(load, segments, variable, argument);
        }
    }
    return load_fail(load, &word->place, "unknown \"%s\" variable", name.at);
}

/* *at stands behind a `$`; moves behind the name. */
static bool text_variable(struct load *load, const struct word *word, struct list *segments,
                          const char **at, const char *end)
{
    bool braces = *at < end && **at == '{';
    const char *from = *at + braces, *to = from;
    while (to < end && text_is_name(*to))
        to++;
    struct conf_str name = {from, (size_t)(to - from)};
    if (braces && (to == end || *to != '}'))
        return load_fail(load, &word->place, "the closing bracket in \"%.*s\" variable is missing",
                         (int)name.len, name.at);
    if (name.len == 0)
        return load_fail(load, &word->place, "invalid variable name in \"%s\"", word->text.at);
    *at = to + braces;
    return text_add_variable(load, word, segments, name);
}

bool text_compile(struct load *load, const struct word *word, struct conf_text *out)
{
    struct list segments = {0};
    const char *at = word->text.at, *end = at + word->text.len;
    while (at < end) {
        const char *dollar = memchr(at, '$', (size_t)(end - at));
        const char *stop = dollar != NULL ? dollar : end;
        struct conf_str literal;
        if (stop > at && (!load_copy(load, at, (size_t)(stop - at), &literal) ||
                          !text_add(load, &segments, VAR_LITERAL, literal)))
            return false;
        at = stop;
        if (dollar != NULL) {
            at++;
            if (!text_variable(load, word, &segments, &at, end))
                return false;
        }
    }
    *out = (struct conf_text){segments.items, segments.count};
    return true;
}
