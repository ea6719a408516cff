/* Connections in storms: a small driver that carries out every effect and lets anything happen that
 * can, drawn from a seed. The driver holds what the table promises: watches change only when they
 * must, a life ends once, what was announced is kept, a drain closes nothing by itself, and every
 * wait that the client owes has an end. */
#include "engine/core/conn_rig.h"

enum { STEPS = 2000, SEEDS = 300 };

struct world {
    struct rig r;
    bool reading, writing, alive, said_close, said_keep, closed_by_us;
    bool body_left; /* as the body decoder would know */
    uint64_t lives, served, recvs;
};

static uint64_t seed;
static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % below;
}

/* What the driver does about an effect: the event that follows at once, if one does. */
static bool follow(struct world *w, const struct conn_effect *effect, struct conn_event *next);

static void tell(struct world *w, struct conn_event event)
{
    bool more = true;
    for (unsigned depth = 0; more; depth++) {
        assert_true(depth < 64);
        rig_step(&w->r, event);
        struct conn_effects effects = w->r.effects;
        more = false;
        for (uint32_t i = 0; i < effects.count; i++) {
            assert_true(w->alive); /* nothing after the end */
            assert_false(more);    /* at most one effect of a step has an event for its result */
            more = follow(w, &effects.items[i], &event);
        }
    }
}

static uint8_t some(unsigned flags)
{
    return (uint8_t)(draw(256) & flags);
}

static struct conn_event received(void)
{
    static const uint8_t kinds[] = {CONN_EV_BYTES, CONN_EV_BYTES, CONN_EV_BYTES, CONN_EV_BYTES,
                                    CONN_EV_EMPTY, CONN_EV_END,   CONN_EV_RESET, CONN_EV_ERROR};
    return (struct conn_event){.kind = kinds[draw(draw(16) ? 5 : 8)]};
}

static struct conn_event shaken(void)
{
    static const uint8_t kinds[] = {CONN_EV_SHAKEN,  CONN_EV_SHAKEN, CONN_EV_EMPTY,
                                    CONN_EV_BLOCKED, CONN_EV_ERROR,  CONN_EV_HEAD_BAD,
                                    CONN_EV_END,     CONN_EV_RESET};
    return (struct conn_event){.kind = kinds[draw(draw(16) ? 4 : 8)], .flags = some(CONN_PROGRESS)};
}

static struct conn_event parsed(struct world *w)
{
    static const uint8_t kinds[] = {CONN_EV_HEAD_MORE, CONN_EV_HEAD_DONE, CONN_EV_HEAD_DONE,
                                    CONN_EV_HEAD_DONE, CONN_EV_HEAD_BAD};
    struct conn_event event = {.kind = kinds[draw(draw(8) ? 4 : 5)], .status = 400};
    if (event.kind == CONN_EV_HEAD_DONE) {
        event.flags = some(CONN_KEEP_ALIVE | CONN_HAS_BODY | CONN_EXPECTS) | some(CONN_KEEP_ALIVE);
        w->body_left = (event.flags & CONN_HAS_BODY) != 0;
    }
    return event;
}

static bool decoded(struct world *w, struct conn_event *event)
{
    if (!w->body_left || draw(3) == 0)
        return false;
    w->body_left = draw(4) != 0;
    if (w->body_left && draw(8))
        return false;
    *event = w->body_left
                 ? (struct conn_event){.kind = CONN_EV_BODY_BAD, .status = 400}
                 : (struct conn_event){.kind = CONN_EV_BODY_DONE, .flags = some(CONN_BUFFERED)};
    w->body_left = false;
    return true;
}

static struct conn_event sent(void)
{
    static const uint8_t kinds[] = {CONN_EV_BLOCKED, CONN_EV_FLUSHED, CONN_EV_FLUSHED};
    return (struct conn_event){.kind = kinds[draw(3)], .flags = some(CONN_PROGRESS)};
}

static bool follow(struct world *w, const struct conn_effect *effect, struct conn_event *next)
{
    switch ((enum conn_effect_kind)effect->kind) {
    case CONN_DO_READ_ON:
    case CONN_DO_READ_OFF:
        assert_int_equal(w->reading, effect->kind == CONN_DO_READ_OFF);
        w->reading = !w->reading;
        return false;
    case CONN_DO_WRITE_ON:
    case CONN_DO_WRITE_OFF:
        assert_int_equal(w->writing, effect->kind == CONN_DO_WRITE_OFF);
        w->writing = !w->writing;
        return false;
    case CONN_DO_RECV:
        w->recvs++;
        *next = received();
        return true;
    case CONN_DO_SHAKE:
        w->recvs++;
        *next = shaken();
        return true;
    case CONN_DO_PARSE:
        assert_false(w->said_close); /* no request after an announced close */
        *next = parsed(w);
        return true;
    case CONN_DO_PARSE_BODY:
        return decoded(w, next);
    case CONN_DO_SEND:
        *next = sent();
        return true;
    case CONN_DO_EXECUTE:
        w->served++;
        w->said_keep = false;
        return false;
    case CONN_DO_ANNOUNCE:
        w->said_close = true;
        return false;
    case CONN_DO_KEEP:
        w->said_keep = true;
        return false;
    case CONN_DO_CLOSE:
    case CONN_DO_RESET:
        w->alive = w->reading = w->writing = w->body_left = false;
        w->closed_by_us = effect->why == CONN_WHY_DONE;
        return false;
    case CONN_DO_RESPOND:
    case CONN_DO_CONTINUE:
    case CONN_DO_TUNNEL:
    case CONN_DO_DISCARD:
    case CONN_DO_SHUTDOWN_WRITE:
        return false;
    case CONN_EFFECT_COUNT:
        break;
    }
    fail();
    return false;
}

static void begin_life(struct world *w)
{
    w->alive = true;
    w->said_close = w->said_keep = false;
    w->lives++;
    tell(w,
         (struct conn_event){.kind = CONN_EV_ACCEPTED,
                             .flags = (draw(8) ? 0 : CONN_DRAINING) | (draw(8) ? 0 : CONN_SHAKES)});
}

/* A handler's next move in the state it is in. */
static void handler_moves(struct world *w)
{
    static const uint8_t before[] = {CONN_EV_RESPONSE,    CONN_EV_RESPONSE,  CONN_EV_RESPONSE,
                                     CONN_EV_BODY_WANTED, CONN_EV_BODY_HELD, CONN_EV_ABANDONED};
    static const uint8_t after[] = {CONN_EV_ANSWERED, CONN_EV_ANSWERED, CONN_EV_BLOCKED,
                                    CONN_EV_FLUSHED, CONN_EV_ABANDONED};
    enum conn_state state = w->r.c.state;
    struct conn_event event = {.left = w->body_left ? draw(2) ? 10 : CONN_LEFT_UNKNOWN : 0};
    if (state == CONN_BODY || state == CONN_EXECUTING) {
        event.kind = before[draw(draw(16) ? 5 : 6)];
        event.flags = some(CONN_MUST_CLOSE) & some(CONN_MUST_CLOSE);
        if (!w->body_left)
            event.flags |= some(CONN_BUFFERED) | (draw(8) ? 0 : CONN_UPGRADED);
    } else if (state == CONN_WRITING || state == CONN_TUNNEL) {
        event.kind = after[draw(draw(16) ? 4 : 5)];
        event.flags = some(CONN_PROGRESS) | (w->body_left ? 0 : some(CONN_BUFFERED));
    } else {
        return;
    }
    bool answered = event.kind == CONN_EV_ANSWERED && state == CONN_WRITING;
    bool keeps = w->said_keep && !conn_closes(&w->r.c);
    bool ended = w->r.c.deadline_ns == CONN_NEVER_NS && !w->reading;
    tell(w, event);
    if (answered && keeps && !ended && !w->alive)
        assert_false(w->closed_by_us); /* the client or a later event may end it, not we */
}

/* Readiness is level-triggered: who neither reads nor stops watching would spin. */
static void client_moves(struct world *w)
{
    if (w->reading && draw(2)) {
        uint64_t recvs = w->recvs;
        tell(w, (struct conn_event){.kind = CONN_EV_READABLE});
        assert_true(w->recvs > recvs || !w->reading);
    } else if (w->writing) {
        tell(w, (struct conn_event){.kind = CONN_EV_WRITABLE});
    }
}

static void time_passes(struct world *w)
{
    uint64_t deadline_ns = conn_next_deadline_ns(&w->r.c);
    if (deadline_ns != CONN_NEVER_NS && deadline_ns > w->r.now_ns && draw(4) == 0)
        w->r.now_ns = deadline_ns;
    else
        w->r.now_ns += draw(1000000000);
    tell(w, (struct conn_event){.kind = CONN_EV_TIMER});
}

static void world_step(struct world *w)
{
    if (!w->alive) {
        begin_life(w);
        return;
    }
    switch (draw(16)) {
    case 0:
        time_passes(w);
        break;
    case 1:
        if (draw(8) == 0) {
            tell(w, (struct conn_event){.kind = CONN_EV_DRAIN});
            assert_true(w->alive); /* a drain closes nothing by itself */
        }
        break;
    case 2:
        if (draw(8) == 0)
            tell(w, (struct conn_event){.kind = draw(4) ? CONN_EV_REAP : CONN_EV_CUT});
        break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        client_moves(w);
        break;
    default:
        handler_moves(w);
    }
}

/* A silent client: whatever it owes, the clock ends it. The handler's own states have no clock. */
static void silence_ends(struct world *w)
{
    for (unsigned i = 0; w->alive && i < 8; i++) {
        uint64_t deadline_ns = conn_next_deadline_ns(&w->r.c);
        enum conn_state state = w->r.c.state;
        if (deadline_ns == CONN_NEVER_NS) {
            assert_true(state == CONN_EXECUTING || state == CONN_WRITING || state == CONN_TUNNEL ||
                        state == CONN_BODY);
            tell(w, (struct conn_event){.kind = CONN_EV_CUT});
            assert_false(w->alive);
            return;
        }
        w->r.now_ns = deadline_ns;
        rig_step(&w->r, (struct conn_event){.kind = CONN_EV_TIMER});
        if (w->r.c.state == CONN_FRESH || w->r.c.state == CONN_IDLE) /* the last look */
            rig_step(&w->r, (struct conn_event){.kind = CONN_EV_EMPTY});
        w->alive = w->r.c.state != CONN_CLOSED;
    }
    assert_false(w->alive);
}

static void storms_pass(void **state)
{
    (void)state;
    uint64_t served = 0, lives = 0;
    for (uint64_t round = 1; round <= SEEDS; round++) {
        seed = round * UINT64_C(0x9e3779b97f4a7c15);
        struct world w;
        memset(&w, 0, sizeof(w));
        rig_start(&w.r);
        w.r.limits.drain_idle_ns = draw(2) ? SECONDS(3) : 0;
        w.r.limits.keepalive_requests = draw(2) ? 10 : 0;
        w.r.limits.reset_timedout = draw(2);
        w.r.limits.lingering = (uint8_t)draw(3);
        for (unsigned i = 0; i < STEPS; i++)
            world_step(&w);
        silence_ends(&w);
        served += w.served;
        lives += w.lives;
    }
    print_message("%u lives, %u requests\n", (unsigned)lives, (unsigned)served);
    /* The storm is of use only while it leaves time for work. */
    assert_true(served > lives && lives > SEEDS * 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(storms_pass)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
