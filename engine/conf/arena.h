/* Memory that is taken piece by piece and given back all at once. */
#ifndef ENGINE_CONF_ARENA_H
#define ENGINE_CONF_ARENA_H

#include <stddef.h>

struct arena;

/* Memory comes from sys_alloc in chunks of at least `chunk_bytes`; with 0 each piece is a chunk of
 * its own, so that a test can fail every single one. NULL when there is no memory. */
struct arena *arena_new(size_t chunk_bytes);
/* Zeroed, aligned for any type, valid until arena_free. NULL when there is no memory. */
void *arena_alloc(struct arena *arena, size_t size_bytes);
void arena_free(struct arena *arena); /* NULL is fine */

#endif
