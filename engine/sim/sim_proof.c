/* Looks for the first seed in which a sabotage is caught, and makes its schedule small. */
#include "engine/sim/sim_proof.h"

#include <string.h>

#include "faultinject/points.h"

enum fault_point sim_proof_next(enum fault_point point)
{
    unsigned next = point == FAULT_POINT_COUNT ? 0 : point + 1u;
    for (; next < FAULT_POINT_COUNT; next++) {
        const struct fault_point_info *info = fault_point_info(next);
        if ((info->where & FAULT_SIM) && (info->kinds & FAULT_KIND_BIT(FAULT_SABOTAGE)))
            break;
    }
    return (enum fault_point)next;
}

/* Does the list, as points.def has it, name this guarantee? */
static bool names(const char *catches, enum guarantee g)
{
    const char *name = guarantee_name(g), *at = strstr(catches, name);
    char after = at != NULL ? at[strlen(name)] : '\0';
    return at != NULL && (after == '\0' || after == ',' || after == ' ');
}

static enum guarantee caught_by(const struct sim *s, const struct sim_result *result,
                                const char *catches)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        if (names(catches, (enum guarantee)g) && sim_failed(s, result, (enum guarantee)g))
            return (enum guarantee)g;
    return GUARANTEE_COUNT;
}

bool sim_prove(struct sim *s, enum fault_point point, uint64_t first, uint64_t last,
               struct sim_proof *proof)
{
    static const struct sim_outputs nothing = {.history_path = NULL};
    static struct sim_plan plan;
    const struct fault_point_info *info = fault_point_info(point);
    *proof = (struct sim_proof){.point = point, .guarantee = GUARANTEE_COUNT};
    for (uint64_t seed = first; seed <= last; seed++) {
        struct sim_result result;
        sim_plan_draw(&plan, seed);
        sim_plan_add_rules(&plan, info->name);
        sim_run(s, &plan, &nothing, &result);
        proof->guarantee = caught_by(s, &result, info->catches);
        if (proof->guarantee == GUARANTEE_COUNT)
            continue;
        proof->seed = seed;
        return sim_shrink(s, &plan, proof->guarantee, &proof->shrunk);
    }
    return false;
}
