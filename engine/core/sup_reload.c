/* A reload: load the configuration, start its workers beside the old ones, and only when all are
 * poised let them accept and, when they do, tell the old ones to go. Until the commit it can be
 * undone without anybody having noticed: no client has met the new configuration. From then on
 * there is always a generation that accepts with all its workers.
 *
 *   reload_begin -> LOADING -> roll_begin -> ROLLING -> commit -> SWITCHING -> retire -> RETIRING
 *                      |                        |                                            |
 *                 conf_refuse            undo, undo_late                                report_done
 *                                               |
 *                                            UNDOING -> report_undone
 *                                    (the old workers were told nothing)
 *
 * Success is reported when no old worker accepts any more, so that whoever waits for the report
 * can rely on meeting the new configuration. */
#include "engine/core/sup_priv.h"

static void report(struct step *s, uint32_t generation, enum sup_outcome outcome,
                   enum sup_reason reason)
{
    struct sup_effect *effect = sup_do(s, SUP_DO_REPORT);
    effect->generation = generation;
    effect->a = outcome;
    effect->reason = (uint8_t)reason;
    if (reason == SUP_BECAUSE_EXITED) {
        effect->slot = s->sup->undone.slot;
        effect->b = s->sup->undone.status;
    }
}

/* ---- asking ------------------------------------------------------------------------------ */

bool sup_reload_crowded(const struct sup *sup)
{
    uint32_t generations = 0;
    for (uint32_t i = 0; i < sup->used; i++) {
        uint32_t before = 0;
        while (sup->workers[before].generation != sup->workers[i].generation)
            before++;
        generations += before == i;
    }
    return sup->settings.generations != 0 && generations >= sup->settings.generations;
}

void sup_mode_reload_begin(struct step *s)
{
    struct sup *sup = s->sup;
    if (sup_reload_crowded(sup) && !sup_sabotaged(s, SUP_SABOTAGE(PILE_UP))) {
        sup->pending |= SUP_PENDING_RELOAD;
        sup_note(s, SUP_BECAUSE_CROWDED);
        return;
    }
    if (sup->reload_failed && sup_sabotaged(s, SUP_SABOTAGE(DEAF_AFTER_FAILED_RELOAD)))
        return;
    sup->trying = ++sup->generation_last;
    sup_set_mode(s, SUP_MODE_LOADING, SUP_NEVER);
    sup_do(s, SUP_DO_LOAD_CONF)->generation = sup->trying;
    if (sup_sabotaged(s, SUP_SABOTAGE(REPORT_EARLY)))
        report(s, sup->trying, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
}

/* One more after this one is enough for any number of requests: it reads what is there then. */
void sup_mode_reload_defer(struct step *s)
{
    struct sup *sup = s->sup;
    if (sup_sabotaged(s, SUP_SABOTAGE(LOSE_RELOAD)))
        return;
    if (sup->mode == SUP_MODE_ROLLING && sup_sabotaged(s, SUP_SABOTAGE(RELOAD_AT_ONCE))) {
        sup_workers_input(s, SUP_WIN_LEAVE, sup->trying, 0);
        sup_do(s, SUP_DO_DISCARD_CONF)->generation = sup->trying;
        sup_mode_reload_begin(s);
        return;
    }
    sup->pending |= SUP_PENDING_RELOAD;
    sup->pending &= (uint8_t)~SUP_PENDING_REST; /* the last word was to serve */
    sup_note(s, SUP_BECAUSE_DEFERRED);
}

void sup_mode_reload_refuse(struct step *s)
{
    sup_note(s, SUP_BECAUSE_STOPPING);
}

/* The workers went for the sake of an upgrade: HUP brings them back as they were, without reading
 * a configuration that may be the new binary's. There is nothing to undo this to, so they are
 * tried until they are ready. */
static void bring_back(struct step *s, bool by_hup)
{
    struct sup *sup = s->sup;
    sup->resting = false;
    sup->returning = true;
    sup->owes_report = by_hup;
    sup->before = sup->settings;
    sup->generation = ++sup->generation_last;
    sup_do(s, SUP_DO_KEEP_CONF)->generation = sup->generation;
    sup_set_base_mode(s);
    sup_workers_fill(s);
}

void sup_mode_reload_or_return(struct step *s)
{
    if (sup_sabotaged(s, SUP_SABOTAGE(NO_RETURN)))
        return;
    if (s->sup->other == SUP_OTHER_NEW)
        bring_back(s, true);
    else
        sup_mode_reload_begin(s);
}

void sup_mode_other_gone_return(struct step *s)
{
    bool was_new = s->sup->other == SUP_OTHER_NEW;
    sup_mode_other_gone(s);
    if (was_new)
        bring_back(s, false);
}

/* ---- loading ----------------------------------------------------------------------------- */

static void reload_failed(struct step *s, enum sup_outcome outcome, enum sup_reason reason)
{
    struct sup *sup = s->sup;
    report(s, sup->trying, outcome, reason);
    sup->reload_failed = true;
    sup->trying = 0;
    sup_set_base_mode(s);
}

void sup_mode_conf_refuse(struct step *s)
{
    if (sup_sabotaged(s, SUP_SABOTAGE(DIE_ON_BAD_CONFIG)))
        sup_do(s, SUP_DO_EXIT)->a = 1;
    reload_failed(s, SUP_RELOAD_REFUSED, SUP_BECAUSE_CONF);
}

void sup_mode_roll_begin(struct step *s)
{
    struct sup *sup = s->sup;
    sup->next = s->event->settings;
    if (sup->next.workers > SUP_SLOTS_MAX) {
        sup_do(s, SUP_DO_DISCARD_CONF)->generation = sup->trying;
        reload_failed(s, SUP_RELOAD_REFUSED, SUP_BECAUSE_TOO_MANY);
        return;
    }
    CORE_CHECK(sup->next.workers > 0);
    if (sup_sabotaged(s, SUP_SABOTAGE(DRAIN_BEFORE_READY)))
        sup_workers_input(s, SUP_WIN_LEAVE, sup->generation, 0);
    sup_set_mode(s, SUP_MODE_ROLLING, sup_after(s->now_ns, sup->next.reload_timeout_ns));
    for (uint32_t i = 0; i < sup->next.workers && !sup->short_handed; i++)
        sup_workers_add(s, sup->trying);
}

/* A stop came while the configuration was being loaded. */
void sup_mode_conf_drop(struct step *s)
{
    sup_do(s, SUP_DO_DISCARD_CONF)->generation = s->sup->trying;
    s->sup->trying = 0;
}

void sup_mode_conf_forget(struct step *s)
{
    s->sup->trying = 0;
}

/* ---- rolling ----------------------------------------------------------------------------- */

/* It is reported when the tried workers are gone, so that whoever is told finds all as it was. One
 * that hangs has been killed by the deadline, unless killing it failed. */
static void undo(struct step *s, enum sup_reason reason)
{
    struct sup *sup = s->sup;
    sup->undone.generation = sup->trying;
    sup->undone.reason = (uint8_t)reason;
    sup->undone.slot = s->spoiler.slot;
    sup->undone.status = s->spoiler.status;
    sup_workers_input(s, SUP_WIN_LEAVE, sup->trying, 0);
    sup_do(s, SUP_DO_DISCARD_CONF)->generation = sup->trying;
    sup->trying = 0;
    sup_set_mode(s, SUP_MODE_UNDOING, sup_after(s->now_ns, 3 * sup->options.grace_ns));
    sup_raise(s, SUP_IN_RETIRED);
    sup_workers_fill(s); /* only a sabotage has told the old ones to go */
}

void sup_mode_report_undone_anyway(struct step *s)
{
    struct sup *sup = s->sup;
    report(s, sup->undone.generation, SUP_RELOAD_UNDONE, (enum sup_reason)sup->undone.reason);
    sup->reload_failed = true;
    sup_set_base_mode(s);
}

void sup_mode_report_undone(struct step *s)
{
    const struct sup *sup = s->sup;
    for (uint32_t i = 0; i < sup->used; i++)
        if (sup->workers[i].generation == sup->undone.generation)
            return;
    sup_mode_report_undone_anyway(s);
}

void sup_mode_undo(struct step *s)
{
    undo(s, s->spoiler.reason);
}

void sup_mode_undo_late(struct step *s)
{
    undo(s, s->sup->short_handed ? SUP_BECAUSE_CROWDED : SUP_BECAUSE_LATE);
}

/* The old workers that serve stay until the new ones do; the others have promised nothing. */
static void let_the_idle_go(struct step *s, uint32_t generation)
{
    struct sup *sup = s->sup;
    for (uint32_t i = sup->used; i-- > 0;) { /* from the end: an entry may remove itself */
        struct sup_worker *w = &sup->workers[i];
        if (w->generation == generation && w->state != SUP_WORKER_READY)
            sup_worker_input(s, w, SUP_WIN_LEAVE);
    }
}

static void let_the_new_accept(struct step *s)
{
    const struct sup *sup = s->sup;
    for (uint32_t i = 0; i < sup->used; i++)
        if (sup_worker_is_member(&sup->workers[i], sup->generation))
            sup_do_worker(s, SUP_DO_GO, &sup->workers[i], 0);
}

void sup_mode_commit(struct step *s)
{
    struct sup *sup = s->sup;
    if (sup->short_handed ||
        !sup_workers_all(sup, SUP_WORKER_POISED, sup->trying, sup->next.workers))
        return;
    sup->outgoing = sup->generation;
    sup->generation = sup->trying;
    sup->trying = 0;
    sup->before = sup->settings;
    sup->settings = sup->next;
    sup->resting = false;
    sup->returning = false;
    sup->owes_report = false;
    sup->reload_failed = false;
    sup_do(s, SUP_DO_COMMIT)->generation = sup->generation;
    let_the_idle_go(s, sup->outgoing);
    let_the_new_accept(s);
    sup_set_mode(s, SUP_MODE_SWITCHING, sup_after(s->now_ns, sup->settings.reload_timeout_ns));
}

/* ---- switching --------------------------------------------------------------------------- */

/* New workers that do not come to accept are replaced like any others; the old are not kept for
 * them longer than it may take to start. */
void sup_mode_retire_anyway(struct step *s)
{
    struct sup *sup = s->sup;
    if (!sup_sabotaged(s, SUP_SABOTAGE(FIVE_SIGNALS)))
        sup_workers_input(s, SUP_WIN_LEAVE, sup->outgoing, 0); /* with their own drain bound */
    sup_set_mode(s, SUP_MODE_RETIRING, sup_after(s->now_ns, sup->options.grace_ns));
    sup_raise(s, SUP_IN_RETIRED);
}

void sup_mode_retire(struct step *s)
{
    const struct sup *sup = s->sup;
    if (sup_workers_all(sup, SUP_WORKER_READY, sup->generation, sup->settings.workers))
        sup_mode_retire_anyway(s);
}

/* ---- retiring ---------------------------------------------------------------------------- */

void sup_report_done(struct step *s)
{
    report(s, s->sup->generation, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
}

static void reload_done(struct step *s)
{
    sup_report_done(s);
    sup_set_base_mode(s); /* the first configuration may never have been ready, this one is */
}

void sup_mode_report_done(struct step *s)
{
    const struct sup *sup = s->sup;
    for (uint32_t i = 0; i < sup->used; i++) {
        const struct sup_worker *w = &sup->workers[i];
        if (w->state == SUP_WORKER_DRAINING && !w->settled && w->generation != sup->generation)
            return;
    }
    reload_done(s);
}

/* An old worker that does not say in time that it stopped accepting is hung or very busy: it is
 * not waited for, neither now nor by the next reload. */
void sup_mode_report_done_anyway(struct step *s)
{
    struct sup *sup = s->sup;
    for (uint32_t i = 0; i < sup->used; i++)
        if (sup->workers[i].generation != sup->generation)
            sup->workers[i].settled = true;
    reload_done(s);
}
