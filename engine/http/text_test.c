/* Small things made of text: ranges, dates, numbers, lists, pools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/http/date.h"
#include "engine/http/pool.h"
#include "engine/http/range.h"
#include "engine/os/clock.h"

static void ranges_are_read(void **state)
{
    static const struct {
        const char *header;
        enum range_verdict verdict;
        uint64_t offset, len;
    } cases[] = {
        {"bytes=0-0", RANGE_PART, 0, 1},
        {"bytes=0-99", RANGE_PART, 0, 100},
        {"bytes=10-19", RANGE_PART, 10, 10},
        {"bytes=90-1000", RANGE_PART, 90, 10},
        {"bytes=40-", RANGE_PART, 40, 60},
        {"bytes=-30", RANGE_PART, 70, 30},
        {"bytes=-1000", RANGE_PART, 0, 100},
        {"BYTES=1-2", RANGE_PART, 1, 2},
        {"bytes=100-", RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=5-4", RANGE_WHOLE, 0, 0},
        {"bytes=-", RANGE_WHOLE, 0, 0},
        {"bytes=", RANGE_WHOLE, 0, 0},
        {"bytes=a-b", RANGE_WHOLE, 0, 0},
        {"bytes=0-1,a", RANGE_WHOLE, 0, 0},
        {"bytes=100-,4-5,200-", RANGE_PART, 4, 2},
        {"bytes=0-60,40-99", RANGE_WHOLE, 0, 0},  /* more bytes than there are */
        {"bytes=0-1,2-3,4-5", RANGE_WHOLE, 0, 0}, /* more ranges than asked for */
        {"lines=0-1", RANGE_WHOLE, 0, 0},
        {"bytes=99999999999999999999-", RANGE_WHOLE, 0, 0},
        {"", RANGE_WHOLE, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct range ranges[2] = {{0, 0}, {0, 0}};
        size_t count;
        struct conf_str header = str_make(cases[i].header, strlen(cases[i].header));
        assert_int_equal(range_parse(header, 100, ranges, 2, &count), cases[i].verdict);
        if (cases[i].verdict != RANGE_PART)
            continue;
        assert_int_equal(count, 1);
        assert_int_equal(ranges[0].offset, cases[i].offset);
        assert_int_equal(ranges[0].len, cases[i].len);
    }
}

static void an_empty_document_has_no_ranges(void **state)
{
    struct range range;
    size_t count;
    (void)state;
    assert_int_equal(range_parse(STR("bytes=0-"), 0, &range, 1, &count), RANGE_UNSATISFIABLE);
    assert_int_equal(range_parse(STR("bytes=-5"), 0, &range, 1, &count), RANGE_UNSATISFIABLE);
}

static void http_dates_go_there_and_back(void **state)
{
    char text[DATE_HTTP_LEN + 1];
    uint64_t second;
    (void)state;
    date_format_http(784111777, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    for (uint64_t when = 0; when < 4000000000; when += 86399 * 37) {
        date_format_http(when, text);
        assert_true(date_parse_http(str_make(text, DATE_HTTP_LEN), &second));
        assert_int_equal(second, when);
    }
}

static void other_dates_are_not_dates(void **state)
{
    uint64_t second;
    (void)state;
    assert_false(date_parse_http(STR("Sunday, 06-Nov-94 08:49:37 GMT"), &second));
    assert_false(date_parse_http(STR("Sun, 06 Nix 1994 08:49:37 GMT"), &second));
    assert_false(date_parse_http(STR("Sun, 06 Nov 1994 08:49:37 CET"), &second));
    assert_false(date_parse_http(STR("Sun, 0x Nov 1994 08:49:37 GMT"), &second));
    assert_false(date_parse_http(STR("now"), &second));
}

static void a_second_is_formatted_once(void **state)
{
    struct date_cache cache = {.second = 0};
    (void)state;
    date_update(&cache, 784111777 * NS_PER_S);
    assert_string_equal(cache.line, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    assert_int_equal(strlen(cache.log), DATE_LOG_LEN);
    assert_int_equal(strlen(cache.iso8601), DATE_ISO_LEN);
    cache.line[0] = '!';
    date_update(&cache, 784111777 * NS_PER_S + NS_PER_S - 1);
    assert_int_equal(cache.line[0], '!');
    date_update(&cache, 784111778 * NS_PER_S);
    assert_string_equal(cache.line, "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
}

static void numbers_have_bounds(void **state)
{
    uint64_t value;
    char digits[20];
    (void)state;
    assert_true(str_to_u64(STR("18446744073709551615"), &value) && value == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &value));
    assert_false(str_to_u64(STR(""), &value));
    assert_false(str_to_u64(STR("-1"), &value));
    assert_false(str_to_u64(STR("1 "), &value));
    assert_int_equal(str_from_u64(digits, UINT64_MAX), 20);
    assert_memory_equal(digits, "18446744073709551615", 20);
    assert_int_equal(str_from_u64(digits, 0), 1);
}

static void lists_have_words(void **state)
{
    (void)state;
    assert_true(str_list_has(STR("a, mw-tunnel ,b"), STR("MW-Tunnel")));
    assert_false(str_list_has(STR("mw-tunnel2"), STR("mw-tunnel")));
    assert_false(str_list_has(STR(""), STR("mw-tunnel")));
}

static void a_pool_grows_and_gives_back(void **state)
{
    static struct pool pool;
    (void)state;
    pool_start(&pool);
    for (int i = 0; i < 100; i++) {
        char *taken = pool_take(&pool, 333);
        assert_non_null(taken);
        assert_int_equal((uintptr_t)taken % 16, 0);
        memset(taken, i, 333);
    }
    assert_non_null(pool_take(&pool, 100000));
    pool_reset(&pool);
    assert_null(pool.chunks);
}

static void a_builder_grows(void **state)
{
    static struct pool pool;
    struct builder builder;
    (void)state;
    pool_start(&pool);
    builder_start(&builder, &pool, 4);
    for (uint64_t i = 0; i < 2000; i++) {
        builder_add_u64(&builder, i % 10);
        builder_add(&builder, STR(","));
    }
    struct conf_str text = builder_end(&builder);
    assert_int_equal(text.len, 4000);
    assert_memory_equal(text.at + 3990, "5,6,7,8,9,", 11);
    pool_reset(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(an_empty_document_has_no_ranges),
        cmocka_unit_test(http_dates_go_there_and_back),
        cmocka_unit_test(other_dates_are_not_dates),
        cmocka_unit_test(a_second_is_formatted_once),
        cmocka_unit_test(numbers_have_bounds),
        cmocka_unit_test(lists_have_words),
        cmocka_unit_test(a_pool_grows_and_gives_back),
        cmocka_unit_test(a_builder_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
