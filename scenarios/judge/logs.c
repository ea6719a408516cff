/* control/logs: after log reopen every process writes only to the new file within the bound, and no
 * line is lost or torn.
 *
 * What the clients were answered (client.end ok) is compared with the access log as the director
 * read it after the story; a renamed file must have stopped growing. */
#include "scenarios/judge/causes.h"

#include <stdlib.h>

#define MS(ns) ((double)(ns) / 1e6)

enum { ROTATIONS_MAX = 256 };

/* A request that was answered. */
struct served {
    uint64_t req, t_ns;
    uint32_t pid;
    int16_t slot;
};

struct logs {
    struct {
        struct hist_record at;
        uint64_t settled_bytes;
        bool settled;
    } rotations[ROTATIONS_MAX];
    size_t rotation_count;
    struct served *served; /* owned */
    size_t served_count, served_room;
    uint64_t *lines; /* nonces in the log, owned */
    size_t line_count, line_room;
    bool any_died; /* some worker ended otherwise than by its own will */
};

/* Room for one more element; aborts without memory. */
static void *grow(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return array;
    *room = *room ? *room * 2 : 1024;
    array = realloc(array, *room * size);
    if (!array)
        abort();
    return array;
}

/* The latest rotation before `t_ns`, NULL: none. */
static const struct hist_record *rotation_before(const struct logs *s, uint64_t t_ns)
{
    size_t i = s->rotation_count;
    while (i > 0 && s->rotations[i - 1].at.t_ns > t_ns)
        i--;
    return i > 0 ? &s->rotations[i - 1].at : NULL;
}

static void logs_size(struct judge_context *c, const struct hist_record *r)
{
    struct logs *s = c->state;
    uint64_t bound_ns = world_param(c->world, HIST_P_LOG_BOUND, 0);
    if (r->a != 1 || r->c == 0 || r->c > s->rotation_count || !bound_ns)
        return;
    size_t i = r->c - 1; /* rotations are numbered from 1 */
    if (r->t_ns < s->rotations[i].at.t_ns + bound_ns)
        return;
    if (s->rotations[i].settled && r->b > s->rotations[i].settled_bytes)
        judge_violate(c, r, &s->rotations[i].at,
                      "the renamed log grew by %llu bytes, %.0f ms after it was renamed",
                      (unsigned long long)(r->b - s->rotations[i].settled_bytes),
                      MS(r->t_ns - s->rotations[i].at.t_ns));
    judge_seen(c, s->rotations[i].settled);
    s->rotations[i].settled = true;
    s->rotations[i].settled_bytes = r->b;
}

static void logs_line(struct judge_context *c, const struct hist_record *r)
{
    struct logs *s = c->state;
    if (r->c == 0 && s->rotation_count) {
        judge_violate(c, r, &s->rotations[0].at, "a line of the access log is torn");
    } else if (r->req) {
        s->lines = grow(s->lines, s->line_count, &s->line_room, sizeof *s->lines);
        s->lines[s->line_count++] = r->req;
    }
}

static void logs_end(struct judge_context *c, const struct hist_record *r)
{
    struct logs *s = c->state;
    if (r->a != HIST_OK || !r->req || !world_population_counts(c->world, r->slot))
        return;
    s->served = grow(s->served, s->served_count, &s->served_room, sizeof *s->served);
    s->served[s->served_count++] =
        (struct served){.req = r->req, .t_ns = r->t_ns, .pid = r->pid, .slot = r->slot};
}

static bool may_have_been_killed(uint64_t status)
{
    return status == UINT64_MAX || exit_is_abnormal(status);
}

static void logs_observe(struct judge_context *c, const struct hist_record *r)
{
    struct logs *s = c->state;
    if (exit_is_news(c->world, r)) {
        s->any_died = s->any_died || may_have_been_killed(r->a);
    } else if (r->kind == HIST_DIRECTOR_ROTATE) {
        if (s->rotation_count < ROTATIONS_MAX && r->a == 0)
            s->rotations[s->rotation_count++].at = *r;
    } else if (r->kind == HIST_DIRECTOR_LOG_SIZE) {
        logs_size(c, r);
    } else if (r->kind == HIST_DIRECTOR_LOG_LINE) {
        logs_line(c, r);
    } else if (r->kind == HIST_CLIENT_END) {
        logs_end(c, r);
    }
}

static int order(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* Who was killed may have answered and not logged yet; an answer may not name who gave it. */
static bool was_killed(const struct logs *s, const struct world *world, uint32_t pid)
{
    const struct world_process *p = pid ? world_process(world, pid) : NULL;
    if (!p)
        return s->any_died;
    return p->exit_ns && may_have_been_killed(p->exit_status);
}

static void logs_missing(struct judge_context *c)
{
    struct logs *s = c->state;
    qsort(s->lines, s->line_count, sizeof *s->lines, order);
    for (size_t i = 0; i < s->served_count; i++) {
        const struct served *one = &s->served[i];
        if (was_killed(s, c->world, one->pid))
            continue;
        judge_seen(c, 1);
        if (bsearch(&one->req, s->lines, s->line_count, sizeof *s->lines, order))
            continue;
        struct hist_record lost = {.kind = HIST_CLIENT_END,
                                   .role = HIST_PROBER,
                                   .req = one->req,
                                   .pid = one->pid,
                                   .slot = one->slot,
                                   .t_ns = one->t_ns};
        judge_violate(c, &lost, rotation_before(s, one->t_ns),
                      "an answered request is in no access log");
    }
}

static void logs_finish(struct judge_context *c)
{
    struct logs *s = c->state;
    bool complete = world_param(c->world, HIST_P_ACCESS_LOG, 0) != 0 && s->line_count != 0;
    if (s->rotation_count && complete)
        logs_missing(c);
    if (!s->rotation_count)
        judge_unknown(c, "no log was rotated");
    else if (!world_param(c->world, HIST_P_LOG_BOUND, 0))
        judge_unknown(c, "the story does not state how long a reopen may take");
    else if (!complete)
        judge_unknown(c, "the access log was not read: lost lines cannot be told");
    else
        judge_strength(c, "%zu rotations, %zu lines, %zu answered requests", s->rotation_count,
                       s->line_count, s->served_count);
}

static void logs_release(void *state)
{
    struct logs *s = state;
    free(s->served);
    free(s->lines);
}

static const unsigned logs_kinds[] = {HIST_DIRECTOR_ROTATE,
                                      HIST_DIRECTOR_LOG_SIZE,
                                      HIST_DIRECTOR_LOG_LINE,
                                      HIST_CLIENT_END,
                                      HIST_WATCH_EXIT,
                                      HIST_ENGINE_WORKER_EXIT,
                                      HIST_NONE};
const struct checker judge_control_logs = {.kinds = logs_kinds,
                                           .state_size = sizeof(struct logs),
                                           .observe = logs_observe,
                                           .finish = logs_finish,
                                           .release = logs_release};
