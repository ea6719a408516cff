/* The clients: open-loop populations, as mw-prober's. Arrivals do not wait for answers; each
 * request has a number of its own and ends in exactly one way; the history says what a client saw.
 */
#include <errno.h>
#include <string.h>

#include "engine/sim/sim.h"

enum { INDEX_BITS = 10 };
_Static_assert(SIM_CLIENTS_MAX == 1 << INDEX_BITS, "a client's number holds its index");
static const uint64_t patience_ns = 10 * SIM_SECOND;
static const uint64_t held_again_ns = 200 * SIM_MS, again_ns = 10 * SIM_MS;
static const uint64_t piece_ns = 20 * SIM_MS; /* between two parts of a body sent slowly */

static void begin_request(struct sim *s, struct sim_client *c);
static void end_request(struct sim *s, struct sim_client *c, enum hist_outcome outcome);
static void close_client(struct sim *s, struct sim_client *c, enum hist_close how);

static struct hist_record about(const struct sim_client *c, enum hist_kind kind)
{
    return (struct hist_record){
        .kind = (uint16_t)kind, .role = HIST_PROBER, .slot = c->load, .pid = 2, .conn = c->number};
}

static const struct sim_load *load_of(const struct sim *s, const struct sim_client *c)
{
    return &s->plan.loads[c->load];
}

static enum hist_population kind_of(const struct sim *s, const struct sim_client *c)
{
    return (enum hist_population)load_of(s, c)->kind;
}

static bool is_pool(const struct sim_load *load)
{
    return load->kind == HIST_POOLED || load->kind == HIST_POST;
}

static uint64_t patience(const struct sim *s, const struct sim_client *c)
{
    uint32_t ms = load_of(s, c)->timeout_ms;
    return ms > 0 ? ms * SIM_MS : patience_ns;
}

static void arrive(struct sim *s, unsigned load, uint64_t after_ns)
{
    kernel_outside(&s->kernel, s->kernel.now_ns + after_ns, SIM_OUT_ARRIVAL,
                   load | (uint32_t)s->clients.loads[load].turn << 8);
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
    s->clients.loads[c->load].open--;
    s->clients.loads[c->load].established -= c->state != CLIENT_CONNECTS;
    c->state = CLIENT_FREE;
    c->number = 0;
    c->next_free = s->clients.free;
    s->clients.free = index_of(s, c) + 1;
}

static void set_timer(struct sim *s, uint64_t at_ns)
{
    if (s->clients.timer_ns != 0 && s->clients.timer_ns <= at_ns)
        return;
    s->clients.timer_ns = at_ns;
    kernel_outside(&s->kernel, at_ns, SIM_OUT_CLIENT, 0);
}

/* Who is to be looked after sooner already, is so; what there is to do then is seen then. */
static void arm(struct sim *s, struct sim_client *c, uint64_t at_ns)
{
    if (c->due_at_ns != 0 && c->due_at_ns <= at_ns)
        return;
    c->due_at_ns = at_ns;
    set_timer(s, at_ns);
}

static struct sim_client *connect_client(struct sim *s, unsigned load)
{
    struct sim_client *c = new_client(s);
    if (c == NULL)
        return NULL;
    c->state = CLIENT_CONNECTS;
    c->load = (uint8_t)load;
    c->connect_ns = s->kernel.now_ns;
    s->clients.loads[load].open++;
    struct hist_record r = about(c, HIST_CLIENT_CONNECT);
    sim_record(s, &r);
    c->connection = kernel_connect(&s->kernel, SIM_PORT, c->number);
    arm(s, c, s->kernel.now_ns + patience(s, c));
    return c;
}

static void connected(struct sim *s, struct sim_client *c)
{
    struct hist_record r = about(c, HIST_CLIENT_CONNECTED);
    r.a = s->kernel.now_ns - c->connect_ns;
    sim_record(s, &r);
    c->state = CLIENT_IDLE;
    c->since_ns = s->kernel.now_ns;
    s->clients.loads[c->load].established++;
    if (kind_of(s, c) == HIST_HELD) {
        struct kernel_segment part = {.kind = SEGMENT_PART};
        kernel_client_send(&s->kernel, c->connection, &part);
        r = about(c, HIST_CLIENT_HELD);
        r.a = s->clients.loads[c->load].open;
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
        s->clients.loads[c->load].requests++;
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
    /* Where a backend refuses, its clients are told at once, and would be back at once. */
    bool waits = kind_of(s, c) == HIST_HELD || load_of(s, c)->proxied;
    if (load_of(s, c)->rate_milli == 0 && s->clients.loads[c->load].runs)
        arrive(s, c->load, waits ? held_again_ns : again_ns);
    free_client(s, c);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

/* One that says so beforehand asks for no other on its connection. */
static bool closes(enum hist_population kind)
{
    return kind != HIST_POOLED && kind != HIST_POST && kind != HIST_IDLE;
}

static bool has_body(enum hist_population kind)
{
    return kind == HIST_POST || kind == HIST_UPLOAD;
}

/* A body that takes its time goes in pieces. */
static void send_piece(struct sim *s, struct sim_client *c)
{
    const struct sim_load *load = load_of(s, c);
    uint64_t pieces = 1 + load->spread_ms * SIM_MS / piece_ns;
    uint32_t most = (uint32_t)(load->body_bytes / pieces) + 1;
    uint32_t bytes = c->body_left < most ? c->body_left : most;
    struct kernel_segment body = {.kind = SEGMENT_BODY, .bytes = bytes};
    c->body_left -= bytes;
    kernel_client_send(&s->kernel, c->connection, &body);
    if (c->body_left > 0) {
        arm(s, c, s->kernel.now_ns + piece_ns);
        return;
    }
    struct hist_record r = about(c, HIST_CLIENT_SENT);
    r.req = c->req;
    sim_record(s, &r);
}

static void send_request(struct sim *s, struct sim_client *c)
{
    const struct sim_load *load = load_of(s, c);
    enum hist_population kind = kind_of(s, c);
    bool body = has_body(kind), slow = kind == HIST_DOWNLOAD || kind == HIST_STREAM;
    struct kernel_segment head = {
        .kind = SEGMENT_HEAD,
        .flags = (uint8_t)((closes(kind) ? SEGMENT_CLOSES : 0) | (body ? SEGMENT_UNSAFE : 0) |
                           (slow ? SEGMENT_LONG : 0) | (load->proxied ? SEGMENT_PROXIED : 0)),
        .bytes = body ? load->body_bytes : 0,
        .service_us = load->service_us,
        .spread_ms = load->spread_ms,
        .req = c->req,
    };
    kernel_client_send(&s->kernel, c->connection, &head);
    c->body_left = head.bytes;
    if (body) {
        send_piece(s, c);
        return;
    }
    struct hist_record r = about(c, HIST_CLIENT_SENT);
    r.req = c->req;
    sim_record(s, &r);
}

static void begin_request(struct sim *s, struct sim_client *c)
{
    bool body = has_body(kind_of(s, c));
    c->state = CLIENT_BUSY;
    c->wants = c->begun_answer = false;
    c->req_begun_ns = s->kernel.now_ns;
    c->last_req = c->req;
    c->flags = (uint16_t)((c->requests > 0 ? HIST_BIT(HIST_F_REUSED) : 0) |
                          (body ? HIST_BIT(HIST_F_UNSAFE) : 0));
    struct hist_record r = about(c, HIST_CLIENT_REQUEST);
    r.req = c->req;
    r.flags = c->flags;
    r.a = c->due_ns;
    r.b = body ? load_of(s, c)->body_bytes : 0;
    r.c = c->requests;
    sim_record(s, &r);
    c->requests++;
    s->clients.loads[c->load].requests++;
    send_request(s, c);
    arm(s, c, s->kernel.now_ns + patience(s, c));
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
    s->clients.loads[c->load].ended[outcome]++;
    s->clients.requests++;
    s->clients.failed += outcome != HIST_OK && outcome != HIST_ABANDONED;
    c->req = 0;
}

static struct sim_client *find_idle(struct sim *s, unsigned load)
{
    for (uint32_t i = 0; i < s->clients.used; i++)
        if (s->clients.at[i].state == CLIENT_IDLE && s->clients.at[i].load == load)
            return &s->clients.at[i];
    return NULL;
}

/* A pool of which all connections are at work takes nothing more on: what they wait for shows in
 * the requests under way. */
void sim_client_request(struct sim *s, unsigned load)
{
    bool pool = is_pool(&s->plan.loads[load]);
    struct sim_client *c = pool ? find_idle(s, load) : NULL;
    bool idle = c != NULL;
    if (!idle && pool && s->clients.loads[load].open >= s->plan.loads[load].clients)
        return;
    if (!idle && s->clients.loads[load].open < SIM_CLIENTS_MAX / 4)
        c = connect_client(s, load);
    if (c == NULL)
        return;
    c->req = ++s->clients.req;
    c->due_ns = s->kernel.now_ns;
    c->wants = true;
    if (idle)
        begin_request(s, c);
}

/* packed: load | turn << 8. A load without a rate has one client for each arrival. */
void sim_client_arrival(struct sim *s, uint32_t packed)
{
    unsigned load = packed & 0xff;
    struct sim_load_state *state = &s->clients.loads[load];
    if (!state->runs || state->turn != packed >> 8)
        return;
    if (state->rate_milli == 0) {
        if (s->plan.loads[load].kind == HIST_HELD && state->open < s->plan.loads[load].clients)
            connect_client(s, load);
        else if (s->plan.loads[load].kind != HIST_HELD)
            sim_client_request(s, load);
        return;
    }
    if (!s->clients.paused)
        sim_client_request(s, load);
    uint64_t mean_ns = 1000 * SIM_SECOND / state->rate_milli;
    arrive(s, load, mean_ns / 2 + sim_random_below(&state->random, mean_ns));
}

/* ---- what comes from the server ---------------------------------------------------------------
 */

static void note_answer(struct sim *s, uint32_t pid)
{
    int process = s->plan.story ? kernel_find(&s->kernel, pid) : 0;
    if (process > 0)
        s->workers[process].answers++;
}

static void data_came(struct sim *s, struct sim_client *c, const struct kernel_segment *segment)
{
    if (c->state != CLIENT_BUSY)
        return;
    if (segment->flags & SEGMENT_FIRST) {
        c->begun_answer = true;
        c->last_pid = segment->pid;
        c->last_gen = segment->gen;
        note_answer(s, segment->pid);
        if (segment->gen > s->clients.loads[c->load].newest_gen)
            s->clients.loads[c->load].newest_gen = segment->gen;
        struct hist_record r = about(c, HIST_CLIENT_FIRST_BYTE);
        r.pid = segment->pid;
        r.gen = segment->gen;
        r.req = c->req;
        r.a = s->kernel.now_ns - c->due_ns;
        r.b = segment->bytes;
        r.c = (uint64_t)segment->slot + 1;
        sim_record(s, &r);
    }
    if (segment->flags & SEGMENT_MIXED)
        c->flags |= HIST_BIT(HIST_F_MIXED_GEN);
    if (!(segment->flags & SEGMENT_LAST))
        return;
    if (segment->flags & SEGMENT_CLOSES)
        c->flags |= HIST_BIT(HIST_F_ANNOUNCED);
    end_request(s, c,
                segment->bytes >= 500         ? HIST_SERVER_ERROR
                : segment->req == c->last_req ? HIST_OK
                                              : HIST_WRONG_BODY);
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

static void look_after(struct sim *s, struct sim_client *c)
{
    uint64_t now_ns = s->kernel.now_ns;
    c->due_at_ns = 0;
    if (c->state == CLIENT_CONNECTS) {
        connect_failed(s, c, ETIMEDOUT);
    } else if (c->state == CLIENT_LEAVES && now_ns - c->since_ns >= patience(s, c)) {
        close_client(s, c, HIST_CLOSE_CLIENT);
    } else if (c->state == CLIENT_BUSY && now_ns - c->req_begun_ns >= patience(s, c)) {
        end_request(s, c, HIST_TIMEOUT);
        close_client(s, c, HIST_CLOSE_CLIENT);
    } else if (c->state == CLIENT_BUSY) {
        if (c->body_left > 0)
            send_piece(s, c);
        arm(s, c, c->req_begun_ns + patience(s, c));
    } else if (c->state == CLIENT_LEAVES) {
        arm(s, c, c->since_ns + patience(s, c));
    }
}

/* Hardly anybody's patience ends, so one timer serves all. */
void sim_clients_timer(struct sim *s)
{
    uint64_t next_ns = KERNEL_NEVER_NS;
    if (s->clients.timer_ns != s->kernel.now_ns)
        return; /* a nearer one has replaced it */
    s->clients.timer_ns = 0;
    for (uint32_t i = 0; i < s->clients.used; i++) {
        struct sim_client *c = &s->clients.at[i];
        if (c->state != CLIENT_FREE && c->due_at_ns != 0 && c->due_at_ns <= s->kernel.now_ns)
            look_after(s, c);
        if (c->state != CLIENT_FREE && c->due_at_ns != 0 && c->due_at_ns < next_ns)
            next_ns = c->due_at_ns;
    }
    if (next_ns != KERNEL_NEVER_NS)
        set_timer(s, next_ns);
}

/* ---- beginning and end ------------------------------------------------------------------------
 */

void sim_load_start(struct sim *s, unsigned load)
{
    const struct sim_load *l = &s->plan.loads[load];
    struct sim_load_state *state = &s->clients.loads[load];
    if (state->runs || s->clients.stopped)
        return;
    state->runs = true;
    state->turn++;
    uint32_t first = state->rate_milli == 0 ? l->clients : 1;
    for (uint32_t i = 0; i < first; i++)
        arrive(s, load, (i + 1) * SIM_MS);
}

/* Nothing new; what is under way finishes, and held connections are let go. */
void sim_load_stop(struct sim *s, unsigned load)
{
    s->clients.loads[load].runs = false;
    for (uint32_t i = 0; i < s->clients.used; i++) {
        struct sim_client *c = &s->clients.at[i];
        if (c->state == CLIENT_IDLE && c->load == load)
            close_client(s, c, HIST_CLOSE_CLIENT);
    }
}

void sim_load_rate(struct sim *s, unsigned load, uint32_t rate_milli)
{
    struct sim_load_state *state = &s->clients.loads[load];
    bool ran = state->runs;
    state->rate_milli = rate_milli;
    state->runs = false;
    if (ran && rate_milli > 0)
        sim_load_start(s, load);
}

void sim_clients_start(struct sim *s)
{
    for (unsigned i = 0; i < s->plan.load_count; i++) {
        const struct sim_load *load = &s->plan.loads[i];
        s->clients.loads[i].random = sim_random_stream(s->plan.seed, 1000 + load->kind);
        s->clients.loads[i].rate_milli = load->rate_milli;
        sim_record(s, &(struct hist_record){.kind = HIST_CLIENT_POPULATION,
                                            .role = HIST_PROBER,
                                            .slot = (int16_t)i,
                                            .flags = load->proxied ? HIST_BIT(HIST_F_PROXIED) : 0,
                                            .pid = 2,
                                            .a = load->kind,
                                            .b = load->rate_milli,
                                            .c = load->clients});
        if (!load->paused)
            sim_load_start(s, i);
    }
}

void sim_clients_close_held(struct sim *s)
{
    for (unsigned i = 0; i < s->plan.load_count; i++)
        if (s->plan.loads[i].kind == HIST_HELD)
            sim_load_stop(s, i);
}

/* Whoever still waits gives up; every request that was begun has ended. */
void sim_clients_stop(struct sim *s)
{
    s->clients.stopped = true;
    for (unsigned i = 0; i < s->plan.load_count; i++)
        s->clients.loads[i].runs = false;
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
