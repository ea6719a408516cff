/* Hand-made histories for the judge's tests, one event a line:
 *
 *     1.25  client.close  conn=7 a=silent b=20ms c=3 flags=reused
 *
 * is seconds, kind, then fields of struct hist_record. A field takes a number, a duration, a word
 * of its list, a signal's or an errno's name. Shorthand for the seven records of a whole exchange:
 *
 *     1.25  fresh  conn=7 req=7 pid=10 gen=1 end=ok took=2ms times=50 every=10ms
 *
 * Times, connections and requests count up over `times`. Lines may be in any order. */
#ifndef SCENARIOS_JUDGE_JUDGE_STORY_H
#define SCENARIOS_JUDGE_JUDGE_STORY_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scenarios/history/words.h"
#include "scenarios/judge/judge.h"

enum { STORY_MAX = 20000, STORY_T0_S = 10 };

struct story {
    struct hist_record records[STORY_MAX];
    size_t count;
    const char *line; /* for messages */
};

/* Parameters and a server: master 10, workers 11 and 12, ready at 0. */
#define STORY_PARAMS                                                                               \
    "-2 director.param a=generation_header b=1\n"                                                  \
    "-2 director.param a=workers b=2\n"                                                            \
    "-2 director.param a=drain_bound b=3s\n"                                                       \
    "-2 director.param a=drain_timeout b=2s\n"                                                     \
    "-2 director.param a=fast_bound b=1s\n"                                                        \
    "-2 director.param a=orphan_bound b=1s\n"                                                      \
    "-2 director.param a=converge_bound b=2s\n"                                                    \
    "-2 director.param a=control_bound b=1s\n"                                                     \
    "-2 director.param a=cut_over_allowance b=10ms\n"                                              \
    "-2 director.param a=keepalive_timeout b=5s\n"
#define STORY_SERVER                                                                               \
    STORY_PARAMS "-1 director.begin pid=1\n"                                                       \
                 "-1 client.population slot=0 a=fresh\n"                                           \
                 "-1 client.population slot=1 a=pooled\n"                                          \
                 "-1 client.population slot=2 a=post\n"                                            \
                 "-1 client.population slot=3 a=early\n"                                           \
                 "-1 client.population slot=4 a=held\n"                                            \
                 "-1 client.population slot=5 a=abusive\n"                                         \
                 "-0.9 director.config gen=1 a=1 b=2\n"                                            \
                 "-0.8 watch.root pid=10 a=1 b=10ms\n"                                             \
                 "-0.7 watch.fork pid=11 a=10\n"                                                   \
                 "-0.7 watch.fork pid=12 a=10\n"                                                   \
                 "0 director.ready pid=10 gen=1\n"
/* The same with the engine's trace. */
#define STORY_ENGINE                                                                               \
    "-2 director.param a=engine_trace b=1\n" STORY_SERVER "-0.8 engine.master pid=10 gen=1\n"      \
    "-0.7 engine.spawn pid=11 slot=0 gen=1\n"                                                      \
    "-0.7 engine.spawn pid=12 slot=1 gen=1\n"                                                      \
    "-0.6 engine.worker_ready pid=11 slot=0 gen=1\n"                                               \
    "-0.6 engine.worker_ready pid=12 slot=1 gen=1\n"

static inline bool story_word(const char *list_name, size_t len, const char *word, uint64_t *out)
{
    const struct hist_list *list = hist_list_find(list_name, len);
    for (size_t i = 0; list != NULL && i < list->count; i++)
        if (strcmp(list->words[i].word, word) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static inline bool story_number(const char *text, uint64_t *out)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"", 0}, {"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    char *rest;
    double number = strtod(text, &rest);
    if (rest == text)
        return false;
    if (*rest == '\0') {
        *out = text[0] == '-' ? (uint64_t)strtoll(text, NULL, 0) : strtoull(text, NULL, 0);
        return true;
    }
    for (size_t i = 1; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(rest, units[i].unit) == 0) {
            *out = (uint64_t)(number * units[i].ns + 0.5);
            return true;
        }
    return false;
}

static inline bool story_symbol(const char *text, uint64_t *out)
{
    for (int i = 1; i < 65; i++) {
        const char *name = sigabbrev_np(i);
        if (name != NULL && strncmp(text, "SIG", 3) == 0 && strcmp(text + 3, name) == 0) {
            *out = (uint64_t)i;
            return true;
        }
    }
    for (int i = 1; i < 256; i++) {
        const char *name = strerrorname_np(i);
        if (name != NULL && strcmp(text, name) == 0) {
            *out = (uint64_t)i;
            return true;
        }
    }
    return strcmp(text, "unknown") == 0 ? *out = UINT64_MAX, true : false;
}

/* `meaning` is what history.def says of the field. */
static inline uint64_t story_value(const struct story *s, const char *meaning, const char *text)
{
    uint64_t value = 0;
    if (strncmp(meaning, "enum ", 5) == 0) {
        const char *name = meaning + (strncmp(meaning, "enum hist_", 10) == 0 ? 10 : 5);
        if (story_word(name, strcspn(name, " ,"), text, &value))
            return value;
    }
    if (!story_number(text, &value) && !story_symbol(text, &value))
        fail_msg("no value: \"%s\" in \"%s\"", text, s->line);
    return value;
}

static inline uint16_t story_flags(const struct story *s, char *text)
{
    uint16_t flags = 0;
    char *rest = text;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        uint64_t flag = 0;
        if (!story_word("flag", 4, word, &flag))
            fail_msg("no flag: \"%s\" in \"%s\"", word, s->line);
        flags |= HIST_BIT(flag);
    }
    return flags;
}

static inline void story_put(struct story *s, const struct hist_record *r)
{
    if (s->count == STORY_MAX)
        fail_msg("a story has at most %d records", STORY_MAX);
    s->records[s->count++] = *r;
}

static inline unsigned story_kind(const char *name)
{
    for (unsigned i = 1; i < HIST_KIND_COUNT; i++)
        if (strcmp(hist_kind_name(i), name) == 0)
            return i;
    return HIST_NONE;
}

/* Of one line: its record, and the shorthand's own fields. */
struct story_line {
    struct hist_record r;
    uint64_t end, took_ns, times, every_ns;
};

static inline void story_field(const struct story *s, struct story_line *l, const char *key,
                               char *value)
{
    const char *const *fields = hist_kinds[l->r.kind].fields;
    if (strcmp(key, "end") == 0)
        l->end = story_value(s, "enum hist_outcome", value);
    else if (strcmp(key, "took") == 0)
        l->took_ns = story_value(s, "", value);
    else if (strcmp(key, "times") == 0)
        l->times = story_value(s, "", value);
    else if (strcmp(key, "every") == 0)
        l->every_ns = story_value(s, "", value);
    else if (strcmp(key, "flags") == 0)
        l->r.flags = story_flags(s, value);
    else if (strcmp(key, "pid") == 0)
        l->r.pid = (uint32_t)story_value(s, "", value);
    else if (strcmp(key, "slot") == 0)
        l->r.slot = (int16_t)story_value(s, "", value);
    else if (strcmp(key, "gen") == 0)
        l->r.gen = (uint32_t)story_value(s, "", value);
    else if (strcmp(key, "conn") == 0)
        l->r.conn = story_value(s, "", value);
    else if (strcmp(key, "req") == 0)
        l->r.req = story_value(s, "", value);
    else if (strcmp(key, "a") == 0)
        l->r.a = story_value(s, fields[HIST_FIELD_A], value);
    else if (strcmp(key, "b") == 0)
        l->r.b = story_value(s, fields[HIST_FIELD_B], value);
    else if (strcmp(key, "c") == 0)
        l->r.c = story_value(s, fields[HIST_FIELD_C], value);
    else
        fail_msg("no field: \"%s\" in \"%s\"", key, s->line);
}

/* The records of one exchange on a connection of its own. */
static inline void story_exchange(struct story *s, const struct story_line *l)
{
    struct hist_record r = l->r;
    uint64_t t0 = r.t_ns, end_ns = t0 + l->took_ns;
    uint16_t flags = r.flags;
    bool answered = l->end == HIST_OK || l->end == HIST_SERVER_ERROR || l->end == HIST_WRONG_BODY ||
                    l->end == HIST_RESET_MID || l->end == HIST_TRUNCATED;
    uint32_t pid = r.pid;
    r.pid = 0;
    r.flags = 0;
#define PUT(time, which, ...)                                                                      \
    do {                                                                                           \
        struct hist_record record = r;                                                             \
        record.t_ns = (time);                                                                      \
        record.kind = (which);                                                                     \
        __VA_ARGS__;                                                                               \
        story_put(s, &record);                                                                     \
    } while (0)
    PUT(t0, HIST_CLIENT_CONNECT, record.req = 0);
    PUT(t0 + 50000, HIST_CLIENT_CONNECTED, record.req = 0, record.a = 50000);
    PUT(t0 + 60000, HIST_CLIENT_REQUEST, record.flags = flags);
    PUT(t0 + 70000, HIST_CLIENT_SENT, (void)0);
    if (answered)
        PUT(end_ns - 10000, HIST_CLIENT_FIRST_BYTE, record.pid = pid,
            record.a = l->took_ns - 10000);
    PUT(end_ns, HIST_CLIENT_END, record.pid = answered ? pid : 0, record.flags = flags,
        record.a = l->end, record.c = l->took_ns);
    PUT(end_ns + 1000, HIST_CLIENT_CLOSE, record.a = l->end == HIST_OK ? 1 : 3, record.c = 1,
        record.flags = l->end == HIST_OK ? HIST_BIT(HIST_F_ANSWERED) : 0);
#undef PUT
}

static inline void story_line(struct story *s, char *text)
{
    struct story_line l = {.end = HIST_OK, .took_ns = 1000000, .times = 1, .every_ns = 1000000};
    char *rest = text + strspn(text, " "), *word = strsep(&rest, " ");
    if (*word == '\0')
        return;
    double seconds = strtod(word, NULL);
    l.r.t_ns = (uint64_t)((seconds + STORY_T0_S) * 1e9 + 0.5);
    l.r.slot = -1;
    rest += strspn(rest, " ");
    const char *kind = strsep(&rest, " ");
    bool exchange = strcmp(kind, "fresh") == 0;
    if (!exchange && (l.r.kind = (uint16_t)story_kind(kind)) == HIST_NONE)
        fail_msg("no kind: \"%s\" in \"%s\"", kind, s->line);
    while ((word = strsep(&rest, " ")) != NULL) {
        char *value = strchr(word, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        story_field(s, &l, word, value);
    }
    for (uint64_t i = 0; i < l.times; i++) {
        if (exchange)
            story_exchange(s, &l);
        else
            story_put(s, &l.r);
        l.r.t_ns += l.every_ns;
        l.r.conn += l.r.conn != 0 && exchange;
        l.r.req += l.r.req != 0;
    }
}

static inline int story_compare(const void *left, const void *right)
{
    const struct hist_record *a = left, *b = right;
    return (a->t_ns > b->t_ns) - (a->t_ns < b->t_ns);
}

/* Insertion sort: stable, and a story is nearly in order. */
static inline void story_sort(struct story *s)
{
    for (size_t i = 1; i < s->count; i++) {
        struct hist_record r = s->records[i];
        size_t at = i;
        for (; at > 0 && story_compare(&s->records[at - 1], &r) > 0; at--)
            s->records[at] = s->records[at - 1];
        s->records[at] = r;
    }
}

/* Free with free(). */
static inline struct story *story_read(const char *text)
{
    struct story *s = calloc(1, sizeof(*s));
    char *copy = strdup(text), *rest = copy, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char whole[256];
        snprintf(whole, sizeof(whole), "%s", line);
        s->line = whole;
        story_line(s, line);
    }
    free(copy);
    story_sort(s);
    return s;
}

/* The result of one guarantee over a story. */
static inline struct judge_result story_judge(enum guarantee g, const char *text)
{
    struct story *s = story_read(text);
    struct judge *j = judge_new();
    for (size_t i = 0; i < s->count; i++)
        judge_observe(j, &s->records[i]);
    judge_finish(j);
    struct judge_result result = *judge_result(j, g);
    judge_free(j);
    free(s);
    return result;
}

static inline void story_expect(enum guarantee g, enum verdict verdict, const char *text,
                                const char *file, int line)
{
    struct judge_result r = story_judge(g, text);
    if (r.verdict == verdict)
        return;
    print_error("%s:%d: %s: %s, expected %s: %s\n%s\n", file, line, guarantee_name(g),
                verdict_name(r.verdict), verdict_name(verdict), r.text,
                r.violation_count > 0 ? r.violations[0].text : "");
    fail();
}

/* Violated, and the first violation shows a record of this kind and process, because of one of that
 * kind (NULL: of nothing that the checker knows). */
static inline void story_blame(enum guarantee g, const char *culprit, uint32_t pid,
                               const char *cause, const char *text, const char *file, int line)
{
    struct judge_result r = story_judge(g, text);
    const struct judge_violation *v = &r.violations[0];
    unsigned because = cause != NULL ? story_kind(cause) : HIST_NONE;
    if (r.violation_count > 0 && v->culprit.kind == story_kind(culprit) && v->culprit.pid == pid &&
        v->cause.kind == because)
        return;
    print_error("%s:%d: %s: expected %s of %u because of %s: %s: %s\n%s\n%s of %u because of %s\n",
                file, line, guarantee_name(g), culprit, pid, cause != NULL ? cause : "nothing",
                verdict_name(r.verdict), r.text, r.violation_count > 0 ? v->text : "",
                hist_kind_name(v->culprit.kind), v->culprit.pid, hist_kind_name(v->cause.kind));
    fail();
}

#define HOLDS(g, text) story_expect(G_##g, VERDICT_HOLDS, text, __FILE__, __LINE__)
#define VIOLATED(g, text) story_expect(G_##g, VERDICT_VIOLATED, text, __FILE__, __LINE__)
#define UNKNOWN(g, text) story_expect(G_##g, VERDICT_UNKNOWN, text, __FILE__, __LINE__)
#define BLAMES(g, culprit, pid, cause, text)                                                       \
    story_blame(G_##g, culprit, pid, cause, text, __FILE__, __LINE__)

#endif
