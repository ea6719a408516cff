/* respawn: what the judge says of workers that die, in hand-made histories. */
#include "scenarios/judge/judge_story.h"

/* A worker ends: the watcher has it from the kernel, the master reaps it 0.3 ms later, the next
 * look finds it gone. `t` has a decimal point. */
#define DIES(t, pid, slot, status)                                                                 \
    t " watch.exit pid=" pid " a=" status " b=10\n" t "3 engine.worker_exit pid=" pid              \
      " slot=" slot " gen=1 a=" status "\n" t "9 watch.reaped pid=" pid " a=6ms\n"
#define KILLED(t, pid, slot)                                                                       \
    t " director.signal pid=" pid " a=SIGKILL b=worker\n" DIES(t "01", pid, slot, "9")
#define BORN(t, pid, slot)                                                                         \
    t " watch.fork pid=" pid " a=10\n" t "02 engine.spawn pid=" pid " slot=" slot " gen=1\n"
#define ACCEPTS(t, pid, slot) t " engine.worker_ready pid=" pid " slot=" slot " gen=1\n"
#define REPLACED(t, pid, slot) BORN(t, pid, slot) ACCEPTS(t "05", pid, slot)
#define ENDS(t) t " director.stop pid=10 a=1\n"

/* ---- respawn/deadline ------------------------------------------------------------------------ */

#define DEADLINE "-2 director.param a=respawn_deadline b=500ms\n"

static void deadline_holds_up_to_its_bound(void **state)
{
    (void)state;
    HOLDS(respawn_deadline, STORY_ENGINE DEADLINE KILLED("1.00", "11", "0") BORN("1.10", "13", "0")
                                ACCEPTS("1.49", "13", "0") ENDS("3.0"));
}

static void deadline_blames_the_death_for_a_late_replacement(void **state)
{
    (void)state;
    BLAMES(respawn_deadline, "watch.exit", 11, "engine.worker_ready",
           STORY_ENGINE DEADLINE KILLED("1.00", "11", "0") REPLACED("1.60", "13", "0") ENDS("3.0"));
}

static void deadline_blames_a_death_that_nobody_replaced(void **state)
{
    (void)state;
    /* a worker of another slot is no replacement */
    BLAMES(respawn_deadline, "watch.exit", 11, NULL,
           STORY_ENGINE DEADLINE KILLED("1.00", "11", "0") REPLACED("1.10", "13", "5") ENDS("3.0"));
}

static void deadline_counts_an_exit_that_two_witnesses_tell_once(void **state)
{
    (void)state;
    struct judge_result r =
        story_judge(G_respawn_deadline, STORY_ENGINE DEADLINE
                    "1 watch.exit pid=11 a=9 b=10\n"
                    "1 engine.worker_exit pid=11 slot=0 gen=1 a=9\n" /* virtual time */
                    REPLACED("1.10", "13", "0") ENDS("3.0"));
    assert_int_equal(r.verdict, VERDICT_HOLDS);
    assert_int_equal(r.checked, 1);
}

static void deadline_spares_a_worker_that_was_told_to_go(void **state)
{
    (void)state;
    UNKNOWN(respawn_deadline, STORY_ENGINE DEADLINE
            "1 engine.drain pid=11 slot=0 gen=1\n" DIES("1.20", "11", "0", "9") ENDS("3.0"));
}

static void deadline_spares_the_old_generation_after_a_reload(void **state)
{
    (void)state;
    /* hung when it was told to go: no drain record, the watchdog ends it before the report */
    UNKNOWN(respawn_deadline, STORY_ENGINE DEADLINE
            "0.9 director.reload pid=10 gen=2 a=1 b=1\n1 engine.reload pid=10 gen=2\n"
            "1.1 engine.spawn pid=13 slot=0 gen=2\n1.1 engine.spawn pid=14 slot=1 gen=2\n"
            "1.2 engine.worker_ready pid=13 slot=0 gen=2\n"
            "1.2 engine.worker_ready pid=14 slot=1 gen=2\n" DIES(
                "1.40", "11", "0", "6") "1.5 engine.reloaded pid=10 gen=2 a=ok b=2\n" ENDS("4.0"));
}

static void deadline_is_not_forgiven_by_a_reload_that_is_undone(void **state)
{
    (void)state;
    BLAMES(respawn_deadline, "watch.exit", 11, NULL,
           STORY_ENGINE DEADLINE "1 engine.reload pid=10 gen=2\n" KILLED(
               "1.10", "11", "0") "1.2 engine.reloaded pid=10 gen=1 a=undone b=2\n" ENDS("4.0"));
}

/* A new master's workers are there: nobody replaces those of one that was told to go. */
static void deadline_ends_with_its_master(void **state)
{
    (void)state;
#define PARTS(t) t " director.signal pid=10 a=SIGQUIT b=master\n"
    UNKNOWN(respawn_deadline, STORY_ENGINE DEADLINE KILLED("1.00", "11", "0") PARTS("1.2")
                                  DIES("1.3", "12", "1", "9") ENDS("4.0"));
    BLAMES(respawn_deadline, "watch.exit", 11, NULL,
           STORY_ENGINE DEADLINE KILLED("1.00", "11", "0") PARTS("1.6") ENDS("4.0"));
#undef PARTS
}

static void deadline_leaves_deaths_at_start_to_backoff(void **state)
{
    (void)state;
    UNKNOWN(respawn_deadline, STORY_ENGINE DEADLINE KILLED("1.00", "11", "0") BORN(
                                  "1.10", "13", "0") DIES("1.20", "13", "0", "256") ENDS("4.0"));
}

static void deadline_misses_one_that_leaves_by_itself(void **state)
{
    (void)state;
    BLAMES(respawn_deadline, "watch.exit", 11, NULL,
           STORY_ENGINE DEADLINE DIES("1.00", "11", "0", "0") ENDS("3.0"));
}

static void deadline_of_an_untraced_server_is_its_next_fork(void **state)
{
    (void)state;
    HOLDS(respawn_deadline, STORY_SERVER DEADLINE
          "1 director.signal pid=11 a=SIGKILL b=worker\n1.001 watch.exit pid=11 a=9 b=10\n"
          "1.002 watch.fork pid=13 a=10\n3 director.stop pid=10 a=1\n");
    /* a watcher that polls tells of the fork first */
    HOLDS(respawn_deadline,
          STORY_SERVER DEADLINE "1.000 watch.fork pid=13 a=10\n1.001 watch.exit pid=11 a=9 b=10\n"
                                "1.002 watch.fork pid=14 a=10\n3 director.stop pid=10 a=1\n");
    BLAMES(respawn_deadline, "watch.exit", 11, NULL,
           STORY_SERVER DEADLINE "1 watch.exit pid=11 a=9 b=10\n3 director.stop pid=10 a=1\n");
}

static void deadline_of_an_untraced_server_spares_the_old_while_it_reloads(void **state)
{
    (void)state;
    UNKNOWN(respawn_deadline, STORY_SERVER DEADLINE
            "1 director.reload pid=10 gen=2 a=1 b=1\n1.1 watch.fork pid=13 a=10\n"
            "1.1 watch.fork pid=14 a=10\n1.2 watch.exit pid=11 a=9 b=10\n"
            "1.3 director.reloaded pid=10 gen=2 a=ok b=1\n3 director.stop pid=10 a=1\n");
    BLAMES(respawn_deadline, "watch.exit", 11, NULL,
           STORY_SERVER DEADLINE "1 director.reload pid=10 gen=2 a=0 b=1\n"
                                 "1.3 director.reloaded pid=10 gen=2 a=refused b=1\n"
                                 "1.5 watch.exit pid=11 a=9 b=10\n3 director.stop pid=10 a=1\n");
}

static void deadline_of_an_untraced_server_asks_only_for_what_it_can_tell(void **state)
{
    (void)state;
    /* nobody tells whether it was wanted to go */
    UNKNOWN(respawn_deadline,
            STORY_SERVER DEADLINE "1 watch.exit pid=11 a=0 b=10\n3 director.stop pid=10 a=1\n");
    /* nobody tells what became of the reload */
    UNKNOWN(respawn_deadline, STORY_SERVER DEADLINE
            "1 director.signal pid=10 a=SIGHUP b=master\n1.2 watch.exit pid=11 a=9 b=10\n"
            "3 director.stop pid=10 a=1\n");
}

static void deadline_is_forgiven_only_to_the_slot_that_could_not_be_forked(void **state)
{
    (void)state;
    UNKNOWN(respawn_deadline,
            STORY_ENGINE DEADLINE KILLED(
                "1.00", "11",
                "0") "1.1 engine.spawn_failed pid=10 slot=0 gen=1 a=EAGAIN b=1s\n" ENDS("3.0"));
    BLAMES(respawn_deadline, "watch.exit", 11, NULL,
           STORY_ENGINE DEADLINE KILLED(
               "1.00", "11",
               "0") "1.1 engine.spawn_failed pid=10 slot=1 gen=1 a=EAGAIN b=1s\n" ENDS("3.0"));
}

static void deadline_is_not_owed_by_a_master_that_is_stopped(void **state)
{
    (void)state;
    HOLDS(respawn_deadline,
          STORY_ENGINE DEADLINE KILLED(
              "1.00", "11", "0") "1.01 director.signal pid=10 a=SIGSTOP b=master\n"
                                 "1.6 director.signal pid=10 a=SIGCONT b=master\n" REPLACED(
                                     "1.70", "13", "0") ENDS("3.0"));
    VIOLATED(respawn_deadline,
             STORY_ENGINE DEADLINE KILLED(
                 "1.00", "11",
                 "0") "1.01 director.signal pid=10 a=SIGUSR1 b=master\n" REPLACED("1.70", "13", "0")
                 ENDS("3.0"));
}

static void deadline_ends_with_the_master(void **state)
{
    (void)state;
    UNKNOWN(
        respawn_deadline,
        STORY_ENGINE DEADLINE KILLED(
            "1.00", "11",
            "0") "1.1 director.signal pid=10 a=SIGKILL b=master\n1.1001 watch.exit pid=10 a=9 b=1\n"
                 "9 watch.tree pid=10 a=0\n");
}

static void deadline_needs_a_death_and_a_bound(void **state)
{
    (void)state;
    UNKNOWN(respawn_deadline, STORY_ENGINE DEADLINE ENDS("3.0"));
    UNKNOWN(respawn_deadline,
            STORY_ENGINE DEADLINE KILLED("1.00", "11", "0") ENDS("1.2")); /* too soon to tell */
}

/* ---- respawn/count --------------------------------------------------------------------------- */

#define ZOMBIES "-2 director.param a=zombie_bound b=400ms\n"
#define TREE(t, count) t " watch.tree pid=10 a=2 times=" count " every=10ms\n"

static void count_holds_in_steady_state(void **state)
{
    (void)state;
    HOLDS(respawn_count, STORY_ENGINE ZOMBIES TREE("0", "500") KILLED("1.00", "11", "0")
                             REPLACED("1.50", "13", "0"));
}

static void count_blames_a_lack_once(void **state)
{
    (void)state;
    struct judge_result r =
        story_judge(G_respawn_count, STORY_ENGINE TREE("0", "900") KILLED("1.00", "11", "0"));
    assert_int_equal(r.violated, 1);
    BLAMES(respawn_count, "watch.tree", 10, "watch.exit",
           STORY_ENGINE TREE("0", "900") KILLED("1.00", "11", "0"));
}

static void count_blames_a_surplus(void **state)
{
    (void)state;
    BLAMES(respawn_count, "watch.tree", 10, "watch.exit",
           STORY_ENGINE TREE("0", "900") KILLED("1.00", "11", "0") REPLACED("1.10", "13", "0")
               REPLACED("1.10", "14", "2"));
}

static void count_is_not_hidden_by_sabotages_that_fire(void **state)
{
    (void)state;
    VIOLATED(respawn_count,
             STORY_ENGINE TREE("0", "900")
                 KILLED("1.00", "11",
                        "0") "1 fault.fired pid=10 a=1 b=38654705664 c=1 times=900 every=10ms\n");
}

static void count_waits_until_the_tree_may_have_converged(void **state)
{
    (void)state;
    /* dead at 1.0, replaced just before the 2 s are over */
    HOLDS(respawn_count, STORY_ENGINE TREE("0", "290") KILLED("0.50", "12", "1")
                             REPLACED("0.60", "14", "1") TREE("5.0", "9"));
    UNKNOWN(respawn_count, STORY_ENGINE TREE("0", "190"));
}

static void count_expects_what_the_new_configuration_asks_for(void **state)
{
    (void)state;
    HOLDS(respawn_count,
          STORY_ENGINE TREE(
              "0", "900") "0.9 director.config gen=2 a=1 b=1\n"
                          "0.9 director.reload pid=10 gen=2 a=1 b=1\n1 engine.reload pid=10 gen=2\n"
                          "1.1 engine.spawn pid=13 slot=0 gen=2\n1.2 engine.worker_ready pid=13 "
                          "slot=0 gen=2\n"
                          /* not waited for: the director tells no outcome; one old worker drains to
                             the end */
                          "1.3 engine.reloaded pid=10 gen=2 a=ok b=2\n" DIES(
                              "1.40", "11", "0", "0") "1.3 engine.drain pid=12 slot=1 gen=1\n");
    VIOLATED(
        respawn_count,
        STORY_ENGINE TREE(
            "0",
            "900") "0.9 director.config gen=2 a=1 b=3\n"
                   "1 engine.reload pid=10 gen=2\n1.3 engine.reloaded pid=10 gen=2 a=ok b=2\n"
                   "1.1 engine.spawn pid=13 slot=0 gen=2\n1.1 engine.spawn pid=14 slot=1 gen=2\n"
                   "1.3 engine.drain pid=11\n1.3 engine.drain pid=12\n");
}

/* 14 stalls before it is ready: it hears nothing, and the master has yet to kill it. */
#define TRIES                                                                                      \
    "1 engine.reload pid=10 gen=2\n1.1 engine.spawn pid=13 slot=0 gen=2\n"                         \
    "1.1 engine.spawn pid=14 slot=1 gen=2\n1.2 engine.worker_ready pid=13 slot=0 gen=2\n"
#define LEAVES "1.6 engine.drain pid=13 slot=0 gen=2\n1.7 engine.worker_exit pid=13 slot=0 gen=2\n"
#define UNDONE TRIES "1.5 engine.reloaded pid=10 gen=2 a=undone b=2\n" LEAVES

static void count_is_not_about_workers_that_never_served(void **state)
{
    (void)state;
    HOLDS(respawn_count, STORY_ENGINE TREE("0", "900") UNDONE);
    /* undone twice; then one that succeeds, and whose stalled worker would serve */
#define AGAIN                                                                                      \
    "2 engine.reload pid=10 gen=3\n2.1 engine.spawn pid=15 slot=0 gen=3\n"                         \
    "2.1 engine.spawn pid=16 slot=1 gen=3\n2.2 engine.reloaded pid=10 gen=3 a=undone b=3\n"
    HOLDS(respawn_count, STORY_ENGINE TREE("0", "900") UNDONE AGAIN);
    /* still under way */
    UNKNOWN(respawn_count, STORY_ENGINE TREE("1.05", "900") TRIES);
    /* a worker that is not of the reload that was undone */
    VIOLATED(respawn_count,
             STORY_ENGINE TREE("0", "900") UNDONE "1.8 engine.spawn pid=17 slot=2 gen=1\n");
    VIOLATED(respawn_count, STORY_ENGINE TREE("0", "900") TRIES
             "1.5 engine.reloaded pid=10 gen=2 a=refused b=2\n");
}

static void deadline_is_not_about_workers_of_an_undone_reload(void **state)
{
    (void)state;
    UNKNOWN(respawn_deadline, STORY_ENGINE DEADLINE TRIES
            "1.5 engine.reloaded pid=10 gen=2 a=undone b=2\n" DIES("1.9", "13", "0", "9")
                ENDS("9.0"));
}

/* 11 dies while a reload is tried, and who takes its place dies as the reload succeeds. */
static void deadline_is_not_about_the_old_configuration(void **state)
{
    (void)state;
#define OLD_REPLACED                                                                               \
    "1.15 engine.spawn pid=15 slot=0 gen=1\n1.16 engine.worker_ready pid=15 slot=0\n"
#define TRIES_LONG                                                                                 \
    DEADLINE TRIES "1.18 engine.worker_ready pid=14 slot=1 gen=2\n" KILLED("1.12", "11", "0")      \
        OLD_REPLACED KILLED("1.3", "15", "0")
    HOLDS(respawn_deadline,
          STORY_ENGINE TRIES_LONG "1.5 engine.reloaded pid=10 gen=2 a=ok b=2\n" ENDS("9.0"));
    VIOLATED(respawn_deadline,
             STORY_ENGINE TRIES_LONG "1.5 engine.reloaded pid=10 gen=2 a=undone b=2\n" ENDS("9.0"));
}

/* One of the old and one of the new die together: only the new one is replaced. */
static void deadline_tells_generations_apart(void **state)
{
    (void)state;
    HOLDS(respawn_deadline, STORY_ENGINE DEADLINE TRIES
          "1.18 engine.worker_ready pid=14 slot=1 gen=2\n" KILLED("1.2", "11", "0")
              KILLED("1.21", "13", "0") "1.22 engine.spawn pid=15 slot=0 gen=2\n"
                                        "1.23 engine.worker_ready pid=15 slot=0 gen=2\n"
                                        "1.5 engine.reloaded pid=10 gen=2 a=ok b=2\n" ENDS("9.0"));
}

/* 11 is stopped, hears nothing of the TTOU that was for it, and is killed for its silence. */
static void deadline_is_not_about_a_worker_that_is_one_too_many(void **state)
{
    (void)state;
#define TTOU(t) t " director.signal pid=10 a=SIGTTOU b=master\n"
    UNKNOWN(respawn_deadline,
            STORY_ENGINE DEADLINE TTOU("0.5") DIES("1.0", "11", "0", "9") ENDS("3.0"));
    VIOLATED(respawn_deadline,
             STORY_ENGINE DEADLINE TTOU("-0.75") DIES("1.0", "11", "0", "9") ENDS("3.0"));
    VIOLATED(respawn_deadline,
             STORY_ENGINE DEADLINE TTOU("1.6") DIES("1.0", "11", "0", "9") ENDS("3.0"));
}

static void count_of_an_untraced_server_survives_a_refused_reload(void **state)
{
    (void)state;
    HOLDS(respawn_count,
          STORY_SERVER TREE("0", "900") "1 director.reload pid=10 gen=2 a=0 b=1\n"
                                        "1.3 director.reloaded pid=10 gen=2 a=refused b=1\n");
    HOLDS(
        respawn_count,
        STORY_SERVER TREE(
            "0", "900") "1 director.reload pid=10 gen=2 a=1 b=1\n1.1 watch.fork pid=13 a=10\n"
                        "1.1 watch.fork pid=14 a=10\n1.2 watch.exit pid=11 a=0 b=10\n" /* 12 still
                                                                                          drains */
                        "1.3 director.reloaded pid=10 gen=2 a=ok b=1\n");
}

static void count_of_an_untraced_server_cannot_tell_after_a_bare_hup(void **state)
{
    (void)state;
    UNKNOWN(respawn_count,
            STORY_SERVER TREE("1", "900") "0.5 storm.signal pid=10 a=SIGHUP b=master\n");
    HOLDS(respawn_count,
          STORY_SERVER TREE("1", "900") "0.5 storm.signal pid=11 a=SIGHUP b=worker\n0.5 "
                                        "storm.signal pid=10 a=SIGUSR1 b=master\n");
}

static void count_reports_an_old_zombie_once(void **state)
{
    (void)state;
    const char *old = STORY_ENGINE ZOMBIES TREE("0", "100") KILLED("1.00", "11", "0")
        REPLACED("1.10", "13", "0") "1.6 watch.tree pid=10 a=2 b=1 c=500ms times=50 every=10ms\n";
    assert_int_equal(story_judge(G_respawn_count, old).violated, 1);
    BLAMES(respawn_count, "watch.tree", 10, "watch.exit", old);
    HOLDS(respawn_count,
          STORY_ENGINE ZOMBIES TREE("0", "300") "3 watch.tree pid=10 a=2 b=1 c=399ms\n");
}

/* ---- respawn/isolation ----------------------------------------------------------------------- */

/* Worker 12 serves before and after worker 11 is killed. */
#define OTHERS                                                                                     \
    "0.5 fresh conn=100 req=100 pid=12 gen=1 slot=0 times=10 every=10ms\n"                         \
    "1.1 fresh conn=200 req=200 pid=12 gen=1 slot=0 times=10 every=10ms\n"
#define HELD_BY(pid, t, conn, req)                                                                 \
    t " client.connect conn=" conn " slot=0\n" t "01 engine.accept conn=" conn " pid=" pid "\n" t  \
      "02 client.request conn=" conn " req=" req " slot=0\n"
#define LOST(t, conn, req)                                                                         \
    t " client.end conn=" conn " req=" req " slot=0 a=reset-before-response c=1ms\n"

static void isolation_holds_when_only_its_own_requests_fail(void **state)
{
    (void)state;
    /* the kernel closes its sockets a moment before it tells of the exit */
    HOLDS(respawn_isolation,
          STORY_ENGINE OTHERS HELD_BY("11", "0.90", "7", "7") KILLED("1.00", "11", "0")
              LOST("1.0002", "7", "7") REPLACED("1.10", "13", "0"));
}

static void isolation_blames_a_request_of_another_worker(void **state)
{
    (void)state;
    BLAMES(respawn_isolation, "client.end", 0, "watch.exit",
           STORY_ENGINE OTHERS HELD_BY("12", "0.90", "7", "7") KILLED("1.00", "11", "0")
               LOST("1.30", "7", "7"));
}

static void isolation_blames_a_death_without_a_reason(void **state)
{
    (void)state;
    BLAMES(respawn_isolation, "watch.exit", 12, "watch.exit",
           STORY_ENGINE OTHERS KILLED("1.00", "11", "0") DIES("1.20", "12", "1", "9"));
    /* a sabotage that fires in it is no reason */
    BLAMES(respawn_isolation, "watch.exit", 12, "watch.exit",
           STORY_ENGINE OTHERS KILLED(
               "1.00", "11",
               "0") "1.1 fault.fired pid=12 a=1 b=38654705664 c=1\n" DIES("1.20", "12", "1", "9"));
}

static void isolation_tells_causes_from_what_harms_nobody(void **state)
{
    (void)state;
    /* a kill that failed, a reload's signal, a signal to another */
    BLAMES(respawn_isolation, "watch.exit", 12, "watch.exit",
           STORY_ENGINE OTHERS KILLED(
               "1.00", "11", "0") "1.1 storm.signal pid=12 a=SIGKILL b=worker c=ESRCH\n"
                                  "1.1 storm.signal pid=12 a=SIGHUP b=worker\n1.1 storm.signal "
                                  "pid=13 a=SIGKILL b=worker\n" DIES("1.20", "12", "1", "9"));
    /* the whole group was told to end */
    HOLDS(respawn_isolation,
          STORY_ENGINE OTHERS KILLED(
              "1.00", "11", "0") "1.25 storm.signal pid=10 a=SIGTERM b=group\n" DIES("1.30", "12",
                                                                                     "1", "15"));
    /* long after the first death it is no contagion */
    HOLDS(respawn_isolation,
          STORY_ENGINE OTHERS KILLED("1.00", "11", "0") DIES("2.30", "12", "1", "11"));
}

static void isolation_knows_two_deaths_that_were_both_asked_for(void **state)
{
    (void)state;
    const char *both = STORY_ENGINE HELD_BY("12", "0.90", "7", "7") HELD_BY("11", "0.90", "8", "8")
        KILLED("1.00", "11", "0") KILLED("1.002", "12", "1") LOST("1.0021", "7", "7")
            REPLACED("1.10", "13", "0") "1.2 fresh conn=300 req=300 pid=13 times=9 every=10ms\n";
    HOLDS(respawn_isolation, both);
    HOLDS(respawn_isolation, /* a storm's, and a fault's */
          STORY_ENGINE "1 storm.signal pid=11 a=SIGKILL b=all\n" DIES(
              "1.01", "11", "0",
              "9") "1.1 fault.fired pid=12 a=1 b=17179869195 c=1\n" DIES("1.20", "12", "1", "11")
              REPLACED("1.30", "13", "0") "1.4 fresh conn=300 req=300 pid=13 gen=1\n");
}

static void isolation_forgets_what_was_done_to_an_earlier_process(void **state)
{
    (void)state;
    /* a deadly signal to everybody long ago excuses nobody born since */
    VIOLATED(respawn_isolation, STORY_ENGINE
             "1 director.signal pid=10 a=SIGUSR1 b=group\n"
             "1.5 director.signal pid=10 a=SIGTERM b=group\n" DIES("1.60", "11", "0", "15")
                 DIES("1.60", "12", "1", "15") REPLACED("1.70", "13", "0")
                     REPLACED("1.70", "14", "1") KILLED("5.00", "13", "0")
                         DIES("5.20", "14", "1", "11"));
}

static void isolation_spares_a_stopped_worker_and_the_idle_race(void **state)
{
    (void)state;
    HOLDS(respawn_isolation,
          STORY_ENGINE OTHERS HELD_BY(
              "12", "0.90", "7",
              "7") "0.95 director.signal pid=12 a=SIGSTOP b=worker\n" KILLED("1.00", "11", "0")
              REPLACED("1.05", "13", "0")
                  LOST("1.30", "7", "7") "1.4 fresh conn=300 req=300 pid=13 gen=1 slot=0\n");
    HOLDS(respawn_isolation,
          STORY_ENGINE OTHERS KILLED(
              "1.00", "11",
              "0") "0.5 client.connect conn=7 slot=1\n0.5 engine.accept conn=7 pid=12\n"
                   "1.2 client.request conn=7 req=7 slot=1 flags=reused\n"
                   "1.201 client.end conn=7 req=7 slot=1 a=reset-before-response flags=reused\n");
}

static void isolation_spares_who_leaves_and_who_never_served(void **state)
{
    (void)state;
    HOLDS(respawn_isolation,
          STORY_ENGINE OTHERS KILLED("1.00", "11", "0") DIES("1.30", "12", "1", "0"));
    HOLDS(respawn_isolation, STORY_ENGINE OTHERS KILLED("1.00", "11", "0") BORN("1.30", "13", "0")
                                 DIES("1.40", "13", "0", "256"));
    /* one that drains may cut what its bound does not leave time for */
    HOLDS(respawn_isolation,
          STORY_ENGINE OTHERS HELD_BY("12", "0.90", "7", "7") KILLED(
              "1.00", "11", "0") "1.25 engine.drain pid=12 slot=1 gen=1\n" LOST("1.30", "7", "7"));
}

static void isolation_needs_a_death_and_others(void **state)
{
    (void)state;
    UNKNOWN(respawn_isolation, STORY_ENGINE OTHERS);
    UNKNOWN(respawn_isolation, STORY_ENGINE KILLED("1.00", "11", "0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadline_holds_up_to_its_bound),
        cmocka_unit_test(deadline_blames_the_death_for_a_late_replacement),
        cmocka_unit_test(deadline_blames_a_death_that_nobody_replaced),
        cmocka_unit_test(deadline_counts_an_exit_that_two_witnesses_tell_once),
        cmocka_unit_test(deadline_spares_a_worker_that_was_told_to_go),
        cmocka_unit_test(deadline_spares_the_old_generation_after_a_reload),
        cmocka_unit_test(deadline_is_not_forgiven_by_a_reload_that_is_undone),
        cmocka_unit_test(deadline_ends_with_its_master),
        cmocka_unit_test(deadline_leaves_deaths_at_start_to_backoff),
        cmocka_unit_test(deadline_misses_one_that_leaves_by_itself),
        cmocka_unit_test(deadline_of_an_untraced_server_is_its_next_fork),
        cmocka_unit_test(deadline_of_an_untraced_server_spares_the_old_while_it_reloads),
        cmocka_unit_test(deadline_of_an_untraced_server_asks_only_for_what_it_can_tell),
        cmocka_unit_test(deadline_is_forgiven_only_to_the_slot_that_could_not_be_forked),
        cmocka_unit_test(deadline_is_not_owed_by_a_master_that_is_stopped),
        cmocka_unit_test(deadline_ends_with_the_master),
        cmocka_unit_test(deadline_needs_a_death_and_a_bound),
        cmocka_unit_test(count_holds_in_steady_state),
        cmocka_unit_test(count_blames_a_lack_once),
        cmocka_unit_test(count_blames_a_surplus),
        cmocka_unit_test(count_is_not_hidden_by_sabotages_that_fire),
        cmocka_unit_test(count_waits_until_the_tree_may_have_converged),
        cmocka_unit_test(count_expects_what_the_new_configuration_asks_for),
        cmocka_unit_test(count_is_not_about_workers_that_never_served),
        cmocka_unit_test(deadline_is_not_about_workers_of_an_undone_reload),
        cmocka_unit_test(deadline_is_not_about_the_old_configuration),
        cmocka_unit_test(deadline_tells_generations_apart),
        cmocka_unit_test(deadline_is_not_about_a_worker_that_is_one_too_many),
        cmocka_unit_test(count_of_an_untraced_server_survives_a_refused_reload),
        cmocka_unit_test(count_of_an_untraced_server_cannot_tell_after_a_bare_hup),
        cmocka_unit_test(count_reports_an_old_zombie_once),
        cmocka_unit_test(isolation_holds_when_only_its_own_requests_fail),
        cmocka_unit_test(isolation_blames_a_request_of_another_worker),
        cmocka_unit_test(isolation_blames_a_death_without_a_reason),
        cmocka_unit_test(isolation_tells_causes_from_what_harms_nobody),
        cmocka_unit_test(isolation_knows_two_deaths_that_were_both_asked_for),
        cmocka_unit_test(isolation_forgets_what_was_done_to_an_earlier_process),
        cmocka_unit_test(isolation_spares_a_stopped_worker_and_the_idle_race),
        cmocka_unit_test(isolation_spares_who_leaves_and_who_never_served),
        cmocka_unit_test(isolation_needs_a_death_and_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
