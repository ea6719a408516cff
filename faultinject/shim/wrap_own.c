/* Wrappers written by hand: descriptors, and what only tells the shim something. */
#include "faultinject/shim/shim.h"

#include "faultinject/shim/transfer.h"

/* A failing close closes all the same, as Linux does. */
static __attribute__((noinline, cold)) int asking_close(const void *place, int fd)
{
    struct fault_hit hit;
    bool fails = shim_consult(FAULT_fs_close, &hit, place) && hit.kind == FAULT_ERRNO;
    int result = SHIM_REAL(close)(fd);
    if (!fails)
        return result;
    errno = (int)hit.value;
    return -1;
}

SHIM_DECLARE(int, close, (int fd))
int hook_close(int fd)
{
    return SHIM_IS_CALM(close) ? shim_real.close(fd)
                               : asking_close(__builtin_return_address(0), fd);
}

SHIM_DECLARE(int, listen, (int fd, int backlog))
int hook_listen(int fd, int backlog)
{
    struct fault_hit hit;
    if (SHIM_ASK(FAULT_net_listen, &hit) && hit.kind == FAULT_ERRNO) {
        errno = (int)hit.value;
        return -1;
    }
    int result = SHIM_REAL(listen)(fd, backlog);
    if (result == 0)
        shim_listening();
    return result;
}

/* The arguments behind the command are one word, whatever it means. */
#define WRAP_FCNTL(name)                                                                           \
    SHIM_DECLARE(int, name, (int fd, int command, void *value))                                    \
    int hook_##name(int fd, int command, void *value)                                              \
    {                                                                                              \
        if (SHIM_IS_CALM(name))                                                                    \
            return shim_real.name(fd, command, value);                                             \
        struct fault_hit hit;                                                                      \
        bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;                            \
        if (copies && SHIM_ASK(FAULT_fs_dup, &hit) && hit.kind == FAULT_ERRNO) {                   \
            errno = (int)hit.value;                                                                \
            return -1;                                                                             \
        }                                                                                          \
        return SHIM_REAL(name)(fd, command, value);                                                \
    }
WRAP_FCNTL(fcntl)
WRAP_FCNTL(fcntl64)

#define WRAP_SENDFILE(name)                                                                        \
    SHIM_DECLARE(ssize_t, name, (int out_fd, int in_fd, off_t *offset, size_t len))                \
    ssize_t hook_##name(int out_fd, int in_fd, off_t *offset, size_t len)                          \
    {                                                                                              \
        if (SHIM_IS_CALM(name))                                                                    \
            return shim_real.name(out_fd, in_fd, offset, len);                                     \
        struct fault_hit hit;                                                                      \
        if (SHIM_ASK(FAULT_net_sendfile, &hit) && !transfer_cut(&hit, &len))                       \
            return -1;                                                                             \
        return SHIM_REAL(name)(out_fd, in_fd, offset, len);                                        \
    }
WRAP_SENDFILE(sendfile)
WRAP_SENDFILE(sendfile64)

SHIM_DECLARE(pid_t, setsid, (void))
pid_t hook_setsid(void)
{
    struct fault_hit hit;
    if (SHIM_ASK(FAULT_proc_session, &hit) && hit.kind == FAULT_ERRNO) {
        errno = (int)hit.value;
        return -1;
    }
    pid_t session = SHIM_REAL(setsid)();
    if (session > 0)
        shim_session_left();
    return session;
}

/* ---- only seen --------------------------------------------------------------------------------
 */

SHIM_DECLARE(void, _exit, (int status))
void hook__exit(int status)
{
    shim_before_exit();
    SHIM_REAL(_exit)(status);
}

SHIM_DECLARE(void, _Exit, (int status))
void hook__Exit(int status)
{
    shim_before_exit();
    SHIM_REAL(_Exit)(status);
}
