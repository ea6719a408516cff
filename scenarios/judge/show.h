/* Verdicts and their evidence in a terminal of 80 columns. */
#ifndef SCENARIOS_JUDGE_SHOW_H
#define SCENARIOS_JUDGE_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "scenarios/judge/judge.h"

enum { SHOW_LINE_MAX = 1024 };

struct show {
    FILE *out;
    bool colour;
};

void show_result(const struct show *show, enum guarantee g, const struct judge_result *result);
/* The first violations, each with its dozen records. Nothing if there are none. */
void show_violations(const struct show *show, enum guarantee g, const struct judge_result *result,
                     const struct hist *h);
void show_catalogue_line(FILE *out, enum guarantee g);

#endif
