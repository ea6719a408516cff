/* The lexer: nginx's words, quotes, escapes and comments, and where each token stands. */
#include "engine/conf/lex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(1024);
    return arena == NULL;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void expect(struct lex *lex, enum token_kind kind, unsigned line, unsigned column)
{
    struct token token;
    lex_next(lex, arena, &token);
    assert_int_equal(token.kind, kind);
    assert_int_equal(token.line, line);
    assert_int_equal(token.column, column);
}

/* The words of a text, each in <>. */
static const char *words(const char *text)
{
    static char out[512];
    struct lex lex;
    struct token token;
    size_t used = 0;
    lex_start(&lex, text, strlen(text));
    for (;;) {
        lex_next(&lex, arena, &token);
        if (token.kind != TOKEN_WORD)
            break;
        out[used++] = '<';
        memcpy(out + used, token.text.at, token.text.len);
        used += token.text.len;
        out[used++] = '>';
    }
    out[used] = '\0';
    assert_int_equal(token.kind, TOKEN_END);
    return out;
}

static enum token_kind last_kind(const char *text, unsigned *line, unsigned *column)
{
    struct lex lex;
    struct token token;
    lex_start(&lex, text, strlen(text));
    do
        lex_next(&lex, arena, &token);
    while (token.kind == TOKEN_WORD || token.kind == TOKEN_SEMICOLON);
    *line = token.line;
    *column = token.column;
    return token.kind;
}

static void tokens_have_places(void **state)
{
    (void)state;
    const char *text = "ab c;\n  d {\n\t}# }\n\n \"e\nf\" g;";
    struct lex lex;
    lex_start(&lex, text, strlen(text));
    expect(&lex, TOKEN_WORD, 1, 1);
    expect(&lex, TOKEN_WORD, 1, 4);
    expect(&lex, TOKEN_SEMICOLON, 1, 5);
    expect(&lex, TOKEN_WORD, 2, 3);
    expect(&lex, TOKEN_OPEN, 2, 5);
    expect(&lex, TOKEN_CLOSE, 3, 2);
    expect(&lex, TOKEN_WORD, 5, 2);
    expect(&lex, TOKEN_WORD, 6, 4);
    expect(&lex, TOKEN_SEMICOLON, 6, 5);
    expect(&lex, TOKEN_END, 6, 6);
    expect(&lex, TOKEN_END, 6, 6);
}

static void words_end_where_nginx_ends_them(void **state)
{
    (void)state;
    assert_string_equal(words(" a\tb\r\nc "), "<a><b><c>");
    assert_string_equal(words("a#b #c d\ne"), "<a#b><e>");
    assert_string_equal(words("a}b a\"b'c"), "<a}b><a\"b'c>");
    assert_string_equal(words("'' \"\""), "<><>");
    assert_string_equal(words("# only a comment"), "");
    assert_string_equal(words(""), "");
}

static void quotes_keep_everything_between(void **state)
{
    (void)state;
    assert_string_equal(words("'a b;{}#\"' \"it's\""), "<a b;{}#\"><it's>");
    assert_string_equal(words("'a' \"b\nc\""), "<a><b\nc>");
}

static void escapes_are_nginx_escapes(void **state)
{
    (void)state;
    assert_string_equal(words("\"a\\n\\t\\r\\\\\\\"b\""), "<a\n\t\r\\\"b>");
    assert_string_equal(words("'it\\'s'"), "<it's>");
    assert_string_equal(words("a\\ b \\;c \\d\\.e"), "<a\\ b><\\;c><\\d\\.e>");
    assert_string_equal(words("a\\"), "<a\\>");
}

static void braces_of_variables_belong_to_the_word(void **state)
{
    (void)state;
    assert_string_equal(words("a${b}c $d \"${e f}\""), "<a${b}c><$d><${e f}>");
    struct lex lex;
    lex_start(&lex, "a{", 2);
    expect(&lex, TOKEN_WORD, 1, 1);
    expect(&lex, TOKEN_OPEN, 1, 2);
}

static void a_quoted_word_needs_room_behind_it(void **state)
{
    (void)state;
    unsigned line, column;
    assert_int_equal(last_kind("a \"b\"c", &line, &column), TOKEN_BAD);
    assert_int_equal(line, 1);
    assert_int_equal(column, 6);
    assert_string_equal(words("\"a\")"), "<a><)>");
    assert_int_equal(last_kind("'a';\n'b'{", &line, &column), TOKEN_OPEN);
    assert_int_equal(column, 4);
}

static void an_open_quote_is_named_by_its_start(void **state)
{
    (void)state;
    unsigned line, column;
    assert_int_equal(last_kind("a\n 'b;\n\n", &line, &column), TOKEN_UNCLOSED);
    assert_int_equal(line, 2);
    assert_int_equal(column, 2);
    assert_int_equal(last_kind("\"\\", &line, &column), TOKEN_UNCLOSED);
    assert_int_equal(last_kind("\"\\\"", &line, &column), TOKEN_UNCLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tokens_have_places, setup, teardown),
        cmocka_unit_test_setup_teardown(words_end_where_nginx_ends_them, setup, teardown),
        cmocka_unit_test_setup_teardown(quotes_keep_everything_between, setup, teardown),
        cmocka_unit_test_setup_teardown(escapes_are_nginx_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(braces_of_variables_belong_to_the_word, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quoted_word_needs_room_behind_it, setup, teardown),
        cmocka_unit_test_setup_teardown(an_open_quote_is_named_by_its_start, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
