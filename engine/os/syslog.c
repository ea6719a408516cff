/* Logs that go to a syslog server. */
#include "engine/os/syslog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "engine/os/clock.h"
#include "engine/os/sys.h"

enum { DEFAULT_FACILITY = 23, DEFAULT_SEVERITY = 6, DEFAULT_PORT = 514, LOG_MODE = 0644 };

static bool syslog_word(const char *const *words, const char *word, unsigned *out)
{
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (words[i][0] != '\0' && strcmp(words[i], word) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* One of the words between the commas. NULL, or what is wrong with it. */
static const char *syslog_option(char *word, struct syslog *out)
{
    static const char *const facilities[] = {
        "kern",   "user",     "mail",   "daemon", "auth",   "intern", "lpr",  "news",   "uucp",
        "clock",  "authpriv", "ftp",    "ntp",    "audit",  "alert",  "cron", "local0", "local1",
        "local2", "local3",   "local4", "local5", "local6", "local7", NULL};
    static const char *const severities[] = {"emerg",  "alert", "crit",  "error", "warn",
                                             "notice", "info",  "debug", NULL};
    if (strncmp(word, "server=", 7) == 0) {
        snprintf(out->server, sizeof out->server, "%s", word + 7);
        return strlen(word + 7) < sizeof out->server ? NULL : "the server's address is too long";
    }
    if (strncmp(word, "facility=", 9) == 0)
        return syslog_word(facilities, word + 9, &out->facility) ? NULL : "unknown facility";
    if (strncmp(word, "severity=", 9) == 0)
        return syslog_word(severities, word + 9, &out->severity) ? NULL : "unknown severity";
    if (strncmp(word, "tag=", 4) == 0) {
        const char *tag = word + 4;
        size_t len = strlen(tag);
        if (len == 0 || len > SYSLOG_TAG_MAX)
            return "a tag has 1 to 32 characters";
        if (strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != len)
            return "a tag has letters, digits and underscores only";
        memcpy(out->tag, tag, len + 1);
        return NULL;
    }
    out->nohostname |= strcmp(word, "nohostname") == 0;
    return strcmp(word, "nohostname") == 0
               ? NULL
               : "server=, facility=, severity=, tag= or nohostname is expected";
}

/* Where the datagrams go. 0: it is no address. */
static socklen_t syslog_address(const char *server, struct sockaddr_storage *storage)
{
    char host[128];
    memset(storage, 0, sizeof *storage);
    if (strncmp(server, "unix:", 5) == 0) {
        struct sockaddr_un *local = (struct sockaddr_un *)(void *)storage;
        local->sun_family = AF_UNIX;
        int len = snprintf(local->sun_path, sizeof local->sun_path, "%s", server + 5);
        bool fits = len > 0 && (size_t)len < sizeof local->sun_path;
        return fits ? (socklen_t)sizeof *local : 0;
    }
    unsigned long port = DEFAULT_PORT;
    bool brackets = server[0] == '[';
    const char *end = brackets ? strchr(server, ']') : strrchr(server, ':');
    size_t len = end != NULL ? (size_t)(end - server) : strlen(server);
    snprintf(host, sizeof host, "%.*s", (int)(len - brackets), server + brackets);
    const char *colon = end != NULL ? end + brackets : "";
    if (*colon == ':') {
        char *rest;
        port = strtoul(colon + 1, &rest, 10);
        if (*rest != '\0' || rest == colon + 1 || port == 0 || port > 65535)
            return 0;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)storage;
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr)) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return sizeof *v4;
    }
    if (!brackets || inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
        return 0;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return sizeof *v6;
}

const char *syslog_parse(const char *path, struct syslog *out)
{
    struct sockaddr_storage address;
    char text[512], *rest = text, *word;
    *out = (struct syslog){
        .facility = DEFAULT_FACILITY, .severity = DEFAULT_SEVERITY, .tag = "masterwork"};
    if ((size_t)snprintf(text, sizeof text, "%s", path + strlen("syslog:")) >= sizeof text)
        return "it is too long";
    while ((word = strsep(&rest, ",")) != NULL) {
        const char *wrong = syslog_option(word, out);
        if (wrong != NULL)
            return wrong;
    }
    if (out->server[0] == '\0')
        return "no syslog server is named: server=ADDRESS[:PORT] or server=unix:PATH is expected";
    return syslog_address(out->server, &address) != 0
               ? NULL
               : "the server is no address: names are not looked up";
}

/* Nobody need be there: what cannot be sent is lost, as syslog is. */
static int syslog_open(const char *path)
{
    struct syslog syslog;
    struct sockaddr_storage address;
    if (syslog_parse(path, &syslog) != NULL)
        return -EINVAL;
    socklen_t len = syslog_address(syslog.server, &address);
    int fd = sys_socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    int err = sys_connect(fd, (struct sockaddr *)&address, len);
    if (err == 0 || address.ss_family == AF_UNIX)
        return fd; /* a local server may come later: the log is reopened for it */
    sys_close(fd);
    return err;
}

int log_target_open(const char *path)
{
    return syslog_is(path) ? syslog_open(path)
                           : sys_open(path, O_WRONLY | O_APPEND | O_CREAT, LOG_MODE);
}

size_t syslog_head(const struct syslog *syslog, unsigned severity, char *out, size_t size)
{
    char stamp[32], host[256] = "";
    struct tm local;
    time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &local);
    if (!syslog->nohostname && gethostname(host, sizeof host - 2) == 0)
        snprintf(host + strlen(host), 2, " ");
    int len = snprintf(out, size, "<%u>%s %s%s: ", syslog->facility * 8 + severity, stamp, host,
                       syslog->tag);
    return len > 0 && (size_t)len < size ? (size_t)len : 0;
}
