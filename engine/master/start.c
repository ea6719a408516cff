/* Starting: configuration, detaching from the terminal, witnesses, listeners, pid file. Everything
 * that can fail is done while stderr is still the user's and the caller still waits. */
#include "engine/master/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/core/trace.h"
#include "engine/http/status.h"
#include "engine/master/master_impl.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "faultinject/fault.h"

static bool start_conf(struct master *m, struct conf **conf);
static bool start_daemon(struct master *m, const struct conf *conf);
static bool start_witnesses(struct master *m);
static bool start_board(struct master *m, const struct conf *conf);
static bool start_listening(struct master *m, struct conf *conf);
static void start_sup(struct master *m);
static void start_done(struct master *m);

bool start_master(struct master *m)
{
    struct conf *conf = NULL;

    if (!start_conf(m, &conf))
        return false;
    if (start_daemon(m, conf) && start_witnesses(m) && start_board(m, conf) &&
        start_listening(m, conf)) {
        start_sup(m);
        start_done(m);
        return true;
    }
    if (m->current.conf == NULL)
        conf_free(conf);
    return false;
}

/* To the terminal, and to the error log if that is another place. */
static __attribute__((format(printf, 1, 2))) bool refuse(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "mw-engine: [emerg] %s\n", text);
    if (log_fd() != STDERR_FILENO)
        log_line(LEVEL_EMERG, "%s", text);
    return false;
}

/* ---- the configuration ----------------------------------------------------------------- */

static bool open_error_log(const struct master_options *options, const struct conf *conf)
{
    char usual[4096];
    snprintf(usual, sizeof(usual), "%slogs/error.log", options->prefix);
    /* -e stays in force where the configuration leaves the place to us. */
    bool keep = options->error_log != NULL && strcmp(conf->error_log.at, usual) == 0;
    const char *path = keep ? options->error_log : conf->error_log.at;
    int err = files_open_logs(conf, path);
    return err == 0 || refuse("open() \"%s\" failed (%d: %s)", path, -err, strerror(-err));
}

static bool start_conf(struct master *m, struct conf **conf)
{
    const struct master_options *options = m->options;
    struct conf_error error;
    int err;

    if (options->error_log != NULL && (err = log_open(options->error_log, LEVEL_NOTICE)) < 0)
        return refuse("open() \"%s\" failed (%d: %s)", options->error_log, -err, strerror(-err));
    if ((err = fault_attach()) < 0)
        return refuse("the fault board \"%s\" cannot be used (%d: %s); unset MW_FAULT_BOARD or "
                      "make it with mw-fault arm",
                      getenv("MW_FAULT_BOARD"), -err, strerror(-err));
    *conf = conf_load(options->conf_path, options->prefix, options->globals, &error);
    if (*conf == NULL) {
        char text[1024];
        conf_error_print(&error, text, sizeof(text));
        fprintf(stderr, "mw-engine: %s\n", text);
        if (log_fd() != STDERR_FILENO)
            log_line(LEVEL_EMERG, "%s", strchr(text, ']') != NULL ? strchr(text, ']') + 2 : text);
        return false;
    }
    (*conf)->generation = 1;
    fault_allow((*conf)->fault_points);
    if (open_error_log(options, *conf))
        return true;
    conf_free(*conf);
    return false;
}

/* ---- the process ----------------------------------------------------------------------- */

/* The caller's process waits until this one has started or failed, and ends as it did. */
static _Noreturn void wait_for_daemon(int fd)
{
    char code;
    sigset_t none;
    sigemptyset(&none); /* whoever waits may be interrupted */
    sigprocmask(SIG_SETMASK, &none, NULL);
    ssize_t got = sys_read(fd, &code, 1);
    _exit(got == 1 ? 0 : 1);
}

static bool start_daemon(struct master *m, const struct conf *conf)
{
    int fds[2];

    /* A new binary stays the child of the old master, which waits for it. */
    m->foreground = !conf->daemon;
    if (conf->daemon && getenv("MASTERWORK_LISTENERS") == NULL) {
        fault_step(FAULT_master_daemonize);
        int err = sys_socketpair(SOCK_STREAM, fds);
        pid_t pid = err < 0 ? err : sys_fork();
        if (pid < 0)
            return refuse("fork() failed (%d: %s)", -pid, strerror(-pid));
        sys_close(fds[pid == 0 ? 0 : 1]);
        if (pid > 0)
            wait_for_daemon(fds[0]);
        m->daemon_fd = fds[1];
        if ((err = sys_setsid()) < 0)
            return refuse("setsid() failed (%d: %s)", -err, strerror(-err));
        umask(0);
    }
    m->pid = getpid();
    fault_step(FAULT_master_start);
    return true;
}

/* Whoever waited may go. From here on stderr is the error log. */
static void start_done(struct master *m)
{
    if (m->daemon_fd >= 0) {
        int null = sys_open("/dev/null", O_RDWR, 0);
        if (null >= 0) {
            sys_dup2(null, STDIN_FILENO);
            sys_dup2(null, STDOUT_FILENO);
            sys_close(null);
        }
    }
    if (log_fd() != STDERR_FILENO)
        sys_dup2(log_fd(), STDERR_FILENO);
    if (m->daemon_fd >= 0) {
        sys_write(m->daemon_fd, "", 1);
        sys_close(m->daemon_fd);
        m->daemon_fd = -1;
    }
}

static bool start_witnesses(struct master *m)
{
    int err = hist_open_env(&hist_self, "master", HIST_MASTER);
    if (err < 0)
        return refuse("the history cannot be written in \"%s\" (%d: %s); make the folder or unset "
                      "MW_HISTORY",
                      getenv("MW_HISTORY"), -err, strerror(-err));
    fault_identify(FAULT_ROLE_MASTER, -1, 1);
    master_record(m, HIST_ENGINE_MASTER, OWN_RECORD(.gen = 1, .a = (uint64_t)getppid()));
    const char *path = getenv("MW_TRACE");
    if (path == NULL || *path == '\0')
        return true;
    char own[4096]; /* two masters would write into each other's steps */
    bool upgraded = getenv("MASTERWORK_LISTENERS") != NULL;
    snprintf(own, sizeof(own), upgraded ? "%s.%d" : "%s", path, (int)m->pid);
    int fd = sys_open(own, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    m->trace = fd < 0 ? NULL : fdopen(fd, "w");
    return m->trace != NULL || refuse("the trace \"%s\" cannot be written (%d: %s)", own, -fd,
                                      strerror(fd < 0 ? -fd : ENOMEM));
}

static bool start_board(struct master *m, const struct conf *conf)
{
    int err;

    m->board = scoreboard_new(&err);
    if (m->board == NULL)
        return refuse("no shared memory for the scoreboard (%d: %s)", -err, strerror(-err));
    m->board->master_pid = m->pid;
    m->board->generation = m->board->generation_tried = 1;
    m->board->workers = conf->workers;
    m->board->started_ns = clock_now_ns();
    /* Few descriptors, and a signal must never go unheard: poll has nothing to register that could
     * fail. */
    m->loop = ev_loop_new(EVBACKEND_POLL | EVFLAG_NOENV);
    return m->loop != NULL || refuse("no event loop");
}

/* ---- the listeners --------------------------------------------------------------------- */

static bool start_listening(struct master *m, struct conf *conf)
{
    struct listeners_error error;

    if (upgrade_inherit(m) < 0)
        return refuse("no memory for inherited listeners");
    if (generation_open(&m->current, conf, NULL, &m->listeners, &error) < 0)
        return refuse("%s", error.text);
    listeners_keep(&m->listeners, conf);
    if (m->old_pid != 0) /* the old one's pid file is right until this one is ready */
        return true;
    int err = files_write_pid(m);
    return err == 0 || refuse("the pid file \"%s\" cannot be written (%d: %s)", conf->pid_path.at,
                              -err, strerror(-err));
}

static void start_sup(struct master *m)
{
    struct sup_settings settings = master_settings(m->current.conf);
    struct sup_options options =
        sup_options_default(&settings, clock_now_ns() ^ (uint64_t)m->pid << 32);

    options.has_old_master = m->old_pid != 0;
    sup_init(&m->sup, &options);
    if (m->trace != NULL) {
        char line[1024];
        size_t len = trace_print_start(line, sizeof(line), &options);
        fwrite(line, 1, len, m->trace);
    }
    upgrade_watch_old(m);
    log_line(LEVEL_NOTICE, "using the \"epoll\" event method");
    log_line(LEVEL_NOTICE, "masterwork/%s", SERVER_VERSION);
    log_line(LEVEL_NOTICE, "start worker processes");
}

/* ---- the end --------------------------------------------------------------------------- */

void end_master(struct master *m)
{
    listeners_keep(&m->listeners, NULL);
    free(m->listeners.at);
    generation_close(&m->trying);
    generation_close(&m->current);
    if (m->other_fd >= 0)
        sys_close(m->other_fd);
    if (m->loop != NULL)
        ev_loop_destroy(m->loop);
    if (m->board != NULL)
        scoreboard_free(m->board);
    if (m->trace != NULL)
        fclose(m->trace);
    if (m->pid != 0)
        master_record(m, HIST_ENGINE_EXIT, OWN_RECORD(.a = (uint64_t)m->exit_code));
    hist_close(&hist_self);
    if (m->daemon_fd >= 0)
        sys_close(m->daemon_fd);
}
