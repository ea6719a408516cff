/* What the tests of requests share: a configuration in a folder of its own, a request from text,
 * its answer as text. No process, no loop: time passes when the test says so. */
#ifndef ENGINE_HTTP_HTTP_FIXTURE_H
#define ENGINE_HTTP_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/http/access_log.h"
#include "engine/http/exchange.h"
#include "engine/os/clock.h"

enum { FIXTURE_BODY_MAX = 1 << 20, FIXTURE_LOGS_MAX = 4 };

struct http_fixture {
    char folder[48];
    struct conf *conf;
    struct scoreboard *board;
    struct zones *zones;
    struct http_site site;
    struct access_logs logs;
    struct http_client client;
    struct exchange x;
    char request[8192];
    char head[8192];
    char body[FIXTURE_BODY_MAX + 1];
    size_t body_len;
    bool running; /* an exchange has begun and not ended */
};

static struct http_fixture *fx;

static inline void fixture_path(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", fx->folder, name);
}

static inline void fixture_file(const char *name, const char *text, time_t modified)
{
    char path[128];
    fixture_path(path, sizeof path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    const struct timespec times[2] = {{.tv_sec = modified}, {.tv_sec = modified}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static inline void fixture_folder(const char *name)
{
    char path[128];
    fixture_path(path, sizeof path, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static inline void fixture_slurp(const char *name, char *out, size_t size)
{
    char path[128];
    fixture_path(path, sizeof path, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(out, 1, size - 1, file);
    fclose(file);
    out[len] = '\0';
}

/* A socket with an address, for $server_port and redirects. */
static inline int fixture_socket(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    return fd;
}

#define ZONE_KIND(symbol, directive) extern const struct zone_kind zone_kind_##symbol;
#include "engine/conf/zones.def"
#undef ZONE_KIND

/* The zones of the configuration, as the master opens them. */
static inline struct zones *fixture_zones(void)
{
    static const struct zone_kind *const kinds[] = {
#define ZONE_KIND(symbol, directive) [CONF_ZONE_##symbol] = &zone_kind_##symbol,
#include "engine/conf/zones.def"
#undef ZONE_KIND
    };
    struct zone_wish wishes[8];
    int err;
    assert_true(fx->conf->zone_count <= 8);
    for (size_t i = 0; i < fx->conf->zone_count; i++) {
        const struct conf_zone *zone = &fx->conf->zones[i];
        wishes[i] = (struct zone_wish){zone->name.at, kinds[zone->kind], zone->size};
    }
    struct zones *zones = zones_open(wishes, fx->conf->zone_count, NULL, &err);
    assert_non_null(zones);
    return zones;
}

/* `http` is the inside of the http block; %s in it becomes the fixture's folder. */
static inline void fixture_load(const char *http)
{
    char text[16384], path[128];
    struct conf_error error;
    int len = snprintf(text, sizeof text, "events {}\nhttp {\naccess_log off;\n");
    for (const char *at = http; *at != '\0'; at++) {
        bool folder = at[0] == '%' && at[1] == 's';
        len += snprintf(text + len, sizeof text - (size_t)len, "%.*s",
                        folder ? (int)strlen(fx->folder) : 1, folder ? fx->folder : at);
        at += folder;
    }
    snprintf(text + len, sizeof text - (size_t)len, "\n}\n");
    fixture_path(path, sizeof path, "error.log");
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    fixture_file("test.conf", text, 0);
    fixture_path(path, sizeof path, "test.conf");
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s/", fx->folder);
    fx->conf = conf_load(path, prefix, NULL, &error);
    if (fx->conf == NULL)
        fail_msg("%s in line %u", error.message, error.line);
    assert_true(fx->conf->log_file_count <= FIXTURE_LOGS_MAX);
    int fds[FIXTURE_LOGS_MAX];
    for (size_t i = 0; i < fx->conf->log_file_count; i++)
        fds[i] =
            open(fx->conf->log_files[i].path.at, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(access_logs_open(&fx->logs, fx->conf, fds), 0);
    int err;
    fx->board = scoreboard_new(&err);
    assert_non_null(fx->board);
    fx->zones = fixture_zones();
    fx->site = (struct http_site){.zones = fx->zones,
                                  .conf = fx->conf,
                                  .board = fx->board,
                                  .logs = &fx->logs,
                                  .hostname = STR("machine"),
                                  .slot = 3,
                                  .generation = 9,
                                  .pid = 4321};
    http_site_tick(&fx->site, 1000 * NS_PER_S, 784111777 * NS_PER_S);
    fx->client = (struct http_client){
        .listen = &fx->conf->listens[0], .number = 17, .requests = 2, .fd = fixture_socket()};
    fx->client.peer.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(5555)};
    inet_pton(AF_INET, "127.0.1.7", &fx->client.peer.in.sin_addr);
}

static inline void fixture_pass(uint64_t ns)
{
    http_site_tick(&fx->site, fx->site.now_ns + ns, fx->site.wall_ns + ns);
}

static inline void fixture_end(void)
{
    if (fx->running)
        exchange_end(&fx->x);
    fx->running = false;
}

/* Hands a request in; its body must be in the text. The exchange before is ended. */
static inline void fixture_ask(const char *text)
{
    static const struct http1_limits limits = {.line_bytes = 8192, .head_bytes = 8192};
    fixture_end();
    size_t len = strlen(text);
    assert_true(len < sizeof fx->request);
    memcpy(fx->request, text, len);
    struct exchange *x = &fx->x;
    exchange_prepare(x, &fx->site, &fx->client);
    fx->running = true;
    http1_init(&x->head, &limits, x->headers, EXCHANGE_HEADERS_MAX);
    assert_int_equal(http1_feed(&x->head, fx->request, len), HTTP1_DONE);
    struct http1_body body;
    http1_body_begin(&body, &x->head);
    exchange_execute(x, fx->request);
    size_t at = x->head.at;
    while (!http1_body_done(&body) && at < len) {
        struct http1_piece piece;
        assert_int_not_equal(http1_body_feed(&body, fx->request + at, len - at, &piece), HTTP1_BAD);
        at += piece.used;
        if (piece.len > 0)
            exchange_body(x, str_make(piece.data, piece.len));
    }
    if (http1_body_done(&body) && x->head.framing != HTTP1_NO_BODY)
        exchange_body_end(x);
}

static inline void fixture_append(struct conf_str piece)
{
    assert_true(fx->body_len + piece.len <= FIXTURE_BODY_MAX);
    memcpy(fx->body + fx->body_len, piece.at, piece.len);
    fx->body_len += piece.len;
}

static inline void fixture_pull(void)
{
    static char room[16384];
    struct exchange *x = &fx->x;
    for (;;) {
        struct conf_str piece;
        enum pull made = exchange_pull(x, room, sizeof room, &piece);
        if (made == PULL_END)
            return;
        assert_int_not_equal(made, PULL_BROKEN);
        if (made == PULL_DATA)
            fixture_append(piece);
        else if (x->wake_ns > fx->site.now_ns)
            fixture_pass(x->wake_ns - fx->site.now_ns);
        else
            return; /* it waits for input */
    }
}

/* Forms the answer: head and body as text. */
static inline int fixture_answer(bool close)
{
    struct exchange *x = &fx->x;
    assert_true(exchange_answered(x));
    struct conf_str head = exchange_head(x, close);
    assert_non_null(head.at);
    snprintf(fx->head, sizeof fx->head, "%.*s", (int)head.len, head.at);
    fx->body_len = 0;
    if (x->answer.body == BODY_MEMORY)
        fixture_append(x->answer.memory);
    if (x->answer.body == BODY_FILE) {
        ssize_t got =
            pread(x->answer.file_fd, fx->body, x->answer.length, (off_t)x->answer.file_offset);
        assert_int_equal(got, x->answer.length);
        fx->body_len = (size_t)got;
    }
    if (x->answer.body == BODY_PULL)
        fixture_pull();
    fx->body[fx->body_len] = '\0';
    x->bytes_sent = head.len + fx->body_len;
    x->body_sent = fx->body_len;
    return x->answer.status;
}

static inline int fixture_get(const char *request)
{
    fixture_ask(request);
    return fixture_answer(false);
}

static inline bool head_has(const char *line)
{
    char with_end[512];
    snprintf(with_end, sizeof with_end, "\r\n%s\r\n", line);
    return strstr(fx->head, with_end) != NULL;
}

static inline int fixture_setup(void **state)
{
    fx = calloc(1, sizeof *fx);
    *state = fx;
    snprintf(fx->folder, sizeof fx->folder, "/tmp/mw_http_test.XXXXXX");
    return mkdtemp(fx->folder) == NULL ? -1 : 0;
}

static inline int fixture_remove_one(const char *path, const struct stat *stat, int flag,
                                     struct FTW *where)
{
    (void)stat;
    (void)flag;
    (void)where;
    return remove(path);
}

static inline int fixture_remove(const char *path)
{
    return nftw(path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Ends what fixture_load began: another configuration may be loaded. */
static inline void fixture_unload(void)
{
    fixture_end();
    if (fx->client.fd > 0)
        close(fx->client.fd);
    if (fx->logs.files != NULL)
        access_logs_close(&fx->logs);
    if (fx->board != NULL)
        scoreboard_free(fx->board);
    zones_close(fx->zones);
    fx->zones = NULL;
    conf_free(fx->conf);
    fx->client.fd = 0;
    fx->board = NULL;
    fx->conf = NULL;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    fixture_unload();
    int gone = fixture_remove(fx->folder);
    free(fx);
    return gone;
}

#endif
