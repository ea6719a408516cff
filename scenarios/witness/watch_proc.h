/* Reading one process out of /proc, cheaply enough to do it every few milliseconds. */
#ifndef SCENARIOS_WITNESS_WATCH_PROC_H
#define SCENARIOS_WITNESS_WATCH_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What /proc/PID/stat says. */
struct proc_stat {
    char state; /* R S D Z T t X ... */
    pid_t parent;
    uint64_t start_ticks; /* after boot */
    uint64_t size_bytes, resident_bytes;
    uint64_t stack_start; /* differs from the parent's once a program was executed */
    uint64_t wait_status; /* of a zombie; as wait(2) */
};

/* Handles on one process. They stay with it: once it is gone they give errors, even when its pid is
 * used again. -1: not to be had. */
struct proc_handle {
    int stat_fd, dir_fd, pidfd;
};

void proc_open(struct proc_handle *handle, pid_t pid);
void proc_close(struct proc_handle *handle);
/* 0, or -ESRCH: the process is gone. */
int proc_read_stat(const struct proc_handle *handle, struct proc_stat *out);
uint32_t proc_count_fds(const struct proc_handle *handle);
uint32_t proc_count_mappings(pid_t pid); /* reads all of them: not for every sample */
uint64_t proc_cpu_ns(pid_t pid);         /* all its threads; 0: gone */
/* The wait status that a pidfd tells of a process that ended, also after it was reaped
 * (Linux 6.15). ~0: not told. */
uint64_t proc_wait_status(const struct proc_handle *handle);
/* The children of all its threads. Returns how many were put into `children`. */
size_t proc_children(pid_t pid, pid_t *children, size_t max);

#endif
