/* respawn/equal: a worker that takes another's place is what that one was. */
#include <stdlib.h>
#include <string.h>

#include "scenarios/history/words.h"
#include "scenarios/judge/causes.h"
#include "scenarios/judge/later.h"

enum {
    BORN_MAX = 1024,
    SETTLED_NS = 350000000, /* ready for so long, a worker has been seen as it is */
};
typedef unsigned long long ull;

struct born {
    struct hist_record birth;
    uint32_t pid, gen;
    int16_t slot;
    bool again; /* it took another's place */
    bool known[HIST_TRAIT_COUNT];
    struct hist_record traits[HIST_TRAIT_COUNT];
    struct hist_record answer; /* the latest it gave: which configuration it serves */
};

struct equal {
    struct born *born; /* BORN_MAX of them */
    size_t count;
    bool upgraded;
    uint64_t again, compared;
};

static struct born *born_find(const struct equal *e, uint32_t pid)
{
    for (size_t i = e->count; i-- > 0;) /* a number may be used again: the latest */
        if (e->born[i].pid == pid)
            return &e->born[i];
    return NULL;
}

/* Who has a place that another had before it. Without a trace: a worker that is born while nothing
 * but deaths can have asked for one. */
static bool takes_a_place(const struct equal *e, const struct world *w, const struct hist_record *r)
{
    if (r->kind == HIST_WATCH_FORK)
        return w->ready_ns != 0;
    for (size_t i = 0; i < e->count; i++)
        if (e->born[i].slot == r->slot && e->born[i].gen == r->gen)
            return true;
    return false;
}

static void equal_birth(struct judge_context *c, const struct hist_record *r)
{
    struct equal *e = c->state;
    if (e->born == NULL && (e->born = calloc(BORN_MAX, sizeof(*e->born))) == NULL)
        abort();
    if (e->count == BORN_MAX)
        return;
    struct born *b = &e->born[e->count];
    *b = (struct born){.birth = *r, .pid = r->pid, .gen = r->gen, .slot = r->slot};
    b->again = takes_a_place(e, c->world, r);
    e->again += b->again;
    e->count++;
}

static uint32_t parent_of(const struct world *w, const struct born *b)
{
    const struct world_process *p = world_process(w, b->pid);
    return p != NULL ? p->parent : 0;
}

/* Processors are given by place, all else is the same for every worker of a master's generation. */
static bool is_like(const struct world *w, const struct born *first, const struct born *b,
                    bool own_place)
{
    return !first->again && first->gen == b->gen && (!own_place || first->slot == b->slot) &&
           parent_of(w, first) == parent_of(w, b);
}

/* Does a first-born have the same? `like` is one of those that do not. */
static bool equal_trait(const struct judge_context *c, const struct born *b, unsigned trait,
                        const struct hist_record **like)
{
    const struct equal *e = c->state;
    *like = NULL;
    for (size_t i = 0; i < e->count; i++) {
        const struct born *first = &e->born[i];
        if (!first->known[trait] || !is_like(c->world, first, b, trait == HIST_TRAIT_AFFINITY))
            continue;
        if (first->traits[trait].b == b->traits[trait].b)
            return true;
        *like = &first->traits[trait];
    }
    return *like == NULL;
}

/* Until a worker is ready it is still becoming what it is to be. */
static bool is_settled(const struct world *w, const struct born *b)
{
    const struct world_process *p = world_process(w, b->pid);
    uint64_t until_ns = p != NULL && p->exit_ns != 0 ? p->exit_ns : w->now_ns;
    return p != NULL && p->ready_ns != 0 && until_ns > p->ready_ns + SETTLED_NS;
}

static void equal_compare(struct judge_context *c, const struct born *b)
{
    struct equal *e = c->state;
    if (!is_settled(c->world, b))
        return;
    for (unsigned trait = 0; trait < HIST_TRAIT_COUNT; trait++) {
        const struct hist_record *like;
        if (!b->known[trait])
            continue;
        judge_seen(c, 1);
        e->compared++;
        if (!equal_trait(c, b, trait, &like))
            judge_violate(c, &b->traits[trait], like,
                          "worker %u took another's place and differs from those before it in its "
                          "%s",
                          b->pid, hist_trait_name(trait));
    }
    for (size_t i = 0; b->answer.gen != 0 && i < e->count; i++) {
        const struct born *first = &e->born[i];
        if (!is_like(c->world, first, b, false) || first->answer.gen <= b->answer.gen)
            continue;
        judge_violate(c, &b->answer, &first->answer,
                      "worker %u took another's place and serves configuration %u, not %u", b->pid,
                      b->answer.gen, first->answer.gen);
        break;
    }
}

/* Another master has first-born workers of its own. */
static void equal_master(struct judge_context *c)
{
    struct equal *e = c->state;
    for (size_t i = 0; i < e->count; i++)
        if (e->born[i].again)
            equal_compare(c, &e->born[i]);
    e->count = 0;
}

static void equal_observe(struct judge_context *c, const struct hist_record *r)
{
    struct equal *e = c->state;
    const struct world_process *p = world_process(c->world, r->pid);
    struct born *b;
    switch (r->kind) {
    case HIST_ENGINE_MASTER:
        equal_master(c);
        break;
    case HIST_DIRECTOR_UPGRADE:
        e->upgraded = true;
        break;
    case HIST_ENGINE_SPAWN:
        equal_birth(c, r);
        break;
    case HIST_WATCH_FORK:
        if (!traced(c->world) && p != NULL && p->is_worker)
            equal_birth(c, r);
        break;
    default:
        b = born_find(e, r->pid);
        if (b != NULL && r->kind == HIST_CLIENT_FIRST_BYTE) {
            b->answer = *r;
        } else if (b != NULL && r->a < HIST_TRAIT_COUNT) {
            b->known[r->a] = true;
            b->traits[r->a] = *r;
        }
    }
}

static void equal_finish(struct judge_context *c)
{
    struct equal *e = c->state;
    bool sure = traced(c->world) || (c->world->reloads_asked == 0 && !e->upgraded);
    for (size_t i = 0; sure && i < e->count; i++)
        if (e->born[i].again)
            equal_compare(c, &e->born[i]);
    if (!sure)
        judge_unknown(c, "who takes a place and who is new cannot be told in a run with reloads "
                         "or upgrades");
    else if (e->again == 0)
        judge_unknown(c, "no worker took another's place");
    else if (c->result->checked == 0)
        judge_unknown(c, "no worker that took another's place lived for long enough to be seen");
    judge_strength(c, "%llu workers that took another's place, %llu traits compared", (ull)e->again,
                   (ull)e->compared);
}

static void equal_release(void *state)
{
    struct equal *e = state;
    free(e->born);
}

static const unsigned equal_kinds[] = {
    HIST_DIRECTOR_UPGRADE, HIST_ENGINE_MASTER,     HIST_ENGINE_SPAWN, HIST_WATCH_FORK,
    HIST_WATCH_TRAIT,      HIST_CLIENT_FIRST_BYTE, HIST_NONE};
const struct checker judge_respawn_equal = {.kinds = equal_kinds,
                                            .state_size = sizeof(struct equal),
                                            .observe = equal_observe,
                                            .finish = equal_finish,
                                            .release = equal_release};
