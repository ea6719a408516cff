/* When draining was asked for, and how long the server may take over it. */
#ifndef SCENARIOS_JUDGE_STARTS_H
#define SCENARIOS_JUDGE_STARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/judge/world.h"

enum { STARTS_MAX = 256 }; /* reloads that one long request may live through */

/* Reloads that are to succeed and graceful stops, as the director asked for them. */
struct starts {
    struct hist_record records[STARTS_MAX]; /* a ring */
    size_t count;
};

/* Takes in director.reload and director.stop; true if it was one of them. */
bool starts_take(struct starts *s, const struct hist_record *r);
/* The first start in (from_ns, to_ns). NULL: none. */
const struct hist_record *starts_within(const struct starts *s, uint64_t from_ns, uint64_t to_ns);
/* What told the worker of this record's connection to go: the first reload to a newer configuration
 * than its answers named, or where they named none the first start since the connection was begun.
 * NULL: none, or nothing is known of the connection. */
const struct hist_record *starts_of_connection(const struct starts *s, const struct world *w,
                                               const struct hist_record *r);
/* May the server have cut what process `pid` (0 unknown) was serving at t_ns, since its drain,
 * asked for at start_ns, had lasted as long as the server was told that it may? */
bool drain_bound_passed(const struct world *w, uint32_t pid, uint64_t start_ns, uint64_t t_ns);
/* The same of a process that is known to drain, whatever it was that asked for it. */
bool drain_was_cut(const struct world *w, uint32_t pid, uint64_t t_ns);
/* Had a connection that was idle when the drain began about half of that time, or a second, to make
 * one more request, whose answer could have announced the close? */
bool drain_idle_passed(const struct world *w, uint32_t pid, uint64_t start_ns, uint64_t t_ns);
/* The same, where the server's own word is all there is: its process had begun to drain, and had
 * had its time. */
bool cut_at_drain_bound(const struct world *w, const struct hist_record *end);
/* A request met the idle-close race (world_idle_race): was the close one that HTTP leaves no way to
 * avoid? keepalive_timeout had passed; or, as the server's trace says, the connection had been idle
 * for a while when a drain's grace was over or its room was needed. */
bool idle_close_was_due(const struct world *w, const struct hist_record *end);
/* A request failed for a reason that has nothing to do with what is judged: it met the idle-close
 * race, the drain of its process had had its time, or something from outside was done to that. */
bool end_has_reason(const struct world *w, const struct hist_record *end);

#endif
