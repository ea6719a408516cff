/* Chooses the evidence of a violation: each record near it gets a weight by what it shares with the
 * culprit, and the heaviest dozen are kept. */
#include "scenarios/judge/evidence.h"

#include <signal.h>
#include <string.h>

#define BEFORE_NS 60000000000ull /* the longest life of a request that is looked at */
#define NEAR_NS 2000000000ull    /* signals, faults and exits this close may be its cause */
#define AFTER_NS 1000000000ull

/* What the culprit is about. */
struct subject {
    const struct hist_record *culprit;
    uint64_t from_ns; /* its connection was begun */
    uint32_t server;  /* the process that served it; 0 unknown */
};

/* Weights; the nearer of two equal ones wins. */
enum { IGNORED = 0, AROUND = 1, DISTURBS = 2, SERVER = 3, CONNECTION = 4, REQUEST = 5, ITSELF = 6 };

struct pick {
    const struct hist_record *record;
    int weight;
    uint64_t distance_ns;
};

static bool same(const struct hist_record *a, const struct hist_record *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static size_t find_time(const struct hist *h, uint64_t t_ns)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (h->records[middle].t_ns < t_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Looks back for the beginning of the culprit's connection and for who served it. */
static struct subject subject_of(const struct hist *h, const struct hist_record *culprit)
{
    struct subject s = {culprit, culprit->t_ns > NEAR_NS ? culprit->t_ns - NEAR_NS : 0, 0};
    bool is_client = culprit->kind <= HIST_CLIENT_DONE;
    bool names_server = culprit->kind == HIST_CLIENT_END || culprit->kind == HIST_CLIENT_FIRST_BYTE;
    if (!is_client || names_server)
        s.server = culprit->pid;
    if (culprit->conn == 0)
        return s;
    for (size_t i = find_time(h, culprit->t_ns + 1); i-- > 0;) {
        const struct hist_record *r = &h->records[i];
        if (r->t_ns + BEFORE_NS < culprit->t_ns)
            break;
        if (r->conn != culprit->conn)
            continue;
        if (s.server == 0 && (r->kind >= HIST_ENGINE_MASTER || r->kind == HIST_CLIENT_FIRST_BYTE))
            s.server = r->pid;
        if (r->kind == HIST_CLIENT_CONNECT) {
            s.from_ns = r->t_ns;
            break;
        }
    }
    return s;
}

/* What can explain trouble whoever is concerned. */
static bool is_disturbance(const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_DIRECTOR_SIGNAL:
    case HIST_DIRECTOR_STORM:
    case HIST_DIRECTOR_RELOAD:
    case HIST_DIRECTOR_RELOADED:
    case HIST_DIRECTOR_STOP:
    case HIST_DIRECTOR_CONFIG:
    case HIST_FAULT_ARMED:
    case HIST_FAULT_FIRED:
    case HIST_WATCH_EXIT:
    case HIST_ENGINE_WORKER_EXIT:
    case HIST_ENGINE_RELOAD:
    case HIST_ENGINE_RELOADED:
    case HIST_ENGINE_WATCHDOG:
    case HIST_ENGINE_UNLISTEN:
    case HIST_ENGINE_ORPHAN:
    case HIST_ENGINE_STOP:
        return true;
    default:
        return false;
    }
}

/* Samples say the same over and over. */
static bool is_sample(const struct hist_record *r)
{
    return r->kind == HIST_WATCH_PROC || r->kind == HIST_WATCH_TREE ||
           r->kind == HIST_WATCH_QUEUE || r->kind == HIST_WATCH_STATE ||
           r->kind == HIST_CLIENT_LAG || r->kind == HIST_CLIENT_HELD ||
           r->kind == HIST_CLIENT_POPULATION || r->kind == HIST_DIRECTOR_PARAM;
}

/* A process's own steps; its other clients are nobody's business here. */
static bool is_step(const struct hist_record *r)
{
    return r->conn == 0 && r->kind > HIST_CLIENT_DONE && r->kind != HIST_DIRECTOR_PHASE;
}

static int weigh(const struct subject *s, const struct hist_record *r, uint64_t distance_ns)
{
    const struct hist_record *culprit = s->culprit;
    if (same(r, culprit))
        return ITSELF;
    if (is_sample(r))
        return r->kind == culprit->kind && r->pid == culprit->pid ? AROUND : IGNORED;
    if (culprit->req != 0 && r->req == culprit->req)
        return REQUEST;
    if (culprit->conn != 0 && r->conn == culprit->conn && r->t_ns >= s->from_ns)
        return CONNECTION;
    if (distance_ns > NEAR_NS)
        return IGNORED;
    if (s->server != 0 && r->pid == s->server && is_step(r))
        return SERVER;
    if (is_disturbance(r) && r->t_ns <= culprit->t_ns + AFTER_NS / 4)
        return DISTURBS;
    return IGNORED;
}

static bool is_heavier(const struct pick *a, const struct pick *b)
{
    return a->weight != b->weight ? a->weight > b->weight : a->distance_ns < b->distance_ns;
}

/* Keeps the picks sorted, heaviest first. */
static void pick_add(struct pick *picks, size_t *count, const struct pick *pick)
{
    size_t at = *count < EVIDENCE_MAX ? (*count)++ : EVIDENCE_MAX;
    while (at > 0 && is_heavier(pick, &picks[at - 1])) {
        if (at < EVIDENCE_MAX)
            picks[at] = picks[at - 1];
        at--;
    }
    if (at < EVIDENCE_MAX)
        picks[at] = *pick;
}

/* A request's own records could fill the dozen: room is left for what disturbed it. */
static void choose(struct pick *picks, size_t *count, const struct hist *h, const struct subject *s)
{
    const struct hist_record *culprit = s->culprit;
    uint64_t from_ns = s->from_ns + NEAR_NS < culprit->t_ns ? s->from_ns
                       : culprit->t_ns > NEAR_NS            ? culprit->t_ns - NEAR_NS
                                                            : 0;
    size_t connection_records = 0;
    for (size_t i = find_time(h, culprit->t_ns + AFTER_NS); i-- > 0;) {
        const struct hist_record *r = &h->records[i];
        if (r->t_ns < from_ns)
            break;
        uint64_t distance_ns =
            r->t_ns > culprit->t_ns ? r->t_ns - culprit->t_ns : culprit->t_ns - r->t_ns;
        struct pick pick = {r, weigh(s, r, distance_ns), distance_ns};
        if (pick.weight == CONNECTION && connection_records++ >= EVIDENCE_MAX / 3)
            continue;
        if (pick.weight != IGNORED)
            pick_add(picks, count, &pick);
    }
}

static void put_in_time_order(struct evidence *e, const struct pick *picks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = e->count++;
        for (; at > 0 && e->records[at - 1].t_ns > picks[i].record->t_ns; at--)
            e->records[at] = e->records[at - 1];
        e->records[at] = *picks[i].record;
    }
}

/* The nearest disturbance before the culprit: first of its own process, then of any. */
static const struct hist_record *likely_cause(const struct evidence *e, const struct subject *s)
{
    const struct hist_record *any = NULL;
    for (size_t i = e->count; i-- > 0;) {
        const struct hist_record *r = &e->records[i];
        if (r->t_ns > s->culprit->t_ns || same(r, s->culprit) || !is_disturbance(r))
            continue;
        if (s->server != 0 && r->pid == s->server)
            return r;
        if (any == NULL)
            any = r;
    }
    return any;
}

void evidence_collect(struct evidence *e, const struct hist *h, const struct judge_violation *v)
{
    struct pick picks[EVIDENCE_MAX];
    size_t count = 0;
    struct subject s = subject_of(h, &v->culprit);
    memset(e, 0, sizeof(*e));
    choose(picks, &count, h, &s);
    if (v->cause.kind != HIST_NONE) {
        struct pick cause = {&v->cause, ITSELF, 0};
        bool there = false;
        for (size_t i = 0; i < count; i++)
            there = there || same(picks[i].record, &v->cause);
        if (!there)
            pick_add(picks, &count, &cause);
    }
    put_in_time_order(e, picks, count);
    const struct hist_record *cause = v->cause.kind != HIST_NONE ? &v->cause : likely_cause(e, &s);
    if (cause != NULL)
        e->cause = *cause;
}
