/* control/logs: what the judge says of rotated logs, in hand-made histories. */
#include "scenarios/judge/judge_story.h"

#define LOGGED                                                                                     \
    STORY_SERVER "-2 director.param a=access_log b=1\n-2 director.param a=log_bound b=500ms\n"
/* Requests 100 to 119 on worker 11, 200 to 219 on worker 12, the log rotated in between. */
#define LOAD                                                                                       \
    "0.5 fresh conn=100 req=100 pid=11 gen=1 slot=0 times=20 every=5ms\n"                          \
    "1.5 fresh conn=200 req=200 pid=12 gen=1 slot=0 times=20 every=5ms\n"
#define ROTATED "1 director.rotate pid=10\n"
#define SIZE(t, bytes) t " director.log_size a=1 b=" bytes " c=1\n"
#define SIZES SIZE("1.001", "900") SIZE("1.6", "1000") SIZE("5", "1000")
#define LINES(req, count, file)                                                                    \
    "6 director.log_line req=" req " a=" file " b=200 c=1 times=" count " every=0\n"

static void logs_hold_when_every_line_is_in_one_file(void **state)
{
    (void)state;
    /* the renamed file may grow until the bound */
    HOLDS(control_logs, LOGGED LOAD ROTATED SIZES LINES("100", "20", "1") LINES("200", "20", "0"));
    /* the current file grows, and rotations that nobody told of say nothing */
    HOLDS(control_logs,
          LOGGED LOAD ROTATED SIZES LINES("100", "20", "1") LINES(
              "200", "20",
              "0") "5 director.log_size a=0 b=10 c=1\n5.1 director.log_size a=0 b=20000 c=1\n"
                   "5 director.log_size a=1 b=10 c=7\n5.1 director.log_size a=1 b=20000 c=7\n"
                   "5 director.log_size a=1 b=10 c=0\n5.1 director.log_size a=1 b=20000 c=0\n");
}

static void logs_blame_an_old_file_that_grows(void **state)
{
    (void)state;
    struct judge_result r =
        story_judge(G_control_logs, LOGGED LOAD ROTATED SIZES SIZE("5.5", "1080")
                                        LINES("100", "20", "1") LINES("200", "20", "0"));
    assert_int_equal(r.violated, 1);
    assert_int_equal(r.violations[0].culprit.b, 1080);
    assert_int_equal(r.violations[0].cause.kind, HIST_DIRECTOR_ROTATE);
}

static void logs_blame_the_request_whose_line_is_lost(void **state)
{
    (void)state;
    struct judge_result r = story_judge(
        G_control_logs, LOGGED LOAD ROTATED SIZES LINES("100", "20", "1") LINES("200", "19", "0"));
    assert_int_equal(r.violated, 1);
    assert_int_equal(r.violations[0].culprit.kind, HIST_CLIENT_END);
    assert_int_equal(r.violations[0].culprit.req, 219);
    assert_int_equal(r.violations[0].culprit.t_ns, (uint64_t)(STORY_T0_S * 1000 + 1596) * 1000000);
    assert_int_equal(r.violations[0].cause.kind, HIST_DIRECTOR_ROTATE);
}

static void logs_blame_a_torn_line(void **state)
{
    (void)state;
    BLAMES(control_logs, "director.log_line", 0, "director.rotate",
           LOGGED LOAD ROTATED SIZES LINES("100", "20", "1")
               LINES("200", "20", "0") "6 director.log_line req=0 a=0 b=0 c=0\n");
}

static void logs_spare_the_lines_of_a_worker_that_was_killed(void **state)
{
    (void)state;
    HOLDS(control_logs, LOGGED LOAD ROTATED SIZES LINES("100", "20", "1")
                            LINES("200", "19", "0") "1.7 watch.exit pid=12 a=9 b=10\n");
    /* one that left in good order has written everything */
    VIOLATED(control_logs, LOGGED LOAD ROTATED SIZES LINES("100", "20", "1")
                               LINES("200", "19", "0") "1.7 watch.exit pid=12 a=0 b=10\n");
    /* an answer that names nobody may be the dead one's */
    HOLDS(control_logs,
          LOGGED LOAD ROTATED SIZES LINES("100", "20", "1")
              LINES("200", "20",
                    "0") "1.7 fresh conn=300 req=300 slot=0\n1.8 watch.exit pid=12 a=9 b=10\n");
}

static void logs_ask_for_lines_of_answered_requests_only(void **state)
{
    (void)state;
    HOLDS(control_logs,
          LOGGED LOAD ROTATED SIZES LINES("100", "20", "1")
              LINES("200", "20", "0") "1.7 fresh conn=300 req=300 slot=0 end=refused\n"
                                      "1.7 fresh conn=301 req=301 slot=5 pid=11\n" /* abusive */);
}

static void logs_need_a_rotation_and_the_lines(void **state)
{
    (void)state;
    UNKNOWN(control_logs, LOGGED LOAD LINES("100", "20", "0") LINES("200", "20", "0"));
    UNKNOWN(control_logs, LOGGED LOAD ROTATED SIZES);
    UNKNOWN(control_logs, STORY_SERVER LOAD ROTATED SIZES LINES("100", "20", "1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_hold_when_every_line_is_in_one_file),
        cmocka_unit_test(logs_blame_an_old_file_that_grows),
        cmocka_unit_test(logs_blame_the_request_whose_line_is_lost),
        cmocka_unit_test(logs_blame_a_torn_line),
        cmocka_unit_test(logs_spare_the_lines_of_a_worker_that_was_killed),
        cmocka_unit_test(logs_ask_for_lines_of_answered_requests_only),
        cmocka_unit_test(logs_need_a_rotation_and_the_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
