/* Which cells of the core's tables were come to: in every state of the supervisor, of admission and
 * of a connection, each event. What is never come to is explained in sim_unreached.def. */
#ifndef ENGINE_SIM_SIM_COVERAGE_H
#define ENGINE_SIM_SIM_COVERAGE_H

#include <stdio.h>

#include "engine/core/adm.h"
#include "engine/core/conn.h"
#include "engine/core/sup.h"

enum sim_machine { SIM_SUP, SIM_ADM, SIM_CONN, SIM_MACHINES };
enum { SIM_CELLS_MAX = SUP_CELL_WORDS * 64 };

struct sim_coverage {
    uint64_t count[SIM_MACHINES][SIM_CELLS_MAX];
};

static inline void sim_coverage_sup(struct sim_coverage *c, const struct sup_effects *effects)
{
    for (unsigned i = 0; i < SUP_CELL_WORDS; i++)
        for (uint64_t bits = effects->cells[i]; bits != 0; bits &= bits - 1)
            c->count[SIM_SUP][i * 64 + (unsigned)__builtin_ctzll(bits)]++;
}

static inline void sim_coverage_cell(struct sim_coverage *c, enum sim_machine machine,
                                     unsigned cell)
{
    if (cell != CORE_NO_CELL)
        c->count[machine][cell]++;
}

void sim_coverage_add(struct sim_coverage *to, const struct sim_coverage *from);
unsigned sim_coverage_cells(enum sim_machine machine);
void sim_coverage_name(enum sim_machine machine, unsigned cell, struct core_cell *out);
const char *sim_coverage_machine(enum sim_machine machine);
/* Why a cell is never come to; NULL: nobody says so. */
const char *sim_coverage_reason(enum sim_machine machine, const struct core_cell *cell);
/* A row for each machine; `missing`: every cell that was not come to, with the reason. False: one
 * of them has none. */
bool sim_coverage_print(const struct sim_coverage *c, bool missing, FILE *out);

#endif
