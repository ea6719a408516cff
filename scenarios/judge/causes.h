/* Why did a worker end? Remembers who was sent a deadly signal, aborted, told to go, or had a fault
 * fire that ends a process, so that an exit with no cause can be told from one that the story asked
 * for. A sabotage is never a cause: it is what the judge is there to catch. */
#ifndef SCENARIOS_JUDGE_CAUSES_H
#define SCENARIOS_JUDGE_CAUSES_H

#include <stdbool.h>
#include <stdint.h>

#include "scenarios/judge/judge.h"
#include "scenarios/judge/world.h"

/* The kinds a checker must observe to keep its causes; goes into its list of kinds. */
#define CAUSES_KINDS                                                                               \
    HIST_DIRECTOR_SIGNAL, HIST_STORM_SIGNAL, HIST_FAULT_FIRED, HIST_ENGINE_WATCHDOG,               \
        HIST_ENGINE_DRAIN, HIST_ENGINE_ORPHAN

enum { CAUSES_KEPT = 512 };

/* The latest of each process, and the oldest processes forgotten first. */
struct causes {
    struct hist_record kept[CAUSES_KEPT];
    unsigned next;
    struct hist_record everybody; /* the last deadly signal to the whole tree or group */
};

void causes_take(struct causes *causes, const struct hist_record *r);
/* The latest cause for the process `pid` of now to end, or NULL: it ended by itself. */
const struct hist_record *causes_of(const struct causes *causes, const struct world *world,
                                    uint32_t pid);

/* Is this the first record that tells the exit of a worker of the tree? (Two witnesses may.) */
bool exit_is_news(const struct world *world, const struct hist_record *r);
/* Ended by a signal, or with a code that is not 0; false where the status is unknown. */
bool exit_is_abnormal(uint64_t status);
/* "signal 9", "code 3", "unknown status" */
const char *exit_text(uint64_t status, char *out, int size);
/* The master that was asked was told to go for the sake of an upgrade, and another is there. */
bool world_has_another_master(const struct world *world, const struct hist_record *ask);
/* A request that did not get its answer. */
bool end_lacks_answer(const struct world *world, const struct hist_record *r);
/* The same, counted against the server: not where an application behind it is in trouble. */
bool end_is_failure(const struct world *world, const struct hist_record *r);
/* Did this record's fault fire at the point of that name ("proc.fork")? */
bool fault_is_at(const struct hist_record *r, const char *point);
/* Guarantees about serving hold now: ready, and not yet being stopped. */
bool world_serving(const struct world *world);
/* The same, and there is a master that could look after its workers. */
bool world_has_master(const struct world *world);
/* Until when they held: the stop, the master's end, or now. */
uint64_t world_served_until(const struct world *world);

#endif
