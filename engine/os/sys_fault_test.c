/* The door to the kernel with rules armed: each call fails as told and does nothing, a short or
 * spoilt transfer is really short or spoilt, and an injected interruption is seen. */
#include "engine/os/memfd.h"
#include "engine/os/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "faultinject/board.h"
#include "faultinject/fault.h"
#include "faultinject/plan.h"

/* ---- faults -----------------------------------------------------------------------------------
 */

#if MW_FAULTS

static char dir[64];
static struct fault_board_file board;

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static int set_up_group(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sys-fault-test-XXXXXX");
    if (!mkdtemp(dir) || fault_board_open(&board, in_dir("board"), true, 1) != 0)
        return -1;
    setenv("MW_FAULT_BOARD", in_dir("board"), 1);
    return fault_attach();
}

static int tear_down_group(void **state)
{
    (void)state;
    fault_board_close(&board);
    unlink(in_dir("board"));
    return rmdir(dir); /* fails if a test left something behind */
}

static struct iovec piece(const char *text)
{
    return (struct iovec){(char *)text, strlen(text)};
}

static int arm(const char *text)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    if (!fault_plan_parse(&plan, text, &error))
        fail_msg("%s: %s", text, error.what);
    return fault_board_arm(&board, &plan.rules[0]);
}

static int disarm_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FAULT_RULES_MAX; i++)
        fault_board_disarm(&board, i);
    return 0;
}

/* One call of each wrapper that has a fault point, with arguments that are right. */
static int channel[2], stream[2], file;
static char buffer[16];

static long call_accept(void)
{
    return sys_accept(file, NULL, NULL);
}
static long call_socket(void)
{
    return sys_socket(AF_INET, SOCK_STREAM, 0);
}
static long call_bind(void)
{
    return sys_bind(file, NULL, 0);
}
static long call_listen(void)
{
    return sys_listen(file, 1);
}
static long call_connect(void)
{
    return sys_connect(file, NULL, 0);
}
static long call_recv(void)
{
    return sys_recv(stream[0], buffer, 4);
}
static long call_send(void)
{
    return sys_send(stream[0], "abcd", 4);
}
static long call_writev(void)
{
    return sys_writev_socket(stream[0], (struct iovec[]){piece("ab")}, 1);
}
static long call_sendfile(void)
{
    return sys_sendfile(stream[0], file, NULL, 4);
}
static long call_socketpair(void)
{
    return sys_socketpair(SOCK_STREAM, (int[2]){0});
}
static long call_sendmsg(void)
{
    return sys_sendmsg_fd(channel[0], "ab", 2, -1);
}
static long call_recvmsg(void)
{
    return sys_recvmsg_fd(channel[0], buffer, 2, NULL);
}
static long call_fork(void)
{
    return sys_fork();
}
static long call_exec(void)
{
    return sys_execve("/bin/true", (char *[]){NULL}, (char *[]){NULL});
}
static long call_waitpid(void)
{
    return sys_waitpid(-1, NULL, 0);
}
static long call_kill(void)
{
    return sys_kill(getpid(), SIGKILL);
}
static long call_open(void)
{
    return sys_open(in_dir("new"), O_CREAT | O_WRONLY, 0600);
}
static long call_read(void)
{
    return sys_read(file, buffer, 4);
}
static long call_pread(void)
{
    return sys_pread(file, buffer, 4, 0);
}
static long call_write(void)
{
    return sys_write(file, "abcd", 4);
}
static long call_rename(void)
{
    return sys_rename(in_dir("board"), in_dir("new"));
}
static long call_unlink(void)
{
    return sys_unlink(in_dir("board"));
}

static long call_map(void)
{
    int fd, err;
    return memfd_map("sys-fault-test", 4096, &fd, &err) ? 0 : err;
}

static long call_alloc(void)
{
    void *memory = sys_alloc(10);
    free(memory);
    return memory ? 0
                  : -EL2NSYNC; /* what the rule below says; malloc itself has no errno to tell */
}

static const struct {
    const char *point;
    long (*call)(void);
} calls[] = {
    {"net.accept", call_accept},     {"net.socket", call_socket},
    {"net.bind", call_bind},         {"net.listen", call_listen},
    {"net.connect", call_connect},   {"net.recv", call_recv},
    {"net.send", call_send},         {"net.send", call_writev},
    {"net.sendfile", call_sendfile}, {"net.socketpair", call_socketpair},
    {"net.sendmsg", call_sendmsg},   {"net.recvmsg", call_recvmsg},
    {"proc.fork", call_fork},        {"proc.exec", call_exec},
    {"proc.waitpid", call_waitpid},  {"proc.kill", call_kill},
    {"fs.open", call_open},          {"fs.read", call_read},
    {"fs.read", call_pread},         {"fs.write", call_write},
    {"fs.rename", call_rename},      {"fs.unlink", call_unlink},
    {"mem.map", call_map},           {"mem.alloc", call_alloc},
};

static void open_all(void)
{
    assert_int_equal(sys_socketpair(SOCK_SEQPACKET, channel), 0);
    assert_int_equal(sys_socketpair(SOCK_STREAM, stream), 0);
    file = sys_open(in_dir("file"), O_RDWR | O_CREAT, 0600);
    assert_true(file >= 0);
}

static void close_all(void)
{
    close(channel[0]);
    close(channel[1]);
    close(stream[0]);
    close(stream[1]);
    close(file);
    unlink(in_dir("file"));
}

/* The errno is one that no call here gives by itself; EINTR shows that it is not retried. */
static void each_call_fails_as_told_and_does_nothing(void **state)
{
    (void)state;
    struct stat st;
    open_all();
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        char plan[64];
        snprintf(plan, sizeof plan, "%s errno=EL2NSYNC times=1", calls[i].point);
        int rule = arm(plan);
        long result = calls[i].call();
        if (result != -EL2NSYNC)
            fail_msg("%s (number %zu): %ld", calls[i].point, i, result);
        fault_board_disarm(&board, (unsigned)rule);
    }
    assert_int_equal(recv(stream[1], buffer, 1, MSG_DONTWAIT), -1); /* nothing was sent */
    assert_int_equal(stat(in_dir("new"), &st), -1);
    assert_int_equal(fstat(file, &st), 0);
    assert_int_equal(st.st_size, 0);
    close_all();
}

static void an_injected_interruption_is_seen(void **state)
{
    (void)state;
    open_all();
    arm("net.recv errno=EINTR times=1");
    arm("proc.waitpid errno times=1");
    arm("fs.open errno=EINTR times=1");
    assert_int_equal(call_recv(), -EINTR);
    assert_int_equal(call_waitpid(), -EINTR);
    assert_int_equal(call_open(), -EINTR);
    assert_int_equal(call_waitpid(), -ECHILD);
    close_all();
}

static void a_failing_close_still_closes(void **state)
{
    (void)state;
    int fd = open(in_dir("board"), O_RDONLY);
    arm("fs.close errno=EIO times=1");
    assert_int_equal(sys_close(fd), -EIO);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(sys_close(fd), -EBADF);
}

static void short_moves_less(void **state)
{
    (void)state;
    open_all();
    arm("net.send short=3");
    arm("net.recv short=2");
    arm("fs.write short=3");
    arm("fs.read short=1");
    arm("net.sendfile short=2");
    struct iovec iov[] = {piece("ab"), piece("cdef"), piece("gh")};
    assert_int_equal(sys_send(stream[0], "xyzw", 4), 3);
    assert_int_equal(sys_writev_socket(stream[0], iov, 3), 3);
    assert_int_equal(sys_send(stream[0], "!", 1), 1); /* less than that is left as it is */
    assert_int_equal(sys_recv(stream[1], buffer, sizeof buffer), 2);
    assert_int_equal(recv(stream[1], buffer + 2, sizeof buffer - 2, 0), 5);
    assert_memory_equal(buffer, "xyzabc!", 7);
    assert_int_equal(sys_write(file, "hello", 5), 3);
    assert_int_equal(sys_pread(file, buffer, 3, 0), 1);
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    assert_int_equal(sys_read(file, buffer, 3), 1);
    off_t offset = 0;
    assert_int_equal(sys_sendfile(stream[0], file, &offset, 3), 2);
    assert_int_equal(offset, 2);
    close_all();
}

/* How many bits two texts differ in. */
static int bits_between(const void *a, const void *b, size_t len)
{
    const unsigned char *x = a, *y = b;
    int bits = 0;
    for (size_t i = 0; i < len; i++)
        bits += __builtin_popcount(x[i] ^ y[i]);
    return bits;
}

static void corrupt_flips_one_bit(void **state)
{
    (void)state;
    static const char text[] = "0123456789";
    struct iovec iov[] = {piece("0123"), piece("456789")};
    open_all();
    int rule = arm("net.send corrupt");
    assert_int_equal(sys_send(stream[0], text, 10), 10);
    assert_int_equal(sys_recv(stream[1], buffer, 10), 10);
    assert_int_equal(bits_between(buffer, text, 10), 1);
    assert_int_equal(sys_writev_socket(stream[0], iov, 2), 10);
    assert_int_equal(sys_recv(stream[1], buffer, 10), 10);
    assert_int_equal(bits_between(buffer, text, 10), 1);
    fault_board_disarm(&board, (unsigned)rule);
    arm("net.recv corrupt times=1");
    arm("fs.write corrupt times=1");
    assert_int_equal(sys_send(stream[0], text, 10), 10);
    assert_int_equal(sys_recv(stream[1], buffer, 10), 10);
    assert_int_equal(bits_between(buffer, text, 10), 1);
    assert_int_equal(sys_write(file, text, 10), 10);
    assert_int_equal(sys_pread(file, buffer, 10, 0), 10);
    assert_int_equal(bits_between(buffer, text, 10), 1);
    arm("fs.read corrupt");
    char again[10];
    assert_int_equal(sys_pread(file, again, 10, 0), 10);
    assert_int_equal(bits_between(again, buffer, 10), 1);
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    assert_int_equal(sys_read(file, again, 10), 10);
    assert_int_equal(bits_between(again, buffer, 10), 1);
    assert_int_equal(sys_read(file, again, 10), 0); /* nothing came: nothing to spoil */
    close_all();
}

/* More than the copy that is spoilt can hold: the rest is left for the caller's next call. */
static void corrupt_of_much_sends_some(void **state)
{
    (void)state;
    static char much[10000];
    open_all();
    struct iovec iov[] = {{much, 3000}, {much, 5000}};
    arm("net.send corrupt");
    assert_int_equal(sys_send(stream[0], much, sizeof much), 4096);
    assert_int_equal(sys_writev_socket(stream[0], iov, 2), 4096);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_call_fails_as_told_and_does_nothing, disarm_all),
        cmocka_unit_test_teardown(an_injected_interruption_is_seen, disarm_all),
        cmocka_unit_test_teardown(a_failing_close_still_closes, disarm_all),
        cmocka_unit_test_teardown(short_moves_less, disarm_all),
        cmocka_unit_test_teardown(corrupt_flips_one_bit, disarm_all),
        cmocka_unit_test_teardown(corrupt_of_much_sends_some, disarm_all),
    };
    return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}

#else

/* Without fault points there is nothing to attach to, and the engine must be told. */
static void a_named_board_is_refused(void **state)
{
    (void)state;
    setenv("MW_FAULT_BOARD", "/any", 1);
    assert_int_equal(fault_attach(), -ENOSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_named_board_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
