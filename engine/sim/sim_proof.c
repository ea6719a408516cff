/* Looks for the first seed in which a sabotage is caught, and makes its schedule small. */
#include "engine/sim/sim_proof.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sim/sim_swarm.h"
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

/* ---- all of them ------------------------------------------------------------------------------
 */

struct proofs {
    unsigned caught, all, elsewhere; /* elsewhere: sabotages that the simulation does not have */
    size_t acts[FAULT_POINT_COUNT];  /* needed for those that are caught */
    json_t *rows;
};

static int by_size(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static size_t median(struct proofs *p)
{
    qsort(p->acts, p->caught, sizeof(p->acts[0]), by_size);
    return p->caught > 0 ? p->acts[p->caught / 2] : 0;
}

static void note(struct proofs *p, const struct sim_proof *proof, bool seen, FILE *out)
{
    const char *point = fault_point_name(proof->point);
    const char *by = seen ? guarantee_name(proof->guarantee) : "";
    p->all++;
    if (seen)
        p->acts[p->caught++] = proof->shrunk.acts_after;
    if (p->rows != NULL)
        json_array_append_new(
            p->rows, json_pack("{s:s, s:b, s:s, s:I, s:I, s:I}", "sabotage", point, "caught", seen,
                               "guarantee", by, "seed", (json_int_t)proof->seed, "acts",
                               (json_int_t)proof->shrunk.acts_before, "acts_needed",
                               (json_int_t)proof->shrunk.acts_after));
    else if (seen)
        fprintf(out, "%-34s %-26s seed %-5llu %2zu of %2zu acts\n", point, by,
                (unsigned long long)proof->seed, proof->shrunk.acts_after,
                proof->shrunk.acts_before);
    else
        fprintf(out, "%-34s NOT CAUGHT\n", point);
    fflush(out);
}

static void print_sum(struct proofs *p, uint64_t first, uint64_t last, FILE *out)
{
    size_t middle = median(p), most = p->caught > 0 ? p->acts[p->caught - 1] : 0;
    if (p->rows == NULL) {
        fprintf(out,
                "%u of %u sabotages caught, by %zu acts in the median, %zu at most; %u others are "
                "not in the\nsimulation\nrepeat: mw-sim proof --seeds %llu..%llu\n",
                p->caught, p->all, middle, most, p->elsewhere, (unsigned long long)first,
                (unsigned long long)last);
        return;
    }
    json_t *all =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "caught", (json_int_t)p->caught, "of",
                  (json_int_t)p->all, "not_simulated", (json_int_t)p->elsewhere, "median_acts",
                  (json_int_t)middle, "most_acts", (json_int_t)most, "rows", p->rows);
    json_dumpf(all, out, JSON_INDENT(1));
    fputc('\n', out);
    json_decref(all);
}

static unsigned count_sabotages(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < FAULT_POINT_COUNT; i++)
        count += (fault_point_info(i)->kinds & FAULT_KIND_BIT(FAULT_SABOTAGE)) != 0;
    return count;
}

bool sim_proof_all(uint64_t first, uint64_t last, bool json, FILE *out)
{
    struct proofs p = {.rows = json ? json_array() : NULL};
    struct sim *s = sim_new();
    enum fault_point point = FAULT_POINT_COUNT;
    while ((point = sim_proof_next(point)) != FAULT_POINT_COUNT) {
        struct sim_proof proof;
        char repeat[256];
        snprintf(repeat, sizeof(repeat), "repeat: mw-sim swarm --seeds %llu..%llu --sabotage %s",
                 (unsigned long long)first, (unsigned long long)last, fault_point_name(point));
        sim_expect_crash(repeat);
        bool seen = sim_prove(s, point, first, last, &proof);
        note(&p, &proof, seen, out);
    }
    sim_free(s);
    p.elsewhere = count_sabotages() - p.all;
    print_sum(&p, first, last, out);
    return p.caught == p.all && median(&p) <= SIM_PROOF_ACTS;
}
