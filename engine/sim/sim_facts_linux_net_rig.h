/* The kernel facts as Linux has them: listeners and connections. */
#ifndef ENGINE_SIM_SIM_FACTS_LINUX_NET_RIG_H
#define ENGINE_SIM_SIM_FACTS_LINUX_NET_RIG_H

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include "engine/sim/sim_facts_linux_rig.h"

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

/* A network of its own with a setting of its own, so that nobody else meets it. 0 or an errno. */
static int linux_own_network(const char *setting, const char *value)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return errno;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (ioctl(fd, SIOCSIFFLAGS, &lo) != 0)
        return errno;
    FILE *file = fopen(setting, "w");
    return file != NULL && fputs(value, file) >= 0 && fclose(file) == 0 ? 0 : errno;
}

/* The queue is full for `full_ms` from when a client sends its SYN. */
static long linux_seconds_until_connected(int full_ms)
{
    struct timespec begun, done;
    int listener = linux_listen(0);
    linux_connected();
    clock_gettime(CLOCK_MONOTONIC, &begun);
    int late = linux_begin_connect();
    linux_await_connect(late, full_ms);
    linux_accept(listener);
    if (linux_await_connect(late, PATIENCE_MS) != 0)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &done);
    long ms = (done.tv_sec - begun.tv_sec) * 1000 + (done.tv_nsec - begun.tv_nsec) / 1000000;
    return (ms + 100) / 1000;
}

static long linux_dropped_syn_returns(void)
{
    return linux_seconds_until_connected(200);
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

static void linux_reset(int client)
{
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(client);
}

static long linux_data_before_reset_is_read(void)
{
    char byte;
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    send(client, "x", 1, 0);
    linux_await_input(fd);
    linux_reset(client);
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

/* ---- more of listeners */

static long linux_address_in_use(void)
{
    linux_listen(4);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return bind(fd, (struct sockaddr *)(void *)&linux_address, sizeof(linux_address)) != 0 ? errno
                                                                                           : 0;
}

/* Older ones than 6.5 do not know the setting, and do as if it were 0. */
static int linux_syn_linear(const char *timeouts)
{
    int error = linux_own_network("/proc/sys/net/ipv4/tcp_syn_linear_timeouts", timeouts);
    return error == ENOENT && *timeouts == '0' ? 0 : error;
}

static long linux_dropped_syn_waits_longer(void)
{
    int error = linux_syn_linear("0");
    return error != 0 ? LINUX_CANNOT - error : linux_seconds_until_connected(1500);
}

static long linux_dropped_syn_waits_longer_still(void)
{
    int error = linux_syn_linear("0");
    return error != 0 ? LINUX_CANNOT - error : linux_seconds_until_connected(3500);
}

static long linux_dropped_syn_every_second(void)
{
    int error = linux_syn_linear("4");
    return error != 0 ? LINUX_CANNOT - error : linux_seconds_until_connected(3500);
}

static long linux_dropped_syn_then_waits_longer(void)
{
    int error = linux_syn_linear("2");
    return error != 0 ? LINUX_CANNOT - error : linux_seconds_until_connected(2500);
}

/* The clients send their numbers. */
static long linux_accept_keeps_order(void)
{
    int listener = linux_listen(8);
    for (char number = 0; number < 3; number++)
        send(linux_connected(), &number, 1, 0);
    for (char number = 0; number < 3; number++) {
        char got = -1;
        int fd = linux_accept(listener);
        linux_await_input(fd);
        if (recv(fd, &got, 1, 0) != 1 || got != number)
            return 0;
    }
    return 1;
}

static long linux_queue_outlives_worker(void)
{
    int listener = linux_listen(4);
    pid_t worker = linux_child(NULL);
    linux_connected();
    linux_await_input(listener);
    kill(worker, SIGKILL);
    linux_await_end(worker);
    return accept(listener, NULL, NULL) >= 0;
}

static long linux_reset_in_queue_is_accepted(void)
{
    char byte;
    int listener = linux_listen(4), client = linux_connected();
    linux_await_input(listener);
    linux_reset(client);
    int fd = accept(listener, NULL, NULL);
    struct pollfd error = {.fd = fd};
    poll(&error, 1, PATIENCE_MS);
    return fd >= 0 && recv(fd, &byte, 1, 0) < 0 ? errno : 0;
}

/* A child accepts the client and is killed. */
static long linux_killed_server(bool sends)
{
    int listener = linux_listen(4), client = linux_connected();
    pid_t server = linux_child(NULL);
    kill(server, SIGKILL);
    linux_await_end(server);
    int ready[2];
    char byte = 'x';
    if (pipe(ready) != 0)
        return -1;
    server = fork();
    if (server == 0) {
        int fd = linux_accept(listener);
        if (sends)
            linux_await_input(fd);
        byte = (char)write(ready[1], "r", 1);
        for (;;)
            pause();
    }
    if (sends)
        send(client, &byte, 1, 0);
    if (read(ready[0], &byte, 1) != 1)
        return -1;
    kill(server, SIGKILL);
    return linux_client_result(client);
}

static long linux_death_resets_unread(void)
{
    return linux_killed_server(true);
}

static long linux_death_ends_the_rest(void)
{
    return linux_killed_server(false);
}

static long linux_half_closed_still_reads(void)
{
    char byte;
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    shutdown(fd, SHUT_WR);
    bool ended = linux_client_result(client) == 0;
    send(client, "x", 1, MSG_NOSIGNAL);
    linux_await_input(fd);
    return ended && recv(fd, &byte, 1, 0) == 1 && send(client, "x", 1, MSG_NOSIGNAL) == 1;
}

static long linux_send_after_close_is_reset(void)
{
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    close(client);
    linux_await_input(fd);
    bool first = send(fd, "x", 1, MSG_NOSIGNAL) == 1;
    struct pollfd error = {.fd = fd};
    poll(&error, 1, PATIENCE_MS);
    return first && send(fd, "x", 1, MSG_NOSIGNAL) < 0;
}

/* ---- groups of listeners */

enum { LINUX_GROUP_CLIENTS = 64 };

/* Two listeners that share a port, and clients that have connected to it. */
static bool linux_group(int listeners[2], int clients[LINUX_GROUP_CLIENTS])
{
    int on = 1;
    socklen_t len = sizeof(linux_address);
    struct sockaddr *address = (struct sockaddr *)(void *)&linux_address;
    linux_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 2; i++) {
        listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(listeners[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        if (bind(listeners[i], address, len) != 0 || listen(listeners[i], 128) != 0 ||
            getsockname(listeners[i], address, &len) != 0)
            return false;
    }
    for (int i = 0; i < LINUX_GROUP_CLIENTS; i++)
        clients[i] = linux_connected();
    return true;
}

static long linux_accept_all(int listener)
{
    long count = 0;
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    while (poll(&ready, 1, 200) == 1 && accept(listener, NULL, NULL) >= 0)
        count++;
    return count;
}

static long linux_reuseport_spreads(void)
{
    int listeners[2], clients[LINUX_GROUP_CLIENTS];
    if (!linux_group(listeners, clients))
        return -1;
    return (linux_accept_all(listeners[0]) > 0) + (linux_accept_all(listeners[1]) > 0);
}

static long linux_reuseport_close_resets(void)
{
    int listeners[2], clients[LINUX_GROUP_CLIENTS];
    long reset = 0;
    if (!linux_group(listeners, clients))
        return -1;
    close(listeners[0]);
    long accepted = linux_accept_all(listeners[1]);
    for (int i = 0; i < LINUX_GROUP_CLIENTS; i++) {
        struct pollfd error = {.fd = clients[i]};
        reset += poll(&error, 1, 0) == 1;
    }
    return reset + accepted == LINUX_GROUP_CLIENTS ? 10 * (reset > 0) + (accepted > 0) : -1;
}

static long linux_reuseport_migrates(void)
{
    int listeners[2], clients[LINUX_GROUP_CLIENTS];
    int error = linux_own_network("/proc/sys/net/ipv4/tcp_migrate_req", "1");
    if (error != 0)
        return LINUX_CANNOT - error;
    if (!linux_group(listeners, clients))
        return -1;
    close(listeners[0]);
    return linux_accept_all(listeners[1]);
}

/* ---- connections that a process makes */

static long linux_connect_needs_no_accept(void)
{
    char byte;
    int listener = linux_listen(4), client = linux_connected();
    if (client < 0 || send(client, "x", 1, MSG_NOSIGNAL) != 1)
        return 0;
    int fd = linux_accept(listener);
    linux_await_input(fd);
    return recv(fd, &byte, 1, 0) == 1;
}

static long linux_connector_death_ends(void)
{
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    pid_t child = linux_child(NULL);
    close(client);
    kill(child, SIGKILL);
    return linux_client_result(fd);
}

static long linux_unread_answer_resets(void)
{
    int listener = linux_listen(4), client = linux_connected(), fd = linux_accept(listener);
    send(fd, "x", 1, MSG_NOSIGNAL);
    linux_await_input(client);
    close(client);
    return linux_client_result(fd);
}

#endif
