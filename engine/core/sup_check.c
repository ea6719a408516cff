/* What must hold after every step of the supervisor. */
#include "engine/core/sup_priv.h"

static const char *check_worker(const struct sup *sup, const struct sup_worker *w)
{
    bool process_told = w->state == SUP_WORKER_DRAINING || w->state == SUP_WORKER_TERMINATING;

    if (w->state >= SUP_WORKER_STATE_COUNT)
        return "a worker is in a state there is";
    if (w->deadline_ns < sup->due_ns)
        return "no worker's deadline is earlier than the next one";
    if (w->slot < 0 || w->slot >= SUP_WORKERS_MAX)
        return "a slot is one there can be";
    if (w->state == SUP_WORKER_WAITING && (w->deadline_ns == SUP_NEVER || w->leaving))
        return "a worker that waits is tried again";
    if (process_told && !w->leaving)
        return "a worker that was told to go is not replaced";
    if (w->state == SUP_WORKER_TERMINATING && w->deadline_ns == SUP_NEVER)
        return "TERM is followed by KILL";
    if (w->state == SUP_WORKER_ABORTING && w->deadline_ns == SUP_NEVER)
        return "ABRT is followed by KILL";
    if (!w->leaving && !sup->sabotaged && w->generation != sup->generation &&
        (sup->mode != SUP_MODE_ROLLING || w->generation != sup->trying) &&
        (sup->mode != SUP_MODE_SWITCHING || w->generation != sup->outgoing))
        return "a worker that is to stay is of the current generation, or one of a reload's two";
    if (w->state == SUP_WORKER_READY && sup->trying != 0 && w->generation == sup->trying)
        return "no worker of a generation on trial accepts";
    if (sup->mode == SUP_MODE_STOPPING && w->state < SUP_WORKER_TERMINATING &&
        w->state != SUP_WORKER_SPAWNING)
        return "a fast stop has told every worker";
    return NULL;
}

static const char *check_names(const struct sup *sup)
{
    for (uint32_t i = 1; i < sup->used; i++)
        for (uint32_t j = 0; j < i; j++)
            if (sup->workers[i].slot == sup->workers[j].slot &&
                sup->workers[i].generation == sup->workers[j].generation)
                return "(slot, generation) names one worker";
    return NULL;
}

static const char *check_sizes(const struct sup *sup)
{
    uint32_t current = 0, tried = 0;

    for (uint32_t i = 0; i < sup->used; i++) {
        current += sup_worker_is_member(&sup->workers[i], sup->generation);
        tried += sup->trying != 0 && sup_worker_is_member(&sup->workers[i], sup->trying);
    }
    if (sup->mode >= SUP_MODE_QUITTING)
        return current + tried > 0 ? "a stop lets no worker stay" : NULL;
    if (sup->resting)
        return current > 0 ? "a resting master has no worker that stays" : NULL;
    if (sup->short_handed || sup->generation == 0)
        return NULL;
    if (current != sup->settings.workers)
        return "the current generation has as many entries as workers are wanted";
    if (sup->mode == SUP_MODE_ROLLING && tried != sup->next.workers)
        return "the generation being tried has as many entries as workers are wanted";
    return NULL;
}

static const char *check_mode(const struct sup *sup)
{
    bool reloading = sup->mode == SUP_MODE_LOADING || sup->mode == SUP_MODE_ROLLING;
    bool starting = sup->other >= SUP_OTHER_STARTING && sup->other <= SUP_OTHER_KILLED;

    if (sup->mode_deadline_ns < sup->due_ns)
        return "the mode's deadline is not earlier than the next one";
    if (reloading != (sup->trying != 0) && sup->mode < SUP_MODE_QUITTING)
        return "a generation is tried in a reload and only there";
    if (sup->mode == SUP_MODE_ROLLING && sup->mode_deadline_ns == SUP_NEVER)
        return "a reload ends";
    if (sup->mode >= SUP_MODE_SWITCHING && sup->mode <= SUP_MODE_UNDOING &&
        sup->mode_deadline_ns == SUP_NEVER)
        return "a reload that was committed or undone is reported";
    if (starting != (sup->mode == SUP_MODE_UPGRADING) && sup->mode < SUP_MODE_QUITTING)
        return "a new binary starts in an upgrade and only there";
    if (sup->mode == SUP_MODE_RUNNING && !sup->announced)
        return "a master that runs has said so";
    if (sup->mode == SUP_MODE_RUNNING && sup->returning)
        return "a master that runs waits for nobody to come back";
    if (sup->mode == SUP_MODE_DONE && sup->used > 0)
        return "a master that is done has no worker";
    if (sup->mode >= SUP_MODE_QUITTING && (sup->pending != 0 || sup->pending_resize != 0))
        return "a stop wins over what was put off";
    uint8_t pending = sup->pending;
    if (sup_reload_crowded(sup))
        pending &= (uint8_t)~SUP_PENDING_RELOAD;
    if (sup->mode == SUP_MODE_RUNNING && (pending != 0 || sup->pending_resize != 0))
        return "nothing stays put off while nothing is under way";
    return NULL;
}

const char *sup_check(const struct sup *sup)
{
    const char *broken = NULL;

    if (sup->used > SUP_WORKERS_MAX)
        return "no more workers than entries";
    for (uint32_t i = 0; i < sup->used && broken == NULL; i++)
        broken = check_worker(sup, &sup->workers[i]);
    if (broken == NULL)
        broken = check_mode(sup);
    if (broken == NULL)
        broken = check_names(sup);
    if (broken == NULL && !sup->sabotaged)
        broken = check_sizes(sup);
    return broken;
}
