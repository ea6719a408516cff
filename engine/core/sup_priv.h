/* What the files of the supervisor share: one step's context, and the inputs of its tables. */
#ifndef ENGINE_CORE_SUP_PRIV_H
#define ENGINE_CORE_SUP_PRIV_H

#include "engine/core/check.h"
#include "engine/core/sup.h"

#define SUP_NEVER UINT64_MAX
#define NS_PER_MS_CORE UINT64_C(1000000)
#define NS_PER_S_CORE UINT64_C(1000000000)

enum sup_master_input {
#define E(symbol, word, meaning) SUP_IN_##symbol,
    SUP_MASTER_EVENTS(E)
#undef E
        SUP_IN_GATHERED,
    SUP_IN_SPOILED,
    SUP_IN_RETIRED,
    SUP_IN_EMPTY,
    SUP_IN_OVERDUE,
    SUP_MASTER_INPUT_COUNT
};

enum sup_worker_input {
#define E(symbol, word, meaning) SUP_WIN_##symbol,
    SUP_WORKER_EVENTS(E)
#undef E
        SUP_WIN_LEAVE,
    SUP_WIN_HALT,
    SUP_WIN_DUE,
    SUP_WORKER_INPUT_COUNT
};

/* One sup_step() while it runs. Cells of workers raise inputs of the master's table here; they are
 * handled when the cell has returned, so that no cell changes the list another one walks. */
struct step {
    struct sup *sup;
    uint64_t now_ns;
    const struct sup_event *event;
    struct sup_effects *effects;
    uint32_t raised; /* set of 1 << enum sup_master_input */
    struct {
        int16_t slot;
        enum sup_reason reason;
        uint64_t status;
    } spoiler; /* who raised SPOILED */
};

typedef void mode_cell(struct step *s);
typedef void worker_cell(struct step *s, struct sup_worker *w);
extern mode_cell *const sup_mode_table[SUP_MODE_COUNT][SUP_MASTER_INPUT_COUNT];
extern worker_cell *const sup_worker_table[SUP_WORKER_STATE_COUNT][SUP_WORKER_INPUT_COUNT];

/* Every action of the tables is declared here, from the tables themselves. */
#define MASTER_CELL(mode, input, action) mode_cell sup_mode_##action;
#define WORKER_CELL(state, input, action) worker_cell sup_worker_##action;
#include "engine/core/sup_cells.def"
#undef MASTER_CELL
#undef WORKER_CELL

/* The tables' cells have numbers: the modes' first. */
static inline void sup_come_to(struct step *s, unsigned cell)
{
    s->effects->cells[cell / 64] |= UINT64_C(1) << cell % 64;
}

/* sup.c */
static inline void sup_raise(struct step *s, enum sup_master_input input)
{
    s->raised |= UINT32_C(1) << input;
}
static inline bool sup_sabotaged(struct step *s, uint64_t bits)
{
    if ((s->event->sabotage & bits) == 0)
        return false;
    s->sup->sabotaged = true;
    return true;
}
struct sup_effect *sup_do(struct step *s, enum sup_effect_kind kind);
struct sup_effect *sup_do_worker(struct step *s, enum sup_effect_kind kind,
                                 const struct sup_worker *w, uint64_t a);
void sup_note(struct step *s, enum sup_reason reason);
void sup_set_mode(struct step *s, enum sup_mode mode, uint64_t deadline_ns);
void sup_set_base_mode(struct step *s); /* resting, booting or running: nothing is under way */
static inline uint64_t sup_after(uint64_t now_ns, uint64_t ns)
{
    return ns < SUP_NEVER - now_ns ? now_ns + ns : SUP_NEVER;
}

/* sup_reload.c: the current generation serves */
void sup_report_done(struct step *s);
/* A reload would make one generation too many: it waits until the oldest is gone. */
bool sup_reload_crowded(const struct sup *sup);

/* sup_worker.c */
void sup_worker_input(struct step *s, struct sup_worker *w, enum sup_worker_input input);
/* The same input for every worker of a generation (0: of all, unless it is `but`). */
void sup_workers_input(struct step *s, enum sup_worker_input input, uint32_t generation,
                       uint32_t but);
/* Starts the workers that the current and the tried generation lack. */
void sup_workers_fill(struct step *s);
void sup_workers_add(struct step *s, uint32_t generation);
/* Are all members of a generation in this state? */
bool sup_workers_all(const struct sup *sup, enum sup_worker_state state, uint32_t generation,
                     uint32_t wanted);
static inline bool sup_worker_is_member(const struct sup_worker *w, uint32_t generation)
{
    return w->generation == generation && !w->leaving;
}

/* sup_backoff.c */
/* The delay before the successor of a worker that crashed; counts the crash. */
uint64_t sup_backoff_crash_ns(struct step *s, struct sup_worker *w);
uint64_t sup_backoff_fork_ns(struct step *s, struct sup_worker *w);

#endif
