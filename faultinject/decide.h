/* Deciding whether a fault point fires: a function of the board and of who asks, without clock,
 * system call or libc random(), so that the simulator decides as real processes do. */
#ifndef FAULTINJECT_DECIDE_H
#define FAULTINJECT_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "faultinject/board.h"

/* Who asks, and how far it has drawn from its random streams. One for each process. */
struct fault_self {
    enum fault_role role;
    int slot;
    uint32_t generation;
    uint32_t pid;
    uint64_t life; /* processes of this identity that came before */
    uint64_t draws[FAULT_POINT_COUNT];
};

struct fault_decision {
    struct fault_hit hit;
    unsigned rule;  /* index on the board */
    uint32_t epoch; /* the rule is armed as long as its cell keeps this epoch */
    uint64_t nth;   /* firing number of the rule, from 1 */
    uint64_t call;  /* number of the call among the rule's matching calls, from 1 */
};

/* Becomes a new process of this identity: its streams start, and a later process of the same
 * identity on this board gets others. */
void fault_self_start(struct fault_self *self, struct fault_board *board, enum fault_role role,
                      int slot, uint32_t generation, uint32_t pid);
/* Asks the rules from index *next on, counts the call, and sets *next behind the rule that fired.
 * False: none fires. Start with *next = 0, which also moves the windows of rules that wait for this
 * point; go on after a delay. */
bool fault_decide(struct fault_board *board, struct fault_self *self, enum fault_point point,
                  uint64_t now_ns, unsigned *next, struct fault_decision *out);
/* Is the rule of this decision still armed? Stalls and spins last as long. */
bool fault_still_armed(const struct fault_board *board, const struct fault_decision *decision);

/* Inside of the board: words copied one by one, and the count in a counter word. */
void fault_rule_copy(struct fault_rule *to, const struct fault_rule *from);
static inline uint64_t fault_count(uint64_t counter)
{
    return counter & ((UINT64_C(1) << 48) - 1);
}

#endif
