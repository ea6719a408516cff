/* The one door to the kernel. Every call returns what the system call returns, or a negative errno;
 * errno itself is read nowhere else. System fault points fire here (faultinject/points.def).
 * EINTR is retried inside wherever a retry is right. */
#ifndef ENGINE_OS_SYS_H
#define ENGINE_OS_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/* sockets; all created close-on-exec */
int sys_accept(int fd, struct sockaddr_storage *peer, socklen_t *peer_len); /* non-blocking */
int sys_socket(int family, int type, int protocol);
int sys_bind(int fd, const struct sockaddr *addr, socklen_t len);
int sys_listen(int fd, int backlog);
int sys_accept_queue(int fd); /* how many wait to be accepted; TCP only */
int sys_connect(int fd, const struct sockaddr *addr, socklen_t len);
int sys_socket_error(int fd);    /* SO_ERROR: 0, or a negative errno */
bool sys_peer_has_ended(int fd); /* whatever is still to be read */
int sys_setsockopt_int(int fd, int level, int name, int value);
int sys_getsockopt_int(int fd, int level, int name, int *value);
int sys_getsockname(int fd, struct sockaddr_storage *addr, socklen_t *len);
int sys_shutdown_write(int fd);
ssize_t sys_recv(int fd, void *buf, size_t len);
ssize_t sys_send(int fd, const void *buf, size_t len);
ssize_t sys_send_more(int fd, const void *buf, size_t len); /* the rest follows at once */
ssize_t sys_writev_socket(int fd, const struct iovec *iov, int count);
ssize_t sys_sendfile(int out_fd, int in_fd, off_t *offset, size_t len);
int sys_socketpair(int type, int fds[2]);
ssize_t sys_sendmsg_fd(int fd, const void *buf, size_t len, int pass_fd); /* pass_fd -1: none */
ssize_t sys_recvmsg_fd(int fd, void *buf, size_t len, int *passed_fd);

/* processes */
pid_t sys_fork(void);
int sys_execve(const char *path, char *const argv[], char *const envp[]);
pid_t sys_waitpid(pid_t pid, int *status, int flags); /* 0: nothing yet (WNOHANG) */
int sys_kill(pid_t pid, int signal);
int sys_rlimit_set(int resource, uint64_t soft); /* soft, raising hard where allowed */
int sys_rlimit_get(int resource, struct rlimit *out);
int sys_become(const char *name, uid_t user, gid_t group); /* user, group and the user's groups */
int sys_setsid(void);
int sys_set_priority(int nice);
int sys_set_affinity(const cpu_set_t *set);
int sys_chdir(const char *path);

/* files */
int sys_open(const char *path, int flags, mode_t mode); /* close-on-exec added */
int sys_close(int fd);
int sys_close_reset(int fd); /* a socket: its peer gets a reset instead of an end */
ssize_t sys_read(int fd, void *buf, size_t len);
ssize_t sys_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t sys_write(int fd, const void *buf, size_t len);
int sys_fstat(int fd, struct stat *out);
int sys_stat(const char *path, struct stat *out);
int sys_fchown(int fd, uid_t user);
int sys_chmod(const char *path, mode_t mode);
int sys_dup2(int fd, int to);
int sys_rename(const char *from, const char *to);
int sys_unlink(const char *path);
int sys_mkdir(const char *path, mode_t mode);
int sys_link_fd(int fd, const char *path); /* gives an O_TMPFILE file its name */

/* memory; shared memory is engine/os/memfd.h */
void *sys_alloc(size_t size); /* NULL when there is none; free() it */
void *sys_calloc(size_t count, size_t size);
void *sys_realloc(void *old, size_t size);

#endif
