/* The processes of a run, in memory that they share: who is master, who is which worker.
 *
 * The process that `mw-fault run` started is the master. Its children are workers, numbered from 0;
 * a dead worker's number is given to the next. What a worker forks has the worker's identity. Three
 * things make another process master:
 *   - it is the first to listen;
 *   - it is the only child and calls setsid(), or its master is gone when it forks or listens: the
 *     master has sent itself into the background;
 *   - it was forked by the master, has executed the master's program again and forks or listens: a
 *     binary upgrade.
 * The entries of a table change by compare-and-swap only; who is killed half way leaves an entry
 * that the next who needs one takes back. */
#ifndef FAULTINJECT_TREE_H
#define FAULTINJECT_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "faultinject/fault.h"

enum { TREE_PROCESSES_MAX = 1024, TREE_PLACE_NONE = -1 };

struct tree_process {
    uint32_t pid;      /* 0: free; TREE_RESERVED and the parent's pid: about to be forked */
    uint32_t master;   /* the pid of the master it works for, or its own */
    uint32_t program;  /* a number made of the name of what it executes */
    int16_t slot;      /* -1: none */
    uint8_t role;      /* enum fault_role */
    uint8_t inherited; /* a child of a worker: it has the worker's slot without holding it */
    uint8_t executed;  /* it has executed a program since it was forked */
    uint8_t unused[3];
};

struct tree {
    uint32_t claimed;   /* somebody is or has been master */
    uint32_t listening; /* pid of the first that listened */
    struct tree_process processes[TREE_PROCESSES_MAX];
};

/* Maps the tree that belongs to a board; with `fresh` it begins anew with the calling process as
 * its master. NULL: errno says why. */
struct tree *tree_open(const char *board_path, bool fresh);
/* The place of the calling process, which has just executed `program`. */
int tree_enter(struct tree *tree, uint32_t pid, uint32_t parent, uint32_t program);
/* A place for a child that is about to be forked; it is given back, or the child moves in. */
int tree_reserve(struct tree *tree, int place, uint32_t pid);
void tree_give_back(struct tree *tree, int place);
void tree_move_in(struct tree *tree, int place, uint32_t pid);
/* A child has been waited for. */
void tree_reaped(struct tree *tree, uint32_t pid);

enum tree_step { TREE_FORKS, TREE_LISTENS, TREE_LEAVES_SESSION };
/* True: the process has become master by this step. */
bool tree_promote(struct tree *tree, int place, uint32_t pid, enum tree_step step);

#endif
