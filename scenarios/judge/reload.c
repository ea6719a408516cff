/* reload: new configuration, nobody notices. See guarantees.def for the sentences; what is reported
 * and what many reloads leave behind is in reload_outcome.c and reload_balance.c. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/starts.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum { SETTLE_NS = 1000000000 };

/* ---- reload/zero-loss ------------------------------------------------------------------------ */

struct loss {
    uint64_t until_ns; /* the window ends; ~0 while a reload is under way; 0 before the first */
    uint64_t baseline_requests, baseline_failures;
    uint64_t requests, failures, excused, bounds;
    uint64_t races, lost_races; /* idempotent requests that met the idle-close race; POSTs */
    struct starts starts;
    struct {
        struct hist_record end, reload;
        bool race;
    } failed[JUDGE_VIOLATIONS_MAX];
};

/* Old workers may lose requests until the last of them is gone. */
static void loss_window(struct judge_context *c, const struct hist_record *r)
{
    struct loss *l = c->state;
    uint64_t tail_ns = world_param(c->world, HIST_P_DRAIN_BOUND, 0);
    starts_take(&l->starts, r);
    if (r->kind == HIST_DIRECTOR_RELOAD)
        l->until_ns = UINT64_MAX;
    else if (l->until_ns == UINT64_MAX)
        l->until_ns = r->t_ns + (tail_ns > SETTLE_NS ? tail_ns : SETTLE_NS);
}

static void loss_keep(struct loss *l, const struct world *w, const struct hist_record *r, bool race)
{
    const struct hist_record *reload = race ? starts_of_connection(&l->starts, w, r) : NULL;
    l->lost_races += race;
    if (l->failures < JUDGE_VIOLATIONS_MAX) {
        l->failed[l->failures].end = *r;
        l->failed[l->failures].reload = reload != NULL ? *reload : w->last_reload;
        l->failed[l->failures].race = race;
    }
    l->failures++;
}

/* A request that may be sent again and met the idle-close race is no loss; serve/idle-race tells of
 * it. A POST that met it is lost, and without the reload nobody would have closed its connection;
 * unless the close was due: then it is told of apart, too. */
static void loss_failure(struct judge_context *c, const struct hist_record *r)
{
    struct loss *l = c->state;
    const struct world *w = c->world;
    bool race = world_idle_race(w, r);
    bool late = r->a == HIST_TIMEOUT && r->flags & HIST_BIT(HIST_F_LAGGING);
    const struct hist_record *start = starts_within(&l->starts, begun_of(w, r), r->t_ns);
    if (race && (!(r->flags & HIST_BIT(HIST_F_UNSAFE)) || idle_close_was_due(w, r))) {
        l->races++;
    } else if ((start != NULL && drain_bound_passed(w, server_of(w, r), start->t_ns, r->t_ns)) ||
               drain_was_cut(w, server_of(w, r), r->t_ns)) {
        l->bounds++;
    } else if (late || outside_cause(w, server_of(w, r), begun_of(w, r), r) != NULL) {
        l->excused++;
    } else {
        loss_keep(l, w, r, race);
    }
}

static void loss_observe(struct judge_context *c, const struct hist_record *r)
{
    struct loss *l = c->state;
    const struct world *w = c->world;
    if (r->kind != HIST_CLIENT_END) {
        loss_window(c, r);
        return;
    }
    if (!world_serving(w) || r->a == HIST_ABANDONED || !world_population_counts(w, r->slot))
        return;
    bool failed = end_is_failure(w, r);
    if (l->until_ns == 0 && w->phase == HIST_PHASE_BASELINE) {
        l->baseline_requests++;
        l->baseline_failures += failed;
    } else if (r->t_ns <= l->until_ns) {
        l->requests++;
        if (failed)
            loss_failure(c, r);
    }
}

/* Failures that the baseline's rate lets expect, with room for chance (three deviations). */
static double loss_expected(const struct loss *l)
{
    if (l->baseline_failures == 0 || l->baseline_requests == 0)
        return 0;
    double mean = (double)l->baseline_failures / (double)l->baseline_requests * (double)l->requests;
    double deviations = 0;
    while (deviations * deviations < 9 * mean)
        deviations += 1;
    return mean + deviations;
}

static void loss_tell(struct judge_context *c, uint64_t i)
{
    const struct loss *l = c->state;
    const struct hist_record *end = &l->failed[i].end, *reload = &l->failed[i].reload;
    judge_violate(c, end, reload,
                  "%s ended as %s %.1f ms after a reload was asked for%s; the baseline lost %llu "
                  "of %llu",
                  l->failed[i].race ? "a POST" : "a request", hist_outcome_name((unsigned)end->a),
                  MS(end->t_ns - reload->t_ns),
                  l->failed[i].race ? ", lost to the idle-close race (see serve/idle-race)" : "",
                  (ull)l->baseline_failures, (ull)l->baseline_requests);
}

static void loss_finish(struct judge_context *c)
{
    struct loss *l = c->state;
    char lost[80] = "";
    if (l->lost_races > 0)
        snprintf(lost, sizeof(lost), ", %llu of them POSTs in the idle-close race",
                 (ull)l->lost_races);
    judge_seen(c, l->requests);
    if ((double)l->failures > loss_expected(l)) {
        uint64_t kept = l->failures < JUDGE_VIOLATIONS_MAX ? l->failures : JUDGE_VIOLATIONS_MAX;
        for (uint64_t i = 0; i < kept; i++)
            loss_tell(c, i);
        c->result->violated = l->failures;
    }
    if (c->world->reloads_asked == 0)
        judge_unknown(c, "nothing was reloaded");
    else if (l->requests == 0)
        judge_unknown(c, "no request ended while something was reloaded");
    judge_strength(c,
                   "%llu reloads, %llu requests meanwhile, %llu failed%s (baseline: %llu of %llu); "
                   "apart: %llu met an idle close that may be, %llu the drain bound, %llu a "
                   "fault",
                   (ull)c->world->reloads_asked, (ull)l->requests, (ull)l->failures, lost,
                   (ull)l->baseline_failures, (ull)l->baseline_requests, (ull)l->races,
                   (ull)l->bounds, (ull)l->excused);
}

static const unsigned loss_kinds[] = {HIST_CLIENT_END, HIST_DIRECTOR_RELOAD, HIST_DIRECTOR_RELOADED,
                                      HIST_DIRECTOR_CUT_OVER, HIST_NONE};
const struct checker judge_reload_zero_loss = {.kinds = loss_kinds,
                                               .state_size = sizeof(struct loss),
                                               .observe = loss_observe,
                                               .finish = loss_finish};

/* ---- reload/cut-over ------------------------------------------------------------------------- */

enum { REPORTS_MAX = 64 };

struct cut {
    struct hist_record reports[REPORTS_MAX]; /* a ring of successes */
    size_t count;
    uint64_t reloads;
};

/* The newest configuration that the master of process `pid` reported to serve before a connection
 * was begun. Of two masters each has its own. */
static const struct hist_record *cut_expected(const struct cut *s, const struct world *w,
                                              uint32_t pid, uint64_t connect_ns)
{
    uint64_t allowance_ns = world_param(w, HIST_P_CUT_OVER_ALLOWANCE, 0);
    const struct world_process *p = world_process(w, pid);
    uint32_t master = p != NULL ? p->parent : 0;
    const struct hist_record *expected = NULL;
    for (size_t i = 0; i < REPORTS_MAX && i < s->count; i++) {
        const struct hist_record *report = &s->reports[i];
        bool own = master == 0 || report->pid == 0 || report->pid == master;
        if (own && report->t_ns + allowance_ns < connect_ns &&
            (expected == NULL || report->gen > expected->gen))
            expected = report;
    }
    return expected;
}

/* The server's own report and the director's may both tell of one reload. */
static void cut_report(struct cut *s, const struct hist_record *r)
{
    s->reloads += s->count == 0 || s->reports[(s->count - 1) % REPORTS_MAX].gen != r->gen;
    s->reports[s->count++ % REPORTS_MAX] = *r;
}

static void cut_observe(struct judge_context *c, const struct hist_record *r)
{
    struct cut *s = c->state;
    const struct world *w = c->world;
    if (r->kind == HIST_DIRECTOR_READY) {
        s->count = 0; /* a fresh start is nobody's reload */
        return;
    }
    if (r->kind != HIST_CLIENT_FIRST_BYTE) {
        if (r->kind == HIST_DIRECTOR_CUT_OVER || r->a == HIST_REPORT_OK)
            cut_report(s, r);
        return;
    }
    const struct world_connection *connection = world_connection(w, r->conn);
    if (s->count == 0 || connection == NULL || connection->connect_ns == 0 || r->gen == 0)
        return;
    const struct hist_record *expected = cut_expected(s, w, r->pid, connection->connect_ns);
    if (expected == NULL)
        return;
    judge_seen(c, 1);
    if (r->gen < expected->gen && !heard_late(w, r->pid, r->t_ns))
        judge_violate(c, r, expected,
                      "a connection begun %.1f ms after configuration %u was reported to serve was "
                      "answered by process %u with configuration %u",
                      MS(connection->connect_ns - expected->t_ns), expected->gen, r->pid, r->gen);
}

static void cut_finish(struct judge_context *c)
{
    const struct cut *s = c->state;
    if (s->count == 0)
        judge_unknown(c, "no reload was reported done");
    else if (!world_param(c->world, HIST_P_GENERATION_HEADER, 0) && c->result->checked == 0)
        judge_unknown(c, "the answers do not name their configuration (X-Mw-Gen)");
    else if (c->result->checked == 0)
        judge_unknown(c, "no new connection was answered after a reload");
    judge_strength(c, "%llu reloads, %llu answers on connections begun after one", (ull)s->reloads,
                   (ull)c->result->checked);
}

static const unsigned cut_kinds[] = {HIST_CLIENT_FIRST_BYTE, HIST_DIRECTOR_RELOADED,
                                     HIST_DIRECTOR_CUT_OVER, HIST_DIRECTOR_READY, HIST_NONE};
const struct checker judge_reload_cut_over = {.kinds = cut_kinds,
                                              .state_size = sizeof(struct cut),
                                              .observe = cut_observe,
                                              .finish = cut_finish};

/* ---- reload/bad-config ----------------------------------------------------------------------- */

enum { BAD_MAX = 32, AFTERMATH_NS = 2000000000 };

/* An episode lasts from a reload that must be refused to the next request of any kind. */
struct bad {
    struct hist_record reload; /* kind HIST_NONE: no episode */
    bool served;
    uint64_t failures, episodes, unproven;
    uint32_t bad_gens[BAD_MAX]; /* a ring */
    size_t bad_count;
    uint64_t good_begun_ns,
        good_ns; /* the last valid reload that was asked for, and that succeeded */
    struct hist_record first_failure;
};

static bool is_bad_gen(const struct bad *b, uint32_t gen)
{
    for (size_t i = 0; i < BAD_MAX && i < b->bad_count; i++)
        if (b->bad_gens[i] == gen)
            return gen != 0;
    return false;
}

static void bad_end_episode(struct judge_context *c)
{
    struct bad *b = c->state;
    if (b->reload.kind != HIST_NONE && !b->served) {
        if (b->failures > 0)
            judge_violate(c, &b->first_failure, &b->reload,
                          "after a refused reload %llu requests failed and none was answered",
                          (ull)b->failures);
        else
            b->unproven++;
    }
    b->reload.kind = HIST_NONE;
    b->served = false;
    b->failures = 0;
}

static void bad_reload(struct judge_context *c, const struct hist_record *r)
{
    struct bad *b = c->state;
    bad_end_episode(c);
    if (r->kind == HIST_DIRECTOR_RELOAD && r->a == 0) {
        b->reload = *r;
        b->episodes++;
    } else if (r->kind == HIST_DIRECTOR_RELOAD) {
        b->good_begun_ns = r->t_ns;
    }
}

/* Workers of the serving configuration must live; those of older ones may be on their way out. */
static void bad_exit(struct judge_context *c, const struct hist_record *r)
{
    struct bad *b = c->state;
    const struct world *w = c->world;
    const struct world_process *p = world_process(w, r->pid);
    if (r->t_ns > b->reload.t_ns + AFTERMATH_NS || !world_serving(w) || p == NULL)
        return;
    if (p->is_master) {
        if (p->exit_ns == r->t_ns && p->pid != w->parting_pid)
            judge_violate(c, r, &b->reload, "the master ended %.1f ms after a refused reload",
                          MS(r->t_ns - b->reload.t_ns));
        return;
    }
    bool old = p->born_ns < b->good_ns || world_told_to_go(p);
    bool tried = p->born_ns >= b->reload.t_ns; /* a worker of the refused configuration */
    bool hung = p->stopped_ns != 0 ||          /* by others, perhaps long before */
                world_cause(w, r->pid, p->born_ns, r->t_ns, WORLD_SLOWS) != NULL;
    if (!exit_is_news(w, r) || old || tried || hung || p->ready_ns == 0 ||
        world_cause(w, r->pid, earlier(b->reload.t_ns, SETTLE_NS), r->t_ns, WORLD_BREAKS) != NULL)
        return;
    judge_violate(c, r, &b->reload, "worker %u ended %.1f ms after a refused reload", r->pid,
                  MS(r->t_ns - b->reload.t_ns));
}

static void bad_client(struct judge_context *c, const struct hist_record *r)
{
    struct bad *b = c->state;
    const struct world *w = c->world;
    if (r->kind == HIST_CLIENT_FIRST_BYTE) {
        if (is_bad_gen(b, r->gen))
            judge_violate(c, r, &b->reload, "configuration %u, which is not valid, answers",
                          r->gen);
        return;
    }
    if (b->reload.kind == HIST_NONE || !world_serving(w) || !world_population_counts(w, r->slot))
        return;
    if (r->kind == HIST_CLIENT_CONNECT_FAILED) {
        if (r->b == ECONNREFUSED)
            judge_violate(c, r, &b->reload, "a connect() was refused after a refused reload");
    } else if (r->a == HIST_OK && begun_of(w, r) > b->reload.t_ns) {
        if (!b->served && (r->gen == 0 || !is_bad_gen(b, r->gen)))
            judge_seen(c, 1);
        b->served = true;
    } else if (end_is_failure(w, r) && !end_has_reason(w, r)) {
        if (b->failures++ == 0)
            b->first_failure = *r;
    }
}

static void bad_observe(struct judge_context *c, const struct hist_record *r)
{
    struct bad *b = c->state;
    switch (r->kind) {
    case HIST_DIRECTOR_CONFIG:
        if (r->a == 0)
            b->bad_gens[b->bad_count++ % BAD_MAX] = r->gen;
        break;
    case HIST_DIRECTOR_RELOAD:
    case HIST_DIRECTOR_STOP:
        bad_reload(c, r);
        break;
    case HIST_DIRECTOR_CUT_OVER:
        b->good_ns = b->good_begun_ns;
        break;
    case HIST_DIRECTOR_RELOADED:
        if (r->a == HIST_REPORT_OK && b->reload.kind != HIST_NONE && r->b == b->reload.b)
            judge_violate(c, r, &b->reload,
                          "the reload of a configuration that is not valid was "
                          "reported as done");
        else if (r->a == HIST_REPORT_OK)
            b->good_ns = b->good_begun_ns;
        break;
    case HIST_ENGINE_RELOADED: /* there may be nobody whom it could answer */
        if (r->a == HIST_REPORT_OK)
            b->good_ns = b->good_begun_ns;
        break;
    case HIST_WATCH_EXIT:
    case HIST_ENGINE_WORKER_EXIT:
        if (b->reload.kind != HIST_NONE)
            bad_exit(c, r);
        break;
    default:
        bad_client(c, r);
        break;
    }
}

static void bad_finish(struct judge_context *c)
{
    struct bad *b = c->state;
    bad_end_episode(c);
    if (b->episodes == 0)
        judge_unknown(c, "no invalid configuration was tried");
    else if (c->result->checked == 0)
        judge_unknown(c, "no request was made after a refused reload");
    judge_strength(c, "%llu invalid configurations tried, answers of the old one after %llu",
                   (ull)b->episodes, (ull)c->result->checked);
}

static const unsigned bad_kinds[] = {
    HIST_DIRECTOR_CONFIG,   HIST_DIRECTOR_RELOAD,       HIST_DIRECTOR_STOP,
    HIST_DIRECTOR_RELOADED, HIST_DIRECTOR_CUT_OVER,     HIST_ENGINE_RELOADED,
    HIST_WATCH_EXIT,        HIST_ENGINE_WORKER_EXIT,    HIST_CLIENT_FIRST_BYTE,
    HIST_CLIENT_END,        HIST_CLIENT_CONNECT_FAILED, HIST_NONE};
const struct checker judge_reload_bad_config = {.kinds = bad_kinds,
                                                .state_size = sizeof(struct bad),
                                                .observe = bad_observe,
                                                .finish = bad_finish};

/* ---- reload/leaves-no-trace ------------------------------------------------------------------ */

struct trace {
    struct hist_record before; /* the master's state before a failed reload */
    struct hist_record failed; /* the last reload that failed */
    struct hist_record next;   /* a valid reload after it, whose effect is awaited */
    bool heard;                /* the engine has begun it */
    bool busy;                 /* a new binary starts, or another reload is under way: ... */
    uint64_t busy_ns;          /* a reload waits for the end of that, which was then */
    uint64_t pairs, later, undecided;
};

static bool is_failed_report(const struct hist_record *r)
{
    return r->a == HIST_REPORT_REFUSED || r->a == HIST_REPORT_UNDONE;
}

static void trace_compare(struct judge_context *c, const struct hist_record *after)
{
    struct trace *t = c->state;
    const struct hist_record *before = &t->before;
    if (before->kind == HIST_NONE)
        return;
    uint64_t fds[2] = {before->b >> 32, after->b >> 32};
    uint64_t children[2] = {before->b & UINT32_MAX, after->b & UINT32_MAX};
    judge_seen(c, 1);
    t->pairs++;
    /* Fewer are left when old workers have gone meanwhile: only more is a trace. */
    if (fds[1] > fds[0])
        judge_violate(
            c, after, &t->failed,
            "the master had %llu descriptors before the failed reload and has %llu after it",
            (ull)fds[0], (ull)fds[1]);
    else if (children[1] > children[0])
        judge_violate(c, after, &t->failed,
                      "the master had %llu children before the failed reload and has %llu after it",
                      (ull)children[0], (ull)children[1]);
    else if (before->c != after->c)
        judge_violate(
            c, after, &t->failed,
            "the master caught signals %llx before the failed reload and catches %llx after it",
            (ull)before->c, (ull)after->c);
    t->before.kind = HIST_NONE;
}

static void trace_resolve(struct judge_context *c)
{
    struct trace *t = c->state;
    judge_seen(c, 1);
    t->later++;
    t->next.kind = t->failed.kind = HIST_NONE;
}

/* Time is up for the reload after the failed one. */
static void trace_give_up(struct judge_context *c)
{
    struct trace *t = c->state;
    const struct world *w = c->world;
    if (t->next.kind == HIST_NONE)
        return;
    bool tellable = world_param(w, HIST_P_GENERATION_HEADER, 0) != 0;
    uint64_t patience_ns = world_param(w, HIST_P_CONTROL_BOUND, AFTERMATH_NS);
    uint64_t begun_ns = t->next.t_ns > t->busy_ns ? t->next.t_ns : t->busy_ns;
    bool slowed = world_cause(w, 0, t->next.t_ns, w->now_ns, WORLD_BREAKS | WORLD_SLOWS) != NULL;
    if (!tellable || t->busy || slowed || w->now_ns - begun_ns < patience_ns)
        t->undecided++;
    else
        judge_violate(c, &t->next, &t->failed,
                      "a valid reload after a failed one has had no effect for %.1f ms",
                      MS(w->now_ns - t->next.t_ns));
    t->next.kind = HIST_NONE;
}

static void trace_reloaded(struct judge_context *c, const struct hist_record *r)
{
    struct trace *t = c->state;
    bool awaited = t->next.kind != HIST_NONE && r->b == t->next.b;
    if (awaited && r->a == HIST_REPORT_OK) {
        trace_resolve(c);
    } else if (awaited && is_failed_report(r)) {
        unsigned any = WORLD_BREAKS | WORLD_SLOWS;
        if (world_cause(c->world, 0, t->next.t_ns, r->t_ns, any) == NULL)
            judge_violate(c, r, &t->failed, "a valid reload after a failed one was %s",
                          hist_report_name((unsigned)r->a));
        t->next.kind = HIST_NONE;
    }
    if (is_failed_report(r))
        t->failed = *r;
}

/* Nobody waited for the outcome, but the engine tells of it. */
static void trace_told(struct judge_context *c, const struct hist_record *r)
{
    struct trace *t = c->state;
    if (r->a == HIST_REPORT_OK)
        trace_resolve(c);
    else if (world_cause(c->world, 0, t->next.t_ns, r->t_ns, WORLD_BREAKS | WORLD_SLOWS) != NULL)
        t->next.kind = HIST_NONE;
}

static void trace_observe(struct judge_context *c, const struct hist_record *r)
{
    struct trace *t = c->state;
    switch (r->kind) {
    case HIST_DIRECTOR_BASELINE:
        if (r->a == 0)
            t->before = *r;
        else
            trace_compare(c, r);
        break;
    case HIST_DIRECTOR_RELOAD:
        trace_give_up(c);
        if (r->a == 0)
            t->failed = *r;
        else if (t->failed.kind != HIST_NONE)
            t->next = *r;
        t->heard = false;
        break;
    case HIST_DIRECTOR_RELOADED:
        trace_reloaded(c, r);
        break;
    case HIST_ENGINE_RELOAD:
        t->heard = t->busy = true;
        t->busy_ns = r->t_ns;
        break;
    case HIST_ENGINE_UPGRADE:
        if (r->a != HIST_UPGRADE_REFUSED) { /* one that is beside another */
            t->busy = r->a == HIST_UPGRADE_STARTED;
            t->busy_ns = r->t_ns;
        }
        break;
    case HIST_ENGINE_RELOADED: /* there may be nobody whom it could answer */
        t->busy = false;
        t->busy_ns = r->t_ns;
        if (t->next.kind != HIST_NONE && t->heard)
            trace_told(c, r);
        break;
    case HIST_DIRECTOR_STOP:
        trace_give_up(c);
        break;
    case HIST_DIRECTOR_ADOPTED: /* another master, which nobody has asked */
        t->next.kind = t->failed.kind = t->before.kind = HIST_NONE;
        t->busy = false;
        break;
    default: /* an answer, or the director saw it serve */
        if (t->next.kind != HIST_NONE && r->gen >= t->next.gen && r->gen != 0)
            trace_resolve(c);
        break;
    }
}

static void trace_finish(struct judge_context *c)
{
    struct trace *t = c->state;
    if (c->world->stop_ns == 0)
        trace_give_up(c);
    if (c->result->checked == 0)
        judge_unknown(c,
                      "no failed reload was looked at from both sides, or followed by a valid one");
    judge_strength(c, "%llu failed reloads compared before and after, %llu valid reloads after one",
                   (ull)t->pairs, (ull)t->later);
}

static const unsigned trace_kinds[] = {HIST_ENGINE_UPGRADE,
                                       HIST_ENGINE_RELOAD,
                                       HIST_ENGINE_RELOADED,
                                       HIST_DIRECTOR_BASELINE,
                                       HIST_DIRECTOR_RELOAD,
                                       HIST_DIRECTOR_RELOADED,
                                       HIST_DIRECTOR_CUT_OVER,
                                       HIST_DIRECTOR_STOP,
                                       HIST_CLIENT_FIRST_BYTE,
                                       HIST_DIRECTOR_ADOPTED,
                                       HIST_NONE};
const struct checker judge_reload_leaves_no_trace = {.kinds = trace_kinds,
                                                     .state_size = sizeof(struct trace),
                                                     .observe = trace_observe,
                                                     .finish = trace_finish};
