/* The life of one client connection: what to do next, until when to wait, and whether an answer
 * says that it is the last. Decides only: the driver owns the socket, the buffers, the parser and
 * the handlers, tells what happened (events) and carries out what comes back (effects), in order.
 *
 * Rules for a driver:
 *   - conn_init() once; CONN_EV_ACCEPTED begins a life, the effect CLOSE or RESET ends it and the
 *     struct may begin another. Whatever was under way (a handler, buffered bytes) ends with it.
 *   - The result of an effect is a later event. Effects may lead to events at once (PARSE to
 *     HEAD_DONE to EXECUTE ...): loop, do not recurse, and after some requests on one connection
 *     let others have their turn.
 *   - One timer per connection at conn_next_deadline_ns(); it may be late or early, an early
 *     CONN_EV_TIMER does nothing. (To save timer work, leave the old one if it is earlier.)
 *   - READ_ON ... WRITE_OFF are given only when they change something, so that a keep-alive
 *     request costs no epoll_ctl; readiness is level-triggered.
 *   - Bytes already buffered (pipelined requests) never wait for readability: the flag
 *     CONN_BUFFERED of an event says that there are some, and PARSE follows.
 *
 * Before the first request, with TLS or a PROXY header: READABLE -> SHAKE, until SHAKEN; bytes of a
 *     request that the driver has by then are reported as BYTES at once.
 * A request in the usual case:
 *     READABLE -> RECV; BYTES -> PARSE; HEAD_DONE -> EXECUTE; RESPONSE -> KEEP | ANNOUNCE;
 *     (send) ANSWERED -> nothing (idle), or PARSE, or SHUTDOWN_WRITE ..., or CLOSE
 * A body: the handler asks with BODY_WANTED -> [CONTINUE] PARSE_BODY; then READABLE -> RECV;
 *     BYTES -> PARSE_BODY; BODY_DONE. A handler that does not want it just answers; what was
 *     buffered is first run through the decoder, and if that was all, reported as BODY_DONE.
 * A tunnel: the handler sees END too, sends what it owes, then says ANSWERED.
 * A drain does not hurt requests under way, nor those that have come with them in one buffer: the
 *     last of them announces the close. An idle connection waits for its next request, which is
 *     answered with Connection: close, or for its deadline, and then looks once more. */
#ifndef ENGINE_CORE_CONN_H
#define ENGINE_CORE_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/core/cell.h"

#define CONN_NEVER_NS UINT64_MAX /* no deadline */
/* A connection that must go for want of room has been idle for as long, or it is told first. */
#define CONN_REAP_IDLE_NS UINT64_C(1000000000)
#define CONN_LEFT_UNKNOWN UINT64_MAX /* a chunked body that is not over */

/* S(SYMBOL, "word", "meaning") */
#define CONN_STATES(S)                                                                             \
    S(CLOSED, "closed", "no connection")                                                           \
    S(SHAKING, "shaking", "a PROXY header is read, or TLS agreed on, before the first request")    \
    S(FRESH, "fresh", "accepted, not a byte yet")                                                  \
    S(READING, "reading", "a part of a request's head has come")                                   \
    S(BODY, "body", "the handler waits for the request's body")                                    \
    S(EXECUTING, "executing", "the handler works; the client owes nothing")                        \
    S(WRITING, "writing", "an answer is being sent")                                               \
    S(DISCARDING, "discarding", "answered and kept; the rest of the body is read and dropped")     \
    S(IDLE, "idle", "kept alive, between requests")                                                \
    S(TUNNEL, "tunnel", "upgraded: bytes in both directions are the handler's")                    \
    S(LINGERING, "lingering", "half closed; input is dropped until the client has closed")

enum conn_state {
#define S(symbol, word, meaning) CONN_##symbol,
    CONN_STATES(S)
#undef S
        CONN_STATE_COUNT
};

/* E(SYMBOL, "word", "meaning") */
#define CONN_EVENTS(E)                                                                             \
    E(ACCEPTED, "accepted",                                                                        \
      "a connection was accepted (flags SHAKES; DRAINING if the worker drains)")                   \
    E(SHAKEN, "shaken", "what comes before the first request is over")                             \
    E(READABLE, "readable", "the socket is readable")                                              \
    E(BYTES, "bytes", "recv gave bytes")                                                           \
    E(EMPTY, "empty", "recv had nothing yet")                                                      \
    E(END, "end", "recv returned 0: the client will send no more")                                 \
    E(RESET, "reset", "ECONNRESET or EPIPE, or it has left and the handler need not go on")        \
    E(ERROR, "error", "another failure of a call on the socket")                                   \
    E(HEAD_MORE, "head-more", "the parser wants more")                                             \
    E(HEAD_DONE, "head-done", "a head is complete (flags KEEP_ALIVE, HAS_BODY, EXPECTS)")          \
    E(HEAD_BAD, "head-bad", "the head is refused (status); while shaking: nobody to be told")      \
    E(BODY_WANTED, "body-wanted", "the handler wants the body, or wants it again after HELD")      \
    E(BODY_HELD, "body-held", "the handler can take no more of the body for now")                  \
    E(BODY_DONE, "body-done", "the whole body has come (flag BUFFERED)")                           \
    E(BODY_BAD, "body-bad", "the body is malformed (status)")                                      \
    E(RESPONSE, "response",                                                                        \
      "answer headers are about to be made: may it be kept? (flags MUST_CLOSE, UPGRADED, "         \
      "BUFFERED; left)")                                                                           \
    E(BLOCKED, "blocked", "send would block (flag PROGRESS if it took something)")                 \
    E(WRITABLE, "writable", "the socket is writable")                                              \
    E(FLUSHED, "flushed", "all there is so far has been sent, the answer is not over")             \
    E(ANSWERED, "answered",                                                                        \
      "the whole answer has been sent; in a tunnel: it is over (flag BUFFERED)")                   \
    E(ABANDONED, "abandoned", "the handler gives up: no answer, or no way to finish it")           \
    E(DRAIN, "drain", "the worker begins to drain")                                                \
    E(REAP, "reap", "the worker needs the room: leave soon")                                       \
    E(CUT, "cut", "the drain bound passed: leave now")                                             \
    E(TIMER, "timer", "the deadline may have passed")

enum conn_event_kind {
#define E(symbol, word, meaning) CONN_EV_##symbol,
    CONN_EVENTS(E)
#undef E
        CONN_EVENT_COUNT
};

enum conn_event_flag {
    CONN_SHAKES = 1 << 0,     /* ACCEPTED: a PROXY header or TLS comes before the first request */
    CONN_KEEP_ALIVE = 1 << 0, /* HEAD_DONE: the client would keep the connection */
    CONN_HAS_BODY = 1 << 1,   /* HEAD_DONE: a body follows */
    CONN_EXPECTS = 1 << 2,    /* HEAD_DONE: the client waits for 100 before it sends it */
    CONN_BUFFERED = 1 << 3, /* BODY_DONE, RESPONSE, ANSWERED: bytes after this request have come */
    CONN_MUST_CLOSE = 1 << 4, /* RESPONSE: only a close can follow (no length; room is needed) */
    CONN_UPGRADED = 1 << 5,   /* RESPONSE: it is a 101; ANSWERED then opens the tunnel */
    CONN_PROGRESS = 1 << 6,   /* BLOCKED: some bytes were taken */
    CONN_DRAINING = 1 << 7,   /* ACCEPTED: the worker is draining */
};

/* Wrong behaviours (faultinject/points.def `sabotage.*`), set by the driver in the event at which
 * they act: S(SYMBOL, word, "when") */
#define CONN_SABOTAGES(S)                                                                          \
    S(SILENT_CLOSE, silent_close, "ANSWERED: close what was to be kept")                           \
    S(NO_LINGER, no_linger, "ANSWERED: close with unread data")                                    \
    S(CLOSE_IDLE_ON_DRAIN, close_idle_on_drain,                                                    \
      "DRAIN, and READABLE of an idle one while draining")                                         \
    S(DROP_INFLIGHT, drop_inflight, "DRAIN: close with a request under way")                       \
    S(RESET_ACCEPTED, reset_accepted, "DRAIN: reset before the first request")
enum {
#define S(symbol, word, when) CONN_SAB_BIT_##symbol,
    CONN_SABOTAGES(S)
#undef S
        CONN_SAB_COUNT
};
enum conn_sabotage {
#define S(symbol, word, when) CONN_SAB_##symbol = 1 << CONN_SAB_BIT_##symbol,
    CONN_SABOTAGES(S)
#undef S
};
/* The sabotages that an event of this kind listens to: the driver asks for these points only. */
uint32_t conn_sabotages(enum conn_event_kind kind);

struct conn_event {
    uint8_t kind;    /* enum conn_event_kind */
    uint8_t flags;   /* enum conn_event_flag */
    uint16_t status; /* HEAD_BAD, BODY_BAD */
    uint32_t sabotage;
    uint64_t left; /* RESPONSE: bytes of the body that have not come; CONN_LEFT_UNKNOWN */
};

/* E(SYMBOL, "word", "meaning") */
#define CONN_EFFECTS(E)                                                                            \
    E(READ_ON, "read-on", "watch the socket for input")                                            \
    E(READ_OFF, "read-off", "do not")                                                              \
    E(WRITE_ON, "write-on", "watch the socket for room")                                           \
    E(WRITE_OFF, "write-off", "do not")                                                            \
    E(SHAKE, "shake",                                                                              \
      "go on with what comes first: SHAKEN, EMPTY, BLOCKED, HEAD_BAD, END, RESET or ERROR")        \
    E(RECV, "recv", "recv once: BYTES, EMPTY, END, RESET or ERROR")                                \
    E(PARSE, "parse", "feed the parser what is buffered: HEAD_MORE, HEAD_DONE or HEAD_BAD")        \
    E(PARSE_BODY, "parse-body",                                                                    \
      "feed the body decoder what is buffered: BODY_DONE, BODY_BAD or nothing")                    \
    E(CONTINUE, "continue", "send 100 Continue")                                                   \
    E(EXECUTE, "execute", "route the request and run its handler")                                 \
    E(RESPOND, "respond", "end the handler if one runs; make an answer with this status")          \
    E(KEEP, "keep", "the answer says, or implies, that the connection stays")                      \
    E(ANNOUNCE, "announce", "the answer says Connection: close")                                   \
    E(SEND, "send", "go on sending: BLOCKED, FLUSHED, ANSWERED, RESET or ERROR")                   \
    E(TUNNEL, "tunnel", "the handler gets the raw bytes from now on, the buffered ones first")     \
    E(DISCARD, "discard", "throw away what is buffered")                                           \
    E(SHUTDOWN_WRITE, "shutdown-write", "shutdown(SHUT_WR)")                                       \
    E(CLOSE, "close", "close the socket (why); the connection's life is over")                     \
    E(RESET, "reset", "reset it: SO_LINGER 0, close (why); the connection's life is over")

enum conn_effect_kind {
#define E(symbol, word, meaning) CONN_DO_##symbol,
    CONN_EFFECTS(E)
#undef E
        CONN_EFFECT_COUNT
};

/* Why a connection ends; the numbers are those of HIST_WHY_LIST (a test of the worker holds them
 * together). */
enum conn_why {
    CONN_WHY_PEER,
    CONN_WHY_DONE,
    CONN_WHY_IDLE,
    CONN_WHY_TIMEOUT,
    CONN_WHY_BAD,
    CONN_WHY_DRAIN,
    CONN_WHY_SHED,
    CONN_WHY_ERROR,
    CONN_WHY_FAULT,
};

enum {
    CONN_EFFECTS_MAX = 6,
    CONN_GRACE_MAX = 64, /* answers after which even a pipelining client must go */
};

struct conn_effects {
    uint32_t count;
    uint16_t cell; /* that the event came to; CORE_NO_CELL: a timer that was early */
    struct conn_effect {
        uint8_t kind;    /* enum conn_effect_kind */
        uint8_t why;     /* CLOSE, RESET: enum conn_why */
        uint16_t status; /* RESPOND: 400, 408, 414, ... */
    } items[CONN_EFFECTS_MAX];
};

enum conn_lingering { CONN_LINGERING_OFF, CONN_LINGERING_ON, CONN_LINGERING_ALWAYS };

/* What a configuration allows. Shared by many connections; conn_use() may change it when the
 * request's location is known. A time of 0 is no bound, but for keepalive_timeout_ns, where it
 * means no keep-alive, and lingering_timeout_ns, where it means no lingering. */
struct conn_limits {
    uint64_t header_timeout_ns;    /* a whole head must come in this */
    uint64_t body_timeout_ns;      /* between two reads of a body */
    uint64_t send_timeout_ns;      /* between two sends that take something */
    uint64_t keepalive_timeout_ns; /* idle */
    uint64_t keepalive_time_ns;    /* after this age an answer announces the close */
    uint64_t lingering_time_ns;    /* all of lingering */
    uint64_t lingering_timeout_ns; /* between two reads of it */
    uint64_t drain_idle_ns;        /* idle while draining; 0: as when not draining */
    uint32_t keepalive_requests;   /* the answer to this many-th announces the close; 0 any */
    uint32_t discard_bytes; /* unwanted rest of a body up to this does not cost the connection */
    uint8_t lingering;      /* enum conn_lingering */
    bool reset_timedout;    /* reset, do not close, a client that timed out or gets no answer */
};

struct conn {
    const struct conn_limits *limits;
    uint64_t deadline_ns; /* CONN_NEVER_NS: none */
    uint64_t opened_ns;
    union {
        uint64_t linger_end_ns; /* while LINGERING or DISCARDING: the end of it */
        uint64_t idle_ns;       /* while IDLE: since when */
    };
    uint32_t requests; /* heads completed */
    uint16_t flags;    /* private: enum in conn.c */
    uint8_t state;     /* enum conn_state; changed in one place */
    uint8_t why;       /* enum conn_why it will be closed with */
    uint8_t grace;     /* answers kept only because more requests had come already */
};

void conn_init(struct conn *c, const struct conn_limits *limits);
static inline void conn_use(struct conn *c, const struct conn_limits *limits)
{
    c->limits = limits;
}
/* Effects are written from items[0] on; count is set. */
void conn_step(struct conn *c, uint64_t now_ns, const struct conn_event *event,
               struct conn_effects *effects);
static inline uint64_t conn_next_deadline_ns(const struct conn *c)
{
    return c->deadline_ns;
}
/* The answer under way said, or will say, Connection: close. Binding from RESPONSE on. */
bool conn_closes(const struct conn *c);
/* Will it leave by itself: with its next answer, or when it has been idle for a moment longer? */
bool conn_leaves(const struct conn *c);
/* Aborts if the connection is in a condition that no order of events leads to. */
void conn_check(const struct conn *c);

const char *conn_state_name(unsigned state);
const char *conn_event_name(unsigned kind);
const char *conn_effect_name(unsigned kind);
unsigned conn_cell_count(void);
/* False: out of range. */
bool conn_cell_name(unsigned cell, struct core_cell *out);

#endif
