/* Open addressing with linear probing, at most half full; removal moves the entries behind the gap
 * back, so that there are no tombstones however many entries come and go. */
#include "scenarios/judge/table.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

void table_init(struct table *t, size_t item_bytes, size_t limit)
{
    memset(t, 0, sizeof(*t));
    t->item_bytes = item_bytes;
    t->limit = limit;
}

void table_release(struct table *t)
{
    free(t->keys);
    free(t->places);
    free(t->items);
    free(t->spare);
    table_init(t, t->item_bytes, t->limit);
}

/* Numbers that follow one another are neighbours: eight of them share a cache line. */
static size_t slot_of(const struct table *t, uint64_t key)
{
    uint64_t mixed = (key >> 3) * 0x9e3779b97f4a7c15u;
    return (size_t)((mixed ^ mixed >> 32) << 3 | (key & 7)) & (t->room - 1);
}

/* The slot that holds `key`, or the free one where it belongs. */
static size_t probe(const struct table *t, uint64_t key)
{
    size_t slot = slot_of(t, key);
    while (t->keys[slot] != 0 && t->keys[slot] != key)
        slot = (slot + 1) & (t->room - 1);
    return slot;
}

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static void *remember(const struct table *t, uint64_t key, void *item)
{
    struct table *changed = (struct table *)t;
    changed->last_key = key;
    changed->last_item = item;
    return item;
}

static void grow(struct table *t)
{
    struct table old = *t;
    remember(t, 0, NULL);
    t->room = old.room == 0 ? FIRST_ROOM : old.room * 2;
    t->keys = must(calloc(t->room, sizeof(*t->keys)));
    if (t->item_bytes > 0)
        t->places = must(malloc(t->room * sizeof(*t->places)));
    for (size_t i = 0; i < old.room; i++) {
        if (old.keys[i] == 0)
            continue;
        size_t slot = probe(t, old.keys[i]);
        t->keys[slot] = old.keys[i];
        if (t->item_bytes > 0)
            t->places[slot] = old.places[i];
    }
    free(old.keys);
    free(old.places);
    if (t->item_bytes > 0) {
        t->item_room = t->room;
        t->items = must(realloc(t->items, t->item_room * t->item_bytes));
        t->spare = must(realloc(t->spare, t->item_room * sizeof(*t->spare)));
    }
}

static void *item_at(const struct table *t, size_t slot)
{
    return t->item_bytes > 0 ? t->items + t->places[slot] * t->item_bytes : (void *)&t->keys[slot];
}

void *table_search(const struct table *t, uint64_t key)
{
    if (t->room == 0 || key == 0)
        return NULL;
    size_t slot = probe(t, key);
    return t->keys[slot] == key ? remember(t, key, item_at(t, slot)) : NULL;
}

void *table_add(struct table *t, uint64_t key)
{
    if (key == 0 || key == t->last_key)
        return table_find(t, key);
    size_t slot = t->room > 0 ? probe(t, key) : 0;
    if (t->room > 0 && t->keys[slot] == key)
        return remember(t, key, item_at(t, slot));
    if (t->used >= t->limit)
        return NULL;
    if (t->used * 2 >= t->room) {
        grow(t);
        slot = probe(t, key);
    }
    t->keys[slot] = key;
    t->used++;
    if (t->item_bytes > 0) {
        t->places[slot] =
            t->spare_count > 0 ? t->spare[--t->spare_count] : (uint32_t)t->items_used++;
        memset(item_at(t, slot), 0, t->item_bytes);
    }
    return remember(t, key, item_at(t, slot));
}

void table_remove(struct table *t, uint64_t key)
{
    if (table_find(t, key) == NULL)
        return;
    remember(t, 0, NULL);
    size_t gap = probe(t, key);
    if (t->item_bytes > 0)
        t->spare[t->spare_count++] = t->places[gap];
    t->used--;
    for (size_t next = (gap + 1) & (t->room - 1); t->keys[next] != 0;
         next = (next + 1) & (t->room - 1)) {
        /* An entry may move back into the gap unless it belongs behind it. */
        size_t home = slot_of(t, t->keys[next]);
        if (((next - home) & (t->room - 1)) < ((next - gap) & (t->room - 1)))
            continue;
        t->keys[gap] = t->keys[next];
        if (t->item_bytes > 0)
            t->places[gap] = t->places[next];
        gap = next;
    }
    t->keys[gap] = 0;
}
