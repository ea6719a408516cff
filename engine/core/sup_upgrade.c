/* A binary upgrade: a new binary starts beside this master with the same listeners; when its
 * workers are ready there are two masters, until one of them is told to go. While the new one
 * starts nothing else is done, and if it does not become ready nothing has changed. */
#include "engine/core/sup_priv.h"

static void report(struct step *s, enum sup_upgrade what, enum sup_reason reason)
{
    struct sup_effect *effect = sup_do(s, SUP_DO_UPGRADE_REPORT);
    effect->a = what;
    effect->reason = (uint8_t)reason;
    effect->b = s->event->kind == SUP_OTHER_GONE ? s->event->a : 0;
}

void sup_mode_upgrade_begin(struct step *s)
{
    struct sup *sup = s->sup;
    if (sup->other != SUP_OTHER_NONE) {
        report(s, SUP_UPGRADE_REFUSED, SUP_BECAUSE_BUSY);
        return;
    }
    sup->other = SUP_OTHER_STARTING;
    sup_set_mode(s, SUP_MODE_UPGRADING, sup_after(s->now_ns, sup->settings.reload_timeout_ns));
    sup_do(s, SUP_DO_UPGRADE_START);
    report(s, SUP_UPGRADE_STARTED, SUP_BECAUSE_NONE);
}

void sup_mode_upgrade_defer(struct step *s)
{
    s->sup->pending |= SUP_PENDING_UPGRADE;
    sup_note(s, SUP_BECAUSE_DEFERRED);
}

void sup_mode_upgrade_refuse(struct step *s)
{
    bool stopping = s->sup->mode != SUP_MODE_UPGRADING;
    report(s, SUP_UPGRADE_REFUSED, stopping ? SUP_BECAUSE_STOPPING : SUP_BECAUSE_BUSY);
}

void sup_mode_upgrade_ready(struct step *s)
{
    if (s->sup->other != SUP_OTHER_STARTING) /* too late, it was told to go */
        return;
    s->sup->other = SUP_OTHER_NEW;
    sup_set_base_mode(s);
    report(s, SUP_UPGRADE_READY, SUP_BECAUSE_NONE);
    if (sup_sabotaged(s, SUP_SABOTAGE(REST_AT_READY)))
        sup_mode_rest_begin(s);
}

/* The new binary never took over: the old workers stay, also if they had been asked to go. */
void sup_mode_upgrade_failed(struct step *s)
{
    struct sup *sup = s->sup;
    bool stalled = sup->other != SUP_OTHER_STARTING;

    sup->other = sup_sabotaged(s, SUP_SABOTAGE(UPGRADE_STUCK)) ? SUP_OTHER_NEW : SUP_OTHER_NONE;
    sup_do(s, SUP_DO_RESTORE_PID);
    report(s, SUP_UPGRADE_FAILED, stalled ? SUP_BECAUSE_STALLED : SUP_BECAUSE_DIED);
    if (sup->pending & SUP_PENDING_REST) {
        sup->pending &= (uint8_t)~SUP_PENDING_REST;
        sup_note(s, SUP_BECAUSE_DROPPED);
    }
    sup_set_base_mode(s);
}

/* How long one that was asked to leave may take: as its workers, or where they have no bound, as
 * long as it had for its start. (What they serve then they finish without a master.) */
static uint64_t parting_ns(const struct sup *sup)
{
    const struct sup_settings *settings = &sup->settings;
    return settings->drain_ns != 0 ? settings->drain_ns + 2 * sup->options.grace_ns
                                   : settings->reload_timeout_ns;
}

/* All of its workers are not ready, but some may be, and have clients: so it is asked with QUIT. */
void sup_mode_upgrade_overdue(struct step *s)
{
    struct sup *sup = s->sup;
    bool first = sup->other == SUP_OTHER_STARTING;

    sup->other = first ? SUP_OTHER_ASKED : SUP_OTHER_KILLED;
    sup_do(s, first ? SUP_DO_UPGRADE_QUIT : SUP_DO_UPGRADE_KILL);
    sup_set_mode(s, SUP_MODE_UPGRADING, first ? sup_after(s->now_ns, parting_ns(sup)) : SUP_NEVER);
}

/* One of two masters is left. */
void sup_mode_other_gone(struct step *s)
{
    struct sup *sup = s->sup;
    if (sup->other == SUP_OTHER_NONE)
        return;
    if (sup->other == SUP_OTHER_NEW)
        sup_do(s, SUP_DO_RESTORE_PID);
    sup->other = SUP_OTHER_NONE;
    report(s, SUP_UPGRADE_OVER, SUP_BECAUSE_NONE);
}

/* This master is being stopped; who is left matters to it only for the files it shares. */
void sup_mode_other_noted(struct step *s)
{
    struct sup *sup = s->sup;
    if (s->event->kind == SUP_OTHER_READY && sup->other == SUP_OTHER_STARTING)
        sup->other = SUP_OTHER_NEW;
    else if (s->event->kind == SUP_OTHER_GONE)
        sup->other = SUP_OTHER_NONE;
}
