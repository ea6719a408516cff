/* The kernel facts as the simulation has them: descriptors and channels. */
#ifndef ENGINE_SIM_SIM_FACTS_SIMULATED_FILES_RIG_H
#define ENGINE_SIM_SIM_FACTS_SIMULATED_FILES_RIG_H

#include "engine/sim/sim_facts_rig.h"

#define K rig_kernel

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

static long simulated_connect_at_limit(void)
{
    unsigned p = rig_start();
    kernel_listen(K, p, RIG_PORT, 4);
    K->processes[p].fd_limit = 10;
    rig_exhaust(p);
    return -kernel_connect_from(K, p, RIG_PORT);
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

static long simulated_lowered_limit_closes_nothing(void)
{
    unsigned p = rig_start();
    int high = -1;
    for (int i = 0; i < 20; i++)
        high = kernel_open(K, p);
    K->processes[p].fd_limit = 8;
    return kernel_open(K, p) == -EMFILE && kernel_file(K, p, high) != NULL;
}

static long simulated_exec_keeps_descriptors(void)
{
    unsigned p = rig_start();
    int fd = kernel_open(K, p);
    kernel_exec(K, p);
    return kernel_file(K, p, fd) != NULL;
}

/* ---- channels */

/* The word; 0: the end, -1: none. */
static long rig_hear(unsigned process, int fd)
{
    uint32_t word = 0;
    int got = kernel_channel_recv(K, process, fd, &word);
    return got > 0 ? (long)word : got == 0 ? 0 : -1;
}

static long simulated_channel_keeps_order(void)
{
    unsigned p = rig_start();
    int fds[2];
    kernel_socketpair(K, p, fds);
    for (uint32_t word = 1; word <= 3; word++)
        kernel_channel_send(K, p, fds[0], word);
    long first = rig_hear(p, fds[1]), second = rig_hear(p, fds[1]);
    return first * 100 + second * 10 + rig_hear(p, fds[1]);
}

static long simulated_channel_to_nobody(void)
{
    unsigned p = rig_start();
    int fds[2];
    kernel_socketpair(K, p, fds);
    kernel_close(K, p, fds[1]);
    return -kernel_channel_send(K, p, fds[0], 1);
}

static long simulated_channel_fills_up(void)
{
    unsigned p = rig_start();
    int fds[2], error = 0;
    kernel_socketpair(K, p, fds);
    for (int i = 0; i < 1000000 && error == 0; i++)
        error = kernel_channel_send(K, p, fds[0], 1);
    while (rig_hear(p, fds[1]) > 0)
        ;
    return kernel_channel_send(K, p, fds[0], 1) == 0 ? -error : 0;
}

static long simulated_channel_unread_is_read(void)
{
    unsigned p = rig_start();
    int fds[2];
    kernel_socketpair(K, p, fds);
    kernel_channel_send(K, p, fds[0], 7);
    kernel_close(K, p, fds[0]);
    return rig_hear(p, fds[1]) == 7 && rig_hear(p, fds[1]) == 0;
}

static long simulated_passed_descriptor_lives(void)
{
    unsigned p = rig_start();
    int fds[2], taken, listener = kernel_listen(K, p, RIG_PORT, 4);
    uint32_t word;
    kernel_socketpair(K, p, fds);
    kernel_channel_pass(K, p, fds[0], 1, listener);
    kernel_close(K, p, listener);
    kernel_channel_take(K, p, fds[1], &word, &taken);
    kernel_connect(K, RIG_PORT, 0);
    rig_pass(RIG_SECOND);
    return taken >= 0 && rig.clients[0].connected && kernel_accept(K, p, taken) >= 0;
}

static long simulated_descriptor_in_flight_lives(void)
{
    unsigned p = rig_start();
    int fds[2], listener = kernel_listen(K, p, RIG_PORT, 4);
    kernel_socketpair(K, p, fds);
    kernel_channel_pass(K, p, fds[0], 1, listener);
    kernel_close(K, p, listener);
    kernel_connect(K, RIG_PORT, 0);
    rig_pass(RIG_SECOND);
    kernel_close(K, p, fds[1]);
    kernel_close(K, p, fds[0]);
    kernel_connect(K, RIG_PORT, 1);
    rig_pass(RIG_SECOND);
    return rig.clients[0].connected && rig.clients[1].refused;
}

#undef K
#endif
