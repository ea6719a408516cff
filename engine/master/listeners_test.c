/* Listeners: reused by address, undone when one of several fails, inherited, gone with their
 * paths. */
#include "engine/master/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { WANTED_MAX = 3 };

struct fixture {
    struct listeners set;
    struct listeners_error error;
    struct conf_listen wanted[WANTED_MAX];
    struct conf conf;
    int fds[WANTED_MAX];
    char folder[64], path[108];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/listeners-test-XXXXXX");
    if (mkdtemp(f->folder) == NULL)
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
    f->conf.listens = f->wanted;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    listeners_keep(&f->set, NULL);
    free(f->set.at);
    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void want(struct fixture *f, const struct sockaddr *addr, socklen_t len, const char *text)
{
    struct conf_listen *l = &f->wanted[f->conf.listen_count++];
    memcpy(&l->addr, addr, len);
    l->addr_len = len;
    l->text = (struct conf_str){text, strlen(text)};
    l->backlog = 16;
}

static void want_port(struct fixture *f, uint16_t port)
{
    const struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    want(f, (const struct sockaddr *)&addr, sizeof(addr), "127.0.0.1");
}

static void want_path(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, f->path, strlen(f->path) + 1);
    want(f, (const struct sockaddr *)&addr, sizeof(addr), "unix:path");
}

/* A socket on a free port of 127.0.0.1. */
static int open_somewhere(bool listening, uint16_t *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    if (listening)
        assert_int_equal(listen(fd, 1), 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void a_socket_is_reused_by_its_address(void **state)
{
    struct fixture *f = *state;
    int again[WANTED_MAX];
    want_path(f);
    assert_int_equal(listeners_open(&f->set, &f->conf, f->fds, &f->error), 0);
    f->wanted[0].backlog = 32;
    assert_int_equal(listeners_open(&f->set, &f->conf, again, &f->error), 0);
    assert_int_equal(again[0], f->fds[0]);
    assert_int_equal(f->set.count, 1);
    assert_int_equal(f->set.at[0].backlog, 32);
    assert_true(fcntl(f->fds[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(f->fds[0], F_GETFD) & FD_CLOEXEC);
}

static void one_that_fails_undoes_those_before(void **state)
{
    struct fixture *f = *state;
    uint16_t port;
    int taken = open_somewhere(true, &port);
    want_path(f);
    want_port(f, port);
    assert_int_equal(listeners_open(&f->set, &f->conf, f->fds, &f->error), -EADDRINUSE);
    assert_non_null(strstr(f->error.text, "bind() to 127.0.0.1 failed (98: Address already in"));
    assert_int_equal(f->set.count, 0);
    assert_int_equal(access(f->path, F_OK), -1);
    close(taken);
}

static void what_is_no_longer_named_is_closed(void **state)
{
    struct fixture *f = *state;
    struct conf none = {0};
    want_path(f);
    assert_int_equal(listeners_open(&f->set, &f->conf, f->fds, &f->error), 0);
    listeners_keep(&f->set, &f->conf);
    assert_true(is_open(f->fds[0]));
    listeners_keep(&f->set, &none);
    assert_false(is_open(f->fds[0]));
    assert_int_equal(access(f->path, F_OK), -1);
}

static void a_path_that_another_master_uses_stays(void **state)
{
    struct fixture *f = *state;
    want_path(f);
    assert_int_equal(listeners_open(&f->set, &f->conf, f->fds, &f->error), 0);
    f->set.shared = true;
    listeners_keep(&f->set, NULL);
    assert_int_equal(access(f->path, F_OK), 0);
}

static void a_stale_path_is_taken_over_and_a_live_one_is_not(void **state)
{
    struct fixture *f = *state;
    struct listeners second = {0};
    want_path(f);
    assert_int_equal(listeners_open(&f->set, &f->conf, f->fds, &f->error), 0);
    assert_int_equal(listeners_open(&second, &f->conf, f->fds, &f->error), -EADDRINUSE);
    f->set.shared = true; /* as if killed: the path stays */
    listeners_keep(&f->set, NULL);
    f->set.shared = false;
    assert_int_equal(listeners_open(&second, &f->conf, f->fds, &f->error), 0);
    listeners_keep(&second, NULL);
    free(second.at);
}

static void inherited_sockets_are_found_by_their_address(void **state)
{
    struct fixture *f = *state;
    uint16_t port, other;
    char words[64];
    int listening = open_somewhere(true, &port), plain = open_somewhere(false, &other);

    snprintf(words, sizeof(words), "%d;%d;", listening, plain);
    assert_int_equal(listeners_inherit(&f->set, words, 0), 0);
    assert_int_equal(f->set.count, 1); /* the other one does not listen */
    want_port(f, port);
    assert_int_equal(listeners_open(&f->set, &f->conf, f->fds, &f->error), 0);
    assert_int_equal(f->fds[0], listening);
    assert_true(fcntl(listening, F_GETFL) & O_NONBLOCK);
    close(plain);
}

static void listening_stops_and_resumes_for_everybody(void **state)
{
    struct fixture *f = *state;
    int accepting;
    socklen_t len = sizeof(accepting);
    uint16_t port;
    int fd = open_somewhere(false, &port), copy;

    close(fd);
    want_port(f, port);
    assert_int_equal(listeners_open(&f->set, &f->conf, f->fds, &f->error), 0);
    copy = dup(f->fds[0]);
    listeners_stop(&f->set);
    assert_int_equal(getsockopt(copy, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len), 0);
    assert_int_equal(accepting, 0);
    listeners_resume(&f->set);
    assert_int_equal(getsockopt(copy, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len), 0);
    assert_int_equal(accepting, 1);
    close(copy);
}

/* ---- reuseport ---------------------------------------------------------------------------------
 */

static size_t open_parts(struct fixture *f, uint32_t workers, bool reuseport)
{
    struct listen_part *parts;
    size_t count;
    f->conf.workers = workers;
    f->wanted[0].reuseport = reuseport;
    assert_int_equal(listeners_open(&f->set, &f->conf, f->fds, &f->error), 0);
    assert_int_equal(listeners_open_parts(&f->set, &f->conf, &parts, &count, &f->error), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(parts[i].part, i + 1);
        assert_int_equal(parts[i].listen, 0);
    }
    free(parts);
    return count;
}

static void want_free_port(struct fixture *f)
{
    uint16_t port;
    close(open_somewhere(false, &port));
    want_port(f, port);
}

/* Nobody but the kernel can move those who wait in a queue: it stays when its worker goes. */
static void sockets_of_workers_stay_with_their_address(void **state)
{
    struct fixture *f = *state;
    want_free_port(f);
    assert_int_equal(open_parts(f, 4, true), 3);
    assert_int_equal(f->set.count, 4);
    assert_int_equal(open_parts(f, 1, true), 3);
    assert_int_equal(open_parts(f, 2, false), 3);
    assert_int_equal(open_parts(f, 5, true), 4);
    f->conf.listen_count = 0;
    listeners_keep(&f->set, &f->conf);
    assert_int_equal(f->set.count, 0);
}

/* A socket that was bound for all can be joined by others later. */
static void one_socket_becomes_several(void **state)
{
    struct fixture *f = *state;
    want_free_port(f);
    assert_int_equal(open_parts(f, 3, false), 0);
    assert_int_equal(open_parts(f, 3, true), 2);
}

/* A new binary finds them by their order. */
static void several_sockets_are_inherited(void **state)
{
    struct fixture *f = *state;
    struct listeners heir = {.count = 0};
    char words[64];
    size_t used = 0;
    want_free_port(f);
    assert_int_equal(open_parts(f, 3, true), 2);
    for (size_t i = 0; i < f->set.count; i++)
        used += (size_t)snprintf(words + used, sizeof(words) - used, "%d;", dup(f->set.at[i].fd));
    assert_int_equal(listeners_inherit(&heir, words, 0), 0);
    struct listeners old = f->set;
    f->set = heir;
    assert_int_equal(open_parts(f, 3, true), 2);
    assert_int_equal(f->set.count, 3);
    listeners_keep(&old, NULL);
    free(old.at);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_socket_is_reused_by_its_address),
        TEST(one_that_fails_undoes_those_before),
        TEST(what_is_no_longer_named_is_closed),
        TEST(a_path_that_another_master_uses_stays),
        TEST(a_stale_path_is_taken_over_and_a_live_one_is_not),
        TEST(inherited_sockets_are_found_by_their_address),
        TEST(listening_stops_and_resumes_for_everybody),
        TEST(sockets_of_workers_stay_with_their_address),
        TEST(one_socket_becomes_several),
        TEST(several_sockets_are_inherited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
