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
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "faultinject/board.h"
#include "faultinject/fault.h"
#include "faultinject/plan.h"
#include "faultinject/points.h"

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

static long call_create(void)
{
    return call_map();
}

static long call_truncate(void)
{
    return call_map();
}

/* What the rule says below; malloc itself has no errno to tell. */
static long freed(void *memory)
{
    free(memory);
    return memory ? 0 : -EL2NSYNC;
}

static long call_alloc(void)
{
    return freed(sys_alloc(10));
}
static long call_calloc(void)
{
    return freed(sys_calloc(1, 10));
}
static long call_setsockopt(void)
{
    return sys_setsockopt_int(stream[0], SOL_SOCKET, SO_KEEPALIVE, 1);
}
static long call_getsockopt(void)
{
    return sys_getsockopt_int(stream[0], SOL_SOCKET, SO_KEEPALIVE, &(int){0});
}
static long call_getsockname(void)
{
    struct sockaddr_storage addr;
    return sys_getsockname(stream[0], &addr, &(socklen_t){sizeof addr});
}
static long call_shutdown(void)
{
    return sys_shutdown_write(stream[0]);
}
static long call_stat(void)
{
    struct stat st;
    return sys_stat(in_dir("board"), &st);
}
static long call_fstat(void)
{
    struct stat st;
    return sys_fstat(file, &st);
}
static long call_fchown(void)
{
    return sys_fchown(file, getuid());
}
static long call_chmod(void)
{
    return sys_chmod(in_dir("file"), 0600);
}
static long call_dup2(void)
{
    return sys_dup2(file, file);
}
static long call_close(void)
{
    return sys_close(dup(file));
}
static long call_become(void)
{
    return sys_become("root", getuid(), getgid());
}
static long call_setsid(void)
{
    return sys_setsid();
}
static long call_get_limit(void)
{
    struct rlimit limit;
    return sys_rlimit_get(RLIMIT_CPU, &limit);
}
static long call_set_limit(void)
{
    return sys_rlimit_set(RLIMIT_CPU, 1);
}
static long call_priority(void)
{
    return sys_set_priority(5);
}
static long call_affinity(void)
{
    cpu_set_t none;
    CPU_ZERO(&none);
    return sys_set_affinity(&none);
}
static long call_chdir(void)
{
    return sys_chdir("/nowhere");
}

/* As libev makes them. */
static long result_or_errno(int result)
{
    if (result > 0)
        close(result);
    return result < 0 ? -errno : result;
}
static long call_epoll_create(void)
{
    return result_or_errno(epoll_create1(0));
}
static long call_epoll_ctl(void)
{
    return result_or_errno(epoll_ctl(-1, EPOLL_CTL_ADD, -1, NULL));
}
static long call_epoll_wait(void)
{
    return result_or_errno(epoll_wait(-1, &(struct epoll_event){0}, 1, 0));
}
static long call_eventfd(void)
{
    return result_or_errno(eventfd(0, 0));
}

static const struct {
    const char *point;
    long (*call)(void);
} calls[] = {
    {"net.accept", call_accept},
    {"net.socket", call_socket},
    {"net.bind", call_bind},
    {"net.listen", call_listen},
    {"net.connect", call_connect},
    {"net.recv", call_recv},
    {"net.send", call_send},
    {"net.send", call_writev},
    {"net.sendfile", call_sendfile},
    {"net.socketpair", call_socketpair},
    {"net.sendmsg", call_sendmsg},
    {"net.recvmsg", call_recvmsg},
    {"proc.fork", call_fork},
    {"proc.exec", call_exec},
    {"proc.waitpid", call_waitpid},
    {"proc.kill", call_kill},
    {"fs.open", call_open},
    {"fs.read", call_read},
    {"fs.read", call_pread},
    {"fs.write", call_write},
    {"fs.rename", call_rename},
    {"fs.unlink", call_unlink},
    {"mem.map", call_map},
    {"mem.alloc", call_alloc},
    {"mem.alloc", call_calloc},
    {"mem.create", call_create},
    {"fs.truncate", call_truncate},
    {"net.sockopt", call_setsockopt},
    {"net.sockopt", call_getsockopt},
    {"net.sockname", call_getsockname},
    {"net.shutdown", call_shutdown},
    {"fs.stat", call_stat},
    {"fs.stat", call_fstat},
    {"fs.owner", call_fchown},
    {"fs.owner", call_chmod},
    {"fs.dup", call_dup2},
    {"fs.close", call_close},
    {"proc.identity", call_become},
    {"proc.session", call_setsid},
    {"proc.limit", call_get_limit},
    {"proc.limit", call_set_limit},
    {"proc.priority", call_priority},
    {"proc.affinity", call_affinity},
    {"fs.chdir", call_chdir},
    {"net.epoll_create", call_epoll_create},
    {"net.epoll_ctl", call_epoll_ctl},
    {"net.epoll_wait", call_epoll_wait},
    {"ipc.eventfd", call_eventfd},
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

enum { CALL_COUNT = sizeof calls / sizeof calls[0] };

/* A rule that no plan could say: the plan language knows which errnos are possible. */
static int arm_errno(const char *point, int number)
{
    struct fault_rule rule = FAULT_RULE_INIT;
    enum fault_point found;
    assert_true(fault_point_parse(point, strlen(point), &found));
    rule.point = found;
    rule.kind = FAULT_ERRNO;
    rule.value = number;
    rule.times = 1;
    return fault_board_arm(&board, &rule);
}

static void each_system_point_of_the_engine_has_a_call(void **state)
{
    (void)state;
    for (unsigned point = 0; point < FAULT_POINT_COUNT; point++) {
        const struct fault_point_info *info = fault_point_info(point);
        bool called = !(info->where & FAULT_ENGINE) || !fault_point_is_call(point);
        for (size_t i = 0; i < CALL_COUNT && !called; i++)
            called = strcmp(calls[i].point, info->name) == 0;
        if (!called)
            fail_msg("no call here fires %s", info->name);
    }
}

/* The errno is one that no call here gives by itself. */
static void each_call_fails_as_told_and_does_nothing(void **state)
{
    (void)state;
    struct stat st;
    open_all();
    for (size_t i = 0; i < CALL_COUNT; i++) {
        int rule = arm_errno(calls[i].point, EL2NSYNC);
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
        cmocka_unit_test(each_system_point_of_the_engine_has_a_call),
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
