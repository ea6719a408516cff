/* Setters of what a server or location answers with. */
#include "engine/conf/load.h"

#include <string.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"
#include "engine/os/clock.h"

bool set_internal(struct load *load, struct scope *scope, const struct directive *directive,
                  const struct statement *statement)
{
    (void)load;
    (void)statement;
    scope_set(scope, directive_id(directive), 1, (struct conf_str){"", 0});
    return true;
}

bool set_text(struct load *load, struct scope *scope, const struct directive *directive,
              const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    struct conf_str text;
    if (!load_refuse_variables(load, word, directive->name) ||
        !load_copy(load, word->text.at, word->text.len, &text))
        return false;
    scope_set(scope, directive_id(directive), 0, text);
    return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* root and alias are two ways to say one thing: a level has one of them. */
static bool set_folder(struct load *load, struct scope *scope, const struct directive *directive,
                       const struct statement *statement, enum directive_id other)
{
    const struct word *word = &statement->args[0];
    struct conf_str path;
    if (scope->values[other].set)
        return load_fail(load, &statement->name.place,
                         "\"%s\" directive is duplicate, \"%s\" directive was specified earlier",
                         directive->name, conf_directives[other].name);
    /* What begins with a variable is known for each request only. */
    bool known = word->text.len == 0 || word->text.at[0] != '$';
    path = word->text;
    if (known && !load_path(load, load->conf->prefix, word->text, &path))
        return false;
    if (directive_id(directive) == D_root && path.len > 1 && path.at[path.len - 1] == '/')
        path.len--;
    const struct word whole = {path, word->place};
    scope_set(scope, directive_id(directive), 0, path);
    return text_compile(load, &whole, &scope->folder);
}

bool set_root(struct load *load, struct scope *scope, const struct directive *directive,
              const struct statement *statement)
{
    return set_folder(load, scope, directive, statement, D_alias);
}

bool set_alias(struct load *load, struct scope *scope, const struct directive *directive,
               const struct statement *statement)
{
    return set_folder(load, scope, directive, statement, D_root);
}

bool set_index(struct load *load, struct scope *scope, const struct directive *directive,
               const struct statement *statement)
{
    (void)directive;
    for (size_t i = 0; i < statement->count; i++) {
        const struct word *word = &statement->args[i];
        if (word->text.len == 0)
            return load_fail(load, &word->place, "index \"\" in \"index\" directive is invalid");
        struct conf_text *name = load_add(load, &scope->index, sizeof *name);
        if (name == NULL || !text_compile(load, word, name))
            return false;
    }
    return true;
}

/* ---- return and headers ---------------------------------------------------------------------- */

/* A line feed would let a configuration's value end the header it stands in. */
static bool header_is_clean(struct conf_str text)
{
    return memchr(text.at, '\n', text.len) == NULL && memchr(text.at, '\r', text.len) == NULL;
}

static uint8_t header_replaces(struct conf_str name)
{
    if (name.len == strlen("Last-Modified") && strcasecmp(name.at, "Last-Modified") == 0)
        return REPLACES_MODIFIED;
    return name.len == strlen("ETag") && strcasecmp(name.at, "ETag") == 0 ? REPLACES_ETAG : 0;
}

bool set_add_header(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    (void)directive;
    const struct word *name = &statement->args[0], *value = &statement->args[1];
    if (name->text.len == 0 || strpbrk(name->text.at, " \t:") != NULL ||
        !header_is_clean(name->text))
        return load_fail(load, &name->place, "invalid header name \"%s\"", name->text.at);
    if (!header_is_clean(value->text))
        return load_fail(load, &value->place, "the value of header \"%s\" has a line break",
                         name->text.at);
    if (statement->count == 3 && !str_is(statement->args[2].text, "always"))
        return load_fail(load, &statement->args[2].place, "invalid parameter \"%s\"",
                         statement->args[2].text.at);
    struct conf_header *header = load_add(load, &scope->headers, sizeof *header);
    if (header == NULL)
        return false;
    header->always = statement->count == 3;
    header->replaces = header_replaces(name->text);
    return load_copy(load, name->text.at, name->text.len, &header->name) &&
           text_compile(load, value, &header->value);
}

/* ---- handlers -------------------------------------------------------------------------------- */

bool handler_use(struct load *load, struct scope *scope, const struct directive *directive,
                 const struct statement *statement, enum conf_handler handler)
{
    if (scope->handler_directive != NULL)
        return load_fail(load, &statement->name.place,
                         "\"%s\" cannot stand beside \"%s\": both say what is answered here",
                         directive->name, scope->handler_directive->name);
    scope->handler_directive = directive;
    scope->handler = handler;
    return true;
}

bool set_status(struct load *load, struct scope *scope, const struct directive *directive,
                const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    bool json = str_is(word->text, "json");
    if (!json && !str_is(word->text, "prometheus"))
        return load_fail(load, &word->place,
                         "invalid value \"%s\" in \"status\" directive, it must be \"json\" or "
                         "\"prometheus\"",
                         word->text.at);
    return handler_use(load, scope, directive, statement,
                       json ? HANDLE_STATUS_JSON : HANDLE_STATUS_PROMETHEUS);
}

bool set_stub_status(struct load *load, struct scope *scope, const struct directive *directive,
                     const struct statement *statement)
{
    return handler_use(load, scope, directive, statement, HANDLE_STUB_STATUS);
}

bool set_test_handler(struct load *load, struct scope *scope, const struct directive *directive,
                      const struct statement *statement)
{
    static const struct {
        const char *word;
        enum conf_handler handler;
    } handlers[] = {
        {"echo", HANDLE_ECHO},     {"delay", HANDLE_DELAY},   {"bytes", HANDLE_BYTES},
        {"upload", HANDLE_UPLOAD}, {"stream", HANDLE_STREAM}, {"tunnel", HANDLE_TUNNEL},
    };
    const struct word *word = &statement->args[0], *label = &statement->args[1];
    size_t i = 0, count = sizeof handlers / sizeof handlers[0];
    while (i < count && !str_is(word->text, handlers[i].word))
        i++;
    if (i == count)
        return load_fail(load, &word->place,
                         "invalid value \"%s\" in \"test_handler\" directive, it must be \"echo\", "
                         "\"delay\", \"bytes\", \"upload\", \"stream\" or \"tunnel\"",
                         word->text.at);
    if (handlers[i].handler == HANDLE_ECHO && statement->count != 2)
        return load_fail(load, &word->place, "\"test_handler echo\" needs a label");
    return handler_use(load, scope, directive, statement, handlers[i].handler) &&
           (statement->count == 1 ||
            load_copy(load, label->text.at, label->text.len, &scope->label));
}

/* ---- connections ----------------------------------------------------------------------------- */

bool set_keepalive_timeout(struct load *load, struct scope *scope,
                           const struct directive *directive, const struct statement *statement)
{
    uint64_t times[2] = {0, 0};
    for (size_t i = 0; i < statement->count; i++) {
        const struct word *word = &statement->args[i];
        if (!value_time(word->text, &times[i]))
            return load_fail(load, &word->place,
                             "invalid value \"%s\" in \"%s\" directive, it must be a time such as "
                             "30s, 500ms or 1h30m",
                             word->text.at, directive->name);
    }
    scope_set(scope, directive_id(directive), times[0], (struct conf_str){"", 0});
    scope->values[D_keepalive_timeout].second = times[1];
    return true;
}

#define FILE_CACHE_MAX 1000000
#define FILE_CACHE_INACTIVE_NS (60 * NS_PER_S) /* nginx's default */

/* number: how many files, 0 off; second: inactive, ns. */
bool set_open_file_cache(struct load *load, struct scope *scope, const struct directive *directive,
                         const struct statement *statement)
{
    static const struct conf_str max = {"max=", 4}, inactive = {"inactive=", 9};
    uint64_t count = 0, inactive_ns = FILE_CACHE_INACTIVE_NS;
    bool off = statement->count == 1 && str_is(statement->args[0].text, "off");
    for (size_t i = 0; i < statement->count && !off; i++) {
        const struct word *word = &statement->args[i];
        struct conf_str text = word->text;
        bool good = false;
        if (str_begins(text, max.at))
            good = value_number((struct conf_str){text.at + max.len, text.len - max.len}, &count) &&
                   count >= 1 && count <= FILE_CACHE_MAX;
        else if (str_begins(text, inactive.at))
            good = value_time((struct conf_str){text.at + inactive.len, text.len - inactive.len},
                              &inactive_ns);
        if (!good)
            return load_fail(load, &word->place,
                             "invalid value \"%s\" in \"%s\" directive, \"max=N [inactive=TIME]\" "
                             "or \"off\" is expected",
                             text.at, directive->name);
    }
    if (!off && count == 0)
        return load_fail(load, &statement->name.place,
                         "\"%s\" must have the \"max\" parameter, such as max=1000",
                         directive->name);
    scope_set(scope, directive_id(directive), count, (struct conf_str){"", 0});
    scope->values[D_open_file_cache].second = inactive_ns;
    return true;
}

/* value.number: bit 0 msie6, bit 1 safari. */
bool set_keepalive_disable(struct load *load, struct scope *scope,
                           const struct directive *directive, const struct statement *statement)
{
    uint64_t browsers = 0;
    for (size_t i = 0; i < statement->count; i++) {
        const struct word *word = &statement->args[i];
        uint64_t bit = str_is(word->text, "msie6") ? 1 : str_is(word->text, "safari") ? 2 : 0;
        bool none = str_is(word->text, "none") && statement->count == 1;
        if (bit == 0 && !none)
            return load_fail(load, &word->place,
                             "invalid value \"%s\" in \"%s\" directive, it must be \"none\", or "
                             "\"msie6\" and \"safari\"",
                             word->text.at, directive->name);
        browsers |= bit;
    }
    scope_set(scope, directive_id(directive), browsers, (struct conf_str){"", 0});
    return true;
}

#define LARGE_BUFFERS_MAX 64
#define LARGE_BUFFER_MAX_BYTES (1u << 24)

bool set_large_buffers(struct load *load, struct scope *scope, const struct directive *directive,
                       const struct statement *statement)
{
    const struct word *count_word = &statement->args[0], *size_word = &statement->args[1];
    uint64_t count, size;
    if (!value_number(count_word->text, &count) || count < 1 || count > LARGE_BUFFERS_MAX)
        return load_fail(load, &count_word->place,
                         "invalid value \"%s\" in \"%s\" directive, it must be 1 to %d",
                         count_word->text.at, directive->name, LARGE_BUFFERS_MAX);
    if (!value_size(size_word->text, &size) || size < 128 || size > LARGE_BUFFER_MAX_BYTES)
        return load_fail(load, &size_word->place,
                         "invalid value \"%s\" in \"%s\" directive, it must be a size from 128 to "
                         "%u",
                         size_word->text.at, directive->name, LARGE_BUFFER_MAX_BYTES);
    scope_set(scope, directive_id(directive), count, (struct conf_str){"", 0});
    scope->values[D_large_client_header_buffers].second = size;
    return true;
}
