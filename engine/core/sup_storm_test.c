/* The supervisor in storms: a small world of processes that answers every effect, late, wrongly
 * or not at all, while signals rain. After every step the invariants hold; when the storm has
 * passed the tree converges; and a stop always ends it. Also the sabotages: each must do harm. */
#include <string.h>

#include "engine/core/sup_rig.h"

enum { WORLD_MAX = 512, QUEUE_MAX = 8192, CELLS_MAX = 64 * SUP_CELL_WORDS };

struct process {
    int slot;
    uint32_t generation;
    bool poised, go, ready, told, hung;
    uint64_t born_ns, told_ns, beat;
};

struct world {
    struct rig rig;
    struct process live[WORLD_MAX];
    unsigned count;
    struct sup_event queue[QUEUE_MAX];
    unsigned head, tail;
    uint64_t random;
    unsigned trouble; /* in 1000: how often something goes wrong */
    unsigned most;    /* processes alive at once */
    uint32_t current; /* generation last committed */
    uint32_t kept;    /* generation last brought back */
    bool other, ended;
    uint64_t spawns, reports, loads;
};

static struct world world;
static bool seen[CELLS_MAX]; /* cells that any storm came to */

static unsigned dice(unsigned sides)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return (unsigned)(world.random % sides);
}

static bool trouble(void)
{
    return dice(1000) < world.trouble;
}

static void queue(struct sup_event event)
{
    world.queue[world.tail++ % QUEUE_MAX] = event;
    assert_true(world.tail - world.head < QUEUE_MAX);
}

static void queue_worker(enum sup_event_kind kind, int slot, uint32_t generation, uint64_t a)
{
    queue(
        (struct sup_event){.kind = kind, .slot = (int16_t)slot, .generation = generation, .a = a});
}

static struct process *process_of(const struct sup_effect *e)
{
    for (unsigned i = 0; i < world.count; i++)
        if (world.live[i].slot == e->slot && world.live[i].generation == e->generation)
            return &world.live[i];
    return NULL;
}

static void process_exits(struct process *p, uint64_t status)
{
    queue_worker(SUP_EXITED, p->slot, p->generation, status);
    *p = world.live[--world.count];
}

static void do_spawn(const struct sup_effect *e)
{
    assert_null(process_of(e)); /* at most one process of each name */
    world.spawns++;
    if (trouble()) {
        queue_worker(SUP_SPAWN_FAILED, e->slot, e->generation, 11);
        return;
    }
    assert_true(world.count < WORLD_MAX);
    world.live[world.count++] = (struct process){.slot = e->slot,
                                                 .generation = e->generation,
                                                 .born_ns = world.rig.now_ns,
                                                 .hung = trouble()};
    if (world.count > world.most)
        world.most = world.count;
    queue_worker(SUP_SPAWNED, e->slot, e->generation, 0);
}

static void do_tell(const struct sup_effect *e)
{
    struct process *p = process_of(e);
    if (p == NULL) /* it is a zombie: its exit is in the queue */
        return;
    if (trouble()) {
        queue_worker(SUP_UNTOLD, e->slot, e->generation, 1);
        return;
    }
    if (e->kind == SUP_DO_GO) {
        p->go = true;
        return;
    }
    if (e->kind == SUP_DO_KILL || (e->kind == SUP_DO_TERM && !p->hung)) {
        process_exits(p, 9);
        return;
    }
    if (!p->told && !p->hung)
        queue_worker(SUP_DRAINING, e->slot, e->generation, 0);
    p->told = true;
    p->told_ns = world.rig.now_ns;
}

static void do_load(void)
{
    struct sup_settings settings = rig_settings;
    settings.workers = 1 + dice(5);
    settings.drain_ns = dice(3) * SECOND;
    world.loads++;
    if (world.trouble > 0 && dice(4) == 0)
        queue((struct sup_event){.kind = SUP_CONF_BAD});
    else
        queue((struct sup_event){.kind = SUP_CONF_OK, .settings = settings});
}

static void carry_out(const struct sup_effect *e)
{
    switch (e->kind) {
    case SUP_DO_SPAWN:
        do_spawn(e);
        break;
    case SUP_DO_GO:
    case SUP_DO_DRAIN:
    case SUP_DO_TERM:
    case SUP_DO_ABORT:
    case SUP_DO_KILL:
        do_tell(e);
        break;
    case SUP_DO_LOAD_CONF:
        do_load();
        break;
    case SUP_DO_KEEP_CONF:
        world.kept = world.current = e->generation;
        break;
    case SUP_DO_COMMIT:
        world.current = e->generation;
        break;
    case SUP_DO_REPORT:
        world.reports += e->generation != world.kept;
        break;
    case SUP_DO_UPGRADE_START:
        world.other = true;
        break;
    case SUP_DO_UPGRADE_QUIT:
    case SUP_DO_UPGRADE_KILL:
        if (world.other)
            queue((struct sup_event){.kind = SUP_OTHER_GONE, .a = 9});
        world.other = false;
        break;
    case SUP_DO_EXIT:
        world.ended = true;
        break;
    default:
        break;
    }
}

static void deliver(struct sup_event event)
{
    event.sabotage &= sup_sabotage_wanted(&world.rig.sup, world.rig.now_ns, &event);
    rig_give(&world.rig, &event);
    for (unsigned i = 0; i < CELLS_MAX; i++)
        seen[i] |= world.rig.effects.cells[i / 64] >> i % 64 & 1;
    for (uint32_t i = 0; i < world.rig.effects.count; i++)
        carry_out(&world.rig.effects.at[i]);
}

static void deliver_queue(void)
{
    while (world.head != world.tail)
        deliver(world.queue[world.head++ % QUEUE_MAX]);
}

static void progress(struct process *p)
{
    if (!p->poised)
        queue_worker(SUP_POISED, p->slot, p->generation, 0);
    else if (p->go && !p->ready)
        queue_worker(SUP_READY, p->slot, p->generation, 0);
    p->ready = p->poised && p->go;
    p->poised = true;
}

/* What processes do by themselves in 50 ms. */
static void processes_live(void)
{
    for (unsigned i = world.count; i-- > 0;) {
        struct process *p = &world.live[i];
        if (!p->hung)
            p->beat++;
        if (trouble() && dice(4) == 0)
            p->hung = true;
        if (trouble() || (p->told && !p->hung && dice(10) == 0)) {
            process_exits(p, 256);
        } else if (!p->hung && dice(3) == 0) {
            progress(p);
        }
    }
    if (world.other && (trouble() || dice(20) == 0)) {
        bool ready = dice(2) == 0;
        queue((struct sup_event){.kind = ready ? SUP_OTHER_READY : SUP_OTHER_GONE});
        world.other = ready;
    }
}

static void beats_and_timer(void)
{
    for (unsigned i = 0; i < world.count; i++) {
        const struct process *p = &world.live[i];
        deliver((struct sup_event){
            .kind = SUP_BEAT, .slot = (int16_t)p->slot, .generation = p->generation, .a = p->beat});
    }
    if (sup_next_deadline_ns(&world.rig.sup) <= world.rig.now_ns)
        deliver((struct sup_event){.kind = SUP_TIMER});
}

static void turn(void)
{
    world.rig.now_ns += 50 * MS;
    processes_live();
    deliver_queue();
    beats_and_timer();
    deliver_queue();
}

static void world_begin(uint64_t seed, unsigned troubles)
{
    struct sup_settings settings = rig_settings;
    world = (struct world){.random = seed * 2654435761u + 1, .trouble = troubles, .current = 1};
    settings.workers = 1 + dice(4);
    struct sup_options options = sup_options_default(&settings, seed);
    sup_init(&world.rig.sup, &options);
    world.rig.now_ns = 100 * SECOND;
    deliver((struct sup_event){.kind = SUP_BOOT});
}

static void rain(unsigned turns, uint64_t sabotage)
{
    static const enum sup_event_kind signals[] = {SUP_RELOAD, SUP_REOPEN, SUP_UPGRADE, SUP_REST,
                                                  SUP_GROW,   SUP_SHRINK, SUP_RELOAD,  SUP_RELOAD};
    for (unsigned i = 0; i < turns; i++) {
        for (unsigned drops = dice(4); drops > 1; drops--)
            deliver((struct sup_event){.kind = signals[dice(8)], .sabotage = sabotage});
        turn();
    }
}

static bool converged(void)
{
    const struct sup *sup = &world.rig.sup;
    if (sup->mode != SUP_MODE_RUNNING || sup->used != sup->settings.workers ||
        world.count != sup->used)
        return false;
    for (unsigned i = 0; i < world.count; i++)
        if (!world.live[i].ready || world.live[i].generation != world.current)
            return false;
    return true;
}

static void storms_pass(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        world_begin(seed, 5 + (unsigned)(seed % 4) * 40);
        rain(150 + dice(100), 0);
        world.trouble = 0;
        for (unsigned i = 0; i < world.count; i++)
            if (dice(2))
                world.live[i].hung = false;
        deliver((struct sup_event){.kind = SUP_RELOAD}); /* whatever was asked: serve */
        for (int i = 0; i < 4000 && !converged(); i++)
            turn();
        if (!converged())
            fail_msg("seed %llu: %u live, %u entries, mode %s", (unsigned long long)seed,
                     world.count, world.rig.sup.used, sup_mode_word(world.rig.sup.mode));
        assert_int_equal(world.reports, world.loads); /* each reload is reported once */
        deliver((struct sup_event){.kind = dice(2) ? SUP_QUIT : SUP_STOP});
        for (int i = 0; i < 2000 && !world.ended; i++)
            turn();
        assert_true(world.ended);
        assert_int_equal(world.count, 0);
    }
}

static void storms_end_with_a_stop_at_any_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        world_begin(seed, 60);
        rain(dice(60), 0);
        if (dice(3) == 0)
            deliver((struct sup_event){.kind = SUP_RELOAD}); /* its result is still to come */
        if (dice(2) == 0)
            deliver((struct sup_event){.kind = SUP_QUIT});
        rain(dice(3), 0);
        deliver((struct sup_event){.kind = SUP_STOP});
        rain(dice(3), 0);
        for (int i = 0; i < 400 && !world.ended; i++)
            turn(); /* still troubled: exits, forks and signals go on failing */
        assert_true(world.ended);
        assert_int_equal(world.count, 0);
    }
}

static bool is_word(const char *word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

/* A storm that does not come to the cells proves nothing about them: all that an event can reach
 * must be reached, but for those named here. */
static void storms_come_to_every_cell(void **state)
{
    static const char *const from_within[] = {"GATHERED", "SPOILED", "RETIRED", "EMPTY", "OVERDUE",
                                              "LEAVE",    "HALT",    "DUE",     NULL};
    static const char *const no_matter[] = {"ignored", "impossible", NULL};
    unsigned missed = 0;
    (void)state;

    for (unsigned i = 0; i < sup_cell_count(); i++) {
        struct core_cell cell;
        assert_true(sup_cell_name(i, &cell));
        if (seen[i] || is_word(cell.input, from_within) || is_word(cell.action, no_matter))
            continue;
        print_message("not reached: %s x %s: %s\n", cell.row, cell.input, cell.action);
        missed++;
    }
    assert_int_equal(missed, 0);
}

static void the_same_seed_is_the_same_storm(void **state)
{
    uint64_t spawns = 0, random = 0;
    (void)state;
    for (int run = 0; run < 2; run++) {
        world_begin(7, 50);
        rain(500, 0);
        if (run == 1) {
            assert_int_equal(world.spawns, spawns);
            assert_true(world.random == random);
        }
        spawns = world.spawns;
        random = world.random;
    }
}

/* ---- sabotage: each changes what is decided, or it would prove nothing ----------------- */

static void sabotage_exit(void **state)
{
    struct rig r;
    (void)state;
    const struct sup_event plain = {.kind = SUP_EXITED, .slot = 0, .generation = 1, .a = 9};
    struct sup_event event = plain;

    rig_running(&r);
    assert_true(sup_sabotage_wanted(&r.sup, r.now_ns, &event) & SUP_SABOTAGE(NO_RESPAWN));
    event.sabotage = SUP_SABOTAGE(NO_RESPAWN);
    rig_give(&r, &event);
    assert_int_equal(r.effects.count, 0);
    rig_event(&r, SUP_STOP); /* the ghost holds nothing up */
    rig_worker(&r, SUP_EXITED, 1, 1, 9);
    rig_mode(&r, SUP_MODE_DONE);

    rig_running(&r);
    event.sabotage = SUP_SABOTAGE(SPAWN_TWICE);
    rig_give(&r, &event);
    assert_int_equal(rig_count(&r, SUP_DO_SPAWN), 2);

    rig_running(&r);
    event.sabotage = SUP_SABOTAGE(KILL_NEIGHBOUR);
    rig_give(&r, &event);
    rig_expect_worker(&r, SUP_DO_KILL, 1, 1);

    rig_running(&r);
    rig_give(&r, &plain);
    rig_give(&r, &(struct sup_event){.kind = SUP_SPAWN_FAILED,
                                     .generation = 1,
                                     .sabotage = SUP_SABOTAGE(FORK_GIVES_UP)});
    assert_int_equal(r.effects.count, 0);
    assert_int_equal(r.sup.used, 1);
}

/* Gives every SUP_TIMER this sabotage, for `span_ns`. */
static unsigned timers(struct rig *r, uint64_t span_ns, uint64_t sabotage,
                       enum sup_effect_kind counted)
{
    uint64_t end_ns = r->now_ns + span_ns;
    unsigned count = 0;
    while (sup_next_deadline_ns(&r->sup) < end_ns) {
        r->now_ns = sup_next_deadline_ns(&r->sup);
        struct sup_event event = {.kind = SUP_TIMER};
        event.sabotage = sabotage & sup_sabotage_wanted(&r->sup, r->now_ns, &event);
        rig_give(r, &event);
        count += rig_count(r, counted);
    }
    return count;
}

static void sabotage_time(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    assert_int_equal(timers(&r, 60 * SECOND, SUP_SABOTAGE(NO_WATCHDOG), SUP_DO_ABORT), 0);
    assert_int_equal(timers(&r, 60 * SECOND, 0, SUP_DO_ABORT), 2);

    struct sup_settings off = rig_settings;
    off.watchdog_ns = 0;
    rig_init(&r, &off);
    rig_start(&r, 1, 2);
    rig_event(&r, SUP_QUIT);
    assert_int_equal(timers(&r, 60 * SECOND, SUP_SABOTAGE(DRAIN_FOR_EVER), SUP_DO_TERM), 0);
    assert_int_equal(timers(&r, 60 * SECOND, SUP_SABOTAGE(SERVE_OLD), SUP_DO_TERM), 0);
    rig_event(&r, SUP_STOP);
    assert_int_equal(timers(&r, 60 * SECOND, SUP_SABOTAGE(IGNORE_TERM), SUP_DO_KILL), 0);
    assert_int_equal(timers(&r, 60 * SECOND, 0, SUP_DO_KILL), 2);
}

static void sabotage_reload(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_sabotaged(&r, SUP_RELOAD, SUP_SABOTAGE(REPORT_EARLY));
    rig_expect_report(&r, SUP_RELOAD_OK, SUP_BECAUSE_NONE);
    rig_sabotaged(&r, SUP_RELOAD, SUP_SABOTAGE(LOSE_RELOAD));
    rig_sabotaged(&r, SUP_CONF_BAD, 0);
    rig_mode(&r, SUP_MODE_RUNNING);
    rig_sabotaged(&r, SUP_RELOAD, SUP_SABOTAGE(DEAF_AFTER_FAILED_RELOAD));
    assert_int_equal(r.effects.count, 0);
    rig_event(&r, SUP_RELOAD);
    rig_give(&r, &(struct sup_event){.kind = SUP_CONF_OK,
                                     .settings = rig_settings,
                                     .sabotage = SUP_SABOTAGE(DRAIN_BEFORE_READY)});
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 2);
    rig_start(&r, r.sup.trying, 2);
    rig_running(&r);
    rig_event(&r, SUP_RELOAD);
    rig_sabotaged(&r, SUP_CONF_BAD, SUP_SABOTAGE(DIE_ON_BAD_CONFIG));
    assert_int_equal(rig_effect(&r, SUP_DO_EXIT)->a, 1);
}

static void sabotage_five_signals(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r);
    rig_roll(&r);
    for (int i = 0; i < 6; i++)
        rig_event(&r, SUP_REOPEN);
    rig_poise(&r, 2, 2);
    rig_worker(&r, SUP_READY, 0, 2, 0);
    struct sup_event ready = {.kind = SUP_READY, .slot = 1, .generation = 2};
    ready.sabotage = sup_sabotage_wanted(&r.sup, r.now_ns, &ready);
    assert_true(ready.sabotage & SUP_SABOTAGE(FIVE_SIGNALS));
    rig_give(&r, &ready);
    assert_int_equal(rig_count(&r, SUP_DO_DRAIN), 0);
    rig_state(&r, 0, 1, SUP_WORKER_READY);
}

static void sabotage_deaf_to_signals(void **state)
{
    struct rig r;
    (void)state;
    rig_running(&r); /* two seconds without a beat */
    struct sup_event reload = {.kind = SUP_RELOAD};
    reload.sabotage =
        sup_sabotage_wanted(&r.sup, r.now_ns, &reload) & SUP_SABOTAGE(WAIT_FOR_WORKERS);
    rig_give(&r, &reload);
    assert_int_equal(r.effects.count, 0);
    rig_worker(&r, SUP_BEAT, 0, 1, 1);
    assert_int_equal(r.effects.count, 0);
    rig_worker(&r, SUP_BEAT, 1, 1, 1);
    assert_int_equal(rig_count(&r, SUP_DO_LOAD_CONF), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storms_pass),
        cmocka_unit_test(storms_end_with_a_stop_at_any_time),
        cmocka_unit_test(storms_come_to_every_cell),
        cmocka_unit_test(the_same_seed_is_the_same_storm),
        cmocka_unit_test(sabotage_exit),
        cmocka_unit_test(sabotage_time),
        cmocka_unit_test(sabotage_reload),
        cmocka_unit_test(sabotage_five_signals),
        cmocka_unit_test(sabotage_deaf_to_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
