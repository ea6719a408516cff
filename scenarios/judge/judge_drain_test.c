/* drain: for each guarantee a history that holds, one that violates it, one that nearly does, and
 * one without evidence. */
#include "scenarios/judge/judge_story.h"

#define STOP "2 director.stop pid=10 a=1\n"
#define RELOAD2 "2 director.reload pid=10 gen=2 a=1 b=1\n"

static void completes(void **state)
{
    (void)state;
#define LONG(outcome, took)                                                                        \
    "1.9 fresh conn=5 req=5 pid=11 gen=1 slot=0 end=" outcome " took=" took "\n"
    HOLDS(drain_completes, STORY_SERVER STOP LONG("ok", "500ms"));
    HOLDS(drain_completes, STORY_SERVER RELOAD2 LONG("ok", "500ms"));
    VIOLATED(drain_completes, STORY_SERVER STOP LONG("eof-before-response", "500ms"));
    VIOLATED(drain_completes, STORY_SERVER RELOAD2 LONG("truncated", "500ms"));
    /* An application that breaks off its answer does so in a drain, too. */
#define PROXIED "-1 client.population slot=0 a=fresh flags=proxied\n"
    VIOLATED(drain_completes, STORY_SERVER PROXIED RELOAD2 LONG("truncated", "500ms"));
    UNKNOWN(drain_completes, STORY_SERVER PROXIED RELOAD2 LONG(
                                 "truncated", "500ms") "1 director.param a=backend_trouble b=1\n");
    VIOLATED(drain_completes, STORY_SERVER RELOAD2 LONG("timeout", "1500ms"));
    /* The server was given 2 s; this one had them. */
    UNKNOWN(drain_completes, STORY_SERVER STOP LONG("truncated", "2150ms"));
    VIOLATED(drain_completes, STORY_SERVER STOP LONG("truncated", "1950ms"));
    /* Begun after it: no promise. Cut by a fast stop: neither. */
    UNKNOWN(drain_completes,
            STORY_SERVER STOP "2.01 fresh conn=5 req=5 end=eof-before-response took=5ms\n");
    UNKNOWN(drain_completes,
            STORY_SERVER STOP "2.1 director.stop a=0\n" LONG("truncated", "500ms"));
    UNKNOWN(drain_completes, STORY_SERVER STOP LONG("abandoned", "500ms"));
    /* A held connection's request is never finished. */
    UNKNOWN(drain_completes,
            STORY_SERVER STOP "1.9 fresh conn=5 req=5 slot=4 end=eof-before-response took=300ms\n");
    UNKNOWN(drain_completes, STORY_SERVER LONG("ok", "500ms"));
}

/* Who ended the worker decides. */
static void completes_causes(void **state)
{
    (void)state;
#define CUT STORY_ENGINE STOP LONG("truncated", "500ms") "1.9001 engine.accept conn=5 pid=11\n"
    VIOLATED(drain_completes, CUT "2.399 watch.exit pid=11 a=SIGKILL b=10\n");
    UNKNOWN(drain_completes, CUT "2.399 watch.exit pid=11 a=SIGKILL b=10\n"
                                 "2.398 director.signal pid=11 a=SIGKILL b=worker\n");
    VIOLATED(drain_completes, CUT "2.398 director.signal pid=12 a=SIGKILL b=worker\n");
    UNKNOWN(drain_completes, CUT "2.399 fault.fired pid=11 a=worker.drain b=0x400000000\n");
    VIOLATED(drain_completes,
             CUT "2.399 fault.fired pid=11 a=sabotage.drop_inflight b=0x900000000\n");
    VIOLATED(drain_completes, CUT "2.399 fault.fired pid=11 a=net.send b=0x200000000\n");
    /* A hung worker is killed by its master: the stop of the process is the cause. */
    UNKNOWN(drain_completes, CUT "1.5 director.signal pid=11 a=SIGSTOP b=worker\n"
                                 "2.39 engine.watchdog pid=11 a=9\n");
}

/* Each worker has its own time to drain. */
static void completes_with_a_trace(void **state)
{
    (void)state;
#define DRAINS "3 engine.drain pid=11 slot=0 gen=1\n"
#define OPEN "1.9001 engine.accept conn=5 pid=11\n"
    VIOLATED(drain_completes, STORY_ENGINE RELOAD2 OPEN DRAINS LONG("truncated", "2500ms"));
    UNKNOWN(drain_completes, STORY_ENGINE RELOAD2 OPEN DRAINS LONG("truncated", "3200ms"));
    /* Its master's clock runs from when it told it, however late the worker hears. */
#define TELLS(t) t " engine.tell pid=11 slot=0 gen=1 a=SIGQUIT\n"
    UNKNOWN(drain_completes,
            STORY_ENGINE RELOAD2 OPEN TELLS("2.4") DRAINS LONG("truncated", "2600ms"));
    VIOLATED(drain_completes,
             STORY_ENGINE RELOAD2 OPEN TELLS("2.9") DRAINS LONG("truncated", "2500ms"));
    /* Its worker had not been told to go. */
    UNKNOWN(drain_completes, STORY_ENGINE RELOAD2 OPEN LONG("ok", "500ms"));
    HOLDS(drain_completes, STORY_ENGINE RELOAD2 OPEN DRAINS LONG("ok", "1500ms"));
}

static void the_idle_race_is_told_apart(void **state)
{
    (void)state;
#define IDLE                                                                                       \
    STORY_SERVER STOP "1 client.connect conn=7 slot=1\n"                                           \
                      "1.1 client.connected conn=7 slot=1 a=100us\n"                               \
                      "1.9999 client.request conn=7 req=71 slot=1 flags=reused\n"
    UNKNOWN(drain_completes,
            IDLE "2.0005 client.end conn=7 req=71 slot=1 a=eof-before-response flags=reused\n");
    VIOLATED(drain_completes,
             IDLE "2.2 client.end conn=7 req=71 slot=1 a=eof-before-response flags=reused\n");
    /* One of a pipeline: another was answered after it had been sent. */
    VIOLATED(drain_completes,
             IDLE "2.0003 client.first_byte conn=7 req=70 slot=1 pid=11\n"
                  "2.0005 client.end conn=7 req=71 slot=1 a=eof-before-response flags=reused\n");
}

static void accepted_is_served(void **state)
{
    (void)state;
#define ACCEPTED_BEFORE "1.9 client.connect conn=7 slot=4\n1.91 client.connected conn=7 slot=4\n"
#define CLOSED(t, how, sent) t " client.close conn=7 slot=4 a=" how " c=" sent "\n"
    HOLDS(drain_accepted_is_served,
          STORY_SERVER STOP ACCEPTED_BEFORE CLOSED("2.2", "announced", "1"));
    HOLDS(drain_accepted_is_served, STORY_SERVER STOP ACCEPTED_BEFORE CLOSED("2.2", "lost", "1"));
    VIOLATED(drain_accepted_is_served,
             STORY_SERVER STOP ACCEPTED_BEFORE CLOSED("2.2", "reset", "1"));
    VIOLATED(drain_accepted_is_served, STORY_SERVER RELOAD2
             "1.9 fresh conn=5 req=5 slot=4 end=reset-before-response took=200ms\n");
    /* Queued when the drain began, and served. */
    HOLDS(drain_accepted_is_served, STORY_SERVER RELOAD2 "1.9 fresh conn=5 req=5 took=200ms\n");
    /* Connected after it; reset at the bound; reset by a crash that was asked for. */
    UNKNOWN(drain_accepted_is_served, STORY_SERVER STOP
            "2.1 client.connect conn=7 slot=4\n2.11 client.connected conn=7 slot=4\n" CLOSED(
                "2.2", "reset", "1"));
    HOLDS(drain_accepted_is_served, STORY_SERVER STOP ACCEPTED_BEFORE CLOSED("4.1", "reset", "1"));
    HOLDS(drain_accepted_is_served,
          STORY_SERVER STOP ACCEPTED_BEFORE CLOSED(
              "2.2", "reset", "1") "2.1 director.signal pid=11 a=SIGKILL b=worker\n");
    UNKNOWN(drain_accepted_is_served, STORY_SERVER "1 fresh conn=1 req=1\n");
    /* It waited for workers that had no room; one that had some would have taken it. */
#define FULL(pid) "1.5 engine.accept_pause pid=" pid " a=1 b=connections\n"
#define WAITS "1.9 fresh conn=5 req=5 slot=4 end=reset-before-response took=200ms\n"
    HOLDS(drain_accepted_is_served, STORY_ENGINE STOP FULL("11") FULL("12") WAITS);
    VIOLATED(drain_accepted_is_served, STORY_ENGINE STOP FULL("11") WAITS);
    VIOLATED(drain_accepted_is_served,
             STORY_ENGINE STOP FULL("11")
                 FULL("12") "1.8 engine.accept_pause pid=12 a=0 b=connections\n" WAITS);
    VIOLATED(drain_accepted_is_served,
             STORY_ENGINE STOP FULL("11") FULL("12") "1.95 engine.accept pid=11 conn=5\n" WAITS);
}

static void bounded(void **state)
{
    (void)state;
#define DRAINED "2.1 engine.drain pid=11 slot=0 gen=1\n"
    HOLDS(drain_bounded, STORY_ENGINE RELOAD2 DRAINED "4 engine.worker_exit pid=11 a=0\n");
    VIOLATED(drain_bounded, STORY_ENGINE RELOAD2 DRAINED "5.5 engine.worker_exit pid=11 a=0\n");
    VIOLATED(drain_bounded, STORY_ENGINE RELOAD2 DRAINED "9 director.end\n");
    HOLDS(drain_bounded, STORY_ENGINE RELOAD2 DRAINED "5.2 engine.worker_exit pid=11 a=0\n");
    /* The story ends, or ends the worker, before the bound. */
    UNKNOWN(drain_bounded, STORY_ENGINE RELOAD2 DRAINED "4 director.end\n");
    UNKNOWN(drain_bounded, STORY_ENGINE RELOAD2 DRAINED "3 director.stop a=0\n9 director.end\n");
    /* A worker told twice has the time since the first. */
    VIOLATED(drain_bounded, STORY_ENGINE RELOAD2 DRAINED
             "4 engine.drain pid=11 slot=0 gen=1\n5.6 engine.worker_exit pid=11 a=0\n");
    UNKNOWN(drain_bounded, "-2 director.param a=engine_trace b=1\n" RELOAD2 DRAINED
                           "9 engine.worker_exit pid=11 a=0\n");
}

static void bounded_stop(void **state)
{
    (void)state;
    HOLDS(drain_bounded, STORY_SERVER STOP "4 director.stopped pid=10 a=1 c=2s\n");
    HOLDS(drain_bounded, STORY_SERVER STOP "5.1 director.stopped pid=10 a=1 c=3100ms\n");
    VIOLATED(drain_bounded, STORY_SERVER STOP "6 director.stopped pid=10 a=1 c=4s\n");
    VIOLATED(drain_bounded, STORY_SERVER STOP "7 director.stopped pid=10 a=0 c=5s\n");
    UNKNOWN(drain_bounded, STORY_SERVER STOP "4 director.stopped pid=10 a=0 c=2s\n");
    UNKNOWN(drain_bounded,
            STORY_SERVER "2 director.stop a=0\n7 director.stopped pid=10 a=0 c=5s\n");
}

/* Without a trace: who served before the reload must be gone a bound after it was done. */
static void bounded_without_a_trace(void **state)
{
    (void)state;
#define SERVED "1 fresh conn=5 req=5 pid=11 gen=1\n"
#define DONE2 "2.1 director.reloaded gen=2 a=ok b=1\n"
    HOLDS(drain_bounded, STORY_SERVER SERVED RELOAD2 DONE2 "4 watch.exit pid=11 a=0 b=10\n");
    VIOLATED(drain_bounded, STORY_SERVER SERVED RELOAD2 DONE2 "6 watch.exit pid=11 a=0 b=10\n");
    VIOLATED(drain_bounded, STORY_SERVER SERVED RELOAD2 DONE2 "9 director.end\n");
    /* It answers with the new configuration: it reloads in place. */
    UNKNOWN(drain_bounded, STORY_SERVER SERVED RELOAD2 DONE2
            "3 fresh conn=6 req=6 pid=11 gen=2\n9 director.end\n");
    /* A helper that never served may stay. */
    UNKNOWN(drain_bounded, STORY_SERVER RELOAD2 DONE2 "9 director.end\n");
    UNKNOWN(drain_bounded, STORY_SERVER SERVED RELOAD2
            "2.1 director.reloaded gen=2 a=refused b=1\n9 director.end\n");
}

static void fast_stop(void **state)
{
    (void)state;
#define FAST STORY_SERVER "2 director.stop pid=10 a=0\n"
#define EXITS(t)                                                                                   \
    t " watch.exit pid=11 b=10\n" t " watch.exit pid=12 b=10\n" t " watch.exit pid=10\n"
    HOLDS(drain_fast_stop, FAST EXITS("2.4") "2.5 director.stopped pid=10 a=1 c=500ms\n");
    VIOLATED(drain_fast_stop, FAST "4 watch.exit pid=10\n4 director.stopped pid=10 a=1 c=2s\n");
    VIOLATED(drain_fast_stop, FAST "2.4 watch.exit pid=10\n2.4 watch.exit pid=11\n"
                                   "2.5 director.stopped pid=10 a=1 c=500ms\n5 director.end\n");
    VIOLATED(drain_fast_stop, FAST EXITS("2.4") "5 director.stopped pid=10 a=0 c=3s\n");
    HOLDS(drain_fast_stop, FAST EXITS("3.2") "3.2 director.stopped pid=10 a=1 c=1200ms\n");
    UNKNOWN(drain_fast_stop, FAST "2.9 director.end\n");
    UNKNOWN(drain_fast_stop, STORY_SERVER STOP "9 director.stopped pid=10 a=1 c=7s\n");
}

static void no_orphans(void **state)
{
    (void)state;
#define KILLED STORY_SERVER "2 director.stop pid=10 a=2\n2.01 watch.exit pid=10 a=SIGKILL\n"
    HOLDS(drain_no_orphans, KILLED "2.5 watch.exit pid=11\n2.5 watch.exit pid=12\n");
    VIOLATED(drain_no_orphans, KILLED "2.5 watch.exit pid=11\n4 watch.exit pid=12\n");
    VIOLATED(drain_no_orphans, KILLED "2.5 watch.exit pid=11\n9 director.end\n");
    HOLDS(drain_no_orphans, KILLED "3.2 watch.exit pid=11\n3.2 watch.exit pid=12\n");
    /* The master crashed by itself. */
    VIOLATED(drain_no_orphans, STORY_SERVER "2 watch.exit pid=10 a=SIGSEGV\n9 director.end\n");
    /* Nobody outlived it. */
    UNKNOWN(drain_no_orphans, STORY_SERVER STOP "3 watch.exit pid=11\n3 watch.exit pid=12\n"
                                                "3.1 watch.exit pid=10\n");
    VIOLATED(drain_no_orphans, KILLED "2.1 watch.proc pid=11 b=0\n2.7 watch.proc pid=11 b=590ms\n"
                                      "2.8 watch.exit pid=11\n2.8 watch.exit pid=12\n");
    HOLDS(drain_no_orphans, KILLED "2.1 watch.proc pid=11 b=0\n2.7 watch.proc pid=11 b=400ms\n"
                                   "2.8 watch.exit pid=11\n2.8 watch.exit pid=12\n");
    /* The workers of another master are not orphans. */
    UNKNOWN(drain_no_orphans,
            STORY_SERVER "1 watch.fork pid=20 a=10\n1.1 engine.master pid=20 a=10 gen=1\n"
                         "1.2 watch.fork pid=21 a=20\n2 watch.exit pid=11\n2 watch.exit pid=12\n"
                         "3 watch.exit pid=10\n9 director.end\n");
}

static void clean_exit(void **state)
{
    (void)state;
#define LOOKED(n) "5 director.checked a=process b=0\n5 director.checked a=pid-file b=" n "\n"
    HOLDS(drain_clean_exit, STORY_SERVER STOP LOOKED("0"));
    VIOLATED(drain_clean_exit, STORY_SERVER STOP LOOKED("1"));
    VIOLATED(drain_clean_exit, STORY_SERVER STOP LOOKED("1") "5 director.leftover a=pid-file\n");
    /* A killed master cannot remove its pid file; its sockets must go all the same. */
    HOLDS(drain_clean_exit, STORY_SERVER "2 director.stop pid=10 a=2\n" LOOKED("1"));
    VIOLATED(drain_clean_exit,
             STORY_SERVER "2 director.stop pid=10 a=2\n5 director.leftover a=listener b=8080\n");
    UNKNOWN(drain_clean_exit, STORY_SERVER STOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completes),
        cmocka_unit_test(completes_causes),
        cmocka_unit_test(completes_with_a_trace),
        cmocka_unit_test(the_idle_race_is_told_apart),
        cmocka_unit_test(accepted_is_served),
        cmocka_unit_test(bounded),
        cmocka_unit_test(bounded_stop),
        cmocka_unit_test(bounded_without_a_trace),
        cmocka_unit_test(fast_stop),
        cmocka_unit_test(no_orphans),
        cmocka_unit_test(clean_exit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
