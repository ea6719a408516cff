/* What is known about each fault point and kind: the tables made from points.def. */
#ifndef FAULTINJECT_POINTS_H
#define FAULTINJECT_POINTS_H

#include <stdbool.h>
#include <stddef.h>

#include "faultinject/fault.h"

/* A set of kinds is 1u << enum fault_kind. */
#define FAULT_KIND_BIT(kind) (1u << (kind))

struct fault_point_info {
    const char *name;
    unsigned where; /* FAULT_ENGINE | FAULT_SHIM | FAULT_SIM */
    unsigned kinds; /* a set of kinds */
    int default_errno;
    const char *sentence; /* without the guarantees that follow " -- " */
    const char *catches;  /* those guarantees, as one text; "" for points that are no sabotage */
};

/* Is it a call of the system or the C library? Those come first in the list; else it is a step or a
 * sabotage. */
static inline bool fault_point_is_call(unsigned point)
{
    return point < FAULT_worker_boot;
}
const struct fault_point_info *fault_point_info(unsigned point); /* NULL: no such point */
bool fault_point_parse(const char *name, size_t len, enum fault_point *out);
bool fault_kind_parse(const char *name, size_t len, enum fault_kind *out);
const char *fault_kind_sentence(unsigned kind); /* what the kind does, and what its value means */
const char *fault_role_name(unsigned role);     /* "master", "worker", "any" */
/* A number for the list of points: a board made by a build with another list is refused. */
uint64_t fault_points_signature(void);

#endif
