/* sd_notify without libsystemd: one datagram to the socket that the environment names. */
#include "engine/master/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"

static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;

    if (len == 0 || len >= sizeof(addr.sun_path))
        return;
    memcpy(addr.sun_path, path, len);
    if (path[0] == '@') /* an abstract name */
        addr.sun_path[0] = '\0';
    int fd = sys_socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0)
        return;
    socklen_t addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    int err = sys_connect(fd, (const struct sockaddr *)&addr, addr_len);
    if (err == 0)
        err = (int)sys_send(fd, text, strlen(text));
    if (err < 0)
        log_line(LEVEL_WARN, "the service manager could not be told (%d: %s)", -err,
                 strerror(-err));
    sys_close(fd);
}

void notify_ready(pid_t master)
{
    char text[64];
    snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\n", (int)master);
    notify(text);
}

void notify_reloading(void)
{
    char text[96];
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
             (unsigned long long)(clock_now_ns() / 1000));
    notify(text);
}

void notify_stopping(void)
{
    notify("STOPPING=1\n");
}
