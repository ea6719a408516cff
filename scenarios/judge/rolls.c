/* Reloads as they bear on workers (rolls.h). */
#include "scenarios/judge/rolls.h"

#include <signal.h>

/* Without a trace a worker that lived for less died at start. */
enum { YOUNG_NS = 100000000 };

static void begin(struct rolls *rolls, const struct hist_record *r)
{
    rolls->begun_ns = r->t_ns;
    rolls->trying_gen = r->kind == HIST_ENGINE_RELOAD ? r->gen : 0;
    rolls->trying_workers = rolls->config_workers;
    rolls->resized = false;
}

static bool end(struct rolls *rolls, const struct hist_record *r)
{
    if (r->a == HIST_REPORT_NONE || r->a == HIST_REPORT_SUPERSEDED)
        return false; /* how it ends is still to be seen */
    bool succeeded = r->a == HIST_REPORT_OK && rolls->begun_ns != 0;
    if (succeeded) {
        rolls->committed_ns = rolls->begun_ns;
        rolls->workers = rolls->resized ? rolls->workers : rolls->trying_workers;
        rolls->gen = rolls->trying_gen;
        rolls->undone_from = rolls->undone_to = 0;
    } else if (r->a == HIST_REPORT_UNDONE && rolls->begun_ns != 0) {
        rolls->undone_from = rolls->undone_from != 0 ? rolls->undone_from : rolls->trying_gen;
        rolls->undone_to = rolls->trying_gen;
    }
    rolls->begun_ns = 0;
    rolls->ended_ns = r->t_ns;
    return succeeded;
}

/* HUP to the master asks for a reload; only who keeps a trace tells what became of it. */
static bool asks_for_reload(const struct hist_record *r)
{
    bool signal = r->kind == HIST_DIRECTOR_SIGNAL || (r->kind == HIST_STORM_SIGNAL && r->c == 0);
    return r->kind == HIST_DIRECTOR_RELOAD || (signal && r->a == SIGHUP && r->b != HIST_TO_WORKER);
}

/* So do TTIN and TTOU for another number of workers. */
static bool asks_for_size(const struct world *world, const struct hist_record *r)
{
    return r->kind == HIST_DIRECTOR_SIGNAL && r->pid == world->master_pid &&
           (r->a == SIGTTIN || r->a == SIGTTOU);
}

static void resize(struct rolls *rolls, const struct world *world, const struct hist_record *r)
{
    uint64_t now = rolls_wanted(rolls, world);
    rolls->resized = true;
    if (r->kind == HIST_ENGINE_RESIZED)
        rolls->workers = r->a;
    else if (r->a == SIGTTIN || now > 1)
        rolls->workers = r->a == SIGTTIN ? now + 1 : now - 1;
}

bool rolls_take(struct rolls *rolls, const struct world *world, const struct hist_record *r)
{
    bool traced = world_param(world, HIST_P_ENGINE_TRACE, 0) != 0;
    if (r->kind == HIST_DIRECTOR_CONFIG && r->a == 1)
        rolls->config_workers = r->b;
    else if (r->kind == HIST_ENGINE_RELOAD || (!traced && asks_for_reload(r)))
        begin(rolls, r);
    else if (r->kind == HIST_ENGINE_RELOADED || (!traced && r->kind == HIST_DIRECTOR_RELOADED))
        return end(rolls, r);
    else if (r->kind == HIST_DIRECTOR_ADOPTED) /* it counts its generations anew */
        *rolls = (struct rolls){.config_workers = rolls->config_workers};
    else if (r->kind == HIST_ENGINE_RESIZED || (!traced && asks_for_size(world, r)))
        resize(rolls, world, r);
    return false;
}

/* One that stalls does not hear that it is to go: it cannot be told by its own record of that. */
bool rolls_undone(const struct rolls *rolls, const struct world_process *p)
{
    return p->generation != 0 && p->generation >= rolls->undone_from &&
           p->generation <= rolls->undone_to;
}

bool rolls_retired(const struct rolls *rolls, const struct world_process *p)
{
    /* One that died during the reload was replaced by one of the old configuration. */
    bool old = p->generation != 0 ? p->generation < rolls->gen : p->born_ns < rolls->committed_ns;
    return world_told_to_go(p) || old || rolls_undone(rolls, p);
}

bool rolls_may_retire(const struct rolls *rolls, const struct world_process *p)
{
    bool old =
        p->generation != 0 ? p->generation < rolls->trying_gen : p->born_ns < rolls->begun_ns;
    return rolls_retired(rolls, p) || (rolls->begun_ns != 0 && old);
}

uint64_t rolls_wanted(const struct rolls *rolls, const struct world *world)
{
    return rolls->workers != 0 ? rolls->workers : world->param[HIST_P_WORKERS];
}

struct tally {
    const struct rolls *rolls;
    uint64_t serving;
};

static bool tally_one(const struct world_process *p, void *arg)
{
    struct tally *t = arg;
    if (p->is_worker && !p->is_master && p->exit_ns == 0 && !rolls_retired(t->rolls, p))
        t->serving++;
    return true;
}

uint64_t rolls_serving(const struct rolls *rolls, const struct world *world)
{
    struct tally t = {.rolls = rolls};
    world_processes(world, tally_one, &t);
    return t.serving;
}

bool died_at_start(const struct world *world, const struct world_process *p)
{
    if (world_param(world, HIST_P_ENGINE_TRACE, 0))
        return p->ready_ns == 0;
    return p->ready_ns == 0 && p->born_ns != 0 && p->exit_ns - p->born_ns < YOUNG_NS;
}
