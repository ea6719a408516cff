/* Whether a program can be run below the shim, told from its file. */
#ifndef FAULTINJECT_PROGRAM_H
#define FAULTINJECT_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct program {
    char path[PATH_MAX];      /* the file that is executed in the end: a script's interpreter */
    char sanitizer[64];       /* the sanitizer library it needs first of all, or "" */
    char why[PATH_MAX + 256]; /* why it cannot be: what is wrong with which file, and what to do */
};

/* Finds `name` as execvp would, follows `#!`, and looks at the program. False: `why` says why. */
bool program_check(struct program *program, const char *name);

#endif
