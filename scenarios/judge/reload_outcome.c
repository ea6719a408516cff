/* reload: how a reload ends, what is said about it, and that none is forgotten. */
#include <signal.h>

#include "scenarios/judge/attempt.h"
#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

#define PATIENCE_NS 2000000000ull
#define CONVERGE_NS 5000000000ull

/* ---- reload/all-or-nothing ------------------------------------------------------------------- */

struct whole {
    struct attempt attempt;
    bool told; /* this attempt's breach is told already */
    uint64_t broken, complete;
    uint64_t shrunk_ns; /* TTIN or TTOU, perhaps put off, took effect: it may end a worker too */
    struct hist_record undone; /* the last report of an undone reload, until the next attempt */
};

/* Workers that somebody else told to go: by signal, or by asking for fewer. */
static bool told_otherwise(const struct world *w, const struct hist_record *drain)
{
    const struct hist_record *s = &w->last_signal;
    if (w->stop_ns != 0 || w->master_killed ||
        (w->parting_pid != 0 && w->parting_pid == w->master_pid))
        return true;
    if (s->kind == HIST_NONE || s->t_ns + CONVERGE_NS < drain->t_ns)
        return false;
    return s->pid == drain->pid || s->a == SIGTTOU || s->a == SIGWINCH || s->a == SIGQUIT;
}

static void whole_drain(struct judge_context *c, const struct hist_record *r)
{
    struct whole *s = c->state;
    const struct attempt *a = &s->attempt;
    const struct world_process *p = world_process(c->world, r->pid);
    bool of_another = p != NULL && a->reload.pid != 0 && p->parent != a->reload.pid;
    bool shrunk = s->shrunk_ns != 0 && r->t_ns - s->shrunk_ns < CONVERGE_NS;
    bool before = p != NULL && p->told_ns != 0 && p->told_ns < a->reload.t_ns; /* and heard late */
    if (s->told || shrunk || of_another || before || told_otherwise(c->world, r))
        return;
    if (s->undone.kind != HIST_NONE && r->gen == s->undone.gen) {
        s->told = true;
        judge_violate(c, r, &s->undone, "worker %u was told to go after its reload was undone",
                      r->pid);
    } else if (a->reload.kind != HIST_NONE && r->gen < a->reload.gen && !attempt_complete(a)) {
        s->told = true;
        judge_violate(c, r, a->broken.kind != HIST_NONE ? &a->broken : &a->reload,
                      "worker %u was told to go when %llu of %llu new workers were ready", r->pid,
                      (ull)attempt_ready(a), (ull)attempt_needed(a, c->world));
    }
}

/* Whoever a worker on trial accepts meets a configuration that may still be withdrawn. */
static void whole_accept(struct judge_context *c, const struct hist_record *r)
{
    struct whole *s = c->state;
    const struct attempt *a = &s->attempt;
    if (s->told || a->reload.kind == HIST_NONE || r->gen != a->reload.gen || attempt_complete(a))
        return;
    s->told = true;
    judge_seen(c, 1);
    judge_violate(c, r, &a->reload,
                  "worker %u of the new generation accepted when %llu of %llu were ready", r->pid,
                  (ull)attempt_ready(a), (ull)attempt_needed(a, c->world));
}

static void whole_reloaded(struct judge_context *c, const struct hist_record *r)
{
    struct whole *s = c->state;
    struct attempt *a = &s->attempt;
    bool broken = a->broken.kind != HIST_NONE;
    if (a->reload.kind == HIST_NONE)
        return;
    if (r->a == HIST_REPORT_OK && broken && !attempt_complete(a)) {
        judge_seen(c, 1);
        judge_violate(c, r, &a->broken,
                      "a reload was called done with %llu of %llu new workers ready",
                      (ull)attempt_ready(a), (ull)attempt_needed(a, c->world));
    } else if (r->a == HIST_REPORT_UNDONE || broken) {
        judge_seen(c, 1);
        s->broken++;
    } else if (r->a == HIST_REPORT_OK) {
        s->complete++;
    }
    if (r->a == HIST_REPORT_UNDONE)
        s->undone = *r;
    a->reload.kind = HIST_NONE;
}

static void whole_observe(struct judge_context *c, const struct hist_record *r)
{
    struct whole *s = c->state;
    attempt_take(&s->attempt, c->world, r);
    if (r->kind == HIST_ENGINE_RELOAD) {
        s->told = false;
        s->undone.kind = HIST_NONE;
    } else if (r->kind == HIST_ENGINE_RESIZED) {
        s->shrunk_ns = r->t_ns;
    } else if (r->kind == HIST_ENGINE_DRAIN) {
        whole_drain(c, r);
    } else if (r->kind == HIST_ENGINE_ACCEPT) {
        whole_accept(c, r);
    } else if (r->kind == HIST_ENGINE_RELOADED) {
        whole_reloaded(c, r);
    }
}

static void whole_finish(struct judge_context *c)
{
    const struct whole *s = c->state;
    if (!traced(c->world) && s->broken + s->complete == 0)
        judge_unknown(c, "the server writes no trace: nobody knows when its workers are ready");
    else if (c->result->checked == 0)
        judge_unknown(c, "no new worker died or stalled before it was ready");
    judge_strength(c, "%llu reloads with a worker that failed to start, %llu without",
                   (ull)s->broken, (ull)s->complete);
}

static const unsigned whole_kinds[] = {ATTEMPT_KINDS,        HIST_ENGINE_DRAIN,
                                       HIST_ENGINE_ACCEPT,   HIST_ENGINE_RESIZED,
                                       HIST_ENGINE_RELOADED, HIST_NONE};
const struct checker judge_reload_all_or_nothing = {.kinds = whole_kinds,
                                                    .state_size = sizeof(struct whole),
                                                    .observe = whole_observe,
                                                    .finish = whole_finish};

/* ---- reload/honest --------------------------------------------------------------------------- */

/* What was asked for, what was said about it, and what clients saw. */
struct honest {
    struct attempt attempt;
    struct hist_record asked, report; /* kind HIST_NONE: not yet */
    bool served;                      /* an answer named this configuration or a newer one */
    bool again;                       /* after the report the same file was loaded once more */
    bool contradicted;                /* this report's breach is told already */
    uint64_t old_answers; /* on connections begun after the report, or after the request */
    uint64_t last_old_ns;
    uint64_t reports;
};

static void honest_breach(struct judge_context *c, const struct hist_record *culprit,
                          const char *text)
{
    struct honest *h = c->state;
    if (h->contradicted)
        return;
    h->contradicted = true;
    judge_seen(c, 1);
    judge_violate(c, culprit, &h->asked, "%s (configuration %u, reported %s)", text, h->asked.gen,
                  h->report.kind == HIST_NONE ? "nothing"
                                              : hist_report_name((unsigned)h->report.a));
}

/* Nothing more will be seen of this reload. */
static void honest_settle(struct judge_context *c)
{
    struct honest *h = c->state;
    bool silent = h->report.kind != HIST_NONE && h->report.a == HIST_REPORT_NONE;
    if (h->asked.kind != HIST_NONE && h->asked.a == 1 && silent && !h->served &&
        h->old_answers > 0 && h->last_old_ns - h->asked.t_ns > PATIENCE_NS)
        honest_breach(c, &h->report, "a reload failed and nobody said so");
    h->asked.kind = h->report.kind = HIST_NONE;
}

static void honest_reload(struct judge_context *c, const struct hist_record *r)
{
    struct honest *h = c->state;
    honest_settle(c);
    h->asked = *r;
    h->served = h->contradicted = h->again = false;
    h->old_answers = h->last_old_ns = 0;
}

static void honest_reloaded(struct judge_context *c, const struct hist_record *r)
{
    struct honest *h = c->state;
    if (h->asked.kind == HIST_NONE || r->b != h->asked.b)
        return;
    h->report = *r;
    h->reports++;
    if (r->a != HIST_REPORT_NONE)
        judge_seen(c, 1);
    if (h->asked.a == 0 && r->a == HIST_REPORT_OK)
        honest_breach(c, r, "success was reported of a configuration that is not valid");
    else if (h->asked.a == 0 && r->a == HIST_REPORT_NONE)
        honest_breach(c, r, "a configuration was refused and nobody said so");
}

/* The engine's own report, against what its trace says of the new workers. */
static void honest_engine(struct judge_context *c, const struct hist_record *r)
{
    struct honest *h = c->state;
    struct attempt *a = &h->attempt;
    if (a->reload.kind == HIST_NONE)
        return;
    if (r->a == HIST_REPORT_OK && !attempt_complete(a))
        judge_violate(c, r, &a->reload, "success was reported with %llu of %llu new workers ready",
                      (ull)attempt_ready(a), (ull)attempt_needed(a, c->world));
    if (r->a == HIST_REPORT_OK)
        judge_seen(c, 1);
    a->reload.kind = HIST_NONE;
}

static void honest_answer(struct judge_context *c, const struct hist_record *r)
{
    struct honest *h = c->state;
    const struct world *w = c->world;
    const struct world_connection *connection = world_connection(w, r->conn);
    if (h->asked.kind == HIST_NONE || r->gen == 0 || connection == NULL)
        return;
    bool reported = h->report.kind != HIST_NONE;
    uint64_t after_ns =
        (reported ? h->report.t_ns : h->asked.t_ns) + world_param(w, HIST_P_CUT_OVER_ALLOWANCE, 0);
    bool later = connection->connect_ns > after_ns;
    if (r->gen >= h->asked.gen) {
        if (reported && later && r->gen == h->asked.gen && !h->again &&
            (h->report.a == HIST_REPORT_REFUSED || h->report.a == HIST_REPORT_UNDONE))
            honest_breach(c, r, "a reload was said to have failed, and its configuration serves");
        h->served = true;
    } else if (later) {
        h->old_answers++;
        h->last_old_ns = r->t_ns;
        if (reported && h->report.a == HIST_REPORT_OK && !h->served &&
            !heard_late(w, r->pid, r->t_ns))
            honest_breach(c, r, "success was reported before the new configuration served anybody");
    }
}

static void honest_observe(struct judge_context *c, const struct hist_record *r)
{
    struct honest *h = c->state;
    attempt_take(&h->attempt, c->world, r);
    switch (r->kind) {
    case HIST_ENGINE_RELOAD:
        h->again = h->again || h->report.kind != HIST_NONE;
        break;
    case HIST_ENGINE_MASTER: /* of an upgrade: it loads the same file */
        h->again = true;
        break;
    case HIST_DIRECTOR_RELOAD:
        honest_reload(c, r);
        break;
    case HIST_DIRECTOR_RELOADED:
        honest_reloaded(c, r);
        break;
    case HIST_DIRECTOR_STOP:
        honest_settle(c);
        break;
    case HIST_DIRECTOR_ADOPTED: /* who was asked was told to go, and need not answer */
        h->asked.kind = h->report.kind = HIST_NONE;
        break;
    case HIST_ENGINE_RELOADED:
        honest_engine(c, r);
        break;
    case HIST_CLIENT_FIRST_BYTE:
        honest_answer(c, r);
        break;
    default:
        break;
    }
}

static void honest_finish(struct judge_context *c)
{
    struct honest *h = c->state;
    honest_settle(c);
    if (h->reports == 0 && c->result->checked == 0)
        judge_unknown(c, "nothing was reported about any reload");
    else if (c->result->checked == 0)
        judge_unknown(c, "this server reports nothing about its reloads");
    judge_strength(c, "%llu reports compared with what clients and workers did",
                   (ull)c->result->checked);
}

static const unsigned honest_kinds[] = {
    ATTEMPT_KINDS,      HIST_DIRECTOR_RELOAD,  HIST_DIRECTOR_RELOADED,
    HIST_DIRECTOR_STOP, HIST_ENGINE_RELOADED,  HIST_CLIENT_FIRST_BYTE,
    HIST_ENGINE_MASTER, HIST_DIRECTOR_ADOPTED, HIST_NONE};
const struct checker judge_reload_honest = {.kinds = honest_kinds,
                                            .state_size = sizeof(struct honest),
                                            .observe = honest_observe,
                                            .finish = honest_finish};

/* ---- reload/no-lost-signal ------------------------------------------------------------------- */

/* The last request, and what has come of it. Each request takes the place of the one before. */
struct lost {
    struct hist_record asked; /* kind HIST_NONE: nothing is awaited */
    uint32_t wanted;          /* the configuration in the file when it was asked for */
    bool changes;             /* no answer has named it yet: an answer can prove it */
    bool started, reached, excused;
    uint64_t last_answer_ns; /* on a connection begun after the request */
    uint32_t newest_gen;     /* ever seen */
    uint64_t asked_count, decided;
    bool undecided; /* the last one */
};

static uint64_t lost_bound_ns(const struct world *w)
{
    return world_param(w, HIST_P_CONVERGE_BOUND, CONVERGE_NS);
}

static void lost_settle(struct judge_context *c)
{
    struct lost *l = c->state;
    const struct world *w = c->world;
    if (l->asked.kind == HIST_NONE)
        return;
    uint64_t bound_ns = lost_bound_ns(w);
    bool answers_tell = l->changes && l->last_answer_ns != 0;
    l->undecided = false;
    if (l->reached || (l->started && !answers_tell)) {
        judge_seen(c, 1);
        l->decided++;
    } else if (answers_tell && !l->excused && l->last_answer_ns - l->asked.t_ns >= bound_ns) {
        judge_violate(c, &l->asked, NULL,
                      "%.1f ms after the last request for a reload new connections still got "
                      "configuration %u, not %u",
                      MS(l->last_answer_ns - l->asked.t_ns), l->newest_gen, l->wanted);
    } else if (traced(w) && !l->started && !l->excused && w->now_ns - l->asked.t_ns >= bound_ns) {
        judge_violate(c, &l->asked, NULL,
                      "no reload had started %.1f ms after the last request for one",
                      MS(w->now_ns - l->asked.t_ns));
    } else {
        l->undecided = true;
    }
    l->asked.kind = HIST_NONE;
}

static void lost_ask(struct judge_context *c, const struct hist_record *r)
{
    struct lost *l = c->state;
    const struct world *w = c->world;
    lost_settle(c);
    bool to_be_refused = r->kind == HIST_DIRECTOR_RELOAD && r->a == 0;
    if (to_be_refused || (w->config_latest != 0 && !w->config_latest_valid) || !world_serving(w))
        return;
    l->asked = *r;
    l->asked_count++;
    l->wanted = w->config_latest != 0 ? w->config_latest : w->config_current;
    l->changes = l->wanted > l->newest_gen && l->newest_gen != 0;
    l->started = l->reached = l->excused = false;
    l->last_answer_ns = 0;
}

static bool is_request(const struct world *w, const struct hist_record *r)
{
    if (r->kind == HIST_DIRECTOR_RELOAD)
        return true;
    bool sent = r->kind == HIST_DIRECTOR_SIGNAL || (r->kind == HIST_STORM_SIGNAL && r->c == 0);
    return sent && r->a == SIGHUP && !w->upgrading &&
           (r->b != HIST_TO_WORKER || r->pid == w->master_pid);
}

static void lost_answer(struct judge_context *c, const struct hist_record *r)
{
    struct lost *l = c->state;
    const struct world_connection *connection = world_connection(c->world, r->conn);
    if (r->gen > l->newest_gen)
        l->newest_gen = r->gen;
    if (l->asked.kind == HIST_NONE || r->gen == 0 || connection == NULL)
        return;
    if (l->changes && r->gen >= l->wanted)
        l->reached = true;
    else if (connection->connect_ns > l->asked.t_ns)
        l->last_answer_ns = r->t_ns;
}

static void lost_observe(struct judge_context *c, const struct hist_record *r)
{
    struct lost *l = c->state;
    switch (r->kind) {
    case HIST_CLIENT_FIRST_BYTE:
        lost_answer(c, r);
        break;
    case HIST_ENGINE_RELOAD:
        l->started = true;
        break;
    case HIST_ENGINE_RELOADED:
    case HIST_DIRECTOR_RELOADED:
        /* A reload that a fault undid, or had refused, is not a signal lost. */
        if (l->asked.kind != HIST_NONE &&
            (r->a == HIST_REPORT_UNDONE || r->a == HIST_REPORT_REFUSED) &&
            world_cause(c->world, 0, l->asked.t_ns, r->t_ns, WORLD_BREAKS | WORLD_SLOWS) != NULL)
            l->excused = true;
        break;
    case HIST_DIRECTOR_STOP:
        lost_settle(c);
        break;
    case HIST_DIRECTOR_ADOPTED: /* who was asked was told to go */
        l->excused = true;
        break;
    default:
        if (is_request(c->world, r))
            lost_ask(c, r);
        break;
    }
}

static void lost_finish(struct judge_context *c)
{
    struct lost *l = c->state;
    lost_settle(c);
    if (l->asked_count == 0)
        judge_unknown(c, "nobody asked for a reload");
    else if (c->result->checked == 0 || l->undecided)
        judge_unknown(c,
                      "the run ends too soon after the last of %llu requests, or neither answers "
                      "nor a trace tell what became of it",
                      (ull)l->asked_count);
    judge_strength(c, "%llu requests for a reload, the outcome of %llu seen", (ull)l->asked_count,
                   (ull)l->decided);
}

static const unsigned lost_kinds[] = {HIST_CLIENT_FIRST_BYTE, HIST_ENGINE_RELOAD,
                                      HIST_ENGINE_RELOADED,   HIST_DIRECTOR_RELOADED,
                                      HIST_DIRECTOR_RELOAD,   HIST_DIRECTOR_SIGNAL,
                                      HIST_STORM_SIGNAL,      HIST_DIRECTOR_STOP,
                                      HIST_DIRECTOR_ADOPTED,  HIST_NONE};
const struct checker judge_reload_no_lost_signal = {.kinds = lost_kinds,
                                                    .state_size = sizeof(struct lost),
                                                    .observe = lost_observe,
                                                    .finish = lost_finish};
