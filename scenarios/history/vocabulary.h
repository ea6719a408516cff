/* Shows the whole vocabulary: to people, to the director, and as docs/history.md. */
#ifndef SCENARIOS_HISTORY_VOCABULARY_H
#define SCENARIOS_HISTORY_VOCABULARY_H

#include <stdio.h>

void vocabulary_print_text(FILE *out);
/* Kinds, words, and the layout of header and record as numpy spells types. */
void vocabulary_print_json(FILE *out);
void vocabulary_print_markdown(FILE *out);

#endif
