/* The judge's memory: follows processes, connections, requests and the story's own record.
 *
 * Witnesses may be absent and records may be missing or odd: nothing here aborts on a history.
 * Two witnesses may tell the same thing (mw-watch and the engine's trace); the first one counts. */
#include "scenarios/judge/world.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "scenarios/judge/table.h"
#include "scenarios/judge/world_tables.h"

enum {
    TABLE_LIMIT = 1 << 18,        /* connections, and requests, followed at once */
    RACE_NS = 100000000,          /* a race ends at once; what waits longer was not read */
    EARLY_ACCEPT_NS = 1000000000, /* the server may tell of a connection before its client does */
};

static void take_client(struct world *w, const struct hist_record *r);
static void take_director(struct world *w, const struct hist_record *r);
static void take_engine_traffic(struct world *w, const struct hist_record *r);
static void forget_ended(struct world *w);

void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->tables = calloc(1, sizeof(*w->tables));
    if (w->tables == NULL)
        abort();
    table_init(&w->tables->connections, sizeof(struct world_connection), TABLE_LIMIT);
    table_init(&w->tables->requests, sizeof(struct world_request), TABLE_LIMIT);
    table_init(&w->tables->pids, sizeof(uint32_t), TABLE_LIMIT);
}

void world_release(struct world *w)
{
    table_release(&w->tables->connections);
    table_release(&w->tables->requests);
    table_release(&w->tables->pids);
    free(w->tables->processes);
    free(w->tables);
    w->tables = NULL;
}

void world_take(struct world *w, const struct hist_record *r)
{
    forget_ended(w);
    if (r->t_ns > w->now_ns)
        w->now_ns = r->t_ns;
    if (r->kind >= HIST_CLIENT_POPULATION && r->kind <= HIST_CLIENT_DONE)
        take_client(w, r);
    else if (r->kind >= HIST_WATCH_ROOT && r->kind <= HIST_WATCH_DONE)
        world_take_process(w, r);
    else if (r->kind >= HIST_DIRECTOR_PARAM && r->kind <= HIST_DIRECTOR_END)
        take_director(w, r);
    else if (r->kind >= HIST_ENGINE_ACCEPT && r->kind <= HIST_ENGINE_CLOSE)
        take_engine_traffic(w, r);
    else if (r->kind < HIST_KIND_COUNT)
        world_take_process(w, r);
    world_take_cause(w, r);
}

/* What ended with the record before this one. */
static void forget_ended(struct world *w)
{
    struct world_tables *t = w->tables;
    if (t->ended_request != 0)
        table_remove(&t->requests, t->ended_request);
    if (t->ended_connection != 0)
        table_remove(&t->connections, t->ended_connection);
    t->ended_request = t->ended_connection = 0;
}

/* ---- clients -------------------------------------------------------------------------------- */

static struct world_connection *connection_find(const struct world *w, uint64_t conn)
{
    return table_find(&w->tables->connections, conn);
}

static struct world_request *request_find(const struct world *w, uint64_t req)
{
    return table_find(&w->tables->requests, req);
}

static void take_population(struct world *w, const struct hist_record *r)
{
    if (r->slot < 0 || r->slot >= WORLD_POPULATIONS_MAX)
        return;
    struct world_population *p = &w->populations[r->slot];
    if (r->kind == HIST_CLIENT_HELD) {
        p->held = r->a;
        return;
    }
    p->known = true;
    p->kind = r->a < HIST_POPULATION_COUNT ? (enum hist_population)r->a : HIST_FRESH;
    p->proxied = r->flags & HIST_BIT(HIST_F_PROXIED);
    p->rate_milli = r->b;
    p->clients = r->c;
}

static void take_connect(struct world *w, const struct hist_record *r)
{
    struct world_connection *c = table_add(&w->tables->connections, r->conn);
    if (c == NULL)
        return;
    /* The number is used again, and the close of the one before was not told; or the server told
     * of this one first. */
    bool early =
        c->connect_ns == 0 && c->accepted_ns != 0 && w->now_ns - c->accepted_ns < EARLY_ACCEPT_NS;
    struct world_connection fresh = {.conn = r->conn};
    if (early) {
        fresh.accepted_ns = c->accepted_ns;
        fresh.server_pid = c->server_pid;
    }
    *c = fresh;
    c->population = r->slot;
    c->connect_ns = r->t_ns;
}

static void take_request(struct world *w, const struct hist_record *r)
{
    struct world_request *q = table_add(&w->tables->requests, r->req);
    if (q != NULL) {
        *q = (struct world_request){.req = r->req, .begun = *r};
    }
    struct world_connection *c = connection_find(w, r->conn);
    if (c != NULL) {
        c->last_request_ns = r->t_ns;
        c->requests++;
    }
}

static void take_first_byte(struct world *w, const struct hist_record *r)
{
    struct world_request *q = request_find(w, r->req);
    struct world_connection *c = connection_find(w, r->conn);
    if (q != NULL)
        q->first_byte_ns = r->t_ns;
    if (c != NULL) {
        c->last_answer_ns = r->t_ns;
        if (r->pid != 0)
            c->server_pid = r->pid;
        if (r->gen > c->newest_gen)
            c->newest_gen = r->gen;
    }
    if (r->pid != 0)
        world_answered(w, r);
}

static void take_client(struct world *w, const struct hist_record *r)
{
    struct world_connection *c;
    struct world_request *q;
    switch (r->kind) {
    case HIST_CLIENT_POPULATION:
    case HIST_CLIENT_HELD:
        take_population(w, r);
        break;
    case HIST_CLIENT_CONNECT:
        take_connect(w, r);
        break;
    case HIST_CLIENT_CONNECTED:
        if ((c = connection_find(w, r->conn)) != NULL)
            c->connected_ns = r->t_ns;
        break;
    case HIST_CLIENT_REQUEST:
        take_request(w, r);
        break;
    case HIST_CLIENT_SENT:
        if ((q = request_find(w, r->req)) != NULL)
            q->sent_ns = r->t_ns;
        break;
    case HIST_CLIENT_FIRST_BYTE:
        take_first_byte(w, r);
        break;
    case HIST_CLIENT_END:
        if ((c = connection_find(w, r->conn)) != NULL)
            c->last_end_ns = r->t_ns;
        w->tables->ended_request = r->req;
        break;
    case HIST_CLIENT_CLOSE:
        w->tables->ended_connection = r->conn;
        break;
    case HIST_CLIENT_LAG:
        if (r->a > w->max_lag_ns)
            w->max_lag_ns = r->a;
        break;
    default:
        break;
    }
}

/* ---- the engine's traffic ------------------------------------------------------------------- */

static void take_accept(struct world *w, const struct hist_record *r)
{
    struct world_connection *c = table_add(&w->tables->connections, r->conn);
    if (c == NULL)
        return;
    c->conn = r->conn;
    c->accepted_ns = r->t_ns;
    c->server_pid = r->pid;
    c->closed_by_server = (struct hist_record){0};
}

static void take_engine_close(struct world *w, const struct hist_record *r)
{
    struct world_connection *c = connection_find(w, r->conn);
    /* Without an accept it is about an earlier connection of the same number. */
    if (c == NULL || c->accepted_ns == 0)
        return;
    c->closed_by_server = *r;
    if (c->connect_ns == 0)
        w->tables->ended_connection = r->conn;
}

static void take_engine_traffic(struct world *w, const struct hist_record *r)
{
    struct world_request *q = request_find(w, r->req);
    switch (r->kind) {
    case HIST_ENGINE_ACCEPT:
        take_accept(w, r);
        break;
    case HIST_ENGINE_REQUEST:
        if (q != NULL && q->executed.kind == HIST_NONE)
            q->executed = *r;
        break;
    case HIST_ENGINE_RESPONSE:
        if (q != NULL && q->responded.kind == HIST_NONE)
            q->responded = *r;
        break;
    case HIST_ENGINE_CLOSE:
        take_engine_close(w, r);
        break;
    default:
        world_take_process(w, r);
        break;
    }
}

/* ---- the director --------------------------------------------------------------------------- */

static void take_ready(struct world *w, const struct hist_record *r)
{
    w->ready_ns = r->t_ns;
    w->stop_ns = w->stopped_ns = 0;
    w->stop_graceful = w->master_killed = false;
    if (r->gen != 0)
        w->config_current = r->gen;
    if (r->pid != 0 && w->master_pid == 0)
        w->master_pid = r->pid;
}

static void take_reloaded(struct world *w, const struct hist_record *r)
{
    w->last_reloaded = *r;
    w->reload_ended_ns = r->t_ns;
    if (r->a == HIST_REPORT_OK) {
        w->reloads_ok++;
        w->config_current = r->gen;
    } else if (r->a == HIST_REPORT_REFUSED) {
        w->reloads_refused++;
    } else if (r->a == HIST_REPORT_UNDONE) {
        w->reloads_undone++;
    }
}

static void take_reload(struct world *w, const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_DIRECTOR_CONFIG:
        w->config_latest = r->gen;
        w->config_latest_valid = r->a == 1;
        break;
    case HIST_DIRECTOR_RELOAD:
        w->last_reload = *r;
        w->reload_begun_ns = w->disturbed_ns = r->t_ns;
        w->reload_ended_ns = 0;
        w->reloads_asked++;
        break;
    case HIST_DIRECTOR_RELOADED:
        take_reloaded(w, r);
        break;
    default:
        w->config_current = r->gen > w->config_current ? r->gen : w->config_current;
        if (w->reload_ended_ns == 0)
            w->reload_ended_ns = r->t_ns;
        break;
    }
}

static void take_director(struct world *w, const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_DIRECTOR_PARAM:
        if (r->a < HIST_PARAM_COUNT) {
            w->param[r->a] = r->b;
            w->param_known[r->a] = r->b != 0;
        }
        break;
    case HIST_DIRECTOR_BEGIN:
        w->begin_ns = r->t_ns;
        break;
    case HIST_DIRECTOR_READY:
        take_ready(w, r);
        break;
    case HIST_DIRECTOR_PHASE:
        w->phase = r->a < HIST_PHASE_COUNT ? (enum hist_phase)r->a : w->phase;
        w->phase_ns = r->t_ns;
        break;
    case HIST_DIRECTOR_CONFIG:
    case HIST_DIRECTOR_RELOAD:
    case HIST_DIRECTOR_RELOADED:
    case HIST_DIRECTOR_CUT_OVER:
        take_reload(w, r);
        break;
    case HIST_DIRECTOR_STOP:
        if (w->stop_ns == 0)
            w->stop_ns = r->t_ns;
        w->stop_graceful = r->a == 1;
        w->master_killed = w->master_killed || r->a == 2;
        break;
    case HIST_DIRECTOR_STOPPED:
        w->stopped_ns = r->t_ns;
        break;
    case HIST_DIRECTOR_END:
        w->end_ns = r->t_ns;
        break;
    default:
        world_take_process(w, r);
        break;
    }
}

/* ---- questions ------------------------------------------------------------------------------ */

const struct world_request *world_request(const struct world *w, uint64_t req)
{
    return request_find(w, req);
}

const struct world_connection *world_connection(const struct world *w, uint64_t conn)
{
    return connection_find(w, conn);
}

bool world_population_counts(const struct world *w, int16_t index)
{
    if (index < 0 || index >= WORLD_POPULATIONS_MAX || !w->populations[index].known)
        return true;
    return w->populations[index].kind != HIST_ABUSIVE;
}

bool world_backend_fails(const struct world *w, int16_t index)
{
    return index >= 0 && index < WORLD_POPULATIONS_MAX && w->populations[index].proxied &&
           world_param(w, HIST_P_BACKEND_TROUBLE, 0) != 0;
}

uint64_t world_param(const struct world *w, enum hist_param p, uint64_t otherwise)
{
    return w->param_known[p] ? w->param[p] : otherwise;
}

bool world_idle_race(const struct world *w, const struct hist_record *end)
{
    const struct world_request *q = request_find(w, end->req);
    const struct world_connection *c = connection_find(w, end->conn);
    if ((end->flags & HIST_BIT(HIST_F_REUSED)) == 0 || q == NULL || q->executed.kind != HIST_NONE)
        return false;
    if (end->a != HIST_EOF_BEFORE && end->a != HIST_RESET_BEFORE)
        return false;
    /* With an answer since it was sent, another request was under way: not idle. */
    if (c != NULL && c->last_answer_ns >= q->begun.t_ns)
        return false;
    return end->t_ns - q->begun.t_ns < RACE_NS ||
           world_lagged(w, q->begun.t_ns, end->t_ns, RACE_NS / 2);
}
