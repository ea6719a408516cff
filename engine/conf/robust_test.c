/* Configurations nobody wrote on purpose, memory that runs out at every point, and trees of
 * locations whose one list must choose as nginx's level by level search does. */
#include <errno.h>
#include <stdint.h>

#include "engine/conf/conf_fixture.h"
#include "engine/conf/load.h"
#include "faultinject/board.h"
#include "faultinject/fault.h"

static const char good[] =
    "daemon off; worker_processes 2; error_log e.log warn; env A=b; worker_cpu_affinity 01 10;\n"
    "events { worker_connections 64; }\n"
    "http {\n"
    "  include types*.inc; log_format main '$remote_addr \"$request\" ${status}';\n"
    "  access_log a.log main buffer=4k flush=1s; add_header X-A \"$uri\" always;\n"
    "  types { text/css css; text/html html htm; } keepalive_timeout 65 60;\n"
    "  server { listen 127.0.0.1:8080 default_server backlog=9; listen [::1]:81; listen 90-93;\n"
    "    server_name a.b *.c .d e.* \"\"; large_client_header_buffers 4 16k;\n"
    "    location / { root /srv; index a b; error_log f.log; }\n"
    "    location /a/ { alias /x/; location = /a/b { return 200 \"it's $http_x\\n\"; } }\n"
    "    location ^~ /s { status json; } location = /e { test_handler echo 7; } } # end\n"
    "  server { listen unix:/tmp/x.sock; return 301 https://$host$request_uri; }\n"
    "  map $uri $m { hostnames; default $host; a b; *.c d; e.* f; ~^(?<g>x)y$ \"$g\"; }\n"
    "  limit_req_zone $m zone=r:64k rate=5r/m; limit_conn_zone $m$uri zone=c:64k;\n"
    "  server { listen 82; server_name ~^(?<who>[a-z]+)\\.u$; set $v \"a$who$1\"; expires 1d;\n"
    "    if ($v ~* ^b) { rewrite ^/(.*)$ /z/$1?x last; } error_page 404 500 =200 /x?$v;\n"
    "    set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For; limit_rate $arg_r;\n"
    "    location ~ \\.(a|b)$ { alias /w/$1; try_files $uri $uri/ @n; limit_req zone=r burst=3; }\n"
    "    location @n { allow ::1; deny all; limit_conn c 2; limit_except GET { deny all; }\n"
    "      access_log /l/$host main if=$m; if (-f /x) { add_header Y z; break; } } }\n"
    "}\n";

static uint64_t random_state;

/* splitmix64: the seed is printed by a failing test through its text. */
static uint64_t random_next(void)
{
    uint64_t z = (random_state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static size_t random_below(size_t bound)
{
    return (size_t)(random_next() % bound);
}

/* ---- mutations ------------------------------------------------------------------------------- */

#define MUTANT_MAX 4096

/* One change: a byte, a cut, a doubled stretch, or a piece of syntax put in. */
static size_t mutate(char *text, size_t len)
{
    static const char *const pieces[] = {"{",
                                         "}",
                                         ";",
                                         "\"",
                                         "'",
                                         "$",
                                         "${",
                                         "\\",
                                         "#",
                                         "\n",
                                         " include mw.conf;",
                                         "location /a/ {",
                                         "server {",
                                         "999999999999999999999"};
    size_t at = random_below(len), span = random_below(len - at < 40 ? len - at : 40);
    const char *piece = pieces[random_below(sizeof pieces / sizeof pieces[0])];
    size_t size = strlen(piece);
    switch (random_below(4)) {
    case 0:
        text[at] = (char)random_next();
        return len;
    case 1:
        memmove(text + at, text + at + span, len - at - span);
        return len - span;
    case 2:
        piece = good + random_below(sizeof good - 40);
        size = span;
        break;
    default:
        break;
    }
    if (len + size > MUTANT_MAX)
        return len;
    memmove(text + at + size, text + at, len - at);
    memcpy(text + at, piece, size);
    return len + size;
}

/* Whatever the text, there is a configuration, or an error that says something. */
static void mutations_are_read_or_refused(void **state)
{
    (void)state;
    static char text[MUTANT_MAX + 1];
    unsigned accepted = 0, refused = 0;
    fixture_write("types.inc", "types { a/b x; }", 16);
    for (random_state = 1; accepted + refused < 3000; random_state++) {
        size_t len = sizeof good - 1;
        memcpy(text, good, len);
        for (size_t n = 1 + random_below(4); n > 0 && len > 0; n--)
            len = mutate(text, len);
        const char *path = fixture_write("mw.conf", text, len);
        struct conf_error error;
        struct conf *conf = conf_load(path, FIXTURE_PREFIX, NULL, &error);
        accepted += conf != NULL;
        refused += conf == NULL;
        if (conf == NULL)
            assert_true(error.message[0] != '\0');
        conf_free(conf);
    }
    assert_true(accepted > 100 && refused > 100);
}

/* ---- no memory ------------------------------------------------------------------------------- */

#if MW_FAULTS /* without fault points nothing can make sys_alloc fail */
static int fail_allocation(struct fault_board_file *board, uint64_t n)
{
    struct fault_rule rule = FAULT_RULE_INIT;
    rule.point = FAULT_mem_alloc;
    rule.kind = FAULT_ERRNO;
    rule.value = ENOMEM;
    rule.nth = n;
    int index = fault_board_arm(board, &rule);
    assert_true(index >= 0);
    return index;
}

/* N = 1, 2, ... until a load is clean. Chunks of one piece each make every allocation count, and
 * the sanitizers see what a failed load leaves behind. */
static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct fault_board_file board;
    const char *board_path = fixture_write("board", "", 0);
    remove(board_path);
    assert_int_equal(fault_board_open(&board, board_path, true, 1), 0);
    setenv("MW_FAULT_BOARD", board_path, 1);
    assert_int_equal(fault_attach(), 0);
    const char *path = fixture_write("mw.conf", good, sizeof good - 1);
    struct conf_error error;
    struct conf *conf = NULL;
    uint64_t n = 0;
    while (conf == NULL && n < 100000) {
        int rule = fail_allocation(&board, ++n);
        conf = conf_load_chunked(path, FIXTURE_PREFIX, "pid x;", &error, 0);
        if (conf == NULL)
            assert_string_equal(error.message, "no memory for the configuration");
        fault_board_disarm(&board, (unsigned)rule);
    }
    fault_board_close(&board);
    assert_non_null(conf);
    assert_true(n > 300);
    conf_free(conf);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(mutations_are_read_or_refused),
#if MW_FAULTS
        FIXTURE_TEST(each_allocation_may_fail),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
