/* Opening, taking over and closing the master's listening sockets. */
#include "engine/master/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "faultinject/fault.h"
#include "scenarios/history/hist.h"

/* NULL unless it is a socket with a path. */
static const char *unix_path(const struct sockaddr_storage *addr)
{
    const char *path = ((const struct sockaddr_un *)addr)->sun_path;
    return addr->ss_family == AF_UNIX && path[0] != '\0' ? path : NULL;
}

/* The kernel may count a path's last byte differently than we do, so paths are compared as text. */
static bool same_address(const struct listener *l, const struct conf_listen *want)
{
    const char *a = unix_path(&l->addr), *b = unix_path(&want->addr);
    if (a != NULL || b != NULL)
        return a != NULL && b != NULL && strcmp(a, b) == 0;
    return l->addr_len == want->addr_len && memcmp(&l->addr, &want->addr, want->addr_len) == 0;
}

static struct listener *find(const struct listeners *set, const struct conf_listen *want,
                             uint32_t part)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->at[i].part == part && same_address(&set->at[i], want))
            return &set->at[i];
    return NULL;
}

static const struct conf_listen *named_by(const struct listener *l, const struct conf *conf)
{
    for (size_t i = 0; conf != NULL && i < conf->listen_count; i++)
        if (same_address(l, &conf->listens[i]))
            return &conf->listens[i];
    return NULL;
}

static uint16_t port_of(const struct sockaddr_storage *addr)
{
    if (addr->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)addr)->sin_port);
    if (addr->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)addr)->sin6_port);
    return 0;
}

static void record(enum hist_kind kind, const struct listener *l)
{
    struct hist_record r = {.kind = (uint16_t)kind, .slot = -1};
    r.pid = (uint32_t)getpid();
    r.a = port_of(&l->addr);
    r.b = (uint64_t)l->backlog;
    if (kind == HIST_ENGINE_UNLISTEN)
        r.b = 0;
    hist_put(&hist_self, &r);
}

static int add(struct listeners *set, const struct listener *l)
{
    struct listener *at = sys_realloc(set->at, (set->count + 1) * sizeof(*at));
    if (at == NULL)
        return -ENOMEM;
    set->at = at;
    set->at[set->count++] = *l;
    return 0;
}

/* ---- opening --------------------------------------------------------------------------- */

static int fail(struct listeners_error *error, const char *what, const struct conf_listen *want,
                int err)
{
    snprintf(error->text, sizeof(error->text), "%s %s failed (%d: %s)", what, want->text.at, -err,
             strerror(-err));
    return err;
}

/* Options that may differ from one configuration to the next on the same socket. */
static int configure(int fd, const struct conf_listen *want)
{
    const struct {
        bool wanted;
        int level, name, value;
    } options[] = {
        {want->rcvbuf > 0, SOL_SOCKET, SO_RCVBUF, want->rcvbuf},
        {want->sndbuf > 0, SOL_SOCKET, SO_SNDBUF, want->sndbuf},
        {want->so_keepalive, SOL_SOCKET, SO_KEEPALIVE, 1},
        {want->keepalive_idle_s > 0, IPPROTO_TCP, TCP_KEEPIDLE, want->keepalive_idle_s},
        {want->keepalive_interval_s > 0, IPPROTO_TCP, TCP_KEEPINTVL, want->keepalive_interval_s},
        {want->keepalive_count > 0, IPPROTO_TCP, TCP_KEEPCNT, want->keepalive_count},
        {want->fastopen > 0, IPPROTO_TCP, TCP_FASTOPEN, want->fastopen},
        {want->addr.ss_family != AF_UNIX, IPPROTO_TCP, TCP_DEFER_ACCEPT, want->deferred},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (!options[i].wanted)
            continue;
        int err = sys_setsockopt_int(fd, options[i].level, options[i].name, options[i].value);
        if (err < 0)
            return err;
    }
    return 0;
}

static int backlog_of(const struct conf_listen *want)
{
    return fault_sabotage(FAULT_sabotage_tiny_backlog) ? 1 : want->backlog;
}

/* A path that nobody listens on is what a killed server left behind. */
static bool is_stale(const struct conf_listen *want)
{
    int fd = sys_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    int err = sys_connect(fd, (const struct sockaddr *)&want->addr, want->addr_len);
    sys_close(fd);
    return err == -ECONNREFUSED;
}

static int bind_one(int fd, const struct conf_listen *want)
{
    const struct sockaddr *addr = (const struct sockaddr *)&want->addr;
    const char *path = unix_path(&want->addr);
    int err = sys_bind(fd, addr, want->addr_len);

    if (err == -EADDRINUSE && path != NULL && is_stale(want) && sys_unlink(path) == 0)
        err = sys_bind(fd, addr, want->addr_len);
    if (err == 0 && path != NULL)
        err = sys_chmod(path, 0666); /* as nginx: anybody may connect */
    return err;
}

static int open_socket(const struct conf_listen *want, struct listeners_error *error)
{
    int err, fd = sys_socket(want->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(error, "socket() for", want, fd);
    err = sys_setsockopt_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (err == 0 && want->reuseport)
        err = sys_setsockopt_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (err == 0 && want->addr.ss_family == AF_INET6)
        err = sys_setsockopt_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, want->ipv6only);
    if (err == 0)
        err = configure(fd, want);
    if (err < 0) {
        fail(error, "setsockopt() for", want, err);
    } else if ((err = bind_one(fd, want)) < 0) {
        fail(error, "bind() to", want, err);
    } else {
        return fd;
    }
    sys_close(fd);
    return err;
}

static int open_listener(struct listeners *set, const struct conf_listen *want, uint32_t part,
                         struct listeners_error *error)
{
    struct listener l = {.addr = want->addr, .addr_len = want->addr_len, .part = part};
    l.backlog = backlog_of(want);
    l.fd = open_socket(want, error);
    if (l.fd < 0)
        return l.fd;
    int err = sys_listen(l.fd, l.backlog);
    if (err == 0)
        err = add(set, &l);
    if (err < 0) {
        fail(error, "listen() on", want, err);
        const char *path = unix_path(&want->addr);
        if (path != NULL)
            sys_unlink(path);
        sys_close(l.fd);
        return err;
    }
    record(HIST_ENGINE_LISTEN, &l);
    return l.fd;
}

/* A socket that is there already gets what the new configuration says of it. That it cannot be
 * changed is no reason to refuse: it listens. */
static int reuse(struct listener *l, const struct conf_listen *want)
{
    int backlog = backlog_of(want);
    int err = configure(l->fd, want);
    if (err == 0 && want->reuseport) /* others may join it */
        err = sys_setsockopt_int(l->fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (err == 0 && backlog != l->backlog)
        err = sys_listen(l->fd, backlog);
    if (err < 0)
        log_line(LEVEL_WARN, "options of listening socket %s could not be changed (%d: %s)",
                 want->text.at, -err, strerror(-err));
    else
        l->backlog = backlog;
    return l->fd;
}

static void close_one(struct listeners *set, size_t i)
{
    struct listener *l = &set->at[i];
    const char *path = unix_path(&l->addr);

    sys_close(l->fd);
    bool ours = !set->shared && !l->lent;
    if (path != NULL && (ours || fault_sabotage(FAULT_sabotage_unlink_path)))
        sys_unlink(path);
    record(HIST_ENGINE_UNLISTEN, l);
    *l = set->at[--set->count];
}

int listeners_open(struct listeners *set, const struct conf *conf, int *fds,
                   struct listeners_error *error)
{
    size_t had = set->count;

    for (size_t i = 0; i < conf->listen_count; i++) {
        const struct conf_listen *want = &conf->listens[i];
        struct listener *l = find(set, want, 0);
        fds[i] = l != NULL ? reuse(l, want) : open_listener(set, want, 0, error);
        if (fds[i] >= 0)
            continue;
        while (set->count > had)
            close_one(set, set->count - 1);
        return fds[i];
    }
    return 0;
}

/* One for each worker if that is asked for, and all that are there: clients may wait in them. */
static int open_parts_of(struct listeners *set, const struct conf *conf, size_t i,
                         struct listen_part *parts, size_t *count, struct listeners_error *error)
{
    const struct conf_listen *want = &conf->listens[i];
    bool several = want->reuseport && want->addr.ss_family != AF_UNIX;
    for (uint32_t part = 1;; part++) {
        struct listener *l = find(set, want, part);
        if (l == NULL && (!several || part >= conf->workers))
            return 0;
        int fd = l != NULL ? reuse(l, want) : open_listener(set, want, part, error);
        if (fd < 0)
            return fd;
        parts[(*count)++] = (struct listen_part){.fd = fd, .listen = i, .part = part};
    }
}

int listeners_open_parts(struct listeners *set, const struct conf *conf, struct listen_part **parts,
                         size_t *count, struct listeners_error *error)
{
    size_t had = set->count, most = set->count + conf->listen_count * conf->workers;
    int err = 0;
    *count = 0;
    *parts = sys_calloc(most + 1, sizeof(**parts));
    if (*parts == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < conf->listen_count && err == 0; i++)
        err = open_parts_of(set, conf, i, *parts, count, error);
    while (err < 0 && set->count > had)
        close_one(set, set->count - 1);
    return err;
}

/* ---- taking over ----------------------------------------------------------------------- */

static bool same_socket_address(const struct listener *a, const struct listener *b)
{
    return unix_path(&a->addr) == NULL && a->addr_len == b->addr_len &&
           memcmp(&a->addr, &b->addr, a->addr_len) == 0;
}

static int take_over(struct listeners *set, int fd, bool lent)
{
    struct listener l = {.fd = fd, .backlog = -1, .lent = lent};
    int listening = 0;

    l.addr_len = sizeof(l.addr);
    if (sys_getsockopt_int(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening) < 0 || !listening ||
        sys_getsockname(fd, &l.addr, &l.addr_len) < 0) {
        log_line(LEVEL_WARN, "inherited descriptor %d is not a listening socket", fd);
        return 0;
    }
    for (size_t i = 0; i < set->count; i++)
        l.part += same_socket_address(&set->at[i], &l);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return add(set, &l);
}

int listeners_inherit(struct listeners *set, const char *words, int count)
{
    int err = 0;

    for (int fd = 3; words == NULL && fd < 3 + count && err == 0; fd++)
        err = take_over(set, fd, true);
    while (words != NULL && *words != '\0' && err == 0) {
        char *end;
        long fd = strtol(words, &end, 10);
        if (end == words || *end != ';') {
            log_line(LEVEL_WARN, "inherited listeners are not understood from \"%s\" on", words);
            return 0;
        }
        err = take_over(set, (int)fd, false);
        words = end + 1;
    }
    return err;
}

/* ---- closing --------------------------------------------------------------------------- */

void listeners_keep(struct listeners *set, const struct conf *conf)
{
    for (size_t i = set->count; i-- > 0;)
        if (named_by(&set->at[i], conf) == NULL)
            close_one(set, i);
}

void listeners_drop_in_child(const struct listeners *set, const struct conf *conf)
{
    for (size_t i = 0; i < set->count; i++)
        if (named_by(&set->at[i], conf) == NULL)
            sys_close(set->at[i].fd);
}

/* Connecting a listening socket to nowhere (AF_UNSPEC) takes it out of listening, whoever holds a
 * copy of it; its address stays bound. */
void listeners_stop(const struct listeners *set)
{
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    for (size_t i = 0; i < set->count; i++)
        sys_connect(set->at[i].fd, &nowhere, sizeof(nowhere));
}

void listeners_resume(const struct listeners *set)
{
    for (size_t i = 0; i < set->count; i++)
        sys_listen(set->at[i].fd, set->at[i].backlog);
}
