/* Descriptors, listeners, connections and channels of the simulated kernel. */
#include <errno.h>
#include <stdlib.h>

#include "engine/sim/sim_kernel.h"

static const uint64_t second_ns = UINT64_C(1000000000);

static void tell_watcher(struct kernel *k, unsigned file);
static void close_listener(struct kernel *k, struct kernel_file *f);
static void close_socket(struct kernel *k, unsigned file, bool reset);
static void close_channel(struct kernel *k, unsigned peer);
static void unhold(struct kernel *k, unsigned file);

/* ---- files ------------------------------------------------------------------------------------
 */

static unsigned new_file(struct kernel *k, enum kernel_file_kind kind)
{
    unsigned file;
    if (k->file_free != 0) {
        file = k->file_free - 1u;
        k->file_free = k->files[file].peer;
    } else {
        if (k->files_used == KERNEL_FILES_MAX)
            abort();
        file = k->files_used++;
    }
    struct kernel_file *f = &k->files[file];
    f->kind = (uint8_t)kind;
    f->fin_sent = f->reset_sent = f->reset_came = f->accepted = f->client_gone = false;
    f->syn_tries = 0;
    f->told = false;
    f->refs = f->holds = f->watcher = f->tag = f->peer = 0;
    f->in.first = f->in.count = f->out.first = f->out.count = f->wire.first = f->wire.count = 0;
    f->message_first = f->message_count = 0;
    return file;
}

static void free_file(struct kernel *k, unsigned file)
{
    k->files[file].kind = FILE_FREE;
    k->files[file].peer = k->file_free;
    k->file_free = (uint16_t)(file + 1);
}

static void unhold(struct kernel *k, unsigned file)
{
    struct kernel_file *f = &k->files[file];
    if (--f->holds == 0 && f->refs == 0)
        free_file(k, file);
}

void kernel_file_ref(struct kernel *k, unsigned file)
{
    k->files[file].refs++;
}

void kernel_file_unref(struct kernel *k, unsigned file, bool reset)
{
    struct kernel_file *f = &k->files[file];
    if (--f->refs > 0)
        return;
    f->holds++; /* while it is being closed */
    if (f->kind == FILE_LISTENER)
        close_listener(k, f);
    else if (f->kind == FILE_SOCKET)
        close_socket(k, file, reset);
    else if (f->kind == FILE_CHANNEL)
        close_channel(k, f->peer);
    unhold(k, file);
}

static int new_fd(struct kernel *k, unsigned process, unsigned file)
{
    struct kernel_process *p = &k->processes[process];
    uint32_t fd = p->fd_lowest;
    while (fd < p->fd_limit && p->fds[fd] != 0)
        fd++;
    if (fd >= p->fd_limit)
        return -EMFILE;
    p->fds[fd] = (uint16_t)(file + 1);
    p->close_on_exec[fd / 32] &= ~KERNEL_BIT(fd % 32);
    p->fd_lowest = fd + 1;
    p->fd_count++;
    k->files[file].refs++;
    return (int)fd;
}

static bool has_room(const struct kernel_process *p)
{
    for (uint32_t fd = p->fd_lowest; fd < p->fd_limit; fd++)
        if (p->fds[fd] == 0)
            return true;
    return false;
}

static unsigned file_of(const struct kernel *k, unsigned process, int fd)
{
    if (fd < 0 || fd >= KERNEL_FDS_MAX || k->processes[process].fds[fd] == 0)
        abort(); /* a descriptor that is not open: the driver's mistake */
    return k->processes[process].fds[fd] - 1u;
}

static int close_with(struct kernel *k, unsigned process, int fd, bool reset)
{
    struct kernel_process *p = &k->processes[process];
    if (fd < 0 || fd >= KERNEL_FDS_MAX || p->fds[fd] == 0)
        return -EBADF;
    unsigned file = p->fds[fd] - 1u;
    p->fds[fd] = 0;
    p->fd_count--;
    if ((uint32_t)fd < p->fd_lowest)
        p->fd_lowest = (uint32_t)fd;
    kernel_file_unref(k, file, reset);
    return 0;
}

int kernel_close(struct kernel *k, unsigned process, int fd)
{
    return close_with(k, process, fd, false);
}

void kernel_close_reset(struct kernel *k, unsigned process, int fd)
{
    close_with(k, process, fd, true);
}

int kernel_open(struct kernel *k, unsigned process)
{
    if (!has_room(&k->processes[process]))
        return -EMFILE;
    return new_fd(k, process, new_file(k, FILE_PLAIN));
}

/* ---- watching ---------------------------------------------------------------------------------
 */

static bool is_readable(const struct kernel *k, const struct kernel_file *f)
{
    switch ((enum kernel_file_kind)f->kind) {
    case FILE_LISTENER:
        return k->listeners[f->listener].waiting > 0;
    case FILE_CHANNEL:
        return f->message_count > 0 || k->files[f->peer].refs == 0;
    case FILE_SOCKET:
        return f->in.count > 0;
    default:
        return false;
    }
}

static void tell_listener_watchers(struct kernel *k, struct kernel_listener *l)
{
    for (unsigned i = 0; i < l->watcher_count; i++) {
        if (l->watchers[i].told)
            continue;
        l->watchers[i].told = true;
        kernel_note(k, l->watchers[i].process, KERNEL_READABLE, l->watchers[i].tag);
    }
}

static void tell_watcher(struct kernel *k, unsigned file)
{
    struct kernel_file *f = &k->files[file];
    if (f->kind == FILE_LISTENER) {
        tell_listener_watchers(k, &k->listeners[f->listener]);
    } else if (f->watcher != 0 && !f->told) {
        f->told = true;
        kernel_note(k, f->watcher - 1u, KERNEL_READABLE, f->tag);
    }
}

static unsigned find_watcher(const struct kernel_listener *l, unsigned process)
{
    unsigned i = 0;
    while (i < l->watcher_count && l->watchers[i].process != process)
        i++;
    return i;
}

void kernel_watch(struct kernel *k, unsigned process, int fd, uint16_t tag)
{
    unsigned file = file_of(k, process, fd);
    struct kernel_file *f = &k->files[file];
    if (f->kind == FILE_LISTENER) {
        struct kernel_listener *l = &k->listeners[f->listener];
        unsigned i = find_watcher(l, process);
        if (i == l->watcher_count)
            l->watcher_count++;
        l->watchers[i].process = (uint16_t)process;
        l->watchers[i].tag = tag;
        l->watchers[i].told = false;
    } else {
        f->watcher = (uint16_t)(process + 1);
        f->tag = tag;
        f->told = false;
    }
    if (is_readable(k, f))
        tell_watcher(k, file);
}

static void unwatch_listener(struct kernel_listener *l, unsigned process)
{
    unsigned i = find_watcher(l, process);
    if (i < l->watcher_count)
        l->watchers[i] = l->watchers[--l->watcher_count];
}

void kernel_unwatch(struct kernel *k, unsigned process, int fd)
{
    struct kernel_file *f = &k->files[file_of(k, process, fd)];
    if (f->kind == FILE_LISTENER)
        unwatch_listener(&k->listeners[f->listener], process);
    else
        f->watcher = 0;
    f->told = false;
}

void kernel_forget_watcher(struct kernel *k, unsigned process)
{
    for (unsigned i = 0; i < KERNEL_LISTENERS_MAX; i++)
        if (k->listeners[i].file != 0)
            unwatch_listener(&k->listeners[i], process);
}

/* The process looked: tell it again if there is more. */
static void looked(struct kernel *k, unsigned process, unsigned file)
{
    struct kernel_file *f = &k->files[file];
    bool *told = &f->told;
    if (f->kind == FILE_LISTENER) {
        struct kernel_listener *l = &k->listeners[f->listener];
        unsigned i = find_watcher(l, process);
        if (i == l->watcher_count)
            return;
        told = &l->watchers[i].told;
    }
    *told = false;
    if (is_readable(k, f))
        tell_watcher(k, file);
}

/* ---- listeners --------------------------------------------------------------------------------
 */

int kernel_listen(struct kernel *k, unsigned process, uint16_t port, uint32_t backlog)
{
    unsigned free_place = KERNEL_LISTENERS_MAX;
    for (unsigned i = 0; i < KERNEL_LISTENERS_MAX; i++) {
        if (k->listeners[i].file == 0)
            free_place = free_place == KERNEL_LISTENERS_MAX ? i : free_place;
        else if (k->listeners[i].port == port)
            return -EADDRINUSE;
    }
    if (free_place == KERNEL_LISTENERS_MAX)
        return -ENOBUFS;
    if (!has_room(&k->processes[process]))
        return -EMFILE;
    unsigned file = new_file(k, FILE_LISTENER);
    struct kernel_listener *l = &k->listeners[free_place];
    k->files[file].listener = (uint16_t)free_place;
    l->file = (uint16_t)(file + 1);
    l->port = port;
    l->backlog = backlog < KERNEL_QUEUE_MAX - 1 ? backlog : KERNEL_QUEUE_MAX - 1;
    l->waiting = l->first = l->watcher_count = 0;
    l->dropped = 0;
    l->stopped = false;
    return new_fd(k, process, file);
}

/* Those who wait get resets. */
static void reset_queue(struct kernel *k, struct kernel_listener *l)
{
    while (l->waiting > 0) {
        unsigned file = l->queue[l->first];
        l->first = (l->first + 1) % KERNEL_QUEUE_MAX;
        l->waiting--;
        close_socket(k, file, true);
        unhold(k, file);
    }
}

/* With the last descriptor of it. */
static void close_listener(struct kernel *k, struct kernel_file *f)
{
    reset_queue(k, &k->listeners[f->listener]);
    k->listeners[f->listener].file = 0;
}

void kernel_listener_stop(struct kernel *k, unsigned process, int fd, bool stopped)
{
    struct kernel_listener *l = &k->listeners[k->files[file_of(k, process, fd)].listener];
    l->stopped = stopped;
    if (stopped)
        reset_queue(k, l);
}

int kernel_accept(struct kernel *k, unsigned process, int fd)
{
    unsigned file = file_of(k, process, fd);
    struct kernel_listener *l = &k->listeners[k->files[file].listener];
    int result = -EAGAIN;
    if (!has_room(&k->processes[process])) {
        result = -EMFILE; /* the descriptor is taken before the queue is looked at */
    } else if (l->waiting > 0) {
        unsigned socket = l->queue[l->first];
        l->first = (l->first + 1) % KERNEL_QUEUE_MAX;
        l->waiting--;
        k->files[socket].accepted = true;
        result = new_fd(k, process, socket);
        unhold(k, socket); /* the queue's */
    }
    looked(k, process, file);
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

unsigned kernel_connect(struct kernel *k, uint16_t port, uint32_t client)
{
    unsigned file = new_file(k, FILE_SOCKET);
    struct kernel_file *f = &k->files[file];
    f->client = client;
    f->holds = 2; /* the client's and the SYN's */
    kernel_event(k, k->now_ns + k->latency_ns, EVENT_SYN, file, port, 0);
    return file;
}

/* A full queue drops the SYN; the client sends it again after 1, 2, 4 s. */
static void drop_syn(struct kernel *k, unsigned file, uint16_t port, struct kernel_listener *l)
{
    struct kernel_file *f = &k->files[file];
    l->dropped++;
    if (f->client_gone) {
        unhold(k, file);
        return;
    }
    uint64_t wait_ns = second_ns << (f->syn_tries < 6 ? f->syn_tries : 6);
    f->syn_tries++;
    kernel_event(k, k->now_ns + wait_ns, EVENT_SYN, file, port, 0);
}

static void take_syn(struct kernel *k, unsigned file, uint16_t port)
{
    struct kernel_listener *l = (struct kernel_listener *)kernel_listener(k, port);
    if (l == NULL || l->stopped) {
        kernel_event(k, k->now_ns + k->latency_ns, EVENT_REFUSED, file, 0, 0);
        return;
    }
    if (l->waiting > l->backlog) { /* Linux takes one more than it is told */
        drop_syn(k, file, port, l);
        return;
    }
    struct kernel_file *f = &k->files[file];
    if (f->client_gone) {
        unhold(k, file);
        return;
    }
    f->peer = (uint16_t)(l->file - 1);
    l->queue[(l->first + l->waiting++) % KERNEL_QUEUE_MAX] = (uint16_t)file;
    /* The SYN's hold becomes the queue's; the answer to it has one of its own. */
    f->holds++;
    kernel_event(k, k->now_ns + k->latency_ns, EVENT_CONNECTED, file, 0, 0);
    tell_listener_watchers(k, l);
}

void kernel_client_send(struct kernel *k, unsigned connection, const struct kernel_segment *segment)
{
    struct kernel_file *f = &k->files[connection];
    *add_segment(&f->wire) = *segment;
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
    unhold(k, connection);
}

static void to_client(struct kernel *k, unsigned file, const struct kernel_segment *segment)
{
    struct kernel_file *f = &k->files[file];
    if (f->client_gone)
        return;
    *add_segment(&f->out) = *segment;
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
static void close_socket(struct kernel *k, unsigned file, bool reset)
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

/* Bytes of a body that nobody has read yet are one with those that come after them. */
static void put_in(struct kernel_segments *in, const struct kernel_segment *segment)
{
    struct kernel_segment *last = &in->at[(in->first + in->count - 1u) % KERNEL_SEGMENTS_MAX];
    if (in->count > 0 && last->kind == SEGMENT_BODY && segment->kind == SEGMENT_BODY)
        last->bytes += segment->bytes;
    else
        *add_segment(in) = *segment;
}

static void arrive_at_server(struct kernel *k, unsigned file)
{
    struct kernel_file *f = &k->files[file];
    struct kernel_segment segment = take_segment(&f->wire);
    bool closed = f->accepted && f->refs == 0;
    if (segment.kind == SEGMENT_RST)
        f->reset_came = true;
    if (!closed && !f->reset_sent) {
        put_in(&f->in, &segment);
        tell_watcher(k, file);
    } else if (segment.kind != SEGMENT_FIN && segment.kind != SEGMENT_RST) {
        send_fin_or_reset(k, file, true); /* nobody is there any more */
    }
    unhold(k, file);
}

static void arrive_at_client(struct kernel *k, unsigned file)
{
    struct kernel_file *f = &k->files[file];
    struct kernel_segment segment = take_segment(&f->out);
    if (!f->client_gone) {
        enum kernel_client_event event = segment.kind == SEGMENT_FIN   ? CLIENT_EOF
                                         : segment.kind == SEGMENT_RST ? CLIENT_RESET
                                                                       : CLIENT_DATA;
        k->hooks.client(k, f->client, event, &segment);
    }
    unhold(k, file);
}

void kernel_net_event(struct kernel *k, const struct sim_event *event)
{
    const struct kernel_file *f = &k->files[event->a];
    switch ((enum kernel_event_kind)event->kind) {
    case EVENT_SYN:
        take_syn(k, event->a, event->b);
        break;
    case EVENT_TO_SERVER:
        arrive_at_server(k, event->a);
        break;
    case EVENT_TO_CLIENT:
        arrive_at_client(k, event->a);
        break;
    default:
        if (!f->client_gone)
            k->hooks.client(k, f->client,
                            event->kind == EVENT_CONNECTED ? CLIENT_CONNECTED : CLIENT_REFUSED,
                            NULL);
        unhold(k, event->a);
    }
}

/* ---- the server's side ------------------------------------------------------------------------
 */

enum kernel_recv kernel_recv(struct kernel *k, unsigned process, int fd, struct kernel_segment *out)
{
    unsigned file = file_of(k, process, fd);
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
    looked(k, process, file);
    return result;
}

bool kernel_send(struct kernel *k, unsigned process, int fd, const struct kernel_segment *segment)
{
    unsigned file = file_of(k, process, fd);
    struct kernel_file *f = &k->files[file];
    if (f->reset_sent || f->reset_came || f->fin_sent)
        return false;
    to_client(k, file, segment);
    return true;
}

void kernel_shutdown_write(struct kernel *k, unsigned process, int fd)
{
    send_fin_or_reset(k, file_of(k, process, fd), false);
}

/* ---- channels ---------------------------------------------------------------------------------
 */

int kernel_socketpair(struct kernel *k, unsigned process, int fds[2])
{
    if (!has_room(&k->processes[process]))
        return -EMFILE;
    unsigned a = new_file(k, FILE_CHANNEL), b = new_file(k, FILE_CHANNEL);
    k->files[a].peer = (uint16_t)b;
    k->files[b].peer = (uint16_t)a;
    k->files[a].holds = k->files[b].holds = 1; /* the other end's */
    fds[0] = new_fd(k, process, a);
    fds[1] = new_fd(k, process, b);
    if (fds[1] >= 0)
        return 0;
    k->files[b].refs = 1; /* as if it had been opened, so that closing is one and the same */
    kernel_file_unref(k, b, false);
    kernel_close(k, process, fds[0]);
    return -EMFILE;
}

/* An end remembers the other until both are closed. */
static void close_channel(struct kernel *k, unsigned peer)
{
    tell_watcher(k, peer);
    unhold(k, peer);
}

int kernel_channel_send(struct kernel *k, unsigned process, int fd, uint32_t word)
{
    unsigned peer = k->files[file_of(k, process, fd)].peer;
    struct kernel_file *f = &k->files[peer];
    if (f->refs == 0)
        return -EPIPE;
    if (f->message_count == KERNEL_MESSAGES_MAX)
        return -EAGAIN;
    f->messages[(f->message_first + f->message_count++) % KERNEL_MESSAGES_MAX] = word;
    tell_watcher(k, peer);
    return 0;
}

int kernel_channel_recv(struct kernel *k, unsigned process, int fd, uint32_t *word)
{
    unsigned file = file_of(k, process, fd);
    struct kernel_file *f = &k->files[file];
    int result = -EAGAIN;
    if (f->message_count > 0) {
        *word = f->messages[f->message_first];
        f->message_first = (uint8_t)((f->message_first + 1) % KERNEL_MESSAGES_MAX);
        f->message_count--;
        result = 1;
    } else if (k->files[f->peer].refs == 0) {
        result = 0;
    }
    looked(k, process, file);
    return result;
}
