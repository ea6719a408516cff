/* Deciding whether a fault point fires. */
#include "faultinject/decide.h"

#include <stddef.h>

_Static_assert(sizeof(struct fault_rule) % sizeof(uint64_t) == 0, "copied by whole words");

void fault_rule_copy(struct fault_rule *to, const struct fault_rule *from)
{
    const uint64_t *in = (const uint64_t *)(const void *)from;
    uint64_t *out = (uint64_t *)(void *)to;
    for (size_t i = 0; i < sizeof *to / sizeof *out; i++)
        __atomic_store_n(&out[i], __atomic_load_n(&in[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

/* A well mixed number of two (splitmix64's finaliser). */
static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = a + UINT64_C(0x9e3779b97f4a7c15) * (b + 1);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Number `draws` of the stream (seed, point, role, slot, generation, life). No state but the place
 * in it. */
static uint64_t draw(const struct fault_board *board, struct fault_self *self,
                     enum fault_point point)
{
    uint64_t at = mix(__atomic_load_n(&board->seed, __ATOMIC_RELAXED), point);
    at = mix(at, self->role);
    at = mix(at, (uint64_t)(int64_t)self->slot);
    at = mix(at, self->generation);
    at = mix(at, self->life);
    return mix(at, self->draws[point]++);
}

/* ---- lives ------------------------------------------------------------------------------------
 */

static uint64_t identity_of(enum fault_role role, int slot, uint32_t generation)
{
    return UINT64_C(1) << 63 | (uint64_t)role << 48 | (uint64_t)(uint16_t)slot << 32 | generation;
}

/* Counts a process of this identity and returns how many came before it; 0 when the table is full,
 * which makes streams repeat and breaks nothing. A claimed entry is never given back. */
static uint64_t count_life(struct fault_board *board, uint64_t identity)
{
    uint64_t start = mix(identity, 0);
    for (uint64_t i = 0; i < FAULT_LIVES_MAX; i++) {
        struct fault_life *life = &board->lives[(start + i) % FAULT_LIVES_MAX];
        uint64_t holder = 0;
        if (__atomic_compare_exchange_n(&life->identity, &holder, identity, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED) ||
            holder == identity)
            return __atomic_fetch_add(&life->count, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

void fault_self_start(struct fault_self *self, struct fault_board *board, enum fault_role role,
                      int slot, uint32_t generation, uint32_t pid)
{
    *self = (struct fault_self){.role = role,
                                .slot = slot,
                                .generation = generation,
                                .pid = pid,
                                .life = count_life(board, identity_of(role, slot, generation))};
}

/* ---- rules ------------------------------------------------------------------------------------
 */

/* The rule of a cell as it is armed now. False: it is being changed, which counts as disarmed. */
static bool read_rule(const struct fault_cell *cell, struct fault_rule *rule, uint32_t *epoch)
{
    *epoch = __atomic_load_n(&cell->epoch, __ATOMIC_ACQUIRE);
    if (*epoch & 1)
        return false;
    fault_rule_copy(rule, &cell->rule);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&cell->epoch, __ATOMIC_RELAXED) == *epoch;
}

/* Adds one to a counter of the rule that was read, unless it has reached `limit` (0: none) or the
 * cell holds another rule by now. Returns the new count, 0 if nothing was counted. */
static uint64_t count_up(uint64_t *counter, uint32_t epoch, uint64_t limit)
{
    uint64_t seen = __atomic_load_n(counter, __ATOMIC_RELAXED);
    do {
        if (seen >> 48 != (epoch & 0xffff) || (limit && fault_count(seen) >= limit))
            return 0;
    } while (!__atomic_compare_exchange_n(counter, &seen, seen + 1, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return fault_count(seen) + 1;
}

static bool matches(const struct fault_rule *rule, const struct fault_self *self,
                    enum fault_point point)
{
    return rule->point == (int64_t)point &&
           (rule->role == FAULT_ROLE_ANY || rule->role == (int64_t)self->role) &&
           (rule->slot < 0 || rule->slot == self->slot) &&
           (rule->generation < 0 || rule->generation == (int64_t)self->generation) &&
           (rule->pid == 0 || rule->pid == (int64_t)self->pid);
}

static bool chosen(const struct fault_rule *rule, uint64_t call)
{
    if (rule->nth)
        return call == rule->nth;
    return call > rule->after && (rule->every < 2 || (call - rule->after) % rule->every == 0);
}

/* ---- windows ----------------------------------------------------------------------------------
 */

/* A window's word: 0 closed, else 1 + the time since the arming at which it opened, in units that
 * let 48 bits hold nine years. */
enum { OPENED_UNIT_NS = 1024 };

static uint64_t since_arming(const struct fault_cell *cell, uint64_t now_ns)
{
    uint64_t armed_ns = __atomic_load_n(&cell->armed_ns, __ATOMIC_RELAXED);
    return now_ns > armed_ns ? now_ns - armed_ns : 0;
}

static void set_window(struct fault_cell *cell, uint32_t epoch, bool open, uint64_t now_ns)
{
    uint64_t tag = (uint64_t)(epoch & 0xffff) << 48;
    uint64_t to = open ? tag | (1 + since_arming(cell, now_ns) / OPENED_UNIT_NS) : tag;
    uint64_t seen = __atomic_load_n(&cell->opened, __ATOMIC_RELAXED);
    while (seen >> 48 == (epoch & 0xffff) && (fault_count(seen) != 0) != open)
        if (__atomic_compare_exchange_n(&cell->opened, &seen, to, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return;
}

/* Somebody passes the point: it opens and closes the windows that wait for it. */
static void pass(struct fault_board *board, enum fault_point point, uint64_t now_ns)
{
    uint64_t waiting = __atomic_load_n(&board->moments_of[point], __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < FAULT_RULES_MAX && waiting >> i; i++) {
        struct fault_rule rule;
        uint32_t epoch;
        if (waiting >> i & 1 && read_rule(&board->cells[i], &rule, &epoch))
            set_window(&board->cells[i], epoch, rule.from_point == (int64_t)point, now_ns);
    }
}

static bool is_open(const struct fault_cell *cell, const struct fault_rule *rule, uint64_t now_ns)
{
    uint64_t opened = fault_count(__atomic_load_n(&cell->opened, __ATOMIC_RELAXED));
    uint64_t elapsed = since_arming(cell, now_ns);
    if (opened == 0 || elapsed < rule->from_ns)
        return false;
    uint64_t open_for = elapsed - (opened - 1) * OPENED_UNIT_NS;
    return rule->until_ns == 0 || open_for < rule->until_ns;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* Asks one rule. True: it fires, and *out says how. */
static bool ask(struct fault_board *board, struct fault_self *self, enum fault_point point,
                uint64_t now_ns, unsigned index, struct fault_decision *out)
{
    struct fault_cell *cell = &board->cells[index];
    struct fault_rule rule;
    uint32_t epoch;
    if (!read_rule(cell, &rule, &epoch) || !matches(&rule, self, point) ||
        !is_open(cell, &rule, now_ns))
        return false;
    uint64_t call = count_up(&cell->calls, epoch, 0);
    if (call == 0 || !chosen(&rule, call))
        return false;
    if (rule.chance_in && draw(board, self, point) % rule.chance_in >= rule.chance_of)
        return false;
    *out = (struct fault_decision){.hit = {.kind = (enum fault_kind)rule.kind, .value = rule.value},
                                   .rule = index,
                                   .epoch = epoch,
                                   .nth = count_up(&cell->fired, epoch, rule.nth ? 1 : rule.times),
                                   .call = call};
    if (out->nth != 0 && rule.kind == FAULT_CORRUPT)
        out->hit.value = (int64_t)(draw(board, self, point) >> 1);
    return out->nth != 0;
}

bool fault_decide(struct fault_board *board, struct fault_self *self, enum fault_point point,
                  uint64_t now_ns, unsigned *next, struct fault_decision *out)
{
    uint64_t rules = __atomic_load_n(&board->rules_of[point], __ATOMIC_ACQUIRE);
    struct fault_decision decision;
    if (*next == 0)
        pass(board, point, now_ns);
    for (unsigned i = *next; i < FAULT_RULES_MAX && rules >> i; i++)
        if (rules >> i & 1 && ask(board, self, point, now_ns, i, &decision)) {
            *out = decision;
            *next = i + 1;
            return true;
        }
    return false;
}

bool fault_still_armed(const struct fault_board *board, const struct fault_decision *decision)
{
    return __atomic_load_n(&board->cells[decision->rule].epoch, __ATOMIC_ACQUIRE) ==
           decision->epoch;
}
