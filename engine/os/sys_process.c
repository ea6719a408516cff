/* The door to the kernel for processes, and for the calls that libev makes. */
#include "engine/os/sys.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/os/sys_ask.h"

/* ---- processes --------------------------------------------------------------------------------
 */

pid_t sys_fork(void)
{
    int error = refusal(FAULT_proc_fork);
    return error ? error : (pid_t)result_of(fork());
}

int sys_execve(const char *path, char *const argv[], char *const envp[])
{
    int error = refusal(FAULT_proc_exec);
    return error ? error : (int)result_of(execve(path, argv, envp));
}

pid_t sys_waitpid(pid_t pid, int *status, int flags)
{
    int error = refusal(FAULT_proc_waitpid);
    return error ? error : (pid_t)RETRY(waitpid(pid, status, flags));
}

int sys_kill(pid_t pid, int signal)
{
    int error = refusal(FAULT_proc_kill);
    return error ? error : (int)result_of(kill(pid, signal));
}

int sys_rlimit_set(int resource, uint64_t soft)
{
    struct rlimit limit;
    int error = refusal(FAULT_proc_limit);
    if (!error)
        error = (int)result_of(getrlimit(resource, &limit));
    if (error)
        return error;
    limit.rlim_cur = soft;
    if (limit.rlim_max < soft)
        limit.rlim_max = soft;
    return (int)result_of(setrlimit(resource, &limit));
}

int sys_rlimit_get(int resource, struct rlimit *out)
{
    int error = refusal(FAULT_proc_limit);
    return error ? error : (int)result_of(getrlimit(resource, out));
}

/* The group first: who has given up root may not change it any more. */
int sys_become(const char *name, uid_t user, gid_t group)
{
    int error = refusal(FAULT_proc_identity);
    if (!error)
        error = (int)result_of(setgid(group));
    if (!error)
        error = (int)result_of(initgroups(name, group));
    return error ? error : (int)result_of(setuid(user));
}

int sys_setsid(void)
{
    int error = refusal(FAULT_proc_session);
    return error ? error : (int)result_of(setsid());
}

int sys_set_priority(int nice)
{
    int error = refusal(FAULT_proc_priority);
    return error ? error : (int)result_of(setpriority(PRIO_PROCESS, 0, nice));
}

int sys_set_affinity(const cpu_set_t *set)
{
    int error = refusal(FAULT_proc_affinity);
    return error ? error : (int)result_of(sched_setaffinity(0, sizeof *set, set));
}

int sys_chdir(const char *path)
{
    int error = refusal(FAULT_fs_chdir);
    return error ? error : (int)result_of(chdir(path));
}

/* ---- what libev calls --------------------------------------------------------------------------
 *
 * The event loop asks the kernel itself. A function of the program comes before one of a library,
 * so libev finds these, which have the names and the results of the C library's. */

int eventfd(unsigned start, int flags);

static FAULT_INLINE bool is_refused(enum fault_point point)
{
    int error = refusal(point);
    if (error)
        errno = -error;
    return error != 0;
}

int epoll_create1(int flags)
{
    return is_refused(FAULT_net_epoll_create) ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    return is_refused(FAULT_net_epoll_ctl) ? -1 : (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
    if (is_refused(FAULT_net_epoll_wait))
        return -1;
    return (int)syscall(SYS_epoll_pwait, epoll, events, most, timeout_ms, NULL, _NSIG / 8);
}

int eventfd(unsigned start, int flags)
{
    return is_refused(FAULT_ipc_eventfd) ? -1 : (int)syscall(SYS_eventfd2, start, flags);
}
