/* The kernel facts as the simulation has them: listeners and connections. */
#ifndef ENGINE_SIM_SIM_FACTS_SIMULATED_NET_RIG_H
#define ENGINE_SIM_SIM_FACTS_SIMULATED_NET_RIG_H

#include "engine/sim/sim_facts_rig.h"

#define K rig_kernel

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

static long rig_seconds_until_connected(uint32_t linear, uint64_t full_ns)
{
    unsigned p = rig_start();
    K->syn_linear_timeouts = linear;
    int fd = kernel_listen(K, p, RIG_PORT, 0);
    kernel_connect(K, RIG_PORT, 0);
    kernel_connect(K, RIG_PORT, 1);
    uint64_t begun_ns = K->now_ns;
    rig_pass(full_ns);
    kernel_accept(K, p, fd);
    rig_pass(10 * RIG_SECOND);
    return (long)((rig.clients[1].connected_ns - begun_ns) / RIG_SECOND);
}

static long simulated_dropped_syn_returns(void)
{
    return rig_seconds_until_connected(4, RIG_SECOND / 5);
}

static long simulated_dropped_syn_waits_longer(void)
{
    return rig_seconds_until_connected(0, RIG_SECOND * 3 / 2);
}

static long simulated_dropped_syn_waits_longer_still(void)
{
    return rig_seconds_until_connected(0, RIG_SECOND * 7 / 2);
}

static long simulated_dropped_syn_every_second(void)
{
    return rig_seconds_until_connected(4, RIG_SECOND * 7 / 2);
}

static long simulated_dropped_syn_then_waits_longer(void)
{
    return rig_seconds_until_connected(2, RIG_SECOND * 5 / 2);
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

static long simulated_address_in_use(void)
{
    unsigned p = rig_start();
    kernel_listen(K, p, RIG_PORT, 4);
    return -kernel_listen(K, p, RIG_PORT, 4);
}

static long simulated_accept_keeps_order(void)
{
    unsigned p = rig_start();
    int listener = kernel_listen(K, p, RIG_PORT, 8);
    for (uint32_t number = 0; number < 3; number++) {
        kernel_connect(K, RIG_PORT, number);
        rig_pass(RIG_SECOND);
    }
    for (uint32_t number = 0; number < 3; number++)
        if (kernel_file(K, p, kernel_accept(K, p, listener))->client != number)
            return 0;
    return 1;
}

static long simulated_queue_outlives_worker(void)
{
    unsigned p = rig_start();
    int listener = kernel_listen(K, p, RIG_PORT, 4);
    unsigned worker = (unsigned)kernel_fork(K, p);
    kernel_connect(K, RIG_PORT, 0);
    rig_pass(RIG_SECOND);
    rig_kill(worker, SIGKILL);
    rig_pass(RIG_SECOND);
    return kernel_accept(K, p, listener) >= 0 && !rig.clients[0].reset;
}

static long simulated_reset_in_queue_is_accepted(void)
{
    unsigned p = rig_start(), client;
    struct kernel_segment got;
    int listener = rig_connected(p, &client);
    kernel_client_close(K, client, true);
    rig_pass(RIG_SECOND);
    int fd = kernel_accept(K, p, listener);
    return fd >= 0 && kernel_recv(K, p, fd, &got) == RECV_RESET ? ECONNRESET : 0;
}

static long rig_killed_server(bool sends)
{
    unsigned p = rig_start(), client;
    int listener = rig_connected(p, &client);
    unsigned server = (unsigned)kernel_fork(K, p);
    kernel_accept(K, server, listener);
    if (sends)
        rig_send(client);
    rig_kill(server, SIGKILL);
    return rig_client_result();
}

static long simulated_death_resets_unread(void)
{
    return rig_killed_server(true);
}

static long simulated_death_ends_the_rest(void)
{
    return rig_killed_server(false);
}

static long simulated_half_closed_still_reads(void)
{
    unsigned p = rig_start(), client;
    struct kernel_segment got;
    int fd = kernel_accept(K, p, rig_connected(p, &client));
    kernel_shutdown_write(K, p, fd);
    rig_pass(RIG_SECOND);
    rig_send(client);
    bool read = kernel_recv(K, p, fd, &got) == RECV_DATA;
    rig_pass(RIG_SECOND);
    return read && rig.clients[0].ended && !rig.clients[0].reset;
}

static long simulated_send_after_close_is_reset(void)
{
    const struct kernel_segment answer = {.kind = SEGMENT_ANSWER};
    unsigned p = rig_start(), client;
    int fd = kernel_accept(K, p, rig_connected(p, &client));
    kernel_client_close(K, client, false);
    rig_pass(RIG_SECOND);
    bool first = kernel_send(K, p, fd, &answer);
    rig_pass(RIG_SECOND);
    return first && !kernel_send(K, p, fd, &answer);
}

/* ---- groups of listeners */

enum { RIG_GROUP_CLIENTS = RIG_CLIENTS };

static void rig_group(unsigned p, int listeners[2])
{
    for (int i = 0; i < 2; i++)
        listeners[i] = kernel_listen_reuseport(K, p, RIG_PORT, 128);
    for (uint32_t i = 0; i < RIG_GROUP_CLIENTS; i++)
        kernel_connect(K, RIG_PORT, i);
    rig_pass(RIG_SECOND);
}

static long rig_accept_all(unsigned p, int listener)
{
    long count = 0;
    while (kernel_accept(K, p, listener) >= 0)
        count++;
    return count;
}

static long simulated_reuseport_spreads(void)
{
    unsigned p = rig_start();
    int listeners[2];
    rig_group(p, listeners);
    return (rig_accept_all(p, listeners[0]) > 0) + (rig_accept_all(p, listeners[1]) > 0);
}

static long simulated_reuseport_close_resets(void)
{
    unsigned p = rig_start();
    int listeners[2];
    long reset = 0;
    rig_group(p, listeners);
    kernel_close(K, p, listeners[0]);
    rig_pass(RIG_SECOND);
    long accepted = rig_accept_all(p, listeners[1]);
    for (int i = 0; i < RIG_GROUP_CLIENTS; i++)
        reset += rig.clients[i].reset;
    return reset + accepted == RIG_GROUP_CLIENTS ? 10 * (reset > 0) + (accepted > 0) : -1;
}

static long simulated_reuseport_migrates(void)
{
    unsigned p = rig_start();
    int listeners[2];
    K->migrate_req = true;
    rig_group(p, listeners);
    kernel_close(K, p, listeners[0]);
    rig_pass(RIG_SECOND);
    return rig_accept_all(p, listeners[1]);
}

/* ---- connections that a process makes */

/* A listener of the first process, and a connection to it of another one, accepted. */
static unsigned rig_connected_from(unsigned server, int *uplink, int *accepted)
{
    int fd = kernel_listen(K, server, RIG_PORT, 4);
    unsigned other = (unsigned)kernel_fork(K, server);
    *uplink = kernel_connect_from(K, other, RIG_PORT);
    rig_pass(RIG_SECOND / 10);
    *accepted = kernel_accept(K, server, fd);
    return other;
}

static long rig_server_result(unsigned server, int fd)
{
    struct kernel_segment got;
    rig_pass(RIG_SECOND / 10);
    enum kernel_recv result = kernel_recv(K, server, fd, &got);
    return result == RECV_END ? 0 : result == RECV_RESET ? ECONNRESET : -1;
}

static long simulated_connect_needs_no_accept(void)
{
    unsigned p = rig_start();
    struct kernel_segment got;
    int listener = kernel_listen(K, p, RIG_PORT, 4), fd = kernel_connect_from(K, p, RIG_PORT);
    rig_pass(RIG_SECOND / 10);
    if (kernel_recv(K, p, fd, &got) != RECV_DATA || got.kind != SEGMENT_CONNECTED)
        return 0;
    kernel_uplink_send(K, p, fd, &(struct kernel_segment){.kind = SEGMENT_HEAD});
    rig_pass(RIG_SECOND / 10);
    fd = kernel_accept(K, p, listener);
    return kernel_recv(K, p, fd, &got) == RECV_DATA && got.kind == SEGMENT_HEAD;
}

static long simulated_connector_death_ends(void)
{
    unsigned p = rig_start();
    int uplink, fd;
    rig_kill(rig_connected_from(p, &uplink, &fd), SIGKILL);
    return rig_server_result(p, fd);
}

static long simulated_unread_answer_resets(void)
{
    unsigned p = rig_start();
    int uplink, fd;
    unsigned other = rig_connected_from(p, &uplink, &fd);
    kernel_send(K, p, fd, &(struct kernel_segment){.kind = SEGMENT_ANSWER});
    rig_pass(RIG_SECOND / 10);
    kernel_close(K, other, uplink);
    return rig_server_result(p, fd);
}

#undef K

#endif
