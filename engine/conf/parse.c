/* From text to statements, and from statements to setters. Directives are applied as they are read,
 * so that of several mistakes the first one in the file is the one reported. */
#include "engine/conf/load.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>

#include "engine/conf/setters.h"
#include "engine/os/sys.h"

/* ---- statements ------------------------------------------------------------------------------ */

static struct place token_place(const struct load *load, const struct token *token)
{
    return (struct place){load->file, token->line, token->column};
}

static bool parse_unexpected(struct load *load, const struct token *token, const char *what)
{
    struct place place = token_place(load, token);
    return load_fail(load, &place, "unexpected \"%s\"", what);
}

/* The text ended although words, or a block, were begun. */
static bool parse_ended(struct load *load, const struct token *token, bool in_statement)
{
    struct place place = token_place(load, token);
    if (token->kind == TOKEN_UNCLOSED)
        return load_fail(load, &place,
                         "unexpected end of file, expecting the end of the quoted string that "
                         "starts here");
    if (load->sources.count == 0)
        return load_fail(load, &place, "unexpected end of parameter, expecting \";\"");
    return load_fail(load, &place, "unexpected end of file, expecting %s",
                     in_statement ? "\";\" or \"}\"" : "\"}\"");
}

static bool parse_bad_byte(struct load *load, const struct token *token)
{
    return parse_unexpected(load, token, (const char[]){token->bad, '\0'});
}

static bool parse_add_word(struct load *load, const struct token *token, struct list *words)
{
    if (words->count == words->capacity) {
        size_t capacity = words->capacity == 0 ? 8 : words->capacity * 2;
        struct word *bigger = load_scratch(load, capacity * sizeof *bigger);
        if (bigger == NULL)
            return false;
        if (words->count > 0)
            memcpy(bigger, words->items, words->count * sizeof *bigger);
        words->items = bigger;
        words->capacity = capacity;
    }
    struct word *items = words->items;
    items[words->count++] = (struct word){token->text, token_place(load, token)};
    return true;
}

/* Reads up to `;` or `{`. *token is what ended the statement; without words it may be TOKEN_CLOSE
 * or TOKEN_END, which end a block or file. */
static bool parse_words(struct load *load, struct list *words, struct token *token)
{
    for (;;) {
        lex_next(load->lex, load->scratch, token);
        switch (token->kind) {
        case TOKEN_WORD:
            if (!parse_add_word(load, token, words))
                return false;
            break;
        case TOKEN_SEMICOLON:
        case TOKEN_OPEN:
            if (words->count == 0)
                return parse_unexpected(load, token, token->kind == TOKEN_OPEN ? "{" : ";");
            return true;
        case TOKEN_CLOSE:
            return words->count == 0 || parse_unexpected(load, token, "}");
        case TOKEN_END:
            return words->count == 0 || parse_ended(load, token, true);
        case TOKEN_UNCLOSED:
            return parse_ended(load, token, true);
        case TOKEN_BAD:
            return parse_bad_byte(load, token);
        case TOKEN_NO_MEMORY:
            return load_fail(load, NULL, "no memory for the configuration");
        }
    }
}

/* Statements up to the `}` of this block, or the end of this file. */
static bool parse_statements(struct load *load, struct scope *scope, entry_handler *entry,
                             bool in_block)
{
    for (;;) {
        struct list words = {0};
        struct token token;
        if (!parse_words(load, &words, &token))
            return false;
        if (token.kind == TOKEN_CLOSE)
            return in_block || parse_unexpected(load, &token, "}");
        if (token.kind == TOKEN_END)
            return !in_block || parse_ended(load, &token, false);
        struct word *items = words.items;
        struct statement statement = {
            .name = items[0],
            .args = items + 1,
            .count = words.count - 1,
            .block = token.kind == TOKEN_OPEN,
        };
        if (!entry(load, scope, &statement))
            return false;
    }
}

bool parse_block(struct load *load, struct scope *scope, entry_handler *entry,
                 const struct statement *statement)
{
    if (load->depth == CONF_DEPTH_MAX)
        return load_fail(load, &statement->name.place, "blocks are nested deeper than %d levels",
                         CONF_DEPTH_MAX);
    load->depth++;
    bool good = parse_statements(load, scope, entry, true);
    load->depth--;
    return good;
}

/* ---- one directive --------------------------------------------------------------------------- */

static bool parse_check(struct load *load, const struct scope *scope,
                        const struct directive *directive, const struct statement *statement)
{
    const struct place *place = &statement->name.place;
    const char *name = directive->name;
    if ((directive->contexts & scope->context) == 0)
        return load_fail(load, place, "\"%s\" directive is not allowed here", name);
    if (statement->block && !directive->block)
        return load_fail(load, place, "directive \"%s\" is not terminated by \";\"", name);
    if (!statement->block && directive->block)
        return load_fail(load, place, "directive \"%s\" has no opening \"{\"", name);
    if (statement->count < directive->args_min || statement->count > directive->args_max)
        return load_fail(load, place, "invalid number of arguments in \"%s\" directive", name);
    if ((directive->contexts & REPEATED) == 0 && scope->values[directive_id(directive)].set)
        return load_fail(load, place, "\"%s\" directive is duplicate", name);
    return true;
}

bool parse_directive(struct load *load, struct scope *scope, const struct statement *statement)
{
    const struct directive *directive = directive_find(statement->name.text.at);
    if (directive == NULL)
        return directive_unknown(load, &statement->name);
    if (!parse_check(load, scope, directive, statement))
        return false;
    struct value *value = &scope->values[directive_id(directive)];
    value->place = statement->name.place;
    if (!directive_set_scalar(load, scope, directive, statement))
        return false;
    value->set = true;
    return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

bool parse_text(struct load *load, struct scope *scope, entry_handler *entry, const char *file,
                struct conf_str text)
{
    struct lex lex, *outer_lex = load->lex;
    const char *outer_file = load->file;
    lex_start(&lex, text.at, text.len);
    load->lex = &lex;
    load->file = file;
    bool good = parse_statements(load, scope, entry, false);
    load->lex = outer_lex;
    load->file = outer_file;
    return good;
}

static bool parse_read_all(struct load *load, int fd, const char *path, struct conf_str *text,
                           const struct place *place)
{
    struct stat st;
    int err = sys_fstat(fd, &st);
    if (err < 0)
        return load_fail(load, place, "fstat() \"%s\" failed (%d: %s)", path, -err, strerror(-err));
    if (st.st_size > CONF_FILE_MAX)
        return load_fail(load, place, "\"%s\" is larger than %u bytes", path, CONF_FILE_MAX);
    /* A pipe has no size that is known before; it may have what an ordinary file of 1 MB has. */
    size_t size = S_ISREG(st.st_mode) ? (size_t)st.st_size : 1u << 20;
    char *bytes = load_alloc(load, size + 1);
    if (bytes == NULL)
        return false;
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < size) {
        got = sys_read(fd, bytes + len, size - len);
        if (got > 0)
            len += (size_t)got;
    }
    if (got < 0)
        return load_fail(load, place, "read() \"%s\" failed (%d: %s)", path, (int)-got,
                         strerror((int)-got));
    *text = (struct conf_str){bytes, len};
    return true;
}

/* A NUL would silently end whatever word it stands in. */
static bool parse_check_bytes(struct load *load, const char *path, struct conf_str text)
{
    const char *nul = memchr(text.at, '\0', text.len);
    if (nul == NULL)
        return true;
    struct place place = {path, 1, 1};
    for (const char *c = text.at; c < nul; c++) {
        place.column = *c == '\n' ? 1 : place.column + 1;
        place.line += *c == '\n';
    }
    return load_fail(load, &place, "unexpected NUL byte: this is not a text file");
}

static const struct conf_source *parse_find_source(const struct load *load, const char *path)
{
    const struct conf_source *sources = load->sources.items;
    for (size_t i = 0; i < load->sources.count; i++) {
        if (str_is(sources[i].path, path))
            return &sources[i];
    }
    return NULL;
}

/* A file that was read before is not read again, so that one load sees one text of it. */
static bool parse_source(struct load *load, const char *path, const struct place *place,
                         struct conf_source *out)
{
    const struct conf_source *known = parse_find_source(load, path);
    if (known != NULL) {
        *out = *known;
        return true;
    }
    int fd = sys_open(path, O_RDONLY, 0);
    if (fd < 0)
        return load_fail(load, place, "open() \"%s\" failed (%d: %s)", path, -fd, strerror(-fd));
    bool good = parse_read_all(load, fd, path, &out->text, place);
    sys_close(fd);
    if (!good || !load_copy(load, path, strlen(path), &out->path) ||
        !parse_check_bytes(load, out->path.at, out->text))
        return false;
    struct conf_source *source = load_add(load, &load->sources, sizeof *source);
    if (source == NULL)
        return false;
    *source = *out;
    return true;
}

bool parse_file(struct load *load, struct scope *scope, entry_handler *entry, const char *path,
                const struct place *place)
{
    struct conf_source source;
    return parse_source(load, path, place, &source) &&
           parse_text(load, scope, entry, source.path.at, source.text);
}

static bool parse_included(struct load *load, struct scope *scope, entry_handler *entry,
                           const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    struct conf_str pattern;
    if (!load_path(load, load->folder, word->text, &pattern))
        return false;
    if (strpbrk(pattern.at, "*?[") == NULL)
        return parse_file(load, scope, entry, pattern.at, &word->place);
    glob_t found;
    int err = glob(pattern.at, 0, NULL, &found);
    if (err == GLOB_NOMATCH)
        return true;
    if (err != 0)
        return load_fail(load, &word->place, "glob() \"%s\" failed", pattern.at);
    bool good = true;
    for (size_t i = 0; i < found.gl_pathc && good; i++)
        good = parse_file(load, scope, entry, found.gl_pathv[i], &word->place);
    globfree(&found);
    return good;
}

bool parse_include_as(struct load *load, struct scope *scope, entry_handler *entry,
                      const struct statement *statement)
{
    if (load->includes == CONF_INCLUDES_MAX)
        return load_fail(load, &statement->name.place,
                         "files are included deeper than %d levels, does one include itself?",
                         CONF_INCLUDES_MAX);
    load->includes++;
    bool good = parse_included(load, scope, entry, statement);
    load->includes--;
    return good;
}

bool parse_include(struct load *load, struct scope *scope, const struct directive *directive,
                   const struct statement *statement)
{
    (void)directive;
    return parse_include_as(load, scope, parse_directive, statement);
}
