/* Listening sockets, as the kernel's socket diagnosis tells them. */
#include "scenarios/witness/watch_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A queue is recorded when it changes, and at least this often. */
static const uint64_t repeat_ns = 100000000;

static void put(struct watch_listen *l, enum hist_kind kind, uint64_t t_ns, uint64_t a, uint64_t b,
                uint64_t c)
{
    struct hist_record record = {
        .t_ns = t_ns, .kind = (uint16_t)kind, .slot = -1, .a = a, .b = b, .c = c};
    hist_put(l->history, &record);
}

/* ---- one look ---------------------------------------------------------------------------------
 */

static void note_socket(struct watch_listen *l, const struct inet_diag_msg *msg)
{
    uint16_t port = ntohs(msg->id.idiag_sport);
    size_t i = 0;
    while (i < l->port_count && l->ports[i].port != port)
        i++;
    if (i == l->port_count)
        return;
    l->ports[i].sockets++;
    l->ports[i].waiting += msg->idiag_rqueue;
    l->ports[i].limit += msg->idiag_wqueue;
    for (i = 0; i < l->socket_count; i++)
        if (l->sockets[i].inode == msg->idiag_inode && l->sockets[i].port == port) {
            l->sockets[i].seen = true;
            return;
        }
    if (l->socket_count == WATCH_SOCKETS_MAX)
        return;
    l->sockets[l->socket_count++] =
        (struct watch_socket){.inode = msg->idiag_inode, .port = port, .seen = true};
    put(l, HIST_WATCH_LISTEN, hist_now_ns(), port, 1, msg->idiag_inode);
    l->changes++;
}

static int ask(int fd, uint8_t family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {
        .head = {.nlmsg_len = sizeof request,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = 1u << TCP_LISTEN},
    };
    return send(fd, &request, sizeof request, 0) == sizeof request ? 0 : -errno;
}

/* Reads one family's sockets. False: the dump failed and says nothing. */
static bool read_family(struct watch_listen *l, uint8_t family)
{
    _Alignas(struct nlmsghdr) char buf[32768];
    if (ask(l->fd, family) != 0)
        return false;
    for (;;) {
        ssize_t len = recv(l->fd, buf, sizeof buf, 0);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return false;
        const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)buf;
        for (; NLMSG_OK(head, len); head = NLMSG_NEXT(head, len)) {
            if (head->nlmsg_type == NLMSG_DONE)
                return true;
            if (head->nlmsg_type == NLMSG_ERROR)
                return false;
            if (head->nlmsg_type == SOCK_DIAG_BY_FAMILY)
                note_socket(l, NLMSG_DATA(head));
        }
    }
}

static void forget_unseen(struct watch_listen *l, uint64_t now_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->socket_count; i++) {
        if (l->sockets[i].seen) {
            l->sockets[kept++] = l->sockets[i];
            continue;
        }
        put(l, HIST_WATCH_LISTEN, now_ns, l->sockets[i].port, 0, l->sockets[i].inode);
        l->changes++;
    }
    l->socket_count = kept;
}

void watch_listen_look(struct watch_listen *l)
{
    struct watch_port before[WATCH_PORTS_MAX];
    if (l->fd < 0)
        return;
    memcpy(before, l->ports, sizeof before);
    for (size_t i = 0; i < l->port_count; i++)
        l->ports[i].sockets = l->ports[i].waiting = l->ports[i].limit = 0;
    for (size_t i = 0; i < l->socket_count; i++)
        l->sockets[i].seen = false;
    if (!read_family(l, AF_INET) || !read_family(l, AF_INET6)) {
        memcpy(l->ports, before, sizeof before);
        return;
    }
    /* Who filled a queue, or closed a socket, did it before this. */
    uint64_t now_ns = hist_now_ns();
    forget_unseen(l, now_ns);
    for (size_t i = 0; i < l->port_count; i++) {
        struct watch_port *p = &l->ports[i];
        bool changed = p->waiting != before[i].waiting || p->limit != before[i].limit;
        if (p->sockets == 0 || (!changed && now_ns - p->recorded_ns < repeat_ns))
            continue;
        p->recorded_ns = now_ns;
        put(l, HIST_WATCH_QUEUE, now_ns, p->port, p->waiting, p->limit);
        l->changes += changed;
    }
}

/* ---- opening ----------------------------------------------------------------------------------
 */

int watch_listen_open(struct watch_listen *l, const uint16_t *ports, size_t count,
                      struct hist_writer *history)
{
    *l = (struct watch_listen){.fd = -1, .history = history, .port_count = count};
    for (size_t i = 0; i < count; i++)
        l->ports[i].port = ports[i];
    if (count == 0)
        return 0;
    l->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (l->fd < 0)
        return -errno;
    watch_listen_look(l);
    return 0;
}

void watch_listen_close(struct watch_listen *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
