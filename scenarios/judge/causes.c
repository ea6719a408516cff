/* Remembers why workers may end (causes.h). */
#include "scenarios/judge/causes.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "scenarios/history/words.h"

static bool fault_ends(const struct hist_record *r)
{
    switch (r->b >> 32) {
    case HIST_FAULT_CRASH:
    case HIST_FAULT_EXIT:
    case HIST_FAULT_STALL:
    case HIST_FAULT_SPIN:
        return true;
    default:
        return false; /* nobody need die of an error, a delay or a bad byte */
    }
}

static bool is_cause(const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_DIRECTOR_SIGNAL:
        return signal_ends(r->a);
    case HIST_STORM_SIGNAL:
        return r->c == 0 && signal_ends(r->a);
    case HIST_FAULT_FIRED:
        return fault_ends(r);
    case HIST_ENGINE_WATCHDOG:
    case HIST_ENGINE_DRAIN:
    case HIST_ENGINE_ORPHAN:
        return true;
    default:
        return false;
    }
}

static bool is_for_everybody(const struct hist_record *r)
{
    bool signal = r->kind == HIST_DIRECTOR_SIGNAL || r->kind == HIST_STORM_SIGNAL;
    return signal && (r->b == HIST_TO_ALL || r->b == HIST_TO_GROUP);
}

static const struct hist_record *latest_of(const struct causes *causes, uint32_t pid)
{
    for (unsigned i = 0; i < CAUSES_KEPT && i < causes->next; i++)
        if (causes->kept[i].pid == pid)
            return &causes->kept[i];
    return NULL;
}

void causes_take(struct causes *causes, const struct hist_record *r)
{
    if (!is_cause(r))
        return;
    if (is_for_everybody(r))
        causes->everybody = *r;
    const struct hist_record *known = latest_of(causes, r->pid);
    causes->kept[known != NULL ? known - causes->kept : causes->next++ % CAUSES_KEPT] = *r;
}

const struct hist_record *causes_of(const struct causes *causes, const struct world *world,
                                    uint32_t pid)
{
    const struct world_process *p = world_process(world, pid);
    uint64_t born_ns = p != NULL ? p->born_ns : 0;
    const struct hist_record *own = latest_of(causes, pid), *all = &causes->everybody;
    if (own != NULL && own->t_ns >= born_ns)
        return own;
    return all->kind != HIST_NONE && all->t_ns >= born_ns ? all : NULL;
}

/* The world keeps the record that it believed; a second witness may tell the same time. */
bool exit_is_news(const struct world *world, const struct hist_record *r)
{
    if (r->kind != HIST_WATCH_EXIT && r->kind != HIST_ENGINE_WORKER_EXIT)
        return false;
    const struct hist_record *believed = &world->last_exit;
    const struct world_process *p = world_process(world, r->pid);
    return p && p->is_worker && !p->is_master && believed->kind == r->kind &&
           believed->pid == r->pid && believed->t_ns == r->t_ns && p->exit_ns == r->t_ns;
}

bool exit_is_abnormal(uint64_t status)
{
    if (status == ~UINT64_C(0))
        return false;
    int s = (int)status;
    return WIFSIGNALED(s) || (WIFEXITED(s) && WEXITSTATUS(s) != 0);
}

const char *exit_text(uint64_t status, char *out, int size)
{
    int s = (int)status;
    if (status == ~UINT64_C(0))
        snprintf(out, (size_t)size, "unknown status");
    else if (WIFSIGNALED(s))
        snprintf(out, (size_t)size, "signal %d", WTERMSIG(s));
    else
        snprintf(out, (size_t)size, "code %d", WEXITSTATUS(s));
    return out;
}

bool end_is_failure(const struct world *world, const struct hist_record *r)
{
    return end_lacks_answer(world, r) && !world_backend_fails(world, r->slot);
}

bool end_lacks_answer(const struct world *world, const struct hist_record *r)
{
    return r->kind == HIST_CLIENT_END && r->a != HIST_OK && r->a != HIST_ABANDONED &&
           world_population_counts(world, r->slot);
}

bool fault_is_at(const struct hist_record *r, const char *point)
{
    if (r->kind != HIST_FAULT_FIRED)
        return false;
    const struct hist_list *points = hist_list_find("fault_point", strlen("fault_point"));
    return points != NULL && r->a < points->count && strcmp(points->words[r->a].word, point) == 0;
}

bool world_has_another_master(const struct world *world, const struct hist_record *ask)
{
    return world->master_pid != 0 && ask->pid != 0 && ask->pid != world->master_pid;
}

bool world_serving(const struct world *world)
{
    return world->ready_ns != 0 && world->stop_ns == 0 && !world->master_killed;
}

static bool master_has_ended(const struct world *world)
{
    const struct world_process *master = world_process(world, world->master_pid);
    return master != NULL && master->exit_ns != 0;
}

bool world_has_master(const struct world *world)
{
    return world_serving(world) && !master_has_ended(world);
}

uint64_t world_served_until(const struct world *world)
{
    const struct world_process *master = world_process(world, world->master_pid);
    uint64_t end_ns = world->stop_ns != 0 ? world->stop_ns : world->now_ns;
    return master_has_ended(world) && master->exit_ns < end_ns ? master->exit_ns : end_ns;
}
