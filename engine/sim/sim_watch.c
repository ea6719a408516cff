/* What a watcher of the process tree would see: births, ends, states and samples. */
#include "engine/sim/sim.h"

static void put(struct sim *s, enum hist_kind kind, uint32_t pid, uint64_t a, uint64_t b,
                uint64_t c)
{
    sim_record(s, &(struct hist_record){.kind = (uint16_t)kind,
                                        .role = HIST_WATCH,
                                        .slot = -1,
                                        .pid = pid,
                                        .a = a,
                                        .b = b,
                                        .c = c});
}

void sim_watch_state(struct sim *s, unsigned process, char state)
{
    const struct kernel_process *p = &s->kernel.processes[process];
    put(s, HIST_WATCH_STATE, p->pid, (uint64_t)state, s->kernel.processes[p->parent].pid, 0);
}

static void sample_process(struct sim *s, unsigned process)
{
    const struct kernel_process *p = &s->kernel.processes[process];
    put(s, HIST_WATCH_PROC, p->pid, (uint64_t)p->fd_count << 32 | 100,
        kernel_cpu_ns(&s->kernel, process), 1 << 22);
}

static void put_trait(struct sim *s, uint32_t pid, enum hist_trait trait, uint64_t number)
{
    put(s, HIST_WATCH_TRAIT, pid, trait, number, 0);
}

/* Once for each worker, when it has become what it is to be: later its descriptors are those of its
 * connections, and limits may have been changed from outside. */
static void look_at(struct sim *s, unsigned process)
{
    const struct kernel_process *p = &s->kernel.processes[process];
    struct sim_worker *w = &s->workers[process];
    uint64_t others = 0;
    if (!w->started || w->looked_at)
        return;
    w->looked_at = true;
    for (int fd = 0; fd < KERNEL_FDS_MAX; fd++) {
        const struct kernel_file *f = kernel_file(&s->kernel, process, fd);
        others += f != NULL && (f->kind == FILE_PLAIN || f->kind == FILE_CHANNEL);
    }
    put_trait(s, p->pid, HIST_TRAIT_FDS, others);
    put_trait(s, p->pid, HIST_TRAIT_LIMITS, p->memory_limit);
    put_trait(s, p->pid, HIST_TRAIT_SIGNALS,
              (uint64_t)p->blocked << 32 ^ (uint64_t)p->ignored << 16 ^ p->handled);
    if (s->plan.theme != SIM_THEME_FD_LIMIT)
        put_trait(s, p->pid, HIST_TRAIT_OPEN_FILES, p->fd_limit);
}

void sim_watch_sample(struct sim *s)
{
    const struct kernel *k = &s->kernel;
    uint64_t live = 0, zombies = 0, oldest_ns = 0;
    for (unsigned i = 1; i < k->processes_used; i++) {
        const struct kernel_process *p = &k->processes[i];
        bool child = p->state != KERNEL_FREE && i != s->master->process &&
                     p->parent == s->master->process && sim_master_of(s, i) == NULL;
        if (child && p->state == KERNEL_ZOMBIE) {
            zombies++;
            if (k->now_ns - p->ended_ns > oldest_ns)
                oldest_ns = k->now_ns - p->ended_ns;
        }
        live += child && p->state != KERNEL_ZOMBIE;
        if (child && kernel_alive(k, i))
            look_at(s, i);
        if (kernel_alive(k, i) && !sim_is_backend(s, i))
            sample_process(s, i);
    }
    if (!s->director.master_gone)
        put(s, HIST_WATCH_TREE, s->master->pid, live, zombies, oldest_ns);
}
