/* drain: how soon processes are gone: old workers after a reload, the tree after a stop, workers
 * whose master died. */
#include <string.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum {
    LEAVING_MAX = 512,
    SLACK_NS = 250000000, /* scheduling, and the time a kill takes */
    SPIN_NS = 500000000,  /* CPU is judged over at least this */
    SPIN_PERMILLE = 900
};

/* Processes that must go: who, since when, told by which record. */
struct leaving {
    struct {
        struct hist_record record;
        uint32_t pid;
        uint64_t since_ns;
        uint64_t sample_ns, sample_cpu_ns; /* the last watch.proc taken as a start */
    } items[LEAVING_MAX];
    size_t count;
    uint64_t worst_ns, gone;
};

static void leaving_add(struct leaving *l, uint32_t pid, const struct hist_record *r)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].pid == pid)
            return;
    if (l->count == LEAVING_MAX)
        return;
    memset(&l->items[l->count], 0, sizeof(l->items[0]));
    l->items[l->count].record = *r;
    l->items[l->count].pid = pid;
    l->items[l->count++].since_ns = r->t_ns;
}

/* LEAVING_MAX: it is not among them. */
static size_t leaving_find(const struct leaving *l, uint32_t pid)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].pid == pid)
            return i;
    return LEAVING_MAX;
}

static void leaving_drop(struct leaving *l, size_t i)
{
    l->items[i] = l->items[--l->count];
}

static uint64_t slack_ns(const struct world *w)
{
    return SLACK_NS + w->watch_period_ns;
}

/* The process went, or (now_ns is not its exit) is still there: too late? */
static void leaving_judge(struct judge_context *c, struct leaving *l, size_t i, uint64_t now_ns,
                          uint64_t bound_ns, const char *event, bool gone)
{
    uint64_t took_ns = now_ns - l->items[i].since_ns;
    bool late = took_ns > bound_ns + slack_ns(c->world);
    if (gone || late)
        judge_seen(c, 1);
    if (gone) {
        l->gone++;
        l->worst_ns = took_ns > l->worst_ns ? took_ns : l->worst_ns;
    }
    if (late)
        judge_violate(c, &l->items[i].record, NULL,
                      "process %u %s %.1f ms after %s; %.1f ms are allowed", l->items[i].pid,
                      gone ? "was gone" : "was still there", MS(took_ns), event, MS(bound_ns));
    leaving_drop(l, i);
}

/* ---- drain/bounded --------------------------------------------------------------------------- */

struct bounded {
    struct leaving leaving;
    uint64_t stops;
};

static const char bounded_event[] = "its drain began";

static void bounded_rest(struct judge_context *c)
{
    struct bounded *b = c->state;
    while (b->leaving.count > 0)
        leaving_judge(c, &b->leaving, b->leaving.count - 1, c->world->now_ns,
                      c->world->param[HIST_P_DRAIN_BOUND], bounded_event, false);
}

struct bounded_visit {
    struct bounded *state;
    const struct world *world;
    const struct hist_record *report;
};

/* Without a trace: those that served, and are older than the reload that is reported done. */
static bool bounded_add_old(const struct world_process *p, void *arg)
{
    struct bounded_visit *v = arg;
    if (p->is_worker && !p->is_master && p->exit_ns == 0 && p->ready_ns != 0 &&
        p->ready_ns < v->world->reload_begun_ns && p->gen < v->report->gen)
        leaving_add(&v->state->leaving, p->pid, v->report);
    return true;
}

static void bounded_reloaded(struct judge_context *c, const struct hist_record *r)
{
    bool done = r->kind == HIST_DIRECTOR_CUT_OVER || r->a == HIST_REPORT_OK;
    if (!done || traced(c->world) || !c->world->watched)
        return;
    struct bounded_visit v = {c->state, c->world, r};
    world_processes(c->world, bounded_add_old, &v);
}

static void bounded_stopped(struct judge_context *c, const struct hist_record *r)
{
    struct bounded *b = c->state;
    const struct world *w = c->world;
    uint64_t bound_ns = w->param[HIST_P_DRAIN_BOUND];
    if (!w->stop_graceful || w->stop_ns == 0 || (r->a != 1 && r->c <= bound_ns))
        return;
    judge_seen(c, 1);
    b->stops++;
    if (r->a != 1 || r->c > bound_ns + slack_ns(w))
        judge_violate(c, r, NULL,
                      "the server was %s %.1f ms after a graceful stop; %.1f ms are allowed",
                      r->a == 1 ? "gone" : "still there", MS(r->c), MS(bound_ns));
}

static void bounded_exit(struct judge_context *c, const struct hist_record *r)
{
    struct bounded *b = c->state;
    size_t i = leaving_find(&b->leaving, r->pid);
    if (i < LEAVING_MAX)
        leaving_judge(c, &b->leaving, i, r->t_ns, c->world->param[HIST_P_DRAIN_BOUND],
                      bounded_event, true);
}

/* A worker that serves the new configuration was not an old one: it reloads in place. */
static void bounded_answer(struct bounded *b, const struct hist_record *r)
{
    size_t i = b->leaving.count > 0 ? leaving_find(&b->leaving, r->pid) : LEAVING_MAX;
    if (i < LEAVING_MAX && b->leaving.items[i].record.kind != HIST_ENGINE_DRAIN &&
        r->gen >= b->leaving.items[i].record.gen)
        leaving_drop(&b->leaving, i);
}

static void bounded_observe(struct judge_context *c, const struct hist_record *r)
{
    struct bounded *b = c->state;
    const struct world *w = c->world;
    if (!w->param_known[HIST_P_DRAIN_BOUND])
        return;
    switch (r->kind) {
    case HIST_ENGINE_DRAIN:
        leaving_add(&b->leaving, r->pid, r);
        break;
    case HIST_DIRECTOR_RELOADED:
    case HIST_DIRECTOR_CUT_OVER:
        bounded_reloaded(c, r);
        break;
    case HIST_CLIENT_FIRST_BYTE:
        bounded_answer(b, r);
        break;
    case HIST_DIRECTOR_STOP:
        if (r->a != 1)
            bounded_rest(c); /* what follows is no drain any more */
        break;
    case HIST_DIRECTOR_STOPPED:
        bounded_stopped(c, r);
        break;
    default:
        bounded_exit(c, r);
        break;
    }
}

static void bounded_finish(struct judge_context *c)
{
    struct bounded *b = c->state;
    bounded_rest(c);
    if (!c->world->param_known[HIST_P_DRAIN_BOUND])
        judge_unknown(c, "the story states no drain_bound");
    else if (c->result->checked == 0)
        judge_unknown(c, "nothing was drained, or no witness followed the processes");
    judge_strength(c, "%llu old workers gone, the slowest in %.1f ms; %llu graceful stops",
                   (ull)b->leaving.gone, MS(b->leaving.worst_ns), (ull)b->stops);
}

static const unsigned bounded_kinds[] = {
    HIST_ENGINE_DRAIN,      HIST_ENGINE_WORKER_EXIT, HIST_WATCH_EXIT,
    HIST_DIRECTOR_RELOADED, HIST_DIRECTOR_CUT_OVER,  HIST_DIRECTOR_STOP,
    HIST_DIRECTOR_STOPPED,  HIST_CLIENT_FIRST_BYTE,  HIST_NONE};
const struct checker judge_drain_bounded = {.kinds = bounded_kinds,
                                            .state_size = sizeof(struct bounded),
                                            .observe = bounded_observe,
                                            .finish = bounded_finish};

/* ---- drain/fast-stop ------------------------------------------------------------------------- */

struct fast {
    struct leaving leaving;
    struct hist_record stop;
    uint64_t stops, slowest_ns;
};

struct fast_visit {
    struct leaving *leaving;
    const struct hist_record *stop;
};

static bool fast_add(const struct world_process *p, void *arg)
{
    struct fast_visit *v = arg;
    if (p->exit_ns == 0 && (p->is_master || p->parent != 0))
        leaving_add(v->leaving, p->pid, v->stop);
    return true;
}

static void fast_rest(struct judge_context *c)
{
    struct fast *f = c->state;
    while (f->leaving.count > 0)
        leaving_judge(c, &f->leaving, f->leaving.count - 1, c->world->now_ns,
                      c->world->param[HIST_P_FAST_BOUND], "a fast stop", false);
}

static void fast_stop(struct judge_context *c, const struct hist_record *r)
{
    struct fast *f = c->state;
    if (r->a != 0)
        return;
    f->stop = *r;
    f->stops++;
    struct fast_visit v = {&f->leaving, r};
    if (c->world->watched)
        world_processes(c->world, fast_add, &v);
}

static void fast_stopped(struct judge_context *c, const struct hist_record *r)
{
    struct fast *f = c->state;
    uint64_t bound_ns = c->world->param[HIST_P_FAST_BOUND];
    if (f->stop.kind == HIST_NONE || (r->a != 1 && r->t_ns - f->stop.t_ns <= bound_ns))
        return;
    uint64_t took_ns = r->t_ns - f->stop.t_ns;
    judge_seen(c, 1);
    f->slowest_ns = took_ns > f->slowest_ns ? took_ns : f->slowest_ns;
    if (r->a != 1 || took_ns > bound_ns + slack_ns(c->world))
        judge_violate(c, r, &f->stop,
                      "the master was %s %.1f ms after a fast stop; %.1f ms are allowed",
                      r->a == 1 ? "gone" : "still there", MS(took_ns), MS(bound_ns));
    f->stop.kind = HIST_NONE;
}

static void fast_observe(struct judge_context *c, const struct hist_record *r)
{
    struct fast *f = c->state;
    if (!c->world->param_known[HIST_P_FAST_BOUND])
        return;
    if (r->kind == HIST_DIRECTOR_STOP) {
        fast_stop(c, r);
    } else if (r->kind == HIST_DIRECTOR_STOPPED) {
        fast_stopped(c, r);
    } else if (r->kind == HIST_DIRECTOR_READY) {
        fast_rest(c);
    } else {
        size_t i = leaving_find(&f->leaving, r->pid);
        if (i < LEAVING_MAX)
            leaving_judge(c, &f->leaving, i, r->t_ns, c->world->param[HIST_P_FAST_BOUND],
                          "a fast stop", true);
    }
}

static void fast_finish(struct judge_context *c)
{
    struct fast *f = c->state;
    fast_rest(c);
    if (f->stops == 0)
        judge_unknown(c, "the server was not stopped by TERM or INT");
    else if (!c->world->param_known[HIST_P_FAST_BOUND])
        judge_unknown(c, "the story states no fast_bound");
    else if (c->result->checked == 0)
        judge_unknown(c, "the history ends before the bound");
    judge_strength(
        c, "%llu fast stops, the master gone in %.1f ms, %llu processes gone, the last in %.1f ms",
        (ull)f->stops, MS(f->slowest_ns), (ull)f->leaving.gone, MS(f->leaving.worst_ns));
}

static const unsigned fast_kinds[] = {HIST_DIRECTOR_STOP, HIST_DIRECTOR_STOPPED,
                                      HIST_DIRECTOR_READY, HIST_WATCH_EXIT, HIST_NONE};
const struct checker judge_drain_fast_stop = {.kinds = fast_kinds,
                                              .state_size = sizeof(struct fast),
                                              .observe = fast_observe,
                                              .finish = fast_finish};

/* ---- drain/no-orphans ------------------------------------------------------------------------ */

struct orphans {
    struct leaving leaving;
    uint64_t deaths;
};

struct orphan_visit {
    struct leaving *leaving;
    const struct hist_record *death;
    uint32_t master;
};

static bool orphan_add(const struct world_process *p, void *arg)
{
    struct orphan_visit *v = arg;
    if (p->is_worker && !p->is_master && p->exit_ns == 0 &&
        (p->parent == v->master || p->parent == 0))
        leaving_add(v->leaving, p->pid, v->death);
    return true;
}

/* Workers that outlive their master are the evidence; a master that ends last gives none. */
static void orphans_death(struct judge_context *c, const struct hist_record *r, uint32_t master)
{
    struct orphans *o = c->state;
    struct orphan_visit v = {&o->leaving, r, master};
    size_t before = o->leaving.count;
    world_processes(c->world, orphan_add, &v);
    o->deaths += o->leaving.count > before;
}

static void orphans_sample(struct judge_context *c, const struct hist_record *r)
{
    struct leaving *l = &((struct orphans *)c->state)->leaving;
    size_t i = l->count > 0 ? leaving_find(l, r->pid) : LEAVING_MAX;
    if (i == LEAVING_MAX)
        return;
    if (l->items[i].sample_ns == 0) {
        l->items[i].sample_ns = r->t_ns;
        l->items[i].sample_cpu_ns = r->b;
        return;
    }
    uint64_t wall_ns = r->t_ns - l->items[i].sample_ns;
    if (wall_ns < SPIN_NS)
        return;
    uint64_t cpu_ns = r->b - l->items[i].sample_cpu_ns;
    if (cpu_ns * 1000 > wall_ns * SPIN_PERMILLE)
        judge_violate(c, r, &l->items[i].record,
                      "worker %u spins without its master: %.0f ms of CPU in %.0f ms", r->pid,
                      MS(cpu_ns), MS(wall_ns));
    l->items[i].sample_ns = r->t_ns;
    l->items[i].sample_cpu_ns = r->b;
}

static void orphans_observe(struct judge_context *c, const struct hist_record *r)
{
    struct orphans *o = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    bool is_master = r->pid == c->world->master_pid || (p != NULL && p->is_master);
    if (!c->world->param_known[HIST_P_ORPHAN_BOUND])
        return;
    if (r->kind == HIST_WATCH_PROC) {
        orphans_sample(c, r);
    } else if (r->kind == HIST_DIRECTOR_STOP) {
        if (r->a == 2)
            orphans_death(c, r, r->pid != 0 ? r->pid : c->world->master_pid);
    } else if (is_master) {
        if (r->kind == HIST_WATCH_EXIT)
            orphans_death(c, r, r->pid);
    } else {
        size_t i = leaving_find(&o->leaving, r->pid);
        if (i < LEAVING_MAX)
            leaving_judge(c, &o->leaving, i, r->t_ns, c->world->param[HIST_P_ORPHAN_BOUND],
                          "its master ended", true);
    }
}

static void orphans_finish(struct judge_context *c)
{
    struct orphans *o = c->state;
    while (o->leaving.count > 0)
        leaving_judge(c, &o->leaving, o->leaving.count - 1, c->world->now_ns,
                      c->world->param[HIST_P_ORPHAN_BOUND], "its master ended", false);
    if (!c->world->param_known[HIST_P_ORPHAN_BOUND])
        judge_unknown(c, "the story states no orphan_bound");
    else if (c->result->checked == 0)
        judge_unknown(c, "no master ended before its workers");
    judge_strength(
        c, "%llu masters ended before their workers; %llu workers followed, the last in %.1f ms",
        (ull)o->deaths, (ull)o->leaving.gone, MS(o->leaving.worst_ns));
}

static const unsigned orphans_kinds[] = {HIST_WATCH_EXIT, HIST_WATCH_PROC, HIST_ENGINE_EXIT,
                                         HIST_DIRECTOR_STOP, HIST_NONE};
const struct checker judge_drain_no_orphans = {.kinds = orphans_kinds,
                                               .state_size = sizeof(struct orphans),
                                               .observe = orphans_observe,
                                               .finish = orphans_finish};
