/* Groups of servers in a worker, and what workers share of them in a zone. */
#include "engine/upstream/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/upstream/peers_zone.h"

extern const struct zone_kind zone_kind_upstream;

enum { ZONE_BYTES = 32768 };

static struct conf_upstream_server servers[2] = {
    {.name = {"a", 1},
     .text = {"127.0.0.1:1", 11},
     .weight = 1,
     .max_fails = 1,
     .fail_timeout_ns = 1000},
    {.name = {"b", 1},
     .text = {"127.0.0.1:2", 11},
     .weight = 1,
     .max_fails = 1,
     .fail_timeout_ns = 1000},
};
static struct conf_upstream group = {
    .name = {"g", 1}, .servers = servers, .server_count = 2, .primary_count = 2};
static struct zones *zones;

static struct zone *a_zone(void)
{
    const struct zone_wish wish = {"z", &zone_kind_upstream, ZONE_BYTES};
    int err = 0;
    zones = zones_open(&wish, 1, NULL, &err);
    assert_non_null(zones);
    return zones_at(zones, 0);
}

static int pick(struct peers *peers)
{
    struct balance_choice choice;
    balance_begin(&choice, "", 0);
    return peers_pick(peers, &choice, 5000);
}

static void a_group_by_itself(void **state)
{
    struct peers peers;
    (void)state;
    assert_int_equal(peers_open(&peers, &group, 7), 0);
    assert_int_equal(peers.available, 2);
    assert_int_equal(pick(&peers), 0);
    assert_int_equal(pick(&peers), 1);
    assert_true(peers_release(&peers, 0, BALANCE_FAILED, 5000));
    assert_int_equal(pick(&peers), 1);
    peers_close(&peers);
}

static void a_failure_is_seen_by_all(void **state)
{
    struct peers one, other;
    (void)state;
    struct zone *zone = a_zone();
    assert_int_equal(peers_open(&one, &group, 1), 0);
    assert_int_equal(peers_open(&other, &group, 1), 0);
    assert_true(peers_share(&one, zone, getpid()));
    assert_true(peers_share(&other, zone, getppid()));
    assert_int_equal(pick(&one), 0);
    assert_true(peers_release(&one, 0, BALANCE_FAILED, 5000));
    for (int i = 0; i < 4; i++)
        assert_int_equal(pick(&other), 1);
    assert_int_equal(one.group.states[1].conns, 4);
    peers_leave(&other);
    assert_int_equal(one.group.states[1].conns, 0);
    peers_leave(&one);
    peers_close(&one);
    peers_close(&other);
    zones_close(zones);
}

/* A worker that ends without a word: the next one that comes takes its connections back. */
static void what_the_dead_held_is_taken_back(void **state)
{
    struct peers one;
    (void)state;
    struct zone *zone = a_zone();
    assert_int_equal(peers_open(&one, &group, 1), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool joined = peers_share(&one, zone, getpid());
        pick(&one);
        pick(&one);
        _exit(joined ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(peers_share(&one, zone, getpid()));
    assert_int_equal(one.group.states[0].conns, 0);
    assert_int_equal(one.group.states[1].conns, 0);
    peers_leave(&one);
    peers_close(&one);
    zones_close(zones);
}

/* The zone was started afresh under its users, and another group has come first since. */
static void an_emptied_zone_is_joined_anew(void **state)
{
    struct peers one, other;
    struct conf_upstream another = group;
    (void)state;
    another.name = (struct conf_str){"h", 1};
    struct zone *zone = a_zone();
    assert_int_equal(peers_open(&one, &group, 1), 0);
    assert_int_equal(peers_open(&other, &another, 1), 0);
    assert_true(peers_share(&one, zone, getpid()));
    int held = pick(&one);
    memset(zone_room(zone), 0, zone_size(zone));
    zone_kind_upstream.init(zone_room(zone), zone_size(zone));
    assert_true(peers_share(&other, zone, getpid()));
    assert_false(peers_release(&one, held, BALANCE_SERVED, 5000));
    assert_ptr_not_equal(one.group.states, other.group.states);
    assert_true(pick(&one) >= 0 && pick(&other) >= 0);
    assert_int_equal(one.group.states[0].conns + one.group.states[1].conns, 1);
    peers_leave(&one);
    peers_leave(&other);
    peers_close(&one);
    peers_close(&other);
    zones_close(zones);
}

static void a_full_zone_leaves_workers_alone(void **state)
{
    struct peers peers[16];
    struct conf_upstream groups[16];
    char names[16];
    int shared = 0;
    (void)state;
    struct zone *zone = a_zone();
    for (int i = 0; i < 16; i++) {
        names[i] = (char)('a' + i);
        groups[i] = group;
        groups[i].name = (struct conf_str){&names[i], 0};
        servers[0].weight = (uint32_t)i + 1; /* another group by what it is */
        assert_int_equal(peers_open(&peers[i], &groups[i], 1), 0);
        shared += peers_share(&peers[i], zone, getpid());
        assert_true(pick(&peers[i]) >= 0);
    }
    servers[0].weight = 1;
    assert_in_range(shared, 1, 15);
    for (int i = 0; i < 16; i++)
        peers_close(&peers[i]);
    zones_close(zones);
}

static void a_circle_is_made(void **state)
{
    struct peers peers;
    struct conf_upstream circle = group;
    (void)state;
    circle.method = CONF_CONSISTENT;
    assert_int_equal(peers_open(&peers, &circle, 1), 0);
    assert_in_range(peers.group.point_count, 300, 320);
    for (uint32_t i = 1; i < peers.group.point_count; i++)
        assert_true(peers.points[i - 1].hash < peers.points[i].hash);
    peers_close(&peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_by_itself),
        cmocka_unit_test(a_failure_is_seen_by_all),
        cmocka_unit_test(what_the_dead_held_is_taken_back),
        cmocka_unit_test(an_emptied_zone_is_joined_anew),
        cmocka_unit_test(a_full_zone_leaves_workers_alone),
        cmocka_unit_test(a_circle_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
