/* Which errnos the calls behind a fault point can really fail with. */
#include "faultinject/errnos.h"

#include <errno.h>
#include <stdio.h>

#include "faultinject/names.h"

#define FAULT_fd_in (FAULT_POINT_COUNT + 1)
#define FAULT_fd_out (FAULT_POINT_COUNT + 2)

/* A call and its errnos, ended by 0. */
static const struct row {
    unsigned point;
    int errnos[24];
} rows[] = {
#define LIST(...) __VA_ARGS__, 0
#define HOOK_CALL(ret, name, params, args, failure, point, errnos) {FAULT_##point, {LIST errnos}},
#define HOOK_CODE HOOK_CALL
#define HOOK_IN HOOK_CALL
#define HOOK_OUT HOOK_CALL
#define HOOK_VIN HOOK_CALL
#define HOOK_VOUT HOOK_CALL
#define HOOK_OWN HOOK_CALL
#define HOOK_OWN_CODE HOOK_CALL
#include "faultinject/shim/hooks.def"
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

/* read and write of a pipe fail as their rows say; of a socket as recv and send do, of a file as
 * pread and pwrite. */
static bool is_for(const struct row *row, enum fault_point point)
{
    return row->point == point || (point == FAULT_ipc_read && row->point == FAULT_fd_in) ||
           (point == FAULT_ipc_write && row->point == FAULT_fd_out);
}

static bool has(const struct row *row, int number)
{
    for (const int *at = row->errnos; *at; at++)
        if (*at == number)
            return true;
    return false;
}

/* 0: no call of the shim; 1: none that can fail so; 2: one can. */
static int look(enum fault_point point, int number)
{
    int found = 0;
    for (size_t i = 0; i < ROW_COUNT && found < 2; i++)
        if (is_for(&rows[i], point))
            found = has(&rows[i], number) ? 2 : 1;
    return found;
}

bool errnos_possible(enum fault_point point, int number)
{
    return look(point, number) != 1;
}

void errnos_print(char *out, size_t size, enum fault_point point)
{
    size_t used = 0;
    out[0] = '\0';
    for (int number = 1; number <= NAMES_ERRNO_MAX && used < size; number++)
        if (look(point, number) == 2)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                     names_errno(number));
}
