/* Words of the plan language: errno and signal names, durations, and guessing what was meant. */
#ifndef FAULTINJECT_NAMES_H
#define FAULTINJECT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAMES_ERRNO_MAX = 133, NAMES_SIGNAL_MAX = 31 };

const char *names_errno(int number);  /* "EMFILE"; NULL: no such errno */
const char *names_signal(int number); /* "SEGV"; NULL: no such signal */
bool names_errno_parse(const char *at, size_t len, int *number);
bool names_signal_parse(const char *at, size_t len, int *number); /* with or without SIG */
/* Would the signal, left to its default, kill the process or at least stop it? */
bool names_signal_harms(int number);

/* A decimal integer up to `max`, all of the text. */
bool names_integer_parse(const char *at, size_t len, uint64_t max, uint64_t *out);
bool names_duration_parse(const char *at, size_t len,
                          uint64_t *ns);                       /* 50ms, 20us, 3s; no fraction */
int names_duration_print(char *out, size_t size, uint64_t ns); /* in the largest unit that fits */

/* Looks for the candidate that a mistyped word was most likely meant to be. */
struct names_guess {
    const char *word;
    size_t len;
    const char *best; /* NULL: nothing is near */
    unsigned best_distance;
};
void names_guess_start(struct names_guess *guess, const char *word, size_t len);
void names_guess_offer(struct names_guess *guess, const char *candidate);

#endif
