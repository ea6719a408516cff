/* serve: for each guarantee a history that holds, one that violates it, one that nearly does, and
 * one without evidence. */
#include "scenarios/judge/judge_story.h"

/* A keep-alive connection 7 of population `slot`: opened, and one request answered by worker 11. */
#define POOLED(slot)                                                                               \
    "1 client.connect conn=7 slot=" slot "\n"                                                      \
    "1.0001 client.connected conn=7 slot=" slot " a=100us\n"                                       \
    "1.001 client.request conn=7 req=70 slot=" slot "\n"                                           \
    "1.002 client.first_byte conn=7 req=70 pid=11 gen=1 slot=" slot " a=1ms\n"                     \
    "1.003 client.end conn=7 req=70 pid=11 gen=1 slot=" slot " a=ok\n"
#define ACCEPTED "1.0002 engine.accept conn=7 pid=11 slot=0 gen=1\n"

static void accounted(void **state)
{
    (void)state;
#define LOST "1 fresh conn=5 req=5 slot=0 end=eof-before-response took=5ms\n"
    HOLDS(serve_accounted, STORY_ENGINE "1 fresh conn=5 req=5 pid=11 gen=1 times=10\n");
    VIOLATED(serve_accounted, STORY_ENGINE LOST);
    /* Nearly: the engine says that it closed the connection, before or after the client saw it. */
    HOLDS(serve_accounted, STORY_ENGINE LOST "1.0001 engine.accept conn=5 pid=11\n"
                                             "1.004 engine.close conn=5 pid=11 a=error\n");
    HOLDS(serve_accounted, STORY_ENGINE LOST "1.0001 engine.accept conn=5 pid=11\n"
                                             "1.3 engine.close conn=5 pid=11 a=timeout\n");
    /* The server blames the client, which waited. */
    VIOLATED(serve_accounted, STORY_ENGINE LOST "1.0001 engine.accept conn=5 pid=11\n"
                                                "1.004 engine.close conn=5 pid=11 a=peer\n");
    /* Its worker drains: the bound may cut it, and until then nothing may. */
#define DRAINS_FOR_1S "-2 director.param a=drain_timeout b=1s\n1.0001 engine.accept conn=5 pid=11\n"
    HOLDS(serve_accounted, STORY_ENGINE LOST DRAINS_FOR_1S "0.001 engine.drain pid=11\n");
    VIOLATED(serve_accounted, STORY_ENGINE LOST DRAINS_FOR_1S "0.8 engine.drain pid=11\n");
    UNKNOWN(serve_accounted, STORY_SERVER LOST);
    UNKNOWN(serve_accounted, STORY_ENGINE);
}

static void accounted_causes(void **state)
{
    (void)state;
#define OWNED LOST "1.0001 engine.accept conn=5 pid=11\n"
    HOLDS(serve_accounted, STORY_ENGINE OWNED "1.2 watch.exit pid=11 a=SIGSEGV b=10\n");
    VIOLATED(serve_accounted, STORY_ENGINE OWNED "1.2 watch.exit pid=12 a=SIGSEGV b=10\n");
    VIOLATED(serve_accounted, STORY_ENGINE OWNED "3.2 watch.exit pid=11 a=SIGSEGV b=10\n");
    HOLDS(serve_accounted,
          STORY_ENGINE OWNED "1.001 fault.fired pid=11 a=net.recv b=0x100000068\n");
    /* A sabotage (kind 9) is what must be caught. */
    VIOLATED(serve_accounted,
             STORY_ENGINE OWNED "1.001 fault.fired pid=11 a=sabotage.vanish b=0x900000000\n");
    HOLDS(serve_accounted, STORY_ENGINE OWNED "0.9 director.stop pid=10 a=1\n");
#define REFUSED                                                                                    \
    "1 client.connect conn=5\n"                                                                    \
    "1.001 client.connect_failed conn=5 b=ECONNREFUSED a=1ms\n"                                    \
    "1.001 client.request conn=5 req=5\n"                                                          \
    "1.001 client.end conn=5 req=5 a=refused\n"
    VIOLATED(serve_accounted, STORY_ENGINE REFUSED);
    HOLDS(serve_accounted, STORY_ENGINE REFUSED "0.9 engine.unlisten pid=10 a=8080\n");
    HOLDS(serve_accounted, STORY_ENGINE REFUSED "0.9 watch.queue a=8080 b=128 c=128\n");
    VIOLATED(serve_accounted, STORY_ENGINE REFUSED "0.9 watch.queue a=8080 b=127 c=128\n");
    /* A clients' own queue: its requests never reached a connection. */
    HOLDS(serve_accounted, STORY_ENGINE "1 client.request req=5\n1 client.end req=5 a=timeout\n");
    /* Without a trace, an answer speaks for itself. */
    HOLDS(serve_accounted, STORY_SERVER "1 fresh conn=5 req=5 pid=11 gen=1 end=5xx\n");
    VIOLATED(serve_accounted, STORY_ENGINE "1 fresh conn=5 req=5 pid=11 gen=1 end=5xx\n");
    /* Whose application is in trouble is told so by the server. */
#define APPLICATION_FAILS                                                                          \
    STORY_ENGINE "-1 client.population slot=6 a=fresh flags=proxied\n"                             \
                 "0.5 director.param a=backend_trouble b=1\n"                                      \
                 "1 fresh conn=5 req=5 slot=6 pid=11 gen=1 end=5xx\n"
    VIOLATED(serve_accounted, APPLICATION_FAILS);
    HOLDS(serve_accounted, APPLICATION_FAILS "1.0005 engine.response req=5 conn=5 pid=11 a=502\n");
}

static void accounted_once(void **state)
{
    (void)state;
#define ONE "1 fresh conn=5 req=5 pid=11 gen=1\n"
    VIOLATED(serve_accounted, STORY_ENGINE ONE "2 client.end req=5 a=ok\n");
    VIOLATED(serve_accounted, STORY_ENGINE ONE "2 client.request req=6\n9 client.done a=2\n");
    HOLDS(serve_accounted, STORY_ENGINE ONE "9 client.done a=1\n");
    HOLDS(serve_accounted, STORY_ENGINE ONE "2 client.request req=6\n");
    UNKNOWN(serve_accounted, STORY_ENGINE ONE "2 client.request req=6\n9 client.done a=2 c=1\n");
}

static void continuity(void **state)
{
    (void)state;
#define REFUSAL(t) t " client.connect_failed conn=5 b=ECONNREFUSED a=1ms\n"
    HOLDS(serve_continuity, STORY_SERVER "1 fresh conn=1 req=1 times=5\n");
    VIOLATED(serve_continuity, STORY_SERVER "1 fresh conn=1 req=1\n" REFUSAL("2"));
    HOLDS(serve_continuity, STORY_SERVER "1 fresh conn=1 req=1\n" REFUSAL("-0.1"));
    HOLDS(serve_continuity,
          STORY_SERVER "1 fresh conn=1 req=1\n2 director.stop a=0\n" REFUSAL("2.001"));
    HOLDS(serve_continuity,
          STORY_SERVER "1 fresh conn=1 req=1\n2 client.connect_failed conn=5 b=EADDRNOTAVAIL\n");
    HOLDS(serve_continuity,
          STORY_SERVER "1 fresh conn=1 req=1\n"
                       "2 director.signal pid=10 a=SIGKILL b=master\n" REFUSAL("2.1"));
    UNKNOWN(serve_continuity, STORY_SERVER);
}

static void no_silent_loss(void **state)
{
    (void)state;
#define CONNECTED(latency) "9 client.connected conn=5 a=" latency "\n"
    HOLDS(serve_no_silent_loss, STORY_SERVER CONNECTED("900us"));
    VIOLATED(serve_no_silent_loss, STORY_SERVER CONNECTED("1020ms"));
    VIOLATED(serve_no_silent_loss, STORY_SERVER CONNECTED("3040ms"));
    VIOLATED(serve_no_silent_loss, STORY_SERVER CONNECTED("7100ms"));
    VIOLATED(serve_no_silent_loss,
             STORY_SERVER "9 client.connect_failed conn=5 b=ETIMEDOUT a=2s\n");
    HOLDS(serve_no_silent_loss, STORY_SERVER CONNECTED("940ms"));
    HOLDS(serve_no_silent_loss, STORY_SERVER CONNECTED("1500ms"));
    /* The prober itself was late; it tells so after the fact. */
    UNKNOWN(serve_no_silent_loss, STORY_SERVER CONNECTED("1020ms") "9.001 client.lag a=800ms\n");
    VIOLATED(serve_no_silent_loss, STORY_SERVER CONNECTED("1020ms") "9.001 client.lag a=20ms\n");
    UNKNOWN(serve_no_silent_loss, STORY_SERVER);
}

static void latency_step(void **state)
{
    (void)state;
#define STEP STORY_SERVER "-2 director.param a=latency_step b=20ms\n0.5 director.phase a=baseline\n"
#define BASELINE "1 fresh conn=1 req=1 slot=0 took=2ms times=100 every=10ms\n"
#define RELOAD "3 director.reload gen=2 a=1 b=1\n4 director.reloaded gen=2 a=ok b=1\n"
#define DURING(took) "3.1 fresh conn=1000 req=1000 slot=0 took=" took " times=60 every=10ms\n"
    HOLDS(serve_latency_step, STEP BASELINE RELOAD DURING("3ms"));
    VIOLATED(serve_latency_step, STEP BASELINE RELOAD DURING("50ms"));
    HOLDS(serve_latency_step, STEP BASELINE RELOAD DURING("20ms"));
    /* As late as the prober itself. */
    UNKNOWN(serve_latency_step, STEP BASELINE RELOAD DURING("50ms") "3.5 client.lag a=60ms\n");
    /* Late by little beside what was waited: many that come at once keep the prober busy. */
#define LAGGING                                                                                    \
    "3.1 client.first_byte conn=1 req=1 slot=0 a=600ms flags=lagging times=60 every=1ms\n"
    VIOLATED(serve_latency_step, STEP BASELINE RELOAD "3.05 client.lag a=10ms\n" LAGGING);
    UNKNOWN(serve_latency_step, STEP BASELINE RELOAD "3.05 client.lag a=400ms\n" LAGGING);
    /* A stall that ends after the window is seen by when the requests were due. */
    VIOLATED(serve_latency_step, STEP BASELINE RELOAD DURING("2500ms"));
    UNKNOWN(serve_latency_step, STEP BASELINE RELOAD);
    UNKNOWN(serve_latency_step, STEP BASELINE DURING("3ms"));
    UNKNOWN(serve_latency_step, STORY_SERVER BASELINE RELOAD DURING("3ms"));
}

static void right_answer(void **state)
{
    (void)state;
    HOLDS(serve_right_answer, STORY_SERVER "1 fresh conn=1 req=1 times=5\n");
    VIOLATED(serve_right_answer, STORY_SERVER "1 fresh conn=1 req=1 end=wrong-body pid=11\n");
    HOLDS(serve_right_answer,
          STORY_SERVER "1 fresh conn=1 req=1\n2 fresh conn=2 req=2 end=truncated\n"
                       "3 fresh conn=3 req=3 slot=5 end=wrong-body\n");
    UNKNOWN(serve_right_answer, STORY_SERVER "1 fresh conn=1 req=1 end=truncated\n");
}

static void one_generation(void **state)
{
    (void)state;
    HOLDS(serve_one_generation,
          STORY_SERVER "1 fresh conn=1 req=1 gen=1\n2 fresh conn=2 req=2 gen=2\n");
    VIOLATED(serve_one_generation, STORY_SERVER "1 fresh conn=1 req=1 gen=2 flags=mixed-gen\n");
    /* An older configuration after a newer one on the same connection; across connections it may.
     */
    VIOLATED(serve_one_generation, STORY_SERVER "1 client.connect conn=7\n"
                                                "2 client.first_byte conn=7 req=1 gen=2 pid=11\n"
                                                "3 client.first_byte conn=7 req=2 gen=1 pid=11\n");
    HOLDS(serve_one_generation,
          STORY_SERVER "1 fresh conn=1 req=1 gen=2\n2 fresh conn=1 req=2 gen=1\n");
    UNKNOWN(serve_one_generation, STORY_SERVER "1 fresh conn=1 req=1\n");
}

static void at_most_once(void **state)
{
    (void)state;
#define RAN(t, conn, req) t " engine.request pid=11 conn=" conn " req=" req "\n"
    HOLDS(serve_at_most_once, STORY_ENGINE RAN("1", "5", "5") RAN("1.1", "5", "6"));
    VIOLATED(serve_at_most_once, STORY_ENGINE RAN("1", "5", "5") RAN("1.1", "5", "5"));
    /* A proxy passes the nonce on: another connection is another send. */
    HOLDS(serve_at_most_once, STORY_ENGINE RAN("1", "5", "5") RAN("1.1", "6", "5"));
    HOLDS(serve_at_most_once,
          STORY_ENGINE RAN("1", "5", "0") RAN("1", "5", "1") RAN("1.1", "5", "0"));
#define LOGGED "-2 director.param a=access_log b=1\n9 director.log_line req=5 b=200 c=1\n"
    HOLDS(serve_at_most_once, STORY_SERVER LOGGED "9 director.log_line req=6 b=200 c=1\n");
    VIOLATED(serve_at_most_once, STORY_SERVER LOGGED "9 director.log_line req=5 b=200 c=1\n");
    UNKNOWN(serve_at_most_once,
            STORY_SERVER "9 director.log_line req=5\n9 director.log_line req=5\n");
}

static void announced_close(void **state)
{
    (void)state;
#define ENDED(reason, idle) "2 client.close conn=7 req=70 slot=1 a=" reason " b=" idle " c=1\n"
    HOLDS(serve_announced_close, STORY_SERVER POOLED("1") ENDED("announced", "10ms"));
    VIOLATED(serve_announced_close, STORY_SERVER POOLED("1") ENDED("silent", "10ms"));
    VIOLATED(serve_announced_close, STORY_SERVER POOLED("1") ENDED("silent", "4500ms"));
    UNKNOWN(serve_announced_close, STORY_SERVER POOLED("1") ENDED("silent", "4800ms"));
    UNKNOWN(serve_announced_close, STORY_SERVER POOLED("1") ENDED("client", "10ms"));
    /* A drain is no excuse; a crash and a fast stop are, also if they are told later. */
    VIOLATED(serve_announced_close, STORY_ENGINE ACCEPTED POOLED("1")
                                        ENDED("silent", "10ms") "1.9 director.stop a=1\n"
                                                                "2.1 watch.exit pid=11 b=10\n");
    UNKNOWN(serve_announced_close,
            STORY_SERVER POOLED("1") ENDED("silent", "10ms") "1.9 director.stop a=0\n");
    UNKNOWN(serve_announced_close, STORY_SERVER POOLED("1") ENDED(
                                       "silent", "10ms") "2.2 watch.exit pid=11 a=SIGSEGV b=10\n");
    VIOLATED(serve_announced_close, STORY_SERVER POOLED("1") ENDED(
                                        "silent", "10ms") "2.2 watch.exit pid=12 a=SIGSEGV b=10\n");
    UNKNOWN(serve_announced_close, STORY_SERVER "1 fresh conn=1 req=1 slot=0\n");
    /* The drain began in the middle of an answer, whose head could not tell of it any more. */
#define LONG_ANSWER(first_byte, idle)                                                              \
    "1 client.connect conn=7 slot=1\n1.0001 client.connected conn=7 slot=1 a=100us\n"              \
    "1.0002 engine.accept conn=7 pid=11 slot=0 gen=1\n1.001 client.request conn=7 req=70 slot=1\n" \
    "1.4 engine.drain pid=11\n" first_byte " client.first_byte conn=7 req=70 pid=11 slot=1\n"      \
    "2 client.end conn=7 req=70 pid=11 slot=1 a=ok\n"                                              \
    "3.5 client.close conn=7 req=70 slot=1 a=silent b=" idle " c=1\n"
    UNKNOWN(serve_announced_close, STORY_ENGINE LONG_ANSWER("1.2", "1500ms"));
    VIOLATED(serve_announced_close, STORY_ENGINE LONG_ANSWER("1.6", "1500ms"));
}

/* A connection that is idle when a drain begins cannot be told any more. */
static void announced_close_in_a_drain(void **state)
{
    (void)state;
#define IDLE_FOR(t, idle) t " client.close conn=7 req=70 slot=1 a=silent b=" idle " c=1\n"
#define GRACEFUL "1.5 director.stop pid=10 a=1\n"
    /* The server may take 2 s: half of them are for one more request. */
    UNKNOWN(serve_announced_close, STORY_SERVER POOLED("1") GRACEFUL IDLE_FOR("2.6", "1500ms"));
    VIOLATED(serve_announced_close, STORY_SERVER POOLED("1") GRACEFUL IDLE_FOR("2", "900ms"));
    VIOLATED(serve_announced_close, STORY_SERVER POOLED("1") GRACEFUL IDLE_FOR("1.51", "500ms"));
    /* It was answered while draining: that answer could have said so. */
#define ANSWERED_AT(t) t " client.first_byte conn=7 req=71 pid=11 gen=1 slot=1 a=1ms\n"
    VIOLATED(serve_announced_close,
             STORY_SERVER POOLED("1") GRACEFUL ANSWERED_AT("2.29") IDLE_FOR("2.6", "300ms"));
    /* It was told to go later than the reload was asked for, and idle before that. */
#define TOLD_AT(t) "0.9 director.reload pid=10 gen=2 a=1 b=1\n" t " engine.drain pid=11\n"
    UNKNOWN(serve_announced_close,
            STORY_ENGINE POOLED("1") TOLD_AT("1.5") IDLE_FOR("2.55", "1500ms"));
    VIOLATED(serve_announced_close,
             STORY_ENGINE POOLED("1") TOLD_AT("1.5") IDLE_FOR("2.3", "1200ms"));
    VIOLATED(serve_announced_close,
             STORY_ENGINE POOLED("1") TOLD_AT("1.5") ANSWERED_AT("1.64") IDLE_FOR("2.55", "900ms"));
    /* A reload that is to be refused lets nobody drain. */
    VIOLATED(serve_announced_close,
             STORY_SERVER POOLED("1") "1.5 director.reload pid=10 gen=2 a=0 b=1\n" IDLE_FOR(
                 "2.6", "1500ms"));
    UNKNOWN(serve_announced_close,
            STORY_SERVER POOLED("1") "1.5 director.reload pid=10 gen=2 a=1 b=1\n" IDLE_FOR(
                "2.6", "1500ms"));
    /* Its place was needed. */
    UNKNOWN(serve_announced_close, STORY_ENGINE ACCEPTED POOLED("1") IDLE_FOR(
                                       "2", "900ms") "1.9 engine.close conn=7 pid=11 a=shed\n");
    VIOLATED(serve_announced_close, STORY_ENGINE ACCEPTED POOLED("1") IDLE_FOR(
                                        "2", "900ms") "1.9 engine.close conn=7 pid=11 a=idle\n");
}

static void no_reset_after_response(void **state)
{
    (void)state;
    HOLDS(serve_no_reset_after_response, STORY_SERVER "1 fresh conn=1 req=1\n");
    VIOLATED(serve_no_reset_after_response, STORY_SERVER POOLED("1") ENDED("reset", "10ms"));
    UNKNOWN(serve_no_reset_after_response, STORY_SERVER POOLED("1") ENDED("reset-lost", "0"));
    /* Answered early, and the answer is swept away by the reset. */
    VIOLATED(serve_no_reset_after_response,
             STORY_SERVER "1 fresh conn=1 req=1 slot=3 end=reset-before-response\n");
    UNKNOWN(serve_no_reset_after_response,
            STORY_SERVER "1 fresh conn=1 req=1 slot=2 end=reset-before-response\n");
    VIOLATED(serve_no_reset_after_response,
             STORY_ENGINE "1 fresh conn=1 req=1 slot=1 pid=11 end=reset-mid-response took=9ms\n"
                          "1.002 engine.response pid=11 conn=1 req=1 a=200\n");
    UNKNOWN(serve_no_reset_after_response,
            STORY_ENGINE "1 fresh conn=1 req=1 slot=1 pid=11 end=reset-mid-response took=9ms\n");
    /* At the drain bound there is no time left to linger. */
    UNKNOWN(serve_no_reset_after_response,
            STORY_SERVER "1 director.stop a=1\n"
                         "0.9 fresh conn=1 req=1 slot=3 end=reset-before-response took=2500ms\n");
    UNKNOWN(serve_no_reset_after_response,
            STORY_SERVER POOLED("1")
                ENDED("reset", "10ms") "2.1 watch.exit pid=11 a=SIGKILL b=10\n");
}

static void idle_race(void **state)
{
    (void)state;
#define AGAIN(slot, took, outcome, flags)                                                          \
    "2 client.request conn=7 req=71 slot=" slot " flags=" flags "\n"                               \
    "2." took " client.end conn=7 req=71 slot=" slot " a=" outcome " flags=" flags "\n"
    HOLDS(serve_idle_race, STORY_SERVER POOLED("2") AGAIN("2", "001", "ok", "reused,unsafe"));
    VIOLATED(serve_idle_race,
             STORY_SERVER POOLED("2") AGAIN("2", "001", "reset-before-response", "reused,unsafe"));
    /* It waited: the server had time to read it. It was executed: no race either. */
    HOLDS(serve_idle_race,
          STORY_SERVER POOLED("2") AGAIN("2", "3", "eof-before-response", "reused,unsafe"));
    HOLDS(serve_idle_race, STORY_ENGINE ACCEPTED POOLED("2") AGAIN(
                               "2", "001", "eof-before-response",
                               "reused,unsafe") "2.0005 engine.request pid=11 conn=7 req=71\n");
    /* Idempotent requests are told apart, and are no evidence. */
    UNKNOWN(serve_idle_race,
            STORY_SERVER POOLED("1") AGAIN("1", "001", "eof-before-response", "reused"));
    struct judge_result r = story_judge(
        G_serve_idle_race,
        STORY_SERVER POOLED("2")
            AGAIN("2", "001", "ok",
                  "reused,unsafe") "3 client.request conn=7 req=72 slot=1 flags=reused\n"
                                   "3.001 client.end conn=7 req=72 slot=1 a=eof-before-response "
                                   "flags=reused\n");
    assert_int_equal(r.verdict, VERDICT_HOLDS);
    assert_non_null(strstr(r.text, "1 idempotent requests lost"));
    /* The close was due: the connection had been idle for as long as it may be, or for a while when
     * its room was needed or the grace of a drain was over. */
#define IDLE_SINCE(t)                                                                              \
    STORY_ENGINE "-2 director.param a=keepalive_timeout b=5s\n"                                    \
                 "-2 director.param a=drain_timeout b=4s\n" ACCEPTED POOLED("2") t
#define LATE(flags) AGAIN("2", "001", "eof-before-response", flags)
#define CLOSED_FOR(why) "2.0003 engine.close pid=11 conn=7 req=7 a=" why " b=1\n"
    HOLDS(serve_idle_race, IDLE_SINCE(CLOSED_FOR("shed")) LATE("reused,unsafe"));
    HOLDS(serve_idle_race,
          IDLE_SINCE("0.999 engine.drain pid=11 a=1\n" CLOSED_FOR("drain")) LATE("reused,unsafe"));
    HOLDS(serve_idle_race, STORY_SERVER "-2 director.param a=keepalive_timeout b=1s\n" POOLED("2")
                               LATE("reused,unsafe"));
    VIOLATED(serve_idle_race, IDLE_SINCE(CLOSED_FOR("idle")) LATE("reused,unsafe"));
    VIOLATED(serve_idle_race, IDLE_SINCE(CLOSED_FOR("drain")) LATE("reused,unsafe"));
    VIOLATED(serve_idle_race,
             IDLE_SINCE("1.8 engine.drain pid=11 a=1\n" CLOSED_FOR("drain")) LATE("reused,unsafe"));
    /* What told its worker to go is the cause: the first reload since the connection was begun. */
#define ASKED(t, gen, valid, seq) t " director.reload pid=10 gen=" gen " a=" valid " b=" seq "\n"
    const char *reloaded = STORY_SERVER ASKED("0.5", "1", "1", "1") ASKED("1.5", "2", "0", "2")
        ASKED("1.9", "3", "1", "3") ASKED("1.95", "4", "1", "4") POOLED("2")
            AGAIN("2", "001", "eof-before-response", "reused,unsafe");
    BLAMES(serve_idle_race, "client.end", 0, "director.reload", reloaded);
    assert_int_equal(story_judge(G_serve_idle_race, reloaded).violations[0].cause.b, 3);
    /* ... to a newer configuration than it served: the one before was under way. */
    const char *slow = STORY_SERVER ASKED("1.5", "1", "1", "2") ASKED("1.9", "2", "1", "3")
        POOLED("2") AGAIN("2", "001", "eof-before-response", "reused,unsafe");
    assert_int_equal(story_judge(G_serve_idle_race, slow).violations[0].cause.b, 3);
    BLAMES(serve_idle_race, "client.end", 0, NULL,
           STORY_SERVER POOLED("2") AGAIN("2", "001", "eof-before-response", "reused,unsafe"));
    /* The crash of the worker is another matter. */
    HOLDS(serve_idle_race, STORY_SERVER POOLED("2")
                               AGAIN("2", "001", "eof-before-response",
                                     "reused,unsafe") "2.01 watch.exit pid=11 a=SIGSEGV b=10\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounted),
        cmocka_unit_test(accounted_causes),
        cmocka_unit_test(accounted_once),
        cmocka_unit_test(continuity),
        cmocka_unit_test(no_silent_loss),
        cmocka_unit_test(latency_step),
        cmocka_unit_test(right_answer),
        cmocka_unit_test(one_generation),
        cmocka_unit_test(at_most_once),
        cmocka_unit_test(announced_close),
        cmocka_unit_test(announced_close_in_a_drain),
        cmocka_unit_test(idle_race),
        cmocka_unit_test(no_reset_after_response),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
