/* Words to a service manager (systemd's NOTIFY_SOCKET); nothing happens without one. */
#ifndef ENGINE_MASTER_NOTIFY_H
#define ENGINE_MASTER_NOTIFY_H

#include <sys/types.h>

void notify_ready(pid_t master);
void notify_reloading(void);
void notify_stopping(void);

#endif
