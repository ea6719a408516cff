/* Reloads: all or nothing, one at a time, none lost. */
#include "engine/core/sup_rig.h"

static void commits_only_when_all_are_poised(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 2);
    rig_expect_worker(&r, SUP_DO_SPAWN, 0, 2);
    rig_expect_worker(&r, SUP_DO_SPAWN, 1, 2);
    rig_worker(&r, SUP_SPAWNED, 0, 2, 0);
    rig_worker(&r, SUP_SPAWNED, 1, 2, 0);
    rig_worker(&r, SUP_POISED, 0, 2, 0);
    assert_int_equal(r.effects.count, 0);
    rig_worker(&r, SUP_POISED, 1, 2, 0);
    assert_int_equal(r.effects.count, 3);
    assert_int_equal(r.effects.at[0].kind, SUP_DO_COMMIT);
    rig_expect_worker(&r, SUP_DO_GO, 0, 2);
    rig_expect_worker(&r, SUP_DO_GO, 1, 2);
    rig_mode(&r, SUP_MODE_SWITCHING);
    rig_worker(&r, SUP_READY, 0, 2, 0);
    assert_int_equal(r.effects.count, 0); /* the old ones accept as long as they are needed */
    rig_worker(&r, SUP_READY, 1, 2, 0);
    rig_expect_worker(&r, SUP_DO_DRAIN, 0, 1);
    rig_expect_worker(&r, SUP_DO_DRAIN, 1, 1);
    assert_int_equal(rig_count(&r, SUP_DO_REPORT), 0); /* the old ones may still accept */
    rig_mode(&r, SUP_MODE_RETIRING);
    rig_worker(&r, SUP_DRAINING, 0, 1, 0);
    assert_int_equal(rig_count(&r, SUP_DO_REPORT), 0);
    rig_worker(&r, SUP_EXITED, 1, 1, 0);
    rig_expect_report(&r, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
    assert_int_equal(rig_effect(&r, SUP_DO_REPORT)->generation, 2);
    rig_mode(&r, SUP_MODE_RUNNING);
    rig_worker(&r, SUP_EXITED, 0, 1, 0);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 0);
}

static void nobody_accepts_for_a_configuration_that_is_on_trial(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_worker(&r, SUP_SPAWNED, 0, 2, 0);
    rig_worker(&r, SUP_POISED, 0, 2, 0);
    assert_int_equal(rig_count(&r, SUP_DO_GO), 0);
    rig_worker(&r, SUP_EXITED, 0, 1, 9); /* one that serves dies: its successor is let in at once */
    rig_worker(&r, SUP_SPAWNED, 0, 1, 0);
    rig_worker(&r, SUP_POISED, 0, 1, 0);
    rig_expect_worker(&r, SUP_DO_GO, 0, 1);
    rig_worker(&r, SUP_SPAWNED, 1, 2, 0);
    rig_worker(&r, SUP_EXITED, 1, 2, 256);
    assert_int_equal(rig_count(&r, SUP_DO_GO), 0);
    rig_expect_worker(&r, SUP_DO_DRAIN, 0, 2);
}

static void a_go_that_could_not_be_sent_is_sent_again(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_poise(&r, 2, 2);
    rig_worker(&r, SUP_UNTOLD, 1, 2, 11);
    rig_worker(&r, SUP_READY, 0, 2, 0);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 0);
    rig_wait_for(&r, SUP_DO_GO);
    rig_expect_worker(&r, SUP_DO_GO, 1, 2);
    assert_int_equal(rig_count(&r, SUP_DO_GO), 1);
    rig_worker(&r, SUP_READY, 1, 2, 0);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 2);
}

static void the_old_stay_while_a_committed_worker_is_replaced(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_poise(&r, 2, 2);
    rig_worker(&r, SUP_EXITED, 0, 2, 9); /* too late to undo: others may have been served */
    rig_expect_worker(&r, SUP_DO_SPAWN, 0, 2);
    rig_worker(&r, SUP_READY, 1, 2, 0);
    rig_worker(&r, SUP_EXITED, 0, 1, 9); /* one of the old: nobody needs another */
    assert_int_equal(r.effects.count, 0);
    rig_worker(&r, SUP_SPAWNED, 0, 2, 0);
    rig_worker(&r, SUP_POISED, 0, 2, 0);
    rig_expect_worker(&r, SUP_DO_GO, 0, 2);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 0);
    rig_worker(&r, SUP_READY, 0, 2, 0);
    rig_expect_worker(&r, SUP_DO_DRAIN, 1, 1);
    rig_mode(&r, SUP_MODE_RETIRING);
}

static void new_workers_that_do_not_come_to_accept_do_not_keep_the_old_for_ever(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_poise(&r, 2, 2);
    uint64_t from_ns = r.now_ns;
    for (uint64_t beat = 1; rig_count(&r, SUP_DO_DRAIN) == 0 && beat < 100; beat++) {
        r.now_ns += SECOND;
        for (int slot = 0; slot < 2; slot++) {
            rig_worker(&r, SUP_BEAT, slot, 1, beat);
            rig_worker(&r, SUP_BEAT, slot, 2, beat);
        }
        rig_event(&r, SUP_TIMER);
    }
    assert_int_equal(r.now_ns - from_ns, rig_settings.reload_timeout_ns);
    rig_mode(&r, SUP_MODE_RETIRING);
}

static void a_stop_after_the_commit_finds_the_reload_done(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_poise(&r, 2, 2);
    rig_event(&r, SUP_QUIT);
    rig_expect_report(&r, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 4);
    rig_gone(&r, 1, 2);
    rig_gone(&r, 2, 2);
    rig_mode(&r, SUP_MODE_DONE);
}

static void an_old_worker_that_says_nothing_does_not_hold_up_the_report(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_start(&r, 2, 2);
    rig_mode(&r, SUP_MODE_RETIRING);
    rig_wait(&r);
    rig_expect_report(&r, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
    rig_roll(&r); /* nor the next one */
    rig_start(&r, 3, 2);
    rig_worker(&r, SUP_DRAINING, 0, 2, 0);
    rig_worker(&r, SUP_DRAINING, 1, 2, 0);
    rig_expect_report(&r, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
}

static void a_bad_configuration_changes_nothing(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_RELOAD);
    rig_event(&r, SUP_CONF_BAD);
    assert_int_equal(r.effects.count, 1);
    rig_expect_report(&r, SUP_RELOAD_REFUSED, SUP_BECAUSE_CONF);
    rig_mode(&r, SUP_MODE_RUNNING);
    rig_roll(&r); /* and the next one is heard */
    rig_poise(&r, 3, 2);
    assert_int_equal(rig_count(&r, SUP_DO_COMMIT), 1);
}

static void too_many_workers_are_refused(void **state)
{
    struct sup_settings many = rig_settings;
    struct rig r;
    (void)state;
    many.workers = SUP_SLOTS_MAX + 1;
    rig_running(&r);
    rig_event(&r, SUP_RELOAD);
    rig_conf_ok(&r, &many);
    assert_int_equal(rig_count(&r, SUP_DO_DISCARD_CONF), 1);
    rig_expect_report(&r, SUP_RELOAD_REFUSED, SUP_BECAUSE_TOO_MANY);
    rig_mode(&r, SUP_MODE_RUNNING);
}

/* The last step undid the reload: the new ones were told to go, the old were told nothing. */
static void expect_undoing(struct rig *r)
{
    assert_int_equal(rig_count(r, SUP_DO_DISCARD_CONF), 1);
    for (uint32_t i = 0; i < r->effects.count; i++)
        assert_true(r->effects.at[i].kind != SUP_DO_DRAIN || r->effects.at[i].generation != 1);
    rig_state(r, 0, 1, SUP_WORKER_READY);
    rig_state(r, 1, 1, SUP_WORKER_READY);
}

static void a_new_worker_that_exits_undoes_the_reload(void **state)
{
    struct rig r;
    (void)state;
    for (int poised = 0; poised < 2; poised++) { /* before or after it was poised itself */
        rig_running(&r);
        rig_roll(&r);
        rig_worker(&r, SUP_SPAWNED, 0, 2, 0);
        if (poised)
            rig_worker(&r, SUP_POISED, 0, 2, 0);
        rig_worker(&r, SUP_EXITED, 0, 2, 256);
        expect_undoing(&r);
        assert_int_equal(rig_count(&r, SUP_DO_REPORT), 0); /* not all of them are gone */
        rig_mode(&r, SUP_MODE_UNDOING);
        rig_event(&r, SUP_RELOAD);
        assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 0);
        rig_worker(&r, SUP_SPAWNED, 1, 2, 0); /* it was being forked: told as soon as it exists */
        rig_expect_worker(&r, SUP_DO_DRAIN, 1, 2);
        rig_worker(&r, SUP_EXITED, 1, 2, 0);
        rig_expect_report(&r, SUP_RELOAD_UNDONE, SUP_BECAUSE_EXITED);
        assert_int_equal(rig_effect(&r, SUP_DO_REPORT)->generation, 2);
        assert_int_equal(rig_effect(&r, SUP_DO_REPORT)->slot, 0);
        assert_int_equal(rig_effect(&r, SUP_DO_REPORT)->b, 256);
        assert_int_equal(rig_effect(&r, SUP_DO_LOAD_CONF)->generation, 3); /* what was put off */
        assert_int_equal(r.sup.used, 2);
    }
}

static void new_workers_that_stall_undo_the_reload(void **state)
{
    struct sup_settings patient = rig_settings;
    struct rig r;
    (void)state;
    patient.watchdog_ns = 0;
    rig_init(&r, &patient);
    rig_start(&r, 1, 2);
    rig_event(&r, SUP_RELOAD);
    rig_conf_ok(&r, &patient);
    rig_worker(&r, SUP_SPAWNED, 0, 2, 0);
    rig_worker(&r, SUP_POISED, 0, 2, 0);
    rig_worker(&r, SUP_SPAWNED, 1, 2, 0);
    uint64_t from_ns = r.now_ns;
    rig_wait_for(&r, SUP_DO_DISCARD_CONF);
    assert_int_equal(r.now_ns - from_ns, patient.reload_timeout_ns);
    expect_undoing(&r);
    rig_expect_worker(&r, SUP_DO_DRAIN, 0, 2);
    rig_expect_worker(&r, SUP_DO_DRAIN, 1, 2);
    rig_worker(&r, SUP_EXITED, 0, 2, 0);
    rig_wait_for(&r, SUP_DO_TERM);
    rig_expect_worker(&r, SUP_DO_TERM, 1, 2); /* stalled: it does not get the whole bound */
    rig_wait_for(&r, SUP_DO_KILL);
    assert_int_equal(rig_count(&r, SUP_DO_REPORT), 0);
    rig_worker(&r, SUP_EXITED, 1, 2, 9);
    rig_expect_report(&r, SUP_RELOAD_UNDONE, SUP_BECAUSE_LATE);
    rig_mode(&r, SUP_MODE_RUNNING);
}

static void a_new_worker_that_cannot_be_killed_does_not_hold_up_the_report(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_worker(&r, SUP_SPAWNED, 0, 2, 0);
    rig_worker(&r, SUP_SPAWNED, 1, 2, 0);
    rig_worker(&r, SUP_EXITED, 1, 2, 256);
    uint64_t from_ns = r.now_ns;
    rig_wait_for(&r, SUP_DO_REPORT);
    rig_expect_report(&r, SUP_RELOAD_UNDONE, SUP_BECAUSE_EXITED);
    assert_int_equal(r.now_ns - from_ns, 3 * SECOND);
    rig_state(&r, 0, 2, SUP_WORKER_KILLING);
}

static void forks_that_fail_undo_the_reload_only_at_its_end(void **state)
{
    struct sup_settings patient = rig_settings;
    struct rig r;
    (void)state;
    patient.watchdog_ns = 0;
    rig_init(&r, &patient);
    rig_start(&r, 1, 2);
    rig_event(&r, SUP_RELOAD);
    rig_conf_ok(&r, &patient);
    rig_worker(&r, SUP_SPAWNED, 1, 2, 0);
    rig_ready(&r, 1, 2);
    for (int i = 0; i < 3; i++) {
        rig_worker(&r, SUP_SPAWN_FAILED, 0, 2, 11);
        rig_wait_for(&r, SUP_DO_SPAWN);
    }
    rig_mode(&r, SUP_MODE_ROLLING);
    rig_worker(&r, SUP_SPAWNED, 0, 2, 0);
    rig_ready(&r, 0, 2);
    assert_int_equal(rig_count(&r, SUP_DO_COMMIT), 1);
}

static void an_old_worker_that_dies_during_a_roll_is_replaced(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_worker(&r, SUP_EXITED, 0, 1, 9);
    rig_expect_worker(&r, SUP_DO_SPAWN, 0, 1);
    rig_poise(&r, 2, 2);
    assert_int_equal(rig_count(&r, SUP_DO_COMMIT), 1);
    rig_worker(&r, SUP_SPAWNED, 0, 1, 0); /* too late for it */
    rig_expect_worker(&r, SUP_DO_DRAIN, 0, 1);
}

static void requests_during_a_reload_become_one_more(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_RELOAD);
    for (int i = 0; i < 50; i++)
        rig_event(&r, SUP_RELOAD);
    rig_conf_ok(&r, &rig_settings);
    rig_event(&r, SUP_RELOAD);
    rig_start(&r, 2, 2);
    rig_event(&r, SUP_RELOAD); /* RETIRING */
    rig_gone(&r, 1, 2);
    assert_int_equal(rig_effect(&r, SUP_DO_LOAD_CONF)->generation, 3);
    rig_expect_report(&r, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
    rig_event(&r, SUP_CONF_BAD);
    rig_mode(&r, SUP_MODE_RUNNING);
    assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 0);
}

static void sizes_asked_for_during_a_reload_are_not_lost(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_event(&r, SUP_GROW);
    rig_event(&r, SUP_GROW);
    rig_event(&r, SUP_SHRINK);
    rig_start(&r, 2, 2);
    rig_gone(&r, 1, 2);
    assert_int_equal(rig_effect(&r, SUP_DO_RESIZED)->a, 3);
    rig_expect_worker(&r, SUP_DO_SPAWN, 2, 2);
}

static void rest_and_reload_keep_their_order(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_event(&r, SUP_REST);
    rig_event(&r, SUP_RELOAD); /* the last word: serve */
    rig_start(&r, 2, 2);
    rig_gone(&r, 1, 2);
    rig_mode(&r, SUP_MODE_LOADING);
    rig_event(&r, SUP_REST);
    rig_conf_ok(&r, &rig_settings);
    rig_start(&r, 3, 2);
    rig_gone(&r, 2, 2);
    rig_mode(&r, SUP_MODE_RESTING);
}

static void a_stop_wins_over_a_reload(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_event(&r, SUP_RELOAD);
    rig_event(&r, SUP_QUIT);
    rig_expect_report(&r, SUP_RELOAD_UNDONE, SUP_BECAUSE_STOPPING);
    assert_int_equal(rig_count(&r, SUP_DO_DISCARD_CONF), 1);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 2);
    rig_worker(&r, SUP_SPAWNED, 0, 2, 0);
    rig_worker(&r, SUP_SPAWN_FAILED, 1, 2, 11);
    rig_worker(&r, SUP_EXITED, 0, 2, 0);
    rig_gone(&r, 1, 2);
    rig_mode(&r, SUP_MODE_DONE);
}

static void a_stop_while_the_configuration_is_loaded_discards_it(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_RELOAD);
    rig_event(&r, SUP_STOP);
    rig_expect_report(&r, SUP_RELOAD_REFUSED, SUP_BECAUSE_STOPPING);
    rig_conf_ok(&r, &rig_settings);
    assert_int_equal(r.effects.count, 1);
    assert_int_equal(rig_effect(&r, SUP_DO_DISCARD_CONF)->generation, 2);
    rig_gone(&r, 1, 2);
    rig_mode(&r, SUP_MODE_DONE);
}

static void a_first_configuration_that_only_crashes_can_be_replaced(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, &rig_settings);
    for (int i = 0; i < 3; i++) {
        rig_worker(&r, SUP_SPAWNED, 0, 1, 0);
        rig_worker(&r, SUP_EXITED, 0, 1, 256);
        while (r.effects.count == 0 || rig_count(&r, SUP_DO_SPAWN) == 0)
            rig_wait(&r);
    }
    rig_roll(&r);
    rig_start(&r, 2, 2);
    rig_expect_report(&r, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
    assert_int_equal(rig_count(&r, SUP_DO_READY), 1);
    rig_mode(&r, SUP_MODE_RUNNING);
    rig_worker(&r, SUP_SPAWN_FAILED, 0, 1, 11); /* the old ones that were being forked */
    rig_worker(&r, SUP_SPAWN_FAILED, 1, 1, 11);
    assert_int_equal(r.sup.used, 2);
}

static void old_workers_that_pile_up_leave_no_room_and_that_is_said(void **state)
{
    struct sup_settings many = rig_settings;
    struct rig r;
    (void)state;
    many.workers = 100;
    many.drain_ns = 0;
    many.watchdog_ns = 0;
    rig_init(&r, &many);
    rig_start(&r, 1, 100);
    rig_event(&r, SUP_RELOAD);
    rig_conf_ok(&r, &many);
    rig_start(&r, 2, 100);
    rig_wait_for(&r, SUP_DO_REPORT);
    rig_event(&r, SUP_RELOAD);
    rig_conf_ok(&r, &many);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 56);
    rig_poise(&r, 3, 56);
    rig_mode(&r, SUP_MODE_ROLLING);
    rig_wait_for(&r, SUP_DO_DISCARD_CONF);
    rig_gone(&r, 3, 56);
    rig_expect_report(&r, SUP_RELOAD_UNDONE, SUP_BECAUSE_CROWDED);
    rig_event(&r, SUP_RELOAD);
    rig_conf_ok(&r, &many);
    rig_poise(&r, 4, 56);
    rig_gone(&r, 1, 44); /* as old ones go, the new ones come */
    for (int slot = 56; slot < 100; slot++) {
        rig_worker(&r, SUP_SPAWNED, slot, 4, 0);
        rig_ready(&r, slot, 4);
    }
    assert_int_equal(rig_count(&r, SUP_DO_COMMIT), 1);
}

/* Two generations may live: the third waits for the first to be gone, and then comes by itself. */
static void a_reload_waits_for_room(void **state)
{
    struct rig r;
    struct sup_settings settings = rig_settings;
    (void)state;
    settings.generations = 2;
    rig_init(&r, &settings);
    rig_start(&r, 1, 2);
    rig_event(&r, SUP_RELOAD);
    rig_conf_ok(&r, &settings);
    rig_poise(&r, 2, 2);
    rig_accept(&r, 2, 2);
    rig_worker(&r, SUP_DRAINING, 0, 1, 0);
    rig_worker(&r, SUP_DRAINING, 1, 1, 0);
    rig_mode(&r, SUP_MODE_RUNNING);
    rig_event(&r, SUP_RELOAD);
    assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 0);
    assert_int_equal(rig_effect(&r, SUP_DO_NOTE)->reason, SUP_BECAUSE_CROWDED);
    rig_worker(&r, SUP_EXITED, 0, 1, 0);
    assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 0);
    rig_worker(&r, SUP_EXITED, 1, 1, 0);
    assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reload_waits_for_room),
        cmocka_unit_test(commits_only_when_all_are_poised),
        cmocka_unit_test(nobody_accepts_for_a_configuration_that_is_on_trial),
        cmocka_unit_test(a_go_that_could_not_be_sent_is_sent_again),
        cmocka_unit_test(the_old_stay_while_a_committed_worker_is_replaced),
        cmocka_unit_test(new_workers_that_do_not_come_to_accept_do_not_keep_the_old_for_ever),
        cmocka_unit_test(a_stop_after_the_commit_finds_the_reload_done),
        cmocka_unit_test(an_old_worker_that_says_nothing_does_not_hold_up_the_report),
        cmocka_unit_test(a_bad_configuration_changes_nothing),
        cmocka_unit_test(too_many_workers_are_refused),
        cmocka_unit_test(a_new_worker_that_exits_undoes_the_reload),
        cmocka_unit_test(new_workers_that_stall_undo_the_reload),
        cmocka_unit_test(a_new_worker_that_cannot_be_killed_does_not_hold_up_the_report),
        cmocka_unit_test(forks_that_fail_undo_the_reload_only_at_its_end),
        cmocka_unit_test(an_old_worker_that_dies_during_a_roll_is_replaced),
        cmocka_unit_test(requests_during_a_reload_become_one_more),
        cmocka_unit_test(sizes_asked_for_during_a_reload_are_not_lost),
        cmocka_unit_test(rest_and_reload_keep_their_order),
        cmocka_unit_test(a_stop_wins_over_a_reload),
        cmocka_unit_test(a_stop_while_the_configuration_is_loaded_discards_it),
        cmocka_unit_test(a_first_configuration_that_only_crashes_can_be_replaced),
        cmocka_unit_test(old_workers_that_pile_up_leave_no_room_and_that_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
