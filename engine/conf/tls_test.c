/* The ssl_* directives: how levels inherit them, and what is refused before OpenSSL is asked. */
#include "engine/conf/conf_fixture.h"

#define KEYS "ssl_certificate c; ssl_certificate_key k;"

static const struct conf_tls *tls_of_server(const struct conf *conf, size_t index)
{
    assert_true(index < conf->server_count);
    return conf->servers[index].tls;
}

static void defaults_are_those_of_nginx(void **state)
{
    (void)state;
    const struct conf_tls *tls = tls_of_server(fixture_load(fixture_server("")), 0);
    assert_int_equal(tls->pair_count, 0);
    assert_int_equal(tls->protocols, CONF_TLS_1_2 | CONF_TLS_1_3);
    assert_text(tls->ciphers.text, "HIGH:!aNULL:!MD5");
    assert_text(tls->curves.text, "auto");
    assert_int_equal(tls->cache, CONF_TLS_CACHE_NONE);
    assert_int_equal(tls->verify_depth, 1);
    assert_int_equal(tls->buffer_size, 16384);
    assert_true(tls->tickets);
    assert_false(tls->reject_handshake || tls->prefer_server_ciphers || tls->shared);
    assert_true(tls->session_timeout_ns == UINT64_C(300000000000));
}

static void lists_are_inherited_whole(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(
        "events {} http { ssl_certificate a; ssl_certificate b; ssl_certificate_key x;\n"
        "ssl_certificate_key y; ssl_session_cache shared:z:32k; ssl_session_ticket_key t;\n"
        "server { listen 127.0.0.1:1; }\n"
        "server { listen 127.0.0.1:2; ssl_certificate c; ssl_session_cache builtin; } }");
    const struct conf_tls *first = tls_of_server(conf, 0), *second = tls_of_server(conf, 1);
    assert_int_equal(first->pair_count, 2);
    assert_int_equal(second->pair_count, 1);
    assert_non_null(strstr(second->pairs[0].certificate.text.at, "/c"));
    assert_non_null(strstr(second->pairs[0].key.text.at, "/x"));
    assert_int_equal(second->ticket_key_count, 1);
    assert_true(first->shared && !second->shared);
    assert_int_equal(conf->zone_count, 1);
    assert_int_equal(second->builtin_sessions, 20480);
}

/* Paths are relative to the configuration's folder; each remembers where it stands. */
static void files_have_paths_and_places(void **state)
{
    (void)state;
    const struct conf_tls *tls = tls_of_server(fixture_load(fixture_server(KEYS)), 0);
    const struct conf_tls_text *key = &tls->pairs[0].key;
    char path[128];
    snprintf(path, sizeof path, "%s/k", fixture->folder);
    assert_text(key->text, path);
    assert_int_equal(key->line, 3);
    assert_int_equal(key->column, 40);
    assert_non_null(strstr(key->file, "mw.conf"));
}

static void an_address_speaks_what_any_of_its_servers_says(void **state)
{
    (void)state;
    const struct conf *conf =
        fixture_load("events {} http { " KEYS " server { listen 127.0.0.1:1 ssl; }\n"
                     "server { listen 127.0.0.1:1 backlog=5 proxy_protocol; } }");
    assert_int_equal(conf->listen_count, 1);
    assert_true(conf->listens[0].ssl && conf->listens[0].proxy_protocol);
    assert_int_equal(conf->listens[0].backlog, 5);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message, *place;
    } cases[] = {
        {"listen 127.0.0.1:2 ssl;",
         "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive", "mw.conf:3:8"},
        {"ssl_certificate c;", "no \"ssl_certificate_key\" is defined for certificate ",
         "mw.conf:3:17"},
        {"ssl_certificate $host.pem;",
         "variables in \"ssl_certificate\" are not supported by this build: \"$host.pem\"",
         "mw.conf:3:17"},
        {"ssl_certificate_key engine:x:y;",
         "keys of engines are not supported by this build: \"engine:x:y\", give a file",
         "mw.conf:3:21"},
        {"ssl_protocols TLSv1.2 SSLv3;",
         "invalid value \"SSLv3\" in \"ssl_protocols\" directive, it must be \"TLSv1\", "
         "\"TLSv1.1\", \"TLSv1.2\" or \"TLSv1.3\"",
         "mw.conf:3:23"},
        {KEYS "ssl_verify_client on;", "no \"ssl_client_certificate\" for \"ssl_verify_client\"",
         "mw.conf:3:42"},
        {"ssl_session_cache shared:s:1k;", "zone \"s\" is too small: at least 32k are expected",
         "mw.conf:3:19"},
#define BAD(word)                                                                                  \
    {"ssl_session_cache " word ";",                                                                \
     "invalid session cache \"" word "\", it must be \"off\", \"none\", "                          \
     "\"builtin[:SESSIONS]\" or \"shared:NAME:SIZE\"",                                             \
     "mw.conf:3:19"}
        BAD("shared:s"),
        BAD("shared::1m"),
        BAD("shared:s:"),
        BAD("shared:s:1x"),
        BAD("builtin:x"),
        BAD("builtin:0"),
        BAD("on"),
#undef BAD
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = fixture_server(cases[i].text);
        char message[512];
        snprintf(message, sizeof message, "%s", cases[i].message);
        if (message[strlen(message) - 1] == ' ')
            snprintf(message + strlen(message), sizeof message - strlen(message), "\"%s/c\"",
                     fixture->folder);
        fixture_refuses(text, message, cases[i].place);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(defaults_are_those_of_nginx),
        FIXTURE_TEST(lists_are_inherited_whole),
        FIXTURE_TEST(files_have_paths_and_places),
        FIXTURE_TEST(an_address_speaks_what_any_of_its_servers_says),
        FIXTURE_TEST(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
