/* Showing the list of fault points: for people, as JSON and as the page docs/faults.md. */
#ifndef FAULTINJECT_LISTING_H
#define FAULTINJECT_LISTING_H

#include <stdio.h>

#include "faultinject/fault.h"

void listing_print(FILE *out);
void listing_print_json(FILE *out);
void listing_print_markdown(FILE *out);
void listing_explain(FILE *out, enum fault_point point);
/* A JSON string, with its quotes. */
void listing_json_string(FILE *out, const char *text);

#endif
