/* control: what the judge says of signals and the pid file, in hand-made histories. */
#include "scenarios/judge/judge_story.h"

#define ENDS(t) t " director.stop pid=10 a=1\n"
#define ASKED(t, number) t " director.ask pid=10 a=SIGUSR1 b=" number "\n"
#define ANSWERED(t, number, seen) t " director.answer pid=10 a=SIGUSR1 b=" number " c=" seen "\n"

/* ---- control/responsive: within 1 s ---------------------------------------------------------- */

static void responsive_holds_up_to_its_bound(void **state)
{
    (void)state;
    HOLDS(control_responsive, STORY_ENGINE "0.5 director.signal pid=11 a=SIGSTOP b=worker\n" ASKED(
                                  "1", "1") ANSWERED("1.999", "1", "1") ENDS("9"));
}

static void responsive_blames_a_late_effect_and_none(void **state)
{
    (void)state;
    BLAMES(control_responsive, "director.ask", 10, "director.answer",
           STORY_ENGINE ASKED("1", "1") ANSWERED("2.2", "1", "1") ENDS("9"));
    BLAMES(control_responsive, "director.ask", 10, "director.answer",
           STORY_ENGINE ASKED("1", "1") ANSWERED("4", "1", "0") ENDS("9"));
    BLAMES(control_responsive, "director.ask", 10, NULL, STORY_ENGINE ASKED("1", "1") ENDS("9"));
}

static void responsive_matches_answers_by_number(void **state)
{
    (void)state;
    HOLDS(control_responsive, STORY_ENGINE ASKED("1", "1") ASKED("1.8", "2")
                                  ANSWERED("1.9", "1", "1") ANSWERED("2.7", "2", "1") ENDS("9"));
}

static void responsive_cannot_tell_what_was_not_waited_for(void **state)
{
    (void)state;
    UNKNOWN(control_responsive, STORY_ENGINE ASKED("1", "1") ANSWERED("1.3", "1", "0") ENDS("9"));
    UNKNOWN(control_responsive, STORY_ENGINE ASKED("1", "1") ENDS("1.5"));
    UNKNOWN(control_responsive, STORY_ENGINE ENDS("9"));
}

static void responsive_spares_a_master_that_another_follows(void **state)
{
    (void)state;
#define FOLLOWED "1.5 director.adopted pid=20 a=10 b=1\n"
    UNKNOWN(control_responsive,
            STORY_ENGINE ASKED("1", "1") FOLLOWED ANSWERED("4", "1", "0") ENDS("9"));
    UNKNOWN(control_responsive, STORY_ENGINE ASKED("1", "1") FOLLOWED ENDS("9"));
    VIOLATED(control_responsive, STORY_ENGINE ASKED("1", "1") ANSWERED(
                                     "4", "1", "0") "5 director.adopted pid=20 a=10\n" ENDS("9"));
}

static void responsive_spares_a_director_on_a_late_machine(void **state)
{
    (void)state;
    UNKNOWN(control_responsive, STORY_ENGINE ASKED("1", "1") "2.1 client.lag a=900ms\n" ANSWERED(
                                    "2.2", "1", "1") ENDS("9"));
    VIOLATED(control_responsive, STORY_ENGINE ASKED("1", "1") "2.1 client.lag a=9ms\n" ANSWERED(
                                     "2.2", "1", "1") ENDS("9"));
}

/* ---- control/storm: converges within 2 s ----------------------------------------------------- */

#define STORM                                                                                      \
    "1 director.storm pid=10 b=1\n1 storm.signal pid=10 a=SIGHUP b=master times=100 every=1ms\n"   \
    "1.2 director.storm pid=10 b=0 c=100\n"
#define TREE(t, count) t " watch.tree pid=10 a=2 times=" count " every=10ms\n"
/* Generation 2 has come: workers 13 and 14. */
#define RENEWED                                                                                    \
    "1.1 engine.reload pid=10 gen=2\n"                                                             \
    "1.2 engine.spawn pid=13 slot=0 gen=2\n1.2 engine.spawn pid=14 slot=1 gen=2\n"                 \
    "1.3 engine.worker_ready pid=13 slot=0 gen=2\n1.3 engine.worker_ready pid=14 slot=1 gen=2\n"   \
    "1.4 engine.reloaded pid=10 gen=2 a=ok b=2\n"
#define RETIRED(pid)                                                                               \
    "1.4 engine.drain pid=" pid " gen=1\n1.5 engine.worker_exit pid=" pid " gen=1\n"

static void storm_holds_when_the_tree_converges(void **state)
{
    (void)state;
    HOLDS(control_storm, STORY_ENGINE STORM RENEWED RETIRED("11") RETIRED("12") TREE("0", "900"));
    /* one old worker still serves a long request */
    HOLDS(control_storm, STORY_ENGINE STORM RENEWED RETIRED(
                             "11") "1.4 engine.drain pid=12 gen=1\n" TREE("0", "900"));
    HOLDS(control_storm,
          STORY_ENGINE STORM ASKED("1.5", "1") ANSWERED("1.6", "1", "1") TREE("0", "900"));
    HOLDS(control_storm, STORY_SERVER STORM TREE("0", "900"));
}

static void storm_blames_an_old_generation_that_was_forgotten(void **state)
{
    (void)state;
    BLAMES(control_storm, "watch.tree", 10, "director.storm",
           STORY_ENGINE STORM RENEWED TREE("0", "900"));
    /* as many as configured, but of two generations */
    BLAMES(control_storm, "watch.tree", 10, "director.storm",
           STORY_ENGINE STORM RENEWED RETIRED("11") "1.6 watch.exit pid=13 a=9\n" TREE("0", "900"));
}

static void storm_blames_missing_workers_and_zombies(void **state)
{
    (void)state;
    BLAMES(control_storm, "watch.tree", 10, "director.storm",
           STORY_ENGINE STORM "1.2 watch.exit pid=11 a=9\n" TREE("0", "900"));
    BLAMES(control_storm, "watch.tree", 10, "director.storm",
           STORY_ENGINE STORM "3.3 watch.tree pid=10 a=2 b=1 c=2100ms\n");
    HOLDS(control_storm, STORY_ENGINE STORM "3.3 watch.tree pid=10 a=2 b=1 c=5ms\n");
}

/* The reload that the storm asked for was undone: 14 stalls, and hears of nothing. */
static void storm_is_not_about_workers_that_never_served(void **state)
{
    (void)state;
    HOLDS(control_storm,
          STORY_ENGINE STORM TREE(
              "0", "900") "1.1 engine.reload pid=10 gen=2\n1.1 engine.spawn pid=14 slot=0 gen=2\n"
                          "1.3 engine.reloaded pid=10 gen=2 a=undone b=2\n");
    VIOLATED(
        control_storm,
        STORY_ENGINE STORM TREE(
            "0", "900") "1.1 engine.reload pid=10 gen=2\n1.1 engine.spawn pid=14 slot=2 gen=1\n"
                        "1.3 engine.reloaded pid=10 gen=2 a=undone b=2\n");
}

static void storm_waits_for_what_the_story_does_besides(void **state)
{
    (void)state;
    /* a worker is killed 1.9 s after the storm, and replaced as fast as can be */
    HOLDS(control_storm,
          STORY_ENGINE STORM TREE(
              "0",
              "900") "3.1 director.signal pid=11 a=SIGKILL b=worker\n3.1001 watch.exit pid=11 a=9\n"
                     "3.3 watch.fork pid=15 a=10\n3.3 engine.spawn pid=15 slot=0 gen=1\n");
    /* an exit that nobody asked for is no excuse */
    VIOLATED(control_storm, STORY_ENGINE STORM TREE("0", "900") "3.1 watch.exit pid=11 a=9\n");
}

static void storm_blames_a_deaf_master(void **state)
{
    (void)state;
    BLAMES(control_storm, "director.answer", 10, "director.storm",
           STORY_ENGINE STORM ASKED("1.5", "1") ANSWERED("4", "1", "0") TREE("0", "900"));
}

static void storm_needs_a_storm_and_a_look(void **state)
{
    (void)state;
    UNKNOWN(control_storm, STORY_ENGINE TREE("0", "900"));
    UNKNOWN(control_storm, STORY_ENGINE ASKED("1.5", "1") ANSWERED("4", "1", "0") TREE("0", "900"));
    UNKNOWN(control_storm, STORY_ENGINE STORM TREE("0", "300"));
}

/* ---- control/coalescing ---------------------------------------------------------------------- */

#define ZOMBIES "-2 director.param a=zombie_bound b=400ms\n"
#define BOTH_DIE "1 watch.exit pid=11 a=9 b=10\n1.001 watch.exit pid=12 a=9 b=10\n"
#define REAPED(t, pid)                                                                             \
    t " engine.worker_exit pid=" pid " gen=1 a=9\n" t "1 watch.reaped pid=" pid "\n"

static void coalescing_holds_when_all_are_reaped(void **state)
{
    (void)state;
    HOLDS(control_coalescing,
          STORY_ENGINE ZOMBIES BOTH_DIE REAPED("1.01", "11") REAPED("1.38", "12") TREE("0", "300"));
    HOLDS(control_coalescing, STORY_SERVER ZOMBIES BOTH_DIE
          "1.02 watch.reaped pid=11\n1.02 watch.reaped pid=12\n" TREE("0", "300"));
}

static void coalescing_blames_the_exit_that_was_lost(void **state)
{
    (void)state;
    BLAMES(control_coalescing, "watch.exit", 12, "watch.exit",
           STORY_ENGINE ZOMBIES BOTH_DIE REAPED("1.01", "11") TREE("0", "300"));
    BLAMES(control_coalescing, "watch.exit", 11, "watch.exit",
           STORY_ENGINE ZOMBIES BOTH_DIE REAPED("1.01", "12") REAPED("1.60", "11")
               TREE("0", "300"));
}

static void coalescing_takes_the_master_for_its_word(void **state)
{
    (void)state;
    /* a watcher that polls sees the exit after the master has reaped, and that it is gone later */
    HOLDS(control_coalescing, STORY_ENGINE ZOMBIES
          "1 engine.worker_exit pid=11 gen=1 a=9\n1 engine.worker_exit pid=12 gen=1 a=9\n"
          "1.002 watch.exit pid=11 a=9 b=10\n1.002 watch.exit pid=12 a=9 b=10\n"
          "1.01 watch.reaped pid=11\n1.01 watch.reaped pid=12\n" TREE("0", "300"));
    /* one that ended before its master said that it was to be another master */
    HOLDS(control_coalescing, STORY_ENGINE ZOMBIES
          "0.9 watch.fork pid=13 a=10\n0.999 watch.exit pid=13 a=127 b=10\n"
          "0.9991 engine.upgrade pid=10 gen=1 a=started b=13\n1 watch.reaped pid=13\n"
          "1 watch.exit pid=11 a=9 b=10\n1.01 watch.reaped pid=11\n" TREE("0", "300"));
}

static void coalescing_is_about_exits_at_the_same_time(void **state)
{
    (void)state;
    UNKNOWN(control_coalescing, STORY_ENGINE ZOMBIES
            "1 watch.exit pid=11 a=9 b=10\n1.03 watch.exit pid=12 a=9 b=10\n" REAPED("1.10", "12")
                TREE("0", "300"));
    /* the stop reaps in its own way */
    UNKNOWN(control_coalescing, STORY_ENGINE ZOMBIES ENDS("0.9") BOTH_DIE TREE("0", "300"));
}

/* ---- control/pid-file ------------------------------------------------------------------------ */

#define NAMES(t, pid, right) t " watch.pidfile pid=" pid " b=" right "\n"

static void pid_file_holds_from_ready_to_stop(void **state)
{
    (void)state;
    HOLDS(control_pid_file,
          STORY_SERVER NAMES("-0.7", "0", "0")
              NAMES("-0.1", "10", "1") "1 director.reloaded pid=10 gen=2 a=ok b=1\n" ENDS("5")
                  NAMES("5.1", "0", "0"));
}

static void pid_file_blames_what_it_says(void **state)
{
    (void)state;
    BLAMES(control_pid_file, "watch.pidfile", 11, NULL,
           STORY_SERVER NAMES("-0.1", "10", "1") NAMES("1.1", "11", "0") ENDS("5"));
    /* absent, if only for a moment */
    BLAMES(control_pid_file, "watch.pidfile", 0, NULL,
           STORY_SERVER NAMES("-0.1", "10", "1") NAMES("1.1", "0", "0") NAMES("1.11", "10", "1")
               ENDS("5"));
}

static void pid_file_gives_the_watcher_time_at_ready(void **state)
{
    (void)state;
    HOLDS(control_pid_file,
          STORY_SERVER NAMES("-0.1", "0", "0") NAMES("0.05", "10", "1") ENDS("5"));
    BLAMES(control_pid_file, "watch.pidfile", 0, NULL,
           STORY_SERVER NAMES("-0.1", "0", "0") NAMES("0.5", "10", "1") ENDS("5"));
    VIOLATED(control_pid_file, STORY_SERVER NAMES("-0.1", "0", "0") ENDS("5"));
}

static void pid_file_of_a_master_that_the_story_kills_is_spared(void **state)
{
    (void)state;
    HOLDS(control_pid_file,
          STORY_SERVER NAMES("-0.1", "10",
                             "1") "1 director.signal pid=10 a=SIGKILL b=master\n1.001 watch.exit "
                                  "pid=10 a=9\n" NAMES("1.01", "10", "0") ENDS("5"));
    VIOLATED(control_pid_file,
             STORY_SERVER NAMES("-0.1", "10", "1") "1.001 watch.exit pid=10 a=256\n" NAMES(
                 "1.01", "10", "0") ENDS("5"));
}

/* nginx moves the file before it starts the new binary, which writes it later. */
static void pid_file_may_be_away_while_a_new_binary_starts(void **state)
{
    (void)state;
#define AWAY                                                                                       \
    NAMES("-0.1", "10", "1")                                                                       \
    "1 director.upgrade pid=10 a=1 b=1\n" NAMES("1.1", "0", "0")
    HOLDS(control_pid_file,
          STORY_SERVER AWAY NAMES("1.2", "20",
                                  "1") "1.3 director.upgraded pid=10 a=ready b=1 c=20\n" ENDS("5"));
    /* or come back a moment after the new one has gone */
    HOLDS(control_pid_file,
          STORY_SERVER NAMES("-0.1", "10", "1") "1 watch.pidfile pid=10 a=1 b=1\n" NAMES("1.1", "0",
                                                                                         "0")
              NAMES("1.11", "10", "1") "1.12 watch.pidfile pid=0 a=1 b=0\n" ENDS("5"));
    VIOLATED(control_pid_file,
             STORY_SERVER AWAY "1.3 director.upgraded pid=10 a=failed b=1\n" ENDS("5"));
}

static void pid_file_needs_a_watcher(void **state)
{
    (void)state;
    UNKNOWN(control_pid_file, STORY_SERVER ENDS("5"));
    /* .oldbin is another file */
    UNKNOWN(control_pid_file, STORY_SERVER "1 watch.pidfile pid=0 a=1 b=0\n" ENDS("5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responsive_holds_up_to_its_bound),
        cmocka_unit_test(responsive_blames_a_late_effect_and_none),
        cmocka_unit_test(responsive_matches_answers_by_number),
        cmocka_unit_test(responsive_cannot_tell_what_was_not_waited_for),
        cmocka_unit_test(responsive_spares_a_master_that_another_follows),
        cmocka_unit_test(responsive_spares_a_director_on_a_late_machine),
        cmocka_unit_test(storm_holds_when_the_tree_converges),
        cmocka_unit_test(storm_blames_an_old_generation_that_was_forgotten),
        cmocka_unit_test(storm_blames_missing_workers_and_zombies),
        cmocka_unit_test(storm_is_not_about_workers_that_never_served),
        cmocka_unit_test(storm_waits_for_what_the_story_does_besides),
        cmocka_unit_test(storm_blames_a_deaf_master),
        cmocka_unit_test(storm_needs_a_storm_and_a_look),
        cmocka_unit_test(coalescing_holds_when_all_are_reaped),
        cmocka_unit_test(coalescing_blames_the_exit_that_was_lost),
        cmocka_unit_test(coalescing_takes_the_master_for_its_word),
        cmocka_unit_test(coalescing_is_about_exits_at_the_same_time),
        cmocka_unit_test(pid_file_holds_from_ready_to_stop),
        cmocka_unit_test(pid_file_blames_what_it_says),
        cmocka_unit_test(pid_file_gives_the_watcher_time_at_ready),
        cmocka_unit_test(pid_file_of_a_master_that_the_story_kills_is_spared),
        cmocka_unit_test(pid_file_may_be_away_while_a_new_binary_starts),
        cmocka_unit_test(pid_file_needs_a_watcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
