/* Between fork and worker_run(): the child sheds everything of the master that is not its own. All
 * signals are still blocked. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/master/master_impl.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker.h"

extern char **environ;

static void close_masters_files(struct master *m, const struct process *self,
                                const struct generation *g);
static void set_environment(const struct conf *conf);

void child_run_worker(struct master *m, const struct process *p, const struct generation *g)
{
    hist_forget(&hist_self);
    child_reset_signals();
    ev_loop_destroy(m->loop);
    close_masters_files(m, p, g);
    /* Workers of a configuration that is being tried log where it says. */
    files_open_logs(g->conf, g->conf->error_log.at);
    set_environment(g->conf);
    const struct worker_args args = {
        .conf = g->conf,
        .slot = p->slot,
        .generation = p->generation,
        .board = m->board,
        .row = &m->board->rows[p->row],
        .listen_fds = g->listen_fds,
        .parts = g->parts,
        .part_count = g->part_count,
        .log_fds = g->log_fds,
        .zones = g->zones,
        .tls = g->tls,
        .channel_fd = p->channel_fd,
        .drain_ns = g->conf->shutdown_timeout_ns,
    };
    _exit(worker_run(&args));
}

/* The loop's handlers write to a pipe of the master's. */
void child_reset_signals(void)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigemptyset(&usual.sa_mask);
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            sigaction(number, &usual, NULL);
}

static void close_logs(const struct generation *g)
{
    for (size_t i = 0; i < g->log_count; i++)
        sys_close(g->log_fds[i]);
}

/* Above all other workers' channels: a copy of the master's end would hide its death from them. */
static void close_masters_files(struct master *m, const struct process *self,
                                const struct generation *g)
{
    for (size_t i = 0; i < SCORE_SLOTS_MAX; i++)
        if (m->processes[i].pid != 0 && &m->processes[i] != self)
            sys_close(m->processes[i].channel_fd);
    listeners_drop_in_child(&m->listeners, g->conf);
    close_logs(g == &m->current ? &m->trying : &m->current);
    sys_close(m->board->fd);
    if (m->other_fd >= 0)
        sys_close(m->other_fd);
    if (m->daemon_fd >= 0)
        sys_close(m->daemon_fd);
    if (m->trace != NULL)
        sys_close(fileno(m->trace));
}

/* As nginx does: a worker has the variables that `env` names and those that this program and its
 * witnesses need, no others. */
static bool is_kept(const char *entry, const struct conf *conf)
{
    if (strncmp(entry, "TZ=", 3) == 0 || strncmp(entry, "MW_", 3) == 0 ||
        strncmp(entry, "LD_", 3) == 0 || strncmp(entry, "ASAN_", 5) == 0 ||
        strncmp(entry, "UBSAN_", 6) == 0)
        return true;
    for (size_t i = 0; i < conf->env_count; i++) {
        size_t len = conf->env[i].len;
        if (strncmp(entry, conf->env[i].at, len) == 0 && entry[len] == '=')
            return true;
    }
    return false;
}

static void set_environment(const struct conf *conf)
{
    char **kept = environ;
    for (char **entry = environ; *entry != NULL; entry++)
        if (is_kept(*entry, conf))
            *kept++ = *entry;
    *kept = NULL;
    for (size_t i = 0; i < conf->env_count; i++)
        if (memchr(conf->env[i].at, '=', conf->env[i].len) != NULL)
            putenv((char *)conf->env[i].at);
    tzset(); /* TZ may be another one now */
}
