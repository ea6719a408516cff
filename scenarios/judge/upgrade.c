/* upgrade: a new binary on the fly. See guarantees.def for the sentences. */
#include "scenarios/judge/upgrade.h"

#include <signal.h>
#include <string.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/starts.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum {
    ANSWERS_MIN = 60, /* fewer say nothing of a side that gave none */
    SHARE_MIN = 20,   /* so many it should have given */
    HINDERS = WORLD_BREAKS | WORLD_SLOWS | WORLD_EXITS,
    TAIL_NS = 1000000000,
    SETTLE_NS = 200000000, /* a watcher has looked at the pid files by then */
};

/* ---- what happens -----------------------------------------------------------------------------
 */

static void upgrade_seen(struct upgrade *u, const struct hist_record *r)
{
    u->seen = *r;
    if (r->a == HIST_UPGRADE_READY) {
        u->ready++;
        u->new_pid = (uint32_t)r->c;
        u->stage = u->parts_early ? UPGRADE_PARTING : UPGRADE_TWO;
    } else {
        u->failed += r->a == HIST_UPGRADE_FAILED;
        u->stage = u->new_pid != 0 ? UPGRADE_TWO : UPGRADE_NONE; /* refused beside another */
    }
}

static void upgrade_told(struct upgrade *u, const struct hist_record *r)
{
    bool to_old = r->pid == u->old_pid && (r->a == SIGWINCH || r->a == SIGQUIT || r->a == SIGTERM);
    u->parts_early = u->parts_early || (u->stage == UPGRADE_STARTING && to_old);
    bool one_of_two = u->new_pid != 0 && (r->pid == u->old_pid || r->pid == u->new_pid);
    if (!one_of_two || r->a == SIGCONT || r->a == SIGUSR2)
        return;
    u->old_rested = u->old_rested || (r->a == SIGWINCH && r->pid == u->old_pid);
    u->told = *r;
    u->stage = UPGRADE_PARTING;
}

enum upgrade_stage upgrade_take(struct upgrade *u, const struct hist_record *r)
{
    enum upgrade_stage before = u->stage;
    switch (r->kind) {
    case HIST_DIRECTOR_UPGRADE:
        u->asked = *r;
        u->count++;
        u->old_pid = r->pid;
        u->parts_early = u->parts_early && u->stage == UPGRADE_STARTING;
        u->stage = u->new_pid == 0 ? UPGRADE_STARTING : u->stage;
        break;
    case HIST_DIRECTOR_UPGRADED:
        upgrade_seen(u, r);
        break;
    case HIST_DIRECTOR_SIGNAL:
        upgrade_told(u, r);
        break;
    case HIST_WATCH_PIDFILE:
        *(r->a == 0 ? &u->pid_file : &u->old_bin) = r->pid;
        break;
    case HIST_WATCH_EXIT:
        if (u->new_pid == 0 || r->pid != u->new_pid)
            break;
        u->new_pid = 0;
        u->stage = UPGRADE_NONE;
        break;
    case HIST_DIRECTOR_ADOPTED:
        u->old_pid = u->new_pid = 0;
        u->old_rested = false;
        u->stage = UPGRADE_NONE;
        break;
    default:
        break;
    }
    return before;
}

struct census {
    uint32_t master;
    uint64_t live;
};

static bool census_one(const struct world_process *p, void *arg)
{
    struct census *c = arg;
    c->live += p->is_worker && !p->is_master && p->parent == c->master && p->exit_ns == 0 &&
               !world_told_to_go(p);
    return true;
}

uint64_t upgrade_workers_of(const struct world *w, uint32_t master)
{
    struct census c = {.master = master};
    world_processes(w, census_one, &c);
    return c.live;
}

void upgrade_unknown(struct judge_context *c, const struct upgrade *u, const char *why)
{
    if (u->count == 0)
        judge_unknown(c, "nobody asked for a new binary");
    else if (c->result->checked == 0)
        judge_unknown(c, "%s", why);
}

/* ---- upgrade/zero-loss ------------------------------------------------------------------------
 */

struct loss {
    struct upgrade u;
    uint64_t until_ns; /* requests count; ~0 as long as the upgrade lasts */
    uint64_t requests, races, excused;
};

/* A TERM ends what the one that gets it has at hand: that is what it is for. */
static void loss_window(struct loss *l, const struct hist_record *r)
{
    bool cut = r->kind == HIST_DIRECTOR_SIGNAL && l->u.new_pid != 0 && r->a != SIGQUIT &&
               r->a != SIGWINCH && r->a != SIGUSR2 && r->a != SIGHUP;
    if (r->kind == HIST_DIRECTOR_UPGRADE)
        l->until_ns = UINT64_MAX;
    else if (cut)
        l->until_ns = r->t_ns;
    else if (l->until_ns == UINT64_MAX && l->u.stage == UPGRADE_NONE)
        l->until_ns = r->t_ns + TAIL_NS;
}

static void loss_observe(struct judge_context *c, const struct hist_record *r)
{
    struct loss *l = c->state;
    const struct world *w = c->world;
    if (r->kind != HIST_CLIENT_END) {
        upgrade_take(&l->u, r);
        loss_window(l, r);
        return;
    }
    if (r->t_ns > l->until_ns || !world_serving(w) || r->a == HIST_ABANDONED ||
        !world_population_counts(w, r->slot))
        return;
    judge_seen(c, 1);
    l->requests++;
    if (!end_is_failure(w, r))
        return;
    bool unsafe = (r->flags & HIST_BIT(HIST_F_UNSAFE)) != 0;
    if (world_idle_race(w, r) && (!unsafe || idle_close_was_due(w, r)))
        l->races++;
    else if (cut_at_drain_bound(w, r)) /* told to go before, by something else */
        l->excused++;
    else if (outside_cause(w, server_of(w, r), begun_of(w, r), r) != NULL)
        l->excused++;
    else
        judge_violate(c, r, &l->u.asked,
                      "a request ended as %s, %.1f ms after a new binary was asked for",
                      hist_outcome_name((unsigned)r->a), MS(r->t_ns - l->u.asked.t_ns));
}

static void loss_finish(struct judge_context *c)
{
    const struct loss *l = c->state;
    upgrade_unknown(c, &l->u, "no request ended while a new binary took over");
    judge_strength(c, "%llu upgrades, %llu requests meanwhile; %llu met the idle-close race",
                   (ull)l->u.count, (ull)l->requests, (ull)l->races);
}

static const unsigned loss_kinds[] = {UPGRADE_KINDS, HIST_CLIENT_END, HIST_NONE};
const struct checker judge_upgrade_zero_loss = {.kinds = loss_kinds,
                                                .state_size = sizeof(struct loss),
                                                .observe = loss_observe,
                                                .finish = loss_finish};

/* ---- upgrade/two-masters ----------------------------------------------------------------------
 */

struct two {
    struct upgrade u;
    uint64_t of_old, of_new; /* connections answered while there were two and neither was told */
    uint64_t all_old, all_new;
    uint64_t ready_ns; /* the old master heard that the new one is ready; the director does later */
};

/* Workers of one master: of all that were there, those that nobody hindered. */
struct side {
    const struct world *w;
    uint32_t master;
    uint64_t from_ns, to_ns;
    uint64_t ready_ns; /* who was told to go before that need not answer */
    uint64_t all, free;
};

/* What its own master does to a worker meanwhile, say to send it away, is no hindrance. */
static bool side_one(const struct world_process *p, void *arg)
{
    struct side *s = arg;
    if (!p->is_worker || p->is_master || p->born_ns > s->from_ns ||
        (p->exit_ns != 0 && p->exit_ns < s->from_ns))
        return true;
    bool told_before =
        world_told_to_go(p) && (p->told_ns != 0 ? p->told_ns : p->drain_ns) < s->ready_ns;
    bool starts = traced(s->w) && (p->ready_ns == 0 || p->ready_ns > s->from_ns);
    bool hindered = p->stopped_ns != 0 || world_cause(s->w, p->pid, earlier(s->from_ns, TAIL_NS),
                                                      s->to_ns, HINDERS) != NULL;
    s->all++;
    s->free += p->parent == s->master && !told_before && !starts && !hindered;
    return true;
}

/* Whoever comes first accepts, so a side's share is that of its free workers. */
static bool two_should_have_answered(const struct judge_context *c, uint32_t master, uint64_t to_ns)
{
    const struct two *t = c->state;
    struct side s = {.w = c->world, .master = master, .from_ns = t->u.seen.t_ns, .to_ns = to_ns};
    s.ready_ns = t->ready_ns != 0 && t->ready_ns < s.from_ns ? t->ready_ns : s.from_ns;
    world_processes(c->world, side_one, &s);
    uint64_t all = t->of_old + t->of_new;
    return s.all > 0 && all >= ANSWERS_MIN && all * s.free / s.all >= SHARE_MIN;
}

/* The watcher looks at the files at times of its own. */
static void two_judge_files(struct judge_context *c)
{
    const struct two *t = c->state;
    if (t->u.pid_file != 0 && t->u.pid_file != t->u.seen.c)
        judge_violate(c, &t->u.seen, NULL, "the pid file names %u, the new master is %u",
                      t->u.pid_file, (uint32_t)t->u.seen.c);
    if (t->u.pid_file != 0 && t->u.old_bin != t->u.old_pid)
        judge_violate(c, &t->u.seen, NULL, "the old master's file names %u, the old master is %u",
                      t->u.old_bin, t->u.old_pid);
}

static void two_judge(struct judge_context *c, const struct hist_record *r)
{
    struct two *t = c->state;
    uint32_t old_pid = t->u.old_pid, new_pid = (uint32_t)t->u.seen.c;
    bool old_silent = t->of_old == 0 && two_should_have_answered(c, old_pid, r->t_ns);
    bool new_silent = t->of_new == 0 && two_should_have_answered(c, new_pid, r->t_ns);
    if (old_silent || new_silent)
        judge_violate(c, &t->u.seen, NULL,
                      "the workers of master %u answered %llu connections, those of master %u %llu",
                      old_pid, (ull)t->of_old, new_pid, (ull)t->of_new);
    if (r->t_ns - t->u.seen.t_ns > SETTLE_NS)
        two_judge_files(c);
    if (t->of_old > 0 && t->of_new > 0)
        judge_seen(c, t->of_old + t->of_new);
    t->all_old += t->of_old;
    t->all_new += t->of_new;
    t->of_old = t->of_new = 0;
}

static void two_answer(struct two *t, const struct world *w, const struct hist_record *r)
{
    const struct world_process *p = world_process(w, r->pid);
    const struct world_connection *connection = world_connection(w, r->conn);
    if (t->u.stage != UPGRADE_TWO || p == NULL || connection == NULL || connection->requests != 1 ||
        connection->connect_ns < t->u.seen.t_ns)
        return;
    t->of_old += p->parent == t->u.old_pid;
    t->of_new += p->parent == t->u.new_pid;
}

static void two_observe(struct judge_context *c, const struct hist_record *r)
{
    struct two *t = c->state;
    if (r->kind == HIST_CLIENT_FIRST_BYTE) {
        two_answer(t, c->world, r);
        return;
    }
    if (r->kind == HIST_ENGINE_UPGRADE && r->a == HIST_UPGRADE_READY)
        t->ready_ns = r->t_ns;
    bool parts = t->u.stage == UPGRADE_TWO && r->kind == HIST_DIRECTOR_SIGNAL;
    if (upgrade_take(&t->u, r) == UPGRADE_TWO && t->u.stage != UPGRADE_TWO && parts)
        two_judge(c, r);
}

static void two_finish(struct judge_context *c)
{
    const struct two *t = c->state;
    upgrade_unknown(c, &t->u, "there were not two masters for long enough to be seen");
    judge_strength(
        c,
        "%llu upgrades; beside each other the old workers answered %llu connections, the "
        "new %llu",
        (ull)t->u.ready, (ull)t->all_old, (ull)t->all_new);
}

static const unsigned two_kinds[] = {UPGRADE_KINDS, HIST_CLIENT_FIRST_BYTE, HIST_ENGINE_UPGRADE,
                                     HIST_NONE};
const struct checker judge_upgrade_two_masters = {.kinds = two_kinds,
                                                  .state_size = sizeof(struct two),
                                                  .observe = two_observe,
                                                  .finish = two_finish};

/* ---- upgrade/rollback -------------------------------------------------------------------------
 */

struct rollback {
    struct upgrade u;
    struct hist_record cause; /* HUP to the old one, or the end of the new one */
    uint32_t old_pid;
    bool to_judge, new_gone;
    uint64_t returns, ends;
};

static void rollback_take(struct rollback *s, const struct hist_record *r)
{
    uint32_t new_pid = s->u.new_pid, old_pid = s->u.old_pid;
    bool told = r->kind == HIST_DIRECTOR_SIGNAL && new_pid != 0;
    bool back = told && r->a == SIGHUP && r->pid == old_pid && s->u.old_rested;
    bool gone = r->kind == HIST_WATCH_EXIT && new_pid != 0 && r->pid == new_pid;
    upgrade_take(&s->u, r);
    if (r->kind == HIST_DIRECTOR_ADOPTED)
        s->to_judge = false;
    if (!back && !gone)
        return;
    s->cause = *r;
    s->old_pid = old_pid;
    s->to_judge = true;
    s->new_gone = gone;
    s->returns += back;
    s->ends += gone;
}

static void rollback_judge(struct judge_context *c, const struct hist_record *r)
{
    struct rollback *s = c->state;
    const struct world *w = c->world;
    uint64_t want = world_param(w, HIST_P_WORKERS, 0), live = upgrade_workers_of(w, s->old_pid);
    const char *what = s->new_gone ? "the new master was gone" : "HUP to the old master";
    s->to_judge = false;
    judge_seen(c, 1);
    if (live != want)
        judge_violate(c, r, &s->cause, "%.0f ms after %s the old one has %llu workers, not %llu",
                      MS(r->t_ns - s->cause.t_ns), what, (ull)live, (ull)want);
    if (s->new_gone && s->u.pid_file != 0 && s->u.pid_file != s->old_pid)
        judge_violate(c, r, &s->cause, "the pid file names %u, the master that is left is %u",
                      s->u.pid_file, s->old_pid);
}

static void rollback_observe(struct judge_context *c, const struct hist_record *r)
{
    struct rollback *s = c->state;
    uint64_t bound_ns = world_param(c->world, HIST_P_CONVERGE_BOUND, UINT64_MAX);
    if (r->kind != HIST_WATCH_TREE)
        rollback_take(s, r);
    else if (s->to_judge && world_serving(c->world) && r->t_ns - s->cause.t_ns > bound_ns)
        rollback_judge(c, r);
}

static void rollback_finish(struct judge_context *c)
{
    const struct rollback *s = c->state;
    upgrade_unknown(c, &s->u, "no upgrade was taken back, or nobody looked at the tree after it");
    judge_strength(c, "%llu old masters brought their workers back, %llu outlived a new master",
                   (ull)s->returns, (ull)s->ends);
}

static const unsigned rollback_kinds[] = {UPGRADE_KINDS, HIST_WATCH_TREE, HIST_NONE};
const struct checker judge_upgrade_rollback = {.kinds = rollback_kinds,
                                               .state_size = sizeof(struct rollback),
                                               .observe = rollback_observe,
                                               .finish = rollback_finish};
