/* Where in the code a call was made, as records of a history. */
#ifndef FAULTINJECT_PLACE_H
#define FAULTINJECT_PLACE_H

#include "scenarios/history/hist.h"

/* Fills in what is to be written behind the record of a firing: fault.place with the module and the
 * address in it, and fault.function if the module has a name for it. Returns how many they are.
 * Uses system calls only; not thread safe. */
enum { PLACE_RECORDS_MAX = 2 };
unsigned place_records(const struct hist_record *firing, const void *address,
                       struct hist_record records[PLACE_RECORDS_MAX]);
/* Servers write over their names: the program's is kept as it is now. */
void place_start(void);

#endif
