/* limit: what the judge says of servers that run out, in hand-made histories. */
#include "scenarios/judge/judge_story.h"

#define ENDS(t) t " director.stop pid=10 a=1\n"
#define ACT(t) t " director.phase a=act\n"
#define RECOVER(t) t " director.phase a=recover\n"
/* Worker 11 pauses accepting for want of a descriptor, or of a connection. */
#define PAUSED(t, why) t " engine.accept_pause pid=11 slot=0 gen=1 a=1 b=" why " c=50\n"
#define SABOTAGED(t, pid) t " fault.fired pid=" pid " a=80 b=38654705664 c=1\n"
/* An exchange on a connection of before, of population 1. */
#define AGAIN(t, conn, req, how, after)                                                            \
    "0.1 client.connect conn=" conn " slot=1\n0.1 engine.accept conn=" conn " pid=11\n" t          \
    " client.request conn=" conn " req=" req " slot=1 flags=reused\n" after                        \
    " client.end conn=" conn " req=" req " slot=1 a=" how " c=1ms flags=reused\n"

/* ---- limit/fd-serving ------------------------------------------------------------------------ */

#define FDS                                                                                        \
    STORY_ENGINE "-2 director.param a=fd_limit b=64\n-2 director.param a=recover_bound b=2s\n"
/* 61 descriptors, 20 mappings */
#define SAMPLED(t, pid) t " watch.proc pid=" pid " a=261993005076\n"

static void fd_serving_holds_at_the_limit(void **state)
{
    (void)state;
    HOLDS(limit_fd_serving,
          FDS PAUSED("1", "fd") ACT("1.1")
              AGAIN("2", "7", "7", "ok", "2.1") "2 fresh conn=30 req=30 slot=0 end=timeout "
                                                "took=900ms\n" /* the new ones may wait */);
    HOLDS(limit_fd_serving, FDS SAMPLED("1", "11") ACT("1.1") AGAIN("2", "7", "7", "ok", "2.1"));
}

static void fd_serving_blames_a_lost_request(void **state)
{
    (void)state;
    BLAMES(limit_fd_serving, "client.end", 0, "engine.accept_pause",
           FDS PAUSED("1", "fd") ACT("1.1") AGAIN("2", "7", "7", "timeout", "4"));
}

static void fd_serving_blames_a_worker_that_leaves(void **state)
{
    (void)state;
    /* the sabotage that fired in it is no excuse, nor is an errno that it met */
    BLAMES(limit_fd_serving, "watch.exit", 11, NULL,
           FDS PAUSED("1", "fd") SABOTAGED("1.2", "11") "1.2 fault.fired pid=11 a=1 b=4294967320 "
                                                        "c=1\n1.3 watch.exit pid=11 a=256 b=10\n");
    BLAMES(limit_fd_serving, "watch.exit", 10, "engine.accept_pause",
           FDS PAUSED("1", "fd") "1.3 watch.exit pid=10 a=256 b=1\n");
}

static void fd_serving_spares_what_the_story_did(void **state)
{
    (void)state;
    HOLDS(limit_fd_serving,
          FDS PAUSED("1", "fd") ACT("1.1") AGAIN(
              "2", "7", "7", "ok",
              "2.1") "3 client.request conn=7 req=8 slot=1 flags=reused\n"
                     "3.1 director.signal pid=11 a=SIGKILL b=worker\n"
                     "3.2 client.end conn=7 req=8 slot=1 a=reset-before-response flags=reused\n"
                     "3.2 watch.exit pid=11 a=9 b=10\n");
    /* idle connections may be closed to make room */
    HOLDS(limit_fd_serving, FDS PAUSED("1", "fd") ACT("1.1") AGAIN("2", "7", "7", "ok", "2.1")
                                AGAIN("3", "9", "9", "reset-before-response", "3.001"));
}

static void fd_serving_needs_the_limit(void **state)
{
    (void)state;
    UNKNOWN(limit_fd_serving, FDS ACT("1.1") AGAIN("2", "7", "7", "ok", "2.1"));
    UNKNOWN(limit_fd_serving, FDS PAUSED("1", "fd") ACT("1.1"));
    UNKNOWN(limit_fd_serving, /* the master may have as many as it likes */
            FDS SAMPLED("1", "10") ACT("1.1") AGAIN("2", "7", "7", "ok", "2.1"));
}

/* ---- limit/fd-recovers ----------------------------------------------------------------------- */

#define NEW(t, how, took) t " fresh conn=40 req=40 slot=0 pid=11 end=" how " took=" took "\n"

static void fd_recovers_holds_within_its_bound(void **state)
{
    (void)state;
    HOLDS(limit_fd_recovers,
          FDS PAUSED("1", "fd") RECOVER("2") NEW("2.1", "ok", "1900ms") ENDS("9"));
}

static void fd_recovers_blames_who_never_accepts_again(void **state)
{
    (void)state;
    BLAMES(limit_fd_recovers, "engine.accept_pause", 11, NULL,
           FDS PAUSED("1", "fd") RECOVER("2") NEW("2.1", "ok", "2100ms") ENDS("9"));
    BLAMES(limit_fd_recovers, "client.end", 0, "engine.accept_pause",
           FDS PAUSED("1", "fd") RECOVER("2") NEW("2.1", "timeout", "3s") ENDS("9"));
    BLAMES(limit_fd_recovers, "engine.accept_pause", 11, NULL,
           FDS PAUSED("1", "fd") RECOVER("2") "2.1 client.connect conn=40 slot=0\n" ENDS("9"));
}

static void fd_recovers_measures_from_the_first_who_came(void **state)
{
    (void)state;
    HOLDS(limit_fd_recovers, FDS PAUSED("1", "fd") RECOVER("2") NEW("6", "ok", "5ms") ENDS("9"));
    UNKNOWN(limit_fd_recovers, FDS PAUSED("1", "fd") RECOVER("2") ENDS("9"));
}

static void fd_recovers_spares_a_client_that_waits_for_its_next_syn(void **state)
{
    (void)state;
    HOLDS(limit_fd_recovers,
          FDS PAUSED("1", "fd") RECOVER("2")
              NEW("2.1", "ok",
                  "5ms") "1.5 client.connect conn=50 slot=0\n"
                         "8 client.end conn=50 req=50 slot=0 a=connect-timeout c=7s\n" ENDS("9"));
    VIOLATED(limit_fd_recovers,
             FDS PAUSED("1", "fd") RECOVER("2") NEW(
                 "2.1", "ok",
                 "5ms") "2.5 client.connect conn=50 slot=0\n"
                        "8 client.end conn=50 req=50 slot=0 a=connect-timeout c=5s\n" ENDS("9"));
}

static void fd_recovers_needs_a_limit_that_is_lifted(void **state)
{
    (void)state;
    UNKNOWN(limit_fd_recovers, FDS "1 fresh conn=20 req=20 slot=0 pid=11\n" RECOVER("2")
                                   NEW("2.1", "ok", "5ms") ENDS("9"));
    UNKNOWN(limit_fd_recovers, FDS PAUSED("1", "fd") NEW("2.1", "ok", "5ms") ENDS("9"));
    UNKNOWN(limit_fd_recovers,
            STORY_ENGINE PAUSED("1", "fd") RECOVER("2") NEW("2.1", "ok", "5ms") ENDS("9"));
}

/* ---- limit/connections ----------------------------------------------------------------------- */

#define CONNECTIONS                                                                                \
    "-2 director.param a=worker_connections b=32\n-2 director.param a=recover_bound b=2s\n"
#define ACCEPTED(t, count) t " engine.accept pid=11 slot=0 conn=900 times=" count " every=1ms\n"

static void connections_hold_when_the_crowd_has_gone(void **state)
{
    (void)state;
    HOLDS(limit_connections, STORY_ENGINE CONNECTIONS PAUSED("1", "connections") RECOVER("2")
                                 NEW("2.1", "ok", "5ms") ENDS("9"));
    HOLDS(limit_connections, STORY_SERVER CONNECTIONS "1 client.held slot=4 a=64\n" RECOVER("2")
                                 NEW("2.1", "ok", "5ms") ENDS("9"));
}

static void connections_blame_a_worker_that_crashes(void **state)
{
    (void)state;
    BLAMES(limit_connections, "watch.exit", 11, NULL,
           STORY_ENGINE CONNECTIONS ACCEPTED("1", "32")
               SABOTAGED("1.05", "11") "1.1 watch.exit pid=11 a=6 b=10\n" ENDS("9"));
    BLAMES(limit_connections, "watch.exit", 11, NULL,
           STORY_SERVER CONNECTIONS
           "1 client.held slot=4 a=32\n1.1 watch.exit pid=11 a=6 b=10\n" ENDS("9"));
}

static void connections_are_not_about_other_crashes(void **state)
{
    (void)state;
    UNKNOWN(limit_connections, STORY_ENGINE CONNECTIONS ACCEPTED(
                                   "1", "20") "1.1 watch.exit pid=11 a=6 b=10\n" ENDS("9"));
    UNKNOWN(limit_connections, /* accepted and closed again and again */
            STORY_ENGINE CONNECTIONS ACCEPTED(
                "1", "20") "1.03 engine.close pid=11 slot=0 conn=900 times=20 "
                           "every=1ms\n" ACCEPTED(
                               "1.06", "20") "1.1 watch.exit pid=11 a=6 b=10\n" ENDS("9"));
    HOLDS(limit_connections,
          STORY_ENGINE CONNECTIONS ACCEPTED(
              "1", "32") "1.05 director.signal pid=11 a=SIGKILL b=worker\n1.1 watch.exit pid=11 "
                         "a=9 b=10\n" RECOVER("2") NEW("2.1", "ok", "5ms") ENDS("9"));
    HOLDS(limit_connections,
          STORY_ENGINE CONNECTIONS ACCEPTED(
              "1", "32") "1.05 fault.fired pid=11 a=1 b=17179869195 c=1\n1.1 watch.exit pid=11 "
                         "a=11 b=10\n" RECOVER("2") NEW("2.1", "ok", "5ms") ENDS("9"));
}

static void connections_blame_a_server_that_stays_full(void **state)
{
    (void)state;
    BLAMES(limit_connections, "engine.accept_pause", 11, NULL,
           STORY_ENGINE CONNECTIONS PAUSED("1", "connections")
               RECOVER("2") "2.1 client.connect conn=40 slot=0\n" ENDS("9"));
}

static void connections_need_the_limit(void **state)
{
    (void)state;
    UNKNOWN(limit_connections, STORY_ENGINE CONNECTIONS RECOVER("2") NEW("2.1", "ok", "5ms"));
    UNKNOWN(limit_connections, STORY_ENGINE CONNECTIONS PAUSED("1", "fd") RECOVER("2")
                                   NEW("2.1", "ok", "5ms") ENDS("9"));
}

/* ---- limit/no-spin --------------------------------------------------------------------------- */

#define CPU "-2 director.param a=cpu_permille b=100\n"
#define QUIET "1 director.phase a=quiet\n"
#define USED(t, ns) t " watch.proc pid=11 b=" ns "\n"

static void no_spin_holds_when_nothing_is_done(void **state)
{
    (void)state;
    /* what was used in the first moment belongs to the noise before; 99 ms in a second are allowed
     */
    HOLDS(limit_no_spin, STORY_SERVER CPU USED("0.9", "1s") QUIET USED("1.2", "2s")
                             USED("2.2", "2099ms") RECOVER("2.3") USED("2.4", "2200ms"));
}

static void no_spin_blames_who_burns(void **state)
{
    (void)state;
    BLAMES(limit_no_spin, "watch.proc", 11, "watch.proc",
           STORY_SERVER CPU QUIET USED("1.2", "2s") USED("2.2", "2110ms") RECOVER("2.3"));
    /* sabotages that fire in every turn of the loop do not excuse it */
    BLAMES(limit_no_spin, "watch.proc", 11, "watch.proc",
           STORY_SERVER CPU QUIET USED("1.2", "2s") USED("2.2", "2900ms") RECOVER(
               "2.3") "1.2 fault.fired pid=11 a=80 b=38654705664 c=1 times=1000 every=1ms\n");
}

static void no_spin_judges_the_last_phase_of_a_run_as_well(void **state)
{
    (void)state;
    VIOLATED(limit_no_spin, STORY_SERVER CPU QUIET USED("1.2", "2s") USED("2.2", "2900ms"));
    VIOLATED(limit_no_spin,
             STORY_SERVER CPU QUIET USED("1.2", "2s") USED("2.2", "2900ms") ENDS("2.3"));
}

static void no_spin_needs_a_long_and_quiet_look(void **state)
{
    (void)state;
    UNKNOWN(limit_no_spin, STORY_SERVER CPU ACT("1") USED("1.2", "2s") USED("2.2", "2900ms"));
    UNKNOWN(limit_no_spin,
            STORY_SERVER CPU QUIET USED("1.2", "2s") USED("1.4", "2200ms") RECOVER("1.5"));
    UNKNOWN(limit_no_spin, STORY_SERVER QUIET USED("1.2", "2s") USED("2.2", "2900ms"));
}

static void no_spin_spares_a_fault_that_burns(void **state)
{
    (void)state;
    UNKNOWN(limit_no_spin, STORY_SERVER CPU QUIET USED("1.2", "2s") USED(
                               "2.2", "2900ms") "1.3 fault.fired pid=11 a=1 b=30064771072 c=1\n");
}

/* ---- limit/slow-accept ----------------------------------------------------------------------- */

#define SLOW "-2 director.param a=slow_accept_bound b=500ms\n"
/* a delay fires in worker 11 */
#define DELAYED "1.2 fault.fired pid=11 slot=0 a=1 b=8589934592 c=1\n"
#define STOPS(t, number) t " director.signal pid=11 a=" number " b=worker\n"

static void slow_accept_holds_up_to_its_bound(void **state)
{
    (void)state;
    HOLDS(limit_slow_accept, STORY_ENGINE SLOW ACT("1") DELAYED NEW("2", "ok", "500ms"));
}

static void slow_accept_blames_a_connection_that_waits(void **state)
{
    (void)state;
    BLAMES(limit_slow_accept, "client.first_byte", 11, "fault.fired",
           STORY_ENGINE SLOW ACT("1") DELAYED NEW("2", "ok", "600ms"));
    BLAMES(limit_slow_accept, "client.end", 0, "director.signal",
           STORY_SERVER SLOW ACT("1") STOPS("1.2", "SIGSTOP") NEW("2", "timeout", "3s"));
}

static void slow_accept_spares_who_was_taken_before_the_stop(void **state)
{
    (void)state;
    const char *taken = STORY_ENGINE SLOW ACT("1") STOPS("2.1", "SIGSTOP")
        STOPS("3.5", "SIGCONT") "2.01 engine.accept pid=11 conn=40\n" NEW(
            "2", "ok", "2s") "2.2 fresh conn=60 req=60 pid=12\n";
    HOLDS(limit_slow_accept, taken);
    /* a server that does not tell when it accepted */
    HOLDS(limit_slow_accept,
          STORY_SERVER SLOW ACT("1") STOPS("2.1", "SIGSTOP") STOPS("3.5", "SIGCONT")
              NEW("2", "ok", "2s") "2.2 fresh conn=60 req=60 pid=12\n");
    /* it was another worker's, which nobody had stopped */
    VIOLATED(limit_slow_accept,
             STORY_ENGINE SLOW ACT("1")
                 STOPS("2.1", "SIGSTOP") "2.01 engine.accept pid=12 conn=40\n2 fresh "
                                         "conn=40 req=40 slot=0 pid=12 took=2s\n");
    /* it came after the stop: the others could have taken it */
    VIOLATED(limit_slow_accept, STORY_SERVER SLOW ACT("1") STOPS("1.9", "SIGSTOP")
                                    STOPS("3.5", "SIGCONT") NEW("2", "ok", "2s"));
}

static void slow_accept_is_about_quick_clients_on_new_connections(void **state)
{
    (void)state;
    UNKNOWN(limit_slow_accept, STORY_ENGINE SLOW ACT("1") DELAYED
            "2 fresh conn=70 req=70 slot=4 pid=11 took=3s\n" /* held */
            "2 fresh conn=71 req=71 slot=5 pid=11 took=3s\n" /* abusive */
            AGAIN("2", "7", "7", "timeout", "5"));
    UNKNOWN(limit_slow_accept, /* killed by the story */
            STORY_ENGINE SLOW ACT("1") "2.1 engine.accept pid=11 conn=40\n"
                                       "2.2 director.signal pid=11 a=SIGKILL b=worker\n" NEW(
                                           "2", "reset-before-response", "300ms"));
}

static void slow_accept_needs_a_slow_worker(void **state)
{
    (void)state;
    UNKNOWN(limit_slow_accept, STORY_ENGINE ACT("1") NEW("2", "ok", "600ms"));
    UNKNOWN(limit_slow_accept, STORY_ENGINE SLOW NEW("2", "ok", "600ms"));
    UNKNOWN(limit_slow_accept, STORY_ENGINE SLOW ACT("1") RECOVER("1.5") NEW("2", "ok", "600ms"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fd_serving_holds_at_the_limit),
        cmocka_unit_test(fd_serving_blames_a_lost_request),
        cmocka_unit_test(fd_serving_blames_a_worker_that_leaves),
        cmocka_unit_test(fd_serving_spares_what_the_story_did),
        cmocka_unit_test(fd_serving_needs_the_limit),
        cmocka_unit_test(fd_recovers_holds_within_its_bound),
        cmocka_unit_test(fd_recovers_blames_who_never_accepts_again),
        cmocka_unit_test(fd_recovers_measures_from_the_first_who_came),
        cmocka_unit_test(fd_recovers_spares_a_client_that_waits_for_its_next_syn),
        cmocka_unit_test(fd_recovers_needs_a_limit_that_is_lifted),
        cmocka_unit_test(connections_hold_when_the_crowd_has_gone),
        cmocka_unit_test(connections_blame_a_worker_that_crashes),
        cmocka_unit_test(connections_are_not_about_other_crashes),
        cmocka_unit_test(connections_blame_a_server_that_stays_full),
        cmocka_unit_test(connections_need_the_limit),
        cmocka_unit_test(no_spin_holds_when_nothing_is_done),
        cmocka_unit_test(no_spin_blames_who_burns),
        cmocka_unit_test(no_spin_judges_the_last_phase_of_a_run_as_well),
        cmocka_unit_test(no_spin_needs_a_long_and_quiet_look),
        cmocka_unit_test(no_spin_spares_a_fault_that_burns),
        cmocka_unit_test(slow_accept_holds_up_to_its_bound),
        cmocka_unit_test(slow_accept_blames_a_connection_that_waits),
        cmocka_unit_test(slow_accept_spares_who_was_taken_before_the_stop),
        cmocka_unit_test(slow_accept_is_about_quick_clients_on_new_connections),
        cmocka_unit_test(slow_accept_needs_a_slow_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
