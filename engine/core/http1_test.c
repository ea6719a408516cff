/* The request parser: what it takes, what it refuses and why; that the cuts between reads do not
 * matter; that not a byte is read past the end (the input stands against a protected page). */
#include "engine/core/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/http1_chars.h"
#include "engine/core/wall_fixture.h"

enum { HEADERS = 8, LINE = 256, HEAD = 512, ROOM = 4096 };
static const struct http1_limits LIMITS = {LINE, HEAD};

struct parse {
    struct http1 p;
    struct http1_header headers[HEADERS];
    enum http1_result result;
};

static void start(struct parse *r)
{
    memset(r, 0, sizeof(*r));
    http1_init(&r->p, &LIMITS, r->headers, HEADERS);
}

static void parse(struct parse *r, const char *text, size_t len)
{
    start(r);
    r->result = http1_feed(&r->p, against_wall(text, len), len);
}

static void assert_same(const struct parse *a, const struct parse *b)
{
    struct http1 p = a->p, q = b->p;
    p.headers = q.headers = NULL;
    assert_int_equal(a->result, b->result);
    assert_memory_equal(&p, &q, sizeof(p));
    assert_memory_equal(a->headers, b->headers, sizeof(a->headers));
}

/* However the bytes are cut, each beginning of the text has one verdict: fed byte by byte, in two
 * parts, or at once. A verdict once given stays. */
static void check_cuts(const char *text, size_t len)
{
    static struct parse whole[ROOM + 1], bytes, two;
    bool over = false;
    start(&bytes);
    for (size_t n = 0; n <= len; n++) {
        parse(&whole[n], text, n);
        bytes.result = http1_feed(&bytes.p, against_wall(text, n), n);
        assert_same(&whole[n], &bytes);
        if (over)
            assert_same(&whole[n], &whole[n - 1]);
        over = whole[n].result != HTTP1_MORE;
    }
    for (size_t cut = 0; cut <= len; cut++) {
        parse(&two, text, cut);
        two.result = http1_feed(&two.p, against_wall(text, len), len);
        assert_same(&whole[len], &two);
    }
}

static struct http1_span header_value(const struct http1 *p, enum http1_name name)
{
    const struct http1_header *header = http1_find(p, name);
    assert_non_null(header);
    return header->value;
}

static void assert_text(const char *text, struct http1_span span, const char *wanted)
{
    assert_int_equal(span.len, strlen(wanted));
    assert_memory_equal(text + span.at, wanted, span.len);
}

static void gives_all_of_a_request(void **state)
{
    (void)state;
    const char *text = "\r\nPOST /a/b?c=d&e HTTP/1.1\r\nHost: example.org:8080\r\n"
                       "X-Mw-Nonce:\t 7 \t\r\nExpect: 100-Continue\r\nCONTENT-length: 012\r\n"
                       "X_Odd: 1\r\nx!: \r\n\r\nbody";
    struct parse r;
    parse(&r, text, strlen(text));
    assert_int_equal(r.result, HTTP1_DONE);
    assert_string_equal(text + r.p.at, "body");
    assert_int_equal(r.p.begin, 2);
    assert_text(text, r.p.line, "POST /a/b?c=d&e HTTP/1.1");
    assert_text(text, r.p.method, "POST");
    assert_int_equal(r.p.method_id, HTTP1_POST);
    assert_text(text, r.p.target, "/a/b?c=d&e");
    assert_text(text, r.p.path, "/a/b");
    assert_text(text, r.p.query, "c=d&e");
    assert_text(text, r.p.host, "example.org");
    assert_int_equal(r.p.minor, 1);
    assert_int_equal(r.p.framing, HTTP1_LENGTH);
    assert_int_equal(r.p.content_length, 12);
    assert_int_equal(r.p.header_count, 6);
    assert_text(text, header_value(&r.p, HTTP1_NAME_X_MW_NONCE), "7");
    assert_true(r.p.flags & HTTP1_KEEP_ALIVE);
    assert_true(r.p.flags & HTTP1_EXPECT_CONTINUE);
    assert_null(http1_find(&r.p, HTTP1_NAME_RANGE));
    assert_ptr_equal(http1_find_text(&r.p, text, "x_odd", 5), &r.headers[4]);
    assert_null(http1_find_text(&r.p, text, "x_od", 4));
    assert_true(r.headers[4].odd && r.headers[4].underscore);
    assert_true(r.headers[5].odd && !r.headers[5].underscore);
    assert_false(r.headers[0].odd);
    check_cuts(text, strlen(text));
}

/* A request and what is made of it: "" where it is taken. H: a Host header and the end. */
#define H "Host: h\r\n\r\n"
#define LONG_40 "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd"
#define LONG_240 LONG_40 LONG_40 LONG_40 LONG_40 LONG_40 LONG_40
static const struct {
    const char *text;
    enum http1_reason reason;
} corpus[] = {
    {"GET / HTTP/1.1\r\n" H, HTTP1_R_FINE},
    {"GET / HTTP/1.0\r\n\r\n", HTTP1_R_FINE},
    {"GET / HTTP/1.7\r\n" H, HTTP1_R_FINE},
    {"PURGE / HTTP/1.1\r\n" H, HTTP1_R_FINE},
    {"\r\n\r\nGET / HTTP/1.1\r\n" H, HTTP1_R_FINE},
    {"GET http://h/p HTTP/1.1\r\n" H, HTTP1_R_FINE},
    {"GET HTTPS://h?q HTTP/1.1\r\n" H, HTTP1_R_FINE},
    {"CONNECT h:443 HTTP/1.1\r\n" H, HTTP1_R_FINE},
    {"OPTIONS * HTTP/1.1\r\n" H, HTTP1_R_FINE},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", HTTP1_R_FINE},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP1_R_FINE},
    {"GET /\xc3\xa9 HTTP/1.1\r\nA: \xc3\xa9\tx y z 12345678\r\n" H, HTTP1_R_FINE},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n" H, HTTP1_R_FINE},
    {"GET /" LONG_240 " HTTP/1.1\r\n" H, HTTP1_R_FINE}, /* LINE bytes */
    /* request lines */
    {" GET / HTTP/1.1\r\n" H, HTTP1_R_METHOD},
    {"\x16\x03\x01\x02", HTTP1_R_METHOD},
    {"\r\n\x16\x03\x01\x02", HTTP1_R_METHOD},
    {"\rGET / HTTP/1.1\r\n" H, HTTP1_R_METHOD},
    {"G(T / HTTP/1.1\r\n" H, HTTP1_R_METHOD},
    {"GET\t/ HTTP/1.1\r\n" H, HTTP1_R_METHOD},
    {"GET\r\n" H, HTTP1_R_METHOD},
    {LONG_40 " / HTTP/1.1\r\n" H, HTTP1_R_METHOD_LONG},
    {"GET  / HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET x HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET * HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET /a#b HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET /a\tb HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET /a\x7f HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET http:///p HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET http://u@h/ HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET ftp://h/ HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"CONNECT / HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"CONNECT h HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"CONNECT h: HTTP/1.1\r\n" H, HTTP1_R_TARGET},
    {"GET /\r\n", HTTP1_R_VERSION},
    {"GET / \r\n", HTTP1_R_VERSION},
    {"GET / HTTP/1.1 \r\n" H, HTTP1_R_VERSION},
    {"GET /  HTTP/1.1\r\n" H, HTTP1_R_VERSION},
    {"GET / HTTP/1.10\r\n" H, HTTP1_R_VERSION},
    {"GET / http/1.1\r\n" H, HTTP1_R_VERSION},
    {"GET / HTTP/1,1\r\n" H, HTTP1_R_VERSION},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP1_R_VERSION_UNKNOWN},
    {"GET / HTTP/0.9\r\n" H, HTTP1_R_VERSION_UNKNOWN},
    {"GET /" LONG_240 LONG_40, HTTP1_R_LINE_LONG},
    {"GET /x" LONG_240 " HTTP/1.1\r\n", HTTP1_R_LINE_LONG},
    {"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" H, HTTP1_R_BLANK_LINES},
    /* lines */
    {"GET / HTTP/1.1\n" H, HTTP1_R_BARE_LF},
    {"\nGET / HTTP/1.1\r\n" H, HTTP1_R_BARE_LF},
    {"GET / HTTP/1.1\r\nHost: h\n\r\n", HTTP1_R_BARE_LF},
    {"GET / HTTP/1.1\r\nHost: h\r\n\n", HTTP1_R_BARE_LF},
    {"GET / HTTP/1.1\r\nA: b\r\n c\r\n" H, HTTP1_R_FOLDED},
    {"GET / HTTP/1.1\r\n\tA: b\r\n" H, HTTP1_R_FOLDED},
    /* names and values */
    {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", HTTP1_R_NAME},
    {"GET / HTTP/1.1\r\n: h\r\n" H, HTTP1_R_NAME},
    {"GET / HTTP/1.1\r\nNo colon\r\n" H, HTTP1_R_NAME},
    {"GET / HTTP/1.1\r\nNocolon\r\n" H, HTTP1_R_NAME},
    {"GET / HTTP/1.1\r\nN\xc3\xa9: h\r\n" H, HTTP1_R_NAME},
    {"GET / HTTP/1.1\r\nTransfer-Encoding\x0b: chunked\r\n" H, HTTP1_R_NAME},
    {"GET / HTTP/1.1\r\nA: b\rc\r\n" H, HTTP1_R_VALUE},
    {"GET / HTTP/1.1\r\nA: 1234567890\x7f\r\n" H, HTTP1_R_VALUE},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: \x0b"
     "chunked\r\n" H,
     HTTP1_R_VALUE},
    {"POST / HTTP/1.1\r\nContent-Length: 5\r\r\n" H, HTTP1_R_VALUE},
    /* limits */
    {"GET / HTTP/1.1\r\nA: " LONG_240 LONG_40, HTTP1_R_HEADER_LONG},
    {"GET / HTTP/1.1\r\nA: " LONG_240 "\r\nB: " LONG_240 "\r\n" H, HTTP1_R_HEAD_LONG},
    {"GET / HTTP/1.1\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n" H, HTTP1_R_HEADER_COUNT},
    /* hosts */
    {"GET / HTTP/1.1\r\n\r\n", HTTP1_R_HOST_MISSING},
    {"GET http://h/ HTTP/1.1\r\n\r\n", HTTP1_R_HOST_MISSING},
    {"GET / HTTP/1.1\r\nHost: h\r\n" H, HTTP1_R_HOST_REPEATED},
    {"GET / HTTP/1.0\r\nHost: h\r\nhOST: i\r\n\r\n", HTTP1_R_HOST_REPEATED},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HTTP1_R_HOST},
    {"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", HTTP1_R_HOST},
    {"GET / HTTP/1.1\r\nHost: h:8o\r\n\r\n", HTTP1_R_HOST},
    {"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", HTTP1_R_HOST},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HTTP1_R_HOST},
    {"GET / HTTP/1.1\r\nHost: []\r\n\r\n", HTTP1_R_HOST},
    {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", HTTP1_R_HOST},
    /* framing */
    {"POST / HTTP/1.1\r\nContent-Length: +5\r\n" H, HTTP1_R_LENGTH},
    {"POST / HTTP/1.1\r\nContent-Length: -5\r\n" H, HTTP1_R_LENGTH},
    {"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n" H, HTTP1_R_LENGTH},
    {"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n" H, HTTP1_R_LENGTH},
    {"POST / HTTP/1.1\r\nContent-Length:\r\n" H, HTTP1_R_LENGTH},
    {"POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n" H, HTTP1_R_LENGTH},
    {"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n" H, HTTP1_R_LENGTH_REPEATED},
    {"POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n" H, HTTP1_R_LENGTH_REPEATED},
    {"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" H,
     HTTP1_R_LENGTH_AND_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n" H,
     HTTP1_R_LENGTH_AND_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" H,
     HTTP1_R_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n" H, HTTP1_R_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n" H, HTTP1_R_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n" H, HTTP1_R_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n" H, HTTP1_R_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked;x\r\n" H, HTTP1_R_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n" H, HTTP1_R_CODING},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" H, HTTP1_R_CODING},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" H, HTTP1_R_CODING_UNKNOWN},
};

static void takes_and_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(corpus) / sizeof(corpus[0]); i++) {
        struct parse r;
        parse(&r, corpus[i].text, strlen(corpus[i].text));
        enum http1_result wanted = corpus[i].reason == HTTP1_R_FINE ? HTTP1_DONE : HTTP1_BAD;
        if (r.result != wanted || r.p.reason != corpus[i].reason)
            fail_msg("%s\nresult %d, reason %s, wanted %s", corpus[i].text, r.result,
                     http1_reason(r.p.reason), http1_reason(corpus[i].reason));
    }
}

static void refuses_a_nul_anywhere(void **state)
{
    (void)state;
    const char text[] = "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n";
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        char copy[sizeof(text)];
        memcpy(copy, text, sizeof(text));
        copy[at] = '\0';
        struct parse r;
        parse(&r, copy, sizeof(text) - 1);
        assert_int_not_equal(r.result, HTTP1_DONE);
    }
}

static void cuts_do_not_matter(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(corpus) / sizeof(corpus[0]); i++)
        check_cuts(corpus[i].text, strlen(corpus[i].text));
}

static uint64_t seed = 42;
static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % below;
}

/* Requests with a few bytes changed, and noise: some verdict, the same for every cut. */
static void survives_random_bytes(void **state)
{
    (void)state;
    static const char spice[] = "\r\n\r\n \t:,;\0/?%[]@-09azAZ\x7f\x80\xff";
    for (int round = 0; round < 20000; round++) {
        char text[256];
        const char *from = corpus[draw(sizeof(corpus) / sizeof(corpus[0]))].text;
        size_t len = strlen(from) < sizeof(text) ? strlen(from) : sizeof(text);
        memcpy(text, from, len);
        for (uint32_t changes = draw(5); changes > 0; changes--)
            text[draw((uint32_t)len)] = draw(2) ? spice[draw(sizeof(spice) - 1)] : (char)draw(256);
        struct parse whole, bytes;
        parse(&whole, text, len);
        start(&bytes);
        for (size_t n = 0; n <= len; n += 1 + draw(9))
            http1_feed(&bytes.p, against_wall(text, n), n);
        bytes.result = http1_feed(&bytes.p, against_wall(text, len), len);
        assert_same(&whole, &bytes);
    }
}

static unsigned flags_of(const char *version, const char *headers)
{
    char text[256];
    int len = snprintf(text, sizeof(text), "GET / HTTP/%s\r\nHost: h\r\n%s\r\n", version, headers);
    struct parse r;
    parse(&r, text, (size_t)len);
    assert_int_equal(r.result, HTTP1_DONE);
    return r.p.flags;
}

static void knows_what_the_client_wants(void **state)
{
    (void)state;
    assert_true(flags_of("1.1", "") & HTTP1_KEEP_ALIVE);
    assert_false(flags_of("1.0", "") & HTTP1_KEEP_ALIVE);
    assert_true(flags_of("1.0", "Connection: Keep-Alive\r\n") & HTTP1_KEEP_ALIVE);
    assert_false(flags_of("1.1", "Connection: x , CLOSE\r\n") & HTTP1_KEEP_ALIVE);
    assert_false(flags_of("1.1", "Connection: x\r\nConnection: ,close\r\n") & HTTP1_KEEP_ALIVE);
    assert_false(flags_of("1.0", "Connection: close, keep-alive\r\n") & HTTP1_KEEP_ALIVE);
    assert_true(flags_of("1.1", "Connection: closed\r\n") & HTTP1_KEEP_ALIVE);
    const char *upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: mw-tunnel\r\n";
    assert_true(flags_of("1.1", upgrade) & HTTP1_UPGRADE_ASKED);
    assert_false(flags_of("1.0", upgrade) & HTTP1_UPGRADE_ASKED);
    assert_false(flags_of("1.1", "Upgrade: x\r\n") & HTTP1_UPGRADE_ASKED);
    assert_false(flags_of("1.1", "Connection: upgrade\r\n") & HTTP1_UPGRADE_ASKED);
    const char *expect = "Expect: 100-continue\r\nContent-Length: 1\r\n";
    assert_true(flags_of("1.1", expect) & HTTP1_EXPECT_CONTINUE);
    assert_false(flags_of("1.0", expect) & HTTP1_EXPECT_CONTINUE);
    assert_false(flags_of("1.1", "Expect: 100-continue\r\n") & HTTP1_EXPECT_CONTINUE);
    assert_true(flags_of("1.1", "Expect: tea\r\n") & HTTP1_EXPECT_OTHER);
}

static void splits_targets(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path, *query, *host;
        enum http1_form form;
        unsigned flags;
    } cases[] = {
        {"GET /?? HTTP/1.1\r\n" H, "/", "?", "h", HTTP1_ORIGIN, 0},
        {"GET /a?b/../%20 HTTP/1.1\r\n" H, "/a", "b/../%20", "h", HTTP1_ORIGIN, 0},
        {"GET /a%20 HTTP/1.1\r\n" H, "/a%20", "", "h", HTTP1_ORIGIN, HTTP1_HAS_ESCAPE},
        {"GET /a/../b HTTP/1.1\r\n" H, "/a/../b", "", "h", HTTP1_ORIGIN, HTTP1_HAS_DOTS},
        {"GET //b HTTP/1.1\r\n" H, "//b", "", "h", HTTP1_ORIGIN, HTTP1_HAS_DOTS},
        {"GET http://X:1/p?q HTTP/1.1\r\n" H, "/p", "q", "X", HTTP1_ABSOLUTE, 0},
        {"GET http://x HTTP/1.1\r\n" H, "", "", "x", HTTP1_ABSOLUTE, 0},
        {"OPTIONS * HTTP/1.1\r\n" H, "*", "", "h", HTTP1_ASTERISK, 0},
        {"CONNECT [::1]:4 HTTP/1.1\r\n" H, "", "", "[::1]", HTTP1_AUTHORITY, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parse r;
        parse(&r, cases[i].text, strlen(cases[i].text));
        assert_int_equal(r.result, HTTP1_DONE);
        assert_text(cases[i].text, r.p.path, cases[i].path);
        assert_text(cases[i].text, r.p.query, cases[i].query);
        assert_text(cases[i].text, r.p.host, cases[i].host);
        assert_int_equal(r.p.form, cases[i].form);
        assert_int_equal(r.p.flags & (HTTP1_HAS_ESCAPE | HTTP1_HAS_DOTS), cases[i].flags);
    }
}

static void knows_every_name(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
#define N(symbol, text, length, first, last) text,
                                        HTTP1_NAMES(N)
#undef N
    };
    for (unsigned i = 1; i < HTTP1_NAME_COUNT; i++) {
        char upper[32];
        size_t len = strlen(texts[i]);
        for (size_t k = 0; k < len; k++)
            upper[k] = (char)(texts[i][k] >= 'a' ? texts[i][k] - 32 : texts[i][k]);
        assert_int_equal(http1_name_of(texts[i], len), i);
        assert_int_equal(http1_name_of(upper, len), i);
        upper[len / 2] = '!';
        assert_int_equal(http1_name_of(upper, len), HTTP1_NAME_OTHER);
    }
}

static bool among(int c, const char *set)
{
    return c != 0 && c < 128 && strchr(set, c) != NULL;
}

/* The table against the grammar of RFC 9110 and RFC 3986. */
static void classes_follow_the_rules(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z' && c < 128);
        bool hex = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f' && c < 128);
        unsigned wanted = 0;
        wanted |= alnum || among(c, "!#$%&'*+-.^_`|~") ? HTTP1_C_TOKEN : 0;
        wanted |= alnum || c == '-' ? HTTP1_C_PLAIN : 0;
        wanted |= c > 32 && c != 127 && c != '#' ? HTTP1_C_TARGET : 0;
        wanted |= (c >= 32 && c != 127) || c == '\t' ? HTTP1_C_VALUE : 0;
        wanted |= alnum || among(c, "-._~%!$&'()*+,;=") ? HTTP1_C_HOST : 0;
        wanted |= among(c, "/?%") ? HTTP1_C_MARK : 0;
        wanted |= hex ? HTTP1_C_HEX : 0;
        assert_int_equal(http1_classes[c], wanted);
    }
}

static void sees_a_dirty_byte_anywhere(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++)
        for (size_t at = 0; at < 19; at++) {
            char text[19];
            memset(text, at % 2 ? 'x' : '\xff', sizeof(text));
            text[at] = (char)c;
            bool clean = http1_value_is_clean(against_wall(text, sizeof(text)), sizeof(text));
            assert_int_equal(clean, http1_is((char)c, HTTP1_C_VALUE));
        }
}

static void every_reason_has_a_status(void **state)
{
    (void)state;
    for (unsigned i = 1; i < HTTP1_REASON_COUNT; i++) {
        unsigned status = http1_status(i);
        assert_true(status == 400 || status == 414 || status == 431 || status == 501 ||
                    status == 505 || (i == HTTP1_R_STATUS_LINE && status == 502));
        assert_true(http1_reason(i)[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_all_of_a_request),
        cmocka_unit_test(takes_and_refuses),
        cmocka_unit_test(refuses_a_nul_anywhere),
        cmocka_unit_test(cuts_do_not_matter),
        cmocka_unit_test(survives_random_bytes),
        cmocka_unit_test(knows_what_the_client_wants),
        cmocka_unit_test(splits_targets),
        cmocka_unit_test(knows_every_name),
        cmocka_unit_test(classes_follow_the_rules),
        cmocka_unit_test(sees_a_dirty_byte_anywhere),
        cmocka_unit_test(every_reason_has_a_status),
    };
    return cmocka_run_group_tests(tests, raise_wall, NULL);
}
