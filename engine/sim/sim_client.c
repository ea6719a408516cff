/* The clients: open-loop populations, as mw-prober's. Arrivals do not wait for answers; each
 * request has a number of its own and ends in exactly one way; the history says what a client saw.
 */
#include <errno.h>
#include <string.h>

#include "engine/sim/sim.h"

enum { INDEX_BITS = 10 };
_Static_assert(SIM_CLIENTS_MAX == 1 << INDEX_BITS, "a client's number holds its index");
static const uint64_t patience_ns = 10 * SIM_SECOND;
static const uint64_t held_again_ns = 200 * SIM_MS;

static const enum hist_population kinds[SIM_POPULATIONS] = {
    [SIM_FRESH] = HIST_FRESH,   [SIM_POOLED] = HIST_POOLED, [SIM_POST] = HIST_POST,
    [SIM_LONG] = HIST_DOWNLOAD, [SIM_HELD] = HIST_HELD,
};

static void begin_request(struct sim *s, struct sim_client *c);
static void end_request(struct sim *s, struct sim_client *c, enum hist_outcome outcome);
static void close_client(struct sim *s, struct sim_client *c, enum hist_close how);

static struct hist_record about(const struct sim_client *c, enum hist_kind kind)
{
    return (struct hist_record){.kind = (uint16_t)kind,
                                .role = HIST_PROBER,
                                .slot = (int16_t)c->population,
                                .pid = 2,
                                .conn = c->number};
}

static uint32_t rate_of(const struct sim_plan *plan, unsigned population)
{
    const uint32_t rates[SIM_POPULATIONS] = {plan->fresh_rate, plan->pooled_rate, plan->post_rate,
                                             plan->long_rate, 0};
    return rates[population];
}

/* ---- connections ------------------------------------------------------------------------------
 */

static uint32_t index_of(const struct sim *s, const struct sim_client *c)
{
    return (uint32_t)(c - s->clients.at);
}

/* NULL: all are in use, which is more than any population asks for. */
static struct sim_client *new_client(struct sim *s)
{
    struct sim_clients *all = &s->clients;
    uint32_t i = all->free != 0 ? all->free - 1 : all->used;
    if (i == SIM_CLIENTS_MAX)
        return NULL;
    if (all->free != 0)
        all->free = all->at[i].next_free;
    else
        all->used++;
    memset(&all->at[i], 0, sizeof(all->at[i]));
    all->at[i].number = ++all->number << INDEX_BITS | i;
    return &all->at[i];
}

static void free_client(struct sim *s, struct sim_client *c)
{
    s->clients.open[c->population]--;
    c->state = CLIENT_FREE;
    c->number = 0;
    c->next_free = s->clients.free;
    s->clients.free = index_of(s, c) + 1;
}

static void arm(struct sim *s, struct sim_client *c, uint64_t at_ns)
{
    if (c->timer_ns != 0 && c->timer_ns <= at_ns)
        return;
    c->timer_ns = at_ns;
    kernel_outside(&s->kernel, at_ns, SIM_OUT_CLIENT, c->number);
}

static struct sim_client *connect_client(struct sim *s, unsigned population)
{
    struct sim_client *c = new_client(s);
    if (c == NULL)
        return NULL;
    c->state = CLIENT_CONNECTS;
    c->population = (uint8_t)population;
    c->connect_ns = s->kernel.now_ns;
    s->clients.open[population]++;
    struct hist_record r = about(c, HIST_CLIENT_CONNECT);
    sim_record(s, &r);
    c->connection = kernel_connect(&s->kernel, SIM_PORT, c->number);
    arm(s, c, s->kernel.now_ns + patience_ns);
    return c;
}

static void connected(struct sim *s, struct sim_client *c)
{
    struct hist_record r = about(c, HIST_CLIENT_CONNECTED);
    r.a = s->kernel.now_ns - c->connect_ns;
    sim_record(s, &r);
    c->state = CLIENT_IDLE;
    c->since_ns = s->kernel.now_ns;
    if (c->population == SIM_HELD) {
        struct kernel_segment part = {.kind = SEGMENT_PART};
        kernel_client_send(&s->kernel, c->connection, &part);
        r = about(c, HIST_CLIENT_HELD);
        r.a = s->clients.open[SIM_HELD];
        sim_record(s, &r);
    } else if (c->wants) {
        begin_request(s, c);
    }
}

/* It never came to be: its request, if it was made for one, ends with it. */
static void connect_failed(struct sim *s, struct sim_client *c, int error)
{
    struct hist_record r = about(c, HIST_CLIENT_CONNECT_FAILED);
    r.a = s->kernel.now_ns - c->connect_ns;
    r.b = (uint64_t)error;
    sim_record(s, &r);
    if (c->wants) {
        c->req_begun_ns = s->kernel.now_ns;
        r = about(c, HIST_CLIENT_REQUEST);
        r.req = c->req;
        r.flags = c->flags;
        r.a = c->due_ns;
        sim_record(s, &r);
        end_request(s, c, error == ECONNREFUSED ? HIST_REFUSED : HIST_CONNECT_TIMEOUT);
    }
    close_client(s, c, HIST_CLOSE_CLIENT);
}

static void close_client(struct sim *s, struct sim_client *c, enum hist_close how)
{
    bool waiting = c->state == CLIENT_IDLE || c->state == CLIENT_LEAVES;
    struct hist_record r = about(c, HIST_CLIENT_CLOSE);
    r.req = c->last_req;
    r.flags = (uint16_t)((c->announced ? HIST_BIT(HIST_F_ANNOUNCED) : 0) |
                         (waiting && c->requests > 0 ? HIST_BIT(HIST_F_ANSWERED) : 0));
    r.a = how;
    r.b = waiting ? s->kernel.now_ns - c->since_ns : 0;
    r.c = c->requests;
    sim_record(s, &r);
    kernel_client_close(&s->kernel, c->connection, false);
    if (c->population == SIM_HELD && !s->clients.stopped)
        kernel_outside(&s->kernel, s->kernel.now_ns + held_again_ns, SIM_OUT_ARRIVAL, SIM_HELD);
    free_client(s, c);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static void begin_request(struct sim *s, struct sim_client *c)
{
    bool post = c->population == SIM_POST;
    c->state = CLIENT_BUSY;
    c->wants = c->begun_answer = false;
    c->req_begun_ns = s->kernel.now_ns;
    c->last_req = c->req;
    c->flags = (uint16_t)((c->requests > 0 ? HIST_BIT(HIST_F_REUSED) : 0) |
                          (post ? HIST_BIT(HIST_F_UNSAFE) : 0));
    struct hist_record r = about(c, HIST_CLIENT_REQUEST);
    r.req = c->req;
    r.flags = c->flags;
    r.a = c->due_ns;
    r.b = post ? 100 : 0;
    r.c = c->requests;
    sim_record(s, &r);
    c->requests++;
    bool closes = c->population == SIM_FRESH || c->population == SIM_LONG;
    struct kernel_segment head = {
        .kind = SEGMENT_HEAD,
        .flags = (uint8_t)((closes ? SEGMENT_CLOSES : 0) | (post ? SEGMENT_UNSAFE : 0) |
                           (c->population == SIM_LONG ? SEGMENT_LONG : 0)),
        .bytes = post ? 100 : 0,
        .req = c->req,
    };
    kernel_client_send(&s->kernel, c->connection, &head);
    if (post) {
        struct kernel_segment body = {.kind = SEGMENT_BODY, .bytes = 100};
        kernel_client_send(&s->kernel, c->connection, &body);
    }
    r = about(c, HIST_CLIENT_SENT);
    r.req = c->req;
    sim_record(s, &r);
    arm(s, c, s->kernel.now_ns + patience_ns);
}

static void end_request(struct sim *s, struct sim_client *c, enum hist_outcome outcome)
{
    struct hist_record r = about(c, HIST_CLIENT_END);
    r.req = c->req;
    r.flags = c->flags;
    r.pid = outcome == HIST_OK || c->begun_answer ? c->last_pid : 0;
    r.gen = outcome == HIST_OK || c->begun_answer ? c->last_gen : 0;
    r.a = outcome;
    r.b = outcome == HIST_OK ? 200 | 64 << 16 : 0;
    r.c = s->kernel.now_ns - c->due_ns;
    sim_record(s, &r);
    s->clients.requests++;
    s->clients.failed += outcome != HIST_OK && outcome != HIST_ABANDONED;
    c->req = 0;
}

static struct sim_client *find_idle(struct sim *s, unsigned population)
{
    for (uint32_t i = 0; i < s->clients.used; i++)
        if (s->clients.at[i].state == CLIENT_IDLE && s->clients.at[i].population == population)
            return &s->clients.at[i];
    return NULL;
}

/* A pool of which all connections are at work takes nothing more on: what they wait for shows in
 * the requests under way. */
void sim_client_request(struct sim *s, unsigned population)
{
    bool pooled = population == SIM_POOLED || population == SIM_POST;
    struct sim_client *c = pooled ? find_idle(s, population) : NULL;
    bool idle = c != NULL;
    if (!idle && pooled && s->clients.open[population] >= s->plan.pool)
        return;
    if (!idle && s->clients.open[population] < SIM_CLIENTS_MAX / 4)
        c = connect_client(s, population);
    if (c == NULL)
        return;
    c->req = ++s->clients.req;
    c->due_ns = s->kernel.now_ns;
    c->wants = true;
    if (idle)
        begin_request(s, c);
}

void sim_client_arrival(struct sim *s, unsigned population)
{
    if (s->clients.stopped)
        return;
    if (population == SIM_HELD) {
        if (s->clients.open[SIM_HELD] < s->plan.held)
            connect_client(s, SIM_HELD);
        return;
    }
    if (!s->clients.paused)
        sim_client_request(s, population);
    uint64_t mean_ns = SIM_SECOND / rate_of(&s->plan, population);
    uint64_t next_ns = mean_ns / 2 + sim_random_below(&s->clients.random[population], mean_ns);
    kernel_outside(&s->kernel, s->kernel.now_ns + next_ns, SIM_OUT_ARRIVAL, population);
}

/* ---- what comes from the server ---------------------------------------------------------------
 */

static void data_came(struct sim *s, struct sim_client *c, const struct kernel_segment *segment)
{
    if (c->state != CLIENT_BUSY)
        return;
    if (segment->flags & SEGMENT_FIRST) {
        c->begun_answer = true;
        c->last_pid = segment->pid;
        c->last_gen = segment->gen;
        struct hist_record r = about(c, HIST_CLIENT_FIRST_BYTE);
        r.pid = segment->pid;
        r.gen = segment->gen;
        r.req = c->req;
        r.a = s->kernel.now_ns - c->due_ns;
        r.b = 200;
        r.c = (uint64_t)segment->slot + 1;
        sim_record(s, &r);
    }
    if (segment->flags & SEGMENT_MIXED)
        c->flags |= HIST_BIT(HIST_F_MIXED_GEN);
    if (!(segment->flags & SEGMENT_LAST))
        return;
    if (segment->flags & SEGMENT_CLOSES)
        c->flags |= HIST_BIT(HIST_F_ANNOUNCED);
    end_request(s, c, segment->req == c->last_req ? HIST_OK : HIST_WRONG_BODY);
    c->announced = segment->flags & SEGMENT_CLOSES;
    c->state = c->announced ? CLIENT_LEAVES : CLIENT_IDLE;
    c->since_ns = s->kernel.now_ns;
}

static void ended(struct sim *s, struct sim_client *c, bool reset)
{
    bool lost = c->state == CLIENT_BUSY;
    if (c->state == CLIENT_CONNECTS) {
        connect_failed(s, c, ECONNRESET);
        return;
    }
    if (lost && c->begun_answer)
        end_request(s, c, reset ? HIST_RESET_MID : HIST_TRUNCATED);
    else if (lost)
        end_request(s, c, reset ? HIST_RESET_BEFORE : HIST_EOF_BEFORE);
    if (reset)
        close_client(s, c, lost ? HIST_CLOSE_RESET_LOST : HIST_CLOSE_RESET);
    else if (lost)
        close_client(s, c, HIST_CLOSE_LOST);
    else
        close_client(s, c, c->announced ? HIST_CLOSE_ANNOUNCED : HIST_CLOSE_SILENT);
}

void sim_client_event(struct sim *s, uint32_t client, enum kernel_client_event event,
                      const struct kernel_segment *segment)
{
    struct sim_client *c = &s->clients.at[client & (SIM_CLIENTS_MAX - 1)];
    if (c->number != client || c->state == CLIENT_FREE)
        return;
    switch (event) {
    case CLIENT_CONNECTED:
        connected(s, c);
        break;
    case CLIENT_REFUSED:
        connect_failed(s, c, ECONNREFUSED);
        break;
    case CLIENT_DATA:
        data_came(s, c, segment);
        break;
    case CLIENT_EOF:
    case CLIENT_RESET:
        ended(s, c, event == CLIENT_RESET);
        break;
    }
}

/* ---- patience ---------------------------------------------------------------------------------
 */

void sim_client_timer(struct sim *s, uint32_t client)
{
    struct sim_client *c = &s->clients.at[client & (SIM_CLIENTS_MAX - 1)];
    uint64_t now_ns = s->kernel.now_ns;
    if (c->number != client || c->state == CLIENT_FREE || c->timer_ns > now_ns)
        return;
    c->timer_ns = 0;
    if (c->state == CLIENT_CONNECTS) {
        connect_failed(s, c, ETIMEDOUT);
    } else if (c->state == CLIENT_LEAVES && now_ns - c->since_ns >= patience_ns) {
        close_client(s, c, HIST_CLOSE_CLIENT);
    } else if (c->state == CLIENT_BUSY && now_ns - c->req_begun_ns >= patience_ns) {
        end_request(s, c, HIST_TIMEOUT);
        close_client(s, c, HIST_CLOSE_CLIENT);
    } else if (c->state == CLIENT_BUSY) {
        arm(s, c, c->req_begun_ns + patience_ns);
    } else if (c->state == CLIENT_LEAVES) {
        arm(s, c, c->since_ns + patience_ns);
    }
}

/* ---- beginning and end ------------------------------------------------------------------------
 */

void sim_clients_start(struct sim *s)
{
    for (unsigned p = 0; p < SIM_POPULATIONS; p++) {
        bool used = p == SIM_HELD ? s->plan.held > 0 : rate_of(&s->plan, p) > 0;
        s->clients.random[p] = sim_random_stream(s->plan.seed, 1000 + p);
        if (!used)
            continue;
        sim_record(s, &(struct hist_record){.kind = HIST_CLIENT_POPULATION,
                                            .role = HIST_PROBER,
                                            .slot = (int16_t)p,
                                            .pid = 2,
                                            .a = kinds[p],
                                            .b = rate_of(&s->plan, p) * 1000u,
                                            .c = s->plan.pool});
        uint32_t first = p == SIM_HELD ? s->plan.held : 1;
        for (uint32_t i = 0; i < first; i++)
            kernel_outside(&s->kernel, s->kernel.now_ns + (i + 1) * SIM_MS, SIM_OUT_ARRIVAL, p);
    }
}

void sim_clients_close_held(struct sim *s)
{
    s->plan.held = 0;
    for (uint32_t i = 0; i < s->clients.used; i++)
        if (s->clients.at[i].state == CLIENT_IDLE && s->clients.at[i].population == SIM_HELD)
            close_client(s, &s->clients.at[i], HIST_CLOSE_CLIENT);
}

/* Whoever still waits gives up; every request that was begun has ended. */
void sim_clients_stop(struct sim *s)
{
    s->clients.stopped = true;
    for (uint32_t i = 0; i < s->clients.used; i++) {
        struct sim_client *c = &s->clients.at[i];
        if (c->state == CLIENT_FREE)
            continue;
        if (c->state == CLIENT_BUSY)
            end_request(s, c, HIST_ABANDONED);
        close_client(s, c, HIST_CLOSE_CLIENT);
    }
    sim_record(s, &(struct hist_record){.kind = HIST_CLIENT_DONE,
                                        .role = HIST_PROBER,
                                        .slot = -1,
                                        .pid = 2,
                                        .a = s->clients.requests,
                                        .b = s->clients.failed});
}
