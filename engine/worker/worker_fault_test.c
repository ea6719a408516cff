/* What armed faults and sabotages do to a worker: each wrong behaviour shows, and what is merely
 * unlucky harms nobody else. */
#include "engine/worker/worker_rig.h"
#include "faultinject/plan.h"
#include "scenarios/history/hist.h"

static const char site[] = "keepalive_timeout 60s;\n"
                           "log_format nonce '$request_nonce end';\n"
                           "server { LISTEN root .; access_log access.log nonce;\n"
                           "  location /echo { test_handler echo 12; }\n"
                           "  location /text { return 200 \"$request_nonce 12\\n\"; }\n"
                           "  location /delay { test_handler delay 12; }\n"
                           "  location /bytes { test_handler bytes; }\n"
                           "  location /stream { test_handler stream; }\n"
                           "  location /early { return 413; }\n"
                           "}\n";
#define EVENTS "events { worker_connections 64; }"
#define GET(path, nonce) "GET " path " HTTP/1.1\r\nHost: a\r\nX-Mw-Nonce: " nonce "\r\n\r\n"

static struct fault_board_file board;
static char board_path[] = "/tmp/mw_worker_board.XXXXXX";

/* Returns the index of the rule. */
static unsigned arm(const char *text)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    if (!fault_plan_parse(&plan, text, &error))
        fail_msg("%s: %s", text, error.what);
    int index = fault_board_arm(&board, &plan.rules[0]);
    assert_true(index >= 0);
    return (unsigned)index;
}

static int setup(void **state)
{
    if (rig_setup(state) != 0)
        return -1;
    setenv("MW_HISTORY", rig->folder, 1);
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < FAULT_RULES_MAX; i++)
        fault_board_disarm(&board, i);
    return rig_teardown(state);
}

/* How often a kind of record stands in the worker's history, for one request or (0) all. */
static unsigned recorded(enum hist_kind kind, uint64_t req)
{
    struct hist history;
    char why[256];
    unsigned count = 0;
    assert_int_equal(hist_read(&history, rig->folder, why, sizeof why), 0);
    for (size_t i = 0; i < history.count; i++)
        if (history.records[i].kind == kind && (req == 0 || history.records[i].req == req))
            count++;
    hist_free(&history);
    return count;
}

static void wait_heartbeats(unsigned count)
{
    uint64_t target = SCORE_GET(rig->board->rows[0].heartbeat) + count;
    RIG_UNTIL(SCORE_GET(rig->board->rows[0].heartbeat) >= target);
}

/* ---- sabotage of requests -------------------------------------------------------------------- */

static void vanish_leaves_neither_answer_nor_trace(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "1")), 200);
    arm("sabotage.vanish");
    client_send(client, GET("/echo", "2"));
    assert_true(client_sees_end(client));
    client_close(client);
    assert_int_equal(recorded(HIST_ENGINE_REQUEST, 1), 1);
    assert_int_equal(recorded(HIST_ENGINE_RESPONSE, 1), 1);
    assert_int_equal(recorded(HIST_ENGINE_REQUEST, 2), 0);
    assert_int_equal(recorded(HIST_ENGINE_CLOSE, 0), 0);
}

/* A worker that is told to stop goes at once; what it cuts it still tells of. */
static void what_a_stop_cuts_is_recorded(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    client_send(client, GET("/stream?ms=20", "7"));
    RIG_UNTIL(RIG_COUNTER(requests) == 1);
    kill(rig->pid, SIGTERM);
    RIG_UNTIL(recorded(HIST_ENGINE_CLOSE, 7) == 1);
    client_close(client);
}

static void bodies_are_the_neighbours(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    client_ask(client, GET("/echo", "111"));
    arm("sabotage.neighbour_body");
    client_ask(client, GET("/echo", "222"));
    assert_memory_equal(client->body, "111 12 ", 7);
    client_ask(client, GET("/text", "333"));
    assert_string_equal(client->body, "222 12\n");
    client_close(client);
}

static void bodies_are_of_another_generation(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.mixed_generation");
    struct rig_client *client = rig_connect();
    client_ask(client, GET("/echo", "1"));
    assert_memory_equal(client->body, "1 11 ", 5);
    client_ask(client, GET("/text", "2"));
    assert_string_equal(client->body, "2 11\n");
    client_close(client);
}

static void requests_are_executed_twice(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    client_ask(client, GET("/echo", "1"));
    arm("sabotage.execute_twice");
    client_ask(client, GET("/echo", "2"));
    client_close(client);
    assert_int_equal(recorded(HIST_ENGINE_REQUEST, 1), 1);
    assert_int_equal(recorded(HIST_ENGINE_REQUEST, 2), 2);
}

/* ---- sabotage of connections ----------------------------------------------------------------- */

static void connections_close_unannounced(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.silent_close");
    struct rig_client *client = rig_connect();
    client_ask(client, GET("/echo", "1"));
    assert_true(client_told(client, "Connection: keep-alive"));
    assert_true(client_sees_end(client));
    client_close(client);
}

static void unread_data_resets_the_answer(void **state)
{
    static char body[200000];
    ssize_t got;
    bool reset = false;
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.no_linger");
    struct rig_client *client = rig_connect();
    client_send(client, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    for (int i = 0; i < 10 && !reset; i++)
        reset = send(client->fd, body, sizeof body, MSG_NOSIGNAL) < 0;
    while ((got = client_receive(client)) > 0)
        continue;
    assert_true(reset || got == -ECONNRESET);
    client_close(client);
}

static void a_drain_closes_idle_connections(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.close_idle_on_drain");
    struct rig_client *idle = rig_connect(), *busy = rig_connect();
    client_ask(idle, GET("/echo", "1"));
    client_send(busy, GET("/stream?ms=20", "2"));
    RIG_UNTIL(RIG_COUNTER(requests) == 2);
    rig_order(CHANNEL_DRAIN);
    assert_true(client_sees_end(idle));
    client_close(idle);
    client_close(busy);
}

static void a_drain_drops_requests(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.drop_inflight");
    struct rig_client *client = rig_connect();
    client_send(client, GET("/delay?ms=10000", "1"));
    RIG_UNTIL(RIG_COUNTER(requests) == 1);
    rig_order(CHANNEL_DRAIN);
    assert_true(client_sees_end(client));
    client_close(client);
    assert_int_equal(rig_wait_exit(), 0);
}

static void a_drain_resets_who_has_not_asked(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.reset_accepted");
    struct rig_client *client = rig_connect();
    RIG_UNTIL(RIG_COUNTER(accepted) == 1);
    rig_order(CHANNEL_DRAIN);
    assert_int_equal(client_receive(client), -ECONNRESET);
    client_close(client);
}

/* ---- sabotage of leaving --------------------------------------------------------------------- */

static void a_stop_is_not_heard(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.ignore_term");
    kill(rig->pid, SIGTERM);
    RIG_UNTIL(recorded(HIST_ENGINE_SIGNAL, 0) == 1);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "1")), 200);
    client_close(client);
}

static void an_old_worker_goes_on_accepting(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.serve_old");
    rig_order(CHANNEL_DRAIN);
    wait_heartbeats(2);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "1")), 200);
    client_close(client);
}

static void a_drain_has_no_bound(void **state)
{
    (void)state;
    rig->drain_ns = 50 * NS_PER_MS;
    rig_start(EVENTS, site);
    arm("sabotage.drain_for_ever");
    struct rig_client *client = rig_connect();
    client_send(client, GET("/stream?ms=20", "1"));
    RIG_UNTIL(RIG_COUNTER(requests) == 1);
    rig_order(CHANNEL_DRAIN);
    wait_heartbeats(5); /* five times the bound */
    assert_true(client_receive(client) > 0);
    client_close(client);
}

static void an_orphan_stays(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.orphans_stay");
    close(rig->channel);
    rig->channel = -1;
    wait_heartbeats(5);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "1")), 200);
    client_close(client);
}

/* ---- sabotage of accepting ------------------------------------------------------------------- */

static void no_descriptor_is_fatal(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.die_at_emfile");
    arm("net.accept errno=EMFILE");
    struct rig_client *client = rig_connect();
    int status = rig_wait_exit();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    client_close(client);
}

static void no_descriptor_pauses_for_ever(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.never_resume");
    arm("net.accept errno=EMFILE times=1");
    struct rig_client *client = rig_connect();
    RIG_UNTIL(RIG_COUNTER(accept_pauses) == 1);
    wait_heartbeats(10);
    assert_int_equal(RIG_COUNTER(accepted), 0);
    client_close(client);
}

static void no_descriptor_spins(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.spin_at_emfile");
    arm("net.accept errno=EMFILE");
    struct rig_client *client = rig_connect();
    RIG_UNTIL(RIG_COUNTER(accept_errors) > 1000);
    assert_int_equal(RIG_COUNTER(accept_pauses), 0);
    client_close(client);
}

static void the_last_connection_aborts(void **state)
{
    (void)state;
    rig_start("events { worker_connections 2; }", site);
    arm("sabotage.crash_at_connections");
    struct rig_client *one = rig_connect(), *two = rig_connect();
    int status = rig_wait_exit();
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    client_close(one);
    client_close(two);
}

static void accepts_are_hoarded(void **state)
{
    enum { CLIENTS = 5 };
    struct rig_client *clients[CLIENTS];
    (void)state;
    rig_start(EVENTS, site);
    arm("sabotage.hoard_accepts");
    arm("net.accept delay=30ms");
    kill(rig->pid, SIGSTOP); /* so that all wait when it wakes */
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = rig_connect();
        client_send(clients[i], GET("/echo", "1"));
    }
    kill(rig->pid, SIGCONT);
    assert_int_equal(client_answer(clients[0]), 200);
    assert_int_equal(RIG_COUNTER(accepted), CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        client_close(clients[i]);
}

/* ---- sabotage of logs ------------------------------------------------------------------------ */

static void reopen_with(const char *plan)
{
    char log[128], old[128];
    rig_start(EVENTS, site);
    rig_path(log, sizeof log, "access.log");
    rig_path(old, sizeof old, "access.old");
    struct rig_client *client = rig_connect();
    arm(plan);
    client_ask(client, GET("/echo", "1"));
    RIG_UNTIL(access(log, F_OK) == 0);
    assert_int_equal(rename(log, old), 0);
    kill(rig->pid, SIGUSR1);
    RIG_UNTIL(recorded(HIST_ENGINE_REOPEN, 0) == 1);
    client_ask(client, GET("/echo", "2"));
    client_close(client);
    kill(rig->pid, SIGTERM);
    assert_int_equal(rig_wait_exit(), 0);
}

static void expect_log(const char *name, const char *expected)
{
    char path[128], text[256] = "";
    rig_path(path, sizeof path, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        assert_null(expected);
        return;
    }
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static void a_sabotaged_reopen_changes_nothing(void **state)
{
    (void)state;
    reopen_with("sabotage.keep_old_log");
    expect_log("access.old", "1 end\n2 end\n");
    expect_log("access.log", NULL);
}

static void a_refused_reopen_keeps_the_old_file(void **state)
{
    (void)state;
    reopen_with("log.reopen errno=EACCES");
    expect_log("access.old", "1 end\n2 end\n");
    expect_log("access.log", NULL);
}

static void a_line_is_torn_across_a_reopen(void **state)
{
    (void)state;
    reopen_with("sabotage.tear_log_line times=1");
    expect_log("access.old", "1 e");
    expect_log("access.log", "nd\n2 end\n");
}

static void a_log_that_cannot_be_written_harms_no_request(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("log.write errno=ENOSPC times=1");
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "1")), 200);
    assert_int_equal(client_ask(client, GET("/echo", "2")), 200);
    client_close(client);
    kill(rig->pid, SIGTERM);
    assert_int_equal(rig_wait_exit(), 0);
    expect_log("access.log", "2 end\n");
}

/* ---- misfortune ------------------------------------------------------------------------------ */

static void a_crash_in_a_request_is_a_crash(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("worker.request crash=SEGV nth=2");
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "1")), 200);
    client_send(client, GET("/echo", "2"));
    int status = rig_wait_exit();
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    client_close(client);
    assert_int_equal(recorded(HIST_ENGINE_REQUEST, 2), 0);
}

static void a_stalled_loop_has_no_heartbeat(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    unsigned rule = arm("worker.loop stall times=1");
    struct fault_status status;
    RIG_UNTIL(fault_board_status(board.board, rule, &status) && status.fired == 1);
    uint64_t before = SCORE_GET(rig->board->rows[0].heartbeat);
    struct rig_client *client = rig_connect();
    client_send(client, GET("/echo", "1"));
    assert_int_equal(recorded(HIST_ENGINE_ACCEPT, 0), 0);
    fault_board_disarm(&board, rule);
    assert_int_equal(client_answer(client), 200);
    RIG_UNTIL(SCORE_GET(rig->board->rows[0].heartbeat) > before);
    client_close(client);
}

/* Each allocation of a request in turn fails once; the worker and other connections live on. */
static void no_memory_fails_one_request_at_a_time(void **state)
{
    char plan[64];
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *other = rig_connect();
    client_ask(other, GET("/echo", "1"));
    for (int nth = 1; nth <= 6; nth++) {
        struct rig_client *client = rig_connect();
        snprintf(plan, sizeof plan, "mem.alloc errno=ENOMEM nth=%d", nth);
        unsigned rule = arm(plan);
        client_send(client, GET("/bytes?n=50000", "5"));
        while (client_receive(client) > 0)
            if (client->len > 50000)
                break;
        fault_board_disarm(&board, rule);
        client_close(client);
        assert_int_equal(client_ask(other, GET("/echo", "2")), 200);
    }
    client_close(other);
}

static void short_sends_lose_nothing(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("net.send short=7");
    arm("net.recv short=3");
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "12345")), 200);
    assert_memory_equal(client->body, "12345 12 2 ", 11);
    assert_int_equal(client_ask(client, GET("/bytes?n=30000", "2")), 200);
    assert_int_equal(client->body_len, 30000);
    client_close(client);
}

static void accepting_resumes_when_descriptors_are_back(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    arm("net.accept errno=EMFILE times=3");
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "1")), 200);
    assert_int_equal(RIG_COUNTER(accept_errors), 3);
    assert_int_equal(RIG_COUNTER(accept_pauses), 3);
    client_close(client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(vanish_leaves_neither_answer_nor_trace),
        TEST(what_a_stop_cuts_is_recorded),
        TEST(bodies_are_the_neighbours),
        TEST(bodies_are_of_another_generation),
        TEST(requests_are_executed_twice),
        TEST(connections_close_unannounced),
        TEST(unread_data_resets_the_answer),
        TEST(a_drain_closes_idle_connections),
        TEST(a_drain_drops_requests),
        TEST(a_drain_resets_who_has_not_asked),
        TEST(a_stop_is_not_heard),
        TEST(an_old_worker_goes_on_accepting),
        TEST(a_drain_has_no_bound),
        TEST(an_orphan_stays),
        TEST(no_descriptor_is_fatal),
        TEST(no_descriptor_pauses_for_ever),
        TEST(no_descriptor_spins),
        TEST(the_last_connection_aborts),
        TEST(accepts_are_hoarded),
        TEST(a_sabotaged_reopen_changes_nothing),
        TEST(a_refused_reopen_keeps_the_old_file),
        TEST(a_line_is_torn_across_a_reopen),
        TEST(a_log_that_cannot_be_written_harms_no_request),
        TEST(a_crash_in_a_request_is_a_crash),
        TEST(a_stalled_loop_has_no_heartbeat),
        TEST(no_memory_fails_one_request_at_a_time),
        TEST(short_sends_lose_nothing),
        TEST(accepting_resumes_when_descriptors_are_back),
    };
    int fd = mkstemp(board_path);
    close(fd);
    unlink(board_path);
    if (fault_board_open(&board, board_path, true, 1) != 0)
        return 1;
    setenv("MW_FAULT_BOARD", board_path, 1);
    int failed = fault_attach() != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    fault_board_close(&board);
    unlink(board_path);
    return failed;
}
