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
#define TEXT_VARIABLES (sizeof text_variables / sizeof text_variables[0])

static bool text_add(struct load *load, struct list *segments, enum conf_variable variable,
                     uint32_t index, struct conf_str text)
{
    struct conf_segment *segment = load_add(load, segments, sizeof *segment);
    if (segment == NULL)
        return false;
    *segment = (struct conf_segment){variable, index, text};
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
    for (char *c = (char *)out->at; *c != '\0' && variable != VAR_arg && variable != VAR_cookie;
         c++)
        *c = *c == '_' ? '-' : *c;
    return true;
}

/* The built-in variable of that name; TEXT_VARIABLES: none. A whole name beats a prefix. */
static size_t text_find(struct conf_str name)
{
    size_t found = TEXT_VARIABLES;
    for (size_t i = 0; i < TEXT_VARIABLES; i++) {
        if (!text_variables[i].prefix && str_is(name, text_variables[i].name))
            return i;
        if (text_variables[i].prefix && name.len > strlen(text_variables[i].name) &&
            str_begins(name, text_variables[i].name) &&
            (found == TEXT_VARIABLES ||
             strlen(text_variables[i].name) > strlen(text_variables[found].name)))
            found = i;
    }
    return found;
}

bool text_is_built_in(struct conf_str name)
{
    return text_find(name) < TEXT_VARIABLES;
}

static bool text_add_variable(struct load *load, const struct word *word, struct list *segments,
                              struct conf_str written)
{
    struct conf_str name;
    if (!load_copy_lower(load, written, &name))
        return false;
    size_t found = text_find(name);
    if (found < TEXT_VARIABLES && !text_variables[found].prefix)
        return text_add(load, segments, text_variables[found].variable, 0,
                        (struct conf_str){"", 0});
    if (found < TEXT_VARIABLES) {
        struct conf_str argument;
        size_t len = strlen(text_variables[found].name);
        return text_argument(load, text_variables[found].variable, name, len, &argument) &&
               text_add(load, segments, text_variables[found].variable, 0, argument);
    }
    uint32_t index;
    return named_use(load, word, name, &index) &&
           text_add(load, segments, VAR_NAMED, index, (struct conf_str){"", 0});
}

/* *at stands behind a `$`; moves behind the name. */
static bool text_variable(struct load *load, const struct word *word, struct list *segments,
                          const char **at, const char *end)
{
    if (*at < end && **at >= '1' && **at <= '9') {
        uint32_t group = (uint32_t)(*(*at)++ - '0');
        return text_add(load, segments, VAR_CAPTURE, group, (struct conf_str){"", 0});
    }
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
                          !text_add(load, &segments, VAR_LITERAL, 0, literal)))
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
