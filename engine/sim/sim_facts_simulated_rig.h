/* The kernel facts as the simulation has them, simulated_SYMBOL() for each line of facts.def:
 * signals and processes. */
#ifndef ENGINE_SIM_SIM_FACTS_SIMULATED_RIG_H
#define ENGINE_SIM_SIM_FACTS_SIMULATED_RIG_H

#include "engine/sim/sim_facts_rig.h"

#define K rig_kernel

/* ---- signals */

static long simulated_signals_coalesce(void)
{
    unsigned p = rig_start();
    kernel_handle(K, p, KERNEL_BIT(SIGUSR1), 0);
    kernel_mask(K, p, KERNEL_BIT(SIGUSR1));
    for (int i = 0; i < 3; i++)
        rig_kill(p, SIGUSR1);
    kernel_mask(K, p, 0);
    rig_pass(RIG_SECOND);
    return rig.signals[p];
}

static long simulated_sigchld_coalesces(void)
{
    unsigned p = rig_start(), children[3];
    long reaped = 0;
    int status;
    kernel_handle(K, p, KERNEL_BIT(SIGCHLD), 0);
    kernel_mask(K, p, KERNEL_BIT(SIGCHLD));
    for (int i = 0; i < 3; i++)
        children[i] = (unsigned)kernel_fork(K, p);
    for (int i = 0; i < 3; i++)
        kernel_exit(K, children[i], 0);
    kernel_mask(K, p, 0);
    rig_pass(RIG_SECOND);
    for (int i = 0; i < 3; i++)
        reaped += kernel_waitpid(K, p, rig_pid(children[i]), &status) > 0;
    return rig.signals[p] * 10 + reaped;
}

static long simulated_fork_keeps_handlers(void)
{
    unsigned p = rig_start();
    kernel_handle(K, p, KERNEL_BIT(SIGUSR1), 0);
    unsigned child = (unsigned)kernel_fork(K, p);
    rig_kill(child, SIGUSR1);
    rig_pass(RIG_SECOND);
    return rig.signals[child];
}

static long simulated_fork_keeps_mask(void)
{
    unsigned p = rig_start();
    kernel_mask(K, p, KERNEL_BIT(SIGTERM));
    unsigned child = (unsigned)kernel_fork(K, p);
    rig_kill(child, SIGTERM);
    rig_pass(RIG_SECOND);
    rig_kill(child, SIGKILL);
    return rig_killer(p, child);
}

static long simulated_fork_drops_pending(void)
{
    unsigned p = rig_start();
    kernel_mask(K, p, KERNEL_BIT(SIGTERM));
    rig_kill(p, SIGTERM);
    unsigned child = (unsigned)kernel_fork(K, p);
    return (K->processes[child].pending & KERNEL_BIT(SIGTERM)) != 0;
}

static long simulated_exec_resets_handlers(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    kernel_handle(K, child, KERNEL_BIT(SIGUSR1), 0);
    kernel_exec(K, child);
    rig_kill(child, SIGUSR1);
    return rig_killer(p, child);
}

static long simulated_exec_keeps_ignored(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    kernel_handle(K, child, 0, KERNEL_BIT(SIGUSR1));
    kernel_exec(K, child);
    rig_kill(child, SIGUSR1);
    rig_pass(RIG_SECOND);
    rig_kill(child, SIGKILL);
    return rig_killer(p, child);
}

static long simulated_early_signal_kills(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    rig_kill(child, SIGTERM);
    rig_pass(RIG_SECOND);
    kernel_handle(K, child, KERNEL_BIT(SIGTERM), 0);
    return rig_killer(p, child);
}

static long simulated_blocked_waits_for_handler(void)
{
    unsigned p = rig_start();
    kernel_mask(K, p, KERNEL_BIT(SIGTERM));
    rig_kill(p, SIGTERM);
    rig_pass(RIG_SECOND);
    kernel_handle(K, p, KERNEL_BIT(SIGTERM), 0);
    kernel_mask(K, p, 0);
    rig_pass(RIG_SECOND);
    return rig.signals[p];
}

static long simulated_stopped_keeps_pending(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    rig_kill(child, SIGSTOP);
    rig_kill(child, SIGTERM);
    if (rig_killer(p, child) != 0)
        return 0;
    rig_kill(child, SIGCONT);
    return rig_killer(p, child);
}

static long simulated_kill_ends_stopped(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    rig_kill(child, SIGSTOP);
    rig_kill(child, SIGKILL);
    return rig_killer(p, child);
}

static long simulated_ignoring_discards_pending(void)
{
    unsigned p = rig_start();
    kernel_handle(K, p, KERNEL_BIT(SIGUSR1), 0);
    kernel_mask(K, p, KERNEL_BIT(SIGUSR1));
    rig_kill(p, SIGUSR1);
    kernel_handle(K, p, 0, KERNEL_BIT(SIGUSR1));
    kernel_handle(K, p, KERNEL_BIT(SIGUSR1), 0);
    kernel_mask(K, p, 0);
    rig_pass(RIG_SECOND);
    return rig.signals[p];
}

static long simulated_exec_keeps_mask(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    kernel_mask(K, child, KERNEL_BIT(SIGTERM));
    kernel_exec(K, child);
    rig_kill(child, SIGTERM);
    rig_pass(RIG_SECOND);
    rig_kill(child, SIGKILL);
    return rig_killer(p, child);
}

static long simulated_exec_keeps_pending(void)
{
    unsigned p = rig_start();
    kernel_mask(K, p, KERNEL_BIT(SIGTERM));
    rig_kill(p, SIGTERM);
    kernel_exec(K, p);
    return (K->processes[p].pending & KERNEL_BIT(SIGTERM)) != 0;
}

static long simulated_stop_tells_parent(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    kernel_handle(K, p, KERNEL_BIT(SIGCHLD), 0);
    rig_kill(child, SIGSTOP);
    rig_pass(RIG_SECOND);
    rig_kill(child, SIGCONT);
    rig_pass(RIG_SECOND);
    return rig.signals[p];
}

static long simulated_group_is_signalled(void)
{
    unsigned p = rig_start();
    kernel_lead_group(K, p);
    kernel_handle(K, p, KERNEL_BIT(SIGUSR1), 0);
    unsigned child = (unsigned)kernel_fork(K, p), other = (unsigned)kernel_fork(K, p);
    kernel_lead_group(K, other);
    kernel_kill_group(K, rig_pid(p), SIGUSR1);
    rig_pass(RIG_SECOND);
    return rig.signals[other] == 0 ? rig.signals[p] * 10 + rig.signals[child] : -1;
}

/* ---- processes */

static long simulated_zombie_is_signalled(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    kernel_exit(K, child, 0);
    return kernel_kill(K, rig_pid(child), SIGTERM);
}

static long simulated_reaped_is_gone(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    uint32_t pid = rig_pid(child);
    int status;
    kernel_exit(K, child, 0);
    kernel_waitpid(K, p, pid, &status);
    return -kernel_kill(K, pid, 0);
}

static long simulated_wait_for_strangers(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    unsigned grandchild = (unsigned)kernel_fork(K, child);
    int status;
    return -kernel_waitpid(K, p, rig_pid(grandchild), &status);
}

static long simulated_wait_for_the_living(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    int status;
    return kernel_waitpid(K, p, rig_pid(child), &status);
}

static long simulated_ignored_sigchld_reaps(void)
{
    unsigned p = rig_start(), child = (unsigned)kernel_fork(K, p);
    uint32_t pid = rig_pid(child);
    int status;
    kernel_handle(K, p, 0, KERNEL_BIT(SIGCHLD));
    kernel_exit(K, child, 0);
    return -kernel_waitpid(K, p, pid, &status);
}

static long simulated_subreaper_adopts(void)
{
    unsigned p = rig_start();
    K->processes[p].subreaper = true;
    unsigned child = (unsigned)kernel_fork(K, p), grandchild = (unsigned)kernel_fork(K, child);
    kernel_exit(K, child, 0);
    return K->processes[grandchild].parent == p;
}

static long simulated_adopted_is_waited_for(void)
{
    unsigned p = rig_start();
    int status;
    K->processes[p].subreaper = true;
    kernel_handle(K, p, KERNEL_BIT(SIGCHLD), 0);
    unsigned child = (unsigned)kernel_fork(K, p), grandchild = (unsigned)kernel_fork(K, child);
    kernel_exit(K, child, 0);
    rig_pass(RIG_SECOND);
    kernel_waitpid(K, p, rig_pid(child), &status);
    rig.signals[p] = 0;
    rig_kill(grandchild, SIGKILL);
    rig_pass(RIG_SECOND);
    uint32_t pid = rig_pid(grandchild);
    return rig.signals[p] == 1 && kernel_waitpid(K, p, pid, &status) == (int)pid;
}

static long simulated_wait_status_tells(void)
{
    unsigned p = rig_start(), exits = (unsigned)kernel_fork(K, p);
    unsigned dies = (unsigned)kernel_fork(K, p);
    int exited = 0, killed = 0;
    kernel_exit(K, exits, 3 << 8);
    rig_kill(dies, SIGKILL);
    kernel_waitpid(K, p, rig_pid(exits), &exited);
    kernel_waitpid(K, p, rig_pid(dies), &killed);
    return (exited >> 8) * 100 + (exited & 127) + (killed & 127) + 2;
}

static long simulated_zombie_keeps_its_number(void)
{
    unsigned p = rig_start(), dead = (unsigned)kernel_fork(K, p);
    uint32_t pid = rig_pid(dead);
    int status;
    kernel_exit(K, dead, 0);
    K->pid_last = pid - 1;
    bool passed_over = rig_pid((unsigned)kernel_fork(K, p)) != pid;
    kernel_waitpid(K, p, pid, &status);
    K->pid_last = pid - 1;
    return 10 * passed_over + (rig_pid((unsigned)kernel_fork(K, p)) == pid);
}

static long simulated_fork_limit_counts_zombies(void)
{
    unsigned p = rig_start();
    int status;
    K->process_limit = 2;
    unsigned dead = (unsigned)kernel_fork(K, p);
    kernel_exit(K, dead, 0);
    long error = -kernel_fork(K, p);
    kernel_waitpid(K, p, rig_pid(dead), &status);
    return error * 10 + (kernel_fork(K, p) > 0);
}

static long simulated_memory_limit_gives_enomem(void)
{
    unsigned p = rig_start();
    kernel_map(K, p, 1000);
    K->processes[p].memory_limit = 1500;
    unsigned child = (unsigned)kernel_fork(K, p);
    return -kernel_map(K, child, 1000);
}

static long simulated_stopped_timer_waits(void)
{
    unsigned p = rig_start();
    struct kernel_note note;
    long found = 0;
    rig.hands_off = true;
    kernel_timer(K, p, K->now_ns + RIG_SECOND, 1);
    rig_kill(p, SIGSTOP);
    rig_pass(2 * RIG_SECOND);
    bool early = kernel_inbox(K, p, &note);
    rig_kill(p, SIGCONT);
    while (kernel_inbox(K, p, &note))
        found++;
    return early ? -1 : found;
}

#undef K
#endif
