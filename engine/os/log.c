/* The error log of this process: formats a line, escapes what could forge another one, and appends
 * it with a single write. A log that cannot be written never stops the server: the line is lost. */
#include "engine/os/log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/os/clock.h"
#include "engine/os/sys.h"
#include "engine/os/syslog.h"
#include "faultinject/fault.h"

#define LOG_LINE_MAX 2048 /* nginx's bound; longer messages are cut */

struct target {
    int fd;
    enum log_level level;
    bool to_syslog;
    struct syslog syslog;
    char path[PATH_MAX]; /* empty: stderr */
};
static struct target error_log = {.fd = STDERR_FILENO, .level = LEVEL_NOTICE};
static struct target more_logs[LOG_MORE_MAX];
static size_t more_count;

static const char *const level_words[] = {
    [LEVEL_EMERG] = "emerg", [LEVEL_ALERT] = "alert", [LEVEL_CRIT] = "crit",
    [LEVEL_ERR] = "error",   [LEVEL_WARN] = "warn",   [LEVEL_NOTICE] = "notice",
    [LEVEL_INFO] = "info",   [LEVEL_DEBUG] = "debug",
};

static void target_switch(struct target *target, int fd)
{
    int old = target->fd;
    target->fd = fd;
    if (old != STDERR_FILENO)
        sys_close(old);
}

static int target_open(struct target *target, const char *path, enum log_level level)
{
    if (strcmp(path, "stderr") == 0) {
        target->path[0] = '\0';
        target->to_syslog = false;
        target->level = level;
        target_switch(target, STDERR_FILENO);
        return 0;
    }
    size_t len = strlen(path);
    if (len == 0)
        return -ENOENT;
    if (len >= sizeof target->path)
        return -ENAMETOOLONG;
    bool to_syslog = syslog_is(path);
    if (to_syslog && syslog_parse(path, &target->syslog) != NULL)
        return -EINVAL;
    int fd = log_target_open(path);
    if (fd < 0)
        return fd;
    target->to_syslog = to_syslog;
    memmove(target->path, path, len + 1); /* the caller may hand us our own path */
    target->level = level;
    target_switch(target, fd);
    return 0;
}

int log_open(const char *path, enum log_level level)
{
    int err = target_open(&error_log, path, level);
    while (err == 0 && more_count > 0)
        target_switch(&more_logs[--more_count], STDERR_FILENO);
    return err;
}

int log_open_also(const char *path, enum log_level level)
{
    if (more_count == LOG_MORE_MAX)
        return -ENOSPC;
    struct target *target = &more_logs[more_count];
    target->fd = STDERR_FILENO;
    int err = target_open(target, path, level);
    more_count += err == 0;
    return err;
}

static int target_reopen(struct target *target)
{
    return target->path[0] == '\0' ? 0 : target_open(target, target->path, target->level);
}

int log_reopen(void)
{
    int failed = fault_step(FAULT_log_reopen);
    if (failed != 0)
        return -failed;
    int err = target_reopen(&error_log);
    for (size_t i = 0; i < more_count && err == 0; i++)
        err = target_reopen(&more_logs[i]);
    return err;
}

int log_fd(void)
{
    return error_log.fd;
}

static size_t log_stamp(char *out, size_t size, enum log_level level)
{
    time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
    struct tm local;
    localtime_r(&now, &local);
    size_t used = strftime(out, size, "%Y/%m/%d %H:%M:%S", &local);
    int more = snprintf(out + used, size - used, " [%s] %d#%d: ", level_words[level], (int)getpid(),
                        (int)gettid());
    return used + (size_t)more;
}

/* Messages quote what clients send; a line feed among it must not begin a line of its own. */
static size_t log_escape(char *out, size_t size, const char *message)
{
    size_t used = 0;
    for (const char *c = message; *c != '\0' && used + 5 < size; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == 0x7f)
            used += (size_t)snprintf(out + used, size - used, "\\x%02X", byte);
        else
            out[used++] = *c;
    }
    return used;
}

/* One line to `fd`; to a syslog server without the time, which its own head has. */
static __attribute__((format(printf, 4, 0))) void log_append(int fd, const struct syslog *syslog,
                                                             enum log_level level,
                                                             const char *format, va_list args)
{
    if (fault_step(FAULT_log_write) != 0)
        return;
    enum { TIME_LEN = sizeof "2026/11/23 21:33:01 " - 1 };
    char message[LOG_LINE_MAX];
    char line[LOG_LINE_MAX + SYSLOG_HEAD_MAX];
    vsnprintf(message, sizeof message, format, args);
    size_t used = 0;
    if (syslog != NULL) {
        char stamped[128];
        size_t len = log_stamp(stamped, sizeof stamped, level);
        used = syslog_head(syslog, level, line, sizeof line);
        memcpy(line + used, stamped + TIME_LEN, len - TIME_LEN);
        used += len - TIME_LEN;
    } else {
        used = log_stamp(line, sizeof line, level);
    }
    used += log_escape(line + used, LOG_LINE_MAX - 1 - (syslog == NULL ? used : 0), message);
    if (syslog == NULL)
        line[used++] = '\n';
    sys_write(fd, line, used);
}

void log_line(enum log_level level, const char *format, ...)
{
    int saved = errno; /* callers log in the middle of handling something else */
    for (size_t i = 0; i <= more_count; i++) {
        const struct target *target = i == 0 ? &error_log : &more_logs[i - 1];
        if (level > target->level)
            continue;
        va_list args;
        va_start(args, format);
        log_append(target->fd, target->to_syslog ? &target->syslog : NULL, level, format, args);
        va_end(args);
    }
    errno = saved;
}

void log_line_to(const char *path, int fd, enum log_level level, const char *format, ...)
{
    struct syslog syslog;
    bool own = path == NULL;
    bool to_syslog = own ? error_log.to_syslog : syslog_is(path);
    va_list args;
    if (!own && to_syslog && syslog_parse(path, &syslog) != NULL)
        return;
    va_start(args, format);
    log_append(own ? error_log.fd : fd,
               !to_syslog ? NULL
               : own      ? &error_log.syslog
                          : &syslog,
               level, format, args);
    va_end(args);
}

bool log_level_parse(const char *word, enum log_level *level)
{
    for (size_t i = 0; i < sizeof level_words / sizeof level_words[0]; i++) {
        if (strcmp(word, level_words[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_check_failed(const char *condition, const char *file, int line)
{
    log_line(LEVEL_ALERT, "check failed: %s at %s:%d", condition, file, line);
    abort();
}
