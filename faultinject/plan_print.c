/* Printing rules as the language has them, and errors as people want them. */
#include "faultinject/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "faultinject/names.h"
#include "faultinject/points.h"

/* Text that grows into a buffer and counts on when the buffer is full. */
struct text {
    char *out;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    size_t room = t->used < t->size ? t->size - t->used : 0;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(room ? t->out + t->used : NULL, room, format, args);
    va_end(args);
    if (len > 0)
        t->used += (size_t)len;
}

static void add_value(struct text *t, const struct fault_rule *rule)
{
    char duration[32];
    switch (rule->kind) {
    case FAULT_ERRNO:
        add(t, "=%s", names_errno((int)rule->value));
        break;
    case FAULT_DELAY:
        names_duration_print(duration, sizeof duration, (uint64_t)rule->value);
        add(t, "=%s", duration);
        break;
    case FAULT_CRASH:
        add(t, "=%s", names_signal((int)rule->value));
        break;
    case FAULT_SHORT:
    case FAULT_EXIT:
        add(t, "=%" PRId64, rule->value);
        break;
    default:
        break;
    }
}

static void add_count(struct text *t, const char *name, uint64_t value)
{
    if (value)
        add(t, " %s=%" PRIu64, name, value);
}

static void add_moment(struct text *t, const char *name, int64_t point, uint64_t ns)
{
    char duration[32];
    if (point >= 0)
        add(t, " %s=%s", name, fault_point_name((unsigned)point));
    else if (ns > 0 && names_duration_print(duration, sizeof duration, ns) > 0)
        add(t, " %s=%s", name, duration);
}

int fault_rule_print(char *out, size_t size, const struct fault_rule *rule)
{
    struct text t = {.out = out, .size = size};
    add(&t, "%s", fault_point_name((unsigned)rule->point));
    if (rule->kind != FAULT_SABOTAGE)
        add(&t, " %s", fault_kind_name((unsigned)rule->kind));
    add_value(&t, rule);
    add_count(&t, "after", rule->after);
    add_count(&t, "times", rule->times);
    add_count(&t, "every", rule->every);
    add_count(&t, "nth", rule->nth);
    if (rule->chance_in)
        add(&t, " chance=%" PRIu64 "/%" PRIu64, rule->chance_of, rule->chance_in);
    if (rule->role != FAULT_ROLE_ANY)
        add(&t, " role=%s", fault_role_name((unsigned)rule->role));
    if (rule->slot >= 0)
        add(&t, " slot=%" PRId64, rule->slot);
    if (rule->generation >= 0)
        add(&t, " generation=%" PRId64, rule->generation);
    if (rule->pid)
        add(&t, " pid=%" PRId64, rule->pid);
    add_moment(&t, "from", rule->from_point, rule->from_ns);
    add_moment(&t, "until", rule->until_point, rule->until_ns);
    return (int)t.used;
}

int fault_plan_error_print(char *out, size_t size, const char *text,
                           const struct fault_plan_error *error)
{
    struct text t = {.out = out, .size = size};
    size_t start = error->at - (error->column - 1);
    int line_len = (int)strcspn(text + start, "\n");
    add(&t, "line %u, column %u: %s\n", error->line, error->column, error->what);
    add(&t, "    %.*s\n    ", line_len, text + start);
    for (size_t i = start; i < error->at; i++)
        add(&t, "%c", text[i] == '\t' ? '\t' : ' ');
    add(&t, "^");
    for (size_t i = 1; i < error->len; i++)
        add(&t, "~");
    add(&t, "\nexpected %s\n", error->expected);
    if (error->suggestion[0])
        add(&t, "did you mean \"%s\"?\n", error->suggestion);
    return (int)t.used;
}
