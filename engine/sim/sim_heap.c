/* A heap with four children to a node: flatter than two, and a node's children share cache lines.
 */
#include "engine/sim/sim_heap.h"

#include <stdlib.h>

enum { CHILDREN = 4 };

static inline bool before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->t_ns != b->t_ns)
        return a->t_ns < b->t_ns;
    return (int32_t)(a->order - b->order) < 0;
}

void sim_heap_push(struct sim_heap *h, struct sim_event event)
{
    if (h->count == SIM_HEAP_MAX)
        abort();
    event.order = h->order++;
    uint32_t i = h->count++;
    while (i > 0) {
        uint32_t parent = (i - 1) / CHILDREN;
        if (!before(&event, &h->at[parent]))
            break;
        h->at[i] = h->at[parent];
        i = parent;
    }
    h->at[i] = event;
}

static uint32_t first_child(const struct sim_heap *h, uint32_t i)
{
    uint32_t child = i * CHILDREN + 1, best = child;
    uint32_t end = child + CHILDREN < h->count ? child + CHILDREN : h->count;
    for (uint32_t c = child + 1; c < end; c++)
        if (before(&h->at[c], &h->at[best]))
            best = c;
    return best;
}

bool sim_heap_pop(struct sim_heap *h, struct sim_event *out)
{
    if (h->count == 0)
        return false;
    *out = h->at[0];
    struct sim_event last = h->at[--h->count];
    uint32_t i = 0;
    while (i * CHILDREN + 1 < h->count) {
        uint32_t child = first_child(h, i);
        if (!before(&h->at[child], &last))
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = last;
    return true;
}
