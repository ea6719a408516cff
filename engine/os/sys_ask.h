/* What the files of the door to the kernel share: asking the fault point first, errno as a result.
 */
#ifndef ENGINE_OS_SYS_ASK_H
#define ENGINE_OS_SYS_ASK_H

#include <errno.h>

#include "faultinject/fault.h"

static inline long result_of(long returned)
{
    return returned == -1 ? -errno : returned;
}

#define RETRY(call)                                                                                \
    __extension__({                                                                                \
        long returned_;                                                                            \
        do                                                                                         \
            returned_ = result_of(call);                                                           \
        while (returned_ == -EINTR);                                                               \
        returned_;                                                                                 \
    })

/* 0, or the negative errno that an armed rule asks for. The place of the firing is who called the
 * sys_ function. */
static FAULT_INLINE int refusal(enum fault_point point)
{
    struct fault_hit hit;
    return fault_check(point, &hit) && hit.kind == FAULT_ERRNO ? -(int)hit.value : 0;
}

#endif
