/* The kernel facts as Linux has them: linux_SYMBOL() for each line of facts.def. Each runs in a
 * process of its own, so what it does to signals and limits is gone with it. Waiting is always for
 * something that happens, with a bound. */
#ifndef ENGINE_SIM_SIM_FACTS_LINUX_RIG_H
#define ENGINE_SIM_SIM_FACTS_LINUX_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

static volatile sig_atomic_t linux_count;

static void linux_counts(int number)
{
    (void)number;
    linux_count = linux_count + 1;
}

static void linux_handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(number, &action, NULL);
}

static void linux_mask(int how, int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(how, &set, NULL);
}

static long linux_wait_killer(pid_t pid)
{
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* A child that waits to be ended; it first does what `prepare` says, if anything. Returns when it
 * has. */
static pid_t linux_child(void (*prepare)(void))
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (prepare != NULL)
            prepare();
        byte = (char)write(ready[1], "r", 1);
        for (;;)
            pause();
    }
    close(ready[1]);
    byte = (char)read(ready[0], &byte, 1);
    close(ready[0]);
    return pid;
}

/* A child that has executed another program; a pipe that closes on exec tells when. */
static pid_t linux_exec_child(void (*handler)(int))
{
    int gone[2];
    char byte;
    if (pipe2(gone, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        linux_handle(SIGUSR1, handler);
        execl("/bin/sleep", "sleep", "60", (char *)NULL);
        _exit(127);
    }
    close(gone[1]);
    while (read(gone[0], &byte, 1) > 0)
        ;
    close(gone[0]);
    return pid;
}

/* Until the child is a zombie, which this leaves there. */
static void linux_await_end(pid_t pid)
{
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

/* ---- signals */

static long linux_signals_coalesce(void)
{
    linux_handle(SIGUSR1, linux_counts);
    linux_mask(SIG_BLOCK, SIGUSR1);
    for (int i = 0; i < 3; i++)
        kill(getpid(), SIGUSR1);
    linux_mask(SIG_UNBLOCK, SIGUSR1);
    return linux_count;
}

static long linux_sigchld_coalesces(void)
{
    pid_t children[3];
    long reaped = 0;
    linux_handle(SIGCHLD, linux_counts);
    linux_mask(SIG_BLOCK, SIGCHLD);
    for (int i = 0; i < 3; i++)
        if ((children[i] = fork()) == 0)
            _exit(0);
    for (int i = 0; i < 3; i++)
        linux_await_end(children[i]);
    linux_mask(SIG_UNBLOCK, SIGCHLD);
    for (int i = 0; i < 3; i++)
        reaped += waitpid(children[i], NULL, WNOHANG) > 0;
    return linux_count * 10 + reaped;
}

static long linux_fork_keeps_handlers(void)
{
    int status = 0;
    linux_handle(SIGUSR1, linux_counts);
    pid_t pid = fork();
    if (pid == 0) {
        kill(getpid(), SIGUSR1);
        _exit(linux_count);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static long linux_fork_keeps_mask(void)
{
    linux_mask(SIG_BLOCK, SIGTERM);
    pid_t pid = linux_child(NULL);
    kill(pid, SIGTERM);
    kill(pid, SIGKILL);
    return linux_wait_killer(pid);
}

static long linux_fork_drops_pending(void)
{
    int status = 0;
    linux_mask(SIG_BLOCK, SIGTERM);
    kill(getpid(), SIGTERM);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t set;
        sigpending(&set);
        _exit(sigismember(&set, SIGTERM));
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static long linux_exec_resets_handlers(void)
{
    pid_t pid = linux_exec_child(linux_counts);
    kill(pid, SIGUSR1);
    return linux_wait_killer(pid);
}

static long linux_exec_keeps_ignored(void)
{
    pid_t pid = linux_exec_child(SIG_IGN);
    kill(pid, SIGUSR1);
    kill(pid, SIGKILL);
    return linux_wait_killer(pid);
}

static long linux_early_signal_kills(void)
{
    pid_t pid = linux_child(NULL);
    kill(pid, SIGTERM);
    return linux_wait_killer(pid);
}

static long linux_blocked_waits_for_handler(void)
{
    linux_mask(SIG_BLOCK, SIGTERM);
    kill(getpid(), SIGTERM);
    linux_handle(SIGTERM, linux_counts);
    linux_mask(SIG_UNBLOCK, SIGTERM);
    return linux_count;
}

static long linux_stopped_keeps_pending(void)
{
    int status = 0;
    pid_t pid = linux_child(NULL);
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    kill(pid, SIGTERM);
    if (!WIFSTOPPED(status) || waitpid(pid, &status, WNOHANG) != 0)
        return 0;
    kill(pid, SIGCONT);
    return linux_wait_killer(pid);
}

static long linux_kill_ends_stopped(void)
{
    pid_t pid = linux_child(NULL);
    kill(pid, SIGSTOP);
    waitpid(pid, NULL, WUNTRACED);
    kill(pid, SIGKILL);
    return linux_wait_killer(pid);
}

static long linux_ignoring_discards_pending(void)
{
    linux_handle(SIGUSR1, linux_counts);
    linux_mask(SIG_BLOCK, SIGUSR1);
    kill(getpid(), SIGUSR1);
    linux_handle(SIGUSR1, SIG_IGN);
    linux_handle(SIGUSR1, linux_counts);
    linux_mask(SIG_UNBLOCK, SIGUSR1);
    return linux_count;
}

/* ---- processes */

static pid_t linux_zombie(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    linux_await_end(pid);
    return pid;
}

static long linux_zombie_is_signalled(void)
{
    return kill(linux_zombie(), SIGTERM);
}

static long linux_reaped_is_gone(void)
{
    pid_t pid = linux_zombie();
    waitpid(pid, NULL, 0);
    return kill(pid, 0) == 0 ? 0 : errno;
}

/* The number that a child writes to the pipe it is given. */
static long linux_told(pid_t (*child)(int out))
{
    int out[2];
    long told = -1;
    if (pipe(out) != 0)
        return -1;
    child(out[1]);
    close(out[1]);
    if (read(out[0], &told, sizeof(told)) != (ssize_t)sizeof(told))
        told = -1;
    close(out[0]);
    return told;
}

static pid_t linux_grandparent(int out)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    pid_t grandchild = fork();
    long told = grandchild;
    if (grandchild == 0) {
        for (;;)
            pause();
    }
    if (write(out, &told, sizeof(told)) != (ssize_t)sizeof(told))
        _exit(1);
    for (;;)
        pause();
}

static long linux_wait_for_strangers(void)
{
    pid_t grandchild = (pid_t)linux_told(linux_grandparent);
    long result = waitpid(grandchild, NULL, WNOHANG) < 0 ? errno : 0;
    kill(grandchild, SIGKILL);
    return result;
}

static long linux_wait_for_the_living(void)
{
    return waitpid(linux_child(NULL), NULL, WNOHANG);
}

static long linux_ignored_sigchld_reaps(void)
{
    linux_handle(SIGCHLD, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return waitpid(pid, NULL, 0) < 0 ? errno : 0;
}

/* Its child ends; what then is the grandchild's parent? */
static pid_t linux_orphan(int out)
{
    pid_t child = fork();
    if (child != 0) {
        waitpid(child, NULL, 0);
        return child;
    }
    pid_t parent = getpid();
    if (fork() != 0)
        _exit(0);
    while (getppid() == parent)
        poll(NULL, 0, 1);
    long told = getppid();
    _exit(write(out, &told, sizeof(told)) != (ssize_t)sizeof(told));
}

static long linux_subreaper_adopts(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return linux_told(linux_orphan) == getpid();
}

/* ---- descriptors */

static long linux_lowest_descriptor(void)
{
    int first = open("/dev/null", O_RDONLY), second = open("/dev/null", O_RDONLY);
    (void)second;
    close(first);
    return open("/dev/null", O_RDONLY) == first;
}

static int linux_exhaust(void)
{
    struct rlimit limit = {.rlim_cur = 24, .rlim_max = 24};
    int fd, last = -1;
    setrlimit(RLIMIT_NOFILE, &limit);
    while ((fd = dup(STDERR_FILENO)) >= 0)
        last = fd;
    return last;
}

static long linux_limit_gives_emfile(void)
{
    linux_exhaust();
    return open("/dev/null", O_RDONLY) < 0 ? errno : 0;
}

static struct sockaddr_in linux_address;

static int linux_listen(int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(linux_address);
    linux_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *address = (struct sockaddr *)(void *)&linux_address;
    if (bind(fd, address, len) != 0 || getsockname(fd, address, &len) != 0)
        return -1;
    return backlog < 0 || listen(fd, backlog) == 0 ? fd : -1;
}

/* 0, or the errno the connect ends with; ETIMEDOUT: not within `ms`. */
static int linux_await_connect(int fd, int ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof(error);
    if (poll(&ready, 1, ms) <= 0)
        return ETIMEDOUT;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

static int linux_begin_connect(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)(void *)&linux_address, sizeof(linux_address)) != 0 &&
        errno != EINPROGRESS && errno != ECONNREFUSED)
        return -1;
    return fd;
}

static int linux_connected(void)
{
    int fd = linux_begin_connect();
    return linux_await_connect(fd, PATIENCE_MS) == 0 ? fd : -1;
}

static void linux_await_input(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    poll(&ready, 1, PATIENCE_MS);
}

static int linux_accept(int listener)
{
    linux_await_input(listener);
    return accept(listener, NULL, NULL);
}

static long linux_accept_at_limit(void)
{
    int fd = linux_listen(1);
    linux_exhaust();
    return accept(fd, NULL, NULL) < 0 ? errno : 0;
}

static long linux_emfile_keeps_client(void)
{
    int fd = linux_listen(1);
    linux_connected();
    int last = linux_exhaust();
    if (linux_accept(fd) >= 0 || errno != EMFILE)
        return 0;
    close(last);
    return linux_accept(fd) == last;
}

/* The new program is a shell that looks for the descriptor among its own. */
static long linux_close_on_exec(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 9), status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (fd != 9)
            _exit(4);
        execl("/bin/sh", "sh", "-c", "test -e /proc/self/fd/9 && exit 1; exit 0", (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status) + 2 * (fcntl(fd, F_GETFD) < 0);
}

static long linux_channel_end_by_last_copy(void)
{
    int fds[2];
    char byte;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds) != 0)
        return -1;
    pid_t pid = linux_child(NULL);
    close(fds[1]);
    bool before = recv(fds[0], &byte, 1, 0) < 0 && errno == EAGAIN;
    kill(pid, SIGKILL);
    linux_await_end(pid);
    return before && recv(fds[0], &byte, 1, 0) == 0;
}

/* ---- listeners and connections */

static long linux_refused_without_listener(void)
{
    linux_listen(-1); /* a port that is ours, and nobody listens */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)(void *)&linux_address, sizeof(linux_address)) ? errno
                                                                                         : 0;
}

static long linux_listener_is_shared(void)
{
    int fd = linux_listen(4);
    linux_child(NULL);
    close(fd);
    return linux_connected() >= 0;
}

static long linux_backlog_plus_one(void)
{
    long connected = 0;
    linux_listen(2);
    for (int i = 0; i < 5; i++)
        connected += linux_await_connect(linux_begin_connect(), 200) == 0;
    return connected;
}

static long linux_dropped_syn_returns(void)
{
    struct timespec begun, done;
    int listener = linux_listen(0);
    linux_connected();
    clock_gettime(CLOCK_MONOTONIC, &begun);
    int late = linux_begin_connect();
    linux_await_connect(late, 200);
    linux_accept(listener);
    if (linux_await_connect(late, PATIENCE_MS) != 0)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &done);
    long ms = (done.tv_sec - begun.tv_sec) * 1000 + (done.tv_nsec - begun.tv_nsec) / 1000000;
    return (ms + 100) / 1000;
}

/* What the client's recv says when something has come: 0 the end, else its errno. */
static long linux_client_result(int client)
{
    char byte;
    linux_await_input(client);
    ssize_t got = recv(client, &byte, 1, 0);
    return got == 0 ? 0 : got > 0 ? -1 : errno;
}

static long linux_closing_listener_resets_queue(void)
{
    int listener = linux_listen(4), client = linux_connected();
    linux_await_input(listener);
    close(listener);
    return linux_client_result(client);
}

static long linux_unread_input_resets(void)
{
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    send(client, "x", 1, 0);
    linux_await_input(fd);
    close(fd);
    return linux_client_result(client);
}

static long linux_clean_close_ends(void)
{
    char byte;
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    send(client, "x", 1, 0);
    linux_await_input(fd);
    recv(fd, &byte, 1, 0);
    close(fd);
    return linux_client_result(client);
}

static long linux_closed_socket_resets_late_data(void)
{
    int listener = linux_listen(4), client = linux_connected();
    close(linux_accept(listener));
    if (linux_client_result(client) != 0)
        return 0;
    send(client, "x", 1, MSG_NOSIGNAL);
    struct pollfd error = {.fd = client};
    return poll(&error, 1, PATIENCE_MS) == 1 && (error.revents & (POLLERR | POLLHUP)) != 0 &&
           send(client, "x", 1, MSG_NOSIGNAL) < 0;
}

static long linux_data_before_reset_is_read(void)
{
    struct linger at_once = {.l_onoff = 1};
    char byte;
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    send(client, "x", 1, 0);
    linux_await_input(fd);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(client);
    struct pollfd error = {.fd = fd};
    poll(&error, 1, PATIENCE_MS);
    return recv(fd, &byte, 1, 0) == 1;
}

static long linux_half_close_is_end(void)
{
    char byte;
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    shutdown(client, SHUT_WR);
    linux_await_input(fd);
    return recv(fd, &byte, 1, 0);
}

#endif
