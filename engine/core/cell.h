/* The cells of the core's tables, by number: what tests and the simulator count. */
#ifndef ENGINE_CORE_CELL_H
#define ENGINE_CORE_CELL_H

#include <stdbool.h>
#include <stdint.h>

/* "rolling x CONF_OK: roll_begin"-like parts of a cell. */
struct core_cell {
    const char *row, *input, *action;
};
enum { CORE_NO_CELL = 0xffff };

#endif
