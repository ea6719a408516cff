/* The pid file of a master, and of two masters: while an upgrade is under way the old master is in
 * FILE.oldbin and the new one in FILE, and each removes only what names itself. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "engine/master/master_impl.h"
#include "engine/master/pidfile.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "faultinject/fault.h"

static const char *oldbin_path(const struct master *m, char *out, size_t size)
{
    snprintf(out, size, "%s.oldbin", m->current.conf->pid_path.at);
    return out;
}

void files_remove_one(const char *path, pid_t pid)
{
    int err = pidfile_remove(path, pid);
    if (err < 0)
        log_line(LEVEL_CRIT, "\"%s\" cannot be removed (%d: %s)", path, -err, strerror(-err));
}

int files_open_logs(const struct conf *conf, const char *path)
{
    int err = log_open(path, conf->error_level);
    for (size_t i = 0; i < conf->more_error_log_count && err == 0; i++)
        err = log_open_also(conf->more_error_logs[i].path.at,
                            (enum log_level)conf->more_error_logs[i].level);
    return err;
}

int files_write_pid(struct master *m)
{
    int err = pidfile_write(m->current.conf->pid_path.at, m->pid);
    m->pid_written = err == 0;
    return err;
}

/* The pid file itself stays until the new master replaces it, so that at no time there is none. */
int files_write_oldbin(struct master *m)
{
    char path[PATH_MAX];
    int err = pidfile_write(oldbin_path(m, path, sizeof(path)), m->pid);
    if (err < 0)
        log_line(LEVEL_CRIT, "\"%s\" cannot be written (%d: %s), the new binary is not started",
                 path, -err, strerror(-err));
    return err;
}

void files_restore_pid(struct master *m)
{
    char path[PATH_MAX];
    if (pidfile_read(m->current.conf->pid_path.at) != m->pid && files_write_pid(m) < 0)
        log_line(LEVEL_CRIT, "the pid file \"%s\" cannot be restored",
                 m->current.conf->pid_path.at);
    files_remove_one(oldbin_path(m, path, sizeof(path)), m->pid);
}

void files_clear_oldbin(struct master *m, pid_t old_pid)
{
    char path[PATH_MAX];
    files_remove_one(oldbin_path(m, path, sizeof(path)), old_pid);
}

/* A new master that goes before the old one gives the file back, so that it names a live one at all
 * times. */
static bool give_back(const struct master *m)
{
    char path[PATH_MAX];
    return m->old_pid != 0 && pidfile_read(oldbin_path(m, path, sizeof(path))) == m->old_pid &&
           pidfile_read(m->current.conf->pid_path.at) == m->pid &&
           sys_rename(path, m->current.conf->pid_path.at) == 0;
}

void files_remove(struct master *m)
{
    char path[PATH_MAX];
    if (fault_sabotage(FAULT_sabotage_leave_pid_file) || give_back(m))
        return;
    files_remove_one(m->current.conf->pid_path.at, m->pid);
    files_remove_one(oldbin_path(m, path, sizeof(path)), m->pid);
}
