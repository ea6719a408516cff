/* Verdicts and numbers of a simulated run, for people and as JSON. */
#include "engine/sim/sim_show.h"

#include <jansson.h>
#include <string.h>

#include "engine/sim/sim_command.h"

typedef unsigned long long ull;

int sim_exit_code(const struct sim_result *r)
{
    bool progress = r->broken != NULL && strncmp(r->broken, "progress:", 9) == 0;
    if (r->broken != NULL && !progress)
        return SIM_BROKEN;
    if (r->violated > 0)
        return SIM_VIOLATED;
    return progress ? SIM_NO_PROGRESS : SIM_HOLDS;
}

int sim_worse(int a, int b)
{
    static const int order[] = {SIM_HOLDS, SIM_NO_PROGRESS, SIM_VIOLATED, SIM_BROKEN, SIM_CRASH};
    int worst = SIM_HOLDS;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (order[i] == a || order[i] == b)
            worst = order[i];
    return worst;
}

void sim_show_violations(const struct judge *judge, FILE *out)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        const struct judge_result *r = judge_result(judge, (enum guarantee)g);
        if (r->verdict != VERDICT_VIOLATED)
            continue;
        char line[512];
        const struct judge_violation *v = &r->violations[0];
        fprintf(out, "violated: %s (%llu of %llu): %s\n", guarantee_name((enum guarantee)g),
                (ull)r->violated, (ull)r->checked, v->text);
        hist_print(line, sizeof(line), &v->culprit, UINT64_C(1000000000));
        fprintf(out, "    %s\n", line);
        if (v->cause.kind != HIST_NONE) {
            hist_print(line, sizeof(line), &v->cause, UINT64_C(1000000000));
            fprintf(out, "    because of %s\n", line);
        }
    }
}

void sim_show_verdicts(const struct judge *judge, FILE *out)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        const struct judge_result *r = judge_result(judge, (enum guarantee)g);
        fprintf(out, "%-32s %-9s %s\n", guarantee_name((enum guarantee)g), verdict_name(r->verdict),
                r->text);
    }
}

void sim_show_result(const struct sim_result *r, FILE *out)
{
    fprintf(out,
            "%llu requests, %llu failed, %llu events, %llu records, %.3f s simulated, hash "
            "%016llx\n",
            (ull)r->requests, (ull)r->failed, (ull)r->events, (ull)r->records,
            (double)r->simulated_ns / 1e9, (ull)r->hash);
}

static json_t *verdicts(const struct judge *judge)
{
    json_t *all = json_array();
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        const struct judge_result *r = judge_result(judge, (enum guarantee)g);
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", guarantee_name((enum guarantee)g),
                           "verdict", verdict_name(r->verdict), "strength", r->text, "checked",
                           (json_int_t)r->checked, "violated", (json_int_t)r->violated));
    }
    return all;
}

void sim_show_json(const struct sim *s, const struct sim_plan *plan, const struct sim_result *r,
                   FILE *out)
{
    char hash[17];
    double cpu_s = (double)r->cpu_ns / 1e9;
    json_t *trouble = json_array();
    for (unsigned i = 0; sim_trouble(s, i) != NULL; i++)
        json_array_append_new(trouble, json_string(sim_trouble(s, i)));
    snprintf(hash, sizeof(hash), "%016llx", (ull)r->hash);
    json_t *all = json_pack("{s:s, s:I, s:o?, s:o, s:o, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s}",
                            "story", plan->name, "seed", (json_int_t)plan->seed, "broken",
                            r->broken != NULL ? json_string(r->broken) : NULL, "trouble", trouble,
                            "guarantees", verdicts(sim_judge(s)), "requests",
                            (json_int_t)r->requests, "failed", (json_int_t)r->failed, "events",
                            (json_int_t)r->events, "simulated_s", (double)r->simulated_ns / 1e9,
                            "cpu_s", cpu_s, "events_per_s", (double)r->events / cpu_s, "times_real",
                            (double)r->simulated_ns / 1e9 / cpu_s, "history_hash", hash);
    json_dumpf(all, out, JSON_INDENT(1));
    fputc('\n', out);
    json_decref(all);
}
