/* A request's body, kept until it is needed: in memory up to a bound, then in a file without a
 * name. Or a stretch of it, when it is passed on as it comes: what was passed on is forgotten. */
#ifndef ENGINE_HTTP_BODY_STORE_H
#define ENGINE_HTTP_BODY_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/http/str.h"

struct body_store {
    char *memory;
    size_t len, room;
    uint64_t length; /* of all that was added, or of the file */
    int fd;          /* -1: it is in memory */
};

void body_store_start(struct body_store *store);
/* Adds bytes; beyond `memory_max` all of it moves to a file in `folder`. 0, or a negative errno. */
int body_store_add(struct body_store *store, struct conf_str piece, size_t memory_max,
                   const char *folder);
/* Adds bytes to memory, whatever their number. */
int body_store_push(struct body_store *store, struct conf_str piece);
/* Forgets the first bytes of memory. */
void body_store_drop(struct body_store *store, size_t count);
void body_store_end(struct body_store *store);

/* A file without a name in `folder`, for reading and writing. Its descriptor, or -errno. */
int temp_file_open(const char *folder);
/* Writes all of it at the end. 0, or -errno (-ENOSPC ...). */
int temp_file_append(int fd, const char *at, size_t len);

#endif
