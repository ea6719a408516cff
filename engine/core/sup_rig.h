/* For the supervisor's tests: one supervisor, its effects, and short words to drive it with. Every
 * step is followed by sup_check(), so each test is also a test of the invariants. */
#ifndef ENGINE_CORE_SUP_RIG_H
#define ENGINE_CORE_SUP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/core/sup.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

struct rig {
    struct sup sup;
    struct sup_effects effects; /* of the last step */
    uint64_t now_ns;
};

static const struct sup_settings rig_settings = {
    .workers = 2,
    .drain_ns = 10 * SECOND,
    .watchdog_ns = 5 * SECOND,
    .backoff_min_ns = 10 * MS,
    .backoff_max_ns = 10 * SECOND,
    .reload_timeout_ns = 30 * SECOND,
};

static inline void rig_give(struct rig *r, const struct sup_event *event)
{
    sup_step(&r->sup, r->now_ns, event, &r->effects);
    const char *broken = sup_check(&r->sup);
    if (broken != NULL)
        fail_msg("after %s in mode %s: not so: %s", sup_event_word(event->kind),
                 sup_mode_word(r->sup.mode), broken);
}

static inline void rig_event(struct rig *r, enum sup_event_kind kind)
{
    rig_give(r, &(struct sup_event){.kind = kind});
}

static inline void rig_sabotaged(struct rig *r, enum sup_event_kind kind, uint64_t sabotage)
{
    rig_give(r, &(struct sup_event){.kind = kind, .sabotage = sabotage});
}

static inline void rig_worker(struct rig *r, enum sup_event_kind kind, int slot,
                              uint32_t generation, uint64_t a)
{
    rig_give(r, &(struct sup_event){
                    .kind = kind, .slot = (int16_t)slot, .generation = generation, .a = a});
}

static inline void rig_conf_ok(struct rig *r, const struct sup_settings *settings)
{
    rig_give(r, &(struct sup_event){.kind = SUP_CONF_OK, .settings = *settings});
}

static inline unsigned rig_count(const struct rig *r, enum sup_effect_kind kind)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < r->effects.count; i++)
        count += r->effects.at[i].kind == kind;
    return count;
}

/* The first effect of this kind in the last step; it must be there. */
static inline const struct sup_effect *rig_effect(const struct rig *r, enum sup_effect_kind kind)
{
    for (uint32_t i = 0; i < r->effects.count; i++)
        if (r->effects.at[i].kind == kind)
            return &r->effects.at[i];
    fail_msg("no effect %s in the last step", sup_effect_word(kind));
    return NULL;
}

static inline void rig_expect_worker(const struct rig *r, enum sup_effect_kind kind, int slot,
                                     uint32_t generation)
{
    for (uint32_t i = 0; i < r->effects.count; i++) {
        const struct sup_effect *e = &r->effects.at[i];
        if (e->kind == kind && e->slot == slot && e->generation == generation)
            return;
    }
    fail_msg("no effect %s for worker %d.%u in the last step", sup_effect_word(kind), slot,
             generation);
}

static inline void rig_expect_report(const struct rig *r, enum sup_outcome outcome,
                                     enum sup_reason reason)
{
    const struct sup_effect *e = rig_effect(r, SUP_DO_REPORT);
    assert_int_equal(e->a, outcome);
    assert_string_equal(sup_reason_word(e->reason), sup_reason_word(reason));
}

/* Lets time pass until the next deadline, as a driver does: first all beats, then the timer. */
static inline void rig_wait(struct rig *r)
{
    uint64_t due_ns = sup_next_deadline_ns(&r->sup);
    assert_true(due_ns != UINT64_MAX);
    if (due_ns > r->now_ns)
        r->now_ns = due_ns;
    rig_event(r, SUP_TIMER);
}

/* Waits until an effect of this kind is given, at most `tries` deadlines. */
static inline void rig_wait_for(struct rig *r, enum sup_effect_kind kind)
{
    for (int tries = 0; tries < 100; tries++) {
        rig_wait(r);
        if (rig_count(r, kind) > 0)
            return;
    }
    fail_msg("effect %s did not come", sup_effect_word(kind));
}

static inline void rig_mode(const struct rig *r, enum sup_mode mode)
{
    assert_string_equal(sup_mode_word(r->sup.mode), sup_mode_word(mode));
}

static inline void rig_state(const struct rig *r, int slot, uint32_t generation,
                             enum sup_worker_state state)
{
    const struct sup_worker *w = sup_find(&r->sup, slot, generation);
    assert_non_null(w);
    assert_string_equal(sup_worker_state_word(w->state), sup_worker_state_word(state));
}

/* A worker that exists gets as far as it can: it is poised, and when told to accepts. */
static inline void rig_ready(struct rig *r, int slot, uint32_t generation)
{
    rig_worker(r, SUP_POISED, slot, generation, 0);
    if (rig_count(r, SUP_DO_GO) == 1)
        rig_worker(r, SUP_READY, slot, generation, 0);
}

/* Workers 0..count-1 of a generation, each just asked for, come to be and say that they could
 * accept. */
static inline void rig_poise(struct rig *r, uint32_t generation, unsigned count)
{
    for (unsigned slot = 0; slot < count; slot++)
        rig_worker(r, SUP_SPAWNED, (int)slot, generation, 0);
    for (unsigned slot = 0; slot < count; slot++)
        rig_worker(r, SUP_POISED, (int)slot, generation, 0);
}

static inline void rig_accept(struct rig *r, uint32_t generation, unsigned count)
{
    for (unsigned slot = 0; slot < count; slot++)
        rig_worker(r, SUP_READY, (int)slot, generation, 0);
}

static inline void rig_start(struct rig *r, uint32_t generation, unsigned count)
{
    rig_poise(r, generation, count);
    rig_accept(r, generation, count);
}

static inline void rig_init(struct rig *r, const struct sup_settings *settings)
{
    struct sup_options options = sup_options_default(settings, 1);
    sup_init(&r->sup, &options);
    r->now_ns = 100 * SECOND;
    rig_event(r, SUP_BOOT);
}

/* Two workers of generation 1, ready. */
static inline void rig_running(struct rig *r)
{
    rig_init(r, &rig_settings);
    rig_start(r, 1, 2);
    rig_mode(r, SUP_MODE_RUNNING);
    r->now_ns += 2 * SECOND; /* they have been there for a while */
}

/* A reload to `generation`, up to the point where its workers are asked for. */
static inline void rig_roll(struct rig *r)
{
    rig_event(r, SUP_RELOAD);
    assert_int_equal(rig_count(r, SUP_DO_LOAD_CONF), 1);
    rig_conf_ok(r, &rig_settings);
    rig_mode(r, SUP_MODE_ROLLING);
}

static inline void rig_gone(struct rig *r, uint32_t generation, unsigned count)
{
    for (unsigned slot = 0; slot < count; slot++)
        rig_worker(r, SUP_EXITED, (int)slot, generation, 0);
}

#endif
