/* Random numbers of the simulation: every object draws from a stream of its own, so that taking one
 * event out of a schedule leaves what others draw as it was. */
#ifndef ENGINE_SIM_SIM_RANDOM_H
#define ENGINE_SIM_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* splitmix64: one word of state, every seed is a good one. */
struct sim_random {
    uint64_t state;
};

static inline uint64_t sim_random_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t sim_random_next(struct sim_random *r)
{
    r->state += UINT64_C(0x9e3779b97f4a7c15);
    return sim_random_mix(r->state);
}

/* The stream of `name` below `seed`. */
static inline struct sim_random sim_random_stream(uint64_t seed, uint64_t name)
{
    return (struct sim_random){sim_random_mix(seed + UINT64_C(0x9e3779b97f4a7c15) * (name + 1))};
}

/* 0 .. n-1; 0 of n = 0. A product instead of a remainder: it is drawn for each event. */
static inline uint64_t sim_random_below(struct sim_random *r, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)sim_random_next(r) * n) >> 64);
}

static inline uint64_t sim_random_between(struct sim_random *r, uint64_t low, uint64_t high)
{
    return low + sim_random_below(r, high - low + 1);
}

static inline bool sim_random_chance(struct sim_random *r, uint64_t of, uint64_t in)
{
    return sim_random_below(r, in) < of;
}

#endif
