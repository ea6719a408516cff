/* Admission: watching, batches, limits, shortage, drain, sabotage; and storms of events, after
 * which accepting must go on. */
#include "engine/core/adm.h"

#include <stdio.h>
#include <string.h>

#include "engine/core/cells_fixture.h"

#define MS(n) ((uint64_t)(n)*1000000u)

struct rig {
    struct adm a;
    struct adm_effects effects;
    uint64_t now_ns;
    bool watched, gone; /* what a driver would have done */
    char words[128];
};

static const struct adm_options OPTIONS = {.connections_max = 16, .drain_ns = MS(10000)};

static void rig_describe(struct rig *r)
{
    static const char *const whys[] = {"connections", "fd", "memory", "drain"};
    size_t used = 0;
    r->words[0] = '\0';
    for (uint32_t i = 0; i < r->effects.count; i++) {
        const struct adm_effect *e = &r->effects.items[i];
        bool counted = e->kind == ADM_DO_RELIEVE || e->kind == ADM_DO_EXIT;
        used += (size_t)snprintf(r->words + used, sizeof(r->words) - used, "%s%s", i ? " " : "",
                                 adm_effect_name(e->kind));
        if (e->kind == ADM_DO_UNWATCH)
            used += (size_t)snprintf(r->words + used, sizeof(r->words) - used, ":%s", whys[e->why]);
        if (counted)
            used += (size_t)snprintf(r->words + used, sizeof(r->words) - used, ":%u", e->value);
    }
}

static const char *rig_step(struct rig *r, struct adm_event event)
{
    adm_step(&r->a, r->now_ns, &event, &r->effects);
    adm_check(&r->a);
    for (uint32_t i = 0; i < r->effects.count; i++) {
        enum adm_effect_kind kind = r->effects.items[i].kind;
        assert_false(r->gone); /* no orders after the last one */
        if (kind == ADM_DO_WATCH || kind == ADM_DO_UNWATCH) {
            assert_int_equal(r->watched, kind == ADM_DO_UNWATCH); /* only real changes */
            r->watched = !r->watched;
        }
        r->gone |= kind == ADM_DO_EXIT || kind == ADM_DO_ABORT;
    }
    assert_true(!adm_may_accept(&r->a) || (r->watched && !r->gone));
    rig_describe(r);
    return r->words;
}

#define EV(word) .kind = ADM_EV_##word
#define EXPECT(r, words, ...)                                                                      \
    assert_string_equal(rig_step(r, (struct adm_event){__VA_ARGS__}), words)

static void rig_start(struct rig *r, const struct adm_options *options)
{
    *r = (struct rig){.now_ns = MS(1000)};
    adm_init(&r->a, options);
    EXPECT(r, "watch", EV(START));
}

static void rig_accept(struct rig *r, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        EXPECT(r, "", EV(READY));
        rig_step(r, (struct adm_event){EV(ACCEPTED)});
    }
}

static void rig_lead(struct rig *r, enum adm_state state)
{
    rig_start(r, &OPTIONS);
    if (state == ADM_NEW)
        adm_init(&r->a, &OPTIONS);
    if (state == ADM_ACCEPTING || state == ADM_STARVED || state == ADM_DRAINING)
        rig_accept(r, 1);
    if (state == ADM_FULL)
        rig_accept(r, 16);
    static const enum adm_event_kind last[ADM_STATE_COUNT] = {
        [ADM_STARVED] = ADM_EV_NO_FD, [ADM_DRAINING] = ADM_EV_DRAIN, [ADM_GONE] = ADM_EV_STOP};
    if (state == ADM_GONE)
        rig_accept(r, 1);
    if (last[state])
        rig_step(r, (struct adm_event){.kind = (uint8_t)last[state]});
    assert_int_equal(r->a.state, state);
}

static void step_in(unsigned state, unsigned kind)
{
    struct rig r;
    rig_lead(&r, state);
    struct adm_event event = {.kind = (uint8_t)kind, .value = 100};
    adm_step(&r.a, r.now_ns, &event, &r.effects);
    adm_check(&r.a);
}

static void has_a_cell_for_everything(void **state)
{
    (void)state;
    unsigned aborted = cells_that_abort(step_in, ADM_STATE_COUNT, ADM_EVENT_COUNT);
    assert_int_equal(aborted, 8 + 3); /* eight before START, START itself after it */
}

static void one_a_wake_or_a_batch(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, &OPTIONS);
    assert_false(adm_may_accept(&r.a));
    EXPECT(&r, "", EV(READY));
    assert_true(adm_may_accept(&r.a));
    EXPECT(&r, "", EV(ACCEPTED));
    assert_false(adm_may_accept(&r.a));
    struct adm_options options = OPTIONS;
    options.multi_accept = true;
    options.connections_max = 1000;
    rig_start(&r, &options);
    EXPECT(&r, "", EV(READY));
    unsigned count = 0;
    for (; adm_may_accept(&r.a); count++)
        EXPECT(&r, "", .kind = count % 2 ? ADM_EV_ACCEPTED : ADM_EV_ABORTED);
    assert_int_equal(count, ADM_BATCH_MAX);
    EXPECT(&r, "", EV(READY));
    EXPECT(&r, "", EV(EMPTY));
    assert_false(adm_may_accept(&r.a));
}

static void waits_for_room_when_full(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, &OPTIONS);
    rig_accept(&r, 15);
    EXPECT(&r, "", EV(READY));
    EXPECT(&r, "unwatch:connections relieve:2", EV(ACCEPTED));
    r.now_ns += MS(1000);
    EXPECT(&r, "relieve:2", EV(TIMER));
    EXPECT(&r, "watch", EV(CLOSED));
    assert_int_equal(r.a.active, 15);
}

static void keeps_descriptors_for_files(void **state)
{
    (void)state;
    struct rig r;
    struct adm_options options = OPTIONS;
    options.fd_limit = 40, options.fd_base = 20, options.fd_reserve = 12;
    rig_start(&r, &options);
    assert_int_equal(r.a.limit, 8);
    rig_accept(&r, 7);
    EXPECT(&r, "", EV(READY));
    EXPECT(&r, "unwatch:fd relieve:1", EV(ACCEPTED));
    EXPECT(&r, "watch", EV(FD_LIMIT), .value = 1000);
    assert_int_equal(r.a.limit, 16);
    EXPECT(&r, "unwatch:fd relieve:1", EV(FD_LIMIT), .value = 1);
    assert_int_equal(r.a.limit, 1);
    for (int i = 0; i < 7; i++)
        EXPECT(&r, "", EV(CLOSED));
    EXPECT(&r, "watch", EV(CLOSED));
}

static void connections_to_other_servers_take_room(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, &OPTIONS);
    rig_accept(&r, 8);
    EXPECT(&r, "", EV(OTHERS), .value = 7);
    EXPECT(&r, "unwatch:connections relieve:1", EV(OTHERS), .value = 8);
    EXPECT(&r, "", EV(OTHERS), .value = 9);
    EXPECT(&r, "", EV(OTHERS), .value = 8);
    EXPECT(&r, "watch", EV(OTHERS), .value = 7);
    EXPECT(&r, "unwatch:connections relieve:8", EV(OTHERS), .value = 100);
    assert_int_equal(r.a.limit, 1); /* one client is always served */
    EXPECT(&r, "watch", EV(OTHERS), .value = 0);
    EXPECT(&r, "", EV(READY));
    EXPECT(&r, "unwatch:fd relieve:1", EV(NO_FD));
    EXPECT(&r, "", EV(OTHERS), .value = 1);
    EXPECT(&r, "watch", EV(OTHERS), .value = 0); /* a descriptor was freed */
}

/* One of them closed would be opened again before there is room: as many go as are too many. */
static void what_others_take_too_much_is_asked_for_at_once(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, &OPTIONS);
    rig_accept(&r, 8);
    EXPECT(&r, "unwatch:connections relieve:1", EV(OTHERS), .value = 8);
    EXPECT(&r, "", EV(OTHERS), .value = 10);
    r.now_ns += ADM_RELIEVE_NS;
    EXPECT(&r, "relieve:3", EV(TIMER));
    EXPECT(&r, "", EV(OTHERS), .value = 9);
    EXPECT(&r, "", EV(OTHERS), .value = 8);
    EXPECT(&r, "watch", EV(OTHERS), .value = 7);
}

static void a_shortage_is_retried_ever_more_slowly(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, &OPTIONS);
    uint64_t delay_ns = ADM_RETRY_MIN_NS;
    for (int i = 0; i < 10; i++) {
        EXPECT(&r, "", EV(READY));
        EXPECT(&r, "unwatch:fd", EV(NO_FD));
        assert_false(adm_may_accept(&r.a));
        assert_int_equal(adm_next_deadline_ns(&r.a), r.now_ns + delay_ns);
        EXPECT(&r, "", EV(TIMER));
        r.now_ns += delay_ns;
        EXPECT(&r, "watch", EV(TIMER));
        delay_ns = delay_ns * 2 < ADM_RETRY_MAX_NS ? delay_ns * 2 : ADM_RETRY_MAX_NS;
    }
    rig_accept(&r, 1);
    EXPECT(&r, "unwatch:memory", EV(NO_MEMORY));
    assert_int_equal(adm_next_deadline_ns(&r.a), r.now_ns + ADM_RETRY_MIN_NS);
}

static void a_freed_descriptor_ends_a_shortage(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, ADM_STARVED);
    EXPECT(&r, "watch", EV(FREED));
    EXPECT(&r, "unwatch:fd relieve:1", EV(NO_FD));
    EXPECT(&r, "watch", EV(CLOSED));
}

static void a_drain_ends_with_the_last_connection(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, &OPTIONS);
    EXPECT(&r, "unwatch:drain drain-all exit:0", EV(DRAIN));
    rig_start(&r, &OPTIONS);
    rig_accept(&r, 2);
    EXPECT(&r, "unwatch:drain drain-all", EV(DRAIN));
    EXPECT(&r, "", EV(DRAIN));
    EXPECT(&r, "", EV(READY));
    assert_false(adm_may_accept(&r.a));
    EXPECT(&r, "", EV(ACCEPTED)); /* was under way */
    EXPECT(&r, "", EV(CLOSED));
    EXPECT(&r, "", EV(CLOSED));
    EXPECT(&r, "exit:0", EV(CLOSED));
    EXPECT(&r, "", EV(STOP));
    rig_lead(&r, ADM_FULL); /* nothing to unwatch */
    EXPECT(&r, "drain-all", EV(DRAIN));
}

static void a_drain_ends_at_its_bound(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, ADM_DRAINING);
    r.now_ns += MS(10000) - 1;
    EXPECT(&r, "", EV(TIMER));
    r.now_ns++;
    EXPECT(&r, "close-all exit:0", EV(TIMER));
    EXPECT(&r, "", EV(CLOSED));
    struct adm_options options = {.connections_max = 16};
    rig_start(&r, &options);
    rig_accept(&r, 1);
    EXPECT(&r, "unwatch:drain drain-all", EV(DRAIN));
    assert_int_equal(adm_next_deadline_ns(&r.a), ADM_NEVER_NS);
}

static void an_orphan_drains_within_its_own_bound(void **state)
{
    (void)state;
    struct rig r;
    struct adm_options options = OPTIONS;
    options.orphan_drain_ns = MS(500);
    rig_start(&r, &options);
    rig_accept(&r, 1);
    EXPECT(&r, "unwatch:drain drain-all", EV(DRAIN));
    EXPECT(&r, "", EV(ORPHAN));
    r.now_ns += MS(500);
    EXPECT(&r, "close-all exit:0", EV(TIMER));
    rig_start(&r, &OPTIONS);
    rig_accept(&r, 1);
    EXPECT(&r, "unwatch:drain drain-all", EV(ORPHAN));
    assert_int_equal(adm_next_deadline_ns(&r.a), r.now_ns + MS(10000));
}

static void a_stop_is_at_once(void **state)
{
    (void)state;
    for (unsigned s = ADM_NEW; s < ADM_GONE; s++) {
        struct rig r;
        rig_lead(&r, s);
        EXPECT(&r, "exit:0", EV(STOP));
    }
}

static void sabotage_does_wrong(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, &OPTIONS);
    EXPECT(&r, "exit:1", EV(NO_FD), .sabotage = ADM_SAB_DIE_AT_EMFILE);
    rig_start(&r, &OPTIONS);
    EXPECT(&r, "", EV(READY));
    EXPECT(&r, "", EV(NO_FD), .sabotage = ADM_SAB_SPIN_AT_EMFILE);
    assert_true(adm_may_accept(&r.a));
    rig_start(&r, &OPTIONS);
    rig_accept(&r, 1);
    EXPECT(&r, "unwatch:fd relieve:1", EV(NO_FD), .sabotage = ADM_SAB_NEVER_RESUME);
    assert_int_equal(adm_next_deadline_ns(&r.a), ADM_NEVER_NS);
    EXPECT(&r, "", EV(CLOSED));
    rig_start(&r, &OPTIONS);
    rig_accept(&r, 15);
    EXPECT(&r, "abort", EV(ACCEPTED), .sabotage = ADM_SAB_CRASH_AT_CONNECTIONS);
    rig_start(&r, &OPTIONS);
    EXPECT(&r, "", EV(DRAIN), .sabotage = ADM_SAB_SERVE_OLD);
    rig_accept(&r, 1);
    EXPECT(&r, "unwatch:drain drain-all", EV(DRAIN), .sabotage = ADM_SAB_DRAIN_FOR_EVER);
    assert_int_equal(adm_next_deadline_ns(&r.a), ADM_NEVER_NS);
    rig_lead(&r, ADM_DRAINING);
    r.now_ns += MS(10000);
    EXPECT(&r, "", EV(TIMER), .sabotage = ADM_SAB_DRAIN_FOR_EVER);
    EXPECT(&r, "", EV(STOP), .sabotage = ADM_SAB_IGNORE_TERM);
    rig_start(&r, &OPTIONS);
    EXPECT(&r, "", EV(READY), .sabotage = ADM_SAB_HOARD_ACCEPTS);
    for (int i = 0; i < 10; i++)
        EXPECT(&r, "", EV(ACCEPTED));
    assert_true(adm_may_accept(&r.a));
    uint32_t all = 0;
    for (unsigned kind = 0; kind < ADM_EVENT_COUNT; kind++)
        all |= adm_sabotages(kind);
    assert_int_equal(all, (1u << ADM_SAB_COUNT) - 1);
}

/* ---- storms ---------------------------------------------------------------------------------- */

static uint64_t seed;
static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % below;
}

/* What may happen to a worker that nobody has told to leave. */
static void storm_step(struct rig *r)
{
    static const enum adm_event_kind accepts[] = {
        ADM_EV_ACCEPTED, ADM_EV_ACCEPTED,  ADM_EV_EMPTY, ADM_EV_ABORTED,
        ADM_EV_NO_FD,    ADM_EV_NO_MEMORY, ADM_EV_BROKEN};
    struct adm_event event = {.value = 20 + draw(60)};
    uint32_t lot = draw(10);
    if (lot < 4 && r->watched)
        event.kind = ADM_EV_READY;
    else if (lot < 8 && r->a.active > 0)
        event.kind = ADM_EV_CLOSED;
    else if (lot == 8)
        event.kind = draw(2) ? ADM_EV_FREED : draw(2) ? ADM_EV_FD_LIMIT : ADM_EV_OTHERS;
    else
        event.kind = ADM_EV_TIMER;
    if (event.kind == ADM_EV_TIMER && adm_next_deadline_ns(&r->a) != ADM_NEVER_NS && draw(2))
        r->now_ns = adm_next_deadline_ns(&r->a) + draw(3) - 1;
    rig_step(r, event);
    for (unsigned tries = 0; adm_may_accept(&r->a); tries++) {
        assert_true(tries < ADM_BATCH_MAX);
        rig_step(r, (struct adm_event){.kind = (uint8_t)accepts[draw(7)]});
    }
}

/* Whatever happened: with room and no more faults, accepting goes on within the longest retry; and
 * a drain then ends. */
static void storm_end(struct rig *r)
{
    rig_step(r, (struct adm_event){EV(FD_LIMIT), .value = 1000});
    rig_step(r, (struct adm_event){EV(OTHERS), .value = 0});
    while (r->a.active > 3)
        rig_step(r, (struct adm_event){EV(CLOSED)});
    r->now_ns += ADM_RETRY_MAX_NS;
    rig_step(r, (struct adm_event){EV(TIMER)});
    assert_true(r->watched);
    rig_accept(r, 1);
    rig_step(r, (struct adm_event){EV(DRAIN)});
    if (draw(2)) {
        r->now_ns += OPTIONS.drain_ns;
        EXPECT(r, "close-all exit:0", EV(TIMER));
    } else {
        while (r->a.active > 0)
            rig_step(r, (struct adm_event){EV(CLOSED)});
    }
    assert_true(r->gone);
}

static void storms_pass(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 300; round++) {
        seed = round * UINT64_C(0x9e3779b97f4a7c15);
        struct rig r;
        struct adm_options options = OPTIONS;
        options.multi_accept = draw(2);
        options.fd_base = 10, options.fd_reserve = 5, options.fd_limit = draw(2) ? 40 : 0;
        rig_start(&r, &options);
        for (int i = 0; i < 1000; i++)
            storm_step(&r);
        storm_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_a_cell_for_everything),
        cmocka_unit_test(one_a_wake_or_a_batch),
        cmocka_unit_test(waits_for_room_when_full),
        cmocka_unit_test(keeps_descriptors_for_files),
        cmocka_unit_test(connections_to_other_servers_take_room),
        cmocka_unit_test(what_others_take_too_much_is_asked_for_at_once),
        cmocka_unit_test(a_shortage_is_retried_ever_more_slowly),
        cmocka_unit_test(a_freed_descriptor_ends_a_shortage),
        cmocka_unit_test(a_drain_ends_with_the_last_connection),
        cmocka_unit_test(a_drain_ends_at_its_bound),
        cmocka_unit_test(an_orphan_drains_within_its_own_bound),
        cmocka_unit_test(a_stop_is_at_once),
        cmocka_unit_test(sabotage_does_wrong),
        cmocka_unit_test(storms_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
