/* The pid file. It is read at each look: that is cheap, and no trick of dates can hide a change. */
#include "scenarios/witness/watch_pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pid_t read_pid(const char *path)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    long pid = strtol(text, NULL, 10);
    return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

static void note(struct watch_pidfile *file, struct watch_tree *tree, unsigned i, pid_t pid,
                 bool live, uint64_t now_ns)
{
    if (file->looked[i] && pid == file->pids[i] && live == file->live[i])
        return;
    file->pids[i] = pid;
    file->live[i] = live;
    file->looked[i] = true;
    file->changes++;
    struct hist_record record = {.t_ns = now_ns,
                                 .kind = HIST_WATCH_PIDFILE,
                                 .slot = -1,
                                 .pid = (uint32_t)pid,
                                 .a = i,
                                 .b = live};
    hist_put(tree->history, &record);
}

/* The file is read after the tree was looked at: who is named and not known may have been born in
 * between, and who is known may have ended and be about to be replaced. A complaint waits until the
 * file says the same after the tree was looked at again. */
void watch_pidfile_look(struct watch_pidfile *file, struct watch_tree *tree)
{
    for (unsigned i = 0; i < 2 && file->paths[i][0]; i++) {
        pid_t pid = read_pid(file->paths[i]);
        uint64_t now_ns = hist_now_ns(); /* who wrote or removed it did so before */
        bool live = pid > 0 && watch_tree_is_master(tree, pid);
        bool sure = pid == 0 || live || pid == file->doubted[i];
        file->doubted[i] = live ? 0 : pid;
        if (sure)
            note(file, tree, i, pid, live, now_ns);
    }
}

int watch_pidfile_open(struct watch_pidfile *file, const char *path)
{
    static const char *const suffixes[] = {"", ".oldbin"};
    *file = (struct watch_pidfile){.changes = 0};
    for (unsigned i = 0; i < 2 && path; i++) {
        int len = snprintf(file->paths[i], sizeof file->paths[i], "%s%s", path, suffixes[i]);
        if (len < 0 || (size_t)len >= sizeof file->paths[i])
            return -ENAMETOOLONG;
    }
    return 0;
}
