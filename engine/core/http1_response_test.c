/* Heads of responses: what is found, what is refused, that no cut between reads changes either, and
 * that not a byte beyond the end is read. */
#include "engine/core/http1_response.h"

#include <string.h>

#include "engine/core/wall_fixture.h"

enum { HEADERS = 8 };

static struct http1_header headers[HEADERS];
static struct http1_response parsed;
static const char *text;

/* Feeds text[0..len) against the wall. */
static enum http1_result feed(size_t len)
{
    return http1_response_feed(&parsed, against_wall(text, len), len);
}

/* Parses in one piece, then again in every two pieces and byte by byte: always the same. */
static enum http1_result parse(const char *whole, bool head_only)
{
    size_t len = strlen(whole);
    text = whole;
    http1_response_init(&parsed, headers, HEADERS, head_only);
    enum http1_result result = feed(len);
    struct http1_response first = parsed;
    for (size_t cut = 1; cut <= len; cut++) {
        size_t step = cut == len ? 1 : cut;
        http1_response_init(&parsed, headers, HEADERS, head_only);
        enum http1_result again = HTTP1_MORE;
        for (size_t at = step; again == HTTP1_MORE; at += step) {
            again = feed(at < len ? at : len);
            if (at >= len)
                break;
        }
        assert_int_equal(again, result);
        assert_int_equal(parsed.bad, first.bad);
        if (result == HTTP1_DONE) {
            assert_int_equal(parsed.at, first.at);
            assert_int_equal(parsed.header_count, first.header_count);
        }
    }
    return result;
}

static void expect_text(struct http1_span span, const char *expected)
{
    assert_int_equal(span.len, strlen(expected));
    assert_memory_equal(text + span.at, expected, span.len);
}

static void an_ordinary_one(void **state)
{
    (void)state;
    assert_int_equal(parse("HTTP/1.1 200 OK\r\nServer: x\r\nX-Odd_Name:  a b \r\n"
                           "Content-Length: 5\r\n\r\nhello",
                           false),
                     HTTP1_DONE);
    assert_int_equal(parsed.status, 200);
    assert_int_equal(parsed.minor, 1);
    expect_text(parsed.reason, "OK");
    assert_int_equal(parsed.header_count, 3);
    assert_int_equal(headers[0].name, HTTP1_RESPONSE_SERVER);
    assert_int_equal(headers[1].name, HTTP1_RESPONSE_OTHER);
    expect_text(headers[1].value, "a b");
    assert_int_equal(parsed.framing, HTTP1_LENGTH);
    assert_int_equal(parsed.content_length, 5);
    assert_true(parsed.flags & HTTP1_RESPONSE_STAYS);
    assert_string_equal(text + parsed.at, "hello");
}

static void sloppy_ones_pass(void **state)
{
    (void)state;
    assert_int_equal(parse("HTTP/1.1 404 \nA: b\n\n", false), HTTP1_DONE);
    assert_int_equal(parsed.reason.len, 0);
    assert_true(parsed.flags & HTTP1_RESPONSE_BARE_LF);
    assert_int_equal(parse("HTTP/1.0 999\r\n\r\n", false), HTTP1_DONE);
    assert_int_equal(parsed.status, 999);
    assert_int_equal(parse("HTTP/1.7 200 \xc3\xa9\r\nA:\r\n\r\n", false), HTTP1_DONE);
    assert_int_equal(parsed.minor, 1);
}

static void the_body_ends_where_it_should(void **state)
{
    static const struct {
        const char *head;
        bool head_only;
        enum http1_framing framing;
        bool kept;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", false, HTTP1_UNTIL_CLOSE, false},
        {"HTTP/1.1 200 OK\r\n\r\n", true, HTTP1_NO_BODY, true},
        {"HTTP/1.1 204 No\r\n\r\n", false, HTTP1_NO_BODY, true},
        {"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", false, HTTP1_NO_BODY, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, HTTP1_NO_BODY, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", true, HTTP1_NO_BODY, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", false, HTTP1_CHUNKED, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: x, CLOSE\r\n\r\n", false,
         HTTP1_LENGTH, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", false, HTTP1_LENGTH, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n", false,
         HTTP1_LENGTH, true},
        {"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", false, HTTP1_NO_BODY, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].head, cases[i].head_only), HTTP1_DONE);
        assert_int_equal(parsed.framing, cases[i].framing);
        assert_int_equal((parsed.flags & HTTP1_RESPONSE_STAYS) != 0, cases[i].kept);
    }
    assert_true(parsed.flags & HTTP1_RESPONSE_UPGRADED);
}

static void bad_ones_are_refused(void **state)
{
    static const struct {
        const char *head;
        enum http1_reason why;
    } cases[] = {
        {"SSH-2.0-x\r\n", HTTP1_R_STATUS_LINE},
        {"H\r\n", HTTP1_R_STATUS_LINE},
        {"\r\n", HTTP1_R_STATUS_LINE},
        {"HTTP/2 200\r\n\r\n", HTTP1_R_STATUS_LINE},
        {"HTTP/1.1 20\r\n\r\n", HTTP1_R_STATUS_LINE},
        {"HTTP/1.1 2000 OK\r\n\r\n", HTTP1_R_STATUS_LINE},
        {"HTTP/1.1 099 OK\r\n\r\n", HTTP1_R_STATUS_LINE},
        {"HTTP/1.1 200 O\001\r\n\r\n", HTTP1_R_STATUS_LINE},
        {"HTTP/1.1 200 OK\r\n: x\r\n\r\n", HTTP1_R_NAME},
        {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", HTTP1_R_NAME},
        {"HTTP/1.1 200 OK\r\nA : x\r\n\r\n", HTTP1_R_NAME},
        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HTTP1_R_FOLDED},
        {"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", HTTP1_R_VALUE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
         HTTP1_R_LENGTH_REPEATED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", HTTP1_R_LENGTH},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", HTTP1_R_LENGTH},
        {"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", HTTP1_R_LENGTH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n", HTTP1_R_LENGTH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         HTTP1_R_LENGTH_AND_CODING},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
         HTTP1_R_LENGTH_AND_CODING},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP1_R_CODING_UNKNOWN},
        {"HTTP/1.1 200 OK\r\nA:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\nA:6\r\nA:7\r\nA:8\r\nA:9\r\n\r\n",
         HTTP1_R_HEADER_COUNT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].head, false), HTTP1_BAD);
        assert_int_equal(parsed.bad, cases[i].why);
    }
}

static void half_ones_want_more(void **state)
{
    static const char whole[] = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    (void)state;
    text = whole;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        http1_response_init(&parsed, headers, HEADERS, false);
        assert_int_equal(feed(len), HTTP1_MORE);
    }
}

static void every_known_name_is_known(void **state)
{
    static const struct {
        const char *name;
        uint8_t id;
    } all[] = {
#define RESPONSE_NAME(symbol, name, length, first, last) {name, HTTP1_RESPONSE_##symbol},
#include "engine/core/http1_response_names.def"
#undef RESPONSE_NAME
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        assert_int_equal(http1_response_name_of(all[i].name, strlen(all[i].name)), all[i].id);
    assert_int_equal(http1_response_name_of("dated", 5), HTTP1_RESPONSE_OTHER);
    assert_int_equal(http1_response_name_of("dote", 4), HTTP1_RESPONSE_OTHER);
}

static void a_body_until_the_close_never_ends(void **state)
{
    struct http1_body body;
    struct http1_piece piece;
    (void)state;
    http1_body_start(&body, HTTP1_UNTIL_CLOSE, 0);
    assert_int_equal(http1_body_feed(&body, "abc", 3, &piece), HTTP1_MORE);
    assert_int_equal(piece.len, 3);
    assert_false(http1_body_done(&body));
    assert_true(http1_body_left(&body) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_one),
        cmocka_unit_test(sloppy_ones_pass),
        cmocka_unit_test(the_body_ends_where_it_should),
        cmocka_unit_test(bad_ones_are_refused),
        cmocka_unit_test(half_ones_want_more),
        cmocka_unit_test(every_known_name_is_known),
        cmocka_unit_test(a_body_until_the_close_never_ends),
    };
    return cmocka_run_group_tests(tests, raise_wall, NULL);
}
