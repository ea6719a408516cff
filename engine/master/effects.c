/* One switch: what the master does for each effect of the supervisor. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "engine/master/master_impl.h"
#include "engine/master/notify.h"
#include "engine/master/pidfile.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "faultinject/fault.h"

static void load_conf(struct master *m, uint32_t generation);
static void keep_conf(struct master *m, uint32_t generation);
static void discard_conf(struct master *m);
static void commit(struct master *m);
static void reopen_logs(struct master *m);
static void ready(struct master *m);
static void stopping(struct master *m);
static void exit_with(struct master *m, int code);

void master_carry_out(struct master *m, const struct sup_effect *effect)
{
    switch ((enum sup_effect_kind)effect->kind) {
    case SUP_DO_SPAWN:
        workers_spawn(m, effect);
        break;
    case SUP_DO_GO:
    case SUP_DO_DRAIN:
    case SUP_DO_TERM:
    case SUP_DO_ABORT:
    case SUP_DO_KILL:
        workers_order(m, effect);
        break;
    case SUP_DO_LOAD_CONF:
        load_conf(m, effect->generation);
        break;
    case SUP_DO_KEEP_CONF:
        keep_conf(m, effect->generation);
        break;
    case SUP_DO_DISCARD_CONF:
        discard_conf(m);
        break;
    case SUP_DO_COMMIT:
        commit(m);
        break;
    case SUP_DO_READY:
        ready(m);
        break;
    case SUP_DO_REOPEN_LOGS:
        reopen_logs(m);
        break;
    case SUP_DO_UPGRADE_START:
        upgrade_start(m);
        break;
    case SUP_DO_UPGRADE_QUIT:
        upgrade_signal(m, SIGQUIT);
        break;
    case SUP_DO_UPGRADE_KILL:
        upgrade_signal(m, SIGKILL);
        break;
    case SUP_DO_RESTORE_PID:
        files_restore_pid(m);
        break;
    case SUP_DO_STOPPING:
        stopping(m);
        break;
    case SUP_DO_EXIT:
        exit_with(m, (int)effect->a);
        break;
    case SUP_DO_RESIZED:
        fault_step(FAULT_master_resize);
        break;
    case SUP_DO_RESPAWN:
    case SUP_DO_RETRY:
    case SUP_DO_REPORT:
    case SUP_DO_UPGRADE_REPORT:
    case SUP_DO_NOTE:
    case SUP_EFFECT_COUNT:
        break; /* report_effect() has said it, there is nothing to do */
    }
}

/* ---- a new configuration --------------------------------------------------------------- */

struct sup_settings master_settings(const struct conf *conf)
{
    return (struct sup_settings){
        .workers = conf->workers,
        .drain_ns = conf->shutdown_timeout_ns,
        .watchdog_ns = conf->watchdog_ns,
        .backoff_min_ns = conf->backoff_min_ns,
        .backoff_max_ns = conf->backoff_max_ns,
        .reload_timeout_ns = conf->reload_timeout_ns,
        .generations = conf->reload_generations,
    };
}

/* The new configuration with all it needs open, or NULL and why in m->refusal. */
static struct conf *load(struct master *m, uint32_t generation)
{
    const struct master_options *options = m->options;
    struct listeners_error open_error;
    struct conf_error error;

    int failed = fault_step(FAULT_master_reload_parse);
    if (failed != 0) {
        snprintf(m->refusal, sizeof(m->refusal),
                 "[emerg] reading the configuration failed (%d: %s)", failed, strerror(failed));
        return NULL;
    }
    struct conf *conf = conf_load(options->conf_path, options->prefix, options->globals, &error);
    if (conf == NULL) {
        conf_error_print(&error, m->refusal, sizeof(m->refusal));
        return NULL;
    }
    conf->generation = generation;
    if (generation_open(&m->trying, conf, &m->current, &m->listeners, &open_error) < 0) {
        snprintf(m->refusal, sizeof(m->refusal), "[emerg] %s", open_error.text);
        conf_free(conf);
        return NULL;
    }
    return conf;
}

static void load_conf(struct master *m, uint32_t generation)
{
    SCORE_SET(m->board->generation_tried, generation);
    notify_reloading();
    if (fault_sabotage(FAULT_sabotage_leak_fd))
        (void)sys_open("/dev/null", O_RDONLY, 0);
    const struct conf *conf = load(m, generation);
    struct sup_event event = {.kind = conf != NULL ? SUP_CONF_OK : SUP_CONF_BAD};
    if (conf != NULL) {
        event.settings = master_settings(conf);
        m->listeners_stopped = fault_sabotage(FAULT_sabotage_close_listener_early);
        if (m->listeners_stopped)
            listeners_stop(&m->listeners);
    }
    master_tell(m, &event);
}

static void resume_listeners(struct master *m)
{
    if (m->listeners_stopped)
        listeners_resume(&m->listeners);
    m->listeners_stopped = false;
}

static void discard_conf(struct master *m)
{
    fault_step(FAULT_master_reload_undo);
    resume_listeners(m);
    listeners_keep(&m->listeners, m->current.conf);
    generation_close(&m->trying);
}

static void keep_conf(struct master *m, uint32_t generation)
{
    m->current.conf->generation = generation;
    SCORE_SET(m->board->generation_tried, generation);
    SCORE_SET(m->board->generation, generation);
}

static void switch_error_log(const struct conf *from, const struct conf *to)
{
    if (strcmp(from->error_log.at, to->error_log.at) == 0 && from->error_level == to->error_level &&
        from->more_error_log_count == 0 && to->more_error_log_count == 0)
        return;
    int err = files_open_logs(to, to->error_log.at);
    if (err < 0)
        log_line(LEVEL_EMERG, "open() \"%s\" failed (%d: %s), the old error log is kept",
                 to->error_log.at, -err, strerror(-err));
    else if (log_fd() != STDERR_FILENO)
        sys_dup2(log_fd(), STDERR_FILENO);
}

/* A sabotage puts a worker's pid there; else the file moves with the configuration. */
static void switch_pid_file(struct master *m, const struct conf *from, const struct conf *to)
{
    if (strcmp(from->pid_path.at, to->pid_path.at) != 0) {
        int err = pidfile_write(to->pid_path.at, m->pid);
        if (err < 0)
            log_line(LEVEL_EMERG, "the pid file \"%s\" cannot be written (%d: %s)", to->pid_path.at,
                     -err, strerror(-err));
        files_remove_one(from->pid_path.at, m->pid);
    }
    if (fault_sabotage(FAULT_sabotage_wrong_pid_file))
        for (size_t i = 0; i < SCORE_SLOTS_MAX; i++)
            if (m->processes[i].pid != 0)
                pidfile_write(to->pid_path.at, m->processes[i].pid);
}

void master_sabotage_queue(struct master *m)
{
    if (!fault_sabotage(FAULT_sabotage_reset_queue))
        return;
    listeners_stop(&m->listeners);
    listeners_resume(&m->listeners);
}

static void commit(struct master *m)
{
    struct generation old = m->current;

    fault_step(FAULT_master_reload_commit);
    resume_listeners(m);
    if (m->trying.conf->workers < old.conf->workers)
        master_sabotage_queue(m);
    m->current = m->trying;
    m->trying = (struct generation){0};
    fault_allow(m->current.conf->fault_points);
    fault_identify(FAULT_ROLE_MASTER, -1, m->current.conf->generation);
    SCORE_SET(m->board->generation, m->current.conf->generation);
    SCORE_SET(m->board->workers, m->current.conf->workers);
    listeners_keep(&m->listeners, m->current.conf);
    switch_error_log(old.conf, m->current.conf);
    switch_pid_file(m, old.conf, m->current.conf);
    generation_close(&old);
}

/* ---- the rest -------------------------------------------------------------------------- */

static void ready(struct master *m)
{
    if (!m->pid_written) { /* born in an upgrade: the file named the old master until now */
        int err = files_write_pid(m);
        if (err < 0)
            log_line(LEVEL_EMERG, "the pid file \"%s\" cannot be written (%d: %s)",
                     m->current.conf->pid_path.at, -err, strerror(-err));
    }
    upgrade_say_ready(m);
    notify_ready(m->pid);
}

static void reopen_logs(struct master *m)
{
    int err = log_reopen();
    if (err < 0)
        log_line(LEVEL_EMERG, "the error log cannot be reopened (%d: %s), the old file is kept",
                 -err, strerror(-err));
    else if (log_fd() != STDERR_FILENO)
        sys_dup2(log_fd(), STDERR_FILENO);
    generation_reopen_logs(&m->current);
    generation_reopen_logs(&m->trying);
    workers_reopen_logs(m);
}

/* The workers have copies of the listeners and decide themselves how long they accept. */
static void stopping(struct master *m)
{
    fault_step(FAULT_master_stop);
    notify_stopping();
    listeners_keep(&m->listeners, NULL);
}

static void exit_with(struct master *m, int code)
{
    fault_step(FAULT_master_exit);
    m->exit_code = code;
    ev_break(m->loop, EVBREAK_ALL);
}
