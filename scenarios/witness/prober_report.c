/* Progress and totals, as JSON lines on stdout. */
#include "scenarios/witness/prober_report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scenarios/witness/prober_record.h"

enum {
    LINE_BYTES_MAX = 65536,
    RECENT_MS = 1000, /* pids that answered within this are told */
    LAST_WORDS_MS = 5000,
};

static struct {
    char text[LINE_BYTES_MAX];
    size_t len, written;
} line;

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add_totals(struct prober *p, const char *event, uint64_t lag_ns);
static void add_population(const struct prober_population *pop, uint64_t now_ns);
static bool flush(void);

void prober_report_open(void)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
        fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
}

void prober_report_ready(void)
{
    line.len = line.written = 0;
    add("{\"event\":\"ready\"}\n");
    flush();
}

void prober_report_progress(struct prober *p)
{
    if (!flush())
        return;
    line.len = line.written = 0;
    add_totals(p, "progress", p->lag_ns);
    add("}\n");
    p->lag_ns = 0;
    flush();
}

void prober_report_done(struct prober *p)
{
    uint64_t until = hist_now_ns() + LAST_WORDS_MS * PROBER_NS_PER_MS;
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    for (int part = 0; part < 2; part++) {
        while (!flush() && hist_now_ns() < until)
            poll(&out, 1, 100);
        if (part == 1 || line.written < line.len)
            return;
        line.len = line.written = 0;
        add_totals(p, "done", p->lag_worst_ns);
        add(",\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64
            ",\"dropped\":%" PRIu64 ",\"own_errors\":%" PRIu64 "}\n",
            prober_latency_ns(p, 500), prober_latency_ns(p, 990), p->latency_max_ns,
            p->history.dropped, p->own_errors);
    }
}

static void add(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line.text + line.len, sizeof(line.text) - line.len, format, args);
    va_end(args);
    if (n > 0 && line.len + (size_t)n < sizeof(line.text))
        line.len += (size_t)n;
}

static void add_totals(struct prober *p, const char *event, uint64_t lag_ns)
{
    struct prober_counts sum = {0};
    uint64_t now = hist_now_ns();
    for (int i = 0; i < p->population_count; i++) {
        const struct prober_counts *n = &p->populations[i].counts;
        sum.requests += n->requests;
        sum.ok += n->ok;
        sum.failed += n->failed;
    }
    add("{\"event\":\"%s\",\"t_ns\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"ok\":%" PRIu64
        ",\"failed\":%" PRIu64 ",\"lag_ns\":%" PRIu64 ",\"populations\":[",
        event, now, sum.requests, sum.ok, sum.failed, lag_ns);
    for (int i = 0; i < p->population_count; i++) {
        add(i > 0 ? "," : "%s", "");
        add_population(&p->populations[i], now);
    }
    add("]");
}

/* Names need no escaping: prober_spec_parse() lets only harmless letters through. */
static void add_population(const struct prober_population *pop, uint64_t now_ns)
{
    const struct prober_counts *n = &pop->counts;
    const char *comma = "";
    add("{\"name\":\"%s\",\"kind\":\"%s\",\"requests\":%" PRIu64 ",\"ok\":%" PRIu64
        ",\"failed\":%" PRIu64 ",\"outstanding\":%" PRIu64 ",\"waiting\":%zu"
        ",\"established\":%" PRIu64 ",\"newest_gen\":%" PRIu32 ",\"outcomes\":{",
        pop->spec.name, hist_population_name(pop->spec.kind), n->requests, n->ok, n->failed,
        n->requests - n->ended, pop->queue.count, pop->established, pop->newest_gen);
    for (unsigned i = 0; i < HIST_OUTCOME_COUNT; i++) {
        if (n->outcomes[i] == 0)
            continue;
        add("%s\"%s\":%" PRIu64, comma, hist_outcome_name(i), n->outcomes[i]);
        comma = ",";
    }
    add("},\"pids\":[");
    comma = "";
    for (size_t i = 0; i < PROBER_PIDS; i++) {
        if (pop->pids[i].pid == 0 || now_ns - pop->pids[i].seen_ns > RECENT_MS * PROBER_NS_PER_MS)
            continue;
        add("%s%" PRIu32, comma, pop->pids[i].pid);
        comma = ",";
    }
    add("]}");
}

/* True when nothing is left to write. A reader that is gone counts as one that has read. */
static bool flush(void)
{
    while (line.written < line.len) {
        ssize_t n = write(STDOUT_FILENO, line.text + line.written, line.len - line.written);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0 && errno != EINTR)
            line.written = line.len;
        else if (n > 0)
            line.written += (size_t)n;
    }
    return true;
}
