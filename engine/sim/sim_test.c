/* The whole simulated world: it repeats itself, a healthy server keeps its promises, and what
 * breaks them on purpose is seen by the guarantee that should. */
#include <stdio.h>
#include <string.h>

#include "engine/sim/world_fixture.h"

static void run_seed(uint64_t seed, const char *rules, struct sim_result *result)
{
    sim_plan_draw(&plan, seed);
    if (rules != NULL)
        sim_plan_add_rules(&plan, rules);
    sim_run(world, &plan, &no_outputs, result);
}

static void a_seed_repeats_itself(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_result first, again;
        run_seed(seed, NULL, &first);
        run_seed(seed, NULL, &again);
        assert_true(first.hash == again.hash);
        assert_true(first.events == again.events);
    }
}

/* A thread runs many seeds in one world. Seed 922 once found what 902 had left behind. */
static void a_world_keeps_nothing_of_the_seed_before(void **state)
{
    (void)state;
    struct sim_result before, used, fresh;
    run_seed(902, NULL, &before);
    run_seed(922, NULL, &used);
    struct sim *another = sim_new();
    sim_run(another, &plan, &no_outputs, &fresh);
    sim_free(another);
    assert_true(used.hash == fresh.hash);
    assert_true(used.events == fresh.events);
}

static void seeds_differ(void **state)
{
    (void)state;
    struct sim_result one, other;
    run_seed(1, NULL, &one);
    run_seed(2, NULL, &other);
    assert_true(one.hash != other.hash);
}

/* Invariants of the core, convergence and an orderly end, whatever was done to the tree. */
static void every_run_converges(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct sim_result result;
        run_seed(seed, NULL, &result);
        if (result.broken != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, result.broken);
        assert_true(result.requests > 0);
    }
}

/* What a healthy server never does, in any schedule. */
static void a_healthy_server_keeps_its_promises(void **state)
{
    static const enum guarantee never[] = {
        G_serve_continuity,  G_serve_right_answer, G_serve_at_most_once,    G_serve_one_generation,
        G_respawn_count,     G_drain_bounded,      G_drain_fast_stop,       G_drain_no_orphans,
        G_drain_clean_exit,  G_reload_cut_over,    G_reload_no_lost_signal, G_control_responsive,
        G_control_storm,     G_control_coalescing, G_limit_fd_serving,      G_limit_fd_recovers,
        G_limit_connections,
    };
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct sim_result result;
        run_seed(seed, NULL, &result);
        for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
            const struct judge_result *r = judge_result(sim_judge(world), never[i]);
            if (r->verdict == VERDICT_VIOLATED)
                fail_msg("seed %llu: %s: %s", (unsigned long long)seed, guarantee_name(never[i]),
                         r->violations[0].text);
        }
    }
}

static void sabotages_are_caught(void **state)
{
    static const struct {
        const char *rule;
        enum guarantee by;
    } all[] = {
        {"sabotage.no_respawn", G_respawn_deadline},
        {"sabotage.drain_for_ever", G_drain_bounded},
        {"sabotage.lose_reload", G_reload_no_lost_signal},
        {"sabotage.execute_twice", G_serve_at_most_once},
        {"sabotage.orphans_stay", G_drain_no_orphans},
        {"sabotage.wait_for_workers", G_control_responsive},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        bool caught = false;
        for (uint64_t seed = 1; seed <= 400 && !caught; seed++) {
            struct sim_result result;
            run_seed(seed, all[i].rule, &result);
            caught = sim_failed(world, &result, all[i].by);
        }
        if (!caught)
            fail_msg("%s was not caught by %s", all[i].rule, guarantee_name(all[i].by));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_repeats_itself),
        cmocka_unit_test(a_world_keeps_nothing_of_the_seed_before),
        cmocka_unit_test(seeds_differ),
        cmocka_unit_test(every_run_converges),
        cmocka_unit_test(a_healthy_server_keeps_its_promises),
        cmocka_unit_test(sabotages_are_caught),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
