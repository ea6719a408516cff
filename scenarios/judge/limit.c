/* limit: running out of descriptors, connections and patience. See guarantees.def. */
#include "scenarios/judge/causes.h"

#define MS(ns) ((double)(ns) / 1e6)

enum {
    NEAR_LIMIT = 3, /* descriptors short of the limit that still count as "at the limit" */
    SPINNERS_MAX = 256,
    QUIET_SETTLE_NS = 100000000, /* the first moments of a quiet phase belong to the noise before */
    QUIET_MIN_NS = 300000000,    /* CPU time is counted in ticks: shorter windows say nothing */
};

static bool in_phase(const struct world *w, enum hist_phase phase)
{
    return w->phase_ns != 0 && w->phase == phase;
}

/* A request on a connection that was established before. */
static bool on_established(const struct hist_record *r)
{
    return (r->flags & HIST_BIT(HIST_F_REUSED)) != 0;
}

/* A worker of a story about limits that ends, and nobody wanted it to. */
static void judge_unwanted_exit(struct judge_context *c, const struct causes *causes,
                                const struct hist_record *r, const char *where)
{
    char how[32];
    if (!world_serving(c->world) || !exit_is_abnormal(r->a) || causes_of(causes, c->world, r->pid))
        return;
    judge_seen(c, 1);
    judge_violate(c, r, NULL, "worker %u ended (%s) %s", r->pid, exit_text(r->a, how, sizeof how),
                  where);
}

/* ---- limit/fd-serving ------------------------------------------------------------------------ */

struct fd_serving {
    struct causes causes;
    struct hist_record reached; /* what showed that the limit was reached */
    uint64_t served;
};

/* Does this record show a worker at its descriptor limit? */
static bool shows_fd_limit(const struct world *w, const struct hist_record *r)
{
    if (r->kind == HIST_ENGINE_ACCEPT_PAUSE)
        return r->a == 1 && r->b == HIST_PAUSE_FD;
    if (r->kind != HIST_WATCH_PROC)
        return false;
    const struct world_process *p = world_process(w, r->pid);
    uint64_t limit = world_param(w, HIST_P_FD_LIMIT, 0);
    return p && p->is_worker && limit && (r->a >> 32) + NEAR_LIMIT >= limit;
}

static void fd_serving_observe(struct judge_context *c, const struct hist_record *r)
{
    struct fd_serving *s = c->state;
    const struct world *w = c->world;
    if (!world_param(w, HIST_P_FD_LIMIT, 0))
        return;
    causes_take(&s->causes, r);
    if (shows_fd_limit(w, r))
        s->reached = *r;
    else if (r->kind == HIST_WATCH_EXIT && r->pid == w->master_pid && world_serving(w))
        judge_violate(c, r, &s->reached, "the master ended at the descriptor limit");
    else if (exit_is_news(w, r))
        judge_unwanted_exit(c, &s->causes, r, "at the descriptor limit");
    else if (r->kind == HIST_CLIENT_END && s->reached.kind && in_phase(w, HIST_PHASE_ACT) &&
             on_established(r) && world_serving(w)) {
        judge_seen(c, 1);
        s->served += r->a == HIST_OK;
        if (end_is_failure(w, r))
            judge_violate(
                c, r, &s->reached,
                "a request on an established connection ended '%s' at the descriptor limit",
                hist_outcome_name((unsigned)r->a));
    }
}

static void fd_serving_finish(struct judge_context *c)
{
    struct fd_serving *s = c->state;
    if (!s->reached.kind)
        judge_unknown(c, "no worker reached its descriptor limit");
    else if (!c->result->checked)
        judge_unknown(c, "no request on an established connection at the limit");
    else
        judge_strength(c, "%llu requests on established connections served at the limit",
                       (unsigned long long)s->served);
}

static const unsigned fd_serving_kinds[] = {
    CAUSES_KINDS,    HIST_ENGINE_ACCEPT_PAUSE, HIST_WATCH_PROC,
    HIST_WATCH_EXIT, HIST_ENGINE_WORKER_EXIT,  HIST_CLIENT_END,
    HIST_NONE};
const struct checker judge_limit_fd_serving = {.kinds = fd_serving_kinds,
                                               .state_size = sizeof(struct fd_serving),
                                               .observe = fd_serving_observe,
                                               .finish = fd_serving_finish};

/* ---- after the limit: shared by limit/fd-recovers and limit/connections ------------------------
 */

struct recovery {
    struct hist_record reached;
    uint64_t since_ns; /* the story's recover phase began */
    uint64_t first_ok_ns, served;
};

/* After the limit is lifted a new connection is served within the bound. */
static void recovery_end(struct judge_context *c, struct recovery *s, const struct hist_record *r)
{
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_RECOVER_BOUND, 0);
    if (!s->reached.kind || !s->since_ns || on_established(r) || !world_serving(w))
        return;
    if (r->a == HIST_OK && !s->first_ok_ns)
        s->first_ok_ns = r->t_ns;
    if (r->a == HIST_OK) {
        s->served++;
        judge_seen(c, 1);
    } else if (end_is_failure(w, r) && r->t_ns > s->since_ns + bound_ns) {
        judge_seen(c, 1);
        judge_violate(c, r, &s->reached,
                      "a request on a new connection ended '%s' %.0f ms after the limit was lifted",
                      hist_outcome_name((unsigned)r->a), MS(r->t_ns - s->since_ns));
    }
}

static void recovery_phase(struct recovery *s, const struct hist_record *r)
{
    if (r->a == HIST_PHASE_RECOVER && s->reached.kind && !s->since_ns)
        s->since_ns = r->t_ns;
}

static void recovery_finish(struct judge_context *c, struct recovery *s)
{
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_RECOVER_BOUND, 0);
    uint64_t end_ns = w->stop_ns ? w->stop_ns : w->now_ns;
    if (!s->reached.kind || !s->since_ns)
        return;
    uint64_t took_ns = (s->first_ok_ns ? s->first_ok_ns : end_ns) - s->since_ns;
    if (took_ns > bound_ns)
        judge_violate(c, &s->reached, NULL,
                      "%.0f ms after the limit was lifted %s, %.0f ms are "
                      "allowed",
                      MS(took_ns),
                      s->first_ok_ns ? "a new connection was served at last"
                                     : "no new connection had been served",
                      MS(bound_ns));
}

/* ---- limit/fd-recovers ----------------------------------------------------------------------- */

static void fd_recovers_observe(struct judge_context *c, const struct hist_record *r)
{
    struct recovery *s = c->state;
    if (!world_param(c->world, HIST_P_FD_LIMIT, 0))
        return;
    if (r->kind == HIST_DIRECTOR_PHASE)
        recovery_phase(s, r);
    else if (r->kind == HIST_CLIENT_END)
        recovery_end(c, s, r);
    else if (!s->reached.kind && shows_fd_limit(c->world, r))
        s->reached = *r;
}

static void fd_recovers_finish(struct judge_context *c)
{
    struct recovery *s = c->state;
    recovery_finish(c, s);
    if (!s->reached.kind)
        judge_unknown(c, "no worker reached its descriptor limit");
    else if (!s->since_ns)
        judge_unknown(c, "the limit was never lifted");
    else
        judge_strength(c, "served again after %.1f ms, %llu requests on new connections",
                       s->first_ok_ns ? MS(s->first_ok_ns - s->since_ns) : 0.0,
                       (unsigned long long)s->served);
}

static const unsigned fd_recovers_kinds[] = {HIST_ENGINE_ACCEPT_PAUSE, HIST_WATCH_PROC,
                                             HIST_DIRECTOR_PHASE, HIST_CLIENT_END, HIST_NONE};
const struct checker judge_limit_fd_recovers = {.kinds = fd_recovers_kinds,
                                                .state_size = sizeof(struct recovery),
                                                .observe = fd_recovers_observe,
                                                .finish = fd_recovers_finish};

/* ---- limit/connections ----------------------------------------------------------------------- */

struct connections {
    struct causes causes;
    struct recovery recovery;
};

static bool shows_connection_limit(const struct world *w, const struct hist_record *r)
{
    uint64_t per_worker = world_param(w, HIST_P_WORKER_CONNECTIONS, 0);
    if (r->kind == HIST_ENGINE_ACCEPT_PAUSE)
        return r->a == 1 && r->b == HIST_PAUSE_CONNECTIONS;
    if (r->kind != HIST_CLIENT_HELD)
        return false;
    uint64_t held = 0;
    for (size_t i = 0; i < WORLD_POPULATIONS_MAX; i++)
        held += w->populations[i].known ? w->populations[i].held : 0;
    return held >= per_worker * world_param(w, HIST_P_WORKERS, 1);
}

static void connections_observe(struct judge_context *c, const struct hist_record *r)
{
    struct connections *s = c->state;
    const struct world *w = c->world;
    if (!world_param(w, HIST_P_WORKER_CONNECTIONS, 0))
        return;
    causes_take(&s->causes, r);
    if (r->kind == HIST_DIRECTOR_PHASE)
        recovery_phase(&s->recovery, r);
    else if (exit_is_news(w, r))
        judge_unwanted_exit(c, &s->causes, r, "at worker_connections");
    else if (r->kind == HIST_CLIENT_END)
        recovery_end(c, &s->recovery, r);
    else if (!s->recovery.reached.kind && shows_connection_limit(w, r))
        s->recovery.reached = *r;
}

static void connections_finish(struct judge_context *c)
{
    struct recovery *s = &((struct connections *)c->state)->recovery;
    recovery_finish(c, s);
    if (!s->reached.kind)
        judge_unknown(c, "worker_connections was not reached");
    else if (!s->since_ns)
        judge_unknown(c, "the load was never taken back below the limit");
    else
        judge_strength(c, "limit reached, %llu requests on new connections served afterwards",
                       (unsigned long long)s->served);
}

static const unsigned connections_kinds[] = {
    CAUSES_KINDS,    HIST_ENGINE_ACCEPT_PAUSE, HIST_CLIENT_HELD, HIST_DIRECTOR_PHASE,
    HIST_WATCH_EXIT, HIST_ENGINE_WORKER_EXIT,  HIST_CLIENT_END,  HIST_NONE};
const struct checker judge_limit_connections = {.kinds = connections_kinds,
                                                .state_size = sizeof(struct connections),
                                                .observe = connections_observe,
                                                .finish = connections_finish};

/* ---- limit/no-spin --------------------------------------------------------------------------- */

struct no_spin {
    struct {
        struct hist_record first, last;
    } window[SPINNERS_MAX]; /* processes sampled in the current quiet phase */
    size_t count;
    uint64_t worst_permille;
};

static void no_spin_sample(struct no_spin *s, const struct hist_record *r)
{
    size_t i = 0;
    while (i < s->count && s->window[i].first.pid != r->pid)
        i++;
    if (i == SPINNERS_MAX)
        return;
    if (i == s->count) {
        s->window[i].first = *r;
        s->count++;
    }
    s->window[i].last = *r;
}

/* Judges the windows of the quiet phase that has just ended. */
static void no_spin_judge(struct judge_context *c)
{
    struct no_spin *s = c->state;
    uint64_t bound = world_param(c->world, HIST_P_CPU_PERMILLE, 0);
    for (size_t i = 0; i < s->count; i++) {
        const struct hist_record *first = &s->window[i].first, *last = &s->window[i].last;
        uint64_t wall_ns = last->t_ns - first->t_ns;
        if (wall_ns < QUIET_MIN_NS || bound == 0)
            continue;
        uint64_t permille = (last->b - first->b) * 1000 / wall_ns;
        judge_seen(c, 1);
        if (permille > s->worst_permille)
            s->worst_permille = permille;
        if (permille > bound)
            judge_violate(c, last, first,
                          "process %u used %llu per mille of a core for %.0f ms with "
                          "nothing to do, %llu are allowed",
                          last->pid, (unsigned long long)permille, MS(wall_ns),
                          (unsigned long long)bound);
    }
    s->count = 0;
}

static void no_spin_observe(struct judge_context *c, const struct hist_record *r)
{
    const struct world *w = c->world;
    if (r->kind == HIST_DIRECTOR_PHASE || r->kind == HIST_DIRECTOR_STOP)
        no_spin_judge(c);
    else if (in_phase(w, HIST_PHASE_QUIET) && r->t_ns > w->phase_ns + QUIET_SETTLE_NS)
        no_spin_sample(c->state, r);
}

static void no_spin_finish(struct judge_context *c)
{
    struct no_spin *s = c->state;
    no_spin_judge(c);
    if (!c->result->checked)
        judge_unknown(c, "no process was watched through a quiet phase");
    else
        judge_strength(c, "%llu processes at rest, %llu per mille of a core at worst",
                       (unsigned long long)c->result->checked,
                       (unsigned long long)s->worst_permille);
}

static const unsigned no_spin_kinds[] = {HIST_WATCH_PROC, HIST_DIRECTOR_PHASE, HIST_DIRECTOR_STOP,
                                         HIST_NONE};
const struct checker judge_limit_no_spin = {.kinds = no_spin_kinds,
                                            .state_size = sizeof(struct no_spin),
                                            .observe = no_spin_observe,
                                            .finish = no_spin_finish};

/* ---- limit/slow-accept ----------------------------------------------------------------------- */

struct slow_accept {
    uint64_t judged, worst_ns;
};

/* Taken by a worker before that worker was stopped: nobody else can serve it. */
static bool belongs_to_the_stopped(const struct world *w, const struct hist_record *r)
{
    const struct world_connection *conn = world_connection(w, r->conn);
    const struct world_process *p =
        conn && conn->server_pid ? world_process(w, conn->server_pid) : NULL;
    return p && p->stopped_ns && conn->accepted_ns && conn->accepted_ns <= p->stopped_ns;
}

static void slow_accept_observe(struct judge_context *c, const struct hist_record *r)
{
    struct slow_accept *s = c->state;
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_SLOW_ACCEPT_BOUND, 0);
    if (!bound_ns || !in_phase(w, HIST_PHASE_ACT) || on_established(r) || !world_serving(w) ||
        !world_population_counts(w, r->slot) || (r->flags & HIST_BIT(HIST_F_LAGGING)) ||
        belongs_to_the_stopped(w, r))
        return;
    uint64_t took_ns = r->kind == HIST_CLIENT_FIRST_BYTE ? r->a : r->c;
    bool lost = r->kind == HIST_CLIENT_END && end_is_failure(w, r);
    if (r->kind == HIST_CLIENT_END && !lost)
        return;
    judge_seen(c, 1);
    s->judged++;
    if (took_ns > s->worst_ns)
        s->worst_ns = took_ns;
    if (lost || took_ns > bound_ns)
        judge_violate(c, r, &w->last_signal,
                      "a new connection %s %.0f ms while one worker was slow, "
                      "%.0f ms are allowed",
                      lost ? "failed after" : "waited", MS(took_ns), MS(bound_ns));
}

static void slow_accept_finish(struct judge_context *c)
{
    struct slow_accept *s = c->state;
    if (!world_param(c->world, HIST_P_SLOW_ACCEPT_BOUND, 0))
        judge_unknown(c, "the story makes no worker slow");
    else if (!s->judged)
        judge_unknown(c, "no new connection while a worker was slow");
    else
        judge_strength(c, "%llu new connections beside a slow worker, %.1f ms at worst",
                       (unsigned long long)s->judged, MS(s->worst_ns));
}

static const unsigned slow_accept_kinds[] = {HIST_CLIENT_FIRST_BYTE, HIST_CLIENT_END, HIST_NONE};
const struct checker judge_limit_slow_accept = {.kinds = slow_accept_kinds,
                                                .state_size = sizeof(struct slow_accept),
                                                .observe = slow_accept_observe,
                                                .finish = slow_accept_finish};
