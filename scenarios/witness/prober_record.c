/* Records of history.def's client.* kinds, counters and the latency histogram. */
#include "scenarios/witness/prober_record.h"

enum {
    LAG_TOLD_EVERY_MS = 10,
    LAGGING_AFTER_MS = 10,
    HELD_TOLD_EVERY_MS = 10,
    HISTOGRAM_SUB_BITS = 5,
};

static void put(struct prober_population *pop, struct hist_record *r);
static void count_end(struct prober_population *pop, enum hist_outcome outcome,
                      uint64_t latency_ns);
static void see_pid(struct prober_population *pop, uint32_t pid, uint64_t now_ns);

void prober_record_population(struct prober_population *pop)
{
    put(pop, &(struct hist_record){.kind = HIST_CLIENT_POPULATION,
                                   .a = pop->spec.kind,
                                   .b = pop->spec.rate_milli,
                                   .c = pop->spec.clients});
}

void prober_record_connect(struct prober_conn *c)
{
    put(c->pop,
        &(struct hist_record){.t_ns = c->connect_ns, .kind = HIST_CLIENT_CONNECT, .conn = c->conn});
}

void prober_record_connected(struct prober_conn *c)
{
    uint64_t now = hist_now_ns();
    put(c->pop,
        &(struct hist_record){
            .t_ns = now, .kind = HIST_CLIENT_CONNECTED, .conn = c->conn, .a = now - c->connect_ns});
}

void prober_record_connect_failed(struct prober_conn *c, int error)
{
    uint64_t now = hist_now_ns();
    put(c->pop, &(struct hist_record){.t_ns = now,
                                      .kind = HIST_CLIENT_CONNECT_FAILED,
                                      .conn = c->conn,
                                      .a = now - c->connect_ns,
                                      .b = (uint64_t)error});
}

static uint16_t request_flags(const struct prober_conn *c, const struct prober_request *r)
{
    uint16_t flags = r->after > 0 ? HIST_BIT(HIST_F_REUSED) : 0;
    if (c->pop->kind->method[0] == 'P')
        flags |= HIST_BIT(HIST_F_UNSAFE);
    return flags;
}

void prober_record_request(struct prober_conn *c, struct prober_request *r, uint16_t flags)
{
    r->begun = true;
    put(c->pop, &(struct hist_record){.kind = HIST_CLIENT_REQUEST,
                                      .flags = request_flags(c, r) | flags,
                                      .conn = c->conn,
                                      .req = r->nonce,
                                      .a = r->due_ns,
                                      .b = c->pop->spec.body_bytes,
                                      .c = r->after});
}

void prober_record_sent(struct prober_conn *c, const struct prober_request *r)
{
    put(c->pop, &(struct hist_record){.kind = HIST_CLIENT_SENT, .conn = c->conn, .req = r->nonce});
}

void prober_record_first_byte(struct prober_conn *c, const struct prober_request *r)
{
    const struct prober_response *answer = &c->response;
    c->head_told = true;
    see_pid(c->pop, answer->pid, c->first_byte_ns);
    if (answer->gen > c->pop->newest_gen)
        c->pop->newest_gen = answer->gen;
    put(c->pop, &(struct hist_record){.t_ns = c->first_byte_ns,
                                      .kind = HIST_CLIENT_FIRST_BYTE,
                                      .flags = request_flags(c, r),
                                      .pid = answer->pid,
                                      .gen = answer->gen,
                                      .conn = c->conn,
                                      .req = r->nonce,
                                      .a = c->first_byte_ns - r->due_ns,
                                      .b = answer->status,
                                      .c = answer->slot});
}

void prober_record_end(struct prober_conn *c, struct prober_request *r, enum hist_outcome outcome,
                       uint16_t flags)
{
    const struct prober_response *answer = &c->response;
    bool current = r == &c->requests[c->first];
    if (!r->begun)
        prober_record_request(c, r, HIST_BIT(HIST_F_PARTIAL));
    if (current && c->first_byte_ns != 0 && !c->head_told)
        prober_record_first_byte(c, r);
    uint64_t now = hist_now_ns();
    struct hist_record end = {.t_ns = now,
                              .kind = HIST_CLIENT_END,
                              .flags = request_flags(c, r) | flags,
                              .conn = c->conn,
                              .req = r->nonce,
                              .a = outcome,
                              .c = now - r->due_ns};
    if (!r->sent)
        end.flags |= HIST_BIT(HIST_F_PARTIAL);
    if (c->announced)
        end.flags |= HIST_BIT(HIST_F_ANNOUNCED);
    if (current && c->first_byte_ns != 0) {
        end.pid = answer->pid;
        end.gen = answer->gen;
        end.b = answer->status | answer->body_bytes << 16;
    }
    put(c->pop, &end);
    count_end(c->pop, outcome, end.c);
}

void prober_record_unsent(struct prober_population *pop, uint64_t due_ns, enum hist_outcome outcome)
{
    uint64_t nonce = prober_nonce(pop->prober), now = hist_now_ns();
    uint16_t flags = HIST_BIT(HIST_F_PARTIAL);
    if (pop->kind->method[0] == 'P')
        flags |= HIST_BIT(HIST_F_UNSAFE);
    put(pop, &(struct hist_record){.t_ns = now,
                                   .kind = HIST_CLIENT_REQUEST,
                                   .flags = flags,
                                   .req = nonce,
                                   .a = due_ns,
                                   .b = pop->spec.body_bytes});
    put(pop, &(struct hist_record){.t_ns = now,
                                   .kind = HIST_CLIENT_END,
                                   .flags = flags,
                                   .req = nonce,
                                   .a = outcome,
                                   .c = now - due_ns});
    pop->counts.requests++;
    count_end(pop, outcome, now - due_ns);
}

void prober_record_close(struct prober_conn *c, enum hist_close reason)
{
    uint64_t now = hist_now_ns();
    bool waiting = c->state == CONN_IDLE || c->state == CONN_LINGER;
    uint16_t flags = c->announced ? HIST_BIT(HIST_F_ANNOUNCED) : 0;
    if (waiting)
        flags |= HIST_BIT(HIST_F_ANSWERED);
    if (c->sent < c->total)
        flags |= HIST_BIT(HIST_F_PARTIAL);
    put(c->pop, &(struct hist_record){.t_ns = now,
                                      .kind = HIST_CLIENT_CLOSE,
                                      .flags = flags,
                                      .conn = c->conn,
                                      .req = c->last_nonce,
                                      .a = reason,
                                      .b = waiting ? now - c->since_ns : 0,
                                      .c = c->carried});
}

void prober_record_held(struct prober_population *pop, uint64_t now_ns)
{
    if (pop->established == pop->held_told ||
        now_ns - pop->held_told_at_ns < HELD_TOLD_EVERY_MS * PROBER_NS_PER_MS)
        return;
    pop->held_told = pop->established;
    pop->held_told_at_ns = now_ns;
    put(pop,
        &(struct hist_record){.t_ns = now_ns, .kind = HIST_CLIENT_HELD, .a = pop->established});
}

/* Marks what happens around a late turn of the loop; one record for each 10 ms, unless worse. */
void prober_record_lag(struct prober *p, uint64_t now_ns, uint64_t lag_ns)
{
    if (lag_ns > p->lag_worst_ns)
        p->lag_worst_ns = lag_ns;
    if (lag_ns > p->lag_ns)
        p->lag_ns = lag_ns;
    if (lag_ns <= PROBER_NS_PER_MS)
        return;
    p->lagging_until_ns = now_ns + LAGGING_AFTER_MS * PROBER_NS_PER_MS;
    if (now_ns - p->lag_told_at_ns < LAG_TOLD_EVERY_MS * PROBER_NS_PER_MS &&
        lag_ns <= p->lag_told_ns)
        return;
    p->lag_told_at_ns = now_ns;
    p->lag_told_ns = lag_ns;
    hist_put(
        &p->history,
        &(struct hist_record){
            .t_ns = now_ns, .kind = HIST_CLIENT_LAG, .slot = -1, .pid = p->own_pid, .a = lag_ns});
}

void prober_record_done(struct prober *p)
{
    struct hist_record r = {.kind = HIST_CLIENT_DONE, .slot = -1, .pid = p->own_pid};
    for (int i = 0; i < p->population_count; i++) {
        r.a += p->populations[i].counts.requests;
        r.b += p->populations[i].counts.failed;
    }
    r.c = p->history.dropped;
    hist_put(&p->history, &r);
}

/* splitmix64: a bijection, so that counting up never gives the same number twice. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t prober_nonce(struct prober *p)
{
    uint64_t nonce;
    do
        nonce = mix(p->nonce_seed + ++p->nonce_count * UINT64_C(0x9e3779b97f4a7c15));
    while (nonce == 0);
    return nonce;
}

uint64_t prober_random(struct prober *p)
{
    p->random += UINT64_C(0x9e3779b97f4a7c15);
    return mix(p->random);
}

uint64_t prober_latency_ns(const struct prober *p, unsigned permille)
{
    uint64_t rank = (p->latency_count * permille + 999) / 1000, seen = 0;
    for (size_t i = 0; i < PROBER_HISTOGRAM_BUCKETS && p->latency_count > 0; i++) {
        seen += p->histogram[i];
        if (seen < rank || seen == 0)
            continue;
        size_t power = i >> HISTOGRAM_SUB_BITS, sub = i & ((1u << HISTOGRAM_SUB_BITS) - 1);
        uint64_t upper = power == 0 ? sub : ((UINT64_C(32) + sub + 1) << (power - 1)) - 1;
        return upper < p->latency_max_ns ? upper : p->latency_max_ns;
    }
    return 0;
}

static void put(struct prober_population *pop, struct hist_record *r)
{
    struct prober *p = pop->prober;
    if (r->t_ns == 0)
        r->t_ns = hist_now_ns();
    if (r->kind != HIST_CLIENT_FIRST_BYTE && r->kind != HIST_CLIENT_END)
        r->pid = p->own_pid;
    r->slot = (int16_t)pop->index;
    if (r->t_ns < p->lagging_until_ns)
        r->flags |= HIST_BIT(HIST_F_LAGGING);
    hist_put(&p->history, r);
}

/* 32 buckets for each power of two: 3 % wide. */
static void count_latency(struct prober *p, uint64_t ns)
{
    unsigned power = ns < 32 ? 0 : 64u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    size_t sub = power == 0 ? ns : (ns >> (power - 1)) - 32;
    p->histogram[(power << HISTOGRAM_SUB_BITS) + sub]++;
    p->latency_count++;
    if (ns > p->latency_max_ns)
        p->latency_max_ns = ns;
}

static void count_end(struct prober_population *pop, enum hist_outcome outcome, uint64_t latency_ns)
{
    struct prober_counts *n = &pop->counts;
    n->ended++;
    n->outcomes[outcome]++;
    if (outcome == HIST_OK) {
        n->ok++;
        if (!pop->kind->standing)
            count_latency(pop->prober, latency_ns);
    } else if (outcome != HIST_ABANDONED && pop->kind->counts) {
        n->failed++;
    }
}

/* Keeps the pids that answered, the newest in place of the oldest. */
static void see_pid(struct prober_population *pop, uint32_t pid, uint64_t now_ns)
{
    size_t at = 0;
    if (pid == 0)
        return;
    for (size_t i = 0; i < PROBER_PIDS; i++) {
        if (pop->pids[i].pid == pid) {
            at = i;
            break;
        }
        if (pop->pids[i].seen_ns < pop->pids[at].seen_ns)
            at = i;
    }
    pop->pids[at].pid = pid;
    pop->pids[at].seen_ns = now_ns;
}
