/* The table in a room: what is added is found, what is old goes first, no block is lost. */
#include "engine/shm/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM_BYTES = 32768 };
static _Alignas(64) char room[ROOM_BYTES];

static struct table *fresh(size_t block_bytes)
{
    memset(room, 0, sizeof room);
    table_init(room, sizeof room, block_bytes, 42);
    return table_of(room);
}

static struct entry *add(struct table *table, unsigned key, size_t value_len)
{
    return table_add(table, &key, sizeof key, value_len, true);
}
static struct entry *find(struct table *table, unsigned key)
{
    return table_find(table, &key, sizeof key);
}

static void added_is_found_and_removed_is_not(void **state)
{
    (void)state;
    struct table *table = fresh(64);
    for (unsigned key = 0; key < 100; key++)
        *(uint64_t *)entry_value(add(table, key, sizeof(uint64_t))) = key * 7;
    assert_int_equal(table_count(table), 100);
    for (unsigned key = 0; key < 100; key++)
        assert_int_equal(*(uint64_t *)entry_value(find(table, key)), key * 7);
    table_remove(table, find(table, 50));
    assert_null(find(table, 50));
    assert_null(find(table, 100));
    assert_non_null(find(table, 51));
    assert_int_equal(table_count(table), 99);
}

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct table *table = fresh(64);
    unsigned key = 0;
    while (table_add(table, &key, sizeof key, 8, false) != NULL)
        key++;
    assert_true(key > 300);
    assert_non_null(find(table, 0)); /* used: 1 is the oldest now */
    assert_non_null(add(table, key, 8));
    assert_null(find(table, 1));
    assert_non_null(find(table, 0));
    assert_non_null(find(table, key));
    assert_int_equal(table_count(table), key);
}

static void long_keys_and_values_go_over_blocks(void **state)
{
    (void)state;
    struct table *table = fresh(64);
    char key[700], value[3000], out[3000];
    memset(key, 'k', sizeof key);
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)(i * 31);
    struct entry *entry = table_add(table, key, sizeof key, sizeof value, true);
    entry_write(table, entry, value);
    key[699] = 'x'; /* only the last byte differs */
    assert_null(table_find(table, key, sizeof key));
    key[699] = 'k';
    entry = table_find(table, key, sizeof key);
    assert_int_equal(entry_value_len(entry), sizeof value);
    entry_read(table, entry, out);
    assert_memory_equal(out, value, sizeof value);
}

static void what_no_table_could_hold_is_refused(void **state)
{
    (void)state;
    struct table *table = fresh(64);
    add(table, 1, 8);
    assert_null(add(table, 2, TABLE_ENTRY_BYTES_MAX));
    assert_non_null(find(table, 1)); /* and nothing went for it */
}

/* A year in the life of a small table, against a plain array. */
static void no_block_is_lost(void **state)
{
    (void)state;
    struct table *table = fresh(128);
    static size_t lengths[64];
    memset(lengths, 0, sizeof lengths);
    uint64_t random = 1;
    for (int i = 0; i < 200000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned key = (unsigned)(random >> 40) % 64;
        size_t len = 1 + (size_t)(random >> 50) % 400;
        struct entry *entry = find(table, key);
        assert_true((entry != NULL) == (lengths[key] != 0));
        if (entry == NULL) {
            entry = table_add(table, &key, sizeof key, len, false);
            lengths[key] = entry == NULL ? 0 : len;
        } else {
            assert_int_equal(entry_value_len(entry), lengths[key]);
            table_remove(table, entry);
            lengths[key] = 0;
        }
    }
    while (table_oldest(table) != NULL)
        table_remove(table, table_oldest(table));
    assert_int_equal(table_count(table), 0);
    assert_non_null(table_add(table, "k", 1, TABLE_ENTRY_BYTES_MAX - 1, false)); /* all is free */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(added_is_found_and_removed_is_not),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(long_keys_and_values_go_over_blocks),
        cmocka_unit_test(what_no_table_could_hold_is_refused),
        cmocka_unit_test(no_block_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
