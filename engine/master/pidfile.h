/* The pid file. It is replaced in one step, so that whoever reads it finds a whole number. */
#ifndef ENGINE_MASTER_PIDFILE_H
#define ENGINE_MASTER_PIDFILE_H

#include <sys/types.h>

/* Makes `path` name `pid`. 0 or a negative errno. */
int pidfile_write(const char *path, pid_t pid);
/* Removes `path` if it names `pid`, or cannot be read and was written by this process. 0, also when
 * there was nothing to remove, or a negative errno. */
int pidfile_remove(const char *path, pid_t pid);
/* The pid it names, or a negative errno; -EINVAL when it holds no pid. */
pid_t pidfile_read(const char *path);

#endif
