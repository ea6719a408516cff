/* Requests and their answers, one handler after the other. */
#include "engine/http/http_fixture.h"
#include "scenarios/history/pattern.h"

static const char server_text[] =
    "types { text/html html; text/plain txt; }\n"
    "default_type application/octet-stream;\n"
    "client_max_body_size 1k;\n"
    "add_header X-Always yes always; add_header X-Sometimes $request_nonce;\n"
    "server { listen 127.0.0.1:8080; server_name site.test; root %s; index index.html;\n"
    "  location /echo { test_handler echo 12; }\n"
    "  location /delay { test_handler delay 12; }\n"
    "  location /bytes { test_handler bytes; }\n"
    "  location /upload { test_handler upload; client_max_body_size 0; }\n"
    "  location /stream { test_handler stream; }\n"
    "  location /tunnel { test_handler tunnel; }\n"
    "  location /text { return 200 \"to $http_x_mw_nonce 12\\n\"; }\n"
    "  location = /page { return 404; }\n"
    "  location = /found { return 302 /elsewhere?$args; }\n"
    "  location = /away { return 301 https://other.test/; }\n"
    "  location = /nothing { return 204; }\n"
    "  location = /silence { return 444; }\n"
    "  location = /secret.txt { internal; }\n"
    "  location /json { status json; }\n"
    "  location /stub { stub_status; }\n"
    "  location /aliased/ { alias %s/deep/; }\n"
    "}\n";

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    fixture_load(server_text);
    fixture_file("a.txt", "0123456789", 784111777);
    fixture_file("secret.txt", "secret", 1);
    fixture_folder("deep");
    fixture_file("deep/index.html", "<p>deep", 1);
    fixture_folder("bare");
    return 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: site.test\r\nX-Mw-Nonce: 42\r\n"

static void documents_are_sent(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/a.txt") "\r\n"), 200);
    assert_string_equal(fx->body, "0123456789");
    assert_true(head_has("Content-Type: text/plain"));
    assert_true(head_has("Content-Length: 10"));
    assert_true(head_has("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_true(head_has("ETag: \"2ebc98a1-a\""));
    assert_true(head_has("Accept-Ranges: bytes"));
    assert_true(head_has("Connection: keep-alive"));
    assert_true(head_has("Date: Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_int_equal(fixture_get(GET("/%61.txt") "\r\n"), 200);
    assert_int_equal(fixture_get(GET("/aliased/") "\r\n"), 200);
    assert_string_equal(fx->body, "<p>deep");
}

static void a_head_has_no_body(void **state)
{
    (void)state;
    fixture_ask("HEAD /a.txt HTTP/1.1\r\nHost: site.test\r\n\r\n");
    assert_int_equal(fixture_answer(true), 200);
    assert_true(head_has("Content-Length: 10"));
    assert_true(head_has("Connection: close"));
    assert_int_equal(fx->body_len, 0);
    assert_int_equal(fx->x.answer.file_fd, -1);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/missing") "\r\n"), 404);
    assert_non_null(strstr(fx->body, "<title>404 Not Found</title>"));
    assert_true(head_has("Content-Type: text/html"));
    assert_int_equal(fixture_get(GET("/a.txt/") "\r\n"), 404);
    assert_int_equal(fixture_get(GET("/a.txt/x") "\r\n"), 404);
    assert_int_equal(fixture_get(GET("/secret.txt") "\r\n"), 404);
    assert_int_equal(fixture_get(GET("/../a.txt") "\r\n"), 400);
    assert_int_equal(fixture_get(GET("/%2e%2e/a.txt") "\r\n"), 400);
}

static void directories_have_an_index_or_are_forbidden(void **state)
{
    char line[128];
    struct sockaddr_in here;
    socklen_t len = sizeof here;
    (void)state;
    assert_int_equal(fixture_get(GET("/deep/") "\r\n"), 200);
    assert_string_equal(fx->body, "<p>deep");
    assert_true(head_has("Content-Type: text/html"));
    assert_int_equal(fixture_get(GET("/bare/") "\r\n"), 403);
    assert_int_equal(fixture_get(GET("/gone/") "\r\n"), 404);
    assert_int_equal(fixture_get(GET("/deep?a=b") "\r\n"), 301);
    getsockname(fx->client.fd, (struct sockaddr *)&here, &len);
    snprintf(line, sizeof line, "Location: http://site.test:%u/deep/?a=b", ntohs(here.sin_port));
    assert_true(head_has(line));
}

static void only_get_and_head_reach_documents(void **state)
{
    (void)state;
    assert_int_equal(fixture_get("POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
                     405);
    assert_int_equal(fixture_get("DELETE /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
    assert_int_equal(fixture_get("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
}

static void conditions_spare_the_body(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/a.txt") "If-None-Match: \"2ebc98a1-a\"\r\n\r\n"), 304);
    assert_int_equal(fx->body_len, 0);
    assert_null(strstr(fx->head, "Content-Length"));
    assert_true(head_has("ETag: \"2ebc98a1-a\""));
    assert_int_equal(fixture_get(GET("/a.txt") "If-None-Match: W/\"2ebc98a1-a\", \"x\"\r\n\r\n"),
                     304);
    assert_int_equal(fixture_get(GET("/a.txt") "If-None-Match: \"other\"\r\n\r\n"), 200);
    assert_int_equal(fixture_get(GET("/a.txt") "If-None-Match: *\r\n\r\n"), 304);
    assert_int_equal(
        fixture_get(GET("/a.txt") "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"), 304);
    assert_int_equal(
        fixture_get(GET("/a.txt") "If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT\r\n\r\n"), 200);
    assert_int_equal(
        fixture_get(GET("/a.txt") "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n\r\n"),
        412);
    assert_int_equal(fixture_get(GET("/a.txt") "If-Match: \"2ebc98a1-a\"\r\n\r\n"), 200);
    assert_int_equal(fixture_get(GET("/a.txt") "If-Match: W/\"2ebc98a1-a\"\r\n\r\n"), 412);
}

static void one_range_is_sent(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/a.txt") "Range: bytes=2-4\r\n\r\n"), 206);
    assert_string_equal(fx->body, "234");
    assert_true(head_has("Content-Range: bytes 2-4/10"));
    assert_true(head_has("Content-Length: 3"));
    assert_int_equal(fixture_get(GET("/a.txt") "Range: bytes=10-\r\n\r\n"), 416);
    assert_true(head_has("Content-Range: bytes */10"));
    assert_int_equal(
        fixture_get(GET("/a.txt") "Range: bytes=2-4\r\nIf-Range: \"2ebc98a1-a\"\r\n\r\n"), 206);
    assert_int_equal(fixture_get(GET("/a.txt") "Range: bytes=2-4\r\nIf-Range: \"old\"\r\n\r\n"),
                     200);
    assert_string_equal(fx->body, "0123456789");
}

static void large_documents_travel_as_files(void **state)
{
    static char text[20001];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    fixture_file("large.bin", text, 1);
    assert_int_equal(fixture_get(GET("/large.bin") "\r\n"), 200);
    assert_int_equal(fx->x.answer.body, BODY_PULL); /* sendfile is off by default */
    assert_int_equal(fx->body_len, 20000);
    assert_true(head_has("Content-Type: application/octet-stream"));
}

static void return_answers(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/text") "\r\n"), 200);
    assert_string_equal(fx->body, "to 42 12\n");
    assert_int_equal(fixture_get(GET("/page") "\r\n"), 404);
    assert_non_null(strstr(fx->body, "<center><h1>404 Not Found</h1></center>"));
    assert_int_equal(fixture_get(GET("/nothing") "\r\n"), 204);
    assert_int_equal(fx->body_len, 0);
    assert_null(strstr(fx->head, "Content-Length"));
    assert_int_equal(fixture_get(GET("/away") "\r\n"), 301);
    assert_true(head_has("Location: https://other.test/"));
    assert_int_equal(fixture_get(GET("/found?x=1") "\r\n"), 302);
    assert_non_null(strstr(fx->head, "/elsewhere?x=1\r\n"));
    assert_non_null(strstr(fx->head, "302 Moved Temporarily"));
    fixture_ask(GET("/silence") "\r\n");
    assert_true(fx->x.answer.silent);
}

static void headers_are_added_where_nginx_adds_them(void **state)
{
    (void)state;
    fixture_get(GET("/a.txt") "\r\n");
    assert_true(head_has("X-Always: yes") && head_has("X-Sometimes: 42"));
    fixture_get(GET("/missing") "\r\n");
    assert_true(head_has("X-Always: yes") && !head_has("X-Sometimes: 42"));
}

static void echo_answers_after_the_body(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/echo") "\r\n"), 200);
    assert_string_equal(fx->body, "42 12 3 4321 9\n");
    assert_int_equal(fixture_get("GET /echo?n=77 HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_string_equal(fx->body, "77 12 3 4321 9\n");
    fixture_ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_true(exchange_wants_body(&fx->x));
    exchange_body(&fx->x, STR("cd"));
    exchange_body_end(&fx->x);
    assert_int_equal(fixture_answer(false), 200);
}

static void delay_waits(void **state)
{
    (void)state;
    fixture_ask(GET("/delay?ms=250") "\r\n");
    assert_false(exchange_answered(&fx->x));
    assert_int_equal(fx->x.wake_ns, fx->site.now_ns + 250 * NS_PER_MS);
    fixture_pass(250 * NS_PER_MS);
    exchange_wake(&fx->x);
    assert_int_equal(fixture_answer(false), 200);
    assert_int_equal(fixture_get(GET("/delay") "\r\n"), 200);
}

static void bytes_follow_the_pattern(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/bytes?n=100000") "\r\n"), 200);
    assert_true(head_has("Content-Length: 100000"));
    assert_int_equal(fx->body_len, 100000);
    for (size_t i = 0; i < fx->body_len; i++)
        assert_int_equal((unsigned char)fx->body[i], pattern_byte(i));
    uint64_t before_ns = fx->site.now_ns;
    assert_int_equal(fixture_get(GET("/bytes?n=5000&ms=300") "\r\n"), 200);
    assert_int_equal(fx->body_len, 5000);
    assert_in_range(fx->site.now_ns - before_ns, 290 * NS_PER_MS, 320 * NS_PER_MS);
    assert_int_equal(fixture_get(GET("/bytes?n=0") "\r\n"), 200);
    assert_int_equal(fx->body_len, 0);
}

static void uploads_are_checked(void **state)
{
    char request[4096];
    (void)state;
    int len = snprintf(
        request, sizeof request,
        "POST /upload HTTP/1.1\r\nHost: a\r\nX-Mw-Nonce: 5\r\nContent-Length: 3000\r\n\r\n");
    pattern_fill((unsigned char *)request + len, 3000, 0);
    request[len + 3000] = '\0';
    assert_int_equal(fixture_get(request), 200);
    assert_string_equal(fx->body, "5 3000 ok\n");
    request[len + 1500] ^= 1;
    assert_int_equal(fixture_get(request), 200);
    assert_string_equal(fx->body, "5 3000 bad\n");
}

static void bodies_have_a_limit(void **state)
{
    (void)state;
    assert_int_equal(fixture_get("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n"),
                     413);
    fixture_ask("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    char kilobyte[1024] = {0};
    exchange_body(&fx->x, str_make(kilobyte, sizeof kilobyte));
    assert_false(exchange_answered(&fx->x));
    exchange_body(&fx->x, STR("x"));
    assert_int_equal(fixture_answer(true), 413);
}

static void streams_are_chunked_or_end_with_the_connection(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/stream?ms=100&for=250") "\r\n"), 200);
    assert_true(head_has("Transfer-Encoding: chunked"));
    assert_string_equal(fx->body, "c\r\ndata: 42 0\n\n\r\n"
                                  "c\r\ndata: 42 1\n\n\r\n"
                                  "c\r\ndata: 42 2\n\n\r\n0\r\n\r\n");
    assert_false(exchange_must_close(&fx->x));
    fixture_ask("GET /stream?ms=100&for=150&n=7 HTTP/1.0\r\n\r\n");
    assert_true(exchange_must_close(&fx->x));
    assert_int_equal(fixture_answer(true), 200);
    assert_string_equal(fx->body, "data: 7 0\n\ndata: 7 1\n\n");
    assert_null(strstr(fx->head, "Transfer-Encoding"));
}

static void tunnels_echo(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/tunnel") "\r\n"), 426);
    fixture_ask(GET("/tunnel") "Connection: Upgrade\r\nUpgrade: mw-tunnel\r\n\r\n");
    assert_true(fx->x.answer.upgraded);
    assert_int_equal(fixture_answer(false), 101);
    assert_true(head_has("Upgrade: mw-tunnel") && head_has("Connection: Upgrade"));
    exchange_input(&fx->x, STR("hello"));
    fixture_pull();
    exchange_input_end(&fx->x);
    struct conf_str piece;
    char room[64];
    assert_int_equal(exchange_pull(&fx->x, room, sizeof room, &piece), PULL_END);
    assert_int_equal(fx->body_len, 5);
    assert_memory_equal(fx->body, "hello", 5);
}

static void status_pages_answer(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/json") "\r\n"), 200);
    assert_true(head_has("Content-Type: application/json"));
    assert_int_equal(fx->body[0], '{');
    assert_int_equal(fixture_get(GET("/stub") "\r\n"), 200);
    assert_non_null(strstr(fx->body, "Active connections: 0 \nserver accepts handled requests\n"));
}

static void expectations_nobody_knows_are_refused(void **state)
{
    (void)state;
    assert_int_equal(fixture_get(GET("/text") "Expect: a miracle\r\n\r\n"), 417);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(documents_are_sent),
        TEST(a_head_has_no_body),
        TEST(what_is_not_there_is_not_found),
        TEST(directories_have_an_index_or_are_forbidden),
        TEST(only_get_and_head_reach_documents),
        TEST(conditions_spare_the_body),
        TEST(one_range_is_sent),
        TEST(large_documents_travel_as_files),
        TEST(return_answers),
        TEST(headers_are_added_where_nginx_adds_them),
        TEST(echo_answers_after_the_body),
        TEST(delay_waits),
        TEST(bytes_follow_the_pattern),
        TEST(uploads_are_checked),
        TEST(bodies_have_a_limit),
        TEST(streams_are_chunked_or_end_with_the_connection),
        TEST(tunnels_echo),
        TEST(status_pages_answer),
        TEST(expectations_nobody_knows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
