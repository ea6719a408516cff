/* Fault points: where the engine, the shim and the simulator ask "does something go wrong here?".
 *
 * Rules live on a board in shared memory (MW_FAULT_BOARD names its file) so that they are armed and
 * disarmed while servers run. A disarmed point costs one predictable branch; with FAULTS=0 it is a
 * constant. A firing is counted on the board and written to the process's history (hist_self). */
#ifndef FAULTINJECT_FAULT_H
#define FAULTINJECT_FAULT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define FAULT_ENGINE 1u
#define FAULT_SHIM 2u
#define FAULT_SIM 4u
#define FAULT_ALL (FAULT_ENGINE | FAULT_SHIM | FAULT_SIM)

enum fault_point {
#define FAULT_POINT(symbol, name, where, kinds, default_errno, sentence) FAULT_##symbol,
#include "faultinject/points.def"
#undef FAULT_POINT
    FAULT_POINT_COUNT
};

enum fault_kind {
    FAULT_NONE,
    FAULT_ERRNO,
    FAULT_DELAY,
    FAULT_SHORT,
    FAULT_CRASH,
    FAULT_EXIT,
    FAULT_STALL,
    FAULT_SPIN,
    FAULT_CORRUPT,
    FAULT_SABOTAGE,
    FAULT_KIND_COUNT
};

enum fault_role { FAULT_ROLE_ANY, FAULT_ROLE_MASTER, FAULT_ROLE_WORKER };

/* What a rule decided. value: errno, ns, bytes, signal or exit code, by kind; for corrupt a random
 * number that says which byte. */
struct fault_hit {
    enum fault_kind kind;
    int64_t value;
};

/* Inlined always, however the compiler weighs it: the place of a firing is the caller's. */
#define FAULT_INLINE inline __attribute__((always_inline))

#if MW_FAULTS
/* Attaches to the board named by MW_FAULT_BOARD. Returns 0 (also when the variable is not set) or
 * a negative errno: a board that is named but unusable must end start-up with a clear error.
 * -ENOSYS: this program was built without fault points (FAULTS=0). */
int fault_attach(void);
/* Says who this process is; starts its random streams. Call after fork. */
void fault_identify(enum fault_role role, int slot, uint32_t generation);
/* Whether what is armed may fire in this process. */
void fault_allow(bool allowed);
/* Decides and carries out delay, crash, exit, stall and spin itself; returns true and fills *hit
 * when the caller has something to do (errno, short, corrupt, sabotage). Do not call directly. */
bool fault_consult(enum fault_point point, struct fault_hit *hit);

extern const volatile uint32_t *fault_armed_rules; /* points at the board's count, or at a zero */
static FAULT_INLINE bool fault_check(enum fault_point point, struct fault_hit *hit)
{
    return __builtin_expect(*fault_armed_rules != 0, 0) && fault_consult(point, hit);
}
/* Is anything armed at all? What asks several points at once asks this first. */
static inline bool fault_armed(void)
{
    return __builtin_expect(*fault_armed_rules != 0, 0);
}
#else
static inline bool fault_armed(void)
{
    return false;
}
static inline int fault_attach(void)
{
    return getenv("MW_FAULT_BOARD") ? -ENOSYS : 0;
}
static inline void fault_identify(enum fault_role role, int slot, uint32_t generation)
{
    (void)role;
    (void)slot;
    (void)generation;
}
static inline void fault_allow(bool allowed)
{
    (void)allowed;
}
static FAULT_INLINE bool fault_check(enum fault_point point, struct fault_hit *hit)
{
    (void)point;
    (void)hit;
    return false;
}
#endif

/* A logical step: delays, crashes, ... happen inside. Returns 0, or the errno a rule asks for. */
static FAULT_INLINE int fault_step(enum fault_point point)
{
    struct fault_hit hit;
    return fault_check(point, &hit) && hit.kind == FAULT_ERRNO ? (int)hit.value : 0;
}

/* Is this wrong behaviour switched on (and does the rule say: now)? */
static FAULT_INLINE bool fault_sabotage(enum fault_point point)
{
    struct fault_hit hit;
    return fault_check(point, &hit) && hit.kind == FAULT_SABOTAGE;
}

const char *fault_point_name(unsigned point); /* "net.accept" */
const char *fault_kind_name(unsigned kind);   /* "errno" */

#endif
