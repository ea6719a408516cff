/* What the files of the simulated kernel share. */
#ifndef ENGINE_SIM_SIM_KERNEL_PRIV_H
#define ENGINE_SIM_SIM_KERNEL_PRIV_H

#include "engine/sim/sim_kernel.h"

enum kernel_event_kind {
    EVENT_TURN,
    EVENT_TIMER,
    EVENT_SYN,
    EVENT_TO_SERVER,
    EVENT_TO_CLIENT,
    EVENT_CONNECTED,
    EVENT_REFUSED,
    EVENT_OUTSIDE
};
void kernel_event(struct kernel *k, uint64_t at_ns, enum kernel_event_kind kind, uint32_t a,
                  uint16_t b, uint32_t epoch);
void kernel_net_event(struct kernel *k, const struct sim_event *event);
void kernel_forget_watcher(struct kernel *k, unsigned process);

/* Files: an index in files[]. They are kept by descriptors (refs) and by what is under way (holds).
 */
unsigned kernel_file_new(struct kernel *k, enum kernel_file_kind kind);
void kernel_file_ref(struct kernel *k, unsigned file);
void kernel_file_unref(struct kernel *k, unsigned file, bool reset);
void kernel_file_unhold(struct kernel *k, unsigned file);
/* Of a descriptor that must be open. */
unsigned kernel_file_of(const struct kernel *k, unsigned process, int fd);
int kernel_fd_new(struct kernel *k, unsigned process, unsigned file);
bool kernel_fd_room(const struct kernel_process *p);
/* It may be readable: whoever watches is told; and the process looked: told again if it still is.
 */
void kernel_tell_watcher(struct kernel *k, unsigned file);
void kernel_looked(struct kernel *k, unsigned process, unsigned file);
/* The last descriptor of one is closed. */
void kernel_listener_closed(struct kernel *k, struct kernel_file *f);
void kernel_socket_closed(struct kernel *k, unsigned file, bool reset);
void kernel_uplink_closed(struct kernel *k, struct kernel_file *f, bool reset);

#endif
