/* Every way in which a server can treat a client gives exactly the outcome and the kind of close
 * that the words of the history promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/witness/prober_rig.h"

#define OK_CLOSE "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {l}\r\n\r\n{n} 7\n"
#define OK_KEEP "HTTP/1.1 200 OK\r\nContent-Length: {l}\r\n\r\n{n} 7\n"
#define B(flag) HIST_BIT(HIST_F_##flag)

/* What the server does, letter by letter:
 * q reads a request; e waits until all so far have ended for the client; a answers it well and
 * keeps the connection; t sends the text; f sends FIN and waits for the client's; c closes; r
 * resets; w waits for the client to close. */
struct play {
    const char *name, *spec, *acts, *text;
    enum hist_outcome outcome; /* of the request read last */
    unsigned flags;
    enum hist_close close;
};

static const struct play plays[] = {
    {"fresh: answered, announced, closed", "fresh", "qtf", OK_CLOSE, HIST_OK,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: answered, reset instead of closed", "fresh", "qtr", OK_CLOSE, HIST_OK,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_RESET},
    {"fresh: kept although close was asked for", "fresh", "qtw", OK_KEEP, HIST_OK, B(ANSWERED),
     HIST_CLOSE_CLIENT},
    {"fresh: reset before the answer", "fresh", "qr", "", HIST_RESET_BEFORE, 0,
     HIST_CLOSE_RESET_LOST},
    {"fresh: closed before the answer", "fresh", "qf", "", HIST_EOF_BEFORE, 0, HIST_CLOSE_LOST},
    {"fresh: reset inside the head", "fresh", "qtr", "HTTP/1.1 200 O", HIST_RESET_MID, 0,
     HIST_CLOSE_RESET_LOST},
    {"fresh: reset inside the body", "fresh", "qtr",
     "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{n}", HIST_RESET_MID, 0, HIST_CLOSE_RESET_LOST},
    {"fresh: closed inside the head", "fresh", "qtf", "HTTP/1.1 200 OK\r\nConte", HIST_TRUNCATED, 0,
     HIST_CLOSE_LOST},
    {"fresh: closed inside the body", "fresh", "qtf",
     "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{n}", HIST_TRUNCATED, 0, HIST_CLOSE_LOST},
    {"fresh: closed inside the chunks", "fresh", "qtf",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n", HIST_TRUNCATED, 0,
     HIST_CLOSE_LOST},
    {"fresh: body ended by the close", "fresh", "qtf", "HTTP/1.0 200 OK\r\n\r\n{n} 7\n", HIST_OK,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: body ended by the close too early", "fresh", "qtf", "HTTP/1.0 200 OK\r\n\r\n{n}",
     HIST_TRUNCATED, B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: 100, then the answer", "fresh", "qtf", "HTTP/1.1 100 Continue\r\n\r\n" OK_CLOSE,
     HIST_OK, B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: another request's nonce", "fresh", "qtf",
     "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n1234 7", HIST_WRONG_BODY,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: another request's nonce in the header", "fresh", "qtf",
     "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Mw-Nonce: 5\r\nContent-Length: {l}\r\n\r\n{n} 7\n",
     HIST_WRONG_BODY, B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: more than was announced", "fresh", "qtw", OK_CLOSE "surplus", HIST_WRONG_BODY,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_CLIENT},
    {"fresh: no HTTP at all", "fresh", "qtw", "220 mail.example ESMTP\r\n", HIST_WRONG_BODY, 0,
     HIST_CLOSE_CLIENT},
    {"fresh: two generations in one answer", "fresh", "qtf",
     "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Mw-Gen: 8\r\nContent-Length: {l}\r\n\r\n{n} 7\n",
     HIST_OK, B(ANSWERED) | B(ANNOUNCED) | B(MIXED_GEN), HIST_CLOSE_ANNOUNCED},
    {"fresh: 503", "fresh", "qtf",
     "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", HIST_SERVER_ERROR,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: 503 was expected", "fresh,expect=503", "qtf",
     "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", HIST_OK,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: not the status that was expected", "fresh,expect=404", "qtf", OK_CLOSE,
     HIST_SERVER_ERROR, B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: 404 is not the answer", "fresh", "qtf",
     "HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", HIST_WRONG_BODY,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"fresh: no answer", "fresh,timeout=300", "qw", "", HIST_TIMEOUT, 0, HIST_CLOSE_CLIENT},
    {"fresh: half an answer", "fresh,timeout=300", "qtw", "HTTP/1.1 200 OK\r\n", HIST_TIMEOUT, 0,
     HIST_CLOSE_CLIENT},
    {"idle: closed, not announced", "idle", "qaef", "", HIST_OK, B(ANSWERED), HIST_CLOSE_SILENT},
    {"idle: reset", "idle", "qaer", "", HIST_OK, B(ANSWERED), HIST_CLOSE_RESET},
    {"pooled: closed after saying so", "pooled", "qaqtf", OK_CLOSE, HIST_OK,
     B(REUSED) | B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"pooled: says close, never closes", "pooled", "qtw", OK_CLOSE, HIST_OK,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_CLIENT},
    {"idle: closed after saying why", "idle", "qaetf",
     "HTTP/1.1 408 Too slow\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", HIST_OK,
     B(ANSWERED), HIST_CLOSE_ANNOUNCED},
    {"pooled: the second request is lost to a close", "pooled", "qaqf", "", HIST_EOF_BEFORE,
     B(REUSED), HIST_CLOSE_LOST},
    {"pooled: the second request is lost to a reset", "pooled", "qaqr", "", HIST_RESET_BEFORE,
     B(REUSED), HIST_CLOSE_RESET_LOST},
    {"pooled: the third answer is cut", "pooled", "qaqaqtf", "HTTP/1.1 2", HIST_TRUNCATED,
     B(REUSED), HIST_CLOSE_LOST},
    {"post: the second request is lost to a reset", "post,body=0", "qaqr", "", HIST_RESET_BEFORE,
     B(REUSED) | B(UNSAFE), HIST_CLOSE_RESET_LOST},
    {"early: answered, then closed with the body unread", "early,expect=413", "qtc",
     "HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", HIST_OK,
     B(UNSAFE) | B(ANSWERED) | B(ANNOUNCED) | B(PARTIAL), HIST_CLOSE_RESET},
    {"early: closed with the body unread, no answer", "early", "qc", "", HIST_RESET_BEFORE,
     B(UNSAFE) | B(PARTIAL), HIST_CLOSE_RESET_LOST},
    {"download: a wrong byte", "download", "qtw",
     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n!\"#$%&'(!", HIST_WRONG_BODY, 0,
     HIST_CLOSE_CLIENT},
    {"download: right", "download", "qtf",
     "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n!\"#$%&'()", HIST_OK,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"download: too short", "download,bytes=10", "qtf",
     "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n!\"#$%&'()", HIST_WRONG_BODY,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"stream: an event is missing", "stream", "qtw",
     "HTTP/1.1 200 OK\r\n\r\ndata: {n} 0\n\ndata: {n} 2\n\n", HIST_WRONG_BODY, 0,
     HIST_CLOSE_CLIENT},
    {"stream: cut inside an event", "stream", "qtf",
     "HTTP/1.1 200 OK\r\n\r\ndata: {n} 0\n\ndata: {n}", HIST_TRUNCATED, B(ANNOUNCED),
     HIST_CLOSE_ANNOUNCED},
    {"stream: closed without its last chunk", "stream", "qtf",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n: x\r\n", HIST_TRUNCATED, 0,
     HIST_CLOSE_LOST},
    {"stream: silent for too long", "stream,timeout=300", "qtw", "HTTP/1.1 200 OK\r\n\r\n: hi\n\n",
     HIST_TIMEOUT, 0, HIST_CLOSE_CLIENT},
    {"tunnel: refused", "tunnel", "qtf",
     "HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", HIST_SERVER_ERROR,
     B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
    {"tunnel: wrong bytes come back", "tunnel", "qtw",
     "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: mw-tunnel\r\n\r\n\x01\x02\x03",
     HIST_WRONG_BODY, 0, HIST_CLOSE_CLIENT},
    {"tunnel: closed while open", "tunnel", "qtf",
     "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: mw-tunnel\r\n\r\n", HIST_TRUNCATED, 0,
     HIST_CLOSE_LOST},
    {"tunnel: reset while open", "tunnel", "qtr",
     "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: mw-tunnel\r\n\r\n", HIST_RESET_MID, 0,
     HIST_CLOSE_RESET_LOST},
    {"tunnel: nothing comes back", "tunnel,timeout=300", "qtw",
     "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: mw-tunnel\r\n\r\n", HIST_TIMEOUT, 0,
     HIST_CLOSE_CLIENT},
    {"slow: its bytes trickle, the answer is right", "slow,send_rate=2000", "qtf", OK_CLOSE,
     HIST_OK, B(ANSWERED) | B(ANNOUNCED), HIST_CLOSE_ANNOUNCED},
};

static void act(struct rig *rig, struct rig_peer *peer, const struct play *play, char what)
{
    switch (what) {
    case 'q':
        rig_request(peer);
        return;
    case 'e':
        rig_ended(rig, peer->requests);
        return;
    case 'a':
        rig_send(peer, OK_KEEP);
        return;
    case 't':
        rig_send(peer, play->text);
        return;
    case 'f':
        shutdown(peer->fd, SHUT_WR);
        rig_drain(peer);
        return;
    case 'c':
        RIG_CHECK(rig_wait(peer->fd, RIG_PATIENCE_MS));
        close(peer->fd);
        peer->fd = -1;
        return;
    case 'r':
        rig_reset(peer);
        return;
    case 'w':
        rig_drain(peer);
        return;
    default:
        fail_msg("no such act: %c", what);
    }
}

static void check_play(const struct rig *rig, const struct rig_peer *peer, const struct play *play)
{
    static const unsigned judged = (unsigned)~B(LAGGING) & 0xffff;
    const struct hist_record *end = rig_find(rig, HIST_CLIENT_END, peer->conn, peer->nonce);
    const struct hist_record *gone = rig_find(rig, HIST_CLIENT_CLOSE, peer->conn, 0);
    assert_non_null(end);
    assert_non_null(gone);
    assert_string_equal(hist_outcome_name((unsigned)end->a), hist_outcome_name(play->outcome));
    assert_string_equal(hist_close_name((unsigned)gone->a), hist_close_name(play->close));
    unsigned flags = end->flags & judged;
    /* Whether all of an early request was sent is the kernel's choice. */
    if (play->flags & B(PARTIAL))
        flags |= B(PARTIAL);
    assert_int_equal(flags, play->flags);
    assert_true(end->t_ns <= gone->t_ns);
    const struct hist_record *begun = rig_find(rig, HIST_CLIENT_REQUEST, peer->conn, peer->nonce);
    assert_non_null(begun);
    assert_int_equal(end->t_ns - begun->a, end->c);
    assert_non_null(rig_find(rig, HIST_CLIENT_CONNECT, peer->conn, 0));
    assert_non_null(rig_find(rig, HIST_CLIENT_CONNECTED, peer->conn, 0));
}

static void test_play(void **state)
{
    const struct play *play = *state;
    static struct rig_peer peer;
    static struct rig rig;
    char spec[128], kind[16];
    size_t word = strcspn(play->spec, ",");
    snprintf(kind, sizeof(kind), "%.*s", (int)word, play->spec);
    snprintf(spec, sizeof(spec), "%s,name=p,clients=1%s%s", kind,
             strcmp(kind, "idle") == 0 ? "" : ",rate=100", play->spec + word);
    rig_open(&rig);
    RIG_CHECK(listen(rig.listener, 16) == 0);
    rig_start(&rig, spec, "127.0.1.1-127.0.1.3");
    rig_accept(&rig, &peer);
    for (const char *at = play->acts; *at != '\0'; at++)
        act(&rig, &peer, play, *at);
    rig_ended(&rig, peer.requests);
    assert_int_equal(rig_finish(&rig), 0);
    check_play(&rig, &peer, play);
    if (peer.fd >= 0)
        close(peer.fd);
    hist_free(&rig.seen);
}

int main(void)
{
    enum { COUNT = sizeof(plays) / sizeof(plays[0]) };
    struct CMUnitTest tests[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        tests[i] = (struct CMUnitTest){.name = plays[i].name,
                                       .test_func = test_play,
                                       .initial_state = (void *)(uintptr_t)&plays[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
