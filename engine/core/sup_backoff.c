/* How long a slot waits before it is tried again: at once after a first crash, then twice as long
 * each time up to a bound, never exactly as long; and over all slots no faster than the tree's own
 * rate, so that many slots that crash do not add up to a fork bomb. */
#include "engine/core/sup_priv.h"

/* splitmix64: one word of state, every seed is a good one. */
static uint64_t random_next(struct sup *sup)
{
    sup->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = sup->random;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* min * 2^doublings, at most max, then anything between three quarters and all of it. */
static uint64_t backoff_ns(struct sup *sup, unsigned doublings)
{
    uint64_t delay = sup->settings.backoff_min_ns, max = sup->settings.backoff_max_ns;
    for (; doublings > 0 && delay < max; doublings--)
        delay *= 2;
    if (delay > max)
        delay = max;
    uint64_t jitter = delay / 4;
    return delay - (jitter > 0 ? random_next(sup) % jitter : 0);
}

/* The tree's rate as one time: when the whole burst would be there again. A respawn may happen as
 * long as that is no more than the burst away, and moves it on by one period. */
static uint64_t tree_delay_ns(struct step *s, uint64_t delay_ns)
{
    struct sup *sup = s->sup;
    uint64_t period = sup->options.tree_period_ns;
    uint64_t burst = (uint64_t)sup->settings.workers * 2 * period;
    uint64_t at = s->now_ns + delay_ns;

    if (sup->tree_spare_ns > at + burst)
        at = sup->tree_spare_ns - burst;
    sup->tree_spare_ns = (sup->tree_spare_ns > at ? sup->tree_spare_ns : at) + period;
    return at - s->now_ns;
}

uint64_t sup_backoff_crash_ns(struct step *s, struct sup_worker *w)
{
    bool young = s->now_ns - w->born_ns < s->sup->options.stable_ns;

    if (!young)
        w->crashes = 0;
    if (w->crashes < UINT8_MAX)
        w->crashes++;
    if (sup_sabotaged(s, SUP_SABOTAGE(NO_BACKOFF)))
        return 0;
    return tree_delay_ns(s, w->crashes > 1 ? backoff_ns(s->sup, w->crashes - 2u) : 0);
}

uint64_t sup_backoff_fork_ns(struct step *s, struct sup_worker *w)
{
    if (w->fails < UINT8_MAX)
        w->fails++;
    uint64_t delay = backoff_ns(s->sup, w->fails - 1u);
    return delay > NS_PER_MS_CORE ? delay : NS_PER_MS_CORE; /* never a loop of forks */
}
