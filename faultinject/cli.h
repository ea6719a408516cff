/* The commands of mw-fault and what they share: options and how errors are told. */
#ifndef FAULTINJECT_CLI_H
#define FAULTINJECT_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "faultinject/board.h"
#include "faultinject/plan.h"
#include "scenarios/history/hist.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum flag {
    OPT_BOARD,
    OPT_COUNT,
    OPT_HELP,
    OPT_HISTORY,
    OPT_JSON,
    OPT_MARKDOWN,
    OPT_ONLY,
    OPT_PID,
    OPT_PLAN,
    OPT_RATE,
    OPT_SEED,
    OPT_SIGNAL,
    OPT_TO,
    OPTION_COUNT
};

enum { PLANS_MAX = FAULT_RULES_MAX };

/* The options of one call: the text of each that was given. */
struct options {
    const char *value[OPTION_COUNT];
    const char *plans[PLANS_MAX]; /* each --plan */
    int plan_count;
    char **words;
    int word_count;
};

int cli_check(const struct options *options);
int cli_arm(const struct options *options);
int cli_disarm(const struct options *options);
int cli_status(const struct options *options);
int cli_storm(const struct options *options);
int cli_run(const struct options *options);
int cli_watch(const struct options *options);

/* Says what is wrong and what was expected; returns EXIT_USAGE. */
int cli_usage_error(const char *what, const char *detail, const char *hint);
/* What arm and run share. Each says what is wrong. */
bool cli_plan_read(struct fault_plan *plan, const char *const *words, int count);
int cli_plan_arm(struct fault_board_file *file, const struct fault_plan *plan,
                 struct hist_writer *history, FILE *out);
int cli_board_open(const char *path, struct fault_board_file *file, bool create, uint64_t seed);
int cli_history_open(struct hist_writer *history);
/* Reads a number given as an option. False: it has said what is wrong. */
bool cli_number(const struct options *options, enum flag which, uint64_t least, uint64_t most,
                uint64_t *out);

#endif
