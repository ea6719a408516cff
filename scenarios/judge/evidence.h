/* The dozen records that explain a violation: the client's operation, what the server did with the
 * same request, connection and process, and the fault, signal or exit before it. */
#ifndef SCENARIOS_JUDGE_EVIDENCE_H
#define SCENARIOS_JUDGE_EVIDENCE_H

#include "scenarios/judge/judge.h"

enum { EVIDENCE_MAX = 12 };

struct evidence {
    struct hist_record records[EVIDENCE_MAX]; /* in time order */
    size_t count;
    struct hist_record cause; /* the checker's, or the likeliest of the records; kind 0: none */
};

void evidence_collect(struct evidence *e, const struct hist *h, const struct judge_violation *v);

#endif
