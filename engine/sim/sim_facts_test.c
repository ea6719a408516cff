/* Each kernel fact is asked of Linux and of the simulation, and both must give what facts.def says.
 * A fact about Linux runs in a process and group of its own, all of which ends with it; some are
 * asked ahead of their turn, because they wait for seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/sim/sim_facts_linux_files_rig.h"
#include "engine/sim/sim_facts_linux_net_rig.h"
#include "engine/sim/sim_facts_linux_rig.h"
#include "engine/sim/sim_facts_simulated_files_rig.h"
#include "engine/sim/sim_facts_simulated_net_rig.h"
#include "engine/sim/sim_facts_simulated_rig.h"

struct fact {
    const char *name, *sentence, *number;
    long expected;
    long (*on_linux)(void);
    long (*simulated)(void);
};

static struct fact facts[] = {
#define FACT(symbol, number, sentence, says)                                                       \
    {#symbol, sentence, says, number, linux_##symbol, simulated_##symbol},
#include "engine/sim/facts.def"
#undef FACT
};
enum { COUNT = sizeof(facts) / sizeof(facts[0]), AHEAD = 16 };

static struct question {
    pid_t pid; /* leads a group */
    int answer_fd;
} questions[COUNT];

static void begin_asking(int i)
{
    int out[2];
    questions[i] = (struct question){.answer_fd = -1};
    if (pipe2(out, O_CLOEXEC) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        alarm(60);
        for (int j = 0; j < i; j++)
            close(questions[j].answer_fd); /* some facts are about numbers of descriptors */
        long result = facts[i].on_linux();
        _exit(write(out[1], &result, sizeof(result)) != (ssize_t)sizeof(result));
    }
    setpgid(pid, pid);
    close(out[1]);
    questions[i] = (struct question){pid, out[0]};
}

/* Ends all that is left of whom it asked. */
static long end_asking(int i)
{
    long result = -1;
    int status;
    if (read(questions[i].answer_fd, &result, sizeof(result)) != (ssize_t)sizeof(result))
        result = -1;
    close(questions[i].answer_fd);
    kill(-questions[i].pid, SIGKILL);
    while (waitpid(-questions[i].pid, &status, 0) > 0)
        ;
    return result;
}

static void ask_both(void **state)
{
    static int asked;
    const struct fact *fact = *state;
    int i = (int)(fact - facts);
    for (; asked < COUNT && asked <= i + AHEAD; asked++)
        begin_asking(asked);
    long on_linux = end_asking(i), simulated = fact->simulated();
    if (on_linux <= LINUX_CANNOT && simulated == fact->expected) {
        print_message("not asked of Linux: %s: %s\n", fact->sentence,
                      strerror((int)(LINUX_CANNOT - on_linux)));
        skip();
    }
    if (on_linux != fact->expected || simulated != fact->expected)
        fail_msg("%s (%s): %ld was expected, Linux gave %ld, the simulation %ld", fact->sentence,
                 fact->number, fact->expected, on_linux, simulated);
}

int main(void)
{
    struct CMUnitTest tests[COUNT];
    for (int i = 0; i < COUNT; i++)
        tests[i] = (struct CMUnitTest){
            .name = facts[i].name, .test_func = ask_both, .initial_state = &facts[i]};
    int failed = cmocka_run_group_tests_name("kernel facts", tests, NULL, NULL);
    free(rig_kernel);
    return failed;
}
