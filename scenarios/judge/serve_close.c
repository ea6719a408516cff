/* serve: how connections end. */
#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/starts.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum { IN_TRANSIT_NS = 10000000 }; /* of an answer: sent then, read now */

/* The kind of a population, or `otherwise` where it was not told. */
static enum hist_population kind_of(const struct world *w, int16_t index,
                                    enum hist_population otherwise)
{
    bool known = index >= 0 && index < WORLD_POPULATIONS_MAX && w->populations[index].known;
    return known ? w->populations[index].kind : otherwise;
}

/* Up, or going down gently: what a server must still do well. */
static bool should_be_polite(const struct world *w)
{
    return w->ready_ns != 0 && !stopped_hard(w) && w->stopped_ns == 0;
}

/* Does the client ask for the close itself? Then an announced close says nothing. */
static bool client_says_close(const struct world *w, int16_t population)
{
    enum hist_population kind = kind_of(w, population, HIST_POOLED);
    return kind == HIST_FRESH || kind == HIST_TLS || kind == HIST_ABUSIVE;
}

/* ---- serve/announced-close ------------------------------------------------------------------- */

struct announced {
    struct later later;
    struct starts starts;
    uint64_t by_timeout; /* silent closes that keepalive_timeout explains */
    uint64_t by_drain, by_limit, excused;
    bool timeout_unknown;
};

static void announced_decide(struct judge_context *c, uint64_t now_ns)
{
    struct announced *a = c->state;
    struct suspicion s;
    while (later_take(&a->later, now_ns, &s)) {
        if (suspicion_excuse(c->world, &s, WORLD_BREAKS | WORLD_EXITS) != NULL) {
            a->excused++;
            continue;
        }
        judge_seen(c, 1);
        judge_violate(c, &s.record, s.start.kind != HIST_NONE ? &s.start : NULL,
                      "process %u closed a keep-alive connection after %.1f ms idle; its last "
                      "answer did not say Connection: close",
                      s.pid, MS(s.record.b));
    }
}

/* Both ends measure the idle time, each from its own side of the wire. */
static bool idle_long_enough(struct judge_context *c, const struct hist_record *r)
{
    struct announced *a = c->state;
    uint64_t timeout_ns = world_param(c->world, HIST_P_KEEPALIVE_TIMEOUT, 0);
    uint64_t slack_ns = timeout_ns / 20 + 50000000;
    if (timeout_ns == 0)
        a->timeout_unknown = true;
    return timeout_ns == 0 || r->b + slack_ns >= timeout_ns;
}

/* Idle since before the drain, or its last answer had begun by then: none could announce the close.
 * It must have been given time to make one more request all the same. */
static bool drained_while_idle(struct judge_context *c, const struct hist_record *r)
{
    struct announced *a = c->state;
    uint32_t pid = server_of(c->world, r);
    const struct world_process *p = world_process(c->world, pid);
    const struct world_connection *connection = world_connection(c->world, r->conn);
    uint64_t idle_ns = earlier(r->t_ns, r->b);
    if (connection != NULL && connection->last_answer_ns != 0 &&
        connection->last_answer_ns < idle_ns)
        idle_ns = connection->last_answer_ns;
    const struct hist_record *start = starts_within(&a->starts, idle_ns, r->t_ns);
    /* It may have been told to go long after the reload was asked for, and by one that is undone.
     */
    if (p != NULL && p->drain_ns + IN_TRANSIT_NS > idle_ns && p->drain_ns < r->t_ns)
        return drain_idle_passed(c->world, pid, p->drain_ns, r->t_ns);
    return start != NULL && drain_idle_passed(c->world, pid, start->t_ns, r->t_ns);
}

/* The engine says that it needed the place for another connection. */
static bool shed_at_limit(const struct world *w, const struct hist_record *r)
{
    const struct world_connection *connection = world_connection(w, r->conn);
    return connection != NULL && connection->closed_by_server.kind != HIST_NONE &&
           connection->closed_by_server.a == HIST_WHY_SHED;
}

static void announced_silent(struct judge_context *c, const struct hist_record *r)
{
    struct announced *a = c->state;
    if (idle_long_enough(c, r)) {
        a->by_timeout++;
    } else if (drained_while_idle(c, r)) {
        a->by_drain++;
    } else if (shed_at_limit(c->world, r)) {
        a->by_limit++;
    } else {
        const struct hist_record *start = starts_of_connection(&a->starts, c->world, r);
        struct suspicion s = {.record = *r, .from_ns = earlier(r->t_ns, LATER_NS)};
        s.pid = server_of(c->world, r);
        if (start != NULL)
            s.start = *start;
        later_put(&a->later, &s);
    }
}

static void announced_observe(struct judge_context *c, const struct hist_record *r)
{
    struct announced *a = c->state;
    const struct world *w = c->world;
    announced_decide(c, w->now_ns);
    if (starts_take(&a->starts, r) || !should_be_polite(w) || r->c == 0 ||
        client_says_close(w, r->slot))
        return;
    if (r->a == HIST_CLOSE_ANNOUNCED)
        judge_seen(c, 1);
    else if (r->a == HIST_CLOSE_SILENT && !(r->flags & HIST_BIT(HIST_F_LAGGING)))
        announced_silent(c, r);
}

static void announced_finish(struct judge_context *c)
{
    struct announced *a = c->state;
    announced_decide(c, UINT64_MAX);
    if (a->timeout_unknown)
        judge_unknown(c, "idle connections were closed and the story states no keepalive_timeout");
    else if (c->result->checked == 0)
        judge_unknown(c, "the server closed no keep-alive connection");
    judge_strength(c,
                   "%llu keep-alive connections closed by the server, %llu not announced; apart: "
                   "%llu by keepalive_timeout, %llu idle in a drain, %llu at a limit",
                   (ull)c->result->checked, (ull)c->result->violated, (ull)a->by_timeout,
                   (ull)a->by_drain, (ull)a->by_limit);
}

static const unsigned close_kinds[] = {HIST_CLIENT_CLOSE, HIST_DIRECTOR_RELOAD, HIST_DIRECTOR_STOP,
                                       HIST_NONE};
const struct checker judge_serve_announced_close = {.kinds = close_kinds,
                                                    .state_size = sizeof(struct announced),
                                                    .observe = announced_observe,
                                                    .finish = announced_finish};

/* ---- serve/no-reset-after-response ----------------------------------------------------------- */

struct reset {
    struct later later;
    struct starts starts;
};

static void reset_decide(struct judge_context *c, uint64_t now_ns)
{
    struct reset *state = c->state;
    struct suspicion s;
    while (later_take(&state->later, now_ns, &s)) {
        if (suspicion_excuse(c->world, &s, WORLD_BREAKS | WORLD_EXITS) != NULL)
            continue;
        judge_seen(c, 1);
        judge_violate(c, &s.record, s.start.kind != HIST_NONE ? &s.start : NULL, "%s",
                      s.record.kind == HIST_CLIENT_CLOSE
                          ? "the server reset a connection after its answer"
                          : "the server reset a connection before its answer had been read");
    }
}

/* A reset that took an answer with it: the server had given its last byte to the kernel, or the
 * client is one whose request is answered before it is all sent. */
static bool answer_was_reset(const struct world *w, const struct hist_record *end)
{
    const struct world_request *q = world_request(w, end->req);
    if (end->a != HIST_RESET_BEFORE && end->a != HIST_RESET_MID)
        return false;
    /* What a tunnel carries is no answer; drain/completes follows it. */
    if (kind_of(w, end->slot, HIST_POOLED) == HIST_TUNNEL)
        return false;
    return (q != NULL && q->responded.kind != HIST_NONE) ||
           kind_of(w, end->slot, HIST_POOLED) == HIST_EARLY;
}

static void reset_suspect(struct reset *state, const struct world *w, const struct hist_record *r)
{
    uint64_t from_ns = r->kind == HIST_CLIENT_END ? begun_of(w, r) : earlier(r->t_ns, r->b);
    uint32_t pid = server_of(w, r);
    const struct hist_record *start = starts_within(&state->starts, from_ns, r->t_ns);
    if (start != NULL && drain_bound_passed(w, pid, start->t_ns, r->t_ns))
        return;
    struct suspicion s = {.record = *r, .from_ns = earlier(from_ns, LATER_NS), .pid = pid};
    if (start != NULL)
        s.start = *start;
    later_put(&state->later, &s);
}

static void reset_observe(struct judge_context *c, const struct hist_record *r)
{
    struct reset *state = c->state;
    const struct world *w = c->world;
    reset_decide(c, w->now_ns);
    if (starts_take(&state->starts, r) || !should_be_polite(w) ||
        !world_population_counts(w, r->slot))
        return;
    bool suspicious = r->kind == HIST_CLIENT_CLOSE ? r->a == HIST_CLOSE_RESET && r->c > 0
                                                   : answer_was_reset(w, r);
    if (suspicious)
        reset_suspect(state, w, r);
    else if (r->kind == HIST_CLIENT_CLOSE && r->flags & HIST_BIT(HIST_F_ANSWERED))
        judge_seen(c, 1);
}

static void reset_finish(struct judge_context *c)
{
    reset_decide(c, UINT64_MAX);
    if (c->result->checked == 0)
        judge_unknown(c, "no connection ended after an answer");
    judge_strength(c, "%llu connections ended after their answer, %llu by a reset",
                   (ull)c->result->checked, (ull)c->result->violated);
}

static const unsigned reset_kinds[] = {HIST_CLIENT_CLOSE, HIST_CLIENT_END, HIST_DIRECTOR_RELOAD,
                                       HIST_DIRECTOR_STOP, HIST_NONE};
const struct checker judge_serve_no_reset_after_response = {.kinds = reset_kinds,
                                                            .state_size = sizeof(struct reset),
                                                            .observe = reset_observe,
                                                            .finish = reset_finish};

/* ---- serve/idle-race ------------------------------------------------------------------------- */

struct race {
    struct later later;
    struct starts starts;
    uint64_t idempotent; /* requests that may be sent again, lost to the race */
    uint64_t due;        /* POSTs lost to a close that was due (idle_close_was_due) */
};

static void race_decide(struct judge_context *c, uint64_t now_ns)
{
    struct race *state = c->state;
    struct suspicion s;
    while (later_take(&state->later, now_ns, &s)) {
        if (suspicion_excuse(c->world, &s, WORLD_BREAKS | WORLD_EXITS) != NULL)
            continue;
        if (!(s.record.flags & HIST_BIT(HIST_F_UNSAFE))) {
            state->idempotent++;
            continue;
        }
        judge_violate(c, &s.record, s.start.kind != HIST_NONE ? &s.start : NULL,
                      "the server closed an idle connection as a POST came in; the client cannot "
                      "know whether to send it again");
    }
}

static void race_observe(struct judge_context *c, const struct hist_record *r)
{
    struct race *state = c->state;
    const struct world *w = c->world;
    race_decide(c, w->now_ns);
    if (starts_take(&state->starts, r) || !world_serving(w) ||
        !world_population_counts(w, r->slot) || !(r->flags & HIST_BIT(HIST_F_REUSED)) ||
        r->a == HIST_ABANDONED)
        return;
    if (r->flags & HIST_BIT(HIST_F_UNSAFE))
        judge_seen(c, 1);
    bool race = world_idle_race(w, r);
    if (race && r->flags & HIST_BIT(HIST_F_UNSAFE) && idle_close_was_due(w, r)) {
        state->due++;
    } else if (race) {
        struct suspicion s = {.record = *r, .from_ns = earlier(begun_of(w, r), LATER_NS)};
        s.pid = server_of(w, r);
        const struct hist_record *start = starts_of_connection(&state->starts, w, r);
        if (start != NULL)
            s.start = *start;
        later_put(&state->later, &s);
    }
}

static void race_finish(struct judge_context *c)
{
    struct race *state = c->state;
    race_decide(c, UINT64_MAX);
    if (c->result->checked == 0)
        judge_unknown(c,
                      "no POST was sent on a reused connection; %llu idempotent requests were "
                      "lost to the race",
                      (ull)state->idempotent);
    judge_strength(c,
                   "%llu POSTs on reused connections, %llu lost; apart: %llu idempotent requests "
                   "lost, %llu POSTs as a connection's time was over",
                   (ull)c->result->checked, (ull)c->result->violated, (ull)state->idempotent,
                   (ull)state->due);
}

static const unsigned race_kinds[] = {HIST_CLIENT_END, HIST_DIRECTOR_RELOAD, HIST_DIRECTOR_STOP,
                                      HIST_NONE};
const struct checker judge_serve_idle_race = {.kinds = race_kinds,
                                              .state_size = sizeof(struct race),
                                              .observe = race_observe,
                                              .finish = race_finish};
