/* respawn: workers that die again and again, cannot be forked, or fall silent. See guarantees.def.
 */
#include "scenarios/judge/causes.h"

#include <signal.h>

#include "scenarios/judge/rolls.h"

#define MS(ns) ((double)(ns) / 1e6)

enum {
    SILENT_MAX = 256,
    YOUNG_DEATHS_MIN = 5,         /* fewer deaths at start are no crash loop */
    LOOP_GOES_ON_NS = 1000000000, /* a crash loop is over this long after the last death */
    RETRIES_MAX = 3,
    RETRY_MIN_NS = 1000000, /* so many forks of one slot in so short a time: no backoff */
};

/* ---- respawn/backoff ------------------------------------------------------------------------- */

struct backoff {
    struct rolls rolls;
    struct hist_record first, last; /* deaths at start */
    struct hist_record ask;         /* the last control signal */
    uint64_t deaths;
    double level; /* deaths that the allowed rate has not made up for */
    bool over;
};

/* The breaker cannot know of a loop before each slot has died twice. */
static double backoff_burst(const struct world *w)
{
    return 2.0 * (double)world_param(w, HIST_P_WORKERS, 1) + YOUNG_DEATHS_MIN;
}

static void backoff_death(struct judge_context *c, const struct hist_record *r)
{
    struct backoff *s = c->state;
    double rate = (double)world_param(c->world, HIST_P_RESPAWN_RATE, 0) / 1e3;
    double burst = backoff_burst(c->world);
    const struct world_process *p = world_process(c->world, r->pid);
    if (p != NULL && p->parent != 0 && p->parent != c->world->master_pid)
        return; /* of the other master of an upgrade, which has a rate of its own */
    if (s->deaths++ == 0)
        s->first = *r;
    else
        s->level -= rate * (double)(r->t_ns - s->last.t_ns) / 1e9;
    s->level = (s->level > 0 ? s->level : 0) + 1;
    s->last = *r;
    bool over = s->level > burst;
    if (over && !s->over && rate > 0)
        judge_violate(
            c, r, &s->first,
            "%llu workers had died at start within %.2f s; %.0f at once and %.1f a second "
            "are allowed",
            (unsigned long long)s->deaths, (double)(r->t_ns - s->first.t_ns) / 1e9, burst, rate);
    s->over = over;
}

static void backoff_answer(struct judge_context *c, const struct hist_record *r)
{
    struct backoff *s = c->state;
    bool looping = s->deaths >= YOUNG_DEATHS_MIN && s->ask.b == r->b && s->ask.kind &&
                   s->last.t_ns + LOOP_GOES_ON_NS > s->ask.t_ns;
    if (looping && r->c == 0 && !world_has_another_master(c->world, &s->ask))
        judge_violate(c, &s->ask, &s->last, "the master did not answer signal %llu in a crash loop",
                      (unsigned long long)r->a);
}

static void backoff_observe(struct judge_context *c, const struct hist_record *r)
{
    struct backoff *s = c->state;
    rolls_take(&s->rolls, c->world, r);
    if (r->kind == HIST_DIRECTOR_ASK)
        s->ask = *r;
    else if (r->kind == HIST_DIRECTOR_ANSWER)
        backoff_answer(c, r);
    else if (r->kind == HIST_DIRECTOR_ADOPTED) /* each master has a rate of its own */
        s->level = 0;
    if (!exit_is_news(c->world, r) || c->world->stop_ns != 0 || !exit_is_abnormal(r->a))
        return;
    const struct world_process *p = world_process(c->world, r->pid);
    /* what a reload starts and gives up is not respawned */
    bool tried = s->rolls.begun_ns != 0 && p->born_ns >= s->rolls.begun_ns;
    if (died_at_start(c->world, p) && !tried)
        backoff_death(c, r);
}

static void backoff_finish(struct judge_context *c)
{
    struct backoff *s = c->state;
    if (!world_param(c->world, HIST_P_RESPAWN_RATE, 0)) {
        judge_unknown(c, "the story states no rate of respawns");
        return;
    }
    if (s->deaths < YOUNG_DEATHS_MIN) {
        judge_unknown(c, "%llu workers died at start, %d make a crash loop",
                      (unsigned long long)s->deaths, YOUNG_DEATHS_MIN);
        return;
    }
    judge_seen(c, s->deaths);
    judge_strength(c, "%llu deaths at start in %.2f s", (unsigned long long)s->deaths,
                   (double)(s->last.t_ns - s->first.t_ns) / 1e9);
}

static const unsigned backoff_kinds[] = {
    ROLLS_KINDS,       HIST_WATCH_EXIT,      HIST_ENGINE_WORKER_EXIT,
    HIST_DIRECTOR_ASK, HIST_DIRECTOR_ANSWER, HIST_NONE};
const struct checker judge_respawn_backoff = {.kinds = backoff_kinds,
                                              .state_size = sizeof(struct backoff),
                                              .observe = backoff_observe,
                                              .finish = backoff_finish};

/* ---- respawn/fork-failure -------------------------------------------------------------------- */

struct fork_failure {
    struct rolls rolls;
    struct hist_record last;               /* the last sign of a fork that failed */
    struct hist_record tries[RETRIES_MAX]; /* the last ones that the master told of, a ring */
    struct hist_record early;              /* a fork's fault, before anybody was known to miss */
    uint64_t told, fired;                  /* by the master; by a fault in it */
    uint64_t recovered_ns;
};

static bool is_short_handed(const struct fork_failure *s, const struct world *w)
{
    return w->live_workers < rolls_wanted(&s->rolls, w);
}

/* A fault in the master that makes a fork, or the channel to who is forked, fail. A master that
 * gives up does not tell of it. */
static bool fork_fault_fired(const struct world *w, const struct hist_record *r)
{
    return r->pid == w->master_pid && r->b >> 32 == HIST_FAULT_ERRNO &&
           (fault_is_at(r, "proc.fork") || fault_is_at(r, "net.socketpair") ||
            fault_is_at(r, "ipc.pipe"));
}

static void fork_failed(struct judge_context *c, const struct hist_record *r)
{
    struct fork_failure *s = c->state;
    s->last = *r;
    s->recovered_ns = 0;
    if (r->kind == HIST_FAULT_FIRED) {
        s->fired++;
        return;
    }
    const struct hist_record *before = &s->tries[s->told % RETRIES_MAX];
    bool same = before->pid == r->pid && before->slot == r->slot && before->gen == r->gen;
    bool hasty = s->told >= RETRIES_MAX && same && r->t_ns - before->t_ns < RETRY_MIN_NS;
    if (hasty)
        judge_violate(c, r, before, "a fork that fails is tried %d times in %.3f ms",
                      RETRIES_MAX + 1, MS(r->t_ns - before->t_ns));
    s->tries[s->told++ % RETRIES_MAX] = *r;
}

/* Whom a fork that nobody misses would have made is not known: a new binary, say. */
static void fork_fault(struct judge_context *c, const struct hist_record *r)
{
    struct fork_failure *s = c->state;
    if (is_short_handed(s, c->world))
        fork_failed(c, r);
    else
        s->early = *r;
}

/* A watcher that polls tells of an exit after the master has tried to replace it. */
static bool fork_was_of_dead(const struct fork_failure *s, const struct world *w,
                             const struct hist_record *r)
{
    return s->early.kind != HIST_NONE && exit_is_news(w, r) && is_short_handed(s, w) &&
           r->t_ns - s->early.t_ns <= w->watch_period_ns;
}

static void fork_failure_observe(struct judge_context *c, const struct hist_record *r)
{
    struct fork_failure *s = c->state;
    const struct world *w = c->world;
    rolls_take(&s->rolls, w, r);
    if (r->kind == HIST_FAULT_FIRED) {
        if (world_serving(w) && fork_fault_fired(w, r))
            fork_fault(c, r);
    } else if (r->kind == HIST_ENGINE_SPAWN_FAILED) {
        if (world_serving(w))
            fork_failed(c, r);
    } else if (fork_was_of_dead(s, w, r)) {
        fork_failed(c, &s->early);
        s->early.kind = HIST_NONE;
    } else if (r->kind == HIST_WATCH_EXIT && r->pid == w->master_pid) {
        bool left = r->pid == w->parting_pid; /* as it was told to */
        if (s->last.kind && !s->recovered_ns && world_serving(w) && !left)
            judge_violate(c, r, &s->last, "the master ended after a fork had failed");
    } else if (s->last.kind && !s->recovered_ns && !is_short_handed(s, w)) {
        s->recovered_ns = r->t_ns;
    }
}

static void fork_failure_finish(struct judge_context *c)
{
    struct fork_failure *s = c->state;
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_CONVERGE_BOUND, 0);
    if (!s->last.kind || !bound_ns) {
        judge_unknown(c, s->last.kind ? "the story does not state how long the tree may take to "
                                        "converge"
                                      : "no fork failed");
        return;
    }
    uint64_t took_ns = (s->recovered_ns ? s->recovered_ns : world_served_until(w)) - s->last.t_ns;
    uint64_t failures = s->told > s->fired ? s->told : s->fired;
    judge_seen(c, failures);
    if (took_ns > bound_ns)
        judge_violate(c, &s->last, NULL, "%.0f ms after the last failed fork %s", MS(took_ns),
                      s->recovered_ns ? "all workers ran at last, too late"
                                      : "not all workers run");
    else if (!s->recovered_ns)
        judge_unknown(c, "the run ended too soon after the last failed fork");
    judge_strength(c, "%llu failed forks, all workers again %.1f ms after the last",
                   (unsigned long long)failures, MS(took_ns));
}

static const unsigned fork_failure_kinds[] = {
    ROLLS_KINDS,       HIST_ENGINE_SPAWN_FAILED, HIST_FAULT_FIRED,
    HIST_ENGINE_SPAWN, HIST_ENGINE_WORKER_READY, HIST_WATCH_FORK,
    HIST_WATCH_TREE,   HIST_WATCH_EXIT,          HIST_NONE};
const struct checker judge_respawn_fork_failure = {.kinds = fork_failure_kinds,
                                                   .state_size = sizeof(struct fork_failure),
                                                   .observe = fork_failure_observe,
                                                   .finish = fork_failure_finish};

/* ---- respawn/hung ---------------------------------------------------------------------------- */

struct silent {
    struct hist_record cause; /* what made it silent, or showed it */
    uint64_t since_ns;
    bool aborted;
};

struct hung {
    struct silent silent[SILENT_MAX];
    size_t silent_count;
    uint64_t ended, worst_ns;
};

static size_t hung_find(const struct hung *s, uint32_t pid)
{
    size_t i = 0;
    while (i < s->silent_count && s->silent[i].cause.pid != pid)
        i++;
    return i;
}

static void hung_silent(struct hung *s, const struct hist_record *r, uint64_t since_ns)
{
    if (hung_find(s, r->pid) == s->silent_count && s->silent_count < SILENT_MAX)
        s->silent[s->silent_count++] = (struct silent){.cause = *r, .since_ns = since_ns};
}

/* Its silence is over at `t_ns`; `by` is what ended it, if anything did. */
static void hung_end(struct judge_context *c, size_t i, uint64_t t_ns, const struct hist_record *by,
                     const char *how)
{
    struct hung *s = c->state;
    uint64_t bound_ns = c->world->param[HIST_P_WATCHDOG_BOUND];
    struct silent one = s->silent[i];
    uint64_t silent_ns = t_ns - one.since_ns;
    s->silent[i] = s->silent[--s->silent_count];
    if (silent_ns > s->worst_ns)
        s->worst_ns = silent_ns;
    judge_seen(c, 1);
    if (silent_ns > bound_ns)
        judge_violate(c, &one.cause, by, "worker %u was silent for %.0f ms %s, %.0f ms are allowed",
                      one.cause.pid, MS(silent_ns), how, MS(bound_ns));
}

/* A sign of life: nobody need end it any more, unless that was overdue. */
static void hung_lives(struct judge_context *c, size_t i, const struct hist_record *r)
{
    struct hung *s = c->state;
    if (r->t_ns > s->silent[i].since_ns + c->world->param[HIST_P_WATCHDOG_BOUND])
        hung_end(c, i, r->t_ns, r, "and nobody ended it");
    else if (!s->silent[i].aborted)
        s->silent[i] = s->silent[--s->silent_count];
}

static void hung_watchdog(struct judge_context *c, const struct hist_record *r)
{
    struct hung *s = c->state;
    hung_silent(s, r, r->t_ns > r->b ? r->t_ns - r->b : 0);
    size_t i = hung_find(s, r->pid);
    if (i == s->silent_count)
        return;
    if (r->a == SIGKILL && !s->silent[i].aborted)
        judge_violate(c, r, &s->silent[i].cause,
                      "worker %u was killed without having been aborted first", r->pid);
    s->silent[i].aborted = true;
}

static bool makes_silent(const struct hist_record *r)
{
    uint64_t fault = r->b >> 32;
    if (r->kind == HIST_FAULT_FIRED)
        return fault == HIST_FAULT_STALL || fault == HIST_FAULT_SPIN;
    return r->kind == HIST_WATCH_STATE && r->a == 'T';
}

static bool shows_life(const struct hung *s, size_t i, const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_WATCH_STATE: /* who stalls or spins is not stopped, and not alive for that */
        return s->silent[i].cause.kind == HIST_WATCH_STATE && r->a != 'Z' && r->a != 'X';
    case HIST_DIRECTOR_SIGNAL:
        return s->silent[i].cause.kind == HIST_WATCH_STATE && r->a == SIGCONT;
    case HIST_ENGINE_ACCEPT:
    case HIST_ENGINE_REQUEST:
    case HIST_ENGINE_RESPONSE:
    case HIST_ENGINE_DRAIN:
    case HIST_FAULT_FIRED:
        return true;
    default:
        return false;
    }
}

/* A fault that is disarmed lets go of whom it held. */
static void hung_disarmed(struct judge_context *c, const struct hist_record *r)
{
    struct hung *s = c->state;
    for (size_t i = s->silent_count; i-- > 0;)
        if (s->silent[i].cause.kind == HIST_FAULT_FIRED && s->silent[i].cause.a == r->a)
            hung_lives(c, i, r);
}

static void hung_observe(struct judge_context *c, const struct hist_record *r)
{
    struct hung *s = c->state;
    if (!world_param(c->world, HIST_P_WATCHDOG_BOUND, 0))
        return;
    if (r->kind == HIST_FAULT_DISARMED) {
        hung_disarmed(c, r);
        return;
    }
    bool news = exit_is_news(c->world, r);
    if (s->silent_count == 0 && !makes_silent(r) && r->kind != HIST_ENGINE_WATCHDOG)
        return;
    const struct world_process *p = world_process(c->world, r->pid);
    if (!p || !p->is_worker || p->is_master || (p->exit_ns != 0 && !news))
        return;
    size_t i = hung_find(s, r->pid);
    if (makes_silent(r)) {
        hung_silent(s, r, r->t_ns);
    } else if (r->kind == HIST_ENGINE_WATCHDOG) {
        hung_watchdog(c, r);
    } else if (i < s->silent_count && news) {
        s->ended++;
        hung_end(c, i, r->t_ns, r, "before it was ended");
    } else if (i < s->silent_count && shows_life(s, i, r)) {
        hung_lives(c, i, r);
    }
}

static void hung_finish(struct judge_context *c)
{
    struct hung *s = c->state;
    uint64_t bound_ns = world_param(c->world, HIST_P_WATCHDOG_BOUND, 0);
    uint64_t end_ns = world_served_until(c->world);
    for (size_t i = s->silent_count; i-- > 0;)
        if (end_ns > s->silent[i].since_ns + bound_ns)
            hung_end(c, i, end_ns, NULL, "and nobody ended it");
    if (!bound_ns)
        judge_unknown(c, "the story states no watchdog bound");
    else if (!c->result->checked)
        judge_unknown(c, "no worker was silent for as long as the watchdog may take");
    else
        judge_strength(c, "%llu silent workers ended, after %.0f ms at worst",
                       (unsigned long long)s->ended, MS(s->worst_ns));
}

static const unsigned hung_kinds[] = {
    HIST_WATCH_STATE,    HIST_ENGINE_WATCHDOG,    HIST_FAULT_FIRED,     HIST_FAULT_DISARMED,
    HIST_WATCH_EXIT,     HIST_ENGINE_WORKER_EXIT, HIST_DIRECTOR_SIGNAL, HIST_ENGINE_ACCEPT,
    HIST_ENGINE_REQUEST, HIST_ENGINE_RESPONSE,    HIST_ENGINE_DRAIN,    HIST_NONE};
const struct checker judge_respawn_hung = {.kinds = hung_kinds,
                                           .state_size = sizeof(struct hung),
                                           .observe = hung_observe,
                                           .finish = hung_finish};
