/* Showing the list of fault points. */
#include "faultinject/listing.h"

#include <stdbool.h>
#include <string.h>

#include "faultinject/names.h"
#include "faultinject/points.h"

enum { COLUMNS = 80, NAME_WIDTH = 22 };

static const struct {
    unsigned bit;
    const char *name, *meaning;
} worlds[] = {
    {FAULT_ENGINE, "engine", "in the engine's processes"},
    {FAULT_SHIM, "shim", "in any dynamically linked server, through the preloaded library"},
    {FAULT_SIM, "sim", "in the simulator"},
};
enum { WORLD_COUNT = sizeof worlds / sizeof worlds[0] };

/* ---- the families of points -------------------------------------------------------------------
 */

static const struct {
    const char *title, *about;
} families[] = {
    {"System calls", "They fire in the engine's door to the kernel and, in other servers, in the "
                     "calls that the shim wraps; an injected failure leaves the kernel untouched."},
    {"Steps", "They fire where a worker or the master takes the step."},
    {"Sabotage", "Each switches on a wrong behaviour that the named guarantee must catch."},
};
enum { FAMILY_COUNT = sizeof families / sizeof families[0] };

static size_t family_of(unsigned point)
{
    if (fault_point_info(point)->kinds == FAULT_KIND_BIT(FAULT_SABOTAGE))
        return 2;
    return fault_point_is_call(point) ? 0 : 1;
}

/* The next guarantee named in `at`, which moves behind it. False: there is none. What stands in
 * brackets says what else is needed and names no guarantee. */
static bool next_guarantee(const char **at, const char **name, size_t *len)
{
    *at += strspn(*at, ", ");
    *name = *at;
    *len = strspn(*at, "abcdefghijklmnopqrstuvwxyz-/");
    *at += *len;
    return *len > 0;
}

/* "worker.boot delay or crash" of "reload/x (with worker.boot delay or crash)". */
static size_t needed_with(const struct fault_point_info *info, const char **with)
{
    const char *bracket = strstr(info->catches, " (with ");
    *with = bracket ? bracket + strlen(" (with ") : "";
    return bracket ? strcspn(*with, ")") : 0;
}

/* ---- for people -------------------------------------------------------------------------------
 */

/* Words filled into lines that begin at `indent`; the first line has `used` columns already. */
static void print_filled(FILE *out, int indent, int used, const char *text)
{
    bool first = true;
    for (const char *at = text; *at;) {
        int len = (int)strcspn(at, " ");
        if (!first && used + 1 + len > COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            used = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", len, at);
        used += len + !first;
        first = false;
        at += len;
        at += strspn(at, " ");
    }
    fputc('\n', out);
}

static void kinds_text(char *out, size_t size, const struct fault_point_info *info)
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++) {
        if (!(info->kinds & FAULT_KIND_BIT(kind)) || used >= size)
            continue;
        bool named = kind == FAULT_ERRNO;
        used += (size_t)snprintf(out + used, size - used, "%s%s%s%s", used ? " " : "",
                                 fault_kind_name(kind), named ? "=" : "",
                                 named ? names_errno(info->default_errno) : "");
    }
}

void listing_print(FILE *out)
{
    for (size_t family = 0; family < FAMILY_COUNT; family++) {
        fprintf(out, "%s%s\n", family ? "\n" : "", families[family].title);
        for (unsigned i = 0; i < FAULT_POINT_COUNT; i++) {
            const struct fault_point_info *info = fault_point_info(i);
            char kinds[160];
            if (family_of(i) != family)
                continue;
            int name = fprintf(out, "  %-*s ", NAME_WIDTH, info->name);
            if (name > NAME_WIDTH + 3) {
                fprintf(out, "\n%*s", NAME_WIDTH + 3, "");
                name = NAME_WIDTH + 3;
            }
            print_filled(out, NAME_WIDTH + 3, name, info->sentence);
            kinds_text(kinds, sizeof kinds, info);
            fprintf(out, "%*s", NAME_WIDTH + 3, "");
            print_filled(out, NAME_WIDTH + 3, NAME_WIDTH + 3,
                         *info->catches ? info->catches : kinds);
        }
    }
    fprintf(out, "\nmw-fault explain POINT says more about one of them.\n");
}

static void explain_kinds(FILE *out, const struct fault_point_info *info)
{
    fprintf(out, "\nA rule for it may do:\n");
    for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++) {
        if (!(info->kinds & FAULT_KIND_BIT(kind)))
            continue;
        fprintf(out, "  %-9s ", fault_kind_name(kind));
        print_filled(out, 12, 12, fault_kind_sentence(kind));
    }
    if (info->default_errno)
        fprintf(out, "Its default errno is %s.\n", names_errno(info->default_errno));
}

static void explain_example(FILE *out, const struct fault_point_info *info)
{
    const char *with;
    int with_len = (int)needed_with(info, &with);
    fprintf(out, "\nExample:\n  mw-fault arm --board FILE '%s", info->name);
    if (info->kinds & FAULT_KIND_BIT(FAULT_SABOTAGE))
        fprintf(out, "'\n");
    else if (info->kinds & FAULT_KIND_BIT(FAULT_ERRNO))
        fprintf(out, " errno=%s after=3 times=2'\n", names_errno(info->default_errno));
    else
        fprintf(out, " delay=50ms chance=1/10'\n");
    if (with_len)
        fprintf(out, "It shows together with %.*s.\n", with_len, with);
}

void listing_explain(FILE *out, enum fault_point point)
{
    const struct fault_point_info *info = fault_point_info(point);
    fprintf(out, "%s\n  ", info->name);
    print_filled(out, 2, 2, info->sentence);
    fprintf(out, "\nIt exists:\n");
    for (size_t i = 0; i < WORLD_COUNT; i++)
        if (info->where & worlds[i].bit)
            fprintf(out, "  %-9s %s\n", worlds[i].name, worlds[i].meaning);
    explain_kinds(out, info);
    const char *at = info->catches, *name;
    size_t len;
    if (*at)
        fprintf(out, "\nIt must be caught by:\n");
    while (next_guarantee(&at, &name, &len))
        fprintf(out, "  %.*s\n", (int)len, name);
    explain_example(out, info);
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

static void json_piece(FILE *out, const char *text, size_t len)
{
    fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

void listing_json_string(FILE *out, const char *text)
{
    json_piece(out, text, strlen(text));
}

static void json_point(FILE *out, const struct fault_point_info *info)
{
    const char *separator = "", *at = info->catches, *name, *with;
    size_t len;
    fprintf(out, "{\"point\":\"%s\",\"where\":[", info->name);
    for (size_t i = 0; i < WORLD_COUNT; i++)
        if (info->where & worlds[i].bit) {
            fprintf(out, "%s\"%s\"", separator, worlds[i].name);
            separator = ",";
        }
    fprintf(out, "],\"kinds\":[");
    separator = "";
    for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++)
        if (info->kinds & FAULT_KIND_BIT(kind)) {
            fprintf(out, "%s\"%s\"", separator, fault_kind_name(kind));
            separator = ",";
        }
    if (info->default_errno)
        fprintf(out, "],\"errno\":\"%s\",\"sentence\":", names_errno(info->default_errno));
    else
        fprintf(out, "],\"errno\":null,\"sentence\":");
    listing_json_string(out, info->sentence);
    fprintf(out, ",\"guarantees\":[");
    for (separator = ""; next_guarantee(&at, &name, &len); separator = ",") {
        fputs(separator, out);
        json_piece(out, name, len);
    }
    len = needed_with(info, &with);
    fprintf(out, "],\"with\":");
    json_piece(out, with, len);
    fputc('}', out);
}

void listing_print_json(FILE *out)
{
    for (unsigned i = 0; i < FAULT_POINT_COUNT; i++) {
        fputs(i ? ",\n " : "[", out);
        json_point(out, fault_point_info(i));
    }
    fputs("]\n", out);
}

/* ---- Markdown ---------------------------------------------------------------------------------
 */

static const char markdown_head[] =
    "# Fault points\n"
    "\n"
    "Made by `mw-fault list --markdown` from `faultinject/points.def`; do not edit.\n"
    "\n"
    "A fault point is a place that asks a board in shared memory whether something goes wrong\n"
    "there. `MW_FAULT_BOARD` names the board's file; rules are armed and disarmed while servers\n"
    "run, each firing is counted and written to the history. A plan is rules, one a line or\n"
    "separated by `;`, with `#` comments:\n"
    "\n"
    "    POINT KIND[=VALUE] [after=N] [times=N] [every=N] [nth=N] [chance=A/B]\n"
    "                       [role=master|worker] [slot=N] [generation=N] [pid=N]\n"
    "                       [from=TIME|POINT] [until=TIME|POINT]\n"
    "\n"
    "    net.accept errno=EMFILE after=3 times=2 role=worker slot=1\n"
    "    net.accept delay=50ms chance=1/10 ; worker.request crash=SEGV nth=7\n"
    "    proc.fork errno from=master.reload.parse until=master.reload.commit\n"
    "    sabotage.no_respawn\n"
    "\n"
    "| selector | meaning |\n"
    "| --- | --- |\n"
    "| `role`, `slot`, `generation`, `pid` | which processes the rule is for; their calls are the "
    "rule's matching calls, counted over all of them |\n"
    "| `after=N` | the first N matching calls are let pass |\n"
    "| `every=N` | of those that follow, the Nth, 2Nth, ... fire |\n"
    "| `nth=N` | only matching call number N fires; it stands alone |\n"
    "| `chance=A/B` | of the calls chosen so far A in B fire, drawn from the process's own stream "
    "(seed, point, role, slot, generation, life), so that runs repeat |\n"
    "| `times=N` | the rule fires N times in all, however many processes race for them |\n"
    "| `from=MOMENT`, `until=MOMENT` | calls outside of this window are not matching calls. A "
    "moment is a time since the arming (`2s`), or a fault point that any process passes "
    "(`master.reload.parse`). Between two points the window opens and closes each time; after a "
    "point `until=TIME` counts from the opening. The call that opens is inside, the one that "
    "closes is not |\n"
    "\n"
    "Rules are asked in the order of their index. The first that fires decides; only a delay is\n"
    "waited for and the rules behind it are asked as well. An errno must be one that a call "
    "behind\n"
    "the point can give (`faultinject/shim/hooks.def` lists them); a plan with one mistake is\n"
    "refused whole, with its column and the nearest right word.\n"
    "\n"
    "A firing is a `fault.fired` in the history, with the number of the call for its rule and of\n"
    "the firing. In a process a `fault.place` follows, the module and the address in it that the\n"
    "call came from (`addr2line -e MODULE ADDRESS` says file and line), and a `fault.function`\n"
    "where the module names it.\n"
    "\n"
    "| kind | what happens |\n"
    "| --- | --- |\n";

static const char markdown_tail[] =
    "\n"
    "## Other people's servers\n"
    "\n"
    "`mw-fault run --plan PLAN --history DIR -- COMMAND` runs any dynamically linked server with\n"
    "`libmw-fault.so` preloaded. `arm`, `disarm`, `status` and `watch` work on its board as they "
    "do\n"
    "for the engine. `faultinject/shim/hooks.def` lists the wrapped calls. It is tried on nginx,\n"
    "HAProxy, Apache, gunicorn, uWSGI, unicorn, Puma, lighttpd, h2o and php-fpm\n"
    "(`pytests/test_shim_servers.py`); what it costs stands in bench/README.md.\n"
    "\n"
    "- The process that is started is `role=master`; what it forks is `role=worker`, with slots\n"
    "  from 0, and a dead worker's slot goes to the next. A worker's own children are as the "
    "worker.\n"
    "  A master that goes to the background, the first process to listen, and the new master of a\n"
    "  binary upgrade are masters too. The generation is always 0. `worker.boot` fires in a child\n"
    "  that the master has just forked, before the fork returns there.\n"
    "- `read` and `write` ask `net.*` on a socket, `fs.*` on a file and `ipc.*` on a pipe, an "
    "eventfd\n"
    "  and the like. `vfork` is a `fork`.\n"
    "- Not seen: what the C library calls by itself (the reads and writes below `FILE`, the fork "
    "in\n"
    "  `system` and `daemon`), `syscall()`, io_uring, and programs that make system calls "
    "themselves\n"
    "  (Go). Statically linked programs and those with rights of their own are refused.\n"
    "- A program of AddressSanitizer runs with the sanitizer first: its own allocator does not "
    "ask\n"
    "  `mem.alloc`.\n";

static void markdown_row(FILE *out, const struct fault_point_info *info, bool sabotage)
{
    char kinds[160];
    fprintf(out, "| `%s` | %s |", info->name, info->sentence);
    for (size_t i = 0; i < WORLD_COUNT; i++)
        if (info->where & worlds[i].bit)
            fprintf(out, " %s", worlds[i].name);
    fprintf(out, " | ");
    if (sabotage) {
        fprintf(out, "%s |\n", info->catches);
        return;
    }
    kinds_text(kinds, sizeof kinds, info);
    fprintf(out, "%s |\n", kinds);
}

void listing_print_markdown(FILE *out)
{
    fputs(markdown_head, out);
    for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++)
        fprintf(out, "| `%s` | %s |\n", fault_kind_name(kind), fault_kind_sentence(kind));
    for (size_t family = 0; family < FAMILY_COUNT; family++) {
        bool sabotage = family == FAMILY_COUNT - 1;
        fprintf(out,
                "\n## %s\n\n%s\n\n| point | where it fires | exists in | %s |\n"
                "| --- | --- | --- | --- |\n",
                families[family].title, families[family].about,
                sabotage ? "caught by" : "kinds (with the default errno)");
        for (unsigned i = 0; i < FAULT_POINT_COUNT; i++)
            if (family_of(i) == family)
                markdown_row(out, fault_point_info(i), sabotage);
    }
    fputs(markdown_tail, out);
}
