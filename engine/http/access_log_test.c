/* Variables and log lines: what stands in them, and when they reach the file. */
#include "engine/http/http_fixture.h"
#include "engine/http/variables.h"

static const char server_text[] =
    "log_format short '$request_nonce $status \"$http_user_agent\" $body_bytes_sent';\n"
    "log_format json escape=json '{\"agent\":\"$http_user_agent\"}';\n"
    "log_format none escape=none '[$http_user_agent] $http_nope';\n"
    "server { listen 127.0.0.1:8080; server_name site.test; root %s;\n"
    "  location /direct { access_log %s/direct.log short; return 200 ok; }\n"
    "  location /json { access_log %s/direct.log json; return 200 ok; }\n"
    "  location /none { access_log %s/direct.log none; return 200 ok; }\n"
    "  location /off { access_log off; return 200 ok; }\n"
    "  location /both { access_log %s/direct.log short; access_log %s/second.log short;\n"
    "                   return 200 ok; }\n"
    "  location /buffered { access_log %s/buffered.log short buffer=64 flush=2s;\n"
    "                       return 200 ok; }\n"
    "}\n";

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    fixture_load(server_text);
    return 0;
}

static void ask(const char *path, const char *agent)
{
    char request[1024];
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: site.test\r\nX-Mw-Nonce: 8\r\nUser-Agent: %s\r\n\r\n", path,
             agent);
    fixture_get(request);
    fixture_end();
}

static const char *content(const char *name)
{
    static char text[65536];
    fixture_slurp(name, text, sizeof text);
    return text;
}

static void values_are_escaped(void **state)
{
    (void)state;
    ask("/direct", "a\"b\\c\xc3\xa9\t");
    assert_string_equal(content("direct.log"), "8 200 \"a\\x22b\\x5Cc\\xC3\\xA9\" 2\n");
    ask("/json", "a\"b\\c\xc3\xa9\td");
    assert_non_null(strstr(content("direct.log"), "{\"agent\":\"a\\\"b\\\\c\xc3\xa9\\td\"}\n"));
    ask("/none", "a\"b\\");
    assert_non_null(strstr(content("direct.log"), "[a\"b\\] \n"));
}

static void control_bytes_are_escaped(void **state)
{
    struct builder line;
    (void)state;
    pool_start(&fx->x.pool);
    builder_start(&line, &fx->x.pool, 64);
    access_log_escape(&line, STR("\x01\n"), ESCAPE_JSON);
    access_log_escape(&line, STR("\x7f\n"), ESCAPE_DEFAULT);
    access_log_escape(&line, str_make(NULL, 0), ESCAPE_DEFAULT);
    access_log_escape(&line, str_make(NULL, 0), ESCAPE_JSON);
    assert_string_equal(builder_end(&line).at, "\\u0001\\n\\x7F\\x0A-");
    pool_reset(&fx->x.pool);
}

static void lines_go_where_they_belong(void **state)
{
    (void)state;
    ask("/both", "x");
    ask("/off", "x");
    assert_string_equal(content("direct.log"), "8 200 \"x\" 2\n");
    assert_string_equal(content("second.log"), "8 200 \"x\" 2\n");
}

/* A line is 12 bytes; the buffer holds five. */
static void buffers_hold_whole_lines(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        ask("/buffered", "x");
    assert_string_equal(content("buffered.log"), "");
    ask("/buffered", "x");
    assert_int_equal(strlen(content("buffered.log")), 60);
    assert_int_equal(content("buffered.log")[59], '\n');
    ask("/buffered", "a line that is longer than the whole buffer can hold, which leaves at once");
    const char *text = content("buffered.log");
    assert_non_null(strstr(text, "at once\" 2\n"));
    assert_memory_equal(text + 60, "8 200 \"x\" 2\n", 12);
}

static void buffers_are_written_when_they_are_old(void **state)
{
    (void)state;
    assert_int_equal(access_logs_flush_due(&fx->logs, fx->site.now_ns), UINT64_MAX);
    ask("/buffered", "x");
    uint64_t due_ns = access_logs_flush_due(&fx->logs, fx->site.now_ns);
    assert_int_equal(due_ns, fx->site.now_ns + 2 * NS_PER_S);
    assert_string_equal(content("buffered.log"), "");
    assert_int_equal(access_logs_flush_due(&fx->logs, due_ns), UINT64_MAX);
    assert_string_equal(content("buffered.log"), "8 200 \"x\" 2\n");
}

static void rename_log(const char *from, const char *to)
{
    char old[128], new[128];
    fixture_path(old, sizeof old, from);
    fixture_path(new, sizeof new, to);
    assert_int_equal(rename(old, new), 0);
}

static void a_reopen_separates_old_from_new(void **state)
{
    (void)state;
    ask("/direct", "old");
    ask("/buffered", "old");
    rename_log("direct.log", "direct.1");
    rename_log("buffered.log", "buffered.1");
    ask("/direct", "late");
    assert_int_equal(access_logs_reopen(&fx->logs), 0);
    ask("/direct", "new");
    ask("/buffered", "new");
    access_logs_flush(&fx->logs);
    assert_string_equal(content("direct.1"), "8 200 \"old\" 2\n8 200 \"late\" 2\n");
    assert_string_equal(content("direct.log"), "8 200 \"new\" 2\n");
    assert_string_equal(content("buffered.1"), "8 200 \"old\" 2\n");
    assert_string_equal(content("buffered.log"), "8 200 \"new\" 2\n");
}

static void a_failed_reopen_keeps_the_old_file(void **state)
{
    char path[128];
    (void)state;
    rename_log("direct.log", "direct.1");
    fixture_path(path, sizeof path, "direct.log");
    assert_int_equal(mkdir(path, 0755), 0); /* nothing can be written there */
    assert_int_equal(access_logs_reopen(&fx->logs), 1);
    ask("/direct", "still");
    assert_string_equal(content("direct.1"), "8 200 \"still\" 2\n");
}

/* Every variable has a value, or none, for a request that has everything. */
static void variables_have_values(void **state)
{
    static const struct {
        enum conf_variable variable;
        const char *argument, *value;
    } cases[] = {
        {VAR_args, "", "a=1&b=two"},
        {VAR_arg, "b", "two"},
        {VAR_arg, "c", NULL},
        {VAR_config_generation, "", "9"},
        {VAR_connection, "", "17"},
        {VAR_connection_requests, "", "2"},
        {VAR_content_length, "", NULL},
        {VAR_document_uri, "", "/direct/a b"},
        {VAR_host, "", "site.test"},
        {VAR_hostname, "", "machine"},
        {VAR_http, "x-thing", "Value"},
        {VAR_http, "nope", NULL},
        {VAR_is_args, "", "?"},
        {VAR_msec, "", "784111777.000"},
        {VAR_pid, "", "4321"},
        {VAR_pipe, "", "."},
        {VAR_query_string, "", "a=1&b=two"},
        {VAR_remote_addr, "", "127.0.1.7"},
        {VAR_remote_port, "", "5555"},
        {VAR_remote_user, "", "someone"},
        {VAR_request, "", "GET /direct/a%20b?a=1&b=two HTTP/1.1"},
        {VAR_request_method, "", "GET"},
        {VAR_request_nonce, "", "8"},
        {VAR_request_time, "", "0.000"},
        {VAR_request_uri, "", "/direct/a%20b?a=1&b=two"},
        {VAR_scheme, "", "http"},
        {VAR_sent_http, "content-length", "2"},
        {VAR_sent_http, "connection", "keep-alive"},
        {VAR_sent_http, "nope", NULL},
        {VAR_server_addr, "", "127.0.0.1"},
        {VAR_server_name, "", "site.test"},
        {VAR_server_protocol, "", "HTTP/1.1"},
        {VAR_status, "", "200"},
        {VAR_uri, "", "/direct/a b"},
        {VAR_worker_slot, "", "3"},
    };
    (void)state;
    fixture_get("GET /direct/a%20b?a=1&b=two HTTP/1.1\r\nHost: SITE.test.:80\r\nX-Mw-Nonce: 8\r\n"
                "X-Thing: Value\r\nAuthorization: Basic c29tZW9uZTpzZWNyZXQ=\r\n\r\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf_str argument = str_make(cases[i].argument, strlen(cases[i].argument));
        struct conf_str value = variable_value(&fx->x, cases[i].variable, argument);
        if (cases[i].value == NULL) {
            assert_null(value.at);
            continue;
        }
        assert_int_equal(value.len, strlen(cases[i].value));
        assert_memory_equal(value.at, cases[i].value, value.len);
    }
    for (int variable = VAR_NAMED + 1; variable < VAR_COUNT; variable++)
        variable_value(&fx->x, variable, STR("x"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(values_are_escaped),
        TEST(control_bytes_are_escaped),
        TEST(lines_go_where_they_belong),
        TEST(buffers_hold_whole_lines),
        TEST(buffers_are_written_when_they_are_old),
        TEST(a_reopen_separates_old_from_new),
        TEST(a_failed_reopen_keeps_the_old_file),
        TEST(variables_have_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
