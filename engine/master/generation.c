/* What one configuration needs to be open before its workers can be started. */
#include "engine/master/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/conf/conf_proxy.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/os/syslog.h"
#include "faultinject/fault.h"

/* Workers that run as another user open the file again when logs are rotated: it must be theirs. */
static void give_to_user(int fd, const struct conf *conf)
{
    struct stat st;
    if (geteuid() != 0 || conf->user.len == 0)
        return;
    const struct passwd *user = getpwnam(conf->user.at);
    if (user == NULL || sys_fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) ||
        st.st_uid == user->pw_uid)
        return;
    int err = sys_fchown(fd, user->pw_uid);
    if (err < 0)
        log_line(LEVEL_WARN, "a file or folder could not be given to user \"%s\" (%d: %s)",
                 conf->user.at, -err, strerror(-err));
}

static int open_log(const struct conf_log_file *file, const struct conf *conf)
{
    int fd = log_target_open(file->path.at);
    if (fd >= 0 && !syslog_is(file->path.at))
        give_to_user(fd, conf);
    return fd;
}

static int open_logs(struct generation *g, struct conf *conf, struct listeners_error *error)
{
    for (; g->log_count < conf->log_file_count; g->log_count++) {
        const struct conf_log_file *file = &conf->log_files[g->log_count];
        int fd = open_log(file, conf);
        if (fd < 0) {
            snprintf(error->text, sizeof(error->text), "open() \"%s\" failed (%d: %s)",
                     file->path.at, -fd, strerror(-fd));
            return fd;
        }
        g->log_fds[g->log_count] = fd;
    }
    return 0;
}

/* A folder for what does not fit into memory, which workers write to. */
static int make_folder(const char *path, const struct conf *conf, struct listeners_error *error)
{
    int err = sys_mkdir(path, 0700);
    if (err == -EEXIST)
        return 0;
    int fd = err < 0 ? err : sys_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        snprintf(error->text, sizeof(error->text), "mkdir() \"%s\" failed (%d: %s)", path, -fd,
                 strerror(-fd));
        return fd;
    }
    give_to_user(fd, conf);
    return sys_close(fd);
}

static int make_folders(const struct conf *conf, struct listeners_error *error)
{
    int err = 0;
    for (size_t i = 0; i < conf->location_count && err == 0; i++) {
        const struct conf_location *location = conf->locations[i];
        if (location->proxy == NULL)
            continue;
        err = make_folder(location->body_temp_path.at, conf, error);
        if (err == 0)
            err = make_folder(location->proxy->temp_path.at, conf, error);
    }
    return err;
}

/* What only shows when a worker starts would end every worker: it is looked at before. */
static int check_user(const struct conf *conf, struct listeners_error *error)
{
    const char *missing = NULL;
    if (geteuid() != 0 || conf->user.len == 0)
        return 0;
    if (getpwnam(conf->user.at) == NULL)
        missing = conf->user.at;
    else if (conf->group.len > 0 && getgrnam(conf->group.at) == NULL)
        missing = conf->group.at;
    if (missing == NULL)
        return 0;
    snprintf(error->text, sizeof(error->text), "\"user\": there is no user or group \"%s\"",
             missing);
    return -ENOENT;
}

static int check_one_log(const char *path, struct listeners_error *error)
{
    if (strcmp(path, "stderr") == 0)
        return 0;
    int fd = log_target_open(path);
    if (fd >= 0)
        return sys_close(fd);
    snprintf(error->text, sizeof(error->text), "open() \"%s\" failed (%d: %s)", path, -fd,
             strerror(-fd));
    return fd;
}

static int check_error_log(const struct conf *conf, struct listeners_error *error)
{
    int err = check_one_log(conf->error_log.at, error);
    for (size_t i = 0; i < conf->more_error_log_count && err == 0; i++)
        err = check_one_log(conf->more_error_logs[i].path.at, error);
    return err;
}

#define ZONE_KIND(symbol, directive) extern const struct zone_kind zone_kind_##symbol;
#include "engine/conf/zones.def"
#undef ZONE_KIND
static const struct zone_kind *const zone_kinds[] = {
#define ZONE_KIND(symbol, directive) [CONF_ZONE_##symbol] = &zone_kind_##symbol,
#include "engine/conf/zones.def"
#undef ZONE_KIND
    [CONF_ZONE_KIND_COUNT] = NULL,
};
_Static_assert((int)CONF_ZONE_NAME_MAX < ZONE_NAME_MAX &&
                   (int)CONF_ZONE_BYTES_MIN == ZONE_BYTES_MIN,
               "what the configuration accepts, shared memory can do");

static int open_zones(struct generation *g, const struct conf *conf,
                      const struct generation *before, struct listeners_error *error)
{
    int err = -ENOMEM;
    struct zone_wish *wishes = sys_calloc(conf->zone_count + 1, sizeof *wishes);
    for (size_t i = 0; wishes != NULL && i < conf->zone_count; i++) {
        const struct conf_zone *zone = &conf->zones[i];
        wishes[i] = (struct zone_wish){zone->name.at, zone_kinds[zone->kind], zone->size};
    }
    if (wishes != NULL)
        g->zones =
            zones_open(wishes, conf->zone_count, before != NULL ? before->zones : NULL, &err);
    free(wishes);
    if (err < 0)
        snprintf(error->text, sizeof(error->text), "shared memory for zones failed (%d: %s)", -err,
                 strerror(-err));
    return err;
}

static int open_tls(struct generation *g, const struct conf *conf, struct listeners_error *error)
{
    struct conf_error refused;
    char text[sizeof(error->text)];
    g->tls = tls_contexts_open(conf, &refused);
    if (g->tls != NULL)
        return 0;
    conf_error_print(&refused, text, sizeof(text));
    snprintf(error->text, sizeof(error->text), "%s", text + strlen("[emerg] "));
    return -EINVAL;
}

static int open_listeners(struct generation *g, const struct conf *conf,
                          struct listeners *listeners, struct listeners_error *error)
{
    int err = listeners_open(listeners, conf, g->listen_fds, error);
    if (err == 0)
        err = listeners_open_parts(listeners, conf, &g->parts, &g->part_count, error);
    return err;
}

int generation_open(struct generation *g, struct conf *conf, const struct generation *before,
                    struct listeners *listeners, struct listeners_error *error)
{
    *g = (struct generation){0};
    fault_step(FAULT_master_bind);
    g->listen_fds = sys_calloc(conf->listen_count + 1, sizeof(int));
    g->log_fds = sys_calloc(conf->log_file_count + 1, sizeof(int));
    int err = g->listen_fds != NULL && g->log_fds != NULL ? 0 : -ENOMEM;
    if (err < 0)
        snprintf(error->text, sizeof(error->text), "no memory for a new configuration");
    if (err == 0)
        err = check_user(conf, error);
    if (err == 0)
        err = open_tls(g, conf, error);
    if (err == 0)
        err = check_error_log(conf, error);
    if (err == 0)
        err = open_logs(g, conf, error);
    if (err == 0)
        err = make_folders(conf, error);
    if (err == 0)
        err = open_zones(g, conf, before, error);
    if (err == 0)
        err = open_listeners(g, conf, listeners, error);
    if (err == 0)
        g->conf = conf;
    else
        generation_close(g);
    return err;
}

void generation_close(struct generation *g)
{
    for (size_t i = 0; i < g->log_count; i++)
        sys_close(g->log_fds[i]);
    free(g->log_fds);
    free(g->listen_fds);
    free(g->parts);
    zones_close(g->zones);
    tls_contexts_close(g->tls);
    if (g->conf != NULL)
        conf_free(g->conf);
    *g = (struct generation){0};
}

void generation_reopen_logs(struct generation *g)
{
    for (size_t i = 0; i < g->log_count; i++) {
        const struct conf_log_file *file = &g->conf->log_files[i];
        int err = -fault_step(FAULT_log_reopen);
        int fd = err < 0 ? err : open_log(file, g->conf);
        if (fd < 0) {
            log_line(LEVEL_EMERG, "open() \"%s\" failed (%d: %s), the old file is kept",
                     file->path.at, -fd, strerror(-fd));
            continue;
        }
        sys_close(g->log_fds[i]);
        g->log_fds[i] = fd;
    }
}
