/* PROXY headers: whole, in pieces, followed by something else, and what is none. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/http/proxy_protocol.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define V2_INET V2 "\x21\x11\0\x0c\x0a\1\2\3\x0a\4\5\6\x04\x57\x08\xae"
#define V1_INET "PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n"

/* Every part of it wants more, as much as there is of it in memory of its own; all of it is done,
 * whatever follows. */
static void expect_done(struct conf_str header, const char *source, unsigned port)
{
    struct http_proxied said;
    size_t used;
    for (size_t len = 0; len < header.len; len++) {
        char *part = malloc(len + 1);
        memcpy(part, header.at, len);
        assert_int_equal(proxy_protocol_parse(str_make(part, len), &said, &used),
                         PROXY_PROTOCOL_MORE);
        free(part);
    }
    char whole[4200];
    memcpy(whole, header.at, header.len);
    memset(whole + header.len, 'G', sizeof whole - header.len);
    assert_int_equal(proxy_protocol_parse(str_make(whole, sizeof whole), &said, &used),
                     PROXY_PROTOCOL_DONE);
    assert_int_equal(used, header.len);
    assert_int_equal(said.known, source != NULL);
    if (source == NULL)
        return;
    char text[INET6_ADDRSTRLEN];
    bool six = said.source.plain.sa_family == AF_INET6;
    inet_ntop(six ? AF_INET6 : AF_INET,
              six ? (void *)&said.source.in6.sin6_addr : (void *)&said.source.in.sin_addr, text,
              sizeof text);
    assert_string_equal(text, source);
    assert_int_equal(ntohs(said.source.in.sin_port), port);
}

static void headers_name_the_client(void **state)
{
    (void)state;
    expect_done(STR(V1_INET), "10.1.2.3", 1111);
    expect_done(STR("PROXY TCP6 2001:db8::1 ::2 65535 0\r\n"), "2001:db8::1", 65535);
    expect_done(STR("PROXY UNKNOWN\r\n"), NULL, 0);
    expect_done(STR("PROXY UNKNOWN whatever 1 2\r\n"), NULL, 0);
    expect_done(STR(V2_INET), "10.1.2.3", 1111);
    expect_done(STR(V2 "\x20\x11\0\x0c............"), NULL, 0); /* a health check */
    expect_done(STR(V2 "\x21\0\0\3abc"), NULL, 0);
    /* What comes after the addresses is passed over. */
    expect_done(STR(V2 "\x21\x11\0\x0f\x0a\1\2\3\x0a\4\5\6\x04\x57\x08\xae\4\0\0"), "10.1.2.3",
                1111);
}

static void what_is_no_header_is_bad(void **state)
{
    (void)state;
    const struct conf_str bad[] = {
        STR("GET / HTTP/1.1\r\n"),
        STR("PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n"),
        STR("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n"),
        STR("PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n"),
        STR("PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n"),
        STR("PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n"),
        STR("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n"),
        STR("PROXY TCP4 ::1 1.1.1.1 1 1\r\n"),
        STR("PROXY TCP6 1.1.1.1 ::1 1 1\r\n"),
        STR("PROXY tcp4 1.1.1.1 1.1.1.1 1 1\r\n"),
        STR("PROXY \r\n"),
        STR(V2 "\x11\x11\0\0"),
        STR(V2 "\x22\x11\0\0"),
        STR(V2 "\x21\x11\0\x0b..........."),
        STR(V2 "\x21\x21\0\x0c............"),
        STR(V2 "\x21\x11\xff\xff"),
        STR("\r\n\r\nX"),
    };
    struct http_proxied said;
    size_t used;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (proxy_protocol_parse(bad[i], &said, &used) != PROXY_PROTOCOL_BAD)
            fail_msg("accepted: %s", bad[i].at);
    char line[200];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_protocol_parse(str_make(line, 106), &said, &used), PROXY_PROTOCOL_MORE);
    assert_int_equal(proxy_protocol_parse(str_make(line, 107), &said, &used), PROXY_PROTOCOL_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_name_the_client),
        cmocka_unit_test(what_is_no_header_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
