/* The text of populations, targets and sources: what is read, and what an error points at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "scenarios/witness/prober_spec.h"

static void test_everything_said(void **state)
{
    (void)state;
    struct prober_spec s;
    char why[512];
    assert_int_equal(
        prober_spec_parse(
            &s,
            "download,name=big-1.x,path=/a?n=5&ms=2,rate=0.125,clients=7,body=0,bytes=5,"
            "read_rate=10,send_rate=20,timeout=30,connect_timeout=40,expect=206,"
            "port=8080,tls=1,unix=/run/x.sock,paused",
            why, sizeof(why)),
        0);
    assert_int_equal(s.kind, HIST_DOWNLOAD);
    assert_string_equal(s.name, "big-1.x");
    assert_string_equal(s.path, "/a?n=5&ms=2");
    assert_int_equal(s.rate_milli, 125);
    assert_int_equal(s.clients, 7);
    assert_int_equal(s.bytes, 5);
    assert_int_equal(s.read_rate, 10);
    assert_int_equal(s.send_rate, 20);
    assert_int_equal(s.timeout_ms, 30);
    assert_int_equal(s.connect_timeout_ms, 40);
    assert_int_equal(s.expect, 206);
    assert_int_equal(s.port, 8080);
    assert_int_equal(s.tls, 1);
    assert_string_equal(s.unix_path, "/run/x.sock");
    assert_true(s.paused);
}

/* Every kind of the list can be asked for by name alone and has usable numbers. */
static void test_every_kind(void **state)
{
    (void)state;
    for (unsigned k = 0; k < HIST_POPULATION_COUNT; k++) {
        struct prober_spec s;
        char text[64], why[512];
        snprintf(text, sizeof(text), "%s,name=n", hist_population_name(k));
        assert_int_equal(prober_spec_parse(&s, text, why, sizeof(why)), 0);
        assert_int_equal(s.kind, k);
        assert_true(s.clients > 0 && s.depth > 0 && s.depth <= PROBER_DEPTH_MAX);
        assert_string_equal(s.path, "/");
        assert_string_equal(s.unix_path, "");
        assert_int_equal(s.tls, prober_kind(s.kind)->tls);
        assert_non_null(prober_kind(s.kind)->method);
        assert_true(prober_kind(s.kind)->standing || s.rate_milli > 0);
        assert_int_equal(prober_kind(s.kind)->counts, s.kind != HIST_ABUSIVE);
        assert_int_equal(s.connect_timeout_ms, 10000);
    }
}

static void test_errors_point_at_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *column, *fault;
    } cases[] = {
        {"", "column 1:", "is not a kind of client"},
        {"freshh,name=x", "column 1:", "pooled"},
        {"fresh", "column 6:", "name=NAME is missing"},
        {"fresh,name=", "column 12:", "a name is"},
        {"fresh,name=a b", "column 12:", "a name is"},
        {"fresh,name=x,", "column 14:", "expected KEY=VALUE"},
        {"fresh,name=x,speed=1", "column 14:", "unknown key 'speed'"},
        {"fresh,name=x,rate=1.2345", "column 19:", "a rate is"},
        {"fresh,name=x,rate=", "column 19:", "a rate is"},
        {"fresh,name=x,rate=-1", "column 19:", "a rate is"},
        {"fresh,name=x,clients=0", "column 22:", "clients is a number from 1"},
        {"fresh,name=x,clients=1x", "column 22:", "'1x' is not"},
        {"fresh,name=x,expect=600", "column 21:", "from 100 to 599"},
        {"fresh,name=x,port=65536", "column 19:", "from 1 to 65535"},
        {"fresh,name=x,path=p", "column 19:", "a path begins with '/'"},
        {"fresh,name=x,depth=2", "column 1:", "only for pipelined"},
        {"fresh,name=x,pause", "column 14:", "or 'paused'"},
        {"fresh,name=x,body=99999999999999999999", "column 19:", "body is a number"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct prober_spec s;
        char why[512] = "";
        int rc = prober_spec_parse(&s, cases[i].text, why, sizeof(why));
        if (rc >= 0 || strstr(why, cases[i].column) == NULL || strstr(why, cases[i].fault) == NULL)
            print_error("'%s' gave %d '%s', expected '%s' '%s'\n", cases[i].text, rc, why,
                        cases[i].column, cases[i].fault);
        assert_true(rc < 0);
        assert_non_null(strstr(why, cases[i].column));
        assert_non_null(strstr(why, cases[i].fault));
    }
}

static void test_too_long(void **state)
{
    (void)state;
    struct prober_spec s;
    char text[1024], why[512];
    snprintf(text, sizeof(text), "fresh,name=x,path=/%0300d", 1);
    assert_true(prober_spec_parse(&s, text, why, sizeof(why)) < 0);
    snprintf(text, sizeof(text), "fresh,name=%040d", 1);
    assert_true(prober_spec_parse(&s, text, why, sizeof(why)) < 0);
}

static void test_target_and_sources(void **state)
{
    (void)state;
    static const char *const bad_targets[] = {
        "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:8x"};
    static const char *const bad_sources[] = {
        "", "x", "127.0.0.2-127.0.0.1", "127.0.0.1-", "127.0.0.1-127.1.0.1", "127.0.0.1-x"};
    struct sockaddr_in target;
    uint32_t first, count;
    char why[512];
    assert_int_equal(prober_target_parse(&target, "127.0.0.9:8080", why, sizeof(why)), 0);
    assert_int_equal(ntohs(target.sin_port), 8080);
    assert_int_equal(ntohl(target.sin_addr.s_addr), 0x7f000009);
    for (size_t i = 0; i < sizeof(bad_targets) / sizeof(bad_targets[0]); i++)
        assert_true(prober_target_parse(&target, bad_targets[i], why, sizeof(why)) < 0);
    assert_int_equal(prober_sources_parse(&first, &count, "127.0.1.1-127.0.1.20", why, sizeof(why)),
                     0);
    assert_int_equal(first, 0x7f000101);
    assert_int_equal(count, 20);
    assert_int_equal(prober_sources_parse(&first, &count, "127.0.0.3", why, sizeof(why)), 0);
    assert_int_equal(count, 1);
    for (size_t i = 0; i < sizeof(bad_sources) / sizeof(bad_sources[0]); i++)
        assert_true(prober_sources_parse(&first, &count, bad_sources[i], why, sizeof(why)) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_said),           cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_errors_point_at_the_place), cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_target_and_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
