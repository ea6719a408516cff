/* The life of one worker entry: the cells of the worker table, and the only function that changes
 * a worker's state. */
#include "engine/core/sup_priv.h"

/* How soon something that could not be sent is sent again. */
enum { RESEND_MS = 100 };

static void sup_worker_set_state(struct step *s, struct sup_worker *w, enum sup_worker_state state,
                                 uint64_t deadline_ns)
{
    w->state = (uint8_t)state;
    w->deadline_ns = deadline_ns;
    if (deadline_ns < s->sup->due_ns)
        s->sup->due_ns = deadline_ns;
}

void sup_worker_input(struct step *s, struct sup_worker *w, enum sup_worker_input input)
{
    if (w->ghost && (input == SUP_WIN_LEAVE || input == SUP_WIN_HALT)) {
        sup_worker_forgotten(s, w);
        return;
    }
    sup_come_to(s, SUP_MODE_COUNT * SUP_MASTER_INPUT_COUNT + w->state * SUP_WORKER_INPUT_COUNT +
                       input);
    sup_worker_table[w->state][input](s, w);
}

void sup_worker_ignored(struct step *s, struct sup_worker *w)
{
    (void)s;
    (void)w;
}

void sup_worker_impossible(struct step *s, struct sup_worker *w)
{
    (void)s;
    (void)w;
    abort();
}

/* ---- being born -------------------------------------------------------------------------- */

void sup_worker_spawn(struct step *s, struct sup_worker *w)
{
    sup_worker_set_state(s, w, SUP_WORKER_SPAWNING, SUP_NEVER);
    sup_do_worker(s, SUP_DO_SPAWN, w, 0);
}

/* A configuration rules its own workers and no others. */
static const struct sup_settings *settings_of(const struct sup *sup, const struct sup_worker *w)
{
    if (sup->trying != 0 && w->generation == sup->trying)
        return &sup->next;
    return w->generation == sup->generation ? &sup->settings : &sup->before;
}

void sup_worker_started(struct step *s, struct sup_worker *w)
{
    w->fails = 0;
    w->born_ns = s->now_ns;
    sup_worker_set_state(s, w, SUP_WORKER_STARTING,
                         sup_after(s->now_ns, settings_of(s->sup, w)->reload_timeout_ns));
    if (w->leaving) /* it was told to go before it existed */
        sup_worker_input(s, w, s->sup->mode == SUP_MODE_STOPPING ? SUP_WIN_HALT : SUP_WIN_LEAVE);
}

void sup_worker_spawn_failed(struct step *s, struct sup_worker *w)
{
    if (w->leaving || sup_sabotaged(s, SUP_SABOTAGE(FORK_GIVES_UP))) {
        sup_worker_forgotten(s, w);
        return;
    }
    uint64_t delay_ns = sup_backoff_fork_ns(s, w);
    sup_worker_set_state(s, w, SUP_WORKER_WAITING, sup_after(s->now_ns, delay_ns));
    sup_do_worker(s, SUP_DO_RETRY, w, s->event->a)->b = delay_ns;
}

/* The watchdog's next look: a beat only moves beat_ns, so a worker that beats costs one look per
 * period and not one per beat. */
static uint64_t watch_ns(const struct sup *sup, const struct sup_worker *w)
{
    uint64_t watchdog_ns = settings_of(sup, w)->watchdog_ns;
    return watchdog_ns > 0 ? sup_after(w->beat_ns, watchdog_ns) : SUP_NEVER;
}

/* One of a generation on trial is kept waiting: whom it served would have met a configuration that
 * may still be withdrawn. */
void sup_worker_poised(struct step *s, struct sup_worker *w)
{
    w->beat_ns = s->now_ns;
    w->untold = false;
    sup_worker_set_state(s, w, SUP_WORKER_POISED, watch_ns(s->sup, w));
    if (w->generation == s->sup->generation)
        sup_do_worker(s, SUP_DO_GO, w, 0);
    else
        sup_raise(s, SUP_IN_GATHERED);
}

void sup_worker_ready(struct step *s, struct sup_worker *w)
{
    w->beat_ns = s->now_ns;
    sup_worker_set_state(s, w, SUP_WORKER_READY, watch_ns(s->sup, w));
    sup_raise(s, SUP_IN_GATHERED);
}

/* ---- living ------------------------------------------------------------------------------ */

void sup_worker_beats(struct step *s, struct sup_worker *w)
{
    if (s->event->a == w->beat)
        return;
    w->beat = s->event->a;
    w->beat_ns = s->now_ns;
}

static void sup_worker_abort(struct step *s, struct sup_worker *w, uint64_t silent_ns)
{
    sup_do_worker(s, SUP_DO_ABORT, w, silent_ns);
    sup_worker_set_state(s, w, SUP_WORKER_ABORTING, sup_after(s->now_ns, s->sup->options.grace_ns));
}

void sup_worker_watch(struct step *s, struct sup_worker *w)
{
    uint64_t look_ns = watch_ns(s->sup, w);
    bool hung = look_ns <= s->now_ns;

    if (hung && (w->ghost || sup_sabotaged(s, SUP_SABOTAGE(NO_WATCHDOG))))
        sup_worker_set_state(s, w, w->state, s->now_ns + NS_PER_S_CORE);
    else if (hung)
        sup_worker_abort(s, w, s->now_ns - w->beat_ns);
    else
        sup_worker_set_state(s, w, w->state, look_ns);
}

void sup_worker_poised_due(struct step *s, struct sup_worker *w)
{
    if (w->untold) {
        w->untold = false;
        sup_do_worker(s, SUP_DO_GO, w, 0);
    }
    sup_worker_watch(s, w);
}

void sup_worker_start_overdue(struct step *s, struct sup_worker *w)
{
    sup_worker_abort(s, w, s->now_ns - w->born_ns);
}

/* ---- being told to go -------------------------------------------------------------------- */

static void drain_within(struct step *s, struct sup_worker *w, uint64_t bound_ns)
{
    w->leaving = true;
    w->settled = false;
    w->untold = false;
    w->bound_ns = bound_ns > 0 ? sup_after(s->now_ns, bound_ns) : SUP_NEVER;
    sup_do_worker(s, SUP_DO_DRAIN, w, bound_ns);
    if (sup_sabotaged(s, SUP_SABOTAGE(STOP_TWICE)))
        sup_do_worker(s, SUP_DO_DRAIN, w, bound_ns);
    uint64_t look_ns = watch_ns(s->sup, w);
    sup_worker_set_state(s, w, SUP_WORKER_DRAINING, look_ns < w->bound_ns ? look_ns : w->bound_ns);
}

void sup_worker_drain(struct step *s, struct sup_worker *w)
{
    drain_within(s, w, settings_of(s->sup, w)->drain_ns);
}

/* It has promised nothing to anybody: it gets a moment. */
void sup_worker_drain_unready(struct step *s, struct sup_worker *w)
{
    w->beat_ns = s->now_ns;
    drain_within(s, w, s->sup->options.grace_ns);
}

/* One on trial has promised nothing either; any other was told to accept, and may have. */
void sup_worker_drain_poised(struct step *s, struct sup_worker *w)
{
    if (w->generation == s->sup->trying)
        sup_worker_drain_unready(s, w);
    else
        sup_worker_drain(s, w);
}

void sup_worker_settled(struct step *s, struct sup_worker *w)
{
    w->settled = true;
    sup_raise(s, SUP_IN_RETIRED);
}

void sup_worker_tell_later(struct step *s, struct sup_worker *w)
{
    uint64_t again_ns = s->now_ns + RESEND_MS * NS_PER_MS_CORE;
    w->untold = true;
    if (again_ns < w->deadline_ns)
        sup_worker_set_state(s, w, w->state, again_ns);
}

void sup_worker_drain_due(struct step *s, struct sup_worker *w)
{
    uint64_t look_ns = watch_ns(s->sup, w);

    if (w->bound_ns <= s->now_ns) {
        if (sup_sabotaged(s, SUP_SABOTAGE(DRAIN_FOR_EVER) | SUP_SABOTAGE(SERVE_OLD)))
            w->bound_ns = s->now_ns + NS_PER_S_CORE;
        else {
            sup_worker_term(s, w);
            return;
        }
    } else if (look_ns <= s->now_ns) {
        sup_worker_abort(s, w, s->now_ns - w->beat_ns);
        sup_raise(s, SUP_IN_RETIRED);
        return;
    }
    if (w->untold) {
        w->untold = false;
        sup_do_worker(s, SUP_DO_DRAIN, w, w->bound_ns == SUP_NEVER ? 0 : w->bound_ns - s->now_ns);
    }
    sup_worker_set_state(s, w, SUP_WORKER_DRAINING,
                         look_ns > s->now_ns && look_ns < w->bound_ns ? look_ns : w->bound_ns);
}

void sup_worker_term(struct step *s, struct sup_worker *w)
{
    bool fast = s->sup->mode == SUP_MODE_STOPPING;
    w->leaving = true;
    sup_do_worker(s, SUP_DO_TERM, w, 0);
    sup_worker_set_state(
        s, w, SUP_WORKER_TERMINATING,
        sup_after(s->now_ns, fast ? s->sup->options.fast_ns : s->sup->options.grace_ns));
    sup_raise(s, SUP_IN_RETIRED);
}

void sup_worker_term_due(struct step *s, struct sup_worker *w)
{
    if (sup_sabotaged(s, SUP_SABOTAGE(IGNORE_TERM)))
        sup_worker_set_state(s, w, SUP_WORKER_TERMINATING, s->now_ns + NS_PER_S_CORE);
    else
        sup_worker_kill(s, w);
}

/* KILL cannot be ignored, so there is no deadline behind it. */
void sup_worker_kill(struct step *s, struct sup_worker *w)
{
    bool hung = w->state == SUP_WORKER_ABORTING;
    sup_do_worker(s, SUP_DO_KILL, w, hung ? s->now_ns - w->beat_ns : 0);
    sup_worker_set_state(s, w, SUP_WORKER_KILLING, SUP_NEVER);
}

void sup_worker_kill_later(struct step *s, struct sup_worker *w)
{
    sup_worker_set_state(s, w, SUP_WORKER_KILLING, s->now_ns + RESEND_MS * NS_PER_MS_CORE);
}

void sup_worker_leave_noted(struct step *s, struct sup_worker *w)
{
    (void)s;
    w->leaving = true;
}

/* ---- being gone -------------------------------------------------------------------------- */

/* Removes the entry; the last one takes its place. */
void sup_worker_forgotten(struct step *s, struct sup_worker *w)
{
    struct sup *sup = s->sup;
    *w = sup->workers[--sup->used];
    sup_raise(s, SUP_IN_RETIRED);
    sup_raise(s, SUP_IN_EMPTY);
}

static void sabotage_neighbours(struct step *s, const struct sup_worker *dead)
{
    struct sup *sup = s->sup;

    if (sup_sabotaged(s, SUP_SABOTAGE(SPAWN_TWICE)))
        sup_workers_add(s, dead->generation);
    if (!sup_sabotaged(s, SUP_SABOTAGE(KILL_NEIGHBOUR)))
        return;
    for (uint32_t i = 0; i < sup->used; i++) {
        if (&sup->workers[i] != dead && sup->workers[i].state == SUP_WORKER_READY) {
            sup_do_worker(s, SUP_DO_KILL, &sup->workers[i], 0);
            return;
        }
    }
}

/* Whoever has been told TERM or ABRT gets an eighth of the time that is left. */
static void sabotage_hurry(struct step *s)
{
    struct sup *sup = s->sup;

    if (!sup_sabotaged(s, SUP_SABOTAGE(HASTY_KILL)))
        return;
    for (uint32_t i = 0; i < sup->used; i++) {
        struct sup_worker *w = &sup->workers[i];
        bool told = w->state == SUP_WORKER_TERMINATING || w->state == SUP_WORKER_ABORTING;
        if (told && w->deadline_ns > s->now_ns)
            sup_worker_set_state(s, w, (enum sup_worker_state)w->state,
                                 s->now_ns + (w->deadline_ns - s->now_ns) / 8);
    }
}

static void respawn(struct step *s, struct sup_worker *w)
{
    uint64_t delay_ns = sup_backoff_crash_ns(s, w);
    sup_do_worker(s, SUP_DO_RESPAWN, w, delay_ns)->b = w->crashes;
    if (delay_ns > 0)
        sup_worker_set_state(s, w, SUP_WORKER_WAITING, sup_after(s->now_ns, delay_ns));
    else
        sup_worker_spawn(s, w);
}

void sup_worker_crashed(struct step *s, struct sup_worker *w)
{
    struct sup *sup = s->sup;

    sabotage_hurry(s);
    if (sup->mode == SUP_MODE_ROLLING && sup_worker_is_member(w, sup->trying)) {
        s->spoiler.slot = w->slot;
        s->spoiler.reason = SUP_BECAUSE_EXITED;
        s->spoiler.status = s->event->a;
        sup_raise(s, SUP_IN_SPOILED);
        sup_worker_forgotten(s, w);
        return;
    }
    if (!sup_worker_is_member(w, sup->generation)) {
        sup_worker_forgotten(s, w);
        return;
    }
    if (sup_sabotaged(s, SUP_SABOTAGE(NO_RESPAWN))) {
        w->ghost = true;
        w->state = SUP_WORKER_READY;
        return;
    }
    respawn(s, w);
    sabotage_neighbours(s, w);
}

/* One that was sent a signal is reaped: TTOU, a commit or a stop wanted it gone, or it was hung
 * and gets a successor. */
void sup_worker_gone(struct step *s, struct sup_worker *w)
{
    if (w->leaving)
        sup_worker_forgotten(s, w);
    else
        sup_worker_crashed(s, w);
}

/* ---- all of them ------------------------------------------------------------------------- */

void sup_workers_input(struct step *s, enum sup_worker_input input, uint32_t generation,
                       uint32_t but)
{
    struct sup *sup = s->sup;
    for (uint32_t i = sup->used; i-- > 0;) { /* from the end: an entry may remove itself */
        struct sup_worker *w = &sup->workers[i];
        if ((generation == 0 || w->generation == generation) && (but == 0 || w->generation != but))
            sup_worker_input(s, w, input);
    }
}

/* The lowest slot that no entry of this generation holds, so that (slot, generation) names at most
 * one process also while a worker that TTOU told to go is still draining. */
static int16_t free_slot(const struct sup *sup, uint32_t generation)
{
    uint64_t taken[SUP_WORKERS_MAX / 64] = {0};
    int16_t slot = 0;

    for (uint32_t i = 0; i < sup->used; i++) {
        const struct sup_worker *w = &sup->workers[i];
        if (w->generation == generation)
            taken[w->slot / 64] |= UINT64_C(1) << (w->slot % 64);
    }
    while (taken[slot / 64] & (UINT64_C(1) << (slot % 64)))
        slot++;
    return slot;
}

void sup_workers_add(struct step *s, uint32_t generation)
{
    struct sup *sup = s->sup;
    if (sup->used == SUP_WORKERS_MAX) {
        sup->short_handed = true;
        return;
    }
    int16_t slot = free_slot(sup, generation);
    struct sup_worker *w = &sup->workers[sup->used++];
    *w = (struct sup_worker){.generation = generation, .slot = slot, .bound_ns = SUP_NEVER};
    sup_worker_spawn(s, w);
}

static void fill(struct step *s, uint32_t generation, uint32_t wanted)
{
    struct sup *sup = s->sup;
    uint32_t members = 0;

    for (uint32_t i = 0; i < sup->used; i++)
        members += sup_worker_is_member(&sup->workers[i], generation);
    for (; members < wanted && !sup->short_handed; members++)
        sup_workers_add(s, generation);
}

void sup_workers_fill(struct step *s)
{
    struct sup *sup = s->sup;

    sup->short_handed = false;
    if (sup->mode >= SUP_MODE_QUITTING)
        return;
    if (sup->trying != 0 && sup->mode == SUP_MODE_ROLLING)
        fill(s, sup->trying, sup->next.workers);
    if (!sup->resting)
        fill(s, sup->generation, sup->settings.workers);
}

bool sup_workers_all(const struct sup *sup, enum sup_worker_state state, uint32_t generation,
                     uint32_t wanted)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < sup->used; i++) {
        const struct sup_worker *w = &sup->workers[i];
        found += sup_worker_is_member(w, generation) && w->state == state;
    }
    return found >= wanted;
}
