/* Setters of the proxy_* directives. What they mean together is made in proxy_build.c. */
#include <string.h>
#include <strings.h>

#include "engine/conf/conf_proxy.h"
#include "engine/conf/load.h"
#include "engine/conf/setters.h"
#include "engine/conf/value.h"

bool set_proxy_text(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    struct conf_text text;
    if (word->text.len == 0 && directive_id(directive) != D_proxy_set_body)
        return load_fail(load, &word->place, "\"%s\" needs a value", directive->name);
    if (!text_compile(load, word, &text))
        return false;
    scope_set(scope, directive_id(directive), 0, (struct conf_str){"", 0});
    scope->values[directive_id(directive)].compiled = text;
    return true;
}

/* ---- headers --------------------------------------------------------------------------------- */

static bool name_is_token(struct conf_str name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return name.len > 0;
}

bool set_proxy_header(struct load *load, struct scope *scope, const struct directive *directive,
                      const struct statement *statement)
{
    const struct word *name = &statement->args[0], *value = &statement->args[1];
    if (!name_is_token(name->text))
        return load_fail(load, &name->place, "invalid header name \"%s\"", name->text.at);
    if (strpbrk(value->text.at, "\r\n") != NULL)
        return load_fail(load, &value->place, "the value of header \"%s\" has a line break",
                         name->text.at);
    struct conf_header *header = load_add(load, &scope->proxy_headers, sizeof *header);
    (void)directive;
    return header != NULL && load_copy(load, name->text.at, name->text.len, &header->name) &&
           text_compile(load, value, &header->value);
}

bool set_proxy_names(struct load *load, struct scope *scope, const struct directive *directive,
                     const struct statement *statement)
{
    bool hide = directive_id(directive) == D_proxy_hide_header;
    struct list *list = hide ? &scope->proxy_hide : &scope->proxy_pass_headers;
    struct conf_str *name = load_add(load, list, sizeof *name);
    return name != NULL && load_copy_lower(load, statement->args[0].text, name);
}

/* Every argument is one of `names`: a bit for each. */
static bool set_bits(struct load *load, struct scope *scope, const struct directive *directive,
                     const struct statement *statement, const char *const *names, size_t count,
                     int (*compare)(const char *, const char *))
{
    uint64_t bits = 0;
    for (size_t i = 0; i < statement->count; i++) {
        const struct word *word = &statement->args[i];
        size_t j = 0;
        while (j < count && compare(word->text.at, names[j]) != 0)
            j++;
        if (j == count)
            return load_fail(load, &word->place, "invalid value \"%s\" in \"%s\" directive",
                             word->text.at, directive->name);
        bits |= UINT64_C(1) << j;
    }
    scope_set(scope, directive_id(directive), bits, (struct conf_str){"", 0});
    return true;
}

bool set_proxy_ignore(struct load *load, struct scope *scope, const struct directive *directive,
                      const struct statement *statement)
{
    static const char *const names[] = {
#define I(symbol, name) name,
        PROXY_IGNORABLE(I)
#undef I
    };
    return set_bits(load, scope, directive, statement, names, sizeof names / sizeof names[0],
                    strcasecmp);
}

/* ---- the rest -------------------------------------------------------------------------------- */

bool set_temp_path(struct load *load, struct scope *scope, const struct directive *directive,
                   const struct statement *statement)
{
    struct conf_str path;
    for (size_t i = 1; i < statement->count; i++) {
        uint64_t level;
        const struct word *word = &statement->args[i];
        if (!value_number(word->text, &level) || level < 1 || level > 3)
            return load_fail(load, &word->place, "invalid level \"%s\" in \"%s\" directive",
                             word->text.at, directive->name);
    }
    if (!load_refuse_variables(load, &statement->args[0], directive->name) ||
        !load_path(load, load->conf->prefix, statement->args[0].text, &path))
        return false;
    scope_set(scope, directive_id(directive), 0, path);
    return true;
}

bool set_proxy_buffers(struct load *load, struct scope *scope, const struct directive *directive,
                       const struct statement *statement)
{
    const struct word *count_word = &statement->args[0], *size_word = &statement->args[1];
    uint64_t count, size;
    if (!value_number(count_word->text, &count) || count < 2 || count > 4096)
        return load_fail(load, &count_word->place,
                         "invalid value \"%s\" in \"%s\" directive, it must be 2 to 4096",
                         count_word->text.at, directive->name);
    if (!value_size(size_word->text, &size) || size < 128 || size > 1 << 24)
        return load_fail(load, &size_word->place,
                         "invalid value \"%s\" in \"%s\" directive, it must be a size from 128 to "
                         "16777216",
                         size_word->text.at, directive->name);
    scope_set(scope, directive_id(directive), count, (struct conf_str){"", 0});
    scope->values[directive_id(directive)].second = size;
    return true;
}

bool set_proxy_next(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    static const char *const words[] = {
#define C(symbol, word) word,
        PROXY_NEXT_CASES(C)
#undef C
    };
    return set_bits(load, scope, directive, statement, words, sizeof words / sizeof words[0],
                    strcmp);
}

bool set_proxy_redirect(struct load *load, struct scope *scope, const struct directive *directive,
                        const struct statement *statement)
{
    const struct word *from = &statement->args[0];
    struct value *value = &scope->values[directive_id(directive)];
    if (statement->count == 1 && str_is(from->text, "off")) {
        value->number = 1; /* this level has none, whatever else it says */
        return true;
    }
    bool preset = statement->count == 1 && str_is(from->text, "default");
    if (statement->count == 1 && !preset)
        return load_fail(load, &from->place, "invalid parameter \"%s\"", from->text.at);
    struct proxy_redirect_wish *wish = load_add(load, &scope->proxy_redirects, sizeof *wish);
    if (wish == NULL)
        return false;
    wish->preset = preset;
    wish->place = from->place;
    if (preset)
        return true;
    if (str_begins(from->text, "~")) {
        bool ignore_case = str_begins(from->text, "~*");
        wish->redirect.regex =
            regex_compile(load, from, from->text.at + (ignore_case ? 2 : 1), ignore_case);
        if (wish->redirect.regex == NULL)
            return false;
    } else if (!text_compile(load, from, &wish->redirect.from)) {
        return false;
    }
    return text_compile(load, &statement->args[1], &wish->redirect.to);
}

bool set_proxy_pass(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    bool variables = memchr(word->text.at, '$', word->text.len) != NULL;
    if (!variables && !str_begins(word->text, "http://") && !str_begins(word->text, "https://"))
        return load_fail(load, &word->place, "invalid URL prefix in \"%s\"", word->text.at);
    struct conf_str text;
    if (!handler_use(load, scope, directive, statement, HANDLE_PROXY) ||
        !load_copy(load, word->text.at, word->text.len, &text))
        return false;
    if (variables && !text_compile(load, word, &scope->proxy_target))
        return false;
    scope_set(scope, directive_id(directive), variables, text);
    scope->proxy_place = word->place;
    return true;
}
