/* Descriptors, what they stand for, who watches them; and channels. Listeners and connections:
 * sim_net.c. */
#include <errno.h>
#include <stdlib.h>

#include "engine/sim/sim_kernel_priv.h"

static void close_channel(struct kernel *k, struct kernel_file *f);

/* ---- files ------------------------------------------------------------------------------------
 */

unsigned kernel_file_new(struct kernel *k, enum kernel_file_kind kind)
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
    f->client_reset = false;
    f->syn_tries = 0;
    f->told = false;
    f->refs = f->holds = f->watcher = f->tag = f->peer = f->uplink = 0;
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

void kernel_file_unhold(struct kernel *k, unsigned file)
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
        kernel_listener_closed(k, f);
    else if (f->kind == FILE_SOCKET)
        kernel_socket_closed(k, file, reset);
    else if (f->kind == FILE_UPLINK)
        kernel_uplink_closed(k, f, reset);
    else if (f->kind == FILE_CHANNEL)
        close_channel(k, f);
    kernel_file_unhold(k, file);
}

int kernel_fd_new(struct kernel *k, unsigned process, unsigned file)
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

bool kernel_fd_room(const struct kernel_process *p)
{
    for (uint32_t fd = p->fd_lowest; fd < p->fd_limit; fd++)
        if (p->fds[fd] == 0)
            return true;
    return false;
}

unsigned kernel_file_of(const struct kernel *k, unsigned process, int fd)
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
    if (!kernel_fd_room(&k->processes[process]))
        return -EMFILE;
    return kernel_fd_new(k, process, kernel_file_new(k, FILE_PLAIN));
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
    case FILE_UPLINK:
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

void kernel_tell_watcher(struct kernel *k, unsigned file)
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
    unsigned file = kernel_file_of(k, process, fd);
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
        kernel_tell_watcher(k, file);
}

static void unwatch_listener(struct kernel_listener *l, unsigned process)
{
    unsigned i = find_watcher(l, process);
    if (i < l->watcher_count)
        l->watchers[i] = l->watchers[--l->watcher_count];
}

void kernel_unwatch(struct kernel *k, unsigned process, int fd)
{
    struct kernel_file *f = &k->files[kernel_file_of(k, process, fd)];
    if (f->kind == FILE_LISTENER)
        unwatch_listener(&k->listeners[f->listener], process);
    else
        f->watcher = 0;
    f->told = false;
}

void kernel_forget_watcher(struct kernel *k, unsigned process)
{
    for (unsigned i = 0; i < k->listeners_used; i++)
        if (k->listeners[i].file != 0)
            unwatch_listener(&k->listeners[i], process);
}

/* The process looked: tell it again if there is more. */
void kernel_looked(struct kernel *k, unsigned process, unsigned file)
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
        kernel_tell_watcher(k, file);
}

/* ---- channels ---------------------------------------------------------------------------------
 */

int kernel_socketpair(struct kernel *k, unsigned process, int fds[2])
{
    if (!kernel_fd_room(&k->processes[process]))
        return -EMFILE;
    unsigned a = kernel_file_new(k, FILE_CHANNEL), b = kernel_file_new(k, FILE_CHANNEL);
    k->files[a].peer = (uint16_t)b;
    k->files[b].peer = (uint16_t)a;
    k->files[a].holds = k->files[b].holds = 1; /* the other end's */
    fds[0] = kernel_fd_new(k, process, a);
    fds[1] = kernel_fd_new(k, process, b);
    if (fds[1] >= 0)
        return 0;
    k->files[b].refs = 1; /* as if it had been opened, so that closing is one and the same */
    kernel_file_unref(k, b, false);
    kernel_close(k, process, fds[0]);
    return -EMFILE;
}

static uint16_t take_message(struct kernel_file *f, uint32_t *word)
{
    uint16_t passed = f->messages[f->message_first].passed;
    *word = f->messages[f->message_first].word;
    f->message_first = (uint8_t)((f->message_first + 1) % KERNEL_MESSAGES_MAX);
    f->message_count--;
    return passed;
}

/* What was sent to this end and is not read is lost. An end remembers the other until both are
 * closed. */
static void close_channel(struct kernel *k, struct kernel_file *f)
{
    uint32_t word;
    while (f->message_count > 0) {
        uint16_t passed = take_message(f, &word);
        if (passed != 0)
            kernel_file_unref(k, passed - 1u, false);
    }
    kernel_tell_watcher(k, f->peer);
    kernel_file_unhold(k, f->peer);
}

int kernel_channel_pass(struct kernel *k, unsigned process, int fd, uint32_t word, int passed)
{
    unsigned peer = k->files[kernel_file_of(k, process, fd)].peer;
    struct kernel_file *f = &k->files[peer];
    if (f->refs == 0)
        return -EPIPE;
    if (f->message_count == KERNEL_MESSAGES_MAX)
        return -EAGAIN;
    unsigned at = (f->message_first + f->message_count++) % KERNEL_MESSAGES_MAX;
    f->messages[at].word = word;
    f->messages[at].passed = 0;
    if (passed >= 0) {
        unsigned file = kernel_file_of(k, process, passed);
        kernel_file_ref(k, file);
        f->messages[at].passed = (uint16_t)(file + 1);
    }
    kernel_tell_watcher(k, peer);
    return 0;
}

int kernel_channel_send(struct kernel *k, unsigned process, int fd, uint32_t word)
{
    return kernel_channel_pass(k, process, fd, word, -1);
}

int kernel_channel_take(struct kernel *k, unsigned process, int fd, uint32_t *word, int *taken)
{
    unsigned file = kernel_file_of(k, process, fd);
    struct kernel_file *f = &k->files[file];
    int result = -EAGAIN;
    *taken = -1;
    if (f->message_count > 0) {
        uint16_t passed = take_message(f, word);
        if (passed != 0) {
            *taken = kernel_fd_new(k, process, passed - 1u);
            kernel_file_unref(k, passed - 1u, false);
        }
        result = 1;
    } else if (k->files[f->peer].refs == 0) {
        result = 0;
    }
    kernel_looked(k, process, file);
    return result;
}

/* Who does not ask for a descriptor gets none. */
int kernel_channel_recv(struct kernel *k, unsigned process, int fd, uint32_t *word)
{
    int taken, got = kernel_channel_take(k, process, fd, word, &taken);
    if (taken >= 0)
        kernel_close(k, process, taken);
    return got;
}
