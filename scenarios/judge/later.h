/* Suspicions that wait a second: what excuses them (the exit of the process, say) may be told a
 * little after what the client saw. And the questions that decide them. */
#ifndef SCENARIOS_JUDGE_LATER_H
#define SCENARIOS_JUDGE_LATER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/judge/judge.h"
#include "scenarios/judge/world.h"

enum { LATER_MAX = 512, LATER_NS = 1000000000 };

struct suspicion {
    struct hist_record record;
    uint64_t from_ns;         /* causes count from here ... */
    uint32_t pid;             /* ... for this process; 0 unknown */
    struct hist_record start; /* of the drain it happened in; kind HIST_NONE: none */
};

/* A story's clock may begin at 0. */
static inline uint64_t earlier(uint64_t t_ns, uint64_t by_ns)
{
    return t_ns > by_ns ? t_ns - by_ns : 0;
}

/* First in, first out. */
struct later {
    struct suspicion items[LATER_MAX];
    size_t first, count;
};

void later_put(struct later *later, const struct suspicion *s);
/* Takes the oldest if it has waited long enough at now_ns, or if there is no room for another. */
bool later_take(struct later *later, uint64_t now_ns, struct suspicion *out);

/* What excuses a suspicion once it has waited: see enum world_cause. NULL: nothing. */
const struct hist_record *suspicion_excuse(const struct world *w, const struct suspicion *s,
                                           unsigned which);
/* A cause from outside for a request that failed: something was done to the process that served
 * it. What the server does to its own workers is no excuse. NULL: nothing. */
const struct hist_record *outside_cause(const struct world *w, uint32_t pid, uint64_t begun_ns,
                                        const struct hist_record *end);
/* The process that served, or would have served, the request of this client.end; 0 unknown. */
uint32_t server_of(const struct world *w, const struct hist_record *r);
/* Process `pid` was told to go and had been stopped or stalled: it may have heard late. */
bool heard_late(const struct world *w, uint32_t pid, uint64_t t_ns);
/* When the request of this client.end was begun; the end's own time if that was not told. */
uint64_t begun_of(const struct world *w, const struct hist_record *end);
/* The server is being stopped at once, or its master is being killed. */
bool stopped_hard(const struct world *w);
bool traced(const struct world *w);

#endif
