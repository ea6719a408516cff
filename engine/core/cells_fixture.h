/* For tests of the core's tables: every cell tried in a process of its own. */
#ifndef ENGINE_CORE_CELLS_FIXTURE_H
#define ENGINE_CORE_CELLS_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Leads to a state and does one step. A cell that is missing would be a call through NULL; an
 * impossible one aborts. */
typedef void cell_step(unsigned state, unsigned event);

/* True: the cell aborted. Any other end than that and a clean one fails the test. */
static inline bool cell_aborts(cell_step *step, unsigned state, unsigned event)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        step(state, event);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGABRT);
    return WIFSIGNALED(status);
}

static inline unsigned cells_that_abort(cell_step *step, unsigned states, unsigned events)
{
    unsigned aborted = 0;
    for (unsigned s = 0; s < states; s++)
        for (unsigned e = 0; e < events; e++)
            aborted += cell_aborts(step, s, e) ? 1 : 0;
    return aborted;
}

#endif
