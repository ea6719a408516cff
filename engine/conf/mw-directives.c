/* Prints the directives and variables this build knows, as docs/configuration.md or as JSON, from
 * the lists that the parser itself is made of. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/conf/load.h"

static const struct {
    unsigned bit;
    const char *name;
} contexts[] = {
    {MAIN, "main"},
    {EVENTS, "events"},
    {HTTP, "http"},
    {SERVER, "server"},
    {LOCATION, "location"},
    {SERVER_IF, "if in server"},
    {LOCATION_IF, "if in location"},
    {LIMIT_EXCEPT, "limit_except"},
    {UPSTREAM, "upstream"},
};
#define CONTEXTS (sizeof contexts / sizeof contexts[0])

static const struct {
    const char *name, *meaning;
    bool prefix;
} variables[] = {
#define VARIABLE(symbol, variable, text) {variable, text, false},
#define PREFIX_VARIABLE(symbol, variable, text) {variable, text, true},
#include "engine/conf/variables.def"
#undef VARIABLE
#undef PREFIX_VARIABLE
};
#define VARIABLES (sizeof variables / sizeof variables[0])

static const char *const kind_names[] = {
    [SETTER_FLAG] = "flag",   [SETTER_NUMBER] = "number", [SETTER_SIZE] = "size",
    [SETTER_TIME] = "time",   [SETTER_WORDS] = "words",   [SETTER_IGNORED] = "ignored",
    [SETTER_CUSTOM] = "text",
};

/* The arguments as a reader wants them: on | off, NUMBER, ... */
static void arguments_describe(const struct directive *directive, char *out, size_t size)
{
    static const char *const simple[] = {
        [SETTER_FLAG] = "on | off", [SETTER_NUMBER] = "NUMBER",  [SETTER_SIZE] = "SIZE",
        [SETTER_TIME] = "TIME",     [SETTER_IGNORED] = "NUMBER",
    };
    if (directive->kind == SETTER_CUSTOM) {
        snprintf(out, size, "%s", directive->syntax);
    } else if (directive->kind == SETTER_WORDS) {
        size_t used = 0;
        for (size_t i = 0; directive->words[i] != NULL && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : " | ",
                                     directive->words[i]);
    } else {
        snprintf(out, size, "%s", simple[directive->kind]);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_directive(const struct directive *directive)
{
    char arguments[512];
    json_t *where = json_array();
    arguments_describe(directive, arguments, sizeof arguments);
    for (size_t i = 0; i < CONTEXTS; i++) {
        if ((directive->contexts & contexts[i].bit) != 0)
            json_array_append_new(where, json_string(contexts[i].name));
    }
    bool bounded = directive->args_max != CONF_ARGS_ANY;
    return json_pack("{s:s, s:o, s:s, s:s, s:i, s:o, s:b, s:b, s:s?, s:s}", "name", directive->name,
                     "contexts", where, "kind", kind_names[directive->kind], "arguments", arguments,
                     "min", (int)directive->args_min, "max",
                     bounded ? json_integer(directive->args_max) : json_null(), "block",
                     directive->block, "repeated", (directive->contexts & REPEATED) != 0, "default",
                     directive->fallback, "meaning", directive->sentence);
}

static int print_json(void)
{
    json_t *directives = json_array(), *known = json_array();
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++)
        json_array_append_new(directives, json_directive(&conf_directives[i]));
    for (size_t i = 0; i < VARIABLES; i++)
        json_array_append_new(known,
                              json_pack("{s:s, s:b, s:s}", "name", variables[i].name, "prefix",
                                        variables[i].prefix, "meaning", variables[i].meaning));
    json_t *all = json_pack("{s:o, s:o}", "directives", directives, "variables", known);
    int failed = all == NULL || json_dumpf(all, stdout, JSON_INDENT(2)) != 0;
    printf("\n");
    json_decref(all);
    return failed;
}

/* ---- Markdown -------------------------------------------------------------------------------- */

static const char intro[] =
    "# Configuration\n"
    "\n"
    "<!-- Printed by `mw-directives` from engine/conf/directives.def and variables.def: change "
    "those. -->\n"
    "\n"
    "The engine reads nginx's configuration language: the same directive has the same meaning and\n"
    "the same default. What is not in the tables below is an error, never ignored. `mw-engine -t`\n"
    "checks a configuration, `-T` prints it. Any mistake is one line, and a reload that finds one\n"
    "changes nothing:\n"
    "\n"
    "    mw-engine: [emerg] invalid value \"yes\" in \"sendfile\" directive, it must be \"on\" or "
    "\"off\" in /etc/mw/mw.conf:12:18\n"
    "\n"
    "The position is FILE:LINE:COLUMN. Of several mistakes the first one in the file is named.\n"
    "Directives given with `-g` are read first; their file is called `command line`.\n"
    "\n"
    "- **Sizes** are bytes, or end in `k`, `m` or `g`. **Times** are seconds, or end in `ms`, "
    "`s`,\n"
    "  `m`, `h`, `d`, `w`, `M` (30 days) or `y`, and may be put together: `1h30m`.\n"
    "- **Paths** are relative to the prefix (`-p`); those of `include` to the main file's folder.\n"
    "- **Inheritance**: what is not set at a level is taken from the level around it. `index`,\n"
    "  `add_header`, `error_log`, `access_log` and `types` are taken as a whole, and only where a\n"
    "  level has none of its own. `rewrite`, `set`, `if`, `break`, `return`, `internal` and "
    "handlers\n"
    "  hold for their own level only.\n"
    "- **Zones** (`limit_req_zone`, `limit_conn_zone`, `zone`, `ssl_session_cache shared:...`) "
    "keep\n"
    "  what they hold over a reload that leaves them as they are. A new binary begins with empty\n"
    "  ones, as nginx does; tickets, which most clients resume TLS with, outlive that too.\n"
    "- **Text** with `$name` or `${name}` holds variables in `return`, `add_header` and "
    "`log_format`.\n";

static const char differences[] =
    "\n## Test handlers\n"
    "\n"
    "`test_handler` answers as the probing client expects. A request's nonce is its `X-Mw-Nonce`\n"
    "header, or its argument `n`.\n"
    "\n"
    "| handler | answer |\n"
    "| --- | --- |\n"
    "| `echo LABEL` | `NONCE LABEL SLOT PID GENERATION` |\n"
    "| `delay [LABEL]` | the same after `?ms=` milliseconds |\n"
    "| `bytes` | `?n=` bytes of the pattern that clients check, spread over `?ms=` milliseconds |\n"
    "| `upload` | reads the body and checks it against the pattern: `NONCE BYTES ok` or `bad` |\n"
    "| `stream` | `text/event-stream`: an event each `?ms=` (100) milliseconds, for `?for=` ms |\n"
    "| `tunnel` | 101 `Upgrade: mw-tunnel`, then every byte comes back |\n"
    "\n## Where this differs from nginx\n"
    "\n"
    "- `listen` with `http2`, and syslog servers with names instead of addresses are errors that\n"
    "  say so.\n"
    "- Where nginx and RFC 9110 differ, the RFC counts: `If-None-Match` decides alone, dates that "
    "are none\n"
    "  are ignored, so are ranges that are malformed; a head that is too large is answered 431, "
    "and\n"
    "  `error_page 494` still catches it. A request that is refused but well framed does not cost "
    "the\n"
    "  connection. `#` in a target and line feeds without a carriage return are refused.\n"
    "- What `limit_conn` counts is under way: requests of a worker that died do not count.\n"
    "- A path that `rewrite` makes begins with a slash, added where it has none, and never leads "
    "out "
    "of\n"
    "  the root by `/../`: such a request is answered 500.\n"
    "- `listen` takes addresses and `localhost`; other names are not looked up, so that a reload\n"
    "  never waits for a name server. It takes ranges of ports. A wildcard address and one it "
    "covers\n"
    "  cannot be used side by side on the same port.\n"
    "- `worker_processes` is at most 128; the main level has up to four `error_log`.\n"
    "- Without `user`, workers started by root stay root, where nginx's become `nobody`.\n"
    "- A byte NUL in a file is an error. Files include each other up to 16 levels, blocks 32.\n"
    "- A file that is included twice is read once.\n";

/* In a table's cell a bar is written with a backslash. */
static void print_cell(const char *text, bool code)
{
    bool bare = text[0] == '\0';
    printf(code && !bare ? " `" : " ");
    for (; *text != '\0'; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
    printf(code && !bare ? "` |" : " |");
}

static void print_directive(const struct directive *directive)
{
    char where[128] = "", arguments[512];
    size_t used = 0;
    arguments_describe(directive, arguments, sizeof arguments);
    for (size_t i = 0; i < CONTEXTS; i++) {
        if ((directive->contexts & contexts[i].bit) != 0)
            used += (size_t)snprintf(where + used, sizeof where - used, "%s%s",
                                     used == 0 ? "" : ", ", contexts[i].name);
    }
    printf("|");
    print_cell(directive->name, true);
    print_cell(arguments, true);
    print_cell(directive->fallback == NULL ? "" : directive->fallback, true);
    print_cell(where, false);
    print_cell(directive->sentence, false);
    printf("\n");
}

/* Each directive stands in the table of the outermost level it may stand at. */
static void print_table(const char *title, unsigned wanted, unsigned before)
{
    printf("\n## %s\n\n| directive | arguments | default | where | |\n"
           "| --- | --- | --- | --- | --- |\n",
           title);
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        unsigned levels = conf_directives[i].contexts;
        if ((levels & wanted) != 0 && (levels & before) == 0)
            print_directive(&conf_directives[i]);
    }
}

static int print_markdown(void)
{
    fputs(intro, stdout);
    print_table("The processes", MAIN, 0);
    print_table("A worker's connections", EVENTS, MAIN);
    print_table("Servers, locations and requests", HTTP | SERVER | LOCATION, MAIN | EVENTS);
    printf("\n## Variables\n\nA name that ends in `_` takes the rest of the name as its argument: "
           "`$http_user_agent`.\n\n| variable | |\n| --- | --- |\n");
    for (size_t i = 0; i < VARIABLES; i++)
        printf("| `$%s` | %s |\n", variables[i].name, variables[i].meaning);
    fputs(differences, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !json) {
        bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
        fprintf(help ? stdout : stderr,
                "usage: mw-directives [--json]\n"
                "Prints what a configuration may contain, as Markdown or as JSON.\n");
        return help ? EXIT_SUCCESS : 3;
    }
    int failed = json ? print_json() : print_markdown();
    return failed != 0 || fflush(stdout) != 0 || ferror(stdout) ? 3 : EXIT_SUCCESS;
}
