/* Connections, contexts and what the configuration may get wrong. */
#include "engine/tls/tls_fixture.h"

#include "engine/os/clock.h"
#include "engine/tls/tls_impl.h"

/* ---- a connection ---------------------------------------------------------------------------- */

static void bytes_go_both_ways_until_goodbye(void **state)
{
    (void)state;
    struct rig r;
    struct ends e;
    char byte;
    rig_open(&r, PAIR);
    ends_open(&e, r.server, &r, r.client, "a.test", NULL);
    assert_false(tls_established(e.server));
    ends_agree(&e);
    assert_true(tls_established(e.server));
    assert_ptr_equal(tls_owner(e.server), &r);
    say(e.client, e.server, "hello");
    say(e.server, e.client, "well met");
    assert_int_equal(tls_recv(e.server, &byte, 1), -EAGAIN);
    assert_false(tls_wants_write(e.server));
    assert_int_equal(tls_shutdown(e.server), 0);
    assert_int_equal(tls_shutdown(e.server), 0);
    assert_int_equal(tls_recv(e.client, &byte, 1), 0);
    ends_close(&e);
    rig_close(&r);
}

/* What does not fit into the caller's buffer is told of, because no socket will. */
static void what_is_left_over_is_pending(void **state)
{
    (void)state;
    struct rig r;
    struct ends e;
    char some[4];
    rig_open(&r, PAIR);
    ends_open(&e, r.server, NULL, r.client, NULL, NULL);
    ends_agree(&e);
    assert_int_equal(tls_send(e.client, "abcdef", 6), 6);
    assert_int_equal(tls_send(e.client, "gh", 2), 2);
    assert_int_equal(tls_recv(e.server, some, 4), 4);
    assert_true(tls_pending(e.server));
    assert_int_equal(tls_recv(e.server, some, 4), 4);
    assert_memory_equal(some, "efgh", 4);
    assert_int_equal(tls_recv(e.server, some, 4), -EAGAIN);
    assert_false(tls_pending(e.server));
    ends_close(&e);
    rig_close(&r);
}

static void bytes_received_before_are_read_first(void **state)
{
    (void)state;
    struct rig r;
    struct ends e;
    char hello[16384];
    rig_open(&r, PAIR);
    ends_open(&e, r.server, NULL, r.client, NULL, NULL);
    assert_int_equal(tls_handshake(e.client), -EAGAIN);
    ssize_t len = recv(e.fds[0], hello, sizeof hello, 0);
    assert_true(len > 50);
    tls_feed(e.server, hello, (size_t)len);
    assert_int_equal(tls_handshake(e.server), -EAGAIN);
    memset(hello, 0, sizeof hello);
    ends_agree(&e);
    ends_close(&e);
    rig_close(&r);
}

static void a_full_socket_wants_room(void **state)
{
    (void)state;
    struct rig r;
    struct ends e;
    static char much[16384], heard[sizeof much];
    rig_open(&r, PAIR);
    ends_open(&e, r.server, NULL, r.client, NULL, NULL);
    ends_agree(&e);
    memset(much, 'x', sizeof much);
    size_t sent = 0, got = 0;
    ssize_t n;
    while ((n = tls_send(e.server, much, sizeof much)) > 0)
        sent += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    assert_true(tls_wants_write(e.server));
    assert_int_equal(tls_shutdown(e.server), 0); /* half a record was sent: nothing may follow */
    while ((n = tls_recv(e.client, heard, sizeof heard)) > 0)
        got += (size_t)n;
    sent += (size_t)tls_send(e.server, much, sizeof much);
    while ((n = tls_recv(e.client, heard, sizeof heard)) > 0)
        got += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    assert_int_equal(got, sent);
    while (send(e.fds[0], much, sizeof much, 0) > 0)
        ;
    assert_int_equal(tls_shutdown(e.server), -EAGAIN);
    while (recv(e.fds[1], heard, sizeof heard, 0) > 0)
        ;
    assert_int_equal(tls_shutdown(e.server), 0);
    assert_true(recv(e.fds[1], heard, sizeof heard, 0) > 0);
    ends_close(&e);
    rig_close(&r);
}

/* A client may ask for new keys and read nothing: neither what comes with it nor the connection
 * suffers, and the new keys are used. */
static void new_keys_are_no_trouble(void **state)
{
    (void)state;
    struct rig r;
    struct ends e;
    static char much[16384], heard[sizeof much];
    rig_open(&r, PAIR);
    ends_open(&e, r.server, NULL, r.client, NULL, NULL);
    ends_agree(&e);
    say(e.server, e.client, "tickets come with it");
    while (send(e.fds[0], much, sizeof much, 0) > 0)
        ;
    assert_int_equal(SSL_key_update(e.client->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    say(e.client, e.server, "abc");
    assert_int_equal(tls_recv(e.server, heard, sizeof heard), -EAGAIN);
    assert_false(tls_wants_write(e.server));
    assert_int_equal(tls_send(e.server, "x", 1), -EAGAIN);
    assert_true(tls_wants_write(e.server));
    while (recv(e.fds[1], much, sizeof much, 0) > 0)
        ;
    say(e.server, e.client, "x");
    ends_close(&e);
    rig_close(&r);
}

/* Nor does it wait for room to tell one that it may not shake hands again. */
static void hands_are_shaken_once(void **state)
{
    (void)state;
    struct rig r;
    struct ends e;
    static char much[16384];
    rig_open(&r, PAIR "ssl_protocols TLSv1.2;");
    ends_open(&e, r.server, NULL, r.client, NULL, NULL);
    ends_agree(&e);
    while (send(e.fds[0], much, sizeof much, 0) > 0)
        ;
    SSL_clear_options(e.client->ssl, SSL_OP_NO_RENEGOTIATION);
    assert_int_equal(SSL_renegotiate(e.client->ssl), 1);
    assert_int_equal(SSL_do_handshake(e.client->ssl), -1);
    assert_int_equal(tls_recv(e.server, much, sizeof much), -EPROTO);
    ends_close(&e);
    rig_close(&r);
}

static void a_peer_that_speaks_no_tls_is_refused(void **state)
{
    (void)state;
    struct rig r;
    struct ends e;
    rig_open(&r, PAIR);
    ends_open(&e, r.server, NULL, r.client, NULL, NULL);
    assert_int_equal(send(e.fds[1], "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    assert_int_equal(tls_handshake(e.server), -EPROTO);
    assert_non_null(strstr(tls_reason(e.server), "http request"));
    ends_close(&e);
    ends_open(&e, r.server, NULL, r.client, NULL, NULL);
    close(e.fds[1]);
    assert_int_equal(tls_handshake(e.server), -ECONNRESET);
    tls_free(e.server);
    tls_free(e.client);
    close(e.fds[0]);
    rig_close(&r);
}

/* ---- whom a client trusts -------------------------------------------------------------------- */

static void expect_trust(struct rig *r, const char *name, int expected)
{
    struct ends e;
    int server, client;
    ends_open(&e, r->server, NULL, r->client, name, NULL);
    ends_shake(&e, &server, &client);
    if (client != expected)
        fail_msg("%s: %d, %s", name, client, tls_reason(e.client));
    if (expected != 0)
        assert_non_null(strstr(tls_reason(e.client), "certificate verify failed"));
    ends_close(&e);
}

static void a_client_verifies_certificate_and_name(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, PAIR);
    expect_trust(&r, "b.test", 0); /* not asked to */
    rig_trust(&r, "a.test.pem");
    expect_trust(&r, "a.test", 0);
    expect_trust(&r, "127.0.0.1", 0);
    expect_trust(&r, "b.test", -EPROTO);
    expect_trust(&r, "127.0.0.2", -EPROTO);
    rig_trust(&r, "b.test.pem");
    expect_trust(&r, "a.test", -EPROTO);
    rig_close(&r);
}

/* ---- names ----------------------------------------------------------------------------------- */

static const struct conf *named_conf;
static char named[64];

static const struct conf_server *choose_by_name(void *owner, const char *name)
{
    (void)owner;
    snprintf(named, sizeof named, "%s", name != NULL ? name : "nobody");
    for (size_t i = 0; i < named_conf->server_count; i++)
        if (name != NULL && strcmp(named_conf->servers[i].names[0].at, name) == 0)
            return &named_conf->servers[i];
    return NULL;
}

/* The name in the certificate that the client was shown; NULL: the handshake was refused. */
static const char *shown(struct rig *r, const char *name)
{
    static char common[64];
    struct ends e;
    int server, client;
    ends_open(&e, r->server, r, r->client, name, NULL);
    ends_shake(&e, &server, &client);
    if (client == 0) {
        X509 *certificate = SSL_get1_peer_certificate(e.client->ssl);
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common,
                                  sizeof common);
        X509_free(certificate);
    } else {
        assert_non_null(strstr(tls_reason(e.client), "unrecognized name"));
    }
    ends_close(&e);
    return client == 0 ? common : NULL;
}

static void the_name_chooses_the_certificate(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, PAIR "server_name a.test; }"
                      "server { listen 127.0.0.1:8443 ssl; server_name b.test;"
                      "ssl_certificate b.test.pem; ssl_certificate_key b.test.key; }"
                      "server { listen 127.0.0.1:8443 ssl; server_name bare.test; }"
                      "server { listen 127.0.0.1:8443 ssl; server_name no.test;"
                      "ssl_reject_handshake on;");
    named_conf = r.conf;
    tls_contexts_start(r.contexts, NULL, choose_by_name);
    assert_string_equal(shown(&r, "b.test"), "b.test");
    assert_string_equal(named, "b.test");
    assert_string_equal(shown(&r, "bare.test"), "a.test");
    assert_string_equal(shown(&r, "other.test"), "a.test");
    assert_string_equal(shown(&r, NULL), "a.test");
    assert_string_equal(named, "nobody");
    assert_null(shown(&r, "no.test"));
    rig_close(&r);
    rig_open(&r, "ssl_reject_handshake on;");
    assert_null(shown(&r, "any.test"));
    rig_close(&r);
}

/* ---- what the configuration gets wrong ------------------------------------------------------- */

static void refuses(const char *directives, const char *message, unsigned column)
{
    struct conf_error error = {.message = ""};
    struct conf *conf = load_http(tls_server(directives));
    struct tls_contexts *contexts = tls_contexts_open(conf, &error);
    if (contexts != NULL || strstr(error.message, message) == NULL)
        fail_msg("%s: \"%s\", expected \"%s\"", directives, error.message, message);
    assert_non_null(strstr(error.file, "test.conf"));
    assert_int_equal(error.line, 2);
    assert_int_equal(error.column, 36 + column);
    conf_free(conf);
}

static void what_cannot_be_used_is_refused_with_its_place(void **state)
{
    (void)state;
    char key[79] = {0};
    write_file("short.key", key, sizeof key);
    refuses("ssl_certificate none.pem; ssl_certificate_key a.test.key;", "No such file", 17);
    refuses("ssl_certificate a.test.key; ssl_certificate_key a.test.key;", "no start line", 17);
    refuses("ssl_certificate a.test.pem; ssl_certificate_key none.key;", "No such file", 49);
    refuses("ssl_certificate a.test.pem; ssl_certificate_key b.test.key;", "values mismatch", 49);
    refuses("ssl_certificate a.test.pem; ssl_certificate_key locked.test.key;", "", 49);
    refuses(PAIR "ssl_ciphers NONSENSE;", "no cipher match", 73);
    refuses(PAIR "ssl_ecdh_curve nonsense;", "SSL_CTX_set1_curves_list", 76);
    refuses(PAIR "ssl_client_certificate a.test.key;", "a.test.key", 84);
    refuses(PAIR "ssl_trusted_certificate none.pem;", "none.pem", 85);
    refuses(PAIR "ssl_crl a.test.pem;", "a.test.pem", 69);
    refuses(PAIR "ssl_dhparam a.test.pem;", "a.test.pem", 73);
    refuses(PAIR "ssl_dhparam none.pem;", "none.pem", 73);
    refuses(PAIR "ssl_session_ticket_key short.key;", "must be 48 or 80 bytes", 84);
    refuses(PAIR "ssl_session_ticket_key none.key;", "No such file", 84);
    refuses(PAIR "ssl_password_file none.txt;", "No such file", 79);
}

static void passphrases_are_tried_in_turn(void **state)
{
    (void)state;
    struct rig r;
    write_file("right.txt", "one\ntwo\nopen sesame\n", 20);
    write_file("wrong.txt", "one\ntwo\n", 8);
    rig_open(&r, "ssl_certificate locked.test.pem; ssl_certificate_key locked.test.key;"
                 "ssl_password_file right.txt;");
    assert_string_equal(shown(&r, NULL), "locked.test");
    rig_close(&r);
    refuses("ssl_certificate locked.test.pem; ssl_certificate_key locked.test.key;"
            "ssl_password_file wrong.txt;",
            "cannot load certificate key", 54);
}

static void a_server_may_have_keys_of_two_kinds(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, PAIR "ssl_certificate rsa.test.pem; ssl_certificate_key rsa.test.key;"
                      "ssl_protocols TLSv1.2;");
    assert_string_equal(shown(&r, NULL), "a.test");
    SSL_CTX_set_cipher_list(r.client->ssl, "ECDHE-RSA-AES128-GCM-SHA256");
    assert_string_equal(shown(&r, NULL), "rsa.test");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_until_goodbye),
        cmocka_unit_test(what_is_left_over_is_pending),
        cmocka_unit_test(bytes_received_before_are_read_first),
        cmocka_unit_test(a_full_socket_wants_room),
        cmocka_unit_test(new_keys_are_no_trouble),
        cmocka_unit_test(hands_are_shaken_once),
        cmocka_unit_test(a_peer_that_speaks_no_tls_is_refused),
        cmocka_unit_test(a_client_verifies_certificate_and_name),
        cmocka_unit_test(the_name_chooses_the_certificate),
        cmocka_unit_test(what_cannot_be_used_is_refused_with_its_place),
        cmocka_unit_test(passphrases_are_tried_in_turn),
        cmocka_unit_test(a_server_may_have_keys_of_two_kinds),
    };
    tls_secret_make(clock_now_ns());
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
