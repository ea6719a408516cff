/* Upgrades: two masters, each of which may be the one that goes. */
#include "engine/core/sup_rig.h"

static void upgrade_to_two_masters(struct rig *r)
{
    rig_running(r);
    rig_event(r, SUP_UPGRADE);
    assert_int_equal(rig_count(r, SUP_DO_UPGRADE_START), 1);
    rig_mode(r, SUP_MODE_UPGRADING);
    rig_event(r, SUP_OTHER_READY);
    assert_int_equal(rig_effect(r, SUP_DO_UPGRADE_REPORT)->a, SUP_UPGRADE_READY);
    rig_mode(r, SUP_MODE_RUNNING);
}

static void a_second_upgrade_is_refused_visibly(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_UPGRADE);
    rig_event(&r, SUP_UPGRADE);
    assert_int_equal(rig_effect(&r, SUP_DO_UPGRADE_REPORT)->a, SUP_UPGRADE_REFUSED);
    rig_event(&r, SUP_OTHER_READY);
    rig_event(&r, SUP_UPGRADE);
    assert_int_equal(rig_effect(&r, SUP_DO_UPGRADE_REPORT)->a, SUP_UPGRADE_REFUSED);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_START), 0);
    rig_event(&r, SUP_OTHER_GONE);
    assert_int_equal(rig_effect(&r, SUP_DO_UPGRADE_REPORT)->a, SUP_UPGRADE_OVER);
    assert_int_equal(rig_count(&r, SUP_DO_RESTORE_PID), 1);
    rig_event(&r, SUP_UPGRADE);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_START), 1);
}

static void a_new_binary_that_fails_changes_nothing(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_event(&r, SUP_UPGRADE);
    rig_event(&r, SUP_REST); /* hurried: put off, and dropped with the upgrade */
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 0);
    rig_event(&r, SUP_OTHER_GONE);
    assert_int_equal(rig_effect(&r, SUP_DO_UPGRADE_REPORT)->a, SUP_UPGRADE_FAILED);
    assert_int_equal(rig_count(&r, SUP_DO_RESTORE_PID), 1);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 0);
    rig_mode(&r, SUP_MODE_RUNNING);
    rig_state(&r, 0, 1, SUP_WORKER_READY);
}

static void a_new_binary_that_stalls_is_sent_away(void **state)
{
    struct sup_settings patient = rig_settings;
    struct rig r;
    (void)state;
    patient.watchdog_ns = 0;
    rig_init(&r, &patient);
    rig_start(&r, 1, 2);
    rig_event(&r, SUP_UPGRADE);
    rig_wait(&r);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_QUIT), 1);
    rig_event(&r, SUP_OTHER_READY); /* too late */
    assert_int_equal(r.effects.count, 0);
    rig_wait(&r);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_KILL), 1);
    rig_event(&r, SUP_OTHER_GONE);
    assert_int_equal(rig_effect(&r, SUP_DO_UPGRADE_REPORT)->reason, SUP_BECAUSE_STALLED);
    rig_mode(&r, SUP_MODE_RUNNING);
}

/* Some of its workers may serve already, only not all: they get the time of any drain. */
static void a_new_binary_that_is_late_may_finish_what_it_serves(void **state)
{
    struct sup_settings patient = rig_settings;
    struct rig r;
    (void)state;
    patient.watchdog_ns = 0;
    for (int bounded = 0; bounded < 2; bounded++) {
        patient.drain_ns = bounded ? 20 * SECOND : 0;
        rig_init(&r, &patient);
        rig_start(&r, 1, 2);
        rig_event(&r, SUP_UPGRADE);
        rig_wait(&r);
        assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_QUIT), 1);
        uint64_t asked_ns = r.now_ns;
        rig_wait(&r);
        assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_KILL), 1);
        uint64_t given_ns = r.now_ns - asked_ns;
        if (bounded)
            assert_true(given_ns > patient.drain_ns + r.sup.options.grace_ns);
        else
            assert_true(given_ns == patient.reload_timeout_ns);
    }
}

static void rolls_an_upgrade_back(void **state)
{
    struct rig r;
    (void)state;
    for (int by_hup = 0; by_hup < 2; by_hup++) {
        upgrade_to_two_masters(&r);
        rig_event(&r, SUP_REST);
        rig_worker(&r, SUP_EXITED, 0, 1, 0); /* worker 1 is still draining */
        rig_event(&r, by_hup ? SUP_RELOAD : SUP_OTHER_GONE);
        assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 0);
        assert_int_equal(rig_effect(&r, SUP_DO_KEEP_CONF)->generation, 2);
        rig_expect_worker(&r, SUP_DO_SPAWN, 0, 2);
        rig_expect_worker(&r, SUP_DO_SPAWN, 1, 2);
        rig_mode(&r, SUP_MODE_BOOTING);
        rig_start(&r, 2, 2);
        assert_int_equal(rig_count(&r, SUP_DO_REPORT), by_hup); /* somebody may wait for it */
        assert_int_equal(rig_count(&r, SUP_DO_READY), 0);
        rig_mode(&r, SUP_MODE_RUNNING);
        if (by_hup)
            rig_event(&r, SUP_OTHER_GONE);
    }
}

static void an_upgrade_waits_for_a_reload_and_the_other_way_round(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    rig_event(&r, SUP_UPGRADE);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_START), 0);
    rig_start(&r, 2, 2);
    rig_gone(&r, 1, 2);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_START), 1);
    rig_event(&r, SUP_RELOAD);
    assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 0);
    rig_event(&r, SUP_OTHER_READY);
    assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 1);
}

static void an_upgrade_asked_for_at_start_waits_for_the_workers(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, &rig_settings);
    rig_event(&r, SUP_UPGRADE);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_START), 0);
    rig_start(&r, 1, 2);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_START), 1);
}

static void the_new_master_takes_no_upgrade_until_the_old_is_gone(void **state)
{
    struct sup_options options = sup_options_default(&rig_settings, 1);
    struct rig r = {.now_ns = SECOND};
    (void)state;
    options.has_old_master = true;
    sup_init(&r.sup, &options);
    rig_event(&r, SUP_BOOT);
    rig_start(&r, 1, 2);
    rig_event(&r, SUP_UPGRADE);
    assert_int_equal(rig_effect(&r, SUP_DO_UPGRADE_REPORT)->a, SUP_UPGRADE_REFUSED);
    rig_event(&r, SUP_OTHER_GONE);
    assert_int_equal(rig_count(&r, SUP_DO_RESTORE_PID), 0);
    rig_event(&r, SUP_UPGRADE);
    assert_int_equal(rig_count(&r, SUP_DO_UPGRADE_START), 1);
    rig_event(&r, SUP_STOP);
    rig_event(&r, SUP_OTHER_READY);
    rig_gone(&r, 1, 2);
    rig_mode(&r, SUP_MODE_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_upgrade_is_refused_visibly),
        cmocka_unit_test(a_new_binary_that_fails_changes_nothing),
        cmocka_unit_test(a_new_binary_that_stalls_is_sent_away),
        cmocka_unit_test(a_new_binary_that_is_late_may_finish_what_it_serves),
        cmocka_unit_test(rolls_an_upgrade_back),
        cmocka_unit_test(an_upgrade_waits_for_a_reload_and_the_other_way_round),
        cmocka_unit_test(an_upgrade_asked_for_at_start_waits_for_the_workers),
        cmocka_unit_test(the_new_master_takes_no_upgrade_until_the_old_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
