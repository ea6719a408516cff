/* The error log, in nginx's format: `2026/11/23 21:33:01 [warn] PID#TID: *CONN message`.
 * One write(2) per line with O_APPEND, so that lines of several processes never tear. */
#ifndef ENGINE_OS_LOG_H
#define ENGINE_OS_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level {
    LEVEL_EMERG,
    LEVEL_ALERT,
    LEVEL_CRIT,
    LEVEL_ERR,
    LEVEL_WARN,
    LEVEL_NOTICE,
    LEVEL_INFO,
    LEVEL_DEBUG
};

/* Points the process's error log at `path` ("stderr", "syslog:..." or a file, opened
 * O_APPEND|O_CREAT 0644).
 * Returns 0 or a negative errno; on error the log stays where it was. */
int log_open(const char *path, enum log_level level);
enum { LOG_MORE_MAX = 3 };
/* Beside the one that log_open() named, until that is called again: lines go there too. */
int log_open_also(const char *path, enum log_level level);
/* Opens the same paths anew (log reopen); on error keeps the old descriptor and returns -errno. */
int log_reopen(void);
int log_fd(void); /* the descriptor; 2 before log_open */
/* Another log than the process's own, whatever its level: `path` says whether `fd` is a file or a
 * syslog server. NULL: the process's own, but whatever its level. */
void log_line_to(const char *path, int fd, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool log_level_parse(const char *word, enum log_level *level);
/* Our own mistake: logs [alert] FILE:LINE and aborts, in release too. */
#define CHECK(condition) ((condition) ? (void)0 : log_check_failed(#condition, __FILE__, __LINE__))
_Noreturn void log_check_failed(const char *condition, const char *file, int line);

#endif
