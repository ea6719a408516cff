/* limit and shm: budgets, full disks, refused memory, full queues, hostile clients, status pages,
 * in hand-made histories. */
#include "scenarios/judge/judge_story.h"

#define ENDS(t) t " director.stop pid=10 a=1\n"
#define OK(t, first) t " fresh conn=" first " req=" first " pid=12 gen=1\n"
#define LOST(t, first) t " fresh conn=" first " req=" first " end=reset-before-response\n"

/* ---- limit/fd-budget --------------------------------------------------------------------------
 */

#define LIMIT "-2 director.param a=fd_limit b=300\n-2 director.param a=fd_slack b=1\n"
#define FILES(t, who, value) t " watch.trait pid=" who " a=open-files b=" value "\n"
#define MASTER(t, fds) t " watch.proc pid=10 a=" fds "\n"

static void budget_holds_for_all(void **state)
{
    (void)state;
    /* 20 << 32 and 21 << 32 descriptors */
    HOLDS(limit_fd_budget, STORY_ENGINE LIMIT FILES("0.5", "11", "300") MASTER("1", "85899345920")
                               MASTER("8", "90194313216") ENDS("9"));
    /* one that was killed before it was ready says nothing */
    HOLDS(limit_fd_budget,
          STORY_ENGINE LIMIT FILES("0.5", "11", "300") "1 engine.spawn pid=13 slot=0 gen=2\n" FILES(
              "1.2", "13", "1024") "1.3 watch.exit pid=13 a=9\n" ENDS("9"));
}

static void budget_blames_a_worker_and_a_master(void **state)
{
    (void)state;
    BLAMES(limit_fd_budget, "watch.trait", 11, NULL,
           STORY_ENGINE LIMIT FILES("0.5", "11", "1024") ENDS("9"));
    BLAMES(limit_fd_budget, "watch.proc", 10, "watch.proc",
           STORY_ENGINE LIMIT FILES("0.5", "11", "300") MASTER("1", "85899345920")
               MASTER("8", "94489280512") ENDS("9"));
    UNKNOWN(limit_fd_budget, STORY_ENGINE FILES("0.5", "11", "300") ENDS("9"));
}

/* ---- limit/disk-full --------------------------------------------------------------------------
 */

/* errno 28 in a rule of kind errno */
#define FULL(t) t " fault.fired pid=11 slot=0 a=fs.write b=4294967324\n"
#define SAID(t, found) t " director.said a=" found "\n"

static void disk_full_holds_when_served_and_said(void **state)
{
    (void)state;
    HOLDS(limit_disk_full, STORY_ENGINE FULL("1") OK("1.1", "7") SAID("2", "1") ENDS("9"));
    HOLDS(limit_disk_full,
          STORY_ENGINE LOST("0.5", "6") FULL("1") OK("1.1", "7") SAID("2", "1") ENDS("9"));
    /* the story killed the worker that had it */
    HOLDS(limit_disk_full,
          STORY_ENGINE FULL("1") OK(
              "1.1", "7") "1.2 director.signal pid=12 a=SIGKILL b=worker\n"
                          "1.21 fresh conn=8 req=8 pid=12 end=eof-before-response\n" SAID("2", "1")
                              ENDS("9"));
}

static void disk_full_blames_silence_and_loss(void **state)
{
    (void)state;
    BLAMES(limit_disk_full, "director.said", 0, "fault.fired",
           STORY_ENGINE FULL("1") OK("1.1", "7") SAID("2", "0") ENDS("9"));
    VIOLATED(limit_disk_full, STORY_ENGINE FULL("1") LOST("1.1", "7") SAID("2", "1") ENDS("9"));
    UNKNOWN(limit_disk_full, STORY_ENGINE FULL("1") OK("1.1", "7") ENDS("9"));
    UNKNOWN(limit_disk_full, STORY_ENGINE OK("1.1", "7") SAID("2", "1") ENDS("9"));
}

/* ---- limit/memory -----------------------------------------------------------------------------
 */

#define REFUSED(t) t " fault.fired pid=11 slot=0 a=mem.alloc b=4294967308\n"

static void memory_holds_while_one_fails_for_each(void **state)
{
    (void)state;
    HOLDS(limit_memory, STORY_ENGINE REFUSED("1") LOST("1.01", "7") OK("1.2", "8") ENDS("9"));
    HOLDS(limit_memory,
          STORY_ENGINE REFUSED("1") OK("1.2", "8") "3 watch.exit pid=11 a=9\n" ENDS("9"));
}

static void memory_blames_a_death_and_more_failures(void **state)
{
    (void)state;
    BLAMES(limit_memory, "watch.exit", 11, "fault.fired",
           STORY_ENGINE REFUSED("1") OK("1.2", "8") "1.3 watch.exit pid=11 a=6\n" ENDS("9"));
    VIOLATED(limit_memory, STORY_ENGINE REFUSED("1") LOST("1.01", "7") LOST("1.02", "17")
                               OK("1.2", "8") ENDS("9"));
    UNKNOWN(limit_memory, STORY_ENGINE OK("1.2", "8") ENDS("9"));
}

/* ---- limit/backlog ----------------------------------------------------------------------------
 */

#define QUEUE(t, waiting) t " watch.queue a=80 b=" waiting " c=8\n"
#define AGAIN(t, first, end)                                                                       \
    t " fresh slot=1 conn=" first " req=" first " pid=11 flags=reused end=" end " took=90ms\n"

#define BOUND "-2 director.param a=recover_bound b=50ms\n"
#define GOES_ON "1.1 director.signal pid=11 a=18 b=worker\n"
#define LATE AGAIN("1.05", "7", "ok")

static void backlog_holds_when_others_go_on(void **state)
{
    (void)state;
    HOLDS(limit_backlog, STORY_ENGINE QUEUE("1", "8") AGAIN("1.05", "7", "ok") ENDS("9"));
    /* new clients may be turned away */
    HOLDS(limit_backlog,
          STORY_ENGINE QUEUE("1", "8") AGAIN("1.05", "7", "ok") LOST("1.1", "9") ENDS("9"));
    /* whoever serves it was stopped, and has gone on */
    HOLDS(limit_backlog, STORY_ENGINE BOUND QUEUE("1.1", "8") GOES_ON LATE ENDS("9"));
}

static void backlog_blames_harm_to_others(void **state)
{
    (void)state;
    BLAMES(limit_backlog, "client.end", 0, "watch.queue",
           STORY_ENGINE QUEUE("1", "8") AGAIN("1.05", "7", "timeout") ENDS("9"));
    VIOLATED(limit_backlog, STORY_ENGINE AGAIN("0.85", "7", "timeout") QUEUE("1", "9") ENDS("9"));
    VIOLATED(limit_backlog, STORY_ENGINE BOUND QUEUE("1.1", "8") LATE ENDS("9"));
    UNKNOWN(limit_backlog, STORY_ENGINE AGAIN("0.5", "7", "timeout") QUEUE("1", "9") ENDS("9"));
    UNKNOWN(limit_backlog, STORY_ENGINE QUEUE("1", "7") AGAIN("1.05", "7", "ok") ENDS("9"));
}

/* ---- limit/hostile-clients --------------------------------------------------------------------
 */

#define ENEMY(t) "-2 director.param a=hostile_bound b=1s\n" t " client.connected slot=5 conn=99\n"

static void hostile_holds_when_others_are_served(void **state)
{
    (void)state;
    HOLDS(limit_hostile_clients, STORY_ENGINE ENEMY("1") OK("1.1", "7") ENDS("9"));
    HOLDS(limit_hostile_clients,
          STORY_ENGINE LOST("0.5", "6")
              ENEMY("1") "1.1 fresh slot=5 conn=50 req=50 end=timeout\n" OK("1.3", "7") ENDS("9"));
    /* one that the machine kept from its own turn */
    HOLDS(limit_hostile_clients,
          STORY_ENGINE ENEMY("1") OK("1.1", "7") "1.5 client.lag a=200ms\n"
                                                 "1.3 fresh conn=9 req=9 pid=12 end=eof-before-"
                                                 "response took=300ms flags=lagging\n" ENDS("9"));
    /* one that could not start */
    HOLDS(limit_hostile_clients,
          STORY_ENGINE ENEMY("1") OK("1.1", "7") "1.2 watch.fork pid=13 a=10\n"
                                                 "1.3 watch.exit pid=13 a=512\n" ENDS("9"));
}

static void hostile_blames_harm_to_others(void **state)
{
    (void)state;
    BLAMES(limit_hostile_clients, "client.end", 0, NULL,
           STORY_ENGINE ENEMY("1") LOST("1.1", "7") ENDS("9"));
    VIOLATED(limit_hostile_clients,
             STORY_ENGINE ENEMY("1") OK("1.1", "7") "1.3 watch.exit pid=11 a=11\n" ENDS("9"));
    VIOLATED(limit_hostile_clients,
             STORY_ENGINE ENEMY("1") "1.1 fresh conn=7 req=7 pid=12 took=1100ms\n" ENDS("9"));
    UNKNOWN(limit_hostile_clients, STORY_ENGINE OK("1.1", "7") ENDS("9"));
}

/* ---- shm --------------------------------------------------------------------------------------
 */

#define PAGE(t, total, rows) t " director.status pid=10 a=" total " b=" rows " c=2\n"
#define RELOADED(t) t " director.reloaded pid=10 gen=2 a=ok\n"
#define CRASH(t) t " fault.fired pid=11 slot=0 a=shm.update b=17179869193\n"

static void consistent_is_a_page_that_adds_up(void **state)
{
    (void)state;
    HOLDS(shm_consistent,
          STORY_ENGINE PAGE("1", "50", "50") PAGE("2", "90", "70") PAGE("3", "95", "75") ENDS("9"));
    BLAMES(shm_consistent, "director.status", 10, NULL,
           STORY_ENGINE PAGE("1", "50", "51") ENDS("9"));
    VIOLATED(shm_consistent, STORY_ENGINE PAGE("1", "90", "70") PAGE("2", "95", "76") ENDS("9"));
    UNKNOWN(shm_consistent, STORY_ENGINE ENDS("9"));
}

static void kept_is_what_does_not_go_back(void **state)
{
    (void)state;
    HOLDS(shm_kept,
          STORY_ENGINE PAGE("1", "50", "50") RELOADED("2") PAGE("3", "50", "0") ENDS("9"));
    BLAMES(shm_kept, "director.status", 10, "director.status",
           STORY_ENGINE PAGE("1", "50", "50") RELOADED("2") PAGE("3", "49", "0") ENDS("9"));
    UNKNOWN(shm_kept, STORY_ENGINE PAGE("1", "50", "50") PAGE("3", "52", "0") ENDS("9"));
}

static void survives_crash_is_about_those_who_come_after(void **state)
{
    (void)state;
    HOLDS(shm_survives_crash, STORY_ENGINE CRASH("1") "1.01 watch.exit pid=11 a=9\n" LOST(
                                  "1.02", "7") OK("1.5", "8") ENDS("9"));
    BLAMES(shm_survives_crash, "client.end", 0, "fault.fired",
           STORY_ENGINE CRASH("1") "1.01 watch.exit pid=11 a=9\n" LOST("1.5", "7") ENDS("9"));
    VIOLATED(shm_survives_crash,
             STORY_ENGINE CRASH("1") "1.01 watch.exit pid=11 a=9\n"
                                     "1.1 watch.exit pid=12 a=6\n" OK("1.5", "8") ENDS("9"));
    UNKNOWN(shm_survives_crash, STORY_ENGINE OK("1.5", "8") ENDS("9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget_holds_for_all),
        cmocka_unit_test(budget_blames_a_worker_and_a_master),
        cmocka_unit_test(disk_full_holds_when_served_and_said),
        cmocka_unit_test(disk_full_blames_silence_and_loss),
        cmocka_unit_test(memory_holds_while_one_fails_for_each),
        cmocka_unit_test(memory_blames_a_death_and_more_failures),
        cmocka_unit_test(backlog_holds_when_others_go_on),
        cmocka_unit_test(backlog_blames_harm_to_others),
        cmocka_unit_test(hostile_holds_when_others_are_served),
        cmocka_unit_test(hostile_blames_harm_to_others),
        cmocka_unit_test(consistent_is_a_page_that_adds_up),
        cmocka_unit_test(kept_is_what_does_not_go_back),
        cmocka_unit_test(survives_crash_is_about_those_who_come_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
