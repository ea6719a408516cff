/* The balancers: nginx's sequences, health, and that no method ever names a server it must not. */
#include "engine/core/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SERVERS = 8 };
#define S_NS UINT64_C(1000000000)

static struct balance_server servers[SERVERS];
static struct balance_state states[SERVERS];
static struct balance_group group;
static struct balance_choice choice;
static struct balance_point points[SERVERS * 10 * BALANCE_POINTS_PER_WEIGHT];
static uint64_t stream;
static uint64_t now_ns;

/* One server for each letter of `names`; its weight is the digit behind it. */
static void make(enum balance_method method, const char *weights)
{
    static const char *const names[SERVERS] = {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3",
                                               "127.0.0.1:4", "127.0.0.1:5", "127.0.0.1:6",
                                               "127.0.0.1:7", "127.0.0.1:8"};
    uint32_t count = (uint32_t)strlen(weights);
    for (uint32_t i = 0; i < count; i++)
        servers[i] = (struct balance_server){.weight = (uint32_t)(weights[i] - '0'),
                                             .max_fails = 1,
                                             .fail_timeout_ns = 10 * S_NS,
                                             .name = names[i],
                                             .name_len = strlen(names[i])};
    stream = 88172645463325252u;
    now_ns = 1000 * S_NS;
    group = (struct balance_group){.servers = servers,
                                   .states = states,
                                   .count = count,
                                   .primaries = count,
                                   .random = &stream,
                                   .method = (uint8_t)method,
                                   .points = points};
    balance_init(&group);
}

static int compare_points(const void *a, const void *b)
{
    const struct balance_point *left = a, *right = b;
    return left->hash < right->hash ? -1 : left->hash > right->hash;
}

static void make_circle(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < group.primaries; i++) {
        balance_points(&servers[i], i, points + count);
        count += servers[i].weight * BALANCE_POINTS_PER_WEIGHT;
    }
    qsort(points, count, sizeof points[0], compare_points);
    group.point_count = balance_points_unique(points, count);
}

static int pick_keyed(const char *key)
{
    balance_begin(&choice, key, strlen(key));
    return balance_pick(&group, &choice, now_ns);
}

static int pick(void)
{
    return pick_keyed("");
}

static void finish(int server, enum balance_outcome outcome)
{
    balance_release(&group, server, outcome, now_ns);
}

/* The next picks, each served at once, as letters. */
static void expect_sequence(const char *expected)
{
    for (size_t i = 0; i < strlen(expected); i++) {
        int server = pick();
        assert_int_equal(server, expected[i] - 'a');
        finish(server, BALANCE_SERVED);
    }
}

static void round_robin_is_smooth(void **state)
{
    (void)state;
    make(BALANCE_ROUND_ROBIN, "511");
    expect_sequence("aabacaaaabacaa");
    make(BALANCE_ROUND_ROBIN, "21");
    expect_sequence("abaaba");
}

static void a_try_is_never_repeated(void **state)
{
    (void)state;
    make(BALANCE_ROUND_ROBIN, "311");
    balance_begin(&choice, "", 0);
    unsigned seen = 0;
    for (int i = 0; i < 3; i++)
        seen |= 1u << balance_pick(&group, &choice, now_ns);
    assert_int_equal(seen, 7);
    assert_int_equal(balance_pick(&group, &choice, now_ns), BALANCE_NONE);
}

static void a_failed_server_is_left_out_and_tried_again(void **state)
{
    (void)state;
    make(BALANCE_ROUND_ROBIN, "11");
    assert_int_equal(pick(), 0);
    assert_true(balance_release(&group, 0, BALANCE_FAILED, now_ns));
    expect_sequence("bbbb");
    now_ns += 10 * S_NS;
    expect_sequence("bb");
    now_ns += 1;
    /* One request at a time finds out: the next one does not follow it. */
    int probe = pick();
    while (probe != 0) {
        finish(probe, BALANCE_SERVED);
        probe = pick();
    }
    assert_int_equal(pick(), 1);
    now_ns += 1;
    finish(0, BALANCE_SERVED);
    assert_int_equal(states[0].fails, 0);
}

static void failures_below_the_bound_take_weight_only(void **state)
{
    (void)state;
    make(BALANCE_ROUND_ROBIN, "41");
    servers[0].max_fails = 2;
    assert_int_equal(pick(), 0);
    assert_false(balance_release(&group, 0, BALANCE_FAILED, now_ns));
    assert_int_equal(states[0].effective, 2);
    for (int i = 0; i < 3; i++)
        finish(pick(), BALANCE_SERVED);
    assert_int_equal(states[0].effective, 4);
}

static void a_single_server_is_never_left_out(void **state)
{
    (void)state;
    make(BALANCE_ROUND_ROBIN, "1");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pick(), 0);
        finish(0, BALANCE_FAILED);
    }
}

static void max_conns_and_down_hold(void **state)
{
    (void)state;
    make(BALANCE_ROUND_ROBIN, "111");
    servers[0].max_conns = 1;
    servers[1].down = true;
    assert_int_equal(pick(), 0);
    assert_int_equal(pick(), 2);
    assert_int_equal(pick(), 2);
    finish(0, BALANCE_SERVED);
    assert_int_equal(pick(), 2); /* it has lost turns meanwhile ... */
    assert_int_equal(pick(), 0); /* ... and comes again */
    assert_int_equal(pick(), 2);
}

static void backups_come_last(void **state)
{
    (void)state;
    make(BALANCE_ROUND_ROBIN, "11");
    group.primaries = 1;
    expect_sequence("aa");
    balance_begin(&choice, "", 0);
    assert_int_equal(balance_pick(&group, &choice, now_ns), 0);
    assert_int_equal(balance_pick(&group, &choice, now_ns), 1);
    assert_int_equal(balance_pick(&group, &choice, now_ns), BALANCE_NONE);
}

static void least_conn_goes_by_weight(void **state)
{
    (void)state;
    make(BALANCE_LEAST_CONN, "21");
    int given[2] = {0, 0};
    for (int i = 0; i < 9; i++)
        given[pick()]++; /* none is given back */
    assert_int_equal(given[0], 6);
    finish(1, BALANCE_SERVED);
    finish(1, BALANCE_SERVED);
    assert_int_equal(pick(), 1);
}

static void ip_hash_stays_with_an_address(void **state)
{
    (void)state;
    make(BALANCE_IP_HASH, "111");
    unsigned seen = 0;
    for (int i = 0; i < 100; i++) {
        const char address[3] = {10, 0, (char)i};
        balance_begin(&choice, address, 3);
        int first = balance_pick(&group, &choice, now_ns);
        balance_begin(&choice, address, 3);
        assert_int_equal(balance_pick(&group, &choice, now_ns), first);
        seen |= 1u << first;
    }
    assert_int_equal(seen, 7);
    const char loopback[3] = {127, 0, 0};
    balance_begin(&choice, loopback, 3);
    int usual = balance_pick(&group, &choice, now_ns);
    servers[usual].down = true;
    balance_begin(&choice, loopback, 3);
    assert_int_not_equal(balance_pick(&group, &choice, now_ns), usual);
}

static void hash_spreads_and_hops(void **state)
{
    (void)state;
    make(BALANCE_HASH, "1111");
    char key[16];
    int given[4] = {0};
    for (int i = 0; i < 400; i++) {
        key[0] = (char)('a' + i % 20);
        key[1] = (char)('a' + i / 20);
        key[2] = '\0';
        int server = pick_keyed(key);
        assert_int_equal(pick_keyed(key), server);
        given[server]++;
        int next = balance_pick(&group, &choice, now_ns);
        assert_true(next != server && next != BALANCE_NONE);
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(given[i], 50, 150);
    assert_int_not_equal(pick_keyed(""), BALANCE_NONE); /* no key: round robin */
}

static void consistent_moves_only_what_it_must(void **state)
{
    static int before[1000];
    char key[8] = "";
    (void)state;
    make(BALANCE_CONSISTENT, "1111");
    make_circle();
    for (int i = 0; i < 1000; i++) {
        memcpy(key, &i, sizeof i);
        balance_begin(&choice, key, sizeof i);
        before[i] = balance_pick(&group, &choice, now_ns);
    }
    servers[2].down = true;
    for (int i = 0; i < 1000; i++) {
        memcpy(key, &i, sizeof i);
        balance_begin(&choice, key, sizeof i);
        int now = balance_pick(&group, &choice, now_ns);
        if (before[i] != 2)
            assert_int_equal(now, before[i]);
        else
            assert_int_not_equal(now, 2);
    }
}

static void random_two_prefers_the_idle(void **state)
{
    (void)state;
    make(BALANCE_RANDOM_TWO, "11");
    states[0].conns = 50;
    for (int i = 0; i < 40; i++)
        assert_int_equal(pick(), 1);
    make(BALANCE_RANDOM, "31");
    int given[2] = {0, 0};
    for (int i = 0; i < 1000; i++)
        given[pick()]++;
    assert_in_range(given[0], 650, 850);
}

/* Whatever the method, the health and the load: what is named may be asked, and is found if any. */
static void no_method_errs(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        make((enum balance_method)(round % 7), "13211");
        stream += (uint64_t)round;
        for (uint32_t i = 0; i < group.count; i++) {
            servers[i].down = (round >> i) % 3 == 0;
            servers[i].max_conns = (uint32_t)(round >> i) % 2;
            states[i].conns = (uint32_t)(round >> (i + 1)) % 2;
            states[i].fails = (uint32_t)(round >> (i + 2)) % 2;
            states[i].checked_ns = now_ns;
        }
        make_circle();
        group.primaries = 3;
        make_circle();
        balance_begin(&choice, "key", 3);
        unsigned may = 0;
        for (uint32_t i = 0; i < group.count; i++)
            if (!servers[i].down && !states[i].fails &&
                (!servers[i].max_conns || states[i].conns < servers[i].max_conns))
                may |= 1u << i;
        for (int picked; (picked = balance_pick(&group, &choice, now_ns)) != BALANCE_NONE;) {
            assert_true(may & 1u << picked);
            may &= ~(1u << picked);
        }
        assert_int_equal(may, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_is_smooth),
        cmocka_unit_test(a_try_is_never_repeated),
        cmocka_unit_test(a_failed_server_is_left_out_and_tried_again),
        cmocka_unit_test(failures_below_the_bound_take_weight_only),
        cmocka_unit_test(a_single_server_is_never_left_out),
        cmocka_unit_test(max_conns_and_down_hold),
        cmocka_unit_test(backups_come_last),
        cmocka_unit_test(least_conn_goes_by_weight),
        cmocka_unit_test(ip_hash_stays_with_an_address),
        cmocka_unit_test(hash_spreads_and_hops),
        cmocka_unit_test(consistent_moves_only_what_it_must),
        cmocka_unit_test(random_two_prefers_the_idle),
        cmocka_unit_test(no_method_errs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
