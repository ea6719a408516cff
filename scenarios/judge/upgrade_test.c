/* upgrade: what the judge says of a new binary, in hand-made histories. */
#include "scenarios/judge/judge_story.h"

#define ENDS(t) t " director.stop pid=10 a=1\n"
#define ASKS(t) t " director.upgrade pid=10 a=1 b=1 c=7\n"
#define ASKS_IN_VAIN(t) t " director.upgrade pid=10 a=0 b=1 c=7\n"
#define SEEN(t, what, new) t " director.upgraded pid=10 a=" what " b=1 c=" new "\n"
#define SIGNAL(t, number, who) t " director.signal pid=" who " a=" number " b=master\n"
/* Master 20 with workers 21 and 22. */
#define NEW                                                                                        \
    "1.1 watch.fork pid=20 a=10\n1.2 watch.exec pid=20\n"                                          \
    "1.3 watch.fork pid=21 a=20\n1.3 watch.fork pid=22 a=20\n"
#define FILES(t, current, old)                                                                     \
    t " watch.pidfile pid=" current " a=0 b=1\n" t " watch.pidfile pid=" old " a=1 b=1\n"
#define ADOPTED(t) t " director.adopted pid=20 a=10 b=1\n"
#define LOOK(t) t " watch.tree pid=10 a=2\n"
#define SERVES(t, who, first, count)                                                               \
    t " fresh conn=" first " req=" first " pid=" who " gen=1 times=" count " every=2ms\n"
#define FAILS(t) t " fresh conn=900 req=900 end=reset-before-response\n"

/* ---- upgrade/zero-loss ------------------------------------------------------------------------
 */

static void zero_loss_holds_while_all_are_served(void **state)
{
    (void)state;
    HOLDS(upgrade_zero_loss,
          STORY_ENGINE ASKS("1") NEW SEEN("2", "ready", "20") SERVES("2.1", "21", "100", "50")
              SIGNAL("3", "SIGQUIT", "10") ADOPTED("3.5") ENDS("9"));
    /* before it, and long after it, failures are not the upgrade's */
    HOLDS(upgrade_zero_loss,
          STORY_ENGINE FAILS("0.5") ASKS("1") NEW SEEN("2", "ready", "20")
              SERVES("2.1", "21", "100", "9") ADOPTED("3.5") FAILS("6") ENDS("9"));
}

static void zero_loss_blames_one_lost_request(void **state)
{
    (void)state;
    BLAMES(upgrade_zero_loss, "client.end", 0, "director.upgrade",
           STORY_ENGINE ASKS("1") NEW SEEN("2", "ready", "20") FAILS("3.2") ADOPTED("3.5")
               ENDS("9"));
    UNKNOWN(upgrade_zero_loss, STORY_ENGINE FAILS("3.2") ENDS("9"));
}

/* ---- upgrade/two-masters ----------------------------------------------------------------------
 */

#define GONE "2.01 engine.drain pid=11\n2.01 engine.drain pid=12\n2.02 watch.exit pid=11 a=0\n"

static void two_masters_hold_when_both_accept(void **state)
{
    (void)state;
    HOLDS(upgrade_two_masters,
          STORY_ENGINE ASKS("1") NEW FILES("1.9", "20", "10") SEEN("2", "ready", "20")
              SERVES("2.1", "21", "100", "50") SERVES("2.1", "11", "200", "50")
                  SIGNAL("3", "SIGWINCH", "10") ENDS("9"));
}

static void two_masters_blame_a_silent_side_and_wrong_files(void **state)
{
    (void)state;
    BLAMES(upgrade_two_masters, "director.upgraded", 10, NULL,
           STORY_ENGINE ASKS("1") NEW FILES("1.9", "20", "10") SEEN("2", "ready", "20")
               SERVES("2.1", "21", "100", "70") SIGNAL("3", "SIGWINCH", "10") ENDS("9"));
    VIOLATED(upgrade_two_masters,
             STORY_ENGINE ASKS("1") NEW FILES("1.9", "10", "10") SEEN("2", "ready", "20")
                 SERVES("2.1", "21", "100", "50") SERVES("2.1", "11", "200", "50")
                     SIGNAL("3", "SIGWINCH", "10") ENDS("9"));
    /* the old workers are sent away by their own master */
    VIOLATED(upgrade_two_masters,
             STORY_ENGINE ASKS("1") NEW SEEN("2", "ready", "20")
                 GONE SERVES("2.1", "21", "100", "70") SIGNAL("3", "SIGWINCH", "10") ENDS("9"));
    /* so soon that the director hears of the new one later */
    VIOLATED(upgrade_two_masters, STORY_ENGINE ASKS("1") NEW
             "1.95 engine.upgrade pid=10 a=ready b=20\n"
             "1.96 engine.drain pid=11\n1.96 engine.drain pid=12\n" SEEN("2", "ready", "20")
                 SERVES("2.1", "21", "100", "70") SIGNAL("3", "SIGWINCH", "10") ENDS("9"));
    /* too few answers to say that somebody gave none */
    UNKNOWN(upgrade_two_masters,
            STORY_ENGINE ASKS("1") NEW FILES("1.9", "20", "10") SEEN("2", "ready", "20")
                SERVES("2.1", "21", "100", "30") SIGNAL("3", "SIGWINCH", "10") ENDS("9"));
}

/* Who cannot accept, or was told to go before, is not missed. */
static void two_masters_ask_for_no_answer_of_who_is_hindered(void **state)
{
    (void)state;
    UNKNOWN(upgrade_two_masters, STORY_ENGINE
            "0.5 director.signal pid=11 a=SIGSTOP b=worker\n"
            "0.5 director.signal pid=12 a=SIGSTOP b=worker\n" ASKS("1") NEW SEEN("2", "ready", "20")
                SERVES("2.1", "21", "100", "70") SIGNAL("3", "SIGWINCH", "10") ENDS("9"));
    UNKNOWN(upgrade_two_masters, STORY_ENGINE
            "1.5 fault.fired pid=11 b=0x200000000\n"
            "1.5 director.signal pid=12 a=SIGKILL b=worker\n" ASKS("1") NEW SEEN("2", "ready", "20")
                SERVES("2.1", "21", "100", "70") SIGNAL("3", "SIGWINCH", "10") ENDS("9"));
    UNKNOWN(upgrade_two_masters,
            STORY_ENGINE ASKS("1") SIGNAL("1.5", "SIGWINCH", "10") NEW SEEN("2", "ready", "20")
                GONE SERVES("2.1", "21", "100", "70") SIGNAL("3", "SIGQUIT", "10") ENDS("9"));
    /* one of many connections says no more than one */
    UNKNOWN(upgrade_two_masters,
            STORY_ENGINE ASKS("1") NEW SEEN(
                "2", "ready",
                "20") "2.1 client.connect conn=7\n"
                      "2.1 client.request conn=7 req=100 times=99 every=2ms\n"
                      "2.101 client.first_byte conn=7 req=100 pid=21 times=99 every=2ms\n" SIGNAL(
                          "3", "SIGWINCH", "10") ENDS("9"));
}

/* ---- upgrade/rollback: converges within 2 s ---------------------------------------------------
 */

#define RESTED                                                                                     \
    ASKS("1")                                                                                      \
    NEW SEEN("2", "ready", "20")                                                                   \
        SIGNAL("3", "SIGWINCH", "10") "3.1 watch.exit pid=11 a=0\n3.1 watch.exit pid=12 a=0\n"
#define BACK "4.1 watch.fork pid=13 a=10\n4.1 watch.fork pid=14 a=10\n"

static void rollback_holds_when_the_old_is_whole(void **state)
{
    (void)state;
    HOLDS(upgrade_rollback,
          STORY_ENGINE RESTED SIGNAL("4", "SIGHUP", "10") BACK LOOK("6.1") ENDS("9"));
    HOLDS(upgrade_rollback,
          STORY_ENGINE ASKS("1") NEW SEEN("2", "ready", "20") SIGNAL("3", "SIGTERM", "20")
              FILES("3.1", "10", "0") "3.2 watch.exit pid=20 a=0\n" LOOK("5.3") ENDS("9"));
}

static void rollback_blames_missing_workers(void **state)
{
    (void)state;
    BLAMES(upgrade_rollback, "watch.tree", 10, "director.signal",
           STORY_ENGINE RESTED SIGNAL("4", "SIGHUP", "10") LOOK("6.1") ENDS("9"));
    VIOLATED(upgrade_rollback,
             STORY_ENGINE ASKS("1") NEW FILES("1.9", "20", "10") SEEN("2", "ready", "20")
                 SIGNAL("3", "SIGTERM", "20") "3.2 watch.exit pid=20 a=0\n" LOOK("5.3") ENDS("9"));
    UNKNOWN(upgrade_rollback,
            STORY_ENGINE RESTED SIGNAL("4", "SIGHUP", "10") LOOK("5.9") ENDS("9"));
    /* one that was told to go and has not heard does not count */
    HOLDS(upgrade_rollback,
          STORY_ENGINE ASKS("1") NEW SEEN("2", "ready", "20") SIGNAL(
              "3", "SIGWINCH",
              "10") "3 engine.tell pid=11 a=SIGQUIT\n3.1 watch.exit pid=12 a=0\n" SIGNAL("4",
                                                                                         "SIGHUP",
                                                                                         "10")
              BACK LOOK("6.1") ENDS("9"));
}

/* ---- upgrade/failed-start ---------------------------------------------------------------------
 */

static void failed_start_holds_when_nothing_happens(void **state)
{
    (void)state;
    HOLDS(upgrade_failed_start,
          STORY_ENGINE ASKS_IN_VAIN("1") SERVES("1.1", "11", "100", "20") SEEN("2", "failed", "0")
              ASKS("3") SEEN("4", "ready", "20") ENDS("9"));
}

static void failed_start_blames_what_it_disturbs(void **state)
{
    (void)state;
    BLAMES(upgrade_failed_start, "watch.exit", 11, "director.upgrade",
           STORY_ENGINE ASKS_IN_VAIN("1") "1.5 watch.exit pid=11 a=0\n" SEEN("2", "failed", "0")
               ENDS("9"));
    VIOLATED(upgrade_failed_start,
             STORY_ENGINE ASKS_IN_VAIN("1") FAILS("1.4") SEEN("2", "failed", "0") ENDS("9"));
    VIOLATED(upgrade_failed_start,
             STORY_ENGINE ASKS_IN_VAIN("1") "1.5 watch.pidfile pid=20 a=0 b=0\n" SEEN(
                 "2", "failed", "0") ENDS("9"));
    VIOLATED(upgrade_failed_start,
             STORY_ENGINE ASKS_IN_VAIN("1") SEEN("2", "unknown", "0") ENDS("9"));
    /* one that is left is marked as under way */
    VIOLATED(upgrade_failed_start, STORY_ENGINE ASKS_IN_VAIN("1") SEEN("2", "failed", "0") ASKS("3")
                                       SEEN("4", "refused", "0") ENDS("9"));
    UNKNOWN(upgrade_failed_start, STORY_ENGINE ASKS("3") SEEN("4", "ready", "20") ENDS("9"));
}

/* ---- upgrade/under-reaper, upgrade/paths ------------------------------------------------------
 */

static void under_reaper_is_about_the_parent(void **state)
{
    (void)state;
    HOLDS(upgrade_under_reaper, STORY_ENGINE ASKS("1") SEEN("2", "ready", "20") ENDS("9"));
    BLAMES(upgrade_under_reaper, "director.upgrade", 10, "director.upgraded",
           STORY_ENGINE ASKS("1") SEEN("2", "unknown", "0") ENDS("9"));
    UNKNOWN(upgrade_under_reaper, STORY_ENGINE
            "1 director.upgrade pid=10 a=1 b=1 c=1\n" SEEN("2", "unknown", "0") ENDS("9"));
}

#define KNOCK(t, answered) t " director.knock a=" answered " b=5\n"

static void paths_hold_when_somebody_answers(void **state)
{
    (void)state;
    HOLDS(upgrade_paths, STORY_ENGINE KNOCK("0.5", "1") ASKS("1") SEEN("2", "ready", "20")
                             KNOCK("2.5", "1") ADOPTED("3") KNOCK("4", "1") ENDS("9"));
    BLAMES(upgrade_paths, "director.knock", 0, "director.upgrade",
           STORY_ENGINE ASKS("1") SEEN("2", "ready", "20") KNOCK("2.5", "1") ADOPTED("3")
               KNOCK("4", "0") ENDS("9"));
    UNKNOWN(upgrade_paths,
            STORY_ENGINE ASKS("1") SEEN("2", "ready", "20") KNOCK("2.5", "1") ENDS("9"));
    UNKNOWN(upgrade_paths, STORY_ENGINE KNOCK("0.5", "1") ENDS("9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_loss_holds_while_all_are_served),
        cmocka_unit_test(zero_loss_blames_one_lost_request),
        cmocka_unit_test(two_masters_hold_when_both_accept),
        cmocka_unit_test(two_masters_blame_a_silent_side_and_wrong_files),
        cmocka_unit_test(two_masters_ask_for_no_answer_of_who_is_hindered),
        cmocka_unit_test(rollback_holds_when_the_old_is_whole),
        cmocka_unit_test(rollback_blames_missing_workers),
        cmocka_unit_test(failed_start_holds_when_nothing_happens),
        cmocka_unit_test(failed_start_blames_what_it_disturbs),
        cmocka_unit_test(under_reaper_is_about_the_parent),
        cmocka_unit_test(paths_hold_when_somebody_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
