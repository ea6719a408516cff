/* Shrinking, searching and replaying: what they are asked of the same world. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/core/sup.h"
#include "engine/sim/sim_exhaustive.h"
#include "engine/sim/sim_proof.h"
#include "engine/sim/sim_shrink.h"
#include "engine/sim/sim_trace.h"

/* The first seed from which the sabotage breaks the guarantee. */
static uint64_t find_seed(struct sim *s, struct sim_plan *plan, const char *rule, enum guarantee g)
{
    static const struct sim_outputs nothing = {.history_path = NULL};
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct sim_result result;
        sim_plan_draw(plan, seed);
        sim_plan_add_rules(plan, rule);
        sim_run(s, plan, &nothing, &result);
        if (sim_failed(s, &result, g))
            return seed;
    }
    fail_msg("no seed shows %s", rule);
    return 0;
}

static void a_failure_shrinks_to_few_acts(void **state)
{
    static const struct {
        const char *rule;
        enum guarantee by;
    } all[] = {
        {"sabotage.no_respawn", G_respawn_deadline},
        {"sabotage.lose_reload", G_reload_no_lost_signal},
        {"sabotage.drop_inflight", G_drain_completes},
    };
    static struct sim_plan plan;
    struct sim *s = sim_new();
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct sim_shrunk shrunk;
        find_seed(s, &plan, all[i].rule, all[i].by);
        assert_true(sim_shrink(s, &plan, all[i].by, &shrunk));
        assert_int_equal(shrunk.guarantee, all[i].by);
        assert_true(shrunk.acts_after <= shrunk.acts_before);
        assert_true(shrunk.acts_after <= 4);
    }
    sim_free(s);
}

static void what_does_not_fail_cannot_be_shrunk(void **state)
{
    static struct sim_plan plan;
    struct sim_shrunk shrunk;
    struct sim *s = sim_new();
    (void)state;
    sim_plan_draw(&plan, 1);
    assert_false(sim_shrink(s, &plan, G_drain_clean_exit, &shrunk));
    sim_free(s);
}

static void every_sabotage_is_caught(void **state)
{
    struct sim *s = sim_new();
    unsigned count = 0;
    (void)state;
    for (enum fault_point p = FAULT_POINT_COUNT; (p = sim_proof_next(p)) != FAULT_POINT_COUNT;) {
        struct sim_proof proof;
        if (!sim_prove(s, p, 1, 1000, &proof))
            fail_msg("%s is caught by none of the guarantees that it names", fault_point_name(p));
        assert_true(proof.shrunk.acts_after <= 12);
        count++;
    }
    assert_true(count > 25);
    sim_free(s);
}

static void every_interleaving_keeps_the_invariants(void **state)
{
    static struct sim_coverage coverage;
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        struct sim_search search = {.workers = workers,
                                    .signals = 1,
                                    .faults = workers == 3 ? 0 : 1,
                                    .states_max = 400000,
                                    .coverage = &coverage};
        sim_search(&search);
        if (search.broken != NULL)
            fail_msg("%s", search.broken);
        assert_true(search.complete);
        assert_true(search.at_rest > 0);
        assert_true(search.states > 1000);
    }
}

static void a_search_finds_what_was_broken_on_purpose(void **state)
{
    static struct sim_coverage coverage;
    struct sim_search search = {.workers = 2,
                                .signals = 0,
                                .faults = 1,
                                .states_max = 100000,
                                .sabotage = SUP_SABOTAGE(NO_RESPAWN),
                                .coverage = &coverage};
    (void)state;
    sim_search(&search);
    assert_non_null(search.broken);
    bool told = false;
    for (size_t i = 0; i < search.path_count; i++)
        told |= strstr(search.path[i], "exited") != NULL;
    assert_true(told);
}

/* A trace that was written by a run, as a file that the caller removes. */
static void write_trace(char *path)
{
    static struct sim_plan plan;
    struct sim_result result;
    struct sim *s = sim_new();
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct sim_outputs outputs = {.trace = fdopen(fd, "w")};
    assert_non_null(outputs.trace);
    sim_plan_draw(&plan, 7);
    sim_run(s, &plan, &outputs, &result);
    fclose(outputs.trace);
    sim_free(s);
}

static void a_trace_replays(void **state)
{
    char path[] = "/tmp/sim-trace-XXXXXX";
    struct sim_trace_result result;
    (void)state;
    write_trace(path);
    bool same = sim_trace_replay(path, &result);
    unlink(path);
    if (!same)
        fail_msg("line %llu: %s", (unsigned long long)result.line, result.what);
    assert_true(result.steps > 20);
}

/* What real masters decided (`make traces` records them anew): reloads, crashes, an upgrade, a
 * storm. */
static void traces_of_real_masters_replay(void **state)
{
    DIR *folder = opendir("scenarios/traces");
    unsigned count = 0;
    (void)state;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct sim_trace_result result;
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "scenarios/traces/%s", entry->d_name);
        if (!sim_trace_replay(path, &result))
            fail_msg("%s:%llu: %s", path, (unsigned long long)result.line, result.what);
        assert_true(result.steps > 20);
        count++;
    }
    closedir(folder);
    assert_true(count >= 10);
}

static void a_trace_of_other_decisions_is_told(void **state)
{
    char path[] = "/tmp/sim-trace-XXXXXX";
    struct sim_trace_result result;
    (void)state;
    write_trace(path);
    FILE *trace = fopen(path, "a");
    assert_non_null(trace);
    fputs("999000000000 reload -> exit a=1\n", trace);
    fclose(trace);
    bool same = sim_trace_replay(path, &result);
    unlink(path);
    assert_false(same);
    assert_true(result.line > 0);
    assert_non_null(strstr(result.what, "otherwise"));
    assert_false(sim_trace_replay("/nowhere/at/all", &result));
    assert_int_equal(result.line, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_shrinks_to_few_acts),
        cmocka_unit_test(what_does_not_fail_cannot_be_shrunk),
        cmocka_unit_test(every_sabotage_is_caught),
        cmocka_unit_test(every_interleaving_keeps_the_invariants),
        cmocka_unit_test(a_search_finds_what_was_broken_on_purpose),
        cmocka_unit_test(a_trace_replays),
        cmocka_unit_test(traces_of_real_masters_replay),
        cmocka_unit_test(a_trace_of_other_decisions_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
