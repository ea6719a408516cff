/* The plan language: which faults happen, as text that means the same in every world.
 *
 * A plan is rules, one a line or separated by `;`, with `#` comments:
 *
 *   POINT KIND[=VALUE] [after=N] [times=N] [every=N] [nth=N] [chance=A/B]
 *                      [role=master|worker] [slot=N] [generation=N] [pid=N]
 *                      [from=TIME|POINT] [until=TIME|POINT]
 *
 * KIND is errno[=NAME] delay=TIME short[=BYTES] crash[=SIGNAL] exit[=CODE] stall spin corrupt, and
 * for sabotage points `sabotage`, which may be left out. An errno is one that the calls behind the
 * point can give. What the selectors mean stands in board.h.
 * All numbers are integers. A plan with one mistake in it is refused whole. */
#ifndef FAULTINJECT_PLAN_H
#define FAULTINJECT_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "faultinject/board.h"

struct fault_plan {
    size_t count;
    struct fault_rule rules[FAULT_RULES_MAX];
};

struct fault_plan_error {
    size_t at, len;        /* the bytes of the text that are wrong */
    unsigned line, column; /* the same for people, from 1 */
    char what[160];
    char expected[512];
    char suggestion[64]; /* "" if nothing is near */
};

/* Reads a plan. On false *error says what is wrong and *plan is not to be used. */
bool fault_plan_parse(struct fault_plan *plan, const char *text, struct fault_plan_error *error);
/* The error as lines for people: where, the line itself, what was expected, a guess. Returns what
 * snprintf would. */
int fault_plan_error_print(char *out, size_t size, const char *text,
                           const struct fault_plan_error *error);
/* The rule as the language has it; reading that gives the same rule. Returns what snprintf would.
 */
int fault_rule_print(char *out, size_t size, const struct fault_rule *rule);

#endif
