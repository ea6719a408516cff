/* The two tables, and the words for everything the supervisor has a list of. */
#include "engine/core/sup_priv.h"

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

#define WORD(words, index) ((index) < sizeof(words) / sizeof((words)[0]) ? (words)[index] : "?")

const char *sup_event_word(unsigned kind)
{
#define E(symbol, word, meaning) word,
    static const char *const words[] = {SUP_MASTER_EVENTS(E) SUP_WORKER_EVENTS(E) "timer"};
#undef E
    return WORD(words, kind);
}

const char *sup_effect_word(unsigned kind)
{
#define F(symbol, word, meaning) word,
    static const char *const words[] = {SUP_EFFECT_LIST(F)};
#undef F
    return WORD(words, kind);
}

const char *sup_mode_word(unsigned mode)
{
#define M(symbol, word, meaning) word,
    static const char *const words[] = {SUP_MODES(M)};
#undef M
    return WORD(words, mode);
}

const char *sup_worker_state_word(unsigned state)
{
#define S(symbol, word, meaning) word,
    static const char *const words[] = {SUP_WORKER_STATES(S)};
#undef S
    return WORD(words, state);
}

const char *sup_reason_word(unsigned reason)
{
#define R(symbol, word, text) word,
    static const char *const words[] = {SUP_REASONS(R)};
#undef R
    return WORD(words, reason);
}

const char *sup_reason_text(unsigned reason)
{
#define R(symbol, word, text) text,
    static const char *const words[] = {SUP_REASONS(R)};
#undef R
    return WORD(words, reason);
}

const char *sup_sabotage_word(unsigned bit)
{
#define S(symbol, word) #word,
    static const char *const words[] = {SUP_SABOTAGES(S)};
#undef S
    return WORD(words, bit);
}
