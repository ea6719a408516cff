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
    if (u->state == UPLINK_IDLE)
        uplink_close(u); /* the server has closed it, or says what nobody asked for */
    else
        upstream_happen(u, revents);
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

struct uplink *uplink_reuse(struct worker *w, struct peers *peers, int server)
{
    struct uplink_pool *pool = peers->conf->keepalive > 0 ? pool_of(w, peers) : NULL;
    if (pool == NULL)
        return NULL;
    /* The youngest first: the server is least likely to close it just now. */
    for (struct link *link = pool->idle.prev; link != &pool->idle; link = link->prev) {
        struct uplink *u = UPLINK_OF(link);
        if (u->server != server)
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
    sys_close(u->fd);
    free(u);
}

ssize_t uplink_recv(struct uplink *u, void *buf, size_t len)
{
    return sys_recv(u->fd, buf, len);
}

ssize_t uplink_writev(struct uplink *u, const struct iovec *iov, int count)
{
    ssize_t sent = count == 1 ? sys_send(u->fd, iov[0].iov_base, iov[0].iov_len)
                              : sys_writev_socket(u->fd, iov, count);
    return sent == 0 ? -EAGAIN : sent;
}

ssize_t uplink_send_file(struct uplink *u, int file, uint64_t from, uint64_t len)
{
    off_t at = (off_t)from;
    return sys_sendfile(u->fd, file, &at, len < SEND_TURN_BYTES ? (size_t)len : SEND_TURN_BYTES);
}

int uplinks_init(struct worker *w)
{
    size_t count = w->args->conf->upstream_count;
    w->uplink_pools = sys_calloc(count + 1, sizeof *w->uplink_pools);
    if (w->uplink_pools == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        link_init(&w->uplink_pools[i].idle);
    return 0;
}

void uplinks_free(struct worker *w)
{
    for (size_t i = 0; w->uplink_pools != NULL && i < w->args->conf->upstream_count; i++)
        while (!link_alone(&w->uplink_pools[i].idle))
            uplink_close(UPLINK_OF(w->uplink_pools[i].idle.next));
    free(w->uplink_pools);
}
