/* The shim: a library that is preloaded into any server and asks the fault board before each of the
 * calls in hooks.def. What its parts share.
 *
 * - Nothing armed: a wrapper costs a look at the board's count, a predictable branch and an
 * indirect jump, five instructions in all.
 * - Something armed: whether a rule fires is decided with signals blocked and under the process's
 *   own lock; waiting, dying and hanging happen outside of both.
 * - The shim's own calls, made while it decides, go through to the C library unseen. */
#ifndef FAULTINJECT_SHIM_SHIM_H
#define FAULTINJECT_SHIM_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#include "faultinject/fault.h"

#define SHIM_EXPORT __attribute__((visibility("default")))

/* The functions that the wrapped program would call without the shim. An entry that is needed
 * before it was looked for is NULL, where SHIM_REAL looks for it, or does so itself (wrap.c). */
#include "faultinject/shim/types.h"
/* All below is the shim's own: reached without a table. */
#pragma GCC visibility push(hidden)
struct shim_real {
#define HOOK_CALL(ret, name, params, args, failure, point, errnos) ret(*name) params;
#define HOOK_CODE HOOK_CALL
#define HOOK_IN HOOK_CALL
#define HOOK_OUT HOOK_CALL
#define HOOK_VIN HOOK_CALL
#define HOOK_VOUT HOOK_CALL
#define HOOK_OWN HOOK_CALL
#define HOOK_OWN_CODE HOOK_CALL
#define HOOK_SEEN(ret, name, params, args) ret(*name) params;
#include "faultinject/shim/hooks.def"
};
extern struct shim_real shim_real;
void shim_resolve(void *entry, const char *name);
#define SHIM_REAL(name)                                                                            \
    __extension__({                                                                                \
        if (__builtin_expect(!shim_real.name, 0))                                                  \
            shim_resolve(&shim_real.name, #name);                                                  \
        shim_real.name;                                                                            \
    })
/* Is this thread looking for a real function? Who allocates then must do without one. */
bool shim_resolving(void);
void *shim_looking_malloc(size_t size);
void *shim_looking_calloc(size_t count, size_t size);
void *shim_looking_realloc(void *old, size_t size);
void shim_looking_free(void *memory);

/* Asks the board about a call made from `place`. As fault_check: true when the wrapper has
 * something to do itself. */
extern const volatile uint32_t *shim_armed;
bool shim_consult(enum fault_point point, struct fault_hit *hit, const void *place);
/* Which point a call on `fd` asks: `point` itself, or what SHIM_FD_IN and SHIM_FD_OUT mean for it.
 */
unsigned shim_point(unsigned point, int fd);
#define SHIM_ASK(point, hit)                                                                       \
    (__builtin_expect(*shim_armed != 0, 0) &&                                                      \
     shim_consult((point), (hit), __builtin_return_address(0)))

/* Nothing is armed, and the real function is known: it may be called at once. */
#define SHIM_IS_CALM(name) __builtin_expect(*shim_armed == 0 && shim_real.name, 1)

/* Points that depend on what a descriptor is. */
enum { SHIM_FD_IN = FAULT_POINT_COUNT + 1, SHIM_FD_OUT };
#define FAULT_fd_in SHIM_FD_IN
#define FAULT_fd_out SHIM_FD_OUT

/* A wrapper is called hook_NAME here and NAME by everybody else. */
#define SHIM_DECLARE(ret, name, params) SHIM_EXPORT ret hook_##name params __asm__(#name);

/* The life of the process. */
void shim_fork_begin(void);           /* before a fork: finds the child's place in the tree */
void shim_fork_end(long child);       /* with what fork returned, in the parent and in the child */
void shim_booting(const void *place); /* in the child of a fork: a worker begins, if it is one */
void shim_before_exec(void);
void shim_after_failed_exec(void);
void shim_before_exit(void);
void shim_listening(void);
void shim_session_left(void);
void shim_reaped(long pid); /* a child was waited for and is gone */
/* The environment an executed program needs to be below the shim as well: `envp` itself, or `room`
 * filled. */
enum { SHIM_ENV_MAX = 512 };
char *const *shim_environment(char *const *envp, char **room, unsigned room_count);
#pragma GCC visibility pop

#endif
