/* Reads and writes schedules. */
#include "engine/sim/sim_schedule.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sim/sim_seen.h"
#include "faultinject/plan.h"

#define MS UINT64_C(1000000)
typedef unsigned long long ull;

enum option_type { OPTION_COUNT, OPTION_TIME, OPTION_FLAG };

static const struct option {
    const char *word, *meaning;
    enum option_type type;
    size_t offset;
} options[] = {
#define O(field, word, type, meaning)                                                              \
    {word, meaning, OPTION_##type, offsetof(struct sim_plan, field)},
    SIM_OPTIONS(O)
#undef O
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static const struct {
    const char *word, *arguments, *meaning;
} acts[SIM_ACT_COUNT] = {
#define A(symbol, word, arguments, meaning) [SIM_ACT_##symbol] = {word, arguments, meaning},
    SIM_ACTS(A)
#undef A
};

/* ---- lists of words ---------------------------------------------------------------------------
 */

#define WORD(symbol, word, meaning) word,
static const char *const kinds[] = {HIST_POPULATION_LIST(WORD) NULL};
static const char *const params[] = {HIST_PARAM_LIST(WORD) NULL};
static const char *const phases[] = {HIST_PHASE_LIST(WORD) NULL};
static const char *const reports[] = {HIST_REPORT_LIST(WORD) NULL};
static const char *const stops[] = {"fast", "graceful", "kill", NULL};
static const char *const receivers[] = {"master", "worker", "last-worker", "all-workers",
                                        "all",    "group",  NULL};
#undef WORD
#define THEME(symbol, word) word,
static const char *const themes[] = {SIM_THEMES(THEME) NULL};
static const char *const moods[] = {SIM_MOODS(THEME) NULL};
#undef THEME

static const char *const *words_of(enum sim_act_kind kind)
{
    switch (kind) {
    case SIM_ACT_SIGNAL_TO:
        return receivers;
    case SIM_ACT_BACKEND:
        return moods;
    case SIM_ACT_REPORTED:
        return reports;
    case SIM_ACT_PHASE:
        return phases;
    default:
        return stops;
    }
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static void write_time(FILE *out, uint64_t ns)
{
    static const struct {
        uint64_t ns;
        const char *word;
    } units[] = {{1000 * MS, "s"}, {MS, "ms"}, {1000, "us"}, {1, "ns"}};
    size_t i = 0;
    while (ns % units[i].ns != 0)
        i++;
    fprintf(out, "%llu%s", (ull)(ns / units[i].ns), units[i].word);
}

void sim_schedule_act(const struct sim_plan *plan, const struct sim_act *act, FILE *out)
{
    const uint32_t values[] = {act->a, act->b, act->c};
    fputs(acts[act->kind].word, out);
    for (size_t i = 0; acts[act->kind].arguments[i] != '\0'; i++) {
        uint32_t value = values[i];
        fputc(' ', out);
        switch (acts[act->kind].arguments[i]) {
        case 'S':
            fputs(sigabbrev_np((int)value), out);
            break;
        case 'M':
            write_time(out, value * MS);
            break;
        case 'T':
            fputs(plan->texts[value], out);
            break;
        case 'L':
            fputs(plan->loads[value].name, out);
            break;
        case 'W':
            fputs(words_of((enum sim_act_kind)act->kind)[value], out);
            break;
        default:
            fprintf(out, "%u", value);
        }
    }
}

static void write_option(const struct sim_plan *plan, const struct option *o, FILE *out)
{
    const char *at = (const char *)plan + o->offset;
    fprintf(out, "%s ", o->word);
    if (o->type == OPTION_TIME)
        write_time(out, *(const uint64_t *)(const void *)at);
    else
        fprintf(out, "%u",
                o->type == OPTION_FLAG ? *(const bool *)at : *(const uint32_t *)(const void *)at);
    fputc('\n', out);
}

static void write_load(const struct sim_load *load, FILE *out)
{
    fprintf(out, "load %s %s", load->name, kinds[load->kind]);
    if (load->rate_milli > 0)
        fprintf(out, " rate=%u.%03u", load->rate_milli / 1000, load->rate_milli % 1000);
    if (load->clients > 0)
        fprintf(out, " clients=%u", load->clients);
    if (load->body_bytes > 0)
        fprintf(out, " body=%u", load->body_bytes);
    if (load->service_us > 0)
        fprintf(out, " service=%uus", load->service_us);
    if (load->spread_ms > 0)
        fprintf(out, " spread=%ums", load->spread_ms);
    if (load->timeout_ms > 0)
        fprintf(out, " timeout=%ums", load->timeout_ms);
    fprintf(out, "%s%s\n", load->proxied ? " proxied" : "", load->paused ? " paused" : "");
}

bool sim_schedule_write(const struct sim_plan *plan, FILE *out)
{
    fprintf(out, "mw-sim schedule\nseed %llu\n", (ull)plan->seed);
    if (plan->story)
        fprintf(out, "story %s\n", plan->name);
    else
        fprintf(out, "theme %s\nend %s\n", themes[plan->theme], stops[plan->stop]);
    for (size_t i = 0; i < OPTIONS; i++)
        write_option(plan, &options[i], out);
    for (size_t i = 0; i < HIST_PARAM_COUNT; i++)
        if (plan->params[i] != UINT64_MAX)
            fprintf(out, "param %s %llu\n", params[i], (ull)plan->params[i]);
    if (plan->rules[0] != '\0')
        fprintf(out, "always %s\n", plan->rules);
    for (size_t i = 0; i < plan->load_count; i++)
        write_load(&plan->loads[i], out);
    for (size_t i = 0; i < plan->act_count; i++) {
        const struct sim_act *act = &plan->acts[i];
        if (act->skipped)
            continue;
        fputs(act->at_ns == SIM_THEN ? "then " : "at ", out);
        if (act->at_ns != SIM_THEN)
            write_time(out, act->at_ns);
        fputs(act->at_ns == SIM_THEN ? "" : " ", out);
        sim_schedule_act(plan, act, out);
        fputc('\n', out);
    }
    return fflush(out) == 0 && !ferror(out);
}

void sim_schedule_help(FILE *out)
{
    fputs("options (a line each: `workers 4`)\n", out);
    for (size_t i = 0; i < OPTIONS; i++)
        fprintf(out, "  %-16s %s\n", options[i].word, options[i].meaning);
    fputs("acts (`at 50ms ACT` or `then ACT`)\n", out);
    for (size_t i = 0; i < SIM_ACT_COUNT; i++)
        fprintf(out, "  %-14s %-3s %s\n", acts[i].word, acts[i].arguments, acts[i].meaning);
    fputs("  arguments: S signal, N number, M time, T text, L load, W word\n", out);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

struct reader {
    struct sim_plan *plan;
    const char *path;
    unsigned line;
    char *at, *complaint; /* the rest of the line */
};

static int complain(struct reader *r, const char *found, const char *expected)
{
    snprintf(r->complaint, SIM_COMPLAINT_MAX, "%s:%u: %s is expected, not '%.80s'", r->path,
             r->line, expected, found);
    return -1;
}

/* The next word, "" at the end of the line. */
static char *next_word(struct reader *r)
{
    r->at += strspn(r->at, " \t");
    char *word = r->at;
    r->at += strcspn(r->at, " \t");
    if (*r->at != '\0')
        *r->at++ = '\0';
    return word;
}

static int find_word(const char *const *words, const char *word)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

static bool parse_count(const char *text, uint64_t most, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value <= most;
}

/* A number with ns, us, ms or s; a bare 0 too. At most some weeks. */
static bool parse_time(const char *text, uint64_t *ns)
{
    static const struct {
        const char *word;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", 1000}, {"ms", MS}, {"s", 1000 * MS}};
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || value > UINT64_C(1000000000000000))
        return false;
    *ns = 0;
    if (value == 0 && *end == '\0')
        return true;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].word) != 0 || value > UINT64_C(1000000000000000) / units[i].ns)
            continue;
        *ns = value * units[i].ns;
        return true;
    }
    return false;
}

static int read_option(struct reader *r, const struct option *o)
{
    char *word = next_word(r), *at = (char *)r->plan + o->offset;
    uint64_t value;
    if (o->type == OPTION_TIME) {
        if (!parse_time(word, &value))
            return complain(r, word, "a time, as 50ms or 3s,");
        *(uint64_t *)(void *)at = value;
        return 0;
    }
    if (!parse_count(word, o->type == OPTION_FLAG ? 1 : 1000000, &value))
        return complain(r, word, o->type == OPTION_FLAG ? "0 or 1" : "a number");
    if (o->type == OPTION_FLAG)
        *(bool *)at = value != 0;
    else
        *(uint32_t *)(void *)at = (uint32_t)value;
    return 0;
}

/* "12.5" in thousandths. */
static bool parse_rate(const char *text, uint32_t *milli)
{
    char *end;
    double rate = strtod(text, &end);
    if (end == text || *end != '\0' || !(rate >= 0 && rate <= 100000))
        return false;
    *milli = (uint32_t)(rate * 1000 + 0.5);
    return true;
}

static int read_load_part(struct reader *r, struct sim_load *load, char *word)
{
    char *value = strchr(word, '=');
    uint64_t number = 0;
    bool good = false;
    bool *flag = strcmp(word, "paused") == 0    ? &load->paused
                 : strcmp(word, "proxied") == 0 ? &load->proxied
                                                : NULL;
    if (flag != NULL) {
        *flag = true;
        return 0;
    }
    if (value == NULL)
        return complain(r, word, "KEY=VALUE, `proxied` or `paused`");
    *value++ = '\0';
    if (strcmp(word, "rate") == 0) {
        good = parse_rate(value, &load->rate_milli);
    } else if (strcmp(word, "clients") == 0 || strcmp(word, "body") == 0) {
        good = parse_count(value, 1 << 30, &number);
        *(word[0] == 'c' ? &load->clients : &load->body_bytes) = (uint32_t)number;
    } else if (strcmp(word, "service") == 0) {
        good = parse_time(value, &number);
        load->service_us = (uint32_t)(number / 1000);
    } else if (strcmp(word, "spread") == 0 || strcmp(word, "timeout") == 0) {
        good = parse_time(value, &number);
        *(word[0] == 's' ? &load->spread_ms : &load->timeout_ms) = (uint32_t)(number / MS);
    }
    return good ? 0
                : complain(r, word, "rate, clients, body, service, spread or timeout of a load");
}

static int find_load(const struct sim_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->load_count; i++)
        if (strcmp(plan->loads[i].name, name) == 0)
            return (int)i;
    return -1;
}

static int read_load(struct reader *r)
{
    const char *name = next_word(r), *word = next_word(r);
    int kind = find_word(kinds, word);
    if (r->plan->load_count == SIM_LOADS_MAX)
        return complain(r, name, "no more than 12 loads");
    if (name[0] == '\0' || strlen(name) >= SIM_NAME_MAX || find_load(r->plan, name) >= 0)
        return complain(r, name, "a name that no other load has");
    if (kind < 0)
        return complain(r, word, "a kind of clients, as fresh or pooled,");
    if (!sim_seen_is_population((enum hist_population)kind))
        return complain(r, word, "a kind of clients that the simulation has");
    struct sim_load *load = &r->plan->loads[r->plan->load_count++];
    *load = (struct sim_load){.kind = (uint8_t)kind};
    snprintf(load->name, sizeof(load->name), "%s", name);
    for (char *part = next_word(r); part[0] != '\0'; part = next_word(r))
        if (read_load_part(r, load, part) < 0)
            return -1;
    if (load->rate_milli == 0 && load->clients == 0)
        return complain(r, name, "a rate or a number of clients for the load");
    return 0;
}

static int signal_number(const char *word)
{
    for (int number = 1; number < 32; number++) {
        const char *name = sigabbrev_np(number);
        if (name != NULL && strcmp(name, word) == 0)
            return number;
    }
    return -1;
}

static int read_text(struct reader *r, enum sim_act_kind kind, uint32_t *value)
{
    char *text = r->at + strspn(r->at, " \t");
    struct fault_plan plan;
    struct fault_plan_error error;
    r->at = text + strlen(text);
    if (kind == SIM_ACT_ARM && !sim_fault_plan(&plan, text, &error))
        return complain(r, text, "a fault rule");
    if (kind == SIM_ACT_WAIT && !sim_seen_check(r->plan, text))
        return complain(r, text, "a condition in postfix order");
    int number = sim_plan_text(r->plan, text);
    if (number < 0)
        return complain(r, text, "at most 46 texts of at most 159 characters");
    *value = (uint32_t)number;
    return 0;
}

static int read_argument(struct reader *r, enum sim_act_kind kind, char type, uint32_t *value)
{
    uint64_t number = 0;
    int found = 0;
    if (type == 'T')
        return read_text(r, kind, value);
    char *word = next_word(r);
    switch (type) {
    case 'S':
        found = signal_number(word);
        break;
    case 'L':
        found = find_load(r->plan, word);
        break;
    case 'W':
        found = find_word(words_of(kind), word);
        break;
    case 'M':
        found = parse_time(word, &number) ? (int)(number / MS) : -1;
        break;
    default:
        found = parse_count(word, INT32_MAX, &number) ? (int)number : -1;
    }
    *value = (uint32_t)found;
    if (found >= 0)
        return 0;
    return complain(r, word,
                    type == 'S'   ? "a signal, as HUP,"
                    : type == 'L' ? "the name of a load"
                    : type == 'W' ? "a word that this act knows"
                    : type == 'M' ? "a time, as 50ms,"
                                  : "a number");
}

/* What waits, or makes the phases, is a story's. */
static bool may_stand_at_a_time(enum sim_act_kind kind)
{
    switch (kind) {
    case SIM_ACT_REPORTED:
    case SIM_ACT_ANSWERED:
    case SIM_ACT_BASELINE:
    case SIM_ACT_WAIT:
    case SIM_ACT_OBSERVE:
    case SIM_ACT_CLOCK:
    case SIM_ACT_UNTIL:
    case SIM_ACT_PHASE:
    case SIM_ACT_STOP:
        return false;
    default:
        return true;
    }
}

static int read_act(struct reader *r, bool then)
{
    struct sim_act act = {.at_ns = SIM_THEN};
    uint32_t *values[] = {&act.a, &act.b, &act.c};
    int found = -1;
    if (!then) {
        char *time = next_word(r);
        if (!parse_time(time, &act.at_ns))
            return complain(r, time, "a time, as 50ms,");
    }
    char *word = next_word(r);
    for (size_t i = 0; i < SIM_ACT_COUNT; i++)
        if (strcmp(acts[i].word, word) == 0)
            found = (int)i;
    if (found < 0 || (!then && !may_stand_at_a_time((enum sim_act_kind)found)))
        return complain(r, word, then ? "an act" : "an act that may stand at a time");
    act.kind = (uint16_t)found;
    for (size_t i = 0; acts[found].arguments[i] != '\0'; i++)
        if (read_argument(r, (enum sim_act_kind)found, acts[found].arguments[i], values[i]) < 0)
            return -1;
    if (r->plan->act_count == SIM_ACTS_MAX)
        return complain(r, word, "no more than 4096 acts");
    r->plan->acts[r->plan->act_count++] = act;
    return 0;
}

static int read_rest(struct reader *r, char *out, size_t size)
{
    char *text = r->at + strspn(r->at, " \t");
    r->at = text + strlen(text);
    if (text[0] == '\0' || strlen(text) >= size)
        return complain(r, text, "a text, not too long,");
    snprintf(out, size, "%s", text);
    return 0;
}

static int read_rules(struct reader *r)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    char text[SIM_RULES_ROOM];
    if (read_rest(r, text, sizeof(text)) < 0)
        return -1;
    if (!sim_fault_plan(&plan, text, &error) || !sim_plan_add_rules(r->plan, text))
        return complain(r, text, "a fault rule");
    return 0;
}

static int read_param(struct reader *r)
{
    char *word = next_word(r), *number = next_word(r);
    int found = find_word(params, word);
    uint64_t value;
    if (found < 0)
        return complain(r, word, "a parameter of the judge's");
    if (!parse_count(number, UINT64_MAX - 1, &value))
        return complain(r, number, "a number");
    r->plan->params[found] = value;
    return 0;
}

static int read_one_of(struct reader *r, const char *const *words, const char *what)
{
    char *word = next_word(r);
    int found = find_word(words, word);
    return found < 0 ? complain(r, word, what) : found;
}

static int read_line(struct reader *r)
{
    char *word = next_word(r);
    struct sim_plan *plan = r->plan;
    int found;
    for (size_t i = 0; i < OPTIONS; i++)
        if (strcmp(options[i].word, word) == 0)
            return read_option(r, &options[i]);
    if (strcmp(word, "seed") == 0) {
        word = next_word(r);
        return parse_count(word, UINT64_MAX, &plan->seed) ? 0 : complain(r, word, "a number");
    }
    if (strcmp(word, "theme") == 0) {
        found = read_one_of(r, themes, "a theme");
        plan->theme = found < 0 ? SIM_THEME_GENERAL : (enum sim_theme)found;
        return found < 0 ? -1 : 0;
    }
    if (strcmp(word, "end") == 0) {
        found = read_one_of(r, stops, "fast, graceful or kill");
        plan->stop = found < 0 ? SIM_STOP_FAST : (enum sim_stop)found;
        return found < 0 ? -1 : 0;
    }
    if (strcmp(word, "story") == 0) {
        plan->story = true;
        return read_rest(r, plan->name, sizeof(plan->name));
    }
    if (strcmp(word, "param") == 0)
        return read_param(r);
    if (strcmp(word, "always") == 0)
        return read_rules(r);
    if (strcmp(word, "load") == 0)
        return read_load(r);
    if (strcmp(word, "at") == 0 || strcmp(word, "then") == 0)
        return read_act(r, word[0] == 't');
    return complain(r, word, "an option, seed, theme, end, story, param, always, load, at or then");
}

/* What would stop the simulator rather than the server. */
static int check(struct reader *r)
{
    const struct sim_plan *p = r->plan;
    if (p->workers < 1 || p->workers > 8)
        return complain(r, "another number", "1 to 8 workers");
    if (p->connections < 1 || p->connections > 90)
        return complain(r, "another number", "1 to 90 connections of a worker");
    if (p->pid_max < 400 || p->backlog < 1 || p->latency_ns == 0 || p->drain_ns == 0)
        return complain(r, "0", "pid-max from 400, backlog, latency and drain above 0");
    if (p->backends > SIM_BACKENDS_MAX || p->proxy_timeout_ns == 0)
        return complain(r, "another number", "at most 8 backends, and a proxy-timeout above 0");
    for (size_t i = 0; p->backends == 0 && i < p->load_count; i++)
        if (p->loads[i].proxied)
            return complain(r, p->loads[i].name, "a number of backends for the proxied load");
    for (size_t i = 0; p->backends == 0 && i < p->act_count; i++)
        if (p->acts[i].kind == SIM_ACT_BACKEND)
            return complain(r, "backend", "a number of backends");
    for (size_t i = 0; i < p->act_count; i++)
        if ((p->acts[i].at_ns == SIM_THEN) != p->story)
            return complain(r, p->story ? "at" : "then", p->story ? "`then` in a story" : "`at`");
    return 0;
}

static int read_lines(struct reader *r, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    int err = 0;
    bool titled = false;
    while (err == 0 && getline(&line, &room, in) > 0) {
        r->line++;
        line[strcspn(line, "\r\n")] = '\0';
        r->at = line + strspn(line, " \t");
        if (r->at[0] == '\0' || r->at[0] == '#')
            continue;
        if (!titled && strcmp(r->at, "mw-sim schedule") != 0)
            break;
        if (titled && (err = read_line(r)) == 0 && *(r->at += strspn(r->at, " \t")) != '\0')
            err = complain(r, r->at, "the end of the line");
        titled = true;
    }
    free(line);
    if (!titled)
        return complain(r, "something else", "`mw-sim schedule` in the first line");
    return err == 0 ? check(r) : err;
}

int sim_schedule_read(struct sim_plan *plan, const char *path, char *complaint)
{
    struct reader r = {.plan = plan, .path = path, .complaint = complaint};
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        snprintf(complaint, SIM_COMPLAINT_MAX, "%s: cannot be read: %s", path, strerror(errno));
        return -1;
    }
    sim_plan_clear(plan, 1);
    int err = read_lines(&r, in);
    fclose(in);
    return err;
}
