/* The kernel's process connector. */
#include "scenarios/witness/watch_connector.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_BYTES = 8 << 20, ACK_WAIT_MS = 500 };

/* struct cn_msg without its open end, which may not stand in the middle of a struct. */
struct connector_head {
    uint32_t idx, val;
    uint32_t seq, ack;
    uint16_t len, flags;
};

/* Some kernels' struct proc_event is longer than ours; all begin the same. */
struct message {
    struct nlmsghdr head;
    struct connector_head connector;
    unsigned char body[256];
};
_Static_assert(sizeof(struct connector_head) == sizeof(struct cn_msg), "the kernel's layout");

static int ask(int fd, enum proc_cn_mcast_op op)
{
    struct {
        struct nlmsghdr head;
        struct connector_head connector;
        uint32_t op;
    } request = {
        .head = {.nlmsg_len = sizeof request, .nlmsg_type = NLMSG_DONE, .nlmsg_pid = 0},
        .connector = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC, .len = sizeof request.op},
        .op = op,
    };
    return send(fd, &request, sizeof request, 0) == sizeof request ? 0 : -errno;
}

/* One datagram's event. 1 got one, 0 nothing there, or a negative errno. */
static int receive(int fd, struct proc_event *event)
{
    struct message message;
    struct sockaddr_nl from = {.nl_family = AF_NETLINK};
    socklen_t from_len = sizeof from;
    ssize_t len =
        recvfrom(fd, &message, sizeof message, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (len < 0)
        return errno == EAGAIN ? 0 : -errno;
    memset(event, 0, sizeof *event);
    bool ours = from.nl_pid == 0 && (size_t)len > offsetof(struct message, body) &&
                message.connector.idx == CN_IDX_PROC && message.connector.val == CN_VAL_PROC;
    if (!ours)
        event->what = PROC_EVENT_COMM; /* nothing of interest */
    else
        memcpy(event, message.body,
               message.connector.len < sizeof *event ? message.connector.len : sizeof *event);
    return 1;
}

/* The kernel answers a subscription with an event that says nothing but whether it worked; outside
 * of the first pid namespace it may stay silent. */
static bool acknowledged(int fd, char *why, size_t why_size)
{
    struct proc_event event;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (poll(&wait, 1, ACK_WAIT_MS) > 0) {
        int got = receive(fd, &event);
        if (got > 0 && event.what == PROC_EVENT_NONE) {
            if (event.event_data.ack.err == 0)
                return true;
            snprintf(why, why_size, "the process connector says: %s",
                     strerror((int)event.event_data.ack.err));
            return false;
        }
    }
    snprintf(why, why_size, "the process connector does not answer (another pid namespace?)");
    return false;
}

int connector_open(char *why, size_t why_size)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    int size = RECEIVE_BYTES;
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
    if (fd < 0) {
        snprintf(why, why_size, "no process connector: %s", strerror(errno));
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    int error = bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0 ? 0 : -errno;
    if (!error)
        error = ask(fd, PROC_CN_MCAST_LISTEN);
    if (error)
        snprintf(why, why_size, "the process connector needs root: %s", strerror(-error));
    if (!error && acknowledged(fd, why, why_size))
        return fd;
    close(fd);
    return -1;
}

void connector_close(int fd)
{
    ask(fd, PROC_CN_MCAST_IGNORE);
    close(fd);
}

/* Events of threads other than a process's first say nothing about processes. */
static bool translate(const struct proc_event *raw, struct connector_event *event)
{
    *event = (struct connector_event){.t_ns = raw->timestamp_ns};
    switch (raw->what) {
    case PROC_EVENT_FORK:
        event->what = CONNECTOR_FORK;
        event->pid = raw->event_data.fork.child_tgid;
        event->parent = raw->event_data.fork.parent_tgid;
        return raw->event_data.fork.child_pid == raw->event_data.fork.child_tgid;
    case PROC_EVENT_EXEC:
        event->what = CONNECTOR_EXEC;
        event->pid = raw->event_data.exec.process_tgid;
        return true;
    case PROC_EVENT_EXIT:
        event->what = CONNECTOR_EXIT;
        event->pid = raw->event_data.exit.process_tgid;
        event->wait_status = raw->event_data.exit.exit_code;
        return raw->event_data.exit.process_pid == raw->event_data.exit.process_tgid;
    default:
        return false;
    }
}

void connector_read(int fd, void (*take)(void *arg, const struct connector_event *event), void *arg)
{
    struct proc_event raw;
    for (int got; (got = receive(fd, &raw)) != 0;) {
        struct connector_event event = {.what = CONNECTOR_LOST};
        if (got == -ENOBUFS || (got > 0 && translate(&raw, &event)))
            take(arg, &event);
        else if (got < 0 && got != -EINTR)
            return;
    }
}
