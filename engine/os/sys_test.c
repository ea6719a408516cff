/* The door to the kernel, with nothing going wrong on purpose: each call works, says its error as a
 * negative errno, and is retried when a signal interrupts it. */
#include "engine/os/memfd.h"
#include "engine/os/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

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
    snprintf(dir, sizeof dir, "/tmp/sys-test-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down_group(void **state)
{
    (void)state;
    return rmdir(dir); /* fails if a test left something behind */
}

static struct iovec piece(const char *text)
{
    return (struct iovec){(char *)text, strlen(text)};
}

/* A listener on a free port of 127.0.0.1. */
static int listener(struct sockaddr_in *addr)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = sys_socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(sys_setsockopt_int(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    assert_int_equal(sys_bind(fd, (struct sockaddr *)addr, sizeof *addr), 0);
    assert_int_equal(sys_listen(fd, 16), 0);
    assert_int_equal(sys_getsockname(fd, &bound, &len), 0);
    memcpy(addr, &bound, sizeof *addr);
    return fd;
}

static bool is_cloexec(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

/* ---- sockets ----------------------------------------------------------------------------------
 */

static void a_connection_is_made_and_used(void **state)
{
    (void)state;
    struct sockaddr_in addr;
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    char buf[16] = "";
    int l = listener(&addr), c = sys_socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(sys_connect(c, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(sys_accept_queue(l), 1);
    int s = sys_accept(l, &peer, &len);
    assert_true(s >= 0 && is_cloexec(s) && is_cloexec(l) && is_cloexec(c));
    assert_true(fcntl(s, F_GETFL) & O_NONBLOCK);
    assert_int_equal(peer.ss_family, AF_INET);
    assert_int_equal(sys_recv(s, buf, sizeof buf), -EAGAIN);
    assert_int_equal(sys_send(c, "hello", 5), 5);
    assert_int_equal(sys_recv(s, buf, sizeof buf), 5);
    struct iovec iov[] = {piece("wor"), piece(""), piece("ld")};
    assert_int_equal(sys_writev_socket(s, iov, 3), 5);
    assert_int_equal(sys_recv(c, buf, sizeof buf), 5);
    assert_memory_equal(buf, "world", 5);
    assert_int_equal(sys_shutdown_write(c), 0);
    assert_int_equal(sys_recv(s, buf, sizeof buf), 0);
    assert_int_equal(sys_close(c), 0);
    while (sys_send(s, "x", 1) == 1) /* the first one after the close provokes a reset */
        ;
    assert_int_equal(sys_send(s, "x", 1), -EPIPE); /* and no SIGPIPE */
    assert_int_equal(sys_close(s), 0);
    assert_int_equal(sys_close(l), 0);
    c = sys_socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(sys_connect(c, (struct sockaddr *)&addr, sizeof addr), -ECONNREFUSED);
    sys_close(c);
}

static void errors_are_negative_errnos(void **state)
{
    (void)state;
    struct sockaddr_in addr = {.sin_family = AF_INET};
    struct sockaddr_storage out;
    struct rlimit limit;
    struct stat st;
    socklen_t len = sizeof out;
    char buf[4];
    int status;
    assert_int_equal(sys_accept(-1, NULL, NULL), -EBADF);
    assert_int_equal(sys_socket(AF_INET, 99, 0), -EINVAL);
    assert_int_equal(sys_bind(-1, (struct sockaddr *)&addr, sizeof addr), -EBADF);
    assert_int_equal(sys_listen(-1, 1), -EBADF);
    assert_int_equal(sys_setsockopt_int(-1, SOL_SOCKET, SO_REUSEADDR, 1), -EBADF);
    assert_int_equal(sys_getsockname(-1, &out, &len), -EBADF);
    assert_int_equal(sys_shutdown_write(-1), -EBADF);
    assert_int_equal(sys_sendfile(-1, -1, NULL, 1), -EBADF);
    assert_int_equal(sys_sendmsg_fd(-1, "", 1, -1), -EBADF);
    assert_int_equal(sys_recvmsg_fd(-1, buf, 1, NULL), -EBADF);
    assert_int_equal(sys_writev_socket(-1, NULL, 0), -EBADF);
    assert_int_equal(sys_close(-1), -EBADF);
    assert_int_equal(sys_read(-1, buf, 1), -EBADF);
    assert_int_equal(sys_pread(-1, buf, 1, 0), -EBADF);
    assert_int_equal(sys_write(-1, buf, 1), -EBADF);
    assert_int_equal(sys_fstat(-1, &st), -EBADF);
    assert_int_equal(sys_stat(in_dir("none"), &st), -ENOENT);
    assert_int_equal(sys_open(in_dir("none"), O_RDONLY, 0), -ENOENT);
    assert_int_equal(sys_rename(in_dir("none"), in_dir("other")), -ENOENT);
    assert_int_equal(sys_unlink(in_dir("none")), -ENOENT);
    assert_int_equal(sys_execve(in_dir("none"), (char *[]){NULL}, (char *[]){NULL}), -ENOENT);
    assert_int_equal(sys_waitpid(getpid(), &status, WNOHANG), -ECHILD);
    assert_int_equal(sys_kill(getpid(), 99), -EINVAL);
    assert_int_equal(sys_rlimit_get(99, &limit), -EINVAL);
    assert_int_equal(sys_rlimit_set(99, 1), -EINVAL);
}

static void a_descriptor_is_passed_over_a_channel(void **state)
{
    (void)state;
    int fds[2], passed = 7;
    char buf[8];
    assert_int_equal(sys_socketpair(SOCK_SEQPACKET, fds), 0);
    assert_true(is_cloexec(fds[0]) && is_cloexec(fds[1]));
    assert_int_equal(sys_sendmsg_fd(fds[0], "ab", 2, -1), 2);
    assert_int_equal(sys_recvmsg_fd(fds[1], buf, sizeof buf, &passed), 2);
    assert_int_equal(passed, -1);
    int file = sys_open("/proc/self/exe", O_RDONLY, 0);
    assert_int_equal(sys_sendmsg_fd(fds[0], "c", 1, file), 1);
    assert_int_equal(sys_recvmsg_fd(fds[1], buf, sizeof buf, &passed), 1);
    struct stat a, b;
    assert_true(passed != file && is_cloexec(passed));
    assert_int_equal(sys_fstat(file, &a) | sys_fstat(passed, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    /* One that nobody asks for is closed: the next descriptor is the same as before. */
    sys_close(passed);
    assert_int_equal(sys_sendmsg_fd(fds[0], "d", 1, file), 1);
    assert_int_equal(sys_recvmsg_fd(fds[1], buf, sizeof buf, NULL), 1);
    int next = sys_open("/proc/self/exe", O_RDONLY, 0);
    assert_int_equal(next, passed);
    sys_close(next);
    sys_close(file);
    sys_close(fds[0]);
    assert_int_equal(sys_recvmsg_fd(fds[1], buf, sizeof buf, &passed), 0); /* the other end went */
    sys_close(fds[1]);
}

/* ---- processes, files, memory -----------------------------------------------------------------
 */

static void a_child_is_forked_killed_and_reaped(void **state)
{
    (void)state;
    int status = 0;
    pid_t pid = sys_fork();
    if (pid == 0)
        for (;;)
            pause();
    assert_int_equal(sys_waitpid(pid, &status, WNOHANG), 0);
    assert_int_equal(sys_kill(pid, SIGKILL), 0);
    assert_int_equal(sys_waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    char *const argv[] = {strdup("sh"), strdup("-c"), strdup("exit 5"), NULL};
    pid = sys_fork();
    if (pid == 0) {
        sys_execve("/bin/sh", argv, (char *[]){NULL});
        _exit(99);
    }
    assert_int_equal(sys_waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 5);
    for (int i = 0; argv[i]; i++)
        free(argv[i]);
}

static void limits_are_set(void **state)
{
    (void)state;
    struct rlimit before, now;
    assert_int_equal(sys_rlimit_get(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(sys_rlimit_set(RLIMIT_NOFILE, 64), 0);
    assert_int_equal(sys_rlimit_get(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(now.rlim_cur, 64);
    assert_int_equal(now.rlim_max, before.rlim_max);
    assert_int_equal(sys_rlimit_set(RLIMIT_NOFILE, before.rlim_cur), 0);
}

static void files_are_written_read_and_moved(void **state)
{
    (void)state;
    struct stat st;
    char buf[16];
    int fd = sys_open(in_dir("a"), O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0 && is_cloexec(fd));
    assert_int_equal(sys_write(fd, "0123456789", 10), 10);
    assert_int_equal(sys_pread(fd, buf, 4, 3), 4);
    assert_memory_equal(buf, "3456", 4);
    assert_int_equal(sys_read(fd, buf, sizeof buf), 0);
    assert_int_equal(sys_fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 10);
    int fds[2];
    off_t offset = 2;
    assert_int_equal(sys_socketpair(SOCK_STREAM, fds), 0);
    assert_int_equal(sys_sendfile(fds[0], fd, &offset, 5), 5);
    assert_int_equal(offset, 7);
    assert_int_equal(sys_recv(fds[1], buf, sizeof buf), 5);
    assert_memory_equal(buf, "23456", 5);
    sys_close(fds[0]);
    sys_close(fds[1]);
    assert_int_equal(sys_close(fd), 0);
    assert_int_equal(sys_rename(in_dir("a"), in_dir("b")), 0);
    assert_int_equal(sys_stat(in_dir("b"), &st), 0);
    assert_int_equal(sys_unlink(in_dir("b")), 0);
}

static void memory_is_shared_and_zeroed(void **state)
{
    (void)state;
    int err = 1, fd, status;
    unsigned char *at = memfd_map("sys-test", 100000, &fd, &err);
    assert_non_null(at);
    assert_int_equal(err, 0);
    assert_int_equal(at[0] + at[99999], 0);
    pid_t pid = sys_fork();
    if (pid == 0) {
        at[99999] = 9;
        _exit(0);
    }
    sys_waitpid(pid, &status, 0);
    assert_int_equal(at[99999], 9);
    munmap(at, 100000);
    sys_close(fd);
    assert_null(memfd_map("sys-test", SIZE_MAX / 2, &fd, &err));
    assert_int_equal(err, -ENOMEM);
    void *memory = sys_alloc(100);
    assert_non_null(memory);
    free(memory);
}

static void interrupt(int number)
{
    (void)number;
}

/* A timer interrupts the wait again and again; the caller notices nothing. */
static void real_interruptions_are_retried(void **state)
{
    (void)state;
    struct sigaction handled = {.sa_handler = interrupt}, before;
    struct itimerval often = {.it_interval.tv_usec = 2000, .it_value.tv_usec = 2000}, off = {0};
    int fds[2], status;
    char byte;
    assert_int_equal(sys_socketpair(SOCK_STREAM, fds), 0);
    pid_t pid = sys_fork();
    if (pid == 0) {
        const struct timespec late = {.tv_nsec = 30000000};
        nanosleep(&late, NULL);
        sys_send(fds[1], "x", 1);
        nanosleep(&late, NULL);
        _exit(3);
    }
    sigaction(SIGALRM, &handled, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    assert_int_equal(sys_recv(fds[0], &byte, 1), 1);
    assert_int_equal(sys_waitpid(pid, &status, 0), pid);
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(WEXITSTATUS(status), 3);
    sys_close(fds[0]);
    sys_close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_made_and_used),
        cmocka_unit_test(errors_are_negative_errnos),
        cmocka_unit_test(a_descriptor_is_passed_over_a_channel),
        cmocka_unit_test(a_child_is_forked_killed_and_reaped),
        cmocka_unit_test(limits_are_set),
        cmocka_unit_test(files_are_written_read_and_moved),
        cmocka_unit_test(memory_is_shared_and_zeroed),
        cmocka_unit_test(real_interruptions_are_retried),
    };
    return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
