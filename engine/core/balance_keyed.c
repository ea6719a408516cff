/* Methods that go by a key or by chance. Where the server that they name may not be asked they hop
 * on, and after HOPS_MAX hops leave the choice to round robin. */
#include <string.h>

#include "engine/core/balance_priv.h"

/* CRC-32 of zlib and everybody else, a half byte at a time. */
static uint32_t crc32_add(uint32_t crc, const char *at, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)at[i];
        crc = table[(crc ^ byte) & 15] ^ crc >> 4;
        crc = table[(crc ^ byte >> 4) & 15] ^ crc >> 4;
    }
    return crc;
}

/* ---- hash ------------------------------------------------------------------------------------ */

/* As Cache::Memcached: the number of the hop, from the second on, stands before the key. */
static uint32_t hop_hash(const struct balance_choice *choice)
{
    char digits[10];
    size_t at = sizeof digits;
    for (uint32_t rest = choice->rehash; rest > 0; rest /= 10)
        digits[--at] = (char)('0' + rest % 10);
    uint32_t crc = crc32_add(UINT32_MAX, digits + at, sizeof digits - at);
    crc = ~crc32_add(crc, choice->key, choice->key_len);
    return crc >> 16 & 0x7fff;
}

int balance_pick_hash(const struct balance_group *group, struct balance_choice *choice,
                      uint64_t now_ns)
{
    uint32_t total = balance_total_weight(group);
    while (choice->key_len > 0 && choice->hops <= HOPS_MAX) {
        choice->hash += hop_hash(choice);
        choice->rehash++;
        uint32_t i = balance_at_weight(group, choice->hash % total);
        if (balance_may(group, choice, i, now_ns))
            return balance_take(group, choice, i, now_ns);
        choice->hops++;
    }
    return BALANCE_NONE;
}

/* ---- ip_hash --------------------------------------------------------------------------------- */

int balance_pick_ip(const struct balance_group *group, struct balance_choice *choice,
                    uint64_t now_ns)
{
    uint32_t total = balance_total_weight(group);
    if (!choice->hashed)
        choice->hash = 89;
    choice->hashed = true;
    while (choice->hops <= HOPS_MAX) {
        for (size_t i = 0; i < choice->key_len; i++)
            choice->hash = (choice->hash * 113 + (uint8_t)choice->key[i]) % 6271;
        uint32_t i = balance_at_weight(group, choice->hash % total);
        if (balance_may(group, choice, i, now_ns))
            return balance_take(group, choice, i, now_ns);
        choice->hops++;
    }
    return BALANCE_NONE;
}

/* ---- hash consistent (ketama) ---------------------------------------------------------------- */

/* HOST NUL PORT of a name; a unix path is all host. */
static uint32_t name_hash(const struct balance_server *server)
{
    const char *name = server->name;
    size_t len = server->name_len, host = len;
    if (len >= 5 && memcmp(name, "unix:", 5) == 0) {
        name += 5;
        len -= 5;
        host = len;
    } else {
        while (host > 0 && name[host - 1] >= '0' && name[host - 1] <= '9')
            host--;
        host = host > 0 && name[host - 1] == ':' ? host - 1 : len;
    }
    const char *port = host < len ? name + host + 1 : name + len;
    uint32_t crc = crc32_add(UINT32_MAX, name, host);
    crc = crc32_add(crc, "", 1);
    return crc32_add(crc, port, (size_t)(name + len - port));
}

void balance_points(const struct balance_server *server, uint32_t index, struct balance_point *out)
{
    uint32_t base = name_hash(server), before = 0;
    for (uint32_t i = 0; i < server->weight * BALANCE_POINTS_PER_WEIGHT; i++) {
        const char bytes[4] = {(char)before, (char)(before >> 8), (char)(before >> 16),
                               (char)(before >> 24)};
        before = ~crc32_add(base, bytes, sizeof bytes);
        out[i] = (struct balance_point){before, index};
    }
}

uint32_t balance_points_unique(struct balance_point *points, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || points[i].hash != points[kept - 1].hash)
            points[kept++] = points[i];
    return kept;
}

/* The first point at or behind `hash`; may be point_count, which is the first again. */
static uint32_t find_point(const struct balance_group *group, uint32_t hash)
{
    uint32_t low = 0, high = group->point_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (group->points[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_same_name(const struct balance_group *group, uint32_t i, uint32_t like)
{
    const struct balance_server *a = &group->servers[i], *b = &group->servers[like];
    return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0;
}

int balance_pick_consistent(const struct balance_group *group, struct balance_choice *choice,
                            uint64_t now_ns)
{
    if (!choice->hashed)
        choice->hash = find_point(group, ~crc32_add(UINT32_MAX, choice->key, choice->key_len));
    choice->hashed = true;
    while (choice->key_len > 0 && choice->hops <= HOPS_MAX) {
        uint32_t server = group->points[choice->hash % group->point_count].server;
        int picked = balance_smooth(group, choice, (struct range){0, group->primaries}, now_ns,
                                    has_same_name, server);
        if (picked != BALANCE_NONE)
            return picked;
        choice->hash++;
        choice->hops++;
    }
    return BALANCE_NONE;
}

/* ---- random ---------------------------------------------------------------------------------- */

/* xorshift64*; its state belongs to the group. */
static uint32_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (uint32_t)(x * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static uint32_t draw(const struct balance_group *group, uint32_t total)
{
    return balance_at_weight(group, next_random(group->random) % total);
}

int balance_pick_random(const struct balance_group *group, struct balance_choice *choice,
                        uint64_t now_ns)
{
    uint32_t total = balance_total_weight(group);
    int other = BALANCE_NONE; /* the first of two */
    while (choice->hops <= HOPS_MAX) {
        uint32_t i = draw(group, total);
        if ((int)i == other || !balance_may(group, choice, i, now_ns)) {
            choice->hops++;
            continue;
        }
        if (group->method == BALANCE_RANDOM)
            return balance_take(group, choice, i, now_ns);
        if (other == BALANCE_NONE) {
            other = (int)i;
            continue;
        }
        uint64_t here = (uint64_t)group->states[i].conns * group->servers[other].weight;
        uint64_t there = (uint64_t)group->states[other].conns * group->servers[i].weight;
        return balance_take(group, choice, here < there ? i : (uint32_t)other, now_ns);
    }
    return BALANCE_NONE;
}
