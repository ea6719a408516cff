/* The kernel facts as Linux has them, linux_SYMBOL() for each line of facts.def: signals and
 * processes. Each runs in a
 * process of its own, so what it does to signals and limits is gone with it. Waiting is always for
 * something that happens, with a bound. */
#ifndef ENGINE_SIM_SIM_FACTS_LINUX_RIG_H
#define ENGINE_SIM_SIM_FACTS_LINUX_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* LINUX_CANNOT - errno: this user may not ask. */
enum { PATIENCE_MS = 10000, LINUX_CANNOT = -1000 };

static volatile sig_atomic_t linux_count;

static void linux_counts(int number)
{
    (void)number;
    linux_count = linux_count + 1;
}

static void linux_handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(number, &action, NULL);
}

static void linux_mask(int how, int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(how, &set, NULL);
}

static long linux_wait_killer(pid_t pid)
{
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* A child that waits to be ended; it first does what `prepare` says, if anything. Returns when it
 * has. */
static pid_t linux_child(void (*prepare)(void))
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (prepare != NULL)
            prepare();
        byte = (char)write(ready[1], "r", 1);
        for (;;)
            pause();
    }
    close(ready[1]);
    byte = (char)read(ready[0], &byte, 1);
    close(ready[0]);
    return pid;
}

/* A child that has executed another program; a pipe that closes on exec tells when. */
static pid_t linux_exec_child_after(void (*handler)(int), void (*prepare)(void))
{
    int gone[2];
    char byte;
    if (pipe2(gone, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        linux_handle(SIGUSR1, handler);
        if (prepare != NULL)
            prepare();
        execl("/bin/sleep", "sleep", "60", (char *)NULL);
        _exit(127);
    }
    close(gone[1]);
    while (read(gone[0], &byte, 1) > 0)
        ;
    close(gone[0]);
    return pid;
}

static pid_t linux_exec_child(void (*handler)(int))
{
    return linux_exec_child_after(handler, NULL);
}

/* Until the child is a zombie, which this leaves there. */
static void linux_await_end(pid_t pid)
{
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

/* ---- signals */

static long linux_signals_coalesce(void)
{
    linux_handle(SIGUSR1, linux_counts);
    linux_mask(SIG_BLOCK, SIGUSR1);
    for (int i = 0; i < 3; i++)
        kill(getpid(), SIGUSR1);
    linux_mask(SIG_UNBLOCK, SIGUSR1);
    return linux_count;
}

static long linux_sigchld_coalesces(void)
{
    pid_t children[3];
    long reaped = 0;
    linux_handle(SIGCHLD, linux_counts);
    linux_mask(SIG_BLOCK, SIGCHLD);
    for (int i = 0; i < 3; i++)
        if ((children[i] = fork()) == 0)
            _exit(0);
    for (int i = 0; i < 3; i++)
        linux_await_end(children[i]);
    linux_mask(SIG_UNBLOCK, SIGCHLD);
    for (int i = 0; i < 3; i++)
        reaped += waitpid(children[i], NULL, WNOHANG) > 0;
    return linux_count * 10 + reaped;
}

static long linux_fork_keeps_handlers(void)
{
    int status = 0;
    linux_handle(SIGUSR1, linux_counts);
    pid_t pid = fork();
    if (pid == 0) {
        kill(getpid(), SIGUSR1);
        _exit(linux_count);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static long linux_fork_keeps_mask(void)
{
    linux_mask(SIG_BLOCK, SIGTERM);
    pid_t pid = linux_child(NULL);
    kill(pid, SIGTERM);
    kill(pid, SIGKILL);
    return linux_wait_killer(pid);
}

static long linux_fork_drops_pending(void)
{
    int status = 0;
    linux_mask(SIG_BLOCK, SIGTERM);
    kill(getpid(), SIGTERM);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t set;
        sigpending(&set);
        _exit(sigismember(&set, SIGTERM));
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static long linux_exec_resets_handlers(void)
{
    pid_t pid = linux_exec_child(linux_counts);
    kill(pid, SIGUSR1);
    return linux_wait_killer(pid);
}

static long linux_exec_keeps_ignored(void)
{
    pid_t pid = linux_exec_child(SIG_IGN);
    kill(pid, SIGUSR1);
    kill(pid, SIGKILL);
    return linux_wait_killer(pid);
}

static long linux_early_signal_kills(void)
{
    pid_t pid = linux_child(NULL);
    kill(pid, SIGTERM);
    return linux_wait_killer(pid);
}

static long linux_blocked_waits_for_handler(void)
{
    linux_mask(SIG_BLOCK, SIGTERM);
    kill(getpid(), SIGTERM);
    linux_handle(SIGTERM, linux_counts);
    linux_mask(SIG_UNBLOCK, SIGTERM);
    return linux_count;
}

static long linux_stopped_keeps_pending(void)
{
    int status = 0;
    pid_t pid = linux_child(NULL);
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    kill(pid, SIGTERM);
    if (!WIFSTOPPED(status) || waitpid(pid, &status, WNOHANG) != 0)
        return 0;
    kill(pid, SIGCONT);
    return linux_wait_killer(pid);
}

static long linux_kill_ends_stopped(void)
{
    pid_t pid = linux_child(NULL);
    kill(pid, SIGSTOP);
    waitpid(pid, NULL, WUNTRACED);
    kill(pid, SIGKILL);
    return linux_wait_killer(pid);
}

static long linux_ignoring_discards_pending(void)
{
    linux_handle(SIGUSR1, linux_counts);
    linux_mask(SIG_BLOCK, SIGUSR1);
    kill(getpid(), SIGUSR1);
    linux_handle(SIGUSR1, SIG_IGN);
    linux_handle(SIGUSR1, linux_counts);
    linux_mask(SIG_UNBLOCK, SIGUSR1);
    return linux_count;
}

static long linux_exec_keeps_mask(void)
{
    linux_mask(SIG_BLOCK, SIGTERM);
    pid_t pid = linux_exec_child(SIG_DFL);
    kill(pid, SIGTERM);
    kill(pid, SIGKILL);
    return linux_wait_killer(pid);
}

/* Of a process, as /proc tells. */
static bool linux_pends(pid_t pid, int number)
{
    char path[64], line[256];
    unsigned long long set = 0, one;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "r");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL)
        if (sscanf(line, "SigPnd: %llx", &one) == 1 || sscanf(line, "ShdPnd: %llx", &one) == 1)
            set |= one;
    if (status != NULL)
        fclose(status);
    return (set >> (number - 1) & 1) != 0;
}

static void linux_has_pending(void)
{
    kill(getpid(), SIGTERM);
}

static long linux_exec_keeps_pending(void)
{
    linux_mask(SIG_BLOCK, SIGTERM);
    return linux_pends(linux_exec_child_after(SIG_DFL, linux_has_pending), SIGTERM);
}

static long linux_stop_tells_parent(void)
{
    int status;
    linux_handle(SIGCHLD, linux_counts);
    pid_t pid = linux_child(NULL);
    kill(pid, SIGSTOP);
    while (waitpid(pid, &status, WUNTRACED) != pid)
        ;
    kill(pid, SIGCONT);
    while (waitpid(pid, &status, WCONTINUED) != pid)
        ;
    for (int ms = 0; ms < PATIENCE_MS && linux_count < 2; ms++)
        poll(NULL, 0, 1); /* it tells when it runs again, which is after waitpid knows */
    return linux_count;
}

static int linux_out; /* a child's pipe */

static void linux_tells(int number)
{
    (void)number;
    linux_count = linux_count + (write(linux_out, "x", 1) == 1);
}

/* The child is in this process's group, the other one is not. */
static long linux_group_is_signalled(void)
{
    int out[2];
    char byte;
    if (pipe(out) != 0)
        return -1;
    linux_out = out[1];
    linux_handle(SIGUSR1, linux_tells);
    linux_child(NULL);
    pid_t other = linux_child(NULL);
    setpgid(other, other);
    kill(0, SIGUSR1);
    long own = linux_count;
    kill(other, SIGKILL); /* it has left the group that ends with this fact */
    if (own != 1 || read(out[0], &byte, 1) != 1 || read(out[0], &byte, 1) != 1)
        return -1;
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    poll(NULL, 0, 50); /* a third would have come */
    return own * 10 + (read(out[0], &byte, 1) < 0);
}

/* ---- processes */

static pid_t linux_zombie(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    linux_await_end(pid);
    return pid;
}

static long linux_zombie_is_signalled(void)
{
    return kill(linux_zombie(), SIGTERM);
}

static long linux_reaped_is_gone(void)
{
    pid_t pid = linux_zombie();
    waitpid(pid, NULL, 0);
    return kill(pid, 0) == 0 ? 0 : errno;
}

/* The number that a child writes to the pipe it is given. */
static long linux_told(pid_t (*child)(int out))
{
    int out[2];
    long told = -1;
    if (pipe(out) != 0)
        return -1;
    child(out[1]);
    close(out[1]);
    if (read(out[0], &told, sizeof(told)) != (ssize_t)sizeof(told))
        told = -1;
    close(out[0]);
    return told;
}

static pid_t linux_grandparent(int out)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    pid_t grandchild = fork();
    long told = grandchild;
    if (grandchild == 0) {
        for (;;)
            pause();
    }
    if (write(out, &told, sizeof(told)) != (ssize_t)sizeof(told))
        _exit(1);
    for (;;)
        pause();
}

static long linux_wait_for_strangers(void)
{
    pid_t grandchild = (pid_t)linux_told(linux_grandparent);
    long result = waitpid(grandchild, NULL, WNOHANG) < 0 ? errno : 0;
    kill(grandchild, SIGKILL);
    return result;
}

static long linux_wait_for_the_living(void)
{
    return waitpid(linux_child(NULL), NULL, WNOHANG);
}

static long linux_ignored_sigchld_reaps(void)
{
    linux_handle(SIGCHLD, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return waitpid(pid, NULL, 0) < 0 ? errno : 0;
}

/* Its child ends; what then is the grandchild's parent? */
static pid_t linux_orphan(int out)
{
    pid_t child = fork();
    if (child != 0) {
        waitpid(child, NULL, 0);
        return child;
    }
    pid_t parent = getpid();
    if (fork() != 0)
        _exit(0);
    while (getppid() == parent)
        poll(NULL, 0, 1);
    long told = getppid();
    _exit(write(out, &told, sizeof(told)) != (ssize_t)sizeof(told));
}

static long linux_subreaper_adopts(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return linux_told(linux_orphan) == getpid();
}

/* The grandchild ends when its adopter lets it. */
static pid_t linux_orphan_that_ends(int out)
{
    pid_t child = fork();
    if (child != 0) {
        waitpid(child, NULL, 0);
        return child;
    }
    pid_t grandchild = fork();
    long told = grandchild;
    if (grandchild == 0)
        for (;;)
            pause();
    _exit(write(out, &told, sizeof(told)) != (ssize_t)sizeof(told));
}

static long linux_adopted_is_waited_for(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t grandchild = (pid_t)linux_told(linux_orphan_that_ends);
    linux_handle(SIGCHLD, linux_counts);
    kill(grandchild, SIGKILL);
    linux_await_end(grandchild);
    return linux_count == 1 && waitpid(grandchild, NULL, 0) == grandchild;
}

static long linux_wait_status_tells(void)
{
    int exited = 0, killed = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    waitpid(pid, &exited, 0);
    pid = linux_child(NULL);
    kill(pid, SIGKILL);
    waitpid(pid, &killed, 0);
    return WEXITSTATUS(exited) * 100 + WTERMSIG(exited) + WTERMSIG(killed) + 2;
}

/* The next fork gets the number after this one, or the first after it that is free. */
static bool linux_set_last_pid(pid_t pid)
{
    FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "w");
    bool written = file != NULL && fprintf(file, "%d", (int)pid) > 0;
    return file != NULL && fclose(file) == 0 && written;
}

static long linux_reuse(void)
{
    pid_t dead = linux_zombie();
    if (!linux_set_last_pid(dead - 1))
        return LINUX_CANNOT - errno;
    bool passed_over = linux_child(NULL) != dead;
    waitpid(dead, NULL, 0);
    linux_set_last_pid(dead - 1);
    return 10 * passed_over + (linux_child(NULL) == dead);
}

static pid_t linux_reuse_in_namespace(int out)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    long told = linux_reuse();
    _exit(write(out, &told, sizeof(told)) != (ssize_t)sizeof(told));
}

/* In a namespace of numbers of its own, where nobody else forks. */
static long linux_zombie_keeps_its_number(void)
{
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
        return LINUX_CANNOT - errno;
    return linux_told(linux_reuse_in_namespace);
}

/* The limit counts the processes of a user: this takes one that has no others. */
static long linux_fork_limit_counts_zombies(void)
{
    struct rlimit limit = {.rlim_cur = 2, .rlim_max = 2};
    if (setuid(1000000 + (uid_t)getpid()) != 0)
        return LINUX_CANNOT - errno;
    setrlimit(RLIMIT_NPROC, &limit);
    pid_t dead = linux_zombie();
    long error = dead > 0 && fork() < 0 ? errno : 0;
    waitpid(dead, NULL, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return error * 10 + (pid > 0);
}

static long linux_memory_limit_gives_enomem(void)
{
    const rlim_t most = (rlim_t)1 << 30;
    struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
    int status = 0;
    setrlimit(RLIMIT_AS, &limit);
    pid_t pid = fork();
    if (pid == 0)
        _exit(mmap(NULL, most, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno
                                                                                            : 0);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static void linux_times(void)
{
    const struct itimerval often = {.it_interval = {.tv_usec = 20000}, .it_value = {0, 20000}};
    linux_handle(SIGALRM, linux_tells);
    linux_mask(SIG_BLOCK, SIGALRM);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* Blocked too while it is looked at, so that what comes after it goes on is not counted. */
static long linux_stopped_timer_waits(void)
{
    int out[2], status;
    if (pipe(out) != 0)
        return -1;
    linux_out = out[1];
    pid_t pid = fork();
    if (pid == 0) {
        linux_times();
        raise(SIGSTOP);
        const struct itimerval never = {.it_value = {0, 0}};
        setitimer(ITIMER_REAL, &never, NULL);
        linux_mask(SIG_UNBLOCK, SIGALRM);
        _exit(linux_count);
    }
    waitpid(pid, &status, WUNTRACED);
    poll(NULL, 0, 100);
    kill(pid, SIGCONT);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
