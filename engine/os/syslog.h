/* Logs that go to a syslog server, in the form of RFC 3164, one datagram for each line:
 * `syslog:server=ADDRESS[:PORT]|unix:PATH[,facility=F][,severity=S][,tag=T][,nohostname]`. */
#ifndef ENGINE_OS_SYSLOG_H
#define ENGINE_OS_SYSLOG_H

#include <stdbool.h>
#include <stddef.h>

enum { SYSLOG_TAG_MAX = 32, SYSLOG_HEAD_MAX = 384 };

struct syslog {
    unsigned facility, severity; /* severity: of access logs */
    bool nohostname;
    char tag[SYSLOG_TAG_MAX + 1];
    char server[128];
};

static inline bool syslog_is(const char *path)
{
    return __builtin_strncmp(path, "syslog:", 7) == 0;
}
/* NULL, or what is wrong with it. */
const char *syslog_parse(const char *path, struct syslog *out);
/* A descriptor to write lines to, or -errno: of a file to append to, or of a server's socket. */
int log_target_open(const char *path);
/* Writes "<PRI>Nov 25 21:33:01 HOST TAG: "; its length. */
size_t syslog_head(const struct syslog *syslog, unsigned severity, char *out, size_t size);

#endif
