/* The bytes of a long answer: printable, and a byte's value tells its place, so that a shifted,
 * repeated or foreign piece is noticed. The period is 89 * 89 bytes. */
#ifndef SCENARIOS_HISTORY_PATTERN_H
#define SCENARIOS_HISTORY_PATTERN_H

#include <stddef.h>
#include <stdint.h>

static inline unsigned char pattern_byte(uint64_t offset)
{
    return (unsigned char)(33 + (offset + offset / 89) % 89);
}

static inline void pattern_fill(unsigned char *out, size_t len, uint64_t offset)
{
    for (size_t i = 0; i < len; i++)
        out[i] = pattern_byte(offset + i);
}

#endif
