/* mw-sim: searches schedules of the simulated server for one that breaks a guarantee. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/sim/sim_command.h"
#include "engine/sim/sim_exhaustive.h"
#include "engine/sim/sim_proof.h"
#include "engine/sim/sim_schedule.h"
#include "engine/sim/sim_show.h"
#include "engine/sim/sim_shrink.h"
#include "engine/sim/sim_swarm.h"
#include "engine/sim/sim_trace.h"

typedef unsigned long long ull;

#define M(mode, arguments, meaning) static int do_##mode(const struct sim_command *c);
SIM_MODES(M)
#undef M

/* What a crash must still be able to say; the signal comes to the thread whose run it was. */
static void on_abort(int number)
{
    (void)number;
    ssize_t written = write(STDOUT_FILENO, sim_crash_text(), strlen(sim_crash_text()));
    _exit(written < 0 ? SIM_MISTAKE : SIM_CRASH);
}

int main(int argc, char **argv)
{
    static int (*const modes[])(const struct sim_command *c) = {
#define M(mode, arguments, meaning) do_##mode,
        SIM_MODES(M)
#undef M
    };
    static struct sim_command command;
    struct sigaction action = {.sa_handler = on_abort};
    sigaction(SIGABRT, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    if (!sim_command_parse(&command, argc, argv))
        return SIM_MISTAKE;
    return modes[command.mode](&command);
}

static int do_help(const struct sim_command *c)
{
    (void)c;
    sim_command_usage(stdout);
    puts("");
    sim_schedule_help(stdout);
    return SIM_HOLDS;
}

/* ---- one schedule -----------------------------------------------------------------------------
 */

static const char *file_of(const struct sim_command *c)
{
    return c->file_count > 0 ? c->files[0] : NULL;
}

static int do_schedule(const struct sim_command *c)
{
    static struct sim_plan plan;
    if (!sim_command_plan(c, file_of(c), c->first, &plan))
        return SIM_MISTAKE;
    return sim_schedule_write(&plan, stdout) ? SIM_HOLDS : SIM_MISTAKE;
}

static void print_failure(const struct sim *s, const struct sim_result *r, FILE *out)
{
    if (r->broken != NULL)
        fprintf(out, "broken: %s\n", r->broken);
    for (unsigned i = 0; sim_trouble(s, i) != NULL; i++)
        fprintf(out, "trouble: %s\n", sim_trouble(s, i));
    sim_show_violations(sim_judge(s), out);
}

static bool wrote_history(const struct sim_command *c, const struct sim_result *r)
{
    if (r->error != 0)
        fprintf(stderr, "mw-sim: %s cannot be written: %s\n", c->history, strerror(r->error));
    return r->error == 0;
}

static int do_replay(const struct sim_command *c)
{
    static struct sim_plan plan;
    char repeat[2048];
    struct sim_result r;
    struct sim_outputs outputs = {.history_path = c->history, .status = stdout};

    if (!sim_command_plan(c, file_of(c), c->first, &plan))
        return SIM_MISTAKE;
    if (c->write_trace != NULL && (outputs.trace = fopen(c->write_trace, "w")) == NULL) {
        fprintf(stderr, "mw-sim: %s cannot be written: %s\n", c->write_trace, strerror(errno));
        return SIM_MISTAKE;
    }
    sim_schedule_write(&plan, stdout);
    sim_command_repeat(c, file_of(c), c->first, repeat, sizeof(repeat));
    sim_expect_crash(repeat);
    struct sim *s = sim_new();
    sim_run(s, &plan, &outputs, &r);
    if (outputs.trace != NULL)
        fclose(outputs.trace);
    sim_show_verdicts(sim_judge(s), stdout);
    sim_show_result(&r, stdout);
    print_failure(s, &r, stdout);
    printf("%s\n", repeat);
    sim_free(s);
    return wrote_history(c, &r) ? sim_exit_code(&r) : SIM_MISTAKE;
}

/* ---- kept schedules, and those of stories ------------------------------------------------------
 */

static int run_file(const struct sim_command *c, struct sim *s, const char *file)
{
    static const char *const words[] = {[SIM_HOLDS] = "holds",
                                        [SIM_VIOLATED] = "violated",
                                        [SIM_MISTAKE] = "mistake",
                                        [SIM_NO_PROGRESS] = "no progress",
                                        [SIM_BROKEN] = "broken"};
    static struct sim_plan plan;
    char repeat[2048];
    struct sim_result r;
    struct sim_outputs outputs = {.history_path = c->history, .status = c->verbose ? stdout : NULL};

    if (!sim_command_plan(c, file, 0, &plan))
        return SIM_MISTAKE;
    sim_command_repeat(c, file, 0, repeat, sizeof(repeat));
    sim_expect_crash(repeat);
    sim_run(s, &plan, &outputs, &r);
    if (!wrote_history(c, &r))
        return SIM_MISTAKE;
    int code = sim_exit_code(&r);
    if (c->json) {
        sim_show_json(s, &plan, &r, stdout);
        return code;
    }
    printf("%-11s %s: ", words[code], file);
    sim_show_result(&r, stdout);
    print_failure(s, &r, stdout);
    if (code != SIM_HOLDS)
        printf("%s\n", repeat);
    return code;
}

static int do_run(const struct sim_command *c)
{
    struct sim *s = sim_new();
    int worst = SIM_HOLDS;
    for (size_t i = 0; i < c->file_count && worst != SIM_MISTAKE; i++) {
        int code = run_file(c, s, c->files[i]);
        worst = code == SIM_MISTAKE ? code : sim_worse(worst, code);
    }
    sim_free(s);
    return worst;
}

/* ---- shrink -----------------------------------------------------------------------------------
 */

static bool save(const struct sim_command *c, const struct sim_plan *plan,
                 const struct sim_shrunk *shrunk)
{
    FILE *out = fopen(c->save, "w");
    if (out != NULL)
        fprintf(out, "# Breaks %s.\n",
                shrunk->guarantee == GUARANTEE_COUNT ? "an invariant of the simulation"
                                                     : guarantee_name(shrunk->guarantee));
    bool written = out != NULL && sim_schedule_write(plan, out);
    if (out != NULL)
        written = fclose(out) == 0 && written;
    if (!written)
        fprintf(stderr, "mw-sim: %s cannot be written: %s\n", c->save, strerror(errno));
    return written;
}

static int do_shrink(const struct sim_command *c)
{
    static struct sim_plan plan;
    struct sim_shrunk shrunk;
    struct sim_outputs outputs = {.status = stdout};
    struct sim_result r;
    char repeat[2048];

    if (!sim_command_plan(c, file_of(c), c->first, &plan))
        return SIM_MISTAKE;
    sim_command_repeat(c, file_of(c), c->first, repeat, sizeof(repeat));
    sim_expect_crash(repeat);
    struct sim *s = sim_new();
    if (!sim_shrink(s, &plan, c->only, &shrunk)) {
        printf("it does not fail\n%s\n", repeat);
        sim_free(s);
        return SIM_HOLDS;
    }
    sim_schedule_write(&plan, stdout);
    sim_run(s, &plan, &outputs, &r);
    printf("%zu of %zu acts are needed for %s; %u runs\n", shrunk.acts_after, shrunk.acts_before,
           shrunk.guarantee == GUARANTEE_COUNT ? "it" : guarantee_name(shrunk.guarantee),
           shrunk.runs);
    print_failure(s, &r, stdout);
    sim_free(s);
    if (c->save != NULL && !save(c, &plan, &shrunk))
        return SIM_MISTAKE;
    if (c->save != NULL)
        printf("repeat: mw-sim replay %s\n", c->save);
    else
        printf("%s\n", repeat);
    return sim_exit_code(&r);
}

/* ---- swarm, coverage ---------------------------------------------------------------------------
 */

static int do_swarm(const struct sim_command *c)
{
    struct sim_swarm swarm;
    sim_swarm_run(c, c->json ? NULL : stdout, NULL, &swarm);
    sim_swarm_print(c, &swarm, stdout);
    return swarm.worst;
}

/* The bounds are those that a test can afford: deeper searches come to no other cells. */
static bool search_all(struct sim_coverage *coverage)
{
    for (uint32_t workers = 1; workers <= 2; workers++) {
        struct sim_search search = {.workers = workers,
                                    .signals = 3 - workers,
                                    .faults = 2,
                                    .states_max = 400000,
                                    .coverage = coverage};
        sim_search(&search);
        if (search.broken != NULL)
            return false;
    }
    return true;
}

static int do_coverage(const struct sim_command *c)
{
    static struct sim_coverage swarmed, searched;
    struct sim_swarm swarm;
    sim_swarm_run(c, stdout, &swarmed, &swarm);
    printf("swarm, %llu seeds\n", (ull)swarm.seeds);
    sim_coverage_print(&swarmed, false, stdout);
    bool sound = search_all(&searched);
    printf("exhaustive\n");
    sim_coverage_print(&searched, false, stdout);
    sim_coverage_add(&swarmed, &searched);
    printf("together\n");
    bool explained = sim_coverage_print(&swarmed, true, stdout);
    printf("repeat: mw-sim coverage --seeds %llu..%llu\n", (ull)c->first, (ull)c->last);
    if (swarm.worst != SIM_HOLDS)
        return swarm.worst;
    return sound && explained ? SIM_HOLDS : SIM_BROKEN;
}

/* ---- exhaustive -------------------------------------------------------------------------------
 */

static int do_exhaustive(const struct sim_command *c)
{
    static struct sim_coverage coverage;
    static struct sim_search search;
    char repeat[256];
    search = (struct sim_search){.workers = (uint32_t)c->workers,
                                 .signals = (uint32_t)c->signals,
                                 .faults = (uint32_t)c->faults,
                                 .depth = (uint32_t)c->depth,
                                 .states_max = c->states,
                                 .coverage = &coverage};
    snprintf(repeat, sizeof(repeat),
             "repeat: mw-sim exhaustive --workers %llu --signals %llu --faults %llu --depth %llu "
             "--states %llu",
             (ull)c->workers, (ull)c->signals, (ull)c->faults, (ull)c->depth, (ull)c->states);
    sim_expect_crash(repeat);
    sim_search(&search);
    printf("%u workers, %u signals, %u faults: %llu states, %llu steps, %llu led to a state that "
           "was known,\n%llu states at rest; depth %u, %s\n",
           search.workers, search.signals, search.faults, (ull)search.states, (ull)search.steps,
           (ull)search.repeated, (ull)search.at_rest, search.deepest,
           search.complete ? "complete" : "NOT complete: a bound was met");
    sim_coverage_print(&coverage, false, stdout);
    if (search.broken != NULL) {
        printf("broken: %s, after\n", search.broken);
        for (size_t i = 0; i < search.path_count; i++)
            printf("    %s\n", search.path[i]);
    }
    printf("%s\n", repeat);
    return search.broken != NULL ? SIM_BROKEN : SIM_HOLDS;
}

/* ---- traces -----------------------------------------------------------------------------------
 */

static int do_trace(const struct sim_command *c)
{
    int worst = SIM_HOLDS;
    for (size_t i = 0; i < c->file_count; i++) {
        struct sim_trace_result r;
        if (sim_trace_replay(c->files[i], &r)) {
            printf("%llu steps of %s were decided the same\n", (ull)r.steps, c->files[i]);
            continue;
        }
        if (r.line == 0)
            fprintf(stderr, "mw-sim: %s: %s\n", c->files[i], r.what);
        else
            printf("%s:%llu: %s\n", c->files[i], (ull)r.line, r.what);
        worst = r.line == 0 || worst == SIM_MISTAKE ? SIM_MISTAKE : SIM_BROKEN;
        printf("repeat: mw-sim trace %s\n", c->files[i]);
    }
    return worst;
}

/* ---- proof ------------------------------------------------------------------------------------
 */

static int do_proof(const struct sim_command *c)
{
    return sim_proof_all(c->first, c->last, c->json, stdout) ? SIM_HOLDS : SIM_VIOLATED;
}
