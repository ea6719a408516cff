/* One generation in the master: its configuration and the descriptors that its workers get. */
#ifndef ENGINE_MASTER_GENERATION_H
#define ENGINE_MASTER_GENERATION_H

#include "engine/conf/conf.h"
#include "engine/master/listeners.h"
#include "engine/shm/zone.h"
#include "engine/tls/tls_context.h"

struct generation {
    struct conf *conf;
    int *listen_fds;           /* the listeners' own, parallel to conf->listens */
    struct listen_part *parts; /* and the other sockets of those that have several */
    size_t part_count;
    int *log_fds;        /* parallel to conf->log_files */
    size_t log_count;    /* of them are open */
    struct zones *zones; /* parallel to conf->zones */
    struct tls_contexts *tls;
};

/* Opens the logs, zones, listeners and certificates of `conf` and takes it over; `before` (NULL:
 * none) is the generation whose zones it may go on with. 0, or a negative errno with nothing left
 * open and `conf` not taken. */
int generation_open(struct generation *g, struct conf *conf, const struct generation *before,
                    struct listeners *listeners, struct listeners_error *error);
/* Closes its logs and zones and frees its configuration. Listeners stay: listeners_keep(). */
void generation_close(struct generation *g);
/* Opens its logs anew; what cannot be opened goes on in the old file, and is said. */
void generation_reopen_logs(struct generation *g);

#endif
