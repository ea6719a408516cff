/* The kernel's process connector: every fork, exec and exit on the machine, exactly, with times and
 * wait statuses. Needs privileges. */
#ifndef SCENARIOS_WITNESS_WATCH_CONNECTOR_H
#define SCENARIOS_WITNESS_WATCH_CONNECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum connector_what { CONNECTOR_FORK, CONNECTOR_EXEC, CONNECTOR_EXIT, CONNECTOR_LOST };

/* LOST: the kernel had more to say than the socket could hold; look at the tree again. */
struct connector_event {
    enum connector_what what;
    uint64_t t_ns;        /* CLOCK_MONOTONIC; 0 for LOST */
    pid_t pid;            /* the process; for FORK the child */
    pid_t parent;         /* FORK */
    uint64_t wait_status; /* EXIT */
};

/* Subscribes. Returns a non-blocking descriptor, or -1 and says in `why` what is in the way. */
int connector_open(char *why, size_t why_size);
void connector_close(int fd);
/* Hands over what has arrived, without waiting. */
void connector_read(int fd, void (*take)(void *arg, const struct connector_event *event),
                    void *arg);

#endif
