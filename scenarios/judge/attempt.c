/* Follows one attempt of the engine's master (attempt.h). */
#include "scenarios/judge/attempt.h"

#include <string.h>

static void attempt_begin(struct attempt *a, const struct hist_record *r)
{
    a->reload = *r;
    a->worker_count = 0;
    memset(&a->broken, 0, sizeof(a->broken));
}

static void attempt_spawn(struct attempt *a, const struct hist_record *r)
{
    if (a->reload.kind == HIST_NONE || r->gen != a->reload.gen)
        return;
    for (size_t i = 0; i < a->worker_count; i++)
        if (a->workers[i].pid == r->pid) {
            a->workers[i].ready = a->workers[i].ready || r->kind == HIST_ENGINE_WORKER_READY;
            return;
        }
    if (a->worker_count == ATTEMPT_WORKERS_MAX)
        return;
    a->workers[a->worker_count].pid = r->pid;
    a->workers[a->worker_count].dead = false;
    a->workers[a->worker_count++].ready = r->kind == HIST_ENGINE_WORKER_READY;
}

static void attempt_exit(struct attempt *a, const struct hist_record *r)
{
    for (size_t i = 0; i < a->worker_count; i++) {
        if (a->workers[i].pid != r->pid || a->workers[i].dead)
            continue;
        a->workers[i].dead = true;
        if (!a->workers[i].ready && a->broken.kind == HIST_NONE)
            a->broken = *r;
    }
}

void attempt_take(struct attempt *a, const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_DIRECTOR_CONFIG:
        if (r->a == 1)
            a->asked = r->b;
        break;
    case HIST_ENGINE_RELOAD:
        attempt_begin(a, r);
        break;
    case HIST_ENGINE_SPAWN:
    case HIST_ENGINE_WORKER_READY:
        attempt_spawn(a, r);
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

uint64_t attempt_ready(const struct attempt *a)
{
    uint64_t ready = 0;
    for (size_t i = 0; i < a->worker_count; i++)
        ready += a->workers[i].ready && !a->workers[i].dead;
    return ready;
}

uint64_t attempt_needed(const struct attempt *a, const struct world *w)
{
    uint64_t needed = a->asked != 0 ? a->asked : world_param(w, HIST_P_WORKERS, 0);
    if (needed == 0)
        needed = a->worker_count;
    return needed != 0 ? needed : 1;
}
