/* Breadth first over states: each state is a supervisor, what its world owes it, and the time;
 * states that were seen are not gone into again. Times are those that the supervisor itself asks
 * for: an event happens now, or when the next deadline has come. */
#include "engine/sim/sim_exhaustive.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/sup.h"
#include "engine/sim/sim_random.h"

#define MS UINT64_C(1000000)
#define BEGIN_NS UINT64_C(1000000000)
#define GRAIN_NS (100 * MS)

enum { CHILDREN_MAX = 12 }; /* alive at once; what has more is cut off */

/* What is true outside of the supervisor about one worker. `hangs`: it says and hears nothing,
 * only KILL ends it. */
struct child {
    int16_t slot;
    uint8_t alive, said, go, told, hangs; /* said: 1 poised, 2 ready; told: an effect's kind */
    uint32_t generation;
};

/* loads: configurations asked for, whose result is not in. other: 1 the other master starts, 2 it
 * is ready, 3 it was told to go. signals, faults: how many may still come. */
struct world {
    uint64_t now_ns;
    uint8_t signals, faults, loads, other, child_count;
    struct child children[CHILDREN_MAX];
};

struct move {
    uint8_t kind; /* enum sup_event_kind; SUP_EVENT_COUNT: the child begins to hang */
    int8_t slot;
    uint16_t generation;
};

struct node {
    uint32_t parent;
    struct move move;
    uint16_t depth;
    uint32_t size; /* of its state, until it has been gone into */
    void *state;   /* a struct world, then the used part of a struct sup */
};

struct search {
    struct sim_search *o;
    struct node *nodes;
    uint64_t *seen; /* hashes; 0 free */
    uint64_t seen_room;
    uint32_t from; /* the node that is being gone into */
    uint32_t moves;
    struct world before, world;
    struct sup sup;
    struct sup_effects effects;
};

/* ---- states -----------------------------------------------------------------------------------
 */

static uint64_t hash_words(uint64_t hash, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = sim_random_mix(hash ^ words[i]) + i;
    return hash;
}

/* Two states are one if they differ only in how long ago all of it was, or by less than a grain. */
static uint64_t ahead(uint64_t t_ns, uint64_t now_ns)
{
    return t_ns == UINT64_MAX ? t_ns : t_ns <= now_ns ? 0 : 1 + (t_ns - now_ns) / GRAIN_NS;
}

static uint64_t hash_worker(uint64_t hash, const struct sup *sup, const struct sup_worker *w,
                            uint64_t now_ns)
{
    const uint64_t words[] = {ahead(w->deadline_ns, now_ns),
                              ahead(w->bound_ns, now_ns),
                              now_ns - w->born_ns >= sup->options.stable_ns,
                              ahead(w->beat_ns + sup->settings.watchdog_ns, now_ns),
                              (uint64_t)w->generation << 32 | (uint16_t)w->slot,
                              w->state | (uint64_t)w->crashes << 8 | (uint64_t)w->fails << 16 |
                                  (uint64_t)w->leaving << 24 | (uint64_t)w->settled << 25 |
                                  (uint64_t)w->untold << 26};
    return hash_words(hash, words, sizeof(words) / sizeof(words[0]));
}

static uint64_t hash_state(const struct world *world, const struct sup *sup)
{
    uint64_t now_ns = world->now_ns;
    const uint64_t words[] = {world->signals | (uint64_t)world->faults << 8 |
                                  (uint64_t)world->loads << 16 | (uint64_t)world->other << 24 |
                                  (uint64_t)world->child_count << 32,
                              ahead(sup->mode_deadline_ns, now_ns),
                              ahead(sup->tree_spare_ns, now_ns),
                              (uint64_t)sup->generation << 32 | sup->trying,
                              (uint64_t)sup->generation_last << 32 | sup->outgoing,
                              (uint64_t)sup->settings.workers << 32 | sup->next.workers,
                              sup->mode | (uint64_t)sup->other << 8 | (uint64_t)sup->pending << 16 |
                                  (uint64_t)(uint16_t)sup->pending_resize << 32,
                              sup->announced + 2u * sup->resting + 4u * sup->returning +
                                  8u * sup->owes_report + 16u * sup->short_handed};
    uint64_t hash = hash_words(1, words, sizeof(words) / sizeof(words[0]));
    for (uint32_t i = 0; i < sup->used; i++)
        hash = hash_worker(hash, sup, &sup->workers[i], now_ns);
    for (unsigned i = 0; i < world->child_count; i++) {
        const struct child *c = &world->children[i];
        const uint64_t child[] = {(uint64_t)c->generation << 32 | (uint16_t)c->slot,
                                  c->alive | (uint64_t)c->said << 8 | (uint64_t)c->go << 16 |
                                      (uint64_t)c->told << 24 | (uint64_t)c->hangs << 32};
        hash = hash_words(hash, child, 2);
    }
    return hash | 1;
}

/* Notes it, unless there is no room for another state. */
static bool was_seen(struct search *s, uint64_t hash)
{
    uint64_t at = hash & (s->seen_room - 1);
    while (s->seen[at] != 0) {
        if (s->seen[at] == hash)
            return true;
        at = (at + 1) & (s->seen_room - 1);
    }
    if (s->o->states < s->o->states_max)
        s->seen[at] = hash;
    return false;
}

static void keep(struct search *s, const struct move *move, uint16_t depth)
{
    struct sim_search *o = s->o;
    size_t used = offsetof(struct sup, workers) + s->sup.used * sizeof(s->sup.workers[0]);
    struct node *n = &s->nodes[o->states++];
    *n = (struct node){.parent = s->from, .move = *move, .depth = depth};
    n->size = (uint32_t)(sizeof(s->world) + used);
    n->state = malloc(n->size);
    if (n->state == NULL)
        abort();
    memcpy(n->state, &s->world, sizeof(s->world));
    memcpy((char *)n->state + sizeof(s->world), &s->sup, used);
    if (depth > o->deepest)
        o->deepest = depth;
}

static const struct sup *sup_of(const struct node *n)
{
    return (const struct sup *)(const void *)((const char *)n->state + sizeof(struct world));
}

static void load(struct search *s)
{
    const struct node *n = &s->nodes[s->from];
    memcpy(&s->world, n->state, sizeof(s->world));
    memcpy(&s->sup, sup_of(n), n->size - sizeof(s->world));
}

/* ---- the world's answer to effects -------------------------------------------------------------
 */

static struct child *find_child(struct world *w, int slot, uint32_t generation)
{
    for (unsigned i = 0; i < w->child_count; i++)
        if (w->children[i].slot == slot && w->children[i].generation == generation)
            return &w->children[i];
    return NULL;
}

/* False: more than can be followed. */
static bool take_effect(struct world *w, const struct sup_effect *e)
{
    struct child *child = find_child(w, e->slot, e->generation);
    switch ((enum sup_effect_kind)e->kind) {
    case SUP_DO_SPAWN:
        if (w->child_count == CHILDREN_MAX)
            return false;
        w->children[w->child_count++] =
            (struct child){.slot = e->slot, .generation = e->generation};
        break;
    case SUP_DO_LOAD_CONF:
        w->loads = 1;
        break;
    case SUP_DO_UPGRADE_START:
        w->other = 1;
        break;
    case SUP_DO_UPGRADE_QUIT:
    case SUP_DO_UPGRADE_KILL:
        w->other = w->other != 0 ? 3 : 0;
        break;
    case SUP_DO_GO:
        if (child != NULL)
            child->go = 1;
        break;
    case SUP_DO_DRAIN:
    case SUP_DO_TERM:
    case SUP_DO_ABORT:
    case SUP_DO_KILL:
        if (child != NULL)
            child->told = e->kind;
        break;
    default:
        break;
    }
    return true;
}

static void remove_child(struct world *w, struct child *child)
{
    size_t after = (size_t)(&w->children[w->child_count] - (child + 1));
    memmove(child, child + 1, after * sizeof(*child));
    w->child_count--;
}

/* What an event says about the world. */
static void note_event(struct world *w, const struct sup_event *event)
{
    struct child *child = find_child(w, event->slot, event->generation);
    switch (event->kind) {
    case SUP_CONF_OK:
    case SUP_CONF_BAD:
        w->loads = 0;
        break;
    case SUP_OTHER_READY:
        w->other = 2;
        break;
    case SUP_OTHER_GONE:
        w->other = 0;
        break;
    case SUP_SPAWNED:
        child->alive = 1;
        break;
    case SUP_POISED:
    case SUP_READY:
        child->said = event->kind == SUP_POISED ? 1 : 2;
        break;
    case SUP_UNTOLD:
        child->told = 0;
        child->go = child->said == 2;
        break;
    case SUP_SPAWN_FAILED:
    case SUP_EXITED:
        remove_child(w, child);
        break;
    default:
        break;
    }
}

/* ---- one move ---------------------------------------------------------------------------------
 */

static void print_move(const struct move *move, char *out, size_t size)
{
    if (move->kind == SUP_EVENT_COUNT)
        snprintf(out, size, "%d.%u hangs", move->slot, move->generation);
    else if (move->generation > 0)
        snprintf(out, size, "%s %d.%u", sup_event_word(move->kind), move->slot, move->generation);
    else
        snprintf(out, size, "%s", sup_event_word(move->kind));
}

static void fail(struct search *s, const char *sentence, const struct move *move)
{
    struct sim_search *o = s->o;
    uint32_t at = s->from, depth = s->nodes[at].depth;
    o->broken = sentence;
    o->path_count = depth;
    if (move != NULL)
        print_move(move, o->path[o->path_count++], sizeof(o->path[0]));
    for (; depth > 0; at = s->nodes[at].parent)
        print_move(&s->nodes[at].move, o->path[--depth], sizeof(o->path[0]));
}

/* True: the supervisor took it, and may go on. */
static bool give(struct search *s, const struct sup_event *event, const struct move *move)
{
    sup_step(&s->sup, s->world.now_ns, event, &s->effects);
    s->o->steps++;
    sim_coverage_sup(s->o->coverage, &s->effects);
    const char *broken = sup_check(&s->sup);
    if (broken != NULL) {
        fail(s, broken, move);
        return false;
    }
    note_event(&s->world, event);
    for (uint32_t i = 0; i < s->effects.count; i++)
        if (!take_effect(&s->world, &s->effects.at[i])) {
            s->o->complete = false;
            return false;
        }
    return true;
}

/* The driver reads all heartbeats before it says that a deadline has come. */
static bool give_beats(struct search *s, const struct move *move)
{
    for (unsigned i = 0; i < s->world.child_count; i++) {
        const struct child *c = &s->world.children[i];
        const struct sup_event beat = {
            .kind = SUP_BEAT, .slot = c->slot, .generation = c->generation, .a = s->world.now_ns};
        if (c->alive && !c->hangs && !give(s, &beat, move))
            return false;
    }
    return true;
}

static bool perform(struct search *s, const struct move *move)
{
    struct sup_event event = {
        .kind = move->kind, .slot = move->slot, .generation = move->generation};
    event.sabotage = s->o->sabotage & sup_sabotage_wanted(&s->sup, s->world.now_ns, &event);
    if (move->kind == SUP_EVENT_COUNT) {
        find_child(&s->world, move->slot, move->generation)->hangs = 1;
        return true;
    }
    if (move->kind == SUP_TIMER) {
        uint64_t due_ns = sup_next_deadline_ns(&s->sup);
        s->world.now_ns = due_ns > s->world.now_ns ? due_ns : s->world.now_ns;
        if (s->sup.settings.watchdog_ns > 0 && !give_beats(s, move))
            return false;
    } else if (move->kind == SUP_CONF_OK) {
        event.settings = s->sup.options.settings;
    } else if (move->kind == SUP_EXITED) {
        event.a = find_child(&s->world, move->slot, move->generation)->told ? 0 : SIGSEGV;
    }
    return give(s, &event, move);
}

/* Lets it happen in a copy of the state. */
static void try_move(struct search *s, const struct move *move, unsigned signals, unsigned faults)
{
    struct sim_search *o = s->o;
    uint16_t depth = (uint16_t)(s->nodes[s->from].depth + 1);
    if (o->broken != NULL)
        return;
    s->moves++;
    load(s);
    if (s->world.signals < signals || s->world.faults < faults) {
        s->moves--;
        return;
    }
    s->world.signals = (uint8_t)(s->world.signals - signals);
    s->world.faults = (uint8_t)(s->world.faults - faults);
    if (!perform(s, move))
        return;
    if (was_seen(s, hash_state(&s->world, &s->sup)))
        o->repeated++;
    else if (o->states == o->states_max || depth >= (o->depth > 0 ? o->depth + 1 : SIM_PATH_MAX))
        o->complete = false;
    else
        keep(s, move, depth);
}

static void try_kind(struct search *s, enum sup_event_kind kind, unsigned signals, unsigned faults)
{
    try_move(s, &(struct move){.kind = (uint8_t)kind}, signals, faults);
}

static void try_child(struct search *s, const struct child *c, unsigned kind, unsigned faults)
{
    const struct move move = {
        .kind = (uint8_t)kind, .slot = (int8_t)c->slot, .generation = (uint16_t)c->generation};
    try_move(s, &move, 0, faults);
}

/* Does the world still have to answer? Who hangs never will. */
static bool owes(const struct world *w)
{
    bool owed = w->loads > 0 || w->other == 1 || w->other == 3;
    for (unsigned i = 0; i < w->child_count; i++) {
        const struct child *c = &w->children[i];
        bool ends = c->told != 0 && (!c->hangs || c->told == SUP_DO_KILL);
        bool speaks = c->alive && !c->hangs && (c->said == 0 || (c->said == 1 && c->go));
        owed = owed || !c->alive || ends || speaks;
    }
    return owed;
}

/* ---- all moves --------------------------------------------------------------------------------
 */

static void try_master(struct search *s)
{
    static const enum sup_event_kind signals[] = {SUP_RELOAD, SUP_QUIT, SUP_STOP,   SUP_UPGRADE,
                                                  SUP_REST,   SUP_GROW, SUP_SHRINK, SUP_REOPEN};
    const struct world *w = &s->before;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        try_kind(s, signals[i], 1, 0);
    if (w->loads > 0) {
        try_kind(s, SUP_CONF_OK, 0, 0);
        try_kind(s, SUP_CONF_BAD, 0, 1);
    }
    if (w->other == 1)
        try_kind(s, SUP_OTHER_READY, 0, 0);
    if (w->other > 0)
        try_kind(s, SUP_OTHER_GONE, 0, w->other == 1);
    if (sup_next_deadline_ns(sup_of(&s->nodes[s->from])) != UINT64_MAX)
        try_kind(s, SUP_TIMER, 0, owes(w));
}

/* Forks are done in the order in which they were asked for. */
static void try_unborn(struct search *s)
{
    for (unsigned i = 0; i < s->before.child_count; i++) {
        const struct child *c = &s->before.children[i];
        if (c->alive)
            continue;
        try_child(s, c, SUP_SPAWNED, 0);
        try_child(s, c, SUP_SPAWN_FAILED, 1);
        return;
    }
}

static void try_living(struct search *s, const struct child *c)
{
    bool ends = c->told != 0 && (!c->hangs || c->told == SUP_DO_KILL);
    try_child(s, c, SUP_EXITED, ends ? 0 : 1);
    if (c->told != 0 || c->go == 1)
        try_child(s, c, SUP_UNTOLD, 1);
    if (c->hangs)
        return;
    if (c->said == 0)
        try_child(s, c, SUP_POISED, 0);
    if (c->said == 1 && c->go)
        try_child(s, c, SUP_READY, 0);
    if (c->told == SUP_DO_DRAIN)
        try_child(s, c, SUP_DRAINING, 0);
    if (s->sup.settings.watchdog_ns > 0)
        try_child(s, c, SUP_EVENT_COUNT, 1);
}

/* Where nothing is owed any more and no deadline is set, all must be as it should be. */
static void check_rest(struct search *s)
{
    const struct sup *sup = sup_of(&s->nodes[s->from]);
    uint32_t ready = 0;
    for (uint32_t i = 0; i < sup->used; i++)
        ready += sup->workers[i].state == SUP_WORKER_READY;
    bool whole =
        (sup->mode == SUP_MODE_RUNNING && sup->used == ready && ready == sup->settings.workers) ||
        (sup->mode == SUP_MODE_RESTING && sup->used == 0) ||
        (sup->mode == SUP_MODE_DONE && s->before.child_count == 0);
    s->o->at_rest++;
    if (!whole && s->o->broken == NULL)
        fail(s, "nothing more will happen, and the tree is not whole", NULL);
}

static void go_into(struct search *s)
{
    s->moves = 0;
    load(s);
    s->before = s->world;
    try_master(s);
    try_unborn(s);
    for (unsigned i = 0; i < s->before.child_count; i++) {
        struct child child = s->before.children[i];
        if (child.alive)
            try_living(s, &child);
    }
    if (s->moves == 0)
        check_rest(s);
    free(s->nodes[s->from].state);
    s->nodes[s->from].state = NULL;
}

static void begin(struct search *s)
{
    const struct sup_settings settings = {.workers = s->o->workers,
                                          .drain_ns = 500 * MS,
                                          .watchdog_ns = 0,
                                          .backoff_min_ns = 100 * MS,
                                          .backoff_max_ns = 100 * MS,
                                          .reload_timeout_ns = 1000 * MS};
    struct sup_options options = sup_options_default(&settings, 1);
    s->world = (struct world){
        .now_ns = BEGIN_NS, .signals = (uint8_t)s->o->signals, .faults = (uint8_t)s->o->faults};
    sup_init(&s->sup, &options);
    give(s, &(struct sup_event){.kind = SUP_BOOT}, NULL);
    keep(s, &(struct move){.kind = SUP_BOOT}, 0);
    was_seen(s, hash_state(&s->world, &s->sup));
}

void sim_search(struct sim_search *o)
{
    struct search *s = calloc(1, sizeof(*s));
    if (s == NULL)
        abort();
    s->o = o;
    s->seen_room = 1 << 10;
    while (s->seen_room < o->states_max * 2)
        s->seen_room *= 2;
    s->nodes = calloc(o->states_max, sizeof(*s->nodes));
    s->seen = calloc(s->seen_room, sizeof(*s->seen));
    if (s->nodes == NULL || s->seen == NULL)
        abort();
    o->complete = true;
    begin(s);
    for (; s->from < o->states && o->broken == NULL; s->from++)
        go_into(s);
    for (uint64_t i = 0; i < o->states; i++)
        free(s->nodes[i].state);
    free(s->nodes);
    free(s->seen);
    free(s);
}
