/* Shared memory that another process can find: a memfd, named, in the maker's /proc/PID/fd. */
#ifndef ENGINE_OS_MEMFD_H
#define ENGINE_OS_MEMFD_H

#include <stddef.h>
#include <sys/types.h>

/* Makes and maps zeroed memory, shared with children. *fd stays open for others to find. NULL and
 * *err = -errno when there is none. */
void *memfd_map(const char *name, size_t size, int *fd, int *err);
/* Maps the memory of that name and at least that size that process `pid` holds, read-only. NULL
 * and *err: -ENOENT it holds none, -ESRCH no such process, -EACCES not allowed. */
const void *memfd_find(pid_t pid, const char *name, size_t size, int *err);
void memfd_unmap(const void *at, size_t size);

#endif
