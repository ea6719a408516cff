/* Storms of signals. */
#include "faultinject/storm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "faultinject/names.h"

/* How old the list of targets may grow before the tree is looked at again. */
static const uint64_t refresh_ns = 5000000;

struct target {
    pid_t pid;
    int pidfd;
    bool seen; /* in the look at the tree under way */
};

struct targets {
    struct target list[STORM_PROCESSES_MAX];
    size_t count;
    size_t next; /* whose turn it is */
    uint64_t looked_ns;
};

static void look_at_tree(struct targets *targets, const struct storm *storm, struct target root);
static void send_to(const struct target *target, int number, enum hist_target to,
                    struct hist_writer *history, struct storm_result *result);

/* ---- the storm --------------------------------------------------------------------------------
 */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void wait_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* splitmix64: the storm's own stream. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int choose_signal(const struct storm *storm, uint64_t *state)
{
    uint64_t total = 0;
    for (size_t i = 0; i < storm->signal_count; i++)
        total += storm->signals[i].weight;
    uint64_t at = draw(state) % total;
    size_t i = 0;
    while (at >= storm->signals[i].weight)
        at -= storm->signals[i++].weight;
    return storm->signals[i].number;
}

static void send_to_tree(const struct storm *storm, struct target root, struct targets *targets,
                         int number, struct hist_writer *history, struct storm_result *result)
{
    if (now_ns() - targets->looked_ns > refresh_ns)
        look_at_tree(targets, storm, root);
    if (targets->count == 0) {
        result->failed++; /* nobody is there to be hit just now */
        return;
    }
    if (storm->to == HIST_TO_WORKER) {
        send_to(&targets->list[targets->next++ % targets->count], number, storm->to, history,
                result);
        return;
    }
    for (size_t i = 0; i < targets->count; i++)
        send_to(&targets->list[i], number, storm->to, history, result);
}

static bool is_alive(int pidfd)
{
    return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
}

static int prepare(const struct storm *storm, struct target *root)
{
    *root = (struct target){.pid = storm->pid};
    root->pidfd = (int)syscall(SYS_pidfd_open, storm->pid, 0);
    if (root->pidfd < 0)
        return -errno;
    if (storm->to != HIST_TO_GROUP)
        return 0;
    /* A group that somebody else leads may hold anybody, its starter and us among them. */
    if (getpgid(storm->pid) == storm->pid && getpgrp() != storm->pid)
        return 0;
    close(root->pidfd);
    return -EINVAL;
}

int storm_run(const struct storm *storm, struct hist_writer *history, struct storm_result *result)
{
    struct target root;
    *result = (struct storm_result){0};
    int error = prepare(storm, &root);
    if (error)
        return error;
    struct targets *targets = calloc(1, sizeof *targets);
    if (!targets) {
        close(root.pidfd);
        return -ENOMEM;
    }
    uint64_t start = now_ns(), state = storm->seed;
    for (uint64_t round = 0; round < storm->count && !result->root_gone; round++) {
        wait_until(start + round / storm->rate_hz * 1000000000u +
                   round % storm->rate_hz * 1000000000u / storm->rate_hz);
        int number = choose_signal(storm, &state);
        result->root_gone = !is_alive(root.pidfd);
        if (result->root_gone)
            break;
        if (storm->to == HIST_TO_MASTER || storm->to == HIST_TO_GROUP)
            send_to(&root, number, storm->to, history, result);
        else
            send_to_tree(storm, root, targets, number, history, result);
    }
    result->elapsed_ns = now_ns() - start;
    for (size_t i = 0; i < targets->count; i++)
        close(targets->list[i].pidfd);
    free(targets);
    close(root.pidfd);
    return 0;
}

static void send_to(const struct target *target, int number, enum hist_target to,
                    struct hist_writer *history, struct storm_result *result)
{
    struct hist_record record = {.t_ns = now_ns(),
                                 .kind = HIST_STORM_SIGNAL,
                                 .slot = -1,
                                 .pid = (uint32_t)target->pid,
                                 .a = (uint64_t)number,
                                 .b = to};
    long sent = to == HIST_TO_GROUP
                    ? kill(-target->pid, number)
                    : syscall(SYS_pidfd_send_signal, target->pidfd, number, NULL, 0);
    record.c = sent == 0 ? 0 : (uint64_t)errno;
    result->sent += sent == 0;
    result->failed += sent != 0;
    hist_put(history, &record);
}

/* ---- the tree ---------------------------------------------------------------------------------
 */

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return -1;
    text[len] = '\0';
    const char *after_name = strrchr(text, ')'); /* the name itself may hold anything */
    char state;
    long parent;
    return after_name && sscanf(after_name, ") %c %ld", &state, &parent) == 2 ? (pid_t)parent : -1;
}

/* Takes a child in unless it is there already. Its parent is asked for after the pidfd was opened,
 * and the parent's own pidfd after that: should either pid have been given to a stranger meanwhile,
 * it is noticed here. */
static bool take_in(struct targets *targets, pid_t pid, struct target parent, struct target *out)
{
    for (size_t i = 0; i < targets->count; i++)
        if (targets->list[i].pid == pid && is_alive(targets->list[i].pidfd)) {
            targets->list[i].seen = true;
            *out = targets->list[i];
            return true;
        }
    if (targets->count == STORM_PROCESSES_MAX || pid == getpid())
        return false;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return false;
    if (parent_of(pid) != parent.pid || !is_alive(parent.pidfd)) {
        close(pidfd);
        return false;
    }
    *out = (struct target){.pid = pid, .pidfd = pidfd, .seen = true};
    targets->list[targets->count++] = *out;
    return true;
}

static void walk_children(struct targets *targets, const struct storm *storm, struct target parent);

static void walk_thread(struct targets *targets, const struct storm *storm, struct target parent,
                        const char *thread)
{
    char path[320];
    snprintf(path, sizeof path, "/proc/%ld/task/%s/children", (long)parent.pid, thread);
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    long child;
    struct target taken;
    while (fscanf(f, "%ld", &child) == 1) {
        if (storm->only && child != storm->only)
            continue;
        if (take_in(targets, (pid_t)child, parent, &taken) && storm->to == HIST_TO_ALL)
            walk_children(targets, storm, taken);
    }
    fclose(f);
}

/* The children of every thread of the process. */
static void walk_children(struct targets *targets, const struct storm *storm, struct target parent)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/task", (long)parent.pid);
    DIR *threads = opendir(path);
    if (!threads)
        return;
    for (struct dirent *entry; (entry = readdir(threads));)
        if (entry->d_name[0] != '.')
            walk_thread(targets, storm, parent, entry->d_name);
    closedir(threads);
}

static void look_at_tree(struct targets *targets, const struct storm *storm, struct target root)
{
    for (size_t i = 0; i < targets->count; i++)
        targets->list[i].seen = false;
    if (storm->to == HIST_TO_ALL && targets->count == 0 && storm->pid != getpid())
        targets->list[targets->count++] =
            (struct target){.pid = root.pid, .pidfd = fcntl(root.pidfd, F_DUPFD_CLOEXEC, 0)};
    if (storm->to == HIST_TO_ALL && targets->count > 0)
        targets->list[0].seen = true; /* the root, as long as the storm lasts */
    walk_children(targets, storm, root);
    size_t kept = 0;
    for (size_t i = 0; i < targets->count; i++) {
        if (targets->list[i].seen)
            targets->list[kept++] = targets->list[i];
        else
            close(targets->list[i].pidfd);
    }
    targets->count = kept;
    targets->looked_ns = now_ns();
}

/* ---- words ------------------------------------------------------------------------------------
 */

bool storm_signals_parse(struct storm *storm, const char *text, const char **bad, size_t *bad_len)
{
    storm->signal_count = 0;
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ","), name = strcspn(at, ":,");
        struct storm_signal signal = {.weight = 1};
        *bad = at;
        *bad_len = len;
        if (storm->signal_count == STORM_SIGNALS_MAX ||
            !names_signal_parse(at, name, &signal.number))
            return false;
        if (name < len &&
            (!names_integer_parse(at + name + 1, len - name - 1, 1000000, &signal.weight) ||
             signal.weight == 0))
            return false;
        storm->signals[storm->signal_count++] = signal;
        at += len;
        if (*at == '\0')
            return true;
    }
}
