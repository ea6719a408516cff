/* Zones: shared over fork, kept where they stay the same, usable after a death under the lock. */
#include "engine/shm/zone.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/os/log.h"

static void counter_init(void *room, size_t size)
{
    (void)size;
    *(uint64_t *)room = 1000;
}
static const struct zone_kind counter = {"counter", counter_init};
static const struct zone_kind other = {"other", counter_init};

static struct zones *open_one(const char *name, const struct zone_kind *kind, size_t size,
                              const struct zones *before)
{
    int err;
    const struct zone_wish wish = {name, kind, size};
    struct zones *zones = zones_open(&wish, 1, before, &err);
    assert_non_null(zones);
    assert_int_equal(err, 0);
    return zones;
}
static uint64_t *number(struct zones *zones)
{
    return zone_room(zones_at(zones, 0));
}

static void a_zone_stays_with_name_kind_and_size(void **state)
{
    (void)state;
    struct zones *first = open_one("a", &counter, 65536, NULL);
    *number(first) = 7;
    struct zones *same = open_one("a", &counter, 65536, first);
    struct zones *named = open_one("b", &counter, 65536, first);
    struct zones *sized = open_one("a", &counter, 131072, first);
    struct zones *kinded = open_one("a", &other, 65536, first);
    zones_close(first);
    assert_int_equal(*number(same), 7);
    assert_int_equal(*number(named), 1000);
    assert_int_equal(*number(sized), 1000);
    assert_int_equal(*number(kinded), 1000);
    assert_true(zone_size(zones_at(sized, 0)) > zone_size(zones_at(same, 0)));
    zones_close(same);
    zones_close(named);
    zones_close(sized);
    zones_close(kinded);
}

static void all_processes_see_one(void **state)
{
    (void)state;
    enum { PROCESSES = 4, ROUNDS = 5000 };
    struct zones *zones = open_one("a", &counter, ZONE_BYTES_MIN, NULL);
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int round = 0; round < ROUNDS; round++) {
                zone_lock(zones_at(zones, 0));
                ++*(volatile uint64_t *)number(zones);
                zone_unlock(zones_at(zones, 0));
            }
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    assert_int_equal(*number(zones), 1000 + PROCESSES * ROUNDS);
    zones_close(zones);
}

static void a_death_under_the_lock_leaves_it_usable(void **state)
{
    (void)state;
    struct zones *zones = open_one("a", &counter, ZONE_BYTES_MIN, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        zone_lock(zones_at(zones, 0));
        *number(zones) = 0xdead;
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    zone_lock(zones_at(zones, 0));
    assert_int_equal(*number(zones), 1000); /* afresh */
    *number(zones) = 8;
    zone_unlock(zones_at(zones, 0));
    zone_lock(zones_at(zones, 0));
    assert_int_equal(*number(zones), 8); /* once only */
    zone_unlock(zones_at(zones, 0));
    zones_close(zones);
}

int main(void)
{
    log_open("/dev/null", LEVEL_EMERG);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zone_stays_with_name_kind_and_size),
        cmocka_unit_test(all_processes_see_one),
        cmocka_unit_test(a_death_under_the_lock_leaves_it_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
