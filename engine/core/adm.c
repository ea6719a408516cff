/* Admission as a table: what each event means in each state. change() alone moves from one state
 * to another. */
#include "engine/core/adm.h"

#include "engine/core/check.h"

struct step {
    struct adm *a;
    uint64_t now_ns;
    const struct adm_event *event;
    struct adm_effects *effects;
};
typedef void adm_cell(const struct step *s);

/* ---- what cells are made of ------------------------------------------------------------------ */

/* Accepts are granted for one wake in one state: leaving the state takes them back. */
static void change(const struct step *s, enum adm_state state, uint64_t deadline_ns)
{
    s->a->state = (uint8_t)state;
    s->a->deadline_ns = deadline_ns;
    s->a->grant = 0;
}

static struct adm_effect *emit(const struct step *s, enum adm_effect_kind kind)
{
    CORE_CHECK(s->effects->count < ADM_EFFECTS_MAX);
    struct adm_effect *effect = &s->effects->items[s->effects->count++];
    *effect = (struct adm_effect){.kind = (uint8_t)kind};
    return effect;
}

static bool sabotaged(const struct step *s, enum adm_sabotage bit)
{
    return __builtin_expect((s->event->sabotage & bit) != 0, 0);
}

static uint64_t after(const struct step *s, uint64_t delay_ns)
{
    bool bounded = delay_ns != 0 && delay_ns < ADM_NEVER_NS - s->now_ns;
    return bounded ? s->now_ns + delay_ns : ADM_NEVER_NS;
}

/* Connections there is room for; at least one, or nobody would ever be served. */
static void find_room(struct adm *a)
{
    const struct adm_options *o = &a->options;
    uint32_t taken = o->fd_base + o->fd_reserve;
    uint32_t by_fd = o->fd_limit == 0 ? UINT32_MAX : o->fd_limit > taken ? o->fd_limit - taken : 1;
    a->by_fd = by_fd < o->connections_max;
    uint32_t all = a->by_fd ? by_fd : o->connections_max;
    a->limit = all > a->others ? all - a->others : 1;
}

static void leave(const struct step *s, uint32_t code)
{
    change(s, ADM_GONE, ADM_NEVER_NS);
    emit(s, ADM_DO_EXIT)->value = code;
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void resume(const struct step *s)
{
    change(s, ADM_ACCEPTING, ADM_NEVER_NS);
    emit(s, ADM_DO_WATCH)->why = s->a->why;
}

static void pause_accepting(const struct step *s, enum adm_state state, enum adm_why why,
                            uint64_t deadline_ns)
{
    bool watched = s->a->state == ADM_ACCEPTING;
    change(s, state, deadline_ns);
    s->a->why = (uint8_t)why;
    if (watched)
        emit(s, ADM_DO_UNWATCH)->why = (uint8_t)why;
}

/* How many connections to ask for: an eighth, enough to make a difference and not a massacre. Those
 * to other servers may be more than there is room for, and are opened again as soon as one was
 * closed: fewer than they are too many would make room for nobody else, ever. */
static void relieve(const struct step *s)
{
    const struct adm *a = s->a;
    uint32_t count = a->active / 8;
    uint32_t missing = a->active >= a->limit ? a->active - a->limit + 1 : 0;
    if (missing > a->others)
        missing = a->others;
    count = missing > count ? missing : count;
    emit(s, ADM_DO_RELIEVE)->value = count < 1 ? 1 : count > 32 ? 32 : count;
}

static void become_full(const struct step *s)
{
    pause_accepting(s, ADM_FULL, s->a->by_fd ? ADM_WHY_FD : ADM_WHY_CONNECTIONS,
                    after(s, s->a->options.relieve_ns));
    relieve(s);
}

/* The system said no. Each failure without a success between doubles the delay, so that a shortage
 * that lasts costs next to nothing. */
static void starve(const struct step *s, enum adm_why why)
{
    struct adm *a = s->a;
    pause_accepting(s, ADM_STARVED, why, after(s, a->retry_ns));
    bool far = a->retry_ns >= a->options.retry_max_ns / 2;
    a->retry_ns = far ? a->options.retry_max_ns : a->retry_ns * 2;
}

static void resume_or_fill(const struct step *s)
{
    if (s->a->active < s->a->limit)
        resume(s);
    else
        become_full(s);
}

/* ---- cells ----------------------------------------------------------------------------------- */

static void ignored(const struct step *s)
{
    (void)s;
}

/* The driver told of something that cannot be: its books and ours differ. */
static void impossible(const struct step *s)
{
    (void)s;
    abort();
}

static void start(const struct step *s)
{
    change(s, ADM_ACCEPTING, ADM_NEVER_NS);
    emit(s, ADM_DO_WATCH)->why = ADM_WHY_CONNECTIONS;
}

static void grant(const struct step *s)
{
    s->a->grant = s->a->options.multi_accept ? ADM_BATCH_MAX : 1;
    if (sabotaged(s, ADM_SAB_HOARD_ACCEPTS))
        s->a->grant = UINT32_MAX;
}

static void count_accepted(const struct step *s)
{
    s->a->active++;
    s->a->accepted++;
}

static void take(const struct step *s)
{
    struct adm *a = s->a;
    count_accepted(s);
    a->retry_ns = a->options.retry_min_ns;
    if (a->grant > 0)
        a->grant--;
    if (a->active < a->limit)
        return;
    if (sabotaged(s, ADM_SAB_CRASH_AT_CONNECTIONS)) {
        change(s, ADM_GONE, ADM_NEVER_NS);
        emit(s, ADM_DO_ABORT);
    } else {
        become_full(s);
    }
}

/* None waits any more. */
static void stop_batch(const struct step *s)
{
    s->a->grant = 0;
}

/* That client is gone; it was a try all the same, or a flood of them would hold the loop. */
static void skip(const struct step *s)
{
    if (s->a->grant > 0)
        s->a->grant--;
}

static void lack_fd(const struct step *s)
{
    if (sabotaged(s, ADM_SAB_DIE_AT_EMFILE)) {
        leave(s, 1);
        return;
    }
    if (sabotaged(s, ADM_SAB_SPIN_AT_EMFILE))
        return;
    starve(s, ADM_WHY_FD);
    if (s->a->active > 0)
        relieve(s);
    if (sabotaged(s, ADM_SAB_NEVER_RESUME)) {
        s->a->stuck = true;
        s->a->deadline_ns = ADM_NEVER_NS;
    }
}

static void lack_memory(const struct step *s)
{
    starve(s, ADM_WHY_MEMORY);
}

/* Nobody knows what is wrong with the listener; the retry is as slow as for a shortage, so that a
 * lasting defect is no loop either. The driver logs it. */
static void broken(const struct step *s)
{
    starve(s, ADM_WHY_FD);
}

static void count_closed(const struct step *s)
{
    CORE_CHECK(s->a->active > 0);
    s->a->active--;
}

static void closed_full(const struct step *s)
{
    count_closed(s);
    if (s->a->active < s->a->limit)
        resume(s);
}

static void freed_starved(const struct step *s)
{
    if (!s->a->stuck)
        resume_or_fill(s);
}

static void closed_starved(const struct step *s)
{
    count_closed(s);
    freed_starved(s);
}

static void closed_draining(const struct step *s)
{
    count_closed(s);
    if (s->a->active == 0)
        leave(s, 0);
}

static void closed_gone(const struct step *s)
{
    count_closed(s);
}

static void set_limit(const struct step *s)
{
    uint32_t value = s->event->value < UINT32_MAX ? (uint32_t)s->event->value : UINT32_MAX;
    if (s->event->kind == ADM_EV_OTHERS)
        s->a->others = value;
    else
        s->a->options.fd_limit = value;
    find_room(s->a);
}

static void limit_accepting(const struct step *s)
{
    set_limit(s);
    if (s->a->active >= s->a->limit)
        become_full(s);
}

static void limit_full(const struct step *s)
{
    set_limit(s);
    if (s->a->active < s->a->limit)
        resume(s);
}

static void limit_starved(const struct step *s)
{
    set_limit(s);
    freed_starved(s);
}

/* A connection fewer is a descriptor more. */
static void limit_others(const struct step *s)
{
    bool fewer = s->event->value < s->a->others;
    set_limit(s);
    if (fewer)
        freed_starved(s);
}

/* Those who wait in the kernel's queue are taken by others, who share the sockets. */
static void drain_for(const struct step *s, uint64_t bound_ns)
{
    bool watched = s->a->state == ADM_ACCEPTING;
    if (sabotaged(s, ADM_SAB_DRAIN_FOR_EVER))
        bound_ns = 0;
    change(s, ADM_DRAINING, after(s, bound_ns));
    s->a->why = ADM_WHY_DRAIN;
    if (watched)
        emit(s, ADM_DO_UNWATCH)->why = ADM_WHY_DRAIN;
    emit(s, ADM_DO_DRAIN_ALL);
    if (s->a->active == 0)
        leave(s, 0);
}

static void drain(const struct step *s)
{
    if (!sabotaged(s, ADM_SAB_SERVE_OLD))
        drain_for(s, s->a->options.drain_ns);
}

static uint64_t orphan_bound(const struct adm *a)
{
    return a->options.orphan_drain_ns ? a->options.orphan_drain_ns : a->options.drain_ns;
}

static void orphan(const struct step *s)
{
    drain_for(s, orphan_bound(s->a));
}

/* Without a master nobody would end this drain, so its bound only ever comes nearer. */
static void orphan_draining(const struct step *s)
{
    uint64_t deadline_ns = after(s, orphan_bound(s->a));
    if (!sabotaged(s, ADM_SAB_DRAIN_FOR_EVER) && deadline_ns < s->a->deadline_ns)
        s->a->deadline_ns = deadline_ns;
}

static void stop(const struct step *s)
{
    if (!sabotaged(s, ADM_SAB_IGNORE_TERM))
        leave(s, 0);
}

static void retry(const struct step *s)
{
    resume_or_fill(s);
}

static void relieve_again(const struct step *s)
{
    s->a->deadline_ns = after(s, s->a->options.relieve_ns);
    relieve(s);
}

static void drain_over(const struct step *s)
{
    if (sabotaged(s, ADM_SAB_DRAIN_FOR_EVER)) {
        s->a->deadline_ns = ADM_NEVER_NS;
        return;
    }
    emit(s, ADM_DO_CLOSE_ALL);
    leave(s, 0);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define ROW(event, new_, accepting, full, starved, draining, gone)                                 \
    [ADM_EV_##event] = {                                                                           \
        [ADM_NEW] = new_,        [ADM_ACCEPTING] = accepting, [ADM_FULL] = full,                   \
        [ADM_STARVED] = starved, [ADM_DRAINING] = draining,   [ADM_GONE] = gone,                   \
    },

static adm_cell *const table[ADM_EVENT_COUNT][ADM_STATE_COUNT] = {
#include "engine/core/adm_cells.def"
};
#undef ROW

void adm_init(struct adm *a, const struct adm_options *options)
{
    CORE_CHECK(options->connections_max > 0);
    *a = (struct adm){.options = *options, .deadline_ns = ADM_NEVER_NS, .state = ADM_NEW};
    struct adm_options *o = &a->options;
    o->retry_min_ns = o->retry_min_ns ? o->retry_min_ns : ADM_RETRY_MIN_NS;
    o->retry_max_ns = o->retry_max_ns ? o->retry_max_ns : ADM_RETRY_MAX_NS;
    o->relieve_ns = o->relieve_ns ? o->relieve_ns : ADM_RELIEVE_NS;
    CORE_CHECK(o->retry_min_ns <= o->retry_max_ns);
    a->retry_ns = o->retry_min_ns;
    find_room(a);
}

void adm_step(struct adm *a, uint64_t now_ns, const struct adm_event *event,
              struct adm_effects *effects)
{
    CORE_CHECK(event->kind < ADM_EVENT_COUNT && a->state < ADM_STATE_COUNT);
    effects->count = 0;
    effects->cell = CORE_NO_CELL;
    if (event->kind == ADM_EV_TIMER && now_ns < a->deadline_ns)
        return; /* a timer that was left at an earlier deadline */
    const struct step s = {a, now_ns, event, effects};
    effects->cell = (uint16_t)(a->state * ADM_EVENT_COUNT + event->kind);
    table[event->kind][a->state](&s);
}

uint32_t adm_sabotages(enum adm_event_kind kind)
{
    switch (kind) {
    case ADM_EV_READY:
        return ADM_SAB_HOARD_ACCEPTS;
    case ADM_EV_ACCEPTED:
        return ADM_SAB_CRASH_AT_CONNECTIONS;
    case ADM_EV_NO_FD:
        return ADM_SAB_DIE_AT_EMFILE | ADM_SAB_NEVER_RESUME | ADM_SAB_SPIN_AT_EMFILE;
    case ADM_EV_DRAIN:
        return ADM_SAB_SERVE_OLD | ADM_SAB_DRAIN_FOR_EVER;
    case ADM_EV_ORPHAN:
    case ADM_EV_TIMER:
        return ADM_SAB_DRAIN_FOR_EVER;
    case ADM_EV_STOP:
        return ADM_SAB_IGNORE_TERM;
    default:
        return 0;
    }
}
