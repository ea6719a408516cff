/* Words, `;`, `{` and `}` of nginx's configuration language, each with its line and column. */
#ifndef ENGINE_CONF_LEX_H
#define ENGINE_CONF_LEX_H

#include <stddef.h>

#include "engine/conf/arena.h"
#include "engine/conf/conf.h"

struct lex {
    const char *at, *end;
    unsigned line, column; /* of *at, counted from 1, in bytes */
};

enum token_kind {
    TOKEN_WORD,
    TOKEN_SEMICOLON,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_END,      /* of the text */
    TOKEN_UNCLOSED, /* the text ended inside the quoted string that starts here */
    TOKEN_BAD,      /* the byte in `bad` cannot stand here */
    TOKEN_NO_MEMORY,
};
struct token {
    enum token_kind kind;
    unsigned line, column;
    struct conf_str text; /* TOKEN_WORD: without quotes, escapes resolved */
    char bad;
};

void lex_start(struct lex *lex, const char *text, size_t len);
void lex_next(struct lex *lex, struct arena *arena, struct token *token);

#endif
