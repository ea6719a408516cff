/* The history of the process the shim is in: a file of its own in MW_HISTORY, for its firings. */
#ifndef FAULTINJECT_SHIM_JOURNAL_H
#define FAULTINJECT_SHIM_JOURNAL_H

#include <stdbool.h>

#include "scenarios/history/hist.h"

/* Remembers the folder; servers change their environment. */
void journal_set_folder(const char *folder);
/* Opens a file. At once, because a process that has given up its rights could not do it later. */
void journal_open(void);
/* In a forked child: lets go of the parent's file. */
void journal_forget(void);
/* Writes a firing, and the place in the code that made the call. */
void journal_put(struct hist_record *firing, const void *place);
/* Closes the file and removes it if nothing fired. */
void journal_close(void);

#endif
