/* The wrappers of malloc, calloc, realloc and free: they are called before anything else works.
 *
 * Looking for the real functions may itself allocate; that memory comes from a small store of our
 * own, which is never given back. */
#include "faultinject/shim/shim.h"

#include <string.h>

enum { STORE_BYTES = 64 * 1024, STORE_ALIGNMENT = 16, STORE_HEAD = 16 };

static unsigned char store[STORE_BYTES] __attribute__((aligned(STORE_ALIGNMENT)));
static size_t store_used;

static bool is_ours(const void *memory)
{
    return (uintptr_t)memory - (uintptr_t)store < STORE_BYTES;
}

/* Zeroed memory with its size in front. NULL when the store is empty. */
static void *take_from_store(size_t size)
{
    if (size > STORE_BYTES)
        return NULL;
    size_t all = (STORE_HEAD + size + STORE_ALIGNMENT - 1) & ~(size_t)(STORE_ALIGNMENT - 1);
    size_t at = __atomic_fetch_add(&store_used, all, __ATOMIC_RELAXED);
    if (at + all > STORE_BYTES)
        return NULL;
    memcpy(store + at, &size, sizeof size);
    return store + at + STORE_HEAD;
}

/* ---- looking for the real functions ------------------------------------------------------------
 */

/* What the table holds until they are found. */
void *shim_looking_malloc(size_t size)
{
    if (shim_resolving())
        return take_from_store(size);
    shim_resolve(&shim_real.malloc, "malloc");
    return shim_real.malloc(size);
}

void *shim_looking_calloc(size_t count, size_t size)
{
    if (shim_resolving())
        return size && count > STORE_BYTES / size ? NULL : take_from_store(count * size);
    shim_resolve(&shim_real.calloc, "calloc");
    return shim_real.calloc(count, size);
}

void *shim_looking_realloc(void *old, size_t size)
{
    if (shim_resolving())
        return take_from_store(size);
    shim_resolve(&shim_real.realloc, "realloc");
    return shim_real.realloc(old, size);
}

void shim_looking_free(void *memory)
{
    shim_resolve(&shim_real.free, "free");
    shim_real.free(memory);
}

/* ---- the wrappers ------------------------------------------------------------------------------
 */

/* What is done while something is armed; cold, so that nothing of it is in the way else. */
#define ASK_AND_CALL(place, call)                                                                  \
    do {                                                                                           \
        struct fault_hit hit_;                                                                     \
        if (!shim_consult(FAULT_mem_alloc, &hit_, place) || hit_.kind != FAULT_ERRNO)              \
            return call;                                                                           \
        errno = (int)hit_.value;                                                                   \
        return NULL;                                                                               \
    } while (0)
#define COLD static __attribute__((noinline, cold))
#define IS_CALM __builtin_expect(*shim_armed == 0, 1)

COLD void *asking_malloc(const void *place, size_t size)
{
    ASK_AND_CALL(place, shim_real.malloc(size));
}

SHIM_DECLARE(void *, malloc, (size_t size))
void *hook_malloc(size_t size)
{
    return IS_CALM ? shim_real.malloc(size) : asking_malloc(__builtin_return_address(0), size);
}

COLD void *asking_calloc(const void *place, size_t count, size_t size)
{
    ASK_AND_CALL(place, shim_real.calloc(count, size));
}

SHIM_DECLARE(void *, calloc, (size_t count, size_t size))
void *hook_calloc(size_t count, size_t size)
{
    return IS_CALM ? shim_real.calloc(count, size)
                   : asking_calloc(__builtin_return_address(0), count, size);
}

COLD void *move_out_of_store(void *old, size_t size)
{
    size_t had;
    memcpy(&had, (unsigned char *)old - STORE_HEAD, sizeof had);
    void *moved = hook_malloc(size);
    if (moved)
        memcpy(moved, old, had < size ? had : size);
    return moved;
}

COLD void *asking_realloc(const void *place, void *old, size_t size)
{
    ASK_AND_CALL(place, shim_real.realloc(old, size));
}

SHIM_DECLARE(void *, realloc, (void *old, size_t size))
void *hook_realloc(void *old, size_t size)
{
    if (__builtin_expect(is_ours(old), 0))
        return move_out_of_store(old, size);
    return IS_CALM ? shim_real.realloc(old, size)
                   : asking_realloc(__builtin_return_address(0), old, size);
}

SHIM_DECLARE(void, free, (void *memory))
void hook_free(void *memory)
{
    if (__builtin_expect(!is_ours(memory), 1))
        shim_real.free(memory);
}
