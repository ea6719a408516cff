/* upgrade: how a new binary starts, whoever is its parent, and what happens to paths. */
#include <signal.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/starts.h"
#include "scenarios/judge/upgrade.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

/* ---- upgrade/failed-start ---------------------------------------------------------------------
 */

struct failed {
    struct upgrade u;
    struct causes causes;
    bool failed_before; /* and no upgrade has been begun since */
    uint64_t requests;
};

static bool is_to_fail(const struct failed *f)
{
    return f->u.stage == UPGRADE_STARTING && f->u.asked.a == 0;
}

static void failed_seen(struct judge_context *c, const struct hist_record *r)
{
    struct failed *f = c->state;
    bool alone = f->u.stage == UPGRADE_NONE;
    if (r->a == HIST_UPGRADE_FAILED)
        judge_seen(c, 1);
    if (r->a == UINT64_MAX && f->u.asked.a == 0)
        judge_violate(c, r, &f->u.asked, "a new binary that cannot start is not given up");
    if (r->a == HIST_UPGRADE_REFUSED && alone && f->failed_before)
        judge_violate(
            c, r, &f->u.asked,
            "a new binary was refused although the last one had failed and none is there");
    f->failed_before = r->a == HIST_UPGRADE_FAILED || (alone && f->failed_before);
}

static void failed_exit(struct judge_context *c, const struct hist_record *r)
{
    const struct failed *f = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    if (p == NULL || p->exit_ns != r->t_ns || r->pid == c->world->parting_pid)
        return;
    bool old = p->pid == f->u.old_pid || (p->parent == f->u.old_pid && p->is_worker);
    if (old && p->ready_ns != 0 && causes_of(&f->causes, c->world, r->pid) == NULL)
        judge_violate(c, r, &f->u.asked,
                      "process %u of the old master ended %.1f ms after a new "
                      "binary that fails was asked for",
                      r->pid, MS(r->t_ns - f->u.asked.t_ns));
}

static void failed_end(struct judge_context *c, const struct hist_record *r)
{
    struct failed *f = c->state;
    const struct world *w = c->world;
    f->requests++;
    if (end_is_failure(w, r) && !end_has_reason(w, r))
        judge_violate(c, r, &f->u.asked, "a request ended as %s while a new binary failed to start",
                      hist_outcome_name((unsigned)r->a));
}

static void failed_observe(struct judge_context *c, const struct hist_record *r)
{
    struct failed *f = c->state;
    causes_take(&f->causes, r);
    if (is_to_fail(f) && world_serving(c->world)) {
        if (r->kind == HIST_WATCH_EXIT)
            failed_exit(c, r);
        else if (r->kind == HIST_CLIENT_END)
            failed_end(c, r);
        else if (r->kind == HIST_WATCH_PIDFILE && r->a == 0 && r->pid != f->u.old_pid)
            judge_violate(c, r, &f->u.asked, "the pid file names %u, which never became ready",
                          r->pid);
    }
    upgrade_take(&f->u, r);
    if (r->kind == HIST_DIRECTOR_UPGRADED)
        failed_seen(c, r);
}

static void failed_finish(struct judge_context *c)
{
    const struct failed *f = c->state;
    upgrade_unknown(c, &f->u, "no new binary failed to start");
    judge_strength(c, "%llu new binaries failed to start, %llu requests meanwhile",
                   (ull)f->u.failed, (ull)f->requests);
}

static const unsigned failed_kinds[] = {UPGRADE_KINDS, CAUSES_KINDS, HIST_CLIENT_END, HIST_NONE};
const struct checker judge_upgrade_failed_start = {.kinds = failed_kinds,
                                                   .state_size = sizeof(struct failed),
                                                   .observe = failed_observe,
                                                   .finish = failed_finish};

/* ---- upgrade/under-reaper ---------------------------------------------------------------------
 */

struct reaper {
    struct upgrade u;
    uint64_t adopted;
};

static void reaper_observe(struct judge_context *c, const struct hist_record *r)
{
    struct reaper *s = c->state;
    upgrade_take(&s->u, r);
    const struct hist_record *asked = &s->u.asked;
    bool by_reaper = asked->c > 1;
    if (r->kind != HIST_DIRECTOR_UPGRADED || asked->a != 1 || !by_reaper)
        return;
    judge_seen(c, 1);
    s->adopted++;
    if (r->a != HIST_UPGRADE_READY)
        judge_violate(c, asked, r, "master %u, whose parent is %u, did not become two masters: %s",
                      asked->pid, (uint32_t)asked->c,
                      r->a == UINT64_MAX ? "nothing was seen" : hist_upgrade_name((unsigned)r->a));
}

static void reaper_finish(struct judge_context *c)
{
    const struct reaper *s = c->state;
    upgrade_unknown(c, &s->u, "no master whose parent is not process 1 was upgraded");
    judge_strength(c, "%llu upgrades of masters whose parent is another process than 1",
                   (ull)s->adopted);
}

static const unsigned reaper_kinds[] = {UPGRADE_KINDS, HIST_NONE};
const struct checker judge_upgrade_under_reaper = {.kinds = reaper_kinds,
                                                   .state_size = sizeof(struct reaper),
                                                   .observe = reaper_observe,
                                                   .finish = reaper_finish};

/* ---- upgrade/paths ----------------------------------------------------------------------------
 */

struct paths {
    struct upgrade u;
    uint64_t before, beside, after, adopted;
};

static void paths_knock(struct judge_context *c, const struct hist_record *r)
{
    struct paths *p = c->state;
    if (!world_serving(c->world))
        return;
    judge_seen(c, 1);
    p->before += p->u.count == 0;
    p->beside += p->u.stage != UPGRADE_NONE;
    p->after += p->adopted > 0 && p->u.stage == UPGRADE_NONE;
    if (r->a != 1)
        judge_violate(c, r, p->u.count > 0 ? &p->u.asked : NULL,
                      "nobody answered on a unix socket, %s",
                      r->b == 0 ? "its path is gone" : "whose path is there");
}

static void paths_observe(struct judge_context *c, const struct hist_record *r)
{
    struct paths *p = c->state;
    if (r->kind == HIST_DIRECTOR_KNOCK)
        paths_knock(c, r);
    else
        upgrade_take(&p->u, r);
    p->adopted += r->kind == HIST_DIRECTOR_ADOPTED;
}

static void paths_finish(struct judge_context *c)
{
    const struct paths *p = c->state;
    upgrade_unknown(c, &p->u, "nobody connected to a unix socket");
    if (p->beside == 0 || p->after == 0)
        judge_unknown(c, "nobody connected to a unix socket during an upgrade and after it");
    judge_strength(c, "%llu connections before an upgrade, %llu during it, %llu after it",
                   (ull)p->before, (ull)p->beside, (ull)p->after);
}

static const unsigned paths_kinds[] = {UPGRADE_KINDS, HIST_DIRECTOR_KNOCK, HIST_NONE};
const struct checker judge_upgrade_paths = {.kinds = paths_kinds,
                                            .state_size = sizeof(struct paths),
                                            .observe = paths_observe,
                                            .finish = paths_finish};
