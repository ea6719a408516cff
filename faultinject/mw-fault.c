/* mw-fault: looks at fault points, checks plans, arms and disarms them on a board, makes storms.
 * The commands that touch boards are in cli_board.c, storms in cli_storm.c, running and watching
 * other people's servers in cli_run.c. */
#include "faultinject/cli.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "faultinject/listing.h"
#include "faultinject/names.h"
#include "faultinject/points.h"

struct command {
    const char *name;
    int (*run)(const struct options *options);
    unsigned allowed; /* a set of options */
    const char *help;
};

enum { COMMANDS_MAX = 11 };
static const struct command commands[COMMANDS_MAX];

/* ---- the list ---------------------------------------------------------------------------------
 */

static int run_list(const struct options *options)
{
    if (options->value[OPT_JSON])
        listing_print_json(stdout);
    else if (options->value[OPT_MARKDOWN])
        listing_print_markdown(stdout);
    else
        listing_print(stdout);
    return EXIT_OK;
}

static int run_explain(const struct options *options)
{
    if (options->word_count != 1)
        return cli_usage_error("explain needs one fault point", "", "mw-fault list shows them");
    const char *name = options->words[0];
    enum fault_point point;
    if (fault_point_parse(name, strlen(name), &point)) {
        listing_explain(stdout, point);
        return EXIT_OK;
    }
    struct names_guess guess;
    names_guess_start(&guess, name, strlen(name));
    for (unsigned i = 0; i < FAULT_POINT_COUNT; i++)
        names_guess_offer(&guess, fault_point_name(i));
    fprintf(stderr, "mw-fault: no fault point is called \"%s\"\n", name);
    if (guess.best)
        fprintf(stderr, "did you mean \"%s\"?\n", guess.best);
    else
        fprintf(stderr, "mw-fault list shows them all\n");
    return EXIT_FAILED;
}

/* ---- help and the command line ----------------------------------------------------------------
 */

static int run_help(const struct options *options)
{
    if (options->word_count == 0) {
        printf("mw-fault: makes things go wrong on purpose, at named points and at will.\n\n"
               "  mw-fault COMMAND [OPTIONS] [WORDS]\n\n");
        for (const struct command *c = commands; c->name; c++)
            printf("  %-8s %.*s\n", c->name, (int)strcspn(c->help, "\n"), c->help);
        printf("\nmw-fault help COMMAND says more. Exit: 0 done, 1 it could not be done, 2 usage.\n"
               "\nA first try:\n"
               "  mw-fault arm --board /tmp/board 'net.accept errno=EMFILE times=3'\n"
               "  MW_FAULT_BOARD=/tmp/board mw-engine -c my.conf\n"
               "  mw-fault status --board /tmp/board\n"
               "\nAny other server:\n"
               "  mw-fault run --plan 'net.accept delay=50ms' -- nginx -c my.conf\n");
        return EXIT_OK;
    }
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, options->words[0]) == 0) {
            printf("mw-fault %s: %s", c->name, c->help);
            return EXIT_OK;
        }
    return cli_usage_error("no such command", options->words[0], "mw-fault help shows them");
}

#define BIT(option) (1u << OPT_##option)

static const struct command commands[COMMANDS_MAX] = {
    {"list", run_list, BIT(JSON) | BIT(MARKDOWN),
     "shows all fault points\n\n"
     "  mw-fault list [--json | --markdown]\n"},
    {"explain", run_explain, 0,
     "says what a fault point is and what rules for it can do\n\n"
     "  mw-fault explain POINT\n"},
    {"check", cli_check, 0,
     "reads a plan and prints it back, or says what is wrong with it\n\n"
     "  mw-fault check PLAN...\n\n"
     "A plan is rules, one a word, one a line, or separated by ;\n\n"
     "  POINT KIND[=VALUE] [after=N] [times=N] [every=N] [nth=N] [chance=A/B]\n"
     "                     [role=master|worker] [slot=N] [generation=N] [pid=N]\n"
     "                     [from=TIME|POINT] [until=TIME|POINT]\n\n"
     "  errno=NAME delay=50ms short=BYTES crash=SEGV exit=CODE stall spin corrupt\n\n"
     "  net.accept errno=EMFILE after=3 times=2 role=worker slot=1\n"
     "  net.accept delay=50ms chance=1/10\n"
     "  net.recv errno from=2s until=5s\n"
     "  proc.fork errno from=master.reload.parse until=master.reload.commit\n"
     "  sabotage.no_respawn\n"},
    {"arm", cli_arm, BIT(BOARD) | BIT(SEED),
     "arms a plan on a board, all of it or nothing\n\n"
     "  mw-fault arm [--board FILE] [--seed N] [PLAN...]\n\n"
     "  --board FILE  the board; made if it is missing; default $MW_FAULT_BOARD\n"
     "  --seed N      what chance draws from; default: the board's, 1 on a new one\n\n"
     "Servers that were started with MW_FAULT_BOARD=FILE obey at once. With\n"
     "MW_HISTORY=DIR the arming is written to a history there.\n"},
    {"disarm", cli_disarm, BIT(BOARD),
     "takes rules off a board; who stalls or spins on them goes on\n\n"
     "  mw-fault disarm [--board FILE] [all | INDEX...]\n"},
    {"run", cli_run, BIT(BOARD) | BIT(HISTORY) | BIT(PLAN) | BIT(SEED),
     "runs any dynamically linked server with a plan armed\n\n"
     "  mw-fault run [--plan PLAN]... [--board FILE] [--seed N] [--history DIR]\n"
     "               [--] COMMAND [ARGUMENT]...\n\n"
     "  --plan PLAN    what is armed before the server starts; may be repeated\n"
     "  --board FILE   the board, for arm, disarm, status and watch while the server\n"
     "                 runs; default: a new file, named on standard error\n"
     "  --seed N       what chance draws from; default: the board's, 1 on a new one\n"
     "  --history DIR  where arming and firings are written; default $MW_HISTORY\n\n"
     "The command becomes the server: same process, terminal and exit status. It is\n"
     "the master (role=master); processes it forks are workers (role=worker), with\n"
     "slots from 0; a dead worker's slot goes to the next one.\n\n"
     "  mw-fault run --plan 'net.accept errno=EMFILE nth=5' -- nginx -c my.conf\n"
     "  mw-fault run --plan 'net.recv crash=SEGV nth=7 role=worker' -- gunicorn app\n"},
    {"watch", cli_watch, BIT(BOARD) | BIT(COUNT) | BIT(JSON),
     "prints the counts of a board's rules as they change\n\n"
     "  mw-fault watch [--board FILE] [--count N] [--json]\n\n"
     "  --count N  ends after N lines; else it ends when it is interrupted\n"},
    {"status", cli_status, BIT(BOARD) | BIT(JSON),
     "shows the rules of a board, their matching calls and firings\n\n"
     "  mw-fault status [--board FILE] [--json]\n"},
    {"storm", cli_storm,
     BIT(PID) | BIT(TO) | BIT(SIGNAL) | BIT(RATE) | BIT(COUNT) | BIT(SEED) | BIT(HISTORY) |
         BIT(ONLY),
     "sends signals at a given rate\n\n"
     "  mw-fault storm --pid PID --to master|worker|all|group --signal HUP[,USR1...]\n"
     "                 --rate HZ --count N [--only PID] [--seed N] [--history FILE]\n\n"
     "  --to master   the process itself\n"
     "  --to worker   its children in turn, or with --only PID that one\n"
     "  --to all      in each round every process of its tree\n"
     "  --to group    its process group, which it must lead\n"
     "  --signal      names, with weights where wanted: HUP:3,USR1:1\n"
     "  --rate HZ     rounds a second, up to 10000, by absolute deadlines\n"
     "  --count N     rounds\n"
     "  --seed N      which signal when; default 1\n\n"
     "No process outside of the tree is ever hit. Prints one JSON line:\n"
     "  {\"sent\":100,\"failed\":0,\"seconds\":0.990012}\n"},
    {"help", run_help, 0, "shows this, or what a command does\n\n  mw-fault help [COMMAND]\n"},
};

static const struct option_name {
    const char *name;
    bool has_value;
} option_names[OPTION_COUNT] = {
    [OPT_BOARD] = {"board", true}, [OPT_COUNT] = {"count", true},
    [OPT_HELP] = {"help", false},  [OPT_HISTORY] = {"history", true},
    [OPT_JSON] = {"json", false},  [OPT_MARKDOWN] = {"markdown", false},
    [OPT_ONLY] = {"only", true},   [OPT_PID] = {"pid", true},
    [OPT_PLAN] = {"plan", true},   [OPT_RATE] = {"rate", true},
    [OPT_SEED] = {"seed", true},   [OPT_SIGNAL] = {"signal", true},
    [OPT_TO] = {"to", true},
};

/* Reads what follows the command; words may stand between options, unless they are a command line
 * of their own. False: it has said what is wrong. */
static bool read_options(const struct command *command, int argc, char **argv,
                         struct options *options)
{
    struct option allowed[OPTION_COUNT + 1];
    int count = 0, found;
    bool in_order = command->run == cli_run;
    for (int i = 0; i < OPTION_COUNT; i++)
        if (i == OPT_HELP || command->allowed >> i & 1)
            allowed[count++] = (struct option){
                option_names[i].name, option_names[i].has_value ? required_argument : no_argument,
                NULL, i};
    allowed[count] = (struct option){0};
    opterr = 0;
    while ((found = getopt_long(argc, argv, in_order ? "+:" : ":", allowed, NULL)) != -1) {
        if (found == ':' || found == '?') {
            cli_usage_error(found == ':' ? "a value is missing" : "no such option",
                            argv[optind - 1], command->help);
            return false;
        }
        options->value[found] = optarg ? optarg : "";
        if (found == OPT_PLAN && options->plan_count < PLANS_MAX)
            options->plans[options->plan_count++] = optarg;
    }
    options->words = argv + optind;
    options->word_count = argc - optind;
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {.word_count = 0};
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    for (const struct command *c = commands; c->name; c++) {
        if (strcmp(c->name, name) != 0)
            continue;
        if (!read_options(c, argc - 1, argv + 1, &options))
            return EXIT_USAGE;
        if (options.value[OPT_HELP]) {
            printf("mw-fault %s: %s", c->name, c->help);
            return EXIT_OK;
        }
        return c->run(&options);
    }
    struct names_guess guess;
    names_guess_start(&guess, name, strlen(name));
    for (const struct command *c = commands; c->name; c++)
        names_guess_offer(&guess, c->name);
    if (guess.best)
        fprintf(stderr, "mw-fault: no command \"%s\"; did you mean \"%s\"?\n", name, guess.best);
    else
        fprintf(stderr, "mw-fault: expected a command; mw-fault help shows them\n");
    return EXIT_USAGE;
}
