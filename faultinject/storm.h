/* A storm: signals at a given rate to a process, its children, its whole tree or its group. */
#ifndef FAULTINJECT_STORM_H
#define FAULTINJECT_STORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "scenarios/history/hist.h"

enum { STORM_SIGNALS_MAX = 16, STORM_RATE_MAX_HZ = 10000, STORM_PROCESSES_MAX = 1024 };

struct storm_signal {
    int number;
    uint64_t weight; /* its share of the mix */
};

struct storm {
    pid_t pid; /* the root of the tree */
    enum hist_target to;
    pid_t only; /* with HIST_TO_WORKER: this child and no other; 0 all of them in turn */
    struct storm_signal signals[STORM_SIGNALS_MAX];
    size_t signal_count;
    uint64_t rate_hz; /* rounds a second, 1 .. STORM_RATE_MAX_HZ */
    uint64_t count;   /* rounds; each sends one signal, with HIST_TO_ALL one to each process */
    uint64_t seed;    /* of the choice of signals */
};

struct storm_result {
    uint64_t sent, failed;
    uint64_t elapsed_ns;
    bool root_gone; /* the storm ended early because the root of the tree had */
};

/* Reads "HUP,USR1" or, with weights, "HUP:3,USR1:1". False: *bad is the piece that is wrong. */
bool storm_signals_parse(struct storm *storm, const char *text, const char **bad, size_t *bad_len);
/* Sends the storm, round i at start + i / rate whatever the earlier rounds took, and writes a
 * record for each signal. Only processes found below the root are signalled, through pidfds, so
 * that a pid that is used again is never hit; nor is the caller itself. Returns 0, or a negative
 * errno if it could not start: -ESRCH no such root, -EINVAL (group) the root leads no group of its
 * own. */
int storm_run(const struct storm *storm, struct hist_writer *history, struct storm_result *result);

#endif
