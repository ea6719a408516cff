/* The command line of mw-sim. */
#ifndef ENGINE_SIM_SIM_COMMAND_H
#define ENGINE_SIM_SIM_COMMAND_H

#include <stdio.h>

#include "engine/sim/sim_plan.h"
#include "scenarios/judge/judge.h"

enum { SIM_FILES_MAX = 256 };

/* Exit codes. */
enum {
    SIM_HOLDS = 0,
    SIM_VIOLATED = 1,
    SIM_MISTAKE = 3, /* the user's, or the harness's own */
    SIM_NO_PROGRESS = 4,
    SIM_BROKEN = 5, /* an invariant, or a run that does not repeat itself */
    SIM_CRASH = 6,
};

/* M(mode, "arguments", "meaning") */
#define SIM_MODES(M)                                                                               \
    M(run, "FILE ...", "schedules: a story's, or kept ones; a line for each")                      \
    M(swarm, "--seeds A..B", "schedules drawn from seeds")                                         \
    M(replay, "FILE|SEED", "one schedule, a line for each transition")                             \
    M(schedule, "FILE|SEED", "prints the schedule")                                                \
    M(shrink, "FILE|SEED", "makes a schedule that fails as small as can be")                       \
    M(exhaustive, "", "every interleaving around the supervisor, up to a bound")                   \
    M(trace, "FILE", "a trace of a real master (MW_TRACE), through the supervisor")                \
    M(proof, "[--seeds A..B]", "is every sabotage caught, and by how small a schedule?")           \
    M(coverage, "--seeds A..B", "the cells of the core's tables that are come to")                 \
    M(help, "", "this, and the language of schedules")

enum sim_mode {
#define M(mode, arguments, meaning) SIM_MODE_##mode,
    SIM_MODES(M)
#undef M
        SIM_MODE_COUNT
};

struct sim_command {
    enum sim_mode mode;
    uint64_t first, last; /* seeds */
    size_t file_count;
    const char *files[SIM_FILES_MAX];
    uint64_t jobs, workers, depth, states, signals, faults;
    const char *history, *write_trace, *save; /* NULL none */
    char rules[SIM_RULES_ROOM];               /* armed in every run */
    bool json, progress, twice, keep_going, verbose, backends;
    enum guarantee only; /* GUARANTEE_COUNT: any */
};

/* False: a complaint was printed. */
bool sim_command_parse(struct sim_command *c, int argc, char **argv);
void sim_command_usage(FILE *out);
/* The schedule that a command is about: read from its file, or drawn. False: a complaint. */
bool sim_command_plan(const struct sim_command *c, const char *file, uint64_t seed,
                      struct sim_plan *plan);
/* "repeat: mw-sim replay 17 ..." */
void sim_command_repeat(const struct sim_command *c, const char *file, uint64_t seed, char *out,
                        size_t size);

#endif
