/* A hash table from a number to a small struct: open addressing over a slab, bounded in size. */
#ifndef SCENARIOS_JUDGE_TABLE_H
#define SCENARIOS_JUDGE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table {
    uint64_t *keys; /* 0: free place */
    uint32_t *places;
    size_t room;       /* a power of two, or 0 before the first entry */
    uint64_t last_key; /* what was found last: many ask for one key after the other */
    void *last_item;   /* NULL with key 0 */
    size_t used;
    char *items;
    size_t item_bytes;
    size_t item_room, items_used;
    uint32_t *spare; /* places of removed items */
    size_t spare_count;
    size_t limit; /* entries */
};

void table_init(struct table *t, size_t item_bytes, size_t limit);
void *table_search(const struct table *t, uint64_t key);
/* NULL: not there. The item stays where it is until the next table_add. */
static inline void *table_find(const struct table *t, uint64_t key)
{
    return key == t->last_key ? t->last_item : table_search(t, key);
}
/* The item of `key`, zeroed if it is new. NULL: key 0, or the table is at its limit. */
void *table_add(struct table *t, uint64_t key);
void table_remove(struct table *t, uint64_t key);
void table_release(struct table *t);

#endif
