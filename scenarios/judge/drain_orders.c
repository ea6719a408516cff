/* drain/escalation: what the master tells a worker that is to go, in which order and when. */
#include <signal.h>
#include <string.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"

#define MS(ns) ((double)(ns) / 1e6)

enum {
    ORDERED_MAX = 512,
    EARLY_NS = 50000000, /* two clocks may differ by this */
    LATE_NS = 500000000, /* scheduling: a word may come so late */
};

/* A worker that was told to go and is not gone. */
struct ordered {
    uint32_t pid;
    bool overdue; /* nothing need follow any more, or that nothing did was told */
    struct hist_record drain, hard, kill; /* QUIT; TERM or ABRT; KILL. kind HIST_NONE: not told */
};

struct escalation {
    struct ordered workers[ORDERED_MAX];
    size_t count;
    bool fast; /* a fast stop waits for no drain */
    uint64_t told, escalated;
};

static struct ordered *ordered_find(struct escalation *e, uint32_t pid)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->workers[i].pid == pid)
            return &e->workers[i];
    return NULL;
}

static struct ordered *ordered_get(struct escalation *e, uint32_t pid)
{
    struct ordered *o = ordered_find(e, pid);
    if (o == NULL && e->count < ORDERED_MAX) {
        o = &e->workers[e->count++];
        memset(o, 0, sizeof(*o));
        o->pid = pid;
    }
    return o;
}

/* How long after the drain's begin TERM may come. One that had served nobody gets no more than what
 * lies between TERM and KILL. */
static uint64_t drain_patience_ns(const struct world *w, uint32_t pid)
{
    const struct world_process *p = world_process(w, pid);
    uint64_t delay_ns = w->param[HIST_P_KILL_DELAY], bound_ns = w->param[HIST_P_DRAIN_BOUND];
    bool served = p != NULL && p->ready_ns != 0;
    bound_ns = world_param(w, HIST_P_DRAIN_TIMEOUT, bound_ns);
    return served || bound_ns < delay_ns ? bound_ns : delay_ns;
}

/* By when it must have come, even so: what was told to accept may serve before it has said so. */
static uint64_t drain_longest_ns(const struct world *w)
{
    uint64_t bound_ns = world_param(w, HIST_P_DRAIN_TIMEOUT, w->param[HIST_P_DRAIN_BOUND]);
    uint64_t delay_ns = w->param[HIST_P_KILL_DELAY];
    return bound_ns > delay_ns ? bound_ns : delay_ns;
}

static void told_drain(struct judge_context *c, struct ordered *o, const struct hist_record *r)
{
    const struct hist_record *before = o->hard.kind ? &o->hard : &o->drain;
    if (before->kind != HIST_NONE)
        judge_violate(c, r, before, "worker %u was told to drain %.1f ms after it was told %s",
                      r->pid, MS(r->t_ns - before->t_ns), o->hard.kind ? "to end" : "the same");
    o->drain = *r;
}

static void told_hard(struct judge_context *c, struct ordered *o, const struct hist_record *r)
{
    struct escalation *e = c->state;
    uint64_t due_ns = o->drain.t_ns + drain_patience_ns(c->world, r->pid);
    if (o->kill.kind != HIST_NONE ||
        (o->hard.kind != HIST_NONE && o->hard.a == r->a && o->hard.b == 0))
        judge_violate(c, r, o->kill.kind ? &o->kill : &o->hard,
                      "worker %u was sent signal %llu although it had been sent %s", r->pid,
                      (unsigned long long)r->a, o->kill.kind ? "KILL" : "the same");
    else if (r->a == SIGTERM && o->drain.kind != HIST_NONE && !e->fast &&
             r->t_ns + EARLY_NS < due_ns)
        judge_violate(c, r, &o->drain,
                      "worker %u was sent TERM %.1f ms after it was told to drain; it had %.1f ms",
                      r->pid, MS(r->t_ns - o->drain.t_ns), MS(due_ns - o->drain.t_ns));
    e->escalated += o->drain.kind != HIST_NONE;
    o->hard = *r;
    o->overdue = false;
}

static void told_kill(struct judge_context *c, struct ordered *o, const struct hist_record *r)
{
    struct escalation *e = c->state;
    uint64_t delay_ns = c->world->param[HIST_P_KILL_DELAY];
    if (o->kill.kind != HIST_NONE)
        judge_violate(c, r, &o->kill, "worker %u was sent KILL twice", r->pid);
    else if (o->hard.kind == HIST_NONE)
        judge_violate(c, r, NULL, "worker %u was sent KILL, and neither TERM nor ABRT before",
                      r->pid);
    else if (r->t_ns + EARLY_NS < o->hard.t_ns + delay_ns)
        judge_violate(c, r, &o->hard,
                      "worker %u was sent KILL %.1f ms after signal %llu; it had %.1f ms", r->pid,
                      MS(r->t_ns - o->hard.t_ns), (unsigned long long)o->hard.a, MS(delay_ns));
    e->escalated++;
    o->kill = *r;
    o->overdue = false;
}

static void escalation_told(struct judge_context *c, const struct hist_record *r)
{
    struct escalation *e = c->state;
    struct ordered *o = ordered_get(e, r->pid);
    if (o == NULL)
        return;
    if (r->b != 0) { /* it was not sent; what follows need not wait for that */
        if (r->a != SIGQUIT && o->hard.kind == HIST_NONE)
            o->hard = *r;
        return;
    }
    judge_seen(c, 1);
    e->told++;
    if (r->a == SIGQUIT)
        told_drain(c, o, r);
    else if (r->a == SIGKILL)
        told_kill(c, o, r);
    else
        told_hard(c, o, r);
}

/* What should have followed and did not. A master that was stopped, or hindered by a fault, tells
 * nobody in time. */
static void escalation_look(struct judge_context *c, struct ordered *o, uint64_t now_ns)
{
    const struct world *w = c->world;
    const struct hist_record *last = o->hard.kind ? &o->hard : &o->drain;
    uint64_t wait_ns = o->hard.kind ? w->param[HIST_P_KILL_DELAY] : drain_longest_ns(w);
    uint64_t due_ns = last->t_ns + wait_ns + LATE_NS;
    if (o->overdue || o->kill.kind != HIST_NONE || now_ns <= due_ns)
        return;
    o->overdue = true;
    if (world_cause(w, w->master_pid, last->t_ns, now_ns, WORLD_SLOWS | WORLD_BREAKS) != NULL)
        return;
    judge_violate(c, last, NULL,
                  "worker %u was sent signal %llu, was still there %.1f ms later, and nothing "
                  "followed",
                  o->pid, (unsigned long long)last->a, MS(now_ns - last->t_ns));
}

static void escalation_look_all(struct judge_context *c, uint64_t now_ns)
{
    struct escalation *e = c->state;
    for (size_t i = 0; world_has_master(c->world) && i < e->count; i++)
        escalation_look(c, &e->workers[i], now_ns);
}

/* What killed a worker may be told after a watcher saw its end: it is remembered until its master
 * has reaped it. */
static void escalation_gone(struct escalation *e, const struct hist_record *r)
{
    struct ordered *o = ordered_find(e, r->pid);
    if (o != NULL && r->kind == HIST_WATCH_EXIT)
        o->overdue = true;
    else if (o != NULL)
        *o = e->workers[--e->count];
}

static void escalation_observe(struct judge_context *c, const struct hist_record *r)
{
    struct escalation *e = c->state;
    if (!c->world->param_known[HIST_P_KILL_DELAY])
        return;
    if (r->kind == HIST_ENGINE_TELL) {
        escalation_told(c, r);
    } else if (r->kind == HIST_ENGINE_STOP) {
        e->fast = e->fast || r->a == 0;
    } else if (r->kind == HIST_WATCH_TREE) {
        escalation_look_all(c, r->t_ns);
    } else {
        escalation_gone(e, r);
    }
}

static void escalation_finish(struct judge_context *c)
{
    struct escalation *e = c->state;
    if (!traced(c->world))
        judge_unknown(c, "only the server's own trace tells what it sends its workers");
    else if (!c->world->param_known[HIST_P_KILL_DELAY])
        judge_unknown(c, "the time between TERM and KILL is not stated");
    else if (e->escalated == 0)
        judge_unknown(c, "no worker needed to be told more than once");
    judge_strength(c, "%llu signals to workers, %llu of them because one had not helped",
                   (unsigned long long)e->told, (unsigned long long)e->escalated);
}

static const unsigned escalation_kinds[] = {
    HIST_ENGINE_TELL,  HIST_ENGINE_STOP,        HIST_WATCH_TREE, HIST_WATCH_EXIT,
    HIST_ENGINE_SPAWN, HIST_ENGINE_WORKER_EXIT, HIST_NONE};
const struct checker judge_drain_escalation = {.kinds = escalation_kinds,
                                               .state_size = sizeof(struct escalation),
                                               .observe = escalation_observe,
                                               .finish = escalation_finish};
