/* The scoreboard's pages, JSON and Prometheus, made from SCORE_COUNTERS and one snapshot. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/os/clock.h"
#include "engine/shm/scoreboard.h"
#include "engine/shm/scoreboard_snapshot.h"
#include "scenarios/history/hist.h"

/* A page that may not fit: `len` is what it would have been, as with snprintf. */
struct page {
    char *out;
    size_t size;
    int len;
};

static void add(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct page *page, const char *format, ...)
{
    size_t used = (size_t)page->len < page->size ? (size_t)page->len : page->size;
    /* Who only asks for the length has no room. */
    char *at = page->out == NULL ? NULL : page->out + used;
    va_list args;
    va_start(args, format);
    page->len += vsnprintf(at, page->size - used, format, args);
    va_end(args);
}

static const char *state_word(const struct score_row *row)
{
    static const char *const words[] = {"free",  "starting", "poised",
                                        "ready", "draining", "killed"};
    if (row->state == SCORE_READY && row->draining)
        return words[SCORE_DRAINING]; /* by a signal that did not come from the master */
    return row->state <= SCORE_KILLED ? words[row->state] : "?";
}

static uint64_t breaker_ms(const struct scoreboard *board, uint64_t now_ns)
{
    uint64_t until_ns = SCORE_GET(board->breaker_until_ns);
    return until_ns > now_ns ? (until_ns - now_ns) / NS_PER_MS : 0;
}

static const struct score_report *last_report(const struct scoreboard *board)
{
    uint64_t count = SCORE_GET(board->report_count);
    return count > 0 ? &board->reports[(count - 1) % SCORE_REPORTS] : NULL;
}

/* Master numbers that are only counted: N(symbol, "meaning"). */
#define MASTER_COUNTERS(N)                                                                         \
    N(reloads_asked, "reloads asked for")                                                          \
    N(reloads_ok, "reloads that took effect")                                                      \
    N(reloads_refused, "reloads whose configuration was refused")                                  \
    N(reloads_undone, "reloads undone because new workers did not become ready")                   \
    N(respawns, "workers started in place of crashed ones")                                        \
    N(crashes, "workers that ended without having been told to")                                   \
    N(watchdog_aborts, "workers aborted because they were silent")                                 \
    N(spawn_failures, "forks that failed")

/* ---- JSON ------------------------------------------------------------------------------ */

static void json_string(struct page *page, const char *text)
{
    add(page, "\"");
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            add(page, "\\%c", c);
        else if (c < 0x20)
            add(page, "\\u%04x", c);
        else
            add(page, "%c", c);
    }
    add(page, "\"");
}

static void json_counters(struct page *page, const struct score_counters *counters)
{
    const char *comma = "";
#define C(symbol, name, gauge, meaning)                                                            \
    add(page, "%s\"%s\": %llu", comma, name, (unsigned long long)counters->symbol);                \
    comma = ", ";
    SCORE_COUNTERS(C)
#undef C
}

static void json_report(struct page *page, const struct score_report *report)
{
    if (report == NULL) {
        add(page, "null");
        return;
    }
    add(page,
        "{\"outcome\": \"%s\", \"generation\": %u, \"text\": ", hist_report_name(report->outcome),
        report->generation);
    json_string(page, report->text);
    add(page, "}");
}

static void json_master(struct page *page, const struct scoreboard *board, uint64_t now_ns)
{
    add(page, "{\n  \"master\": {\"pid\": %d, \"generation\": %u, \"workers\": %u",
        board->master_pid, SCORE_GET(board->generation), SCORE_GET(board->workers));
    add(page, ", \"uptime_ms\": %llu",
        (unsigned long long)((now_ns - board->started_ns) / NS_PER_MS));
    add(page, ", \"breaker_ms\": %llu, \"upgrade\": \"%s\"",
        (unsigned long long)breaker_ms(board, now_ns),
        SCORE_GET(board->upgrade_state) ? hist_upgrade_name(board->upgrade_state - 1) : "none");
#define N(symbol, meaning)                                                                         \
    add(page, ", \"" #symbol "\": %llu", (unsigned long long)SCORE_GET(board->symbol));
    MASTER_COUNTERS(N)
#undef N
    add(page, ", \"last_reload\": ");
    json_report(page, last_report(board));
    add(page, "}");
}

int scoreboard_json(const struct scoreboard *board, uint64_t now_ns, char *out, size_t size)
{
    struct page page = {out, size, 0};
    struct score_snapshot snapshot;

    scoreboard_snapshot(board, &snapshot);
    json_master(&page, board, now_ns);
    add(&page, ",\n  \"total\": {");
    json_counters(&page, &snapshot.total);
    add(&page, "},\n  \"workers\": [");
    for (int i = 0; i < snapshot.row_count; i++) {
        const struct score_row *row = &snapshot.rows[i];
        add(&page, "%s\n    {\"slot\": %d, \"generation\": %u, \"pid\": %d, \"state\": \"%s\"",
            i > 0 ? "," : "", row->slot, row->generation, row->pid, state_word(row));
        add(&page, ", \"age_ms\": %llu, \"heartbeat\": %llu, ",
            (unsigned long long)((now_ns - row->since_ns) / NS_PER_MS),
            (unsigned long long)row->heartbeat);
        json_counters(&page, &row->counters);
        add(&page, "}");
    }
    add(&page, "\n  ]\n}\n");
    return page.len;
}

/* ---- Prometheus ------------------------------------------------------------------------ */

static void metric(struct page *page, const char *name, bool gauge, const char *meaning)
{
    add(page, "# HELP masterwork_%s %s\n# TYPE masterwork_%s %s\n", name, meaning, name,
        gauge ? "gauge" : "counter");
}

static void metric_value(struct page *page, const char *name, bool gauge, const char *meaning,
                         uint64_t value)
{
    metric(page, name, gauge, meaning);
    add(page, "masterwork_%s %llu\n", name, (unsigned long long)value);
}

static void prometheus_counter(struct page *page, const struct score_snapshot *snapshot,
                               const char *name, bool gauge, const char *meaning, size_t offset)
{
    const char *suffix = gauge ? "" : "_total";
    char full[64];

    snprintf(full, sizeof(full), "%s%s", name, suffix);
    metric_value(page, full, gauge, meaning,
                 *(const uint64_t *)((const char *)&snapshot->total + offset));
    snprintf(full, sizeof(full), "worker_%s%s", name, suffix);
    metric(page, full, gauge, meaning);
    for (int i = 0; i < snapshot->row_count; i++) {
        const struct score_row *row = &snapshot->rows[i];
        add(page, "masterwork_%s{slot=\"%d\",generation=\"%u\",pid=\"%d\"} %llu\n", full, row->slot,
            row->generation, row->pid,
            (unsigned long long)*(const uint64_t *)((const char *)&row->counters + offset));
    }
}

static void prometheus_master(struct page *page, const struct scoreboard *board, uint64_t now_ns)
{
    const struct score_report *report = last_report(board);

    metric_value(page, "generation", true, "configuration that serves", board->generation);
    metric_value(page, "workers", true, "workers wanted", board->workers);
    metric_value(page, "uptime_ms", true, "age of the master",
                 (now_ns - board->started_ns) / NS_PER_MS);
    metric_value(page, "breaker_ms", true, "respawning is slowed for this long",
                 breaker_ms(board, now_ns));
#define N(symbol, meaning) metric_value(page, #symbol "_total", false, meaning, board->symbol);
    MASTER_COUNTERS(N)
#undef N
    metric(page, "last_reload", true, "how the last reload ended");
    for (unsigned outcome = 0; report != NULL && outcome <= HIST_REPORT_UNDONE; outcome++)
        add(page, "masterwork_last_reload{outcome=\"%s\"} %d\n", hist_report_name(outcome),
            report->outcome == outcome);
}

int scoreboard_prometheus(const struct scoreboard *board, uint64_t now_ns, char *out, size_t size)
{
    struct page page = {out, size, 0};
    struct score_snapshot snapshot;

    scoreboard_snapshot(board, &snapshot);
    prometheus_master(&page, board, now_ns);
#define C(symbol, name, gauge, meaning)                                                            \
    prometheus_counter(&page, &snapshot, name, gauge, meaning,                                     \
                       offsetof(struct score_counters, symbol));
    SCORE_COUNTERS(C)
#undef C
    metric(&page, "worker_state", true, "1 for the state the worker is in");
    for (int i = 0; i < snapshot.row_count; i++) {
        const struct score_row *row = &snapshot.rows[i];
        add(&page,
            "masterwork_worker_state{slot=\"%d\",generation=\"%u\",pid=\"%d\",state=\"%s\"} 1\n",
            row->slot, row->generation, row->pid, state_word(row));
    }
    return page.len;
}
