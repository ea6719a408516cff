/* Which server answers. */
#include "engine/http/http_fixture.h"
#include "engine/http/route.h"

static const char servers_text[] =
    "server { listen 127.0.0.1:1; server_name default.test; }\n"
    "server { listen 127.0.0.1:1; server_name www.example.* mail.*; }\n"
    "server { listen 127.0.0.1:1; server_name *.example.org; }\n"
    "server { listen 127.0.0.1:1; server_name *.deep.example.org; }\n"
    "server { listen 127.0.0.1:1; server_name .both.test; }\n"
    "server { listen 127.0.0.1:1; server_name www.example.org \"\"; }\n"
    "server { listen 127.0.0.1:1; server_name www.example.org late.test; }\n";

/* -1: none has the name. */
static long server_for(const char *host)
{
    const struct conf_server *found = route_server(fx->client.listen, str_make(host, strlen(host)));
    return found == NULL ? -1 : found - fx->conf->servers;
}

static void names_choose_a_server(void **state)
{
    (void)state;
    fixture_load(servers_text);
    assert_int_equal(server_for("www.example.org"), 5); /* exact beats every wildcard */
    assert_int_equal(server_for(""), 5);
    assert_int_equal(server_for("late.test"), 6);
    assert_int_equal(server_for("mail.example.org"), 2); /* a head wildcard beats a tail one */
    assert_int_equal(server_for("a.deep.example.org"), 3);
    assert_int_equal(server_for("deep.example.org"), 2);
    assert_int_equal(server_for("example.org"), -1); /* *.example.org wants something in front */
    assert_int_equal(server_for("both.test"), 4);
    assert_int_equal(server_for("x.both.test"), 4);
    assert_int_equal(server_for("xboth.test"), -1);
    assert_int_equal(server_for("www.example.com"), 1);
    assert_int_equal(server_for("mail.anything.net"), 1);
    assert_int_equal(server_for("mail."), -1);
    assert_int_equal(server_for("unknown.test"), -1);
}

/* Many names cost no more than a few. */
static void of_many_names_each_is_found(void **state)
{
    enum { MANY = 200 };
    static char text[12000];
    size_t used = 0;
    char name[32];
    (void)state;
    for (int i = 0; i < MANY; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "server{listen 127.0.0.1:1;server_name n%d;}", i * 7919 % MANY);
    fixture_load(text);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "n%d", i * 7919 % MANY);
        assert_int_equal(server_for(name), i);
    }
    assert_int_equal(server_for("n200"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_choose_a_server, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(of_many_names_each_is_found, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
