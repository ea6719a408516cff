/* For tests of conn: one connection, a clock, and effects as a line of words that tests compare. */
#ifndef ENGINE_CORE_CONN_RIG_H
#define ENGINE_CORE_CONN_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/core/conn.h"

#define SECONDS(n) ((uint64_t)(n)*1000000000u)

struct rig {
    struct conn c;
    struct conn_limits limits;
    struct conn_effects effects;
    uint64_t now_ns;
    char words[256];
};

static inline void rig_start(struct rig *r)
{
    *r = (struct rig){.limits = {.header_timeout_ns = SECONDS(60),
                                 .body_timeout_ns = SECONDS(50),
                                 .send_timeout_ns = SECONDS(40),
                                 .keepalive_timeout_ns = SECONDS(75),
                                 .keepalive_time_ns = SECONDS(3600),
                                 .lingering_time_ns = SECONDS(30),
                                 .lingering_timeout_ns = SECONDS(5),
                                 .keepalive_requests = 1000,
                                 .discard_bytes = 65536,
                                 .lingering = CONN_LINGERING_ON},
                      .now_ns = SECONDS(1000)};
    conn_init(&r->c, &r->limits);
}

static inline void rig_describe(struct rig *r)
{
    static const char *const whys[] = {"peer",  "done", "idle",  "timeout", "bad",
                                       "drain", "shed", "error", "fault"};
    r->words[0] = '\0';
    size_t used = 0;
    for (uint32_t i = 0; i < r->effects.count; i++) {
        const struct conn_effect *e = &r->effects.items[i];
        bool ends = e->kind == CONN_DO_CLOSE || e->kind == CONN_DO_RESET;
        char detail[16] = "";
        if (e->kind == CONN_DO_RESPOND)
            snprintf(detail, sizeof(detail), ":%u", e->status);
        used += (size_t)snprintf(r->words + used, sizeof(r->words) - used, "%s%s%s%s%s",
                                 i ? " " : "", conn_effect_name(e->kind), ends ? ":" : "",
                                 ends ? whys[e->why] : "", detail);
    }
}

static inline const char *rig_step(struct rig *r, struct conn_event event)
{
    conn_step(&r->c, r->now_ns, &event, &r->effects);
    conn_check(&r->c);
    rig_describe(r);
    return r->words;
}

/* An event and the effects that must follow. */
#define EXPECT(r, words, ...)                                                                      \
    assert_string_equal(rig_step(r, (struct conn_event){__VA_ARGS__}), words)

/* Leads a fresh connection into a state. */
static inline void rig_lead(struct rig *r, enum conn_state state)
{
    static const struct conn_event accepted = {.kind = CONN_EV_ACCEPTED},
                                   shakes = {.kind = CONN_EV_ACCEPTED, .flags = CONN_SHAKES},
                                   bytes = {.kind = CONN_EV_BYTES},
                                   head = {.kind = CONN_EV_HEAD_DONE,
                                           .flags = CONN_KEEP_ALIVE | CONN_HAS_BODY},
                                   wanted = {.kind = CONN_EV_BODY_WANTED},
                                   response = {.kind = CONN_EV_RESPONSE, .left = 1},
                                   closing = {.kind = CONN_EV_RESPONSE, .flags = CONN_MUST_CLOSE},
                                   upgraded = {.kind = CONN_EV_RESPONSE, .flags = CONN_UPGRADED},
                                   over = {.kind = CONN_EV_BODY_DONE},
                                   answered = {.kind = CONN_EV_ANSWERED};
    static const struct conn_event *const paths[CONN_STATE_COUNT][8] = {
        [CONN_SHAKING] = {&shakes},
        [CONN_FRESH] = {&accepted},
        [CONN_READING] = {&accepted, &bytes},
        [CONN_BODY] = {&accepted, &bytes, &head, &wanted},
        [CONN_EXECUTING] = {&accepted, &bytes, &head},
        [CONN_WRITING] = {&accepted, &bytes, &head, &response},
        [CONN_DISCARDING] = {&accepted, &bytes, &head, &response, &answered},
        [CONN_IDLE] = {&accepted, &bytes, &head, &over, &response, &answered},
        [CONN_TUNNEL] = {&accepted, &bytes, &head, &over, &upgraded, &answered},
        [CONN_LINGERING] = {&accepted, &bytes, &head, &closing, &answered},
    };
    rig_start(r);
    for (const struct conn_event *const *step = paths[state]; *step; step++)
        rig_step(r, **step);
    assert_int_equal(r->c.state, state);
}

#endif
