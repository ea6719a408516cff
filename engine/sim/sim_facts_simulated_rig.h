/* The kernel facts as the simulation has them: simulated_SYMBOL() for each line of facts.def. */
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

/* ---- descriptors */

static long simulated_lowest_descriptor(void)
{
    unsigned p = rig_start();
    int first = kernel_open(K, p);
    kernel_open(K, p);
    kernel_close(K, p, first);
    return kernel_open(K, p) == first;
}

/* Opens all that can be opened. */
static int rig_exhaust(unsigned process)
{
    int fd, last = -1;
    while ((fd = kernel_open(K, process)) >= 0)
        last = fd;
    return last;
}

static long simulated_limit_gives_emfile(void)
{
    unsigned p = rig_start();
    K->processes[p].fd_limit = 10;
    rig_exhaust(p);
    return -kernel_open(K, p);
}

static long simulated_accept_at_limit(void)
{
    unsigned p = rig_start();
    int fd = kernel_listen(K, p, RIG_PORT, 1);
    K->processes[p].fd_limit = 10;
    rig_exhaust(p);
    return -kernel_accept(K, p, fd);
}

static long simulated_emfile_keeps_client(void)
{
    unsigned p = rig_start(), client;
    int fd = rig_connected(p, &client);
    K->processes[p].fd_limit = 10;
    int last = rig_exhaust(p);
    if (kernel_accept(K, p, fd) != -EMFILE)
        return 0;
    kernel_close(K, p, last);
    return kernel_accept(K, p, fd) == last;
}

static long simulated_close_on_exec(void)
{
    unsigned p = rig_start();
    int fd = kernel_open(K, p);
    kernel_close_on_exec(K, p, fd);
    unsigned child = (unsigned)kernel_fork(K, p);
    kernel_exec(K, child);
    return (kernel_file(K, child, fd) != NULL) + 2 * (kernel_file(K, p, fd) == NULL);
}

static long simulated_channel_end_by_last_copy(void)
{
    unsigned p = rig_start();
    uint32_t word;
    int fds[2];
    kernel_socketpair(K, p, fds);
    unsigned child = (unsigned)kernel_fork(K, p);
    kernel_close(K, p, fds[1]);
    int before = kernel_channel_recv(K, p, fds[0], &word);
    kernel_exit(K, child, 0);
    return before == -EAGAIN && kernel_channel_recv(K, p, fds[0], &word) == 0;
}

/* ---- listeners and connections */

static long simulated_refused_without_listener(void)
{
    rig_start();
    kernel_connect(K, RIG_PORT, 0);
    rig_pass(RIG_SECOND);
    return rig.clients[0].refused ? ECONNREFUSED : 0;
}

static long simulated_listener_is_shared(void)
{
    unsigned p = rig_start();
    int fd = kernel_listen(K, p, RIG_PORT, 4);
    kernel_fork(K, p);
    kernel_close(K, p, fd);
    kernel_connect(K, RIG_PORT, 0);
    rig_pass(RIG_SECOND);
    return rig.clients[0].connected;
}

static long simulated_backlog_plus_one(void)
{
    unsigned p = rig_start();
    long connected = 0;
    kernel_listen(K, p, RIG_PORT, 2);
    for (unsigned i = 0; i < 5; i++)
        kernel_connect(K, RIG_PORT, i);
    rig_pass(RIG_SECOND / 5);
    for (unsigned i = 0; i < 5; i++)
        connected += rig.clients[i].connected;
    return connected;
}

static long simulated_dropped_syn_returns(void)
{
    unsigned p = rig_start();
    int fd = kernel_listen(K, p, RIG_PORT, 0);
    kernel_connect(K, RIG_PORT, 0);
    kernel_connect(K, RIG_PORT, 1);
    uint64_t begun_ns = K->now_ns;
    rig_pass(RIG_SECOND / 5);
    kernel_accept(K, p, fd);
    rig_pass(4 * RIG_SECOND);
    return (long)((rig.clients[1].connected_ns - begun_ns) / RIG_SECOND);
}

static long simulated_closing_listener_resets_queue(void)
{
    unsigned p = rig_start(), client;
    int fd = rig_connected(p, &client);
    kernel_close(K, p, fd);
    return rig_client_result();
}

static long simulated_unread_input_resets(void)
{
    unsigned p = rig_start(), client;
    int fd = kernel_accept(K, p, rig_connected(p, &client));
    rig_send(client);
    kernel_close(K, p, fd);
    return rig_client_result();
}

static long simulated_clean_close_ends(void)
{
    unsigned p = rig_start(), client;
    struct kernel_segment got;
    int fd = kernel_accept(K, p, rig_connected(p, &client));
    rig_send(client);
    kernel_recv(K, p, fd, &got);
    kernel_close(K, p, fd);
    return rig_client_result();
}

static long simulated_closed_socket_resets_late_data(void)
{
    unsigned p = rig_start(), client;
    int fd = kernel_accept(K, p, rig_connected(p, &client));
    kernel_close(K, p, fd);
    rig_send(client);
    rig_pass(RIG_SECOND);
    return rig.clients[0].reset;
}

static long simulated_data_before_reset_is_read(void)
{
    unsigned p = rig_start(), client;
    struct kernel_segment got;
    int fd = kernel_accept(K, p, rig_connected(p, &client));
    rig_send(client);
    kernel_client_close(K, client, true);
    rig_pass(RIG_SECOND / 10);
    return kernel_recv(K, p, fd, &got) == RECV_DATA;
}

static long simulated_half_close_is_end(void)
{
    unsigned p = rig_start(), client;
    struct kernel_segment got;
    int fd = kernel_accept(K, p, rig_connected(p, &client));
    kernel_client_close(K, client, false);
    rig_pass(RIG_SECOND / 10);
    return kernel_recv(K, p, fd, &got) == RECV_END ? 0 : -1;
}

#undef K
#endif
