/* The supervisor's everyday: starting, crashing, backing off, resizing, resting, stopping. */
#include "engine/core/sup_rig.h"

static void starts_and_announces_once(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, &rig_settings);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 2);
    rig_mode(&r, SUP_MODE_BOOTING);
    rig_worker(&r, SUP_SPAWNED, 0, 1, 0);
    rig_ready(&r, 0, 1);
    assert_int_equal(rig_count(&r, SUP_DO_READY), 0);
    rig_worker(&r, SUP_SPAWNED, 1, 1, 0);
    rig_ready(&r, 1, 1);
    assert_int_equal(rig_effect(&r, SUP_DO_READY)->a, 2);
    rig_mode(&r, SUP_MODE_RUNNING);
    rig_worker(&r, SUP_EXITED, 0, 1, 9);
    rig_worker(&r, SUP_SPAWNED, 0, 1, 0);
    rig_ready(&r, 0, 1);
    assert_int_equal(r.effects.count, 0);
}

static void respawns_a_first_crash_at_once(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_worker(&r, SUP_EXITED, 1, 1, 9);
    rig_expect_worker(&r, SUP_DO_SPAWN, 1, 1);
    assert_int_equal(rig_effect(&r, SUP_DO_RESPAWN)->a, 0);
}

static void all_workers_killed_at_once_come_back_at_once(void **state)
{
    struct sup_settings many = rig_settings;
    struct rig r;
    (void)state;
    many.workers = 64;
    rig_init(&r, &many);
    rig_start(&r, 1, 64);
    r.now_ns += 2 * SECOND;
    for (int slot = 0; slot < 64; slot++) {
        rig_worker(&r, SUP_EXITED, slot, 1, 9);
        rig_expect_worker(&r, SUP_DO_SPAWN, slot, 1);
    }
}

/* Worker 0 exits as soon as it is started, for `span_ns`. Returns how often it was started. */
static unsigned crash_loop(struct rig *r, uint64_t span_ns, uint64_t sabotage)
{
    uint64_t end_ns = r->now_ns + span_ns;
    unsigned spawns = 0;

    while (r->now_ns < end_ns && spawns < 100000) {
        struct sup_event exited = {
            .kind = SUP_EXITED, .slot = 0, .generation = 1, .a = 256, .sabotage = sabotage};
        rig_give(r, &exited);
        while (rig_count(r, SUP_DO_SPAWN) == 0)
            rig_wait(r);
        spawns++;
        r->now_ns += MS;
        rig_worker(r, SUP_SPAWNED, 0, 1, 0);
        r->now_ns += MS;
    }
    return spawns;
}

static void slows_down_a_crash_loop_and_never_gives_up(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    unsigned first = crash_loop(&r, 10 * SECOND, 0);
    assert_in_range(first, 5, 20);
    unsigned later = crash_loop(&r, 1000 * SECOND, 0);
    assert_in_range(later, 95, 140); /* every 7.5 to 10 s */
    rig_ready(&r, 0, 1);
    r.now_ns += 2 * SECOND;
    rig_worker(&r, SUP_EXITED, 0, 1, 9); /* it has been stable: all is forgotten */
    rig_expect_worker(&r, SUP_DO_SPAWN, 0, 1);
}

static void no_backoff_is_noticed_by_the_same_measure(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    assert_true(crash_loop(&r, 10 * SECOND, SUP_SABOTAGE(NO_BACKOFF)) > 1000);
}

static void the_tree_has_a_rate_of_its_own(void **state)
{
    struct sup_settings many = rig_settings;
    struct rig r;
    unsigned spawns = 0;
    (void)state;
    many.workers = 32;
    rig_init(&r, &many);
    rig_start(&r, 1, 32);
    uint64_t end_ns = r.now_ns + 60 * SECOND;
    /* All of them live just long enough that no slot has to wait for its own sake. */
    while (r.now_ns < end_ns) {
        r.now_ns += 1100 * MS;
        for (int slot = 0; slot < 32; slot++) {
            const struct sup_worker *w = sup_find(&r.sup, slot, 1);
            if (w->state == SUP_WORKER_READY)
                rig_worker(&r, SUP_EXITED, slot, 1, 9);
        }
        rig_event(&r, SUP_TIMER);
        for (int slot = 0; slot < 32; slot++) {
            if (sup_find(&r.sup, slot, 1)->state != SUP_WORKER_SPAWNING)
                continue;
            spawns++;
            rig_worker(&r, SUP_SPAWNED, slot, 1, 0);
            rig_ready(&r, slot, 1);
        }
    }
    assert_in_range(spawns, 500, 60 * 10 + 64 + 32);
}

static void retries_a_failed_fork(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_worker(&r, SUP_EXITED, 0, 1, 9);
    for (int i = 0; i < 20; i++) {
        rig_worker(&r, SUP_SPAWN_FAILED, 0, 1, 11);
        const struct sup_effect *e = rig_effect(&r, SUP_DO_RETRY);
        assert_int_equal(e->a, 11);
        assert_in_range(e->b, 7 * MS, 10 * SECOND);
        rig_wait_for(&r, SUP_DO_SPAWN);
    }
    rig_worker(&r, SUP_SPAWNED, 0, 1, 0);
    rig_state(&r, 0, 1, SUP_WORKER_STARTING);
}

static void a_silent_worker_is_aborted_killed_replaced(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    for (int i = 1; i < 10; i++) { /* worker 0 beats, worker 1 does not */
        r.now_ns += SECOND;
        rig_worker(&r, SUP_BEAT, 0, 1, (uint64_t)i);
        rig_worker(&r, SUP_BEAT, 1, 1, 7);
        rig_event(&r, SUP_TIMER);
        if (r.effects.count > 0)
            break;
    }
    rig_expect_worker(&r, SUP_DO_ABORT, 1, 1);
    assert_true(rig_effect(&r, SUP_DO_ABORT)->a >= 5 * SECOND);
    rig_wait(&r);
    rig_expect_worker(&r, SUP_DO_KILL, 1, 1);
    rig_worker(&r, SUP_EXITED, 1, 1, 9);
    rig_expect_worker(&r, SUP_DO_SPAWN, 1, 1);
}

static void a_worker_that_never_gets_ready_is_replaced(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, &rig_settings);
    rig_worker(&r, SUP_SPAWNED, 0, 1, 0);
    rig_worker(&r, SUP_SPAWNED, 1, 1, 0);
    rig_ready(&r, 1, 1);
    for (uint64_t i = 1; i < 40 && rig_count(&r, SUP_DO_ABORT) == 0; i++) {
        r.now_ns += SECOND;
        rig_worker(&r, SUP_BEAT, 1, 1, i);
        rig_event(&r, SUP_TIMER);
    }
    rig_expect_worker(&r, SUP_DO_ABORT, 0, 1);
    rig_worker(&r, SUP_EXITED, 0, 1, 6);
    rig_expect_worker(&r, SUP_DO_SPAWN, 0, 1);
}

static void without_watchdog_silence_is_fine(void **state)
{
    struct sup_settings off = rig_settings;
    struct rig r;
    (void)state;
    off.watchdog_ns = 0;
    rig_init(&r, &off);
    rig_start(&r, 1, 2);
    r.now_ns += 1000 * SECOND;
    rig_event(&r, SUP_TIMER);
    assert_int_equal(r.effects.count, 0);
    assert_true(sup_next_deadline_ns(&r.sup) == UINT64_MAX);
}

static void a_master_that_slept_does_not_abort_its_workers(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    r.now_ns += 1000 * SECOND;
    rig_worker(&r, SUP_BEAT, 0, 1, 1);
    rig_worker(&r, SUP_BEAT, 1, 1, 1);
    rig_event(&r, SUP_TIMER);
    assert_int_equal(r.effects.count, 0);
}

static void grows_and_shrinks_by_one(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_GROW);
    rig_expect_worker(&r, SUP_DO_SPAWN, 2, 1);
    assert_int_equal(rig_effect(&r, SUP_DO_RESIZED)->a, 3);
    rig_worker(&r, SUP_SPAWNED, 2, 1, 0);
    rig_ready(&r, 2, 1);
    rig_event(&r, SUP_SHRINK);
    rig_expect_worker(&r, SUP_DO_DRAIN, 2, 1);
    rig_event(&r, SUP_GROW); /* slot 2 is still draining: its name is taken */
    rig_expect_worker(&r, SUP_DO_SPAWN, 3, 1);
    rig_worker(&r, SUP_EXITED, 2, 1, 0);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 0);
    rig_worker(&r, SUP_SPAWNED, 3, 1, 0);
    rig_event(&r, SUP_SHRINK);
    rig_event(&r, SUP_SHRINK);
    rig_expect_worker(&r, SUP_DO_DRAIN, 1, 1);
    rig_event(&r, SUP_SHRINK);
    assert_int_equal(rig_effect(&r, SUP_DO_NOTE)->reason, SUP_BECAUSE_LAST_ONE);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 0);
}

static void growing_has_a_limit(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    for (int i = 2; i < SUP_SLOTS_MAX; i++)
        rig_event(&r, SUP_GROW);
    assert_int_equal(r.sup.settings.workers, SUP_SLOTS_MAX);
    rig_event(&r, SUP_GROW);
    assert_int_equal(rig_effect(&r, SUP_DO_NOTE)->reason, SUP_BECAUSE_TOO_MANY);
}

static void a_fast_stop_terms_then_kills(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_STOP);
    assert_int_equal(rig_count(&r, SUP_DO_TERM), 2);
    assert_int_equal(rig_effect(&r, SUP_DO_STOPPING)->a, 0);
    rig_worker(&r, SUP_EXITED, 0, 1, 0);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 0);
    uint64_t from_ns = r.now_ns;
    rig_wait_for(&r, SUP_DO_KILL);
    assert_int_equal(r.now_ns - from_ns, SECOND);
    rig_expect_worker(&r, SUP_DO_KILL, 1, 1);
    rig_worker(&r, SUP_EXITED, 1, 1, 9);
    assert_int_equal(rig_effect(&r, SUP_DO_EXIT)->a, 0);
    rig_mode(&r, SUP_MODE_DONE);
}

static void a_graceful_stop_escalates_by_the_clock_once_each(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    uint64_t from_ns = r.now_ns;
    rig_event(&r, SUP_QUIT);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 2);
    assert_int_equal(rig_effect(&r, SUP_DO_DRAIN)->a, 10 * SECOND);
    unsigned terms = 0, kills = 0;
    uint64_t beat = 0;
    while (kills < 2) { /* noise must not hurry it */
        r.now_ns += 100 * MS;
        rig_worker(&r, SUP_BEAT, 0, 1, ++beat);
        rig_worker(&r, SUP_BEAT, 1, 1, beat);
        rig_event(&r, SUP_QUIT);
        assert_int_equal(r.effects.count, 0);
        rig_event(&r, SUP_TIMER);
        terms += rig_count(&r, SUP_DO_TERM);
        kills += rig_count(&r, SUP_DO_KILL);
        if (terms > 0)
            assert_true(r.now_ns - from_ns >= 10 * SECOND);
        if (kills > 0)
            assert_true(r.now_ns - from_ns >= 11 * SECOND);
    }
    assert_int_equal(terms, 2);
    assert_int_equal(kills, 2);
    rig_gone(&r, 1, 2);
    assert_int_equal(rig_count(&r, SUP_DO_EXIT), 1);
}

static void a_hung_worker_does_not_drain_for_ever(void **state)
{
    struct sup_settings unbound = rig_settings;
    struct rig r;
    (void)state;
    unbound.drain_ns = 0;
    rig_init(&r, &unbound);
    rig_start(&r, 1, 2);
    rig_event(&r, SUP_QUIT);
    assert_int_equal(rig_effect(&r, SUP_DO_DRAIN)->a, 0);
    rig_wait_for(&r, SUP_DO_ABORT);
    rig_wait_for(&r, SUP_DO_KILL);
    rig_gone(&r, 1, 2);
    rig_mode(&r, SUP_MODE_DONE);
}

static void a_fast_stop_wins_over_a_graceful_one(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_QUIT);
    rig_event(&r, SUP_STOP);
    assert_int_equal(rig_count(&r, SUP_DO_TERM), 2);
    rig_event(&r, SUP_STOP);
    assert_int_equal(r.effects.count, 0);
    rig_gone(&r, 1, 2);
    rig_mode(&r, SUP_MODE_DONE);
}

static void a_stop_at_any_moment_of_start_up_takes_effect(void **state)
{
    struct rig r;
    (void)state;
    static const enum sup_event_kind moments[] = {SUP_SPAWNED, SUP_POISED, SUP_READY};
    for (unsigned moment = 0; moment < 6; moment++) {
        for (int kind = SUP_QUIT; kind <= SUP_STOP; kind++) {
            rig_init(&r, &rig_settings);
            for (unsigned i = 0; i < moment; i++)
                rig_worker(&r, moments[i % 3], (int)i / 3, 1, 0);
            rig_event(&r, (enum sup_event_kind)kind);
            for (int slot = 0; slot < 2; slot++) {
                const struct sup_worker *w = sup_find(&r.sup, slot, 1);
                if (w != NULL && w->state == SUP_WORKER_SPAWNING) {
                    rig_worker(&r, SUP_SPAWNED, slot, 1, 0);
                    assert_int_equal(r.effects.count, 1); /* told as soon as it exists */
                }
            }
            rig_gone(&r, 1, 2);
            assert_int_equal(rig_count(&r, SUP_DO_EXIT), 1);
        }
    }
}

static void a_stop_with_no_worker_alive_ends_at_once(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, &rig_settings);
    rig_worker(&r, SUP_SPAWN_FAILED, 0, 1, 11);
    rig_worker(&r, SUP_SPAWN_FAILED, 1, 1, 11);
    rig_event(&r, SUP_QUIT);
    assert_int_equal(rig_count(&r, SUP_DO_EXIT), 1);
    rig_event(&r, SUP_RELOAD);
    assert_int_equal(r.effects.count, 0);
}

static void a_worker_that_could_not_be_told_is_told_again(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_QUIT);
    rig_worker(&r, SUP_UNTOLD, 0, 1, 1);
    rig_wait(&r);
    rig_expect_worker(&r, SUP_DO_DRAIN, 0, 1);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 1);
    rig_event(&r, SUP_STOP);
    rig_wait_for(&r, SUP_DO_KILL);
    rig_worker(&r, SUP_UNTOLD, 0, 1, 1);
    rig_wait(&r);
    rig_expect_worker(&r, SUP_DO_KILL, 0, 1);
    assert_int_equal(rig_count(&r, SUP_DO_KILL), 1);
}

static void rests_and_comes_back(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_REST);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 2);
    rig_gone(&r, 1, 2);
    rig_mode(&r, SUP_MODE_RESTING);
    assert_int_equal(rig_count(&r, SUP_DO_EXIT), 0);
    rig_event(&r, SUP_GROW);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 0);
    rig_roll(&r);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 2);
    rig_start(&r, 2, 2);
    rig_expect_report(&r, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
    rig_mode(&r, SUP_MODE_RUNNING);
}

static void a_resting_master_stays_at_rest_after_a_failed_reload(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_REST);
    rig_gone(&r, 1, 2);
    rig_event(&r, SUP_RELOAD);
    rig_event(&r, SUP_CONF_BAD);
    rig_expect_report(&r, SUP_RELOAD_REFUSED, SUP_BECAUSE_CONF);
    rig_mode(&r, SUP_MODE_RESTING);
}

static void logs_are_reopened_in_every_mode(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, &rig_settings);
    rig_event(&r, SUP_REOPEN);
    assert_int_equal(rig_count(&r, SUP_DO_REOPEN_LOGS), 1);
    rig_start(&r, 1, 2);
    rig_event(&r, SUP_QUIT);
    rig_event(&r, SUP_REOPEN);
    assert_int_equal(rig_count(&r, SUP_DO_REOPEN_LOGS), 1);
}

static void words_about_strangers_are_ignored(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_ready(&r, 5, 1);
    rig_worker(&r, SUP_EXITED, 0, 99, 0);
    assert_int_equal(r.effects.count, 0);
    for (size_t i = 0; i < SUP_CELL_WORDS; i++)
        assert_true(r.effects.cells[i] == 0);
}

static void every_cell_has_a_name(void **state)
{
    struct core_cell cell;
    (void)state;
    assert_int_equal(sup_cell_count(), SUP_MODE_COUNT * 18 + SUP_WORKER_STATE_COUNT * 11);
    for (unsigned i = 0; i < sup_cell_count(); i++) {
        assert_true(sup_cell_name(i, &cell));
        assert_non_null(cell.row);
        assert_non_null(cell.input);
        assert_true(cell.action != NULL && cell.action[0] != '\0');
    }
    assert_false(sup_cell_name(sup_cell_count(), &cell));
    assert_string_equal(sup_event_word(SUP_TIMER), "timer");
    assert_string_equal(sup_event_word(SUP_EVENT_COUNT), "?");
    assert_string_equal(sup_effect_word(SUP_DO_EXIT), "exit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_and_announces_once),
        cmocka_unit_test(respawns_a_first_crash_at_once),
        cmocka_unit_test(all_workers_killed_at_once_come_back_at_once),
        cmocka_unit_test(slows_down_a_crash_loop_and_never_gives_up),
        cmocka_unit_test(no_backoff_is_noticed_by_the_same_measure),
        cmocka_unit_test(the_tree_has_a_rate_of_its_own),
        cmocka_unit_test(retries_a_failed_fork),
        cmocka_unit_test(a_silent_worker_is_aborted_killed_replaced),
        cmocka_unit_test(a_worker_that_never_gets_ready_is_replaced),
        cmocka_unit_test(without_watchdog_silence_is_fine),
        cmocka_unit_test(a_master_that_slept_does_not_abort_its_workers),
        cmocka_unit_test(grows_and_shrinks_by_one),
        cmocka_unit_test(growing_has_a_limit),
        cmocka_unit_test(a_fast_stop_terms_then_kills),
        cmocka_unit_test(a_graceful_stop_escalates_by_the_clock_once_each),
        cmocka_unit_test(a_hung_worker_does_not_drain_for_ever),
        cmocka_unit_test(a_fast_stop_wins_over_a_graceful_one),
        cmocka_unit_test(a_stop_at_any_moment_of_start_up_takes_effect),
        cmocka_unit_test(a_stop_with_no_worker_alive_ends_at_once),
        cmocka_unit_test(a_worker_that_could_not_be_told_is_told_again),
        cmocka_unit_test(rests_and_comes_back),
        cmocka_unit_test(a_resting_master_stays_at_rest_after_a_failed_reload),
        cmocka_unit_test(logs_are_reopened_in_every_mode),
        cmocka_unit_test(words_about_strangers_are_ignored),
        cmocka_unit_test(every_cell_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
