/* What a wrong configuration is answered with, word by word and place by place. */
#include "engine/conf/conf_fixture.h"
#include "engine/conf/load.h"

struct mistake {
    const char *text, *message, *place;
};

static void check(const struct mistake *mistakes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fixture_refuses(mistakes[i].text, mistakes[i].message, mistakes[i].place);
}
#define CHECK_ALL(mistakes) check(mistakes, sizeof mistakes / sizeof mistakes[0])

/* The same inside a server; places are in line 3. */
static void check_in_server(const struct mistake *mistakes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fixture_refuses(fixture_server(mistakes[i].text), mistakes[i].message, mistakes[i].place);
}
#define CHECK_IN_SERVER(mistakes) check_in_server(mistakes, sizeof mistakes / sizeof mistakes[0])

static void structure(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"", "no \"events\" section in configuration", NULL},
        {"http {}", "no \"events\" section in configuration", NULL},
        {"events {}\nhttp {\n", "unexpected end of file, expecting \"}\"", "mw.conf:3:1"},
        {"events {} daemon on", "unexpected end of file, expecting \";\" or \"}\"", "mw.conf:1:20"},
        {"events {}\n }", "unexpected \"}\"", "mw.conf:2:2"},
        {"events {};", "unexpected \";\"", "mw.conf:1:10"},
        {"events {}\n{", "unexpected \"{\"", "mw.conf:2:1"},
        {"events { worker_connections 1 }", "unexpected \"}\"", "mw.conf:1:31"},
        {"events {} daemon \"on\"x;", "unexpected \"x\"", "mw.conf:1:22"},
        {"events {}\ndaemon 'on;\n\n",
         "unexpected end of file, expecting the end of the quoted string that starts here",
         "mw.conf:2:8"},
        {"events {} events {}", "\"events\" directive is duplicate", "mw.conf:1:11"},
        {"events {} http {} http {}", "\"http\" directive is duplicate", "mw.conf:1:19"},
        {"daemon on\nevents {}", "directive \"daemon\" is not terminated by \";\"", "mw.conf:1:1"},
    };
    CHECK_ALL(mistakes);
}

static void main_values(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"daemon\n yes;",
         "invalid value \"yes\" in \"daemon\" directive, it must be \"on\" or \"off\"",
         "mw.conf:2:2"},
        {"worker_processes 0;",
         "invalid value \"0\" in \"worker_processes\" directive, it must be 1 to 128 or \"auto\"",
         "mw.conf:1:18"},
        {"worker_processes 129;",
         "invalid value \"129\" in \"worker_processes\" directive, it must be 1 to 128 or \"auto\"",
         "mw.conf:1:18"},
        {"worker_cpu_affinity 012;", "invalid character \"2\" in \"worker_cpu_affinity\"",
         "mw.conf:1:21"},
        {"worker_cpu_affinity 1 00;", "\"worker_cpu_affinity\" mask \"00\" names no CPU",
         "mw.conf:1:23"},
        {"worker_cpu_affinity auto 1 1;",
         "invalid number of arguments in \"worker_cpu_affinity\" directive", "mw.conf:1:28"},
        {"worker_priority 21;",
         "invalid value \"21\" in \"worker_priority\" directive, it must be -20 to 20",
         "mw.conf:1:17"},
        {"env =1;", "invalid value \"=1\" in \"env\" directive, it must be NAME or NAME=VALUE",
         "mw.conf:1:5"},
        {"pid '';", "invalid value \"\" in \"pid\" directive", "mw.conf:1:5"},
        {"worker_respawn_backoff 0 1;",
         "invalid value \"0\" in \"worker_respawn_backoff\" directive, it must be a time above 0",
         "mw.conf:1:24"},
        {"worker_respawn_backoff 2s 1s;",
         "\"worker_respawn_backoff\" 2s 1s: the shortest wait is longer than the longest",
         "mw.conf:1:24"},
        {"master_process off;",
         "invalid value \"off\" in \"master_process\" directive, this build knows only \"on\": a "
         "server is its master; use \"daemon off\" to stay in the foreground",
         "mw.conf:1:16"},
        {"keepalive_handover on;",
         "invalid value \"on\" in \"keepalive_handover\" directive, this build knows only \"off\"",
         "mw.conf:1:20"},
        {"events { use poll; }", "invalid event type \"poll\", there is only \"epoll\"",
         "mw.conf:1:14"},
        {"events { worker_connections 0; }",
         "invalid value \"0\" in \"worker_connections\" directive, it must be 1 to 1048576",
         "mw.conf:1:29"},
        {"error_log x loud;",
         "invalid log level \"loud\", it must be debug, info, notice, warn, error, crit, alert or "
         "emerg",
         "mw.conf:1:13"},
        {"error_log a; error_log b; error_log c; error_log d; error_log e;",
         "more than 4 error logs at the main level", "mw.conf:1:63"},
        {"error_log syslog:server=x;",
         "invalid log \"syslog:server=x\": the server is no address: names are not looked up",
         "mw.conf:1:11"},
        {"worker_watchdog 1x;",
         "invalid value \"1x\" in \"worker_watchdog\" directive, it must be a time such as 30s, "
         "500ms or 1h30m",
         "mw.conf:1:17"},
    };
    CHECK_ALL(mistakes);
    if (geteuid() == 0) {
        fixture_refuses("user no-such-user-1;", "there is no user \"no-such-user-1\"",
                        "mw.conf:1:6");
        fixture_refuses("user root no-such-group-1;", "there is no group \"no-such-group-1\"",
                        "mw.conf:1:11");
    }
}

static void addresses(void **state)
{
    (void)state;
#define OF " of the \"listen\" directive"
    static const struct mistake mistakes[] = {
        {"listen 0;", "invalid port in \"0\"" OF, "mw.conf:3:8"},
        {"listen 65536;", "invalid port in \"65536\"" OF, "mw.conf:3:8"},
        {"listen 90-80;", "invalid port in \"90-80\"" OF, "mw.conf:3:8"},
        {"listen 1.1.1.1:x;", "invalid port in \"1.1.1.1:x\"" OF, "mw.conf:3:8"},
        {"listen :80;", "no host in \":80\"" OF, "mw.conf:3:8"},
        {"listen '';", "no host in \"\"" OF, "mw.conf:3:8"},
        {"listen example.org:80;",
         "invalid host (an address or \"localhost\" is expected) in \"example.org:80\"" OF,
         "mw.conf:3:8"},
        {"listen [::1;", "invalid host in \"[::1\"" OF, "mw.conf:3:8"},
        {"listen [x]:1;", "invalid IPv6 address in \"[x]:1\"" OF, "mw.conf:3:8"},
        {"listen [::1]1;", "invalid port in \"[::1]1\"" OF, "mw.conf:3:8"},
        {"listen unix:;", "no path in \"unix:\"" OF, "mw.conf:3:8"},
        {"listen 81 http2;", "the \"http2\" parameter" OF " is not supported by this build",
         "mw.conf:3:11"},
        {"listen 81 nonsense;", "invalid parameter \"nonsense\"" OF, "mw.conf:3:11"},
        {"listen 81 a=b;", "invalid parameter \"a=b\"" OF, "mw.conf:3:11"},
        {"listen 81 backlog=0;", "invalid backlog \"backlog=0\"" OF, "mw.conf:3:11"},
        {"listen 81 rcvbuf=x;", "invalid rcvbuf \"rcvbuf=x\"" OF, "mw.conf:3:11"},
        {"listen 81 ipv6only=on;", "ipv6only is not supported on addr \"81\"" OF, "mw.conf:3:11"},
        {"listen 81 so_keepalive=::;",
         "invalid so_keepalive \"so_keepalive=::\"" OF
         ", it must be \"on\", \"off\" or IDLE:INTERVAL:COUNT, such as 30m::10",
         "mw.conf:3:11"},
        {"listen 81 so_keepalive=1x:2;",
         "invalid so_keepalive \"so_keepalive=1x:2\"" OF
         ", it must be \"on\", \"off\" or IDLE:INTERVAL:COUNT, such as 30m::10",
         "mw.conf:3:11"},
        {"listen 127.0.0.1:8080;", "a duplicate listen 127.0.0.1:8080", "mw.conf:3:8"},
        {"listen *:8080;",
         "cannot listen on 127.0.0.1:8080 beside 0.0.0.0:8080: this build has one socket for each "
         "address, use either",
         "mw.conf:2:24"},
        {"listen 1.1.1.1:9 backlog=1; } server { listen 1.1.1.1:9 deferred;",
         "duplicate listen options for 1.1.1.1:9", "mw.conf:3:47"},
        {"listen 9 default_server; } server { listen 9 default_server;",
         "a duplicate default server for 0.0.0.0:9", "mw.conf:3:44"},
        {"listen 127.0.0.1:1-5000;", "more than 4096 addresses to listen on", "mw.conf:3:8"},
    };
    CHECK_IN_SERVER(mistakes);
    char line[300] = "listen unix:/", message[400];
    memset(line + strlen(line), 'x', 120);
    snprintf(message, sizeof message, "too long path in \"%s\"" OF, line + 7);
    memcpy(line + strlen(line), ";", 2);
    fixture_refuses(fixture_server(line), message, "mw.conf:3:8");
}

static void servers_and_locations(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"server_name ~^x(;",
         "regular expression \"^x(\" failed at character 4: missing closing parenthesis",
         "mw.conf:3:13"},
        {"server_name ~;", "empty regex in server name \"~\"", "mw.conf:3:13"},
        {"server_name a *;", "server name \"*\" is invalid", "mw.conf:3:15"},
        {"server_name a*.b;", "server name \"a*.b\" is invalid", "mw.conf:3:13"},
        {"server_name *.*;", "server name \"*.*\" is invalid", "mw.conf:3:13"},
        {"server_name .;", "server name \".\" is invalid", "mw.conf:3:13"},
        {"location ~ a[ {}",
         "regular expression \"a[\" failed at character 3: missing terminating ] for character "
         "class",
         "mw.conf:3:10"},
        {"location ! /x {}",
         "invalid location modifier \"!\", it must be \"=\", \"^~\", \"~\" or \"~*\"",
         "mw.conf:3:10"},
        {"location /a { location @b {} }", "named location \"@b\" can be on the server level only",
         "mw.conf:3:24"},
        {"location @a { location /b {} }",
         "location \"/b\" cannot be inside the named location \"@a\"", "mw.conf:3:24"},
        {"location /a {} location ^~ /a {}", "duplicate location \"/a\", first in line 3",
         "mw.conf:3:28"},
        {"location /a { location /b {} }", "location \"/b\" is outside location \"/a\"",
         "mw.conf:3:24"},
        {"location = /a { location /a {} }",
         "location \"/a\" cannot be inside the exact location \"/a\"", "mw.conf:3:26"},
        {"location /a { root /x; alias /y; }",
         "\"alias\" directive is duplicate, \"root\" directive was specified earlier",
         "mw.conf:3:24"},
        {"index '';", "index \"\" in \"index\" directive is invalid", "mw.conf:3:7"},
        {"types { text/css {} }", "unexpected \"{\" in \"types\"", "mw.conf:3:9"},
        {"types { text/css; }", "type \"text/css\" has no extensions in \"types\"", "mw.conf:3:9"},
        {"status xml;",
         "invalid value \"xml\" in \"status\" directive, it must be \"json\" or \"prometheus\"",
         "mw.conf:3:8"},
        {"status json; test_handler bytes;",
         "\"test_handler\" cannot stand beside \"status\": both say what is answered here",
         "mw.conf:3:14"},
        {"test_handler echo;", "\"test_handler echo\" needs a label", "mw.conf:3:14"},
        {"test_handler x;",
         "invalid value \"x\" in \"test_handler\" directive, it must be \"echo\", \"delay\", "
         "\"bytes\", \"upload\", \"stream\" or \"tunnel\"",
         "mw.conf:3:14"},
        {"lingering_close maybe;",
         "invalid value \"maybe\" in \"lingering_close\" directive, it must be \"off\", \"on\" or "
         "\"always\"",
         "mw.conf:3:17"},
        {"client_header_buffer_size 1;",
         "invalid value \"1\" in \"client_header_buffer_size\" directive, it must be a size from "
         "128 to 16777216",
         "mw.conf:3:27"},
        {"large_client_header_buffers 0 1k;",
         "invalid value \"0\" in \"large_client_header_buffers\" directive, it must be 1 to 64",
         "mw.conf:3:29"},
        {"large_client_header_buffers 2 1;",
         "invalid value \"1\" in \"large_client_header_buffers\" directive, it must be a size from "
         "128 to 16777216",
         "mw.conf:3:31"},
        {"keepalive_timeout 1 x;",
         "invalid value \"x\" in \"keepalive_timeout\" directive, it must be a time such as 30s, "
         "500ms or 1h30m",
         "mw.conf:3:21"},
    };
    CHECK_IN_SERVER(mistakes);
}

static void rules(void **state)
{
    (void)state;
    static const char condition[] = ", expected are ($x), ($x = text), ($x ~ regex), (-f file) and "
                                    "the like";
    static const struct mistake mistakes[] = {
        {"rewrite ( /x;",
         "regular expression \"(\" failed at character 2: missing closing parenthesis",
         "mw.conf:3:9"},
        {"rewrite a b c;",
         "invalid parameter \"c\", it must be \"last\", \"break\", \"redirect\" or \"permanent\"",
         "mw.conf:3:13"},
        {"rewrite a '';", "empty replacement in \"rewrite\" directive", "mw.conf:3:11"},
        {"set x y;", "invalid variable name \"x\", a $ and a name are expected", "mw.conf:3:5"},
        {"set $uri y;",
         "variable \"uri\" has a meaning of its own and cannot be set: take another name",
         "mw.conf:3:5"},
        {"if ($uri = a) { listen 81; }", "\"listen\" directive is not allowed here",
         "mw.conf:3:17"},
        {"if ($uri = a) { root /x; }", "\"root\" directive is not allowed here", "mw.conf:3:17"},
        {"if ($uri ? a) { }", "unexpected \"?\" in condition, it must be =, !=, ~, ~*, !~ or !~*",
         "mw.conf:3:10"},
        {"if ($uri ~ a[) { }",
         "regular expression \"a[\" failed at character 3: missing terminating ] for character "
         "class",
         "mw.conf:3:12"},
    };
    static const char *const conditions[] = {"$uri", "(uri)", "($uri = a b)", "(-q /x)", "()"};
    char line[256], message[256];
    CHECK_IN_SERVER(mistakes);
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        snprintf(line, sizeof line, "if %s { }", conditions[i]);
        assert_null(fixture_try(fixture_server(line), NULL));
        snprintf(message, sizeof message, "invalid condition \"");
        assert_int_equal(strncmp(fixture->error.message, message, strlen(message)), 0);
        assert_non_null(strstr(fixture->error.message, condition));
    }
}

static void access_and_detours(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"allow nobody;",
         "invalid parameter \"nobody\", an address, ADDRESS/BITS, all or unix: is expected",
         "mw.conf:3:7"},
        {"deny 10.0.0.0/33;",
         "invalid parameter \"10.0.0.0/33\", an address, ADDRESS/BITS, all or unix: is expected",
         "mw.conf:3:6"},
        {"set_real_ip_from all;",
         "invalid parameter \"all\", an address, ADDRESS/BITS or unix: is expected",
         "mw.conf:3:18"},
        {"location / { limit_except FETCH { } }", "invalid method \"FETCH\"", "mw.conf:3:27"},
        {"location / { limit_except GET { root /x; } }", "\"root\" directive is not allowed here",
         "mw.conf:3:33"},
        {"try_files a =x;", "invalid code \"x\"", "mw.conf:3:13"},
        {"error_page x /y;", "invalid value \"x\", a status is expected", "mw.conf:3:12"},
        {"error_page 200 /y;", "value \"200\" must be between 300 and 599", "mw.conf:3:12"},
        {"error_page 499 /y;", "value \"499\" must be between 300 and 599, but not 499",
         "mw.conf:3:12"},
        {"error_page =200 /y;", "invalid value \"=200\", CODE ... =[CODE] URI is expected",
         "mw.conf:3:12"},
        {"error_page 404 =x /y;", "invalid value \"=x\", CODE ... =[CODE] URI is expected",
         "mw.conf:3:16"},
    };
    CHECK_IN_SERVER(mistakes);
    static const struct mistake in_http[] = {
        {"http { map $uri x {} }", "invalid variable name \"x\", a $ and a name are expected",
         "mw.conf:1:17"},
        {"http { map $uri $a {} map $uri $a {} }",
         "the duplicate \"a\" variable: another map makes it", "mw.conf:1:32"},
        {"http { map $uri $a { a b; A c; } }", "conflicting parameter \"A\"", "mw.conf:1:27"},
        {"http { map $uri $a { default b; default c; } }", "duplicate default map parameter",
         "mw.conf:1:41"},
        {"http { map $uri $a { a; } }",
         "invalid number of the map parameters: a source and a value are expected", "mw.conf:1:22"},
        {"http { map $uri $a { a {} } }", "unexpected \"{\" in \"map\"", "mw.conf:1:22"},
        {"http { map $uri $a { ~( b; } }",
         "regular expression \"(\" failed at character 2: missing closing parenthesis",
         "mw.conf:1:22"},
    };
    CHECK_ALL(in_http);
}

static void limits(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"limit_req burst=2;", "\"limit_req\" must have \"zone\" parameter", "mw.conf:3:1"},
        {"limit_req zone=z much;",
         "invalid parameter \"much\", zone=NAME, burst=N, delay=N or nodelay is expected",
         "mw.conf:3:18"},
        {"limit_req zone=z burst=0;",
         "invalid parameter \"burst=0\", zone=NAME, burst=N, delay=N or nodelay is expected",
         "mw.conf:3:18"},
        {"limit_req zone=z; limit_req zone=z;", "\"limit_req\" directive is duplicate",
         "mw.conf:3:19"},
        {"limit_req zone=z;", "zone \"z\" is not declared: \"limit_req_zone\" gives it its size",
         "mw.conf:3:11"},
        {"limit_conn z 0;", "invalid number of connections \"0\", 1 to 65535 is expected",
         "mw.conf:3:14"},
        {"limit_rate x;", "invalid value \"x\" in \"limit_rate\" directive, it must be a size",
         "mw.conf:3:12"},
    };
    CHECK_IN_SERVER(mistakes);
    static const struct mistake in_http[] = {
        {"http { limit_req_zone $uri zone=a rate=1r/s; }",
         "invalid parameter \"zone=a\", zone=NAME:SIZE is expected", "mw.conf:1:28"},
        {"http { limit_req_zone $uri zone=a:1m rate=1; }",
         "invalid rate \"rate=1\", rate=Nr/s or rate=Nr/m is expected", "mw.conf:1:38"},
        {"http { limit_conn_zone $uri zone=a:1m; limit_conn_zone $host zone=a:1m; }",
         "limit_conn_zone \"a\" is already bound to a key", "mw.conf:1:62"},
    };
    CHECK_ALL(in_http);
}

static void caching(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"expires x;",
         "invalid value \"x\" in \"expires\": it must be off, epoch, max, a time such as 30d or "
         "-1, "
         "or @ and a time of day",
         "mw.conf:3:9"},
        {"expires old 1d;", "invalid value \"old\", it must be \"modified\"", "mw.conf:3:9"},
        {"expires modified @1h;",
         "invalid value \"@1h\" in \"expires\": a time of day cannot be used with \"modified\"",
         "mw.conf:3:18"},
        {"expires @25h;",
         "invalid value \"@25h\" in \"expires\": a time of day is less than 24 hours",
         "mw.conf:3:9"},
        {"keepalive_disable chrome;",
         "invalid value \"chrome\" in \"keepalive_disable\" directive, it must be \"none\", or "
         "\"msie6\" and \"safari\"",
         "mw.conf:3:19"},
    };
    CHECK_IN_SERVER(mistakes);
}

static void answers_and_variables(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"return 1000;", "invalid return code \"1000\"", "mw.conf:3:8"},
        {"return /x;", "invalid return code \"/x\"", "mw.conf:3:8"},
        {"return 200 $foo;", "unknown \"foo\" variable", "mw.conf:3:12"},
        {"return 200 $http_;", "unknown \"http_\" variable", "mw.conf:3:12"},
        {"return 200 'a $';", "invalid variable name in \"a $\"", "mw.conf:3:12"},
        {"return 200 ${uri;", "the closing bracket in \"uri\" variable is missing", "mw.conf:3:12"},
        {"add_header X $nope;", "unknown \"nope\" variable", "mw.conf:3:14"},
        {"add_header 'X Y' z;", "invalid header name \"X Y\"", "mw.conf:3:12"},
        {"add_header X 'a\\nb';", "the value of header \"X\" has a line break", "mw.conf:3:14"},
        {"add_header X y sometimes;", "invalid parameter \"sometimes\"", "mw.conf:3:16"},
    };
    CHECK_IN_SERVER(mistakes);
}

static void logs(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"access_log x nope;", "unknown log format \"nope\"", "mw.conf:3:14"},
        {"access_log off x;", "invalid parameter \"x\"", "mw.conf:3:16"},
        {"access_log x combined y;", "invalid parameter \"y\"", "mw.conf:3:23"},
        {"access_log x combined buffer=0;", "invalid buffer size \"0\"", "mw.conf:3:23"},
        {"access_log x combined buffer=1k flush=x;", "invalid flush time \"x\"", "mw.conf:3:33"},
        {"access_log x combined flush=1s;", "no buffer is defined for access_log \"x\"",
         "mw.conf:3:12"},
        {"access_log x combined gzip;", "\"gzip\" of \"access_log\" is not supported by this build",
         "mw.conf:3:23"},
        {"access_log /x/$host combined buffer=1k;",
         "buffered logs cannot have variables in their name", "mw.conf:3:12"},
        {"access_log syslog:server=127.0.0.1 combined buffer=1k;",
         "logs to syslog cannot be buffered", "mw.conf:3:12"},
        {"access_log syslog:x;",
         "invalid log \"syslog:x\": server=, facility=, severity=, tag= or nohostname is expected",
         "mw.conf:3:12"},
        {"access_log syslog:server=example.org;",
         "invalid log \"syslog:server=example.org\": the server is no address: names are not "
         "looked up",
         "mw.conf:3:12"},
        {"access_log syslog:tag=a;",
         "invalid log \"syslog:tag=a\": no syslog server is named: server=ADDRESS[:PORT] or "
         "server=unix:PATH is expected",
         "mw.conf:3:12"},
        {"access_log syslog:server=1.2.3.4,facility=x;",
         "invalid log \"syslog:server=1.2.3.4,facility=x\": unknown facility", "mw.conf:3:12"},
        {"access_log syslog:server=1.2.3.4,tag=a-b;",
         "invalid log \"syslog:server=1.2.3.4,tag=a-b\": a tag has letters, digits and underscores "
         "only",
         "mw.conf:3:12"},
        {"error_log stderr;",
         "\"error_log stderr\" is supported by this build at the main level only", "mw.conf:3:11"},
    };
    CHECK_IN_SERVER(mistakes);
    static const struct mistake in_http[] = {
        {"http { log_format a b; log_format a c; }", "duplicate \"log_format\" name \"a\"",
         "mw.conf:1:35"},
        {"http { log_format combined c; }", "duplicate \"log_format\" name \"combined\"",
         "mw.conf:1:19"},
        {"http { log_format a escape=xml b; }", "unknown log format escaping \"xml\"",
         "mw.conf:1:21"},
        {"http { log_format a escape=json; }",
         "invalid number of arguments in \"log_format\" directive", "mw.conf:1:8"},
        {"events {} http { log_format a b $c; }", "unknown \"c\" variable", "mw.conf:1:33"},
    };
    CHECK_ALL(in_http);
}

static void files(void **state)
{
    (void)state;
    char message[256];
    fixture_write("inner.conf", "\n daemon maybe;", 15);
    fixture_refuses("\ninclude inner.conf;",
                    "invalid value \"maybe\" in \"daemon\" directive, it must be \"on\" or \"off\"",
                    "inner.conf:2:9");
    fixture_write("open.conf", "events {", 8);
    fixture_refuses("include open.conf; }", "unexpected end of file, expecting \"}\"",
                    "open.conf:1:9");
    fixture_write("loop.conf", "include loop.conf;", 18);
    fixture_refuses("include loop.conf;",
                    "files are included deeper than 16 levels, does one include itself?",
                    "loop.conf:1:1");
    snprintf(message, sizeof message,
             "open() \"%s/none.conf\" failed (2: No such file or directory)", fixture->folder);
    fixture_refuses("events {}\ninclude none.conf;", message, "mw.conf:2:9");
    snprintf(message, sizeof message, "read() \"%s/\" failed (21: Is a directory)",
             fixture->folder);
    fixture_refuses("include '';", message, "mw.conf:1:9");
    fixture_refuses("da\\nemon\ton;", "unknown directive \"da?emon\" (did you mean \"daemon\"?)",
                    "mw.conf:1:1");
    fixture_write("nul.conf", "a\n b\0c", 6);
    fixture_refuses("include nul.conf;", "unexpected NUL byte: this is not a text file",
                    "nul.conf:2:3");
    conf_free(fixture->conf);
    fixture->conf = conf_load("/nonexistent/mw.conf", "/", NULL, &fixture->error);
    assert_null(fixture->conf);
    conf_error_print(&fixture->error, message, sizeof message);
    assert_string_equal(message, "[emerg] open() \"/nonexistent/mw.conf\" failed (2: No such file "
                                 "or directory)");
}

static void the_command_line(void **state)
{
    (void)state;
    fixture_refuses_with("events {}", "daemon maybe;",
                         "invalid value \"maybe\" in \"daemon\" directive, it must be \"on\" or "
                         "\"off\"",
                         "command line:1:8");
    fixture_refuses_with("events {}", "daemon off", "unexpected end of parameter, expecting \";\"",
                         "command line:1:11");
    fixture_refuses_with("events {}\ndaemon on;", "daemon off;",
                         "\"daemon\" directive is duplicate", "mw.conf:2:1");
    char line[512];
    conf_error_print(&fixture->error, line, sizeof line);
    assert_non_null(strstr(line, "[emerg] \"daemon\" directive is duplicate in /"));
    assert_non_null(strstr(line, "/mw.conf:2:1"));
}

static void depth(void **state)
{
    (void)state;
    char text[4096] = "";
    size_t used = 0;
    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "location / {\n");
    fixture_refuses(fixture_server(text), "blocks are nested deeper than 32 levels",
                    "mw.conf:33:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(structure), FIXTURE_TEST(main_values),
        FIXTURE_TEST(addresses), FIXTURE_TEST(servers_and_locations),
        FIXTURE_TEST(logs),      FIXTURE_TEST(answers_and_variables),
        FIXTURE_TEST(rules),     FIXTURE_TEST(caching),
        FIXTURE_TEST(limits),    FIXTURE_TEST(access_and_detours),
        FIXTURE_TEST(files),     FIXTURE_TEST(the_command_line),
        FIXTURE_TEST(depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
