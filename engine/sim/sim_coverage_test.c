/* Every cell of the core's tables is come to by a swarm or by the exhaustive search, or says why
 * not; and no reason stands for nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/sim/sim_exhaustive.h"
#include "engine/sim/sim_run.h"

enum { SEEDS = 700 };

static struct sim_coverage coverage;

static void come_to_cells(void)
{
    static struct sim_plan plan;
    const struct sim_outputs outputs = {.coverage = &coverage};
    struct sim_search search = {
        .workers = 2, .signals = 1, .faults = 1, .states_max = 400000, .coverage = &coverage};
    struct sim_search alone = {
        .workers = 1, .signals = 2, .faults = 2, .states_max = 400000, .coverage = &coverage};
    struct sim *s = sim_new();
    struct sim_result result;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sim_plan_draw(&plan, seed);
        sim_run(s, &plan, &outputs, &result);
    }
    sim_free(s);
    sim_search(&search);
    sim_search(&alone);
}

static void every_cell_is_come_to_or_explained(void **state)
{
    unsigned unexplained = 0;
    (void)state;
    for (unsigned m = 0; m < SIM_MACHINES; m++)
        for (unsigned i = 0; i < sim_coverage_cells(m); i++) {
            struct core_cell cell;
            sim_coverage_name(m, i, &cell);
            if (coverage.count[m][i] > 0 || sim_coverage_reason(m, &cell) != NULL)
                continue;
            print_message("%s: %s x %s (%s) is not reached: come to it, or say why not in "
                          "engine/sim/sim_unreached.def\n",
                          sim_coverage_machine(m), cell.row, cell.input, cell.action);
            unexplained++;
        }
    assert_int_equal(unexplained, 0);
}

static void what_is_impossible_does_not_happen(void **state)
{
    (void)state;
    for (unsigned m = 0; m < SIM_MACHINES; m++)
        for (unsigned i = 0; i < sim_coverage_cells(m); i++) {
            struct core_cell cell;
            sim_coverage_name(m, i, &cell);
            if (strcmp(cell.action, "impossible") == 0)
                assert_true(coverage.count[m][i] == 0);
        }
}

/* A reason is needed by at least one cell, unless it says that the cell is rare. */
static void every_reason_is_needed(void **state)
{
    static const struct {
        enum sim_machine machine;
        const char *row, *input, *reason;
    } rows[] = {
#define UNREACHED(machine, row, input, reason) {SIM_##machine, row, input, reason},
#include "engine/sim/sim_unreached.def"
#undef UNREACHED
    };
    unsigned idle = 0;
    (void)state;
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        bool needed = strncmp(rows[r].reason, "rare:", 5) == 0;
        for (unsigned i = 0; i < sim_coverage_cells(rows[r].machine); i++) {
            struct core_cell cell;
            sim_coverage_name(rows[r].machine, i, &cell);
            const char *reason = sim_coverage_reason(rows[r].machine, &cell);
            needed |= coverage.count[rows[r].machine][i] == 0 && reason != NULL &&
                      strcmp(reason, rows[r].reason) == 0;
        }
        if (!needed)
            print_message("nothing needs the reason of %s x %s any more\n", rows[r].row,
                          rows[r].input);
        idle += !needed;
    }
    assert_int_equal(idle, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_is_come_to_or_explained),
        cmocka_unit_test(what_is_impossible_does_not_happen),
        cmocka_unit_test(every_reason_is_needed),
    };
    come_to_cells();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
