/* Replays what a real or simulated master wrote down of its supervisor (engine/core/trace.h): the
 * same events must give the same effects. */
#ifndef ENGINE_SIM_SIM_TRACE_H
#define ENGINE_SIM_SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_TRACE_TEXT_MAX = 2048 };

struct sim_trace_result {
    uint64_t steps;
    uint64_t line; /* the one that differs, from 1; 0: none does */
    char what[SIM_TRACE_TEXT_MAX];
};

/* False: `what` says why: the file cannot be read, or is no trace, or a step differs (line). */
bool sim_trace_replay(const char *path, struct sim_trace_result *result);

#endif
