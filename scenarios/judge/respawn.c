/* respawn: workers that die, are missed, and drag no other with them. See guarantees.def. */
#include "scenarios/judge/causes.h"

#include <signal.h>

#include "scenarios/judge/rolls.h"

#define MS(ns) ((double)(ns) / 1e6)

enum {
    PENDING_MAX = 256,         /* exits whose replacement is awaited */
    CONTAGION_NS = 1000000000, /* deaths closer than this may have one cause */
};

/* ---- respawn/deadline ------------------------------------------------------------------------ */

struct pending {
    struct hist_record exit;
    struct world_process worker; /* as it was then */
};

struct deadline {
    struct rolls rolls;
    struct pending pending[PENDING_MAX];
    size_t pending_count;
    uint64_t worst_ns, sum_ns, replaced;
    uint64_t master_stopped_ns; /* a master that is stopped replaces nobody */
    uint64_t shrunk_ns;         /* and one that was asked for fewer workers one less */
};

static void deadline_drop(struct deadline *d, size_t i)
{
    d->pending[i] = d->pending[--d->pending_count];
}

/* Whom does a worker of this slot, born then, replace? One of its own master and generation. A
 * watcher that polls may have seen the birth before the exit. */
static size_t deadline_find(const struct deadline *d, const struct world *w,
                            const struct world_process *p)
{
    size_t any = PENDING_MAX;
    uint64_t slack_ns = world_param(w, HIST_P_ENGINE_TRACE, 0) ? 0 : w->watch_period_ns;
    for (size_t i = 0; i < d->pending_count; i++) {
        const struct world_process *dead = &d->pending[i].worker;
        bool other_generation =
            p->generation != 0 && dead->generation != 0 && p->generation != dead->generation;
        bool other_master = p->parent != 0 && dead->parent != 0 && p->parent != dead->parent;
        if (p->born_ns + slack_ns < d->pending[i].exit.t_ns || other_generation || other_master)
            continue;
        if (p->slot >= 0 && dead->slot == p->slot)
            return i;
        if (any == PENDING_MAX && (p->slot < 0 || dead->slot < 0))
            any = i;
    }
    return any;
}

/* Who keeps a trace tells of everybody whom it wants to go: others are to be replaced however they
 * end. Without one only a crash shows. */
static bool deadline_concerns(const struct deadline *d, const struct world *w,
                              const struct world_process *p, uint64_t status)
{
    bool traced = world_param(w, HIST_P_ENGINE_TRACE, 0) != 0;
    if (!exit_is_abnormal(status) && (!traced || status == UINT64_MAX))
        return false;
    return traced ? !rolls_retired(&d->rolls, p) : !rolls_may_retire(&d->rolls, p);
}

static void deadline_exit(struct judge_context *c, const struct hist_record *r)
{
    struct deadline *d = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    if (!world_has_master(c->world) || !deadline_concerns(d, c->world, p, r->a))
        return;
    if (p->parent != 0 && (p->parent != c->world->master_pid || p->parent == c->world->parting_pid))
        return; /* of a new binary, which may be told to go before it is the master */
    if (died_at_start(c->world, p)) { /* the replacement itself died: a crash loop */
        size_t i = deadline_find(d, c->world, p);
        if (i < PENDING_MAX)
            deadline_drop(d, i);
        return;
    }
    if (d->pending_count < PENDING_MAX)
        d->pending[d->pending_count++] = (struct pending){.exit = *r, .worker = *p};
}

static void deadline_accepts(struct judge_context *c, const struct hist_record *r)
{
    struct deadline *d = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    if (d->pending_count == 0 || !p || !p->is_worker || p->born_ns == 0)
        return;
    size_t i = deadline_find(d, c->world, p);
    if (i == PENDING_MAX)
        return;
    const struct hist_record *exit = &d->pending[i].exit;
    uint64_t took_ns = r->t_ns > exit->t_ns ? r->t_ns - exit->t_ns : 0;
    uint64_t bound_ns = c->world->param[HIST_P_RESPAWN_DEADLINE];
    judge_seen(c, 1);
    d->replaced++;
    d->sum_ns += took_ns;
    if (took_ns > d->worst_ns)
        d->worst_ns = took_ns;
    if (took_ns > bound_ns && d->master_stopped_ns < exit->t_ns)
        judge_violate(c, exit, r,
                      "the replacement of worker %u accepted after %.1f ms, %.1f ms are allowed",
                      exit->pid, MS(took_ns), MS(bound_ns));
    deadline_drop(d, i);
}

/* The exit was overdue at `at_ns`. */
static void deadline_overdue(struct judge_context *c, const struct pending *p, uint64_t at_ns)
{
    const struct deadline *d = c->state;
    uint64_t due_ns = p->exit.t_ns + c->world->param[HIST_P_RESPAWN_DEADLINE];
    bool unwanted = d->shrunk_ns > p->worker.born_ns && d->shrunk_ns <= due_ns;
    if (at_ns <= due_ns || d->master_stopped_ns > p->exit.t_ns || unwanted)
        return;
    judge_seen(c, 1);
    judge_violate(c, &p->exit, NULL, "worker %u ended and nobody had taken its place %.1f ms later",
                  p->exit.pid, MS(at_ns - p->exit.t_ns));
}

/* The new configuration's workers are there: who was of the old one need not be replaced. */
static void deadline_committed(struct judge_context *c)
{
    struct deadline *d = c->state;
    for (size_t i = d->pending_count; i-- > 0;) {
        if (!rolls_retired(&d->rolls, &d->pending[i].worker))
            continue;
        deadline_overdue(c, &d->pending[i], d->rolls.committed_ns);
        deadline_drop(d, i);
    }
}

/* Forks that fail are respawn/fork-failure's business. */
static void deadline_not_forked(struct deadline *d, int16_t slot)
{
    for (size_t i = d->pending_count; i-- > 0;)
        if (slot < 0 || d->pending[i].worker.slot < 0 || d->pending[i].worker.slot == slot)
            deadline_drop(d, i);
}

/* The master is to go, and a new one's workers are there. */
static void deadline_parts(struct judge_context *c, const struct hist_record *r)
{
    struct deadline *d = c->state;
    while (d->pending_count > 0)
        deadline_overdue(c, &d->pending[--d->pending_count], r->t_ns);
}

/* What the story tells the master that has a say in whom it replaces. */
static void deadline_signal(struct judge_context *c, const struct hist_record *r)
{
    struct deadline *d = c->state;
    if (r->pid != c->world->master_pid || (r->kind == HIST_STORM_SIGNAL && r->c != 0))
        return;
    if (r->a == SIGSTOP || r->a == SIGCONT)
        d->master_stopped_ns = r->t_ns;
    else if (r->a == SIGTTOU)
        d->shrunk_ns = r->t_ns;
    else if (r->pid != 0 && r->pid == c->world->parting_pid)
        deadline_parts(c, r);
}

static void deadline_observe(struct judge_context *c, const struct hist_record *r)
{
    struct deadline *d = c->state;
    bool traced = world_param(c->world, HIST_P_ENGINE_TRACE, 0) != 0;
    if (rolls_take(&d->rolls, c->world, r))
        deadline_committed(c);
    else if (exit_is_news(c->world, r))
        deadline_exit(c, r);
    else if (r->kind == HIST_ENGINE_WORKER_READY || (!traced && r->kind == HIST_WATCH_FORK))
        deadline_accepts(c, r);
    else if (r->kind == HIST_ENGINE_SPAWN_FAILED)
        deadline_not_forked(d, r->slot);
    else if (r->kind == HIST_DIRECTOR_SIGNAL || r->kind == HIST_STORM_SIGNAL)
        deadline_signal(c, r);
}

static void deadline_finish(struct judge_context *c)
{
    struct deadline *d = c->state;
    uint64_t end_ns = world_served_until(c->world);
    for (size_t i = 0; i < d->pending_count; i++)
        deadline_overdue(c, &d->pending[i], end_ns);
    if (!c->world->param_known[HIST_P_RESPAWN_DEADLINE])
        judge_unknown(c, "the story states no respawn deadline");
    else if (d->replaced)
        judge_strength(c, "%llu workers replaced, %.1f ms on average, %.1f ms at worst",
                       (unsigned long long)d->replaced, MS(d->sum_ns / d->replaced),
                       MS(d->worst_ns));
    else
        judge_unknown(c, d->pending_count ? "the run ended too soon after a worker's death"
                                          : "no worker that served had died");
}

static const unsigned deadline_kinds[] = {ROLLS_KINDS,
                                          HIST_WATCH_EXIT,
                                          HIST_ENGINE_WORKER_EXIT,
                                          HIST_ENGINE_WORKER_READY,
                                          HIST_WATCH_FORK,
                                          HIST_ENGINE_SPAWN_FAILED,
                                          HIST_NONE};
const struct checker judge_respawn_deadline = {.kinds = deadline_kinds,
                                               .state_size = sizeof(struct deadline),
                                               .observe = deadline_observe,
                                               .finish = deadline_finish};

/* ---- respawn/count --------------------------------------------------------------------------- */

struct count {
    struct rolls rolls;
    uint64_t samples;
    bool wrong, stale; /* one report for each time it is wrong, not for each sample */
};

/* Since when nobody has disturbed the tree; it is never calm while a reload is under way. */
static uint64_t calm_since_ns(const struct rolls *rolls, const struct world *w)
{
    if (rolls->begun_ns != 0)
        return UINT64_MAX;
    uint64_t ns = w->disturbed_ns > w->ready_ns ? w->disturbed_ns : w->ready_ns;
    return rolls->ended_ns > ns ? rolls->ended_ns : ns;
}

static void count_zombies(struct judge_context *c, const struct hist_record *r)
{
    struct count *s = c->state;
    uint64_t bound_ns = world_param(c->world, HIST_P_ZOMBIE_BOUND, UINT64_MAX);
    bool stale = r->b != 0 && r->c > bound_ns;
    if (stale && !s->stale)
        judge_violate(c, r, &c->world->last_exit, "a zombie is %.0f ms old, %.0f ms are allowed",
                      MS(r->c), MS(bound_ns));
    s->stale = stale;
}

static void count_workers(struct judge_context *c, const struct hist_record *r)
{
    struct count *s = c->state;
    const struct world *w = c->world;
    uint64_t calm_ns = calm_since_ns(&s->rolls, w);
    uint64_t bound_ns = world_param(w, HIST_P_CONVERGE_BOUND, UINT64_MAX);
    if (r->t_ns < calm_ns || r->t_ns - calm_ns < bound_ns)
        return;
    uint64_t serving = rolls_serving(&s->rolls, w), want = rolls_wanted(&s->rolls, w);
    judge_seen(c, 1);
    s->samples++;
    if (serving != want && !s->wrong)
        judge_violate(c, r, &w->last_exit,
                      "%llu workers serve where %llu are configured, %.0f ms after the last "
                      "disturbance",
                      (unsigned long long)serving, (unsigned long long)want, MS(r->t_ns - calm_ns));
    s->wrong = serving != want;
}

static void count_observe(struct judge_context *c, const struct hist_record *r)
{
    struct count *s = c->state;
    rolls_take(&s->rolls, c->world, r);
    if (r->kind != HIST_WATCH_TREE || !world_has_master(c->world) || c->world->upgrading)
        return;
    count_zombies(c, r);
    count_workers(c, r);
}

static void count_finish(struct judge_context *c)
{
    struct count *s = c->state;
    if (!c->world->param_known[HIST_P_CONVERGE_BOUND])
        judge_unknown(c, "the story does not state how long the tree may take to converge");
    else if (!s->samples)
        judge_unknown(c, "the tree was never left alone for as long as it may take to converge");
    else
        judge_strength(c, "%llu samples in steady state", (unsigned long long)s->samples);
}

static const unsigned count_kinds[] = {ROLLS_KINDS, HIST_WATCH_TREE, HIST_NONE};
const struct checker judge_respawn_count = {.kinds = count_kinds,
                                            .state_size = sizeof(struct count),
                                            .observe = count_observe,
                                            .finish = count_finish};

/* ---- respawn/isolation ----------------------------------------------------------------------- */

struct isolation {
    struct causes causes;
    struct rolls rolls;
    struct hist_record last_death;
    uint64_t deaths, others_ok;
};

/* Something was done to it that may break or delay what it serves. */
static bool was_harmed(const struct isolation *s, const struct world *w,
                       const struct world_process *p)
{
    return causes_of(&s->causes, w, p->pid) != NULL ||
           world_cause(w, p->pid, p->born_ns, w->now_ns, WORLD_BREAKS | WORLD_SLOWS) != NULL;
}

static void isolation_death(struct judge_context *c, const struct hist_record *r)
{
    struct isolation *s = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    if (!exit_is_abnormal(r->a) || !world_has_master(c->world) || died_at_start(c->world, p))
        return;
    char how[32];
    bool soon = s->last_death.kind && r->t_ns - s->last_death.t_ns < CONTAGION_NS;
    if (soon && !was_harmed(s, c->world, p) && !rolls_may_retire(&s->rolls, p))
        judge_violate(c, r, &s->last_death,
                      "worker %u ended (%s) for no reason of its own, %.1f ms after worker %u died",
                      r->pid, exit_text(r->a, how, sizeof how), MS(r->t_ns - s->last_death.t_ns),
                      s->last_death.pid);
    s->deaths++;
    s->last_death = *r;
}

/* The worker that had this request's connection, if it lives and nothing was done to it. */
static const struct world_process *innocent_owner(const struct isolation *s, const struct world *w,
                                                  const struct hist_record *r)
{
    const struct world_connection *conn = world_connection(w, r->conn);
    uint32_t pid = conn && conn->server_pid ? conn->server_pid : r->pid;
    const struct world_process *p = pid ? world_process(w, pid) : NULL;
    if (!p || p->exit_ns != 0 || p->stopped_ns != 0 || rolls_may_retire(&s->rolls, p))
        return NULL;
    return was_harmed(s, w, p) ? NULL : p;
}

static void isolation_end(struct judge_context *c, const struct hist_record *r)
{
    struct isolation *s = c->state;
    if (!s->last_death.kind || !world_serving(c->world) ||
        r->t_ns - s->last_death.t_ns > CONTAGION_NS || world_idle_race(c->world, r))
        return;
    const struct world_process *p = innocent_owner(s, c->world, r);
    bool failed = end_is_failure(c->world, r);
    if (!p || (!failed && r->a != HIST_OK))
        return;
    judge_seen(c, 1);
    if (failed)
        judge_violate(
            c, r, &s->last_death,
            "a request of worker %u, which lives, ended '%s' %.1f ms after worker %u died", p->pid,
            hist_outcome_name((unsigned)r->a), MS(r->t_ns - s->last_death.t_ns), s->last_death.pid);
    else
        s->others_ok++;
}

static void isolation_observe(struct judge_context *c, const struct hist_record *r)
{
    struct isolation *s = c->state;
    causes_take(&s->causes, r);
    rolls_take(&s->rolls, c->world, r);
    if (r->kind == HIST_CLIENT_END)
        isolation_end(c, r);
    else if (exit_is_news(c->world, r))
        isolation_death(c, r);
}

static void isolation_finish(struct judge_context *c)
{
    struct isolation *s = c->state;
    if (!s->deaths)
        judge_unknown(c, "no worker died");
    else if (!c->result->checked)
        judge_unknown(c, "no request of another worker within 1 s of a death");
    else
        judge_strength(c, "%llu deaths, %llu requests of other workers were served",
                       (unsigned long long)s->deaths, (unsigned long long)s->others_ok);
}

static const unsigned isolation_kinds[] = {CAUSES_KINDS,    ROLLS_KINDS,
                                           HIST_WATCH_EXIT, HIST_ENGINE_WORKER_EXIT,
                                           HIST_CLIENT_END, HIST_NONE};
const struct checker judge_respawn_isolation = {.kinds = isolation_kinds,
                                                .state_size = sizeof(struct isolation),
                                                .observe = isolation_observe,
                                                .finish = isolation_finish};
