/* The scoreboard: rows come and go, totals never shrink, reports are found, pages add up, and
 * another process can look. */
#include "engine/shm/scoreboard.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "scenarios/history/hist.h"

static struct scoreboard *board;

static int setup(void **state)
{
    int err;
    (void)state;
    board = scoreboard_new(&err);
    if (board == NULL)
        return -1;
    board->master_pid = getpid();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scoreboard_free(board);
    return 0;
}

static void totals_survive_their_worker(void **state)
{
    struct score_counters total;
    (void)state;
    int row = scoreboard_take(board, 100, 0, 1, 5);
    assert_int_equal(row, 0);
    SCORE_ADD(board->rows[row].counters.requests, 7);
    SCORE_ADD(board->rows[row].counters.active, 3);
    scoreboard_total(board, &total);
    assert_int_equal(total.requests, 7);
    assert_int_equal(total.active, 3);
    scoreboard_retire(board, row);
    scoreboard_total(board, &total);
    assert_int_equal(total.requests, 7);
    assert_int_equal(total.active, 0); /* what it had open is gone */
    row = scoreboard_take(board, 101, 0, 1, 6);
    assert_int_equal(board->rows[row].counters.requests, 0);
}

static void rows_run_out(void **state)
{
    (void)state;
    for (int i = 0; i < SCORE_SLOTS_MAX; i++)
        assert_int_equal(scoreboard_take(board, 1000 + i, i, 1, 0), i);
    assert_int_equal(scoreboard_take(board, 1, 0, 1, 0), -1);
    scoreboard_retire(board, 77);
    assert_int_equal(scoreboard_take(board, 1, 0, 2, 0), 77);
}

static void a_report_is_found_by_what_it_tried(void **state)
{
    struct score_report report;
    (void)state;
    assert_false(scoreboard_find_report(board, 0, &report));
    scoreboard_report(board, 2, HIST_REPORT_REFUSED, "no \"}\"");
    scoreboard_report(board, 3, HIST_REPORT_OK, "");
    assert_true(scoreboard_find_report(board, 1, &report));
    assert_int_equal(report.generation, 2);
    assert_int_equal(report.outcome, HIST_REPORT_REFUSED);
    assert_true(scoreboard_find_report(board, 2, &report));
    assert_int_equal(report.outcome, HIST_REPORT_OK);
    assert_false(scoreboard_find_report(board, 3, &report));
    for (uint32_t i = 4; i < 100; i++)
        scoreboard_report(board, i, HIST_REPORT_OK, "");
    assert_true(scoreboard_find_report(board, 90, &report));
    assert_int_equal(report.generation, 91);
}

static json_t *page_json(void)
{
    int len = scoreboard_json(board, 9000000000, NULL, 0);
    char *text = malloc((size_t)len + 1);
    assert_int_equal(scoreboard_json(board, 9000000000, text, (size_t)len + 1), len);
    json_error_t error;
    json_t *page = json_loads(text, 0, &error);
    if (page == NULL)
        fail_msg("%s in %s", error.text, text);
    free(text);
    return page;
}

static void the_json_page_adds_up(void **state)
{
    (void)state;
    board->workers = 2;
    board->reloads_ok = 4;
    for (int slot = 0; slot < 2; slot++) {
        int row = scoreboard_take(board, 100 + slot, slot, 3, 1000000000);
        SCORE_SET(board->rows[row].state, SCORE_READY);
        SCORE_ADD(board->rows[row].counters.requests, 10 + slot);
    }
    int dead = scoreboard_take(board, 200, 7, 2, 0);
    SCORE_ADD(board->rows[dead].counters.requests, 100);
    scoreboard_retire(board, dead);
    scoreboard_report(board, 3, HIST_REPORT_UNDONE, "a \"quoted\"\nreason\\");

    json_t *page = page_json();
    json_t *workers = json_object_get(page, "workers");
    json_t *master = json_object_get(page, "master");
    assert_int_equal(json_array_size(workers), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(workers, 0), "state")),
                        "ready");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(workers, 1), "age_ms")),
                     8000);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(page, "total"), "requests")), 121);
    assert_int_equal(json_integer_value(json_object_get(master, "reloads_ok")), 4);
    json_t *last = json_object_get(master, "last_reload");
    assert_string_equal(json_string_value(json_object_get(last, "outcome")), "undone");
    assert_string_equal(json_string_value(json_object_get(last, "text")), "a \"quoted\"\nreason\\");
    json_decref(page);
}

static void a_page_that_does_not_fit_says_how_long_it_is(void **state)
{
    char small[32];
    (void)state;
    scoreboard_take(board, 1, 0, 1, 0);
    memset(small, 'x', sizeof(small));
    int len = scoreboard_prometheus(board, 1, small, 10);
    assert_true(len > 1000);
    assert_int_equal(small[9], '\0');
    assert_int_equal(small[10], 'x');
    assert_int_equal(scoreboard_prometheus(board, 1, NULL, 0), len);
}

static void the_prometheus_page_has_rows_and_totals(void **state)
{
    (void)state;
    int row = scoreboard_take(board, 42, 1, 3, 0);
    SCORE_ADD(board->rows[row].counters.requests, 5);
    scoreboard_report(board, 3, HIST_REPORT_OK, "");
    int size = scoreboard_prometheus(board, 1, NULL, 0) + 1;
    char *text = malloc((size_t)size);
    scoreboard_prometheus(board, 1, text, (size_t)size);
    assert_non_null(strstr(text, "\nmasterwork_requests_total 5\n"));
    assert_non_null(strstr(
        text, "\nmasterwork_worker_requests_total{slot=\"1\",generation=\"3\",pid=\"42\"} 5\n"));
    assert_non_null(strstr(text, "masterwork_last_reload{outcome=\"ok\"} 1\n"));
    assert_non_null(strstr(text, "# TYPE masterwork_active gauge\n"));
    free(text);
}

static void another_process_can_look(void **state)
{
    int status, err;
    (void)state;
    board->reloads_ok = 9;
    pid_t self = getpid(), child = fork();
    if (child == 0) {
        const struct scoreboard *other = scoreboard_attach(self, &err);
        _exit(other != NULL && other != board && other->reloads_ok == 9 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    board->version = 0;
    assert_null(scoreboard_attach(self, &err));
    assert_int_equal(err, -ENOENT);
    assert_null(scoreboard_attach(child, &err)); /* it is gone */
    assert_int_equal(err, -ESRCH);
}

/* Children count as hard as they can and are killed in mid-count; nothing is lost or torn, and
 * every picture in between adds up. */
static void workers_killed_while_counting_harm_nothing(void **state)
{
    uint64_t least = 0;
    (void)state;
    for (int i = 0; i < 20; i++) {
        int row = scoreboard_take(board, 1, 0, 1, 0), status;
        struct score_row *mine = &board->rows[row];
        pid_t child = fork();
        if (child == 0)
            for (;;)
                SCORE_ADD(mine->counters.requests, 1);
        struct score_counters total = {0};
        while (total.requests < least + 1000)
            scoreboard_total(board, &total);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        scoreboard_retire(board, row);
        uint64_t seen = total.requests;
        scoreboard_total(board, &total);
        assert_true(total.requests >= seen);
        least = total.requests;
    }
    assert_int_equal(board->retired.requests, least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(totals_survive_their_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_run_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_report_is_found_by_what_it_tried, setup, teardown),
        cmocka_unit_test_setup_teardown(the_json_page_adds_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_that_does_not_fit_says_how_long_it_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_prometheus_page_has_rows_and_totals, setup, teardown),
        cmocka_unit_test_setup_teardown(another_process_can_look, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_killed_while_counting_harm_nothing, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
