/* Changing the binary: the old master starts the new program with its listeners and one end of a
 * line between the two. The new one says ready on it when its workers accept; that the line closes
 * tells it that the old one is gone, whoever its parent is by then.
 *
 *   MASTERWORK_LISTENERS="5;6;"  descriptors of listening sockets
 *   MASTERWORK_LINE=7            the new master's end of the line
 *   MASTERWORK_TICKETS=8         memory with the secret of session tickets, so that clients resume
 * systemd's LISTEN_PID and LISTEN_FDS are understood as well. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/master/master_impl.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/tls/tls_context.h"
#include "faultinject/fault.h"

extern char **environ;

enum { EXEC_FAILED = 127, LISTENERS_TEXT_MAX = 8192 };

static int number_in_env(const char *name, int otherwise)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || *text == '\0')
        return otherwise;
    long number = strtol(text, &end, 10);
    return *end == '\0' && number >= 0 && number < INT32_MAX ? (int)number : otherwise;
}

/* ---- the new master -------------------------------------------------------------------- */

static void inherit_tickets(void)
{
    int fd = number_in_env("MASTERWORK_TICKETS", -1);
    if (fd < 0 || !tls_secret_take(fd, clock_now_ns()))
        tls_secret_make(clock_now_ns());
}

int upgrade_inherit(struct master *m)
{
    int err = 0;
    const char *words = getenv("MASTERWORK_LISTENERS");

    m->other_fd = number_in_env("MASTERWORK_LINE", -1);
    if (m->other_fd >= 0 && fcntl(m->other_fd, F_SETFD, FD_CLOEXEC) != 0)
        m->other_fd = -1;
    m->old_pid = m->other_fd >= 0 ? getppid() : 0;
    m->listeners.shared = m->old_pid != 0;
    if (words != NULL)
        err = listeners_inherit(&m->listeners, words, 0);
    else if (number_in_env("LISTEN_PID", -1) == (int)m->pid)
        err = listeners_inherit(&m->listeners, NULL, number_in_env("LISTEN_FDS", 0));
    inherit_tickets();
    static const char *const ours[] = {"MASTERWORK_LISTENERS", "MASTERWORK_LINE",
                                       "MASTERWORK_TICKETS",   "LISTEN_PID",
                                       "LISTEN_FDS",           "LISTEN_FDNAMES"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        unsetenv(ours[i]);
    return err;
}

static void other_is_gone(struct master *m, uint64_t status)
{
    if (m->other_fd >= 0) {
        ev_io_stop(m->loop, &m->other);
        sys_close(m->other_fd);
    }
    if (m->old_pid != 0)
        files_clear_oldbin(m, m->old_pid);
    m->other_fd = -1;
    m->new_pid = m->old_pid = 0;
    m->listeners.shared = false;
    master_tell(m, &(struct sup_event){.kind = SUP_OTHER_GONE, .a = status});
}

static void on_line(struct ev_loop *loop, ev_io *io, int revents)
{
    struct master *m = io->data;
    char byte;
    (void)revents;

    ssize_t got = sys_recv(io->fd, &byte, 1);
    if (got == 1)
        master_tell(m, &(struct sup_event){.kind = SUP_OTHER_READY});
    else if (got == 0 || got == -ECONNRESET) {
        ev_io_stop(loop, io);
        if (m->old_pid != 0) /* a new one is our child: it is reaped */
            other_is_gone(m, 0);
    }
}

static void watch_line(struct master *m)
{
    ev_io_init(&m->other, on_line, m->other_fd, EV_READ);
    m->other.data = m;
    ev_io_start(m->loop, &m->other);
}

void upgrade_watch_old(struct master *m)
{
    if (m->old_pid != 0)
        watch_line(m);
}

void upgrade_say_ready(struct master *m)
{
    if (m->old_pid != 0 && sys_send(m->other_fd, "R", 1) < 0)
        log_line(LEVEL_CRIT, "the old master could not be told that this one is ready");
}

/* ---- the old master -------------------------------------------------------------------- */

static void set_number(const char *name, int number)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", number);
    setenv(name, text, 1);
}

/* In the child: becomes the new program, with the listeners and the line and nothing else. */
static _Noreturn void become_new_binary(const struct master *m, int line)
{
    static char listeners[LISTENERS_TEXT_MAX];
    size_t used = 0;
    sigset_t none;

    child_reset_signals();
    for (size_t i = 0; i < m->listeners.count && used + 16 < sizeof(listeners); i++) {
        int fd = m->listeners.at[i].fd;
        fcntl(fd, F_SETFD, 0);
        used += (size_t)snprintf(listeners + used, sizeof(listeners) - used, "%d;", fd);
    }
    fcntl(line, F_SETFD, 0);
    setenv("MASTERWORK_LISTENERS", listeners, 1);
    set_number("MASTERWORK_LINE", line);
    int tickets = tls_secret_pass();
    if (tickets >= 0 && fcntl(tickets, F_SETFD, 0) == 0)
        set_number("MASTERWORK_TICKETS", tickets);
    sigfillset(&none); /* the new program lets signals in when it has handlers */
    sigprocmask(SIG_SETMASK, &none, NULL);
    int err = sys_execve(m->options->program, m->options->argv, environ);
    log_line(LEVEL_CRIT, "execve() \"%s\" failed (%d: %s)", m->options->program, -err,
             strerror(-err));
    _exit(EXEC_FAILED);
}

/* 0, or a negative errno with nothing left behind. */
static int start(struct master *m)
{
    int line[2];
    sigset_t all, before;

    fault_step(FAULT_master_upgrade);
    int err = files_write_oldbin(m);
    if (err == 0)
        err = sys_socketpair(SOCK_STREAM | SOCK_NONBLOCK, line);
    if (err < 0)
        return err;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = sys_fork();
    if (pid == 0)
        become_new_binary(m, line[1]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    sys_close(line[1]);
    if (pid < 0) {
        sys_close(line[0]);
        return pid;
    }
    m->new_pid = pid;
    m->other_fd = line[0];
    m->listeners.shared = true;
    watch_line(m);
    return 0;
}

void upgrade_start(struct master *m)
{
    int err = start(m);
    if (err == 0)
        return;
    log_line(LEVEL_CRIT, "the new binary could not be started (%d: %s)", -err, strerror(-err));
    other_is_gone(m, (uint64_t)W_EXITCODE(EXEC_FAILED, 0));
}

void upgrade_signal(struct master *m, int number)
{
    if (m->new_pid != 0)
        sys_kill(m->new_pid, number);
}

bool upgrade_reap(struct master *m)
{
    int status = 0;
    if (m->new_pid == 0)
        return false;
    pid_t pid = sys_waitpid(m->new_pid, &status, WNOHANG);
    if (pid == m->new_pid || pid == -ECHILD)
        other_is_gone(m, (uint64_t)status);
    return pid < 0 && pid != -ECHILD;
}
