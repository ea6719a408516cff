/* Writing, reading and removing a pid file. */
#include "engine/master/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/os/sys.h"
#include "faultinject/fault.h"

/* The files that this process wrote last: its pid file and, in an upgrade, the one beside it. */
enum { WRITTEN_MAX = 2 };
static struct stat files[WRITTEN_MAX];
static unsigned file_count;

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
    else if (sys_stat(path, &files[file_count % WRITTEN_MAX]) == 0)
        file_count++;
    return err;
}

static bool is_written_here(const char *path)
{
    struct stat now;
    if (sys_stat(path, &now) != 0)
        return false;
    for (unsigned i = 0; i < WRITTEN_MAX; i++)
        if (i < file_count && now.st_ino == files[i].st_ino && now.st_dev == files[i].st_dev &&
            now.st_mtim.tv_sec == files[i].st_mtim.tv_sec &&
            now.st_mtim.tv_nsec == files[i].st_mtim.tv_nsec)
            return true;
    return false;
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

/* A file that cannot be read now (no descriptor, no memory) is known by what was written. */
int pidfile_remove(const char *path, pid_t pid)
{
    pid_t named = pidfile_read(path);
    bool ours = named == pid || (named < 0 && named != -ENOENT && is_written_here(path));
    return ours ? sys_unlink(path) : 0;
}
