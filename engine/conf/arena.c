/* A list of chunks; the newest one is filled from its front. */
#include "engine/conf/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/os/sys.h"

#define ARENA_ALIGN alignof(max_align_t)

struct arena_chunk {
    alignas(max_align_t) struct arena_chunk *next;
    size_t used_bytes, size_bytes;
};

struct arena {
    struct arena_chunk *newest;
    size_t chunk_bytes;
};

struct arena *arena_new(size_t chunk_bytes)
{
    struct arena *arena = sys_alloc(sizeof *arena);
    if (arena != NULL)
        *arena = (struct arena){.chunk_bytes = chunk_bytes};
    return arena;
}

static struct arena_chunk *arena_add_chunk(struct arena *arena, size_t need_bytes)
{
    size_t size_bytes = need_bytes > arena->chunk_bytes ? need_bytes : arena->chunk_bytes;
    struct arena_chunk *chunk = sys_alloc(sizeof *chunk + size_bytes);
    if (chunk == NULL)
        return NULL;
    *chunk = (struct arena_chunk){.next = arena->newest, .size_bytes = size_bytes};
    arena->newest = chunk;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t need_bytes = (size_bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct arena_chunk *chunk = arena->newest;
    if (chunk == NULL || chunk->size_bytes - chunk->used_bytes < need_bytes)
        chunk = arena_add_chunk(arena, need_bytes);
    if (chunk == NULL)
        return NULL;
    void *piece = (char *)(chunk + 1) + chunk->used_bytes;
    chunk->used_bytes += need_bytes;
    return memset(piece, 0, size_bytes);
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (struct arena_chunk *chunk = arena->newest, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(arena);
}
