/* mw-judge: reads the history of a run and says which guarantees hold.
 *
 *   mw-judge RUN [--json] [--only ID,ID]
 *   mw-judge --list [--json] */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scenarios/judge/evidence.h"
#include "scenarios/judge/judge.h"
#include "scenarios/judge/show.h"

enum { EXIT_HOLDS, EXIT_VIOLATED, EXIT_UNKNOWN, EXIT_ERROR };

static const char usage[] =
    "usage: mw-judge RUN [--json] [--only ID,ID]\n"
    "                          what RUN, a folder of *.mwh files or one such file,\n"
    "                          says about each guarantee; ID as reload/zero-loss\n"
    "                          or a family: reload\n"
    "       mw-judge --list [--json]\n"
    "                          the guarantees\n"
    "Exit: 0 all hold, 1 one is violated, 2 one is unknown, 3 error.\n";

struct options {
    bool json, list;
    const char *run;
    bool selected[GUARANTEE_COUNT];
};

/* ---- options -------------------------------------------------------------------------------- */

/* Takes a guarantee's name or its family's. */
static bool select_one(struct options *o, const char *word, size_t len)
{
    bool any = false;
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        const char *name = guarantee_name((enum guarantee)g);
        bool match = strncmp(name, word, len) == 0 && (name[len] == '\0' || name[len] == '/');
        o->selected[g] = o->selected[g] || match;
        any = any || match;
    }
    return any;
}

static bool select_words(struct options *o, const char *words)
{
    do {
        size_t len = strcspn(words, ",");
        if (len == 0 || !select_one(o, words, len)) {
            fprintf(stderr, "mw-judge: \"%.*s\" is no guarantee; `mw-judge --list` shows them\n",
                    (int)len, words);
            return false;
        }
        words += len;
        words += *words == ',';
    } while (*words != '\0');
    return true;
}

static bool parse_options(struct options *o, int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"list", no_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    bool only = false;
    memset(o, 0, sizeof(*o));
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'j':
            o->json = true;
            break;
        case 'l':
            o->list = true;
            break;
        case 'o':
            only = true;
            if (!select_words(o, optarg))
                return false;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_HOLDS);
        default:
            fputs(usage, stderr);
            return false;
        }
    }
    for (unsigned g = 0; g < GUARANTEE_COUNT && !only; g++)
        o->selected[g] = true;
    if (argc - optind != (o->list ? 0 : 1)) {
        fputs(usage, stderr);
        return false;
    }
    o->run = argv[optind];
    return true;
}

/* ---- the list ------------------------------------------------------------------------------- */

static void print_list(const struct options *o)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < GUARANTEE_COUNT; i++) {
        enum guarantee g = (enum guarantee)i;
        const char *name = guarantee_name(g);
        if (!o->selected[g])
            continue;
        if (o->json)
            json_array_append_new(list,
                                  json_pack("{s:s, s:s%, s:s, s:s}", "id", name, "family", name,
                                            strcspn(name, "/"), "sentence", guarantee_sentence(g),
                                            "promised", guarantee_promised(g)));
        else
            show_catalogue_line(stdout, g);
    }
    if (o->json) {
        json_dumpf(list, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(list);
}

/* ---- verdicts ------------------------------------------------------------------------------- */

static json_t *json_record(const struct hist_record *r, uint64_t t0_ns)
{
    char line[SHOW_LINE_MAX];
    if (r->kind == HIST_NONE)
        return json_null();
    hist_print(line, sizeof(line), r, t0_ns);
    return json_string(line + strspn(line, " "));
}

static json_t *json_violation(const struct judge_violation *v, const struct hist *h, uint64_t t0_ns)
{
    struct evidence e;
    evidence_collect(&e, h, v);
    json_t *around = json_array();
    for (size_t i = 0; i < e.count; i++)
        json_array_append_new(around, json_record(&e.records[i], t0_ns));
    return json_pack("{s:s, s:f, s:I, s:I, s:o, s:o, s:o}", "text", v->text, "seconds",
                     ((double)v->culprit.t_ns - (double)t0_ns) / 1e9, "req",
                     (json_int_t)v->culprit.req, "conn", (json_int_t)v->culprit.conn, "culprit",
                     json_record(&v->culprit, t0_ns), "cause", json_record(&e.cause, t0_ns),
                     "around", around);
}

static json_t *json_result(const struct judge *j, enum guarantee g, const struct hist *h,
                           uint64_t t0_ns)
{
    const struct judge_result *r = judge_result(j, g);
    json_t *evidence = json_array();
    for (size_t i = 0; i < r->violation_count; i++)
        json_array_append_new(evidence, json_violation(&r->violations[i], h, t0_ns));
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "id", guarantee_name(g), "verdict",
                     verdict_name(r->verdict), "strength", r->text, "checked",
                     (json_int_t)r->checked, "violated", (json_int_t)r->violated, "evidence",
                     evidence);
}

static void print_json(const struct options *o, const struct judge *j, const struct hist *h)
{
    json_t *results = json_array();
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        if (o->selected[g])
            json_array_append_new(results, json_result(j, (enum guarantee)g, h, hist_begin_ns(h)));
    json_t *all = json_pack("{s:o, s:I}", "guarantees", results, "records", (json_int_t)h->count);
    json_dumpf(all, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(all);
}

static void print_table(const struct options *o, const struct judge *j, const struct hist *h)
{
    struct show show = {stdout, isatty(STDOUT_FILENO) != 0 && getenv("NO_COLOR") == NULL};
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        if (o->selected[g])
            show_result(&show, (enum guarantee)g, judge_result(j, (enum guarantee)g));
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        if (o->selected[g])
            show_violations(&show, (enum guarantee)g, judge_result(j, (enum guarantee)g), h);
}

/* The worst verdict of all. */
static int exit_code(const struct options *o, const struct judge *j)
{
    static const int codes[] = {[VERDICT_HOLDS] = EXIT_HOLDS,
                                [VERDICT_UNKNOWN] = EXIT_UNKNOWN,
                                [VERDICT_VIOLATED] = EXIT_VIOLATED};
    enum verdict worst = VERDICT_HOLDS;
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        enum verdict v = judge_result(j, (enum guarantee)g)->verdict;
        if (o->selected[g] && v > worst)
            worst = v;
    }
    return codes[worst];
}

/* What is missing of a history could be the proof, or the excuse: one that was cut is not judged.
 */
static bool read_run(struct hist *h, const char *run)
{
    char why[512];
    int err = hist_read(h, run, why, sizeof(why));
    if (err == 0 && why[0] == '\0')
        return true;
    fprintf(stderr, "mw-judge: %s\n", why[0] != '\0' ? why : strerror(-err));
    if (err == 0)
        hist_free(h);
    return false;
}

int main(int argc, char **argv)
{
    struct options options;
    struct hist h;
    if (!parse_options(&options, argc, argv))
        return EXIT_ERROR;
    if (options.list) {
        print_list(&options);
        return EXIT_HOLDS;
    }
    if (!read_run(&h, options.run))
        return EXIT_ERROR;
    struct judge *j = judge_new();
    for (size_t i = 0; i < h.count; i++)
        judge_observe(j, &h.records[i]);
    judge_finish(j);
    if (options.json)
        print_json(&options, j, &h);
    else
        print_table(&options, j, &h);
    int code = exit_code(&options, j);
    judge_free(j);
    hist_free(&h);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "mw-judge: the verdicts cannot be written: %s\n", strerror(errno));
        return EXIT_ERROR;
    }
    return code;
}
