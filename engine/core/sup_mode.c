/* The master's own cells: starting, stopping, resting, resizing. */
#include "engine/core/sup_priv.h"

void sup_mode_ignored(struct step *s)
{
    (void)s;
}

void sup_mode_impossible(struct step *s)
{
    (void)s;
    abort();
}

void sup_mode_reopen(struct step *s)
{
    sup_do(s, SUP_DO_REOPEN_LOGS);
}

/* ---- starting ---------------------------------------------------------------------------- */

void sup_mode_boot(struct step *s)
{
    s->sup->generation = ++s->sup->generation_last;
    sup_workers_fill(s);
}

void sup_mode_announce(struct step *s)
{
    struct sup *sup = s->sup;
    if (sup->resting || (sup->announced && !sup->returning) ||
        !sup_workers_all(sup, SUP_WORKER_READY, sup->generation, sup->settings.workers))
        return;
    if (!sup->announced) {
        struct sup_effect *effect = sup_do(s, SUP_DO_READY);
        effect->generation = sup->generation;
        effect->a = sup->settings.workers;
    }
    if (sup->owes_report)
        sup_report_done(s);
    sup->announced = true;
    sup->returning = false;
    sup->owes_report = false;
    if (sup->mode == SUP_MODE_BOOTING)
        sup_set_base_mode(s);
}

/* ---- stopping ---------------------------------------------------------------------------- */

/* A stop wins over whatever is under way; whoever waits for a reload is told. */
static void abandon_reload(struct step *s)
{
    struct sup *sup = s->sup;
    bool rolling = sup->mode == SUP_MODE_ROLLING;

    if (rolling || sup->mode == SUP_MODE_LOADING) {
        struct sup_effect *effect = sup_do(s, SUP_DO_REPORT);
        effect->generation = sup->trying;
        effect->a = rolling ? SUP_RELOAD_UNDONE : SUP_RELOAD_REFUSED;
        effect->reason = SUP_BECAUSE_STOPPING;
    } else if (sup->mode == SUP_MODE_UNDOING) {
        sup_mode_report_undone_anyway(s);
    } else if (sup->mode == SUP_MODE_SWITCHING || sup->mode == SUP_MODE_RETIRING) {
        sup_mode_report_done_anyway(s); /* it serves; that it is being stopped is another matter */
    }
}

static void stop(struct step *s, bool graceful)
{
    struct sup *sup = s->sup;

    abandon_reload(s);
    bool rolling = sup->mode == SUP_MODE_ROLLING;
    sup->pending = 0;
    sup->pending_resize = 0;
    sup_do(s, SUP_DO_STOPPING)->a = graceful;
    sup_set_mode(s, graceful ? SUP_MODE_QUITTING : SUP_MODE_STOPPING, SUP_NEVER);
    sup_workers_input(s, graceful ? SUP_WIN_LEAVE : SUP_WIN_HALT, 0, 0);
    if (rolling) {
        sup_do(s, SUP_DO_DISCARD_CONF)->generation = sup->trying;
        sup->trying = 0;
    }
    sup_raise(s, SUP_IN_EMPTY);
}

void sup_mode_quit_begin(struct step *s)
{
    stop(s, true);
}

void sup_mode_stop_begin(struct step *s)
{
    stop(s, false);
}

void sup_mode_finish(struct step *s)
{
    if (s->sup->used > 0)
        return;
    sup_set_mode(s, SUP_MODE_DONE, SUP_NEVER);
    sup_do(s, SUP_DO_EXIT);
}

/* ---- resting (WINCH) --------------------------------------------------------------------- */

void sup_mode_rest_begin(struct step *s)
{
    s->sup->resting = true;
    s->sup->returning = false;
    s->sup->owes_report = false;
    sup_workers_input(s, SUP_WIN_LEAVE, s->sup->generation, 0);
    sup_set_base_mode(s);
}

void sup_mode_rest_defer(struct step *s)
{
    s->sup->pending |= SUP_PENDING_REST;
    sup_note(s, SUP_BECAUSE_DEFERRED);
}

/* ---- resizing (TTIN, TTOU) --------------------------------------------------------------- */

static void report_size(struct step *s)
{
    sup_do(s, SUP_DO_RESIZED)->a = s->sup->settings.workers;
}

void sup_mode_grow(struct step *s)
{
    struct sup *sup = s->sup;
    if (sup->settings.workers == SUP_SLOTS_MAX) {
        sup_note(s, SUP_BECAUSE_TOO_MANY);
        return;
    }
    sup->settings.workers++;
    if (sup_sabotaged(s, SUP_SABOTAGE(GROW_TWICE)) && sup->settings.workers < SUP_SLOTS_MAX)
        sup->settings.workers++;
    report_size(s);
    sup_workers_fill(s);
}

void sup_mode_shrink(struct step *s)
{
    struct sup *sup = s->sup;
    struct sup_worker *last = NULL;

    if (sup->settings.workers == 1) {
        sup_note(s, SUP_BECAUSE_LAST_ONE);
        return;
    }
    sup->settings.workers--;
    report_size(s);
    for (uint32_t i = 0; i < sup->used; i++) {
        struct sup_worker *w = &sup->workers[i];
        if (sup_worker_is_member(w, sup->generation) && (last == NULL || w->slot > last->slot))
            last = w;
    }
    if (last != NULL && !sup->resting)
        sup_worker_input(s, last, SUP_WIN_LEAVE);
    sup_raise(s, SUP_IN_GATHERED); /* the one that was not ready may be the one that goes */
}

static void resize_later(struct step *s, int by)
{
    struct sup *sup = s->sup;
    int16_t sum = (int16_t)(sup->pending_resize + by);
    if (sum <= SUP_SLOTS_MAX && sum >= -SUP_SLOTS_MAX)
        sup->pending_resize = sum;
    sup_note(s, SUP_BECAUSE_DEFERRED);
}

void sup_mode_grow_defer(struct step *s)
{
    resize_later(s, +1);
}

void sup_mode_shrink_defer(struct step *s)
{
    resize_later(s, -1);
}
