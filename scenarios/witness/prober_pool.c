/* Open loop: requests arrive at absolute times and never wait to be due; they wait, with their due
 * time, for a connection. */
#include "scenarios/witness/prober_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/witness/prober_conn.h"
#include "scenarios/witness/prober_exchange.h"
#include "scenarios/witness/prober_pace.h"
#include "scenarios/witness/prober_record.h"

enum {
    ARRIVALS_PER_TURN = 2000, /* answers are read between such bursts */
    STARTS_PER_TURN = 50,
    QUEUE_MAX = 1 << 21,
    RESTART_MS = 20,         /* standing clients are begun anew at most so often, ... */
    RESTART_FAILED_MS = 100, /* ... and so often if one failed */
};

static bool queue_push(struct prober_queue *q, uint64_t due_ns);
static uint64_t queue_pop(struct prober_queue *q);
static void advance(struct prober_population *pop);
static struct prober_conn *take_idle(struct prober_population *pop);
static bool begin_waiting(struct prober_population *pop);
static void wind_up(struct prober_population *pop);
static void begin_or_wait(struct prober_population *pop, uint64_t due_ns);
static void start_standing(struct prober_population *pop, uint64_t now_ns);

const char *prober_pool_add(struct prober *p, const struct prober_spec *spec)
{
    if (p->population_count == PROBER_POPULATIONS_MAX)
        return "too many populations, at most 32";
    if (prober_pool_find(p, spec->name) != NULL)
        return "two populations have the same name";
    struct prober_population *pop = &p->populations[p->population_count];
    *pop = (struct prober_population){.prober = p,
                                      .kind = prober_kind(spec->kind),
                                      .spec = *spec,
                                      .target = p->target,
                                      .index = p->population_count++,
                                      .quit_by_ns = UINT64_MAX,
                                      .head_len_max = prober_exchange_head_max(spec)};
    if (spec->port != 0)
        pop->target.sin_port = htons((uint16_t)spec->port);
    TAILQ_INIT(&pop->idle);
    TAILQ_INIT(&pop->spare);
    return NULL;
}

void prober_pool_set_rate(struct prober_population *pop, uint64_t rate_milli)
{
    uint64_t now = hist_now_ns();
    pop->spec.rate_milli = rate_milli;
    pop->next_due_ns = UINT64_MAX;
    if (rate_milli == 0)
        return;
    /* The step's fraction is carried along, so that the rate is exact for ever. */
    uint64_t span = UINT64_C(1000000000000) * pop->spec.depth;
    pop->step_ns = span / rate_milli;
    pop->step_rest = span % rate_milli;
    pop->step_divisor = rate_milli;
    pop->step_carry = 0;
    pop->next_due_ns = now + prober_random(pop->prober) % (pop->step_ns + 1);
}

void prober_pool_start(struct prober_population *pop)
{
    if (pop->running)
        return;
    pop->running = true;
    pop->released = false;
    pop->next_start_ns = 0;
    pop->dispatch = true;
    prober_record_population(pop);
    prober_pool_set_rate(pop, pop->spec.rate_milli);
}

void prober_pool_stop(struct prober_population *pop)
{
    struct prober *p = pop->prober;
    pop->running = false;
    pop->dispatch = true;
    for (size_t i = p->conn_count; i-- > 0;)
        if (i < p->conn_count && p->conns[i]->pop == pop)
            prober_conn_stop(p->conns[i]);
}

void prober_pool_quit(struct prober_population *pop, uint64_t now_ns)
{
    const struct prober_spec *spec = &pop->spec;
    uint64_t ms =
        spec->timeout_ms > spec->connect_timeout_ms ? spec->timeout_ms : spec->connect_timeout_ms;
    prober_pool_stop(pop);
    pop->quit_by_ns = now_ns + ms * PROBER_NS_PER_MS;
}

void prober_pool_give_up(struct prober_population *pop, uint64_t now_ns)
{
    struct prober *p = pop->prober;
    for (size_t i = p->conn_count; i-- > 0;) {
        struct prober_conn *c = i < p->conn_count ? p->conns[i] : NULL;
        if (c == NULL || c->pop != pop)
            continue;
        if (c->deadline_ns != 0 && c->deadline_ns <= now_ns)
            prober_conn_expire(c); /* it was the server that was too slow */
        else
            prober_conn_abandon(c);
    }
    prober_pool_expire(pop, now_ns);
    prober_pool_drop(pop);
}

void prober_pool_release(struct prober_population *pop)
{
    struct prober *p = pop->prober;
    pop->running = false;
    pop->released = true;
    pop->dispatch = true;
    for (size_t i = p->conn_count; i-- > 0;)
        if (i < p->conn_count && p->conns[i]->pop == pop)
            prober_pace_release(p->conns[i]);
}

uint64_t prober_pool_arrive(struct prober_population *pop, uint64_t now_ns)
{
    if (!pop->running || (pop->kind->standing && !pop->kind->keeps))
        return UINT64_MAX;
    for (int i = 0; pop->next_due_ns <= now_ns && i < ARRIVALS_PER_TURN; i++) {
        uint64_t due = pop->next_due_ns;
        advance(pop);
        begin_or_wait(pop, due);
    }
    return pop->next_due_ns;
}

void prober_pool_dispatch(struct prober_population *pop, uint64_t now_ns)
{
    if (pop->kind->standing)
        start_standing(pop, now_ns);
    if (!pop->dispatch)
        return;
    pop->dispatch = false;
    for (int i = 0; pop->queue.count > 0; i++) {
        if (i == STARTS_PER_TURN) {
            pop->dispatch = true;
            return;
        }
        if (!begin_waiting(pop))
            break;
    }
    if (!pop->running)
        wind_up(pop);
}

void prober_pool_expire(struct prober_population *pop, uint64_t now_ns)
{
    struct prober_queue *q = &pop->queue;
    uint64_t patience = pop->spec.timeout_ms * PROBER_NS_PER_MS;
    while (q->count > 0 && q->due_ns[q->first] + patience < now_ns)
        prober_record_unsent(pop, queue_pop(q), HIST_TIMEOUT);
}

void prober_pool_drop(struct prober_population *pop)
{
    while (pop->queue.count > 0)
        prober_record_unsent(pop, queue_pop(&pop->queue), HIST_ABANDONED);
}

struct prober_population *prober_pool_find(struct prober *p, const char *name)
{
    for (int i = 0; i < p->population_count; i++)
        if (strcmp(p->populations[i].spec.name, name) == 0)
            return &p->populations[i];
    return NULL;
}

void prober_pool_free(struct prober *p)
{
    prober_conn_bury(p);
    for (int i = 0; i < p->population_count; i++) {
        struct prober_population *pop = &p->populations[i];
        struct prober_conn *c;
        while ((c = TAILQ_FIRST(&pop->spare)) != NULL) {
            TAILQ_REMOVE(&pop->spare, c, link);
            free(c);
        }
        free(pop->queue.due_ns);
    }
    free(p->conns);
}

void prober_own_error(struct prober *p, const char *what, int error)
{
    enum { TOLD_MAX = 5, PERSISTENT_MS = 2000 };
    uint64_t now = hist_now_ns();
    if (p->own_errors++ < TOLD_MAX)
        fprintf(stderr,
                "mw-prober: %s failed: %s. This is the prober's own limit, no answer of the "
                "server; give it more --sources, descriptors (ulimit -n) or memory\n",
                what, strerror(error));
    if (p->own_errors_since_ns == 0)
        p->own_errors_since_ns = now;
    else if (now - p->own_errors_since_ns > PERSISTENT_MS * PROBER_NS_PER_MS)
        p->exit_code = 3;
}

/* The connection that was idle longest, if the server has not closed it in the meantime. */
static struct prober_conn *take_idle(struct prober_population *pop)
{
    struct prober_conn *c;
    while ((c = TAILQ_FIRST(&pop->idle)) != NULL)
        if (prober_conn_lives(c))
            return c;
    return NULL;
}

/* The request that has waited longest begins. False: there is no connection for it. */
static bool begin_waiting(struct prober_population *pop)
{
    struct prober_conn *c = take_idle(pop);
    if (c != NULL) {
        prober_exchange_prepare(c, queue_pop(&pop->queue));
        prober_exchange_start(c);
        return true;
    }
    if (pop->open >= pop->spec.clients || pop->kind->standing)
        return false;
    prober_conn_open(pop, queue_pop(&pop->queue));
    return true;
}

/* A stopped population keeps nothing that waits in vain: no idle connection when no request is to
 * come, and no request for standing clients when none of them is left, as they are not begun anew.
 * It is decided here, after the requests that wait have been given out: of several connections that
 * become idle in one turn each could think that the last such request will be its own. */
static void wind_up(struct prober_population *pop)
{
    struct prober_conn *c;
    if (pop->kind->standing && pop->open == 0)
        prober_pool_drop(pop);
    while (pop->queue.count == 0 && (c = take_idle(pop)) != NULL)
        prober_conn_close(c, HIST_CLOSE_CLIENT);
}

static void advance(struct prober_population *pop)
{
    pop->next_due_ns += pop->step_ns;
    pop->step_carry += pop->step_rest;
    if (pop->step_carry >= pop->step_divisor) {
        pop->step_carry -= pop->step_divisor;
        pop->next_due_ns++;
    }
}

static void begin_or_wait(struct prober_population *pop, uint64_t due_ns)
{
    struct prober_conn *c = pop->queue.count == 0 ? take_idle(pop) : NULL;
    if (c != NULL) {
        prober_exchange_prepare(c, due_ns);
        prober_exchange_start(c);
    } else if (pop->open < pop->spec.clients && pop->queue.count == 0 && !pop->kind->standing) {
        prober_conn_open(pop, due_ns);
    } else if (!queue_push(&pop->queue, due_ns)) {
        prober_own_error(pop->prober, "queueing a request", ENOMEM);
        prober_record_unsent(pop, due_ns, HIST_ABANDONED);
    }
}

/* Keeps `clients` connections open; a rate limits how fast they are begun. */
static void start_standing(struct prober_population *pop, uint64_t now_ns)
{
    bool ramp = !pop->kind->keeps && pop->spec.rate_milli > 0;
    uint64_t failed = pop->counts.ended - pop->counts.ok;
    if (pop->closed && pop->next_start_ns <= now_ns) {
        unsigned ms = failed != pop->failed_seen ? RESTART_FAILED_MS : RESTART_MS;
        pop->next_start_ns = now_ns + ms * PROBER_NS_PER_MS;
    }
    pop->closed = false;
    pop->failed_seen = failed;
    for (int i = 0; pop->running && pop->open < pop->spec.clients && i < STARTS_PER_TURN; i++) {
        if (pop->next_start_ns > now_ns || (ramp && pop->next_due_ns > now_ns))
            return;
        if (ramp && pop->next_due_ns + PROBER_NS_PER_S < now_ns)
            pop->next_due_ns = now_ns; /* time without need saves up no starts */
        if (ramp)
            advance(pop);
        prober_conn_open(pop, now_ns);
    }
}

static bool queue_push(struct prober_queue *q, uint64_t due_ns)
{
    if (q->count == q->room) {
        size_t room = q->room == 0 ? 1024 : q->room * 2;
        uint64_t *due = room <= QUEUE_MAX ? malloc(room * sizeof(*due)) : NULL;
        if (due == NULL)
            return false;
        for (size_t i = 0; i < q->count; i++)
            due[i] = q->due_ns[(q->first + i) % q->room];
        free(q->due_ns);
        *q = (struct prober_queue){.due_ns = due, .room = room, .count = q->count};
    }
    q->due_ns[(q->first + q->count++) % q->room] = due_ns;
    return true;
}

static uint64_t queue_pop(struct prober_queue *q)
{
    uint64_t due = q->due_ns[q->first];
    q->first = (q->first + 1) % q->room;
    q->count--;
    return due;
}
