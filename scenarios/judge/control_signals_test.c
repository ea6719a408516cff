/* control and drain: what the judge says of signals to workers, in hand-made histories. */
#include "scenarios/judge/judge_story.h"

#define KILL_DELAY "-2 director.param a=kill_delay b=1s\n"
#define TOLD(t, number) t " engine.tell pid=11 slot=0 gen=1 a=" number "\n"
#define GONE(t) t " watch.exit pid=11 a=9 b=10\n" t "1 engine.worker_exit pid=11 slot=0 gen=1 a=9\n"
#define LOOK(t) t " watch.tree pid=10 a=2\n"
#define ENDS(t) t " director.stop pid=10 a=1\n"

/* ---- drain/escalation: a drain of 2 s, then TERM, then 1 s ------------------------------------
 */

static void escalation_holds_step_by_step(void **state)
{
    (void)state;
    HOLDS(drain_escalation, STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") TOLD("3", "SIGTERM")
                                TOLD("4", "SIGKILL") GONE("4.0") LOOK("5") ENDS("9"));
    /* a hung one is aborted first */
    HOLDS(drain_escalation, STORY_ENGINE KILL_DELAY TOLD("1", "SIGABRT") TOLD("2.01", "SIGKILL")
                                GONE("2.02") ENDS("9"));
    /* a fast stop waits for no drain, and a watcher may see an end before it is told why */
    HOLDS(drain_escalation,
          STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") "1.1 engine.stop pid=10 a=0\n" TOLD(
              "1.1", "SIGTERM") "2.099 watch.exit pid=11 a=9\n" TOLD("2.1", "SIGKILL") ENDS("9"));
}

static void escalation_blames_a_word_said_twice(void **state)
{
    (void)state;
    BLAMES(drain_escalation, "engine.tell", 11, "engine.tell",
           STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") TOLD("1.2", "SIGQUIT") ENDS("9"));
    VIOLATED(drain_escalation,
             STORY_ENGINE KILL_DELAY TOLD("1", "SIGTERM") TOLD("1.5", "SIGTERM") ENDS("9"));
    /* another worker of the same number is another worker */
    HOLDS(drain_escalation,
          STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") TOLD("3", "SIGTERM")
              GONE("3.1") "4 engine.spawn pid=11 slot=0 gen=2\n" TOLD("5", "SIGQUIT") ENDS("6"));
}

static void escalation_blames_haste(void **state)
{
    (void)state;
    VIOLATED(drain_escalation, STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") TOLD("3", "SIGTERM")
                                   TOLD("3.5", "SIGKILL") ENDS("9"));
    HOLDS(drain_escalation, STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") TOLD("3", "SIGTERM")
                                TOLD("3.97", "SIGKILL") ENDS("9"));
    VIOLATED(drain_escalation,
             STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") TOLD("2.8", "SIGTERM") ENDS("9"));
    VIOLATED(drain_escalation, STORY_ENGINE KILL_DELAY TOLD("1", "SIGKILL") ENDS("9"));
}

static void escalation_blames_a_master_that_stops_at_a_word(void **state)
{
    (void)state;
    BLAMES(drain_escalation, "engine.tell", 11, NULL,
           STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") TOLD("3", "SIGTERM") LOOK("4.6") ENDS("9"));
    HOLDS(drain_escalation, STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") TOLD("3", "SIGTERM")
                                LOOK("4.4") GONE("4.45") LOOK("5") ENDS("9"));
    /* one that is stopped itself tells nobody */
    HOLDS(drain_escalation,
          STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT")
              TOLD("3", "SIGTERM") "3.5 director.signal pid=10 a=SIGSTOP b=master\n" LOOK("6")
                  ENDS("9"));
}

static void escalation_needs_a_trace_and_somebody_stubborn(void **state)
{
    (void)state;
    UNKNOWN(drain_escalation, STORY_ENGINE KILL_DELAY TOLD("1", "SIGQUIT") GONE("1.2") ENDS("9"));
    UNKNOWN(drain_escalation, STORY_SERVER KILL_DELAY ENDS("9"));
}

/* ---- control/early-signal: within 1 s ---------------------------------------------------------
 */

#define BORN "1 watch.fork pid=13 a=10\n1 engine.spawn pid=13 slot=0 gen=1\n"
#define TERM(t) t " director.signal pid=13 a=SIGTERM b=worker\n"
#define LEFT(t) t " watch.exit pid=13 a=0 b=10\n"

static void early_signal_holds_when_heard_later(void **state)
{
    (void)state;
    HOLDS(control_early_signal, STORY_ENGINE BORN TERM("1.1") LEFT("2.05") ENDS("9"));
    /* held up by the story for 300 ms */
    HOLDS(control_early_signal, STORY_ENGINE BORN
          "1.05 fault.fired pid=13 slot=0 a=worker.boot b=8889934592\n" TERM("1.1") LEFT("2.35")
              ENDS("9"));
}

/* It was told to accept, then to go: it drains, and somebody may have come in between. */
static void early_signal_holds_when_a_drain_begins(void **state)
{
    (void)state;
    HOLDS(control_early_signal, STORY_ENGINE BORN
          "1.1 engine.tell pid=13 a=SIGQUIT\n1.2 engine.drain pid=13 a=1\n" LOOK("2.3") LEFT("2.4")
              ENDS("9"));
    VIOLATED(control_early_signal,
             STORY_ENGINE BORN TERM("1.1") "1.2 engine.drain pid=13 a=1\n" LOOK("2.3") ENDS("9"));
}

static void early_signal_blames_the_deaf(void **state)
{
    (void)state;
    BLAMES(control_early_signal, "director.signal", 13, NULL,
           STORY_ENGINE BORN TERM("1.1") LOOK("2.2") ENDS("9"));
    VIOLATED(control_early_signal, STORY_ENGINE BORN TERM("1.1") LEFT("2.2") ENDS("9"));
}

static void early_signal_is_about_those_that_are_not_ready(void **state)
{
    (void)state;
    UNKNOWN(control_early_signal, STORY_ENGINE BORN
            "1.05 engine.worker_ready pid=13 slot=0 gen=1\n" TERM("1.1") LOOK("2.2") ENDS("9"));
    UNKNOWN(control_early_signal, STORY_ENGINE BORN
            "1.05 director.signal pid=13 a=SIGSTOP b=worker\n" TERM("1.1") LOOK("2.2") ENDS("9"));
    UNKNOWN(control_early_signal, STORY_ENGINE BORN TERM("1.1") ENDS("1.5"));
}

/* ---- control/resize: converges within 2 s -----------------------------------------------------
 */

#define MORE(t)                                                                                    \
    t " director.signal pid=10 a=SIGTTIN b=master\n" t "1 engine.signal pid=10 a=SIGTTIN\n"
#define LESS(t)                                                                                    \
    t " director.signal pid=10 a=SIGTTOU b=master\n" t "1 engine.signal pid=10 a=SIGTTOU\n"
#define NEW(t, number) t " watch.fork pid=" number " a=10\n"

static void resize_holds_by_one(void **state)
{
    (void)state;
    HOLDS(control_resize, STORY_ENGINE MORE("1.0") NEW("1.1", "13") LOOK("4") ENDS("9"));
    HOLDS(control_resize, STORY_ENGINE LESS("1.0") "1.1 engine.drain pid=12 slot=1 gen=1\n" LOOK(
                              "4") LESS("5.0") LOOK("8") ENDS("9"));
}

static void resize_blames_none_and_two(void **state)
{
    (void)state;
    BLAMES(control_resize, "engine.signal", 10, NULL, STORY_ENGINE MORE("1.0") LOOK("4") ENDS("9"));
    VIOLATED(control_resize,
             STORY_ENGINE MORE("1.0") NEW("1.1", "13") NEW("1.2", "14") LOOK("4") ENDS("9"));
    VIOLATED(control_resize, STORY_SERVER MORE("1.0") LOOK("4") ENDS("9"));
}

/* A reload to one worker; TTOU and TTIN meanwhile. */
#define TO_ONE                                                                                     \
    "0.5 director.config gen=2 a=1 b=1\n1 engine.reload pid=10 gen=2\n"                            \
    "1 engine.spawn pid=13 slot=0 gen=2\n" LESS("1.1")                                             \
        MORE("1.2") "1.3 engine.drain pid=11\n1.3 engine.drain pid=12\n"                           \
                    "1.4 engine.reloaded pid=10 gen=2 a=ok\n"

static void resize_knows_two_ways_to_put_off(void **state)
{
    (void)state;
    HOLDS(control_resize, STORY_ENGINE TO_ONE LOOK("4") ENDS("9"));
    HOLDS(control_resize, STORY_ENGINE TO_ONE NEW("1.5", "14") LOOK("4") ENDS("9"));
    VIOLATED(control_resize,
             STORY_ENGINE TO_ONE NEW("1.5", "14") NEW("1.5", "15") LOOK("4") ENDS("9"));
}

/* Back to two workers; TTIN is put off, of three TTOU the first leaves one worker. */
static void resize_promises_no_order_during_a_reload(void **state)
{
    (void)state;
#define MIXED                                                                                      \
    "0.5 director.config gen=2 a=1 b=2\n1 engine.reload pid=10 gen=2\n" MORE("1.1") LESS("1.2")    \
        LESS("1.3") LESS("1.4") "1.5 engine.reloaded pid=10 gen=2 a=ok\n"
#define LEFT_ONE                                                                                   \
    "1.45 engine.drain pid=11\n1.45 engine.drain pid=12\n1.1 engine.spawn pid=13 gen=2\n"
    HOLDS(control_resize, STORY_ENGINE MIXED LEFT_ONE LOOK("4") ENDS("9"));
    HOLDS(control_resize,
          STORY_ENGINE MIXED LEFT_ONE "1.1 engine.spawn pid=14 gen=2\n" LOOK("4") ENDS("9"));
    VIOLATED(control_resize,
             STORY_ENGINE MIXED LEFT_ONE "1.1 engine.spawn pid=14 gen=2\n"
                                         "1.1 engine.spawn pid=15 gen=2\n" LOOK("4") ENDS("9"));
}

static void resize_waits_until_the_tree_is_calm(void **state)
{
    (void)state;
    UNKNOWN(control_resize, STORY_ENGINE MORE("1.0") LOOK("2") ENDS("9"));
    UNKNOWN(control_resize, STORY_ENGINE LOOK("4") ENDS("9"));
}

/* ---- control/scope ----------------------------------------------------------------------------
 */

#define GROUP(t, number) t " director.signal pid=10 a=" number " b=group\n"

static void scope_holds_when_nobody_ends(void **state)
{
    (void)state;
    HOLDS(control_scope, STORY_ENGINE GROUP("1", "SIGWINCH") GROUP("2", "SIGHUP") ENDS("9"));
    /* a reload replaces workers, and others are killed by the story */
    HOLDS(control_scope, STORY_ENGINE GROUP("2", "SIGHUP") "2.3 watch.exit pid=11 a=0\n" ENDS("9"));
    HOLDS(control_scope,
          STORY_ENGINE GROUP("1", "SIGWINCH") "1.1 director.signal pid=11 a=SIGKILL "
                                              "b=worker\n1.2 watch.exit pid=11 a=9\n" ENDS("9"));
    /* an upgrade is completed: the old master is told to go, alone */
    HOLDS(control_scope, STORY_ENGINE "0.9 director.signal pid=10 a=SIGQUIT b=master\n" GROUP(
                             "1", "SIGWINCH") "1.1 watch.exit pid=10 a=0\n" ENDS("9"));
}

static void scope_blames_who_ends_for_it(void **state)
{
    (void)state;
    BLAMES(control_scope, "watch.exit", 11, "director.signal",
           STORY_ENGINE GROUP("2", "SIGHUP") "2.1 watch.exit pid=11 a=1\n" ENDS("9"));
    VIOLATED(control_scope,
             STORY_ENGINE GROUP("2", "SIGWINCH") "2.1 watch.exit pid=11 a=0\n" ENDS("9"));
    VIOLATED(control_scope,
             STORY_ENGINE GROUP("2", "SIGWINCH") "2.1 watch.exit pid=10 a=0\n" ENDS("9"));
    HOLDS(control_scope,
          STORY_ENGINE GROUP("2", "SIGWINCH") "3.1 watch.exit pid=11 a=0\n" ENDS("9"));
    /* the old master of an upgrade, say, is told to go meanwhile */
    HOLDS(control_scope,
          STORY_ENGINE GROUP("2", "SIGWINCH") "2.05 director.signal pid=10 a=SIGQUIT b=master\n2.1 "
                                              "watch.exit pid=10 a=0\n" ENDS("9"));
}

/* Without a trace nobody can tell when a reload that was asked for replaces whom. */
static void scope_spares_who_may_have_been_replaced(void **state)
{
    (void)state;
    HOLDS(control_scope, STORY_SERVER
          "1.2 director.signal pid=10 a=SIGHUP b=master\n1.3 watch.fork pid=13 a=10\n" GROUP(
              "2", "SIGWINCH") "2.1 watch.exit pid=13 a=0\n" ENDS("9"));
    VIOLATED(control_scope,
             STORY_SERVER GROUP("2", "SIGWINCH") "2.1 watch.exit pid=11 a=0\n" ENDS("9"));
}

static void scope_needs_such_a_signal(void **state)
{
    (void)state;
    UNKNOWN(control_scope, STORY_ENGINE "2 director.signal pid=10 a=SIGHUP b=master\n" ENDS("9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escalation_holds_step_by_step),
        cmocka_unit_test(escalation_blames_a_word_said_twice),
        cmocka_unit_test(escalation_blames_haste),
        cmocka_unit_test(escalation_blames_a_master_that_stops_at_a_word),
        cmocka_unit_test(escalation_needs_a_trace_and_somebody_stubborn),
        cmocka_unit_test(early_signal_holds_when_heard_later),
        cmocka_unit_test(early_signal_holds_when_a_drain_begins),
        cmocka_unit_test(early_signal_blames_the_deaf),
        cmocka_unit_test(early_signal_is_about_those_that_are_not_ready),
        cmocka_unit_test(resize_holds_by_one),
        cmocka_unit_test(resize_blames_none_and_two),
        cmocka_unit_test(resize_knows_two_ways_to_put_off),
        cmocka_unit_test(resize_promises_no_order_during_a_reload),
        cmocka_unit_test(resize_waits_until_the_tree_is_calm),
        cmocka_unit_test(scope_holds_when_nobody_ends),
        cmocka_unit_test(scope_blames_who_ends_for_it),
        cmocka_unit_test(scope_spares_who_may_have_been_replaced),
        cmocka_unit_test(scope_needs_such_a_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
