/* Counts cells, and says why some are never come to. */
#include "engine/sim/sim_coverage.h"

#include <string.h>

static const struct {
    enum sim_machine machine;
    const char *row, *input, *reason; /* "*": any */
} unreached[] = {
#define UNREACHED(machine, row, input, reason) {SIM_##machine, row, input, reason},
#include "engine/sim/sim_unreached.def"
#undef UNREACHED
};

const char *sim_coverage_machine(enum sim_machine machine)
{
    static const char *const words[] = {"supervisor", "admission", "connection"};
    return words[machine];
}

void sim_coverage_add(struct sim_coverage *to, const struct sim_coverage *from)
{
    for (unsigned m = 0; m < SIM_MACHINES; m++)
        for (unsigned i = 0; i < SIM_CELLS_MAX; i++)
            to->count[m][i] += from->count[m][i];
}

unsigned sim_coverage_cells(enum sim_machine machine)
{
    return machine == SIM_SUP   ? sup_cell_count()
           : machine == SIM_ADM ? adm_cell_count()
                                : conn_cell_count();
}

void sim_coverage_name(enum sim_machine machine, unsigned cell, struct core_cell *out)
{
    bool known = machine == SIM_SUP   ? sup_cell_name(cell, out)
                 : machine == SIM_ADM ? adm_cell_name(cell, out)
                                      : conn_cell_name(cell, out);
    if (!known)
        *out = (struct core_cell){.row = "?", .input = "?", .action = "?"};
}

static bool matches(const char *pattern, const char *word)
{
    return strcmp(pattern, "*") == 0 || strcmp(pattern, word) == 0;
}

const char *sim_coverage_reason(enum sim_machine machine, const struct core_cell *cell)
{
    if (strcmp(cell->action, "impossible") == 0)
        return "only a mistake of ours can lead there: it aborts";
    for (size_t i = 0; i < sizeof(unreached) / sizeof(unreached[0]); i++)
        if (unreached[i].machine == machine && matches(unreached[i].row, cell->row) &&
            matches(unreached[i].input, cell->input))
            return unreached[i].reason;
    return NULL;
}

static void print_missing(const struct sim_coverage *c, enum sim_machine machine, FILE *out)
{
    for (unsigned i = 0; i < sim_coverage_cells(machine); i++) {
        struct core_cell cell;
        sim_coverage_name(machine, i, &cell);
        if (c->count[machine][i] > 0 || strcmp(cell.action, "impossible") == 0)
            continue;
        const char *reason = sim_coverage_reason(machine, &cell);
        fprintf(out, "  not reached: %s x %s (%s): %s\n", cell.row, cell.input, cell.action,
                reason != NULL ? reason : "NOT EXPLAINED");
    }
}

bool sim_coverage_print(const struct sim_coverage *c, bool missing, FILE *out)
{
    bool all_explained = true;
    for (unsigned m = 0; m < SIM_MACHINES; m++) {
        unsigned reached = 0, impossible = 0, explained = 0, count = sim_coverage_cells(m);
        for (unsigned i = 0; i < count; i++) {
            struct core_cell cell;
            sim_coverage_name(m, i, &cell);
            bool never = strcmp(cell.action, "impossible") == 0;
            reached += c->count[m][i] > 0;
            impossible += never;
            explained += !never && c->count[m][i] == 0 && sim_coverage_reason(m, &cell) != NULL;
        }
        unsigned rest = count - reached - impossible - explained;
        fprintf(out, "%-10s %3u cells: %3u reached, %3u impossible, %2u explained, %u not\n",
                sim_coverage_machine(m), count, reached, impossible, explained, rest);
        if (missing)
            print_missing(c, m, out);
        all_explained = all_explained && rest == 0;
    }
    return all_explained;
}
