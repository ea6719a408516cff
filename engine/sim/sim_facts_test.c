/* Each kernel fact is asked of Linux and of the simulation, and both must give what facts.def says.
 * A fact about Linux runs in a process and session of its own, all of which ends with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/sim/sim_facts_linux_rig.h"
#include "engine/sim/sim_facts_simulated_rig.h"

struct fact {
    const char *name, *sentence, *number;
    long expected;
    long (*on_linux)(void);
    long (*simulated)(void);
};

/* Runs a fact as the leader of a group, which is killed afterwards with all that is left of it. */
static long ask_linux(const struct fact *fact)
{
    int out[2], status;
    long result = -1;
    if (pipe2(out, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        alarm(60);
        result = fact->on_linux();
        _exit(write(out[1], &result, sizeof(result)) != (ssize_t)sizeof(result));
    }
    setpgid(pid, pid);
    close(out[1]);
    if (read(out[0], &result, sizeof(result)) != (ssize_t)sizeof(result))
        result = -1;
    close(out[0]);
    kill(-pid, SIGKILL);
    while (waitpid(-pid, &status, 0) > 0)
        ;
    return result;
}

static void ask_both(void **state)
{
    const struct fact *fact = *state;
    long on_linux = ask_linux(fact), simulated = fact->simulated();
    if (on_linux != fact->expected || simulated != fact->expected)
        fail_msg("%s (%s): %ld was expected, Linux gave %ld, the simulation %ld", fact->sentence,
                 fact->number, fact->expected, on_linux, simulated);
}

int main(void)
{
    static struct fact facts[] = {
#define FACT(symbol, number, sentence, says)                                                       \
    {#symbol, sentence, says, number, linux_##symbol, simulated_##symbol},
#include "engine/sim/facts.def"
#undef FACT
    };
    enum { COUNT = sizeof(facts) / sizeof(facts[0]) };
    struct CMUnitTest tests[COUNT];
    for (int i = 0; i < COUNT; i++)
        tests[i] = (struct CMUnitTest){
            .name = facts[i].name, .test_func = ask_both, .initial_state = &facts[i]};
    int failed = cmocka_run_group_tests_name("kernel facts", tests, NULL, NULL);
    free(rig_kernel);
    return failed;
}
