/* Bodies, right and wrong, fed whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scenarios/history/pattern.h"
#include "scenarios/witness/prober_check.h"

static enum prober_verdict verdict_of(enum prober_check_kind kind, const char *body, size_t len,
                                      size_t piece, bool at_eof, uint32_t *label)
{
    struct prober_check c;
    prober_check_begin(&c, kind, 12);
    c.uploaded = 5;
    for (size_t at = 0; at < len; at += piece)
        prober_check_feed(&c, body + at, len - at < piece ? len - at : piece);
    return prober_check_end(&c, at_eof, label);
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        enum prober_check_kind kind;
        const char *body;
        enum prober_verdict verdict, at_eof;
        uint32_t label;
    } cases[] = {
        {CHECK_ECHO, "12 7\n", BODY_RIGHT, BODY_RIGHT, 7},
        {CHECK_ECHO, "12 7 1 4711 3\n", BODY_RIGHT, BODY_RIGHT, 7},
        {CHECK_ECHO, "12\n", BODY_RIGHT, BODY_RIGHT, 0},
        {CHECK_ECHO, "12", BODY_RIGHT, BODY_CUT, 0},
        {CHECK_ECHO, "12 7", BODY_RIGHT, BODY_CUT, 7},
        {CHECK_ECHO, "12 blue\n", BODY_RIGHT, BODY_RIGHT, 0},
        {CHECK_ECHO, "123 7\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_ECHO, "1 7\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_ECHO, "12x7\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_ECHO, " 12 7\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_ECHO, "not found\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_ECHO, "", BODY_WRONG, BODY_CUT, 0},
        {CHECK_UPLOAD, "12 5 ok\n", BODY_RIGHT, BODY_RIGHT, 0},
        {CHECK_UPLOAD, "12 4 ok\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_UPLOAD, "12 5 bad\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_UPLOAD, "12 7\n", BODY_RIGHT, BODY_RIGHT, 7},
        {CHECK_STREAM, "data: 12 0\n\ndata: 12 1\n\n", BODY_RIGHT, BODY_RIGHT, 0},
        {CHECK_STREAM, ": hello\r\n\r\ndata: 12 1\r\n\r\ndata: 12 2\r\n\r\n", BODY_RIGHT,
         BODY_RIGHT, 0},
        {CHECK_STREAM, "data: 12 0\n\ndata: 12 2\n\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_STREAM, "data: 12 0\n\ndata: 12 0\n\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_STREAM, "data: 12 5\n\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_STREAM, "data: 13 0\n\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_STREAM, "data: 12 0\n\ndata: 1", BODY_CUT, BODY_CUT, 0},
        {CHECK_STREAM, "", BODY_CUT, BODY_CUT, 0},
        {CHECK_STREAM, "event: x\n\n", BODY_WRONG, BODY_WRONG, 0},
        {CHECK_FRAMING, "anything", BODY_RIGHT, BODY_RIGHT, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t piece = 1; piece <= 64; piece += 63)
            for (int at_eof = 0; at_eof < 2; at_eof++) {
                uint32_t label = 99;
                enum prober_verdict got =
                    verdict_of(cases[i].kind, cases[i].body, strlen(cases[i].body), piece,
                               at_eof == 1, &label);
                if (got != (at_eof ? cases[i].at_eof : cases[i].verdict))
                    print_error("'%s' at_eof=%d gave %d\n", cases[i].body, at_eof, (int)got);
                assert_int_equal(got, at_eof ? cases[i].at_eof : cases[i].verdict);
                if (got == BODY_RIGHT)
                    assert_int_equal(label, cases[i].label);
            }
}

/* One wrong byte anywhere, a piece missing or repeated: all are seen. */
static void test_pattern(void **state)
{
    (void)state;
    enum { LEN = 50000 };
    static const size_t pieces[] = {1, 7919, 16384, 16385, LEN};
    unsigned char *body = malloc(LEN);
    assert_non_null(body);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        uint32_t label;
        pattern_fill(body, LEN, 0);
        assert_int_equal(verdict_of(CHECK_PATTERN, (char *)body, LEN, pieces[i], false, &label),
                         BODY_RIGHT);
        for (size_t at = 0; at < LEN; at += 4999) {
            body[at] ^= 1;
            assert_int_equal(verdict_of(CHECK_PATTERN, (char *)body, LEN, pieces[i], false, &label),
                             BODY_WRONG);
            body[at] ^= 1;
        }
        pattern_fill(body + 30000, LEN - 30000, 30001);
        assert_int_equal(verdict_of(CHECK_PATTERN, (char *)body, LEN, pieces[i], false, &label),
                         BODY_WRONG);
    }
    free(body);
}

static void test_pattern_length(void **state)
{
    (void)state;
    struct prober_check c;
    uint32_t label;
    char body[100];
    pattern_fill((unsigned char *)body, sizeof(body), 0);
    for (uint64_t expected = 99; expected <= 101; expected++) {
        prober_check_begin(&c, CHECK_PATTERN, 12);
        c.expected = expected;
        prober_check_feed(&c, body, sizeof(body));
        assert_int_equal(prober_check_end(&c, false, &label),
                         expected == 100 ? BODY_RIGHT : BODY_WRONG);
        assert_int_equal(prober_check_end(&c, true, &label), expected == 100   ? BODY_RIGHT
                                                             : expected == 101 ? BODY_CUT
                                                                               : BODY_WRONG);
    }
}

/* What is sent as a request's body is the pattern that servers check. */
static void test_pattern_span(void **state)
{
    (void)state;
    for (uint64_t offset = 0; offset < 30000; offset += 977) {
        size_t len = 20000;
        const char *span = pattern_span(offset, &len);
        assert_int_equal(len, PATTERN_SPAN_MAX);
        for (size_t i = 0; i < len; i++)
            assert_int_equal((unsigned char)span[i], pattern_byte(offset + i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_pattern),
        cmocka_unit_test(test_pattern_length),
        cmocka_unit_test(test_pattern_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
