/* Time. Monotonic nanoseconds everywhere; wall time only for log lines and HTTP dates; libev's
 * seconds only where a watcher is armed. */
#ifndef ENGINE_OS_CLOCK_H
#define ENGINE_OS_CLOCK_H

#include <stdint.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

uint64_t clock_now_ns(void);                                  /* CLOCK_MONOTONIC */
uint64_t clock_wall_ns(void);                                 /* CLOCK_REALTIME */
double clock_ev_delay(uint64_t deadline_ns, uint64_t now_ns); /* seconds for an ev_timer, >= 0 */

#endif
