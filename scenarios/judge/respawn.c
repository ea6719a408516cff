/* respawn: workers that die. See guarantees.def for the sentences. */
#include "scenarios/judge/causes.h"

#include <string.h>

#define MS(ns) ((double)(ns) / 1e6)

enum {
    PENDING_MAX = 256,         /* exits whose replacement is awaited */
    YOUNG_NS = 100000000,      /* without a trace: a worker that lived less died at start */
    CONTAGION_NS = 1000000000, /* deaths closer than this may have one cause */
    YOUNG_DEATHS_MIN = 5,      /* fewer deaths at start are no crash loop */
};

/* Died before it ever served: belongs to respawn/backoff. */
static bool died_at_start(const struct world *world, const struct world_process *p)
{
    if (world_param(world, HIST_P_ENGINE_TRACE, 0))
        return p->ready_ns == 0;
    return p->ready_ns == 0 && p->born_ns != 0 && p->exit_ns - p->born_ns < YOUNG_NS;
}

/* Was told to go: nobody replaces it. Without a trace: older than the last reload. */
static bool was_retired(const struct world *world, const struct world_process *p)
{
    if (p->drain_ns != 0)
        return true;
    return !world_param(world, HIST_P_ENGINE_TRACE, 0) && world->reload_begun_ns != 0 &&
           p->born_ns < world->reload_begun_ns;
}

/* ---- respawn/deadline ------------------------------------------------------------------------ */

struct deadline {
    struct {
        struct hist_record exit;
        int16_t slot;
    } pending[PENDING_MAX];
    size_t pending_count;
    uint32_t matched[PENDING_MAX]; /* replacements already counted, newest last */
    size_t matched_count;
    uint64_t worst_ns, sum_ns, replaced;
};

static void deadline_drop(struct deadline *d, size_t i)
{
    d->pending[i] = d->pending[--d->pending_count];
}

static size_t deadline_find(const struct deadline *d, int16_t slot, uint64_t born_ns)
{
    size_t any = PENDING_MAX;
    for (size_t i = 0; i < d->pending_count; i++) {
        if (born_ns != 0 && born_ns < d->pending[i].exit.t_ns)
            continue;
        if (slot >= 0 && d->pending[i].slot == slot)
            return i;
        if (slot < 0 || d->pending[i].slot < 0)
            any = any == PENDING_MAX ? i : any;
    }
    return any;
}

static bool deadline_was_matched(struct deadline *d, uint32_t pid)
{
    for (size_t i = 0; i < d->matched_count; i++)
        if (d->matched[i] == pid)
            return true;
    if (d->matched_count == PENDING_MAX)
        memmove(d->matched, d->matched + 1, --d->matched_count * sizeof *d->matched);
    d->matched[d->matched_count++] = pid;
    return false;
}

static void deadline_exit(struct judge_context *c, const struct hist_record *r)
{
    struct deadline *d = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    if (!exit_is_abnormal(r->a) || was_retired(c->world, p) || !world_serving(c->world))
        return;
    if (died_at_start(c->world, p)) { /* the replacement itself died: a crash loop */
        size_t i = deadline_find(d, p->slot, p->born_ns);
        if (i < PENDING_MAX)
            deadline_drop(d, i);
        return;
    }
    if (d->pending_count < PENDING_MAX) {
        d->pending[d->pending_count].exit = *r;
        d->pending[d->pending_count++].slot = p->slot;
    }
}

static void deadline_accepts(struct judge_context *c, const struct hist_record *r)
{
    struct deadline *d = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    if (d->pending_count == 0 || !p || !p->is_worker)
        return;
    size_t i = deadline_find(d, p->slot, p->born_ns);
    if (i == PENDING_MAX || p->born_ns == 0 || deadline_was_matched(d, r->pid))
        return;
    uint64_t took_ns = r->t_ns - d->pending[i].exit.t_ns;
    uint64_t bound_ns = c->world->param[HIST_P_RESPAWN_DEADLINE];
    judge_seen(c, 1);
    d->replaced++;
    d->sum_ns += took_ns;
    if (took_ns > d->worst_ns)
        d->worst_ns = took_ns;
    if (took_ns > bound_ns)
        judge_violate(c, &d->pending[i].exit, r,
                      "the replacement of worker %u accepted after %.1f ms, %.1f ms are allowed",
                      d->pending[i].exit.pid, MS(took_ns), MS(bound_ns));
    deadline_drop(d, i);
}

static void deadline_observe(struct judge_context *c, const struct hist_record *r)
{
    struct deadline *d = c->state;
    bool traced = world_param(c->world, HIST_P_ENGINE_TRACE, 0) != 0;
    if (exit_is_news(c->world, r))
        deadline_exit(c, r);
    else if (r->kind == HIST_ENGINE_WORKER_READY || (!traced && r->kind == HIST_WATCH_FORK))
        deadline_accepts(c, r);
    else if (r->kind == HIST_ENGINE_SPAWN_FAILED)
        d->pending_count = 0; /* respawn/fork-failure's business */
}

static void deadline_finish(struct judge_context *c)
{
    struct deadline *d = c->state;
    const struct world *w = c->world;
    uint64_t end_ns = w->stop_ns ? w->stop_ns : w->now_ns;
    uint64_t bound_ns = w->param[HIST_P_RESPAWN_DEADLINE];
    for (size_t i = 0; i < d->pending_count; i++) {
        const struct hist_record *e = &d->pending[i].exit;
        if (end_ns - e->t_ns <= bound_ns)
            continue;
        judge_seen(c, 1);
        judge_violate(c, e, NULL, "worker %u ended and nobody had taken its place %.1f ms later",
                      e->pid, MS(end_ns - e->t_ns));
    }
    if (d->replaced)
        judge_strength(c, "%llu workers replaced, %.1f ms on average, %.1f ms at worst",
                       (unsigned long long)d->replaced, MS(d->sum_ns / d->replaced),
                       MS(d->worst_ns));
    else
        judge_unknown(c, "no worker that served had died");
}

static const unsigned deadline_kinds[] = {HIST_WATCH_EXIT,          HIST_ENGINE_WORKER_EXIT,
                                          HIST_ENGINE_WORKER_READY, HIST_WATCH_FORK,
                                          HIST_ENGINE_SPAWN_FAILED, HIST_NONE};
const struct checker judge_respawn_deadline = {.kinds = deadline_kinds,
                                               .state_size = sizeof(struct deadline),
                                               .observe = deadline_observe,
                                               .finish = deadline_finish};

/* ---- respawn/count --------------------------------------------------------------------------- */

struct count {
    uint64_t samples;
    uint64_t zombie_samples;
    bool wrong; /* one report for each time the count is wrong, not for each sample */
};

struct tally {
    const struct world *world;
    uint64_t serving;
};

static bool tally_one(const struct world_process *p, void *arg)
{
    struct tally *t = arg;
    if (p->is_worker && !p->is_master && p->exit_ns == 0 && !was_retired(t->world, p))
        t->serving++;
    return true;
}

static void count_observe(struct judge_context *c, const struct hist_record *r)
{
    struct count *s = c->state;
    const struct world *w = c->world;
    if (!world_serving(w))
        return;
    uint64_t zombie_ns = world_param(w, HIST_P_ZOMBIE_BOUND, 0);
    if (zombie_ns && r->b) {
        s->zombie_samples++;
        if (r->c > zombie_ns)
            judge_violate(c, r, &w->last_exit, "a zombie is %.0f ms old, %.0f ms are allowed",
                          MS(r->c), MS(zombie_ns));
    }
    bool reloading = w->reload_begun_ns != 0 && w->reload_ended_ns == 0;
    uint64_t calm_ns = w->disturbed_ns > w->ready_ns ? w->disturbed_ns : w->ready_ns;
    if (reloading || r->t_ns - calm_ns < world_param(w, HIST_P_CONVERGE_BOUND, 0))
        return;
    struct tally t = {.world = w};
    world_processes(w, tally_one, &t);
    uint64_t want = w->param[HIST_P_WORKERS];
    judge_seen(c, 1);
    s->samples++;
    if (t.serving != want && !s->wrong)
        judge_violate(c, r, &w->last_exit,
                      "%llu workers serve where %llu are configured, %.0f ms after the last "
                      "disturbance",
                      (unsigned long long)t.serving, (unsigned long long)want,
                      MS(r->t_ns - calm_ns));
    s->wrong = t.serving != want;
}

static void count_finish(struct judge_context *c)
{
    struct count *s = c->state;
    if (!s->samples)
        judge_unknown(c, "the tree was never left alone for as long as it may take to converge");
    else
        judge_strength(c, "%llu samples in steady state", (unsigned long long)s->samples);
}

static const unsigned count_kinds[] = {HIST_WATCH_TREE, HIST_NONE};
const struct checker judge_respawn_count = {.kinds = count_kinds,
                                            .state_size = sizeof(struct count),
                                            .observe = count_observe,
                                            .finish = count_finish};

/* ---- respawn/isolation ----------------------------------------------------------------------- */

struct isolation {
    struct causes causes;
    struct hist_record last_death;
    uint64_t deaths, others_ok;
};

static void isolation_death(struct judge_context *c, const struct hist_record *r)
{
    struct isolation *s = c->state;
    if (!exit_is_abnormal(r->a) || !world_serving(c->world))
        return;
    char how[32];
    bool caused = causes_of(&s->causes, r->pid) != NULL;
    bool soon = s->last_death.kind && r->t_ns - s->last_death.t_ns < CONTAGION_NS;
    if (!caused && soon)
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
    if (!p || p->exit_ns != 0 || p->stopped_ns != 0 || p->drain_ns != 0)
        return NULL;
    return causes_of(&s->causes, pid) ? NULL : p;
}

static void isolation_observe(struct judge_context *c, const struct hist_record *r)
{
    struct isolation *s = c->state;
    causes_take(&s->causes, r);
    if (exit_is_news(c->world, r)) {
        isolation_death(c, r);
        return;
    }
    if (r->kind != HIST_CLIENT_END || !s->last_death.kind || !world_serving(c->world) ||
        r->t_ns - s->last_death.t_ns > CONTAGION_NS)
        return;
    const struct world_process *p = innocent_owner(s, c->world, r);
    if (!p)
        return;
    judge_seen(c, 1);
    if (end_is_failure(c->world, r))
        judge_violate(
            c, r, &s->last_death,
            "a request of worker %u, which lives, ended '%s' %.1f ms after worker %u died", p->pid,
            hist_outcome_name((unsigned)r->a), MS(r->t_ns - s->last_death.t_ns), s->last_death.pid);
    else
        s->others_ok++;
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

static const unsigned isolation_kinds[] = {CAUSES_KINDS, HIST_WATCH_EXIT, HIST_ENGINE_WORKER_EXIT,
                                           HIST_CLIENT_END, HIST_NONE};
const struct checker judge_respawn_isolation = {.kinds = isolation_kinds,
                                                .state_size = sizeof(struct isolation),
                                                .observe = isolation_observe,
                                                .finish = isolation_finish};

/* ---- respawn/backoff ------------------------------------------------------------------------- */

struct backoff {
    struct hist_record first, last; /* deaths at start */
    uint64_t deaths;
    bool deaf;
};

static void backoff_observe(struct judge_context *c, const struct hist_record *r)
{
    struct backoff *s = c->state;
    if (r->kind == HIST_DIRECTOR_ANSWER) {
        if (s->deaths >= YOUNG_DEATHS_MIN && r->c == 0)
            judge_violate(c, r, &s->last, "the master did not answer signal %llu in a crash loop",
                          (unsigned long long)r->a);
        return;
    }
    if (!exit_is_news(c->world, r) || c->world->stop_ns != 0)
        return;
    const struct world_process *p = world_process(c->world, r->pid);
    if (!died_at_start(c->world, p) || !exit_is_abnormal(r->a))
        return;
    if (s->deaths++ == 0)
        s->first = *r;
    s->last = *r;
}

static void backoff_finish(struct judge_context *c)
{
    struct backoff *s = c->state;
    const struct world *w = c->world;
    if (s->deaths < YOUNG_DEATHS_MIN) {
        judge_unknown(c, "%llu workers died at start, %d make a crash loop",
                      (unsigned long long)s->deaths, YOUNG_DEATHS_MIN);
        return;
    }
    double seconds = (double)(s->last.t_ns - s->first.t_ns) / 1e9;
    double rate = (double)world_param(w, HIST_P_RESPAWN_RATE, 0) / 1e3;
    /* each slot may try twice before the breaker has anything to go by */
    double burst = 2.0 * (double)world_param(w, HIST_P_WORKERS, 1) + YOUNG_DEATHS_MIN;
    judge_seen(c, s->deaths);
    if ((double)s->deaths > burst + rate * seconds)
        judge_violate(c, &s->last, &s->first,
                      "%llu workers died at start in %.2f s; %.0f at once and %.1f a second are "
                      "allowed",
                      (unsigned long long)s->deaths, seconds, burst, rate);
    judge_strength(c, "%llu deaths at start in %.2f s", (unsigned long long)s->deaths, seconds);
}

static const unsigned backoff_kinds[] = {HIST_WATCH_EXIT, HIST_ENGINE_WORKER_EXIT,
                                         HIST_DIRECTOR_ANSWER, HIST_NONE};
const struct checker judge_respawn_backoff = {.kinds = backoff_kinds,
                                              .state_size = sizeof(struct backoff),
                                              .observe = backoff_observe,
                                              .finish = backoff_finish};

/* ---- respawn/fork-failure -------------------------------------------------------------------- */

struct fork_failure {
    struct hist_record last;
    uint64_t failures, recovered_ns;
    bool master_died;
};

static void fork_failure_observe(struct judge_context *c, const struct hist_record *r)
{
    struct fork_failure *s = c->state;
    const struct world *w = c->world;
    if (r->kind == HIST_ENGINE_SPAWN_FAILED) {
        s->last = *r;
        s->failures++;
        s->recovered_ns = 0;
    } else if (r->kind == HIST_WATCH_EXIT && r->pid == w->master_pid && s->failures &&
               w->stop_ns == 0) {
        judge_violate(c, r, &s->last, "the master ended after a fork had failed");
    } else if (s->failures && !s->recovered_ns && w->live_workers >= w->param[HIST_P_WORKERS]) {
        s->recovered_ns = r->t_ns;
    }
}

static void fork_failure_finish(struct judge_context *c)
{
    struct fork_failure *s = c->state;
    const struct world *w = c->world;
    if (!s->failures) {
        judge_unknown(c, "no fork failed");
        return;
    }
    uint64_t end_ns = w->stop_ns ? w->stop_ns : w->now_ns;
    uint64_t bound_ns = w->param[HIST_P_CONVERGE_BOUND];
    uint64_t took_ns = (s->recovered_ns ? s->recovered_ns : end_ns) - s->last.t_ns;
    judge_seen(c, s->failures);
    if (took_ns > bound_ns)
        judge_violate(c, &s->last, NULL, "%.0f ms after the last failed fork %s", MS(took_ns),
                      s->recovered_ns ? "all workers ran at last, too late"
                                      : "not all workers run");
    else if (!s->recovered_ns)
        judge_unknown(c, "the run ended too soon after the last failed fork");
    judge_strength(c, "%llu failed forks, all workers again %.1f ms after the last",
                   (unsigned long long)s->failures, MS(took_ns));
}

static const unsigned fork_failure_kinds[] = {HIST_ENGINE_SPAWN_FAILED, HIST_ENGINE_SPAWN,
                                              HIST_ENGINE_WORKER_READY, HIST_WATCH_FORK,
                                              HIST_WATCH_EXIT,          HIST_NONE};
const struct checker judge_respawn_fork_failure = {.kinds = fork_failure_kinds,
                                                   .state_size = sizeof(struct fork_failure),
                                                   .observe = fork_failure_observe,
                                                   .finish = fork_failure_finish};

/* ---- respawn/hung ---------------------------------------------------------------------------- */

struct hung {
    struct {
        struct hist_record since; /* what made it silent */
        bool aborted;
    } silent[PENDING_MAX];
    size_t silent_count;
    uint64_t ended, worst_ns;
};

static size_t hung_find(const struct hung *s, uint32_t pid)
{
    size_t i = 0;
    while (i < s->silent_count && s->silent[i].since.pid != pid)
        i++;
    return i;
}

static void hung_silent(struct hung *s, const struct hist_record *r)
{
    size_t i = hung_find(s, r->pid);
    if (i == s->silent_count && s->silent_count < PENDING_MAX) {
        memset(&s->silent[i], 0, sizeof s->silent[i]);
        s->silent[s->silent_count++].since = *r;
    }
}

static void hung_end(struct judge_context *c, size_t i, const struct hist_record *r,
                     const char *how)
{
    struct hung *s = c->state;
    uint64_t bound_ns = c->world->param[HIST_P_WATCHDOG_BOUND];
    uint64_t silent_ns = r->t_ns - s->silent[i].since.t_ns;
    if (silent_ns > s->worst_ns)
        s->worst_ns = silent_ns;
    judge_seen(c, 1);
    if (bound_ns && silent_ns > bound_ns)
        judge_violate(c, &s->silent[i].since, r,
                      "worker %u was silent for %.0f ms %s, %.0f ms are "
                      "allowed",
                      s->silent[i].since.pid, MS(silent_ns), how, MS(bound_ns));
    s->silent[i] = s->silent[--s->silent_count];
}

static void hung_observe(struct judge_context *c, const struct hist_record *r)
{
    struct hung *s = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    size_t i = hung_find(s, r->pid);
    if (!p || !p->is_worker || p->is_master)
        return;
    if (r->kind == HIST_WATCH_STATE && r->a == 'T') {
        hung_silent(s, r);
    } else if (r->kind == HIST_WATCH_STATE && r->a != 'T' && r->a != 'Z' && r->a != 'X') {
        if (i < s->silent_count && !s->silent[i].aborted)
            s->silent[i] = s->silent[--s->silent_count]; /* somebody let it go on */
    } else if (r->kind == HIST_ENGINE_WATCHDOG) {
        hung_silent(s, r);
        i = hung_find(s, r->pid);
        if (i < s->silent_count && r->a == 9 && !s->silent[i].aborted)
            judge_violate(c, r, NULL, "worker %u was killed without having been aborted first",
                          r->pid);
        if (i < s->silent_count)
            s->silent[i].aborted = true;
    } else if (exit_is_news(c->world, r) && i < s->silent_count) {
        s->ended++;
        hung_end(c, i, r, "before it was ended");
    }
}

static void hung_finish(struct judge_context *c)
{
    struct hung *s = c->state;
    struct hist_record end = {.t_ns = c->world->stop_ns ? c->world->stop_ns : c->world->now_ns};
    uint64_t bound_ns = c->world->param[HIST_P_WATCHDOG_BOUND];
    for (size_t i = s->silent_count; i-- > 0;)
        if (bound_ns && end.t_ns > s->silent[i].since.t_ns + bound_ns)
            hung_end(c, i, &end, "and nobody ended it");
    if (!bound_ns)
        judge_unknown(c, "the story states no watchdog bound");
    else if (!c->result->checked)
        judge_unknown(c, "no worker was silent for as long as the watchdog may take");
    else
        judge_strength(c, "%llu silent workers ended, after %.0f ms at worst",
                       (unsigned long long)s->ended, MS(s->worst_ns));
}

static const unsigned hung_kinds[] = {HIST_WATCH_STATE, HIST_ENGINE_WATCHDOG, HIST_WATCH_EXIT,
                                      HIST_ENGINE_WORKER_EXIT, HIST_NONE};
const struct checker judge_respawn_hung = {.kinds = hung_kinds,
                                           .state_size = sizeof(struct hung),
                                           .observe = hung_observe,
                                           .finish = hung_finish};
