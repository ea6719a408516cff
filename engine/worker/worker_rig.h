/* What the tests of the worker share: one worker process with a configuration, a listener and the
 * master's end of its channel in the test's hands, and clients that speak to it. */
#ifndef ENGINE_WORKER_WORKER_RIG_H
#define ENGINE_WORKER_WORKER_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/os/clock.h"
#include "engine/worker/worker.h"

enum { RIG_PATIENCE_MS = 20000, RIG_LOGS_MAX = 4 };

struct rig {
    char folder[48];
    uint16_t port;
    int listen_fd, channel, pid_fd;
    pid_t pid;
    struct conf *conf;
    struct scoreboard *board;
    uint64_t drain_ns;
    rlim_t fd_limit;  /* 0: as the test's own */
    int early_signal; /* sent while the worker's signals are still blocked */
};

static struct rig *rig;

/* ---- the worker ------------------------------------------------------------------------------ */

static inline void rig_path(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", rig->folder, name);
}

static inline int rig_setup(void **state)
{
    rig = calloc(1, sizeof *rig);
    *state = rig;
    rig->channel = rig->listen_fd = rig->pid_fd = -1;
    rig->drain_ns = 10 * NS_PER_S;
    snprintf(rig->folder, sizeof rig->folder, "/tmp/mw_worker_test.XXXXXX");
    return mkdtemp(rig->folder) == NULL ? -1 : 0;
}

static inline void rig_listen(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    rig->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(rig->listen_fd, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(listen(rig->listen_fd, 511), 0);
    assert_int_equal(getsockname(rig->listen_fd, (struct sockaddr *)&here, &len), 0);
    rig->port = ntohs(here.sin_port);
}

/* `main_text` stands outside, `http` inside the http block, where LISTEN is a listen directive. */
static inline void rig_load(const char *main_text, const char *http)
{
    char text[8192], path[128], prefix[64];
    struct conf_error error;
    const char *place = strstr(http, "LISTEN");
    assert_non_null(place);
    snprintf(text, sizeof text,
             "error_log error.log info;\n%s\nhttp {\naccess_log access.log;\n%.*slisten "
             "127.0.0.1:%u;%s\n}\n",
             main_text, (int)(place - http), http, rig->port, place + strlen("LISTEN"));
    rig_path(path, sizeof path, "test.conf");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    snprintf(prefix, sizeof prefix, "%s/", rig->folder);
    rig->conf = conf_load(path, prefix, NULL, &error);
    if (rig->conf == NULL)
        fail_msg("%s in line %u", error.message, error.line);
}

static inline _Noreturn void rig_become_worker(int channel)
{
    int fds[RIG_LOGS_MAX];
    const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        sigaction(crashes[i], &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    for (size_t i = 0; i < rig->conf->log_file_count; i++)
        fds[i] =
            open(rig->conf->log_files[i].path.at, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (rig->fd_limit != 0) {
        const struct rlimit limit = {rig->fd_limit, rig->fd_limit};
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    const struct worker_args args = {
        .conf = rig->conf,
        .slot = 2,
        .generation = 5,
        .board = rig->board,
        .row = &rig->board->rows[0],
        .listen_fds = &rig->listen_fd,
        .log_fds = fds,
        .channel_fd = channel,
        .drain_ns = rig->drain_ns,
    };
    _exit(worker_run(&args));
}

static inline void rig_fork(void)
{
    int pair[2];
    sigset_t all, before;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    rig->pid = fork();
    assert_true(rig->pid >= 0);
    if (rig->pid == 0) {
        close(pair[0]);
        if (rig->early_signal != 0)
            raise(rig->early_signal); /* blocked: it waits */
        rig_become_worker(pair[1]);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    rig->channel = pair[0];
    rig->pid_fd = (int)syscall(SYS_pidfd_open, rig->pid, 0);
    assert_true(rig->pid_fd >= 0);
}

static inline bool rig_wait_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, RIG_PATIENCE_MS) == 1;
}

static inline void rig_hear(enum channel_kind kind)
{
    struct channel_message message;
    assert_true(rig_wait_readable(rig->channel));
    assert_int_equal(recv(rig->channel, &message, sizeof message, 0), sizeof message);
    assert_int_equal(message.kind, kind);
    assert_int_equal(message.value, 5);
}

static inline void rig_order(enum channel_kind kind)
{
    const struct channel_message message = {kind, 0};
    assert_int_equal(send(rig->channel, &message, sizeof message, 0), sizeof message);
}

/* Starts the worker; it is poised. */
static inline void rig_start_on_trial(const char *main_text, const char *http)
{
    char path[128];
    int err;
    rig_listen();
    rig_load(main_text, http);
    rig_path(path, sizeof path, "error.log");
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    rig->board = scoreboard_new(&err);
    assert_non_null(rig->board);
    rig->board->rows[0].state = SCORE_READY;
    rig_fork();
    rig_hear(CHANNEL_POISED);
}

static inline void rig_go(void)
{
    rig_order(CHANNEL_GO);
    rig_hear(CHANNEL_READY);
}

/* Starts the worker and waits until it says that it accepts. */
static inline void rig_start(const char *main_text, const char *http)
{
    rig_start_on_trial(main_text, http);
    rig_go();
}

/* Waits for the worker's end; its wait status. */
static inline int rig_wait_exit(void)
{
    int status = 0;
    if (!rig_wait_readable(rig->pid_fd))
        fail_msg("the worker has not ended within %d ms", RIG_PATIENCE_MS);
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    rig->pid = 0;
    return status;
}

/* Waits until `what` holds of the worker's counters. */
#define RIG_UNTIL(what)                                                                            \
    do {                                                                                           \
        uint64_t until_ns_ = clock_now_ns() + RIG_PATIENCE_MS * NS_PER_MS;                         \
        while (!(what)) {                                                                          \
            if (clock_now_ns() > until_ns_)                                                        \
                fail_msg("waited in vain for %s", #what);                                          \
            poll(NULL, 0, 1);                                                                      \
        }                                                                                          \
    } while (0)
#define RIG_COUNTER(name) SCORE_GET(rig->board->rows[0].counters.name)

static inline int rig_remove_one(const char *path, const struct stat *stat, int flag,
                                 struct FTW *where)
{
    (void)stat;
    (void)flag;
    (void)where;
    return remove(path);
}

static inline int rig_teardown(void **state)
{
    (void)state;
    if (rig->pid > 0) {
        kill(rig->pid, SIGKILL);
        waitpid(rig->pid, NULL, 0);
    }
    const int fds[] = {rig->channel, rig->listen_fd, rig->pid_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (rig->board != NULL)
        scoreboard_free(rig->board);
    conf_free(rig->conf);
    int gone = nftw(rig->folder, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(rig);
    return gone;
}

/* ---- clients --------------------------------------------------------------------------------- */

struct rig_client {
    int fd;
    char bytes[1 << 16]; /* received and not used up */
    size_t len;
    char head[8192], body[1 << 16];
    size_t body_len;
};

static inline struct rig_client *rig_connect(void)
{
    struct rig_client *client = calloc(1, sizeof *client);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(rig->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = RIG_PATIENCE_MS / 1000};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&to, sizeof to), 0);
    return client;
}

static inline void client_close(struct rig_client *client)
{
    close(client->fd);
    free(client);
}

static inline void client_send_bytes(struct rig_client *client, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t sent = send(client->fd, at, len, MSG_NOSIGNAL);
        if (sent < 0)
            fail_msg("send: %s", strerror(errno));
        at += sent;
        len -= (size_t)sent;
    }
}

static inline void client_send(struct rig_client *client, const char *text)
{
    client_send_bytes(client, text, strlen(text));
}

/* Receives once: bytes, 0 at the end, -errno. */
static inline ssize_t client_receive(struct rig_client *client)
{
    assert_true(client->len < sizeof client->bytes - 1);
    ssize_t got =
        recv(client->fd, client->bytes + client->len, sizeof client->bytes - 1 - client->len, 0);
    if (got < 0)
        return -errno;
    client->len += (size_t)got;
    client->bytes[client->len] = '\0';
    return got;
}

static inline void client_take(struct rig_client *client, char *out, size_t len)
{
    memcpy(out, client->bytes, len);
    out[len] = '\0';
    memmove(client->bytes, client->bytes + len, client->len - len + 1);
    client->len -= len;
}

/* Reads one answer with a Content-Length (or none at all: 1xx) and returns its status. */
static inline int client_answer(struct rig_client *client)
{
    const char *end;
    while ((end = strstr(client->bytes, "\r\n\r\n")) == NULL)
        if (client_receive(client) <= 0)
            fail_msg("no answer but the end, after \"%s\"", client->bytes);
    client_take(client, client->head, (size_t)(end - client->bytes) + 4);
    const char *length = strstr(client->head, "Content-Length: ");
    client->body_len = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
    assert_true(client->body_len < sizeof client->body);
    while (client->len < client->body_len)
        if (client_receive(client) <= 0)
            fail_msg("the answer ends before its length");
    client_take(client, client->body, client->body_len);
    return (int)strtol(client->head + 9, NULL, 10);
}

static inline int client_ask(struct rig_client *client, const char *request)
{
    client_send(client, request);
    return client_answer(client);
}

static inline bool client_told(const struct rig_client *client, const char *words)
{
    return strstr(client->head, words) != NULL;
}

/* Does the connection end properly, not with a reset and not with more bytes? */
static inline bool client_sees_end(struct rig_client *client)
{
    return client_receive(client) == 0;
}

#endif
