/* Replays a trace through the supervisor, line by line. */
#include "engine/sim/sim_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/trace.h"

struct replayer {
    struct sup sup;
    struct sup_effects effects;
    struct trace_line line;
    bool started;
};

static bool fail(struct sim_trace_result *result, const char *what, const char *detail)
{
    snprintf(result->what, sizeof(result->what), "%s%s", what, detail);
    return false;
}

static bool differs(const struct replayer *r, struct sim_trace_result *result)
{
    char now[SIM_TRACE_TEXT_MAX - 64];
    size_t len = trace_print_step(now, sizeof(now), r->line.now_ns, &r->line.event, &r->effects);
    now[len] = '\0';
    return fail(result, "the supervisor decides otherwise now: ", len > 0 ? now : "(too long)");
}

static bool replay_line(struct replayer *r, const char *text, struct sim_trace_result *result)
{
    switch (trace_parse(text, &r->line)) {
    case TRACE_START:
        sup_init(&r->sup, &r->line.options);
        r->started = true;
        return true;
    case TRACE_COMMENT:
        return true;
    case TRACE_BAD:
        return fail(result, "this is no line of a trace: ", r->line.bad);
    case TRACE_STEP:
        break;
    }
    if (!r->started)
        return fail(result, "a step comes before the start", "");
    sup_step(&r->sup, r->line.now_ns, &r->line.event, &r->effects);
    result->steps++;
    const char *broken = sup_check(&r->sup);
    if (broken != NULL)
        return fail(result, "after this step it does not hold that ", broken);
    return trace_same_effects(&r->effects, &r->line.effects) || differs(r, result);
}

bool sim_trace_replay(const char *path, struct sim_trace_result *result)
{
    struct replayer *r = calloc(1, sizeof(*r));
    FILE *in = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;
    uint64_t line = 0;
    bool same = true;

    *result = (struct sim_trace_result){.steps = 0};
    if (r == NULL || in == NULL) {
        free(r);
        return fail(result, "it cannot be read: ", strerror(in == NULL ? errno : ENOMEM));
    }
    while (same && getline(&text, &room, in) > 0) {
        line++;
        same = replay_line(r, text, result);
    }
    if (!same)
        result->line = line;
    else if (!r->started)
        same = fail(result, "it holds no trace", "");
    free(text);
    free(r);
    fclose(in);
    return same;
}
