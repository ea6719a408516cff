/* The commands of mw-fault that run other people's servers below the shim, and watch them. */
#include "faultinject/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faultinject/listing.h"
#include "faultinject/points.h"
#include "faultinject/program.h"
#include "faultinject/tree.h"

enum { EXIT_NOT_EXECUTED = 126, WATCH_PERIOD_MS = 20 };

/* ---- run --------------------------------------------------------------------------------------
 */

/* A rule that the shim cannot carry out may be meant for the engine below it. */
static void warn_of_own_points(const struct fault_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        unsigned point = (unsigned)plan->rules[i].point;
        if (!(fault_point_info(point)->where & FAULT_SHIM))
            fprintf(stderr, "mw-fault: %s fires only in a program with fault points of its own\n",
                    fault_point_name(point));
    }
}

/* The shim lies in ../lib, seen from this program. */
static bool find_shim(char shim[PATH_MAX])
{
    char self[PATH_MAX] = "", path[PATH_MAX + 32];
    const char *given = getenv("MW_FAULT_SHIM");
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = len > 0 ? strrchr(self, '/') : NULL;
    if (slash)
        *slash = '\0';
    snprintf(path, sizeof path, "%s/../lib/libmw-fault.so", self);
    if (realpath(given ? given : path, shim) && access(shim, R_OK) == 0)
        return true;
    fprintf(stderr,
            "mw-fault: the shim is not at %s: %s\n"
            "make builds it; MW_FAULT_SHIM can name it\n",
            given ? given : path, strerror(errno));
    return false;
}

static bool say_errno(const char *what, const char *about)
{
    fprintf(stderr, "mw-fault: %s %s: %s\n", what, about, strerror(errno));
    return false;
}

/* The folder's full name goes into MW_HISTORY: servers change their working directory. */
static bool set_history(const char *folder)
{
    char path[PATH_MAX];
    if (folder && mkdir(folder, 0777) != 0 && errno != EEXIST)
        return say_errno("cannot make the history folder", folder);
    if (!folder)
        folder = getenv("MW_HISTORY");
    if (!folder || !*folder)
        return true;
    if (!realpath(folder, path))
        return say_errno("cannot use the history folder", folder);
    return setenv("MW_HISTORY", path, 1) == 0;
}

/* Names the board, or makes a folder for a new one. */
static bool name_board(const char *given, char path[PATH_MAX])
{
    if (!given)
        given = getenv("MW_FAULT_BOARD");
    if (given) {
        snprintf(path, PATH_MAX, "%s", given);
        return true;
    }
    const char *temporary = getenv("TMPDIR");
    snprintf(path, PATH_MAX - 16, "%s/mw-fault-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(path))
        return say_errno("cannot make a folder for the board", path);
    memcpy(path + strlen(path), "/board", sizeof "/board");
    fprintf(stderr, "mw-fault: the board is %s\n", path);
    return true;
}

static bool set_preload(const struct program *program, const char *shim)
{
    char text[2 * PATH_MAX];
    const char *before = getenv("LD_PRELOAD");
    snprintf(text, sizeof text, "%s%s%s%s%s", program->sanitizer, *program->sanitizer ? ":" : "",
             shim, before && *before ? ":" : "", before ? before : "");
    return setenv("LD_PRELOAD", text, 1) == 0;
}

/* Arms the plan on the board, begins a tree of processes with this one as its master. */
static int prepare(const struct options *options, const struct fault_plan *plan)
{
    struct fault_board_file file;
    struct hist_writer history;
    char named[PATH_MAX], board[PATH_MAX];
    uint64_t seed = 1;
    if (options->value[OPT_SEED] && !cli_number(options, OPT_SEED, 0, UINT64_MAX, &seed))
        return EXIT_USAGE;
    if (!set_history(options->value[OPT_HISTORY]) || !name_board(options->value[OPT_BOARD], named))
        return EXIT_FAILED;
    int status = cli_board_open(named, &file, true, seed);
    if (status)
        return status;
    if (options->value[OPT_SEED])
        fault_board_seed(&file, seed);
    if (!realpath(named, board) || setenv("MW_FAULT_BOARD", board, 1) != 0 ||
        !tree_open(board, true)) {
        say_errno("cannot prepare the board", named);
        status = EXIT_FAILED;
    } else {
        status = cli_history_open(&history);
        if (!status)
            status = cli_plan_arm(&file, plan, &history, stderr);
        hist_close(&history);
    }
    fault_board_close(&file);
    return status;
}

int cli_run(const struct options *options)
{
    struct program program;
    struct fault_plan plan = {.count = 0};
    char shim[PATH_MAX];
    if (options->word_count == 0)
        return cli_usage_error("run needs a command", "",
                               "mw-fault run --plan 'net.accept delay=50ms' -- nginx -c my.conf");
    if (!cli_plan_read(&plan, options->plans, options->plan_count))
        return EXIT_FAILED;
    warn_of_own_points(&plan);
    if (!program_check(&program, options->words[0])) {
        fprintf(stderr, "mw-fault: %s\n", program.why);
        return EXIT_FAILED;
    }
    if (!find_shim(shim))
        return EXIT_FAILED;
    int status = prepare(options, &plan);
    if (status)
        return status;
    set_preload(&program, shim);
    execvp(options->words[0], options->words);
    say_errno("cannot execute", options->words[0]);
    return EXIT_NOT_EXECUTED;
}

/* ---- watch ------------------------------------------------------------------------------------
 */

static void print_change(const struct options *options, unsigned index,
                         const struct fault_status *now, uint64_t begin_ns)
{
    char text[512];
    double seconds = (double)(hist_now_ns() - begin_ns) / 1e9;
    fault_rule_print(text, sizeof text, &now->rule);
    if (options->value[OPT_JSON]) {
        printf("{\"seconds\":%.3f,\"index\":%u,\"armed\":%s,\"calls\":%" PRIu64
               ",\"fired\":%" PRIu64 ",\"plan\":",
               seconds, index, now->armed ? "true" : "false", now->calls, now->fired);
        listing_json_string(stdout, text);
        puts("}");
    } else {
        printf("%9.3f  %2u %-8s %8" PRIu64 " calls %8" PRIu64 " fired  %s\n", seconds, index,
               now->armed ? "armed" : "disarmed", now->calls, now->fired, text);
    }
}

/* The rules that changed since the last look, each on a line. */
static uint64_t print_changes(const struct options *options, const struct fault_board *board,
                              struct fault_status last[FAULT_RULES_MAX], uint64_t begin_ns,
                              uint64_t most)
{
    uint64_t printed = 0;
    for (unsigned i = 0; i < FAULT_RULES_MAX && printed < most; i++) {
        struct fault_status now = {.armed = false};
        if (!fault_board_status(board, i, &now) ||
            (now.calls == last[i].calls && now.fired == last[i].fired &&
             now.armed == last[i].armed && memcmp(&now.rule, &last[i].rule, sizeof now.rule) == 0))
            continue;
        print_change(options, i, &now, begin_ns);
        last[i] = now;
        printed++;
    }
    fflush(stdout);
    return printed;
}

int cli_watch(const struct options *options)
{
    static struct fault_status last[FAULT_RULES_MAX];
    struct fault_board_file file;
    uint64_t left = UINT64_MAX, begin_ns = hist_now_ns();
    if (options->value[OPT_COUNT] && !cli_number(options, OPT_COUNT, 1, UINT32_MAX, &left))
        return EXIT_USAGE;
    int status = cli_board_open(options->value[OPT_BOARD], &file, false, 0);
    if (status)
        return status;
    /* Whoever reads the lines may go away: then nobody needs the next. */
    struct pollfd reader = {.fd = STDOUT_FILENO};
    while (left > 0 && !(reader.revents & (POLLERR | POLLHUP))) {
        left -= print_changes(options, file.board, last, begin_ns, left);
        if (left > 0)
            poll(&reader, 1, WATCH_PERIOD_MS);
    }
    fault_board_close(&file);
    return EXIT_OK;
}
