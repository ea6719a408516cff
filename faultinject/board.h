/* The fault board: rules and their counters in memory that several processes share.
 *
 * Readers take no lock and every word is changed atomically, so that a process killed at any
 * instant leaves the board usable. Arming and disarming are serialised by a lock on the board's
 * file, which the kernel gives back when its holder dies, and start by mending what a dead holder
 * left half done.
 *
 * What the selectors of a rule mean:
 *   role, slot, generation, pid   which processes the rule is for. A call from such a process is a
 *                                 *matching call*, counted on the board over all of them.
 *   after=N    the first N matching calls are let pass
 *   every=N    of those that follow, the Nth, 2Nth, ... fire
 *   nth=N      only matching call number N fires (short for after=N-1 times=1)
 *   chance=A/B of the calls chosen so far A in B fire, drawn from the random stream of the calling
 *              process: (seed, point, role, slot, generation, and how many processes of that
 *              identity came before it), so that runs repeat
 *   times=N    the rule fires N times in all, however many processes race for them
 *   from=MOMENT, until=MOMENT
 *              calls outside of this window are not matching calls. A moment is a time since the
 *              arming, or a fault point that some process passes. From one point until another the
 *              window opens and closes each time; until=TIME then counts from its last opening. The
 *              call that passes `from` is inside, the one that passes `until` is not.
 *
 * Rules are asked in the order of their index. The first that fires decides and the rules behind it
 * do not see the call, except that a delay is waited for and the walk then goes on. */
#ifndef FAULTINJECT_BOARD_H
#define FAULTINJECT_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "faultinject/fault.h"

enum { FAULT_RULES_MAX = 64, FAULT_LIVES_MAX = 1024 };

/* One rule. Whole 64-bit words, so that it can be copied word by word while it may change. */
struct fault_rule {
    int64_t point; /* enum fault_point */
    int64_t kind;  /* enum fault_kind */
    int64_t value; /* errno, ns, bytes, signal or exit code, by kind */
    uint64_t after;
    uint64_t times;                  /* 0: no limit */
    uint64_t every;                  /* 0 or 1: each */
    uint64_t nth;                    /* 0: not said; else after and times say nothing */
    uint64_t chance_of, chance_in;   /* A/B; 0/0: always */
    int64_t role;                    /* enum fault_role */
    int64_t slot;                    /* -1 any */
    int64_t generation;              /* -1 any */
    int64_t pid;                     /* 0 any */
    int64_t from_point, until_point; /* enum fault_point; -1: no such moment */
    uint64_t from_ns, until_ns;      /* 0: no such moment */
};

/* A rule that restricts nothing: what parsing starts from. */
#define FAULT_RULE_INIT                                                                            \
    {                                                                                              \
        .kind = FAULT_NONE, .slot = -1, .generation = -1, .from_point = -1, .until_point = -1      \
    }

/* A place for a rule. epoch is odd while the rule is being written and changes with each arming and
 * disarming; the counters carry its low 16 bits so that a late count cannot go to another rule. */
struct fault_cell {
    uint32_t epoch;
    uint32_t unused;
    struct fault_rule rule;
    uint64_t calls;  /* epoch << 48 | matching calls */
    uint64_t fired;  /* epoch << 48 | firings */
    uint64_t opened; /* epoch << 48 | when its window opened, 0 closed (see decide.c) */
    uint64_t armed_ns;
};

/* How many processes have had an identity (role, slot, generation). */
struct fault_life {
    uint64_t identity; /* 0: free */
    uint64_t count;
};

struct fault_board {
    uint64_t magic; /* written last when a board is made */
    uint32_t version;
    uint32_t armed; /* number of armed rules: what every disarmed point looks at */
    uint64_t signature;
    uint64_t seed;
    uint64_t rules_of[FAULT_POINT_COUNT];   /* a set of cells for each point: what is armed */
    uint64_t moments_of[FAULT_POINT_COUNT]; /* ... whose windows open or close at it */
    struct fault_cell cells[FAULT_RULES_MAX];
    struct fault_life lives[FAULT_LIVES_MAX];
};

/* An open board: mapped from a file, or (fd -1) in memory of the caller's own. */
struct fault_board_file {
    struct fault_board *board;
    int fd;
};

/* Makes a board of memory that is all zero: the simulator's, or a new file's. */
void fault_board_init(struct fault_board *board, uint64_t seed);
/* Opens the board at `path`; with `create` makes it, seeded, if there is none. Returns 0 or a
 * negative errno; -EBADMSG: the file is no board, -EPROTO: a board of another build. */
int fault_board_open(struct fault_board_file *file, const char *path, bool create, uint64_t seed);
void fault_board_close(struct fault_board_file *file);
/* Arms a copy of *rule. Returns its index, which stays its own while it is armed, or -ENOSPC. */
int fault_board_arm(struct fault_board_file *file, const struct fault_rule *rule);
/* The same where time is not the machine's. */
int fault_board_arm_at(struct fault_board_file *file, const struct fault_rule *rule,
                       uint64_t now_ns);
/* Is there anything at this point to be decided? */
static inline bool fault_board_asks(const struct fault_board *board, unsigned point)
{
    return (board->rules_of[point] | board->moments_of[point]) != 0;
}
/* Disarms the rule and wakes who stalls on it. False: it was not armed. */
bool fault_board_disarm(struct fault_board_file *file, unsigned index);
void fault_board_seed(struct fault_board_file *file, uint64_t seed);

/* What a cell says now. */
struct fault_status {
    struct fault_rule rule;
    uint64_t calls, fired;
    bool armed; /* false: it was disarmed; its last counts stand */
};
/* False: the cell never held a rule. */
bool fault_board_status(const struct fault_board *board, unsigned index,
                        struct fault_status *status);

const char *fault_board_strerror(int error); /* for fault_board_open's results */

#endif
