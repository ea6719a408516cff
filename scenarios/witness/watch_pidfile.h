/* The pid file and its .oldbin: which process they name, and whether that is a live master. */
#ifndef SCENARIOS_WITNESS_WATCH_PIDFILE_H
#define SCENARIOS_WITNESS_WATCH_PIDFILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "scenarios/witness/watch_tree.h"

struct watch_pidfile {
    char paths[2][PATH_MAX]; /* the file, its .oldbin; "" not watched */
    pid_t pids[2];           /* 0: absent or empty */
    pid_t doubted[2];        /* was read, but was no live master that was known; 0 none */
    bool live[2], looked[2]; /* looked: something was recorded */
    uint64_t changes;
};

/* `path` may be NULL: no file is watched. -ENAMETOOLONG or 0. */
int watch_pidfile_open(struct watch_pidfile *file, const char *path);
void watch_pidfile_look(struct watch_pidfile *file, struct watch_tree *tree);

#endif
