/* Opens, watches and closes connections; says what each end of one was. */
#include "scenarios/witness/prober_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "scenarios/witness/prober_exchange.h"
#include "scenarios/witness/prober_pace.h"
#include "scenarios/witness/prober_pool.h"
#include "scenarios/witness/prober_record.h"
#include "scenarios/witness/prober_tls.h"

enum {
    SOCKET_BUFFER_BYTES = 65536, /* of slow clients: the kernel must not do their waiting */
    LINGER_PATIENCE_MS = 2000,
    LINGER_UNSENT_MS = 100, /* long enough for the reset of a server that closed with data unread */
};

static int open_socket(const struct prober_population *pop);
static int dial(struct prober *p, struct prober_population *pop, struct prober_conn *c);
static void on_io(struct ev_loop *loop, struct ev_io *w, int revents);
static void finish_connect(struct prober_conn *c);
static void connect_failed(struct prober_conn *c, int error);
static void shake_hands(struct prober_conn *c);

static struct prober_conn *take_spare(struct prober_population *pop)
{
    struct prober_conn *c = TAILQ_FIRST(&pop->spare);
    size_t fixed = sizeof(*c) + pop->spec.depth * sizeof(c->requests[0]);
    if (c != NULL)
        TAILQ_REMOVE(&pop->spare, c, link);
    else if ((c = malloc(fixed + pop->spec.depth * pop->head_len_max)) == NULL)
        return NULL;
    memset(c, 0, fixed);
    c->pop = pop;
    c->out = (char *)c + fixed;
    return c;
}

/* Puts the connection among those that are swept for deadlines. */
static bool enlist(struct prober *p, struct prober_conn *c)
{
    if (p->conn_count == p->conn_room) {
        size_t room = p->conn_room == 0 ? 256 : p->conn_room * 2;
        struct prober_conn **conns = realloc(p->conns, room * sizeof(struct prober_conn *));
        if (conns == NULL)
            return false;
        p->conns = conns;
        p->conn_room = room;
    }
    c->index = p->conn_count;
    p->conns[p->conn_count++] = c;
    return true;
}

void prober_conn_open(struct prober_population *pop, uint64_t due_ns)
{
    struct prober *p = pop->prober;
    struct prober_conn *c = take_spare(pop);
    if (c == NULL || !enlist(p, c)) {
        if (c != NULL)
            TAILQ_INSERT_HEAD(&pop->spare, c, link);
        prober_own_error(p, "memory for a connection", ENOMEM);
        prober_record_unsent(pop, due_ns, HIST_ABANDONED);
        return;
    }
    prober_exchange_prepare(c, due_ns);
    int fd = dial(p, pop, c);
    if (fd < 0) {
        prober_own_error(p, "opening a connection", -fd);
        p->conns[c->index] = p->conns[--p->conn_count];
        p->conns[c->index]->index = c->index;
        TAILQ_INSERT_HEAD(&p->graveyard, c, link);
        for (int i = 0; i < c->count; i++)
            prober_record_end(c, &c->requests[i], HIST_ABANDONED, 0);
        return;
    }
    int error = errno;
    p->own_errors_since_ns = 0;
    ev_io_init(&c->io, on_io, fd, EV_WRITE);
    prober_conn_set_state(c, CONN_CONNECTING);
    c->deadline_ns = c->connect_ns + pop->spec.connect_timeout_ms * PROBER_NS_PER_MS;
    prober_record_connect(c);
    if (error != 0 && error != EINPROGRESS)
        connect_failed(c, error);
    else
        ev_io_start(p->loop, &c->io);
}

/* Adds to the count of open and established connections what a state stands for. */
static void count_state(struct prober_conn *c, enum prober_state state, uint64_t by)
{
    bool is_open = state != CONN_CLOSED && state != CONN_LINGER;
    bool established = state != CONN_CLOSED && state != CONN_CONNECTING;
    c->pop->open += is_open ? by : 0;
    c->pop->established += established ? by : 0;
}

void prober_conn_set_state(struct prober_conn *c, enum prober_state state)
{
    struct prober_population *pop = c->pop;
    count_state(c, c->state, (uint64_t)-1);
    count_state(c, state, 1);
    if (c->state == CONN_IDLE)
        TAILQ_REMOVE(&pop->idle, c, link);
    c->state = (uint8_t)state;
    c->since_ns = hist_now_ns();
    c->deadline_ns = 0;
    prober_record_held(pop, c->since_ns);
    switch (state) {
    case CONN_IDLE:
        /* The longest idle is taken first, so that every connection is used and seen to live. */
        TAILQ_INSERT_TAIL(&pop->idle, c, link);
        pop->dispatch = true;
        break;
    case CONN_LINGER:
        c->deadline_ns =
            c->since_ns +
            (c->sent < c->total ? LINGER_UNSENT_MS : LINGER_PATIENCE_MS) * PROBER_NS_PER_MS;
        pop->closed = pop->dispatch = true;
        break;
    case CONN_CLOSED:
        pop->closed = pop->dispatch = true;
        break;
    default:
        break;
    }
}

void prober_conn_watch(struct prober_conn *c, int events)
{
    if (ev_is_active(&c->io) && (c->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(c->pop->prober->loop, &c->io);
    if (events == 0)
        return;
    ev_io_set(&c->io, c->io.fd, events);
    ev_io_start(c->pop->prober->loop, &c->io);
}

ssize_t prober_conn_read(struct prober_conn *c, char *data, size_t len)
{
    if (c->tls != NULL)
        return prober_tls_read(c->tls, data, len);
    return recv(c->io.fd, data, len, 0);
}

ssize_t prober_conn_write(struct prober_conn *c, const char *head, size_t head_len,
                          const char *body, size_t body_len)
{
    if (c->tls != NULL)
        return head_len > 0 ? prober_tls_write(c->tls, head, head_len)
                            : prober_tls_write(c->tls, body, body_len);
    if (body_len == 0)
        return send(c->io.fd, head, head_len, MSG_NOSIGNAL);
    if (head_len == 0)
        return send(c->io.fd, body, body_len, MSG_NOSIGNAL);
    struct iovec parts[2] = {{(char *)(uintptr_t)head, head_len},
                             {(char *)(uintptr_t)body, body_len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(c->io.fd, &message, MSG_NOSIGNAL);
}

bool prober_conn_lives(struct prober_conn *c)
{
    char byte;
    if (recv(c->io.fd, &byte, 1, MSG_PEEK) < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    prober_exchange_receive(c);
    return false;
}

void prober_conn_close(struct prober_conn *c, enum hist_close reason)
{
    struct prober *p = c->pop->prober;
    prober_pace_end(c);
    prober_record_close(c, reason);
    ev_io_stop(p->loop, &c->io);
    prober_tls_free(c->tls);
    c->tls = NULL;
    close(c->io.fd);
    prober_conn_set_state(c, CONN_CLOSED);
    p->conns[c->index] = p->conns[--p->conn_count];
    p->conns[c->index]->index = c->index;
    TAILQ_INSERT_HEAD(&p->graveyard, c, link);
}

void prober_conn_abandon(struct prober_conn *c)
{
    prober_exchange_end(c, HIST_ABANDONED, HIST_ABANDONED);
    prober_conn_close(c, HIST_CLOSE_CLIENT);
}

void prober_conn_expire(struct prober_conn *c)
{
    switch ((enum prober_state)c->state) {
    case CONN_CONNECTING:
        connect_failed(c, ETIMEDOUT);
        return;
    case CONN_HANDSHAKE:
    case CONN_BUSY:
        prober_exchange_end(c, c->pop->kind->counts ? HIST_TIMEOUT : HIST_ABANDONED, HIST_TIMEOUT);
        break;
    default:
        break;
    }
    prober_conn_close(c, HIST_CLOSE_CLIENT);
}

void prober_conn_stop(struct prober_conn *c)
{
    enum hist_population kind = c->pop->spec.kind;
    if (c->state == CONN_IDLE) {
        /* What the server did before is told as the server's doing. */
        if (prober_conn_lives(c))
            prober_conn_close(c, HIST_CLOSE_CLIENT);
    } else if (c->state == CONN_LINGER)
        return;
    else if (kind == HIST_STREAM || (kind == HIST_HELD && !c->pop->released))
        prober_conn_abandon(c);
    else if (c->tunnel)
        prober_tunnel_leave(c);
}

void prober_conn_bury(struct prober *p)
{
    struct prober_conn *c;
    while ((c = TAILQ_FIRST(&p->graveyard)) != NULL) {
        TAILQ_REMOVE(&p->graveyard, c, link);
        TAILQ_INSERT_HEAD(&c->pop->spare, c, link);
    }
}

/* ---- connecting ------------------------------------------------------------------------------ */

static int open_socket(const struct prober_population *pop)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return -errno;
    /* One send per request needs no TCP_NODELAY; several small ones would wait for Nagle. */
    if (pop->kind->standing || pop->spec.body_bytes > 0 || pop->spec.send_rate > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int bytes = SOCKET_BUFFER_BYTES;
    if (pop->spec.read_rate > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (pop->spec.send_rate > 0 || pop->spec.kind == HIST_EARLY)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return fd;
}

/* Binds to the next source address. The kernel chooses the port at connect(), when it knows the
 * whole tuple, so that ports may be shared between destinations. */
static int bind_source(struct prober *p, int fd)
{
    int on = 1;
    if (p->source_count == 0)
        return 0;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(p->source_first + p->source_next++ % p->source_count);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 ? 0 : -errno;
}

static bool is_own_error(int error)
{
    return error == EADDRNOTAVAIL || error == EADDRINUSE || error == EMFILE || error == ENFILE ||
           error == ENOBUFS || error == ENOMEM || error == EACCES || error == EPERM ||
           error == EAGAIN;
}

/* A unix socket connects at once or not at all; a full queue of its listener is a refusal. The
 * kernel gives the client a name by which the server's records can be joined with ours. */
static int dial_unix(const struct prober_population *pop, struct prober_conn *c)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX}, own = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(own);
    c->connect_ns = hist_now_ns();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    if (fd < 0)
        return -errno;
    memcpy(to.sun_path, pop->spec.unix_path, sizeof(pop->spec.unix_path));
    if (bind(fd, (struct sockaddr *)&own, sizeof(own.sun_family)) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        error = errno == EAGAIN ? ECONNREFUSED : errno;
    if (is_own_error(error)) {
        close(fd);
        return -error;
    }
    if (getsockname(fd, (struct sockaddr *)&own, &len) == 0)
        c->conn = hist_conn_unix(own.sun_path);
    errno = error;
    return fd;
}

/* Begins to connect. Returns the socket, with the server's word in errno (0, EINPROGRESS or an
 * error), or a negative errno that is the prober's own. A source without a free port is passed
 * over: nothing has been sent from it. */
static int dial(struct prober *p, struct prober_population *pop, struct prober_conn *c)
{
    int error = 0;
    if (pop->spec.unix_path[0] != '\0')
        return dial_unix(pop, c);
    for (uint32_t i = 0; i == 0 || i < p->source_count; i++) {
        struct sockaddr_in local;
        socklen_t len = sizeof(local);
        c->connect_ns = hist_now_ns();
        int fd = open_socket(pop);
        if (fd < 0)
            return fd;
        error = -bind_source(p, fd);
        if (error == 0 && connect(fd, (struct sockaddr *)&pop->target, sizeof(pop->target)) != 0)
            error = errno;
        if (!is_own_error(error)) {
            if (getsockname(fd, (struct sockaddr *)&local, &len) == 0)
                c->conn = hist_conn(local.sin_addr.s_addr, ntohs(local.sin_port));
            errno = error;
            return fd;
        }
        close(fd);
        if (error != EADDRNOTAVAIL)
            break;
    }
    return -error;
}

static void on_io(struct ev_loop *loop, struct ev_io *w, int revents)
{
    struct prober_conn *c = (struct prober_conn *)w;
    (void)loop;
    switch ((enum prober_state)c->state) {
    case CONN_CLOSED:
        return;
    case CONN_CONNECTING:
        finish_connect(c);
        return;
    case CONN_HANDSHAKE:
        shake_hands(c);
        return;
    default:
        if (revents & EV_WRITE)
            prober_exchange_send(c);
        if ((revents & EV_READ) && c->state != CONN_CLOSED)
            prober_exchange_receive(c);
    }
}

static void finish_connect(struct prober_conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        connect_failed(c, error);
        return;
    }
    prober_record_connected(c);
    if (!c->pop->spec.tls) {
        prober_exchange_start(c);
        return;
    }
    prober_conn_set_state(c, CONN_HANDSHAKE);
    c->deadline_ns = c->since_ns + c->pop->spec.timeout_ms * PROBER_NS_PER_MS;
    c->tls = prober_tls_new(c->io.fd);
    if (c->tls == NULL) {
        prober_own_error(c->pop->prober, "a TLS session", errno);
        prober_conn_abandon(c);
        return;
    }
    shake_hands(c);
}

static void connect_failed(struct prober_conn *c, int error)
{
    enum hist_outcome outcome = error == ETIMEDOUT ? HIST_CONNECT_TIMEOUT : HIST_REFUSED;
    prober_record_connect_failed(c, error);
    prober_exchange_end(c, outcome, outcome);
    prober_conn_close(c, HIST_CLOSE_CLIENT);
}

static void shake_hands(struct prober_conn *c)
{
    int events = EV_READ;
    int rc = prober_tls_handshake(c->tls, &events);
    if (rc == 0) {
        prober_conn_watch(c, events);
    } else if (rc == 1) {
        prober_exchange_start(c);
    } else {
        prober_exchange_lost(c, errno);
    }
}
