/* Access logs. A line is written with one write(2) to a descriptor opened O_APPEND, so that lines
 * of several workers never tear; with a buffer, whole lines are collected and leave together when
 * it is full, when it is old, at a reopen, at a drain and at the end. */
#ifndef ENGINE_HTTP_ACCESS_LOG_H
#define ENGINE_HTTP_ACCESS_LOG_H

#include "engine/http/exchange.h"
#include "engine/os/syslog.h"

struct access_log_file {
    const char *path;
    int fd;
    bool to_syslog;
    struct syslog syslog;
    char *buffer; /* NULL: no location buffers this file */
    size_t size, used;
    uint64_t flush_at_ns; /* 0: nothing waits, or it waits for no time */
    uint64_t complained_ns;
    char torn[512]; /* sabotage.tear_log_line: the half that waits for a reopen */
    size_t torn_len;
};

/* The files of one worker, parallel to conf.log_files. */
struct access_logs {
    struct access_log_file *files;
    size_t count;
};

/* Takes over the descriptors the master opened. 0, or -ENOMEM. */
int access_logs_open(struct access_logs *logs, const struct conf *conf, const int *fds);
/* Writes what waits in buffers, then closes the files. */
void access_logs_close(struct access_logs *logs);
/* Writes the line or lines of a finished exchange. */
void access_log_write(struct exchange *x);
/* Writes buffers that are due. Returns when to come again, UINT64_MAX: nothing waits. */
uint64_t access_logs_flush_due(struct access_logs *logs, uint64_t now_ns);
void access_logs_flush(struct access_logs *logs);
/* Opens each file anew by its path; one that cannot be opened goes on with its old descriptor.
 * Returns the number of those. */
size_t access_logs_reopen(struct access_logs *logs);
/* `value` as it stands in a log line. */
void access_log_escape(struct builder *line, struct conf_str value, enum conf_escape escape);

#endif
