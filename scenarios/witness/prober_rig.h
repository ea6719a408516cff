/* For the prober's tests: a prober in a child process, and a server that does exactly what a test
 * says, one connection at a time. Every wait is bounded; a test that fails leaves no process. */
#ifndef SCENARIOS_WITNESS_PROBER_RIG_H
#define SCENARIOS_WITNESS_PROBER_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenarios/history/hist.h"
#include "scenarios/witness/prober_command.h"
#include "scenarios/witness/prober_loop.h"
#include "scenarios/witness/prober_pool.h"
#include "scenarios/witness/prober_report.h"

enum { RIG_PATIENCE_MS = 20000, RIG_REQUEST_MAX = 65536 };

struct rig {
    int listener;
    struct sockaddr_in address;
    pid_t child;
    int commands; /* the child's stdin */
    int reports;  /* the child's stdout */
    char line[65536];
    size_t line_len;
    char folder[64], history[96];
    struct hist seen;
};

/* One accepted connection. */
struct rig_peer {
    int fd;
    uint64_t conn;  /* as the history names it */
    uint64_t nonce; /* of the request read last */
    uint64_t requests;
    size_t len;
    char text[RIG_REQUEST_MAX];
};

#define RIG_CHECK(condition)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            rig_die(#condition, __LINE__);                                                         \
    } while (0)

static pid_t rig_child; /* killed if a check fails */

static inline void rig_die(const char *condition, int line)
{
    fprintf(stderr, "prober_rig.h:%d: %s does not hold\n", line, condition);
    if (rig_child > 0)
        kill(rig_child, SIGKILL);
    abort();
}

/* A socket that has a port but does not listen: who connects is refused. */
static inline void rig_open(struct rig *rig)
{
    socklen_t len = sizeof(rig->address);
    signal(SIGPIPE, SIG_IGN); /* a prober that has ended reads no commands */
    memset(rig, 0, sizeof(*rig));
    rig->commands = -1;
    rig->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rig->address.sin_family = AF_INET;
    rig->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    RIG_CHECK(rig->listener >= 0);
    RIG_CHECK(bind(rig->listener, (struct sockaddr *)&rig->address, len) == 0);
    RIG_CHECK(getsockname(rig->listener, (struct sockaddr *)&rig->address, &len) == 0);
    strcpy(rig->folder, "/tmp/prober_rig.XXXXXX");
    RIG_CHECK(mkdtemp(rig->folder) != NULL);
    snprintf(rig->history, sizeof(rig->history), "%s/prober.mwh", rig->folder);
}

/* Adds the populations, which stand apart by blanks. */
static inline bool rig_populate(struct prober *p, const char *specs, char *why, size_t why_size)
{
    struct prober_spec spec;
    char text[1024], *rest = text, *one;
    snprintf(text, sizeof(text), "%s", specs);
    while ((one = strsep(&rest, " ")) != NULL)
        if (prober_spec_parse(&spec, one, why, why_size) < 0 || prober_pool_add(p, &spec) != NULL)
            return false;
    return true;
}

/* The child: mw-prober's main without its options. */
static inline int rig_prober(const struct rig *rig, const char *specs, const char *sources)
{
    static struct prober p;
    char why[512] = "";
    p.target = rig->address;
    if (prober_loop_init(&p, 1) < 0 || !rig_populate(&p, specs, why, sizeof(why)) ||
        prober_sources_parse(&p.source_first, &p.source_count, sources, why, sizeof(why)) < 0 ||
        hist_open(&p.history, rig->history, HIST_PROBER) < 0) {
        fprintf(stderr, "the prober does not start: %s\n", why);
        return 99;
    }
    ev_set_userdata(p.loop, &p);
    prober_report_open();
    prober_command_open(&p);
    int code = prober_loop_run(&p);
    hist_close(&p.history);
    prober_pool_free(&p);
    ev_loop_destroy(p.loop);
    return code;
}

static inline void rig_start(struct rig *rig, const char *specs, const char *sources)
{
    int in[2], out[2];
    RIG_CHECK(pipe(in) == 0 && pipe(out) == 0);
    rig->child = rig_child = fork();
    RIG_CHECK(rig->child >= 0);
    if (rig->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        close(rig->listener);
        exit(rig_prober(rig, specs, sources));
    }
    close(in[0]);
    close(out[1]);
    rig->commands = in[1];
    rig->reports = out[0];
}

static inline void rig_say(struct rig *rig, const char *command)
{
    RIG_CHECK(write(rig->commands, command, strlen(command)) == (ssize_t)strlen(command));
}

static inline bool rig_wait(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

/* The number behind the first such key of a line. */
static inline uint64_t rig_number(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* The prober's next line; it is good until the one after. */
static inline const char *rig_line(struct rig *rig)
{
    static char line[sizeof(rig->line)];
    char *end;
    while ((end = memchr(rig->line, '\n', rig->line_len)) == NULL) {
        RIG_CHECK(rig_wait(rig->reports, RIG_PATIENCE_MS));
        ssize_t n =
            read(rig->reports, rig->line + rig->line_len, sizeof(rig->line) - rig->line_len);
        RIG_CHECK(n > 0);
        rig->line_len += (size_t)n;
    }
    *end = '\0';
    size_t used = (size_t)(end + 1 - rig->line);
    memcpy(line, rig->line, used);
    rig->line_len -= used;
    memmove(rig->line, rig->line + used, rig->line_len);
    return line;
}

/* Waits until the prober reports that so many requests have ended. */
static inline void rig_ended(struct rig *rig, uint64_t count)
{
    uint64_t ended;
    do {
        const char *line = rig_line(rig);
        ended = rig_number(line, "\"ok\":") + rig_number(line, "\"failed\":");
    } while (ended < count);
}

/* A line of progress that tells of no time before this call. */
static inline const char *rig_progress(struct rig *rig)
{
    uint64_t from_ns = hist_now_ns();
    const char *line;
    do
        line = rig_line(rig);
    while (rig_number(line, "\"t_ns\":") < from_ns);
    return line;
}

/* Waits until so many requests of the first population wait for a connection. */
static inline void rig_waiting(struct rig *rig, uint64_t count)
{
    while (rig_number(rig_line(rig), "\"waiting\":") < count)
        ;
}

/* Waits until the prober has ended by itself. */
static inline void rig_over(struct rig *rig)
{
    do
        RIG_CHECK(rig_wait(rig->reports, RIG_PATIENCE_MS));
    while (read(rig->reports, rig->line, sizeof(rig->line)) > 0);
}

static inline void rig_accept(struct rig *rig, struct rig_peer *peer)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    memset(peer, 0, sizeof(*peer));
    RIG_CHECK(rig_wait(rig->listener, RIG_PATIENCE_MS));
    peer->fd = accept4(rig->listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
    RIG_CHECK(peer->fd >= 0);
    peer->conn = hist_conn(from.sin_addr.s_addr, ntohs(from.sin_port));
}

/* Reads until the text holds `until`; what lies behind stays for the next call. */
static inline void rig_read(struct rig_peer *peer, const char *until)
{
    char *end;
    while ((end = strstr(peer->text, until)) == NULL) {
        RIG_CHECK(peer->len + 1 < sizeof(peer->text));
        RIG_CHECK(rig_wait(peer->fd, RIG_PATIENCE_MS));
        ssize_t n = recv(peer->fd, peer->text + peer->len, sizeof(peer->text) - 1 - peer->len, 0);
        RIG_CHECK(n > 0);
        peer->len += (size_t)n;
        peer->text[peer->len] = '\0';
    }
    char *nonce = strstr(peer->text, "X-Mw-Nonce: ");
    if (nonce != NULL && nonce < end)
        peer->nonce = strtoull(nonce + 12, NULL, 10);
    size_t used = (size_t)(end - peer->text) + strlen(until);
    peer->len -= used;
    memmove(peer->text, peer->text + used, peer->len + 1);
}

/* Reads the head of a request. */
static inline void rig_request(struct rig_peer *peer)
{
    rig_read(peer, "\r\n\r\n");
    peer->requests++;
}

/* Sends a text in which {n} stands for the nonce and {l} for the length of "NONCE 7\n". */
static inline void rig_send(struct rig_peer *peer, const char *format)
{
    char nonce[24], length[24], out[4096];
    size_t len = 0;
    int digits = snprintf(nonce, sizeof(nonce), "%" PRIu64, peer->nonce);
    snprintf(length, sizeof(length), "%d", digits + 3);
    for (const char *at = format; *at != '\0';) {
        const char *word = strncmp(at, "{n}", 3) == 0   ? nonce
                           : strncmp(at, "{l}", 3) == 0 ? length
                                                        : NULL;
        RIG_CHECK(len + sizeof(nonce) < sizeof(out));
        if (word != NULL) {
            len += (size_t)snprintf(out + len, sizeof(out) - len, "%s", word);
            at += 3;
        } else {
            out[len++] = *at++;
        }
    }
    RIG_CHECK(send(peer->fd, out, len, MSG_NOSIGNAL) == (ssize_t)len);
}

/* Closes with a reset. */
static inline void rig_reset(struct rig_peer *peer)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(peer->fd);
    peer->fd = -1;
}

/* Waits until the client has closed or reset. */
static inline void rig_drain(struct rig_peer *peer)
{
    char sink[4096];
    do
        RIG_CHECK(rig_wait(peer->fd, RIG_PATIENCE_MS));
    while (recv(peer->fd, sink, sizeof(sink), 0) > 0);
}

/* The prober does nothing until rig_continue(): what comes meanwhile it finds at once. */
static inline void rig_suspend(struct rig *rig)
{
    int status;
    RIG_CHECK(kill(rig->child, SIGSTOP) == 0);
    RIG_CHECK(waitpid(rig->child, &status, WUNTRACED) == rig->child && WIFSTOPPED(status));
}

static inline void rig_continue(struct rig *rig)
{
    RIG_CHECK(kill(rig->child, SIGCONT) == 0);
}

/* Which of the two has sent something? */
static inline struct rig_peer *rig_either(struct rig_peer *a, struct rig_peer *b)
{
    struct pollfd fds[2] = {{.fd = a->fd, .events = POLLIN}, {.fd = b->fd, .events = POLLIN}};
    char byte;
    for (int waited = 0; waited < RIG_PATIENCE_MS; waited += 10) {
        poll(fds, 2, 10);
        if (recv(a->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
            return a;
        if (recv(b->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
            return b;
    }
    rig_die("one of them sends something", __LINE__);
    return NULL;
}

/* Ends everything and reads the history. Returns the prober's exit code. */
static inline int rig_finish(struct rig *rig)
{
    int status = 0, waited = 0;
    char why[256] = "";
    if (rig->commands >= 0) {
        ssize_t n = write(rig->commands, "quit\n", 5);
        (void)n; /* it may have ended by itself */
        close(rig->commands);
    }
    close(rig->reports);
    close(rig->listener);
    while (waitpid(rig->child, &status, WNOHANG) == 0) {
        RIG_CHECK((waited += 10) < RIG_PATIENCE_MS);
        poll(NULL, 0, 10);
    }
    rig_child = 0;
    RIG_CHECK(WIFEXITED(status));
    if (hist_read(&rig->seen, rig->history, why, sizeof(why)) != 0)
        rig_die(why, __LINE__);
    unlink(rig->history);
    rmdir(rig->folder);
    return WEXITSTATUS(status);
}

/* The one record of this kind about this request or connection; NULL if there is none or several.
 */
static inline const struct hist_record *rig_find(const struct rig *rig, unsigned kind,
                                                 uint64_t conn, uint64_t req)
{
    const struct hist_record *found = NULL;
    for (size_t i = 0; i < rig->seen.count; i++) {
        const struct hist_record *r = &rig->seen.records[i];
        if (r->kind != kind || (conn != 0 && r->conn != conn) || (req != 0 && r->req != req))
            continue;
        if (found != NULL)
            return NULL;
        found = r;
    }
    return found;
}

#endif
