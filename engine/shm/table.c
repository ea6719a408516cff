/* A hash table over numbered blocks; number 0 is none. */
#include "engine/shm/table.h"

#include <string.h>

#include "engine/os/log.h"

struct table {
    uint64_t seed;
    uint32_t block_bytes, block_count;
    uint32_t bucket_mask;
    uint32_t free; /* blocks nobody uses, linked by `chain` */
    uint32_t free_count;
    uint32_t count;          /* entries */
    uint32_t oldest, newest; /* ends of the list by use */
    uint32_t buckets[];
};

struct block {
    uint32_t chain; /* the next block of the entry, or of the free ones */
    char data[];
};

/* The first block of an entry. */
struct entry {
    uint32_t chain; /* as in struct block */
    uint32_t next;  /* of its bucket */
    uint32_t older, newer;
    uint32_t hash;
    uint16_t key_len, value_len;
    char data[];
};

static char *table_blocks(const struct table *table)
{
    size_t at = sizeof *table + ((size_t)table->bucket_mask + 1) * sizeof table->buckets[0];
    return (char *)table + (at + 63) / 64 * 64;
}

static void *table_block(const struct table *table, uint32_t number)
{
    CHECK(number >= 1 && number <= table->block_count);
    return table_blocks(table) + (size_t)(number - 1) * table->block_bytes;
}

static struct entry *table_entry(const struct table *table, uint32_t number)
{
    return number == 0 ? NULL : table_block(table, number);
}

static uint32_t table_number(const struct table *table, const void *block)
{
    return (uint32_t)((size_t)((const char *)block - table_blocks(table)) / table->block_bytes) + 1;
}

void table_init(void *room, size_t size, size_t block_bytes, uint64_t seed)
{
    struct table *table = room;
    CHECK(block_bytes >= sizeof(struct entry) + 8 && block_bytes % 8 == 0);
    table->seed = seed;
    table->block_bytes = (uint32_t)block_bytes;
    uint32_t buckets = 1;
    while (buckets * 2 <= size / block_bytes)
        buckets *= 2;
    table->bucket_mask = buckets - 1;
    size_t before = (size_t)(table_blocks(table) - (char *)room);
    CHECK(before + block_bytes <= size);
    table->block_count = (uint32_t)((size - before) / block_bytes);
    table->free_count = table->block_count;
    table->free = 1;
    for (uint32_t number = 1; number <= table->block_count; number++) {
        struct block *block = table_block(table, number);
        block->chain = number < table->block_count ? number + 1 : 0;
    }
}

/* Multiply and fold: quick, and different for each seed. */
static uint32_t table_hash(const struct table *table, const void *key, size_t len)
{
    const unsigned char *at = key;
    uint64_t hash = table->seed ^ len;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, at + i, len - i < 8 ? len - i : 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    hash *= 0xd6e8feb86659fd93u;
    return (uint32_t)(hash >> 32);
}

/* ---- bytes over blocks ------------------------------------------------------------------------
 */

enum copy { COPY_IN, COPY_OUT, COPY_COMPARE };

/* Moves or compares `len` bytes of the entry from `offset` on. False: COPY_COMPARE found others. */
static bool entry_copy(const struct table *table, struct entry *entry, size_t offset, void *with,
                       size_t len, enum copy how)
{
    char *data = entry->data, *other = with;
    size_t room = table->block_bytes - sizeof *entry;
    uint32_t chain = entry->chain;
    while (len > 0) {
        if (offset < room) {
            size_t here = room - offset < len ? room - offset : len;
            if (how == COPY_IN)
                memcpy(data + offset, other, here);
            else if (how == COPY_OUT)
                memcpy(other, data + offset, here);
            else if (memcmp(data + offset, other, here) != 0)
                return false;
            other += here;
            len -= here;
            offset += here;
            continue;
        }
        struct block *block = table_block(table, chain);
        offset -= room;
        data = block->data;
        room = table->block_bytes - sizeof *block;
        chain = block->chain;
    }
    return true;
}

void *entry_value(struct entry *entry)
{
    return entry->data;
}

size_t entry_value_len(const struct entry *entry)
{
    return entry->value_len;
}

void entry_read(struct table *table, const struct entry *entry, void *out)
{
    entry_copy(table, (struct entry *)(uintptr_t)entry, 0, out, entry->value_len, COPY_OUT);
}

void entry_write(struct table *table, struct entry *entry, const void *data)
{
    entry_copy(table, entry, 0, (void *)(uintptr_t)data, entry->value_len, COPY_IN);
}

/* ---- the list by use --------------------------------------------------------------------------
 */

static void table_unlist(struct table *table, struct entry *entry)
{
    struct entry *older = table_entry(table, entry->older);
    struct entry *newer = table_entry(table, entry->newer);
    *(older != NULL ? &older->newer : &table->oldest) = entry->newer;
    *(newer != NULL ? &newer->older : &table->newest) = entry->older;
}

static void table_list(struct table *table, struct entry *entry)
{
    uint32_t number = table_number(table, entry);
    struct entry *newest = table_entry(table, table->newest);
    entry->older = table->newest;
    entry->newer = 0;
    *(newest != NULL ? &newest->newer : &table->oldest) = number;
    table->newest = number;
}

/* ---- entries ----------------------------------------------------------------------------------
 */

struct entry *table_find(struct table *table, const void *key, size_t key_len)
{
    uint32_t hash = table_hash(table, key, key_len);
    struct entry *entry = table_entry(table, table->buckets[hash & table->bucket_mask]);
    for (; entry != NULL; entry = table_entry(table, entry->next)) {
        if (entry->hash != hash || entry->key_len != key_len ||
            !entry_copy(table, entry, entry->value_len, (void *)(uintptr_t)key, key_len,
                        COPY_COMPARE))
            continue;
        table_unlist(table, entry);
        table_list(table, entry);
        return entry;
    }
    return NULL;
}

/* How many blocks an entry with so many bytes takes. */
static uint32_t table_blocks_for(const struct table *table, size_t bytes)
{
    size_t first = table->block_bytes - sizeof(struct entry);
    size_t further = table->block_bytes - sizeof(struct block);
    return 1 + (bytes <= first ? 0 : (uint32_t)((bytes - first + further - 1) / further));
}

/* Takes so many free blocks, linked, and returns the first one. */
static uint32_t table_take(struct table *table, uint32_t count)
{
    uint32_t first = table->free, last = first;
    for (uint32_t i = 1; i < count; i++)
        last = ((struct block *)table_block(table, last))->chain;
    struct block *end = table_block(table, last);
    table->free = end->chain;
    table->free_count -= count;
    end->chain = 0;
    return first;
}

struct entry *table_add(struct table *table, const void *key, size_t key_len, size_t value_len,
                        bool evict)
{
    uint32_t count = table_blocks_for(table, key_len + value_len);
    if (key_len + value_len > TABLE_ENTRY_BYTES_MAX || count > table->block_count)
        return NULL;
    while (table->free_count < count) {
        if (!evict)
            return NULL;
        table_remove(table, table_oldest(table));
    }
    uint32_t number = table_take(table, count);
    struct entry *entry = table_block(table, number);
    entry->hash = table_hash(table, key, key_len);
    entry->key_len = (uint16_t)key_len;
    entry->value_len = (uint16_t)value_len;
    uint32_t *bucket = &table->buckets[entry->hash & table->bucket_mask];
    entry->next = *bucket;
    *bucket = number;
    memset(entry->data, 0, table->block_bytes - sizeof *entry);
    entry_copy(table, entry, value_len, (void *)(uintptr_t)key, key_len, COPY_IN);
    table_list(table, entry);
    table->count++;
    return entry;
}

void table_remove(struct table *table, struct entry *entry)
{
    uint32_t number = table_number(table, entry), last = number, count = 1;
    uint32_t *link = &table->buckets[entry->hash & table->bucket_mask];
    while (*link != number)
        link = &table_entry(table, *link)->next;
    *link = entry->next;
    table_unlist(table, entry);
    for (uint32_t next; (next = ((struct block *)table_block(table, last))->chain) != 0; count++)
        last = next;
    ((struct block *)table_block(table, last))->chain = table->free;
    table->free = number;
    table->free_count += count;
    table->count--;
}

struct entry *table_oldest(struct table *table)
{
    return table_entry(table, table->oldest);
}

size_t table_count(const struct table *table)
{
    return table->count;
}
