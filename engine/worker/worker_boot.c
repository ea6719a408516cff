/* What a worker process becomes before it serves: its limits, place, priority and, last of all, the
 * user it runs as. These calls are made once in a process's life and have no fault points, so they
 * are made here and not through engine/os/sys.h. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_impl.h"
#include "faultinject/fault.h"

/* Says what did not work; a worker that is not what the configuration says must not serve. */
static int boot_fail(const char *what, int err)
{
    log_line(LEVEL_EMERG, "a worker cannot start: %s failed (%d: %s)", what, err, strerror(err));
    return -err;
}

static int boot_limits(const struct conf *conf)
{
    if (conf->generation > 1 && fault_sabotage(FAULT_sabotage_forget_rlimit))
        return 0;
    int err = conf->rlimit_nofile ? sys_rlimit_set(RLIMIT_NOFILE, conf->rlimit_nofile) : 0;
    if (err == 0 && conf->rlimit_core)
        err = sys_rlimit_set(RLIMIT_CORE, conf->rlimit_core - 1);
    if (err == -EPERM) /* as nginx: worth a word, not worth a server that does not start */
        log_line(LEVEL_ALERT, "worker_rlimit_nofile or worker_rlimit_core is above the hard limit");
    return err == -EPERM ? 0 : err == 0 ? 0 : boot_fail("setrlimit", -err);
}

static int boot_affinity(const struct conf *conf, int slot)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (fault_sabotage(FAULT_sabotage_forget_affinity)) {
        return 0;
    } else if (conf->affinity_auto) {
        cpu_set_t allowed;
        if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
            return boot_fail("sched_getaffinity", errno);
        int nth = slot % CPU_COUNT(&allowed);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &allowed) && nth-- == 0)
                CPU_SET(cpu, &set);
    } else if (conf->affinity_count > 0) {
        uint64_t mask = conf->affinity[(size_t)slot % conf->affinity_count];
        for (int cpu = 0; cpu < 64; cpu++)
            if (mask >> cpu & 1)
                CPU_SET(cpu, &set);
    } else {
        return 0;
    }
    int err = sys_set_affinity(&set);
    if (err < 0)
        log_line(LEVEL_ALERT, "worker_cpu_affinity: sched_setaffinity failed (%d: %s)", -err,
                 strerror(-err));
    return 0;
}

static int boot_user(const struct conf *conf)
{
    if (conf->user.len == 0 || geteuid() != 0)
        return 0;
    errno = 0;
    const struct passwd *user = getpwnam(conf->user.at);
    if (user == NULL)
        return boot_fail("getpwnam", errno ? errno : ENOENT);
    uid_t uid = user->pw_uid;
    gid_t gid = user->pw_gid;
    if (conf->group.len > 0) {
        const struct group *group = getgrnam(conf->group.at);
        if (group == NULL)
            return boot_fail("getgrnam", errno ? errno : ENOENT);
        gid = group->gr_gid;
    }
    int err = sys_become(conf->user.at, uid, gid);
    if (err < 0)
        return boot_fail("changing the user", -err);
    if (conf->rlimit_core) /* a process that changed its user leaves no core without this */
        prctl(PR_SET_DUMPABLE, 1);
    return 0;
}

int worker_boot(const struct worker_args *args)
{
    const struct conf *conf = args->conf;
    int err = boot_limits(conf);
    int failed = 0;
    if (err == 0 && conf->priority != 0 && (failed = sys_set_priority(conf->priority)) < 0)
        err = boot_fail("setpriority", -failed);
    if (err == 0)
        err = boot_affinity(conf, args->slot);
    if (err == 0)
        err = boot_user(conf);
    if (err == 0 && conf->working_directory.len > 0 &&
        (failed = sys_chdir(conf->working_directory.at)) < 0)
        err = boot_fail("chdir to working_directory", -failed);
    return err;
}
