/* Remembers why workers may end (causes.h). */
#include "scenarios/judge/causes.h"

#include <stdio.h>
#include <sys/wait.h>

static bool is_for_everybody(const struct hist_record *r)
{
    return r->kind == HIST_DIRECTOR_SIGNAL && (r->b == HIST_TO_ALL || r->b == HIST_TO_GROUP);
}

void causes_take(struct causes *causes, const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_DIRECTOR_SIGNAL:
    case HIST_STORM_SIGNAL:
    case HIST_FAULT_FIRED:
    case HIST_ENGINE_WATCHDOG:
    case HIST_ENGINE_DRAIN:
    case HIST_ENGINE_ORPHAN:
        if (is_for_everybody(r))
            causes->everybody = *r;
        causes->kept[causes->next++ % CAUSES_KEPT] = *r;
        break;
    default:
        break;
    }
}

const struct hist_record *causes_of(const struct causes *causes, uint32_t pid)
{
    for (unsigned i = 0; i < CAUSES_KEPT && i < causes->next; i++) {
        const struct hist_record *r = &causes->kept[(causes->next - 1 - i) % CAUSES_KEPT];
        if (r->pid == pid)
            return r;
    }
    return causes->everybody.kind == HIST_NONE ? NULL : &causes->everybody;
}

bool exit_is_news(const struct world *world, const struct hist_record *r)
{
    if (r->kind != HIST_WATCH_EXIT && r->kind != HIST_ENGINE_WORKER_EXIT)
        return false;
    const struct world_process *p = world_process(world, r->pid);
    return p && p->is_worker && !p->is_master && p->exit_ns == r->t_ns;
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
    return r->kind == HIST_CLIENT_END && r->a != HIST_OK && r->a != HIST_ABANDONED &&
           world_population_counts(world, r->slot);
}

bool world_serving(const struct world *world)
{
    return world->ready_ns != 0 && world->stop_ns == 0 && !world->master_killed;
}
