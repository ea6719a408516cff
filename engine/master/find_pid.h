/* Where the pid file is, by a configuration that may have mistakes. */
#ifndef ENGINE_MASTER_FIND_PID_H
#define ENGINE_MASTER_FIND_PID_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/master/master.h"

/* Looks for `pid FILE;` at the main level of -g and of the configuration file, else takes the
 * usual place. False: the file cannot be read. */
bool find_pid_path(const struct master_options *options, char *out, size_t size);

#endif
