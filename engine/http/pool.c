/* The memory of one request. */
#include <stdalign.h>
#include <stdlib.h>

#include "engine/http/pool.h"
#include "engine/os/sys.h"

struct pool_chunk {
    struct pool_chunk *older;
    alignas(max_align_t) char bytes[];
};

void pool_start(struct pool *pool)
{
    pool->chunks = NULL;
    pool->next = pool->first;
    pool->left = sizeof pool->first;
}

void pool_reset(struct pool *pool)
{
    while (pool->chunks != NULL) {
        struct pool_chunk *chunk = pool->chunks;
        pool->chunks = chunk->older;
        free(chunk);
    }
    pool_start(pool);
}

static bool pool_grow(struct pool *pool, size_t size)
{
    size_t bytes = size > POOL_CHUNK_BYTES ? size : POOL_CHUNK_BYTES;
    struct pool_chunk *chunk = sys_alloc(sizeof *chunk + bytes);
    if (chunk == NULL)
        return false;
    chunk->older = pool->chunks;
    pool->chunks = chunk;
    pool->next = chunk->bytes;
    pool->left = bytes;
    return true;
}

void *pool_take(struct pool *pool, size_t size)
{
    size_t skip = (0 - (uintptr_t)pool->next) & (alignof(max_align_t) - 1);
    if (skip > pool->left || size > pool->left - skip) {
        if (!pool_grow(pool, size))
            return NULL;
        skip = 0;
    }
    void *taken = pool->next + skip;
    pool->next += skip + size;
    pool->left -= skip + size;
    return taken;
}

void builder_start(struct builder *builder, struct pool *pool, size_t room)
{
    *builder = (struct builder){.pool = pool, .room = room};
    builder->at = pool_take(pool, room);
    builder->failed = builder->at == NULL;
    if (builder->failed)
        builder->room = 0; /* so that every addition asks */
}

bool builder_grow(struct builder *builder, size_t more)
{
    if (builder->failed)
        return false;
    size_t room = (builder->len + more + 1) * 2;
    char *at = pool_take(builder->pool, room);
    if (at == NULL) {
        builder->failed = true;
        builder->room = 0;
        return false;
    }
    memcpy(at, builder->at, builder->len);
    builder->at = at;
    builder->room = room;
    return true;
}

void builder_add_u64(struct builder *builder, uint64_t value)
{
    if (builder_reserve(builder, 20))
        builder->len += str_from_u64(builder->at + builder->len, value);
}

void builder_add_char(struct builder *builder, char c)
{
    if (builder_reserve(builder, 1))
        builder->at[builder->len++] = c;
}

struct conf_str builder_end(struct builder *builder)
{
    if (!builder_reserve(builder, 0))
        return str_make(NULL, 0);
    builder->at[builder->len] = '\0';
    return str_make(builder->at, builder->len);
}
