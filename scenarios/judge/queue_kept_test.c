/* respawn/equal, respawn/queue-kept, reload/queue-kept, in hand-made histories. */
#include "scenarios/judge/judge_story.h"

#define ENDS(t) t " director.stop pid=10 a=1\n"

/* ---- respawn/equal ----------------------------------------------------------------------------
 */

#define HAS(t, who, trait, value) t " watch.trait pid=" who " a=" trait " b=" value "\n"
#define FIRST                                                                                      \
    HAS("0.2", "11", "affinity", "1")                                                              \
    HAS("0.2", "12", "affinity", "2")                                                              \
    HAS("0.2", "11", "limits", "7") HAS("0.2", "12", "limits", "7")
#define AGAIN                                                                                      \
    "1.15 engine.worker_ready pid=13 slot=0 gen=1\n1 engine.worker_exit pid=11 slot=0 gen=1 "      \
    "a=9\n1.1 engine.spawn pid=13 slot=0 gen=1\n"

static void equal_holds_for_the_same(void **state)
{
    (void)state;
    HOLDS(respawn_equal, STORY_ENGINE FIRST AGAIN HAS("1.3", "13", "affinity", "1")
                             HAS("1.3", "13", "limits", "7") ENDS("9"));
    /* a worker of a new configuration takes nobody's place */
    UNKNOWN(respawn_equal, STORY_ENGINE FIRST
            "1 engine.spawn pid=13 slot=0 gen=2\n" HAS("1.3", "13", "limits", "8") ENDS("9"));
}

static void equal_blames_what_differs(void **state)
{
    (void)state;
    BLAMES(respawn_equal, "watch.trait", 13, "watch.trait",
           STORY_ENGINE FIRST AGAIN HAS("1.3", "13", "limits", "8") ENDS("9"));
    /* the processors of its neighbour are not its own */
    VIOLATED(respawn_equal, STORY_ENGINE FIRST AGAIN HAS("1.3", "13", "affinity", "2") ENDS("9"));
    VIOLATED(respawn_equal, STORY_ENGINE
             "0.5 client.first_byte pid=11 gen=4\n" AGAIN
             "1.2 client.first_byte pid=13 gen=3\n" HAS("1.3", "13", "limits", "7") ENDS("9"));
}

static void equal_needs_one_that_was_seen(void **state)
{
    (void)state;
    /* it died too soon after it was ready */
    UNKNOWN(respawn_equal, STORY_ENGINE FIRST AGAIN HAS(
                               "1.3", "13", "limits",
                               "8") "1.4 engine.worker_exit pid=13 slot=0 gen=1 a=9\n" ENDS("9"));
    UNKNOWN(respawn_equal, STORY_ENGINE FIRST AGAIN ENDS("9"));
    UNKNOWN(respawn_equal, STORY_ENGINE FIRST ENDS("9"));
}

/* ---- respawn/queue-kept -----------------------------------------------------------------------
 */

#define WAITS(t)                                                                                   \
    t " client.connect slot=0 conn=7\n" t "1 client.connected slot=0 conn=7\n" t                   \
      "2 client.request slot=0 conn=7 req=7\n"
#define DIES(t) t " watch.exit pid=11 a=9 b=10\n"
#define ACCEPTED(t) t " engine.accept pid=12 conn=7\n"
#define LOST(t) t " client.end slot=0 conn=7 req=7 a=reset-before-response\n"

static void queue_holds_when_another_accepts(void **state)
{
    (void)state;
    HOLDS(respawn_queue_kept, STORY_ENGINE WAITS("1.0") DIES("1.1") ACCEPTED("1.5") ENDS("9"));
    HOLDS(respawn_queue_kept,
          STORY_ENGINE WAITS("1.0") "1.1 director.signal pid=11 a=SIGSTOP b=worker\n" ACCEPTED(
              "1.5") ENDS("9"));
}

static void queue_blames_who_lost_one(void **state)
{
    (void)state;
    BLAMES(respawn_queue_kept, "client.end", 0, "watch.exit",
           STORY_ENGINE WAITS("1.0") DIES("1.1") LOST("1.2") ENDS("9"));
    /* one may have been accepted and not told */
    UNKNOWN(respawn_queue_kept, STORY_ENGINE WAITS("1.0") DIES("1.1") LOST("1.101") ENDS("9"));
    /* it was accepted, and is isolation's business */
    UNKNOWN(respawn_queue_kept, STORY_ENGINE WAITS("1.0") "1.05 engine.accept pid=11 conn=7\n" DIES(
                                    "1.1") LOST("1.2") ENDS("9"));
}

static void queue_needs_a_death_and_a_trace(void **state)
{
    (void)state;
    UNKNOWN(respawn_queue_kept, STORY_ENGINE WAITS("1.0") ACCEPTED("1.5") ENDS("9"));
    UNKNOWN(respawn_queue_kept, STORY_ENGINE DIES("1.1") WAITS("3.0") ACCEPTED("3.5") ENDS("9"));
    UNKNOWN(respawn_queue_kept, STORY_SERVER WAITS("1.0") DIES("1.1") LOST("1.2") ENDS("9"));
}

/* ---- reload/queue-kept ------------------------------------------------------------------------
 */

#define RELOAD(t) t " director.reload pid=10 gen=2 a=1 b=1\n"
#define DONE(t) t " director.reloaded pid=10 gen=2 a=ok b=1\n"
#define ANSWER(t) t " client.first_byte pid=12 slot=0 gen=2 conn=7 req=7\n"

static void reload_queue_holds_when_all_are_accepted(void **state)
{
    (void)state;
    HOLDS(reload_queue_kept,
          STORY_ENGINE WAITS("1.0") RELOAD("1.1") DONE("1.3") ACCEPTED("1.5") ENDS("9"));
    HOLDS(reload_queue_kept,
          STORY_SERVER WAITS("1.0") RELOAD("1.1") DONE("1.3") ANSWER("1.5") ENDS("9"));
}

static void reload_queue_blames_a_reset_queue(void **state)
{
    (void)state;
    BLAMES(reload_queue_kept, "client.end", 0, "director.reload",
           STORY_ENGINE WAITS("1.0") RELOAD("1.1") DONE("1.3") LOST("1.4") ENDS("9"));
    VIOLATED(reload_queue_kept,
             STORY_SERVER WAITS("1.0") RELOAD("1.1") DONE("1.3") LOST("1.4") ENDS("9"));
    /* long after it nothing of the reload is left */
    UNKNOWN(reload_queue_kept,
            STORY_ENGINE RELOAD("1.1") DONE("1.3") WAITS("7.0") LOST("7.4") ENDS("9"));
}

static void reload_queue_needs_somebody_who_waits(void **state)
{
    (void)state;
    UNKNOWN(reload_queue_kept, STORY_ENGINE RELOAD("1.1") DONE("1.3") ENDS("9"));
    UNKNOWN(reload_queue_kept, STORY_ENGINE WAITS("1.0") ACCEPTED("1.5") ENDS("9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_holds_for_the_same),
        cmocka_unit_test(equal_blames_what_differs),
        cmocka_unit_test(equal_needs_one_that_was_seen),
        cmocka_unit_test(queue_holds_when_another_accepts),
        cmocka_unit_test(queue_blames_who_lost_one),
        cmocka_unit_test(queue_needs_a_death_and_a_trace),
        cmocka_unit_test(reload_queue_holds_when_all_are_accepted),
        cmocka_unit_test(reload_queue_blames_a_reset_queue),
        cmocka_unit_test(reload_queue_needs_somebody_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
