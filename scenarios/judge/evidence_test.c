/* The dozen records that explain a violation, and how a verdict is shown. */
#include "scenarios/judge/evidence.h"

#include "scenarios/judge/judge_story.h"
#include "scenarios/judge/show.h"

/* A request lost on a drain, in the midst of others' traffic. */
#define NOISE                                                                                      \
    "1 fresh conn=100 req=100 pid=12 gen=1 slot=0 times=200 every=10ms\n"                          \
    "1 watch.proc pid=11 a=5 times=50 every=40ms\n"
#define LOSS                                                                                       \
    "1.5 director.config gen=2 a=1 b=2\n"                                                          \
    "2 director.reload pid=10 gen=2 a=1 b=1\n"                                                     \
    "1.9 client.connect conn=7 slot=0\n"                                                           \
    "1.901 client.connected conn=7 slot=0 a=1ms\n"                                                 \
    "1.902 engine.accept conn=7 pid=11 slot=0 gen=1\n"                                             \
    "1.903 client.request conn=7 req=7 slot=0\n"                                                   \
    "1.904 engine.request conn=7 req=7 pid=11 slot=0 gen=1\n"                                      \
    "2.2 engine.drain pid=11 slot=0 gen=1\n"                                                       \
    "2.201 fault.fired pid=11 slot=0 a=sabotage.drop_inflight b=0x900000000\n"                     \
    "2.202 engine.close conn=7 req=7 pid=11 a=fault\n"                                             \
    "2.203 client.end conn=7 req=7 slot=0 a=eof-before-response\n"                                 \
    "2.204 client.close conn=7 req=7 slot=0 a=lost c=1\n"

static struct story *story;
static struct hist history;
static struct judge *judge;

static void stage(const char *text)
{
    story = story_read(text);
    history = (struct hist){story->records, story->count};
    judge = judge_new();
    for (size_t i = 0; i < history.count; i++)
        judge_observe(judge, &history.records[i]);
    judge_finish(judge);
}

static int clear(void **state)
{
    (void)state;
    judge_free(judge);
    free(story);
    return 0;
}

static bool has(const struct evidence *e, unsigned kind, uint32_t pid)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->records[i].kind == kind && (pid == 0 || e->records[i].pid == pid))
            return true;
    return false;
}

static void the_operation_and_what_explains_it(void **state)
{
    (void)state;
    struct evidence e;
    stage(STORY_ENGINE NOISE LOSS);
    const struct judge_result *r = judge_result(judge, G_drain_completes);
    assert_int_equal(r->verdict, VERDICT_VIOLATED);
    evidence_collect(&e, &history, &r->violations[0]);
    assert_int_equal(e.count, EVIDENCE_MAX);
    assert_true(has(&e, HIST_CLIENT_REQUEST, 0));
    assert_true(has(&e, HIST_CLIENT_END, 0));
    assert_true(has(&e, HIST_ENGINE_REQUEST, 11));
    assert_true(has(&e, HIST_ENGINE_CLOSE, 11));
    assert_true(has(&e, HIST_ENGINE_DRAIN, 11));
    assert_true(has(&e, HIST_FAULT_FIRED, 11));
    assert_true(has(&e, HIST_DIRECTOR_RELOAD, 0));
    assert_false(has(&e, HIST_WATCH_PROC, 0));
    for (size_t i = 0; i < e.count; i++) {
        assert_true(e.records[i].conn == 0 || e.records[i].conn == 7);
        assert_true(i == 0 || e.records[i].t_ns >= e.records[i - 1].t_ns);
    }
    /* The checker's own cause; where it has none, the nearest of the same process. */
    assert_int_equal(e.cause.kind, HIST_DIRECTOR_RELOAD);
    struct judge_violation v = r->violations[0];
    v.cause.kind = HIST_NONE;
    evidence_collect(&e, &history, &v);
    assert_int_equal(e.cause.kind, HIST_FAULT_FIRED);
}

static void the_number_of_a_connection_is_used_again(void **state)
{
    (void)state;
    struct evidence e;
    stage(STORY_ENGINE "0.5 fresh conn=7 req=6 pid=12 gen=1\n" LOSS "2.9 client.connect conn=7\n");
    const struct judge_result *r = judge_result(judge, G_drain_completes);
    evidence_collect(&e, &history, &r->violations[0]);
    for (size_t i = 0; i < e.count; i++)
        assert_true(e.records[i].req != 6);
}

static void few_records_are_enough(void **state)
{
    (void)state;
    struct evidence e;
    stage(STORY_SERVER "3 director.leftover a=pid-file\n");
    const struct judge_result *r = judge_result(judge, G_drain_clean_exit);
    assert_int_equal(r->violation_count, 1);
    evidence_collect(&e, &history, &r->violations[0]);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.records[0].kind, HIST_DIRECTOR_LEFTOVER);
    struct hist empty = {0};
    evidence_collect(&e, &empty, &r->violations[0]);
    assert_int_equal(e.count, 0);
}

/* Eighty columns, without colour where nobody sees it. */
static void verdicts_fit_a_terminal(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    stage(STORY_ENGINE NOISE LOSS);
    struct show show = {open_memstream(&text, &size), false};
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        show_catalogue_line(show.out, (enum guarantee)g);
        show_result(&show, (enum guarantee)g, judge_result(judge, (enum guarantee)g));
        show_violations(&show, (enum guarantee)g, judge_result(judge, (enum guarantee)g), &history);
    }
    fclose(show.out);
    assert_non_null(strstr(text, "drain/completes               violated "));
    assert_non_null(strstr(text, ">   3.203000  client.end"));
    assert_null(strchr(text, '\033'));
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        if (strlen(line) > 80)
            fail_msg("%zu columns: %s", strlen(line), line);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_operation_and_what_explains_it, clear),
        cmocka_unit_test_teardown(the_number_of_a_connection_is_used_again, clear),
        cmocka_unit_test_teardown(few_records_are_enough, clear),
        cmocka_unit_test_teardown(verdicts_fit_a_terminal, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
