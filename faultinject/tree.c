/* The processes of a run. Only system calls and atomic words: it is used between fork and exec. */
#include "faultinject/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TREE_RESERVED UINT32_C(0x80000000)

static bool is_alive(uint32_t pid)
{
    return kill((pid_t)(pid & ~TREE_RESERVED), 0) == 0 || errno == EPERM;
}

static struct tree_process *at(struct tree *tree, int place)
{
    return place == TREE_PLACE_NONE ? NULL : &tree->processes[place];
}

static int find(const struct tree *tree, uint32_t pid)
{
    for (int i = 0; pid != 0 && i < TREE_PROCESSES_MAX; i++)
        if (__atomic_load_n(&tree->processes[i].pid, __ATOMIC_ACQUIRE) == pid)
            return i;
    return TREE_PLACE_NONE;
}

/* ---- files ------------------------------------------------------------------------------------
 */

struct tree *tree_open(const char *board_path, bool fresh)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s.tree", board_path);
    if (len < 0 || (size_t)len >= sizeof path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    if (fresh)
        unlink(path); /* who is left of an earlier run keeps the earlier tree */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return NULL;
    struct tree *tree = MAP_FAILED;
    if (ftruncate(fd, sizeof *tree) == 0)
        tree = mmap(NULL, sizeof *tree, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (tree == MAP_FAILED)
        return NULL;
    if (fresh)
        tree_enter(tree, (uint32_t)getpid(), 0, 0);
    return tree;
}

/* ---- entries ----------------------------------------------------------------------------------
 */

/* Takes a free entry, or one whose process died without being waited for. */
static int take(struct tree *tree, uint32_t reserved, const struct tree_process *with)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < TREE_PROCESSES_MAX; i++) {
            struct tree_process *entry = &tree->processes[i];
            uint32_t holder = __atomic_load_n(&entry->pid, __ATOMIC_ACQUIRE);
            if (holder != 0 && (pass == 0 || is_alive(holder)))
                continue;
            if (!__atomic_compare_exchange_n(&entry->pid, &holder, reserved, false,
                                             __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
                continue;
            entry->master = with->master;
            entry->program = with->program;
            entry->slot = with->slot;
            entry->role = with->role;
            entry->inherited = with->inherited;
            entry->executed = with->executed;
            return i;
        }
    return TREE_PLACE_NONE; /* the process has no identity and lives */
}

static bool holds_slot(const struct tree_process *entry, uint32_t master)
{
    uint32_t pid = __atomic_load_n(&entry->pid, __ATOMIC_ACQUIRE);
    return pid != 0 && entry->master == master && entry->role == FAULT_ROLE_WORKER &&
           !entry->inherited && is_alive(pid);
}

/* The lowest number that no living worker of this master has. */
static int16_t free_slot(const struct tree *tree, uint32_t master)
{
    uint64_t used[TREE_PROCESSES_MAX / 64] = {0};
    for (int i = 0; i < TREE_PROCESSES_MAX; i++) {
        const struct tree_process *entry = &tree->processes[i];
        if (entry->slot >= 0 && holds_slot(entry, master))
            used[entry->slot / 64] |= UINT64_C(1) << (entry->slot % 64);
    }
    for (unsigned i = 0; i < TREE_PROCESSES_MAX / 64; i++)
        if (~used[i])
            return (int16_t)(i * 64 + (unsigned)__builtin_ctzll(~used[i]));
    return -1;
}

/* What a child of this process is. */
static struct tree_process child_of(const struct tree *tree, const struct tree_process *parent)
{
    struct tree_process child = {.slot = -1};
    if (!parent)
        return child;
    child = *parent;
    child.inherited = true;
    if (parent->role == FAULT_ROLE_MASTER) {
        child.role = FAULT_ROLE_WORKER;
        child.inherited = false;
        child.slot = free_slot(tree, parent->master);
    }
    child.executed = false;
    return child;
}

int tree_reserve(struct tree *tree, int place, uint32_t pid)
{
    struct tree_process child = child_of(tree, at(tree, place));
    return take(tree, TREE_RESERVED | pid, &child);
}

void tree_give_back(struct tree *tree, int place)
{
    if (place != TREE_PLACE_NONE)
        __atomic_store_n(&tree->processes[place].pid, 0, __ATOMIC_RELEASE);
}

void tree_move_in(struct tree *tree, int place, uint32_t pid)
{
    if (place != TREE_PLACE_NONE)
        __atomic_store_n(&tree->processes[place].pid, pid, __ATOMIC_RELEASE);
}

void tree_reaped(struct tree *tree, uint32_t pid)
{
    int place = find(tree, pid);
    if (place != TREE_PLACE_NONE)
        tree_give_back(tree, place);
}

int tree_enter(struct tree *tree, uint32_t pid, uint32_t parent, uint32_t program)
{
    int place = find(tree, pid);
    if (place == TREE_PLACE_NONE) {
        uint32_t nobody = 0;
        struct tree_process self = child_of(tree, at(tree, find(tree, parent)));
        if (__atomic_compare_exchange_n(&tree->claimed, &nobody, 1, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            self.role = FAULT_ROLE_MASTER;
            self.master = pid;
        }
        place = take(tree, TREE_RESERVED | pid, &self);
        tree_move_in(tree, place, pid);
    }
    if (place != TREE_PLACE_NONE) {
        tree->processes[place].program = program;
        tree->processes[place].executed = true;
    }
    return place;
}

/* ---- who becomes master -----------------------------------------------------------------------
 */

static unsigned workers_of(const struct tree *tree, uint32_t master)
{
    unsigned count = 0;
    for (int i = 0; i < TREE_PROCESSES_MAX; i++)
        count += holds_slot(&tree->processes[i], master);
    return count;
}

/* A master that goes to the background has one child and leaves. A worker whose master was killed
 * looks the same, but workers do not begin sessions, and hardly fork or listen. */
static bool is_sent_to_background(const struct tree *tree, const struct tree_process *self,
                                  enum tree_step step)
{
    return workers_of(tree, self->master) == 1 &&
           (step == TREE_LEAVES_SESSION || !is_alive(self->master));
}

static bool is_upgrade(const struct tree *tree, const struct tree_process *self,
                       enum tree_step step)
{
    int master = find(tree, self->master);
    return step != TREE_LEAVES_SESSION && self->executed && master != TREE_PLACE_NONE &&
           tree->processes[master].program == self->program;
}

static bool listens_first(struct tree *tree, uint32_t pid, enum tree_step step)
{
    uint32_t nobody = 0;
    return step == TREE_LISTENS &&
           __atomic_compare_exchange_n(&tree->listening, &nobody, pid, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

bool tree_promote(struct tree *tree, int place, uint32_t pid, enum tree_step step)
{
    struct tree_process *self = at(tree, place);
    bool first = listens_first(tree, pid, step);
    if (!self || self->role == FAULT_ROLE_MASTER)
        return false;
    bool direct = self->role == FAULT_ROLE_WORKER && !self->inherited;
    if (!first &&
        !(direct && (is_sent_to_background(tree, self, step) || is_upgrade(tree, self, step))))
        return false;
    self->role = FAULT_ROLE_MASTER;
    self->master = pid;
    self->slot = -1;
    self->inherited = false;
    return true;
}
