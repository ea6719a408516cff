/* What will happen when: a bounded heap of events, earliest first, equal times in order of entry.
 */
#ifndef ENGINE_SIM_SIM_HEAP_H
#define ENGINE_SIM_SIM_HEAP_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_HEAP_MAX = 1 << 14 };

struct sim_event {
    uint64_t t_ns;
    uint32_t order; /* of entry */
    uint16_t kind;  /* the kernel's */
    uint16_t b;
    uint32_t a;
    uint32_t epoch; /* of a: an event for one that is gone is dropped */
};

struct sim_heap {
    uint32_t count, order;
    struct sim_event at[SIM_HEAP_MAX];
};

static inline void sim_heap_init(struct sim_heap *h)
{
    h->count = h->order = 0;
}
/* Aborts when full: the simulation's own bounds keep it far from that. */
void sim_heap_push(struct sim_heap *h, struct sim_event event);
/* False: nothing will ever happen. */
bool sim_heap_pop(struct sim_heap *h, struct sim_event *out);

#endif
