/* The commands of mw-fault that read plans and touch boards. */
#include "faultinject/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faultinject/board.h"
#include "faultinject/listing.h"
#include "faultinject/names.h"
#include "faultinject/plan.h"
#include "faultinject/points.h"
#include "scenarios/history/hist.h"

/* ---- plans ------------------------------------------------------------------------------------
 */

/* A word that starts a rule: the name of a point, right or mistyped. */
static bool starts_rule(const char *word)
{
    size_t name = strcspn(word, "= \t\n");
    return memchr(word, '.', name) != NULL;
}

/* The plan of the command line: a rule may be one word or several. The caller frees it. */
static char *plan_text(const char *const *words, int count)
{
    size_t size = 1;
    for (int i = 0; i < count; i++)
        size += strlen(words[i]) + 1;
    char *text = calloc(1, size), *at = text;
    for (int i = 0; text && i < count; i++) {
        if (i > 0)
            *at++ = starts_rule(words[i]) ? '\n' : ' ';
        at = stpcpy(at, words[i]);
    }
    return text;
}

bool cli_plan_read(struct fault_plan *plan, const char *const *words, int count)
{
    struct fault_plan_error error;
    char *text = plan_text(words, count), message[2048];
    bool right = text && fault_plan_parse(plan, text, &error);
    if (text && !right) {
        fault_plan_error_print(message, sizeof message, text, &error);
        fprintf(stderr, "mw-fault: the plan is refused: %s", message);
    }
    free(text);
    return right;
}

static bool read_plan(const struct options *options, struct fault_plan *plan)
{
    return cli_plan_read(plan, (const char *const *)options->words, options->word_count);
}

int cli_check(const struct options *options)
{
    struct fault_plan plan;
    char text[512];
    if (options->word_count == 0)
        return cli_usage_error("check needs a plan", "",
                               "mw-fault check 'net.accept errno=EMFILE'");
    if (!read_plan(options, &plan))
        return EXIT_FAILED;
    for (size_t i = 0; i < plan.count; i++) {
        fault_rule_print(text, sizeof text, &plan.rules[i]);
        puts(text);
    }
    return EXIT_OK;
}

/* ---- the board --------------------------------------------------------------------------------
 */

int cli_board_open(const char *path, struct fault_board_file *file, bool create, uint64_t seed)
{
    if (!path)
        path = getenv("MW_FAULT_BOARD");
    if (!path)
        return cli_usage_error("no board is named", "",
                               "expected --board FILE, or its name in MW_FAULT_BOARD");
    int error = fault_board_open(file, path, create, seed);
    if (!error)
        return EXIT_OK;
    fprintf(stderr, "mw-fault: board %s: %s\n", path, fault_board_strerror(error));
    if (error == -ENOENT && !create)
        fprintf(stderr, "mw-fault arm --board FILE makes a board\n");
    return EXIT_FAILED;
}

static void record_arming(struct hist_writer *history, enum hist_kind kind, uint64_t t_ns,
                          const struct fault_rule *rule, unsigned index)
{
    struct hist_record record = {.t_ns = t_ns,
                                 .kind = (uint16_t)kind,
                                 .slot = -1,
                                 .pid = (uint32_t)getpid(),
                                 .a = (uint64_t)rule->point,
                                 .b = (uint64_t)rule->kind,
                                 .c = index};
    hist_put(history, &record);
}

int cli_history_open(struct hist_writer *history)
{
    int error = hist_open_env(history, "fault", HIST_FAULT);
    if (error >= 0)
        return EXIT_OK;
    fprintf(stderr, "mw-fault: no history can be written to MW_HISTORY=%s: %s\n",
            getenv("MW_HISTORY"), strerror(-error));
    return EXIT_FAILED;
}

/* Arms all rules or none. */
int cli_plan_arm(struct fault_board_file *file, const struct fault_plan *plan,
                 struct hist_writer *history, FILE *out)
{
    int indices[FAULT_RULES_MAX];
    size_t armed = 0;
    uint64_t before_ns = hist_now_ns(); /* no firing may seem to come before its arming */
    while (armed < plan->count &&
           (indices[armed] = fault_board_arm(file, &plan->rules[armed])) >= 0)
        armed++;
    if (armed < plan->count) {
        int error = indices[armed];
        while (armed > 0)
            fault_board_disarm(file, (unsigned)indices[--armed]);
        fprintf(stderr, "mw-fault: nothing was armed: %s\n", fault_board_strerror(error));
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < plan->count; i++) {
        char text[512];
        fault_rule_print(text, sizeof text, &plan->rules[i]);
        fprintf(out, "armed %d: %s\n", indices[i], text);
        record_arming(history, HIST_FAULT_ARMED, before_ns, &plan->rules[i], (unsigned)indices[i]);
    }
    return EXIT_OK;
}

int cli_arm(const struct options *options)
{
    struct fault_board_file file;
    struct fault_plan plan = {0};
    struct hist_writer history;
    uint64_t seed = 1;
    if (options->value[OPT_SEED] && !cli_number(options, OPT_SEED, 0, UINT64_MAX, &seed))
        return EXIT_USAGE;
    if (!read_plan(options, &plan))
        return EXIT_FAILED;
    int status = cli_board_open(options->value[OPT_BOARD], &file, true, seed);
    if (status)
        return status;
    if (options->value[OPT_SEED])
        fault_board_seed(&file, seed);
    status = cli_history_open(&history);
    if (!status)
        status = cli_plan_arm(&file, &plan, &history, stdout);
    hist_close(&history);
    fault_board_close(&file);
    return status;
}

static void disarm_one(struct fault_board_file *file, unsigned index, struct hist_writer *history)
{
    struct fault_status status;
    bool known = fault_board_status(file->board, index, &status);
    if (!known || !fault_board_disarm(file, index))
        return;
    printf("disarmed %u: %s fired %" PRIu64 " of %" PRIu64 " calls\n", index,
           fault_point_name((unsigned)status.rule.point), status.fired, status.calls);
    record_arming(history, HIST_FAULT_DISARMED, hist_now_ns(), &status.rule, index);
}

/* The rules that are named, as a set. */
static int named_rules(const struct options *options, const struct fault_board *board,
                       uint64_t *rules)
{
    *rules = options->word_count == 0 ? UINT64_MAX : 0;
    for (int i = 0; i < options->word_count; i++) {
        const char *word = options->words[i];
        struct fault_status status;
        uint64_t index;
        if (strcmp(word, "all") == 0) {
            *rules = UINT64_MAX;
            continue;
        }
        if (!names_integer_parse(word, strlen(word), FAULT_RULES_MAX - 1, &index))
            return cli_usage_error("no rule to disarm", word,
                                   "expected all, or indices from 0 to 63");
        if (!fault_board_status(board, (unsigned)index, &status) || !status.armed) {
            fprintf(stderr, "mw-fault: rule %s is not armed; mw-fault status shows what is\n",
                    word);
            return EXIT_FAILED;
        }
        *rules |= UINT64_C(1) << index;
    }
    return EXIT_OK;
}

int cli_disarm(const struct options *options)
{
    struct fault_board_file file;
    struct hist_writer history;
    uint64_t rules;
    int status = cli_board_open(options->value[OPT_BOARD], &file, false, 0);
    if (status)
        return status;
    status = named_rules(options, file.board, &rules);
    if (!status)
        status = cli_history_open(&history);
    if (!status) {
        for (unsigned i = 0; i < FAULT_RULES_MAX; i++)
            if (rules >> i & 1)
                disarm_one(&file, i, &history);
        hist_close(&history);
    }
    fault_board_close(&file);
    return status;
}

/* ---- status -----------------------------------------------------------------------------------
 */

static void status_json(const struct fault_board *board)
{
    const char *separator = "";
    printf("{\"seed\":%" PRIu64 ",\"armed\":%u,\"rules\":[", board->seed, board->armed);
    for (unsigned i = 0; i < FAULT_RULES_MAX; i++) {
        struct fault_status status;
        char text[512];
        if (!fault_board_status(board, i, &status))
            continue;
        fault_rule_print(text, sizeof text, &status.rule);
        printf("%s{\"index\":%u,\"armed\":%s,\"point\":\"%s\",\"kind\":\"%s\",\"plan\":", separator,
               i, status.armed ? "true" : "false", fault_point_name((unsigned)status.rule.point),
               fault_kind_name((unsigned)status.rule.kind));
        listing_json_string(stdout, text);
        printf(",\"calls\":%" PRIu64 ",\"fired\":%" PRIu64 "}", status.calls, status.fired);
        separator = ",";
    }
    printf("]}\n");
}

static void status_text(const struct fault_board *board)
{
    printf("seed %" PRIu64 ", %u rules armed\n", board->seed, board->armed);
    for (unsigned i = 0, shown = 0; i < FAULT_RULES_MAX; i++) {
        struct fault_status status;
        char text[512];
        if (!fault_board_status(board, i, &status))
            continue;
        if (!shown++)
            printf("rule  state         calls      fired  plan\n");
        fault_rule_print(text, sizeof text, &status.rule);
        printf("%4u  %-8s %10" PRIu64 " %10" PRIu64 "  %s\n", i,
               status.armed ? "armed" : "disarmed", status.calls, status.fired, text);
    }
}

int cli_status(const struct options *options)
{
    struct fault_board_file file;
    int status = cli_board_open(options->value[OPT_BOARD], &file, false, 0);
    if (status)
        return status;
    if (options->value[OPT_JSON])
        status_json(file.board);
    else
        status_text(file.board);
    fault_board_close(&file);
    return EXIT_OK;
}
