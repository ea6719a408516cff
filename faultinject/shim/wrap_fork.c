/* The wrappers of what makes processes and waits for them. */
#include "faultinject/shim/shim.h"

#include <sched.h>

#define IS_REFUSED(point)                                                                          \
    __extension__({                                                                                \
        struct fault_hit hit_;                                                                     \
        bool refused_ = SHIM_ASK(FAULT_##point, &hit_) && hit_.kind == FAULT_ERRNO;                \
        if (refused_)                                                                              \
            errno = (int)hit_.value;                                                               \
        refused_;                                                                                  \
    })

/* ---- new processes ----------------------------------------------------------------------------
 */

#define WRAP_FORK(name, real)                                                                      \
    SHIM_DECLARE(pid_t, name, (void))                                                              \
    pid_t hook_##name(void)                                                                        \
    {                                                                                              \
        if (IS_REFUSED(proc_fork))                                                                 \
            return -1;                                                                             \
        shim_fork_begin();                                                                         \
        pid_t child = SHIM_REAL(real)();                                                           \
        shim_fork_end(child);                                                                      \
        if (child == 0)                                                                            \
            shim_booting(__builtin_return_address(0));                                             \
        return child;                                                                              \
    }
WRAP_FORK(fork, fork)
WRAP_FORK(_Fork, _Fork)
/* A child that shares its parent's memory cannot have an identity of its own. Every program that is
 * right with vfork is right with fork. */
WRAP_FORK(vfork, fork)

struct clone_start {
    int (*function)(void *);
    void *argument;
};

static int start_clone(void *argument)
{
    struct clone_start start = *(struct clone_start *)argument;
    shim_fork_end(0);
    return start.function(start.argument);
}

SHIM_DECLARE(int, clone,
             (int (*function)(void *), void *stack, int flags, void *argument, pid_t *parent_tid,
              void *tls, pid_t *child_tid))
int hook_clone(int (*function)(void *), void *stack, int flags, void *argument, pid_t *parent_tid,
               void *tls, pid_t *child_tid)
{
    if (!(flags & CLONE_THREAD) && IS_REFUSED(proc_fork))
        return -1;
    if (flags & CLONE_VM)
        return SHIM_REAL(clone)(function, stack, flags, argument, parent_tid, tls, child_tid);
    struct clone_start start = {function, argument};
    shim_fork_begin();
    int child = SHIM_REAL(clone)(start_clone, stack, flags, &start, parent_tid, tls, child_tid);
    shim_fork_end(child);
    return child;
}

#define WRAP_SPAWN(name)                                                                           \
    SHIM_DECLARE(int, name,                                                                        \
                 (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,        \
                  const posix_spawnattr_t *attr, char *const argv[], char *const envp[]))          \
    int hook_##name(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,       \
                    const posix_spawnattr_t *attr, char *const argv[], char *const envp[])         \
    {                                                                                              \
        struct fault_hit hit;                                                                      \
        char *room[SHIM_ENV_MAX];                                                                  \
        if (SHIM_ASK(FAULT_proc_fork, &hit) && hit.kind == FAULT_ERRNO)                            \
            return (int)hit.value;                                                                 \
        return SHIM_REAL(name)(pid, path, actions, attr, argv,                                     \
                               shim_environment(envp, room, SHIM_ENV_MAX));                        \
    }
WRAP_SPAWN(posix_spawn)
WRAP_SPAWN(posix_spawnp)

/* ---- waiting for them -------------------------------------------------------------------------
 */

static pid_t reaped(pid_t pid, int status)
{
    if (pid > 0 && (WIFEXITED(status) || WIFSIGNALED(status)))
        shim_reaped(pid);
    return pid;
}

#define WRAP_WAIT(name, params, args)                                                              \
    SHIM_DECLARE(pid_t, name, params)                                                              \
    pid_t hook_##name params                                                                       \
    {                                                                                              \
        int own_status = 0;                                                                        \
        if (IS_REFUSED(proc_waitpid))                                                              \
            return -1;                                                                             \
        if (!status)                                                                               \
            status = &own_status;                                                                  \
        pid_t ended = SHIM_REAL(name) args;                                                        \
        return reaped(ended, *status);                                                             \
    }
WRAP_WAIT(wait, (int *status), (status))
WRAP_WAIT(wait3, (int *status, int flags, struct rusage *usage), (status, flags, usage))
WRAP_WAIT(wait4, (pid_t pid, int *status, int flags, struct rusage *usage),
          (pid, status, flags, usage))
WRAP_WAIT(waitpid, (pid_t pid, int *status, int flags), (pid, status, flags))

SHIM_DECLARE(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int flags))
int hook_waitid(idtype_t type, id_t id, siginfo_t *info, int flags)
{
    siginfo_t own_info = {.si_pid = 0};
    if (IS_REFUSED(proc_waitpid))
        return -1;
    if (!info)
        info = &own_info;
    int result = SHIM_REAL(waitid)(type, id, info, flags);
    bool gone =
        info->si_code == CLD_EXITED || info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED;
    if (result == 0 && gone && !(flags & WNOWAIT))
        shim_reaped(info->si_pid);
    return result;
}
