/* The watched processes: a master and all that descend from it, with what is known of each. Events
 * come from the process connector, or are found out by looking; both end in the same records. */
#ifndef SCENARIOS_WITNESS_WATCH_TREE_H
#define SCENARIOS_WITNESS_WATCH_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/history/hist.h"
#include "scenarios/witness/watch_connector.h"
#include "scenarios/witness/watch_proc.h"
#include "scenarios/witness/watch_trait.h"

enum { WATCH_BUCKETS = 1024, WATCH_CHILDREN_MAX = 4096 };

struct watch_process {
    pid_t pid, parent; /* parent: now, so that adoption shows */
    struct proc_handle handle;
    char state;
    bool exited;   /* it ended; until it is reaped it stays here */
    bool executed; /* a program, since it was forked */
    bool fathered; /* it has had children */
    uint64_t start_ticks, stack_start;
    uint64_t exit_ns, gone_ns; /* gone: it was seen ended, but its exit event has not come */
    uint64_t mappings_ns, mappings_size;  /* when they were counted, and the size at that time */
    uint64_t traits_ns;                   /* when they were read; 0: when it was first seen */
    struct watch_traits traits, recorded; /* as last read, as last recorded */
    uint32_t fds, mappings;
    struct watch_process *next, *next_in_bucket;
};

struct watch_tree {
    pid_t root;
    bool exact;   /* the connector tells; otherwise it is looked for */
    int ended_fd; /* not exact: readable when a process ended */
    struct hist_writer *history;
    struct watch_process *first, **last; /* in order of appearance */
    struct watch_process *buckets[WATCH_BUCKETS];
    uint64_t samples, lost;
    uint64_t zombies, oldest_zombie_ns; /* age; of the last look */
    size_t workers;                     /* live children of the root; of the last look */
    uint64_t changes;                   /* grows when something worth telling has changed */
};

/* Takes in the root and all that descend from it now. -ESRCH: there is no such process;
 * or another negative errno. */
int watch_tree_open(struct watch_tree *tree, pid_t root, bool exact, struct hist_writer *history);
void watch_tree_close(struct watch_tree *tree);
/* An event of the connector, of whatever process. */
void watch_tree_take(struct watch_tree *tree, const struct connector_event *event);
/* Looks at every process once and records what it sees. */
void watch_tree_look(struct watch_tree *tree);
/* Records which processes ended; to be called when ended_fd is readable. */
void watch_tree_take_ends(struct watch_tree *tree);
struct watch_process *watch_tree_find(const struct watch_tree *tree, pid_t pid); /* NULL unknown */
/* Alive and a master: the root, or what has executed a program or has had children. */
bool watch_tree_is_master(const struct watch_tree *tree, pid_t pid);

#endif
