/* control/logs: after log reopen every process writes only to the new file within the bound, and no
 * line is lost or torn.
 *
 * What the clients were answered (client.end ok) is compared with the access log as the director
 * read it after the story; a renamed file must have stopped growing. */
#include "scenarios/judge/causes.h"

#include <stdlib.h>

#define MS(ns) ((double)(ns) / 1e6)

enum { ROTATIONS_MAX = 256 };

struct served {
    uint64_t req;
    uint32_t pid;
};

struct logs {
    struct {
        struct hist_record at;
        uint64_t settled_bytes;
        bool settled;
    } rotations[ROTATIONS_MAX];
    size_t rotation_count;
    struct served *served; /* answered requests, owned */
    size_t served_count, served_room;
    uint64_t *lines; /* nonces in the log, owned */
    size_t line_count, line_room;
    uint64_t torn;
    struct hist_record end;
};

/* Room for one more element; false: no memory, the checker will say unknown. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;
    size_t more = *room ? *room * 2 : 1024;
    void *bigger = realloc(*array, more * size);
    if (!bigger)
        return false;
    *array = bigger;
    *room = more;
    return true;
}

static void logs_size(struct judge_context *c, const struct hist_record *r)
{
    struct logs *s = c->state;
    uint64_t bound_ns = c->world->param[HIST_P_LOG_BOUND];
    if (r->a != 1 || r->c == 0 || r->c > s->rotation_count)
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
    if (r->c == 0) {
        s->torn++;
        judge_violate(c, r, s->rotation_count ? &s->rotations[0].at : NULL,
                      "a line of the access log is torn");
    } else if (r->req && grow((void **)&s->lines, s->line_count, &s->line_room, sizeof *s->lines)) {
        s->lines[s->line_count++] = r->req;
    }
}

static void logs_observe(struct judge_context *c, const struct hist_record *r)
{
    struct logs *s = c->state;
    if (r->kind == HIST_DIRECTOR_ROTATE) {
        if (s->rotation_count < ROTATIONS_MAX && r->a == 0)
            s->rotations[s->rotation_count++].at = *r;
    } else if (r->kind == HIST_DIRECTOR_LOG_SIZE) {
        logs_size(c, r);
    } else if (r->kind == HIST_DIRECTOR_LOG_LINE) {
        logs_line(c, r);
    } else if (r->a == HIST_OK && r->req && world_population_counts(c->world, r->slot) &&
               grow((void **)&s->served, s->served_count, &s->served_room, sizeof *s->served)) {
        s->served[s->served_count++] = (struct served){.req = r->req, .pid = r->pid};
        s->end = *r;
    }
}

static int order(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* A worker that was killed may have answered and not logged yet. */
static bool was_killed(const struct world *world, uint32_t pid)
{
    const struct world_process *p = pid ? world_process(world, pid) : NULL;
    return p && p->exit_ns && exit_is_abnormal(p->exit_status);
}

static void logs_missing(struct judge_context *c)
{
    struct logs *s = c->state;
    qsort(s->lines, s->line_count, sizeof *s->lines, order);
    for (size_t i = 0; i < s->served_count; i++) {
        const struct served *one = &s->served[i];
        if (was_killed(c->world, one->pid))
            continue;
        judge_seen(c, 1);
        if (bsearch(&one->req, s->lines, s->line_count, sizeof *s->lines, order))
            continue;
        struct hist_record lost = {.kind = HIST_CLIENT_END,
                                   .role = HIST_PROBER,
                                   .req = one->req,
                                   .pid = one->pid,
                                   .slot = -1,
                                   .t_ns = s->end.t_ns};
        judge_violate(c, &lost, &s->rotations[0].at, "an answered request is in no access log");
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

static const unsigned logs_kinds[] = {HIST_DIRECTOR_ROTATE, HIST_DIRECTOR_LOG_SIZE,
                                      HIST_DIRECTOR_LOG_LINE, HIST_CLIENT_END, HIST_NONE};
const struct checker judge_control_logs = {.kinds = logs_kinds,
                                           .state_size = sizeof(struct logs),
                                           .observe = logs_observe,
                                           .finish = logs_finish,
                                           .release = logs_release};
