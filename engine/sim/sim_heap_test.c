/* The queue of events gives out what is the earliest, however far away it was when it came in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/sim/sim_heap.h"
#include "engine/sim/sim_random.h"

enum { WAITING_MAX = 400, STEPS = 60000 };

/* The same without cleverness: all are looked at. */
struct simple {
    uint32_t count;
    struct sim_event at[WAITING_MAX];
};

static struct sim_heap heap;
static struct simple simple;
static uint64_t now_ns;

static uint32_t earliest(void)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < simple.count; i++)
        if (simple.at[i].t_ns < simple.at[best].t_ns ||
            (simple.at[i].t_ns == simple.at[best].t_ns && simple.at[i].a < simple.at[best].a))
            best = i;
    return best;
}

/* Now, within a turn's time, of a request's, of a timeout's, beyond what the buckets reach. */
static uint64_t some_delay_ns(struct sim_random *random)
{
    static const uint64_t most_ns[] = {1, 30000, 20000000, 60000000000, 200000000000};
    return sim_random_below(random, most_ns[sim_random_below(random, 5)]);
}

static void push(struct sim_random *random, uint32_t name)
{
    struct sim_event event = {.t_ns = now_ns + some_delay_ns(random), .a = name};
    simple.at[simple.count++] = event;
    sim_heap_push(&heap, event);
}

static void pop(void)
{
    uint32_t i = earliest();
    const struct sim_event *first = sim_heap_first(&heap);
    assert_non_null(first);
    assert_true(first->t_ns == simple.at[i].t_ns);
    assert_int_equal(first->a, simple.at[i].a);
    now_ns = first->t_ns;
    sim_heap_pop(&heap);
    simple.at[i] = simple.at[--simple.count];
}

/* Sometimes nearly empty, sometimes full; equal times in the order in which they came. */
static void the_earliest_comes_first(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct sim_random random = sim_random_stream(seed, 0);
        sim_heap_init(&heap);
        simple.count = 0;
        now_ns = 1000000000;
        for (uint32_t step = 0; step < STEPS / 8; step++) {
            uint64_t wanted = sim_random_below(&random, step / 1000 % 2 == 0 ? 4 : WAITING_MAX);
            if (simple.count <= wanted)
                push(&random, step);
            else
                pop();
        }
        while (simple.count > 0)
            pop();
        assert_null(sim_heap_first(&heap));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_earliest_comes_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
