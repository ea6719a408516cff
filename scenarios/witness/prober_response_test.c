/* The parser of answers: whole, cut at every place, byte by byte, and malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "scenarios/witness/prober_response.h"

struct result {
    enum prober_event event; /* the last one */
    size_t used;
    char body[4096];
    size_t body_len;
    unsigned heads;
};

/* Feeds pieces that end at `cuts` (ascending) and at the end of the text. */
static void feed(struct prober_response *r, struct result *out, const char *text, size_t len)
{
    const char *at = text;
    size_t used;
    for (;;) {
        out->event = prober_response_step(r, at, len, &used);
        at += used;
        len -= used;
        out->used += used;
        if (out->event == RESPONSE_HEAD) {
            out->heads++;
        } else if (out->event == RESPONSE_BODY) {
            assert_true(out->body_len + r->body_len <= sizeof(out->body));
            memcpy(out->body + out->body_len, r->body, r->body_len);
            out->body_len += r->body_len;
        } else {
            return;
        }
    }
}

static const struct good {
    const char *text;
    const char *body;
    unsigned status;
    bool close, at_eof;
    size_t extra; /* bytes that belong to the next answer */
} goods[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12 7\n", "12 7\n", 200, false, false, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "", 200, true, false, 0},
    {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1", "", 204, false, false, 8},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", 304, false, false, 0},
    {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nabcd", "ab", 200, false, false, 2},
    {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab", "ab", 200, false, false, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", "ab", 200, true, false, 0},
    {"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nab", "ab", 200, false,
     false, 0},
    {"HTTP/1.1 200 OK\nContent-Length: 2\n\nab", "ab", 200, false, false, 0},
    {"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", 200, true, true, 0},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "ab", 200,
     false, false, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
     "chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
     "abc0123456789", 200, false, false, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: 1\r\n\r\nH", "a",
     200, false, false, 1},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw", "", 101,
     false, false, 3},
    {"HTTP/1.1 503 Busy\r\nConnection: keep-alive, Close\r\nContent-Length: 1\r\n\r\nx", "x", 503,
     true, false, 0},
};

static void check_good(const struct good *g, const struct prober_response *r,
                       const struct result *out)
{
    size_t len = strlen(g->text);
    assert_int_equal(out->event, g->at_eof ? RESPONSE_MORE : RESPONSE_DONE);
    assert_int_equal(prober_response_ends_at_eof(r), g->at_eof);
    assert_int_equal(out->heads, 1);
    assert_int_equal(r->status, g->status);
    assert_int_equal(r->close, g->close);
    assert_int_equal(out->body_len, strlen(g->body));
    assert_memory_equal(out->body, g->body, out->body_len);
    assert_int_equal(out->used, len - g->extra);
}

static void test_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
        const struct good *g = &goods[i];
        size_t len = strlen(g->text);
        for (size_t cut = 0; cut <= len; cut++) {
            struct prober_response r;
            struct result out = {0};
            prober_response_init(&r);
            feed(&r, &out, g->text, cut);
            if (out.event == RESPONSE_MORE)
                feed(&r, &out, g->text + cut, len - cut);
            check_good(g, &r, &out);
        }
    }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
        struct prober_response r;
        struct result out = {0};
        size_t len = strlen(goods[i].text);
        prober_response_init(&r);
        for (size_t at = 0; at < len && (at == 0 || out.event == RESPONSE_MORE); at++)
            feed(&r, &out, goods[i].text + at, 1);
        check_good(&goods[i], &r, &out);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bads[] = {
        "\r\n",
        "hello\r\n",
        "HTTP/2 200 OK\r\n",
        "HTTP/1.2 200 OK\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 099 Low\r\n",
        "HTTP/1.1 6x0 High\r\n",
        "HTTP/1.1  200 OK\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n",
        "HTTP/1.1 200 OK\r\n: empty name\r\n",
        "HTTP/1.1 200 OK\r\nName : spaced\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1111111111111111\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    };
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        size_t len = strlen(bads[i]);
        for (size_t cut = 0; cut < len; cut++) {
            struct prober_response r;
            struct result out = {0};
            prober_response_init(&r);
            feed(&r, &out, bads[i], cut);
            if (out.event == RESPONSE_MORE)
                feed(&r, &out, bads[i] + cut, len - cut);
            if (out.event != RESPONSE_BAD)
                print_error("taken for good: %s", bads[i]);
            assert_int_equal(out.event, RESPONSE_BAD);
            assert_non_null(r.fault);
        }
    }
}

static void test_endless_head(void **state)
{
    (void)state;
    struct prober_response r;
    struct result out = {0};
    static const char line[] = "X-Filler: yes\r\n";
    prober_response_init(&r);
    feed(&r, &out, "HTTP/1.1 200 OK\r\n", 17);
    for (int i = 0; i < PROBER_HEAD_MAX && out.event == RESPONSE_MORE; i++)
        feed(&r, &out, line, sizeof(line) - 1);
    assert_int_equal(out.event, RESPONSE_BAD);
    assert_true(out.used < PROBER_HEAD_MAX + 100);
}

static void test_own_headers(void **state)
{
    (void)state;
    static const char text[] =
        "HTTP/1.1 200 OK\r\nx-mw-gen: 42\r\nX-Mw-Pid: 4194304\r\nX-MW-SLOT: 0\r\n"
        "X-Mw-Nonce: 18446744073709551615\r\nX-Mw-Other: 9\r\n"
        "Content-Length: 0\r\n\r\n";
    struct prober_response r;
    struct result out = {0};
    prober_response_init(&r);
    feed(&r, &out, text, sizeof(text) - 1);
    assert_int_equal(out.event, RESPONSE_DONE);
    assert_int_equal(r.gen, 42);
    assert_int_equal(r.pid, 4194304);
    assert_int_equal(r.slot, 1);
    assert_true(r.has_nonce);
    assert_true(r.nonce == UINT64_MAX);
}

static void test_long_line_in_pieces(void **state)
{
    (void)state;
    char filler[3 * PROBER_LINE_MAX];
    struct prober_response r;
    struct result out = {0};
    memset(filler, 'f', sizeof(filler));
    prober_response_init(&r);
    feed(&r, &out, "HTTP/1.1 200 OK\r\nX-Long: ", 25);
    feed(&r, &out, filler, sizeof(filler));
    feed(&r, &out, "\r\nContent-Length: 1\r\n\r\nx", 24);
    assert_int_equal(out.event, RESPONSE_DONE);
    assert_int_equal(out.body_len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split), cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_malformed),   cmocka_unit_test(test_endless_head),
        cmocka_unit_test(test_own_headers), cmocka_unit_test(test_long_line_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
