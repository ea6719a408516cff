/* Time, processes and signals of the simulated kernel. Descriptors: sim_files.c, connections:
 * sim_net.c. */
#include "engine/sim/sim_kernel_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void turn(struct kernel *k, unsigned process);
static void reap(struct kernel *k, unsigned process);
static void stop(struct kernel *k, unsigned process);

#define STOPS                                                                                      \
    (KERNEL_BIT(SIGSTOP) | KERNEL_BIT(SIGTSTP) | KERNEL_BIT(SIGTTIN) | KERNEL_BIT(SIGTTOU))
/* What the default action of a signal throws away. */
#define HARMLESS                                                                                   \
    (KERNEL_BIT(SIGCHLD) | KERNEL_BIT(SIGWINCH) | KERNEL_BIT(SIGCONT) | KERNEL_BIT(SIGURG))

/* ---- time -------------------------------------------------------------------------------------
 */

void kernel_init(struct kernel *k, const struct kernel_hooks *hooks, void *owner, uint64_t seed)
{
    for (uint32_t i = 0; i < k->files_used; i++)
        k->files[i].kind = FILE_FREE;
    for (uint32_t i = 0; i < k->processes_used; i++)
        memset(&k->processes[i], 0, sizeof(k->processes[i]));
    for (uint32_t i = 0; i < k->listeners_used; i++)
        k->listeners[i].file = 0;
    sim_heap_init(&k->heap);
    k->now_ns = k->events = 0;
    k->latency_ns = 50000;
    k->pid_last = 99;
    k->pid_max = 32768;
    k->process_limit = 0;
    k->migrate_req = false;
    k->syn_linear_timeouts = 4;
    k->processes_used = 1;
    k->files_used = k->listeners_used = k->file_free = 0;
    k->turn_of = KERNEL_INIT;
    k->owner = owner;
    k->hooks = *hooks;
    k->processes[KERNEL_INIT].pid = 1;
    k->processes[KERNEL_INIT].state = KERNEL_RUNS;
    k->processes[KERNEL_INIT].fd_limit = KERNEL_FDS_MAX;
    k->processes[KERNEL_INIT].random = sim_random_stream(seed, 1);
    k->processes[KERNEL_INIT].jitter_ns = 20000;
    k->processes[KERNEL_INIT].delay_ns = 10000;
}

void kernel_event(struct kernel *k, uint64_t at_ns, enum kernel_event_kind kind, uint32_t a,
                  uint16_t b, uint32_t epoch)
{
    sim_heap_push(&k->heap, (struct sim_event){.t_ns = at_ns > k->now_ns ? at_ns : k->now_ns,
                                               .kind = (uint16_t)kind,
                                               .a = a,
                                               .b = b,
                                               .epoch = epoch});
}

void kernel_outside(struct kernel *k, uint64_t at_ns, uint16_t what, uint32_t a)
{
    kernel_event(k, at_ns, EVENT_OUTSIDE, a, what, 0);
}

static void happen(struct kernel *k, const struct sim_event *event)
{
    switch ((enum kernel_event_kind)event->kind) {
    case EVENT_TURN:
        if (k->processes[event->a].epoch == event->epoch)
            turn(k, event->a);
        break;
    case EVENT_TIMER:
        if (k->processes[event->a].epoch == event->epoch)
            kernel_note(k, event->a, KERNEL_TIMER, event->b);
        break;
    case EVENT_OUTSIDE:
        k->hooks.outside(k, event->b, event->a);
        break;
    default:
        kernel_net_event(k, event);
    }
}

bool kernel_next(struct kernel *k, uint64_t until_ns)
{
    const struct sim_event *first = sim_heap_first(&k->heap);
    if (first == NULL || first->t_ns > until_ns)
        return false;
    struct sim_event event = *first;
    sim_heap_pop(&k->heap);
    k->now_ns = event.t_ns;
    k->events++;
    happen(k, &event);
    return true;
}

/* ---- turns ------------------------------------------------------------------------------------
 */

void kernel_wake(struct kernel *k, unsigned process)
{
    struct kernel_process *p = &k->processes[process];
    p->restless = p->restless || k->turn_of == process;
    if (p->turn_due || p->state != KERNEL_RUNS || p->stalled || process == KERNEL_INIT)
        return;
    uint64_t from_ns = p->busy_until_ns > k->now_ns ? p->busy_until_ns : k->now_ns;
    uint64_t delay_ns = p->delay_ns;
    if (p->jitter_ns > 0)
        delay_ns += sim_random_below(&p->random, p->jitter_ns);
    p->turn_due = true;
    kernel_event(k, from_ns + delay_ns, EVENT_TURN, process, 0, p->epoch);
}

/* Signals first, in the order of their numbers, then what is in the inbox. A process that is doing
 * something else meanwhile comes back later. */
static void turn(struct kernel *k, unsigned process)
{
    struct kernel_process *p = &k->processes[process];
    uint32_t epoch = p->epoch, deliverable;

    p->turn_due = false;
    if (p->state != KERNEL_RUNS || p->stalled)
        return;
    if (p->busy_until_ns > k->now_ns) {
        kernel_wake(k, process);
        return;
    }
    p->cpu_ns += p->restless ? k->now_ns - p->turn_ns : 5000;
    p->turn_ns = k->now_ns;
    p->restless = false;
    k->turn_of = process;
    while ((deliverable = p->pending & ~p->blocked) != 0) {
        int number = __builtin_ctz(deliverable);
        p->pending &= ~KERNEL_BIT(number);
        if (p->handled & KERNEL_BIT(number))
            k->hooks.signalled(k, process, number);
        else if (STOPS & KERNEL_BIT(number) & ~p->ignored)
            stop(k, process);
        else if (!((HARMLESS | p->ignored) & KERNEL_BIT(number)))
            kernel_exit(k, process, number);
        if (p->epoch != epoch || p->state != KERNEL_RUNS || p->stalled)
            break;
    }
    if (p->epoch == epoch && p->state == KERNEL_RUNS && !p->stalled)
        k->hooks.run(k, process);
    if (p->epoch == epoch && p->inbox_count > 0)
        kernel_wake(k, process);
    k->turn_of = KERNEL_INIT;
}

void kernel_note(struct kernel *k, unsigned process, enum kernel_item item, uint16_t tag)
{
    struct kernel_process *p = &k->processes[process];
    if (!kernel_alive(k, process))
        return;
    if (p->inbox_count == KERNEL_INBOX_MAX)
        abort();
    p->inbox[(p->inbox_first + p->inbox_count++) % KERNEL_INBOX_MAX] =
        (struct kernel_note){.item = (uint16_t)item, .tag = tag};
    kernel_wake(k, process);
}

bool kernel_inbox(struct kernel *k, unsigned process, struct kernel_note *out)
{
    struct kernel_process *p = &k->processes[process];
    if (p->inbox_count == 0 || p->state != KERNEL_RUNS || p->stalled)
        return false;
    if (p->busy_until_ns > k->now_ns) { /* what is left waits until it is free again */
        kernel_wake(k, process);
        return false;
    }
    *out = p->inbox[p->inbox_first];
    p->inbox_first = (p->inbox_first + 1) % KERNEL_INBOX_MAX;
    p->inbox_count--;
    return true;
}

void kernel_timer(struct kernel *k, unsigned process, uint64_t at_ns, uint16_t tag)
{
    kernel_event(k, at_ns, EVENT_TIMER, process, tag, k->processes[process].epoch);
}

void kernel_busy(struct kernel *k, unsigned process, uint64_t ns)
{
    struct kernel_process *p = &k->processes[process];
    p->busy_until_ns = (p->busy_until_ns > k->now_ns ? p->busy_until_ns : k->now_ns) + ns;
}

static void set_stuck(struct kernel *k, struct kernel_process *p)
{
    bool stuck = p->stalled || p->state == KERNEL_STOPPED;
    if (stuck && p->stuck_ns == 0)
        p->stuck_ns = k->now_ns;
    else if (!stuck)
        p->stuck_ns = 0;
}

static void set_spinning(struct kernel *k, struct kernel_process *p, bool spinning)
{
    if (p->spinning && !spinning)
        p->cpu_ns += k->now_ns - p->spin_since_ns;
    if (!p->spinning && spinning)
        p->spin_since_ns = k->now_ns;
    p->spinning = spinning;
}

void kernel_stall(struct kernel *k, unsigned process, bool spin)
{
    struct kernel_process *p = &k->processes[process];
    p->stalled = true;
    set_stuck(k, p);
    if (spin)
        set_spinning(k, p, true);
}

void kernel_unstall(struct kernel *k, unsigned process)
{
    struct kernel_process *p = &k->processes[process];
    p->stalled = false;
    set_spinning(k, p, false);
    set_stuck(k, p);
    kernel_wake(k, process);
}

uint64_t kernel_cpu_ns(const struct kernel *k, unsigned process)
{
    const struct kernel_process *p = &k->processes[process];
    return p->cpu_ns + (p->spinning ? k->now_ns - p->spin_since_ns : 0);
}

/* ---- being born -------------------------------------------------------------------------------
 */

int kernel_find(const struct kernel *k, uint32_t pid)
{
    for (uint32_t i = 0; i < k->processes_used; i++)
        if (k->processes[i].state != KERNEL_FREE && k->processes[i].pid == pid)
            return (int)i;
    return -1;
}

/* Numbers go round; one that is still somebody's, alive or not yet reaped, is passed over. */
static uint32_t new_pid(struct kernel *k)
{
    do {
        k->pid_last = k->pid_last >= k->pid_max ? 100 : k->pid_last + 1;
    } while (kernel_find(k, k->pid_last) >= 0);
    return k->pid_last;
}

static int new_process(struct kernel *k)
{
    for (uint32_t i = 1; i < k->processes_used; i++)
        if (k->processes[i].state == KERNEL_FREE)
            return (int)i;
    if (k->processes_used == KERNEL_PROCS_MAX)
        return -EAGAIN;
    return (int)k->processes_used++;
}

/* Those that are dead count until they are reaped. */
static uint32_t count_processes(const struct kernel *k)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < k->processes_used; i++)
        count += k->processes[i].state != KERNEL_FREE;
    return count;
}

int kernel_map(struct kernel *k, unsigned process, int64_t bytes)
{
    struct kernel_process *p = &k->processes[process];
    uint64_t sum = p->memory_bytes + (uint64_t)bytes;
    if (bytes > 0 && p->memory_limit != 0 && sum > p->memory_limit)
        return -ENOMEM;
    p->memory_bytes = sum;
    return 0;
}

/* The child has its parent's descriptors, handlers and mask; what is pending is the parent's. */
int kernel_fork(struct kernel *k, unsigned parent)
{
    bool allowed = k->process_limit == 0 || count_processes(k) < k->process_limit;
    int child = allowed ? new_process(k) : -EAGAIN;
    if (child < 0)
        return child;
    struct kernel_process *from = &k->processes[parent], *p = &k->processes[child];
    uint32_t epoch = p->epoch + 1;
    *p = (struct kernel_process){
        .pid = new_pid(k),
        .epoch = epoch,
        .group = from->group,
        .parent = (uint16_t)parent,
        .state = KERNEL_RUNS,
        .blocked = from->blocked,
        .ignored = from->ignored,
        .handled = from->handled,
        .born_ns = k->now_ns,
        .delay_ns = from->delay_ns,
        .jitter_ns = from->jitter_ns,
        .random = sim_random_stream(from->random.state, k->pid_last),
        .memory_bytes = from->memory_bytes,
        .memory_limit = from->memory_limit,
        .fd_limit = from->fd_limit,
        .fd_count = from->fd_count,
        .fd_lowest = from->fd_lowest,
    };
    memcpy(p->fds, from->fds, sizeof(p->fds));
    memcpy(p->close_on_exec, from->close_on_exec, sizeof(p->close_on_exec));
    for (uint32_t fd = 0, left = p->fd_count; left > 0; fd++)
        if (p->fds[fd] != 0) {
            kernel_file_ref(k, p->fds[fd] - 1u);
            left--;
        }
    kernel_wake(k, (unsigned)child);
    return child;
}

/* Handlers are gone with the program that had them; what was ignored stays ignored. */
void kernel_exec(struct kernel *k, unsigned process)
{
    struct kernel_process *p = &k->processes[process];
    p->handled = 0;
    p->memory_bytes = 0;
    for (int fd = 0; fd < KERNEL_FDS_MAX; fd++)
        if (p->fds[fd] != 0 && p->close_on_exec[fd / 32] & KERNEL_BIT(fd % 32))
            kernel_close(k, process, fd);
}

/* ---- dying ------------------------------------------------------------------------------------
 */

static unsigned new_parent(const struct kernel *k, unsigned of)
{
    for (unsigned up = k->processes[of].parent; up != KERNEL_INIT; up = k->processes[up].parent)
        if (k->processes[up].subreaper && kernel_alive(k, up))
            return up;
    return KERNEL_INIT;
}

/* A parent that ignores SIGCHLD never waits: its children leave no zombie. */
static void tell_parent(struct kernel *k, unsigned process)
{
    unsigned parent = k->processes[process].parent;
    bool ignored = k->processes[parent].ignored & KERNEL_BIT(SIGCHLD);
    if (parent == KERNEL_INIT || ignored)
        reap(k, process);
    else
        kernel_kill(k, k->processes[parent].pid, SIGCHLD);
}

static void leave_children(struct kernel *k, unsigned process)
{
    unsigned heir = new_parent(k, process);
    for (uint32_t i = 1; i < k->processes_used; i++) {
        struct kernel_process *child = &k->processes[i];
        if (child->state == KERNEL_FREE || child->parent != process || i == process)
            continue;
        child->parent = (uint16_t)heir;
        if (child->state == KERNEL_ZOMBIE)
            tell_parent(k, i);
    }
}

void kernel_exit(struct kernel *k, unsigned process, int status)
{
    struct kernel_process *p = &k->processes[process];
    if (!kernel_alive(k, process))
        return;
    set_spinning(k, p, false);
    p->state = KERNEL_ZOMBIE;
    p->status = status;
    p->ended_ns = k->now_ns;
    p->inbox_count = 0;
    p->pending = 0;
    for (int fd = 0; p->fd_count > 0 && fd < KERNEL_FDS_MAX; fd++)
        if (p->fds[fd] != 0)
            kernel_close(k, process, fd);
    kernel_forget_watcher(k, process);
    leave_children(k, process);
    k->hooks.ended(k, process);
    tell_parent(k, process);
}

static void reap(struct kernel *k, unsigned process)
{
    k->hooks.reaped(k, process);
    k->processes[process].state = KERNEL_FREE;
    k->processes[process].epoch++;
}

int kernel_waitpid(struct kernel *k, unsigned parent, uint32_t pid, int *status)
{
    int process = kernel_find(k, pid);
    if (process <= 0 || k->processes[process].parent != parent)
        return -ECHILD;
    if (k->processes[process].state != KERNEL_ZOMBIE)
        return 0;
    *status = k->processes[process].status;
    reap(k, (unsigned)process);
    return (int)pid;
}

/* ---- signals ----------------------------------------------------------------------------------
 */

/* A parent hears of stops as it does of ends. */
static void tell_parent_of_stop(struct kernel *k, const struct kernel_process *p)
{
    if (p->parent != KERNEL_INIT)
        kernel_kill(k, k->processes[p->parent].pid, SIGCHLD);
}

static void stop(struct kernel *k, unsigned process)
{
    struct kernel_process *p = &k->processes[process];
    if (p->state != KERNEL_RUNS)
        return;
    p->state = KERNEL_STOPPED;
    p->pending &= ~KERNEL_BIT(SIGCONT);
    set_stuck(k, p);
    tell_parent_of_stop(k, p);
}

static void go_on(struct kernel *k, unsigned process)
{
    struct kernel_process *p = &k->processes[process];
    p->pending &= ~STOPS;
    bool stopped = p->state == KERNEL_STOPPED;
    if (stopped)
        p->state = KERNEL_RUNS;
    set_stuck(k, p);
    if (stopped)
        tell_parent_of_stop(k, p);
    kernel_wake(k, process);
}

/* Is thrown away at once: ignored, or by default of no effect, and not blocked. */
static bool is_discarded(const struct kernel_process *p, uint32_t bit)
{
    if (p->blocked & bit || p->handled & bit)
        return false;
    return (p->ignored & bit) != 0 || (HARMLESS & bit) != 0;
}

int kernel_kill(struct kernel *k, uint32_t pid, int number)
{
    int found = kernel_find(k, pid);
    if (found < 0)
        return -ESRCH;
    unsigned process = (unsigned)found;
    struct kernel_process *p = &k->processes[process];
    uint32_t bit = KERNEL_BIT(number);
    if (number == 0 || p->state == KERNEL_ZOMBIE || process == KERNEL_INIT)
        return 0;
    if (number == SIGKILL) {
        kernel_exit(k, process, SIGKILL);
        return 0;
    }
    if (number == SIGSTOP) {
        stop(k, process);
        return 0;
    }
    if (number == SIGCONT)
        go_on(k, process);
    if (is_discarded(p, bit))
        return 0;
    p->pending |= bit;
    bool kills = !((p->handled | p->ignored | p->blocked | STOPS | HARMLESS) & bit);
    if (p->stalled && kills && p->state == KERNEL_RUNS)
        kernel_exit(k, process, number);
    else
        kernel_wake(k, process);
    return 0;
}

int kernel_kill_group(struct kernel *k, uint32_t group, int number)
{
    int result = -ESRCH;
    for (uint32_t i = 1; i < k->processes_used; i++) {
        if (k->processes[i].state == KERNEL_FREE || k->processes[i].group != group)
            continue;
        kernel_kill(k, k->processes[i].pid, number);
        result = 0;
    }
    return result;
}

void kernel_lead_group(struct kernel *k, unsigned process)
{
    k->processes[process].group = k->processes[process].pid;
}

void kernel_handle(struct kernel *k, unsigned process, uint32_t handled, uint32_t ignored)
{
    struct kernel_process *p = &k->processes[process];
    p->handled = handled;
    p->ignored = ignored;
    p->pending &=
        ~ignored; /* what is pending is discarded when it becomes ignored, also if blocked */
}

void kernel_mask(struct kernel *k, unsigned process, uint32_t blocked)
{
    struct kernel_process *p = &k->processes[process];
    p->blocked = blocked;
    if (p->pending & ~blocked)
        kernel_wake(k, process);
}

/* ---- looking things up ------------------------------------------------------------------------
 */

struct kernel_file *kernel_file(struct kernel *k, unsigned process, int fd)
{
    const struct kernel_process *p = &k->processes[process];
    if (fd < 0 || fd >= KERNEL_FDS_MAX || p->fds[fd] == 0)
        return NULL;
    return &k->files[p->fds[fd] - 1];
}

const struct kernel_listener *kernel_listener(const struct kernel *k, uint16_t port)
{
    for (unsigned i = 0; i < k->listeners_used; i++)
        if (k->listeners[i].file != 0 && k->listeners[i].port == port)
            return &k->listeners[i];
    return NULL;
}

void kernel_close_on_exec(struct kernel *k, unsigned process, int fd)
{
    k->processes[process].close_on_exec[fd / 32] |= KERNEL_BIT(fd % 32);
}
