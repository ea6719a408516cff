/* The watched processes. */
#include "scenarios/witness/watch_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* An exit event may come a little after its process was seen ended, as the kernel sends it late in
 * the exit; after this long it is taken for lost. */
static const uint64_t exit_event_patience_ns = 200000000;
/* Mappings are counted when the process's size changed, or when the count is this old. */
static const uint64_t mappings_age_ns = 1000000000, mappings_pause_ns = 100000000;
static const uint64_t traits_pause_ns = 100000000;

static struct watch_process *add(struct watch_tree *tree, pid_t pid, pid_t parent, uint64_t t_ns);
static void find_children(struct watch_tree *tree, struct watch_process *parent);
static void put(struct watch_tree *tree, enum hist_kind kind, uint64_t t_ns, pid_t pid, uint64_t a,
                uint64_t b, uint64_t c);

/* ---- what happens to processes ----------------------------------------------------------------
 */

static void exit_process(struct watch_tree *tree, struct watch_process *p, uint64_t t_ns,
                         uint64_t wait_status)
{
    if (p->exited)
        return;
    p->exited = true;
    p->exit_ns = t_ns;
    p->fds = 0;
    put(tree, HIST_WATCH_EXIT, t_ns, p->pid, wait_status, (uint64_t)p->parent, 0);
    tree->changes++;
}

static void drop(struct watch_tree *tree, struct watch_process *p)
{
    struct watch_process **link = &tree->first;
    while (*link != p)
        link = &(*link)->next;
    *link = p->next;
    if (tree->last == &p->next)
        tree->last = link;
    link = &tree->buckets[(size_t)p->pid % WATCH_BUCKETS];
    while (*link != p)
        link = &(*link)->next_in_bucket;
    *link = p->next_in_bucket;
    proc_close(&p->handle);
    free(p);
    tree->changes++;
}

static void reap(struct watch_tree *tree, struct watch_process *p, uint64_t now_ns)
{
    put(tree, HIST_WATCH_REAPED, now_ns, p->pid, now_ns > p->exit_ns ? now_ns - p->exit_ns : 0, 0,
        0);
    drop(tree, p);
}

void watch_tree_take_ends(struct watch_tree *tree)
{
    enum { AT_ONCE = 64 };
    struct epoll_event events[AT_ONCE];
    int count;
    do {
        count = epoll_wait(tree->ended_fd, events, AT_ONCE, 0);
        uint64_t now_ns = hist_now_ns(); /* all of them ended before */
        for (int i = 0; i < count; i++) {
            struct watch_process *p = events[i].data.ptr;
            exit_process(tree, p, now_ns, proc_wait_status(&p->handle));
        }
    } while (count == AT_ONCE);
}

/* A process was seen ended. Its exit event should come, or have come; else it is made up for. */
static void seen_ended(struct watch_tree *tree, struct watch_process *p, uint64_t now_ns)
{
    if (p->exited)
        return;
    if (p->gone_ns == 0)
        p->gone_ns = now_ns;
    if (!tree->exact || now_ns - p->gone_ns > exit_event_patience_ns) {
        tree->lost += tree->exact;
        exit_process(tree, p, p->gone_ns, proc_wait_status(&p->handle));
    }
}

/* ---- events of the connector ------------------------------------------------------------------
 */

static void take_fork(struct watch_tree *tree, const struct connector_event *event)
{
    struct watch_process *known = watch_tree_find(tree, event->pid);
    struct watch_process *parent = watch_tree_find(tree, event->parent);
    struct proc_stat stat;
    if (known && known->exited) /* its pid is used again: it must have been reaped */
        reap(tree, known, event->t_ns);
    else if (known && proc_read_stat(&known->handle, &stat) == 0)
        return;       /* found by looking before the event was read */
    else if (known) { /* its exit event was lost */
        tree->lost++;
        exit_process(tree, known, event->t_ns, UINT64_MAX);
        reap(tree, known, event->t_ns);
    }
    if (parent)
        add(tree, event->pid, event->parent, event->t_ns);
}

static void look_again(struct watch_tree *tree)
{
    tree->lost++;
    for (struct watch_process *p = tree->first; p; p = p->next)
        find_children(tree, p);
}

void watch_tree_take(struct watch_tree *tree, const struct connector_event *event)
{
    if (event->what == CONNECTOR_LOST) {
        look_again(tree);
        return;
    }
    if (event->what == CONNECTOR_FORK) {
        take_fork(tree, event);
        return;
    }
    struct watch_process *p = watch_tree_find(tree, event->pid);
    if (!p || p->exited)
        return;
    if (event->what == CONNECTOR_EXIT) {
        exit_process(tree, p, event->t_ns, event->wait_status);
        return;
    }
    p->executed = true;
    put(tree, HIST_WATCH_EXEC, event->t_ns, p->pid, 0, 0, 0);
    tree->changes++;
}

/* ---- looking ----------------------------------------------------------------------------------
 */

/* Busy processes go to and fro between running and waiting; that is recorded but not told. */
static bool is_ordinary(char state)
{
    return state == 'R' || state == 'S' || state == 'D' || state == 'I';
}

static bool has_ended(const struct proc_stat *stat)
{
    return stat->state == 'Z' || stat->state == 'X';
}

/* A state will not last; but that of a process that has ended does, and came behind its end. */
static void note_state(struct watch_tree *tree, struct watch_process *p,
                       const struct proc_stat *stat, uint64_t before_ns, uint64_t after_ns)
{
    if (stat->parent != p->parent)
        tree->changes++;
    p->parent = stat->parent;
    if (stat->state == p->state)
        return;
    if (!is_ordinary(p->state) || !is_ordinary(stat->state))
        tree->changes++;
    p->state = stat->state;
    put(tree, HIST_WATCH_STATE, has_ended(stat) ? after_ns : before_ns, p->pid,
        (unsigned char)p->state, (uint64_t)p->parent, 0);
}

static void count_mappings(struct watch_process *p, uint64_t size, uint64_t now_ns)
{
    uint64_t age = now_ns - p->mappings_ns;
    if (p->mappings_ns && age < (size == p->mappings_size ? mappings_age_ns : mappings_pause_ns))
        return;
    p->mappings = proc_count_mappings(p->pid);
    p->mappings_size = size;
    p->mappings_ns = now_ns;
}

/* While a process becomes what it is to be, or ends, its traits change: only what was read twice
 * the same is recorded. */
static void note_traits(struct watch_tree *tree, struct watch_process *p, uint64_t now_ns)
{
    struct watch_traits before = p->traits;
    if (p->parent != tree->root && p->pid != tree->root)
        return;
    if (p->traits_ns == 0)
        p->traits_ns = now_ns;
    if (now_ns - p->traits_ns < traits_pause_ns)
        return;
    p->traits_ns = now_ns;
    if (!watch_traits_read(p->pid, &p->traits))
        return;
    for (unsigned i = 0; i < HIST_TRAIT_COUNT; i++) {
        uint64_t value = p->traits.values[i];
        if (value != before.values[i] || value == p->recorded.values[i])
            continue;
        p->recorded.values[i] = value;
        put(tree, HIST_WATCH_TRAIT, now_ns, p->pid, i, value, 0);
    }
}

static void sample(struct watch_tree *tree, struct watch_process *p, const struct proc_stat *stat,
                   uint64_t now_ns)
{
    uint64_t cpu_ns = proc_cpu_ns(p->pid);
    uint32_t fds = proc_count_fds(&p->handle);
    if (cpu_ns == 0)
        return; /* it is going away just now */
    count_mappings(p, stat->size_bytes, now_ns);
    tree->changes += fds != p->fds;
    p->fds = fds;
    put(tree, HIST_WATCH_PROC, now_ns, p->pid, (uint64_t)p->fds << 32 | p->mappings, cpu_ns,
        stat->resident_bytes);
}

/* A fork leaves where the stack starts as it was; executing a program moves it. A process that is
 * ending has let go of its stack, and shows 0. */
static void note_exec(struct watch_tree *tree, struct watch_process *p, uint64_t stack_start,
                      uint64_t now_ns)
{
    if (stack_start == p->stack_start || stack_start == 0)
        return;
    p->stack_start = stack_start;
    p->executed = true;
    tree->changes++;
    if (!tree->exact)
        put(tree, HIST_WATCH_EXEC, now_ns, p->pid, 0, 0, 0);
}

/* Looks at one process; true: it was reaped. */
static bool look_at(struct watch_tree *tree, struct watch_process *p)
{
    struct proc_stat stat;
    uint64_t before_ns = hist_now_ns();
    int error = proc_read_stat(&p->handle, &stat);
    uint64_t after_ns = hist_now_ns();
    if (error) {
        seen_ended(tree, p, after_ns);
        return p->exited;
    }
    p->start_ticks = stat.start_ticks;
    note_state(tree, p, &stat, before_ns, after_ns);
    if (has_ended(&stat)) {
        seen_ended(tree, p, after_ns);
    } else if (!p->exited) {
        note_exec(tree, p, stat.stack_start, after_ns);
        sample(tree, p, &stat, before_ns);
        note_traits(tree, p, before_ns);
    }
    return false;
}

/* Zombies are somebody's fault only if the parent is one of the tree. All have been seen after
 * `began_ns`: until then at least they were zombies, whatever has become of them since. */
static void count_tree(struct watch_tree *tree, uint64_t began_ns)
{
    uint64_t zombies = 0;
    tree->workers = 0;
    tree->oldest_zombie_ns = 0;
    for (const struct watch_process *p = tree->first; p; p = p->next) {
        const struct watch_process *parent = watch_tree_find(tree, p->parent);
        tree->workers +=
            !p->exited && !p->gone_ns && p->parent == tree->root && p->pid != tree->root;
        if (!p->exited || p->state != 'Z' || !parent || parent->exited)
            continue;
        zombies++;
        uint64_t age = began_ns > p->exit_ns ? began_ns - p->exit_ns : 0;
        if (age > tree->oldest_zombie_ns)
            tree->oldest_zombie_ns = age;
    }
    tree->changes += zombies != tree->zombies;
    tree->zombies = zombies;
}

void watch_tree_look(struct watch_tree *tree)
{
    uint64_t began_ns = hist_now_ns();
    if (!tree->first)
        return; /* all are gone */
    for (struct watch_process *p = tree->first, *next; p; p = next) {
        bool reaped = look_at(tree, p);
        if (!tree->exact && !p->exited)
            find_children(tree, p);
        next = p->next;
        if (reaped)
            reap(tree, p, hist_now_ns());
    }
    count_tree(tree, began_ns);
    tree->samples++;
    /* Who is missing in it has ended before this time, and who is new was there. */
    put(tree, HIST_WATCH_TREE, hist_now_ns(), tree->root, tree->workers, tree->zombies,
        tree->oldest_zombie_ns);
}

/* ---- taking in --------------------------------------------------------------------------------
 */

static struct watch_process *add(struct watch_tree *tree, pid_t pid, pid_t parent, uint64_t t_ns)
{
    struct watch_process *p = calloc(1, sizeof *p), *father = watch_tree_find(tree, parent);
    if (!p)
        return NULL;
    p->pid = pid;
    p->parent = parent;
    p->state = 'R';
    proc_open(&p->handle, pid);
    p->next_in_bucket = tree->buckets[(size_t)pid % WATCH_BUCKETS];
    tree->buckets[(size_t)pid % WATCH_BUCKETS] = p;
    *tree->last = p;
    tree->last = &p->next;
    tree->changes++;
    if (father) {
        father->fathered = true;
        p->stack_start = father->stack_start;
    }
    struct epoll_event ended = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = p};
    if (!tree->exact && p->handle.pidfd >= 0)
        epoll_ctl(tree->ended_fd, EPOLL_CTL_ADD, p->handle.pidfd, &ended);
    if (pid != tree->root)
        put(tree, HIST_WATCH_FORK, t_ns, pid, (uint64_t)parent, 0, 0);
    return p;
}

/* When was a child forked that is found by looking? Events tell ends with their exact times, and
 * perhaps later than they were: no birth may lie behind them, so it has the time before the look.
 * By looking alone ends are told late as well: those before the birth are taken in first, as it may
 * be the answer to them. */
static void find_children(struct watch_tree *tree, struct watch_process *parent)
{
    static pid_t children[WATCH_CHILDREN_MAX];
    uint64_t born_ns = hist_now_ns();
    size_t count = proc_children(parent->pid, children, WATCH_CHILDREN_MAX);
    if (!tree->exact) {
        watch_tree_take_ends(tree);
        born_ns = hist_now_ns();
    }
    for (size_t i = 0; i < count; i++) {
        struct watch_process *known = watch_tree_find(tree, children[i]);
        if (!known)
            add(tree, children[i], parent->pid, born_ns);
    }
}

int watch_tree_open(struct watch_tree *tree, pid_t root, bool exact, struct hist_writer *history)
{
    struct proc_stat stat;
    *tree = (struct watch_tree){.root = root, .exact = exact, .history = history};
    tree->last = &tree->first;
    tree->ended_fd = epoll_create1(EPOLL_CLOEXEC);
    struct watch_process *p = tree->ended_fd >= 0 ? add(tree, root, 0, hist_now_ns()) : NULL;
    if (!p || proc_read_stat(&p->handle, &stat) != 0) {
        watch_tree_close(tree);
        return p ? -ESRCH : -ENOMEM;
    }
    p->parent = stat.parent;
    p->stack_start = stat.stack_start;
    for (; p; p = p->next) {
        if (proc_read_stat(&p->handle, &stat) == 0 && stat.stack_start != p->stack_start) {
            p->executed = true;
            p->stack_start = stat.stack_start;
        }
        find_children(tree, p); /* they stand behind, and are looked at too */
    }
    return 0;
}

void watch_tree_close(struct watch_tree *tree)
{
    while (tree->first)
        drop(tree, tree->first);
    if (tree->ended_fd >= 0)
        close(tree->ended_fd);
    tree->ended_fd = -1;
}

struct watch_process *watch_tree_find(const struct watch_tree *tree, pid_t pid)
{
    struct watch_process *p = tree->buckets[(size_t)pid % WATCH_BUCKETS];
    while (p && p->pid != pid)
        p = p->next_in_bucket;
    return p;
}

bool watch_tree_is_master(const struct watch_tree *tree, pid_t pid)
{
    const struct watch_process *p = watch_tree_find(tree, pid);
    return p && !p->exited && (p->pid == tree->root || p->executed || p->fathered);
}

static void put(struct watch_tree *tree, enum hist_kind kind, uint64_t t_ns, pid_t pid, uint64_t a,
                uint64_t b, uint64_t c)
{
    struct hist_record record = {.t_ns = t_ns,
                                 .kind = (uint16_t)kind,
                                 .slot = -1,
                                 .pid = (uint32_t)pid,
                                 .a = a,
                                 .b = b,
                                 .c = c};
    hist_put(tree->history, &record);
}
