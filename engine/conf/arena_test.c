/* Pieces of an arena are zeroed, aligned, apart from each other, and there until the end. */
#include "engine/conf/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PIECES 500

static void pieces_do_not_touch(void **state)
{
    size_t chunk_bytes = (size_t)*state;
    struct arena *arena = arena_new(chunk_bytes);
    unsigned char *pieces[PIECES];
    assert_non_null(arena);
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = arena_alloc(arena, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j < i; j++)
            assert_int_equal(pieces[i][j], 0);
        memset(pieces[i], (int)(i % 251), i);
    }
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t j = 0; j < i; j++)
            assert_int_equal(pieces[i][j], i % 251);
    }
    arena_free(arena);
}

static void what_cannot_be_had_is_null(void **state)
{
    (void)state;
    struct arena *arena = arena_new(64);
    assert_non_null(arena);
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_null(arena_alloc(arena, SIZE_MAX / 2 + 1));
    assert_non_null(arena_alloc(arena, 1));
    arena_free(arena);
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(pieces_do_not_touch, (void *)0),
        cmocka_unit_test_prestate(pieces_do_not_touch, (void *)100),
        cmocka_unit_test_prestate(pieces_do_not_touch, (void *)8192),
        cmocka_unit_test(what_cannot_be_had_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
