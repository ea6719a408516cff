/* Reading and printing plans. */
#include "faultinject/plan.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "faultinject/errnos.h"
#include "faultinject/names.h"
#include "faultinject/points.h"

/* A piece of the plan's text. */
struct word {
    const char *at;
    size_t len;
};

struct parser {
    const char *text, *at;
    struct fault_plan_error *error;
};

static bool parse_rule(struct parser *p, struct fault_rule *rule);

/* ---- words and errors -------------------------------------------------------------------------
 */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool ends_rule(char c)
{
    return c == '\n' || c == ';' || c == '#' || c == '\0';
}

static bool word_is(struct word w, const char *text)
{
    return strlen(text) == w.len && memcmp(w.at, text, w.len) == 0;
}

/* The next word of the rule; empty at its end. */
static struct word next_word(struct parser *p)
{
    while (is_blank(*p->at))
        p->at++;
    struct word w = {.at = p->at};
    while (!is_blank(*p->at) && !ends_rule(*p->at))
        p->at++;
    w.len = (size_t)(p->at - w.at);
    return w;
}

/* Skips to the first word of a rule. False: the text is over. */
static bool next_rule(struct parser *p)
{
    for (;;) {
        while (is_blank(*p->at) || *p->at == '\n' || *p->at == ';')
            p->at++;
        if (*p->at != '#')
            return *p->at != '\0';
        while (*p->at != '\n' && *p->at != '\0')
            p->at++;
    }
}

/* Notes what is wrong with `w`; always false, so that it can be returned. */
__attribute__((format(printf, 3, 4))) static bool wrong(struct parser *p, struct word w,
                                                        const char *format, ...)
{
    struct fault_plan_error *e = p->error;
    *e = (struct fault_plan_error){
        .at = (size_t)(w.at - p->text), .len = w.len, .line = 1, .column = 1};
    for (size_t i = 0; i < e->at; i++) {
        bool newline = p->text[i] == '\n';
        e->line += newline;
        e->column = newline ? 1 : e->column + 1;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(e->what, sizeof e->what, format, args);
    va_end(args);
    return false;
}

/* Adds to what was expected; a list that does not fit is cut, not garbled. */
static void expect(struct parser *p, const char *text)
{
    char *to = p->error->expected;
    size_t used = strlen(to);
    if (used + strlen(text) < sizeof p->error->expected)
        memcpy(to + used, text, strlen(text) + 1);
}

static void suggest(struct parser *p, const struct names_guess *guess)
{
    if (guess->best)
        snprintf(p->error->suggestion, sizeof p->error->suggestion, "%s", guess->best);
}

static int print_len(struct word w)
{
    return w.len < 60 ? (int)w.len : 60;
}

/* ---- points and kinds -------------------------------------------------------------------------
 */

static bool find_point(struct parser *p, struct word w, int64_t *out)
{
    enum fault_point point;
    if (fault_point_parse(w.at, w.len, &point)) {
        *out = point;
        return true;
    }
    struct names_guess guess;
    names_guess_start(&guess, w.at, w.len);
    for (unsigned i = 0; i < FAULT_POINT_COUNT; i++)
        names_guess_offer(&guess, fault_point_name(i));
    wrong(p, w, "no fault point is called \"%.*s\"", print_len(w), w.at);
    suggest(p, &guess);
    return false;
}

static bool parse_point(struct parser *p, struct word w, struct fault_rule *rule)
{
    if (find_point(p, w, &rule->point))
        return true;
    expect(p, "the name of a fault point such as net.accept (mw-fault list shows all)");
    return false;
}

/* "errno delay crash ..." of a point. */
static void expect_kinds(struct parser *p, unsigned kinds)
{
    const char *separator = "one of: ";
    for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++)
        if (kinds & FAULT_KIND_BIT(kind)) {
            expect(p, separator);
            expect(p, fault_kind_name(kind));
            separator = " ";
        }
}

static bool wrong_kind(struct parser *p, struct word name, const struct fault_point_info *point,
                       enum fault_kind kind)
{
    struct names_guess guess;
    names_guess_start(&guess, name.at, name.len);
    for (unsigned i = FAULT_NONE + 1; i < FAULT_KIND_COUNT; i++)
        if (point->kinds & FAULT_KIND_BIT(i))
            names_guess_offer(&guess, fault_kind_name(i));
    if (name.len == 0)
        wrong(p, name, "the rule does not say what %s does", point->name);
    else if (kind == FAULT_ERRNO)
        wrong(p, name, "%s is a step that cannot fail with an errno", point->name);
    else if (kind != FAULT_NONE)
        wrong(p, name, "%s cannot do %s", point->name, fault_kind_name(kind));
    else
        wrong(p, name, "no kind of fault is called \"%.*s\"", print_len(name), name.at);
    expect_kinds(p, point->kinds);
    suggest(p, &guess);
    return false;
}

/* An errno that no call behind the point gives would test what cannot happen. */
static bool errno_is_possible(struct parser *p, struct word w, enum fault_point point, int number)
{
    if (errnos_possible(point, number))
        return true;
    char possible[sizeof p->error->expected];
    struct names_guess guess;
    names_guess_start(&guess, w.at, w.len);
    for (int i = 1; i <= NAMES_ERRNO_MAX; i++)
        if (errnos_possible(point, i))
            names_guess_offer(&guess, names_errno(i));
    errnos_print(possible, sizeof possible, point);
    wrong(p, w, "the calls behind %s never fail with %s", fault_point_name(point),
          names_errno(number));
    expect(p, "one of: ");
    expect(p, possible);
    if (!guess.best)
        guess.best = names_errno(fault_point_info(point)->default_errno);
    suggest(p, &guess);
    return false;
}

static bool value_errno(struct parser *p, struct word w, enum fault_point point, int64_t *value)
{
    int number;
    if (names_errno_parse(w.at, w.len, &number)) {
        *value = number;
        return errno_is_possible(p, w, point, number);
    }
    struct names_guess guess;
    names_guess_start(&guess, w.at, w.len);
    for (int i = 1; i <= NAMES_ERRNO_MAX; i++)
        names_guess_offer(&guess, names_errno(i));
    wrong(p, w, "no errno is called \"%.*s\"", print_len(w), w.at);
    expect(p, "the name of an errno, such as EMFILE or ECONNRESET");
    suggest(p, &guess);
    return false;
}

static bool value_signal(struct parser *p, struct word w, int64_t *value)
{
    int number;
    if (names_signal_parse(w.at, w.len, &number) && names_signal_harms(number)) {
        *value = number;
        return true;
    }
    struct names_guess guess;
    names_guess_start(&guess, w.at, w.len);
    for (int i = 1; i <= NAMES_SIGNAL_MAX; i++)
        if (names_signal_harms(i))
            names_guess_offer(&guess, names_signal(i));
    wrong(p, w, "\"%.*s\" is no signal that a process dies of", print_len(w), w.at);
    expect(p, "the name of a signal, such as SEGV, ABRT or KILL");
    suggest(p, &guess);
    return false;
}

static bool value_delay(struct parser *p, struct word w, int64_t *value)
{
    uint64_t ns;
    if (names_duration_parse(w.at, w.len, &ns) && ns > 0) {
        *value = (int64_t)ns;
        return true;
    }
    wrong(p, w, "\"%.*s\" is no time to wait", print_len(w), w.at);
    expect(p, "a whole number and a unit (ns us ms s), such as 50ms");
    return false;
}

static bool value_integer(struct parser *p, struct word w, uint64_t least, uint64_t most,
                          int64_t *value)
{
    uint64_t number;
    if (names_integer_parse(w.at, w.len, most, &number) && number >= least) {
        *value = (int64_t)number;
        return true;
    }
    char expected[96];
    wrong(p, w, "\"%.*s\" is not a number that can stand here", print_len(w), w.at);
    snprintf(expected, sizeof expected, "a whole number from %llu to %llu",
             (unsigned long long)least, (unsigned long long)most);
    expect(p, expected);
    return false;
}

/* What a kind does when no value is given; a delay has none. */
static int64_t default_value(const struct fault_rule *rule, enum fault_kind kind)
{
    switch (kind) {
    case FAULT_ERRNO:
        return fault_point_info((unsigned)rule->point)->default_errno;
    case FAULT_CRASH:
        return SIGSEGV;
    case FAULT_SHORT:
    case FAULT_EXIT:
        return 1;
    default:
        return 0;
    }
}

static bool parse_value(struct parser *p, struct word whole, struct word w, struct fault_rule *rule)
{
    switch (rule->kind) {
    case FAULT_ERRNO:
        return value_errno(p, w, (enum fault_point)rule->point, &rule->value);
    case FAULT_DELAY:
        return value_delay(p, w, &rule->value);
    case FAULT_SHORT:
        return value_integer(p, w, 1, INT32_MAX, &rule->value);
    case FAULT_CRASH:
        return value_signal(p, w, &rule->value);
    case FAULT_EXIT:
        return value_integer(p, w, 0, 255, &rule->value);
    default:
        wrong(p, whole, "%s takes no value", fault_kind_name((unsigned)rule->kind));
        expect(p, fault_kind_name((unsigned)rule->kind));
        return false;
    }
}

static struct word before_equals(struct word w)
{
    const char *equals = memchr(w.at, '=', w.len);
    return (struct word){w.at, equals ? (size_t)(equals - w.at) : w.len};
}

static struct word after_equals(struct word w)
{
    size_t skip = before_equals(w).len + 1;
    return skip > w.len ? (struct word){w.at + w.len, 0} : (struct word){w.at + skip, w.len - skip};
}

static bool parse_kind(struct parser *p, struct word w, struct fault_rule *rule)
{
    const struct fault_point_info *point = fault_point_info((unsigned)rule->point);
    struct word name = before_equals(w);
    enum fault_kind kind = FAULT_NONE;
    if (!fault_kind_parse(name.at, name.len, &kind) || !(point->kinds & FAULT_KIND_BIT(kind)))
        return wrong_kind(p, name, point, kind);
    rule->kind = kind;
    rule->value = default_value(rule, kind);
    if (name.len < w.len)
        return parse_value(p, w, after_equals(w), rule);
    if (kind != FAULT_DELAY)
        return true;
    wrong(p, w, "delay does not say how long");
    expect(p, "delay=TIME, such as delay=50ms");
    return false;
}

/* ---- selectors --------------------------------------------------------------------------------
 */

static bool select_role(struct parser *p, struct word w, struct fault_rule *rule)
{
    for (unsigned role = FAULT_ROLE_MASTER; role <= FAULT_ROLE_WORKER; role++)
        if (word_is(w, fault_role_name(role))) {
            rule->role = role;
            return true;
        }
    struct names_guess guess;
    names_guess_start(&guess, w.at, w.len);
    names_guess_offer(&guess, "master");
    names_guess_offer(&guess, "worker");
    wrong(p, w, "no role is called \"%.*s\"", print_len(w), w.at);
    expect(p, "one of: master worker");
    suggest(p, &guess);
    return false;
}

static bool select_chance(struct parser *p, struct word w, struct fault_rule *rule)
{
    const char *slash = memchr(w.at, '/', w.len);
    size_t len = slash ? (size_t)(slash - w.at) : w.len;
    if (slash && names_integer_parse(w.at, len, UINT32_MAX, &rule->chance_of) &&
        names_integer_parse(slash + 1, w.len - len - 1, UINT32_MAX, &rule->chance_in) &&
        rule->chance_of > 0 && rule->chance_of <= rule->chance_in)
        return true;
    wrong(p, w, "\"%.*s\" is not a chance", print_len(w), w.at);
    expect(p, "a ratio of whole numbers above 0 and at most 1, such as 1/10");
    return false;
}

static bool select_number(struct parser *p, struct word w, uint64_t least, uint64_t most,
                          uint64_t *out)
{
    int64_t value = 0;
    bool right = value_integer(p, w, least, most, &value);
    *out = (uint64_t)value;
    return right;
}

/* Counters have 48 bits on the board. */
#define COUNT_MAX ((UINT64_C(1) << 48) - 2)

static bool select_after(struct parser *p, struct word w, struct fault_rule *rule)
{
    return select_number(p, w, 0, COUNT_MAX, &rule->after);
}

static bool select_times(struct parser *p, struct word w, struct fault_rule *rule)
{
    return select_number(p, w, 1, COUNT_MAX, &rule->times);
}

static bool select_every(struct parser *p, struct word w, struct fault_rule *rule)
{
    return select_number(p, w, 1, COUNT_MAX, &rule->every);
}

static bool select_nth(struct parser *p, struct word w, struct fault_rule *rule)
{
    return select_number(p, w, 1, COUNT_MAX, &rule->nth);
}

static bool select_slot(struct parser *p, struct word w, struct fault_rule *rule)
{
    return value_integer(p, w, 0, INT16_MAX, &rule->slot);
}

static bool select_generation(struct parser *p, struct word w, struct fault_rule *rule)
{
    return value_integer(p, w, 0, UINT32_MAX, &rule->generation);
}

static bool select_pid(struct parser *p, struct word w, struct fault_rule *rule)
{
    return value_integer(p, w, 1, INT32_MAX, &rule->pid);
}

/* A time since the arming, or a point that somebody passes. */
static bool select_moment(struct parser *p, struct word w, int64_t *point, uint64_t *ns)
{
    bool is_time = w.len > 0 && w.at[0] >= '0' && w.at[0] <= '9';
    if (is_time && names_duration_parse(w.at, w.len, ns) && *ns > 0)
        return true;
    if (is_time)
        wrong(p, w, "\"%.*s\" is no time", print_len(w), w.at);
    else if (find_point(p, w, point) &&
             fault_point_info((unsigned)*point)->kinds != FAULT_KIND_BIT(FAULT_SABOTAGE))
        return true;
    else if (*point >= 0)
        wrong(p, w, "a sabotage is no moment");
    expect(p, "a time since the arming such as 2s, or a fault point such as master.reload.parse");
    return false;
}

static bool select_from(struct parser *p, struct word w, struct fault_rule *rule)
{
    return select_moment(p, w, &rule->from_point, &rule->from_ns);
}

static bool select_until(struct parser *p, struct word w, struct fault_rule *rule)
{
    return select_moment(p, w, &rule->until_point, &rule->until_ns);
}

static const struct selector {
    const char *name;
    bool (*parse)(struct parser *p, struct word w, struct fault_rule *rule);
} selectors[] = {
    {"after", select_after}, {"times", select_times},           {"every", select_every},
    {"nth", select_nth},     {"chance", select_chance},         {"role", select_role},
    {"slot", select_slot},   {"generation", select_generation}, {"pid", select_pid},
    {"from", select_from},   {"until", select_until},
};
enum { SELECTOR_COUNT = sizeof selectors / sizeof selectors[0] };

static bool wrong_selector(struct parser *p, struct word name)
{
    struct names_guess guess;
    names_guess_start(&guess, name.at, name.len);
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        names_guess_offer(&guess, selectors[i].name);
    wrong(p, name, "no selector is called \"%.*s\"", print_len(name), name.at);
    const char *separator = "one of: ";
    for (size_t i = 0; i < SELECTOR_COUNT; i++, separator = " ") {
        expect(p, separator);
        expect(p, selectors[i].name);
        expect(p, "=");
    }
    suggest(p, &guess);
    return false;
}

static bool parse_selector(struct parser *p, struct word w, struct fault_rule *rule, unsigned *seen)
{
    struct word name = before_equals(w);
    for (size_t i = 0; i < SELECTOR_COUNT; i++) {
        if (!word_is(name, selectors[i].name))
            continue;
        if (*seen >> i & 1) {
            wrong(p, w, "%s is given twice", selectors[i].name);
            expect(p, "each selector at most once");
            return false;
        }
        *seen |= 1u << i;
        return selectors[i].parse(p, after_equals(w), rule);
    }
    return wrong_selector(p, name);
}

/* nth says all there is to say about which call. */
static bool nth_stands_alone(struct parser *p, struct word w, const struct fault_rule *rule)
{
    if (!rule->nth || (!rule->after && !rule->times && !rule->every))
        return true;
    wrong(p, w, "nth does not go with after, times or every");
    expect(p, "nth=N alone: it means after=N-1 times=1");
    return false;
}

/* Both moments are times since the arming, or both are points: then they have an order. */
static bool window_has_room(struct parser *p, struct word w, const struct fault_rule *rule)
{
    bool same_point = rule->from_point >= 0 && rule->from_point == rule->until_point;
    bool backwards = rule->from_ns && rule->until_ns && rule->until_ns <= rule->from_ns;
    if (!same_point && !backwards)
        return true;
    wrong(p, w,
          same_point ? "the window closes where it opens" : "the window closes before it opens");
    expect(p, "a moment until= that comes after the moment from=");
    return false;
}

static bool parse_rule(struct parser *p, struct fault_rule *rule)
{
    *rule = (struct fault_rule)FAULT_RULE_INIT;
    if (!parse_point(p, next_word(p), rule))
        return false;
    struct word w = next_word(p);
    enum fault_kind named;
    bool sabotage =
        fault_point_info((unsigned)rule->point)->kinds == FAULT_KIND_BIT(FAULT_SABOTAGE);
    if (sabotage && !fault_kind_parse(w.at, before_equals(w).len, &named)) {
        rule->kind = FAULT_SABOTAGE;
    } else {
        if (!parse_kind(p, w, rule))
            return false;
        w = next_word(p);
    }
    for (unsigned seen = 0; w.len > 0; w = next_word(p))
        if (!parse_selector(p, w, rule, &seen) || !nth_stands_alone(p, w, rule) ||
            !window_has_room(p, w, rule))
            return false;
    return true;
}

bool fault_plan_parse(struct fault_plan *plan, const char *text, struct fault_plan_error *error)
{
    struct parser p = {.text = text, .at = text, .error = error};
    plan->count = 0;
    while (next_rule(&p)) {
        if (plan->count == FAULT_RULES_MAX) {
            wrong(&p, next_word(&p), "there are more than %d rules", FAULT_RULES_MAX);
            expect(&p, "a plan that fits on one board");
            return false;
        }
        if (!parse_rule(&p, &plan->rules[plan->count]))
            return false;
        plan->count++;
    }
    return true;
}
