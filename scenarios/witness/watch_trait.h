/* What a process was given when it was born, as /proc shows it: limits, signals, place, user. */
#ifndef SCENARIOS_WITNESS_WATCH_TRAIT_H
#define SCENARIOS_WITNESS_WATCH_TRAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "scenarios/history/words.h"

/* Values are numbers only to be compared: most are hashes of what /proc says. */
struct watch_traits {
    uint64_t values[HIST_TRAIT_COUNT];
};

/* False: the process is gone, or going. */
bool watch_traits_read(pid_t pid, struct watch_traits *out);

#endif
