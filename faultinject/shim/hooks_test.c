/* Every wrapped call, made from hooks.def: it succeeds while nothing is armed, also while a rule
 * for something else is; and it fails with each errno of its list when a rule says so, once.
 *
 * The program runs itself again below the shim. */
#include "faultinject/shim/calls_fixture.h"

#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

#include "faultinject/board.h"
#include "faultinject/names.h"
#include "faultinject/shim/rerun_fixture.h"

/* On these a transfer by descriptor is made on a socket. */
#define FAULT_fd_in FAULT_net_recv
#define FAULT_fd_out FAULT_net_send

struct call {
    const char *name;
    long (*make)(void);
    enum fault_point point;
    bool returns_code; /* the errno, else `failure` and errno */
    long failure;
    int errnos[24]; /* ended by 0 */
};

static const struct call calls[] = {
#define LIST(...) __VA_ARGS__, 0
#define ROW(name, code, failure, point, errnos)                                                    \
    {#name, try_##name, FAULT_##point, code, (long)(intptr_t)failure, {LIST errnos}},
#define HOOK_CALL(ret, name, params, args, failure, point, errnos)                                 \
    ROW(name, false, failure, point, errnos)
#define HOOK_CODE(ret, name, params, args, failure, point, errnos)                                 \
    ROW(name, true, failure, point, errnos)
#define HOOK_IN HOOK_CALL
#define HOOK_OUT HOOK_CALL
#define HOOK_VIN HOOK_CALL
#define HOOK_VOUT HOOK_CALL
#define HOOK_OWN HOOK_CALL
#define HOOK_OWN_CODE HOOK_CODE
#include "faultinject/shim/hooks.def"
};
enum { CALL_COUNT = sizeof calls / sizeof calls[0] };

static unsigned arm(enum fault_point point, enum fault_kind kind, int64_t value)
{
    struct fault_rule rule = FAULT_RULE_INIT;
    rule.point = point;
    rule.kind = kind;
    rule.value = value;
    rule.times = 1;
    int index = fault_board_arm(&rerun_board, &rule);
    assert_true(index >= 0);
    world.armed = kind == FAULT_ERRNO;
    return (unsigned)index;
}

/* Disarms it and returns how often it fired. */
static uint64_t fired(unsigned index)
{
    struct fault_status status;
    world.armed = false;
    assert_true(fault_board_disarm(&rerun_board, index));
    assert_true(fault_board_status(rerun_board.board, index, &status));
    return status.fired;
}

static void success(const struct call *call)
{
    world_open();
    long result = call->make();
    int error = errno;
    world_close();
    if (call->returns_code ? result != 0 : result == call->failure)
        fail_msg("%s failed: %s", call->name, strerror(call->returns_code ? (int)result : error));
}

static void each_call_succeeds(void **state)
{
    (void)state;
    for (size_t i = 0; i < CALL_COUNT; i++)
        success(&calls[i]);
}

/* Something is armed, for a point that the call does not ask. */
static void each_call_succeeds_while_another_point_is_armed(void **state)
{
    (void)state;
    for (size_t i = 0; i < CALL_COUNT; i++) {
        unsigned rule = arm(FAULT_sabotage_vanish, FAULT_SABOTAGE, 0);
        success(&calls[i]);
        assert_int_equal(fired(rule), 0);
    }
}

static void failure(const struct call *call, int number)
{
    world_open();
    unsigned rule = arm(call->point, FAULT_ERRNO, number);
    errno = 0;
    long result = call->make();
    int error = errno;
    uint64_t firings = fired(rule);
    world_close();
    if (firings != 1)
        fail_msg("%s: fired %lu times at one call", call->name, (unsigned long)firings);
    if (call->returns_code ? result != number : (result != call->failure || error != number))
        fail_msg("%s was to fail with %s: returned %ld, errno %s", call->name, names_errno(number),
                 result, strerror(error));
}

static void each_call_fails_with_each_of_its_errnos(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (size_t i = 0; i < CALL_COUNT; i++)
        for (const int *number = calls[i].errnos; *number; number++, failures++)
            failure(&calls[i], *number);
    assert_true(failures >= CALL_COUNT);
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

static const struct call transfers[] = {
#define HOOK_IN(ret, name, params, args, failure, point, errnos)                                   \
    ROW(name, false, failure, point, errnos)
#define HOOK_OUT HOOK_IN
#define HOOK_VIN HOOK_IN
#define HOOK_VOUT HOOK_IN
#include "faultinject/shim/hooks.def"
};
enum { TRANSFER_COUNT = sizeof transfers / sizeof transfers[0] };

static void each_transfer_can_be_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < TRANSFER_COUNT; i++)
        for (int64_t bytes = 1; bytes < TEXT_BYTES; bytes += 4) {
            world_open();
            unsigned rule = arm(transfers[i].point, FAULT_SHORT, bytes);
            long moved = transfers[i].make();
            uint64_t firings = fired(rule);
            world_close();
            if (moved != bytes || firings != 1)
                fail_msg("%s: %ld bytes of %ld, fired %lu times", transfers[i].name, moved,
                         (long)bytes, (unsigned long)firings);
        }
}

static unsigned changed_bits(const char *a, const char *b)
{
    unsigned bits = 0;
    for (int i = 0; i < TEXT_BYTES; i++)
        bits += (unsigned)__builtin_popcount((unsigned char)(a[i] ^ b[i]));
    return bits;
}

static void what_arrives_can_be_corrupt(void **state)
{
    (void)state;
    static const struct call in[] = {
#define HOOK_IN(ret, name, params, args, failure, point, errnos)                                   \
    ROW(name, false, failure, point, errnos)
#define HOOK_VIN HOOK_IN
#include "faultinject/shim/hooks.def"
    };
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
        world_open();
        unsigned rule = arm(in[i].point, FAULT_CORRUPT, 0);
        long moved = in[i].make();
        unsigned bits = changed_bits(buffer, text);
        assert_int_equal(fired(rule), 1);
        world_close();
        if (moved != TEXT_BYTES || bits != 1)
            fail_msg("%s: %ld bytes, %u bits changed", in[i].name, moved, bits);
    }
}

static void what_leaves_can_be_corrupt(void **state)
{
    (void)state;
    char got[TEXT_BYTES];
    struct iovec parts[2] = {{(void *)(uintptr_t)text, 3},
                             {(void *)(uintptr_t)(text + 3), TEXT_BYTES - 3}};
    for (int vector = 0; vector < 2; vector++) {
        world_open();
        unsigned rule = arm(FAULT_net_send, FAULT_CORRUPT, 0);
        assert_int_equal(vector ? writev(world.pair[0], parts, 2)
                                : send(world.pair[0], text, TEXT_BYTES, 0),
                         TEXT_BYTES);
        assert_int_equal(fired(rule), 1);
        assert_int_equal(recv(world.pair[1], got, TEXT_BYTES, 0), TEXT_BYTES);
        assert_int_equal(changed_bits(got, text), 1);
        world_close();
    }
}

/* ---- what a failure leaves --------------------------------------------------------------------
 */

static void a_failing_close_closes(void **state)
{
    (void)state;
    int fd = dup(0);
    unsigned rule = arm(FAULT_fs_close, FAULT_ERRNO, EIO);
    assert_int_equal(close(fd), -1);
    assert_int_equal(errno, EIO);
    assert_int_equal(fired(rule), 1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void fcntl_that_copies_nothing_is_not_asked_about(void **state)
{
    (void)state;
    unsigned rule = arm(FAULT_fs_dup, FAULT_ERRNO, EMFILE);
    assert_true(fcntl(0, F_GETFD) >= 0);
    assert_int_equal(fired(rule), 0);
}

/* A rule for files does not touch sockets and pipes, and the other way round. */
static void a_descriptor_is_what_it_is(void **state)
{
    (void)state;
    static const enum fault_point points[] = {FAULT_net_recv, FAULT_fs_read, FAULT_ipc_read};
    for (size_t armed = 0; armed < 3; armed++) {
        int pipes[2];
        world_open();
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(write(pipes[1], text, TEXT_BYTES), TEXT_BYTES);
        const int fds[] = {world.pair[0], world.fd, pipes[0]};
        unsigned rule = arm(points[armed], FAULT_ERRNO, EIO);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(read(fds[i], buffer, 1), i == armed ? -1 : 1);
        assert_int_equal(fired(rule), 1);
        close(pipes[0]);
        close(pipes[1]);
        world_close();
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    rerun_below_shim(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_succeeds),
        cmocka_unit_test(each_call_succeeds_while_another_point_is_armed),
        cmocka_unit_test(each_call_fails_with_each_of_its_errnos),
        cmocka_unit_test(each_transfer_can_be_short),
        cmocka_unit_test(what_arrives_can_be_corrupt),
        cmocka_unit_test(what_leaves_can_be_corrupt),
        cmocka_unit_test(a_failing_close_closes),
        cmocka_unit_test(fcntl_that_copies_nothing_is_not_asked_about),
        cmocka_unit_test(a_descriptor_is_what_it_is),
    };
    return rerun_over(cmocka_run_group_tests_name("shim hooks", tests, NULL, NULL));
}
