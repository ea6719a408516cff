/* Breadth first over states: each state is a supervisor, what its world owes it (forks whose result
 * is not in, children, what they were told) and the time; states that were seen are not gone into
 * again. Times are those that the supervisor itself asks for: an event happens now, or when the
 * next deadline has come. */
#include "engine/sim/sim_exhaustive.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/sup.h"
#include "engine/sim/sim_random.h"

#define MS UINT64_C(1000000)
#define BEGIN_NS UINT64_C(1000000000)

enum { ENTRIES = 12 }; /* workers alive at once that are followed; deeper ones are cut off */

/* What is true outside of the supervisor about one worker. */
struct child {
    int16_t slot;
    uint32_t generation;
    uint8_t alive, said, go, told; /* said: 1 poised, 2 ready */
};

struct node {
    uint64_t now_ns;
    uint32_t parent;
    uint8_t depth;
    uint8_t loads; /* loads: configurations asked for, whose result is not in */
    uint8_t child_count, other;
    char what[24];
    struct child children[ENTRIES];
    size_t sup_size;
    struct sup *sup;
};

struct search {
    struct sim_search *o;
    struct node *nodes;
    uint64_t *seen; /* hashes; 0 free */
    uint64_t seen_room;
    struct sup sup;
    struct sup_effects effects;
};

/* ---- states -----------------------------------------------------------------------------------
 */

static size_t size_of(const struct sup *sup)
{
    return offsetof(struct sup, workers) + sup->used * sizeof(sup->workers[0]);
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return sim_random_mix(hash);
}

/* Two states are one if they differ only in how long ago all of it was. */
static uint64_t relative(uint64_t t_ns, uint64_t now_ns)
{
    return t_ns == UINT64_MAX ? t_ns : t_ns - now_ns;
}

static uint64_t hash_node(const struct node *n, const struct sup *sup)
{
    uint64_t hash = hash_bytes(1, &n->loads, 3);
    const uint64_t numbers[] = {relative(sup->mode_deadline_ns, n->now_ns),
                                relative(sup->tree_spare_ns, n->now_ns),
                                sup->generation,
                                sup->trying,
                                sup->generation_last,
                                sup->settings.workers,
                                sup->mode,
                                sup->other,
                                sup->pending,
                                (uint64_t)sup->pending_resize,
                                sup->announced + 2u * sup->resting + 4u * sup->returning +
                                    8u * sup->owes_report + 16u * sup->short_handed};
    hash = hash_bytes(hash, numbers, sizeof(numbers));
    for (uint32_t i = 0; i < sup->used; i++) {
        const struct sup_worker *w = &sup->workers[i];
        const uint64_t worker[] = {relative(w->deadline_ns, n->now_ns),
                                   relative(w->bound_ns, n->now_ns),
                                   w->generation,
                                   (uint64_t)w->slot,
                                   w->state,
                                   w->crashes,
                                   w->leaving + 2u * w->settled + 4u * w->untold};
        hash = hash_bytes(hash, worker, sizeof(worker));
    }
    hash = hash_bytes(hash, n->children, n->child_count * sizeof(n->children[0]));
    return hash | 1;
}

static bool was_seen(struct search *s, uint64_t hash)
{
    uint64_t at = hash & (s->seen_room - 1);
    while (s->seen[at] != 0) {
        if (s->seen[at] == hash)
            return true;
        at = (at + 1) & (s->seen_room - 1);
    }
    s->seen[at] = hash;
    return false;
}

/* ---- the world's answer to effects -------------------------------------------------------------
 */

static struct child *find_child(struct node *n, int16_t slot, uint32_t generation)
{
    for (unsigned i = 0; i < n->child_count; i++)
        if (n->children[i].slot == slot && n->children[i].generation == generation)
            return &n->children[i];
    return NULL;
}

/* False: more than can be followed. */
static bool take_effects(struct node *n, const struct sup_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct sup_effect *e = &effects->at[i];
        struct child *child = find_child(n, e->slot, e->generation);
        if (e->kind == SUP_DO_SPAWN) {
            if (n->child_count == ENTRIES)
                return false;
            n->children[n->child_count] = (struct child){.slot = e->slot};
            n->children[n->child_count++].generation = e->generation;
        } else if (e->kind == SUP_DO_LOAD_CONF) {
            n->loads = 1;
        } else if (e->kind == SUP_DO_UPGRADE_START) {
            n->other = 1;
        } else if (child != NULL && e->kind == SUP_DO_GO) {
            child->go = 1;
        } else if (child != NULL && (e->kind == SUP_DO_DRAIN || e->kind == SUP_DO_TERM ||
                                     e->kind == SUP_DO_ABORT || e->kind == SUP_DO_KILL)) {
            child->told = e->kind;
        }
    }
    return true;
}

static void note_event(struct node *n, const struct sup_event *event)
{
    struct child *child = find_child(n, event->slot, event->generation);
    switch (event->kind) {
    case SUP_CONF_OK:
    case SUP_CONF_BAD:
        n->loads = 0;
        break;
    case SUP_OTHER_READY:
        n->other = 2;
        break;
    case SUP_OTHER_GONE:
        n->other = 0;
        break;
    case SUP_SPAWNED:
        child->alive = 1;
        break;
    case SUP_POISED:
    case SUP_READY:
        child->said = event->kind == SUP_POISED ? 1 : 2;
        break;
    case SUP_SPAWN_FAILED:
    case SUP_EXITED:
        memmove(child, child + 1,
                (size_t)(&n->children[n->child_count] - (child + 1)) * sizeof(*child));
        n->child_count--;
        break;
    default:
        break;
    }
}

/* ---- the search -------------------------------------------------------------------------------
 */

static void tell_path(struct search *s, uint32_t node, const char *what)
{
    struct sim_search *o = s->o;
    uint32_t depth = s->nodes[node].depth;
    o->path_count = depth + 1;
    snprintf(o->path[depth], sizeof(o->path[0]), "%s", what);
    for (uint32_t at = node; depth > 0; at = s->nodes[at].parent)
        snprintf(o->path[--depth], sizeof(o->path[0]), "%s", s->nodes[at].what);
}

static void keep(struct search *s, const struct node *n)
{
    struct sim_search *o = s->o;
    struct node *to = &s->nodes[o->states++];
    *to = *n;
    to->sup_size = size_of(&s->sup);
    to->sup = malloc(to->sup_size);
    if (to->sup == NULL)
        abort();
    memcpy(to->sup, &s->sup, to->sup_size);
    if (n->depth > o->deepest)
        o->deepest = n->depth;
}

/* Lets the event happen in a copy of the state. False: an invariant broke. */
static bool try_event(struct search *s, uint32_t from, const struct sup_event *event,
                      uint64_t now_ns, const char *what)
{
    struct sim_search *o = s->o;
    struct node n = s->nodes[from];
    memcpy(&s->sup, s->nodes[from].sup, s->nodes[from].sup_size);
    n.now_ns = now_ns;
    n.parent = from;
    n.depth++;
    snprintf(n.what, sizeof(n.what), "%s", what);
    sup_step(&s->sup, now_ns, event, &s->effects);
    o->steps++;
    if (s->effects.cell != SUP_CELL_STRANGER)
        o->coverage[s->effects.cell]++;
    o->broken = sup_check(&s->sup);
    if (o->broken != NULL) {
        tell_path(s, from, what);
        return false;
    }
    note_event(&n, event);
    if (!take_effects(&n, &s->effects) || o->states == o->states_max)
        o->complete = false;
    else if (was_seen(s, hash_node(&n, &s->sup)))
        o->repeated++;
    else
        keep(s, &n);
    return true;
}

static bool try_master(struct search *s, uint32_t from)
{
    static const enum sup_event_kind always[] = {SUP_RELOAD, SUP_QUIT, SUP_STOP,   SUP_UPGRADE,
                                                 SUP_REST,   SUP_GROW, SUP_SHRINK, SUP_REOPEN};
    const struct node *n = &s->nodes[from];
    struct sup_event event;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        event = (struct sup_event){.kind = always[i]};
        if (!try_event(s, from, &event, n->now_ns, sup_event_word(event.kind)))
            return false;
    }
    for (unsigned kind = SUP_CONF_OK; n->loads > 0 && kind <= SUP_CONF_BAD; kind++) {
        event = (struct sup_event){.kind = kind, .settings = n->sup->options.settings};
        if (!try_event(s, from, &event, n->now_ns, sup_event_word(kind)))
            return false;
    }
    for (unsigned kind = SUP_OTHER_READY; n->other > 0 && kind <= SUP_OTHER_GONE; kind++) {
        event = (struct sup_event){.kind = kind};
        if ((kind == SUP_OTHER_GONE || n->other == 1) &&
            !try_event(s, from, &event, n->now_ns, sup_event_word(kind)))
            return false;
    }
    uint64_t due_ns = sup_next_deadline_ns(n->sup);
    event = (struct sup_event){.kind = SUP_TIMER};
    return due_ns == UINT64_MAX ||
           try_event(s, from, &event, due_ns > n->now_ns ? due_ns : n->now_ns, "timer");
}

static bool try_child(struct search *s, uint32_t from, const struct child *child)
{
    static const enum sup_event_kind unborn[] = {SUP_SPAWNED, SUP_SPAWN_FAILED};
    static const enum sup_event_kind living[] = {SUP_EXITED, SUP_DRAINING, SUP_UNTOLD, SUP_POISED,
                                                 SUP_READY};
    const enum sup_event_kind *kinds = child->alive ? living : unborn;
    size_t count = child->alive ? 5 : 2;
    for (size_t i = 0; i < count; i++) {
        struct sup_event event = {
            .kind = kinds[i], .slot = child->slot, .generation = child->generation};
        char what[24];
        if ((kinds[i] == SUP_POISED && child->said > 0) ||
            (kinds[i] == SUP_READY && (child->said != 1 || !child->go)))
            continue;
        if ((kinds[i] == SUP_UNTOLD && child->told == 0 && !child->go) ||
            (kinds[i] == SUP_DRAINING && child->told == 0))
            continue;
        event.a = kinds[i] == SUP_EXITED ? SIGSEGV : 0;
        snprintf(what, sizeof(what), "%s %d.%u", sup_event_word(kinds[i]), child->slot,
                 child->generation);
        if (!try_event(s, from, &event, s->nodes[from].now_ns, what))
            return false;
    }
    return true;
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
    struct node n = {.now_ns = BEGIN_NS, .what = "boot"};
    sup_init(&s->sup, &options);
    sup_step(&s->sup, BEGIN_NS, &(struct sup_event){.kind = SUP_BOOT}, &s->effects);
    take_effects(&n, &s->effects);
    keep(s, &n);
}

void sim_search(struct sim_search *o)
{
    struct search s = {.o = o, .seen_room = 1 << 10};
    while (s.seen_room < o->states_max * 4)
        s.seen_room *= 2;
    s.nodes = calloc(o->states_max, sizeof(*s.nodes));
    s.seen = calloc(s.seen_room, sizeof(*s.seen));
    if (s.nodes == NULL || s.seen == NULL)
        abort();
    o->complete = true;
    begin(&s);
    for (uint32_t at = 0; at < o->states && o->broken == NULL; at++) {
        if (s.nodes[at].depth >= o->depth)
            continue;
        bool sound = try_master(&s, at);
        for (unsigned i = 0; sound && i < s.nodes[at].child_count; i++) {
            struct child child = s.nodes[at].children[i];
            sound = try_child(&s, at, &child);
        }
    }
    for (uint64_t i = 0; i < o->states; i++)
        free(s.nodes[i].sup);
    free(s.nodes);
    free(s.seen);
}
