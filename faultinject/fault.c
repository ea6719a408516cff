/* Fault points of a real process: asks the board, writes the firing to the history and carries out
 * what the calling code cannot: waiting, dying, hanging. */
#include "faultinject/fault.h"

#if MW_FAULTS

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "faultinject/decide.h"
#include "scenarios/history/hist.h"

/* How long a stalled process sleeps before it looks again by itself, should the wake-up be lost
 * because who disarmed the rule was killed on the way. */
static const struct timespec stall_look = {.tv_nsec = 50000000};

static uint32_t no_rules;
static struct fault_board_file board_file = {.fd = -1};
static struct fault_self self = {.slot = -1};

const volatile uint32_t *fault_armed_rules = &no_rules;

int fault_attach(void)
{
    const char *path = getenv("MW_FAULT_BOARD");
    if (!path || board_file.board)
        return 0;
    int error = fault_board_open(&board_file, path, false, 0);
    if (error)
        return error;
    close(board_file.fd); /* the mapping is enough; the process's descriptors stay its own */
    board_file.fd = -1;
    fault_self_start(&self, board_file.board, FAULT_ROLE_ANY, -1, 0, (uint32_t)getpid());
    fault_armed_rules = &board_file.board->armed;
    return 0;
}

void fault_identify(enum fault_role role, int slot, uint32_t generation)
{
    if (board_file.board)
        fault_self_start(&self, board_file.board, role, slot, generation, (uint32_t)getpid());
}

/* ---- what a fault does ------------------------------------------------------------------------
 */

static void record_firing(enum fault_point point, const struct fault_decision *decision)
{
    uint64_t value = decision->hit.kind == FAULT_CORRUPT || decision->hit.value < 0
                         ? 0
                         : (uint64_t)decision->hit.value;
    if (value > UINT32_MAX)
        value = UINT32_MAX;
    struct hist_record record = {.kind = HIST_FAULT_FIRED,
                                 .slot = (int16_t)self.slot,
                                 .pid = self.pid,
                                 .gen = self.generation,
                                 .a = point,
                                 .b = (uint64_t)decision->hit.kind << 32 | value,
                                 .c = decision->nth};
    if (hist_on())
        hist_put(&hist_self, &record);
}

/* By an absolute deadline, so that signals do not make it longer. */
static void delay(uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t total = (uint64_t)until.tv_nsec + ns % 1000000000u;
    until.tv_sec += (time_t)(ns / 1000000000u + total / 1000000000u);
    until.tv_nsec = (long)(total % 1000000000u);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
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

static void stall(const struct fault_decision *decision)
{
    const uint32_t *epoch = &board_file.board->cells[decision->rule].epoch;
    while (fault_still_armed(board_file.board, decision))
        syscall(SYS_futex, epoch, FUTEX_WAIT, decision->epoch, &stall_look, NULL, 0);
}

static void spin(const struct fault_decision *decision)
{
    while (fault_still_armed(board_file.board, decision))
        ;
}

/* True: the caller has to do it. */
static bool act(const struct fault_decision *decision)
{
    switch (decision->hit.kind) {
    case FAULT_DELAY:
        delay((uint64_t)decision->hit.value);
        return false;
    case FAULT_CRASH:
        crash((int)decision->hit.value);
        return false;
    case FAULT_EXIT:
        _exit((int)decision->hit.value);
    case FAULT_STALL:
        stall(decision);
        return false;
    case FAULT_SPIN:
        spin(decision);
        return false;
    default:
        return true;
    }
}

bool fault_consult(enum fault_point point, struct fault_hit *hit)
{
    struct fault_board *board = board_file.board;
    struct fault_decision decision = {.hit = {.kind = FAULT_NONE}};
    unsigned next = 0;
    if (!board || !board->rules_of[point])
        return false;
    int caller_errno = errno; /* a point that does nothing must be invisible */
    bool for_caller = false;
    self.pid = (uint32_t)getpid(); /* a child that has not said who it is yet is not its parent */
    while (!for_caller && fault_decide(board, &self, point, &next, &decision)) {
        record_firing(point, &decision);
        for_caller = act(&decision);
        if (decision.hit.kind != FAULT_DELAY)
            break;
    }
    errno = caller_errno;
    *hit = decision.hit;
    return for_caller;
}

#endif
