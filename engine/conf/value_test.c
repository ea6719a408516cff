/* Numbers, sizes, times and flags: what is taken, and that nothing half right is. */
#include "engine/conf/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/os/clock.h"

#define NONE UINT64_MAX

static uint64_t read_with(bool (*read)(struct conf_str, uint64_t *), const char *text)
{
    uint64_t value = NONE;
    struct conf_str str = {text, strlen(text)};
    if (!read(str, &value))
        assert_true(value == NONE);
    return value;
}

static void numbers(void **state)
{
    (void)state;
    assert_true(read_with(value_number, "0") == 0);
    assert_true(read_with(value_number, "00512") == 512);
    assert_true(read_with(value_number, "9223372036854775807") == INT64_MAX);
    const char *const bad[] = {"",
                               "-1",
                               "+1",
                               "1 ",
                               " 1",
                               "1k",
                               "0x10",
                               "1.5",
                               "9223372036854775808",
                               "18446744073709551616",
                               "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(read_with(value_number, bad[i]) == NONE);
}

static void sizes(void **state)
{
    (void)state;
    assert_true(read_with(value_size, "0") == 0);
    assert_true(read_with(value_size, "10") == 10);
    assert_true(read_with(value_size, "8k") == 8192);
    assert_true(read_with(value_size, "8K") == 8192);
    assert_true(read_with(value_size, "1m") == 1 << 20);
    assert_true(read_with(value_size, "3M") == 3 << 20);
    assert_true(read_with(value_size, "2g") == UINT64_C(2) << 30);
    assert_true(read_with(value_size, "2G") == UINT64_C(2) << 30);
    const char *const bad[] = {
        "", "k", "1kb", "1 k", "1t", "-1k", "18446744073709551615k", "9007199254740992k"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(read_with(value_size, bad[i]) == NONE);
}

static void times(void **state)
{
    (void)state;
    assert_true(read_with(value_time, "0") == 0);
    assert_true(read_with(value_time, "75") == 75 * NS_PER_S);
    assert_true(read_with(value_time, "75s") == 75 * NS_PER_S);
    assert_true(read_with(value_time, "500ms") == 500 * NS_PER_MS);
    assert_true(read_with(value_time, "1h30m") == 5400 * NS_PER_S);
    assert_true(read_with(value_time, "1h 30m 5") == 5405 * NS_PER_S);
    assert_true(read_with(value_time, "1d") == 86400 * NS_PER_S);
    assert_true(read_with(value_time, "2w") == 14 * 86400 * NS_PER_S);
    assert_true(read_with(value_time, "1M") == 30 * 86400 * NS_PER_S);
    assert_true(read_with(value_time, "1y") == 365 * 86400 * NS_PER_S);
    assert_true(read_with(value_time, "1s1ms") == NS_PER_S + NS_PER_MS);
    const char *const bad[] = {"",     "s",    "-1s",   "1x",   "30m1h",
                               "1h1h", "5 1s", "1ss",   "1 s",  "1.5s",
                               "1msx", "ms",   "1s ms", "300y", "99999999999999999999s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(read_with(value_time, bad[i]) == NONE);
}

static void flags(void **state)
{
    (void)state;
    bool flag = false;
    assert_true(value_flag((struct conf_str){"on", 2}, &flag) && flag);
    assert_true(value_flag((struct conf_str){"OFF", 3}, &flag) && !flag);
    assert_false(value_flag((struct conf_str){"yes", 3}, &flag));
    assert_false(value_flag((struct conf_str){"", 0}, &flag));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(sizes),
        cmocka_unit_test(times),
        cmocka_unit_test(flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
