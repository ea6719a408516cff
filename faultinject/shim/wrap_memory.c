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

/* While nothing is armed and the real function is known, it is called at once. */
#define IS_CALM(name) __builtin_expect(*shim_armed == 0 && shim_real.name, 1)

#define IS_REFUSED()                                                                               \
    __extension__({                                                                                \
        struct fault_hit hit_;                                                                     \
        bool refused_ = SHIM_ASK(FAULT_mem_alloc, &hit_) && hit_.kind == FAULT_ERRNO;              \
        if (refused_)                                                                              \
            errno = (int)hit_.value;                                                               \
        refused_;                                                                                  \
    })

SHIM_DECLARE(void *, malloc, (size_t size))
void *hook_malloc(size_t size)
{
    if (IS_CALM(malloc))
        return shim_real.malloc(size);
    if (!shim_real.malloc && shim_resolving())
        return take_from_store(size);
    return IS_REFUSED() ? NULL : SHIM_REAL(malloc)(size);
}

SHIM_DECLARE(void *, calloc, (size_t count, size_t size))
void *hook_calloc(size_t count, size_t size)
{
    if (IS_CALM(calloc))
        return shim_real.calloc(count, size);
    if (!shim_real.calloc && shim_resolving())
        return size && count > STORE_BYTES / size ? NULL : take_from_store(count * size);
    return IS_REFUSED() ? NULL : SHIM_REAL(calloc)(count, size);
}

SHIM_DECLARE(void *, realloc, (void *old, size_t size))
void *hook_realloc(void *old, size_t size)
{
    if (__builtin_expect(is_ours(old), 0)) {
        size_t had;
        memcpy(&had, (unsigned char *)old - STORE_HEAD, sizeof had);
        void *moved = hook_malloc(size);
        if (moved)
            memcpy(moved, old, had < size ? had : size);
        return moved;
    }
    if (!shim_real.realloc && shim_resolving())
        return take_from_store(size);
    return IS_REFUSED() ? NULL : SHIM_REAL(realloc)(old, size);
}

SHIM_DECLARE(void, free, (void *memory))
void hook_free(void *memory)
{
    if (__builtin_expect(!is_ours(memory), 1))
        SHIM_REAL(free)(memory);
}
