/* limit: running out of descriptors, connections and patience. See guarantees.def. */
#include "scenarios/judge/causes.h"

#define MS(ns) ((double)(ns) / 1e6)

enum {
    NEAR_LIMIT = 3, /* descriptors short of the limit that still count as "at the limit" */
    SPINNERS_MAX = 256,
    CROWDED_MAX = 256,
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

/* A request that failed because of what the story did to its worker, or in the idle-close race. */
static bool was_excused(const struct world *w, const struct hist_record *end)
{
    const struct world_request *q = world_request(w, end->req);
    const struct world_connection *conn = world_connection(w, end->conn);
    uint32_t pid = conn && conn->server_pid ? conn->server_pid : end->pid;
    uint64_t from_ns = q ? q->begun.t_ns : end->t_ns;
    return world_idle_race(w, end) || world_cause(w, pid, from_ns, end->t_ns, WORLD_BREAKS) != NULL;
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

/* A request on an established connection, at the limit. Idle connections may be closed to make
 * room: what is lost to that race is serve/idle-race's. */
static void fd_serving_end(struct judge_context *c, const struct hist_record *r)
{
    struct fd_serving *s = c->state;
    bool failed = end_is_failure(c->world, r);
    if ((!failed && r->a != HIST_OK) || (failed && was_excused(c->world, r)))
        return;
    judge_seen(c, 1);
    s->served += !failed;
    if (failed)
        judge_violate(c, r, &s->reached,
                      "a request on an established connection ended '%s' at the descriptor limit",
                      hist_outcome_name((unsigned)r->a));
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
        fd_serving_end(c, r);
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
    uint64_t asked_ns; /* the first attempt of a new client since */
    uint64_t first_ok_ns, served;
};

/* Gave up on connecting, and had begun before: its next SYN may not have been due yet. */
static bool waited_from_before(const struct world *w, const struct recovery *s,
                               const struct hist_record *end)
{
    const struct world_connection *conn = world_connection(w, end->conn);
    return end->a == HIST_CONNECT_TIMEOUT && (!conn || conn->connect_ns < s->since_ns);
}

/* After the limit is lifted a new connection is served within the bound. */
static void recovery_end(struct judge_context *c, struct recovery *s, const struct hist_record *r)
{
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_RECOVER_BOUND, 0);
    if (!s->reached.kind || !s->since_ns || !bound_ns || on_established(r) || !world_serving(w))
        return;
    if (r->a == HIST_OK && !s->first_ok_ns)
        s->first_ok_ns = r->t_ns;
    if (r->a == HIST_OK) {
        s->served++;
        judge_seen(c, 1);
    } else if (end_is_failure(w, r) && r->t_ns > s->since_ns + bound_ns &&
               !waited_from_before(w, s, r) && !was_excused(w, r)) {
        judge_seen(c, 1);
        judge_violate(c, r, &s->reached,
                      "a request on a new connection ended '%s' %.0f ms after the limit was lifted",
                      hist_outcome_name((unsigned)r->a), MS(r->t_ns - s->since_ns));
    }
}

/* The kinds every user of a recovery needs. */
#define RECOVERY_KINDS HIST_DIRECTOR_PHASE, HIST_CLIENT_CONNECT, HIST_CLIENT_END

static void recovery_take(struct judge_context *c, struct recovery *s, const struct hist_record *r)
{
    if (r->kind == HIST_CLIENT_END)
        recovery_end(c, s, r);
    else if (r->kind == HIST_CLIENT_CONNECT && s->since_ns && !s->asked_ns)
        s->asked_ns = r->t_ns;
    else if (r->kind == HIST_DIRECTOR_PHASE && r->a == HIST_PHASE_RECOVER && s->reached.kind &&
             !s->since_ns)
        s->since_ns = r->t_ns;
}

/* `never`: why unknown if the limit was not reached. */
static void recovery_finish(struct judge_context *c, struct recovery *s, const char *never)
{
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_RECOVER_BOUND, 0);
    uint64_t end_ns = s->first_ok_ns ? s->first_ok_ns : world_served_until(w);
    bool tried = s->since_ns && bound_ns && (s->asked_ns || s->first_ok_ns);
    if (tried && s->asked_ns && end_ns > s->asked_ns + bound_ns)
        judge_violate(c, &s->reached, NULL,
                      "%.0f ms after a new client came %s, %.0f ms are allowed",
                      MS(end_ns - s->asked_ns),
                      s->first_ok_ns ? "a new connection was served at last"
                                     : "no new connection had been served",
                      MS(bound_ns));
    if (!s->reached.kind)
        judge_unknown(c, "%s", never);
    else if (!s->since_ns)
        judge_unknown(c, "the limit was never lifted");
    else if (!tried)
        judge_unknown(c, bound_ns ? "no new client came after the limit was lifted"
                                  : "the story does not state how long recovering may take");
    else
        judge_strength(c,
                       "served again %.1f ms after the limit was lifted, %llu requests on new "
                       "connections",
                       MS(s->first_ok_ns ? s->first_ok_ns - s->since_ns : 0),
                       (unsigned long long)s->served);
}

/* ---- limit/fd-recovers ----------------------------------------------------------------------- */

static void fd_recovers_observe(struct judge_context *c, const struct hist_record *r)
{
    struct recovery *s = c->state;
    if (!world_param(c->world, HIST_P_FD_LIMIT, 0))
        return;
    recovery_take(c, s, r);
    if (!s->since_ns && shows_fd_limit(c->world, r))
        s->reached = *r;
}

static void fd_recovers_finish(struct judge_context *c)
{
    recovery_finish(c, c->state, "no worker reached its descriptor limit");
}

static const unsigned fd_recovers_kinds[] = {RECOVERY_KINDS, HIST_ENGINE_ACCEPT_PAUSE,
                                             HIST_WATCH_PROC, HIST_NONE};
const struct checker judge_limit_fd_recovers = {.kinds = fd_recovers_kinds,
                                                .state_size = sizeof(struct recovery),
                                                .observe = fd_recovers_observe,
                                                .finish = fd_recovers_finish};

/* ---- limit/connections ----------------------------------------------------------------------- */

struct connections {
    struct causes causes;
    struct recovery recovery;
    struct {
        uint32_t pid;
        uint64_t open;
    } workers[CROWDED_MAX]; /* what a trace tells of each, a ring */
    unsigned next;
};

static uint64_t *connections_of(struct connections *s, uint32_t pid, bool add)
{
    for (unsigned i = 0; i < CROWDED_MAX && i < s->next; i++)
        if (s->workers[i].pid == pid)
            return &s->workers[i].open;
    if (!add)
        return NULL;
    unsigned at = s->next++ % CROWDED_MAX;
    s->workers[at].pid = pid;
    s->workers[at].open = 0;
    return &s->workers[at].open;
}

static uint64_t held_by_clients(const struct world *w)
{
    uint64_t held = 0;
    for (size_t i = 0; i < WORLD_POPULATIONS_MAX; i++)
        held += w->populations[i].known ? w->populations[i].held : 0;
    return held;
}

static uint64_t connections_limit(const struct world *w)
{
    return world_param(w, HIST_P_WORKER_CONNECTIONS, 0);
}

/* Takes in what a trace tells of connections; true: a worker has as many as it may. */
static bool connections_count(struct connections *s, const struct world *w,
                              const struct hist_record *r)
{
    uint64_t *open;
    switch (r->kind) {
    case HIST_ENGINE_ACCEPT:
        open = connections_of(s, r->pid, true);
        return ++*open >= connections_limit(w);
    case HIST_ENGINE_CLOSE:
        open = connections_of(s, r->pid, false);
        if (open && *open > 0)
            --*open;
        return false;
    case HIST_ENGINE_SPAWN: /* the number may have been another's */
        *connections_of(s, r->pid, true) = 0;
        return false;
    default:
        return false;
    }
}

static bool shows_connection_limit(const struct world *w, const struct hist_record *r)
{
    if (r->kind == HIST_ENGINE_ACCEPT_PAUSE)
        return r->a == 1 && r->b == HIST_PAUSE_CONNECTIONS;
    return r->kind == HIST_CLIENT_HELD &&
           held_by_clients(w) >= connections_limit(w) * world_param(w, HIST_P_WORKERS, 1);
}

/* Did it end with about as many connections as it may have? Without a trace: might it have? */
static bool ended_at_the_limit(struct connections *s, const struct world *w, uint32_t pid)
{
    const uint64_t *open = connections_of(s, pid, false);
    if (world_param(w, HIST_P_ENGINE_TRACE, 0))
        return open && *open + NEAR_LIMIT >= connections_limit(w);
    return held_by_clients(w) >= connections_limit(w);
}

static void connections_observe(struct judge_context *c, const struct hist_record *r)
{
    struct connections *s = c->state;
    const struct world *w = c->world;
    if (!connections_limit(w))
        return;
    causes_take(&s->causes, r);
    recovery_take(c, &s->recovery, r);
    bool full = connections_count(s, w, r) || shows_connection_limit(w, r);
    if (full && !s->recovery.reached.kind)
        s->recovery.reached = *r;
    if (exit_is_news(w, r) && ended_at_the_limit(s, w, r->pid))
        judge_unwanted_exit(c, &s->causes, r, "at worker_connections");
}

static void connections_finish(struct judge_context *c)
{
    struct connections *s = c->state;
    recovery_finish(c, &s->recovery, "worker_connections was not reached");
}

static const unsigned connections_kinds[] = {
    CAUSES_KINDS,       RECOVERY_KINDS,    HIST_ENGINE_ACCEPT_PAUSE,
    HIST_CLIENT_HELD,   HIST_WATCH_EXIT,   HIST_ENGINE_WORKER_EXIT,
    HIST_ENGINE_ACCEPT, HIST_ENGINE_CLOSE, HIST_ENGINE_SPAWN,
    HIST_NONE};
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
        /* a fault that burns is the story's doing */
        bool told_to = world_cause(c->world, last->pid, first->t_ns, last->t_ns, WORLD_SLOWS);
        if (wall_ns < QUIET_MIN_NS || bound == 0 || told_to || last->b < first->b)
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
