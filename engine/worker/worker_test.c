/* One worker process, driven as its master and its clients drive it. */
#include "engine/core/adm.h"
#include "engine/core/conn.h"
#include "engine/worker/worker_rig.h"
#include "scenarios/history/hist.h"
#include "scenarios/history/pattern.h"

static const char site[] = "keepalive_timeout 60s;\n"
                           "server { LISTEN root .;\n"
                           "  location /echo { test_handler echo 12; }\n"
                           "  location /delay { test_handler delay 12; }\n"
                           "  location /bytes { test_handler bytes; }\n"
                           "  location /upload { test_handler upload; client_max_body_size 0; }\n"
                           "  location /stream { test_handler stream; }\n"
                           "  location /tunnel { test_handler tunnel; }\n"
                           "  location /stub { stub_status; }\n"
                           "  location /early { return 413; }\n"
                           "  location /file { sendfile on; tcp_nopush on; }\n"
                           "  location /brief { keepalive_timeout 100ms; return 200 ok; }\n"
                           "}\n";
#define EVENTS "events { worker_connections 64; }"
#define GET(path, nonce) "GET " path " HTTP/1.1\r\nHost: a\r\nX-Mw-Nonce: " nonce "\r\n\r\n"

static void serves_after_saying_ready(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "7")), 200);
    char expected[64];
    snprintf(expected, sizeof expected, "7 12 2 %d 5\n", (int)rig->pid);
    assert_string_equal(client->body, expected);
    assert_true(client_told(client, "Connection: keep-alive"));
    assert_int_equal(client_ask(client, GET("/echo", "8")), 200); /* kept alive */
    assert_int_equal(RIG_COUNTER(accepted), 1);
    RIG_UNTIL(RIG_COUNTER(requests) == 2 && RIG_COUNTER(waiting) == 1);
    client_close(client);
    RIG_UNTIL(RIG_COUNTER(active) == 0 && RIG_COUNTER(waiting) == 0);
}

static void says_goodbye_when_asked(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    assert_int_equal(
        client_ask(client, "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 200);
    assert_true(client_told(client, "Connection: close"));
    assert_true(client_sees_end(client));
    client_close(client);
    client = rig_connect();
    assert_int_equal(client_ask(client, "GET /echo HTTP/1.0\r\n\r\n"), 200);
    assert_true(client_sees_end(client));
    client_close(client);
}

/* More than one turn's worth, in one piece and then byte by byte. */
static void answers_pipelined_requests_in_order(void **state)
{
    enum { REQUESTS = 150 };
    static char all[REQUESTS * 80];
    size_t len = 0;
    (void)state;
    rig_start(EVENTS, site);
    for (int i = 1; i <= REQUESTS; i++)
        len += (size_t)snprintf(all + len, sizeof all - len,
                                "GET /echo HTTP/1.1\r\nHost: a\r\nX-Mw-Nonce: %d\r\n\r\n", i);
    struct rig_client *client = rig_connect();
    client_send_bytes(client, all, len);
    for (int i = 1; i <= REQUESTS; i++) {
        assert_int_equal(client_answer(client), 200);
        assert_int_equal(strtol(client->body, NULL, 10), i);
    }
    for (const char *at = GET("/echo", "9"); *at != '\0'; at++)
        client_send_bytes(client, at, 1);
    assert_int_equal(client_answer(client), 200);
    client_close(client);
}

static void reads_bodies(void **state)
{
    enum { BYTES = 300000 };
    static unsigned char body[BYTES];
    (void)state;
    rig_start(EVENTS, site);
    pattern_fill(body, BYTES, 0);
    struct rig_client *client = rig_connect();
    client_send(client, "POST /upload HTTP/1.1\r\nHost: a\r\nX-Mw-Nonce: 3\r\n"
                        "Content-Length: 300000\r\n\r\n");
    client_send_bytes(client, body, BYTES);
    assert_int_equal(client_answer(client), 200);
    assert_string_equal(client->body, "3 300000 ok\n");
    client_send(client, "POST /upload HTTP/1.1\r\nHost: a\r\nX-Mw-Nonce: 4\r\n"
                        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_answer(client), 100);
    client_send(client, "3\r\n!\"#\r\n1\r\n$\r\n0\r\n\r\n" GET("/echo", "5"));
    assert_int_equal(client_answer(client), 200);
    assert_string_equal(client->body, "4 4 ok\n");
    assert_int_equal(client_answer(client), 200);
    client_close(client);
}

/* The answer comes first; the client, still sending, must be able to read it. */
static void an_early_answer_is_not_reset(void **state)
{
    static char body[2000000];
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    client_send(client, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    client_send_bytes(client, body, sizeof body);
    assert_int_equal(client_answer(client), 413);
    assert_true(client_told(client, "Connection: close"));
    assert_true(client_sees_end(client));
    client_close(client);
    client = rig_connect(); /* a small body costs nothing: the connection stays */
    client_send(client, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    assert_int_equal(client_answer(client), 413);
    client_send(client, "12345" GET("/echo", "6"));
    assert_int_equal(client_answer(client), 200);
    client_close(client);
}

/* Reads the rest of the connection: it must be the pattern, so many bytes of it. */
static void expect_pattern(struct rig_client *client, uint64_t bytes)
{
    while (strstr(client->bytes, "\r\n\r\n") == NULL)
        assert_true(client_receive(client) > 0);
    client_take(client, client->head,
                (size_t)(strstr(client->bytes, "\r\n\r\n") - client->bytes) + 4);
    uint64_t offset = 0;
    do {
        for (size_t i = 0; i < client->len; i++)
            assert_int_equal((unsigned char)client->bytes[i], pattern_byte(offset + i));
        offset += client->len;
        client->len = 0;
    } while (client_receive(client) > 0);
    assert_int_equal(offset, bytes);
}

static void sends_long_answers(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    client_send(client, "GET /bytes?n=3000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect_pattern(client, 3000000);
    client_close(client);
}

static void sends_files(void **state)
{
    enum { BYTES = 1500000 };
    static unsigned char bytes[BYTES];
    char path[128];
    (void)state;
    rig_start(EVENTS, site);
    pattern_fill(bytes, BYTES, 0);
    rig_path(path, sizeof path, "file");
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite(bytes, 1, BYTES, file), BYTES);
    fclose(file);
    struct rig_client *client = rig_connect();
    client_send(client, "GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect_pattern(client, BYTES);
    client_close(client);
}

static void carries_tunnels(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                                        "Upgrade: mw-tunnel\r\n\r\nfirst"),
                     101);
    while (client->len < 5)
        assert_true(client_receive(client) > 0);
    assert_string_equal(client->bytes, "first");
    client->len = 0;
    client_send(client, "second");
    while (client->len < 6)
        assert_true(client_receive(client) > 0);
    assert_string_equal(client->bytes, "second");
    shutdown(client->fd, SHUT_WR);
    assert_true(client_sees_end(client));
    client_close(client);
}

static void idle_connections_end_in_time(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/brief", "1")), 200);
    assert_true(client_sees_end(client));
    client_close(client);
}

static void refuses_what_is_malformed(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, "GET /echo HTTP/1.1\r\nHost : a\r\n\r\n"), 400);
    assert_true(client_sees_end(client));
    client_close(client);
}

static void expect_clean_exit(void)
{
    int status = rig_wait_exit();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("wait status %#x", status);
}

/* ---- on trial ----------------------------------------------------------------------------------
 */

static void nobody_is_accepted_before_the_go(void **state)
{
    (void)state;
    rig_start_on_trial(EVENTS, site);
    struct rig_client *early = rig_connect(); /* the kernel takes it: it waits in the queue */
    client_send(early, GET("/echo", "1"));
    uint64_t beat = SCORE_GET(rig->board->rows[0].heartbeat);
    RIG_UNTIL(SCORE_GET(rig->board->rows[0].heartbeat) >= beat + 3); /* it had its chance */
    assert_int_equal(RIG_COUNTER(accepted), 0);
    rig_go();
    assert_int_equal(client_answer(early), 200);
    client_close(early);
    rig_order(CHANNEL_GO); /* said twice it changes nothing */
    rig_hear(CHANNEL_READY);
    rig_order(CHANNEL_DRAIN);
    expect_clean_exit();
}

static void one_on_trial_leaves_when_told(void **state)
{
    (void)state;
    rig_start_on_trial(EVENTS, site);
    rig_order(CHANNEL_DRAIN);
    expect_clean_exit();
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void a_drain_lets_requests_end(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *busy = rig_connect(), *idle = rig_connect();
    assert_int_equal(client_ask(idle, GET("/echo", "1")), 200);
    client_send(busy, GET("/delay?ms=400", "2"));
    RIG_UNTIL(RIG_COUNTER(requests) == 2);
    rig_order(CHANNEL_DRAIN);
    RIG_UNTIL(SCORE_GET(rig->board->rows[0].draining) == 1);
    assert_int_equal(client_answer(busy), 200);
    assert_true(client_told(busy, "Connection: close"));
    assert_true(client_sees_end(busy));
    /* The idle one may still ask once, and is told. */
    assert_int_equal(client_ask(idle, GET("/echo", "3")), 200);
    assert_true(client_told(idle, "Connection: close"));
    assert_true(client_sees_end(idle));
    client_close(busy);
    client_close(idle);
    expect_clean_exit();
}

/* A worker that was busy as the order came: those who wait in the queue were there before it. */
static void a_drain_serves_those_who_waited(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    kill(rig->pid, SIGSTOP);
    struct rig_client *waits = rig_connect(), *too = rig_connect();
    client_send(waits, GET("/echo", "1"));
    client_send(too, GET("/echo", "2"));
    kill(rig->pid, SIGQUIT);
    kill(rig->pid, SIGCONT);
    assert_int_equal(client_answer(waits), 200);
    assert_int_equal(client_answer(too), 200);
    client_close(waits);
    client_close(too);
    expect_clean_exit();
}

static void a_drain_has_a_bound(void **state)
{
    (void)state;
    rig->drain_ns = 300 * NS_PER_MS;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    client_send(client, GET("/stream?ms=20", "1"));
    RIG_UNTIL(RIG_COUNTER(requests) == 1);
    kill(rig->pid, SIGQUIT);
    expect_clean_exit();
    client_close(client);
}

static void stops_at_once_when_told(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    client_send(client, GET("/stream?ms=20", "1"));
    RIG_UNTIL(RIG_COUNTER(requests) == 1);
    kill(rig->pid, SIGTERM);
    expect_clean_exit();
    client_close(client);
}

static void obeys_a_stop_on_the_channel(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    rig_order(CHANNEL_STOP);
    expect_clean_exit();
}

/* A signal that arrives before the handlers are set takes effect all the same. */
static void hears_signals_from_before_it_was_ready(void **state)
{
    (void)state;
    rig->early_signal = SIGTERM;
    rig_start_on_trial(EVENTS, site); /* it says that it could accept, and never does */
    expect_clean_exit();
}

static void signals_for_the_master_do_no_harm(void **state)
{
    static const int others[] = {SIGHUP, SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU, SIGPIPE};
    (void)state;
    rig_start(EVENTS, site);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        kill(rig->pid, others[i]);
    struct rig_client *client = rig_connect();
    assert_int_equal(client_ask(client, GET("/echo", "1")), 200);
    client_close(client);
}

static void an_orphan_drains_and_leaves(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *busy = rig_connect();
    client_send(busy, GET("/delay?ms=200", "2"));
    RIG_UNTIL(RIG_COUNTER(requests) == 1);
    close(rig->channel);
    rig->channel = -1;
    assert_int_equal(client_answer(busy), 200);
    client_close(busy);
    expect_clean_exit();
}

/* ---- limits, logs, signs of life ------------------------------------------------------------- */

static void others_wait_when_connections_are_in_use(void **state)
{
    enum { CLIENTS = 12 };
    struct rig_client *clients[CLIENTS];
    (void)state;
    rig_start("events { worker_connections 4; }", site);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = rig_connect();
        client_send(clients[i],
                    "GET /delay?ms=20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(client_answer(clients[i]), 200);
        client_close(clients[i]);
    }
    assert_true(RIG_COUNTER(accept_pauses) > 0);
}

static void others_wait_when_descriptors_are_in_use(void **state)
{
    enum { CLIENTS = 40 };
    struct rig_client *clients[CLIENTS];
    (void)state;
    rig->fd_limit = 24;
    rig_start(EVENTS, site);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = rig_connect();
        client_send(clients[i],
                    "GET /delay?ms=10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(client_answer(clients[i]), 200);
        client_close(clients[i]);
    }
}

static void the_heart_beats(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    uint64_t before = SCORE_GET(rig->board->rows[0].heartbeat);
    RIG_UNTIL(SCORE_GET(rig->board->rows[0].heartbeat) >= before + 3);
}

static void a_status_page_counts_itself(void **state)
{
    (void)state;
    rig_start(EVENTS, site);
    struct rig_client *client = rig_connect();
    client_ask(client, GET("/echo", "1"));
    client_ask(client, GET("/stub", "2"));
    assert_string_equal(client->body, "Active connections: 1 \n"
                                      "server accepts handled requests\n 1 1 2 \n"
                                      "Reading: 0 Writing: 1 Waiting: 0 \n");
    client_close(client);
}

static size_t lines_in(const char *name)
{
    char path[128], line[512];
    size_t count = 0;
    rig_path(path, sizeof path, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        count++;
    fclose(file);
    return count;
}

static void logs_are_reopened(void **state)
{
    char log[128], old[128];
    (void)state;
    rig_start(EVENTS, site);
    rig_path(log, sizeof log, "access.log");
    rig_path(old, sizeof old, "access.old");
    struct rig_client *client = rig_connect();
    client_ask(client, GET("/echo", "1"));
    RIG_UNTIL(lines_in("access.log") == 1);
    assert_int_equal(rename(log, old), 0);
    kill(rig->pid, SIGUSR1);
    RIG_UNTIL(access(log, F_OK) == 0);
    client_ask(client, GET("/echo", "2"));
    RIG_UNTIL(lines_in("access.log") == 1);
    assert_int_equal(rename(log, old), 0);
    rig_order(CHANNEL_REOPEN);
    RIG_UNTIL(access(log, F_OK) == 0);
    client_ask(client, GET("/echo", "3"));
    RIG_UNTIL(lines_in("access.log") == 1);
    assert_int_equal(lines_in("access.old"), 1);
    client_close(client);
}

/* ---- words that two lists share -------------------------------------------------------------- */

static void reasons_have_the_numbers_of_the_history(void **state)
{
    (void)state;
    assert_int_equal(CONN_WHY_PEER, HIST_WHY_PEER);
    assert_int_equal(CONN_WHY_DONE, HIST_WHY_DONE);
    assert_int_equal(CONN_WHY_IDLE, HIST_WHY_IDLE);
    assert_int_equal(CONN_WHY_TIMEOUT, HIST_WHY_TIMEOUT);
    assert_int_equal(CONN_WHY_BAD, HIST_WHY_BAD);
    assert_int_equal(CONN_WHY_DRAIN, HIST_WHY_DRAIN);
    assert_int_equal(CONN_WHY_SHED, HIST_WHY_SHED);
    assert_int_equal(CONN_WHY_ERROR, HIST_WHY_ERROR);
    assert_int_equal(CONN_WHY_FAULT, HIST_WHY_FAULT);
    assert_int_equal(ADM_WHY_CONNECTIONS, HIST_PAUSE_CONNECTIONS);
    assert_int_equal(ADM_WHY_FD, HIST_PAUSE_FD);
    assert_int_equal(ADM_WHY_MEMORY, HIST_PAUSE_MEMORY);
    assert_int_equal(ADM_WHY_DRAIN, HIST_PAUSE_DRAIN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(serves_after_saying_ready),
        TEST(says_goodbye_when_asked),
        TEST(answers_pipelined_requests_in_order),
        TEST(reads_bodies),
        TEST(an_early_answer_is_not_reset),
        TEST(sends_long_answers),
        TEST(sends_files),
        TEST(carries_tunnels),
        TEST(idle_connections_end_in_time),
        TEST(refuses_what_is_malformed),
        TEST(nobody_is_accepted_before_the_go),
        TEST(one_on_trial_leaves_when_told),
        TEST(a_drain_lets_requests_end),
        TEST(a_drain_serves_those_who_waited),
        TEST(a_drain_has_a_bound),
        TEST(stops_at_once_when_told),
        TEST(obeys_a_stop_on_the_channel),
        TEST(hears_signals_from_before_it_was_ready),
        TEST(signals_for_the_master_do_no_harm),
        TEST(an_orphan_drains_and_leaves),
        TEST(others_wait_when_connections_are_in_use),
        TEST(others_wait_when_descriptors_are_in_use),
        TEST(the_heart_beats),
        TEST(a_status_page_counts_itself),
        TEST(logs_are_reopened),
        cmocka_unit_test(reasons_have_the_numbers_of_the_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
