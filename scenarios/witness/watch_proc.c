/* Reading one process out of /proc. */
#include "scenarios/witness/watch_proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int open_in(pid_t pid, const char *name, int flags)
{
    char path[320];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    return open(path, flags | O_CLOEXEC);
}

void proc_open(struct proc_handle *handle, pid_t pid)
{
    handle->stat_fd = open_in(pid, "stat", O_RDONLY);
    handle->dir_fd = open_in(pid, "fd", O_PATH);
    handle->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
}

void proc_close(struct proc_handle *handle)
{
    int fds[] = {handle->stat_fd, handle->dir_fd, handle->pidfd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *handle = (struct proc_handle){-1, -1, -1};
}

/* Fields of /proc/PID/stat, counted as proc(5) does. */
enum {
    FIELD_PARENT = 4,
    FIELD_START = 22,
    FIELD_SIZE,
    FIELD_RESIDENT,
    FIELD_STACK = 28,
    FIELD_EXIT = 52
};

static void parse_stat(const char *after_name, struct proc_stat *out)
{
    char *at;
    out->state = after_name[2];
    unsigned field = FIELD_PARENT;
    for (const char *from = after_name + 3; field <= FIELD_EXIT; from = at, field++) {
        uint64_t value = strtoull(from, &at, 10);
        if (at == from)
            return;
        if (field == FIELD_PARENT)
            out->parent = (pid_t)value;
        else if (field == FIELD_START)
            out->start_ticks = value;
        else if (field == FIELD_SIZE)
            out->size_bytes = value;
        else if (field == FIELD_RESIDENT)
            out->resident_bytes = value * (uint64_t)sysconf(_SC_PAGESIZE);
        else if (field == FIELD_STACK)
            out->stack_start = value;
        else if (field == FIELD_EXIT)
            out->wait_status = value;
    }
}

int proc_read_stat(const struct proc_handle *handle, struct proc_stat *out)
{
    char text[1024];
    ssize_t len = pread(handle->stat_fd, text, sizeof text - 1, 0);
    if (len <= 0)
        return -ESRCH;
    text[len] = '\0';
    const char *after_name = strrchr(text, ')'); /* the name itself may hold anything */
    if (!after_name || strlen(after_name) < 4)
        return -ESRCH;
    *out = (struct proc_stat){.state = 0};
    parse_stat(after_name, out);
    return 0;
}

static uint32_t count_entries(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    uint32_t count = 0;
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* Since Linux 6.2 the size of the folder is the number of descriptors; before, it has to be read.
 */
uint32_t proc_count_fds(const struct proc_handle *handle)
{
    struct stat st;
    if (handle->dir_fd < 0 || fstat(handle->dir_fd, &st) != 0)
        return 0;
    return st.st_size > 0 ? (uint32_t)st.st_size : count_entries(handle->dir_fd);
}

uint32_t proc_count_mappings(pid_t pid)
{
    char text[16384];
    int fd = open_in(pid, "maps", O_RDONLY);
    uint32_t lines = 0;
    if (fd < 0)
        return 0;
    for (ssize_t len; (len = read(fd, text, sizeof text)) > 0;)
        for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + len - at))); at++)
            lines++;
    close(fd);
    return lines;
}

uint64_t proc_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* struct pidfd_info of <linux/pidfd.h> and its request; younger than the headers of many systems.
 */
struct pidfd_exit {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t wait_status;
};
#define PIDFD_EXIT_BIT (UINT64_C(1) << 3)
#define PIDFD_ASK _IOWR(0xff, 11, struct pidfd_exit)

uint64_t proc_wait_status(const struct proc_handle *handle)
{
    struct pidfd_exit info = {.mask = PIDFD_EXIT_BIT};
    struct proc_stat stat;
    if (proc_read_stat(handle, &stat) == 0 && stat.state == 'Z')
        return stat.wait_status;
    bool told = handle->pidfd >= 0 && ioctl(handle->pidfd, PIDFD_ASK, &info) == 0 &&
                (info.mask & PIDFD_EXIT_BIT);
    return told ? (uint32_t)info.wait_status : UINT64_MAX;
}

static size_t read_children(pid_t pid, const char *thread, pid_t *children, size_t max)
{
    char text[4096], name[280];
    snprintf(name, sizeof name, "task/%s/children", thread);
    int fd = open_in(pid, name, O_RDONLY);
    size_t count = 0, kept = 0;
    if (fd < 0)
        return 0;
    for (ssize_t len; (len = read(fd, text + kept, sizeof text - 1 - kept)) > 0;) {
        char *at = text, *end = text + kept + len;
        *end = '\0';
        for (char *blank; (blank = strchr(at, ' ')); at = blank + 1)
            if (count < max)
                children[count++] = (pid_t)strtol(at, NULL, 10);
        kept = (size_t)(end - at); /* a number cut in two by the end of the buffer */
        memmove(text, at, kept);
    }
    close(fd);
    return count;
}

size_t proc_children(pid_t pid, pid_t *children, size_t max)
{
    int fd = open_in(pid, "task", O_RDONLY | O_DIRECTORY);
    DIR *threads = fd >= 0 ? fdopendir(fd) : NULL;
    size_t count = 0;
    if (!threads)
        return 0;
    for (struct dirent *entry; (entry = readdir(threads));)
        if (entry->d_name[0] != '.')
            count += read_children(pid, entry->d_name, children + count, max - count);
    closedir(threads);
    return count;
}
