/* mw-sim: searches schedules of the simulated server for one that breaks a guarantee.
 *
 *   mw-sim swarm --seeds A..B [--json] [--twice] [--sabotage POINT] [--plan RULES] [--keep-going]
 *   mw-sim replay SEED [--history FILE] [--write-trace FILE] [--sabotage POINT] [--plan RULES]
 *   mw-sim replay --trace FILE            a trace of a real master, through the supervisor
 *   mw-sim shrink SEED [--only GUARANTEE] [--sabotage POINT] [--plan RULES]
 *   mw-sim proof --seeds A..B             every sabotage, and the guarantee that catches it
 *   mw-sim exhaustive [--workers N] [--depth N] [--states N]
 *
 * Exit: 0 all guarantees held, 1 a guarantee is violated, 3 a mistake of the user's or of ours, 4
 * no progress, 5 a broken invariant, crash: SIGABRT's own. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/core/sup.h"
#include "engine/sim/sim_exhaustive.h"
#include "engine/sim/sim_proof.h"
#include "engine/sim/sim_run.h"
#include "engine/sim/sim_schedule.h"
#include "engine/sim/sim_shrink.h"
#include "engine/sim/sim_trace.h"
#include "faultinject/plan.h"

enum { EXIT_HOLDS, EXIT_VIOLATED, EXIT_MISTAKE = 3, EXIT_NO_PROGRESS, EXIT_BROKEN, EXIT_CRASH };
typedef unsigned long long ull;

struct options {
    uint64_t first, last;
    uint64_t workers, depth, states;
    const char *command, *history, *write_trace, *trace;
    char plan[2048];
    bool json, twice, keep_going, coverage;
    enum guarantee only; /* GUARANTEE_COUNT: any */
};

static int swarm(const struct options *o);
static int replay(const struct options *o);
static int replay_trace(const struct options *o);
static int shrink(const struct options *o);
static int exhaustive(const struct options *o);
static int proof(const struct options *o);
static bool parse(struct options *o, int argc, char **argv);

/* What a crash must still be able to say. */
static char crash_text[4096];

static void on_abort(int number)
{
    (void)number;
    ssize_t written = write(STDOUT_FILENO, crash_text, strlen(crash_text));
    _exit(written < 0 ? EXIT_MISTAKE : EXIT_CRASH);
}

int main(int argc, char **argv)
{
    struct options o = {.only = GUARANTEE_COUNT, .workers = 2, .depth = 8, .states = 300000};
    struct sigaction action = {.sa_handler = on_abort};
    sigaction(SIGABRT, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    if (!parse(&o, argc, argv))
        return EXIT_MISTAKE;
    if (strcmp(o.command, "swarm") == 0)
        return swarm(&o);
    if (strcmp(o.command, "shrink") == 0)
        return shrink(&o);
    if (strcmp(o.command, "exhaustive") == 0)
        return exhaustive(&o);
    if (strcmp(o.command, "proof") == 0)
        return proof(&o);
    return o.trace != NULL ? replay_trace(&o) : replay(&o);
}

/* ---- what is printed --------------------------------------------------------------------------
 */

static void repeat_command(const struct options *o, uint64_t seed, char *out, size_t size)
{
    int len = snprintf(out, size, "repeat: mw-sim replay %llu", (ull)seed);
    if (o->plan[0] != '\0')
        snprintf(out + len, size - (size_t)len, " --plan '%s'", o->plan);
}

static void expect_crash(const struct options *o, uint64_t seed)
{
    char command[2200];
    repeat_command(o, seed, command, sizeof(command));
    snprintf(crash_text, sizeof(crash_text), "crash: the core or the simulator aborted\n%s\n",
             command);
}

static void print_violations(const struct judge *judge)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        const struct judge_result *r = judge_result(judge, (enum guarantee)g);
        if (r->verdict != VERDICT_VIOLATED)
            continue;
        char line[512];
        const struct judge_violation *v = &r->violations[0];
        printf("violated: %s (%llu of %llu): %s\n", guarantee_name((enum guarantee)g),
               (ull)r->violated, (ull)r->checked, v->text);
        hist_print(line, sizeof(line), &v->culprit, UINT64_C(1000000000));
        printf("    %s\n", line);
        if (v->cause.kind != HIST_NONE) {
            hist_print(line, sizeof(line), &v->cause, UINT64_C(1000000000));
            printf("    because of %s\n", line);
        }
    }
}

static int exit_code(const struct sim_result *r)
{
    bool progress = r->broken != NULL && strncmp(r->broken, "progress:", 9) == 0;
    if (r->broken != NULL && !progress)
        return EXIT_BROKEN;
    if (r->violated > 0)
        return EXIT_VIOLATED;
    return progress ? EXIT_NO_PROGRESS : EXIT_HOLDS;
}

static void print_failure(const struct options *o, const struct sim *s, const struct sim_result *r,
                          uint64_t seed)
{
    char command[2200];
    if (r->broken != NULL)
        printf("broken: %s\n", r->broken);
    print_violations(sim_judge(s));
    repeat_command(o, seed, command, sizeof(command));
    printf("%s\n", command);
}

static void draw(const struct options *o, uint64_t seed, struct sim_plan *plan)
{
    sim_plan_draw(plan, seed);
    if (o->plan[0] != '\0')
        sim_plan_add_rules(plan, o->plan);
}

/* ---- replay -----------------------------------------------------------------------------------
 */

static void print_verdicts(const struct judge *judge)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        const struct judge_result *r = judge_result(judge, (enum guarantee)g);
        printf("%-32s %-9s %s\n", guarantee_name((enum guarantee)g), verdict_name(r->verdict),
               r->text);
    }
}

static int replay(const struct options *o)
{
    struct sim *s = sim_new();
    static struct sim_plan plan;
    struct sim_result r;
    struct sim_outputs outputs = {.history_path = o->history, .status = stdout};

    if (o->write_trace != NULL && (outputs.trace = fopen(o->write_trace, "w")) == NULL) {
        fprintf(stderr, "mw-sim: %s cannot be written: %s\n", o->write_trace, strerror(errno));
        return EXIT_MISTAKE;
    }
    draw(o, o->first, &plan);
    sim_schedule_write(&plan, stdout);
    fflush(stdout);
    expect_crash(o, o->first);
    sim_run(s, &plan, &outputs, &r);
    if (outputs.trace != NULL)
        fclose(outputs.trace);
    if (r.error != 0)
        fprintf(stderr, "mw-sim: %s cannot be written: %s\n", o->history, strerror(r.error));
    print_verdicts(sim_judge(s));
    printf(
        "%llu requests, %llu failed, %llu events, %llu records, %.3f s simulated, hash %016llx\n",
        (ull)r.requests, (ull)r.failed, (ull)r.events, (ull)r.records, (double)r.simulated_ns / 1e9,
        (ull)r.hash);
    print_failure(o, s, &r, o->first);
    sim_free(s);
    return r.error != 0 ? EXIT_MISTAKE : exit_code(&r);
}

static int replay_trace(const struct options *o)
{
    struct sim_trace_result r;
    bool same = sim_trace_replay(o->trace, &r);
    if (same)
        printf("%llu steps of %s were decided the same\n", (ull)r.steps, o->trace);
    else if (r.line > 0)
        printf("%s:%llu: %s\n", o->trace, (ull)r.line, r.what);
    else
        fprintf(stderr, "mw-sim: %s: %s\n", o->trace, r.what);
    printf("repeat: mw-sim replay --trace %s\n", o->trace);
    return same ? EXIT_HOLDS : r.line > 0 ? EXIT_BROKEN : EXIT_MISTAKE;
}

/* ---- shrink -----------------------------------------------------------------------------------
 */

static int shrink(const struct options *o)
{
    struct sim *s = sim_new();
    static struct sim_plan plan;
    struct sim_shrunk shrunk;
    struct sim_outputs outputs = {.status = stdout};
    struct sim_result r;

    draw(o, o->first, &plan);
    expect_crash(o, o->first);
    if (!sim_shrink(s, &plan, o->only, &shrunk)) {
        printf("seed %llu does not fail\n", (ull)o->first);
        sim_free(s);
        return EXIT_HOLDS;
    }
    sim_schedule_write(&plan, stdout);
    fflush(stdout);
    sim_run(s, &plan, &outputs, &r);
    printf("%zu of %zu acts are needed for %s; %u runs\n", shrunk.acts_after, shrunk.acts_before,
           shrunk.guarantee == GUARANTEE_COUNT ? "it" : guarantee_name(shrunk.guarantee),
           shrunk.runs);
    print_failure(o, s, &r, o->first);
    sim_free(s);
    return exit_code(&r);
}

/* ---- swarm ------------------------------------------------------------------------------------
 */

struct totals {
    uint64_t seeds, violations, stalled, broken, differ, events, records, simulated_ns, hash;
    uint64_t guarantee[GUARANTEE_COUNT], first_seed[GUARANTEE_COUNT], holds[GUARANTEE_COUNT];
    double wall_s;
    int worst;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_result(struct totals *t, const struct sim *s, const struct sim_result *r,
                       uint64_t seed)
{
    int code = exit_code(r);
    t->seeds++;
    t->violations += r->violated > 0;
    t->stalled += code == EXIT_NO_PROGRESS;
    t->broken += code == EXIT_BROKEN;
    t->events += r->events;
    t->records += r->records;
    t->simulated_ns += r->simulated_ns;
    t->hash = t->hash * 31 + r->hash;
    if (t->worst == EXIT_HOLDS || code == EXIT_BROKEN || code == EXIT_VIOLATED)
        t->worst = code != EXIT_HOLDS ? code : t->worst;
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        enum verdict v = judge_result(sim_judge(s), (enum guarantee)g)->verdict;
        t->holds[g] += v == VERDICT_HOLDS;
        if (v != VERDICT_VIOLATED)
            continue;
        if (t->guarantee[g]++ == 0)
            t->first_seed[g] = seed;
    }
}

static void print_totals(const struct options *o, const struct totals *t)
{
    double rate = t->wall_s > 0 ? (double)t->events / t->wall_s : 0;
    if (!o->json) {
        for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
            printf("%-32s held in %llu seeds, violated in %llu\n",
                   guarantee_name((enum guarantee)g), (ull)t->holds[g], (ull)t->guarantee[g]);
        printf("%llu seeds, %llu violations, %llu without progress, %llu invariants broken, %llu "
               "not repeatable; %.2f s for %.0f s simulated, %.0f events a second\n",
               (ull)t->seeds, (ull)t->violations, (ull)t->stalled, (ull)t->broken, (ull)t->differ,
               t->wall_s, (double)t->simulated_ns / 1e9, rate);
        return;
    }
    printf(
        "{\"seeds\":%llu,\"violations\":%llu,\"no_progress\":%llu,\"broken\":%llu,"
        "\"not_repeatable\":%llu,\"events\":%llu,\"records\":%llu,\"wall_s\":%.3f,"
        "\"events_per_s\":%.0f,\"simulated_s\":%.3f,\"history_hash\":\"%016llx\",\"guarantees\":{",
        (ull)t->seeds, (ull)t->violations, (ull)t->stalled, (ull)t->broken, (ull)t->differ,
        (ull)t->events, (ull)t->records, t->wall_s, rate, (double)t->simulated_ns / 1e9,
        (ull)t->hash);
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        printf("%s\"%s\":{\"holds\":%llu,\"violated\":%llu,\"first_seed\":%llu}", g ? "," : "",
               guarantee_name((enum guarantee)g), (ull)t->holds[g], (ull)t->guarantee[g],
               (ull)t->first_seed[g]);
    printf("}}\n");
}

static void print_coverage(const uint64_t *coverage)
{
    unsigned reached = 0, count = sup_cell_count();
    for (unsigned i = 0; i < count; i++) {
        struct sup_cell cell;
        sup_cell_name(i, &cell);
        reached += coverage[i] > 0;
        if (coverage[i] == 0 && strcmp(cell.action, "impossible") != 0)
            printf("not reached: %s x %s (%s)\n", cell.row, cell.input, cell.action);
    }
    printf("%u of %u cells reached from outside\n", reached, count);
}

static int swarm(const struct options *o)
{
    struct sim *s = sim_new();
    struct totals t = {.worst = EXIT_HOLDS};
    struct sim_outputs outputs = {.history_path = NULL};
    static struct sim_plan plan;
    struct sim_result r, again;
    uint64_t *coverage = calloc(sup_cell_count(), sizeof(*coverage));
    double begun_s = now_s();

    outputs.coverage = o->coverage ? coverage : NULL;
    for (uint64_t seed = o->first; seed <= o->last; seed++) {
        draw(o, seed, &plan);
        expect_crash(o, seed);
        sim_run(s, &plan, &outputs, &r);
        if (o->twice) {
            sim_run(s, &plan, &outputs, &again);
            t.differ += again.hash != r.hash;
        }
        add_result(&t, s, &r, seed);
        if (sim_failed(s, &r, o->only) && !o->json)
            print_failure(o, s, &r, seed);
        if (sim_failed(s, &r, o->only) && !o->keep_going)
            break;
    }
    t.wall_s = now_s() - begun_s;
    if (o->coverage)
        print_coverage(coverage);
    print_totals(o, &t);
    sim_free(s);
    free(coverage);
    return t.differ > 0 ? EXIT_BROKEN : t.worst;
}

/* ---- proof ------------------------------------------------------------------------------------
 */

static int proof(const struct options *o)
{
    struct sim *s = sim_new();
    unsigned caught = 0, all = 0;
    enum fault_point point = FAULT_POINT_COUNT;
    while ((point = sim_proof_next(point)) != FAULT_POINT_COUNT) {
        struct sim_proof p;
        bool seen = sim_prove(s, point, o->first, o->last, &p);
        all++;
        caught += seen;
        if (seen)
            printf("%-34s %-28s seed %-5llu %2zu of %2zu acts needed\n", fault_point_name(point),
                   guarantee_name(p.guarantee), (ull)p.seed, p.shrunk.acts_after,
                   p.shrunk.acts_before);
        else
            printf("%-34s NOT CAUGHT\n", fault_point_name(point));
        fflush(stdout);
    }
    sim_free(s);
    printf("%u of %u sabotages caught\nrepeat: mw-sim proof --seeds %llu..%llu\n", caught, all,
           (ull)o->first, (ull)o->last);
    return caught == all ? EXIT_HOLDS : EXIT_VIOLATED;
}

/* ---- exhaustive -------------------------------------------------------------------------------
 */

static int exhaustive(const struct options *o)
{
    uint64_t *coverage = calloc(sup_cell_count(), sizeof(*coverage));
    struct sim_search search = {.workers = (uint32_t)o->workers,
                                .depth = (uint32_t)o->depth,
                                .states_max = o->states,
                                .coverage = coverage};
    snprintf(crash_text, sizeof(crash_text),
             "crash: the core aborted\nrepeat: mw-sim exhaustive --workers %llu --depth %llu\n",
             (ull)o->workers, (ull)o->depth);
    if (coverage == NULL)
        abort();
    sim_search(&search);
    print_coverage(coverage);
    free(coverage);
    printf("%llu states, %llu steps, %llu led to a state that was known; depth %u of %llu%s\n",
           (ull)search.states, (ull)search.steps, (ull)search.repeated, search.deepest,
           (ull)o->depth, search.complete ? "" : "; not all states were gone into");
    if (search.broken != NULL) {
        printf("broken: %s, after", search.broken);
        for (size_t i = 0; i < search.path_count; i++)
            printf(" %s;", search.path[i]);
        putchar('\n');
    }
    printf("repeat: mw-sim exhaustive --workers %llu --depth %llu --states %llu\n", (ull)o->workers,
           (ull)o->depth, (ull)o->states);
    return search.broken != NULL ? EXIT_BROKEN : EXIT_HOLDS;
}

/* ---- the command line -------------------------------------------------------------------------
 */

static bool complain(const char *what, const char *word)
{
    fprintf(stderr,
            "mw-sim: %s '%s'\n"
            "usage: mw-sim swarm --seeds A..B [--json] [--twice] [--keep-going] [--coverage]\n"
            "                    [--sabotage POINT] [--plan RULES] [--only GUARANTEE]\n"
            "       mw-sim replay SEED [--history FILE] [--write-trace FILE]\n"
            "                    [--sabotage POINT] [--plan RULES]\n"
            "       mw-sim replay --trace FILE\n"
            "       mw-sim shrink SEED [--only GUARANTEE] [--sabotage POINT] [--plan RULES]\n"
            "       mw-sim proof --seeds A..B\n"
            "       mw-sim exhaustive [--workers 1..3] [--depth 1..31] [--states N]\n",
            what, word);
    return false;
}

static bool add_rules(struct options *o, const char *before, const char *rules)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    char text[1024];
    size_t len = strlen(o->plan);
    int added = snprintf(o->plan + len, sizeof(o->plan) - len, "%s%s%s", len > 0 ? " ; " : "",
                         before, rules);
    if ((size_t)added >= sizeof(o->plan) - len)
        return complain("the plan is too long:", rules);
    if (fault_plan_parse(&plan, o->plan, &error))
        return true;
    fault_plan_error_print(text, sizeof(text), o->plan, &error);
    fprintf(stderr, "mw-sim: %s", text);
    return false;
}

static bool parse_seeds(struct options *o, const char *text)
{
    char *end;
    o->first = o->last = strtoull(text, &end, 10);
    if (end == text)
        return false;
    if (strncmp(end, "..", 2) == 0)
        o->last = strtoull(end + 2, &end, 10);
    return *end == '\0' && o->last >= o->first;
}

static bool parse_number(uint64_t *number, const char *text, uint64_t most)
{
    char *end;
    *number = strtoull(text, &end, 10);
    return (end != text && *end == '\0' && *number >= 1 && *number <= most) ||
           complain("not a number that can be taken here:", text);
}

static bool parse_guarantee(struct options *o, const char *name)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        if (strcmp(name, guarantee_name((enum guarantee)g)) == 0) {
            o->only = (enum guarantee)g;
            return true;
        }
    return complain("there is no guarantee", name);
}

static bool parse_flag(struct options *o, const char *word)
{
    const struct {
        const char *word;
        bool *flag;
    } flags[] = {{"--json", &o->json},
                 {"--twice", &o->twice},
                 {"--keep-going", &o->keep_going},
                 {"--coverage", &o->coverage}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (strcmp(word, flags[i].word) == 0)
            return *flags[i].flag = true;
    return false;
}

static bool parse_option(struct options *o, const char *word, const char *value)
{
    if (value == NULL)
        return complain("a value is missing after", word);
    if (strcmp(word, "--seeds") == 0)
        return parse_seeds(o, value) || complain("not a range of seeds, as 1..1000:", value);
    if (strcmp(word, "--sabotage") == 0)
        return add_rules(o, strncmp(value, "sabotage.", 9) == 0 ? "" : "sabotage.", value);
    if (strcmp(word, "--plan") == 0)
        return add_rules(o, "", value);
    if (strcmp(word, "--only") == 0)
        return parse_guarantee(o, value);
    if (strcmp(word, "--history") == 0)
        o->history = value;
    else if (strcmp(word, "--trace") == 0)
        o->trace = value;
    else if (strcmp(word, "--write-trace") == 0)
        o->write_trace = value;
    else if (strcmp(word, "--workers") == 0)
        return parse_number(&o->workers, value, 3);
    else if (strcmp(word, "--depth") == 0)
        return parse_number(&o->depth, value, SIM_PATH_MAX - 1);
    else if (strcmp(word, "--states") == 0)
        return parse_number(&o->states, value, 1u << 26);
    else
        return complain("an option that does not exist:", word);
    return true;
}

/* What each command needs beside its options. */
static bool is_complete(const struct options *o)
{
    bool needs_seeds = strcmp(o->command, "exhaustive") != 0 && o->trace == NULL;
    if (needs_seeds && o->last == 0)
        return complain("seeds from 1 on are needed for", o->command);
    bool range = strcmp(o->command, "swarm") == 0 || strcmp(o->command, "proof") == 0;
    if (!range && o->first != o->last)
        return complain("one seed is needed for", o->command);
    return true;
}

static bool parse(struct options *o, int argc, char **argv)
{
    static const char *const commands[] = {"swarm", "replay", "shrink", "proof", "exhaustive"};
    for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i]) == 0)
            o->command = commands[i];
    if (o->command == NULL)
        return complain("a command is expected, not", argc >= 2 ? argv[1] : "nothing");
    for (int i = 2; i < argc; i++) {
        if (parse_flag(o, argv[i]) || (argv[i][0] != '-' && parse_seeds(o, argv[i])))
            continue;
        if (!parse_option(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            return false;
        i++;
    }
    return is_complete(o);
}
