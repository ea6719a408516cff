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

const char *const sim_rule_texts[SIM_RULE_COUNT] = {
#define R(symbol, text) text,
    SIM_RULES(R)
#undef R
};

static const char *const act_words[] = {
#define A(symbol, word, meaning) word,
    SIM_ACTS(A)
#undef A
};

const char *sim_theme_word(enum sim_theme theme)
{
    static const char *const words[] = {
#define T(symbol, word) word,
        SIM_THEMES(T)
#undef T
    };
    return words[theme];
}

/* ---- options ----------------------------------------------------------------------------------
 */

static void draw_options(struct sim_plan *p, struct sim_random *r)
{
    bool general = sim_random_chance(r, 6, 10);
    p->theme =
        general ? SIM_THEME_GENERAL : (enum sim_theme)sim_random_between(r, 1, SIM_THEME_COUNT - 1);
    p->stop = sim_random_chance(r, 2, 5)   ? SIM_STOP_FAST
              : sim_random_chance(r, 2, 3) ? SIM_STOP_GRACEFUL
                                           : SIM_STOP_KILL;
    p->workers = (uint32_t)sim_random_between(r, 1, 4);
    p->workers_later =
        sim_random_chance(r, 1, 3) ? (uint32_t)sim_random_between(r, 1, 5) : p->workers;
    p->connections = 64;
    p->fd_limit = 256;
    p->backlog = 511;
    p->pid_max = sim_random_chance(r, 1, 4) ? 120 + 300 : 32768;
    p->multi_accept = sim_random_chance(r, 1, 4);
    p->reloads_wait = sim_random_chance(r, 2, 3);
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

static void draw_clients(struct sim_plan *p, struct sim_random *r)
{
    p->fresh_rate = (uint32_t)sim_random_between(r, 5, 60);
    p->pooled_rate = sim_random_chance(r, 3, 4) ? (uint32_t)sim_random_between(r, 5, 60) : 0;
    p->post_rate = sim_random_chance(r, 3, 4) ? (uint32_t)sim_random_between(r, 5, 60) : 0;
    p->long_rate = sim_random_chance(r, 1, 2) ? (uint32_t)sim_random_between(r, 1, 10) : 0;
    p->held = sim_random_chance(r, 1, 4) ? (uint32_t)sim_random_between(r, 1, 5) : 0;
    p->pool = (uint32_t)sim_random_between(r, 2, 12);
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

static void draw_reload(struct sim_plan *p, uint64_t at_ns)
{
    add(p, at_ns, SIM_ACT_RELOAD, p->workers_later, p->reloads_wait);
}

/* Many at once, or one; most signals are the ones that hurt. */
static void draw_act(struct sim_plan *p, struct sim_random *r, enum sim_act_kind kind)
{
    static const int to_master[] = {SIGUSR1, SIGCHLD, SIGSTOP, SIGTTIN, SIGTTOU};
    static const int to_worker[] = {SIGKILL, SIGSEGV, SIGSTOP, SIGABRT, SIGKILL, SIGHUP};
    uint64_t at_ns = any_time(p, r);
    switch (kind) {
    case SIM_ACT_RELOAD:
        draw_reload(p, at_ns);
        if (sim_random_chance(r, 1, 3))
            draw_reload(p, at_ns + sim_random_below(r, 20 * MS));
        break;
    case SIM_ACT_BAD_RELOAD:
        add(p, at_ns, kind, 0, p->reloads_wait);
        draw_reload(p, at_ns + sim_random_between(r, 5, 500) * MS);
        break;
    case SIM_ACT_SIGNAL_MASTER:
        add(p, at_ns, kind, (uint32_t)to_master[sim_random_below(r, p->resizes ? 5 : 3)], 0);
        break;
    case SIM_ACT_SIGNAL_WORKER:
        add(p, at_ns, kind, (uint32_t)to_worker[sim_random_below(r, 6)],
            (uint32_t)sim_random_below(r, 8));
        break;
    case SIM_ACT_SIGNAL_ALL:
        add(p, at_ns, kind, sim_random_chance(r, 3, 4) ? SIGKILL : SIGSTOP, 0);
        break;
    case SIM_ACT_STORM:
        add(p, at_ns, kind, sim_random_chance(r, 1, 2) ? SIGHUP : 0,
            (uint32_t)sim_random_between(r, 6, 60));
        break;
    case SIM_ACT_SLOW:
        add(p, at_ns, kind, (uint32_t)sim_random_below(r, 8),
            (uint32_t)sim_random_between(r, 1, 50));
        break;
    case SIM_ACT_UPGRADE:
        add(p, at_ns, kind, (uint32_t)sim_random_below(r, 3), 0);
        break;
    default: /* an order that must be heard also while a worker hangs */
        add(p, at_ns, kind, 0, 0);
        if (sim_random_chance(r, 1, 2))
            add(p, at_ns / 2, SIM_ACT_SIGNAL_WORKER, SIGSTOP, (uint32_t)sim_random_below(r, 8));
    }
}

static void draw_rules(struct sim_plan *p, struct sim_random *r)
{
    uint64_t count = sim_random_below(r, 4);
    for (uint64_t i = 0; i < count; i++)
        add(p, any_time(p, r), SIM_ACT_ARM, (uint32_t)sim_random_below(r, SIM_RULE_COUNT),
            (uint32_t)sim_random_between(r, 100, 3000));
}

static bool reloads(enum sim_act_kind kind)
{
    return kind == SIM_ACT_RELOAD || kind == SIM_ACT_BAD_RELOAD || kind == SIM_ACT_STORM;
}

static void thin_out(struct sim_plan *p);

static void draw_general(struct sim_plan *p, struct sim_random *r)
{
    static const enum sim_act_kind kinds[] = {
        SIM_ACT_RELOAD,        SIM_ACT_BAD_RELOAD, SIM_ACT_SIGNAL_MASTER,
        SIM_ACT_SIGNAL_WORKER, SIM_ACT_SIGNAL_ALL, SIM_ACT_STORM,
        SIM_ACT_ASK,           SIM_ACT_SLOW,       SIM_ACT_UPGRADE,
    };
    enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
    /* A history names the workers wanted by its configurations; TTIN and TTOU, which change their
     * number beside them, are drawn where there are no reloads. */
    p->resizes = sim_random_chance(r, 1, 5);
    for (unsigned i = 0; i < KINDS; i++) {
        if (!sim_random_chance(r, 1, 3) || (p->resizes && reloads(kinds[i])))
            continue;
        uint64_t count = sim_random_between(r, 1, kinds[i] == SIM_ACT_STORM ? 2 : 6);
        for (uint64_t j = 0; j < count; j++)
            draw_act(p, r, kinds[i]);
    }
    if (sim_random_chance(r, 1, 2))
        draw_rules(p, r);
    thin_out(p);
}

/* ---- what a history could not tell -------------------------------------------------------------
 */

static bool is_reload(const struct sim_act *act)
{
    return act->kind == SIM_ACT_RELOAD || act->kind == SIM_ACT_BAD_RELOAD ||
           act->kind == SIM_ACT_STORM;
}

static bool fails_to_start(const struct sim_act *act)
{
    return act->kind == SIM_ACT_ARM &&
           (act->a == SIM_RULE_CRASH_BOOT || act->a == SIM_RULE_EXIT_BOOT ||
            act->a == SIM_RULE_CRASH_READY || act->a == SIM_RULE_STALL_BOOT ||
            act->a == SIM_RULE_CRASH_DRAIN || act->a == SIM_RULE_FORK_EAGAIN ||
            act->a == SIM_RULE_PAIR_EMFILE);
}

static bool stops_worker(const struct sim_act *act)
{
    return (act->kind == SIM_ACT_SIGNAL_WORKER || act->kind == SIM_ACT_SIGNAL_ALL) &&
           act->a == SIGSTOP;
}

static bool hurts_worker(const struct sim_act *act)
{
    return act->kind == SIM_ACT_SIGNAL_WORKER || act->kind == SIM_ACT_SIGNAL_ALL ||
           act->kind == SIM_ACT_ARM;
}

static bool is_bad_reload(const struct sim_act *act)
{
    return act->kind == SIM_ACT_BAD_RELOAD;
}

static size_t count_acts(const struct sim_plan *p, bool (*is)(const struct sim_act *act))
{
    size_t count = 0;
    for (size_t i = 0; i < p->act_count; i++)
        count += is(&p->acts[i]);
    return count;
}

/* Takes out of a plan what would leave a history in which right and wrong look the same:
 *   - workers of an undone reload that are still leaving when the next one begins;
 *   - a stopped or stalled worker that hears of a drain only when its bound has passed;
 *   - a dead worker that is not replaced because TTOU came meanwhile;
 *   - keep-alive connections of a worker that TTOU told to go;
 *   - nobody left to answer just after a configuration was refused;
 *   - a reload that reads one number of workers while the file already has another;
 *   - a reload that waits for an upgrade that stalls. */
static void thin_out(struct sim_plan *p)
{
    bool undone = count_acts(p, fails_to_start) > 0, reloads_some = count_acts(p, is_reload) > 0;
    bool hurt = count_acts(p, hurts_worker) > 0, bad = count_acts(p, is_bad_reload) > 0;
    bool reloaded = false, same_workers = false;
    size_t kept = 0;
    for (size_t i = 0; i < p->act_count; i++) {
        struct sim_act act = p->acts[i];
        bool first = act.kind == SIM_ACT_RELOAD && !reloaded;
        if (undone && is_reload(&act) && !first)
            continue;
        if (bad && act.kind == SIM_ACT_SIGNAL_ALL)
            continue;
        reloaded = reloaded || act.kind == SIM_ACT_RELOAD;
        if (reloads_some && stops_worker(&act))
            act.a = SIGKILL;
        if (reloads_some && act.kind == SIM_ACT_ARM && act.a == SIM_RULE_STALL_LOOP)
            act.a = SIM_RULE_DELAY_BOOT;
        if (hurt && act.kind == SIM_ACT_SIGNAL_MASTER && act.a == SIGTTOU)
            act.a = SIGTTIN;
        if (act.kind == SIM_ACT_STORM)
            same_workers = true;
        if (reloads_some && act.kind == SIM_ACT_UPGRADE)
            act.a %= 2;
        p->acts[kept++] = act;
    }
    p->act_count = kept;
    if (bad && p->workers < 2)
        p->workers = p->workers_later = 2;
    for (size_t i = 0; same_workers && i < kept; i++)
        if (p->acts[i].kind == SIM_ACT_RELOAD)
            p->acts[i].a = p->workers;
    if (p->resizes)
        p->pooled_rate = p->post_rate = 0;
}

/* ---- themes ------------------------------------------------------------------------------------
 */

/* The stories of limits need clients of their own, and nothing else that disturbs. */
static void draw_themed(struct sim_plan *p, struct sim_random *r)
{
    switch (p->theme) {
    case SIM_THEME_FD_LIMIT: /* lowered below what is in use, so that accept fails */
        p->act_ns = 3 * SECOND;
        p->fd_limit = (uint32_t)sim_random_between(r, 12, 24);
        p->held = p->fd_limit * (p->workers + 1);
        p->quiet_ns = sim_random_chance(r, 1, 2) ? SECOND : 0;
        p->post_rate = 0; /* relief may close an idle connection as a POST comes in */
        add(p, sim_random_below(r, SECOND), SIM_ACT_FD_LIMIT, p->fd_limit, 0);
        if (p->quiet_ns > 0) { /* somebody waits while no descriptor can be had */
            p->held = 0;
            add(p, p->act_ns - 20 * MS, SIM_ACT_ARM, SIM_RULE_ACCEPT_NEVER, 60000);
            add(p, p->act_ns - 10 * MS, SIM_ACT_BURST, 3, 0);
        }
        break;
    case SIM_THEME_CONNECTIONS:
        p->connections = (uint32_t)sim_random_between(r, 8, 24);
        p->held = p->connections * (p->workers + 1);
        p->post_rate = 0;
        break;
    case SIM_THEME_SLOW_ACCEPT:
        p->workers = 4;
        p->fresh_rate = 5;
        p->multi_accept = false;
        p->pooled_rate = p->post_rate = p->long_rate = p->held = 0;
        add(p, 50 * MS, SIM_ACT_SIGNAL_WORKER, SIGSTOP, 0);
        add(p, 60 * MS, SIM_ACT_ARM, SIM_RULE_DELAY_ACCEPT, 4000);
        add(p, 400 * MS, SIM_ACT_BURST, 30, 0);
        break;
    case SIM_THEME_QUIET:
        p->fresh_rate = 10;
        p->quiet_ns = SECOND;
        p->pooled_rate = p->post_rate = p->long_rate = p->held = 0;
        break;
    default:
        break;
    }
}

void sim_plan_draw(struct sim_plan *plan, uint64_t seed)
{
    struct sim_random options = sim_random_stream(seed, 10), clients = sim_random_stream(seed, 11),
                      acts = sim_random_stream(seed, 12);
    memset(plan, 0, offsetof(struct sim_plan, acts));
    plan->seed = seed;
    plan->delays_scale = 16;
    draw_options(plan, &options);
    draw_clients(plan, &clients);
    if (plan->theme == SIM_THEME_GENERAL)
        draw_general(plan, &acts);
    else
        draw_themed(plan, &acts);
    plan->converge_ns = plan->drain_ns + plan->watchdog_ns + plan->backoff_max_ns +
                        2 * plan->reload_timeout_ns + 4 * SECOND;
}

/* ---- for people -------------------------------------------------------------------------------
 */

static void print_act(const struct sim_act *act)
{
    printf("# %10.6f %s", (double)act->at_ns / 1e9, act_words[act->kind]);
    if (act->kind == SIM_ACT_ARM)
        printf(" '%s' for %u ms\n", sim_rule_texts[act->a], act->b);
    else
        printf(" %u %u\n", act->a, act->b);
}

void sim_plan_print(const struct sim_plan *p)
{
    static const char *const stops[] = {"fast", "graceful", "kill"};
    printf("# seed %llu: theme %s, workers %u, connections %u, descriptors %u, stop %s\n",
           (unsigned long long)p->seed, sim_theme_word(p->theme), p->workers, p->connections,
           p->fd_limit, stops[p->stop]);
    printf("# drain %.0f ms, watchdog %.0f ms, backoff %.0f to %.0f ms, reload timeout %.0f ms\n",
           (double)p->drain_ns / 1e6, (double)p->watchdog_ns / 1e6, (double)p->backoff_min_ns / 1e6,
           (double)p->backoff_max_ns / 1e6, (double)p->reload_timeout_ns / 1e6);
    printf("# requests per second: fresh %u, pooled %u, post %u, long %u; held %u; service %.1f "
           "ms, latency %.0f us, turns after %.0f to %.0f us\n",
           p->fresh_rate, p->pooled_rate, p->post_rate, p->long_rate, p->held,
           (double)p->service_ns / 1e6, (double)p->latency_ns / 1e3, (double)p->delay_ns / 1e3,
           (double)(p->delay_ns + p->jitter_ns) / 1e3);
    for (size_t i = 0; i < p->act_count; i++)
        if (!p->acts[i].skipped)
            print_act(&p->acts[i]);
}
