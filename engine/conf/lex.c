/* nginx's rules, including its odd ones: a quote is special only where a word starts, `}` only
 * there as well, a backslash protects any byte but is removed only before quotes and itself, and
 * stands for a control byte in \t \r \n. */
#include "engine/conf/lex.h"

#include <stdbool.h>
#include <string.h>

static void lex_advance(struct lex *lex)
{
    if (*lex->at == '\n') {
        lex->line++;
        lex->column = 0;
    }
    lex->column++;
    lex->at++;
}

static bool lex_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void lex_skip_blank(struct lex *lex)
{
    while (lex->at < lex->end) {
        if (*lex->at == '#') {
            while (lex->at < lex->end && *lex->at != '\n')
                lex_advance(lex);
        } else if (lex_is_space(*lex->at)) {
            lex_advance(lex);
        } else {
            return;
        }
    }
}

/* Moves to the end of the word, which is `quote`, or white space, `;` or `{` where quote is 0. The
 * brace of ${name} belongs to the word. False: the text ends before the quote does. */
static bool lex_find_end(struct lex *lex, char quote)
{
    for (bool after_dollar = false; lex->at < lex->end; lex_advance(lex)) {
        char c = *lex->at;
        if (c == '{' && after_dollar) {
            after_dollar = false;
            continue;
        }
        after_dollar = c == '$';
        if (c == '\\' && lex->end - lex->at > 1)
            lex_advance(lex);
        else if (quote != 0 ? c == quote : lex_is_space(c) || c == ';' || c == '{')
            return true;
    }
    return quote == 0;
}

static bool lex_unescape(struct arena *arena, const char *from, const char *to,
                         struct conf_str *out)
{
    char *text = arena_alloc(arena, (size_t)(to - from) + 1);
    if (text == NULL)
        return false;
    size_t len = 0;
    while (from < to) {
        static const char escapes[] = "\"'\\trn", bytes[] = "\"'\\\t\r\n";
        const char *escape = NULL;
        if (*from == '\\' && to - from > 1 && from[1] != '\0')
            escape = strchr(escapes, from[1]);
        text[len++] = escape != NULL ? bytes[escape - escapes] : *from;
        from += escape != NULL ? 2 : 1;
    }
    *out = (struct conf_str){text, len};
    return true;
}

/* After a closing quote nginx wants white space or one of `;{)`. */
static bool lex_may_follow_quote(const struct lex *lex)
{
    return lex->at == lex->end || lex_is_space(*lex->at) || memchr(";{)", *lex->at, 3) != NULL;
}

static void lex_word(struct lex *lex, struct arena *arena, struct token *token)
{
    char quote = *lex->at == '"' || *lex->at == '\'' ? *lex->at : 0;
    if (quote != 0)
        lex_advance(lex);
    const char *from = lex->at;
    if (!lex_find_end(lex, quote)) {
        token->kind = TOKEN_UNCLOSED;
        return;
    }
    token->kind = lex_unescape(arena, from, lex->at, &token->text) ? TOKEN_WORD : TOKEN_NO_MEMORY;
    if (quote == 0)
        return;
    lex_advance(lex);
    if (!lex_may_follow_quote(lex))
        *token = (struct token){TOKEN_BAD, lex->line, lex->column, {"", 0}, *lex->at};
}

void lex_start(struct lex *lex, const char *text, size_t len)
{
    *lex = (struct lex){.at = text, .end = text + len, .line = 1, .column = 1};
}

void lex_next(struct lex *lex, struct arena *arena, struct token *token)
{
    lex_skip_blank(lex);
    *token = (struct token){.line = lex->line, .column = lex->column, .text = {"", 0}};
    if (lex->at == lex->end) {
        token->kind = TOKEN_END;
        return;
    }
    switch (*lex->at) {
    case ';':
        token->kind = TOKEN_SEMICOLON;
        break;
    case '{':
        token->kind = TOKEN_OPEN;
        break;
    case '}':
        token->kind = TOKEN_CLOSE;
        break;
    default:
        lex_word(lex, arena, token);
        return;
    }
    lex_advance(lex);
}
