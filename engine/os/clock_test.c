/* The clocks move forward, agree with the kernel, and a delay is never negative. */
#include "engine/os/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static void monotonic_never_goes_back(void **state)
{
    (void)state;
    uint64_t before = clock_now_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_now_ns();
        assert_true(now >= before);
        before = now;
    }
}

static void each_clock_is_the_kernels(void **state)
{
    (void)state;
    struct timespec mono, wall;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &mono), 0);
    uint64_t now = clock_now_ns();
    assert_true(now >= (uint64_t)mono.tv_sec * NS_PER_S + (uint64_t)mono.tv_nsec);
    assert_true(now < (uint64_t)mono.tv_sec * NS_PER_S + 600 * NS_PER_S);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &wall), 0);
    uint64_t second = clock_wall_ns() / NS_PER_S;
    assert_true(second + 600 > (uint64_t)wall.tv_sec && second < (uint64_t)wall.tv_sec + 600);
}

static void delay_counts_from_now_and_stops_at_zero(void **state)
{
    (void)state;
    assert_true(clock_ev_delay(5 * NS_PER_S, 3 * NS_PER_S) == 2.0);
    assert_true(clock_ev_delay(1500 * NS_PER_MS, 0) == 1.5);
    assert_true(clock_ev_delay(3, 3) == 0.0);
    assert_true(clock_ev_delay(3, UINT64_MAX) == 0.0);
    assert_true(clock_ev_delay(UINT64_MAX, 0) > 1e9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_never_goes_back),
        cmocka_unit_test(each_clock_is_the_kernels),
        cmocka_unit_test(delay_counts_from_now_and_stops_at_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
