/* control: signals that come early, that change the number of workers, that are meant for others.
 * See guarantees.def for the sentences. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/rolls.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum {
    EARLY_MAX = 128,
    SOON_NS = 1000000000, /* who leaves within this of a signal may have left for it */
};

static bool was_sent(const struct hist_record *r)
{
    return r->kind == HIST_ENGINE_TELL ? r->b == 0 : r->kind != HIST_STORM_SIGNAL || r->c == 0;
}

/* ---- control/early-signal -------------------------------------------------------------------- */

/* A worker that was told to go before it was ready. */
struct early_one {
    struct hist_record signal;
    uint64_t delay_ns; /* the story held it up for so long */
};

struct early {
    struct early_one waiting[EARLY_MAX];
    size_t count;
    uint64_t heard, worst_ns;
};

static void early_drop(struct early *e, size_t i)
{
    e->waiting[i] = e->waiting[--e->count];
}

/* One that is stopped or hangs hears nothing; one that is held up for a while hears it then. */
static void early_hindered(struct early *e, const struct hist_record *r)
{
    uint64_t kind = r->b >> 32;
    for (size_t i = e->count; i-- > 0;) {
        if (e->waiting[i].signal.pid != r->pid)
            continue;
        if (r->kind == HIST_FAULT_FIRED && kind == HIST_FAULT_DELAY)
            e->waiting[i].delay_ns += r->b & UINT32_MAX;
        else if (r->kind == HIST_DIRECTOR_SIGNAL || kind == HIST_FAULT_STALL ||
                 kind == HIST_FAULT_SPIN)
            early_drop(e, i);
    }
}

static void early_signal(struct judge_context *c, const struct hist_record *r)
{
    struct early *e = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    bool stops = r->a == SIGSTOP || r->a == SIGCONT || r->a == SIGTSTP;
    if (stops)
        early_hindered(e, r);
    if ((r->a != SIGTERM && r->a != SIGINT && r->a != SIGQUIT) || !was_sent(r) || p == NULL ||
        !p->is_worker || p->is_master || p->ready_ns != 0 || p->exit_ns != 0 || p->born_ns == 0 ||
        p->stopped_ns != 0 || e->count == EARLY_MAX)
        return;
    for (size_t i = 0; i < e->count; i++)
        if (e->waiting[i].signal.pid == r->pid)
            return;
    const struct hist_record *slow =
        world_cause(c->world, r->pid, p->born_ns, r->t_ns, WORLD_SLOWS);
    bool hangs =
        slow != NULL && slow->kind == HIST_FAULT_FIRED && slow->b >> 32 != HIST_FAULT_DELAY;
    if (hangs)
        return;
    bool delayed = slow != NULL && slow->kind == HIST_FAULT_FIRED;
    e->waiting[e->count++] =
        (struct early_one){.signal = *r, .delay_ns = delayed ? slow->b & UINT32_MAX : 0};
}

static void early_judge(struct judge_context *c, size_t i, uint64_t now_ns, bool heard)
{
    struct early *e = c->state;
    struct early_one one = e->waiting[i];
    uint64_t took_ns = now_ns - one.signal.t_ns;
    uint64_t bound_ns = c->world->param[HIST_P_CONTROL_BOUND] + one.delay_ns;
    if (!heard && took_ns <= bound_ns)
        return;
    early_drop(e, i);
    judge_seen(c, 1);
    e->heard += heard;
    e->worst_ns = heard && took_ns > e->worst_ns ? took_ns : e->worst_ns;
    if (took_ns > bound_ns)
        judge_violate(c, &one.signal, NULL,
                      "worker %u, not ready yet, was sent signal %llu and %s %.0f ms later; %.0f "
                      "ms are allowed",
                      one.signal.pid, (ull)one.signal.a,
                      heard ? "heeded it only" : "was still there", MS(took_ns), MS(bound_ns));
}

/* It is gone; or, if it was asked gently, it drains: it may have begun to serve meanwhile. */
static bool has_effect(const struct hist_record *signal, const struct hist_record *r)
{
    return r->kind != HIST_ENGINE_DRAIN || signal->a == SIGQUIT;
}

static void early_observe(struct judge_context *c, const struct hist_record *r)
{
    struct early *e = c->state;
    switch (r->kind) {
    case HIST_DIRECTOR_SIGNAL:
    case HIST_STORM_SIGNAL:
    case HIST_ENGINE_TELL:
        early_signal(c, r);
        break;
    case HIST_FAULT_FIRED:
        early_hindered(e, r);
        break;
    case HIST_WATCH_TREE:
        for (size_t i = e->count; i-- > 0;)
            early_judge(c, i, r->t_ns, false);
        break;
    default:
        for (size_t i = e->count; i-- > 0;)
            if (e->waiting[i].signal.pid == r->pid && has_effect(&e->waiting[i].signal, r))
                early_judge(c, i, r->t_ns, true);
        break;
    }
}

static void early_finish(struct judge_context *c)
{
    const struct early *e = c->state;
    if (!c->world->param_known[HIST_P_CONTROL_BOUND])
        judge_unknown(c, "the story states no bound for control signals");
    else if (c->result->checked == 0)
        judge_unknown(c, "no worker was told to go before it was ready");
    judge_strength(c, "%llu workers told to go before they were ready, heeding it within %.1f ms",
                   (ull)e->heard, MS(e->worst_ns));
}

static const unsigned early_kinds[] = {HIST_DIRECTOR_SIGNAL,    HIST_STORM_SIGNAL, HIST_ENGINE_TELL,
                                       HIST_FAULT_FIRED,        HIST_WATCH_TREE,   HIST_WATCH_EXIT,
                                       HIST_ENGINE_WORKER_EXIT, HIST_ENGINE_DRAIN, HIST_NONE};
const struct checker judge_control_early_signal = {.kinds = early_kinds,
                                                   .state_size = sizeof(struct early),
                                                   .observe = early_observe,
                                                   .finish = early_finish};

/* ---- control/resize -------------------------------------------------------------------------- */

struct resize {
    struct rolls rolls;
    struct hist_record last; /* the last TTIN or TTOU */
    /* Workers there should be; 0 not known yet. While a reload is under way some of the signals are
     * put off and others are not, and TTOU takes nothing from a single one: their order is not
     * promised, and where it matters there are several right numbers. */
    uint64_t want, want_most;
    uint64_t base, base_most; /* the same as the reload under way began */
    int64_t more, fewer;      /* signals since then */
    bool to_judge, lost;      /* lost: WINCH or an upgrade came between, nobody can count */
    uint64_t signals, judged;
};

static int64_t resized_by(const struct hist_record *r)
{
    return r->a == SIGTTIN ? 1 : r->a == SIGTTOU ? -1 : 0;
}

/* A server that tells of its signals may have taken several for one; it counts what it heard. */
static bool resize_heard(const struct world *w, const struct hist_record *r)
{
    if (r->pid != w->master_pid)
        return false;
    return traced(w) ? r->kind == HIST_ENGINE_SIGNAL : r->kind == HIST_DIRECTOR_SIGNAL;
}

static uint64_t at_least_one(int64_t workers)
{
    return workers < 1 ? 1 : (uint64_t)workers;
}

/* All that came since the reload began, those for more first, or last. */
static void resize_from(struct resize *s, uint64_t base, uint64_t base_most)
{
    s->want = at_least_one((int64_t)base + s->more - s->fewer);
    s->want_most = at_least_one((int64_t)base_most - s->fewer) + (uint64_t)s->more;
}

static void resize_signal(struct resize *s, const struct world *w, const struct hist_record *r)
{
    int64_t by = resized_by(r);
    if (!resize_heard(w, r))
        return;
    s->lost = s->lost || r->a == SIGWINCH || r->a == SIGUSR2;
    if (by == 0)
        return;
    if (s->want == 0)
        s->want = s->want_most = s->base = s->base_most = w->param[HIST_P_WORKERS];
    s->more += by > 0;
    s->fewer += by < 0;
    if (s->rolls.begun_ns != 0) {
        resize_from(s, s->base, s->base_most);
    } else {
        s->want = at_least_one((int64_t)s->want + by);
        s->want_most = at_least_one((int64_t)s->want_most + by);
    }
    s->signals++;
    s->last = *r;
    s->to_judge = true;
}

static void resize_tree(struct judge_context *c, const struct hist_record *r)
{
    struct resize *s = c->state;
    const struct world *w = c->world;
    uint64_t bound_ns = world_param(w, HIST_P_CONVERGE_BOUND, UINT64_MAX);
    uint64_t since_ns = s->last.t_ns > w->disturbed_ns ? s->last.t_ns : w->disturbed_ns;
    if (!s->to_judge || s->lost || !world_has_master(w) || s->rolls.begun_ns != 0 ||
        r->t_ns - since_ns < bound_ns)
        return;
    uint64_t live = rolls_serving(&s->rolls, w);
    s->to_judge = false;
    s->judged++;
    judge_seen(c, 1);
    if (live < s->want || live > s->want_most)
        judge_violate(c, &s->last, NULL,
                      "%llu workers serve %.0f ms after signal %llu, %llu are wanted", (ull)live,
                      MS(r->t_ns - s->last.t_ns), (ull)s->last.a, (ull)s->want);
}

static void resize_observe(struct judge_context *c, const struct hist_record *r)
{
    struct resize *s = c->state;
    bool begun = s->rolls.begun_ns != 0;
    if (rolls_take(&s->rolls, c->world, r)) {
        uint64_t asked = s->rolls.config_workers;
        resize_from(s, asked, asked);
        if (asked == 0)
            s->want = s->want_most = 0;
        s->to_judge = s->to_judge && s->want != 0;
    }
    if (!begun && s->rolls.begun_ns != 0) {
        s->base = s->want;
        s->base_most = s->want_most;
        s->more = s->fewer = 0;
    }
    if (r->kind == HIST_ENGINE_SIGNAL || r->kind == HIST_DIRECTOR_SIGNAL)
        resize_signal(s, c->world, r);
    else if (r->kind == HIST_WATCH_TREE)
        resize_tree(c, r);
}

static void resize_finish(struct judge_context *c)
{
    const struct resize *s = c->state;
    if (s->signals == 0)
        judge_unknown(c, "nobody asked for a worker more or less");
    else if (s->judged == 0)
        judge_unknown(c, "the tree was not watched for as long as it may take to converge");
    judge_strength(c, "%llu signals, the number of workers looked at %llu times", (ull)s->signals,
                   (ull)s->judged);
}

static const unsigned resize_kinds[] = {ROLLS_KINDS, HIST_ENGINE_SIGNAL, HIST_WATCH_TREE,
                                        HIST_NONE};
const struct checker judge_control_resize = {.kinds = resize_kinds,
                                             .state_size = sizeof(struct resize),
                                             .observe = resize_observe,
                                             .finish = resize_finish};

/* ---- control/scope --------------------------------------------------------------------------- */

struct scope {
    struct hist_record last; /* the last such signal to everybody */
    struct rolls rolls;
    struct causes causes;
    uint64_t signals, reload_ns; /* the last reload that was asked for, in whatever way */
};

/* Signals that ask for something, or that a terminal sends when nothing is to end. */
static bool is_harmless(const struct hist_record *r)
{
    bool group = r->b == HIST_TO_GROUP || r->b == HIST_TO_ALL;
    return group && (r->a == SIGHUP || r->a == SIGWINCH || r->a == SIGUSR1 || r->a == SIGPIPE);
}

static void scope_exit(struct judge_context *c, const struct hist_record *r)
{
    struct scope *s = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    if (s->last.kind == HIST_NONE || p == NULL || !world_serving(c->world) ||
        r->t_ns - s->last.t_ns > SOON_NS || p->exit_ns != r->t_ns)
        return;
    bool by_it =
        r->a != UINT64_MAX && WIFSIGNALED((int)r->a) && (uint64_t)WTERMSIG((int)r->a) == s->last.a;
    bool master = p->is_master && p->pid == c->world->master_pid && p->pid != c->world->parting_pid;
    bool reloads = !traced(c->world) && s->reload_ns != 0 && r->t_ns - s->reload_ns < 2 * SOON_NS;
    bool ours = p->parent == 0 || p->parent == c->world->master_pid; /* not a new binary's */
    bool left = ours && p->is_worker && !p->is_master && s->last.a != SIGHUP && !reloads &&
                causes_of(&s->causes, c->world, r->pid) == NULL && !rolls_may_retire(&s->rolls, p);
    if (by_it || master || left)
        judge_violate(c, r, &s->last, "%s %u ended %.1f ms after signal %llu to everybody",
                      master ? "the master" : "worker", r->pid, MS(r->t_ns - s->last.t_ns),
                      (ull)s->last.a);
}

static void scope_observe(struct judge_context *c, const struct hist_record *r)
{
    struct scope *s = c->state;
    rolls_take(&s->rolls, c->world, r);
    causes_take(&s->causes, r);
    bool signal = r->kind == HIST_DIRECTOR_SIGNAL || r->kind == HIST_STORM_SIGNAL;
    if (r->kind == HIST_DIRECTOR_RELOAD || (signal && r->a == SIGHUP))
        s->reload_ns = r->t_ns;
    if (signal && is_harmless(r) && was_sent(r) && world_serving(c->world)) {
        s->last = *r;
        s->signals++;
        judge_seen(c, 1);
    } else if (r->kind == HIST_WATCH_EXIT || r->kind == HIST_ENGINE_WORKER_EXIT) {
        scope_exit(c, r);
    }
}

static void scope_finish(struct judge_context *c)
{
    const struct scope *s = c->state;
    if (s->signals == 0)
        judge_unknown(c, "no signal that asks for something was sent to everybody");
    else if (!c->world->watched)
        judge_unknown(c, "nobody watched the processes");
    judge_strength(c, "%llu signals to all processes at once, nobody ended for one",
                   (ull)s->signals);
}

static const unsigned scope_kinds[] = {CAUSES_KINDS, ROLLS_KINDS, HIST_WATCH_EXIT,
                                       HIST_ENGINE_WORKER_EXIT, HIST_NONE};
const struct checker judge_control_scope = {.kinds = scope_kinds,
                                            .state_size = sizeof(struct scope),
                                            .observe = scope_observe,
                                            .finish = scope_finish};
