/* What sessions are resumed from: tickets while their keys live, and memory that is shared. */
#include "engine/tls/tls_fixture.h"

#include "engine/os/clock.h"
#include "engine/os/sys.h"
#include "engine/shm/zone.h"
#include "engine/tls/tls_impl.h"

#define HOUR_NS (UINT64_C(3600) * NS_PER_S)
#define TICKETS PAIR "ssl_session_timeout 2d; ssl_protocols TLSv1.3;"
#define CACHE                                                                                      \
    PAIR "ssl_session_tickets off; ssl_session_cache shared:s:64k; ssl_protocols TLSv1.2 TLSv1.3;"

extern const struct zone_kind zone_kind_tls_sessions;

/* One connection with a few words on it. Was the session of the last one resumed? */
static bool resumed(struct rig *r, struct tls_sessions *sessions)
{
    struct ends e;
    ends_open(&e, r->server, NULL, r->client, NULL, sessions);
    ends_agree(&e);
    say(e.server, e.client, "tickets come with it");
    bool reused = SSL_session_reused(e.server->ssl) == 1;
    assert_int_equal(SSL_session_reused(e.client->ssl), reused);
    ends_close(&e);
    return reused;
}

static void tickets_live_as_long_as_their_keys(void **state)
{
    (void)state;
    struct rig r;
    struct tls_sessions sessions = {0};
    uint64_t now_ns = 1000 * HOUR_NS; /* later than the clock: only this test moves the secret */
    tls_secret_make(now_ns);
    rig_open(&r, TICKETS);
    assert_false(resumed(&r, &sessions));
    assert_true(resumed(&r, &sessions));
    SSL_SESSION *first = sessions.latest;
    SSL_SESSION_up_ref(first);
    tls_secret_move(now_ns + 24 * HOUR_NS);
    assert_true(resumed(&r, &sessions));
    assert_ptr_not_equal(sessions.latest, first); /* a ticket of the newest key came with it */
    tls_secret_move(now_ns + 30 * HOUR_NS);
    assert_true(resumed(&r, &sessions));
    struct tls_sessions old = {first};
    assert_false(resumed(&r, &old)); /* nobody knows that key any more */
    tls_sessions_forget(&old);
    tls_sessions_forget(&sessions);
    rig_close(&r);
}

static void a_secret_goes_from_hand_to_hand(void **state)
{
    (void)state;
    struct rig r;
    struct tls_sessions sessions = {0};
    uint64_t now_ns = 2000 * HOUR_NS;
    tls_secret_make(now_ns);
    rig_open(&r, TICKETS);
    resumed(&r, &sessions);
    int fd = tls_secret_pass();
    assert_true(fd >= 0);
    tls_secret_make(now_ns);
    struct tls_sessions same = {SSL_SESSION_dup(sessions.latest)};
    assert_false(resumed(&r, &same));
    assert_true(tls_secret_take(fd, now_ns + HOUR_NS));
    assert_true(resumed(&r, &sessions));
    fd = open("/dev/zero", O_RDONLY);
    assert_false(tls_secret_take(fd, now_ns));
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
    assert_true(resumed(&r, &sessions));      /* and what there was is kept */
    tls_sessions_forget(&same);
    tls_sessions_forget(&sessions);
    rig_close(&r);
}

static void shared_memory_keeps_sessions(void **state)
{
    (void)state;
    struct rig r;
    int err;
    const struct zone_wish wish = {"s", &zone_kind_tls_sessions, 65536};
    struct zones *zones = zones_open(&wish, 1, NULL, &err);
    assert_non_null(zones);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct tls_sessions sessions = {0};
        rig_open(&r, CACHE);
        SSL_CTX_set_max_proto_version(r.client->ssl, version);
        tls_contexts_start(r.contexts, zones, NULL);
        assert_false(resumed(&r, &sessions));
        assert_true(resumed(&r, &sessions));
        rig_close(&r);
        rig_open(&r, CACHE); /* as in another worker, or after a reload */
        SSL_CTX_set_max_proto_version(r.client->ssl, version);
        tls_contexts_start(r.contexts, zones, NULL);
        assert_true(resumed(&r, &sessions));
        tls_sessions_forget(&sessions);
        rig_close(&r);
    }
    zones_close(zones);
}

static void other_certificates_resume_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct tls_sessions sessions = {0};
    tls_secret_make(clock_now_ns());
    rig_open(&r, TICKETS);
    resumed(&r, &sessions);
    rig_close(&r);
    rig_open(&r, "ssl_certificate b.test.pem; ssl_certificate_key b.test.key;"
                 "ssl_protocols TLSv1.3;");
    assert_false(resumed(&r, &sessions));
    tls_sessions_forget(&sessions);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tickets_live_as_long_as_their_keys),
        cmocka_unit_test(a_secret_goes_from_hand_to_hand),
        cmocka_unit_test(shared_memory_keeps_sessions),
        cmocka_unit_test(other_certificates_resume_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
