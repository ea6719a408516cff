/* mw-history: looks into what a run recorded.
 *
 *   mw-history cat RUN [--kind K] [--req N] [--conn N] [--pid N] [--from S] [--to S]
 *   mw-history merge RUN -o FILE
 *   mw-history vocabulary [--json]
 *   mw-history docs */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/history/hist.h"
#include "scenarios/history/vocabulary.h"
#include "scenarios/history/words.h"

enum { EXIT_OK = 0, EXIT_ERROR = 3, LINE_MAX_BYTES = 1024 };

/* Which records to show; zero fields do not select. */
struct filter {
    const char *kind;
    uint64_t req, conn;
    uint64_t pid;
    double from_s, to_s;
};

static const char usage[] =
    "usage: mw-history cat RUN [--kind K] [--req N] [--conn N|A.B.C.D:PORT] [--pid N]\n"
    "                          [--from S] [--to S]\n"
    "                                    the records of a run, one a line, by time;\n"
    "                                    K may be the first part of a name: engine\n"
    "       mw-history merge RUN -o FILE one file from a run's folder\n"
    "       mw-history vocabulary [--json]\n"
    "                                    kinds, fields and words\n"
    "       mw-history docs              the same as docs/history.md\n"
    "RUN is a folder of *.mwh files, or one such file. Times are seconds since the\n"
    "story began. Exit: 0, or 3 after an error.\n";

static int command_cat(int argc, char **argv);
static int command_merge(int argc, char **argv);
static int command_vocabulary(int argc, char **argv);

static int command_docs(int argc, char **argv)
{
    (void)argv;
    if (argc != 1) {
        fputs(usage, stderr);
        return EXIT_ERROR;
    }
    vocabulary_print_markdown(stdout);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"cat", command_cat},
                    {"merge", command_merge},
                    {"vocabulary", command_vocabulary},
                    {"docs", command_docs}};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_OK;
    }
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fputs(usage, stderr);
    return EXIT_ERROR;
}

static bool read_run(struct hist *h, const char *path)
{
    char why[512];
    if (hist_read(h, path, why, sizeof(why)) == 0)
        return true;
    fprintf(stderr, "mw-history: %s\n", why);
    return false;
}

/* ---- cat ------------------------------------------------------------------------------------ */

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_conn(const char *text, uint64_t *out)
{
    unsigned a, b, c, d, port;
    char rest;
    if (sscanf(text, "%u.%u.%u.%u:%u%c", &a, &b, &c, &d, &port, &rest) == 5 &&
        (a | b | c | d) < 256 && port < 65536) {
        *out = hist_conn(__builtin_bswap32(a << 24 | b << 16 | c << 8 | d), (uint16_t)port);
        return true;
    }
    return parse_number(text, out);
}

static bool parse_seconds(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool kind_exists(const char *name)
{
    for (unsigned i = 1; i < HIST_KIND_COUNT; i++)
        if (strncmp(hist_kind_name(i), name, strlen(name)) == 0)
            return true;
    return false;
}

static bool parse_filter(struct filter *filter, int argc, char **argv)
{
    static const struct option options[] = {{"kind", required_argument, NULL, 'k'},
                                            {"req", required_argument, NULL, 'r'},
                                            {"conn", required_argument, NULL, 'c'},
                                            {"pid", required_argument, NULL, 'p'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"to", required_argument, NULL, 't'},
                                            {0}};
    *filter = (struct filter){.from_s = -1e300, .to_s = 1e300};
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'k':
            filter->kind = optarg;
            good = kind_exists(optarg);
            break;
        case 'r':
            good = parse_number(optarg, &filter->req);
            break;
        case 'c':
            good = parse_conn(optarg, &filter->conn);
            break;
        case 'p':
            good = parse_number(optarg, &filter->pid);
            break;
        case 'f':
            good = parse_seconds(optarg, &filter->from_s);
            break;
        case 't':
            good = parse_seconds(optarg, &filter->to_s);
            break;
        default:
            return false;
        }
        if (!good)
            fprintf(stderr, "mw-history: \"%s\" is not what this option takes\n", optarg);
    }
    return good;
}

static bool filter_passes(const struct filter *f, const struct hist_record *r, uint64_t t0_ns)
{
    double seconds = ((double)r->t_ns - (double)t0_ns) / 1e9;
    return (f->kind == NULL || strncmp(hist_kind_name(r->kind), f->kind, strlen(f->kind)) == 0) &&
           (f->req == 0 || r->req == f->req) && (f->conn == 0 || r->conn == f->conn) &&
           (f->pid == 0 || r->pid == f->pid) && seconds >= f->from_s && seconds <= f->to_s;
}

static int command_cat(int argc, char **argv)
{
    struct filter filter;
    struct hist h;
    if (!parse_filter(&filter, argc, argv) || optind != argc - 1) {
        fputs(usage, stderr);
        return EXIT_ERROR;
    }
    if (!read_run(&h, argv[optind]))
        return EXIT_ERROR;
    uint64_t t0_ns = hist_begin_ns(&h);
    for (size_t i = 0; i < h.count; i++) {
        char line[LINE_MAX_BYTES];
        if (!filter_passes(&filter, &h.records[i], t0_ns))
            continue;
        hist_print(line, sizeof(line), &h.records[i], t0_ns);
        puts(line);
    }
    hist_free(&h);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_ERROR;
}

/* ---- merge ---------------------------------------------------------------------------------- */

static int command_merge(int argc, char **argv)
{
    const char *out = NULL;
    int c;
    while ((c = getopt(argc, argv, "o:")) != -1)
        if (c == 'o')
            out = optarg;
    struct hist h;
    if (out == NULL || optind != argc - 1) {
        fputs(usage, stderr);
        return EXIT_ERROR;
    }
    if (!read_run(&h, argv[optind]))
        return EXIT_ERROR;
    int err = hist_write(&h, out);
    if (err != 0)
        fprintf(stderr, "mw-history: %s: %s\n", out, strerror(-err));
    hist_free(&h);
    return err == 0 ? EXIT_OK : EXIT_ERROR;
}

/* ---- vocabulary ----------------------------------------------------------------------------- */

static int command_vocabulary(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc != 1 && !json) {
        fputs(usage, stderr);
        return EXIT_ERROR;
    }
    if (json)
        vocabulary_print_json(stdout);
    else
        vocabulary_print_text(stdout);
    return EXIT_OK;
}
