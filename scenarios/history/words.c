/* The history's words: what numbers in records are called. Everything here is expanded from
 * history.def, words.def and the list of fault points. */
#include "scenarios/history/words.h"

#include <string.h>

#include "scenarios/history/hist_file.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const struct hist_kind_info hist_kinds[HIST_KIND_COUNT] = {
    [HIST_NONE] = {"none", "the end of a file", {"", "", "", "", "", "", "", ""}},
#define HIST_KIND(id, kind, meaning, pid, slot, gen, conn, req, a, b, c)                           \
    [HIST_##id] = {kind, meaning, {pid, slot, gen, conn, req, a, b, c}},
#include "scenarios/history/history.def"
#undef HIST_KIND
};

#define WORD(id, word, meaning) {word, meaning},
#define LIST(name, LIST_OF) static const struct hist_word name##_words[] = {LIST_OF(WORD)};
LIST(outcome, HIST_OUTCOME_LIST)
LIST(population, HIST_POPULATION_LIST)
LIST(close, HIST_CLOSE_LIST)
LIST(phase, HIST_PHASE_LIST)
LIST(report, HIST_REPORT_LIST)
LIST(target, HIST_TARGET_LIST)
LIST(leftover, HIST_LEFTOVER_LIST)
LIST(pause, HIST_PAUSE_LIST)
LIST(trait, HIST_TRAIT_LIST)
LIST(why, HIST_WHY_LIST)
LIST(upgrade, HIST_UPGRADE_LIST)
LIST(param, HIST_PARAM_LIST)
LIST(fault, HIST_FAULT_LIST)
LIST(flag, HIST_FLAG_LIST)

static const struct hist_word role_words[HIST_ROLE_COUNT] = {
    [HIST_ROLE_NONE] = {"none", "not stated"},
    [HIST_PROBER] = {"prober", "mw-prober, the clients"},
    [HIST_WATCH] = {"watch", "mw-watch, the processes"},
    [HIST_DIRECTOR] = {"director", "the director of the story"},
    [HIST_MASTER] = {"master", "the engine's master"},
    [HIST_WORKER] = {"worker", "a worker of the engine"},
    [HIST_FAULT] = {"fault", "who arms faults and sends storms"},
    [HIST_SIM] = {"sim", "the simulator"},
};

static const struct hist_word fault_point_words[] = {
#define FAULT_POINT(symbol, name, where, kinds, default_errno, sentence) {name, sentence},
#include "faultinject/points.def"
#undef FAULT_POINT
};

const struct hist_list hist_lists[] = {
    {"outcome", outcome_words, COUNT_OF(outcome_words)},
    {"population", population_words, COUNT_OF(population_words)},
    {"close", close_words, COUNT_OF(close_words)},
    {"phase", phase_words, COUNT_OF(phase_words)},
    {"report", report_words, COUNT_OF(report_words)},
    {"target", target_words, COUNT_OF(target_words)},
    {"leftover", leftover_words, COUNT_OF(leftover_words)},
    {"pause", pause_words, COUNT_OF(pause_words)},
    {"trait", trait_words, COUNT_OF(trait_words)},
    {"why", why_words, COUNT_OF(why_words)},
    {"upgrade", upgrade_words, COUNT_OF(upgrade_words)},
    {"param", param_words, COUNT_OF(param_words)},
    {"flag", flag_words, COUNT_OF(flag_words)},
    {"role", role_words, COUNT_OF(role_words)},
    {"fault_point", fault_point_words, COUNT_OF(fault_point_words)},
    {"fault_kind", fault_words, COUNT_OF(fault_words)},
};
const size_t hist_list_count = COUNT_OF(hist_lists);

const char *const hist_field_names[HIST_FIELD_COUNT] = {"pid", "slot", "gen", "conn",
                                                        "req", "a",    "b",   "c"};

const struct hist_list *hist_list_find(const char *name, size_t len)
{
    for (size_t i = 0; i < hist_list_count; i++)
        if (strlen(hist_lists[i].name) == len && strncmp(hist_lists[i].name, name, len) == 0)
            return &hist_lists[i];
    return NULL;
}

static const char *word_of(const struct hist_word *words, size_t count, unsigned word)
{
    return word < count ? words[word].word : "?";
}

const char *hist_kind_name(unsigned kind)
{
    return kind < HIST_KIND_COUNT ? hist_kinds[kind].name : "?";
}

#define NAME_FUNCTION(list)                                                                        \
    const char *hist_##list##_name(unsigned word)                                                  \
    {                                                                                              \
        return word_of(list##_words, COUNT_OF(list##_words), word);                                \
    }
NAME_FUNCTION(role)
NAME_FUNCTION(outcome)
NAME_FUNCTION(population)
NAME_FUNCTION(close)
NAME_FUNCTION(phase)
NAME_FUNCTION(report)
NAME_FUNCTION(target)
NAME_FUNCTION(leftover)
NAME_FUNCTION(pause)
NAME_FUNCTION(trait)
NAME_FUNCTION(why)
NAME_FUNCTION(upgrade)
NAME_FUNCTION(param)
NAME_FUNCTION(fault)

/* FNV-1a over names: kinds, then each list but the fault points, which come and go. */
static uint64_t mix(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return (hash ^ 0xff) * 1099511628211u;
}

uint64_t hist_vocabulary(void)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < HIST_KIND_COUNT; i++)
        hash = mix(hash, hist_kinds[i].name);
    for (size_t i = 0; i < hist_list_count; i++)
        for (size_t j = 0; j < hist_lists[i].count; j++)
            if (hist_lists[i].words != fault_point_words)
                hash = mix(hash, hist_lists[i].words[j].word);
    return hash >> 1; /* so that it is a number in JSON too */
}
