/* Which errnos the calls behind a fault point can really fail with, from the shim's list of calls.
 */
#ifndef FAULTINJECT_ERRNOS_H
#define FAULTINJECT_ERRNOS_H

#include <stdbool.h>
#include <stddef.h>

#include "faultinject/fault.h"

/* Also true for a point that stands for no call of the shim. */
bool errnos_possible(enum fault_point point, int number);
/* Their names, with a space between. */
void errnos_print(char *out, size_t size, enum fault_point point);

#endif
