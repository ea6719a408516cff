/* The trace: one line for each step of the supervisor, written by the real master (MW_TRACE=FILE)
 * and by the simulator alike, and read back to replay a run step for step.
 *
 *   start seed=7 workers=2 drain=0 watchdog=30000000000 ...
 *   1024000001 exited 0.1 a=9 -> respawn 0.1 b=1; spawn 0.1
 *
 * A line is a time in ns, an event with what it holds, and after the arrow the effects. What is
 * zero is left out; SLOT.GENERATION has - for no slot. Lines that start with # are comments. */
#ifndef ENGINE_CORE_TRACE_H
#define ENGINE_CORE_TRACE_H

#include "engine/core/sup.h"

/* Enough for the longest line there can be. */
enum { TRACE_LINE_MAX = 512 + SUP_EFFECTS_MAX * 96 };

enum trace_kind { TRACE_START, TRACE_STEP, TRACE_COMMENT, TRACE_BAD };

struct trace_line {
    struct sup_options options; /* TRACE_START */
    uint64_t now_ns;            /* TRACE_STEP, and what follows */
    struct sup_event event;
    struct sup_effects effects;
    const char *bad; /* TRACE_BAD: where in the line it is not understood */
};

/* Write one line with its newline; return its length, or 0 when it does not fit. */
size_t trace_print_start(char *out, size_t size, const struct sup_options *options);
size_t trace_print_step(char *out, size_t size, uint64_t now_ns, const struct sup_event *event,
                        const struct sup_effects *effects);
/* Reads one line, with or without its newline. */
enum trace_kind trace_parse(const char *line, struct trace_line *out);
/* Did two steps decide the same? */
bool trace_same_effects(const struct sup_effects *a, const struct sup_effects *b);

#endif
