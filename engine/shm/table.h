/* A table of keys and values in a room of fixed size, with the least recently used entry at hand:
 * what a zone (engine/shm/zone.h) holds. It has no pointers, so every process may map it elsewhere.
 *
 * Entries live in blocks. The value comes first and, as far as it fits into the first block, lies
 * in one piece that may be changed in place (entry_value()); longer values and keys go on in
 * further blocks and are read and written by copy. The caller holds the zone's lock throughout. */
#ifndef ENGINE_SHM_TABLE_H
#define ENGINE_SHM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table;
struct entry;

enum { TABLE_ENTRY_BYTES_MAX = 16384 }; /* key and value together */

/* Lays out `room` (zeroed, aligned to 64). block_bytes: 64 for small values, more for large ones;
 * a multiple of 8. `seed` keeps clients from choosing keys that collide. */
void table_init(void *room, size_t size, size_t block_bytes, uint64_t seed);
static inline struct table *table_of(void *room)
{
    return (struct table *)room;
}

/* The entry of this key, which becomes the most recently used one; NULL: there is none. */
struct entry *table_find(struct table *table, const void *key, size_t key_len);
/* A new entry, its value zeroed. Where room is short the least recently used entries go (evict), or
 * NULL is the answer; NULL too for what no table could hold. The key must not be in it yet. */
struct entry *table_add(struct table *table, const void *key, size_t key_len, size_t value_len,
                        bool evict);
void table_remove(struct table *table, struct entry *entry);
struct entry *table_oldest(struct table *table); /* NULL: the table is empty */
size_t table_count(const struct table *table);

/* The part of the value that lies in the first block. */
void *entry_value(struct entry *entry);
size_t entry_value_len(const struct entry *entry);
/* All of the value, by copy; `data` and `out` have entry_value_len() bytes. */
void entry_read(struct table *table, const struct entry *entry, void *out);
void entry_write(struct table *table, struct entry *entry, const void *data);

#endif
