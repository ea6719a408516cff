/* The life of a connection to a server, and the idle ones that wait for another request. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "engine/os/clock.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_upstream.h"

#define UPLINK_OF(pointer)                                                                         \
    ((struct uplink *)(void *)((char *)(pointer)-offsetof(struct uplink, link)))

/* ---- watching and waiting -------------------------------------------------------------------- */

static void uplink_on_io(struct ev_loop *loop, ev_io *io, int revents)
{
    struct uplink *u = io->data;
    (void)loop;
    if (u->state != UPLINK_IDLE)
        upstream_happen(u, revents);
    else if (u->tls == NULL ||
             uplink_recv(u, u->worker->scratch, sizeof u->worker->scratch) != -EAGAIN)
        uplink_close(u); /* the server has closed it, or says what nobody asked for */
}

void uplink_watch(struct uplink *u, int events)
{
    if (u->events == events)
        return;
    ev_io_stop(u->worker->loop, &u->io);
    u->events = (uint8_t)events;
    ev_io_modify(&u->io, events);
    if (events != 0)
        ev_io_start(u->worker->loop, &u->io);
    if ((events & EV_READ) && uplink_pending(u))
        ev_feed_event(u->worker->loop, &u->io, EV_READ);
}

static void uplink_arm(struct uplink *u)
{
    struct worker *w = u->worker;
    if (u->due_ns == UINT64_MAX || (u->timer_ns != 0 && u->timer_ns <= u->due_ns))
        return; /* a timer that comes too early is left alone, and looks again */
    ev_timer_stop(w->loop, &u->timer);
    ev_timer_set(&u->timer, clock_ev_delay(u->due_ns, w->site.now_ns), 0.);
    ev_timer_start(w->loop, &u->timer);
    u->timer_ns = u->due_ns;
}

static void uplink_on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct uplink *u = timer->data;
    (void)loop;
    (void)revents;
    u->timer_ns = 0;
    if (u->worker->site.now_ns < u->due_ns)
        uplink_arm(u);
    else if (u->state == UPLINK_IDLE)
        uplink_close(u);
    else
        upstream_time_out(u);
}

void uplink_wait(struct uplink *u, uint64_t timeout_ns)
{
    u->due_ns = timeout_ns == 0 ? UINT64_MAX : u->worker->site.now_ns + timeout_ns;
    uplink_arm(u);
}

/* ---- idle ones ------------------------------------------------------------------------------- */

/* The group's own list; NULL: a group for one request only. */
static struct uplink_pool *pool_of(struct worker *w, const struct peers *peers)
{
    const struct conf_upstream *conf = peers->conf;
    const struct conf *all = w->args->conf;
    if (conf->index >= all->upstream_count || all->upstreams[conf->index] != conf)
        return NULL;
    return &w->uplink_pools[conf->index];
}

struct uplink *uplink_reuse(struct worker *w, struct peers *peers, int server,
                            const struct conf_proxy *tls_of)
{
    struct uplink_pool *pool = peers->conf->keepalive > 0 ? pool_of(w, peers) : NULL;
    if (pool == NULL)
        return NULL;
    /* The youngest first: the server is least likely to close it just now. */
    for (struct link *link = pool->idle.prev; link != &pool->idle; link = link->prev) {
        struct uplink *u = UPLINK_OF(link);
        if (u->server != server || u->tls_of != tls_of)
            continue;
        link_remove(&u->link);
        pool->count--;
        u->reused = true;
        return u;
    }
    return NULL;
}

static bool uplink_may_stay(const struct uplink *u)
{
    const struct conf_upstream *conf = u->peers->conf;
    if (conf->keepalive == 0 || u->worker->adm.state == ADM_DRAINING)
        return false;
    if (conf->keepalive_requests != 0 && u->requests >= conf->keepalive_requests)
        return false;
    return conf->keepalive_time_ns == 0 ||
           u->worker->site.now_ns - u->opened_ns < conf->keepalive_time_ns;
}

void uplink_finish(struct uplink *u, bool may_keep)
{
    struct uplink_pool *pool = pool_of(u->worker, u->peers);
    if (!may_keep || pool == NULL || !uplink_may_stay(u)) {
        uplink_close(u);
        return;
    }
    u->c = NULL;
    u->state = UPLINK_IDLE;
    link_append(&pool->idle, &u->link);
    if (++pool->count > u->peers->conf->keepalive)
        uplink_close(UPLINK_OF(pool->idle.next)); /* the longest idle */
    uplink_watch(u, EV_READ);
    uplink_wait(u, u->peers->conf->keepalive_timeout_ns);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

/* They take a part of worker_connections. */
static void uplink_count(struct worker *w, int change)
{
    w->uplink_count += (uint32_t)change;
    admission_happen(w, ADM_EV_OTHERS, w->uplink_count);
}

uint32_t uplinks_relieve(struct worker *w, uint32_t count)
{
    uint32_t closed = 0;
    for (size_t i = 0; i < w->args->conf->upstream_count && closed < count; i++)
        for (; closed < count && !link_alone(&w->uplink_pools[i].idle); closed++)
            uplink_close(UPLINK_OF(w->uplink_pools[i].idle.next));
    return closed;
}

static int uplink_connect(struct uplink *u, bool keepalive)
{
    const struct conf_upstream_server *server = &u->peers->conf->servers[u->server];
    u->fd = sys_socket(server->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (u->fd < 0)
        return u->fd;
    if (server->addr.ss_family != AF_UNIX)
        sys_setsockopt_int(u->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (keepalive)
        sys_setsockopt_int(u->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    return sys_connect(u->fd, (const struct sockaddr *)&server->addr, server->addr_len);
}

struct uplink *uplink_open(struct worker *w, struct peers *peers, int server, bool keepalive,
                           int *err)
{
    struct uplink *u = sys_alloc(sizeof *u);
    if (u == NULL) {
        *err = -ENOMEM;
        return NULL;
    }
    memset(u, 0, sizeof *u);
    u->worker = w;
    u->peers = peers;
    u->server = server;
    u->opened_ns = w->site.now_ns;
    u->due_ns = UINT64_MAX;
    link_init(&u->link);
    int connected = uplink_connect(u, keepalive);
    if ((connected == -EMFILE || connected == -ENFILE) && uplinks_relieve(w, 1) > 0)
        connected = uplink_connect(u, keepalive);
    if (connected != 0 && connected != -EINPROGRESS) {
        if (u->fd >= 0)
            sys_close(u->fd);
        free(u);
        *err = connected;
        return NULL;
    }
    u->state = connected == 0 ? UPLINK_ASKING : UPLINK_CONNECTING;
    ev_io_init(&u->io, uplink_on_io, u->fd, 0);
    ev_timer_init(&u->timer, uplink_on_timer, 0., 0.);
    u->io.data = u->timer.data = u;
    uplink_count(w, 1);
    return u;
}

void uplink_close(struct uplink *u)
{
    struct worker *w = u->worker;
    if (u->state == UPLINK_IDLE) {
        link_remove(&u->link);
        pool_of(w, u->peers)->count--;
    }
    ev_io_stop(w->loop, &u->io);
    ev_timer_stop(w->loop, &u->timer);
    if (u->tls != NULL)
        tls_shutdown(u->tls);
    tls_free(u->tls);
    sys_close(u->fd);
    free(u);
    uplink_count(w, -1);
}

/* A place for a session with each server that a location speaks TLS with. */
static int sessions_init(struct worker *w)
{
    const struct conf *conf = w->args->conf;
    w->uplink_sessions = sys_calloc(conf->client_tls_count + 1, sizeof *w->uplink_sessions);
    if (w->uplink_sessions == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < conf->location_count; i++) {
        const struct conf_proxy *proxy = conf->locations[i]->proxy;
        if (proxy == NULL || !proxy->tls || proxy->upstream == NULL || !proxy->ssl_session_reuse)
            continue;
        struct tls_sessions **place = &w->uplink_sessions[proxy->tls_index];
        *place = sys_calloc(proxy->upstream->server_count, sizeof **place);
        if (*place == NULL)
            return -ENOMEM;
    }
    return 0;
}

static void sessions_free(struct worker *w)
{
    const struct conf *conf = w->args->conf;
    for (size_t i = 0; w->uplink_sessions != NULL && i < conf->location_count; i++) {
        const struct conf_proxy *proxy = conf->locations[i]->proxy;
        if (proxy == NULL || !proxy->tls || w->uplink_sessions[proxy->tls_index] == NULL)
            continue;
        for (size_t j = 0; j < proxy->upstream->server_count; j++)
            tls_sessions_forget(&w->uplink_sessions[proxy->tls_index][j]);
        free(w->uplink_sessions[proxy->tls_index]);
        w->uplink_sessions[proxy->tls_index] = NULL;
    }
    free(w->uplink_sessions);
}

int uplinks_init(struct worker *w)
{
    size_t count = w->args->conf->upstream_count;
    w->uplink_pools = sys_calloc(count + 1, sizeof *w->uplink_pools);
    if (w->uplink_pools == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        link_init(&w->uplink_pools[i].idle);
    return sessions_init(w);
}

void uplinks_free(struct worker *w)
{
    for (size_t i = 0; w->uplink_pools != NULL && i < w->args->conf->upstream_count; i++)
        while (!link_alone(&w->uplink_pools[i].idle))
            uplink_close(UPLINK_OF(w->uplink_pools[i].idle.next));
    free(w->uplink_pools);
    sessions_free(w);
}
