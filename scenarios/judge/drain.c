/* drain: stopping well. See guarantees.def for the sentences; how soon processes are gone is in
 * drain_gone.c. */
#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/starts.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

struct drained {
    struct starts starts;
    uint64_t races, bounds, excused;
};

static const char *start_name(const struct hist_record *start)
{
    return start->kind == HIST_DIRECTOR_STOP ? "the stop" : "the reload";
}

/* ---- drain/completes ------------------------------------------------------------------------- */

static bool was_cut(const struct hist_record *end)
{
    switch (end->a) {
    case HIST_RESET_BEFORE:
    case HIST_EOF_BEFORE:
    case HIST_RESET_MID:
    case HIST_TRUNCATED:
    case HIST_TIMEOUT:
        return true;
    default:
        return false;
    }
}

/* A held connection's request is never finished on purpose: nobody can answer it. */
static bool can_complete(const struct world *w, const struct hist_record *end)
{
    bool known = end->slot >= 0 && end->slot < WORLD_POPULATIONS_MAX;
    return world_population_counts(w, end->slot) && end->a != HIST_ABANDONED && end->conn != 0 &&
           !(known && w->populations[end->slot].known &&
             w->populations[end->slot].kind == HIST_HELD);
}

/* Under way when its worker began to drain, as far as the server tells. */
static bool was_drained(const struct world *w, uint32_t pid, uint64_t begun_ns)
{
    const struct world_process *p = world_process(w, pid);
    return !traced(w) || p == NULL || p->drain_ns > begun_ns;
}

/* It waited in an accept queue for workers of which none had room: nobody promises to serve it. */
static bool was_never_taken(const struct world *w, const struct hist_record *r,
                            const struct hist_record *start)
{
    const struct world_connection *connection = world_connection(w, r->conn);
    return connection != NULL && connection->accepted_ns == 0 && world_was_full(w, start->t_ns);
}

/* What was under way when a drain began, and ended: cut, or as it should. */
static void completes_ended(struct judge_context *c, const struct hist_record *r)
{
    struct drained *d = c->state;
    const struct world *w = c->world;
    uint64_t begun_ns = begun_of(w, r);
    const struct hist_record *start = starts_within(&d->starts, begun_ns, r->t_ns);
    if (start == NULL)
        return;
    uint32_t pid = server_of(w, r);
    if (!was_cut(r)) {
        if (was_drained(w, pid, begun_ns))
            judge_seen(c, 1);
        return;
    }
    const struct hist_record *cause = outside_cause(w, pid, begun_ns, r);
    if (world_idle_race(w, r))
        d->races++;
    else if (drain_bound_passed(w, pid, start->t_ns, r->t_ns))
        d->bounds++;
    else if (cause != NULL || was_never_taken(w, r, start) || world_backend_fails(w, r->slot) ||
             (r->a == HIST_TIMEOUT && r->flags & HIST_BIT(HIST_F_LAGGING)))
        d->excused++;
    else
        judge_violate(c, r, start, "a request begun %.1f ms before %s ended as %s %.1f ms after it",
                      MS(start->t_ns - begun_ns), start_name(start),
                      hist_outcome_name((unsigned)r->a), MS(r->t_ns - start->t_ns));
}

static void completes_observe(struct judge_context *c, const struct hist_record *r)
{
    struct drained *d = c->state;
    if (!starts_take(&d->starts, r) && can_complete(c->world, r) && !stopped_hard(c->world))
        completes_ended(c, r);
}

static void completes_finish(struct judge_context *c)
{
    struct drained *d = c->state;
    if (d->starts.count == 0)
        judge_unknown(c, "nothing was stopped gracefully or reloaded");
    else if (c->result->checked == 0)
        judge_unknown(c, "no request was under way when draining began");
    judge_strength(c,
                   "%llu requests under way over %llu drains; %llu cut at the bound, %llu by a "
                   "fault, %llu lost to the idle-close race",
                   (ull)c->result->checked, (ull)d->starts.count, (ull)d->bounds, (ull)d->excused,
                   (ull)d->races);
}

static const unsigned completes_kinds[] = {HIST_CLIENT_END, HIST_DIRECTOR_RELOAD,
                                           HIST_DIRECTOR_STOP, HIST_NONE};
const struct checker judge_drain_completes = {.kinds = completes_kinds,
                                              .state_size = sizeof(struct drained),
                                              .observe = completes_observe,
                                              .finish = completes_finish};

/* ---- reload/long-lived ------------------------------------------------------------------------
 */

static bool is_long_lived(const struct world *w, const struct hist_record *r)
{
    if (r->slot < 0 || r->slot >= WORLD_POPULATIONS_MAX || !w->populations[r->slot].known)
        return false;
    switch (w->populations[r->slot].kind) {
    case HIST_DOWNLOAD:
    case HIST_UPLOAD:
    case HIST_TUNNEL:
    case HIST_STREAM:
        return true;
    default:
        return false;
    }
}

static void long_observe(struct judge_context *c, const struct hist_record *r)
{
    struct drained *d = c->state;
    if (!starts_take(&d->starts, r) && is_long_lived(c->world, r) && can_complete(c->world, r) &&
        world_serving(c->world))
        completes_ended(c, r);
}

static void long_finish(struct judge_context *c)
{
    struct drained *d = c->state;
    if (d->starts.count == 0)
        judge_unknown(c, "nothing was reloaded");
    else if (c->result->checked == 0)
        judge_unknown(c, "no download, upload, tunnel or stream was open at a reload and ended");
    judge_strength(c,
                   "%llu long requests lived through a reload; %llu cut at the bound, %llu by a "
                   "fault",
                   (ull)c->result->checked, (ull)d->bounds, (ull)d->excused);
}

static const unsigned long_kinds[] = {HIST_CLIENT_END, HIST_DIRECTOR_RELOAD, HIST_NONE};
const struct checker judge_reload_long_lived = {.kinds = long_kinds,
                                                .state_size = sizeof(struct drained),
                                                .observe = long_observe,
                                                .finish = long_finish};

/* ---- drain/accepted-is-served ---------------------------------------------------------------- */

/* Resets are told at the end of the request they took, or, where none was under way, at the close
 * of the connection. */
static bool was_reset(const struct hist_record *r)
{
    if (r->kind == HIST_CLIENT_END)
        return r->a == HIST_RESET_BEFORE || r->a == HIST_RESET_MID;
    return r->a == HIST_CLOSE_RESET || (r->a == HIST_CLOSE_RESET_LOST && r->c == 0);
}

static void accepted_judge(struct judge_context *c, const struct hist_record *r,
                           const struct world_connection *connection,
                           const struct hist_record *start)
{
    struct drained *d = c->state;
    const struct world *w = c->world;
    uint32_t pid = server_of(w, r);
    if (r->kind == HIST_CLIENT_END && world_idle_race(w, r))
        d->races++;
    else if (drain_bound_passed(w, pid, start->t_ns, r->t_ns))
        d->bounds++;
    else if (outside_cause(w, pid, connection->connected_ns, r) != NULL ||
             was_never_taken(w, r, start))
        d->excused++;
    else
        judge_violate(c, r, start,
                      "a connection established %.1f ms before %s was reset %.1f ms after it",
                      MS(start->t_ns - connection->connected_ns), start_name(start),
                      MS(r->t_ns - start->t_ns));
}

static void accepted_observe(struct judge_context *c, const struct hist_record *r)
{
    struct drained *d = c->state;
    const struct world *w = c->world;
    if (starts_take(&d->starts, r) || stopped_hard(w) || !world_population_counts(w, r->slot))
        return;
    const struct world_connection *connection = world_connection(w, r->conn);
    if (connection == NULL || connection->connected_ns == 0)
        return;
    const struct hist_record *start = starts_within(&d->starts, connection->connected_ns, r->t_ns);
    if (start == NULL)
        return;
    if (r->kind == HIST_CLIENT_CLOSE)
        judge_seen(c, 1);
    if (was_reset(r))
        accepted_judge(c, r, connection, start);
}

static void accepted_finish(struct judge_context *c)
{
    struct drained *d = c->state;
    if (d->starts.count == 0)
        judge_unknown(c, "nothing was stopped gracefully or reloaded");
    else if (c->result->checked == 0)
        judge_unknown(c, "no connection was open when draining began and ended after it");
    judge_strength(c,
                   "%llu connections lived through the start of a drain; %llu reset at the bound, "
                   "%llu by a fault, %llu met the idle-close race",
                   (ull)c->result->checked, (ull)d->bounds, (ull)d->excused, (ull)d->races);
}

static const unsigned accepted_kinds[] = {HIST_CLIENT_END, HIST_CLIENT_CLOSE, HIST_DIRECTOR_RELOAD,
                                          HIST_DIRECTOR_STOP, HIST_NONE};
const struct checker judge_drain_accepted_is_served = {.kinds = accepted_kinds,
                                                       .state_size = sizeof(struct drained),
                                                       .observe = accepted_observe,
                                                       .finish = accepted_finish};

/* ---- drain/clean-exit ------------------------------------------------------------------------ */

struct clean {
    uint64_t found[HIST_LEFTOVER_COUNT], told[HIST_LEFTOVER_COUNT];
    struct hist_record checked[HIST_LEFTOVER_COUNT];
};

/* A master that is killed cannot remove its files; its processes and sockets must go all the same.
 */
static bool must_be_gone(const struct world *w, uint64_t leftover)
{
    return leftover < HIST_LEFTOVER_COUNT &&
           (!w->master_killed || leftover == HIST_LEFT_PROCESS || leftover == HIST_LEFT_LISTENER);
}

static void clean_observe(struct judge_context *c, const struct hist_record *r)
{
    struct clean *state = c->state;
    if (!must_be_gone(c->world, r->a))
        return;
    if (r->kind == HIST_DIRECTOR_CHECKED) {
        judge_seen(c, 1);
        state->found[r->a] += r->b;
        state->checked[r->a] = *r;
        return;
    }
    state->told[r->a]++;
    judge_violate(c, r, NULL, "after the stop a %s is left (%llu)",
                  hist_leftover_name((unsigned)r->a), (ull)(r->pid != 0 ? r->pid : r->b));
}

static void clean_finish(struct judge_context *c)
{
    struct clean *state = c->state;
    for (unsigned i = 0; i < HIST_LEFTOVER_COUNT; i++)
        if (state->found[i] > state->told[i])
            judge_violate(c, &state->checked[i], NULL, "after the stop %llu %s were found",
                          (ull)state->found[i], hist_leftover_name(i));
    if (c->result->checked == 0)
        judge_unknown(c, "nobody looked for leftovers after a stop");
    judge_strength(c, "%llu kinds of leftovers looked for, %llu found", (ull)c->result->checked,
                   (ull)c->result->violated);
}

static const unsigned clean_kinds[] = {HIST_DIRECTOR_LEFTOVER, HIST_DIRECTOR_CHECKED, HIST_NONE};
const struct checker judge_drain_clean_exit = {.kinds = clean_kinds,
                                               .state_size = sizeof(struct clean),
                                               .observe = clean_observe,
                                               .finish = clean_finish};
