/* What the prober does of itself: arrivals that wait for nobody, pools, commands, its own limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/witness/prober_rig.h"

#define OK_CLOSE "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {l}\r\n\r\n{n} 7\n"
#define OK_KEEP "HTTP/1.1 200 OK\r\nContent-Length: {l}\r\n\r\n{n} 7\n"
#define SOURCES "127.0.1.1-127.0.1.3"

static struct rig rig;
static struct rig_peer peer, other;

static void begin(const char *spec)
{
    rig_open(&rig);
    RIG_CHECK(listen(rig.listener, 16) == 0);
    rig_start(&rig, spec, SOURCES);
}

static uint64_t count_of(unsigned kind, uint64_t conn, int outcome)
{
    uint64_t n = 0;
    for (size_t i = 0; i < rig.seen.count; i++) {
        const struct hist_record *r = &rig.seen.records[i];
        n += r->kind == kind && (conn == 0 || r->conn == conn) &&
             (outcome < 0 || r->a == (uint64_t)outcome);
    }
    return n;
}

/* Every request has one beginning and one end, every connection one beginning and one close. */
static void check_balance(void)
{
    assert_int_equal(count_of(HIST_CLIENT_REQUEST, 0, -1), count_of(HIST_CLIENT_END, 0, -1));
    assert_int_equal(count_of(HIST_CLIENT_CONNECT, 0, -1), count_of(HIST_CLIENT_CLOSE, 0, -1));
    for (size_t i = 0; i < rig.seen.count; i++) {
        const struct hist_record *r = &rig.seen.records[i];
        if (r->kind != HIST_CLIENT_END)
            continue;
        assert_true(r->req != 0);
        assert_non_null(rig_find(&rig, HIST_CLIENT_REQUEST, 0, r->req));
        assert_non_null(rig_find(&rig, HIST_CLIENT_END, 0, r->req));
    }
}

static void end(int code)
{
    assert_int_equal(rig_finish(&rig), code);
    check_balance();
}

static void done(void)
{
    close(peer.fd);
    hist_free(&rig.seen);
}

static void test_refused(void **state)
{
    (void)state;
    rig_open(&rig); /* bound, not listening */
    rig_start(&rig, "fresh,name=p,rate=100", SOURCES);
    rig_ended(&rig, 5);
    end(0);
    uint64_t refused = count_of(HIST_CLIENT_END, 0, HIST_REFUSED);
    assert_true(refused >= 5);
    assert_int_equal(refused, count_of(HIST_CLIENT_END, 0, -1));
    for (size_t i = 0; i < rig.seen.count; i++)
        if (rig.seen.records[i].kind == HIST_CLIENT_CONNECT_FAILED)
            assert_int_equal(rig.seen.records[i].b, ECONNREFUSED);
    hist_free(&rig.seen);
}

/* A full accept queue drops the SYN: the client waits, and gives up by its own patience. */
static void test_connect_timeout(void **state)
{
    (void)state;
    int fillers[64], count = 0;
    bool full = false;
    rig_open(&rig);
    RIG_CHECK(listen(rig.listener, 0) == 0);
    while (!full && count < 64) {
        int fd = fillers[count++] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        connect(fd, (struct sockaddr *)&rig.address, sizeof(rig.address));
        full = poll(&p, 1, 300) == 0;
    }
    assert_true(full);
    rig_start(&rig, "fresh,name=p,rate=20,connect_timeout=300", SOURCES);
    rig_ended(&rig, 2);
    end(0);
    assert_true(count_of(HIST_CLIENT_END, 0, HIST_CONNECT_TIMEOUT) >= 2);
    assert_true(count_of(HIST_CLIENT_CONNECT_FAILED, 0, -1) >= 2);
    while (count > 0)
        close(fillers[--count]);
    hist_free(&rig.seen);
}

/* The server stalls; requests go on to be due, at even distances, and their latency tells. */
static void test_open_loop(void **state)
{
    enum { WAITING = 20, RATE_NS = 10000000 };
    (void)state;
    begin("pooled,name=p,rate=100,clients=1");
    rig_accept(&rig, &peer);
    rig_request(&peer);
    uint64_t until = hist_now_ns() + (WAITING + 5) * (uint64_t)RATE_NS;
    while (hist_now_ns() < until)
        poll(NULL, 0, 10);
    rig_send(&peer, OK_KEEP);
    for (int i = 0; i < WAITING; i++) {
        rig_request(&peer);
        rig_send(&peer, OK_KEEP);
    }
    rig_ended(&rig, WAITING + 1);
    close(peer.fd);
    end(0);
    uint64_t due = 0, seen = 0;
    for (size_t i = 0; i < rig.seen.count && seen <= WAITING; i++) {
        const struct hist_record *r = &rig.seen.records[i];
        assert_true(r->kind != HIST_CLIENT_CONNECT || r->conn == peer.conn);
        if (r->kind != HIST_CLIENT_REQUEST || r->conn != peer.conn)
            continue;
        if (seen++ > 0) {
            assert_int_equal(r->a - due, RATE_NS);
            assert_int_equal(r->c, seen - 1);
        }
        due = r->a;
        if (seen == 2)
            assert_true(r->t_ns - r->a > (WAITING / 2) * (uint64_t)RATE_NS);
    }
    assert_int_equal(seen, WAITING + 1);
    hist_free(&rig.seen);
}

/* A request that waits for a connection longer than the patience ends without one. */
static void test_waiting_times_out(void **state)
{
    (void)state;
    begin("pooled,name=p,rate=50,clients=1,timeout=200");
    rig_accept(&rig, &peer);
    rig_request(&peer);
    rig_ended(&rig, 3);
    const char *line = rig_progress(&rig);
    assert_true(rig_number(line, "\"outstanding\":") <= 1); /* those that wait are not under way */
    assert_true(rig_number(line, "\"requests\":") >= 3);
    end(0);
    assert_true(count_of(HIST_CLIENT_END, 0, HIST_TIMEOUT) >= 3);
    bool without = false;
    for (size_t i = 0; i < rig.seen.count; i++) {
        const struct hist_record *r = &rig.seen.records[i];
        without |= r->kind == HIST_CLIENT_END && r->conn == 0 && r->a == HIST_TIMEOUT &&
                   (r->flags & HIST_BIT(HIST_F_PARTIAL));
    }
    assert_true(without);
    done();
}

/* ---- how it ends ----------------------------------------------------------------------------- */

/* Says a command for the first population, and returns when it has been carried out: the second,
 * which is held by `other`, is stopped behind it. */
static void command_and_wait(const char *command)
{
    rig_say(&rig, "start h\n");
    rig_accept(&rig, &other);
    rig_read(&other, "Connection: close");
    rig_say(&rig, command);
    rig_say(&rig, "stop h\n");
    rig_drain(&other);
    close(other.fd);
}
#define HELD " held,name=h,clients=1,paused"

/* Two connections become free at once, but one request only is left. */
static void test_stopped_pool_closes(void **state)
{
    struct rig_peer second;
    (void)state;
    begin("pooled,name=p,rate=100,clients=2,timeout=60000" HELD);
    rig_accept(&rig, &peer);
    rig_accept(&rig, &second);
    rig_request(&peer);
    rig_request(&second);
    rig_waiting(&rig, 2);
    command_and_wait("stop p\n");
    uint64_t waiting = rig_number(rig_progress(&rig), "\"waiting\":");
    assert_true(waiting >= 2);
    for (; waiting > 1; waiting--) {
        rig_send(&peer, OK_KEEP);
        rig_request(&peer);
    }
    rig_suspend(&rig);
    rig_send(&peer, OK_KEEP);
    rig_send(&second, OK_KEEP);
    rig_continue(&rig);
    struct rig_peer *last = rig_either(&peer, &second);
    rig_request(last);
    rig_send(last, OK_KEEP);
    rig_drain(&peer);
    rig_drain(&second);
    end(0);
    assert_int_equal(count_of(HIST_CLIENT_END, peer.conn, HIST_OK) +
                         count_of(HIST_CLIENT_END, second.conn, HIST_OK),
                     count_of(HIST_CLIENT_END, 0, -1) - 1); /* the held one */
    close(second.fd);
    done();
}

/* An answer that never ends keeps its client patient; who is told to quit is not, and does not
 * borrow the patience of others. */
static void test_quit_is_bounded(void **state)
{
    (void)state;
    begin("slow,name=s,clients=1,send_rate=100000,timeout=1000,connect_timeout=1000 "
          "fresh,name=f,timeout=3600000,paused");
    rig_accept(&rig, &peer);
    rig_request(&peer);
    rig_send(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{n} 7 ");
    rig_say(&rig, "quit\n");
    int waited = 0;
    while (send(peer.fd, ".", 1, MSG_NOSIGNAL) == 1) {
        RIG_CHECK((waited += 10) < RIG_PATIENCE_MS);
        poll(NULL, 0, 10);
    }
    end(0);
    const struct hist_record *r = rig_find(&rig, HIST_CLIENT_END, peer.conn, 0);
    assert_non_null(r);
    assert_string_equal(hist_outcome_name((unsigned)r->a), "abandoned");
    done();
}

/* After `quit` those that wait still have their turn; who is told a second time ends at once. */
static void test_quit_twice(void **state)
{
    (void)state;
    begin("pooled,name=p,rate=100,clients=1,timeout=60000" HELD);
    rig_accept(&rig, &peer);
    rig_request(&peer);
    uint64_t early = peer.nonce;
    rig_waiting(&rig, 3);
    command_and_wait("quit\n");
    rig_send(&peer, OK_KEEP);
    rig_request(&peer);
    rig_say(&rig, "quit\n");
    rig_drain(&peer);
    end(0);
    const struct hist_record *r = rig_find(&rig, HIST_CLIENT_END, peer.conn, early);
    assert_non_null(r);
    assert_int_equal(r->a, HIST_OK);
    uint64_t ended = count_of(HIST_CLIENT_END, 0, -1);
    assert_true(ended >= 5); /* answered, begun, held, and those that waited */
    assert_int_equal(count_of(HIST_CLIENT_END, 0, HIST_ABANDONED), ended - 1);
    assert_int_equal(count_of(HIST_CLIENT_CONNECT, 0, -1), 2);
    done();
}

/* Standing clients that end after a stop are not begun anew, and not for requests that wait. */
static void test_stopped_standing_clients(void **state)
{
    static const struct {
        const char *spec, *answer;
        uint64_t waiting;
    } cases[] = {
        {"slow,name=s,clients=1,send_rate=100000,timeout=60000" HELD, OK_CLOSE, 0},
        {"idle,name=s,clients=1,rate=100,timeout=60000" HELD, OK_CLOSE, 2},
        {"idle,name=s,clients=1,rate=100,timeout=60000" HELD, "", 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(cases[i].spec);
        rig_accept(&rig, &peer);
        rig_request(&peer);
        rig_waiting(&rig, cases[i].waiting);
        command_and_wait("stop s\n");
        rig_send(&peer, cases[i].answer);
        shutdown(peer.fd, SHUT_WR);
        rig_drain(&peer);
        end(0);
        assert_int_equal(count_of(HIST_CLIENT_CONNECT, 0, -1), 2);
        assert_true(count_of(HIST_CLIENT_END, 0, HIST_ABANDONED) >= cases[i].waiting + 1);
        done();
    }
}

/* ---- kinds of clients ------------------------------------------------------------------------ */

/* Behind a last answer the server owes nothing: those requests are given up, not lost. */
static void test_pipelined(void **state)
{
    (void)state;
    uint64_t nonces[4];
    begin("pipelined,name=p,rate=40,clients=1,depth=4");
    rig_accept(&rig, &peer);
    for (int i = 0; i < 4; i++) {
        rig_request(&peer);
        nonces[i] = peer.nonce;
    }
    peer.nonce = nonces[0];
    rig_send(&peer, OK_KEEP);
    peer.nonce = nonces[1];
    rig_send(&peer, OK_CLOSE);
    shutdown(peer.fd, SHUT_WR);
    rig_drain(&peer);
    end(0);
    static const enum hist_outcome outcomes[4] = {HIST_OK, HIST_OK, HIST_ABANDONED, HIST_ABANDONED};
    for (int i = 0; i < 4; i++) {
        const struct hist_record *r = rig_find(&rig, HIST_CLIENT_END, peer.conn, nonces[i]);
        assert_non_null(r);
        assert_int_equal(r->a, outcomes[i]);
        assert_int_equal((r->flags & HIST_BIT(HIST_F_REUSED)) != 0, i > 0);
    }
    const struct hist_record *r = rig_find(&rig, HIST_CLIENT_CLOSE, peer.conn, 0);
    assert_non_null(r);
    assert_int_equal(r->a, HIST_CLOSE_ANNOUNCED);
    assert_int_equal(r->c, 4);
    done();
}

/* A held client has sent something, waits, and finishes when it is released. */
static void test_held_and_released(void **state)
{
    (void)state;
    begin("held,name=h,clients=1");
    rig_accept(&rig, &peer);
    rig_read(&peer, "Connection: close");
    assert_null(strstr(peer.text, "\r\n\r\n"));
    rig_say(&rig, "release h\n");
    rig_request(&peer);
    rig_send(&peer, OK_CLOSE);
    shutdown(peer.fd, SHUT_WR);
    rig_drain(&peer);
    end(0);
    const struct hist_record *r = rig_find(&rig, HIST_CLIENT_END, peer.conn, 0);
    assert_non_null(r);
    assert_int_equal(r->a, HIST_OK);
    assert_int_equal(count_of(HIST_CLIENT_CONNECT, 0, -1), 1);
    assert_true(count_of(HIST_CLIENT_HELD, 0, 1) >= 1);
    done();
}

static void test_held_and_stopped(void **state)
{
    (void)state;
    begin("held,name=h,clients=1");
    rig_accept(&rig, &peer);
    rig_read(&peer, "Connection: close");
    rig_say(&rig, "stop h\n");
    rig_drain(&peer);
    end(0);
    const struct hist_record *r = rig_find(&rig, HIST_CLIENT_END, peer.conn, 0);
    assert_non_null(r);
    assert_int_equal(r->a, HIST_ABANDONED);
    assert_true((r->flags & HIST_BIT(HIST_F_PARTIAL)) != 0);
    done();
}

/* A tunnel whose bytes come back ends well when it is stopped. */
static void test_tunnel(void **state)
{
    (void)state;
    char bytes[4096];
    ssize_t n;
    begin("tunnel,name=t,clients=1,send_rate=20000,bytes=5000");
    rig_accept(&rig, &peer);
    rig_request(&peer);
    rig_send(&peer, "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: mw-tunnel\r\n\r\n");
    size_t total = 0;
    while (rig_wait(peer.fd, RIG_PATIENCE_MS) && (n = recv(peer.fd, bytes, sizeof(bytes), 0)) > 0) {
        total += (size_t)n;
        RIG_CHECK(send(peer.fd, bytes, (size_t)n, MSG_NOSIGNAL) == n);
    }
    assert_int_equal(total, 5000);
    end(0);
    const struct hist_record *r = rig_find(&rig, HIST_CLIENT_END, peer.conn, 0);
    assert_non_null(r);
    assert_int_equal(r->a, HIST_OK);
    assert_int_equal(r->b, 101 | UINT64_C(5000) << 16);
    done();
}

/* An idle connection that the server closed is not used for the next request. */
static void test_closed_idle_is_not_reused(void **state)
{
    (void)state;
    begin("pooled,name=p,rate=20,clients=1");
    rig_accept(&rig, &peer);
    rig_request(&peer);
    rig_say(&rig, "rate p 0\n");
    rig_send(&peer, OK_KEEP);
    rig_ended(&rig, 1);
    shutdown(peer.fd, SHUT_WR);
    rig_drain(&peer);
    rig_say(&rig, "rate p 20\n");
    rig_accept(&rig, &other);
    rig_request(&other);
    rig_send(&other, OK_KEEP);
    rig_ended(&rig, 2);
    end(0);
    assert_int_equal(count_of(HIST_CLIENT_END, 0, HIST_EOF_BEFORE), 0);
    const struct hist_record *r = rig_find(&rig, HIST_CLIENT_CLOSE, peer.conn, 0);
    assert_non_null(r);
    assert_int_equal(r->a, HIST_CLOSE_SILENT);
    close(other.fd);
    done();
}

static void test_paused_until_started(void **state)
{
    (void)state;
    begin("fresh,name=p,rate=50,clients=1,paused");
    rig_ended(&rig, 0);
    assert_false(rig_wait(rig.listener, 200));
    rig_say(&rig, "nonsense\nstart nobody\nstart p\n");
    rig_accept(&rig, &peer);
    rig_request(&peer);
    rig_send(&peer, OK_CLOSE);
    rig_ended(&rig, 1);
    end(0);
    assert_int_equal(count_of(HIST_CLIENT_POPULATION, 0, -1), 1);
    done();
}

/* An address that cannot be used is the prober's own trouble, never a refusal of the server. */
static void test_own_limits(void **state)
{
    (void)state;
    rig_open(&rig);
    RIG_CHECK(listen(rig.listener, 16) == 0);
    rig_start(&rig, "fresh,name=p,rate=100", "203.0.113.1");
    rig_over(&rig);
    end(3);
    assert_true(count_of(HIST_CLIENT_END, 0, -1) >= 1);
    assert_int_equal(count_of(HIST_CLIENT_END, 0, HIST_ABANDONED),
                     count_of(HIST_CLIENT_END, 0, -1));
    assert_int_equal(count_of(HIST_CLIENT_CONNECT_FAILED, 0, -1), 0);
    hist_free(&rig.seen);
}

/* TLS spoken to a server that closes, resets or speaks something else. */
static void test_tls_failures(void **state)
{
    static const struct {
        char act;
        enum hist_outcome outcome;
        enum hist_close close;
    } cases[] = {{'f', HIST_EOF_BEFORE, HIST_CLOSE_LOST},
                 {'r', HIST_RESET_BEFORE, HIST_CLOSE_RESET_LOST},
                 {'p', HIST_WRONG_BODY, HIST_CLOSE_CLIENT}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin("tls,name=p,rate=50,clients=1");
        rig_accept(&rig, &peer);
        RIG_CHECK(rig_wait(peer.fd, RIG_PATIENCE_MS));
        if (cases[i].act == 'r') {
            rig_reset(&peer);
        } else {
            if (cases[i].act == 'p')
                rig_send(&peer, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            shutdown(peer.fd, SHUT_WR);
            rig_drain(&peer);
        }
        rig_ended(&rig, 1);
        end(0);
        const struct hist_record *r = rig_find(&rig, HIST_CLIENT_END, peer.conn, 0);
        assert_non_null(r);
        assert_string_equal(hist_outcome_name((unsigned)r->a), hist_outcome_name(cases[i].outcome));
        r = rig_find(&rig, HIST_CLIENT_CLOSE, peer.conn, 0);
        assert_non_null(r);
        assert_string_equal(hist_close_name((unsigned)r->a), hist_close_name(cases[i].close));
        done();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_open_loop),
        cmocka_unit_test(test_waiting_times_out),
        cmocka_unit_test(test_stopped_pool_closes),
        cmocka_unit_test(test_quit_is_bounded),
        cmocka_unit_test(test_quit_twice),
        cmocka_unit_test(test_stopped_standing_clients),
        cmocka_unit_test(test_pipelined),
        cmocka_unit_test(test_held_and_released),
        cmocka_unit_test(test_held_and_stopped),
        cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_closed_idle_is_not_reused),
        cmocka_unit_test(test_paused_until_started),
        cmocka_unit_test(test_own_limits),
        cmocka_unit_test(test_tls_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
