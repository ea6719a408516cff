/* Bodies: what is data, where they end, what is refused; the cuts between reads do not matter and
 * not a byte is read past the end. */
#include "engine/core/http1.h"

#include <stdlib.h>
#include <string.h>

#include "engine/core/wall_fixture.h"

struct taken {
    enum http1_result result;
    size_t used, len;
    uint8_t reason;
    char data[WALL_ROOM];
};

/* One read's worth: all pieces of text[0..len), each fed from against the wall. */
static void take(struct http1_body *b, const char *text, size_t len, struct taken *t)
{
    size_t at = 0;
    do {
        struct http1_piece piece;
        char *buf = wall - (len - at);
        memcpy(buf, text + at, len - at);
        t->result = http1_body_feed(b, buf, len - at, &piece);
        assert_true(piece.used <= len - at && piece.len <= piece.used);
        memcpy(t->data + t->len, piece.data, piece.len);
        t->len += piece.len;
        at += piece.used;
    } while (t->result == HTTP1_MORE && at < len);
    t->used += at;
    t->reason = b->reason;
}

static struct http1_body body_of(enum http1_framing framing, uint64_t length)
{
    struct http1 p = {.framing = (uint8_t)framing, .content_length = length};
    struct http1_body b;
    http1_body_begin(&b, &p);
    return b;
}

static const struct taken *at_once(enum http1_framing framing, uint64_t length, const char *text)
{
    static struct taken t;
    memset(&t, 0, sizeof(t));
    struct http1_body b = body_of(framing, length);
    take(&b, text, strlen(text), &t);
    assert_int_equal(http1_body_done(&b), t.result == HTTP1_DONE);
    if (t.result == HTTP1_DONE)
        assert_int_equal(b.total, t.len);
    return &t;
}

static void nothing_is_done_at_once(void **state)
{
    (void)state;
    struct http1_body b = body_of(HTTP1_NO_BODY, 0);
    struct http1_piece piece;
    assert_true(http1_body_done(&b));
    assert_int_equal(http1_body_left(&b), 0);
    assert_int_equal(http1_body_feed(&b, "x", 1, &piece), HTTP1_DONE);
    assert_int_equal(piece.used, 0);
}

static void a_length_ends_the_body(void **state)
{
    (void)state;
    struct http1_body b = body_of(HTTP1_LENGTH, 5);
    struct http1_piece piece;
    assert_int_equal(http1_body_left(&b), 5);
    assert_int_equal(http1_body_feed(&b, "ab", 2, &piece), HTTP1_MORE);
    assert_int_equal(http1_body_left(&b), 3);
    assert_int_equal(http1_body_feed(&b, "cdeGET", 6, &piece), HTTP1_DONE);
    assert_int_equal(piece.used, 3);
    assert_int_equal(b.total, 5);
}

static const struct {
    const char *text, *data, *rest;
} good[] = {
    {"0\r\n\r\n", "", ""},
    {"5\r\nhello\r\n0\r\n\r\nGET", "hello", "GET"},
    {"00005\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!", ""},
    {"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", ""},
    {"1;a=b;c=\"d e\"\r\nx\r\n0 ;z\r\n\r\n", "x", ""},
    {"1\r\nx\r\n0\r\nTrailer: v\r\nOther:\r\n\r\n\r\n", "x", "\r\n"},
};

static void chunks_are_joined(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const struct taken *t = at_once(HTTP1_CHUNKED, 0, good[i].text);
        assert_int_equal(t->result, HTTP1_DONE);
        assert_int_equal(t->len, strlen(good[i].data));
        assert_memory_equal(t->data, good[i].data, t->len);
        assert_string_equal(good[i].text + t->used, good[i].rest);
    }
}

static const struct {
    const char *text;
    enum http1_reason reason;
} bad[] = {
    {"\r\n", HTTP1_R_CHUNK_SIZE},
    {"g\r\n", HTTP1_R_CHUNK_SIZE},
    {"-1\r\n", HTTP1_R_CHUNK_SIZE},
    {"0x1\r\n", HTTP1_R_CHUNK_SIZE},
    {" 1\r\n", HTTP1_R_CHUNK_SIZE},
    {"1 \r\n", HTTP1_R_CHUNK_SIZE},
    {"1 2\r\n", HTTP1_R_CHUNK_SIZE},
    {"1\nx", HTTP1_R_CHUNK_SIZE},
    {"8000000000000000\r\n", HTTP1_R_CHUNK_SIZE},
    {"00000000000000001\r\n", HTTP1_R_CHUNK_SIZE},
    {"1\rx", HTTP1_R_CHUNK_EXTENSION},
    {"1;a\nx", HTTP1_R_CHUNK_EXTENSION},
    {"1;a\x01\r\n", HTTP1_R_CHUNK_EXTENSION},
    {"1\r\nxy\r\n", HTTP1_R_CHUNK_END},
    {"1\r\nx\n0\r\n\r\n", HTTP1_R_CHUNK_END},
    {"1\r\nx\ry", HTTP1_R_CHUNK_END},
    {"0\r\n\n", HTTP1_R_TRAILER},
    {"0\r\n\rx", HTTP1_R_TRAILER},
    {"0\r\n a: b\r\n\r\n", HTTP1_R_TRAILER},
    {"0\r\na : b\r\n\r\n", HTTP1_R_TRAILER},
    {"0\r\na\r\n\r\n", HTTP1_R_TRAILER},
    {"0\r\na: b\n\r\n", HTTP1_R_TRAILER},
    {"0\r\na: b\rc", HTTP1_R_TRAILER},
};

static void bad_chunks_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct taken *t = at_once(HTTP1_CHUNKED, 0, bad[i].text);
        if (t->result != HTTP1_BAD || t->reason != bad[i].reason)
            fail_msg("%s: result %d reason %s, wanted %s", bad[i].text, t->result,
                     http1_reason(t->reason), http1_reason(bad[i].reason));
    }
}

/* Two reads, whole or byte by byte: the same data, the same end. */
static void check_cuts(const char *text)
{
    static struct taken parts;
    const struct taken *whole = at_once(HTTP1_CHUNKED, 0, text);
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len + 1; cut++) {
        memset(&parts, 0, sizeof(parts));
        struct http1_body b = body_of(HTTP1_CHUNKED, 0);
        size_t at = 0;
        while (at < len && (at == 0 || parts.result == HTTP1_MORE)) {
            size_t n = cut > len ? 1 : at == 0 && cut > 0 ? cut : len - at;
            take(&b, text + at, n, &parts);
            at += n;
        }
        assert_int_equal(parts.result, whole->result);
        assert_int_equal(parts.used, whole->used);
        assert_int_equal(parts.len, whole->len);
        assert_int_equal(parts.reason, whole->reason);
        assert_memory_equal(parts.data, whole->data, whole->len);
    }
}

static void cuts_do_not_matter(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        check_cuts(good[i].text);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_cuts(bad[i].text);
}

static void extensions_have_a_bound(void **state)
{
    (void)state;
    static char text[HTTP1_EXTRA_MAX + 8];
    memset(text, 'x', sizeof(text) - 1);
    text[0] = '1';
    text[1] = ';';
    const struct taken *t = at_once(HTTP1_CHUNKED, 0, text);
    assert_int_equal(t->result, HTTP1_BAD);
    assert_int_equal(t->reason, HTTP1_R_CHUNK_EXTRA);
    memcpy(text, "0\r\n", 3);
    t = at_once(HTTP1_CHUNKED, 0, text);
    assert_int_equal(t->reason, HTTP1_R_CHUNK_EXTRA);
}

static void chunk_heads_are_read_back(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 63; bit++)
        for (int more = -1; more <= 1; more++) {
            uint64_t len = (UINT64_C(1) << bit) + (uint64_t)(int64_t)more;
            if (len == 0)
                continue;
            char out[HTTP1_CHUNK_HEAD_MAX];
            size_t n = http1_chunk_head(out, len);
            assert_true(n <= sizeof(out) && out[0] != '0');
            struct http1_body b = body_of(HTTP1_CHUNKED, 0);
            struct http1_piece piece;
            assert_int_equal(http1_body_feed(&b, out, n, &piece), HTTP1_MORE);
            assert_int_equal(b.left, len);
        }
}

static void survives_random_bytes(void **state)
{
    (void)state;
    static const char spice[] = "0123fF\r\n\r\n;: x\0\xff";
    static struct taken t;
    uint64_t seed = 7;
    for (int round = 0; round < 50000; round++) {
        char text[24];
        for (size_t i = 0; i < sizeof(text); i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            text[i] = spice[(seed >> 33) % (sizeof(spice) - 1)];
        }
        struct http1_body b = body_of(HTTP1_CHUNKED, 0);
        t.len = t.used = 0;
        take(&b, text, sizeof(text), &t);
        assert_true(t.used <= sizeof(text) && t.len <= t.used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_done_at_once),   cmocka_unit_test(a_length_ends_the_body),
        cmocka_unit_test(chunks_are_joined),         cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(cuts_do_not_matter),        cmocka_unit_test(extensions_have_a_bound),
        cmocka_unit_test(chunk_heads_are_read_back), cmocka_unit_test(survives_random_bytes),
    };
    return cmocka_run_group_tests(tests, raise_wall, NULL);
}
