/* The master's listening sockets. They belong to no generation: a configuration takes those whose
 * address it names, so that an accept queue outlives every reload, worker and binary. With
 * `reuseport` an address has a socket for each worker; they go with the address, never with a
 * worker, since nobody but the kernel can move those who wait in one. */
#ifndef ENGINE_MASTER_LISTENERS_H
#define ENGINE_MASTER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/conf/conf.h"
#include "engine/worker/worker.h"

struct listener {
    struct sockaddr_storage addr;
    socklen_t addr_len;
    int fd;
    int backlog;
    uint32_t part; /* of those that share an address by `reuseport`, 0 the first */
    bool lent;     /* the service manager's: its path is not ours to remove */
};

struct listeners {
    struct listener *at;
    size_t count;
    bool shared; /* another master has them too: a unix path stays when they are closed */
};

/* What the error message of a failure says; the text is complete without FILE:LINE. */
struct listeners_error {
    char text[832];
};

/* Takes over sockets that this process was started with: the descriptors that are listed in
 * `words` ("5;6;"), or `count` of them from 3 on when words is NULL. Those that are no listening
 * sockets are left alone. */
int listeners_inherit(struct listeners *set, const char *words, int count);
/* Gives *fds (conf->listen_count of them) a listening socket each, opening those that are missing.
 * 0, or a negative errno with nothing opened by this call left. */
int listeners_open(struct listeners *set, const struct conf *conf, int *fds,
                   struct listeners_error *error);
/* The other sockets of addresses that have several: one for each worker by `reuseport`, and those
 * that are there from when there were more. *parts is to be freed; the rest as listeners_open(). */
int listeners_open_parts(struct listeners *set, const struct conf *conf, struct listen_part **parts,
                         size_t *count, struct listeners_error *error);
/* Closes what this configuration does not name; NULL: all. Unix paths go with their socket. */
void listeners_keep(struct listeners *set, const struct conf *conf);
/* In a forked child: closes what this configuration does not name, and touches no path. */
void listeners_drop_in_child(const struct listeners *set, const struct conf *conf);
/* Sabotage close_listener_early: stop listening, for every process, and listen again. */
void listeners_stop(const struct listeners *set);
void listeners_resume(const struct listeners *set);

#endif
