/* limit_req, limit_conn: what passes, what waits, what is refused, and when it counts no more. */
#include <sys/wait.h>

#include "engine/http/http_fixture.h"
#include "engine/http/limits.h"
#include "engine/http/variables.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: site.test\r\n\r\n"

static void load(const char *http, const char *locations)
{
    char text[2048];
    snprintf(text, sizeof text,
             "error_log error.log info; %s\nserver { listen 127.0.0.1:1; %s location / { "
             "test_handler delay x; } }",
             http, locations);
    fixture_load(text);
    fx->site.pid = getpid();
}

/* Asks for path; the status, or 0 where the request is under way, and what the variable says. */
static int ask(const char *path, const char *verdict)
{
    char request[128];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: site.test\r\n\r\n", path);
    fixture_ask(request);
    enum conf_variable which = strstr(path, "conn") ? VAR_limit_conn_status : VAR_limit_req_status;
    struct conf_str said = variable_value(&fx->x, which, STR(""));
    assert_string_equal(said.at == NULL ? "" : said.at, verdict);
    return fx->x.answer.status;
}

static void requests_over_the_rate_are_refused(void **state)
{
    (void)state;
    load("limit_req_zone $arg_k zone=z:64k rate=2r/s;",
         "location /req { limit_req zone=z burst=2 nodelay; test_handler echo x; }");
    assert_int_equal(ask("/req?k=a", "PASSED"), 200);
    assert_int_equal(ask("/req?k=a", "PASSED"), 200);
    assert_int_equal(ask("/req?k=a", "PASSED"), 200);
    assert_int_equal(ask("/req?k=a", "REJECTED"), 503);
    assert_int_equal(ask("/req?k=b", "PASSED"), 200); /* another key, another bucket */
    assert_int_equal(ask("/req", ""), 200);           /* no key, no limit */
    fixture_pass(NS_PER_S / 2);
    assert_int_equal(ask("/req?k=a", "PASSED"), 200);
    assert_int_equal(ask("/req?k=a", "REJECTED"), 503);
    fixture_pass(3600 * NS_PER_S); /* it does not save up more than the burst */
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask("/req?k=a", "PASSED"), 200);
    assert_int_equal(ask("/req?k=a", "REJECTED"), 503);
}

static void requests_wait_for_their_turn(void **state)
{
    (void)state;
    load("limit_req_zone $arg_k zone=z:64k rate=2r/s;",
         "location /req { limit_req zone=z burst=3 delay=1; test_handler echo x; }");
    assert_int_equal(ask("/req?k=a", "PASSED"), 200);
    assert_int_equal(ask("/req?k=a", "PASSED"), 200);
    assert_int_equal(ask("/req?k=a", "DELAYED"), 0);
    assert_true(fx->x.wake_ns == fx->site.now_ns + NS_PER_S / 2);
    assert_false(exchange_wants_body(&fx->x));
    fixture_pass(NS_PER_S / 2);
    exchange_wake(&fx->x);
    assert_int_equal(fx->x.answer.status, 200);
    fixture_end();
}

static void several_rules_refuse_together(void **state)
{
    (void)state;
    load("limit_req_zone $arg_a zone=a:64k rate=1r/m; limit_req_zone $arg_b zone=b:64k rate=1r/m;",
         "location /req { limit_req zone=a burst=5 nodelay; limit_req zone=b; test_handler echo x; "
         "}\n"
         "location /reqa { limit_req zone=a burst=5 nodelay; limit_req_status 429; test_handler "
         "echo x; }");
    assert_int_equal(ask("/req?a=1&b=1", "PASSED"), 200);
    for (int i = 0; i < 9; i++) /* what b refuses does not count in a */
        assert_int_equal(ask("/req?a=1&b=1", "REJECTED"), 503);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask("/reqa?a=1", "PASSED"), 200);
    assert_int_equal(ask("/reqa?a=1", "REJECTED"), 429);
}

static void a_dry_run_only_says_so(void **state)
{
    char log[4096];
    (void)state;
    load("limit_req_zone $arg_k zone=z:64k rate=1r/m;",
         "limit_req_dry_run on; limit_req_log_level warn;\n"
         "location /req { limit_req zone=z; test_handler echo x; }\n"
         "location /slow { limit_req zone=z burst=9; test_handler echo x; }");
    assert_int_equal(ask("/req?k=a", "PASSED"), 200);
    assert_int_equal(ask("/req?k=a", "REJECTED_DRY_RUN"), 200);
    assert_int_equal(ask("/slow?k=a", "DELAYED_DRY_RUN"), 200);
    fixture_slurp("error.log", log, sizeof log);
    assert_non_null(strstr(log, "[warn]"));
    assert_non_null(strstr(log, "limiting requests, dry run, excess: 1.000 by zone \"z\""));
    assert_non_null(strstr(log, "delaying request, dry run, excess: 1.000 by zone \"z\""));
}

static void a_request_is_asked_once(void **state)
{
    (void)state;
    load("limit_req_zone $arg_k zone=z:64k rate=1r/m;",
         "limit_req zone=z; error_page 404 = /found; root /none;\n"
         "location /found { test_handler delay x; } location /req { }");
    assert_int_equal(ask("/req?k=a", "PASSED"), 200); /* at /req, not again at /found */
    assert_int_equal(ask("/found?k=a", "REJECTED"), 503);
}

/* ---- limit_conn ------------------------------------------------------------------------------ */

static const char conn_http[] = "limit_conn_zone $arg_k zone=c:64k;";
static const char conn_location[] =
    "location /conn { limit_conn c 1; test_handler delay x; } location /off { limit_conn c 1;\n"
    "limit_conn_dry_run on; test_handler delay x; }\n"
    "location /conn2 { limit_conn c 1; limit_conn_status 429; limit_conn_log_level info;\n"
    "test_handler echo x; }";

/* A request beside the one of the fixture. */
static int ask_beside(struct exchange *x, const char *request)
{
    static const struct http1_limits limits = {.line_bytes = 8192, .head_bytes = 8192};
    exchange_prepare(x, &fx->site, &fx->client);
    http1_init(&x->head, &limits, x->headers, EXCHANGE_HEADERS_MAX);
    assert_int_equal(http1_feed(&x->head, request, strlen(request)), HTTP1_DONE);
    exchange_execute(x, request);
    return x->answer.status;
}

static void requests_under_way_are_counted(void **state)
{
    static struct exchange other;
    (void)state;
    load(conn_http, conn_location);
    assert_int_equal(ask("/conn?k=a&ms=9", "PASSED"), 0);
    assert_int_equal(ask_beside(&other, GET("/conn?k=a")), 503);
    exchange_end(&other);
    assert_int_equal(ask_beside(&other, GET("/conn2?k=a")), 429);
    exchange_end(&other);
    assert_int_equal(ask_beside(&other, GET("/off?k=a&ms=9")), 0);
    assert_int_equal(other.limit_conn, LIMIT_REJECTED_DRY_RUN);
    exchange_end(&other);
    assert_int_equal(ask_beside(&other, GET("/conn?k=b&ms=9")), 0);
    exchange_end(&other);
    fixture_end();
    assert_int_equal(ask("/conn?k=a&ms=9", "PASSED"), 0); /* the first one is over */
    fixture_end();
}

static void a_dead_worker_holds_nothing(void **state)
{
    int status;
    (void)state;
    load(conn_http, conn_location);
    int holds[2]; /* the child says so: a request of ours to find out could take its place */
    assert_int_equal(pipe(holds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fx->site.pid = getpid();
        ask("/conn?k=a&ms=9", "PASSED");
        write(holds[1], "", 1);
        pause();
        _exit(0);
    }
    close(holds[1]);
    fx->site.pid = getpid();
    char byte;
    assert_int_equal(read(holds[0], &byte, 1), 1);
    close(holds[0]);
    static struct exchange other;
    assert_int_equal(ask_beside(&other, GET("/conn?k=a&ms=9")), 503);
    exchange_end(&other);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(ask("/conn?k=a&ms=9", "PASSED"), 0);
    fixture_end();
}

/* ---- limit_rate ------------------------------------------------------------------------------ */

static void a_rate_comes_from_the_location_or_a_variable(void **state)
{
    (void)state;
    load("", "location /rate { limit_rate 8k; limit_rate_after 1m; return 200; }\n"
             "location /arg { limit_rate $arg_r; return 200; }\n"
             "location /set { set $limit_rate 3k; return 200 \"$limit_rate\"; }");
    static const struct {
        const char *request;
        uint64_t rate, after;
    } cases[] = {{GET("/rate"), 8192, 1 << 20}, {GET("/arg?r=2k"), 2048, 0},
                 {GET("/arg?r=x"), 0, 0},       {GET("/arg"), 0, 0},
                 {GET("/set"), 3072, 0},        {GET("/"), 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture_ask(cases[i].request);
        limits_find_rate(&fx->x);
        assert_true(fx->x.rate_bytes == cases[i].rate);
        assert_true(fx->x.rate_after_bytes == cases[i].after);
    }
    assert_int_equal(fixture_get(GET("/set")), 200);
    assert_string_equal(fx->body, "3072");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(requests_over_the_rate_are_refused),
        TEST(requests_wait_for_their_turn),
        TEST(several_rules_refuse_together),
        TEST(a_dry_run_only_says_so),
        TEST(a_request_is_asked_once),
        TEST(requests_under_way_are_counted),
        TEST(a_dead_worker_holds_nothing),
        TEST(a_rate_comes_from_the_location_or_a_variable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
