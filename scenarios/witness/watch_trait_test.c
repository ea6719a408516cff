/* What a process was given is read as it is: the same twice, and different when it was changed. */
#include "scenarios/witness/watch_trait.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct watch_traits mine(void)
{
    struct watch_traits t;
    assert_true(watch_traits_read(getpid(), &t));
    return t;
}

static void a_change_shows_where_it_was_made(void **state)
{
    struct watch_traits before = mine(), after = mine();
    struct rlimit limit;
    sigset_t set;
    (void)state;
    assert_memory_equal(&before, &after, sizeof before);

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur--;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    umask(0123);
    after = mine();
    assert_int_equal(after.values[HIST_TRAIT_OPEN_FILES], before.values[HIST_TRAIT_OPEN_FILES] - 1);
    assert_int_equal(after.values[HIST_TRAIT_OPEN_FILES], limit.rlim_cur);
    for (unsigned i = 0; i < HIST_TRAIT_COUNT; i++) {
        bool changed = i == HIST_TRAIT_OPEN_FILES || i == HIST_TRAIT_LIMITS ||
                       i == HIST_TRAIT_SIGNALS || i == HIST_TRAIT_USER;
        assert_int_equal(after.values[i] != before.values[i], changed);
    }
}

static void descriptors_are_those_that_stay(void **state)
{
    uint64_t before = mine().values[HIST_TRAIT_FDS];
    int fds[2];
    (void)state;
    int file = open("/proc/self/exe", O_RDONLY), s = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(mine().values[HIST_TRAIT_FDS], before);
    assert_int_equal(pipe(fds), 0);
    assert_int_not_equal(mine().values[HIST_TRAIT_FDS], before);
    close(fds[0]);
    close(fds[1]);
    close(file);
    close(s);
    assert_int_equal(mine().values[HIST_TRAIT_FDS], before);
}

static void who_is_gone_has_none(void **state)
{
    struct watch_traits t;
    (void)state;
    assert_false(watch_traits_read(0x3fffffff, &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_shows_where_it_was_made),
        cmocka_unit_test(descriptors_are_those_that_stay),
        cmocka_unit_test(who_is_gone_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
