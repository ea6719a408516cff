/* Reads the command line of mw-sim, and says what it should have been. */
#include "engine/sim/sim_command.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sim/sim_exhaustive.h"
#include "engine/sim/sim_schedule.h"
#include "faultinject/plan.h"

static const struct {
    const char *word, *arguments, *meaning;
} modes[] = {
#define M(mode, arguments, meaning) {#mode, arguments, meaning},
    SIM_MODES(M)
#undef M
};

static const struct {
    const char *word, *meaning;
    size_t offset;
} flags[] = {
    {"--json", "one object instead of lines (run, swarm, proof)",
     offsetof(struct sim_command, json)},
    {"--progress", "swarm: a JSON line on stderr now and then",
     offsetof(struct sim_command, progress)},
    {"--twice", "swarm: each seed twice, hashes compared", offsetof(struct sim_command, twice)},
    {"--keep-going", "swarm: beyond the first failure", offsetof(struct sim_command, keep_going)},
    {"--backends", "drawn schedules: with backends that proxied requests are for",
     offsetof(struct sim_command, backends)},
    {"--verbose", "run, swarm: a line for each transition", offsetof(struct sim_command, verbose)},
};

enum value { VALUE_SEEDS, VALUE_SABOTAGE, VALUE_PLAN, VALUE_ONLY, VALUE_TEXT, VALUE_NUMBER };
static const struct {
    const char *word, *argument, *meaning;
    enum value type;
    size_t offset;
    uint64_t most;
} values[] = {
    {"--seeds", "A..B", "which seeds", VALUE_SEEDS, 0, 0},
    {"--jobs", "N", "swarm, coverage: so many at a time (1)", VALUE_NUMBER,
     offsetof(struct sim_command, jobs), 64},
    {"--plan", "RULES", "fault rules, armed for the whole run", VALUE_PLAN, 0, 0},
    {"--sabotage", "POINT", "the same, of a sabotage", VALUE_SABOTAGE, 0, 0},
    {"--only", "GUARANTEE", "what counts as a failure", VALUE_ONLY, 0, 0},
    {"--history", "FOLDER", "run, replay: for mw-judge and reports", VALUE_TEXT,
     offsetof(struct sim_command, history), 0},
    {"--write-trace", "FILE", "replay: as MW_TRACE of a real master", VALUE_TEXT,
     offsetof(struct sim_command, write_trace), 0},
    {"--save", "FILE", "shrink: the schedule that is left", VALUE_TEXT,
     offsetof(struct sim_command, save), 0},
    {"--workers", "N", "exhaustive: 1 to 3 (2)", VALUE_NUMBER,
     offsetof(struct sim_command, workers), 3},
    {"--depth", "N", "exhaustive: events after the start", VALUE_NUMBER,
     offsetof(struct sim_command, depth), SIM_PATH_MAX - 1},
    {"--signals", "N", "exhaustive: so many signals in all", VALUE_NUMBER,
     offsetof(struct sim_command, signals), 30},
    {"--faults", "N", "exhaustive: so many exits and failures in all", VALUE_NUMBER,
     offsetof(struct sim_command, faults), 30},
    {"--states", "N", "exhaustive: gives up beyond", VALUE_NUMBER,
     offsetof(struct sim_command, states), UINT64_C(1) << 26},
};

void sim_command_usage(FILE *out)
{
    fputs("usage: mw-sim MODE ...\n", out);
    for (size_t i = 0; i < SIM_MODE_COUNT; i++)
        fprintf(out, "  %-10s %-15s %s\n", modes[i].word, modes[i].arguments, modes[i].meaning);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        fprintf(out, "  %-13s %-10s   %s\n", values[i].word, values[i].argument, values[i].meaning);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        fprintf(out, "  %-13s %-10s   %s\n", flags[i].word, "", flags[i].meaning);
    fputs(
        "Exit: 0 all holds, 1 a guarantee is violated, 3 a mistake, 4 no progress, 5 a broken\n"
        "invariant or a run that does not repeat itself, 6 a crash of the core or the simulator.\n",
        out);
}

static bool complain(const char *what, const char *word)
{
    fprintf(stderr, "mw-sim: %s '%s'; see `mw-sim help`\n", what, word);
    return false;
}

/* ---- values -----------------------------------------------------------------------------------
 */

static bool add_rules(struct sim_command *c, const char *before, const char *rules)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    char text[1024];
    size_t len = strlen(c->rules);
    int added = snprintf(c->rules + len, sizeof(c->rules) - len, "%s%s%s", len > 0 ? " ; " : "",
                         before, rules);
    if ((size_t)added >= sizeof(c->rules) - len)
        return complain("the plan is too long:", rules);
    if (sim_fault_plan(&plan, c->rules, &error))
        return true;
    fault_plan_error_print(text, sizeof(text), c->rules, &error);
    fprintf(stderr, "mw-sim: %s", text);
    return false;
}

static bool parse_seeds(struct sim_command *c, const char *text)
{
    char *end;
    c->first = c->last = strtoull(text, &end, 10);
    if (isdigit((unsigned char)text[0]) && strncmp(end, "..", 2) == 0 &&
        isdigit((unsigned char)end[2]))
        c->last = strtoull(end + 2, &end, 10);
    if (isdigit((unsigned char)text[0]) && *end == '\0' && c->first > 0 && c->last >= c->first)
        return true;
    return complain("seeds from 1 on are expected, as 1..1000, not", text);
}

static bool parse_number(uint64_t *number, const char *text, uint64_t most)
{
    char *end;
    *number = strtoull(text, &end, 10);
    return (isdigit((unsigned char)text[0]) && *end == '\0' && *number <= most) ||
           complain("not a number that can be taken here:", text);
}

static bool parse_guarantee(struct sim_command *c, const char *name)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        if (strcmp(name, guarantee_name((enum guarantee)g)) == 0) {
            c->only = (enum guarantee)g;
            return true;
        }
    return complain("there is no guarantee", name);
}

static bool parse_value(struct sim_command *c, size_t i, const char *text)
{
    char *at = (char *)c + values[i].offset;
    if (text == NULL)
        return complain("a value is missing after", values[i].word);
    switch (values[i].type) {
    case VALUE_SEEDS:
        return parse_seeds(c, text);
    case VALUE_SABOTAGE:
        return add_rules(c, strncmp(text, "sabotage.", 9) == 0 ? "" : "sabotage.", text);
    case VALUE_PLAN:
        return add_rules(c, "", text);
    case VALUE_ONLY:
        return parse_guarantee(c, text);
    case VALUE_TEXT:
        *(const char **)(void *)at = text;
        return true;
    case VALUE_NUMBER:
        return parse_number((uint64_t *)(void *)at, text, values[i].most);
    }
    return false;
}

/* ---- words ------------------------------------------------------------------------------------
 */

static bool parse_flag(struct sim_command *c, const char *word)
{
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (strcmp(word, flags[i].word) == 0)
            return *(bool *)(void *)((char *)c + flags[i].offset) = true;
    return false;
}

/* A number is a seed, all else a file. */
static bool parse_subject(struct sim_command *c, const char *word)
{
    bool seed = isdigit((unsigned char)word[0]) && strspn(word, "0123456789.") == strlen(word);
    if (seed && c->last > 0)
        return complain("seeds were given already, before", word);
    if (seed)
        return parse_seeds(c, word);
    if (c->file_count == SIM_FILES_MAX)
        return complain("too many files, from here on:", word);
    c->files[c->file_count++] = word;
    return true;
}

/* What each mode needs beside its options. */
static bool is_complete(struct sim_command *c)
{
    bool one =
        c->mode == SIM_MODE_replay || c->mode == SIM_MODE_schedule || c->mode == SIM_MODE_shrink;
    bool seeded = c->mode == SIM_MODE_swarm || c->mode == SIM_MODE_coverage;
    const char *mode = modes[c->mode].word;
    if (c->mode == SIM_MODE_proof && c->last == 0)
        c->first = 1, c->last = 10000;
    if (seeded && c->last == 0)
        return complain("seeds are needed, as --seeds 1..1000, for", mode);
    if ((c->mode == SIM_MODE_run || c->mode == SIM_MODE_trace) && c->file_count == 0)
        return complain("a file is needed for", mode);
    if (one && c->file_count + (c->last > 0 && c->first == c->last) != 1)
        return complain("one file or one seed is needed for", mode);
    if (c->history != NULL && c->mode != SIM_MODE_replay &&
        !(c->mode == SIM_MODE_run && c->file_count == 1))
        return complain("a history is written of one run, with run or replay, not", mode);
    if (c->jobs == 0 || c->verbose)
        c->jobs = 1;
    return true;
}

bool sim_command_parse(struct sim_command *c, int argc, char **argv)
{
    *c = (struct sim_command){.mode = SIM_MODE_COUNT,
                              .only = GUARANTEE_COUNT,
                              .workers = 2,
                              .depth = 0,
                              .signals = 2,
                              .faults = 1,
                              .states = 2000000};
    for (unsigned i = 0; argc >= 2 && i < SIM_MODE_COUNT; i++)
        if (strcmp(argv[1], modes[i].word) == 0)
            c->mode = (enum sim_mode)i;
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        c->mode = SIM_MODE_help;
    if (c->mode == SIM_MODE_COUNT)
        return complain("a mode is expected, as swarm, not", argc >= 2 ? argv[1] : "nothing");
    for (int i = 2; i < argc; i++) {
        size_t option = 0;
        if (parse_flag(c, argv[i]))
            continue;
        while (option < sizeof(values) / sizeof(values[0]) &&
               strcmp(argv[i], values[option].word) != 0)
            option++;
        if (option < sizeof(values) / sizeof(values[0])) {
            if (!parse_value(c, option, i + 1 < argc ? argv[i + 1] : NULL))
                return false;
            i++;
        } else if (argv[i][0] == '-') {
            return complain("there is no option", argv[i]);
        } else if (!parse_subject(c, argv[i])) {
            return false;
        }
    }
    return is_complete(c);
}

/* ---- what it is about -------------------------------------------------------------------------
 */

bool sim_command_plan(const struct sim_command *c, const char *file, uint64_t seed,
                      struct sim_plan *plan)
{
    char complaint[SIM_COMPLAINT_MAX];
    if (file == NULL) {
        sim_plan_draw(plan, seed);
        if (c->backends)
            sim_plan_draw_backends(plan);
    } else if (sim_schedule_read(plan, file, complaint) < 0) {
        fprintf(stderr, "mw-sim: %s\n", complaint);
        return false;
    }
    return c->rules[0] == '\0' || sim_plan_add_rules(plan, c->rules) ||
           complain("with the schedule's own the rules are too long:", c->rules);
}

void sim_command_repeat(const struct sim_command *c, const char *file, uint64_t seed, char *out,
                        size_t size)
{
    int len = file != NULL ? snprintf(out, size, "repeat: mw-sim replay %s", file)
                           : snprintf(out, size, "repeat: mw-sim replay %llu%s",
                                      (unsigned long long)seed, c->backends ? " --backends" : "");
    if (c->rules[0] != '\0' && (size_t)len < size)
        snprintf(out + len, size - (size_t)len, " --plan '%s'", c->rules);
}
