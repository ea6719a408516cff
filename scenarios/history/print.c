/* One record as one line for people. What a field is called and how its number is shown follows
 * from its description in history.def, so that a new kind needs no code here. */
#include "scenarios/history/hist.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "scenarios/history/words.h"

struct line {
    char *out;
    size_t size;
    int length; /* what would have been written */
    uint64_t t0_ns;
};

static void line_add(struct line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_field(struct line *line, const struct hist_record *r, enum hist_field field);
static void add_flags(struct line *line, uint16_t flags);

static double seconds_since(uint64_t t_ns, uint64_t t0_ns);

int hist_print(char *out, size_t size, const struct hist_record *r, uint64_t t0_ns)
{
    struct line line = {out, size, 0, t0_ns};
    if (size > 0)
        out[0] = '\0';
    line_add(&line, "%11.6f  %-20s", seconds_since(r->t_ns, t0_ns), hist_kind_name(r->kind));
    if (r->kind < HIST_KIND_COUNT)
        for (unsigned i = 0; i < HIST_FIELD_COUNT; i++)
            add_field(&line, r, (enum hist_field)i);
    add_flags(&line, r->flags);
    return line.length;
}

static void line_add(struct line *line, const char *format, ...)
{
    size_t at = (size_t)line->length < line->size ? (size_t)line->length : line->size;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(at < line->size ? line->out + at : NULL, line->size - at, format, args);
    va_end(args);
    if (n > 0)
        line->length += n;
}

static double seconds_since(uint64_t t_ns, uint64_t t0_ns)
{
    return t_ns >= t0_ns ? (double)(t_ns - t0_ns) / 1e9 : -((double)(t0_ns - t_ns) / 1e9);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static void add_duration(struct line *line, uint64_t ns)
{
    if (ns < 1000)
        line_add(line, "%" PRIu64 "ns", ns);
    else if (ns < 1000000)
        line_add(line, "%.1fus", (double)ns / 1e3);
    else if (ns < 1000000000)
        line_add(line, "%.1fms", (double)ns / 1e6);
    else
        line_add(line, "%.3fs", (double)ns / 1e9);
}

static void add_signal(struct line *line, uint64_t number)
{
    const char *name = number > 0 && number < 65 ? sigabbrev_np((int)number) : NULL;
    if (name != NULL)
        line_add(line, "SIG%s", name);
    else
        line_add(line, "%" PRIu64, number);
}

static void add_wait_status(struct line *line, uint64_t status)
{
    if (status == UINT64_MAX) {
        line_add(line, "unknown");
    } else if (WIFSIGNALED((int)status)) {
        add_signal(line, (uint64_t)WTERMSIG((int)status));
    } else {
        line_add(line, "exit %d", WEXITSTATUS((int)status));
    }
}

static void add_conn(struct line *line, uint64_t conn)
{
    line_add(line, "%u.%u.%u.%u:%u", (unsigned)(conn >> 40 & 255), (unsigned)(conn >> 32 & 255),
             (unsigned)(conn >> 24 & 255), (unsigned)(conn >> 16 & 255), (unsigned)(conn & 65535));
}

static void add_word(struct line *line, const char *list_name, size_t len, uint64_t number)
{
    const struct hist_list *list = hist_list_find(list_name, len);
    if (list != NULL && number < list->count)
        line_add(line, "%s", list->words[number].word);
    else
        line_add(line, "%" PRIu64, number);
}

/* ---- what a description asks for ------------------------------------------------------------ */

static bool has_suffix(const char *text, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    return len >= n && strncmp(text + len - n, suffix, n) == 0;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The description without what follows a comma, a bracket or a semicolon, and without a unit. */
static size_t label_length(const char *text)
{
    size_t len = strcspn(text, ",(;:");
    while (len > 0 && text[len - 1] == ' ')
        len--;
    if (has_suffix(text, len, " ns"))
        len -= 3;
    return len;
}

static void add_label(struct line *line, const char *text)
{
    size_t len = label_length(text);
    line_add(line, " ");
    for (size_t i = 0; i < len; i++)
        line_add(line, "%c", text[i] == ' ' ? '-' : text[i]);
    line_add(line, "=");
}

/* "1 valid, 0 meant to be refused": the words for the number, or NULL. */
static const char *choice_find(const char *text, uint64_t number, size_t *len)
{
    while (isdigit((unsigned char)*text)) {
        char *rest;
        uint64_t choice = strtoull(text, &rest, 10);
        const char *words = rest + strspn(rest, " ");
        *len = strcspn(words, ",(");
        if (choice == number && *rest == ' ')
            return words;
        text = words + strcspn(words, ",");
        text += strspn(text, ", ");
    }
    return NULL;
}

static bool add_choice(struct line *line, const char *text, uint64_t number)
{
    size_t len = 0;
    if (!isdigit((unsigned char)text[0]))
        return false;
    const char *words = choice_find(text, number, &len);
    if (words == NULL) {
        line_add(line, " (%" PRIu64 "; %s)", number, text);
        return true;
    }
    while (len > 0 && words[len - 1] == ' ')
        len--;
    line_add(line, " (%.*s)", (int)len, words);
    return true;
}

/* Two numbers in one field. */
static bool add_pair(struct line *line, const char *text, uint64_t number)
{
    if (has_prefix(text, "descriptors << 32")) {
        bool mappings = strstr(text, "mappings") != NULL;
        line_add(line, " descriptors=%" PRIu64 " %s=%" PRIu64, number >> 32,
                 mappings ? "mappings" : "children", number & UINT32_MAX);
        return true;
    }
    if (has_prefix(text, "status (low 16 bits)")) {
        line_add(line, " status=%" PRIu64 " bytes=%" PRIu64, number & 65535, number >> 16);
        return true;
    }
    if (has_prefix(text, "number of the call for the rule << 32")) {
        line_add(line, " call=%" PRIu64 " firing=%" PRIu64, number >> 32, number & UINT32_MAX);
        return true;
    }
    if (has_prefix(text, "enum fault_kind << 32")) {
        line_add(line, " ");
        add_word(line, "fault_kind", strlen("fault_kind"), number >> 32);
        line_add(line, "=%" PRIu64, number & UINT32_MAX);
        return true;
    }
    return false;
}

static bool add_enum(struct line *line, const char *text, uint64_t number)
{
    if (!has_prefix(text, "enum "))
        return false;
    text += strlen("enum ");
    if (has_prefix(text, "hist_"))
        text += strlen("hist_");
    size_t len = strcspn(text, " ,");
    line_add(line, " %.*s=", (int)len, text);
    add_word(line, text, len, number);
    return true;
}

static void add_errno(struct line *line, uint64_t number)
{
    const char *name = number < 4096 ? strerrorname_np((int)number) : NULL;
    line_add(line, "%s", number == 0 ? "0" : name != NULL ? name : "?");
}

/* Eight letters of a text, as their bytes lie in memory; what comes next follows without a space.
 */
static void add_letters(struct line *line, uint64_t number, bool next)
{
    char letters[sizeof number + 1] = "";
    memcpy(letters, &number, sizeof number);
    for (char *c = letters; *c != '\0'; c++)
        if (!isgraph((unsigned char)*c))
            *c = '?';
    line_add(line, "%s%s", next ? "" : " in ", letters);
}

static void add_number(struct line *line, const char *text, uint64_t number)
{
    size_t len = strcspn(text, ",(;:");
    if (has_prefix(text, "X-Mw-Slot + 1")) {
        if (number != 0)
            line_add(line, " slot=%" PRIu64, number - 1);
        return;
    }
    if (add_pair(line, text, number) || add_enum(line, text, number) ||
        add_choice(line, text, number))
        return;
    if (has_prefix(text, "ns ")) {
        add_label(line, text + strlen("ns "));
        add_duration(line, number);
        return;
    }
    if (has_prefix(text, "letters ")) {
        add_letters(line, number, strstr(text, "next") != NULL);
        return;
    }
    add_label(line, text);
    if (has_prefix(text, "address"))
        line_add(line, "0x%" PRIx64, number);
    else if (has_prefix(text, "errno"))
        add_errno(line, number);
    else if (has_prefix(text, "signal number"))
        add_signal(line, number);
    else if (has_prefix(text, "wait status"))
        add_wait_status(line, number);
    else if (has_prefix(text, "state letter"))
        line_add(line, "%c", number > 32 && number < 127 ? (char)number : '?');
    else if (has_prefix(text, "time ") || has_prefix(text, "t after"))
        line_add(line, "%.6f", seconds_since(number, line->t0_ns));
    else if (strstr(text, "mask") != NULL)
        line_add(line, "%016" PRIx64, number);
    else if (has_suffix(text, len, " ns"))
        add_duration(line, number);
    else
        line_add(line, "%" PRIu64, number);
}

/* ---- fields --------------------------------------------------------------------------------- */

/* Whose process number it is, in one word. */
static void add_pid(struct line *line, const char *text, uint32_t pid)
{
    if (has_prefix(text, "server's"))
        line_add(line, " server=%" PRIu32, pid);
    else if (strchr(text, ' ') == NULL)
        line_add(line, " %s=%" PRIu32, text, pid);
    else
        line_add(line, " pid=%" PRIu32, pid);
}

/* A parameter's value is a duration, but for the few that are counts. */
static void add_param(struct line *line, const struct hist_record *r)
{
    add_enum(line, "enum hist_param", r->a);
    line_add(line, " value=%" PRIu64, r->b);
}

static void add_field(struct line *line, const struct hist_record *r, enum hist_field field)
{
    const char *text = hist_kinds[r->kind].fields[field];
    const uint64_t values[] = {[HIST_FIELD_A] = r->a, [HIST_FIELD_B] = r->b, [HIST_FIELD_C] = r->c};
    if (text[0] == '\0')
        return;
    switch (field) {
    case HIST_FIELD_PID:
        if (r->pid != 0)
            add_pid(line, text, r->pid);
        break;
    case HIST_FIELD_SLOT:
        if (r->slot >= 0)
            line_add(line, " %s=%d", strstr(text, "index") != NULL ? "population" : "slot",
                     r->slot);
        break;
    case HIST_FIELD_GEN:
        if (r->gen != 0)
            line_add(line, " %s=%" PRIu32, text[0] == 'g' ? "gen" : "config", r->gen);
        break;
    case HIST_FIELD_CONN:
        if (r->conn != 0) {
            line_add(line, " conn=");
            add_conn(line, r->conn);
        }
        break;
    case HIST_FIELD_REQ:
        if (r->req != 0)
            line_add(line, " req=%" PRIu64, r->req);
        break;
    default:
        if (r->kind != HIST_DIRECTOR_PARAM)
            add_number(line, text, values[field]);
        else if (field == HIST_FIELD_A)
            add_param(line, r);
        break;
    }
}

static void add_flags(struct line *line, uint16_t flags)
{
    const struct hist_list *list = hist_list_find("flag", strlen("flag"));
    for (size_t i = 0; i < list->count; i++)
        if (flags & HIST_BIT(i))
            line_add(line, " +%s", list->words[i].word);
}
