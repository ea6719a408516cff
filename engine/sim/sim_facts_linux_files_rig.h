/* The kernel facts as Linux has them: descriptors and channels. */
#ifndef ENGINE_SIM_SIM_FACTS_LINUX_FILES_RIG_H
#define ENGINE_SIM_SIM_FACTS_LINUX_FILES_RIG_H

#include "engine/sim/sim_facts_linux_net_rig.h"

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

static long linux_accept_at_limit(void)
{
    int fd = linux_listen(1);
    linux_exhaust();
    return accept(fd, NULL, NULL) < 0 ? errno : 0;
}

static long linux_connect_at_limit(void)
{
    linux_listen(4);
    linux_exhaust();
    return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
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

static long linux_lowered_limit_closes_nothing(void)
{
    const struct rlimit limit = {.rlim_cur = 8, .rlim_max = 8};
    int high = fcntl(STDERR_FILENO, F_DUPFD, 20);
    setrlimit(RLIMIT_NOFILE, &limit);
    while (dup(STDERR_FILENO) >= 0)
        ;
    return errno == EMFILE && fcntl(high, F_GETFD) == 0;
}

static long linux_exec_keeps_descriptors(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD, 9), status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (fd != 9)
            _exit(4);
        execl("/bin/sh", "sh", "-c", "test -e /proc/self/fd/9 && exit 1; exit 0", (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

/* ---- channels */

static bool linux_channel(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds) == 0;
}

static bool linux_say(int fd, uint32_t word)
{
    return send(fd, &word, sizeof(word), MSG_NOSIGNAL) == (ssize_t)sizeof(word);
}

/* The word; 0: the end, -1: none. */
static long linux_hear(int fd)
{
    uint32_t word = 0;
    ssize_t got = recv(fd, &word, sizeof(word), 0);
    return got > 0 ? (long)word : got;
}

static long linux_channel_keeps_order(void)
{
    int fds[2];
    if (!linux_channel(fds))
        return -1;
    for (uint32_t word = 1; word <= 3; word++)
        linux_say(fds[0], word);
    long first = linux_hear(fds[1]), second = linux_hear(fds[1]);
    return first * 100 + second * 10 + linux_hear(fds[1]);
}

static long linux_channel_to_nobody(void)
{
    int fds[2];
    if (!linux_channel(fds))
        return -1;
    close(fds[1]);
    return linux_say(fds[0], 1) ? 0 : errno;
}

static long linux_channel_fills_up(void)
{
    int fds[2];
    if (!linux_channel(fds))
        return -1;
    for (int i = 0; i < 1000000 && linux_say(fds[0], 1); i++)
        ;
    int error = errno;
    while (linux_hear(fds[1]) > 0)
        ;
    return linux_say(fds[0], 1) ? error : 0;
}

static long linux_channel_unread_is_read(void)
{
    int fds[2];
    if (!linux_channel(fds))
        return -1;
    linux_say(fds[0], 7);
    close(fds[0]);
    return linux_hear(fds[1]) == 7 && linux_hear(fds[1]) == 0;
}

union linux_control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

static struct msghdr linux_message(union linux_control *control, struct iovec *word)
{
    return (struct msghdr){.msg_iov = word,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof(*control)};
}

static bool linux_pass(int fd, int passed)
{
    uint32_t word = 1;
    union linux_control control = {.header = {.cmsg_level = SOL_SOCKET,
                                              .cmsg_type = SCM_RIGHTS,
                                              .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct iovec part = {&word, sizeof(word)};
    struct msghdr message = linux_message(&control, &part);
    *(int *)(void *)CMSG_DATA(&control.header) = passed;
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof(word);
}

static int linux_take(int fd)
{
    uint32_t word;
    union linux_control control;
    struct iovec part = {&word, sizeof(word)};
    struct msghdr message = linux_message(&control, &part);
    if (recvmsg(fd, &message, 0) <= 0 || message.msg_controllen == 0)
        return -1;
    return *(int *)(void *)CMSG_DATA(&control.header);
}

static long linux_passed_descriptor_lives(void)
{
    int fds[2], listener = linux_listen(4);
    if (!linux_channel(fds) || !linux_pass(fds[0], listener))
        return -1;
    close(listener);
    listener = linux_take(fds[1]);
    return listener >= 0 && linux_connected() >= 0 && linux_accept(listener) >= 0;
}

static long linux_descriptor_in_flight_lives(void)
{
    int fds[2], listener = linux_listen(4);
    if (!linux_channel(fds) || !linux_pass(fds[0], listener))
        return -1;
    close(listener);
    bool alive = linux_connected() >= 0;
    close(fds[1]);
    close(fds[0]);
    int fd = linux_begin_connect();
    return alive && linux_await_connect(fd, PATIENCE_MS) != 0;
}

static long linux_channel_end_by_last_copy(void)
{
    int fds[2];
    char byte;
    if (!linux_channel(fds))
        return -1;
    pid_t pid = linux_child(NULL);
    close(fds[1]);
    bool before = recv(fds[0], &byte, 1, 0) < 0 && errno == EAGAIN;
    kill(pid, SIGKILL);
    linux_await_end(pid);
    return before && recv(fds[0], &byte, 1, 0) == 0;
}

#endif
