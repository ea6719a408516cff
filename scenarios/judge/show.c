/* Verdicts as text: a table, then what proves each violation. */
#include "scenarios/judge/show.h"

#include <string.h>

#include "scenarios/judge/evidence.h"

enum { COLUMNS = 80, NAME_COLUMNS = 30, VERDICT_COLUMNS = 9, VIOLATIONS_SHOWN = 3 };

static const char *colour_of(enum verdict v)
{
    static const char *const colours[] = {[VERDICT_HOLDS] = "\033[32m",
                                          [VERDICT_UNKNOWN] = "\033[33m",
                                          [VERDICT_VIOLATED] = "\033[1;31m"};
    return colours[v];
}

/* Prints text from column `at` on, broken at spaces, following lines indented by `indent`. */
static void wrap(FILE *out, const char *text, int at, int indent)
{
    bool fresh = true;
    while (*text != '\0') {
        text += strspn(text, " ");
        int len = (int)strcspn(text, " ");
        if (len == 0)
            break;
        if (!fresh && at + 1 + len > COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
            fresh = true;
        }
        at += fprintf(out, "%s%.*s", fresh ? "" : " ", len, text);
        fresh = false;
        text += len;
    }
    fputc('\n', out);
}

void show_result(const struct show *show, enum guarantee g, const struct judge_result *result)
{
    int indent = NAME_COLUMNS + VERDICT_COLUMNS;
    fprintf(show->out, "%-*s%s%-*s%s", NAME_COLUMNS, guarantee_name(g),
            show->colour ? colour_of(result->verdict) : "", VERDICT_COLUMNS,
            verdict_name(result->verdict), show->colour ? "\033[0m" : "");
    wrap(show->out, result->text, indent, indent);
}

static void show_record(const struct show *show, const struct hist_record *r, uint64_t t0_ns,
                        char mark)
{
    char line[SHOW_LINE_MAX];
    hist_print(line, sizeof(line), r, t0_ns);
    /* Time and kind keep their columns; the fields follow and wrap. */
    size_t fields = strspn(line, " ");
    fields += strcspn(line + fields, " ");
    fields += strspn(line + fields, " ");
    fields += strcspn(line + fields, " ");
    fprintf(show->out, "  %c%-34.*s ", mark, (int)fields, line);
    wrap(show->out, line + fields, 38, 38);
}

static void show_violation(const struct show *show, const struct judge_violation *v,
                           const struct hist *h)
{
    struct evidence e;
    evidence_collect(&e, h, v);
    wrap(show->out, v->text, 0, 0);
    for (size_t i = 0; i < e.count; i++) {
        bool culprit = memcmp(&e.records[i], &v->culprit, sizeof(v->culprit)) == 0;
        bool cause = memcmp(&e.records[i], &e.cause, sizeof(e.cause)) == 0;
        show_record(show, &e.records[i], hist_begin_ns(h), culprit ? '>' : cause ? '!' : ' ');
    }
}

void show_violations(const struct show *show, enum guarantee g, const struct judge_result *result,
                     const struct hist *h)
{
    if (result->violation_count == 0)
        return;
    fprintf(show->out, "\n%s%s%s ", show->colour ? colour_of(VERDICT_VIOLATED) : "",
            guarantee_name(g), show->colour ? "\033[0m" : "");
    fprintf(show->out, "(%llu of %llu; > the operation, ! the likely cause)\n",
            (unsigned long long)result->violated, (unsigned long long)result->checked);
    for (size_t i = 0; i < result->violation_count && i < VIOLATIONS_SHOWN; i++)
        show_violation(show, &result->violations[i], h);
}

void show_catalogue_line(FILE *out, enum guarantee g)
{
    fprintf(out, "%-*s", NAME_COLUMNS, guarantee_name(g));
    wrap(out, guarantee_sentence(g), NAME_COLUMNS, NAME_COLUMNS);
    if (guarantee_promised(g)[0] != '\0')
        fprintf(out, "%*s[%s]\n", NAME_COLUMNS, "", guarantee_promised(g));
}
