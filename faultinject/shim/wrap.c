/* The wrappers whose shape is common: made from hooks.def.
 *
 * Each is two functions: one that goes straight to the real call while nothing is armed, and a
 * cold one that asks. */
#include "faultinject/shim/shim.h"

#include "faultinject/shim/transfer.h"

#define UNPACK(...) __VA_ARGS__

/* The wrapper of `name`; what follows is the body of the cold function. A library may call it
 * before the shim has started: then the entry of the table looks for the real function. */
#define WRAPPER(ret, name, params, args)                                                           \
    static __attribute__((noinline, cold)) ret asking_##name(const void *place, UNPACK params);    \
    static __attribute__((cold)) ret looking_##name params                                         \
    {                                                                                              \
        shim_resolve(&shim_real.name, #name);                                                      \
        return shim_real.name args;                                                                \
    }                                                                                              \
    SHIM_DECLARE(ret, name, params)                                                                \
    ret hook_##name params                                                                         \
    {                                                                                              \
        if (__builtin_expect(*shim_armed == 0, 1))                                                 \
            return shim_real.name args;                                                            \
        return asking_##name(__builtin_return_address(0), UNPACK args);                            \
    }                                                                                              \
    static ret asking_##name(const void *place, UNPACK params)

/* ---- calls that happen or fail ----------------------------------------------------------------
 */

#define IS_ASKED(point, hit) (*shim_armed != 0 && shim_consult((point), (hit), place))

#define HOOK_CALL(ret, name, params, args, failure, point, errnos)                                 \
    WRAPPER(ret, name, params, args)                                                               \
    {                                                                                              \
        struct fault_hit hit;                                                                      \
        if (IS_ASKED(FAULT_##point, &hit) && hit.kind == FAULT_ERRNO) {                            \
            errno = (int)hit.value;                                                                \
            return failure;                                                                        \
        }                                                                                          \
        return shim_real.name args;                                                                \
    }

#define HOOK_CODE(ret, name, params, args, failure, point, errnos)                                 \
    WRAPPER(ret, name, params, args)                                                               \
    {                                                                                              \
        struct fault_hit hit;                                                                      \
        if (IS_ASKED(FAULT_##point, &hit) && hit.kind == FAULT_ERRNO)                              \
            return (ret)hit.value;                                                                 \
        return shim_real.name args;                                                                \
    }

/* ---- calls that move bytes --------------------------------------------------------------------
 */

#define IS_ASKED_OF_FD(point, hit) IS_ASKED((enum fault_point)shim_point((point), fd), (hit))

#define HOOK_IN(ret, name, params, args, failure, point, errnos)                                   \
    WRAPPER(ret, name, params, args)                                                               \
    {                                                                                              \
        struct fault_hit hit = {.kind = FAULT_NONE};                                               \
        if (IS_ASKED_OF_FD(FAULT_##point, &hit) && !transfer_cut(&hit, &len))                      \
            return failure;                                                                        \
        ret got = shim_real.name args;                                                             \
        if (__builtin_expect(hit.kind == FAULT_CORRUPT, 0))                                        \
            transfer_spoil(buf, got, hit.value);                                                   \
        return got;                                                                                \
    }

#define HOOK_OUT(ret, name, params, args, failure, point, errnos)                                  \
    WRAPPER(ret, name, params, args)                                                               \
    {                                                                                              \
        struct fault_hit hit = {.kind = FAULT_NONE};                                               \
        unsigned char copy[TRANSFER_COPY_MAX];                                                     \
        if (IS_ASKED_OF_FD(FAULT_##point, &hit)) {                                                 \
            if (!transfer_cut(&hit, &len))                                                         \
                return failure;                                                                    \
            if (hit.kind == FAULT_CORRUPT)                                                         \
                buf = transfer_spoilt_copy(copy, buf, &len, hit.value);                            \
        }                                                                                          \
        return shim_real.name args;                                                                \
    }

/* Pieces are cut to what is to be moved; corrupt spoils the first of them. */
#define HOOK_VIN(ret, name, params, args, failure, point, errnos)                                  \
    WRAPPER(ret, name, params, args)                                                               \
    {                                                                                              \
        struct fault_hit hit = {.kind = FAULT_NONE};                                               \
        struct iovec cut[TRANSFER_PIECES_MAX];                                                     \
        if (IS_ASKED_OF_FD(FAULT_##point, &hit) && !transfer_cut_pieces(&hit, cut, &iov, &count))  \
            return failure;                                                                        \
        ret got = shim_real.name args;                                                             \
        if (__builtin_expect(hit.kind == FAULT_CORRUPT, 0))                                        \
            transfer_spoil_pieces(iov, count, got, hit.value);                                     \
        return got;                                                                                \
    }

#define HOOK_VOUT(ret, name, params, args, failure, point, errnos)                                 \
    WRAPPER(ret, name, params, args)                                                               \
    {                                                                                              \
        struct fault_hit hit = {.kind = FAULT_NONE};                                               \
        struct iovec cut[TRANSFER_PIECES_MAX];                                                     \
        unsigned char copy[TRANSFER_COPY_MAX];                                                     \
        if (IS_ASKED_OF_FD(FAULT_##point, &hit)) {                                                 \
            if (!transfer_cut_pieces(&hit, cut, &iov, &count))                                     \
                return failure;                                                                    \
            if (hit.kind == FAULT_CORRUPT)                                                         \
                transfer_spoilt_pieces(copy, cut, &iov, &count, hit.value);                        \
        }                                                                                          \
        return shim_real.name args;                                                                \
    }

#include "faultinject/shim/hooks.def"

struct shim_real shim_real = {
#define HOOK_CALL(ret, name, params, args, failure, point, errnos) .name = looking_##name,
#define HOOK_CODE HOOK_CALL
#define HOOK_IN HOOK_CALL
#define HOOK_OUT HOOK_CALL
#define HOOK_VIN HOOK_CALL
#define HOOK_VOUT HOOK_CALL
#include "faultinject/shim/hooks.def"
    .malloc = shim_looking_malloc,
    .calloc = shim_looking_calloc,
    .realloc = shim_looking_realloc,
    .free = shim_looking_free,
};
