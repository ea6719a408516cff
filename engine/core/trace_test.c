/* A trace line read back is the step that was written, and a replayed trace decides the same. */
#include "engine/core/trace.h"

#include <string.h>

#include "engine/core/sup_rig.h"

static char line[TRACE_LINE_MAX];
static struct trace_line parsed;

static void same_settings(const struct sup_settings *a, const struct sup_settings *b)
{
    assert_int_equal(a->workers, b->workers);
    assert_true(a->drain_ns == b->drain_ns && a->watchdog_ns == b->watchdog_ns);
    assert_true(a->backoff_min_ns == b->backoff_min_ns && a->backoff_max_ns == b->backoff_max_ns);
    assert_true(a->reload_timeout_ns == b->reload_timeout_ns);
}

static void a_start_comes_back(void **state)
{
    struct sup_options options = sup_options_default(&rig_settings, UINT64_MAX);
    (void)state;
    options.has_old_master = true;
    size_t len = trace_print_start(line, sizeof(line), &options);
    assert_int_equal(len, strlen(line));
    assert_int_equal(trace_parse(line, &parsed), TRACE_START);
    assert_true(parsed.options.seed == UINT64_MAX && parsed.options.has_old_master);
    assert_true(parsed.options.grace_ns == options.grace_ns);
    assert_true(parsed.options.tree_period_ns == options.tree_period_ns);
    same_settings(&parsed.options.settings, &rig_settings);
}

static void every_event_comes_back(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < SUP_EVENT_COUNT; kind++) {
        struct sup_event event = {.kind = (enum sup_event_kind)kind, .a = kind * 3};
        struct sup_effects none = {.count = 0};
        if (kind >= SUP_SPAWNED && kind < SUP_TIMER) {
            event.slot = 127;
            event.generation = UINT32_MAX;
        }
        if (kind == SUP_CONF_OK)
            event.settings = rig_settings;
        event.sabotage = UINT64_C(1) << kind % SUP_SABOTAGE_COUNT | 1;
        assert_true(trace_print_step(line, sizeof(line), kind + 1, &event, &none) > 0);
        assert_int_equal(trace_parse(line, &parsed), TRACE_STEP);
        assert_int_equal(parsed.now_ns, kind + 1);
        assert_int_equal(parsed.event.kind, kind);
        assert_int_equal(parsed.event.slot, event.slot);
        assert_int_equal(parsed.event.generation, event.generation);
        assert_true(parsed.event.a == event.a && parsed.event.sabotage == event.sabotage);
        same_settings(&parsed.event.settings, &event.settings);
    }
}

static void the_longest_step_comes_back(void **state)
{
    static struct sup_effects full;
    struct sup_event event = {.kind = SUP_TIMER};
    (void)state;
    full.count = SUP_EFFECTS_MAX;
    for (uint32_t i = 0; i < full.count; i++)
        full.at[i] = (struct sup_effect){.kind = (uint8_t)(i % SUP_EFFECT_COUNT),
                                         .reason = (uint8_t)(i % SUP_REASON_COUNT),
                                         .slot = (int16_t)(i % 3 ? 255 : -1),
                                         .generation = UINT32_MAX,
                                         .a = UINT64_MAX,
                                         .b = UINT64_MAX - i};
    assert_true(trace_print_step(line, sizeof(line), UINT64_MAX, &event, &full) > 0);
    assert_int_equal(trace_parse(line, &parsed), TRACE_STEP);
    assert_true(trace_same_effects(&parsed.effects, &full));
    parsed.effects.at[500].b++;
    assert_false(trace_same_effects(&parsed.effects, &full));
    assert_int_equal(trace_print_step(line, 100, 0, &event, &full), 0);
}

static void lines_that_are_not_ours_are_refused(void **state)
{
    static const char *const bad[] = {
        "x",
        "12",
        "12 nothing",
        "12 exited",
        "12 exited 0",
        "12 exited 70000.1",
        "12 timer a=",
        "12 timer a=1 b=2",
        "12 timer ->",
        "12 timer -> dance",
        "12 timer -> spawn 0.1;",
        "12 timer -> note because=rain",
        "12 timer sabotage=",
        "12 timer sabotage=no_respawn,",
        "12 conf_ok workers=99999999999",
        "12 timertimer",
        "start speed=9",
        "12 timer\n13 timer",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (trace_parse(bad[i], &parsed) != TRACE_BAD)
            fail_msg("understood: %s", bad[i]);
    assert_int_equal(trace_parse("# a comment", &parsed), TRACE_COMMENT);
    assert_int_equal(trace_parse("\n", &parsed), TRACE_COMMENT);
    assert_int_equal(trace_parse("12 timer", &parsed), TRACE_STEP);
}

/* One supervisor runs and writes; a second one is given what was read back. */
static void a_replay_decides_the_same(void **state)
{
    static const struct sup_event story[] = {
        {.kind = SUP_BOOT},
        {.kind = SUP_SPAWNED, .slot = 0, .generation = 1},
        {.kind = SUP_SPAWN_FAILED, .slot = 1, .generation = 1, .a = 11},
        {.kind = SUP_TIMER},
        {.kind = SUP_SPAWNED, .slot = 1, .generation = 1},
        {.kind = SUP_EXITED, .slot = 0, .generation = 1, .a = 256},
        {.kind = SUP_RELOAD, .sabotage = SUP_SABOTAGE(REPORT_EARLY)},
        {.kind = SUP_CONF_OK, .settings = {.workers = 3, .reload_timeout_ns = SECOND}},
        {.kind = SUP_SPAWNED, .slot = 2, .generation = 2},
        {.kind = SUP_EXITED, .slot = 2, .generation = 2, .a = 9},
        {.kind = SUP_QUIT},
    };
    struct sup_options options = sup_options_default(&rig_settings, 42);
    static struct sup written, replayed;
    static struct sup_effects effects, again;
    (void)state;

    sup_init(&written, &options);
    assert_true(trace_print_start(line, sizeof(line), &options) > 0);
    assert_int_equal(trace_parse(line, &parsed), TRACE_START);
    sup_init(&replayed, &parsed.options);
    for (size_t i = 0; i < sizeof(story) / sizeof(story[0]); i++) {
        sup_step(&written, i * SECOND, &story[i], &effects);
        assert_true(trace_print_step(line, sizeof(line), i * SECOND, &story[i], &effects) > 0);
        assert_int_equal(trace_parse(line, &parsed), TRACE_STEP);
        sup_step(&replayed, parsed.now_ns, &parsed.event, &again);
        assert_true(trace_same_effects(&parsed.effects, &again));
    }
    assert_int_equal(replayed.mode, SUP_MODE_QUITTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_comes_back),
        cmocka_unit_test(every_event_comes_back),
        cmocka_unit_test(the_longest_step_comes_back),
        cmocka_unit_test(lines_that_are_not_ours_are_refused),
        cmocka_unit_test(a_replay_decides_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
