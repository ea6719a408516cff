/* The floor: the least that a server on this kernel can do for a request. One process, one epoll
 * descriptor, one recv and one send for a request, answers made beforehand, no timers, no limits,
 * no logs, no checks of what is asked: not a server, a measure. `make bench` compares with it.
 *
 *     mw-floor PORT    answers /bytes/N with N bytes (N from a fixed list), and everything else
 * with 100; closes after the answer where the request says "Connection: close" */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, FDS_MAX = 65536, REQUEST_MAX = 4096, SMALL_BYTES = 16384 };

/* An answer made beforehand; large bodies are sent from a file in memory. */
struct answer {
    size_t bytes; /* of the body */
    char head[160];
    size_t head_len;
    char *whole; /* head and body, where small */
    int fd;      /* the body's file, where not */
};

/* What is under way on a descriptor: only large answers ever wait for room. */
struct place {
    const struct answer *answer;
    size_t sent;
    bool closes;
};

static struct answer answers[] = {{.bytes = 100}, {.bytes = 65536}, {.bytes = 1048576}};
static struct place places[FDS_MAX];

static void fail(const char *what)
{
    fprintf(stderr, "mw-floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void answer_make(struct answer *answer)
{
    answer->head_len = (size_t)snprintf(answer->head, sizeof answer->head,
                                        "HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Type: "
                                        "text/plain\r\nContent-Length: %zu\r\n\r\n",
                                        answer->bytes);
    char *body = malloc(answer->head_len + answer->bytes);
    if (body == NULL)
        fail("malloc");
    memcpy(body, answer->head, answer->head_len);
    memset(body + answer->head_len, 'f', answer->bytes); /* nobody else's answers are of f */
    answer->whole = body;
    if (answer->bytes <= SMALL_BYTES)
        return;
    answer->fd = memfd_create("floor", MFD_CLOEXEC);
    if (answer->fd < 0 || write(answer->fd, body + answer->head_len, answer->bytes) < 0)
        fail("memfd");
}

static const struct answer *answer_for(const char *request)
{
    const char *number = strstr(request, "/bytes/");
    size_t bytes = number == NULL ? 100 : strtoul(number + 7, NULL, 10);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (answers[i].bytes == bytes)
            return &answers[i];
    return &answers[0];
}

static void watch(int epoll, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.fd = fd}};
    if (epoll_ctl(epoll, op, fd, &event) != 0)
        fail("epoll_ctl");
}

/* Sends what is left of a large answer; false: the socket is full. */
static bool send_file(int fd, struct place *place)
{
    off_t at = (off_t)place->sent;
    while ((size_t)at < place->answer->bytes)
        if (sendfile(fd, place->answer->fd, &at, place->answer->bytes - (size_t)at) <= 0)
            break;
    place->sent = (size_t)at;
    return place->sent == place->answer->bytes;
}

static void answered(int epoll, int fd, struct place *place, bool waited)
{
    place->answer = NULL;
    if (place->closes)
        close(fd);
    else if (waited)
        watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
}

/* Answers the request that has come; false: none has. */
static bool serve_request(int epoll, int fd, bool watched)
{
    char request[REQUEST_MAX + 1];
    ssize_t len = recv(fd, request, REQUEST_MAX, 0);
    if (len < 0 && errno == EAGAIN)
        return false;
    if (len <= 0) {
        close(fd);
        return true;
    }
    request[len] = '\0';
    const struct answer *answer = answer_for(request);
    struct place *place = &places[fd];
    bool small = answer->fd == 0;
    *place = (struct place){answer, small ? answer->bytes : 0, strstr(request, "close") != NULL};
    if (send(fd, answer->whole, answer->head_len + place->sent,
             MSG_NOSIGNAL | (small ? 0 : MSG_MORE)) < 0)
        place->closes = true; /* it has gone */
    else if (!small && !send_file(fd, place)) {
        watch(epoll, watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, EPOLLOUT);
        return true;
    }
    if (!watched && !place->closes)
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    answered(epoll, fd, place, false);
    return true;
}

static void serve(int epoll, int fd)
{
    struct place *place = &places[fd];
    if (place->answer == NULL)
        serve_request(epoll, fd, true);
    else if (send_file(fd, place))
        answered(epoll, fd, place, true);
}

/* Takes all that wait; a request that came with its connection is answered at once. */
static void serve_newcomers(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0 && fd < FDS_MAX) {
        places[fd].answer = NULL;
        if (!serve_request(epoll, fd, false))
            watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static int open_listener(const char *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* connections inherit it */
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(fd, 511) != 0)
        fail("listen");
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: mw-floor PORT\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        answer_make(&answers[i]);
    signal(SIGPIPE, SIG_IGN);
    int listener = open_listener(argv[1]), epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                serve_newcomers(epoll, listener);
            else
                serve(epoll, events[i].data.fd);
        }
    }
}
