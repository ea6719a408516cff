/* The wrappers of the exec family. What is executed must be below the shim as well, also where a
 * server has emptied its environment. */
#include "faultinject/shim/shim.h"

#include <stdarg.h>

enum { ARGUMENTS_MAX = 256 };

/* The body of each: asks, executes, and comes back only when that failed. */
#define EXECUTE(call)                                                                              \
    do {                                                                                           \
        struct fault_hit hit_;                                                                     \
        char *room_[SHIM_ENV_MAX];                                                                 \
        if (SHIM_ASK(FAULT_proc_exec, &hit_) && hit_.kind == FAULT_ERRNO) {                        \
            errno = (int)hit_.value;                                                               \
            return -1;                                                                             \
        }                                                                                          \
        environment = shim_environment(environment, room_, SHIM_ENV_MAX);                          \
        shim_before_exec();                                                                        \
        int result_ = call;                                                                        \
        shim_after_failed_exec();                                                                  \
        return result_;                                                                            \
    } while (0)

SHIM_DECLARE(int, execve, (const char *path, char *const argv[], char *const environment[]))
int hook_execve(const char *path, char *const argv[], char *const environment[])
{
    EXECUTE(SHIM_REAL(execve)(path, argv, environment));
}

SHIM_DECLARE(int, execvpe, (const char *path, char *const argv[], char *const environment[]))
int hook_execvpe(const char *path, char *const argv[], char *const environment[])
{
    EXECUTE(SHIM_REAL(execvpe)(path, argv, environment));
}

SHIM_DECLARE(int, fexecve, (int fd, char *const argv[], char *const environment[]))
int hook_fexecve(int fd, char *const argv[], char *const environment[])
{
    EXECUTE(SHIM_REAL(fexecve)(fd, argv, environment));
}

SHIM_DECLARE(int, execveat,
             (int dir, const char *path, char *const argv[], char *const environment[], int flags))
int hook_execveat(int dir, const char *path, char *const argv[], char *const environment[],
                  int flags)
{
    EXECUTE(SHIM_REAL(execveat)(dir, path, argv, environment, flags));
}

SHIM_DECLARE(int, execv, (const char *path, char *const argv[]))
int hook_execv(const char *path, char *const argv[])
{
    char *const *environment = environ;
    EXECUTE(SHIM_REAL(execve)(path, argv, environment));
}

SHIM_DECLARE(int, execvp, (const char *path, char *const argv[]))
int hook_execvp(const char *path, char *const argv[])
{
    char *const *environment = environ;
    EXECUTE(SHIM_REAL(execvpe)(path, argv, environment));
}

/* The arguments from `first` on, ended by NULL. False: they are too many. */
static bool gather(char *argv[ARGUMENTS_MAX], const char *first, va_list *more)
{
    int count = 0;
    for (const char *argument = first; argument; argument = va_arg(*more, const char *)) {
        if (count == ARGUMENTS_MAX - 1) {
            errno = E2BIG;
            return false;
        }
        argv[count++] = (char *)(uintptr_t)argument;
    }
    argv[count] = NULL;
    return true;
}

SHIM_DECLARE(int, execl, (const char *path, const char *argument, ...))
int hook_execl(const char *path, const char *argument, ...)
{
    char *argv[ARGUMENTS_MAX], *const *environment = environ;
    va_list more;
    va_start(more, argument);
    bool fits = gather(argv, argument, &more);
    va_end(more);
    if (!fits)
        return -1;
    EXECUTE(SHIM_REAL(execve)(path, argv, environment));
}

SHIM_DECLARE(int, execlp, (const char *path, const char *argument, ...))
int hook_execlp(const char *path, const char *argument, ...)
{
    char *argv[ARGUMENTS_MAX], *const *environment = environ;
    va_list more;
    va_start(more, argument);
    bool fits = gather(argv, argument, &more);
    va_end(more);
    if (!fits)
        return -1;
    EXECUTE(SHIM_REAL(execvpe)(path, argv, environment));
}

SHIM_DECLARE(int, execle, (const char *path, const char *argument, ...))
int hook_execle(const char *path, const char *argument, ...)
{
    char *argv[ARGUMENTS_MAX];
    va_list more;
    va_start(more, argument);
    bool fits = gather(argv, argument, &more);
    char *const *environment = fits ? va_arg(more, char *const *) : NULL;
    va_end(more);
    if (!fits)
        return -1;
    EXECUTE(SHIM_REAL(execve)(path, argv, environment));
}
