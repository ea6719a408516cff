/* Reads the kernel's clocks. Both reads go through the vDSO, so they cost no system call. */
#include "engine/os/clock.h"

#include <stdlib.h>
#include <time.h>

static uint64_t clock_read_ns(clockid_t clock)
{
    struct timespec now;
    /* These clocks exist on every Linux; without one nothing that follows could be right, and the
     * log, which wants the time itself, could not say so. */
    if (clock_gettime(clock, &now) != 0)
        abort();
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME);
}

double clock_ev_delay(uint64_t deadline_ns, uint64_t now_ns)
{
    return deadline_ns <= now_ns ? 0.0 : (double)(deadline_ns - now_ns) / (double)NS_PER_S;
}
