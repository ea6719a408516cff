/* respawn: what the judge says of crash loops, failed forks and silent workers. */
#include "scenarios/judge/judge_story.h"

#define ENDS(t) t " director.stop pid=10 a=1\n"
#define KILLED(t, pid, slot)                                                                       \
    t " director.signal pid=" pid " a=SIGKILL b=worker\n" t "1 watch.exit pid=" pid                \
      " a=9 b=10\n" t "3 engine.worker_exit pid=" pid " slot=" slot " gen=1 a=9\n"

/* ---- respawn/backoff ------------------------------------------------------------------------- */

#define RATE "-2 director.param a=respawn_rate b=8000\n"
#define DIES_AT_START(t, pid)                                                                      \
    t " watch.fork pid=" pid " a=10\n" t "1 engine.spawn pid=" pid " slot=0 gen=1\n" t             \
      "5 watch.exit pid=" pid " a=256 b=10\n" t "6 engine.worker_exit pid=" pid                    \
      " slot=0 gen=1 a=256\n"
#define FIVE(s)                                                                                    \
    DIES_AT_START(s "1", "201")                                                                    \
    DIES_AT_START(s "2", "202")                                                                    \
    DIES_AT_START(s "3", "203") DIES_AT_START(s "4", "204") DIES_AT_START(s "5", "205")

static void backoff_holds_when_the_loop_slows_down(void **state)
{
    (void)state;
    HOLDS(respawn_backoff, STORY_ENGINE RATE FIVE("1.0") FIVE("2.0") FIVE("3.0"));
}

static void backoff_blames_the_death_that_is_too_many(void **state)
{
    (void)state;
    /* a burst of 9 for two workers, and 8 a second */
    BLAMES(respawn_backoff, "watch.exit", 205, "watch.exit",
           STORY_ENGINE RATE FIVE("1.00") FIVE("1.01") FIVE("1.02"));
}

static void backoff_is_not_made_good_by_a_long_calm(void **state)
{
    (void)state;
    VIOLATED(respawn_backoff,
             STORY_ENGINE RATE FIVE("1.00") FIVE("1.01") FIVE("1.02") DIES_AT_START("90.0", "206"));
}

static void backoff_counts_each_master_of_an_upgrade_by_itself(void **state)
{
    (void)state;
#define DIES_OF_NEW(t, pid)                                                                        \
    t "1 watch.fork pid=" pid " a=20\n" t "1 engine.spawn pid=" pid " slot=0 gen=1\n" t            \
      "5 watch.exit pid=" pid " a=256 b=20\n"
#define FIVE_OF_NEW(s)                                                                             \
    DIES_OF_NEW(s "1", "301")                                                                      \
    DIES_OF_NEW(s "2", "302")                                                                      \
    DIES_OF_NEW(s "3", "303") DIES_OF_NEW(s "4", "304") DIES_OF_NEW(s "5", "305")
#define NEXT "1.05 director.adopted pid=20 a=10 b=1\n"
    HOLDS(respawn_backoff, STORY_ENGINE RATE FIVE("1.00") NEXT FIVE_OF_NEW("1.06"));
    VIOLATED(respawn_backoff,
             STORY_ENGINE RATE FIVE("1.00") NEXT FIVE_OF_NEW("1.06") FIVE_OF_NEW("1.07"));
    HOLDS(respawn_backoff,
          STORY_ENGINE RATE FIVE("1.00") "1.03 director.ask pid=10 a=SIGUSR1 b=1\n" NEXT
                                         "4 director.answer pid=20 a=SIGUSR1 b=1 c=0\n");
}

static void backoff_hears_the_master(void **state)
{
    (void)state;
    HOLDS(respawn_backoff,
          STORY_ENGINE RATE FIVE("1.0") "1.1 director.ask pid=10 a=SIGUSR1 b=1\n1.2 "
                                        "director.answer pid=10 a=SIGUSR1 b=1 c=1\n");
    BLAMES(respawn_backoff, "director.ask", 10, "watch.exit",
           STORY_ENGINE RATE FIVE("1.0") "1.1 director.ask pid=10 a=SIGUSR1 b=1\n4 director.answer "
                                         "pid=10 a=SIGUSR1 b=1 c=0\n");
    /* long after the loop it is not the loop's doing */
    HOLDS(respawn_backoff,
          STORY_ENGINE RATE FIVE("1.0") "9 director.ask pid=10 a=SIGUSR1 b=1\n12 director.answer "
                                        "pid=10 a=SIGUSR1 b=1 c=0\n");
}

static void backoff_is_not_about_workers_of_failed_reloads(void **state)
{
    (void)state;
    UNKNOWN(respawn_backoff,
            STORY_ENGINE RATE "0.9 engine.reload pid=10 gen=2\n" FIVE("1.00") FIVE("1.01")
                FIVE("1.02") "1.1 engine.reloaded pid=10 gen=1 a=undone b=2\n");
}

static void backoff_is_not_about_workers_that_served(void **state)
{
    (void)state;
    UNKNOWN(respawn_backoff, STORY_ENGINE RATE KILLED("1.00", "11", "0") KILLED("1.01", "12", "1"));
    /* without a trace: who lived for long had started */
    UNKNOWN(respawn_backoff,
            STORY_SERVER RATE "1 watch.fork pid=201 a=10\n1.2 watch.exit pid=201 a=9 b=10\n"
                              "1 watch.fork pid=202 a=10\n1.2 watch.exit pid=202 a=9 b=10\n"
                              "1 watch.fork pid=203 a=10\n1.2 watch.exit pid=203 a=9 b=10\n"
                              "1 watch.fork pid=204 a=10\n1.2 watch.exit pid=204 a=9 b=10\n"
                              "1 watch.fork pid=205 a=10\n1.2 watch.exit pid=205 a=9 b=10\n");
}

/* Without a trace, ten in 0.1 s. */
#define YOUNG(t, pid) t " watch.fork pid=" pid " a=10\n" t "9 watch.exit pid=" pid " a=256 b=10\n"
#define UNTRACED_FIVE(s)                                                                           \
    YOUNG(s "1", "201")                                                                            \
    YOUNG(s "2", "202") YOUNG(s "3", "203") YOUNG(s "4", "204") YOUNG(s "5", "205")

static void backoff_of_an_untraced_server_goes_by_how_long_they_lived(void **state)
{
    (void)state;
    BLAMES(respawn_backoff, "watch.exit", 205, "watch.exit",
           STORY_SERVER RATE UNTRACED_FIVE("1.00") UNTRACED_FIVE("1.01"));
    HOLDS(respawn_backoff, STORY_SERVER RATE UNTRACED_FIVE("1.0") UNTRACED_FIVE("2.0"));
}

static void backoff_needs_a_loop_and_a_rate(void **state)
{
    (void)state;
    UNKNOWN(respawn_backoff, STORY_ENGINE RATE DIES_AT_START("1.0", "201"));
    UNKNOWN(respawn_backoff, STORY_ENGINE FIVE("1.00") FIVE("1.01") FIVE("1.02"));
}

/* ---- respawn/fork-failure -------------------------------------------------------------------- */

#define FORK_FAILS(t) t " engine.spawn_failed pid=10 slot=0 gen=1 a=EAGAIN b=50ms\n"
/* errno, EAGAIN */
#define FAULT_AT(t, point) t " fault.fired pid=10 a=" point " b=4294967307 c=1\n"
#define FORK_FAULT(t) FAULT_AT(t, "proc.fork")
#define BACK(t) t " watch.fork pid=13 a=10\n" t "1 engine.spawn pid=13 slot=0 gen=1\n"

static void fork_failure_holds_when_all_run_again(void **state)
{
    (void)state;
    HOLDS(respawn_fork_failure, STORY_ENGINE KILLED("1.00", "11", "0") FORK_FAULT("1.01")
                                    FORK_FAILS("1.01") FORK_FAULT("1.10") FORK_FAILS("1.10")
                                        BACK("3.00") "8 watch.tree pid=10 a=2\n" ENDS("9.0"));
}

static void fork_failure_blames_a_slot_left_empty(void **state)
{
    (void)state;
    BLAMES(respawn_fork_failure, "engine.spawn_failed", 10, NULL,
           STORY_ENGINE KILLED("1.00", "11", "0") FORK_FAILS("1.10") ENDS("9.0"));
    /* who gives up does not even tell of it */
    BLAMES(respawn_fork_failure, "fault.fired", 10, NULL,
           STORY_ENGINE KILLED("1.00", "11", "0") FORK_FAULT("1.10") ENDS("9.0"));
}

static void fork_failure_blames_a_late_recovery_and_no_pause(void **state)
{
    (void)state;
    VIOLATED(respawn_fork_failure,
             STORY_ENGINE KILLED("1.00", "11", "0") FORK_FAILS("1.10") BACK("3.20") ENDS("9.0"));
    BLAMES(respawn_fork_failure, "engine.spawn_failed", 10, "engine.spawn_failed",
           STORY_ENGINE KILLED("1.00", "11", "0") FORK_FAILS("1.1000") FORK_FAILS("1.1001")
               FORK_FAILS("1.1002") FORK_FAILS("1.1003") BACK("1.20") ENDS("9.0"));
}

static void fork_failure_blames_the_end_of_the_master(void **state)
{
    (void)state;
    BLAMES(respawn_fork_failure, "watch.exit", 10, "engine.spawn_failed",
           STORY_ENGINE KILLED("1.00", "11", "0")
               FORK_FAILS("1.10") "1.2 watch.exit pid=10 a=256 b=1\n");
    /* one that was told to go */
    UNKNOWN(respawn_fork_failure,
            STORY_ENGINE KILLED("1.00", "11", "0")
                FORK_FAILS("1.10") "1.15 director.signal pid=10 a=SIGQUIT b=master\n"
                                   "1.2 watch.exit pid=10 a=0 b=1\n");
}

static void fork_failure_does_not_take_other_faults_for_forks(void **state)
{
    (void)state;
    UNKNOWN(respawn_fork_failure, STORY_ENGINE FORK_FAULT("1.01") ENDS("9.0"));
    /* the same errno, elsewhere in the master, while a worker is missing */
#define MISSING(point)                                                                             \
    STORY_ENGINE KILLED("1.00", "11", "0") FAULT_AT("1.01", point) BACK("1.20") ENDS("9.0")
    UNKNOWN(respawn_fork_failure, MISSING("net.sendmsg"));
    UNKNOWN(respawn_fork_failure, MISSING("proc.kill"));
    HOLDS(respawn_fork_failure, MISSING("proc.fork"));
    HOLDS(respawn_fork_failure, MISSING("net.socketpair"));
    HOLDS(respawn_fork_failure, MISSING("ipc.pipe"));
    /* a delay is no failure */
    UNKNOWN(
        respawn_fork_failure,
        STORY_ENGINE KILLED(
            "1.00", "11", "0") "1.01 fault.fired pid=10 a=proc.fork b=8589934592 c=1\n" BACK("1.20")
            ENDS("9.0"));
    UNKNOWN(respawn_fork_failure,
            STORY_ENGINE KILLED("1.00", "11",
                                "0") "1.01 fault.fired pid=12 a=12 b=4294967307 c=1\n" ENDS("9.0"));
    UNKNOWN(respawn_fork_failure,
            STORY_ENGINE KILLED("1.00", "11",
                                "0") "1.01 fault.fired pid=10 a=9 b=4294967300 c=1\n" BACK("1.20")
                ENDS("9.0"));
}

/* The watcher polls, each 10 ms: it tells of the exit after the master has tried to replace it. */
static void fork_failure_is_known_before_the_death_is_told(void **state)
{
    (void)state;
#define POLLED(t) t " watch.exit pid=11 a=unknown b=10\n"
    HOLDS(respawn_fork_failure, STORY_SERVER FORK_FAULT("1.001")
                                    POLLED("1.009") "1.2 watch.fork pid=13 a=10\n" ENDS("9.0"));
    BLAMES(respawn_fork_failure, "fault.fired", 10, NULL,
           STORY_SERVER FORK_FAULT("1.001") POLLED("1.009") ENDS("9.0"));
    /* a death that has nothing to do with it */
    UNKNOWN(respawn_fork_failure, STORY_SERVER FORK_FAULT("1.001") POLLED("3.009") ENDS("9.0"));
}

static void fork_failure_of_several_slots_at_once_is_no_haste(void **state)
{
    (void)state;
    HOLDS(respawn_fork_failure,
          STORY_ENGINE KILLED("1.00", "11", "0") FORK_FAILS(
              "1.1000") "1.1001 engine.spawn_failed pid=10 slot=1 gen=1 a=EAGAIN b=50ms\n"
                        "1.1002 engine.spawn_failed pid=10 slot=2 gen=1 a=EAGAIN b=50ms\n"
                        "1.1003 engine.spawn_failed pid=10 slot=3 gen=1 a=EAGAIN b=50ms\n" BACK(
                            "1.20") ENDS("9.0"));
}

static void fork_failure_of_two_masters_is_no_haste(void **state)
{
    (void)state;
#define FAILS_IN(t, master) t " engine.spawn_failed pid=" master " slot=0 gen=1 a=EAGAIN\n"
    VIOLATED(respawn_fork_failure, STORY_ENGINE FAILS_IN("1.0001", "10") FAILS_IN("1.0002", "10")
                                       FAILS_IN("1.0003", "10") FAILS_IN("1.0004", "10"));
    UNKNOWN(respawn_fork_failure,
            STORY_ENGINE FAILS_IN("1.0001", "10") FAILS_IN("1.0002", "20") FAILS_IN("1.0003", "20")
                FAILS_IN("1.0004", "20") ENDS("1.5"));
}

static void fork_failure_needs_a_failure_and_time(void **state)
{
    (void)state;
    UNKNOWN(respawn_fork_failure, STORY_ENGINE KILLED("1.00", "11", "0") BACK("1.10") ENDS("9.0"));
    UNKNOWN(respawn_fork_failure,
            STORY_ENGINE KILLED("1.00", "11", "0") FORK_FAILS("1.10") ENDS("2.0"));
}

/* ---- respawn/hung ---------------------------------------------------------------------------- */

#define BOUND "-2 director.param a=watchdog_bound b=2500ms\n"
#define STOPPED(t) t " director.signal pid=11 a=SIGSTOP b=worker\n" t "8 watch.state pid=11 a=84\n"
#define WATCHDOG(t, number) t " engine.watchdog pid=11 slot=0 gen=1 a=" number " b=400ms\n"
#define ENDED(t)                                                                                   \
    t " watch.exit pid=11 a=9 b=10\n" t "3 engine.worker_exit pid=11 slot=0 gen=1 a=9\n"

static void hung_holds_when_it_is_aborted_then_killed(void **state)
{
    (void)state;
    HOLDS(respawn_hung, STORY_ENGINE BOUND STOPPED("1.00") WATCHDOG("1.50", "SIGABRT")
                            WATCHDOG("2.50", "SIGKILL") ENDED("2.51") ENDS("9.0"));
    HOLDS(respawn_hung, STORY_ENGINE BOUND STOPPED("1.00") WATCHDOG("1.50", "SIGABRT")
                            WATCHDOG("2.50", "SIGKILL") ENDED("3.49") ENDS("9.0"));
}

static void hung_blames_a_silence_that_nobody_ends(void **state)
{
    (void)state;
    BLAMES(respawn_hung, "watch.state", 11, NULL,
           STORY_ENGINE BOUND STOPPED("1.00") "2 engine.request pid=12 slot=1 conn=7 req=7\n" ENDS(
               "9.0"));
    BLAMES(respawn_hung, "watch.state", 11, "watch.exit",
           STORY_ENGINE BOUND STOPPED("1.00") ENDED("3.60") ENDS("9.0"));
    /* also if the story lets it go on in the end */
    BLAMES(respawn_hung, "watch.state", 11, "director.signal",
           STORY_ENGINE BOUND STOPPED("1.00") "6 director.signal pid=11 a=SIGCONT b=worker\n"
                                              "6.01 watch.state pid=11 a=83\n" ENDS("9.0"));
}

static void hung_blames_a_kill_without_an_abort(void **state)
{
    (void)state;
    BLAMES(respawn_hung, "engine.watchdog", 11, "watch.state",
           STORY_ENGINE BOUND STOPPED("1.00") WATCHDOG("1.50", "SIGKILL") ENDED("1.51")
               ENDS("9.0"));
}

static void hung_spares_who_is_let_go_on_before_the_watchdog(void **state)
{
    (void)state;
    UNKNOWN(respawn_hung,
            STORY_ENGINE BOUND STOPPED(
                "1.00") "1.3 director.signal pid=11 a=SIGCONT b=worker\n" ENDS("9.0"));
    UNKNOWN(respawn_hung,
            STORY_ENGINE BOUND STOPPED("1.00") "1.3 watch.state pid=11 a=82\n" ENDS("9.0"));
}

/* kind 6: stall */
#define STALLS "1 fault.fired pid=11 slot=0 a=30 b=25769803776 c=1\n"

static void hung_knows_a_worker_that_stalls(void **state)
{
    (void)state;
    BLAMES(respawn_hung, "fault.fired", 11, NULL, STORY_ENGINE BOUND STALLS ENDS("9.0"));
    HOLDS(respawn_hung,
          STORY_ENGINE BOUND STALLS WATCHDOG(
              "1.50", "SIGABRT") "1.01 watch.state pid=11 a=83\n" ENDED("2.00") ENDS("9.0"));
    UNKNOWN(respawn_hung,
            STORY_ENGINE BOUND STALLS "2 fault.disarmed pid=1 a=30 b=6\n" ENDS("9.0"));
    UNKNOWN(respawn_hung,
            STORY_ENGINE BOUND STALLS "2 engine.request pid=11 slot=0 conn=7 req=7\n" ENDS("9.0"));
    VIOLATED(respawn_hung,
             STORY_ENGINE BOUND STALLS "7 fault.disarmed pid=1 a=30 b=6\n" ENDS("9.0"));
}

static void hung_counts_the_silence_that_the_watchdog_tells(void **state)
{
    (void)state;
    struct judge_result r = story_judge(
        G_respawn_hung, STORY_ENGINE BOUND WATCHDOG("1.50", "SIGABRT") ENDED("1.60") ENDS("9.0"));
    assert_int_equal(r.verdict, VERDICT_HOLDS);
    assert_non_null(strstr(r.text, "500 ms at worst"));
}

static void hung_needs_a_silence_and_a_bound(void **state)
{
    (void)state;
    UNKNOWN(respawn_hung, STORY_ENGINE BOUND ENDS("9.0"));
    UNKNOWN(respawn_hung, STORY_ENGINE STOPPED("1.00") ENDS("9.0"));
    UNKNOWN(respawn_hung, STORY_ENGINE BOUND STOPPED("1.00") ENDS("3.0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_holds_when_the_loop_slows_down),
        cmocka_unit_test(backoff_blames_the_death_that_is_too_many),
        cmocka_unit_test(backoff_is_not_made_good_by_a_long_calm),
        cmocka_unit_test(backoff_counts_each_master_of_an_upgrade_by_itself),
        cmocka_unit_test(backoff_hears_the_master),
        cmocka_unit_test(backoff_is_not_about_workers_of_failed_reloads),
        cmocka_unit_test(backoff_is_not_about_workers_that_served),
        cmocka_unit_test(backoff_of_an_untraced_server_goes_by_how_long_they_lived),
        cmocka_unit_test(backoff_needs_a_loop_and_a_rate),
        cmocka_unit_test(fork_failure_holds_when_all_run_again),
        cmocka_unit_test(fork_failure_blames_a_slot_left_empty),
        cmocka_unit_test(fork_failure_blames_a_late_recovery_and_no_pause),
        cmocka_unit_test(fork_failure_blames_the_end_of_the_master),
        cmocka_unit_test(fork_failure_does_not_take_other_faults_for_forks),
        cmocka_unit_test(fork_failure_is_known_before_the_death_is_told),
        cmocka_unit_test(fork_failure_of_several_slots_at_once_is_no_haste),
        cmocka_unit_test(fork_failure_of_two_masters_is_no_haste),
        cmocka_unit_test(fork_failure_needs_a_failure_and_time),
        cmocka_unit_test(hung_holds_when_it_is_aborted_then_killed),
        cmocka_unit_test(hung_blames_a_silence_that_nobody_ends),
        cmocka_unit_test(hung_blames_a_kill_without_an_abort),
        cmocka_unit_test(hung_spares_who_is_let_go_on_before_the_watchdog),
        cmocka_unit_test(hung_knows_a_worker_that_stalls),
        cmocka_unit_test(hung_counts_the_silence_that_the_watchdog_tells),
        cmocka_unit_test(hung_needs_a_silence_and_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
