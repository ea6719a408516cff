/* The vocabulary as tables: for printing, for the director and for the documentation. */
#ifndef SCENARIOS_HISTORY_WORDS_H
#define SCENARIOS_HISTORY_WORDS_H

#include <stddef.h>

#include "scenarios/history/hist.h"

enum hist_field {
    HIST_FIELD_PID,
    HIST_FIELD_SLOT,
    HIST_FIELD_GEN,
    HIST_FIELD_CONN,
    HIST_FIELD_REQ,
    HIST_FIELD_A,
    HIST_FIELD_B,
    HIST_FIELD_C,
    HIST_FIELD_COUNT
};

struct hist_kind_info {
    const char *name, *meaning;
    const char *fields[HIST_FIELD_COUNT]; /* what each holds; "" unused */
};

struct hist_word {
    const char *word, *meaning;
};

/* One of the lists of words.def. `name` is the enum's without "hist_". */
struct hist_list {
    const char *name;
    const struct hist_word *words;
    size_t count;
};

extern const struct hist_kind_info hist_kinds[HIST_KIND_COUNT];
extern const struct hist_list hist_lists[];
extern const size_t hist_list_count;
extern const char *const hist_field_names[HIST_FIELD_COUNT];

/* NULL: there is no such list. */
const struct hist_list *hist_list_find(const char *name, size_t len);

#endif
