/* The one door to the kernel: thin wrappers in which system fault points fire.
 *
 * - The result is the system call's, or a negative errno; errno is read in this file only.
 * - A real EINTR is retried here wherever the caller could do nothing else. An injected errno,
 *   EINTR among them, is handed to the caller as it is: the rule says what the caller shall see.
 * - A point fires once per call, before the kernel is asked; an injected failure leaves the kernel
 *   untouched, except for close, which closes all the same as Linux does.
 * - `short` makes the length smaller, so that the kernel really moves less; `corrupt` flips one bit
 *   of what is moved. */
#include "engine/os/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "engine/os/sys_ask.h"

enum { IOV_SHORT_MAX = 64, CORRUPT_BYTES_MAX = 4096 };

/* What an armed rule does to a transfer. */
struct tamper {
    int error;    /* negative errno, or 0 */
    bool corrupt; /* flip a bit; `where` chooses it */
    uint64_t where;
};

static FAULT_INLINE struct tamper tamper_with(enum fault_point point, size_t *len)
{
    struct fault_hit hit;
    struct tamper t = {0};
    if (!fault_check(point, &hit))
        return t;
    if (hit.kind == FAULT_ERRNO)
        t.error = -(int)hit.value;
    else if (hit.kind == FAULT_SHORT && (uint64_t)hit.value < *len)
        *len = (size_t)hit.value;
    else if (hit.kind == FAULT_CORRUPT) {
        t.corrupt = true;
        t.where = (uint64_t)hit.value;
    }
    return t;
}

static void flip_bit(void *buf, size_t len, uint64_t where)
{
    if (len > 0)
        ((unsigned char *)buf)[where / 8 % len] ^= (unsigned char)(1u << (where % 8));
}

/* What arrives is spoilt in place; what leaves is spoilt in a copy, of at most its first bytes. */
static size_t spoilt_copy(unsigned char copy[CORRUPT_BYTES_MAX], const void *buf, size_t len,
                          uint64_t where)
{
    if (len > CORRUPT_BYTES_MAX)
        len = CORRUPT_BYTES_MAX;
    memcpy(copy, buf, len);
    flip_bit(copy, len, where);
    return len;
}

/* ---- sockets ----------------------------------------------------------------------------------
 */

int sys_accept(int fd, struct sockaddr_storage *peer, socklen_t *peer_len)
{
    int error = refusal(FAULT_net_accept);
    if (error)
        return error;
    return (int)RETRY(accept4(fd, (struct sockaddr *)peer, peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int sys_socket(int family, int type, int protocol)
{
    int error = refusal(FAULT_net_socket);
    return error ? error : (int)result_of(socket(family, type | SOCK_CLOEXEC, protocol));
}

int sys_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    int error = refusal(FAULT_net_bind);
    return error ? error : (int)result_of(bind(fd, addr, len));
}

int sys_listen(int fd, int backlog)
{
    int error = refusal(FAULT_net_listen);
    return error ? error : (int)result_of(listen(fd, backlog));
}

/* Of a socket that listens, TCP_INFO tells the queue's length where others have what is not acked.
 */
int sys_accept_queue(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    int error = (int)result_of(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    return error < 0 ? error : (int)info.tcpi_unacked;
}

int sys_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    int error = refusal(FAULT_net_connect);
    if (error)
        return error;
    error = (int)result_of(connect(fd, addr, len));
    /* An interrupted connect goes on by itself; asking again would only say EALREADY. */
    return error == -EINTR ? -EINPROGRESS : error;
}

int sys_setsockopt_int(int fd, int level, int name, int value)
{
    int error = refusal(FAULT_net_sockopt);
    return error ? error : (int)result_of(setsockopt(fd, level, name, &value, sizeof value));
}

int sys_getsockopt_int(int fd, int level, int name, int *value)
{
    socklen_t len = sizeof *value;
    int error = refusal(FAULT_net_sockopt);
    return error ? error : (int)result_of(getsockopt(fd, level, name, value, &len));
}

int sys_socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    int result = (int)result_of(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    return result < 0 ? result : -error;
}

bool sys_peer_has_ended(int fd)
{
    struct pollfd socket = {.fd = fd, .events = POLLRDHUP};
    return poll(&socket, 1, 0) > 0;
}

int sys_getsockname(int fd, struct sockaddr_storage *addr, socklen_t *len)
{
    int error = refusal(FAULT_net_sockname);
    return error ? error : (int)result_of(getsockname(fd, (struct sockaddr *)addr, len));
}

int sys_shutdown_write(int fd)
{
    int error = refusal(FAULT_net_shutdown);
    return error ? error : (int)result_of(shutdown(fd, SHUT_WR));
}

ssize_t sys_recv(int fd, void *buf, size_t len)
{
    struct tamper t = tamper_with(FAULT_net_recv, &len);
    if (t.error)
        return t.error;
    ssize_t got = RETRY(recv(fd, buf, len, 0));
    if (t.corrupt && got > 0)
        flip_bit(buf, (size_t)got, t.where);
    return got;
}

static ssize_t send_with(int fd, const void *buf, size_t len, int flags)
{
    struct tamper t = tamper_with(FAULT_net_send, &len);
    if (t.error)
        return t.error;
    unsigned char copy[CORRUPT_BYTES_MAX];
    if (t.corrupt) {
        len = spoilt_copy(copy, buf, len, t.where);
        buf = copy;
    }
    return RETRY(send(fd, buf, len, MSG_NOSIGNAL | flags));
}

ssize_t sys_send(int fd, const void *buf, size_t len)
{
    return send_with(fd, buf, len, 0);
}

ssize_t sys_send_more(int fd, const void *buf, size_t len)
{
    return send_with(fd, buf, len, MSG_MORE);
}

/* The pieces, cut so that they hold at most `limit` bytes. */
static int cut_iov(struct iovec out[IOV_SHORT_MAX], const struct iovec *iov, int count,
                   size_t limit)
{
    int n = 0;
    for (; n < count && n < IOV_SHORT_MAX && limit > 0; n++) {
        out[n] = iov[n];
        if (out[n].iov_len > limit)
            out[n].iov_len = limit;
        limit -= out[n].iov_len;
    }
    return n;
}

static ssize_t send_spoilt_iov(int fd, const struct iovec *iov, int count, uint64_t where)
{
    unsigned char copy[CORRUPT_BYTES_MAX];
    size_t len = 0;
    for (int i = 0; i < count && len < sizeof copy; i++) {
        size_t part = iov[i].iov_len < sizeof copy - len ? iov[i].iov_len : sizeof copy - len;
        memcpy(copy + len, iov[i].iov_base, part);
        len += part;
    }
    flip_bit(copy, len, where);
    return RETRY(send(fd, copy, len, MSG_NOSIGNAL));
}

ssize_t sys_writev_socket(int fd, const struct iovec *iov, int count)
{
    size_t total = 0, limit;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    limit = total;
    struct tamper t = tamper_with(FAULT_net_send, &limit);
    if (t.error)
        return t.error;
    if (t.corrupt)
        return send_spoilt_iov(fd, iov, count, t.where);
    struct iovec cut[IOV_SHORT_MAX];
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
    if (limit < total) {
        message.msg_iovlen = (size_t)cut_iov(cut, iov, count, limit);
        message.msg_iov = cut;
    }
    return RETRY(sendmsg(fd, &message, MSG_NOSIGNAL));
}

ssize_t sys_sendfile(int out_fd, int in_fd, off_t *offset, size_t len)
{
    struct tamper t = tamper_with(FAULT_net_sendfile, &len);
    return t.error ? t.error : RETRY(sendfile(out_fd, in_fd, offset, len));
}

int sys_socketpair(int type, int fds[2])
{
    int error = refusal(FAULT_net_socketpair);
    return error ? error : (int)result_of(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds));
}

/* Room for one descriptor beside a message, aligned as the kernel wants it. */
union passed_fd {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(int))];
};

ssize_t sys_sendmsg_fd(int fd, const void *buf, size_t len, int pass_fd)
{
    int error = refusal(FAULT_net_sendmsg);
    if (error)
        return error;
    union passed_fd control = {.room = {0}};
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (pass_fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &pass_fd, sizeof(int));
    }
    return RETRY(sendmsg(fd, &message, MSG_NOSIGNAL));
}

ssize_t sys_recvmsg_fd(int fd, void *buf, size_t len, int *passed_fd)
{
    if (passed_fd)
        *passed_fd = -1;
    int error = refusal(FAULT_net_recvmsg);
    if (error)
        return error;
    union passed_fd control = {.room = {0}};
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t got = RETRY(recvmsg(fd, &message, MSG_CMSG_CLOEXEC));
    if (got < 0)
        return got;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        int received;
        memcpy(&received, CMSG_DATA(head), sizeof received);
        if (passed_fd)
            *passed_fd = received;
        else
            close(received); /* nobody asked for it: it must not stay open for ever */
    }
    return got;
}

/* ---- files ------------------------------------------------------------------------------------
 */

int sys_open(const char *path, int flags, mode_t mode)
{
    int error = refusal(FAULT_fs_open);
    return error ? error : (int)RETRY(open(path, flags | O_CLOEXEC, mode));
}

int sys_close(int fd)
{
    int injected = refusal(FAULT_fs_close);
    int error = (int)result_of(close(fd));
    if (injected)
        return injected;
    return error == -EINTR ? 0
                           : error; /* Linux has closed it; another try could close a stranger */
}

int sys_close_reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return sys_close(fd);
}

ssize_t sys_read(int fd, void *buf, size_t len)
{
    struct tamper t = tamper_with(FAULT_fs_read, &len);
    if (t.error)
        return t.error;
    ssize_t got = RETRY(read(fd, buf, len));
    if (t.corrupt && got > 0)
        flip_bit(buf, (size_t)got, t.where);
    return got;
}

ssize_t sys_pread(int fd, void *buf, size_t len, off_t offset)
{
    struct tamper t = tamper_with(FAULT_fs_read, &len);
    if (t.error)
        return t.error;
    ssize_t got = RETRY(pread(fd, buf, len, offset));
    if (t.corrupt && got > 0)
        flip_bit(buf, (size_t)got, t.where);
    return got;
}

ssize_t sys_write(int fd, const void *buf, size_t len)
{
    struct tamper t = tamper_with(FAULT_fs_write, &len);
    if (t.error)
        return t.error;
    unsigned char copy[CORRUPT_BYTES_MAX];
    if (t.corrupt) {
        len = spoilt_copy(copy, buf, len, t.where);
        buf = copy;
    }
    return RETRY(write(fd, buf, len));
}

int sys_fstat(int fd, struct stat *out)
{
    int error = refusal(FAULT_fs_stat);
    return error ? error : (int)result_of(fstat(fd, out));
}

int sys_stat(const char *path, struct stat *out)
{
    int error = refusal(FAULT_fs_stat);
    return error ? error : (int)result_of(stat(path, out));
}

int sys_fchown(int fd, uid_t user)
{
    int error = refusal(FAULT_fs_owner);
    return error ? error : (int)result_of(fchown(fd, user, (gid_t)-1));
}

int sys_chmod(const char *path, mode_t mode)
{
    int error = refusal(FAULT_fs_owner);
    return error ? error : (int)result_of(chmod(path, mode));
}

int sys_dup2(int fd, int to)
{
    int error = refusal(FAULT_fs_dup);
    return error ? error : (int)RETRY(dup2(fd, to));
}

int sys_rename(const char *from, const char *to)
{
    int error = refusal(FAULT_fs_rename);
    return error ? error : (int)result_of(rename(from, to));
}

int sys_mkdir(const char *path, mode_t mode)
{
    int error = refusal(FAULT_fs_open);
    return error ? error : (int)result_of(mkdir(path, mode));
}

int sys_link_fd(int fd, const char *path)
{
    char self[32];
    int error = refusal(FAULT_fs_open);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return error ? error
                 : (int)result_of(linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
}

int sys_unlink(const char *path)
{
    int error = refusal(FAULT_fs_unlink);
    return error ? error : (int)result_of(unlink(path));
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static bool memory_refused(void)
{
    bool refused = refusal(FAULT_mem_alloc) != 0;
    if (refused && fault_sabotage(FAULT_sabotage_die_without_memory))
        abort();
    return refused;
}

void *sys_alloc(size_t size)
{
    return memory_refused() ? NULL : malloc(size);
}

void *sys_realloc(void *old, size_t size)
{
    return memory_refused() ? NULL : realloc(old, size);
}

void *sys_calloc(size_t count, size_t size)
{
    return memory_refused() ? NULL : calloc(count, size);
}
