/* The watcher: a process tree, its listeners and its pid file, looked at again and again. */
#ifndef SCENARIOS_WITNESS_WATCH_H
#define SCENARIOS_WITNESS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "scenarios/history/hist.h"
#include "scenarios/witness/watch_listen.h"
#include "scenarios/witness/watch_pidfile.h"
#include "scenarios/witness/watch_tree.h"

struct watch_options {
    pid_t root;
    uint64_t period_ns;
    uint16_t ports[WATCH_PORTS_MAX];
    size_t port_count;
    const char *pidfile; /* NULL: none */
    bool poll;           /* do not use the process connector */
};

struct watch {
    struct watch_options options;
    struct hist_writer *history;
    struct watch_tree tree;
    struct watch_listen listen;
    struct watch_pidfile pidfile;
    int connector_fd; /* -1: polled */
    char reason[160]; /* why it is polled; "" when it is exact */
    uint64_t told_changes, told_ns;
};

/* Starts to watch. Returns 0, or a negative errno with what is wrong in `why`. */
int watch_open(struct watch *watch, const struct watch_options *options,
               struct hist_writer *history, char *why, size_t why_size);
void watch_close(struct watch *watch);
/* One look at everything. */
void watch_look(struct watch *watch);

/* JSON lines. The tree is told when it has changed since it was told last. */
void watch_tell_ready(const struct watch *watch, FILE *out);
bool watch_has_news(const struct watch *watch, uint64_t now_ns);
void watch_tell(struct watch *watch, const char *event, FILE *out);

#endif
