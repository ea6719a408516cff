/* The memory of one request: taken piece by piece, given back all at once. The first bytes are part
 * of the pool itself, so that an ordinary request never asks the system for memory. */
#ifndef ENGINE_HTTP_POOL_H
#define ENGINE_HTTP_POOL_H

#include "engine/http/str.h"

enum { POOL_FIRST_BYTES = 3072, POOL_CHUNK_BYTES = 8192 };

struct pool_chunk;
struct pool {
    struct pool_chunk *chunks; /* newest first; NULL while the first bytes are enough */
    char *next;
    size_t left;
    char first[POOL_FIRST_BYTES];
};

void pool_start(struct pool *pool);
/* Gives back all that was taken. */
void pool_reset(struct pool *pool);
/* `size` bytes, aligned for any type; NULL: the system has no memory left. */
void *pool_take(struct pool *pool, size_t size);

/* Text that grows in a pool. A failure sticks: add what there is to add and look at the result of
 * builder_end once. */
struct builder {
    struct pool *pool;
    char *at;
    size_t len, room;
    bool failed;
};

void builder_start(struct builder *builder, struct pool *pool, size_t room);
bool builder_grow(struct builder *builder, size_t more);
/* Makes room for `more` bytes and a NUL; false: there is no memory. */
static inline bool builder_reserve(struct builder *builder, size_t more)
{
    return builder->len + more < builder->room || builder_grow(builder, more);
}
/* Adds a part of what builder_reserve has made room for. */
static inline void builder_put(struct builder *builder, struct conf_str text)
{
    if (text.len > 0) /* text.at may be NULL */
        memcpy(builder->at + builder->len, text.at, text.len);
    builder->len += text.len;
}
static inline void builder_add(struct builder *builder, struct conf_str text)
{
    if (builder_reserve(builder, text.len))
        builder_put(builder, text);
}
void builder_add_u64(struct builder *builder, uint64_t value);
void builder_add_char(struct builder *builder, char c);
/* The text with a NUL behind it; at == NULL: there was no memory for it. */
struct conf_str builder_end(struct builder *builder);

#endif
