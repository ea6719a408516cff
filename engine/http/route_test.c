/* Which server and which location answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/http/route.h"

static const struct conf_str names_default[] = {{"default.test", 12}};
static const struct conf_str names_exact[] = {{"www.example.org", 15}, {"", 0}};
static const struct conf_str names_head[] = {{"*.example.org", 13}};
static const struct conf_str names_longer[] = {{"*.deep.example.org", 18}};
static const struct conf_str names_dot[] = {{".both.test", 10}};
static const struct conf_str names_tail[] = {{"www.example.*", 13}, {"mail.*", 6}};
static const struct conf_server servers[] = {
    {.names = names_default, .name_count = 1}, {.names = names_tail, .name_count = 2},
    {.names = names_head, .name_count = 1},    {.names = names_longer, .name_count = 1},
    {.names = names_dot, .name_count = 1},     {.names = names_exact, .name_count = 2},
};

static long server_for(const char *host)
{
    static const struct conf_server *const all[] = {&servers[0], &servers[1], &servers[2],
                                                    &servers[3], &servers[4], &servers[5]};
    const struct conf_listen listen = {
        .default_server = &servers[0], .servers = all, .server_count = 6};
    const struct conf_server *found = route_server(&listen, str_make(host, strlen(host)));
    return found == NULL ? 0 : found - servers;
}

static void names_choose_a_server(void **state)
{
    (void)state;
    assert_int_equal(server_for("www.example.org"), 5); /* exact beats every wildcard */
    assert_int_equal(server_for(""), 5);
    assert_int_equal(server_for("mail.example.org"), 2); /* a head wildcard beats a tail one */
    assert_int_equal(server_for("a.deep.example.org"), 3);
    assert_int_equal(server_for("deep.example.org"), 2);
    assert_int_equal(server_for("example.org"), 0); /* *.example.org wants something in front */
    assert_int_equal(server_for("both.test"), 4);
    assert_int_equal(server_for("x.both.test"), 4);
    assert_int_equal(server_for("xboth.test"), 0);
    assert_int_equal(server_for("www.example.com"), 1);
    assert_int_equal(server_for("mail.anything.net"), 1);
    assert_int_equal(server_for("mail."), 0);
    assert_int_equal(server_for("unknown.test"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_choose_a_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
