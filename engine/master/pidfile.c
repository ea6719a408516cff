/* Writing, reading and removing a pid file. */
#include "engine/master/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/os/sys.h"
#include "faultinject/fault.h"

static int write_number(const char *path, pid_t pid)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%d\n", (int)pid);
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return fd;
    ssize_t written = sys_write(fd, text, (size_t)len);
    int err = sys_close(fd);
    if (written < 0)
        return (int)written;
    return written == len ? err : -ENOSPC;
}

int pidfile_write(const char *path, pid_t pid)
{
    char fresh[PATH_MAX];
    int refused = fault_step(FAULT_master_pid_file);
    if (refused != 0)
        return -refused;
    if (snprintf(fresh, sizeof(fresh), "%s.%d", path, (int)pid) >= (int)sizeof(fresh))
        return -ENAMETOOLONG;
    int err = write_number(fresh, pid);
    if (err == 0)
        err = sys_rename(fresh, path);
    if (err < 0)
        sys_unlink(fresh);
    return err;
}

pid_t pidfile_read(const char *path)
{
    char text[32], *end;
    int fd = sys_open(path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    ssize_t len = sys_read(fd, text, sizeof(text) - 1);
    sys_close(fd);
    if (len < 0)
        return (pid_t)len;
    text[len] = '\0';
    long pid = strtol(text, &end, 10);
    return end == text || pid <= 0 || pid > INT_MAX ? -EINVAL : (pid_t)pid;
}

void pidfile_remove(const char *path, pid_t pid)
{
    if (pidfile_read(path) == pid)
        sys_unlink(path);
}
