/* The worker process: what the master gives it, and the channel they talk on. */
#ifndef ENGINE_WORKER_WORKER_H
#define ENGINE_WORKER_WORKER_H

#include <stdint.h>

#include "engine/conf/conf.h"
#include "engine/shm/scoreboard.h"
#include "engine/shm/zone.h"
#include "engine/tls/tls_context.h"

/* Messages on the channel, one byte kind and one 32-bit value, SOCK_SEQPACKET; EOF on the worker's
 * end means the master is gone (orphan policy: drain, then exit).
 *
 * A worker says CHANNEL_POISED when it could accept; it does when CHANNEL_GO has come, and says
 * CHANNEL_READY: a worker of a configuration that may still be withdrawn must serve nobody. The
 * value of what a worker says is its generation. Signals reach a worker as signals: QUIT drain,
 * TERM INT stop at once, USR1 reopen logs; the channel carries the same as messages so that none is
 * lost before the handlers are set. */
enum channel_kind {
    CHANNEL_POISED = 'P',
    CHANNEL_GO = 'G',
    CHANNEL_READY = 'R',
    CHANNEL_DRAIN = 'D',
    CHANNEL_STOP = 'S',
    CHANNEL_REOPEN = 'L'
};
struct channel_message {
    uint32_t kind;
    uint32_t value;
};

/* Another socket of an address that has several by `reuseport`. */
struct listen_part {
    int fd;
    size_t listen; /* index into conf->listens */
    uint32_t part; /* from 1 on; 0 is the one in listen_fds */
};

/* Everything a worker needs, set up by the master before fork; borrowed for the process's life. */
struct worker_args {
    const struct conf *conf; /* its generation */
    int slot;
    uint32_t generation;
    struct scoreboard *board;
    struct score_row *row; /* its own row; heartbeat and counters are the worker's */
    const int *listen_fds; /* non-blocking, parallel to conf->listens */
    const struct listen_part *parts;
    size_t part_count;
    const int *log_fds;        /* O_APPEND, parallel to conf->log_files */
    const struct zones *zones; /* parallel to conf->zones */
    struct tls_contexts *tls;  /* NULL: no certificates, in tests */
    int channel_fd;            /* the worker's end */
    uint64_t drain_ns;         /* longest drain; 0 no bound */
};

/* Runs the worker in the calling (freshly forked) process: sets up signals, limits and loop, says
 * CHANNEL_POISED, accepts when CHANNEL_GO comes, serves until told to leave. Never returns to the
 * caller's code: returns the process's exit code. Signals must still be blocked when it is called.
 */
int worker_run(const struct worker_args *args);

#endif
