/* A spread of durations: counts in buckets about 3 % wide, from which quantiles are read. */
#ifndef SCENARIOS_JUDGE_SPREAD_H
#define SCENARIOS_JUDGE_SPREAD_H

#include <stdint.h>

enum { SPREAD_SUB_BITS = 5, SPREAD_BUCKETS = (65 - SPREAD_SUB_BITS) << SPREAD_SUB_BITS };

struct spread {
    uint32_t buckets[SPREAD_BUCKETS];
    uint64_t count;
};

static inline void spread_add(struct spread *s, uint64_t ns)
{
    unsigned power = ns < 32 ? 0 : 64u - (unsigned)__builtin_clzll(ns) - SPREAD_SUB_BITS;
    uint64_t sub = power == 0 ? ns : (ns >> (power - 1)) - 32;
    s->buckets[(power << SPREAD_SUB_BITS) + sub]++;
    s->count++;
}

/* The smallest duration of the bucket that holds the quantile; 0 of an empty spread. */
static inline uint64_t spread_quantile(const struct spread *s, unsigned permille)
{
    uint64_t rank = (s->count * permille + 999) / 1000, seen = 0;
    for (uint32_t i = 0; i < SPREAD_BUCKETS && s->count > 0; i++) {
        seen += s->buckets[i];
        if (seen < rank || seen == 0)
            continue;
        uint32_t power = i >> SPREAD_SUB_BITS, sub = i & 31;
        return power == 0 ? sub : (uint64_t)(32 + sub) << (power - 1);
    }
    return 0;
}

#endif
