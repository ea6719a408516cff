/* Runs all checkers over one history and turns what they saw into verdicts. */
#include "scenarios/judge/judge.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/judge/world.h"

/* One checker at work. The context is first: a checker's calls lead back to its seat. What comes
 * of it is apart: seats side by side are what each record goes by. */
struct seat {
    struct judge_context context;
    void (*observe)(struct judge_context *c, const struct hist_record *r);
    const struct checker *checker;
    char *reason; /* why unknown; "" not said */
};

struct judge {
    struct world world;
    struct seat seats[GUARANTEE_COUNT];
    struct judge_result results[GUARANTEE_COUNT];
    char reasons[GUARANTEE_COUNT][JUDGE_TEXT_MAX];
};

/* Who observes a kind: seat indices, the first `listeners` of each row. The same for every judge.
 */
static uint8_t listening[HIST_KIND_COUNT][GUARANTEE_COUNT];
static uint8_t listeners[HIST_KIND_COUNT];
static pthread_once_t listening_once = PTHREAD_ONCE_INIT;
_Static_assert(GUARANTEE_COUNT < 256, "a seat's index is one byte");

static const struct checker *const checkers[GUARANTEE_COUNT] = {
#define GUARANTEE(symbol, name, sentence, promised) [G_##symbol] = &judge_##symbol,
#include "scenarios/judge/guarantees.def"
#undef GUARANTEE
};

static const struct {
    const char *name, *sentence, *promised;
} catalogue[GUARANTEE_COUNT] = {
#define GUARANTEE(symbol, name, sentence, promised) [G_##symbol] = {name, sentence, promised},
#include "scenarios/judge/guarantees.def"
#undef GUARANTEE
};

static void *zeroed(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        abort();
    return memory;
}

static void seat_take(struct judge *j, unsigned g)
{
    struct seat *seat = &j->seats[g];
    seat->checker = checkers[g];
    seat->observe = seat->checker->observe;
    seat->reason = j->reasons[g];
    seat->context.world = &j->world;
    seat->context.result = &j->results[g];
    if (seat->checker->state_size > 0)
        seat->context.state = zeroed(seat->checker->state_size);
}

static void listen_to(unsigned g)
{
    for (const unsigned *kind = checkers[g]->kinds; *kind != HIST_NONE; kind++) {
        uint8_t *row = listening[*kind];
        /* A list made from several macros may name a kind twice. */
        if (memchr(row, (int)g, listeners[*kind]) == NULL)
            row[listeners[*kind]++] = (uint8_t)g;
    }
}

static void listen_all(void)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        listen_to(g);
}

struct judge *judge_new(void)
{
    struct judge *j = zeroed(sizeof(*j));
    pthread_once(&listening_once, listen_all);
    world_init(&j->world);
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        seat_take(j, g);
    return j;
}

void judge_observe(struct judge *j, const struct hist_record *r)
{
    if (r->kind == HIST_NONE || r->kind >= HIST_KIND_COUNT)
        return;
    world_take(&j->world, r);
    const uint8_t *row = listening[r->kind], *end = row + listeners[r->kind];
    for (; row < end; row++) {
        struct seat *seat = &j->seats[*row];
        seat->observe(&seat->context, r);
    }
}

static void seat_decide(struct seat *seat)
{
    struct judge_result *result = seat->context.result;
    if (result->checked < result->violated)
        result->checked = result->violated;
    if (result->violated > 0)
        result->verdict = VERDICT_VIOLATED;
    else if (seat->reason[0] != '\0' || result->checked == 0)
        result->verdict = VERDICT_UNKNOWN;
    else
        result->verdict = VERDICT_HOLDS;
    if (result->verdict == VERDICT_UNKNOWN)
        snprintf(result->text, sizeof(result->text), "%s",
                 seat->reason[0] != '\0' ? seat->reason : "the run gave no evidence");
    else if (result->text[0] == '\0')
        snprintf(result->text, sizeof(result->text), "%llu observations, %llu broke it",
                 (unsigned long long)result->checked, (unsigned long long)result->violated);
}

void judge_finish(struct judge *j)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        struct seat *seat = &j->seats[g];
        if (seat->checker->finish != NULL)
            seat->checker->finish(&seat->context);
        seat_decide(seat);
    }
}

const struct judge_result *judge_result(const struct judge *j, enum guarantee g)
{
    return &j->results[g];
}

void judge_free(struct judge *j)
{
    if (j == NULL)
        return;
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        struct seat *seat = &j->seats[g];
        if (seat->checker->release != NULL)
            seat->checker->release(seat->context.state);
        free(seat->context.state);
    }
    world_release(&j->world);
    free(j);
}

/* ---- what checkers call --------------------------------------------------------------------- */

void judge_seen(struct judge_context *c, uint64_t count)
{
    c->result->checked += count;
}

void judge_violate(struct judge_context *c, const struct hist_record *culprit,
                   const struct hist_record *cause, const char *format, ...)
{
    struct judge_result *result = c->result;
    result->violated++;
    if (result->violation_count == JUDGE_VIOLATIONS_MAX)
        return;
    struct judge_violation *v = &result->violations[result->violation_count++];
    v->culprit = *culprit;
    if (cause != NULL)
        v->cause = *cause;
    va_list args;
    va_start(args, format);
    vsnprintf(v->text, sizeof(v->text), format, args);
    va_end(args);
}

void judge_unknown(struct judge_context *c, const char *format, ...)
{
    struct seat *seat = (struct seat *)c;
    va_list args;
    va_start(args, format);
    vsnprintf(seat->reason, JUDGE_TEXT_MAX, format, args);
    va_end(args);
}

void judge_strength(struct judge_context *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->result->text, sizeof(c->result->text), format, args);
    va_end(args);
}

/* ---- names ---------------------------------------------------------------------------------- */

const char *guarantee_name(enum guarantee g)
{
    return catalogue[g].name;
}

const char *guarantee_sentence(enum guarantee g)
{
    return catalogue[g].sentence;
}

const char *guarantee_promised(enum guarantee g)
{
    return catalogue[g].promised;
}

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {
        [VERDICT_HOLDS] = "holds", [VERDICT_UNKNOWN] = "unknown", [VERDICT_VIOLATED] = "violated"};
    return names[v];
}
