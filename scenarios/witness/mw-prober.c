/* mw-prober: clients of all kinds, at rates that do not depend on the answers, every request
 * checked, every end written into a history. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "scenarios/witness/prober_command.h"
#include "scenarios/witness/prober_loop.h"
#include "scenarios/witness/prober_pool.h"
#include "scenarios/witness/prober_report.h"

enum { OWN_ERROR = 3 };

static const char usage[] =
    "usage: mw-prober --target HOST:PORT --history FILE [--sources FIRST-LAST] [--seed N]\n"
    "                 --population KIND,name=N[,path=/p][,rate=R][,clients=C][,KEY=VALUE...]"
    " [--population ...]\n"
    "Sends requests of several kinds of clients, checks every answer, writes a history.\n"
    "Reads commands from stdin (start NAME, stop NAME, release NAME, rate NAME R, quit), writes\n"
    "JSON lines. Exit: 0, also when requests failed; 3 its own failure.\n";

struct options {
    const char *target, *history, *sources;
    const char *populations[PROBER_POPULATIONS_MAX];
    int population_count;
    uint64_t seed;
};

static struct prober prober;

static int fail(const char *text)
{
    fprintf(stderr, "mw-prober: %s\n", text);
    return OWN_ERROR;
}

static bool read_options(struct options *o, int argc, char **argv)
{
    static const struct option long_options[] = {{"target", required_argument, NULL, 't'},
                                                 {"history", required_argument, NULL, 'o'},
                                                 {"sources", required_argument, NULL, 's'},
                                                 {"seed", required_argument, NULL, 'r'},
                                                 {"population", required_argument, NULL, 'p'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        char *end = NULL;
        switch (option) {
        case 't':
            o->target = optarg;
            break;
        case 'o':
            o->history = optarg;
            break;
        case 's':
            o->sources = optarg;
            break;
        case 'r':
            o->seed = strtoull(optarg, &end, 10);
            if (*optarg == '\0' || *end != '\0')
                return false;
            break;
        case 'p':
            if (o->population_count == PROBER_POPULATIONS_MAX)
                return false;
            o->populations[o->population_count++] = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            return false;
        }
    }
    return optind == argc && o->target != NULL && o->history != NULL && o->population_count > 0;
}

/* Loopback has 2^24 addresses: by using some of them ephemeral ports do not run out. */
static int choose_sources(const struct options *o, char *why, size_t why_size)
{
    const char *sources = o->sources;
    if (sources == NULL && (ntohl(prober.target.sin_addr.s_addr) >> 24) == 127)
        sources = "127.0.1.1-127.0.1.20";
    if (sources == NULL)
        return 0;
    return prober_sources_parse(&prober.source_first, &prober.source_count, sources, why, why_size);
}

static int add_populations(const struct options *o, char *why, size_t why_size)
{
    for (int i = 0; i < o->population_count; i++) {
        struct prober_spec spec;
        if (prober_spec_parse(&spec, o->populations[i], why, why_size) < 0)
            return -EINVAL;
        const char *fault = prober_pool_add(&prober, &spec);
        if (fault != NULL) {
            snprintf(why, why_size, "population '%s': %s", o->populations[i], fault);
            return -EINVAL;
        }
    }
    return 0;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1};
    char why[512];
    if (!read_options(&options, argc, argv)) {
        fputs(usage, stderr);
        return OWN_ERROR;
    }
    if (prober_target_parse(&prober.target, options.target, why, sizeof(why)) < 0 ||
        choose_sources(&options, why, sizeof(why)) < 0)
        return fail(why);
    int rc = prober_loop_init(&prober, options.seed);
    if (rc < 0 || add_populations(&options, why, sizeof(why)) < 0)
        return fail(rc < 0 ? strerror(-rc) : why);
    rc = hist_open(&prober.history, options.history, HIST_PROBER);
    if (rc < 0) {
        snprintf(why, sizeof(why),
                 "--history '%s': %s; it must be a new file in a folder that "
                 "exists",
                 options.history, strerror(-rc));
        return fail(why);
    }
    raise_descriptor_limit();
    prober_report_open();
    ev_set_userdata(prober.loop, &prober);
    prober_command_open(&prober);
    int code = prober_loop_run(&prober);
    prober_report_done(&prober);
    hist_close(&prober.history);
    prober_pool_free(&prober);
    ev_loop_destroy(prober.loop);
    return code;
}
