/* reload: for each guarantee a history that holds, one that violates it, one that nearly does, and
 * one without evidence. */
#include "scenarios/judge/judge_story.h"

#define ASK(t, gen, seq) t " director.reload pid=10 gen=" gen " a=1 b=" seq "\n"
#define ASK_BAD(t, gen, seq)                                                                       \
    t " director.config gen=" gen " a=0 b=2\n" t " director.reload pid=10 gen=" gen " a=0 b=" seq  \
      "\n"
#define TOLD(t, gen, seq, report) t " director.reloaded pid=10 gen=" gen " a=" report " b=" seq "\n"
#define CONFIG(t, gen) t " director.config gen=" gen " a=1 b=2\n"
#define GET(t, n, gen, pid) t " fresh conn=" n " req=" n " gen=" gen " pid=" pid " slot=0\n"
/* A good reload from configuration 1 to 2. */
#define GOOD CONFIG("1.9", "2") ASK("2", "2", "1") TOLD("2.2", "2", "1", "ok")

static void zero_loss(void **state)
{
    (void)state;
#define BASELINE                                                                                   \
    STORY_SERVER "0.1 director.phase a=baseline\n"                                                 \
                 "0.2 fresh conn=100 req=100 pid=11 gen=1 slot=0 times=100 every=10ms\n"
#define LOADED "2.05 fresh conn=300 req=300 pid=11 gen=1 slot=0 times=100 every=10ms\n"
#define FAILS(t, outcome) t " fresh conn=9 req=9 slot=0 end=" outcome " took=150ms\n"
    HOLDS(reload_zero_loss, BASELINE GOOD LOADED);
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED FAILS("2.1", "eof-before-response"));
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED FAILS("4", "5xx"));
    /* An application behind the server is in trouble: its clients do not count, others do. */
#define PROXIED "-1 client.population slot=6 a=fresh flags=proxied\n"
#define TROUBLE "1 director.param a=backend_trouble b=1\n"
#define PROXIED_FAILS "4 fresh conn=9000 req=9000 slot=6 pid=11 gen=1 end=5xx\n"
    HOLDS(reload_zero_loss, BASELINE GOOD LOADED PROXIED TROUBLE PROXIED_FAILS);
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED PROXIED PROXIED_FAILS);
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED PROXIED TROUBLE
             "3 director.param a=backend_trouble b=0\n" PROXIED_FAILS);
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED PROXIED TROUBLE FAILS("4", "5xx"));
    VIOLATED(reload_zero_loss,
             BASELINE GOOD LOADED "2.1 client.request req=9\n2.1 client.end req=9 a=refused\n");
    /* Before the reload, long after it, of an abusive client, after the stop. */
    HOLDS(reload_zero_loss, BASELINE GOOD LOADED FAILS("1.8", "truncated"));
    HOLDS(reload_zero_loss, BASELINE GOOD LOADED FAILS("8", "truncated"));
    HOLDS(reload_zero_loss,
          BASELINE GOOD LOADED "2.1 fresh conn=9 req=9 slot=5 end=reset-before-response\n");
    HOLDS(reload_zero_loss,
          BASELINE GOOD LOADED "3.05 director.stop a=0\n" FAILS("3", "truncated"));
    UNKNOWN(reload_zero_loss, BASELINE LOADED FAILS("2.1", "truncated"));
    UNKNOWN(reload_zero_loss, BASELINE GOOD);
}

static void zero_loss_against_the_baseline(void **state)
{
    (void)state;
    /* Ten in a hundred fail without a reload: so may about as many with one. */
#define SHAKY BASELINE "0.3 fresh conn=50 req=50 slot=0 end=truncated times=10 every=50ms\n"
#define SHAKES(n) "2.1 fresh conn=70 req=70 slot=0 end=truncated times=" n " every=10ms\n"
    HOLDS(reload_zero_loss, SHAKY GOOD LOADED SHAKES("15"));
    VIOLATED(reload_zero_loss, SHAKY GOOD LOADED SHAKES("40"));
}

static void zero_loss_tells_apart(void **state)
{
    (void)state;
#define RACE(flags)                                                                                \
    "2.1 client.request conn=9 req=9 slot=1 flags=" flags "\n"                                     \
    "2.101 client.end conn=9 req=9 slot=1 a=eof-before-response flags=" flags "\n"
    HOLDS(reload_zero_loss, BASELINE GOOD LOADED RACE("reused"));
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED RACE("reused,unsafe"));
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED RACE("announced"));
    /* A worker that was killed takes its own requests with it, and no others. */
#define CRASH(pid) "2.2 director.signal pid=" pid " a=SIGKILL b=worker\n"
#define MINE "2.1001 engine.accept conn=9 pid=11\n" FAILS("2.1", "truncated")
    HOLDS(reload_zero_loss, BASELINE GOOD LOADED MINE CRASH("11"));
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED MINE CRASH("12"));
    /* The master's own kill of an old worker is no excuse. */
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED MINE "2.24 watch.exit pid=11 a=SIGKILL b=10\n");
    /* A worker that was stopped hears late that it is to go; its 2 s have run all the same. */
#define HEARD_LATE                                                                                 \
    "1.9501 engine.accept conn=9 pid=11\n1.95 fresh conn=9 req=9 slot=0 end=truncated "            \
    "took=2150ms\n"                                                                                \
    "4.09 engine.drain pid=11\n"
    HOLDS(reload_zero_loss,
          BASELINE GOOD LOADED HEARD_LATE "1.7 director.signal pid=11 a=SIGSTOP b=worker\n");
    VIOLATED(reload_zero_loss,
             BASELINE GOOD LOADED HEARD_LATE "1.7 director.signal pid=12 a=SIGSTOP b=worker\n");
    /* An earlier signal had told its worker to go: its 2 s count from then. */
#define LONG_TOLD                                                                                  \
    "1.25 fresh conn=9 req=9 slot=0 end=truncated took=1900ms\n1.2501 engine.accept conn=9 "       \
    "pid=11\n"
    HOLDS(reload_zero_loss, BASELINE GOOD LOADED LONG_TOLD "1.1 engine.drain pid=11\n");
    VIOLATED(reload_zero_loss, BASELINE GOOD LOADED LONG_TOLD "1.1 engine.drain pid=12\n");
    /* Longer than the server may drain (2 s). */
    HOLDS(reload_zero_loss,
          BASELINE GOOD LOADED "1.9 fresh conn=9 req=9 slot=0 end=truncated took=2150ms\n");
}

/* A POST that met the idle-close race is a loss, and is said to be that one. */
static void zero_loss_names_the_idle_race(void **state)
{
    (void)state;
#define OPENED                                                                                     \
    "0.5 client.connect conn=9 slot=2\n0.5 client.connected conn=9 slot=2\n"                       \
    "0.6 client.request conn=9 req=8 slot=2\n0.6 client.first_byte conn=9 req=8 slot=2 pid=11\n"   \
    "0.6 client.end conn=9 req=8 slot=2 a=ok\n"
    /* the reload at 2 ends what the connection's worker serves, not the one at 2.09 */
#define LOST_POST OPENED RACE("reused,unsafe") ASK("2.09", "3", "2") TOLD("2.4", "3", "2", "ok")
    struct judge_result r =
        story_judge(G_reload_zero_loss, BASELINE ASK_BAD("0.2", "9", "9") GOOD LOADED LOST_POST);
    assert_int_equal(r.verdict, VERDICT_VIOLATED);
    assert_non_null(strstr(r.text, "1 failed, 1 of them POSTs in the idle-close race"));
    assert_non_null(strstr(r.violations[0].text, "a POST ended as eof-before-response 101.0 ms"));
    assert_non_null(strstr(r.violations[0].text, "lost to the idle-close race"));
    assert_int_equal(r.violations[0].cause.b, 1);
    /* One that had been idle for as long as it may be. */
    r = story_judge(G_reload_zero_loss,
                    BASELINE "-2 director.param a=keepalive_timeout b=1s\n" GOOD LOADED LOST_POST);
    assert_int_equal(r.violation_count, 0);
    assert_non_null(strstr(r.text, "1 met an idle close that may be"));
    r = story_judge(G_reload_zero_loss, BASELINE GOOD LOADED OPENED FAILS("2.1", "truncated"));
    assert_null(strstr(r.text, "POST"));
    assert_null(strstr(r.violations[0].text, "idle-close race"));
}

static void cut_over(void **state)
{
    (void)state;
    HOLDS(reload_cut_over, STORY_SERVER GOOD GET("2.3", "5", "2", "13"));
    VIOLATED(reload_cut_over, STORY_SERVER GOOD GET("2.3", "5", "1", "11"));
    HOLDS(reload_cut_over, STORY_SERVER GOOD GET("2.3", "5", "3", "13"));
    /* Begun before the report, or within the allowance (10 ms), and answered after. */
    UNKNOWN(reload_cut_over, STORY_SERVER GOOD "2.1 fresh conn=5 req=5 gen=1 pid=11 took=500ms\n");
    UNKNOWN(reload_cut_over, STORY_SERVER GOOD GET("2.205", "5", "1", "11"));
    /* It had been stopped, and did not hear in time that it is to go. */
#define DEAF "1 director.signal pid=11 a=SIGSTOP b=worker\n2.1 engine.tell pid=11 a=SIGQUIT\n"
    HOLDS(reload_cut_over, STORY_SERVER GOOD DEAF GET("2.3", "5", "1", "11"));
    VIOLATED(reload_cut_over, STORY_SERVER GOOD DEAF GET("2.3", "5", "1", "12"));
    VIOLATED(reload_cut_over, STORY_SERVER GOOD GET("2.215", "5", "1", "11"));
    /* Overlapping reloads: what the latest successful report says counts. */
#define NEXT CONFIG("2.21", "3") ASK("2.22", "3", "2")
    HOLDS(reload_cut_over, STORY_SERVER GOOD NEXT GET("2.3", "5", "2", "13"));
    HOLDS(reload_cut_over,
          STORY_SERVER GOOD NEXT TOLD("2.5", "3", "2", "undone") GET("2.6", "5", "2", "13"));
    VIOLATED(reload_cut_over,
             STORY_SERVER GOOD NEXT TOLD("2.5", "3", "2", "ok") GET("2.6", "5", "2", "13"));
    /* A server that cannot report: the director saw it cut over. */
    VIOLATED(reload_cut_over,
             STORY_SERVER ASK("2", "2", "1") "2.2 director.cut_over gen=2 a=1\n" GET("2.3", "5",
                                                                                     "1", "11"));
    UNKNOWN(reload_cut_over, STORY_SERVER GET("2.3", "5", "1", "11"));
    /* The new master of an upgrade has read what there was at its start. */
    UNKNOWN(
        reload_cut_over, STORY_SERVER
        "1 watch.fork pid=20 a=10\n1.1 watch.fork pid=21 a=20\n" GOOD GET("2.3", "5", "1", "21"));
    UNKNOWN(reload_cut_over, STORY_SERVER GOOD GET("2.3", "5", "0", "0"));
}

static void bad_config(void **state)
{
    (void)state;
#define BAD STORY_SERVER ASK_BAD("2", "2", "1")
#define BAD_TOLD BAD TOLD("2.2", "2", "1", "refused")
    HOLDS(reload_bad_config, BAD_TOLD GET("2.3", "5", "1", "11"));
    VIOLATED(reload_bad_config, BAD TOLD("2.2", "2", "1", "ok") GET("2.3", "5", "1", "11"));
    VIOLATED(reload_bad_config, BAD_TOLD GET("2.3", "5", "2", "13"));
    VIOLATED(reload_bad_config,
             BAD_TOLD GET("2.3", "5", "1", "11") "2.5 watch.exit pid=10 a=256\n");
    VIOLATED(reload_bad_config,
             BAD_TOLD "2.3 client.connect_failed conn=5 slot=0 b=ECONNREFUSED a=1ms\n");
    VIOLATED(reload_bad_config, BAD_TOLD "2.3 fresh conn=5 req=5 end=eof-before-response\n");
#define MASTER_ENDS "2.5 watch.exit pid=10 a=0\n"
    VIOLATED(reload_bad_config, BAD_TOLD GET("2.3", "5", "1", "11") MASTER_ENDS);
    HOLDS(reload_bad_config, BAD_TOLD GET("2.3", "5", "1", "11") MASTER_ENDS
          "2.4 director.signal pid=10 a=SIGQUIT b=master\n");
    /* Its worker had been told to go before, and had had its time. */
    UNKNOWN(reload_bad_config,
            BAD_TOLD "0.1 engine.tell pid=11 a=SIGQUIT\n"
                     "0.1 engine.drain pid=11\n2 engine.accept pid=11 conn=5\n"
                     "2 fresh conn=5 req=5 end=eof-before-response took=200ms\n");
    /* Nobody could be answered: the worker was killed. */
    UNKNOWN(reload_bad_config,
            BAD_TOLD "2.25 director.signal pid=11 a=SIGKILL b=worker\n2.2501 watch.exit pid=11 "
                     "a=SIGKILL b=10\n2.24 engine.accept conn=5 pid=11\n"
                     "2.24 fresh conn=5 req=5 end=eof-before-response took=11ms\n");
    /* That nothing was said is not this guarantee's business. */
    HOLDS(reload_bad_config, BAD TOLD("2.2", "2", "1", "none") GET("2.3", "5", "1", "11"));
    UNKNOWN(reload_bad_config, BAD_TOLD);
    UNKNOWN(reload_bad_config, STORY_SERVER GOOD GET("2.3", "5", "2", "13"));
}

static void bad_config_and_workers(void **state)
{
    (void)state;
#define PROVEN GET("1", "4", "1", "11") BAD_TOLD GET("2.3", "5", "1", "12")
#define ENDS(pid) "2.5 watch.exit pid=" pid " a=0 b=10\n"
    VIOLATED(reload_bad_config, PROVEN ENDS("11"));
    /* It was killed; it is of the refused configuration; it was on its way out. */
    HOLDS(reload_bad_config, PROVEN ENDS("11") "2.4 director.signal pid=11 a=SIGTERM b=worker\n");
    HOLDS(reload_bad_config, PROVEN ENDS("13") "2.1 watch.fork pid=13 a=10\n");
    HOLDS(reload_bad_config, PROVEN ENDS("11") "1.5 engine.drain pid=11\n");
    HOLDS(reload_bad_config,
          PROVEN ENDS("11") CONFIG("1.2", "3") ASK("1.3", "3", "9") TOLD("1.4", "3", "9", "ok"));
    HOLDS(reload_bad_config, PROVEN "4.5 watch.exit pid=11 a=0 b=10\n");
    /* It had been stopped long before, and its master has lost its patience. */
    HOLDS(reload_bad_config, PROVEN ENDS("11") "0.9 director.signal pid=11 a=SIGSTOP b=worker\n");
    HOLDS(reload_bad_config,
          PROVEN ENDS("11") "0.9 fault.fired pid=11 a=worker.loop b=0x600000000\n");
    /* Nobody waited for the reload before, but the engine tells of it. */
    HOLDS(reload_bad_config, PROVEN ENDS("11") CONFIG("1.2", "3") ASK(
                                 "1.3", "3", "9") "1.4 engine.reloaded pid=10 gen=3 a=ok b=3\n");
}

static void leaves_no_trace(void **state)
{
    (void)state;
#define STATE(t, when, numbers, mask)                                                              \
    t " director.baseline pid=10 a=" when " b=" numbers " c=" mask "\n"
#define BEFORE STATE("1.9", "0", "0x0a00000002", "0x1000")
    HOLDS(reload_leaves_no_trace, BEFORE BAD_TOLD STATE("2.5", "1", "0x0a00000002", "0x1000"));
    VIOLATED(reload_leaves_no_trace, BEFORE BAD_TOLD STATE("2.5", "1", "0x0b00000002", "0x1000"));
    VIOLATED(reload_leaves_no_trace, BEFORE BAD_TOLD STATE("2.5", "1", "0x0a00000003", "0x1000"));
    VIOLATED(reload_leaves_no_trace, BEFORE BAD_TOLD STATE("2.5", "1", "0x0a00000002", "0x1001"));
    /* Old workers went meanwhile. */
    HOLDS(reload_leaves_no_trace, BEFORE BAD_TOLD STATE("2.5", "1", "0x0900000001", "0x1000"));
    UNKNOWN(reload_leaves_no_trace, BEFORE BAD_TOLD);
}

/* The flagship: a reload that fails, then one that must work. */
static void leaves_no_trace_for_the_next(void **state)
{
    (void)state;
#define THEN BAD_TOLD CONFIG("3", "3") ASK("3.1", "3", "2")
    HOLDS(reload_leaves_no_trace, THEN TOLD("3.3", "3", "2", "ok"));
    HOLDS(reload_leaves_no_trace, THEN TOLD("3.5", "3", "2", "none") GET("3.6", "5", "3", "13"));
    VIOLATED(reload_leaves_no_trace, THEN TOLD("3.3", "3", "2", "refused"));
    VIOLATED(reload_leaves_no_trace,
             THEN TOLD("3.5", "3", "2", "none") GET("3.6", "5", "1", "11") "5 director.stop a=1\n");
    VIOLATED(reload_leaves_no_trace, THEN "5 director.end\n");
    /* Nobody can be answered, but the engine tells. */
#define ENGINE_TELLS "engine.reloaded pid=10 gen=3 a=ok b=3\n5 director.end\n"
    HOLDS(reload_leaves_no_trace, THEN "3.2 engine.reload pid=10 gen=3\n3.3 " ENGINE_TELLS);
    VIOLATED(reload_leaves_no_trace, THEN "3 engine.reload pid=10 gen=3\n3.3 " ENGINE_TELLS);
    /* Too soon to tell; undone by a fault. */
    UNKNOWN(reload_leaves_no_trace, THEN "3.5 director.stop a=1\n");
    UNKNOWN(reload_leaves_no_trace,
            THEN TOLD("3.3", "3", "2",
                      "undone") "3.2 fault.fired pid=13 a=worker.boot b=0x400000000\n");
    UNKNOWN(reload_leaves_no_trace,
            THEN "3.2 engine.reload pid=10 gen=3\n3.21 fault.fired pid=13 a=worker.boot "
                 "b=0x400000000\n3.3 engine.reloaded pid=10 gen=1 a=undone b=3\n5 director.end\n");
    UNKNOWN(reload_leaves_no_trace, STORY_SERVER GOOD);
    /* It was asked of a master that another follows. */
#define FOLLOWED(t)                                                                                \
    t " director.signal pid=10 a=SIGQUIT b=master\n" t "1 director.adopted pid=20 a=10\n"
    UNKNOWN(reload_leaves_no_trace, THEN FOLLOWED("3.2") "5 director.end\n");
    /* It waits until it is known what becomes of a new binary, and has its time from then on. */
#define UPGRADE(t, step) t " engine.upgrade pid=10 a=" step " b=20\n"
    UNKNOWN(reload_leaves_no_trace, THEN UPGRADE("2.9", "started") "5 director.stop a=1\n");
    UNKNOWN(reload_leaves_no_trace,
            THEN UPGRADE("2.9", "started") UPGRADE("4.5", "failed") "5 director.stop a=1\n");
    VIOLATED(reload_leaves_no_trace,
             THEN UPGRADE("2.9", "started") UPGRADE("3.2", "failed") "5 director.stop a=1\n");
}

/* The engine's master makes generation 2 with workers 13 and 14. */
#define MAKE                                                                                       \
    STORY_ENGINE "2 engine.reload pid=10 gen=2\n"                                                  \
                 "2.1 engine.spawn pid=13 slot=0 gen=2\n"                                          \
                 "2.1 engine.spawn pid=14 slot=1 gen=2\n"
#define READY(t, pid) t " engine.worker_ready pid=" pid " gen=2\n"
#define GOES(t, pid) t " engine.drain pid=" pid " gen=1\n"
#define REPORT(t, report, gen) t " engine.reloaded pid=10 gen=" gen " a=" report " b=2\n"

static void all_or_nothing(void **state)
{
    (void)state;
#define DIES "2.2 engine.worker_exit pid=14 a=SIGSEGV\n"
    HOLDS(reload_all_or_nothing, MAKE READY("2.15", "13") DIES REPORT("2.3", "undone", "1"));
    VIOLATED(reload_all_or_nothing,
             MAKE READY("2.15", "13") DIES GOES("2.25", "11") REPORT("2.3", "undone", "1"));
    VIOLATED(reload_all_or_nothing, MAKE READY("2.15", "13") DIES REPORT("2.3", "ok", "2"));
    VIOLATED(reload_all_or_nothing,
             MAKE READY("2.15", "13") DIES REPORT("2.3", "undone", "1") GOES("2.4", "11"));
    /* A worker on trial serves somebody; one whose generation is complete may. */
#define POISED(t, pid) t " engine.worker_poised pid=" pid " gen=2\n"
#define TAKES(t, pid) t " engine.accept pid=" pid " gen=2 conn=9 a=8080\n"
    VIOLATED(reload_all_or_nothing,
             MAKE POISED("2.15", "13") TAKES("2.16", "13") DIES REPORT("2.3", "undone", "1"));
    UNKNOWN(reload_all_or_nothing, MAKE POISED("2.15", "13") POISED("2.15", "14")
                                       TAKES("2.16", "13") REPORT("2.3", "ok", "2"));
    /* The old are told to go before the last of the new is ready. */
    VIOLATED(reload_all_or_nothing, MAKE READY("2.15", "13") GOES("2.2", "11") READY("2.21", "14")
                                        REPORT("2.3", "ok", "2"));
    /* One that was stopped hears late that the reload before told it to go. */
#define SENT_AWAY(t, pid) t " engine.tell pid=" pid " gen=1 a=SIGQUIT\n"
    HOLDS(reload_all_or_nothing, MAKE SENT_AWAY("1.9", "11") READY("2.15", "13") GOES("2.2", "11")
                                     DIES REPORT("2.3", "undone", "1"));
    VIOLATED(reload_all_or_nothing, MAKE SENT_AWAY("2.18", "11") READY("2.15", "13")
                                        GOES("2.2", "11") DIES REPORT("2.3", "undone", "1"));
    /* One died and was replaced in time. */
    HOLDS(reload_all_or_nothing, MAKE READY("2.15", "13") DIES
          "2.22 engine.spawn pid=15 slot=1 gen=2\n" READY("2.25", "15") GOES("2.26", "11")
              REPORT("2.3", "ok", "2"));
    /* Stopped, or signalled by somebody else. */
    HOLDS(reload_all_or_nothing, MAKE READY("2.15", "13") DIES
          "2.24 director.stop a=1\n" GOES("2.25", "11") REPORT("2.3", "undone", "1"));
    HOLDS(reload_all_or_nothing, MAKE READY("2.15", "13") DIES
          "2.24 director.signal pid=11 a=SIGQUIT b=worker\n" GOES("2.25", "11")
              REPORT("2.3", "undone", "1"));
    /* A TTOU that had been put off takes effect. */
    UNKNOWN(reload_all_or_nothing,
            MAKE "2.1 engine.resized pid=10 a=1\n" GOES("2.11", "12") REPORT("2.3", "ok", "2"));
    /* All went well: no evidence for the case that this is about. */
    UNKNOWN(reload_all_or_nothing, MAKE READY("2.15", "13") READY("2.15", "14") GOES("2.2", "11")
                                       GOES("2.2", "12") REPORT("2.3", "ok", "2"));
    UNKNOWN(reload_all_or_nothing, STORY_SERVER GOOD);
}

/* All were ready, and one dies before the master has told of its decision. */
#define ALL_READY MAKE READY("2.15", "13") READY("2.16", "14")
#define KILLED(t, pid)                                                                             \
    t " director.signal pid=" pid " a=SIGKILL b=worker\n" t "1 watch.exit pid=" pid                \
      " a=SIGKILL b=10\n"
#define REAPED(t, pid) t " engine.worker_exit pid=" pid " a=SIGKILL\n"
#define DONE GOES("2.2", "11") GOES("2.2", "12") REPORT("2.3", "ok", "2")

static void killed_between_ready_and_commit(void **state)
{
    (void)state;
    UNKNOWN(reload_all_or_nothing, ALL_READY KILLED("2.165", "14") REAPED("2.17", "14") DONE);
    HOLDS(reload_honest, ALL_READY KILLED("2.165", "14") REAPED("2.17", "14") DONE);
    /* Undone all the same: allowed. */
    HOLDS(reload_all_or_nothing,
          ALL_READY KILLED("2.165", "14") REAPED("2.17", "14") REPORT("2.2", "undone", "2"));
    /* It dies as the last gets ready, and the master hears of that first. */
    UNKNOWN(reload_all_or_nothing,
            MAKE READY("2.15", "13") KILLED("2.155", "13") READY("2.16", "14") DONE);
    HOLDS(reload_honest, MAKE READY("2.15", "13") KILLED("2.155", "13") READY("2.16", "14") DONE);
    /* The master knew before the last was ready. */
    VIOLATED(reload_all_or_nothing, MAKE READY("2.15", "13") KILLED("2.153", "13")
                                        REAPED("2.155", "13") READY("2.16", "14") DONE);
    VIOLATED(reload_honest, MAKE READY("2.15", "13") KILLED("2.153", "13") REAPED("2.155", "13")
                                READY("2.16", "14") DONE);
    /* It dies before it is ready, seen by the watcher alone. */
    VIOLATED(reload_all_or_nothing, MAKE READY("2.15", "13") KILLED("2.153", "14") DONE);
}

/* Each reload is about the configuration that was there when it began. */
static void the_next_configuration_comes_early(void **state)
{
    (void)state;
#define NEXT_ASKS_FOR(t, workers) t " director.config gen=3 a=1 b=" workers "\n"
    HOLDS(reload_honest, ALL_READY NEXT_ASKS_FOR("2.155", "4") DONE);
    UNKNOWN(reload_all_or_nothing, ALL_READY NEXT_ASKS_FOR("2.155", "4") DONE);
    VIOLATED(reload_honest, MAKE READY("2.15", "13") NEXT_ASKS_FOR("2.155", "1") DONE);
    /* Read before the director tells of it. */
    HOLDS(reload_honest, MAKE READY("2.15", "13") NEXT_ASKS_FOR("2.05", "1") DONE);
}

static void honest(void **state)
{
    (void)state;
    HOLDS(reload_honest, STORY_SERVER GOOD GET("2.3", "5", "2", "13"));
    HOLDS(reload_honest, BAD_TOLD GET("2.3", "5", "1", "11"));
    VIOLATED(reload_honest, BAD TOLD("2.2", "2", "1", "ok"));
    /* Undone, and then loaded for somebody else who asked. */
#define UNDONE STORY_SERVER ASK("2", "2", "1") TOLD("2.2", "2", "1", "undone")
    VIOLATED(reload_honest, UNDONE GET("2.4", "5", "2", "13"));
    HOLDS(reload_honest, UNDONE "2.3 engine.reload pid=10 gen=3\n" GET("2.4", "5", "2", "13"));
    VIOLATED(reload_honest, BAD TOLD("2.2", "2", "1", "none"));
    /* Success before anybody was served by it; within the allowance; once somebody was. */
    VIOLATED(reload_honest,
             STORY_SERVER GOOD GET("2.3", "5", "1", "11") GET("2.4", "6", "2", "13"));
    HOLDS(reload_honest, STORY_SERVER GOOD GET("2.205", "5", "1", "11") GET("2.4", "6", "2", "13"));
    HOLDS(reload_honest,
          STORY_SERVER GOOD DEAF GET("2.3", "5", "1", "11") GET("2.4", "6", "2", "13"));
    HOLDS(reload_honest, STORY_SERVER GOOD GET("2.1", "5", "2", "13") GET("2.3", "6", "1", "11"));
    /* Said to have failed, and serves. */
    VIOLATED(reload_honest, STORY_SERVER ASK("2", "2", "1") TOLD("2.2", "2", "1", "undone")
                                GET("2.4", "6", "2", "13"));
    /* A new binary has loaded the same file. */
    HOLDS(reload_honest, STORY_SERVER ASK("2", "2", "1") "2.1 engine.master pid=20 gen=1\n" TOLD(
                             "2.2", "2", "1", "undone") GET("2.4", "6", "2", "13"));
    /* Failed, and nobody said so. */
#define SILENT STORY_SERVER ASK("2", "2", "1") TOLD("4", "2", "1", "none")
    VIOLATED(reload_honest, SILENT GET("4.5", "5", "1", "11") "5 director.stop a=1\n");
    UNKNOWN(reload_honest, SILENT GET("4.5", "5", "2", "13") "5 director.stop a=1\n");
    UNKNOWN(reload_honest,
            SILENT FOLLOWED("2.5") GET("4.5", "5", "1", "11") "5 director.stop a=1\n");
    UNKNOWN(reload_honest, STORY_SERVER ASK("2", "2", "1"));
}

static void honest_engine(void **state)
{
    (void)state;
    HOLDS(reload_honest, MAKE READY("2.15", "13") READY("2.2", "14") REPORT("2.3", "ok", "2"));
    VIOLATED(reload_honest, MAKE READY("2.15", "13") REPORT("2.16", "ok", "2") READY("2.2", "14"));
    VIOLATED(reload_honest, STORY_ENGINE "2 engine.reload pid=10 gen=2\n" REPORT("2", "ok", "2"));
    UNKNOWN(reload_honest, MAKE REPORT("2.3", "undone", "1"));
}

static void no_lost_signal(void **state)
{
    (void)state;
#define FIRST GET("1", "4", "1", "11")
#define HUP(t) t " director.signal pid=10 a=SIGHUP b=master\n"
    HOLDS(reload_no_lost_signal, STORY_SERVER FIRST GOOD GET("2.3", "5", "2", "13"));
    VIOLATED(reload_no_lost_signal, STORY_SERVER FIRST CONFIG("1.9", "2") HUP("2")
                                        GET("4.5", "5", "1", "11") "5 director.end\n");
    /* The second of two, while the first is under way. */
    VIOLATED(reload_no_lost_signal,
             STORY_SERVER FIRST CONFIG("1.9", "2") HUP("2") CONFIG("2.01", "3") HUP("2.02")
                 GET("2.3", "5", "2", "13") GET("4.5", "6", "2", "13"));
    HOLDS(reload_no_lost_signal,
          STORY_SERVER FIRST CONFIG("1.9", "2") HUP("2") CONFIG("2.01", "3") HUP("2.02")
              GET("2.3", "5", "2", "13") GET("4.5", "6", "3", "14"));
    /* Too soon to tell (2 s); a fault undid it; the file was replaced and nobody asked. */
    UNKNOWN(reload_no_lost_signal,
            STORY_SERVER FIRST CONFIG("1.9", "2") HUP("2") GET("3.5", "5", "1", "11"));
    UNKNOWN(reload_no_lost_signal,
            STORY_SERVER FIRST CONFIG("1.9", "2") ASK("2", "2", "1") TOLD(
                "2.5", "2", "1",
                "undone") "2.2 fault.fired pid=13 a=worker.boot b=0x400000000\n" GET("4.5", "5",
                                                                                     "1", "11"));
    /* A fault had it refused; a refusal without one explains nothing. */
#define REFUSED CONFIG("1.9", "2") ASK("2", "2", "1") TOLD("2.5", "2", "1", "refused")
    UNKNOWN(
        reload_no_lost_signal, STORY_SERVER FIRST REFUSED
        "2.2 fault.fired pid=10 a=master.reload.parse b=0x400000000\n" GET("4.5", "5", "1", "11"));
    VIOLATED(reload_no_lost_signal, STORY_SERVER FIRST REFUSED GET("4.5", "5", "1", "11"));
    HOLDS(reload_no_lost_signal, STORY_SERVER FIRST GOOD GET("2.3", "5", "2", "13") CONFIG("3", "3")
                                     GET("6", "6", "2", "13"));
    UNKNOWN(reload_no_lost_signal, STORY_SERVER FIRST);
}

/* Where the configuration does not change, only a trace can tell. */
static void no_lost_signal_in_a_storm(void **state)
{
    (void)state;
#define STORM "2 storm.signal pid=10 a=SIGHUP b=master times=50 every=1ms\n"
#define RELOADS(t) t " engine.reload pid=10 gen=2\n"
    HOLDS(reload_no_lost_signal, STORY_ENGINE FIRST STORM RELOADS("2.06") "5 director.end\n");
    VIOLATED(reload_no_lost_signal, STORY_ENGINE FIRST STORM RELOADS("2.04") "5 director.end\n");
    UNKNOWN(reload_no_lost_signal, STORY_ENGINE FIRST STORM "3 director.stop a=1\n");
    UNKNOWN(reload_no_lost_signal, STORY_SERVER FIRST STORM "5 director.end\n");
    VIOLATED(reload_no_lost_signal, STORY_ENGINE FIRST STORM "5 director.end\n");
    UNKNOWN(reload_no_lost_signal, STORY_ENGINE FIRST STORM FOLLOWED("2.1") "5 director.end\n");
    /* One that could not be sent was not lost. */
    HOLDS(reload_no_lost_signal,
          STORY_ENGINE FIRST STORM RELOADS(
              "2.06") "2.07 storm.signal pid=10 a=SIGHUP b=master c=ESRCH\n5 director.end\n");
}

static void balanced(void **state)
{
    (void)state;
    /* descriptors << 32 | mappings: 0x0a00000064 is 10 and 100. */
#define SIZE(t, pid, numbers, rss)                                                                 \
    t " watch.proc pid=" pid " a=" numbers " c=" rss " times=5 every=10ms\n"
#define EARLY STORY_SERVER SIZE("1", "10", "0x0a00000064", "8000000")
#define RELOADS3                                                                                   \
    "2 director.reload gen=2 a=1 b=1\n3 director.reload gen=3 a=1 b=2\n"                           \
    "4 director.reload gen=4 a=1 b=3\n"
    HOLDS(reload_balanced, EARLY RELOADS3 SIZE("5", "10", "0x0a00000064", "8000000"));
    VIOLATED(reload_balanced, EARLY RELOADS3 SIZE("5", "10", "0x0d00000064", "8000000"));
    VIOLATED(reload_balanced, EARLY RELOADS3 SIZE("5", "10", "0x0a00000084", "8000000"));
    VIOLATED(reload_balanced, EARLY RELOADS3 SIZE("5", "10", "0x0a00000064", "13000000"));
    HOLDS(reload_balanced, EARLY RELOADS3 SIZE("5", "10", "0x0c00000064", "12000000"));
    /* Old workers cost descriptors until they are gone. */
    HOLDS(reload_balanced, EARLY RELOADS3 SIZE("5", "10", "0x1400000064", "8000000")
                               SIZE("6", "10", "0x0a00000064", "8000000"));
    UNKNOWN(reload_balanced,
            EARLY "2 director.reload gen=2 a=1 b=1\n" SIZE("5", "10", "0x0d00000064", "8000000"));
    /* Before, two workers were dead for most of the time. */
#define DEAD "0.5 watch.exit pid=11 a=SIGKILL\n0.5 watch.exit pid=12 a=SIGKILL\n"
#define BACK "1.5 watch.fork pid=13 a=10\n1.5 watch.fork pid=14 a=10\n"
#define FEW STORY_SERVER DEAD SIZE("1", "10", "0x0800000064", "8000000") BACK
    HOLDS(reload_balanced, FEW SIZE("1.6", "10", "0x0b00000064", "8000000")
                               RELOADS3 SIZE("5", "10", "0x0c00000064", "8000000"));
    UNKNOWN(reload_balanced, FEW RELOADS3 SIZE("5", "10", "0x0c00000064", "8000000"));
    UNKNOWN(reload_balanced, EARLY RELOADS3);
    UNKNOWN(reload_balanced, EARLY RELOADS3 SIZE("5", "10", "0x0e00000064",
                                                 "8000000") "3.5 director.config gen=4 a=1 b=6\n");
}

static void balanced_workers(void **state)
{
    (void)state;
#define MASTERS EARLY RELOADS3 SIZE("5", "10", "0x0a00000064", "8000000")
#define NEWER "4.5 watch.fork pid=13 a=10\n"
#define BUSY SIZE("1", "11", "0x0800000030", "4000000") SIZE("1.5", "11", "0x3000000030", "4000000")
    HOLDS(reload_balanced, MASTERS NEWER BUSY SIZE("5", "13", "0x0800000030", "4000000"));
    VIOLATED(reload_balanced, MASTERS NEWER BUSY SIZE("5", "13", "0x0c00000030", "4000000"));
    VIOLATED(reload_balanced, MASTERS NEWER BUSY SIZE("5", "13", "0x0800000030", "9000000"));
    /* Its clients cost descriptors: the least of its samples counts; and it may be gone. */
    HOLDS(reload_balanced, MASTERS NEWER BUSY SIZE("5", "13", "0x2000000030", "4000000")
                               SIZE("6", "13", "0x0900000030", "4000000"));
    HOLDS(reload_balanced, MASTERS NEWER BUSY SIZE("5", "13", "0x0c00000030",
                                                   "4000000") "6 watch.exit pid=13 b=10\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_loss),
        cmocka_unit_test(zero_loss_against_the_baseline),
        cmocka_unit_test(zero_loss_tells_apart),
        cmocka_unit_test(zero_loss_names_the_idle_race),
        cmocka_unit_test(cut_over),
        cmocka_unit_test(bad_config),
        cmocka_unit_test(bad_config_and_workers),
        cmocka_unit_test(leaves_no_trace),
        cmocka_unit_test(leaves_no_trace_for_the_next),
        cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(killed_between_ready_and_commit),
        cmocka_unit_test(the_next_configuration_comes_early),
        cmocka_unit_test(honest),
        cmocka_unit_test(honest_engine),
        cmocka_unit_test(no_lost_signal),
        cmocka_unit_test(no_lost_signal_in_a_storm),
        cmocka_unit_test(balanced),
        cmocka_unit_test(balanced_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
