/* The judge: one online automaton per guarantee reads a history and says holds, violated or
 * unknown, with the record that proves it.
 *
 * Used as `mw-judge RUN` on real runs and in process by the simulator: one definition. The world
 * (world.h) follows processes, connections and requests once; checkers read it and keep only what
 * is their own. Records must arrive in time order. */
#ifndef SCENARIOS_JUDGE_JUDGE_H
#define SCENARIOS_JUDGE_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/history/hist.h"

enum guarantee {
#define GUARANTEE(symbol, name, sentence, promised) G_##symbol,
#include "scenarios/judge/guarantees.def"
#undef GUARANTEE
    GUARANTEE_COUNT
};

/* Ordered: the worst of several wins. */
enum verdict { VERDICT_HOLDS, VERDICT_UNKNOWN, VERDICT_VIOLATED };

enum { JUDGE_TEXT_MAX = 240, JUDGE_VIOLATIONS_MAX = 8 };

/* One violation: the record that shows it (a client operation where there is one), the record of
 * the event that explains it if the checker knows it, and one sentence with the numbers. */
struct judge_violation {
    struct hist_record culprit;
    struct hist_record cause; /* kind HIST_NONE: not known to the checker */
    char text[JUDGE_TEXT_MAX];
};

struct judge_result {
    enum verdict verdict;
    uint64_t checked;  /* how many observations the verdict rests on; 0 makes it unknown */
    uint64_t violated; /* how many of them broke it; the first JUDGE_VIOLATIONS_MAX are kept */
    size_t violation_count;
    struct judge_violation violations[JUDGE_VIOLATIONS_MAX];
    /* Strength: what was seen ("1000 reloads, 84211 requests"), or why unknown. */
    char text[JUDGE_TEXT_MAX];
};

struct world;

/* What a checker is. `observe` is called with every record whose kind is in `kinds`, after the
 * world has taken it in. `finish` turns what was seen into the result: a checker reports
 * violations as they happen with judge_violate(), counts evidence with judge_seen(), and in finish
 * sets the strength text, or judge_unknown() with the reason. The framework derives the verdict:
 * any violation -> violated; else told unknown or nothing seen -> unknown; else holds. */
struct judge_context {
    const struct world *world;
    struct judge_result *result;
    void *state; /* state_size zeroed bytes of the checker's own */
};

struct checker {
    const unsigned *kinds; /* enum hist_kind, ended by HIST_NONE */
    size_t state_size;
    void (*observe)(struct judge_context *c, const struct hist_record *r);
    void (*finish)(struct judge_context *c);
    void (*release)(void *state); /* frees what state owns; may be NULL */
};

#define GUARANTEE(symbol, name, sentence, promised) extern const struct checker judge_##symbol;
#include "scenarios/judge/guarantees.def"
#undef GUARANTEE

void judge_seen(struct judge_context *c, uint64_t count);
void judge_violate(struct judge_context *c, const struct hist_record *culprit,
                   const struct hist_record *cause, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void judge_unknown(struct judge_context *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void judge_strength(struct judge_context *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- using it ------------------------------------------------------------------------------- */

struct judge; /* all checkers and the world; owned by the caller */

struct judge *judge_new(void); /* aborts without memory */
void judge_observe(struct judge *j, const struct hist_record *r);
/* Ends all checkers. The results stay valid until judge_free. */
void judge_finish(struct judge *j);
const struct judge_result *judge_result(const struct judge *j, enum guarantee g);
void judge_free(struct judge *j);

const char *guarantee_name(enum guarantee g); /* "reload/zero-loss" */
const char *guarantee_sentence(enum guarantee g);
const char *guarantee_promised(enum guarantee g);
const char *verdict_name(enum verdict v); /* "holds", "unknown", "violated" */

#endif
