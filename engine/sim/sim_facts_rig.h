/* The simulated side of the kernel facts: processes whose programs do nothing but count signals,
 * and clients that note what they see. */
#ifndef ENGINE_SIM_SIM_FACTS_RIG_H
#define ENGINE_SIM_SIM_FACTS_RIG_H

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "engine/sim/sim_kernel.h"

enum { RIG_PORT = 80, RIG_CLIENTS = 64 };
#define RIG_SECOND UINT64_C(1000000000)

struct rig {
    bool hands_off; /* what is in an inbox stays there */
    int signals[KERNEL_PROCS_MAX];
    struct {
        bool connected, refused, ended, reset;
        uint64_t connected_ns;
    } clients[RIG_CLIENTS];
};

static struct kernel *rig_kernel;
static struct rig rig;

static void rig_run(struct kernel *k, unsigned process)
{
    struct kernel_note note;
    while (!rig.hands_off && kernel_inbox(k, process, &note))
        ;
}

static void rig_signalled(struct kernel *k, unsigned process, int number)
{
    (void)k;
    (void)number;
    rig.signals[process]++;
}

static void rig_nothing(struct kernel *k, unsigned process)
{
    (void)k;
    (void)process;
}

static void rig_client(struct kernel *k, uint32_t client, enum kernel_client_event event,
                       const struct kernel_segment *segment)
{
    (void)segment;
    rig.clients[client].connected |= event == CLIENT_CONNECTED;
    rig.clients[client].refused |= event == CLIENT_REFUSED;
    rig.clients[client].ended |= event == CLIENT_EOF;
    rig.clients[client].reset |= event == CLIENT_RESET;
    if (event == CLIENT_CONNECTED)
        rig.clients[client].connected_ns = k->now_ns;
}

static void rig_outside(struct kernel *k, uint16_t what, uint32_t a)
{
    (void)k;
    (void)what;
    (void)a;
}

/* A new world with one process, whose index is returned. */
static unsigned rig_start(void)
{
    static const struct kernel_hooks hooks = {.run = rig_run,
                                              .signalled = rig_signalled,
                                              .ended = rig_nothing,
                                              .reaped = rig_nothing,
                                              .client = rig_client,
                                              .outside = rig_outside};
    if (rig_kernel == NULL)
        rig_kernel = calloc(1, sizeof(*rig_kernel));
    if (rig_kernel == NULL)
        abort();
    rig = (struct rig){.signals = {0}};
    kernel_init(rig_kernel, &hooks, NULL, 1);
    return (unsigned)kernel_fork(rig_kernel, KERNEL_INIT);
}

static void rig_pass(uint64_t ns)
{
    uint64_t until_ns = rig_kernel->now_ns + ns;
    while (kernel_next(rig_kernel, until_ns))
        ;
    rig_kernel->now_ns = until_ns;
}

static uint32_t rig_pid(unsigned process)
{
    return rig_kernel->processes[process].pid;
}

static void rig_kill(unsigned process, int number)
{
    kernel_kill(rig_kernel, rig_pid(process), number);
}

/* The signal that killed a child; 0: it lives. */
static long rig_killer(unsigned parent, unsigned child)
{
    int status = 0;
    rig_pass(RIG_SECOND);
    return kernel_waitpid(rig_kernel, parent, rig_pid(child), &status) > 0 ? status & 127 : 0;
}

/* A listener and a client that is connected to it. */
static int rig_connected(unsigned server, unsigned *client)
{
    int fd = kernel_listen(rig_kernel, server, RIG_PORT, 16);
    *client = kernel_connect(rig_kernel, RIG_PORT, 0);
    rig_pass(RIG_SECOND / 10);
    return fd;
}

static void rig_send(unsigned client)
{
    kernel_client_send(rig_kernel, client, &(struct kernel_segment){.kind = SEGMENT_HEAD});
    rig_pass(RIG_SECOND / 10);
}

static long rig_client_result(void)
{
    rig_pass(RIG_SECOND / 10);
    return rig.clients[0].reset ? ECONNRESET : rig.clients[0].ended ? 0 : -1;
}

#endif
