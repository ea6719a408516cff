/* Fault points of a real process: asks the board, writes the firing to the history and carries out
 * what the calling code cannot: waiting, dying, hanging (act.c). */
#include "faultinject/fault.h"

#if MW_FAULTS

#include <dlfcn.h>
#include <unistd.h>

#include "faultinject/act.h"
#include "faultinject/decide.h"
#include "faultinject/place.h"
#include "faultinject/points.h"
#include "scenarios/history/hist.h"

static uint32_t no_rules;
static struct fault_board_file board_file = {.fd = -1};
static struct fault_self self = {.slot = -1};

const volatile uint32_t *fault_armed_rules = &no_rules;

/* A program with points of its own may run below the shim all the same, for the calls that its
 * libraries make: the shim leaves our points to us, so that no call is counted twice. */
static void silence_shim(void)
{
    void (*yield)(void);
    *(void **)&yield = dlsym(RTLD_DEFAULT, "mw_fault_shim_yield");
    if (yield)
        yield();
}

int fault_attach(void)
{
    const char *path = getenv("MW_FAULT_BOARD");
    if (!path || board_file.board)
        return 0;
    silence_shim();
    place_start();
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

void fault_allow(bool allowed)
{
    fault_armed_rules = allowed && board_file.board ? &board_file.board->armed : &no_rules;
}

/* The place of a step is where the step is; that of a system call is who called the wrapper. All
 * code that asks keeps its frame pointers. */
static const void *place_of(enum fault_point point, void *const *frame)
{
    void *const *asking = fault_point_is_call(point) ? frame[0] : frame;
    return asking[1];
}

static void record(enum fault_point point, const struct fault_decision *decision,
                   void *const *frame)
{
    struct hist_record firing = fault_record(&self, point, decision), places[PLACE_RECORDS_MAX];
    if (!hist_on())
        return;
    firing.t_ns = hist_now_ns();
    hist_put(&hist_self, &firing);
    unsigned count = place_records(&firing, place_of(point, frame), places);
    for (unsigned i = 0; i < count; i++)
        hist_put(&hist_self, &places[i]);
}

bool fault_consult(enum fault_point point, struct fault_hit *hit)
{
    struct fault_board *board = board_file.board;
    struct fault_decision decision = {.hit = {.kind = FAULT_NONE}};
    unsigned next = 0;
    if (!board || !fault_board_asks(board, point))
        return false;
    int caller_errno = errno; /* a point that does nothing must be invisible */
    bool for_caller = false;
    self.pid = (uint32_t)getpid(); /* a child that has not said who it is yet is not its parent */
    while (!for_caller && fault_decide(board, &self, point, hist_now_ns(), &next, &decision)) {
        record(point, &decision, __builtin_frame_address(0));
        for_caller = fault_act(board, &decision);
        if (decision.hit.kind != FAULT_DELAY)
            break;
    }
    errno = caller_errno;
    *hit = decision.hit;
    return for_caller;
}

#endif
