/* From the command line to a master that is about to start its first worker, and its end. */
#ifndef ENGINE_MASTER_START_H
#define ENGINE_MASTER_START_H

#include <stdbool.h>

struct master;

/* False: it cannot start; why has been said on stderr and in the error log. */
bool start_master(struct master *m);
/* Lets go of everything, in whatever state of starting the master is. */
void end_master(struct master *m);

#endif
