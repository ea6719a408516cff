/* Conditions over what can be seen of the simulated world. */
#include "engine/sim/sim_seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sim/sim.h"

enum { STACK_MAX = 32, TOKEN_MAX = 64 };

enum seen {
#define N(symbol, word, meaning) SEEN_##symbol,
    SIM_SEEN(N)
#undef N
        SEEN_COUNT
};
static const char *const seen_words[] = {
#define N(symbol, word, meaning) word,
    SIM_SEEN(N)
#undef N
};

static const char *const outcome_words[] = {
#define W(symbol, word, meaning) word,
    HIST_OUTCOME_LIST(W)
#undef W
};

/* Of a load; outcomes follow. */
enum {
    LOAD_REQUESTS,
    LOAD_FAILED,
    LOAD_OUTSTANDING,
    LOAD_ESTABLISHED,
    LOAD_GENERATION,
    LOAD_WORDS
};
static const char *const load_words[LOAD_WORDS] = {"requests", "failed", "outstanding",
                                                   "established", "generation"};

enum operation {
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_AND,
    OP_OR,
    OP_PLUS,
    OP_MINUS,
    OP_TIMES,
    OP_NOT,
    OP_NEG,
    OP_BEGIN,
    OP_COUNT
};
static const char *const operations[OP_COUNT] = {"==", "!=", "<", "<=", ">",   ">=",  "and",
                                                 "or", "+",  "-", "*",  "not", "neg", "begin"};

bool sim_seen_is_population(enum hist_population kind)
{
    switch (kind) {
    case HIST_FRESH:
    case HIST_POOLED:
    case HIST_POST:
    case HIST_UPLOAD:
    case HIST_DOWNLOAD:
    case HIST_STREAM:
    case HIST_HELD:
    case HIST_IDLE:
        return true;
    default:
        return false;
    }
}

/* ---- the world --------------------------------------------------------------------------------
 */

static uint64_t failed_of(const struct sim_load_state *l)
{
    uint64_t failed = 0;
    for (unsigned i = 0; i < HIST_OUTCOME_COUNT; i++)
        failed += i != HIST_OK && i != HIST_ABANDONED ? l->ended[i] : 0;
    return failed;
}

static uint64_t outstanding_of(const struct sim_load_state *l)
{
    uint64_t ended = 0;
    for (unsigned i = 0; i < HIST_OUTCOME_COUNT; i++)
        ended += l->ended[i];
    return l->requests - ended;
}

static double of_load(const struct sim *s, unsigned load, unsigned word)
{
    const struct sim_load_state *l = &s->clients.loads[load];
    switch (word) {
    case LOAD_REQUESTS:
        return (double)l->requests;
    case LOAD_FAILED:
        return (double)failed_of(l);
    case LOAD_OUTSTANDING:
        return (double)outstanding_of(l);
    case LOAD_ESTABLISHED:
        return l->established;
    case LOAD_GENERATION:
        return l->newest_gen;
    default:
        return (double)l->ended[word - LOAD_WORDS];
    }
}

static double of_loads(const struct sim *s, unsigned word)
{
    double sum = 0, most = 0;
    for (unsigned i = 0; i < s->plan.load_count; i++) {
        double value = of_load(s, i, word);
        sum += value;
        most = value > most ? value : most;
    }
    return word == LOAD_GENERATION ? most : sum;
}

static bool was_at_phase(const struct sim *s, uint32_t pid)
{
    for (size_t i = 0; i < SIM_ROWS; i++)
        if (s->director.at_phase[i] == pid)
            return true;
    return false;
}

/* Counts workers: all that live, or those of which `word` speaks. */
static double of_workers(const struct sim *s, enum seen word)
{
    unsigned count = 0, most_fds = 0;
    for (size_t i = 0; i < SIM_ROWS; i++) {
        const struct sim_row *row = &s->master->rows[i];
        if (row->pid == 0 || !kernel_alive(&s->kernel, row->process))
            continue;
        const struct kernel_process *p = &s->kernel.processes[row->process];
        bool before = was_at_phase(s, row->pid);
        most_fds = p->fd_count > most_fds ? p->fd_count : most_fds;
        count += word == SEEN_WORKERS || (word == SEEN_STOPPED && p->state == KERNEL_STOPPED) ||
                 (word == SEEN_REMAINING && before) || (word == SEEN_REPLACED && !before) ||
                 (word == SEEN_ANSWERING && !before && s->workers[row->process].answers > 0);
    }
    return word == SEEN_FDS ? most_fds : count;
}

static double zombies(const struct sim *s)
{
    unsigned count = 0;
    for (unsigned i = 1; i < s->kernel.processes_used; i++)
        count += s->kernel.processes[i].state == KERNEL_ZOMBIE;
    return count;
}

static double of_world(const struct sim *s, enum seen word)
{
    const struct sim_director *d = &s->director;
    const struct kernel_listener *listener;
    switch (word) {
    case SEEN_REQUESTS:
        return of_loads(s, LOAD_REQUESTS);
    case SEEN_OK:
        return of_loads(s, LOAD_WORDS + HIST_OK);
    case SEEN_FAILED:
        return of_loads(s, LOAD_FAILED);
    case SEEN_OUTSTANDING:
        return of_loads(s, LOAD_OUTSTANDING);
    case SEEN_ESTABLISHED:
        return of_loads(s, LOAD_ESTABLISHED);
    case SEEN_GENERATION:
        return of_loads(s, LOAD_GENERATION);
    case SEEN_ZOMBIES:
        return zombies(s);
    case SEEN_MASTER_ALIVE:
        return !d->master_gone;
    case SEEN_CONFIG:
        return d->config;
    case SEEN_GOOD_CONFIG:
        return d->good_config;
    case SEEN_RELOADED:
        return d->reports[HIST_REPORT_OK];
    case SEEN_REFUSED:
        return d->reports[HIST_REPORT_REFUSED];
    case SEEN_UNDONE:
        return d->reports[HIST_REPORT_UNDONE];
    case SEEN_QUEUE:
        listener = kernel_listener(&s->kernel, SIM_PORT);
        return listener != NULL ? listener->waiting : 0;
    case SEEN_FIRED:
        return d->fired;
    case SEEN_STORMS:
        return d->storms;
    case SEEN_SECONDS:
        return (double)(s->kernel.now_ns - s->story.entered_ns) / 1e9;
    case SEEN_OTHERS:
        return 0;
    default:
        return of_workers(s, word);
    }
}

/* ---- tokens -----------------------------------------------------------------------------------
 */

struct token {
    enum { TOKEN_NUMBER, TOKEN_OPERATION, TOKEN_WORLD, TOKEN_LOAD, TOKEN_BAD } type;
    double number;
    unsigned word, load;
};

static unsigned find(const char *const *words, unsigned count, const char *word)
{
    unsigned i = 0;
    while (i < count && strcmp(words[i], word) != 0)
        i++;
    return i;
}

static struct token load_token(const struct sim_plan *plan, const char *name, const char *word)
{
    struct token t = {.type = TOKEN_BAD};
    while (t.load < plan->load_count && strcmp(plan->loads[t.load].name, name) != 0)
        t.load++;
    t.word = find(load_words, LOAD_WORDS, word);
    if (t.word == LOAD_WORDS)
        t.word += find(outcome_words, HIST_OUTCOME_COUNT, word);
    if (t.load < plan->load_count && t.word < LOAD_WORDS + HIST_OUTCOME_COUNT)
        t.type = TOKEN_LOAD;
    return t;
}

static struct token read_token(const struct sim_plan *plan, char *text)
{
    struct token t = {.type = TOKEN_NUMBER};
    char *end, *dot = strchr(text, '.');
    t.number = strtod(text, &end);
    if (end != text && *end == '\0')
        return t;
    t.word = find(operations, OP_COUNT, text);
    t.type = TOKEN_OPERATION;
    if (t.word < OP_COUNT)
        return t;
    t.word = find(seen_words, SEEN_COUNT, text);
    t.type = t.word < SEEN_COUNT ? TOKEN_WORLD : TOKEN_BAD;
    if (t.type == TOKEN_WORLD || dot == NULL)
        return t;
    *dot = '\0';
    return load_token(plan, text, dot + 1);
}

/* The next token; false: there is none. */
static bool next_token(const struct sim_plan *plan, const char **at, struct token *t, char *word)
{
    *at += strspn(*at, " ");
    size_t len = strcspn(*at, " ");
    if (len == 0)
        return false;
    *t = (struct token){.type = TOKEN_BAD};
    if (len < TOKEN_MAX) {
        char text[TOKEN_MAX];
        memcpy(text, *at, len);
        text[len] = '\0';
        memcpy(word, text, len + 1);
        *t = read_token(plan, text);
    }
    *at += len;
    return true;
}

/* ---- evaluating -------------------------------------------------------------------------------
 */

static double apply(enum operation op, double a, double b)
{
    switch (op) {
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_LT:
        return a < b;
    case OP_LE:
        return a <= b;
    case OP_GT:
        return a > b;
    case OP_GE:
        return a >= b;
    case OP_AND:
        return a != 0 && b != 0;
    case OP_OR:
        return a != 0 || b != 0;
    case OP_PLUS:
        return a + b;
    case OP_MINUS:
        return a - b;
    case OP_TIMES:
        return a * b;
    default:
        return 0;
    }
}

bool sim_seen_check(const struct sim_plan *plan, const char *condition)
{
    unsigned depth = 0, begins = 0;
    struct token t;
    char word[TOKEN_MAX];
    while (next_token(plan, &condition, &t, word)) {
        bool unary = t.type == TOKEN_OPERATION && t.word >= OP_NOT;
        bool binary = t.type == TOKEN_OPERATION && !unary;
        begins += unary && t.word == OP_BEGIN;
        if (t.type == TOKEN_BAD ||
            depth < (unary    ? 1u
                     : binary ? 2u
                              : 0u) ||
            begins > SIM_BEGINS_MAX)
            return false;
        depth += unary ? 0u : binary ? -1u : 1u;
        if (depth > STACK_MAX)
            return false;
    }
    return depth == 1;
}

bool sim_seen_holds(struct sim *s, const char *condition, bool entered)
{
    double stack[STACK_MAX];
    unsigned depth = 0, begins = 0;
    struct token t;
    char word[TOKEN_MAX];
    while (next_token(&s->plan, &condition, &t, word)) {
        if (t.type == TOKEN_NUMBER) {
            stack[depth++] = t.number;
        } else if (t.type == TOKEN_WORLD) {
            stack[depth++] = of_world(s, (enum seen)t.word);
        } else if (t.type == TOKEN_LOAD) {
            stack[depth++] = of_load(s, t.load, t.word);
        } else if (t.word == OP_NOT) {
            stack[depth - 1] = stack[depth - 1] == 0;
        } else if (t.word == OP_NEG) {
            stack[depth - 1] = -stack[depth - 1];
        } else if (t.word == OP_BEGIN) {
            if (entered)
                s->story.begins[begins] = stack[depth - 1];
            stack[depth - 1] = s->story.begins[begins++];
        } else {
            depth--;
            stack[depth - 1] = apply((enum operation)t.word, stack[depth - 1], stack[depth]);
        }
    }
    return stack[0] != 0;
}

void sim_seen_values(struct sim *s, const char *condition, char *out, size_t size)
{
    struct token t;
    char word[TOKEN_MAX];
    size_t len = 0;
    out[0] = '\0';
    while (next_token(&s->plan, &condition, &t, word) && len < size) {
        if (t.type != TOKEN_WORLD && t.type != TOKEN_LOAD)
            continue;
        double value =
            t.type == TOKEN_WORLD ? of_world(s, (enum seen)t.word) : of_load(s, t.load, t.word);
        if (strstr(out, word) == NULL)
            len += (size_t)snprintf(out + len, size - len, "%s%s is %g", len > 0 ? ", " : "", word,
                                    value);
    }
}
