/* What will happen when: a bounded set of events, earliest first, equal times in order of entry.
 *
 * Much of what is put in comes before all else that waits: it is kept by itself. What is near is
 * kept in a heap; what is further away waits unsorted, in buckets of about 17 ms, until its time
 * comes near. */
#ifndef ENGINE_SIM_SIM_HEAP_H
#define ENGINE_SIM_SIM_HEAP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SIM_HEAP_MAX = 1 << 14,
    SIM_BUCKETS = 1 << 12,
    SIM_BUCKET_SHIFT = 24, /* of ns */
};

struct sim_event {
    uint64_t t_ns;
    uint32_t order; /* of entry */
    uint16_t kind;  /* the kernel's */
    uint16_t b;
    uint32_t a;
    uint32_t epoch; /* of a: an event for one that is gone is dropped */
};

struct sim_heap {
    uint32_t order;
    bool has_next;   /* next is the earliest of all, and not in at[] */
    uint32_t count;  /* in at[] */
    uint32_t far;    /* in buckets */
    uint64_t bucket; /* the last one whose events are in at[]; they count from time 0 */
    uint32_t spare;  /* the first free place in waiting[] + 1, then by after[]; 0 none */
    uint32_t used;   /* of waiting[]; higher places were never used */
    struct sim_event next;
    struct sim_event at[SIM_HEAP_MAX];
    uint32_t heads[SIM_BUCKETS]; /* of lists in waiting[]: place + 1; 0 empty */
    uint64_t full[SIM_BUCKETS / 64];
    uint32_t after[SIM_HEAP_MAX]; /* in its list: place + 1; 0 none */
    struct sim_event waiting[SIM_HEAP_MAX];
};

void sim_heap_init(struct sim_heap *h);
/* Aborts when full: the simulation's own bounds keep it far from that. */
void sim_heap_push(struct sim_heap *h, struct sim_event event);
/* The earliest; NULL: nothing will ever happen. It stays until it is popped. */
const struct sim_event *sim_heap_first(struct sim_heap *h);
/* Takes the earliest out; there must be one. */
void sim_heap_pop(struct sim_heap *h);

#endif
