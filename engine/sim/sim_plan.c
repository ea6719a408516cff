/* Draws a run from a seed: options, then a schedule of what is done to the server. A random subset
 * of all kinds of acts is switched off, so that rare combinations are not drowned by frequent ones.
 */
#include "engine/sim/sim_plan.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "engine/sim/sim_random.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

/* A plan while it is drawn. */
struct draft {
    struct sim_plan *p;
    uint32_t workers_later;
    bool reloads_wait, resizes;
};

static void draw_options(struct draft *d, struct sim_random *r);
static void draw_clients(struct sim_plan *p, struct sim_random *r);
static void draw_general(struct draft *d, struct sim_random *r);
static void draw_themed(struct sim_plan *p, struct sim_random *r);

void sim_plan_draw(struct sim_plan *plan, uint64_t seed)
{
    struct sim_random options = sim_random_stream(seed, 10), clients = sim_random_stream(seed, 11),
                      acts = sim_random_stream(seed, 12);
    struct draft draft = {.p = plan};
    sim_plan_clear(plan, seed);
    draw_options(&draft, &options);
    draw_clients(plan, &clients);
    if (plan->theme == SIM_THEME_GENERAL)
        draw_general(&draft, &acts);
    else
        draw_themed(plan, &acts);
    plan->converge_ns = plan->drain_ns + plan->watchdog_ns + plan->backoff_max_ns +
                        2 * plan->reload_timeout_ns + 4 * SECOND;
}

/* ---- parts of a plan ---------------------------------------------------------------------------
 */

void sim_plan_clear(struct sim_plan *plan, uint64_t seed)
{
    static const char *const rules[SIM_RULE_COUNT] = {
#define R(symbol, text) text,
        SIM_RULES(R)
#undef R
    };
    memset(plan, 0, offsetof(struct sim_plan, texts));
    plan->act_count = 0;
    plan->seed = seed;
    plan->workers = 2;
    plan->connections = 64;
    plan->fd_limit = 256;
    plan->backlog = 511;
    plan->pid_max = 32768;
    plan->drain_ns = 5 * SECOND;
    plan->backoff_min_ns = 100 * MS;
    plan->backoff_max_ns = 5 * SECOND;
    plan->reload_timeout_ns = 30 * SECOND;
    plan->keepalive_ns = 60 * SECOND;
    plan->service_ns = MS;
    plan->proxy_timeout_ns = 60 * SECOND;
    plan->fail_timeout_ns = 10 * SECOND;
    plan->latency_ns = 50000;
    plan->delay_ns = 10000;
    plan->jitter_ns = 100000;
    plan->converge_ns = 20 * SECOND;
    for (size_t i = 0; i < HIST_PARAM_COUNT; i++)
        plan->params[i] = UINT64_MAX;
    for (size_t i = 0; i < SIM_RULE_COUNT; i++)
        snprintf(plan->texts[i], SIM_TEXT_MAX, "%s", rules[i]);
    plan->text_count = SIM_RULE_COUNT;
}

void sim_plan_copy(struct sim_plan *to, const struct sim_plan *from)
{
    memcpy(to, from, offsetof(struct sim_plan, texts));
    memcpy(to->texts, from->texts, from->text_count * sizeof(from->texts[0]));
    to->act_count = from->act_count;
    memcpy(to->acts, from->acts, from->act_count * sizeof(from->acts[0]));
}

int sim_plan_text(struct sim_plan *plan, const char *text)
{
    for (size_t i = 0; i < plan->text_count; i++)
        if (strcmp(plan->texts[i], text) == 0)
            return (int)i;
    if (plan->text_count == SIM_TEXTS_MAX || strlen(text) >= SIM_TEXT_MAX)
        return -1;
    snprintf(plan->texts[plan->text_count], SIM_TEXT_MAX, "%s", text);
    return (int)plan->text_count++;
}

bool sim_plan_add_rules(struct sim_plan *plan, const char *rules)
{
    size_t len = strlen(plan->rules), room = sizeof(plan->rules) - len;
    int added = snprintf(plan->rules + len, room, "%s%s", len > 0 ? " ; " : "", rules);
    return added >= 0 && (size_t)added < room;
}

size_t sim_plan_acts_left(const struct sim_plan *plan)
{
    size_t left = 0;
    for (size_t i = 0; i < plan->act_count; i++)
        left += !plan->acts[i].skipped;
    return left;
}

struct sim_load *sim_plan_load(struct sim_plan *plan, enum hist_population kind)
{
    for (size_t i = 0; i < plan->load_count; i++)
        if (plan->loads[i].kind == kind)
            return &plan->loads[i];
    return NULL;
}

/* ---- options ----------------------------------------------------------------------------------
 */

static void draw_options(struct draft *d, struct sim_random *r)
{
    struct sim_plan *p = d->p;
    bool general = sim_random_chance(r, 6, 10);
    p->theme =
        general ? SIM_THEME_GENERAL : (enum sim_theme)sim_random_between(r, 1, SIM_THEME_COUNT - 1);
    p->stop = sim_random_chance(r, 2, 5)   ? SIM_STOP_FAST
              : sim_random_chance(r, 2, 3) ? SIM_STOP_GRACEFUL
                                           : SIM_STOP_KILL;
    p->workers = (uint32_t)sim_random_between(r, 1, 4);
    d->workers_later =
        sim_random_chance(r, 1, 3) ? (uint32_t)sim_random_between(r, 1, 5) : p->workers;
    p->pid_max = sim_random_chance(r, 1, 4) ? 120 + 300 : 32768;
    p->multi_accept = sim_random_chance(r, 1, 4);
    d->reloads_wait = sim_random_chance(r, 2, 3);
    p->drain_ns = sim_random_between(r, 1000, 4000) * MS;
    p->watchdog_ns = sim_random_between(r, 1000, 3000) * MS;
    p->backoff_min_ns = sim_random_between(r, 10, 100) * MS;
    p->backoff_max_ns = sim_random_between(r, 500, 2000) * MS;
    p->reload_timeout_ns = sim_random_between(r, 1000, 3000) * MS;
    p->keepalive_ns = sim_random_between(r, 5, 20) * SECOND;
    p->service_ns = sim_random_between(r, 1, 20) * MS / (sim_random_chance(r, 1, 2) ? 1 : 10);
    p->latency_ns = sim_random_between(r, 20, 500) * 1000;
    p->delay_ns = sim_random_between(r, 5, 50) * 1000;
    p->jitter_ns = sim_random_between(r, 1, 500) * 1000;
    p->baseline_ns = sim_random_between(r, 300, 1000) * MS;
    p->act_ns = sim_random_between(r, 1000, 5000) * MS;
}

static struct sim_load *add_load(struct sim_plan *p, enum hist_population kind, const char *name,
                                 uint32_t rate, uint32_t clients)
{
    struct sim_load *load = &p->loads[p->load_count++];
    *load = (struct sim_load){
        .kind = (uint8_t)kind, .rate_milli = rate * 1000, .clients = clients, .body_bytes = 100};
    snprintf(load->name, sizeof(load->name), "%s", name);
    return load;
}

/* Clients that take their time, each of them on one connection. */
static void draw_patient(struct sim_plan *p, struct sim_random *r)
{
    static const struct {
        enum hist_population kind;
        const char *name;
    } kinds[] = {{HIST_UPLOAD, "upload"}, {HIST_STREAM, "stream"}, {HIST_IDLE, "idle"}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!sim_random_chance(r, 1, 8))
            continue;
        struct sim_load *load =
            add_load(p, kinds[i].kind, kinds[i].name, 0, (uint32_t)sim_random_between(r, 1, 3));
        load->body_bytes = (uint32_t)sim_random_between(r, 1000, 100000);
        load->spread_ms = (uint32_t)sim_random_between(r, 200, 2000);
    }
}

/* Fresh clients are always there: they see what nobody else does. */
static void draw_clients(struct sim_plan *p, struct sim_random *r)
{
    uint32_t fresh = (uint32_t)sim_random_between(r, 5, 60);
    uint32_t pooled = sim_random_chance(r, 3, 4) ? (uint32_t)sim_random_between(r, 5, 60) : 0;
    uint32_t post = sim_random_chance(r, 3, 4) ? (uint32_t)sim_random_between(r, 5, 60) : 0;
    uint32_t download = sim_random_chance(r, 1, 2) ? (uint32_t)sim_random_between(r, 1, 10) : 0;
    uint32_t held = sim_random_chance(r, 1, 4) ? (uint32_t)sim_random_between(r, 1, 5) : 0;
    uint32_t pool = (uint32_t)sim_random_between(r, 2, 12);
    add_load(p, HIST_FRESH, "fresh", fresh, 0);
    if (pooled > 0)
        add_load(p, HIST_POOLED, "pooled", pooled, pool);
    if (post > 0)
        add_load(p, HIST_POST, "post", post, pool);
    if (download > 0)
        add_load(p, HIST_DOWNLOAD, "download", download, 0);
    if (held > 0)
        add_load(p, HIST_HELD, "held", 0, held);
    draw_patient(p, r);
}

static void drop_loads(struct sim_plan *p, enum hist_population kind)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->load_count; i++)
        if (p->loads[i].kind != kind)
            p->loads[kept++] = p->loads[i];
    p->load_count = kept;
}

/* ---- the schedule -----------------------------------------------------------------------------
 */

static struct sim_act *add(struct sim_plan *p, uint64_t at_ns, enum sim_act_kind kind, uint32_t a,
                           uint32_t b)
{
    struct sim_act *act = &p->acts[p->act_count < SIM_ACTS_MAX ? p->act_count++ : SIM_ACTS_MAX - 1];
    *act = (struct sim_act){.at_ns = at_ns, .kind = (uint16_t)kind, .a = a, .b = b};
    return act;
}

static uint64_t any_time(const struct sim_plan *p, struct sim_random *r)
{
    return sim_random_below(r, p->act_ns);
}

static void draw_reload(struct draft *d, uint64_t at_ns)
{
    add(d->p, at_ns, SIM_ACT_RELOAD, d->workers_later, d->reloads_wait);
}

static void draw_storm(struct sim_plan *p, struct sim_random *r, uint64_t at_ns)
{
    uint32_t mixed = 1u << SIGHUP | 1u << SIGUSR1 | 1u << SIGCHLD;
    uint32_t set = sim_random_chance(r, 1, 2) ? 1u << SIGHUP : mixed;
    add(p, at_ns, SIM_ACT_STORM, set, (uint32_t)sim_random_between(r, 6, 60))->c = 1000;
}

/* Many at once, or one; most signals are the ones that hurt. */
static void draw_act(struct draft *d, struct sim_random *r, enum sim_act_kind kind)
{
    static const int to_master[] = {SIGUSR1, SIGCHLD, SIGSTOP, SIGTTIN, SIGTTOU};
    static const int to_worker[] = {SIGKILL, SIGSEGV, SIGSTOP, SIGABRT, SIGKILL, SIGHUP};
    static const int to_group[] = {SIGHUP, SIGWINCH, SIGUSR1, SIGPIPE};
    struct sim_plan *p = d->p;
    uint64_t at_ns = any_time(p, r);
    switch (kind) {
    case SIM_ACT_RELOAD:
        draw_reload(d, at_ns);
        if (sim_random_chance(r, 1, 3))
            draw_reload(d, at_ns + sim_random_below(r, 20 * MS));
        break;
    case SIM_ACT_BAD_RELOAD:
        add(p, at_ns, kind, 0, d->reloads_wait);
        draw_reload(d, at_ns + sim_random_between(r, 5, 500) * MS);
        break;
    case SIM_ACT_SIGNAL_MASTER:
        add(p, at_ns, kind, (uint32_t)to_master[sim_random_below(r, d->resizes ? 5 : 3)], 0);
        break;
    case SIM_ACT_SIGNAL_WORKER:
        add(p, at_ns, kind, (uint32_t)to_worker[sim_random_below(r, 6)],
            (uint32_t)sim_random_below(r, 8));
        break;
    case SIM_ACT_SIGNAL_ALL:
        add(p, at_ns, kind, sim_random_chance(r, 3, 4) ? SIGKILL : SIGSTOP, 0);
        break;
    case SIM_ACT_STORM:
        draw_storm(p, r, at_ns);
        break;
    case SIM_ACT_SLOW:
        add(p, at_ns, kind, (uint32_t)sim_random_below(r, 8),
            (uint32_t)sim_random_between(r, 1, 50));
        break;
    case SIM_ACT_UPGRADE:
        add(p, at_ns, kind, (uint32_t)sim_random_below(r, 4), 0);
        break;
    case SIM_ACT_SIGNAL_TO:
        add(p, at_ns, kind, (uint32_t)to_group[sim_random_below(r, 4)], SIM_GROUP);
        break;
    default: /* an order that must be heard also while a worker hangs */
        add(p, at_ns, kind, 3000, 0);
        if (sim_random_chance(r, 1, 2))
            add(p, at_ns / 2, SIM_ACT_SIGNAL_WORKER, SIGSTOP, (uint32_t)sim_random_below(r, 8));
    }
}

static void draw_rules(struct sim_plan *p, struct sim_random *r)
{
    uint64_t count = sim_random_below(r, 4);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t rule = (uint32_t)sim_random_below(r, SIM_RULE_COUNT);
        add(p, any_time(p, r), SIM_ACT_ARM, (uint32_t)sim_random_between(r, 100, 3000), rule);
    }
}

static void draw_general(struct draft *d, struct sim_random *r)
{
    static const enum sim_act_kind kinds[] = {
        SIM_ACT_RELOAD,     SIM_ACT_BAD_RELOAD, SIM_ACT_SIGNAL_MASTER, SIM_ACT_SIGNAL_WORKER,
        SIM_ACT_SIGNAL_ALL, SIM_ACT_STORM,      SIM_ACT_ASK,           SIM_ACT_SLOW,
        SIM_ACT_UPGRADE,    SIM_ACT_SIGNAL_TO,
    };
    enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
    d->resizes = sim_random_chance(r, 1, 5);
    for (unsigned i = 0; i < KINDS; i++) {
        if (!sim_random_chance(r, 1, 3))
            continue;
        uint64_t count = sim_random_between(r, 1, kinds[i] == SIM_ACT_STORM ? 2 : 6);
        for (uint64_t j = 0; j < count; j++)
            draw_act(d, r, kinds[i]);
    }
    if (sim_random_chance(r, 1, 2))
        draw_rules(d->p, r);
}

/* ---- backends ----------------------------------------------------------------------------------
 */

/* One gets into a mood, and mostly out of it again. */
static void draw_mood(struct sim_plan *p, struct sim_random *r)
{
    uint64_t at_ns = any_time(p, r);
    uint32_t which = (uint32_t)sim_random_below(r, p->backends);
    add(p, at_ns, SIM_ACT_BACKEND, which,
        (uint32_t)sim_random_between(r, SIM_MOOD_WELL + 1, SIM_MOOD_COUNT - 1));
    if (sim_random_chance(r, 2, 3))
        add(p, at_ns + sim_random_between(r, 50, 2000) * MS, SIM_ACT_BACKEND, which, SIM_MOOD_WELL);
}

/* Fresh clients are not proxied: they see whether others suffer. With nobody to accept them, all
 * clients together must not fill the queue in the time of the acts. All servers together may take
 * their time before a client's patience ends. Beside a limit of connections, of which uplinks are
 * some, backends are well; the other stories of limits stay as they are. */
void sim_plan_draw_backends(struct sim_plan *plan)
{
    struct sim_random r = sim_random_stream(plan->seed, 13);
    if (plan->theme != SIM_THEME_GENERAL && plan->theme != SIM_THEME_CONNECTIONS)
        return;
    plan->backends = (uint32_t)sim_random_between(&r, 1, 4);
    plan->proxy_timeout_ns = sim_random_between(&r, 600, 1000) * MS; /* from part to part */
    plan->fail_timeout_ns = sim_random_between(&r, 100, 3000) * MS;
    for (size_t i = 1; i < plan->load_count; i++)
        plan->loads[i].proxied = sim_random_chance(&r, 1, 2);
    if (plan->load_count < SIM_LOADS_MAX)
        add_load(plan, HIST_FRESH, "proxied", (uint32_t)sim_random_between(&r, 5, 25), 0)->proxied =
            true;
    if (plan->theme != SIM_THEME_GENERAL)
        return;
    uint64_t moods = sim_random_below(&r, 8);
    for (uint64_t i = 0; i < moods; i++)
        draw_mood(plan, &r);
    if (sim_random_chance(&r, 1, 4))
        add(plan, any_time(plan, &r), SIM_ACT_ARM, (uint32_t)sim_random_between(&r, 100, 3000),
            (uint32_t)sim_plan_text(plan, "net.connect errno=ECONNREFUSED chance=1/3"));
}

/* ---- themes ------------------------------------------------------------------------------------
 */

static void only_fresh(struct sim_plan *p, uint32_t rate)
{
    p->load_count = 1;
    p->loads[0].rate_milli = rate * 1000;
}

static void hold(struct sim_plan *p, uint32_t connections)
{
    drop_loads(p, HIST_HELD);
    drop_loads(p, HIST_POST); /* relief may close an idle connection as a POST comes in */
    if (connections > 0)
        add_load(p, HIST_HELD, "held", 0, connections);
}

/* The stories of limits need clients of their own, and nothing else that disturbs. */
static void draw_themed(struct sim_plan *p, struct sim_random *r)
{
    switch (p->theme) {
    case SIM_THEME_FD_LIMIT: /* lowered below what is in use, so that accept fails */
        p->act_ns = 3 * SECOND;
        p->fd_limit = (uint32_t)sim_random_between(r, 12, 24);
        p->quiet_ns = sim_random_chance(r, 1, 2) ? SECOND : 0;
        hold(p, p->quiet_ns > 0 ? 0 : p->fd_limit * (p->workers + 1));
        add(p, sim_random_below(r, SECOND), SIM_ACT_FD_LIMIT, p->fd_limit, 0);
        if (p->quiet_ns > 0) { /* somebody waits while no descriptor can be had */
            add(p, p->act_ns - 20 * MS, SIM_ACT_ARM, 60000, SIM_RULE_ACCEPT_NEVER);
            add(p, p->act_ns - 10 * MS, SIM_ACT_BURST, 0, 3);
        }
        break;
    case SIM_THEME_CONNECTIONS:
        p->connections = (uint32_t)sim_random_between(r, 8, 24);
        hold(p, p->connections * (p->workers + 1));
        break;
    case SIM_THEME_SLOW_ACCEPT:
        p->workers = 4;
        p->multi_accept = false;
        only_fresh(p, 5);
        add(p, 50 * MS, SIM_ACT_SIGNAL_WORKER, SIGSTOP, 0);
        add(p, 60 * MS, SIM_ACT_ARM, 4000, SIM_RULE_DELAY_ACCEPT);
        add(p, 400 * MS, SIM_ACT_BURST, 0, 30);
        break;
    case SIM_THEME_QUIET:
        only_fresh(p, 10);
        p->quiet_ns = SECOND;
        break;
    default:
        break;
    }
}
