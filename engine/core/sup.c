/* The supervisor's step: an event finds its cell, the cell decides, what it raised is handled. */
#include "engine/core/sup.h"

#include <string.h>

#include "engine/core/sup_priv.h"

static void step_event(struct step *s);
static void step_timer(struct step *s);
static void step_raised(struct step *s);
static void step_settle(struct step *s);
static bool stash_event(struct step *s);
static void stash_release(struct step *s);

void sup_step(struct sup *sup, uint64_t now_ns, const struct sup_event *event,
              struct sup_effects *effects)
{
    struct step s = {.sup = sup, .now_ns = now_ns, .event = event, .effects = effects};

    effects->count = 0;
    memset(effects->cells, 0, sizeof(effects->cells));
    if (event->kind == SUP_TIMER)
        step_timer(&s);
    else if (!stash_event(&s))
        step_event(&s);
    step_raised(&s);
    if (sup->stash != 0)
        stash_release(&s);
    step_settle(&s);
}

uint64_t sup_next_deadline_ns(const struct sup *sup)
{
    return sup->due_ns;
}

void sup_init(struct sup *sup, const struct sup_options *options)
{
    /* The entries are written when they are taken; only what is before them is cleared. */
    memset(sup, 0, offsetof(struct sup, workers));
    CORE_CHECK(options->settings.workers > 0 && options->settings.workers <= SUP_SLOTS_MAX);
    CORE_CHECK(options->grace_ns > 0 && options->fast_ns > 0);
    sup->options = *options;
    sup->settings = sup->before = options->settings;
    sup->random = options->seed;
    sup->mode = SUP_MODE_BOOTING;
    sup->mode_deadline_ns = SUP_NEVER;
    sup->due_ns = SUP_NEVER;
    sup->other = options->has_old_master ? SUP_OTHER_OLD : SUP_OTHER_NONE;
}

struct sup_options sup_options_default(const struct sup_settings *settings, uint64_t seed)
{
    return (struct sup_options){
        .settings = *settings,
        .seed = seed,
        .grace_ns = NS_PER_S_CORE,
        .fast_ns = NS_PER_S_CORE,
        .stable_ns = NS_PER_S_CORE,
        .tree_period_ns = 100 * NS_PER_MS_CORE,
    };
}

/* ---- one event --------------------------------------------------------------------------- */

static void master_input(struct step *s, enum sup_master_input input)
{
    sup_come_to(s, s->sup->mode * SUP_MASTER_INPUT_COUNT + input);
    sup_mode_table[s->sup->mode][input](s);
}

static struct sup_worker *find(struct sup *sup, int slot, uint32_t generation)
{
    for (uint32_t i = 0; i < sup->used; i++) {
        struct sup_worker *w = &sup->workers[i];
        if (w->slot == slot && w->generation == generation)
            return w;
    }
    return NULL;
}

const struct sup_worker *sup_find(const struct sup *sup, int slot, uint32_t generation)
{
    return find((struct sup *)sup, slot, generation);
}

static void step_event(struct step *s)
{
    const struct sup_event *event = s->event;
    CORE_CHECK(event->kind < SUP_EVENT_COUNT);
    if (event->kind < SUP_SPAWNED) {
        master_input(s, (enum sup_master_input)event->kind);
        return;
    }
    struct sup_worker *w = find(s->sup, event->slot, event->generation);
    if (w == NULL) /* a late word about one that is gone */
        return;
    sup_worker_input(s, w, (enum sup_worker_input)(event->kind - SUP_SPAWNED));
}

static void step_raised(struct step *s)
{
    /* A generation that lost a worker must not be taken for complete: SPOILED comes first. */
    static const enum sup_master_input order[] = {SUP_IN_SPOILED, SUP_IN_GATHERED, SUP_IN_RETIRED,
                                                  SUP_IN_EMPTY};
    while (s->raised != 0) {
        for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
            uint32_t bit = UINT32_C(1) << order[i];
            if ((s->raised & bit) == 0)
                continue;
            s->raised &= ~bit;
            master_input(s, order[i]);
        }
    }
}

/* Looks at every deadline that has come, then finds the next. */
static void step_timer(struct step *s)
{
    struct sup *sup = s->sup;

    if (s->now_ns < sup->due_ns)
        return;
    sup->due_ns = SUP_NEVER; /* cells that set a deadline lower it */
    if (sup->mode_deadline_ns <= s->now_ns) {
        sup->mode_deadline_ns = SUP_NEVER;
        master_input(s, SUP_IN_OVERDUE);
    }
    for (uint32_t i = sup->used; i-- > 0;) /* a cell may remove the entry it is given, no other */
        if (sup->workers[i].deadline_ns <= s->now_ns)
            sup_worker_input(s, &sup->workers[i], SUP_WIN_DUE);
    for (uint32_t i = 0; i < sup->used; i++)
        if (sup->workers[i].deadline_ns < sup->due_ns)
            sup->due_ns = sup->workers[i].deadline_ns;
    if (sup->mode_deadline_ns < sup->due_ns)
        sup->due_ns = sup->mode_deadline_ns;
}

static bool has_room(struct step *s)
{
    return !sup_reload_crowded(s->sup) || sup_sabotaged(s, SUP_SABOTAGE(PILE_UP));
}

/* What was put off while something was under way is taken up, in the order that loses nothing:
 * sizes first, then the reload, the upgrade only beside workers that serve, going to rest last. */
static void step_settle(struct step *s)
{
    struct sup *sup = s->sup;

    if (sup->short_handed)
        sup_workers_fill(s);
    while (sup->pending != 0 || sup->pending_resize != 0) {
        bool base = sup->mode == SUP_MODE_RUNNING || sup->mode == SUP_MODE_RESTING ||
                    sup->mode == SUP_MODE_BOOTING;
        if (!base)
            return;
        if (sup->pending_resize != 0) {
            bool grow = sup->pending_resize > 0;
            sup->pending_resize = (int16_t)(sup->pending_resize + (grow ? -1 : 1));
            master_input(s, grow ? SUP_IN_GROW : SUP_IN_SHRINK);
        } else if ((sup->pending & SUP_PENDING_RELOAD) && has_room(s)) {
            sup->pending &= (uint8_t)~SUP_PENDING_RELOAD;
            master_input(s, SUP_IN_RELOAD);
        } else if ((sup->pending & SUP_PENDING_UPGRADE) && sup->mode != SUP_MODE_BOOTING) {
            sup->pending &= (uint8_t)~SUP_PENDING_UPGRADE;
            master_input(s, SUP_IN_UPGRADE);
        } else if (sup->pending & SUP_PENDING_REST) {
            sup->pending &= (uint8_t)~SUP_PENDING_REST;
            master_input(s, SUP_IN_REST);
        } else {
            return; /* an upgrade waits until the first workers are ready, a reload for room */
        }
        step_raised(s);
    }
}

/* ---- effects and modes ------------------------------------------------------------------- */

struct sup_effect *sup_do(struct step *s, enum sup_effect_kind kind)
{
    struct sup_effects *effects = s->effects;
    CORE_CHECK(effects->count < SUP_EFFECTS_MAX);
    struct sup_effect *effect = &effects->at[effects->count++];
    *effect = (struct sup_effect){.kind = (uint8_t)kind, .slot = -1};
    return effect;
}

struct sup_effect *sup_do_worker(struct step *s, enum sup_effect_kind kind,
                                 const struct sup_worker *w, uint64_t a)
{
    struct sup_effect *effect = sup_do(s, kind);
    effect->slot = w->slot;
    effect->generation = w->generation;
    effect->a = a;
    return effect;
}

void sup_note(struct step *s, enum sup_reason reason)
{
    struct sup_effect *effect = sup_do(s, SUP_DO_NOTE);
    effect->reason = (uint8_t)reason;
    effect->a = s->event->kind;
}

void sup_set_mode(struct step *s, enum sup_mode mode, uint64_t deadline_ns)
{
    struct sup *sup = s->sup;
    sup->mode = (uint8_t)mode;
    sup->mode_deadline_ns = deadline_ns;
    if (deadline_ns < sup->due_ns)
        sup->due_ns = deadline_ns;
}

void sup_set_base_mode(struct step *s)
{
    struct sup *sup = s->sup;
    if (sup->resting)
        sup_set_mode(s, SUP_MODE_RESTING, SUP_NEVER);
    else if (sup->announced && !sup->returning)
        sup_set_mode(s, SUP_MODE_RUNNING, SUP_NEVER);
    else
        sup_set_mode(s, SUP_MODE_BOOTING, SUP_NEVER);
    sup_raise(s, SUP_IN_GATHERED); /* they may have become ready meanwhile */
}

/* ---- sabotage wait_for_workers: deaf to control signals while a worker is silent --------- */

static bool someone_silent(const struct sup *sup, uint64_t now_ns)
{
    for (uint32_t i = 0; i < sup->used; i++) {
        const struct sup_worker *w = &sup->workers[i];
        if (w->state == SUP_WORKER_READY && now_ns - w->beat_ns > 500 * NS_PER_MS_CORE)
            return true;
    }
    return false;
}

static bool is_signal(enum sup_event_kind kind)
{
    return kind >= SUP_RELOAD && kind <= SUP_SHRINK;
}

static bool stash_event(struct step *s)
{
    struct sup *sup = s->sup;
    if (!is_signal(s->event->kind))
        return false;
    if (s->now_ns - sup->signals_since_ns > NS_PER_S_CORE) {
        sup->signals_since_ns = s->now_ns;
        sup->signals = 0;
    }
    sup->signals++;
    if (!sup_sabotaged(s, SUP_SABOTAGE(WAIT_FOR_WORKERS)) || !someone_silent(sup, s->now_ns))
        return false;
    sup->stash |= UINT32_C(1) << s->event->kind;
    return true;
}

static void stash_release(struct step *s)
{
    struct sup *sup = s->sup;
    if (someone_silent(sup, s->now_ns))
        return;
    for (unsigned kind = SUP_RELOAD; kind <= SUP_SHRINK; kind++) {
        if ((sup->stash & (UINT32_C(1) << kind)) == 0)
            continue;
        sup->stash &= ~(UINT32_C(1) << kind);
        master_input(s, (enum sup_master_input)kind);
        step_raised(s);
    }
}

/* ---- which sabotages matter now ---------------------------------------------------------- */

static uint64_t wanted_by_timer(const struct sup *sup, uint64_t now_ns)
{
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < sup->used; i++) {
        const struct sup_worker *w = &sup->workers[i];
        if (w->deadline_ns > now_ns)
            continue;
        if (w->state == SUP_WORKER_READY || w->state == SUP_WORKER_POISED)
            wanted |= SUP_SABOTAGE(NO_WATCHDOG);
        if (w->state == SUP_WORKER_DRAINING && w->bound_ns <= now_ns)
            wanted |= SUP_SABOTAGE(DRAIN_FOR_EVER) | SUP_SABOTAGE(SERVE_OLD);
        if (w->state == SUP_WORKER_TERMINATING)
            wanted |= SUP_SABOTAGE(IGNORE_TERM);
    }
    return wanted;
}

uint64_t sup_sabotage_wanted(const struct sup *sup, uint64_t now_ns, const struct sup_event *event)
{
    bool reloading = sup->mode >= SUP_MODE_LOADING && sup->mode <= SUP_MODE_UNDOING;
    uint64_t wanted = 0;

    if (is_signal(event->kind) && someone_silent(sup, now_ns))
        wanted |= SUP_SABOTAGE(WAIT_FOR_WORKERS);
    if ((sup->pending & SUP_PENDING_RELOAD) && sup_reload_crowded(sup))
        wanted |= SUP_SABOTAGE(PILE_UP);
    switch (event->kind) {
    case SUP_RELOAD:
        wanted |= reloading ? SUP_SABOTAGE(LOSE_RELOAD) | SUP_SABOTAGE(RELOAD_AT_ONCE)
                            : SUP_SABOTAGE(REPORT_EARLY) | SUP_SABOTAGE(PILE_UP);
        if (sup->reload_failed)
            wanted |= SUP_SABOTAGE(DEAF_AFTER_FAILED_RELOAD);
        if (sup->mode == SUP_MODE_RESTING)
            wanted |= SUP_SABOTAGE(NO_RETURN);
        return wanted;
    case SUP_OTHER_READY:
        return SUP_SABOTAGE(REST_AT_READY);
    case SUP_OTHER_GONE:
        return SUP_SABOTAGE(UPGRADE_STUCK);
    case SUP_CONF_OK:
        return SUP_SABOTAGE(DRAIN_BEFORE_READY);
    case SUP_CONF_BAD:
        return SUP_SABOTAGE(DIE_ON_BAD_CONFIG);
    case SUP_EXITED:
        return wanted | SUP_SABOTAGE(NO_RESPAWN) | SUP_SABOTAGE(SPAWN_TWICE) |
               SUP_SABOTAGE(KILL_NEIGHBOUR) | SUP_SABOTAGE(NO_BACKOFF) | SUP_SABOTAGE(HASTY_KILL);
    case SUP_SPAWN_FAILED:
        return SUP_SABOTAGE(FORK_GIVES_UP);
    case SUP_READY:
        if (sup->mode != SUP_MODE_SWITCHING)
            return 0;
        return SUP_SABOTAGE(STOP_TWICE) | (sup->signals > 5 ? SUP_SABOTAGE(FIVE_SIGNALS) : 0);
    case SUP_GROW:
        return wanted | SUP_SABOTAGE(GROW_TWICE);
    case SUP_QUIT:
    case SUP_SHRINK:
        return wanted | SUP_SABOTAGE(STOP_TWICE);
    case SUP_TIMER:
        return wanted | wanted_by_timer(sup, now_ns);
    default:
        return wanted;
    }
}
