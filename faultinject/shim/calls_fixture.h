/* For the tests of the shim: one call of each wrapped function, made so that it succeeds. A call
 * without a line here does not compile into the tests.
 *
 * Each returns what the function returned, as a number, and leaves nothing behind. What executes a
 * program does so in a child, whose failure is handed on. */
#ifndef FAULTINJECT_SHIM_CALLS_FIXTURE_H
#define FAULTINJECT_SHIM_CALLS_FIXTURE_H

#include "faultinject/shim/types.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <malloc.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

enum { TEXT_BYTES = 10 };
static const char text[TEXT_BYTES + 1] = "0123456789";

/* What the calls work on; made anew for each test. */
static struct {
    char folder[64], file[80], other[80];
    int listener, client, pair[2], fd, out, epoll, timer;
    pid_t child; /* has ended and waits to be waited for */
    bool armed;  /* the test has armed a rule for the call */
    struct sockaddr_in address;
} world;

static pid_t ended_child(void)
{
    siginfo_t info;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) != 0)
        abort();
    return child;
}

static void world_open(void)
{
    socklen_t len = sizeof world.address;
    strcpy(world.folder, "/tmp/shim-test-XXXXXX");
    if (!mkdtemp(world.folder))
        abort();
    snprintf(world.file, sizeof world.file, "%s/file", world.folder);
    snprintf(world.other, sizeof world.other, "%s/other", world.folder);
    world.fd = open(world.file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    world.out = open(world.folder, O_PATH | O_CLOEXEC);
    world.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    world.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    world.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    world.epoll = epoll_create1(EPOLL_CLOEXEC);
    world.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    bool made = world.fd >= 0 && write(world.fd, text, TEXT_BYTES) == TEXT_BYTES &&
                lseek(world.fd, 0, SEEK_SET) == 0 &&
                bind(world.listener, (struct sockaddr *)&world.address, len) == 0 &&
                listen(world.listener, 8) == 0 &&
                getsockname(world.listener, (struct sockaddr *)&world.address, &len) == 0 &&
                connect(world.client, (struct sockaddr *)&world.address, len) == 0 &&
                socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world.pair) == 0 &&
                send(world.pair[1], text, TEXT_BYTES, 0) == TEXT_BYTES && world.epoll >= 0 &&
                world.timer >= 0;
    if (!made)
        abort();
    world.child = ended_child();
}

static void world_close(void)
{
    int fds[] = {world.listener, world.client, world.pair[0], world.pair[1],
                 world.fd,       world.out,    world.epoll,   world.timer};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        close(fds[i]);
    waitpid(world.child, NULL, 0); /* unless the test has done so */
    unlink(world.file);
    unlink(world.other);
    rmdir(world.folder);
}

static long closed(int fd)
{
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return fd;
}

static long freed(void *memory)
{
    int error = errno;
    long result = (long)(intptr_t)memory;
    free(memory);
    errno = error;
    return result;
}

static long fclosed(FILE *file)
{
    int error = errno;
    if (file)
        fclose(file);
    errno = error;
    return (long)(intptr_t)file;
}

static long closed_both(int result, const int fds[2])
{
    if (result == 0) {
        close(fds[0]);
        close(fds[1]);
    }
    return result;
}

/* The result of a function in a child: 0, or -1 and errno. */
static long in_child(int (*function)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        function();
        _exit(errno); /* what executes a program comes back only when it failed */
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        abort();
    errno = WEXITSTATUS(status);
    return errno ? -1 : 0;
}

static long forked(pid_t child)
{
    int error = errno;
    if (child == 0)
        _exit(0);
    if (child > 0)
        waitpid(child, NULL, 0);
    errno = error;
    return child;
}

#define TRY_BODY(name) static long try_##name(void)
#define TRY(name, ...)                                                                             \
    TRY_BODY(name)                                                                                 \
    {                                                                                              \
        return __VA_ARGS__;                                                                        \
    }
#define ADDRESS (struct sockaddr *)&world.address, sizeof world.address
static char buffer[TEXT_BYTES + 1];
static struct iovec pieces[2] = {{buffer, 4}, {buffer + 4, TEXT_BYTES - 4}};
static struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
static const struct timespec at_once = {.tv_nsec = 0};
static char *const true_argv[] = {(char *)(uintptr_t) "true", NULL};
static char *const no_env[] = {NULL};
#define TRUE_PATH "/bin/true"

/* ---- connections ------------------------------------------------------------------------------
 */
TRY(accept, closed(accept(world.listener, NULL, NULL)));
TRY(accept4, closed(accept4(world.listener, NULL, NULL, SOCK_CLOEXEC)));
TRY(socket, closed(socket(AF_INET, SOCK_STREAM, 0)));
TRY_BODY(socketpair)
{
    int fds[2];
    return closed_both(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), fds);
}
TRY(listen, listen(world.listener, 4));
TRY_BODY(setsockopt)
{
    int one = 1;
    return setsockopt(world.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
}
TRY_BODY(getsockopt)
{
    int value;
    socklen_t len = sizeof value;
    return getsockopt(world.listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &len);
}
TRY_BODY(getsockname)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    return getsockname(world.client, (struct sockaddr *)&name, &len);
}
TRY_BODY(getpeername)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    return getpeername(world.client, (struct sockaddr *)&name, &len);
}
TRY(shutdown, shutdown(world.client, SHUT_WR));
TRY_BODY(connect)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), result = connect(fd, ADDRESS);
    closed(fd);
    return result;
}
TRY_BODY(bind)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0),
        result = bind(fd, (struct sockaddr *)&any, sizeof any);
    closed(fd);
    return result;
}
/* ---- bytes ------------------------------------------------------------------------------------
 */
/* The headers reach these by the plain names; here they are called as they are. */
ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
ssize_t __pread64_chk(int, void *, size_t, off_t, size_t);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
int __open_2(const char *, int);
int __open64_2(const char *, int);
int __openat_2(int, const char *, int);
int __openat64_2(int, const char *, int);
TRY(recv, recv(world.pair[0], buffer, TEXT_BYTES, 0));
TRY(__recv_chk, __recv_chk(world.pair[0], buffer, TEXT_BYTES, TEXT_BYTES, 0));
TRY(recvfrom, recvfrom(world.pair[0], buffer, TEXT_BYTES, 0, NULL, NULL));
TRY(__recvfrom_chk, __recvfrom_chk(world.pair[0], buffer, TEXT_BYTES, TEXT_BYTES, 0, NULL, NULL));
TRY(send, send(world.pair[1], text, TEXT_BYTES, 0));
TRY(sendto, sendto(world.pair[1], text, TEXT_BYTES, 0, NULL, 0));
TRY(recvmsg, recvmsg(world.pair[0], &message, 0));
TRY(sendmsg, sendmsg(world.pair[1], &message, 0));
TRY_BODY(recvmmsg)
{
    struct mmsghdr messages = {.msg_hdr = message};
    return recvmmsg(world.pair[0], &messages, 1, MSG_DONTWAIT, NULL);
}
TRY_BODY(sendmmsg)
{
    struct mmsghdr messages = {.msg_hdr = message};
    return sendmmsg(world.pair[1], &messages, 1, 0);
}
TRY_BODY(sendfile)
{
    off_t at = 0;
    return sendfile(world.pair[1], world.fd, &at, TEXT_BYTES);
}
TRY_BODY(sendfile64)
{
    off64_t at = 0;
    return sendfile64(world.pair[1], world.fd, &at, TEXT_BYTES);
}
TRY_BODY(splice)
{
    int pipes[2];
    if (pipe(pipes) != 0)
        abort();
    long moved = splice(world.pair[0], NULL, pipes[1], NULL, TEXT_BYTES, 0);
    int error = errno;
    close(pipes[0]);
    close(pipes[1]);
    errno = error;
    return moved;
}
TRY(read, read(world.pair[0], buffer, TEXT_BYTES));
TRY(__read_chk, __read_chk(world.pair[0], buffer, TEXT_BYTES, TEXT_BYTES));
TRY(readv, readv(world.pair[0], pieces, 2));
TRY(write, write(world.pair[1], text, TEXT_BYTES));
TRY(writev, writev(world.pair[1], pieces, 2));
TRY(pread, pread(world.fd, buffer, TEXT_BYTES, 0));
TRY(pread64, pread64(world.fd, buffer, TEXT_BYTES, 0));
TRY(__pread_chk, __pread_chk(world.fd, buffer, TEXT_BYTES, 0, TEXT_BYTES));
TRY(__pread64_chk, __pread64_chk(world.fd, buffer, TEXT_BYTES, 0, TEXT_BYTES));
TRY(pwrite, pwrite(world.fd, text, TEXT_BYTES, 0));
TRY(pwrite64, pwrite64(world.fd, text, TEXT_BYTES, 0));
TRY(preadv, preadv(world.fd, pieces, 2, 0));
TRY(preadv64, preadv64(world.fd, pieces, 2, 0));
TRY(pwritev, pwritev(world.fd, pieces, 2, 0));
TRY(pwritev64, pwritev64(world.fd, pieces, 2, 0));
/* ---- waiting for events -----------------------------------------------------------------------
 */
TRY(epoll_create, closed(epoll_create(1)));
TRY(epoll_create1, closed(epoll_create1(0)));
TRY_BODY(epoll_ctl)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(world.epoll, EPOLL_CTL_ADD, world.pair[0], &event);
}
TRY_BODY(epoll_wait)
{
    struct epoll_event event;
    return epoll_wait(world.epoll, &event, 1, 0);
}
TRY_BODY(epoll_pwait)
{
    struct epoll_event event;
    return epoll_pwait(world.epoll, &event, 1, 0, NULL);
}
TRY_BODY(epoll_pwait2)
{
    struct epoll_event event;
    return epoll_pwait2(world.epoll, &event, 1, &at_once, NULL);
}
#define READABLE struct pollfd fd = {.fd = world.pair[0], .events = POLLIN}
#define READABLE_SET                                                                               \
    fd_set set;                                                                                    \
    FD_ZERO(&set);                                                                                 \
    FD_SET(world.pair[0], &set)
TRY_BODY(poll)
{
    READABLE;
    return poll(&fd, 1, 0);
}
TRY_BODY(__poll_chk)
{
    READABLE;
    return __poll_chk(&fd, 1, 0, sizeof fd);
}
TRY_BODY(ppoll)
{
    READABLE;
    return ppoll(&fd, 1, &at_once, NULL);
}
TRY_BODY(__ppoll_chk)
{
    READABLE;
    return __ppoll_chk(&fd, 1, &at_once, NULL, sizeof fd);
}
TRY_BODY(select)
{
    READABLE_SET;
    struct timeval now = {0};
    return select(world.pair[0] + 1, &set, NULL, NULL, &now);
}
TRY_BODY(pselect)
{
    READABLE_SET;
    return pselect(world.pair[0] + 1, &set, NULL, NULL, &at_once, NULL);
}
/* ---- files ------------------------------------------------------------------------------------
 */
TRY(open, closed(open(world.file, O_RDONLY)));
TRY(open64, closed(open64(world.file, O_RDWR | O_CREAT, 0600)));
TRY(__open_2, closed(__open_2(world.file, O_RDONLY)));
TRY(__open64_2, closed(__open64_2(world.file, O_RDONLY)));
TRY(openat, closed(openat(world.out, "file", O_RDONLY)));
TRY(openat64, closed(openat64(world.out, "other", O_RDWR | O_CREAT, 0600)));
TRY(__openat_2, closed(__openat_2(world.out, "file", O_RDONLY)));
TRY(__openat64_2, closed(__openat64_2(world.out, "file", O_RDONLY)));
TRY(creat, closed(creat(world.other, 0600)));
TRY(creat64, closed(creat64(world.other, 0600)));
TRY(fopen, fclosed(fopen(world.file, "r")));
TRY(fopen64, fclosed(fopen64(world.file, "r")));
TRY(close, close(dup(0)));
TRY(dup, closed(dup(world.fd)));
TRY(dup2, dup2(world.fd, world.client));
TRY(dup3, dup3(world.fd, world.client, O_CLOEXEC));
TRY(fcntl, closed(fcntl(world.fd, F_DUPFD_CLOEXEC, 3)));
TRY(fcntl64, closed(fcntl64(world.fd, F_DUPFD, 3)));
TRY(fsync, fsync(world.fd));
TRY(fdatasync, fdatasync(world.fd));
TRY(rename, rename(world.file, world.other));
TRY(renameat, renameat(world.out, "file", world.out, "other"));
TRY(renameat2, renameat2(world.out, "file", world.out, "other", 0));
TRY(unlink, unlink(world.file));
TRY(unlinkat, unlinkat(world.out, "file", 0));
static struct stat found;
static struct stat64 found64;
TRY(stat, stat(world.file, &found));
TRY(stat64, stat64(world.file, &found64));
TRY(lstat, lstat(world.file, &found));
TRY(lstat64, lstat64(world.file, &found64));
TRY(fstat, fstat(world.fd, &found));
TRY(fstat64, fstat64(world.fd, &found64));
TRY(fstatat, fstatat(world.out, "file", &found, 0));
TRY(fstatat64, fstatat64(world.out, "file", &found64, 0));
TRY_BODY(statx)
{
    struct statx extended;
    return statx(world.out, "file", 0, STATX_SIZE, &extended);
}
TRY(truncate, truncate(world.file, 1));
TRY(truncate64, truncate64(world.file, 1));
TRY(ftruncate, ftruncate(world.fd, 1));
TRY(ftruncate64, ftruncate64(world.fd, 1));
TRY(chown, chown(world.file, getuid(), getgid()));
TRY(fchown, fchown(world.fd, getuid(), getgid()));
TRY(chmod, chmod(world.file, 0600));
TRY(fchmod, fchmod(world.fd, 0600));
TRY(chdir, chdir("/"));
TRY_BODY(mkdir)
{
    int result = mkdir(world.other, 0700), error = errno;
    rmdir(world.other);
    errno = error;
    return result;
}
/* ---- descriptors of the kernel's own ----------------------------------------------------------
 */
TRY_BODY(pipe)
{
    int fds[2];
    return closed_both(pipe(fds), fds);
}
TRY_BODY(pipe2)
{
    int fds[2];
    return closed_both(pipe2(fds, O_CLOEXEC), fds);
}
TRY(eventfd, closed(eventfd(0, 0)));
TRY_BODY(signalfd)
{
    sigset_t set;
    sigemptyset(&set);
    return closed(signalfd(-1, &set, 0));
}
TRY(timerfd_create, closed(timerfd_create(CLOCK_MONOTONIC, 0)));
TRY_BODY(timerfd_settime)
{
    struct itimerspec never = {.it_value = {0}};
    return timerfd_settime(world.timer, 0, &never, NULL);
}
/* ---- processes --------------------------------------------------------------------------------
 */
static int exits_at_once(void *unused)
{
    (void)unused;
    _exit(0);
}
TRY(fork, forked(fork()));
TRY(_Fork, forked(_Fork()));
TRY(vfork, forked(vfork()));
TRY_BODY(clone)
{
    static char stack[65536] __attribute__((aligned(16)));
    return forked(clone(exits_at_once, stack + sizeof stack, SIGCHLD, NULL));
}
static long spawned(int code, const pid_t *child)
{
    if (code == 0)
        waitpid(*child, NULL, 0);
    return code;
}
TRY_BODY(posix_spawn)
{
    pid_t child = 0;
    return spawned(posix_spawn(&child, TRUE_PATH, NULL, NULL, true_argv, environ), &child);
}
TRY_BODY(posix_spawnp)
{
    pid_t child = 0;
    return spawned(posix_spawnp(&child, "true", NULL, NULL, true_argv, environ), &child);
}
#define DO(name, ...)                                                                              \
    static int name(void)                                                                          \
    {                                                                                              \
        return __VA_ARGS__;                                                                        \
    }
DO(do_execve, execve(TRUE_PATH, true_argv, no_env));
DO(do_execv, execv(TRUE_PATH, true_argv));
DO(do_execvp, execvp("true", true_argv));
DO(do_execvpe, execvpe("true", true_argv, no_env));
DO(do_execl, execl(TRUE_PATH, "true", (char *)NULL));
DO(do_execlp, execlp("true", "true", "an argument", (char *)NULL));
DO(do_execle, execle(TRUE_PATH, "true", (char *)NULL, no_env));
DO(do_fexecve, fexecve(open(TRUE_PATH, O_RDONLY), true_argv, environ));
DO(do_execveat, execveat(AT_FDCWD, TRUE_PATH, true_argv, environ, 0));
TRY(execve, in_child(do_execve));
TRY(execv, in_child(do_execv));
TRY(execvp, in_child(do_execvp));
TRY(execvpe, in_child(do_execvpe));
TRY(execl, in_child(do_execl));
TRY(execlp, in_child(do_execlp));
TRY(execle, in_child(do_execle));
TRY(fexecve, in_child(do_fexecve));
TRY(execveat, in_child(do_execveat));
/* To what it is already: anybody may. Groups only root may set: to anybody else the call counts as
 * made, unless a rule is armed that has made it fail. */
TRY(setuid, setuid(getuid()));
TRY(setgid, setgid(getgid()));
TRY(setreuid, setreuid((uid_t)-1, (uid_t)-1));
TRY(setregid, setregid((gid_t)-1, (gid_t)-1));
TRY(setresuid, setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1));
TRY(setresgid, setresgid((gid_t)-1, (gid_t)-1, (gid_t)-1));
static gid_t groups[64];
static long unless_forbidden(int result)
{
    return result == -1 && errno == EPERM && !world.armed ? 0 : result;
}
TRY(setgroups, unless_forbidden(setgroups((size_t)getgroups(64, groups), groups)));
TRY(initgroups, unless_forbidden(initgroups("root", 0)));
static struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
static struct rlimit64 limit64 = {RLIM64_INFINITY, RLIM64_INFINITY};
TRY(getrlimit, getrlimit(RLIMIT_CPU, &limit));
TRY(getrlimit64, getrlimit64(RLIMIT_CPU, &limit64));
TRY(setrlimit, setrlimit(RLIMIT_CPU, &limit));
TRY(setrlimit64, setrlimit64(RLIMIT_CPU, &limit64));
TRY(setpriority, setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)));
TRY_BODY(sched_setaffinity)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    return sched_setaffinity(0, sizeof set, &set);
}
DO(do_setsid, (errno = 0, setsid()));
TRY(setsid, in_child(do_setsid));
TRY(wait, wait(NULL));
TRY(wait3, wait3(NULL, 0, NULL));
TRY(wait4, wait4(world.child, NULL, 0, NULL));
TRY(waitpid, waitpid(world.child, NULL, 0));
TRY(waitid, waitid(P_PID, (id_t)world.child, NULL, WEXITED));
TRY(kill, kill(getpid(), 0));
TRY(killpg, killpg(getpgrp(), 0));
/* ---- memory and time --------------------------------------------------------------------------
 */
TRY(malloc, freed(malloc(100)));
TRY(calloc, freed(calloc(10, 10)));
TRY(realloc, freed(realloc(NULL, 100)));
TRY(reallocarray, freed(reallocarray(NULL, 10, 10)));
TRY(valloc, freed(valloc(100)));
TRY(pvalloc, freed(pvalloc(100)));
TRY(memalign, freed(memalign(64, 100)));
TRY(aligned_alloc, freed(aligned_alloc(64, 128)));
TRY_BODY(posix_memalign)
{
    void *out = NULL;
    int code = posix_memalign(&out, 64, 100);
    free(out);
    return code;
}
static long unmapped(void *at)
{
    if (at != MAP_FAILED)
        munmap(at, 4096);
    return (long)(intptr_t)at;
}
TRY(memfd_create, closed(memfd_create("test", MFD_CLOEXEC)));
TRY(mmap, unmapped(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
TRY(mmap64, unmapped(mmap64(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
TRY_BODY(clock_gettime)
{
    struct timespec now;
    return clock_gettime(CLOCK_MONOTONIC, &now);
}
TRY_BODY(gettimeofday)
{
    struct timeval now;
    return gettimeofday(&now, NULL);
}
TRY(nanosleep, nanosleep(&at_once, NULL));
TRY(clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &at_once, NULL));

#endif
