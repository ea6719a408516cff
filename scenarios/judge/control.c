/* control: signals and files. See guarantees.def for the sentences. */
#include "scenarios/judge/causes.h"

#include "scenarios/judge/rolls.h"

#define MS(ns) ((double)(ns) / 1e6)

enum {
    ASKS_MAX = 64,
    EXITS_MAX = 512,
    BURST_NS = 20000000,   /* exits closer than this may share one SIGCHLD */
    SETTLE_NS = 200000000, /* a watcher has looked at the pid file by then */
};

/* ---- control/responsive ---------------------------------------------------------------------- */

struct responsive {
    struct hist_record asks[ASKS_MAX]; /* unanswered */
    size_t ask_count;
    uint64_t answered, worst_ns;
};

/* Not seen, by a director that did not wait for as long as the master may take. */
static bool answer_is_open(const struct hist_record *r, uint64_t took_ns, uint64_t bound_ns)
{
    return r->c == 0 && took_ns <= bound_ns;
}

static void responsive_answer(struct judge_context *c, const struct hist_record *r)
{
    struct responsive *s = c->state;
    uint64_t bound_ns = world_param(c->world, HIST_P_CONTROL_BOUND, UINT64_MAX);
    for (size_t i = 0; i < s->ask_count; i++) {
        struct hist_record ask = s->asks[i];
        if (ask.b != r->b)
            continue;
        uint64_t took_ns = r->t_ns - ask.t_ns;
        s->asks[i] = s->asks[--s->ask_count];
        /* a machine that was late by so much made the director late as well */
        if (answer_is_open(r, took_ns, bound_ns) || world_has_another_master(c->world, &ask) ||
            (r->c && world_lagged(c->world, ask.t_ns, r->t_ns, bound_ns / 2)))
            return;
        judge_seen(c, 1);
        if (r->c == 0 || took_ns > bound_ns)
            judge_violate(c, &ask, r, "signal %llu had %s after %.0f ms, %.0f ms are allowed",
                          (unsigned long long)ask.a, r->c ? "its effect only" : "no effect",
                          MS(took_ns), MS(bound_ns));
        s->answered += r->c != 0;
        if (r->c && took_ns > s->worst_ns)
            s->worst_ns = took_ns;
        return;
    }
}

static void responsive_observe(struct judge_context *c, const struct hist_record *r)
{
    struct responsive *s = c->state;
    if (r->kind == HIST_DIRECTOR_ANSWER)
        responsive_answer(c, r);
    else if (s->ask_count < ASKS_MAX)
        s->asks[s->ask_count++] = *r;
}

static void responsive_finish(struct judge_context *c)
{
    struct responsive *s = c->state;
    uint64_t end_ns = c->world->stop_ns ? c->world->stop_ns : c->world->now_ns;
    uint64_t bound_ns = world_param(c->world, HIST_P_CONTROL_BOUND, 0);
    for (size_t i = 0; bound_ns && i < s->ask_count; i++) {
        if (end_ns <= s->asks[i].t_ns + bound_ns || world_has_another_master(c->world, &s->asks[i]))
            continue;
        judge_seen(c, 1);
        judge_violate(c, &s->asks[i], NULL, "signal %llu had no effect until the end",
                      (unsigned long long)s->asks[i].a);
    }
    if (!bound_ns)
        judge_unknown(c, "the story states no bound for control signals");
    else if (!c->result->checked)
        judge_unknown(c, "no control signal's effect was waited for");
    else
        judge_strength(c, "%llu signals answered, %.1f ms at worst",
                       (unsigned long long)s->answered, MS(s->worst_ns));
}

static const unsigned responsive_kinds[] = {HIST_DIRECTOR_ASK, HIST_DIRECTOR_ANSWER, HIST_NONE};
const struct checker judge_control_responsive = {.kinds = responsive_kinds,
                                                 .state_size = sizeof(struct responsive),
                                                 .observe = responsive_observe,
                                                 .finish = responsive_finish};

/* ---- control/storm --------------------------------------------------------------------------- */

struct storm {
    struct rolls rolls;
    struct hist_record ended; /* the last storm's end */
    bool to_judge;            /* and the tree was not looked at since */
    uint64_t disturbed_ns;    /* the story did something else */
    uint64_t asked_ns;        /* the last ask of the master that is there now */
    struct {
        uint32_t pid, gen;
    } spawned[EXITS_MAX]; /* engine generations of the latest workers, a ring */
    unsigned spawned_next;
    uint64_t signals, storms, judged;
};

static bool storm_find_gen(const struct storm *s, uint32_t pid, uint32_t *gen)
{
    for (unsigned i = 0; i < EXITS_MAX && i < s->spawned_next; i++) {
        unsigned at = (s->spawned_next - 1 - i) % EXITS_MAX;
        if (s->spawned[at].pid == pid) {
            *gen = s->spawned[at].gen;
            return true;
        }
    }
    return false;
}

struct roll_call {
    const struct storm *storm;
    uint64_t live;
    uint32_t gen_low, gen_high;
};

/* Who was told to go may still finish what it has. */
static bool roll_call_one(const struct world_process *p, void *arg)
{
    struct roll_call *call = arg;
    uint32_t gen;
    bool told_to_go = world_told_to_go(p) || rolls_undone(&call->storm->rolls, p);
    if (!p->is_worker || p->is_master || p->exit_ns || told_to_go)
        return true;
    call->live++;
    if (!storm_find_gen(call->storm, p->pid, &gen))
        return true;
    if (call->gen_low == 0 || gen < call->gen_low)
        call->gen_low = gen;
    if (gen > call->gen_high)
        call->gen_high = gen;
    return true;
}

/* The tree as sampled when the time to converge has passed. */
static void storm_judge(struct judge_context *c, const struct hist_record *tree)
{
    struct storm *s = c->state;
    const struct world *w = c->world;
    struct roll_call call = {.storm = s};
    world_processes(w, roll_call_one, &call);
    double after = MS(tree->t_ns - s->ended.t_ns);
    uint64_t want = rolls_wanted(&s->rolls, w);
    uint64_t zombie_ns = world_param(w, HIST_P_ZOMBIE_BOUND, w->param[HIST_P_CONVERGE_BOUND]);
    judge_seen(c, 1);
    s->judged++;
    if (call.live != want)
        judge_violate(c, tree, &s->ended,
                      "%.0f ms after a storm %llu workers live, %llu are configured", after,
                      (unsigned long long)call.live, (unsigned long long)want);
    else if (call.gen_low != call.gen_high)
        judge_violate(c, tree, &s->ended, "%.0f ms after a storm generations %u to %u live", after,
                      call.gen_low, call.gen_high);
    else if (tree->b && tree->c > zombie_ns)
        judge_violate(c, tree, &s->ended, "%.0f ms after a storm there is a zombie, %.0f ms old",
                      after, MS(tree->c));
    s->to_judge = false;
}

static void storm_edge(struct storm *s, const struct hist_record *r)
{
    s->to_judge = r->b == 0;
    if (r->b != 0)
        return;
    s->storms++;
    s->signals += r->c;
    s->ended = *r;
}

/* What the story itself does to the tree; an exit nobody asked for is the server's own. */
static bool storm_disturbs(const struct hist_record *r)
{
    return r->kind == HIST_DIRECTOR_SIGNAL || r->kind == HIST_STORM_SIGNAL ||
           r->kind == HIST_DIRECTOR_RELOAD ||
           (r->kind == HIST_FAULT_FIRED && r->b >> 32 != HIST_FAULT_SABOTAGE);
}

static void storm_tree(struct judge_context *c, const struct hist_record *r)
{
    struct storm *s = c->state;
    uint64_t since_ns = s->ended.t_ns > s->disturbed_ns ? s->ended.t_ns : s->disturbed_ns;
    uint64_t bound_ns = world_param(c->world, HIST_P_CONVERGE_BOUND, 0);
    if (s->to_judge && bound_ns && world_serving(c->world) && !c->world->upgrading &&
        r->t_ns > since_ns + bound_ns)
        storm_judge(c, r);
}

static void storm_observe(struct judge_context *c, const struct hist_record *r)
{
    struct storm *s = c->state;
    rolls_take(&s->rolls, c->world, r);
    if (storm_disturbs(r))
        s->disturbed_ns = r->t_ns;
    if (r->kind == HIST_DIRECTOR_STORM) {
        storm_edge(s, r);
    } else if (r->kind == HIST_ENGINE_SPAWN) {
        unsigned at = s->spawned_next++ % EXITS_MAX;
        s->spawned[at].pid = r->pid;
        s->spawned[at].gen = r->gen;
    } else if (r->kind == HIST_DIRECTOR_ASK) {
        s->asked_ns = r->t_ns;
    } else if (r->kind == HIST_DIRECTOR_ADOPTED) {
        s->asked_ns = 0;
    } else if (r->kind == HIST_DIRECTOR_ANSWER) {
        if (s->storms && r->c == 0 && s->asked_ns != 0)
            judge_violate(c, r, &s->ended, "the master did not answer signal %llu after a storm",
                          (unsigned long long)r->a);
    } else if (r->kind == HIST_WATCH_TREE) {
        storm_tree(c, r);
    }
}

static void storm_finish(struct judge_context *c)
{
    struct storm *s = c->state;
    if (!s->storms)
        judge_unknown(c, "there was no storm");
    else if (!s->judged)
        judge_unknown(c, "the tree was not watched for as long as it may take to converge");
    else
        judge_strength(c, "%llu storms, %llu signals", (unsigned long long)s->storms,
                       (unsigned long long)s->signals);
}

static const unsigned storm_kinds[] = {ROLLS_KINDS,          HIST_FAULT_FIRED,  HIST_DIRECTOR_STORM,
                                       HIST_DIRECTOR_ASK,    HIST_ENGINE_SPAWN, HIST_WATCH_TREE,
                                       HIST_DIRECTOR_ANSWER, HIST_NONE};
const struct checker judge_control_storm = {.kinds = storm_kinds,
                                            .state_size = sizeof(struct storm),
                                            .observe = storm_observe,
                                            .finish = storm_finish};

/* ---- control/coalescing ---------------------------------------------------------------------- */

struct coalescing {
    struct {
        struct hist_record exit;
        bool in_burst;
    } unreaped[EXITS_MAX];
    size_t unreaped_count;
    struct hist_record last;
    bool last_in_burst;
    uint64_t bursts, reaped;
};

static void coalescing_exit(struct coalescing *s, const struct hist_record *r)
{
    bool burst = s->last.kind && r->t_ns - s->last.t_ns < BURST_NS;
    if (burst && !s->last_in_burst)
        s->bursts++;
    for (size_t i = 0; burst && i < s->unreaped_count; i++)
        if (s->unreaped[i].exit.pid == s->last.pid)
            s->unreaped[i].in_burst = true;
    if (s->unreaped_count < EXITS_MAX) {
        s->unreaped[s->unreaped_count].exit = *r;
        s->unreaped[s->unreaped_count++].in_burst = burst;
    }
    s->last = *r;
    s->last_in_burst = burst;
}

static void coalescing_reaped(struct judge_context *c, const struct hist_record *r)
{
    struct coalescing *s = c->state;
    for (size_t i = 0; i < s->unreaped_count; i++) {
        if (s->unreaped[i].exit.pid != r->pid)
            continue;
        if (s->unreaped[i].in_burst) {
            judge_seen(c, 1);
            s->reaped++;
        }
        s->unreaped[i] = s->unreaped[--s->unreaped_count];
        return;
    }
}

static void coalescing_overdue(struct judge_context *c, const struct hist_record *r)
{
    struct coalescing *s = c->state;
    uint64_t bound_ns = world_param(c->world, HIST_P_ZOMBIE_BOUND, 0);
    for (size_t i = 0; bound_ns && i < s->unreaped_count;) {
        struct hist_record exit = s->unreaped[i].exit;
        if (!s->unreaped[i].in_burst || r->t_ns - exit.t_ns <= bound_ns) {
            i++;
            continue;
        }
        judge_seen(c, 1);
        judge_violate(c, &exit, &s->last,
                      "worker %u ended among others and was not reaped %.0f ms "
                      "later",
                      exit.pid, MS(r->t_ns - exit.t_ns));
        s->unreaped[i] = s->unreaped[--s->unreaped_count];
    }
}

static void coalescing_observe(struct judge_context *c, const struct hist_record *r)
{
    if (!world_serving(c->world))
        return;
    const struct world_process *p = world_process(c->world, r->pid);
    if (r->kind == HIST_WATCH_TREE)
        coalescing_overdue(c, r);
    else if (r->kind != HIST_WATCH_EXIT)
        coalescing_reaped(c, r); /* whatever it has turned out to be meanwhile */
    else if (p && p->is_worker && !p->is_master)
        coalescing_exit(c->state, r);
}

static void coalescing_finish(struct judge_context *c)
{
    struct coalescing *s = c->state;
    if (!s->bursts)
        judge_unknown(c, "no two workers ended at the same time");
    else
        judge_strength(c, "%llu bursts of exits, %llu workers reaped",
                       (unsigned long long)s->bursts, (unsigned long long)s->reaped);
}

static const unsigned coalescing_kinds[] = {HIST_WATCH_EXIT, HIST_WATCH_REAPED,
                                            HIST_ENGINE_WORKER_EXIT, HIST_WATCH_TREE, HIST_NONE};
const struct checker judge_control_coalescing = {.kinds = coalescing_kinds,
                                                 .state_size = sizeof(struct coalescing),
                                                 .observe = coalescing_observe,
                                                 .finish = coalescing_finish};

/* ---- control/pid-file ------------------------------------------------------------------------ */

struct pid_file {
    struct hist_record now; /* what it says */
    uint64_t changes;
    uint64_t due_ns;  /* wrong at ready: it has until then */
    bool known, over; /* over: what it says is told after the stop */
    bool old_named;   /* the other file names a live master */
};

static void pid_file_check(struct judge_context *c)
{
    struct pid_file *s = c->state;
    judge_seen(c, 1);
    s->due_ns = 0;
    if (s->now.b == 0)
        judge_violate(c, &s->now, NULL, "the pid file %s while the server runs",
                      s->now.pid ? "names a process that is no live master" : "is absent or empty");
}

static void pid_file_changed(struct judge_context *c, const struct hist_record *r)
{
    struct pid_file *s = c->state;
    if (r->a != 0) {
        s->old_named = r->b == 1; /* .oldbin */
        return;
    }
    if (s->due_ns && r->t_ns > s->due_ns)
        pid_file_check(c);
    s->now = *r;
    s->known = true;
    s->changes++;
    s->over = c->world->ready_ns != 0 && !world_serving(c->world);
    bool still_settling = s->due_ns && r->b == 0;
    /* In an upgrade the old master may move its file away before the new one has written it. */
    bool between = (c->world->upgrading || s->old_named) && r->b == 0;
    if (world_serving(c->world) && !still_settling && !between)
        pid_file_check(c);
}

/* The watcher looks at times of its own: at ready it may not have seen yet what is there. */
static void pid_file_ready(struct judge_context *c, const struct hist_record *r)
{
    struct pid_file *s = c->state;
    s->over = false;
    if (s->known && s->now.b == 0)
        s->due_ns = r->t_ns + SETTLE_NS;
    else if (s->known)
        pid_file_check(c);
}

static void pid_file_observe(struct judge_context *c, const struct hist_record *r)
{
    struct pid_file *s = c->state;
    if (r->kind == HIST_WATCH_PIDFILE)
        pid_file_changed(c, r);
    else if (r->kind == HIST_DIRECTOR_READY)
        pid_file_ready(c, r);
    else if (s->known && !s->over && (!s->due_ns || r->t_ns > s->due_ns))
        pid_file_check(c);
}

static void pid_file_finish(struct judge_context *c)
{
    struct pid_file *s = c->state;
    if (s->due_ns && world_served_until(c->world) > s->due_ns)
        pid_file_check(c);
    if (!s->known)
        judge_unknown(c, "the pid file was not watched");
    else
        judge_strength(c, "%llu contents seen, checked %llu times", (unsigned long long)s->changes,
                       (unsigned long long)c->result->checked);
}

/* Ready, reloads and the stop are moments at which what it says must be right as well. */
static const unsigned pid_file_kinds[] = {HIST_WATCH_PIDFILE, HIST_DIRECTOR_READY,
                                          HIST_DIRECTOR_RELOADED, HIST_DIRECTOR_STOP, HIST_NONE};
const struct checker judge_control_pid_file = {.kinds = pid_file_kinds,
                                               .state_size = sizeof(struct pid_file),
                                               .observe = pid_file_observe,
                                               .finish = pid_file_finish};
