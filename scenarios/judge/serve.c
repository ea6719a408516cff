/* serve: what clients see of connecting, of answers and of latency. See guarantees.def for the
 * sentences; how requests and connections end is in serve_account.c and serve_close.c. */
#include <errno.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/spread.h"
#include "scenarios/judge/table.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

/* ---- serve/continuity ------------------------------------------------------------------------ */

static void continuity_observe(struct judge_context *c, const struct hist_record *r)
{
    const struct world *w = c->world;
    if (!world_serving(w) || !world_population_counts(w, r->slot))
        return;
    const struct world_connection *connection = world_connection(w, r->conn);
    if (connection != NULL && connection->connect_ns < w->ready_ns)
        return;
    if (r->kind == HIST_CLIENT_CONNECT_FAILED && r->b == ECONNREFUSED) {
        judge_seen(c, 1);
        judge_violate(c, r, NULL, "a connect() was refused %.1f ms after the server was ready",
                      MS(r->t_ns - w->ready_ns));
    } else if (r->kind == HIST_CLIENT_CONNECTED) {
        judge_seen(c, 1);
    }
}

static void continuity_finish(struct judge_context *c)
{
    if (c->world->ready_ns == 0)
        judge_unknown(c, "the server never became ready");
    else if (c->result->checked == 0)
        judge_unknown(c, "no client connected while the server was up");
    judge_strength(c, "%llu connection attempts, %llu refused", (ull)c->result->checked,
                   (ull)c->result->violated);
}

static const unsigned continuity_kinds[] = {HIST_CLIENT_CONNECTED, HIST_CLIENT_CONNECT_FAILED,
                                            HIST_NONE};
const struct checker judge_serve_continuity = {
    .kinds = continuity_kinds, .observe = continuity_observe, .finish = continuity_finish};

/* ---- serve/no-silent-loss -------------------------------------------------------------------- */

enum {
    SYN_MODE_NS = 1000000000, /* SYNs are sent again after 1 s, 3 s, 7 s: whole seconds */
    SYN_EARLY_NS = 50000000,
    SYN_LATE_NS = 300000000,
    LAG_NS = 100000000 /* a client later than this measures itself */
};

struct silent {
    struct later later;
    uint64_t worst_ns, lagging;
};

/* The kernel's timer fires at a whole second; nothing else on the way does. */
static bool is_retransmission(uint64_t latency_ns)
{
    uint64_t shifted = latency_ns + SYN_EARLY_NS;
    return shifted >= SYN_MODE_NS && shifted % SYN_MODE_NS <= SYN_EARLY_NS + SYN_LATE_NS;
}

/* Attempts that were given up are the same loss, only worse. */
static bool is_silent_loss(const struct hist_record *r)
{
    if (r->kind == HIST_CLIENT_CONNECT_FAILED)
        return r->b == ETIMEDOUT && r->a + SYN_EARLY_NS >= SYN_MODE_NS;
    return is_retransmission(r->a);
}

static void silent_decide(struct judge_context *c, uint64_t now_ns)
{
    struct silent *s = c->state;
    struct suspicion late;
    while (later_take(&s->later, now_ns, &late)) {
        const struct hist_record *r = &late.record;
        if (world_lagged(c->world, earlier(r->t_ns, r->a), r->t_ns + LAG_NS, LAG_NS)) {
            s->lagging++;
            continue;
        }
        judge_violate(c, r, NULL, "%s after %.0f ms: its SYN was dropped and sent again",
                      r->kind == HIST_CLIENT_CONNECTED ? "a client was connected"
                                                       : "a client gave up connecting",
                      MS(r->a));
    }
}

static void silent_observe(struct judge_context *c, const struct hist_record *r)
{
    struct silent *s = c->state;
    const struct world *w = c->world;
    silent_decide(c, w->now_ns);
    if (!world_serving(w) || earlier(r->t_ns, r->a) < w->ready_ns ||
        !world_population_counts(w, r->slot))
        return;
    judge_seen(c, 1);
    if (r->a > s->worst_ns)
        s->worst_ns = r->a;
    if (is_silent_loss(r)) {
        struct suspicion late = {.record = *r};
        later_put(&s->later, &late);
    }
}

static void silent_finish(struct judge_context *c)
{
    struct silent *s = c->state;
    silent_decide(c, UINT64_MAX);
    if (c->result->checked == 0)
        judge_unknown(c, "no client connected while the server was up");
    else if (s->lagging > 0 && s->lagging == c->result->checked)
        judge_unknown(c, "the prober itself was late whenever it connected");
    judge_strength(c, "%llu connections, the slowest in %.1f ms%s", (ull)c->result->checked,
                   MS(s->worst_ns),
                   s->lagging > 0 ? "; some did not count, the prober was late" : "");
}

static const unsigned silent_kinds[] = {HIST_CLIENT_CONNECTED, HIST_CLIENT_CONNECT_FAILED,
                                        HIST_NONE};
const struct checker judge_serve_no_silent_loss = {.kinds = silent_kinds,
                                                   .state_size = sizeof(struct silent),
                                                   .observe = silent_observe,
                                                   .finish = silent_finish};

/* ---- serve/latency-step ---------------------------------------------------------------------- */

enum { STEP_SAMPLES_MIN = 50, STEP_TAIL_NS = 1000000000, STEP_WINDOWS = 64 };

struct measure {
    struct spread baseline, reload;
    struct hist_record worst; /* in a reload */
    uint64_t worst_ns;
};

struct step {
    struct measure connect, first_byte;
    struct {
        uint64_t begin_ns, end_ns; /* end 0: under way */
    } windows[STEP_WINDOWS];       /* a ring: requests span few reloads */
    size_t window_count;
    uint64_t lag_ns;
    bool doubtful; /* a rise that the prober's lag may have made */
};

static bool step_in_window(const struct step *s, uint64_t due_ns, uint64_t t_ns)
{
    for (size_t i = 0; i < STEP_WINDOWS && i < s->window_count; i++) {
        size_t at = (s->window_count - 1 - i) % STEP_WINDOWS;
        uint64_t end_ns = s->windows[at].end_ns;
        if (t_ns >= s->windows[at].begin_ns && (end_ns == 0 || due_ns <= end_ns + STEP_TAIL_NS))
            return true;
    }
    return false;
}

/* Clients that dawdle, and answers that are long, say nothing about latency. */
static bool step_measures(const struct world *w, int16_t population)
{
    if (population < 0 || population >= WORLD_POPULATIONS_MAX)
        return true;
    switch (w->populations[population].kind) {
    case HIST_FRESH:
    case HIST_POOLED:
    case HIST_PIPELINED:
    case HIST_POST:
    case HIST_TLS:
        return true;
    default:
        return false;
    }
}

static void step_reload(struct judge_context *c, const struct hist_record *r)
{
    struct step *s = c->state;
    if (r->kind == HIST_DIRECTOR_RELOAD) {
        size_t at = s->window_count++ % STEP_WINDOWS;
        s->windows[at].begin_ns = r->t_ns;
        s->windows[at].end_ns = 0;
        return;
    }
    for (size_t i = 0; i < STEP_WINDOWS && i < s->window_count; i++)
        if (s->windows[i].end_ns == 0)
            s->windows[i].end_ns = r->t_ns;
}

static void step_observe(struct judge_context *c, const struct hist_record *r)
{
    struct step *s = c->state;
    const struct world *w = c->world;
    if (r->kind == HIST_DIRECTOR_RELOAD || r->kind == HIST_DIRECTOR_RELOADED ||
        r->kind == HIST_DIRECTOR_CUT_OVER) {
        step_reload(c, r);
        return;
    }
    bool inside = step_in_window(s, earlier(r->t_ns, r->a), r->t_ns);
    if (r->kind == HIST_CLIENT_LAG) {
        s->lag_ns = inside && r->a > s->lag_ns ? r->a : s->lag_ns;
        return;
    }
    if (!world_serving(w) || world_mismeasured(w, r, r->a) || !step_measures(w, r->slot))
        return;
    struct measure *m = r->kind == HIST_CLIENT_CONNECTED ? &s->connect : &s->first_byte;
    if (inside) {
        spread_add(&m->reload, r->a);
        if (r->a > m->worst_ns) {
            m->worst_ns = r->a;
            m->worst = *r;
        }
    } else if (w->phase == HIST_PHASE_BASELINE && w->phase_ns != 0) {
        spread_add(&m->baseline, r->a);
    }
}

/* Says nothing about a measure with too few samples; true if it could be judged. */
static bool step_judge(struct judge_context *c, const struct measure *m, const char *what)
{
    struct step *s = c->state;
    if (m->baseline.count < STEP_SAMPLES_MIN || m->reload.count < STEP_SAMPLES_MIN)
        return false;
    uint64_t before_ns = spread_quantile(&m->baseline, 990);
    uint64_t during_ns = spread_quantile(&m->reload, 990);
    uint64_t allowed_ns = before_ns + world_param(c->world, HIST_P_LATENCY_STEP, 0);
    if (during_ns > allowed_ns && during_ns - allowed_ns <= s->lag_ns) {
        s->doubtful = true;
        return false;
    }
    judge_seen(c, m->reload.count);
    if (during_ns > allowed_ns)
        judge_violate(c, &m->worst, NULL,
                      "%s p99 was %.1f ms in reloads and %.1f ms in the baseline; a rise of %.1f "
                      "ms is allowed",
                      what, MS(during_ns), MS(before_ns), MS(allowed_ns - before_ns));
    return true;
}

static void step_finish(struct judge_context *c)
{
    struct step *s = c->state;
    const struct world *w = c->world;
    if (!w->param_known[HIST_P_LATENCY_STEP]) {
        judge_unknown(c, "the story states no latency_step");
        return;
    }
    bool judged = step_judge(c, &s->connect, "connect");
    judged = step_judge(c, &s->first_byte, "first-byte") || judged;
    if (s->window_count == 0)
        judge_unknown(c, "nothing was reloaded");
    else if (s->doubtful)
        judge_unknown(c, "p99 rose by no more than the prober itself was late (%.1f ms)",
                      MS(s->lag_ns));
    else if (!judged)
        judge_unknown(c, "fewer than %d samples in the baseline or in reloads", STEP_SAMPLES_MIN);
    judge_strength(c, "first-byte p99 %.1f ms in %llu reloads, %.1f ms in the baseline",
                   MS(spread_quantile(&s->first_byte.reload, 990)), (ull)s->window_count,
                   MS(spread_quantile(&s->first_byte.baseline, 990)));
}

static const unsigned step_kinds[] = {
    HIST_CLIENT_CONNECTED,  HIST_CLIENT_FIRST_BYTE, HIST_CLIENT_LAG, HIST_DIRECTOR_RELOAD,
    HIST_DIRECTOR_RELOADED, HIST_DIRECTOR_CUT_OVER, HIST_NONE};
const struct checker judge_serve_latency_step = {.kinds = step_kinds,
                                                 .state_size = sizeof(struct step),
                                                 .observe = step_observe,
                                                 .finish = step_finish};

/* ---- serve/right-answer ---------------------------------------------------------------------- */

static void right_observe(struct judge_context *c, const struct hist_record *r)
{
    if (!world_population_counts(c->world, r->slot) || (r->a != HIST_OK && r->a != HIST_WRONG_BODY))
        return;
    judge_seen(c, 1);
    if (r->a == HIST_WRONG_BODY)
        judge_violate(c, r, NULL, "process %u answered request %llu with something else", r->pid,
                      (ull)r->req);
}

static void right_finish(struct judge_context *c)
{
    if (c->result->checked == 0)
        judge_unknown(c, "no request was answered");
    judge_strength(c, "%llu answers checked byte for byte", (ull)c->result->checked);
}

static const unsigned end_kinds[] = {HIST_CLIENT_END, HIST_NONE};
const struct checker judge_serve_right_answer = {
    .kinds = end_kinds, .observe = right_observe, .finish = right_finish};

/* ---- serve/one-generation -------------------------------------------------------------------- */

/* Besides answers that name two configurations: on one connection, which one process serves, an
 * older configuration must not follow a newer one. Across connections it may: an old one can be
 * bound to its configuration until it ends. */
static void generation_observe(struct judge_context *c, const struct hist_record *r)
{
    const struct world_connection *connection = world_connection(c->world, r->conn);
    if (r->gen == 0 || !world_population_counts(c->world, r->slot))
        return;
    if (r->kind == HIST_CLIENT_FIRST_BYTE) {
        if (connection != NULL && connection->newest_gen > r->gen)
            judge_violate(c, r, NULL,
                          "an answer of configuration %u after one of configuration %u on the "
                          "same connection",
                          r->gen, connection->newest_gen);
        return;
    }
    judge_seen(c, 1);
    if (r->flags & HIST_BIT(HIST_F_MIXED_GEN))
        judge_violate(c, r, NULL, "header and body of one answer name different configurations");
}

static void generation_finish(struct judge_context *c)
{
    if (!world_param(c->world, HIST_P_GENERATION_HEADER, 0) && c->result->checked == 0)
        judge_unknown(c, "the answers do not name their configuration (X-Mw-Gen)");
    judge_strength(c, "%llu answers, each of one configuration", (ull)c->result->checked);
}

static const unsigned generation_kinds[] = {HIST_CLIENT_FIRST_BYTE, HIST_CLIENT_END, HIST_NONE};
const struct checker judge_serve_one_generation = {
    .kinds = generation_kinds, .observe = generation_observe, .finish = generation_finish};

/* ---- serve/at-most-once ---------------------------------------------------------------------- */

enum { ONCE_MEMORY = 1 << 20 }; /* numbers remembered at least; twice as many at most */

/* Two generations of numbers seen: when one is full the older one is forgotten. */
struct numbers {
    struct table now, before;
    bool begun;
};

struct once {
    struct numbers executed, logged;
};

/* Remembers the number; true if it was known. */
static bool numbers_seen(struct numbers *n, uint64_t number)
{
    if (!n->begun) {
        table_init(&n->now, 0, ONCE_MEMORY);
        table_init(&n->before, 0, ONCE_MEMORY);
        n->begun = true;
    }
    if (table_find(&n->before, number) != NULL)
        return true;
    size_t known = n->now.used;
    if (table_add(&n->now, number) != NULL)
        return n->now.used == known;
    table_release(&n->before); /* there is no room for it */
    n->before = n->now;
    table_init(&n->now, 0, ONCE_MEMORY);
    table_add(&n->now, number);
    return false;
}

/* The same nonce on another connection is another send: a proxy passes it on. */
static uint64_t send_number(const struct hist_record *r)
{
    uint64_t number = r->req ^ (r->conn * 0x9e3779b97f4a7c15u);
    return number != 0 ? number : 1;
}

static void once_observe(struct judge_context *c, const struct hist_record *r)
{
    struct once *o = c->state;
    if (r->req == 0)
        return;
    if (r->kind == HIST_ENGINE_REQUEST) {
        judge_seen(c, 1);
        if (numbers_seen(&o->executed, send_number(r)))
            judge_violate(c, r, NULL, "worker %u executed request %llu a second time", r->pid,
                          (ull)r->req);
    } else if (world_param(c->world, HIST_P_ACCESS_LOG, 0)) {
        judge_seen(c, 1);
        if (numbers_seen(&o->logged, r->req))
            judge_violate(c, r, NULL, "request %llu is in the access log twice", (ull)r->req);
    }
}

static void once_finish(struct judge_context *c)
{
    if (c->result->checked == 0)
        judge_unknown(c, "the server tells neither by trace nor by log what it executed");
    judge_strength(c, "%llu executions, none twice", (ull)c->result->checked);
}

static void once_release(void *state)
{
    struct once *o = state;
    table_release(&o->executed.now);
    table_release(&o->executed.before);
    table_release(&o->logged.now);
    table_release(&o->logged.before);
}

static const unsigned once_kinds[] = {HIST_ENGINE_REQUEST, HIST_DIRECTOR_LOG_LINE, HIST_NONE};
const struct checker judge_serve_at_most_once = {.kinds = once_kinds,
                                                 .state_size = sizeof(struct once),
                                                 .observe = once_observe,
                                                 .finish = once_finish,
                                                 .release = once_release};
