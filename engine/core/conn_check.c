/* What is always true of a connection, and the words for its states, events and effects. */
#include "engine/core/conn.h"

#include "engine/core/check.h"
#include "engine/core/conn_priv.h"
#include "engine/core/words.h"

#define IN(set, state) (((set) >> (state)&1u) != 0)
#define STATE(symbol) (1u << CONN_##symbol)

/* Which states may have which flag; those that are not named may be anywhere. */
#define FLAGS(F, state)                                                                            \
    F(state, WRITE_WATCHED,                                                                        \
      STATE(SHAKING) | STATE(BODY) | STATE(EXECUTING) | STATE(WRITING) | STATE(TUNNEL))            \
    F(state, LAST_LOOK, STATE(FRESH) | STATE(IDLE))                                                \
    F(state, CLOSES, STATE(WRITING) | STATE(LINGERING))                                            \
    F(state, BODY_LEFT,                                                                            \
      STATE(BODY) | STATE(EXECUTING) | STATE(WRITING) | STATE(DISCARDING) | STATE(LINGERING))      \
    F(state, UPGRADED, STATE(WRITING))                                                             \
    F(state, HELD, STATE(BODY))                                                                    \
    F(state, RESPONDING, STATE(EXECUTING) | STATE(WRITING) | STATE(LINGERING))                     \
    F(state, ENDED,                                                                                \
      STATE(READING) | STATE(EXECUTING) | STATE(BODY) | STATE(WRITING) | STATE(TUNNEL))

/* The same the other way round: the simulation looks after each step. */
#define F(state, flag, states) | (IN(states, CONN_##state) ? 0 : (flag))
#define S(symbol, word, meaning) [CONN_##symbol] = 0 FLAGS(F, symbol),
static const uint16_t forbidden[CONN_STATE_COUNT] = {CONN_STATES(S)};
#undef S
#undef F

enum {
    WATCHES_INPUT = STATE(FRESH) | STATE(IDLE) | STATE(DISCARDING) | STATE(LINGERING),
    HAS_NO_DEADLINE = STATE(CLOSED) | STATE(EXECUTING),
};

void conn_check(const struct conn *c)
{
    CORE_CHECK(c->limits && c->state < CONN_STATE_COUNT);
    CORE_CHECK(!(c->flags & forbidden[c->state]));
    CORE_CHECK(c->state != CONN_CLOSED || c->flags == 0);
    CORE_CHECK(!IN(WATCHES_INPUT, c->state) || c->flags & READ_WATCHED);
    CORE_CHECK(c->state != CONN_SHAKING ||
               !(c->flags & READ_WATCHED) != !(c->flags & WRITE_WATCHED));
    CORE_CHECK(!(c->flags & ENDED) || !(c->flags & READ_WATCHED));
    CORE_CHECK(!IN(HAS_NO_DEADLINE, c->state) || c->deadline_ns == CONN_NEVER_NS);
    CORE_CHECK(c->state != CONN_IDLE || !(c->flags & FLAGS_OF_REQUEST));
    CORE_CHECK((c->state != CONN_FRESH && c->state != CONN_SHAKING) || c->requests == 0);
    CORE_CHECK(c->state != CONN_BODY || c->flags & BODY_LEFT);
    CORE_CHECK(c->state != CONN_DISCARDING || c->flags & BODY_LEFT);
    CORE_CHECK(c->state != CONN_LINGERING || c->deadline_ns <= c->linger_end_ns);
    /* While an answer is sent, only a client that takes nothing is waited for with a clock. */
    CORE_CHECK(c->state != CONN_WRITING || c->deadline_ns == CONN_NEVER_NS ||
               c->flags & WRITE_WATCHED);
    CORE_CHECK(c->grace <= CONN_GRACE_MAX);
}

CORE_WORDS(conn_state_name, CONN_STATES(CORE_WORD))
CORE_WORDS(conn_event_name, CONN_EVENTS(CORE_WORD))
CORE_WORDS(conn_effect_name, CONN_EFFECTS(CORE_WORD))

unsigned conn_cell_count(void)
{
    return CONN_STATE_COUNT * CONN_EVENT_COUNT;
}

bool conn_cell_name(unsigned cell, struct core_cell *out)
{
#define ROW(event, closed, shaking, fresh, reading, body, executing, writing, discarding, idle,    \
            tunnel, lingering)                                                                     \
    [CONN_CLOSED][CONN_EV_##event] = #closed, [CONN_SHAKING][CONN_EV_##event] = #shaking,          \
    [CONN_FRESH][CONN_EV_##event] = #fresh, [CONN_READING][CONN_EV_##event] = #reading,            \
    [CONN_BODY][CONN_EV_##event] = #body, [CONN_EXECUTING][CONN_EV_##event] = #executing,          \
    [CONN_WRITING][CONN_EV_##event] = #writing, [CONN_DISCARDING][CONN_EV_##event] = #discarding,  \
    [CONN_IDLE][CONN_EV_##event] = #idle, [CONN_TUNNEL][CONN_EV_##event] = #tunnel,                \
    [CONN_LINGERING][CONN_EV_##event] = #lingering,
    static const char *const actions[CONN_STATE_COUNT][CONN_EVENT_COUNT] = {
#include "engine/core/conn_cells.def"
    };
#undef ROW
    if (cell >= conn_cell_count())
        return false;
    unsigned state = cell / CONN_EVENT_COUNT, event = cell % CONN_EVENT_COUNT;
    *out = (struct core_cell){.row = conn_state_name(state),
                              .input = conn_event_name(event),
                              .action = actions[state][event]};
    return true;
}
