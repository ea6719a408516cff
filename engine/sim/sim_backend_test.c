/* Backends of proxied requests: whose answers clients get, what they get when there is none, and
 * that nobody else notices. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/sim/sim.h"
#include "engine/sim/sim_schedule.h"
#include "engine/sim/world_fixture.h"

static int read_plan(const char *text, char *complaint)
{
    char path[] = "/tmp/sim-backend-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    int err = sim_schedule_read(&plan, path, complaint);
    unlink(path);
    return err;
}

#define WORLD                                                                                      \
    "mw-sim schedule\nseed 5\nworkers 2\nend graceful\ndrain 2s\nbaseline 500ms\nact 4s\n"         \
    "converge 4s\nproxy-timeout 500ms\nfail-timeout 1s\nload own fresh rate=40\n"
#define CLIENTS WORLD "load proxied fresh rate=40 proxied\n"

/* Own clients are always served, and what clients see is explained. */
static void run_world(const char *first, const char *rest)
{
    char text[1024], complaint[SIM_COMPLAINT_MAX];
    struct sim_result result;
    snprintf(text, sizeof(text), "%s%s", first, rest);
    if (read_plan(text, complaint) < 0)
        fail_msg("%s", complaint);
    sim_run(world, &plan, &no_outputs, &result);
    if (result.broken != NULL)
        fail_msg("%s", result.broken);
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        if (judge_result(sim_judge(world), (enum guarantee)g)->verdict == VERDICT_VIOLATED)
            fail_msg("%s: %s", guarantee_name((enum guarantee)g),
                     judge_result(sim_judge(world), (enum guarantee)g)->violations[0].text);
    const struct sim_load_state *own = &world->clients.loads[0];
    assert_true(own->ended[HIST_OK] > 100);
    /* Who comes after the stop is refused. */
    assert_int_equal(own->ended[HIST_OK],
                     own->requests - own->ended[HIST_ABANDONED] - own->ended[HIST_REFUSED]);
}

static void run(const char *rest)
{
    run_world(CLIENTS, rest);
}

static uint64_t ended(enum hist_outcome outcome)
{
    return world->clients.loads[1].ended[outcome];
}

static void who_is_well_answers_all(void **state)
{
    (void)state;
    run("backends 3\n");
    assert_true(ended(HIST_OK) > 100);
    assert_int_equal(ended(HIST_SERVER_ERROR), 0);
}

/* Passive health: another one is asked, and clients do not notice. */
static void another_answers_for_one_in_trouble(void **state)
{
    static const char *const moods[] = {"refuse", "reset", "stall", "dead"};
    (void)state;
    for (size_t i = 0; i < sizeof(moods) / sizeof(moods[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "backends 2\nat 500ms backend 1 %s\nat 3s backend 1 well\n",
                 moods[i]);
        run(text);
        assert_true(ended(HIST_OK) > 100);
        assert_int_equal(ended(HIST_SERVER_ERROR), 0);
    }
}

static void clients_are_told_when_nobody_answers(void **state)
{
    static const struct {
        const char *mood;
        unsigned least;
    } all[] = {{"refuse", 40}, {"reset", 40}, {"stall", 20}, {"dead", 40}};
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "backends 2\nat 500ms backend 0 %s\nat 500ms backend 1 %s\n"
                 "at 3s backend 0 well\nat 3s backend 1 well\n",
                 all[i].mood, all[i].mood);
        run(text);
        assert_true(ended(HIST_SERVER_ERROR) >= all[i].least);
        assert_true(ended(HIST_OK) > 40); /* before, and again afterwards */
    }
}

/* Slow is not failed: an answer that takes three seconds comes. */
static void a_trickling_answer_comes(void **state)
{
    (void)state;
    run("backends 1\nat 500ms backend 0 trickle\nat 2s backend 0 well\n");
    assert_int_equal(ended(HIST_SERVER_ERROR), 0);
    assert_true(ended(HIST_OK) > 100);
}

/* An answer that breaks off in the middle ends the client's connection with it. */
static void a_broken_answer_is_no_answer(void **state)
{
    (void)state;
    run("backends 1\nat 500ms backend 0 trickle\nat 2800ms backend 0 dead\n"
        "at 3s backend 0 well\n");
    assert_true(ended(HIST_TRUNCATED) + ended(HIST_RESET_MID) > 0);
}

/* Nobody is asked any more for clients that have lost their patience. */
static void who_has_left_is_forgotten(void **state)
{
    (void)state;
    run_world(WORLD, "load proxied fresh rate=20 timeout=300ms proxied\nproxy-timeout 30s\n"
                     "backends 1\nat 500ms backend 0 stall\nat 3s backend 0 well\n");
    assert_true(ended(HIST_TIMEOUT) > 30);
    for (size_t i = 0; i < KERNEL_PROCS_MAX; i++)
        assert_true(world->proxies[i].high <= 12); /* at once, of some fifty that were asked for */
}

/* What waits for a backend that never answers is given up at the drain's bound at the latest. */
static void a_drain_waits_for_backends_in_bounded_time(void **state)
{
    (void)state;
    run_world(WORLD, "load proxied fresh rate=5 proxied\nproxy-timeout 30s\nbackends 1\n"
                     "at 500ms backend 0 stall\nat 1s reload 2 1\nat 3900ms backend 0 well\n");
    assert_true(judge_result(sim_judge(world), G_drain_bounded)->verdict == VERDICT_HOLDS);
}

/* A connection to a backend is a descriptor of its worker's. */
static void without_descriptors_nobody_is_asked(void **state)
{
    char complaint[SIM_COMPLAINT_MAX];
    struct sim_result result;
    (void)state;
    if (read_plan(CLIENTS "backends 1\nalways net.socket errno=EMFILE\n", complaint) < 0)
        fail_msg("%s", complaint);
    sim_run(world, &plan, &no_outputs, &result);
    assert_null(result.broken);
    assert_true(ended(HIST_SERVER_ERROR) > 100);
    assert_true(ended(HIST_OK) > 40); /* the rule ends with the acts */
    assert_true(world->clients.loads[0].ended[HIST_OK] > 100);
    assert_int_equal(world->clients.loads[0].ended[HIST_SERVER_ERROR], 0);
}

/* The trouble of backends is no excuse for what a server does to others, nor for the same when they
 * are well. */
static void sabotage_is_caught_beside_backends(void **state)
{
    bool caught = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 400 && !caught; seed++) {
        struct sim_result result;
        sim_plan_draw(&plan, seed);
        sim_plan_draw_backends(&plan);
        sim_plan_add_rules(&plan, "sabotage.drop_inflight");
        sim_run(world, &plan, &no_outputs, &result);
        caught = sim_failed(world, &result, G_drain_completes);
    }
    assert_true(caught);
}

static void drawn_worlds_keep_their_promises(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct sim_result result;
        sim_plan_draw(&plan, seed);
        sim_plan_draw_backends(&plan);
        sim_run(world, &plan, &no_outputs, &result);
        if (sim_failed(world, &result, GUARANTEE_COUNT))
            fail_msg("see: mw-sim replay %llu --backends", (unsigned long long)seed);
    }
}

/* What was drawn before is as it was. */
static void backends_are_drawn_apart(void **state)
{
    static struct sim_plan with;
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        sim_plan_draw(&plan, seed);
        sim_plan_draw(&with, seed);
        assert_int_equal(plan.backends, 0);
        sim_plan_draw_backends(&with);
        assert_true(with.act_count >= plan.act_count);
        assert_memory_equal(plan.acts, with.acts, plan.act_count * sizeof(plan.acts[0]));
        assert_int_equal(with.backends > 0,
                         plan.theme == SIM_THEME_GENERAL || plan.theme == SIM_THEME_CONNECTIONS);
    }
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *says;
    } all[] = {
        {"load x fresh rate=1 proxied\n", "a number of backends for the proxied load"},
        {"backends 9\n", "at most 8 backends"},
        {"backends 1\nat 1s backend 0 angry\n", "'angry'"},
        {"at 1s backend 0 reset\n", "a number of backends"},
        {"proxy-timeout 0\n", "a proxy-timeout above 0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char text[256], complaint[SIM_COMPLAINT_MAX];
        snprintf(text, sizeof(text), "mw-sim schedule\n%s", all[i].text);
        assert_int_equal(read_plan(text, complaint), -1);
        if (strstr(complaint, all[i].says) == NULL)
            fail_msg("%s", complaint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_well_answers_all),
        cmocka_unit_test(another_answers_for_one_in_trouble),
        cmocka_unit_test(clients_are_told_when_nobody_answers),
        cmocka_unit_test(a_trickling_answer_comes),
        cmocka_unit_test(a_broken_answer_is_no_answer),
        cmocka_unit_test(who_has_left_is_forgotten),
        cmocka_unit_test(a_drain_waits_for_backends_in_bounded_time),
        cmocka_unit_test(without_descriptors_nobody_is_asked),
        cmocka_unit_test(sabotage_is_caught_beside_backends),
        cmocka_unit_test(drawn_worlds_keep_their_promises),
        cmocka_unit_test(backends_are_drawn_apart),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
