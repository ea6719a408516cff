/* A running server must be told to stop also when somebody has broken its configuration: only its
 * words are read here, no directive but `pid` has to be right. */
#include "engine/master/find_pid.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "engine/conf/arena.h"
#include "engine/conf/lex.h"
#include "engine/os/sys.h"

enum { TEXT_MAX = 256 * 1024, CHUNK_BYTES = 64 * 1024 };

/* The word after the first `pid` that begins a directive of the main level; NULL: there is none
 * before the text ends or makes no sense. */
static const char *word_after_pid(struct lex *lex, struct arena *arena)
{
    struct token token;
    bool begins = true, after_pid = false;
    int depth = 0;

    for (lex_next(lex, arena, &token); token.kind < TOKEN_END; lex_next(lex, arena, &token)) {
        if (token.kind != TOKEN_WORD) {
            depth += (token.kind == TOKEN_OPEN) - (token.kind == TOKEN_CLOSE);
            begins = true;
            after_pid = false;
            continue;
        }
        if (after_pid)
            return token.text.at;
        after_pid = begins && depth == 0 && strcmp(token.text.at, "pid") == 0;
        begins = false;
    }
    return NULL;
}

static bool look_in(const struct master_options *options, const char *text, size_t len, char *out,
                    size_t size)
{
    struct arena *arena = arena_new(CHUNK_BYTES);
    struct lex lex;
    const char *word = NULL;

    lex_start(&lex, text, len);
    if (arena != NULL)
        word = word_after_pid(&lex, arena);
    if (word != NULL)
        snprintf(out, size, "%s%s", word[0] == '/' ? "" : options->prefix, word);
    arena_free(arena);
    return word != NULL;
}

bool find_pid_path(const struct master_options *options, char *out, size_t size)
{
    static char text[TEXT_MAX];
    const char *globals = options->globals;

    if (globals != NULL && look_in(options, globals, strlen(globals), out, size))
        return true;
    int fd = sys_open(options->conf_path, O_RDONLY, 0);
    if (fd < 0)
        return false;
    ssize_t len = sys_read(fd, text, sizeof(text));
    sys_close(fd);
    if (len < 0)
        return false;
    if (!look_in(options, text, (size_t)len, out, size))
        snprintf(out, size, "%slogs/mw-engine.pid", options->prefix);
    return true;
}
