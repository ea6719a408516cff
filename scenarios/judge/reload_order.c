/* reload: what overlaps, how many generations live at once, how many workers accept meanwhile, and
 * what a test of a configuration does. See guarantees.def for the sentences. */
#include <signal.h>
#include <string.h>

#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"
#include "scenarios/judge/starts.h"

#define MS(ns) ((double)(ns) / 1e6)
typedef unsigned long long ull;

enum {
    MASTERS_MAX = 8,
    GENERATIONS_MAX = 256,
    NEAR_NS = 1000000000, /* a worker that the story killed so lately is missing for that */
    AFTER_NS = 200000000, /* what a test does may show a little after its end */
};

/* ---- reload/serialised ------------------------------------------------------------------------
 */

struct serial {
    struct {
        uint32_t pid;
        struct hist_record open; /* engine.reload or engine.upgrade that has not ended */
    } masters[MASTERS_MAX];
    size_t count;
    uint64_t overlaps, operations;
};

static struct hist_record *serial_open_of(struct serial *s, uint32_t pid)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->masters[i].pid == pid)
            return &s->masters[i].open;
    if (s->count == MASTERS_MAX)
        return NULL;
    s->masters[s->count].pid = pid;
    return &s->masters[s->count++].open;
}

static const char *operation_name(const struct hist_record *r)
{
    return r->kind == HIST_ENGINE_RELOAD ? "a reload" : "an upgrade";
}

static void serial_begin(struct judge_context *c, struct hist_record *open,
                         const struct hist_record *r)
{
    struct serial *s = c->state;
    s->operations++;
    if (open->kind != HIST_NONE)
        judge_violate(c, r, open, "%s began %.1f ms after %s that had not ended", operation_name(r),
                      MS(r->t_ns - open->t_ns), operation_name(open));
    *open = *r;
}

static void serial_observe(struct judge_context *c, const struct hist_record *r)
{
    struct serial *s = c->state;
    struct hist_record *open = serial_open_of(s, r->pid);
    if (open == NULL)
        return;
    bool asks = r->kind == HIST_ENGINE_SIGNAL && (r->a == SIGHUP || r->a == SIGUSR2);
    if (asks && open->kind != HIST_NONE) {
        s->overlaps++;
        judge_seen(c, 1);
    } else if (r->kind == HIST_ENGINE_RELOAD) {
        serial_begin(c, open, r);
    } else if (r->kind == HIST_ENGINE_UPGRADE && r->a == HIST_UPGRADE_STARTED) {
        serial_begin(c, open, r);
    } else if (r->kind == HIST_ENGINE_RELOADED || r->kind == HIST_ENGINE_UPGRADE) {
        bool refused = r->kind == HIST_ENGINE_UPGRADE && r->a == HIST_UPGRADE_REFUSED;
        open->kind = refused ? open->kind : HIST_NONE;
    } else if (r->kind == HIST_ENGINE_EXIT && open->kind == HIST_ENGINE_RELOAD) {
        judge_violate(c, r, open, "the master ended and had not told what became of a reload");
    }
}

static void serial_finish(struct judge_context *c)
{
    const struct serial *s = c->state;
    if (!traced(c->world))
        judge_unknown(c, "only the server's own trace tells when a reload begins and ends");
    else if (s->overlaps == 0)
        judge_unknown(c, "nothing was asked for while a reload or an upgrade was under way");
    judge_strength(c, "%llu reloads and upgrades one after the other, %llu asked for meanwhile",
                   (ull)s->operations, (ull)s->overlaps);
}

static const unsigned serial_kinds[] = {HIST_ENGINE_RELOAD,  HIST_ENGINE_RELOADED,
                                        HIST_ENGINE_UPGRADE, HIST_ENGINE_SIGNAL,
                                        HIST_ENGINE_EXIT,    HIST_NONE};
const struct checker judge_reload_serialised = {.kinds = serial_kinds,
                                                .state_size = sizeof(struct serial),
                                                .observe = serial_observe,
                                                .finish = serial_finish};

/* ---- reload/generations-bounded ---------------------------------------------------------------
 */

struct generations {
    uint64_t looks, most;
    bool over;
};

struct roll {
    uint32_t seen[GENERATIONS_MAX];
    size_t count;
};

static bool roll_one(const struct world_process *p, void *arg)
{
    struct roll *roll = arg;
    uint32_t gen = p->generation != 0 ? p->generation : p->gen;
    if (!p->is_worker || p->is_master || p->exit_ns != 0 || gen == 0)
        return true;
    for (size_t i = 0; i < roll->count; i++)
        if (roll->seen[i] == gen)
            return true;
    if (roll->count < GENERATIONS_MAX)
        roll->seen[roll->count++] = gen;
    return true;
}

static void generations_observe(struct judge_context *c, const struct hist_record *r)
{
    struct generations *g = c->state;
    uint64_t bound = world_param(c->world, HIST_P_GENERATIONS, 0);
    struct roll roll = {.count = 0};
    if (bound == 0 || c->world->upgrading)
        return;
    world_processes(c->world, roll_one, &roll);
    g->looks += roll.count > 1;
    g->most = roll.count > g->most ? roll.count : g->most;
    if (roll.count > bound && !g->over)
        judge_violate(c, r, &c->world->last_reload, "%llu generations live, %llu are allowed",
                      (ull)roll.count, (ull)bound);
    g->over = roll.count > bound;
}

static void generations_finish(struct judge_context *c)
{
    const struct generations *g = c->state;
    judge_seen(c, g->looks);
    if (!c->world->param_known[HIST_P_GENERATIONS])
        judge_unknown(c, "how many generations may live at once is not stated");
    else if (g->looks == 0)
        judge_unknown(c, "there never was more than one generation");
    judge_strength(c, "%llu generations at most, in %llu looks at several", (ull)g->most,
                   (ull)g->looks);
}

static const unsigned generations_kinds[] = {HIST_ENGINE_SPAWN, HIST_WATCH_TREE, HIST_NONE};
const struct checker judge_reload_generations_bounded = {.kinds = generations_kinds,
                                                         .state_size = sizeof(struct generations),
                                                         .observe = generations_observe,
                                                         .finish = generations_finish};

/* ---- reload/capacity --------------------------------------------------------------------------
 */

struct capacity {
    struct hist_record reload; /* the one under way; kind HIST_NONE: none */
    uint64_t looks, least;
};

static bool accepts(const struct world_process *p, void *arg)
{
    uint64_t *count = arg;
    *count += p->is_worker && !p->is_master && p->exit_ns == 0 && p->ready_ns != 0 &&
              p->drain_ns == 0 && p->stopped_ns == 0;
    return true;
}

/* Somebody was told to go, or is gone: how many are left? */
static void capacity_look(struct judge_context *c, const struct hist_record *r)
{
    struct capacity *s = c->state;
    const struct world *w = c->world;
    uint64_t count = 0, bound = w->param[HIST_P_CAPACITY];
    world_processes(w, accepts, &count);
    if (world_cause(w, 0, earlier(r->t_ns, NEAR_NS), r->t_ns, WORLD_BREAKS) != NULL)
        return;
    judge_seen(c, 1);
    s->least = s->looks++ == 0 || count < s->least ? count : s->least;
    if (count < bound)
        judge_violate(c, r, &s->reload, "%llu workers accept in the middle of a reload, not %llu",
                      (ull)count, (ull)bound);
}

static void capacity_observe(struct judge_context *c, const struct hist_record *r)
{
    struct capacity *s = c->state;
    if (r->kind == HIST_ENGINE_RELOAD)
        s->reload = *r;
    else if (r->kind == HIST_ENGINE_RELOADED)
        s->reload.kind = HIST_NONE;
    else if (s->reload.kind != HIST_NONE && world_serving(c->world) &&
             c->world->param_known[HIST_P_CAPACITY])
        capacity_look(c, r);
}

static void capacity_finish(struct judge_context *c)
{
    const struct capacity *s = c->state;
    if (!c->world->param_known[HIST_P_CAPACITY])
        judge_unknown(c, "how many workers must accept during a reload is not stated");
    else if (!traced(c->world))
        judge_unknown(c, "only the server's own trace tells who accepts");
    else if (s->looks == 0)
        judge_unknown(c, "nobody was told to go in a reload");
    judge_strength(c, "%llu workers left in reloads, %llu accepted at the least", (ull)s->looks,
                   (ull)s->least);
}

static const unsigned capacity_kinds[] = {HIST_ENGINE_RELOAD, HIST_ENGINE_RELOADED,
                                          HIST_ENGINE_DRAIN, HIST_ENGINE_WORKER_EXIT, HIST_NONE};
const struct checker judge_reload_capacity = {.kinds = capacity_kinds,
                                              .state_size = sizeof(struct capacity),
                                              .observe = capacity_observe,
                                              .finish = capacity_finish};

/* ---- reload/check-is-inert --------------------------------------------------------------------
 */

struct inert {
    struct hist_record test; /* the last director.check, begun or ended */
    struct causes causes;
    uint64_t tests, witnessed;
};

static bool is_near_a_test(const struct inert *s, const struct hist_record *r)
{
    return s->test.kind != HIST_NONE && (s->test.a == 0 || r->t_ns - s->test.t_ns < AFTER_NS);
}

static void inert_test(struct judge_context *c, const struct hist_record *r)
{
    struct inert *s = c->state;
    if (r->a == 1) {
        s->tests++;
        judge_seen(c, 1);
        if ((r->b == 0) != (r->c == 1))
            judge_violate(c, r, NULL, "a configuration that is %svalid was tested with exit %llu",
                          r->c == 1 ? "" : "not ", (ull)r->b);
    }
    s->test = *r;
}

static void inert_changed(struct judge_context *c, const struct hist_record *r, const char *what)
{
    const struct inert *s = c->state;
    judge_violate(c, r, &s->test, "%s while a configuration was tested", what);
}

static void inert_observe(struct judge_context *c, const struct hist_record *r)
{
    struct inert *s = c->state;
    const struct world *w = c->world;
    causes_take(&s->causes, r);
    if (r->kind == HIST_DIRECTOR_CHECK) {
        inert_test(c, r);
        return;
    }
    if (!is_near_a_test(s, r) || !world_serving(w))
        return;
    const struct world_process *p = world_process(w, r->pid);
    bool told = causes_of(&s->causes, w, r->pid) != NULL;
    if (r->kind == HIST_WATCH_LISTEN)
        inert_changed(c, r, r->b ? "a listening socket appeared" : "a listening socket went");
    else if (r->kind == HIST_WATCH_EXIT && p != NULL && (p->is_worker || p->is_master) && !told)
        inert_changed(c, r, "a process ended");
    else if (r->kind == HIST_WATCH_FORK && p != NULL && p->is_worker)
        inert_changed(c, r, "a process appeared");
    else if (end_is_failure(w, r) && !end_has_reason(w, r))
        inert_changed(c, r, "a request failed");
    s->witnessed += r->kind == HIST_CLIENT_END && r->a == HIST_OK;
}

static void inert_finish(struct judge_context *c)
{
    const struct inert *s = c->state;
    if (s->tests == 0)
        judge_unknown(c, "no configuration was tested while the server ran");
    judge_strength(c, "%llu tests of a configuration, %llu requests meanwhile", (ull)s->tests,
                   (ull)s->witnessed);
}

static const unsigned inert_kinds[] = {CAUSES_KINDS,    HIST_DIRECTOR_CHECK, HIST_WATCH_LISTEN,
                                       HIST_WATCH_EXIT, HIST_WATCH_FORK,     HIST_CLIENT_END,
                                       HIST_NONE};
const struct checker judge_reload_check_is_inert = {.kinds = inert_kinds,
                                                    .state_size = sizeof(struct inert),
                                                    .observe = inert_observe,
                                                    .finish = inert_finish};
