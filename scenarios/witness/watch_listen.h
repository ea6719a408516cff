/* Listening sockets: how many connections wait in their accept queues, which sockets come and go.
 */
#ifndef SCENARIOS_WITNESS_WATCH_LISTEN_H
#define SCENARIOS_WITNESS_WATCH_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/history/hist.h"

enum { WATCH_PORTS_MAX = 64, WATCH_SOCKETS_MAX = 1024 };

/* A port, over all sockets that listen on it. */
struct watch_port {
    uint16_t port;
    uint32_t sockets, waiting, limit;
    uint64_t recorded_ns;
};

struct watch_socket {
    uint32_t inode;
    uint16_t port;
    bool seen;
};

struct watch_listen {
    int fd; /* netlink; -1: nothing is watched */
    struct hist_writer *history;
    struct watch_port ports[WATCH_PORTS_MAX];
    size_t port_count;
    struct watch_socket sockets[WATCH_SOCKETS_MAX];
    size_t socket_count;
    uint64_t changes; /* grows when something worth telling has changed */
};

/* Watches the ports; without any it does nothing. Returns 0 or a negative errno. */
int watch_listen_open(struct watch_listen *listen, const uint16_t *ports, size_t count,
                      struct hist_writer *history);
void watch_listen_close(struct watch_listen *listen);
void watch_listen_look(struct watch_listen *listen);

#endif
