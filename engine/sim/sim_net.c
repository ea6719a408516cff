/* Listeners and connections of the simulated kernel. */
#include <errno.h>
#include <stdlib.h>

#include "engine/sim/sim_kernel_priv.h"

static const uint64_t second_ns = UINT64_C(1000000000);

/* ---- listeners --------------------------------------------------------------------------------
 */

static int listen_on(struct kernel *k, unsigned process, uint16_t port, uint32_t backlog,
                     bool reuseport)
{
    struct kernel_listener *l = NULL;
    for (unsigned i = 0; i < k->listeners_used; i++) {
        struct kernel_listener *other = &k->listeners[i];
        if (other->file == 0)
            l = l == NULL ? other : l;
        else if (other->port == port && !(reuseport && other->reuseport))
            return -EADDRINUSE;
    }
    if (l == NULL && k->listeners_used == KERNEL_LISTENERS_MAX)
        return -ENOBUFS;
    if (!kernel_fd_room(&k->processes[process]))
        return -EMFILE;
    if (l == NULL)
        l = &k->listeners[k->listeners_used++];
    unsigned file = kernel_file_new(k, FILE_LISTENER);
    k->files[file].listener = (uint16_t)(l - k->listeners);
    l->file = (uint16_t)(file + 1);
    l->port = port;
    l->backlog = backlog < KERNEL_QUEUE_MAX - 1 ? backlog : KERNEL_QUEUE_MAX - 1;
    l->waiting = l->first = l->watcher_count = 0;
    l->dropped = 0;
    l->stopped = false;
    l->reuseport = reuseport;
    return kernel_fd_new(k, process, file);
}

int kernel_listen(struct kernel *k, unsigned process, uint16_t port, uint32_t backlog)
{
    return listen_on(k, process, port, backlog, false);
}

int kernel_listen_reuseport(struct kernel *k, unsigned process, uint16_t port, uint32_t backlog)
{
    return listen_on(k, process, port, backlog, true);
}

/* Who gets a connection: of those that share a port the one that the client's address says. NULL:
 * nobody listens. */
static struct kernel_listener *pick_listener(struct kernel *k, uint16_t port, uint32_t client)
{
    struct kernel_listener *group[KERNEL_LISTENERS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < k->listeners_used; i++) {
        struct kernel_listener *l = &k->listeners[i];
        if (l->file != 0 && l->port == port && !l->stopped)
            group[count++] = l;
    }
    if (count <= 1)
        return count == 0 ? NULL : group[0];
    return group[sim_random_mix(client) % count];
}

static void enqueue(struct kernel_listener *l, unsigned file)
{
    l->queue[(l->first + l->waiting++) % KERNEL_QUEUE_MAX] = (uint16_t)file;
}

/* Those who wait get resets, unless another of the group may take them. */
static void give_up_queue(struct kernel *k, struct kernel_listener *l)
{
    while (l->waiting > 0) {
        unsigned file = l->queue[l->first];
        struct kernel_listener *heir = NULL;
        l->first = (l->first + 1) % KERNEL_QUEUE_MAX;
        l->waiting--;
        if (l->reuseport && k->migrate_req)
            heir = pick_listener(k, l->port, k->files[file].client);
        if (heir != NULL && heir->waiting <= heir->backlog) {
            enqueue(heir, file);
            kernel_tell_watcher(k, heir->file - 1u);
            continue;
        }
        kernel_socket_closed(k, file, true);
        kernel_file_unhold(k, file);
    }
}

void kernel_listener_closed(struct kernel *k, struct kernel_file *f)
{
    struct kernel_listener *l = &k->listeners[f->listener];
    l->stopped = true;
    give_up_queue(k, l);
    l->file = 0;
}

void kernel_listener_stop(struct kernel *k, unsigned process, int fd, bool stopped)
{
    struct kernel_listener *l = &k->listeners[k->files[kernel_file_of(k, process, fd)].listener];
    l->stopped = stopped;
    if (stopped)
        give_up_queue(k, l);
}

int kernel_accept(struct kernel *k, unsigned process, int fd)
{
    unsigned file = kernel_file_of(k, process, fd);
    struct kernel_listener *l = &k->listeners[k->files[file].listener];
    int result = -EAGAIN;
    if (!kernel_fd_room(&k->processes[process])) {
        result = -EMFILE; /* the descriptor is taken before the queue is looked at */
    } else if (l->waiting > 0) {
        unsigned socket = l->queue[l->first];
        l->first = (l->first + 1) % KERNEL_QUEUE_MAX;
        l->waiting--;
        k->files[socket].accepted = true;
        result = kernel_fd_new(k, process, socket);
        kernel_file_unhold(k, socket); /* the queue's */
    }
    kernel_looked(k, process, file);
    return result;
}

/* ---- clients ----------------------------------------------------------------------------------
 */

static struct kernel_segment *add_segment(struct kernel_segments *s)
{
    if (s->count == KERNEL_SEGMENTS_MAX)
        abort();
    return &s->at[(s->first + s->count++) % KERNEL_SEGMENTS_MAX];
}

static struct kernel_segment take_segment(struct kernel_segments *s)
{
    struct kernel_segment segment = s->at[s->first];
    s->first = (uint8_t)((s->first + 1) % KERNEL_SEGMENTS_MAX);
    s->count--;
    return segment;
}

/* What is sent in one go travels together: true where it comes with the one before. */
static bool is_joined(const struct kernel *k, struct kernel_segments *s, uint64_t *last_ns)
{
    bool joined = s->count > 0 && *last_ns == k->now_ns;
    *last_ns = k->now_ns;
    if (joined)
        s->at[(s->first + s->count - 1u) % KERNEL_SEGMENTS_MAX].flags |= SEGMENT_JOINED;
    return joined;
}

unsigned kernel_connect(struct kernel *k, uint16_t port, uint32_t client)
{
    unsigned file = kernel_file_new(k, FILE_SOCKET);
    struct kernel_file *f = &k->files[file];
    f->client = client;
    f->holds = 2; /* the client's and the SYN's */
    kernel_event(k, k->now_ns + k->latency_ns, EVENT_SYN, file, port, 0);
    return file;
}

/* A full queue drops the SYN; the client sends it again after a second, some times each second, and
 * then after 2, 4, ... more. */
static void drop_syn(struct kernel *k, unsigned file, uint16_t port, struct kernel_listener *l)
{
    struct kernel_file *f = &k->files[file];
    l->dropped++;
    if (f->client_gone) {
        kernel_file_unhold(k, file);
        return;
    }
    uint32_t linear = k->syn_linear_timeouts;
    uint32_t doublings = f->syn_tries > linear ? f->syn_tries - linear : 0;
    uint64_t wait_ns = second_ns << (doublings < 6 ? doublings : 6);
    f->syn_tries++;
    kernel_event(k, k->now_ns + wait_ns, EVENT_SYN, file, port, 0);
}

static void take_syn(struct kernel *k, unsigned file, uint16_t port)
{
    struct kernel_listener *l = pick_listener(k, port, k->files[file].client);
    if (l == NULL) {
        kernel_event(k, k->now_ns + k->latency_ns, EVENT_REFUSED, file, 0, 0);
        return;
    }
    if (l->waiting > l->backlog) { /* Linux takes one more than it is told */
        drop_syn(k, file, port, l);
        return;
    }
    struct kernel_file *f = &k->files[file];
    if (f->client_gone) {
        kernel_file_unhold(k, file);
        return;
    }
    f->peer = (uint16_t)(l->file - 1);
    enqueue(l, file);
    /* The SYN's hold becomes the queue's; the answer to it has one of its own. */
    f->holds++;
    kernel_event(k, k->now_ns + k->latency_ns, EVENT_CONNECTED, file, 0, 0);
    kernel_tell_watcher(k, l->file - 1u);
}

void kernel_client_send(struct kernel *k, unsigned connection, const struct kernel_segment *segment)
{
    struct kernel_file *f = &k->files[connection];
    bool joined = is_joined(k, &f->wire, &f->wire_ns);
    *add_segment(&f->wire) = *segment;
    if (joined)
        return;
    f->holds++;
    kernel_event(k, k->now_ns + k->latency_ns, EVENT_TO_SERVER, connection, 0, 0);
}

void kernel_client_close(struct kernel *k, unsigned connection, bool reset)
{
    struct kernel_file *f = &k->files[connection];
    f->client_gone = true;
    kernel_client_send(
        k, connection,
        &(struct kernel_segment){.kind = reset ? SEGMENT_RST : SEGMENT_FIN, .slot = -1});
    kernel_file_unhold(k, connection);
}

/* A client that has closed its socket takes no more data. */
static void answer_with_reset(struct kernel *k, unsigned file)
{
    struct kernel_file *f = &k->files[file];
    if (f->client_reset || f->wire.count == KERNEL_SEGMENTS_MAX)
        return;
    f->client_reset = true;
    *add_segment(&f->wire) = (struct kernel_segment){.kind = SEGMENT_RST, .slot = -1};
    f->holds++;
    kernel_event(k, k->now_ns + 2 * k->latency_ns, EVENT_TO_SERVER, file, 0, 0);
}

static void to_client(struct kernel *k, unsigned file, const struct kernel_segment *segment)
{
    struct kernel_file *f = &k->files[file];
    if (f->client_gone) {
        if (segment->kind == SEGMENT_ANSWER)
            answer_with_reset(k, file);
        return;
    }
    bool joined = is_joined(k, &f->out, &f->out_ns);
    *add_segment(&f->out) = *segment;
    if (joined)
        return;
    f->holds++;
    kernel_event(k, k->now_ns + k->latency_ns, EVENT_TO_CLIENT, file, 0, 0);
}

static void send_fin_or_reset(struct kernel *k, unsigned file, bool reset)
{
    struct kernel_file *f = &k->files[file];
    if (f->reset_sent || f->reset_came || (f->fin_sent && !reset))
        return;
    f->fin_sent = true;
    f->reset_sent = reset;
    to_client(k, file,
              &(struct kernel_segment){.kind = reset ? SEGMENT_RST : SEGMENT_FIN, .slot = -1});
}

/* Closing with unread input resets the connection: the client would never learn that it was not
 * read. */
void kernel_socket_closed(struct kernel *k, unsigned file, bool reset)
{
    struct kernel_file *f = &k->files[file];
    bool unread = false;
    while (f->in.count > 0) {
        struct kernel_segment segment = take_segment(&f->in);
        unread = unread || (segment.kind != SEGMENT_FIN && segment.kind != SEGMENT_RST);
    }
    f->watcher = 0;
    f->accepted = true;
    send_fin_or_reset(k, file, reset || unread);
}

/* ---- what arrives ------------------------------------------------------------------------------
 */

/* Bytes of a body that nobody has read yet are one with those that come after them, and so are
 * parts of an answer. */
static void put_in(struct kernel_segments *in, const struct kernel_segment *segment)
{
    struct kernel_segment *last = &in->at[(in->first + in->count - 1u) % KERNEL_SEGMENTS_MAX];
    if (in->count > 0 && last->kind == SEGMENT_BODY && segment->kind == SEGMENT_BODY)
        last->bytes += segment->bytes;
    else if (in->count > 0 && last->kind == SEGMENT_ANSWER && segment->kind == SEGMENT_ANSWER)
        last->flags |= segment->flags;
    else
        *add_segment(in) = *segment;
}

static void segment_at_server(struct kernel *k, unsigned file, struct kernel_segment segment)
{
    struct kernel_file *f = &k->files[file];
    bool closed = f->accepted && f->refs == 0;
    if (segment.kind == SEGMENT_RST)
        f->reset_came = true;
    if (!closed && !f->reset_sent) {
        put_in(&f->in, &segment);
        kernel_tell_watcher(k, file);
    } else if (segment.kind != SEGMENT_FIN && segment.kind != SEGMENT_RST) {
        send_fin_or_reset(k, file, true); /* nobody is there any more */
    }
}

static void segment_at_uplink(struct kernel *k, unsigned uplink,
                              const struct kernel_segment *segment)
{
    put_in(&k->files[uplink].in, segment);
    kernel_tell_watcher(k, uplink);
}

static void segment_at_client(struct kernel *k, unsigned file, struct kernel_segment segment)
{
    const struct kernel_file *f = &k->files[file];
    if (f->uplink != 0 && !f->client_gone) {
        segment_at_uplink(k, f->uplink - 1u, &segment);
    } else if (!f->client_gone) {
        enum kernel_client_event event = segment.kind == SEGMENT_FIN   ? CLIENT_EOF
                                         : segment.kind == SEGMENT_RST ? CLIENT_RESET
                                                                       : CLIENT_DATA;
        k->hooks.client(k, f->client, event, &segment);
    }
}

static void arrive(struct kernel *k, unsigned file, struct kernel_segments *wire,
                   void (*come)(struct kernel *, unsigned, struct kernel_segment))
{
    bool joined;
    do {
        struct kernel_segment segment = take_segment(wire);
        joined = segment.flags & SEGMENT_JOINED;
        segment.flags &= (uint8_t)~SEGMENT_JOINED;
        come(k, file, segment);
    } while (joined);
    kernel_file_unhold(k, file);
}

static void connect_ended(struct kernel *k, const struct kernel_file *f, bool connected)
{
    const struct kernel_segment told = {.kind = connected ? SEGMENT_CONNECTED : SEGMENT_RST};
    if (f->uplink != 0 && !f->client_gone)
        segment_at_uplink(k, f->uplink - 1u, &told);
    else if (!f->client_gone)
        k->hooks.client(k, f->client, connected ? CLIENT_CONNECTED : CLIENT_REFUSED, NULL);
}

void kernel_net_event(struct kernel *k, const struct sim_event *event)
{
    struct kernel_file *f = &k->files[event->a];
    switch ((enum kernel_event_kind)event->kind) {
    case EVENT_SYN:
        take_syn(k, event->a, event->b);
        break;
    case EVENT_TO_SERVER:
        arrive(k, event->a, &f->wire, segment_at_server);
        break;
    case EVENT_TO_CLIENT:
        arrive(k, event->a, &f->out, segment_at_client);
        break;
    default:
        connect_ended(k, f, event->kind == EVENT_CONNECTED);
        kernel_file_unhold(k, event->a);
    }
}

/* ---- the server's side ------------------------------------------------------------------------
 */

enum kernel_recv kernel_recv(struct kernel *k, unsigned process, int fd, struct kernel_segment *out)
{
    unsigned file = kernel_file_of(k, process, fd);
    struct kernel_file *f = &k->files[file];
    enum kernel_recv result = RECV_EMPTY;
    if (f->in.count > 0) {
        const struct kernel_segment *first = &f->in.at[f->in.first];
        result = first->kind == SEGMENT_FIN   ? RECV_END
                 : first->kind == SEGMENT_RST ? RECV_RESET
                                              : RECV_DATA;
        *out = *first;
        if (result == RECV_DATA)
            take_segment(&f->in);
    }
    kernel_looked(k, process, file);
    return result;
}

bool kernel_has_ended(const struct kernel *k, unsigned process, int fd)
{
    const struct kernel_segments *in = &k->files[kernel_file_of(k, process, fd)].in;
    return in->count > 0 &&
           (in->at[in->first].kind == SEGMENT_FIN || in->at[in->first].kind == SEGMENT_RST);
}

bool kernel_send(struct kernel *k, unsigned process, int fd, const struct kernel_segment *segment)
{
    unsigned file = kernel_file_of(k, process, fd);
    struct kernel_file *f = &k->files[file];
    if (f->reset_sent || f->reset_came || f->fin_sent)
        return false;
    to_client(k, file, segment);
    return true;
}

void kernel_shutdown_write(struct kernel *k, unsigned process, int fd)
{
    send_fin_or_reset(k, kernel_file_of(k, process, fd), false);
}

/* ---- connections that a process here makes ----------------------------------------------------
 */

int kernel_connect_from(struct kernel *k, unsigned process, uint16_t port)
{
    if (!kernel_fd_room(&k->processes[process]))
        return -EMFILE;
    unsigned uplink = kernel_file_new(k, FILE_UPLINK);
    unsigned socket = kernel_connect(k, port, 0);
    k->files[uplink].peer = (uint16_t)socket;
    k->files[socket].uplink = (uint16_t)(uplink + 1);
    return kernel_fd_new(k, process, uplink);
}

void kernel_uplink_send(struct kernel *k, unsigned process, int fd,
                        const struct kernel_segment *segment)
{
    kernel_client_send(k, k->files[kernel_file_of(k, process, fd)].peer, segment);
}

void kernel_uplink_closed(struct kernel *k, struct kernel_file *f, bool reset)
{
    while (f->in.count > 0)
        reset = take_segment(&f->in).kind == SEGMENT_ANSWER || reset;
    f->watcher = 0;
    kernel_client_close(k, f->peer, reset);
}
