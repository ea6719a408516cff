/* Follows one attempt of the engine's master (attempt.h). */
#include "scenarios/judge/attempt.h"

#include <string.h>

static void attempt_begin(struct attempt *a, const struct hist_record *r)
{
    a->reload = *r;
    a->asked = a->config_workers;
    a->worker_count = 0;
    a->complete = false;
    memset(&a->broken, 0, sizeof(a->broken));
}

/* The director tells of a configuration about when the master reads it: until a worker shows which
 * of two is tried, the one that asks for less will do. */
static void attempt_config(struct attempt *a, uint64_t workers)
{
    a->config_workers = workers;
    if (a->reload.kind != HIST_NONE && a->worker_count == 0 && workers < a->asked)
        a->asked = workers;
}

static void attempt_spawn(struct attempt *a, const struct hist_record *r)
{
    size_t i = 0;
    if (a->reload.kind == HIST_NONE || r->gen != a->reload.gen)
        return;
    while (i < a->worker_count && a->workers[i].pid != r->pid)
        i++;
    if (i == ATTEMPT_WORKERS_MAX)
        return;
    if (i == a->worker_count) {
        memset(&a->workers[i], 0, sizeof(a->workers[i]));
        a->workers[i].pid = r->pid;
        a->worker_count++;
    }
    a->workers[i].ready = a->workers[i].ready || r->kind != HIST_ENGINE_SPAWN;
}

static void attempt_exit(struct attempt *a, const struct hist_record *r)
{
    for (size_t i = 0; i < a->worker_count; i++) {
        if (a->workers[i].pid != r->pid)
            continue;
        if (!a->workers[i].dead && !a->workers[i].ready && a->broken.kind == HIST_NONE)
            a->broken = *r;
        a->workers[i].dead = true;
        a->workers[i].reaped = a->workers[i].reaped || r->kind == HIST_ENGINE_WORKER_EXIT;
    }
}

void attempt_take(struct attempt *a, const struct world *w, const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_DIRECTOR_CONFIG:
        if (r->a == 1)
            attempt_config(a, r->b);
        break;
    case HIST_ENGINE_RELOAD:
        attempt_begin(a, r);
        break;
    case HIST_ENGINE_SPAWN:
    case HIST_ENGINE_WORKER_POISED:
    case HIST_ENGINE_WORKER_READY:
        attempt_spawn(a, r);
        a->complete = a->complete || attempt_ready(a) >= attempt_needed(a, w);
        break;
    case HIST_ENGINE_WORKER_EXIT:
    case HIST_WATCH_EXIT:
        if (a->reload.kind != HIST_NONE)
            attempt_exit(a, r);
        break;
    default:
        break;
    }
}

bool attempt_complete(const struct attempt *a)
{
    return a->complete;
}

uint64_t attempt_ready(const struct attempt *a)
{
    uint64_t ready = 0;
    for (size_t i = 0; i < a->worker_count; i++)
        ready += a->workers[i].ready && !a->workers[i].reaped;
    return ready;
}

uint64_t attempt_needed(const struct attempt *a, const struct world *w)
{
    uint64_t needed = a->asked != 0 ? a->asked : world_param(w, HIST_P_WORKERS, 0);
    if (needed == 0)
        needed = a->worker_count;
    return needed != 0 ? needed : 1;
}
