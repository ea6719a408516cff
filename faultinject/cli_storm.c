/* The command of mw-fault that makes storms. */
#include "faultinject/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "faultinject/storm.h"
#include "scenarios/history/hist.h"

static bool storm_numbers(const struct options *options, struct storm *storm)
{
    uint64_t pid, only = 0;
    if (!cli_number(options, OPT_PID, 2, INT32_MAX, &pid) ||
        !cli_number(options, OPT_RATE, 1, STORM_RATE_MAX_HZ, &storm->rate_hz) ||
        !cli_number(options, OPT_COUNT, 1, UINT32_MAX, &storm->count) ||
        (options->value[OPT_ONLY] && !cli_number(options, OPT_ONLY, 2, INT32_MAX, &only)) ||
        (options->value[OPT_SEED] && !cli_number(options, OPT_SEED, 0, UINT64_MAX, &storm->seed)))
        return false;
    storm->pid = (pid_t)pid;
    storm->only = (pid_t)only;
    return true;
}

static bool storm_target(const struct options *options, struct storm *storm)
{
    for (unsigned to = 0; to < HIST_TARGET_COUNT; to++)
        if (strcmp(options->value[OPT_TO], hist_target_name(to)) == 0) {
            storm->to = (enum hist_target)to;
            return true;
        }
    cli_usage_error("no such target", options->value[OPT_TO],
                    "expected --to master, worker, all or group");
    return false;
}

static bool storm_options(const struct options *options, struct storm *storm)
{
    static const enum flag needed[] = {OPT_PID, OPT_TO, OPT_SIGNAL, OPT_RATE, OPT_COUNT};
    static const char *const names[] = {"--pid", "--to", "--signal", "--rate", "--count"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!options->value[needed[i]]) {
            cli_usage_error("storm needs another option", names[i],
                            "mw-fault help storm shows them");
            return false;
        }
    const char *bad;
    size_t bad_len;
    if (!storm_signals_parse(storm, options->value[OPT_SIGNAL], &bad, &bad_len)) {
        fprintf(stderr,
                "mw-fault: \"%.*s\" is no signal of a storm\n"
                "expected names with weights where wanted, such as HUP,USR1 or HUP:3,WINCH:1\n",
                (int)bad_len, bad);
        return false;
    }
    if (!storm_target(options, storm) || !storm_numbers(options, storm))
        return false;
    if (!storm->only || storm->to == HIST_TO_WORKER)
        return true;
    cli_usage_error("--only goes with --to worker", options->value[OPT_TO],
                    "mw-fault help storm shows what the options mean");
    return false;
}

static int storm_failed(const struct storm *storm, int error)
{
    if (error == -EINVAL)
        fprintf(stderr,
                "mw-fault: process %ld leads no process group of its own (or it is ours)\n"
                "start the server in a group of its own (setsid), or use --to all\n",
                (long)storm->pid);
    else
        fprintf(stderr, "mw-fault: process %ld: %s\n", (long)storm->pid, strerror(-error));
    return EXIT_FAILED;
}

int cli_storm(const struct options *options)
{
    struct storm storm = {.seed = 1};
    struct storm_result result;
    struct hist_writer history = {.fd = -1};
    if (!storm_options(options, &storm))
        return EXIT_USAGE;
    const char *path = options->value[OPT_HISTORY];
    int error = path ? hist_open(&history, path, HIST_FAULT) : 0;
    if (error) {
        fprintf(stderr, "mw-fault: history %s: %s\n", path, strerror(-error));
        return EXIT_FAILED;
    }
    error = storm_run(&storm, &history, &result);
    hist_close(&history);
    if (error)
        return storm_failed(&storm, error);
    printf("{\"sent\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"seconds\":%.6f}\n", result.sent,
           result.failed, (double)result.elapsed_ns / 1e9);
    if (!result.root_gone)
        return EXIT_OK;
    fprintf(stderr, "mw-fault: process %ld ended before the storm did\n", (long)storm.pid);
    return EXIT_FAILED;
}
