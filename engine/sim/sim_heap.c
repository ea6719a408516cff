/* Buckets for what is far away, and for what is near a heap with four children to a node: flatter
 * than two, and a node's children share cache lines. */
#include "engine/sim/sim_heap.h"

#include <stdlib.h>
#include <string.h>

enum { CHILDREN = 4 };

static inline bool before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->t_ns != b->t_ns)
        return a->t_ns < b->t_ns;
    return (int32_t)(a->order - b->order) < 0;
}

void sim_heap_init(struct sim_heap *h)
{
    h->order = h->count = h->far = h->spare = h->used = 0;
    h->bucket = 0;
    h->has_next = false;
    memset(h->heads, 0, sizeof(h->heads));
    memset(h->full, 0, sizeof(h->full));
}

/* ---- far away ---------------------------------------------------------------------------------
 */

static void put_away(struct sim_heap *h, const struct sim_event *event, uint64_t bucket)
{
    uint32_t place = h->spare != 0 ? h->spare - 1 : h->used, slot = bucket % SIM_BUCKETS;
    if (place == SIM_HEAP_MAX)
        abort();
    if (h->spare != 0)
        h->spare = h->after[place];
    else
        h->used++;
    h->waiting[place] = *event;
    h->after[place] = h->heads[slot];
    h->heads[slot] = place + 1;
    h->full[slot / 64] |= UINT64_C(1) << slot % 64;
    h->far++;
}

/* The next bucket that is not empty; there is one. */
static uint64_t next_bucket(const struct sim_heap *h)
{
    uint64_t bucket = h->bucket + 1;
    while (true) {
        uint32_t slot = bucket % SIM_BUCKETS;
        uint64_t rest = h->full[slot / 64] >> slot % 64;
        if (rest != 0)
            return bucket + (uint64_t)__builtin_ctzll(rest);
        bucket += 64 - slot % 64;
    }
}

static void insert(struct sim_heap *h, const struct sim_event *event)
{
    if (h->count == SIM_HEAP_MAX)
        abort();
    uint32_t i = h->count++;
    while (i > 0) {
        uint32_t parent = (i - 1) / CHILDREN;
        if (!before(event, &h->at[parent]))
            break;
        h->at[i] = h->at[parent];
        i = parent;
    }
    h->at[i] = *event;
}

/* Further than the buckets reach waits in the last of them, and is put away anew from there. */
static void place(struct sim_heap *h, const struct sim_event *event)
{
    uint64_t bucket = event->t_ns >> SIM_BUCKET_SHIFT, last = h->bucket + SIM_BUCKETS - 1;
    if (bucket <= h->bucket)
        insert(h, event);
    else
        put_away(h, event, bucket < last ? bucket : last);
}

/* Time moves on to the next bucket that has something in it. */
static void come_near(struct sim_heap *h)
{
    h->bucket = next_bucket(h);
    uint32_t slot = h->bucket % SIM_BUCKETS, place_after = h->heads[slot];
    h->heads[slot] = 0;
    h->full[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    while (place_after != 0) {
        uint32_t at = place_after - 1;
        struct sim_event event = h->waiting[at];
        place_after = h->after[at];
        h->after[at] = h->spare;
        h->spare = at + 1;
        h->far--;
        place(h, &event);
    }
}

/* ---- near -------------------------------------------------------------------------------------
 */

static bool is_first(const struct sim_heap *h, const struct sim_event *event)
{
    if (h->count > 0)
        return before(event, &h->at[0]);
    return event->t_ns >> SIM_BUCKET_SHIFT <= h->bucket || h->far == 0;
}

void sim_heap_push(struct sim_heap *h, struct sim_event event)
{
    event.order = h->order++;
    if (h->has_next && before(&event, &h->next)) {
        place(h, &h->next);
        h->next = event;
    } else if (!h->has_next && is_first(h, &event)) {
        h->has_next = true;
        h->next = event;
    } else {
        place(h, &event);
    }
}

const struct sim_event *sim_heap_first(struct sim_heap *h)
{
    if (h->has_next)
        return &h->next;
    while (h->count == 0) {
        if (h->far == 0)
            return NULL;
        come_near(h);
    }
    return &h->at[0];
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

void sim_heap_pop(struct sim_heap *h)
{
    if (h->has_next) {
        h->has_next = false;
        return;
    }
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
}
