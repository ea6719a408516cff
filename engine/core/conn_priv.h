/* What the cells of a connection's table are made of, and what its flags mean. */
#ifndef ENGINE_CORE_CONN_PRIV_H
#define ENGINE_CORE_CONN_PRIV_H

#include "engine/core/check.h"
#include "engine/core/conn.h"

/* conn.flags */
enum {
    READ_WATCHED = 1 << 0,
    WRITE_WATCHED = 1 << 1,
    DRAINING = 1 << 2,
    LAST_LOOK = 1 << 3,   /* its time is over, unless this recv finds a request */
    WANTS_KEEP = 1 << 4,  /* the client would keep the connection after this request */
    CLOSES = 1 << 5,      /* the answer under way says close: binding */
    BODY_LEFT = 1 << 6,   /* some of the request's body has not come */
    EXPECTS = 1 << 7,     /* the client waits for 100 */
    UNREAD = 1 << 8,      /* there is input that nobody wanted yet */
    ENDED = 1 << 9,       /* the client will send no more */
    UPGRADED = 1 << 10,   /* the answer under way is a 101 */
    LEAVE_SOON = 1 << 11, /* the next answer must be the last */
    HELD = 1 << 12,       /* the handler takes no body for now */
    RESPONDING = 1 << 13, /* an answer of the driver's own (400, 408) was asked for */
    FLAGS_OF_REQUEST =
        WANTS_KEEP | CLOSES | BODY_LEFT | EXPECTS | UNREAD | UPGRADED | HELD | RESPONDING,
};

struct step {
    struct conn *c;
    uint64_t now_ns;
    const struct conn_event *event;
    struct conn_effects *effects;
};
typedef void conn_cell(const struct step *s);

static inline void change(const struct step *s, enum conn_state state, uint64_t deadline_ns)
{
    s->c->state = (uint8_t)state;
    s->c->deadline_ns = deadline_ns;
}

static inline struct conn_effect *emit(const struct step *s, enum conn_effect_kind kind)
{
    CORE_CHECK(s->effects->count < CONN_EFFECTS_MAX);
    struct conn_effect *effect = &s->effects->items[s->effects->count++];
    *effect = (struct conn_effect){.kind = (uint8_t)kind};
    return effect;
}

static inline bool has(const struct step *s, unsigned flags)
{
    return (s->c->flags & flags) != 0;
}

static inline void set(const struct step *s, unsigned flags)
{
    s->c->flags |= (uint16_t)flags;
}

static inline void clear(const struct step *s, unsigned flags)
{
    s->c->flags &= (uint16_t)~flags;
}

static inline bool told(const struct step *s, unsigned flag)
{
    return (s->event->flags & flag) != 0;
}

static inline bool sabotaged(const struct step *s, enum conn_sabotage bit)
{
    return __builtin_expect((s->event->sabotage & bit) != 0, 0);
}

static inline uint64_t after(const struct step *s, uint64_t timeout_ns)
{
    bool bounded = timeout_ns != 0 && timeout_ns < CONN_NEVER_NS - s->now_ns;
    return bounded ? s->now_ns + timeout_ns : CONN_NEVER_NS;
}

static inline uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A watch changes only when it must: each change is a system call. */
static inline void watch_read(const struct step *s, bool on)
{
    if (on == has(s, READ_WATCHED) || (on && has(s, ENDED)))
        return;
    s->c->flags ^= READ_WATCHED;
    emit(s, on ? CONN_DO_READ_ON : CONN_DO_READ_OFF);
}

static inline void watch_write(const struct step *s, bool on)
{
    if (on == has(s, WRITE_WATCHED))
        return;
    s->c->flags ^= WRITE_WATCHED;
    emit(s, on ? CONN_DO_WRITE_ON : CONN_DO_WRITE_OFF);
}

static inline void end_life(const struct step *s, enum conn_effect_kind how, enum conn_why why)
{
    emit(s, how)->why = (uint8_t)why;
    s->c->flags = 0;
    s->c->why = (uint8_t)why;
    change(s, CONN_CLOSED, CONN_NEVER_NS);
}

static inline void close_because(const struct step *s, enum conn_why why)
{
    end_life(s, CONN_DO_CLOSE, why);
}

static inline void close_timed_out(const struct step *s)
{
    bool reset = s->c->limits->reset_timedout;
    end_life(s, reset ? CONN_DO_RESET : CONN_DO_CLOSE, CONN_WHY_TIMEOUT);
}

/* Makes the driver answer by itself; such an answer is the connection's last. */
static inline void respond(const struct step *s, unsigned status, enum conn_why why)
{
    set(s, RESPONDING | LEAVE_SOON);
    clear(s, HELD | EXPECTS);
    s->c->why = (uint8_t)why;
    change(s, CONN_EXECUTING, CONN_NEVER_NS);
    emit(s, CONN_DO_RESPOND)->status = (uint16_t)status;
}

/* Cells of conn_answer.c, and what other cells need of it. */
void conn_begin_answer(const struct step *s);
void conn_answered(const struct step *s);
void conn_next_request(const struct step *s);
void conn_leave(const struct step *s);
uint64_t conn_linger_deadline(const struct step *s);

#endif
