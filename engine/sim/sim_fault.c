/* Fault points in the simulation: the same rules, the same board, decided by the same code; what a
 * firing does happens on the simulated kernel. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/sim/sim.h"
#include "faultinject/act.h"
#include "faultinject/plan.h"
#include "faultinject/points.h"

static void record_firing(struct sim *s, unsigned process, enum fault_point point,
                          const struct fault_decision *decision)
{
    s->director.fired += decision->hit.kind != FAULT_SABOTAGE;
    struct hist_record record = fault_record(&s->selves[process], point, decision);
    record.role = HIST_FAULT;
    sim_record(s, &record);
}

static enum sim_fault act(struct sim *s, unsigned process, const struct fault_decision *decision)
{
    switch (decision->hit.kind) {
    case FAULT_DELAY:
        kernel_busy(&s->kernel, process, (uint64_t)decision->hit.value);
        return SIM_NO_FAULT;
    case FAULT_CRASH:
        kernel_exit(&s->kernel, process, (int)decision->hit.value);
        return SIM_FAULT_LOST;
    case FAULT_EXIT:
        kernel_exit(&s->kernel, process, (int)decision->hit.value << 8);
        return SIM_FAULT_LOST;
    case FAULT_STALL:
    case FAULT_SPIN:
        s->stalls[process] = *decision;
        kernel_stall(&s->kernel, process, decision->hit.kind == FAULT_SPIN);
        return SIM_FAULT_LOST;
    default:
        return SIM_FAULT;
    }
}

enum sim_fault sim_fault_ask(struct sim *s, unsigned process, enum fault_point point,
                             struct fault_hit *hit)
{
    struct fault_decision decision = {.hit = {.kind = FAULT_NONE}};
    unsigned next = 0;
    if (__builtin_expect(!fault_board_asks(&s->board, point), 1))
        return SIM_NO_FAULT;
    while (
        fault_decide(&s->board, &s->selves[process], point, s->kernel.now_ns, &next, &decision)) {
        record_firing(s, process, point, &decision);
        enum sim_fault result = act(s, process, &decision);
        *hit = decision.hit;
        if (decision.hit.kind != FAULT_DELAY)
            return result;
    }
    return SIM_NO_FAULT;
}

int sim_fault_step(struct sim *s, unsigned process, enum fault_point point)
{
    struct fault_hit hit;
    enum sim_fault result = sim_fault_ask(s, process, point, &hit);
    if (result == SIM_FAULT_LOST)
        return 1;
    return result == SIM_FAULT && hit.kind == FAULT_ERRNO ? -(int)hit.value : 0;
}

bool sim_sabotage(struct sim *s, unsigned process, enum fault_point point)
{
    struct fault_hit hit;
    return sim_fault_ask(s, process, point, &hit) == SIM_FAULT && hit.kind == FAULT_SABOTAGE;
}

void sim_fault_identify(struct sim *s, unsigned process, enum fault_role role, int slot,
                        uint32_t generation)
{
    fault_self_start(&s->selves[process], &s->board, role, slot, generation,
                     s->kernel.processes[process].pid);
}

static void record_rule(struct sim *s, enum hist_kind kind, unsigned rule)
{
    const struct fault_rule *r = &s->board.cells[rule].rule;
    sim_record(s, &(struct hist_record){.kind = (uint16_t)kind,
                                        .role = HIST_FAULT,
                                        .slot = -1,
                                        .a = (uint64_t)r->point,
                                        .b = (uint64_t)r->kind,
                                        .c = rule});
}

/* Says that a point, which is named in the text, is none of the simulation's. */
static void never_asked(const char *text, const char *name, struct fault_plan_error *error)
{
    const char *at = strstr(text, name);
    *error = (struct fault_plan_error){.line = 1, .column = 1, .len = strlen(name)};
    for (; at != NULL && text + error->at < at; error->at++) {
        bool ends = text[error->at] == '\n';
        error->line += ends;
        error->column = ends ? 1 : error->column + 1;
    }
    snprintf(error->what, sizeof(error->what), "the simulation never asks %s", name);
    snprintf(error->expected, sizeof(error->expected), "a point that \"mw-fault list\" has in sim");
}

bool sim_fault_plan(struct fault_plan *plan, const char *text, struct fault_plan_error *error)
{
    if (!fault_plan_parse(plan, text, error))
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        const struct fault_point_info *info = fault_point_info(plan->rules[i].point);
        if (!(info->where & FAULT_SIM)) {
            never_asked(text, info->name, error);
            return false;
        }
    }
    return true;
}

int sim_fault_arm(struct sim *s, const char *text)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    int rule = -1;
    if (!sim_fault_plan(&plan, text, &error))
        return -EINVAL;
    for (size_t i = 0; i < plan.count; i++) {
        rule = fault_board_arm_at(&s->board_file, &plan.rules[i], s->kernel.now_ns);
        if (rule >= 0)
            record_rule(s, HIST_FAULT_ARMED, (unsigned)rule);
    }
    return rule;
}

/* Whoever hangs because of it goes on. */
void sim_fault_disarm(struct sim *s, unsigned rule)
{
    record_rule(s, HIST_FAULT_DISARMED, rule);
    fault_board_disarm(&s->board_file, rule);
    for (unsigned i = 0; i < s->kernel.processes_used; i++)
        if (s->kernel.processes[i].stalled && s->stalls[i].rule == rule &&
            kernel_alive(&s->kernel, i))
            kernel_unstall(&s->kernel, i);
}
