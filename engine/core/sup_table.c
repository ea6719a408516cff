/* The two tables, and the words for everything the supervisor has a list of. */
#include "engine/core/sup_priv.h"
#include "engine/core/words.h"

mode_cell *const sup_mode_table[SUP_MODE_COUNT][SUP_MASTER_INPUT_COUNT] = {
#define MASTER_CELL(mode, input, action) [SUP_MODE_##mode][SUP_IN_##input] = sup_mode_##action,
#define WORKER_CELL(state, input, action)
#include "engine/core/sup_cells.def"
#undef MASTER_CELL
#undef WORKER_CELL
};

worker_cell *const sup_worker_table[SUP_WORKER_STATE_COUNT][SUP_WORKER_INPUT_COUNT] = {
#define MASTER_CELL(mode, input, action)
#define WORKER_CELL(state, input, action)                                                          \
    [SUP_WORKER_##state][SUP_WIN_##input] = sup_worker_##action,
#include "engine/core/sup_cells.def"
#undef MASTER_CELL
#undef WORKER_CELL
};

/* As many cells as there are places, and (-Woverride-init) none given twice: none is empty. */
enum {
#define MASTER_CELL(mode, input, action) MASTER_CELL_##mode##_##input,
#define WORKER_CELL(state, input, action)
#include "engine/core/sup_cells.def"
#undef MASTER_CELL
#undef WORKER_CELL
    MASTER_CELLS
};
enum {
#define MASTER_CELL(mode, input, action)
#define WORKER_CELL(state, input, action) WORKER_CELL_##state##_##input,
#include "engine/core/sup_cells.def"
#undef MASTER_CELL
#undef WORKER_CELL
    WORKER_CELLS
};
_Static_assert(MASTER_CELLS == SUP_MODE_COUNT * SUP_MASTER_INPUT_COUNT, "a cell is missing");
_Static_assert(WORKER_CELLS == SUP_WORKER_STATE_COUNT * SUP_WORKER_INPUT_COUNT,
               "a cell is missing");

_Static_assert(MASTER_CELLS + WORKER_CELLS <= 64 * SUP_CELL_WORDS, "more cells than bits");

static const struct core_cell cell_names[MASTER_CELLS + WORKER_CELLS] = {
#define MASTER_CELL(mode, input, action)                                                           \
    [SUP_MODE_##mode * SUP_MASTER_INPUT_COUNT + SUP_IN_##input] = {#mode, #input, #action},
#define WORKER_CELL(state, input, action)                                                          \
    [MASTER_CELLS + SUP_WORKER_##state * SUP_WORKER_INPUT_COUNT + SUP_WIN_##                       \
        input] = {"worker " #state, #input, #action},
#include "engine/core/sup_cells.def"
#undef MASTER_CELL
#undef WORKER_CELL
};

unsigned sup_cell_count(void)
{
    return MASTER_CELLS + WORKER_CELLS;
}

bool sup_cell_name(unsigned cell, struct core_cell *out)
{
    if (cell >= sup_cell_count())
        return false;
    *out = cell_names[cell];
    return true;
}

CORE_WORDS(sup_event_word, SUP_MASTER_EVENTS(CORE_WORD) SUP_WORKER_EVENTS(CORE_WORD) "timer")
CORE_WORDS(sup_effect_word, SUP_EFFECT_LIST(CORE_WORD))
CORE_WORDS(sup_mode_word, SUP_MODES(CORE_WORD))
CORE_WORDS(sup_worker_state_word, SUP_WORKER_STATES(CORE_WORD))
CORE_WORDS(sup_reason_word, SUP_REASONS(CORE_WORD))

#define REASON_TEXT(symbol, word, text) text,
CORE_WORDS(sup_reason_text, SUP_REASONS(REASON_TEXT))

#define SABOTAGE_WORD(symbol, word) #word,
CORE_WORDS(sup_sabotage_word, SUP_SABOTAGES(SABOTAGE_WORD))
