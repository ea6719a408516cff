/* For tests of parsers: input that stands against a protected page, so that a read past its end
 * ends the test. */
#ifndef ENGINE_CORE_WALL_FIXTURE_H
#define ENGINE_CORE_WALL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { WALL_ROOM = 65536 };
static char *wall; /* the first byte that must not be read; WALL_ROOM bytes stand before it */

/* The group's set-up. */
static inline int raise_wall(void **state)
{
    (void)state;
    char *map =
        mmap(NULL, 2 * WALL_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + WALL_ROOM, WALL_ROOM, PROT_NONE) != 0)
        return -1;
    wall = map + WALL_ROOM;
    return 0;
}

/* The same bytes, so placed that the one after the last is not ours to read. */
static inline char *against_wall(const char *text, size_t len)
{
    assert_true(len <= WALL_ROOM);
    return memcpy(wall - len, text, len);
}

#endif
