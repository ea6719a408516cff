/* What a story's `wait` may ask of the simulated world, as pytests/masterwork/conditions.py asks it
 * of a real one. A condition is a line in postfix order:
 *
 *     fresh.ok 60 >= workers 2 == and
 *     ok ok begin - 100 >=          `begin` takes the value from when the act was entered
 *
 * Words: numbers; == != < <= > >=; and, or, not; + - *, neg; begin; the names below; LOAD.WORD with
 * requests, ok, failed, outstanding, established, generation, or an outcome as the history has it.
 */
#ifndef ENGINE_SIM_SIM_SEEN_H
#define ENGINE_SIM_SIM_SEEN_H

#include "engine/sim/sim_plan.h"

struct sim;

/* N(SYMBOL, "word", "meaning") */
#define SIM_SEEN(N)                                                                                \
    N(REQUESTS, "requests", "requests begun, all loads")                                           \
    N(OK, "ok", "requests that ended ok")                                                          \
    N(FAILED, "failed", "requests that ended otherwise")                                           \
    N(OUTSTANDING, "outstanding", "requests under way")                                            \
    N(ESTABLISHED, "established", "client connections established")                                \
    N(WORKERS, "workers", "live children of the master")                                           \
    N(ZOMBIES, "zombies", "ended children not reaped yet")                                         \
    N(STOPPED, "stopped", "workers that are stopped")                                              \
    N(OTHERS, "others", "processes of the tree that are not children of the master: 0 here")       \
    N(REPLACED, "replaced", "workers that were not there when the phase began")                    \
    N(REMAINING, "remaining", "workers of when the phase began that still live")                   \
    N(ANSWERING, "answering", "workers not there when the phase began that answer clients")        \
    N(MASTER_ALIVE, "master_alive", "1 while the master lives")                                    \
    N(GENERATION, "generation", "the newest configuration number that a client got")               \
    N(CONFIG, "config", "the number of the configuration written last")                            \
    N(GOOD_CONFIG, "good_config", "the number of the newest that is valid")                        \
    N(RELOADED, "reloaded", "reloads reported ok")                                                 \
    N(REFUSED, "refused", "reloads reported refused")                                              \
    N(UNDONE, "undone", "reloads reported undone")                                                 \
    N(QUEUE, "queue", "connections waiting in the accept queue")                                   \
    N(FDS, "fds", "the most descriptors a worker has open")                                        \
    N(FIRED, "fired", "faults that have fired")                                                    \
    N(STORMS, "storms", "storms of signals still under way")                                       \
    N(SECONDS, "seconds", "seconds since the act was entered")

/* Does the simulation have such clients? */
bool sim_seen_is_population(enum hist_population kind);
/* Is it a condition of this plan? */
bool sim_seen_check(const struct sim_plan *plan, const char *condition);
/* Does it hold now? `entered`: the act has just been entered, `begin` is taken. */
bool sim_seen_holds(struct sim *s, const char *condition, bool entered);
/* What the names in it are now, for a message. */
void sim_seen_values(struct sim *s, const char *condition, char *out, size_t size);

#endif
