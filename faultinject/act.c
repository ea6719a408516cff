/* What a fault does to the process it happens in. The shim uses this below wrapped functions, so
 * that time and sleep are asked of the kernel itself. */
#include "faultinject/act.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long a stalled process sleeps before it looks again by itself, should the wake-up be lost
 * because who disarmed the rule was killed on the way. */
static const struct timespec stall_look = {.tv_nsec = 50000000};

static uint64_t at_most_32_bits(uint64_t value)
{
    return value < UINT32_MAX ? value : UINT32_MAX;
}

struct hist_record fault_record(const struct fault_self *self, enum fault_point point,
                                const struct fault_decision *decision)
{
    uint64_t value = decision->hit.kind == FAULT_CORRUPT || decision->hit.value < 0
                         ? 0
                         : (uint64_t)decision->hit.value;
    return (struct hist_record){.kind = HIST_FAULT_FIRED,
                                .slot = (int16_t)self->slot,
                                .pid = self->pid,
                                .gen = self->generation,
                                .a = point,
                                .b = (uint64_t)decision->hit.kind << 32 | at_most_32_bits(value),
                                .c = at_most_32_bits(decision->call) << 32 |
                                     at_most_32_bits(decision->nth)};
}

/* By an absolute deadline, so that signals do not make it longer. */
static void delay(uint64_t ns)
{
    struct timespec until;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &until);
    uint64_t total = (uint64_t)until.tv_nsec + ns % 1000000000u;
    until.tv_sec += (time_t)(ns / 1000000000u + total / 1000000000u);
    until.tv_nsec = (long)(total % 1000000000u);
    while (syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == -1 &&
           errno == EINTR)
        ;
}

/* Dies as a bug would: by the signal itself, whatever handler or mask the process has. A signal
 * that only stops returns here when the process is continued. */
static void crash(int number)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    sigaction(number, &by_default, NULL);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
}

static void stall(const struct fault_board *board, const struct fault_decision *decision)
{
    const uint32_t *epoch = &board->cells[decision->rule].epoch;
    while (fault_still_armed(board, decision))
        syscall(SYS_futex, epoch, FUTEX_WAIT, decision->epoch, &stall_look, NULL, 0);
}

static void spin(const struct fault_board *board, const struct fault_decision *decision)
{
    while (fault_still_armed(board, decision))
        ;
}

bool fault_act(const struct fault_board *board, const struct fault_decision *decision)
{
    switch (decision->hit.kind) {
    case FAULT_DELAY:
        delay((uint64_t)decision->hit.value);
        return false;
    case FAULT_CRASH:
        crash((int)decision->hit.value);
        return false;
    case FAULT_EXIT:
        syscall(SYS_exit_group, (int)decision->hit.value);
        return false;
    case FAULT_STALL:
        stall(board, decision);
        return false;
    case FAULT_SPIN:
        spin(board, decision);
        return false;
    default:
        return true;
    }
}
