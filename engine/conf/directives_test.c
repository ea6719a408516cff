/* Every directive of directives.def: that it does something, where it may stand, and how it is
 * refused. A directive without a case here fails the first test. */
#include <sched.h>

#include "engine/conf/conf_fixture.h"
#include "engine/conf/dump_fixture.h"
#include "engine/conf/load.h"

#define WHOLE 0 /* the text is a configuration of its own */

/* `text` at its level must make `shows` appear in what dump() prints, where it is not without. */
struct directive_case {
    unsigned level;
    const char *text, *shows; /* shows NULL: accepted, and changes nothing */
};

static const struct directive_case cases[DIRECTIVE_COUNT] = {
    [D_include] = {HTTP, "include part.conf;", " etag=0 "},
    [D_events] = {WHOLE, "events { worker_connections 7; }", " connections=7 "},
    [D_http] = {WHOLE, "events {} http { server { listen 127.0.0.1:5; } }", " listen=127.0.0.1:5,"},
    [D_server] = {HTTP, "server { listen 127.0.0.1:2; }", " servers=2 "},
    [D_location] = {SERVER, "location ^~ /zzz { internal; }", " path=2/zzz "},
    [D_daemon] = {MAIN, "daemon off;", " daemon=0 "},
    [D_master_process] = {MAIN, "master_process on;", NULL},
    [D_user] = {MAIN, "user root root;", " user=root:root "},
    [D_pid] = {MAIN, "pid run/x.pid;", " pid=/srv/run/x.pid "},
    [D_env] = {MAIN, "env A; env B=c;", " env=A,B=c, "},
    [D_worker_processes] = {MAIN, "worker_processes 3;", " workers=3 "},
    [D_worker_cpu_affinity] = {MAIN, "worker_processes 3; worker_cpu_affinity 01 110;",
                               " affinity=0:1,6,6, "},
    [D_worker_priority] = {MAIN, "worker_priority -5;", " priority=-5 "},
    [D_worker_rlimit_nofile] = {MAIN, "worker_rlimit_nofile 4096;", " nofile=4096 "},
    [D_worker_rlimit_core] = {MAIN, "worker_rlimit_core 0;", " core=1 "},
    [D_worker_shutdown_timeout] = {MAIN, "worker_shutdown_timeout 5s;", " shutdown=5000 "},
    [D_working_directory] = {MAIN, "working_directory cores;", " directory=/srv/cores "},
    [D_error_log] = {MAIN, "error_log stderr warn;", " error_log=stderr:4 "},
    [D_worker_watchdog] = {MAIN, "worker_watchdog 0;", " watchdog=0 "},
    [D_worker_respawn_backoff] = {MAIN, "worker_respawn_backoff 5ms 2s;", " backoff=5:2000 "},
    [D_reload_generations] = {MAIN, "reload_generations 5;", " generations=5 "},
    [D_reload_timeout] = {MAIN, "reload_timeout 7s;", " reload=7000 "},
    [D_keepalive_handover] = {MAIN, "keepalive_handover off;", NULL},
    [D_fault_points] = {MAIN, "fault_points off;", " fault_points=0 "},
    [D_worker_connections] = {EVENTS, "worker_connections 99;", " connections=99 "},
    [D_multi_accept] = {EVENTS, "multi_accept on;", " multi_accept=1 "},
    [D_accept_mutex] = {EVENTS, "accept_mutex on;", NULL},
    [D_accept_mutex_delay] = {EVENTS, "accept_mutex_delay 10ms;", NULL},
    [D_use] = {EVENTS, "use epoll;", NULL},
    [D_listen] = {SERVER, "listen unix:/run/x backlog=9;", " listen=unix:/run/x,9 "},
    [D_server_name] = {SERVER, "server_name A.b *.c;", " names=a.b,*.c, "},
    [D_server_names_hash_max_size] = {HTTP, "server_names_hash_max_size 1;", NULL},
    [D_server_names_hash_bucket_size] = {HTTP, "server_names_hash_bucket_size 1;", NULL},
    [D_variables_hash_max_size] = {HTTP, "variables_hash_max_size 1;", NULL},
    [D_variables_hash_bucket_size] = {HTTP, "variables_hash_bucket_size 1;", NULL},
    [D_types_hash_max_size] = {LOCATION, "types_hash_max_size 1;", NULL},
    [D_types_hash_bucket_size] = {LOCATION, "types_hash_bucket_size 1;", NULL},
    [D_merge_slashes] = {SERVER, "merge_slashes off;", " merge_slashes=0 "},
    [D_internal] = {LOCATION, "internal;", " internal=1 "},
    [D_root] = {LOCATION, "root /www/;", " root=/www:0:0 "},
    [D_alias] = {LOCATION, "alias files/;", " root=/srv/files/:1:1 "},
    [D_index] = {LOCATION, "index a b; index c;", " index=a,b,c, "},
    [D_client_body_in_file_only] = {LOCATION, "client_body_in_file_only clean;", " in_file=1 "},
    [D_client_body_in_single_buffer] = {LOCATION, "client_body_in_single_buffer on;", NULL},
    [D_expires] = {LOCATION, "expires modified 2h;", " expires=4:7200 "},
    [D_if_modified_since] = {LOCATION, "if_modified_since before;", " since=2 "},
    [D_max_ranges] = {LOCATION, "max_ranges 0;", " ranges=0 "},
    [D_absolute_redirect] = {LOCATION, "absolute_redirect off;", " redirect=010 "},
    [D_port_in_redirect] = {LOCATION, "port_in_redirect off;", " redirect=100 "},
    [D_server_name_in_redirect] = {LOCATION, "server_name_in_redirect on;", " redirect=111 "},
    [D_keepalive_disable] = {LOCATION, "keepalive_disable safari;", " disable=01 "},
    [D_connection_pool_size] = {SERVER, "connection_pool_size 256;", NULL},
    [D_request_pool_size] = {SERVER, "request_pool_size 8k;", NULL},
    [D_limit_req_zone] = {HTTP, "limit_req_zone $uri zone=z:1m rate=30r/m;",
                          " zone=z:1048576:500 "},
    [D_limit_req] = {HTTP, "limit_req_zone $uri zone=z:1m rate=1r/s; limit_req zone=z burst=2;",
                     " req=0:2000:0, "},
    [D_limit_req_status] = {LOCATION, "limit_req_status 429;", " req_limits=429/3/0 "},
    [D_limit_req_log_level] = {LOCATION, "limit_req_log_level info;", " req_limits=503/6/0 "},
    [D_limit_req_dry_run] = {LOCATION, "limit_req_dry_run on;", " req_limits=503/3/1 "},
    [D_limit_conn_zone] = {HTTP, "limit_conn_zone $uri zone=z:1m;", " zone=z:1048576:0 "},
    [D_limit_conn] = {HTTP, "limit_conn_zone $uri zone=z:1m; limit_conn z 3;", " conn=0:3:0, "},
    [D_limit_conn_status] = {LOCATION, "limit_conn_status 429;", " conn_limits=429/3/0 "},
    [D_limit_conn_log_level] = {LOCATION, "limit_conn_log_level warn;", " conn_limits=503/4/0 "},
    [D_limit_conn_dry_run] = {LOCATION, "limit_conn_dry_run on;", " conn_limits=503/3/1 "},
    [D_limit_rate] = {LOCATION, "limit_rate 8k;", " rate=8k:0:1 "},
    [D_limit_rate_after] = {LOCATION, "limit_rate_after 9k;", " rate=0:9k:0 "},
    [D_allow] = {LOCATION, "allow 10.0.0.0/8;", " access=1:2:8, "},
    [D_deny] = {LOCATION, "deny all;", " access=0:0:0, "},
    [D_satisfy] = {LOCATION, "satisfy any;", " any=1 "},
    [D_limit_except] = {LOCATION, "limit_except get PUT { deny all; }", " except=GET,PUT, "},
    [D_set_real_ip_from] = {LOCATION, "set_real_ip_from ::1;", " proxies=10:128, "},
    [D_real_ip_header] = {LOCATION, "real_ip_header X-Who;", " real_ip=x-who:0 "},
    [D_real_ip_recursive] = {LOCATION, "real_ip_recursive on;", " real_ip=x-real-ip:1 "},
    [D_try_files] = {LOCATION, "try_files $uri a/ =404;", " tries=0,1,404 "},
    [D_error_page] = {LOCATION, "error_page 404 500 =200 /x;", " pages=404:200,500:200, "},
    [D_recursive_error_pages] = {LOCATION, "recursive_error_pages on;", " recursive=1 "},
    [D_map] = {HTTP, "map $uri $m { hostnames; a b; *.c d; ~e f; }", " variable=m:1:1:1 "},
    [D_map_hash_max_size] = {HTTP, "map_hash_max_size 1;", NULL},
    [D_map_hash_bucket_size] = {HTTP, "map_hash_bucket_size 1;", NULL},
    [D_rewrite] = {LOCATION, "rewrite a b permanent;", " rule=3:301:0:1 "},
    [D_set] = {SERVER, "set $x y;", " variable=x:0:0:0 "},
    [D_if] = {LOCATION, "if ($arg_x != y) { return 403; }",
              " rule=6:0:0:0 test=1:1 rule=4:403:0:0 "},
    [D_break] = {SERVER, "break;", " rule=5:0:0:0 "},
    [D_return] = {LOCATION, "return 444;", " rule=4:444:0:0 "},
    [D_rewrite_log] = {LOCATION, "rewrite_log on;", " rewrite_log=1 "},
    [D_uninitialized_variable_warn] = {LOCATION, "uninitialized_variable_warn off;", " warn=0 "},
    [D_pcre_jit] = {MAIN, "pcre_jit off;", NULL},
    [D_add_header] = {LOCATION, "add_header X-A b always;", " headers=X-A1, "},
    [D_types] = {LOCATION, "types { text/x x Y; }", " types=x:text/x,y:text/x, "},
    [D_default_type] = {LOCATION, "default_type a/b;", " default_type=a/b "},
    [D_open_file_cache] = {LOCATION, "open_file_cache max=7 inactive=5s;", " files=7:5000:"},
    [D_open_file_cache_valid] = {LOCATION, "open_file_cache_valid 9s;", ":9000:"},
    [D_open_file_cache_min_uses] = {LOCATION, "open_file_cache_min_uses 3;", ":3:0 "},
    [D_open_file_cache_errors] = {LOCATION, "open_file_cache_errors on;", ":1:1 "},
    [D_etag] = {LOCATION, "etag off;", " etag=0 "},
    [D_server_tokens] = {LOCATION, "server_tokens off;", " tokens=0 "},
    [D_sendfile] = {LOCATION, "sendfile on;", " sendfile=1 "},
    [D_log_not_found] = {LOCATION, "log_not_found off;", " not_found=0 "},
    [D_status] = {LOCATION, "status prometheus;", " handler=2 "},
    [D_stub_status] = {LOCATION, "stub_status;", " handler=3 "},
    [D_test_handler] = {LOCATION, "test_handler echo v7;", " handler=4 label=v7 "},
    [D_keepalive_timeout] = {LOCATION, "keepalive_timeout 5s 4s;", " keepalive=5000:4000 "},
    [D_keepalive_requests] = {LOCATION, "keepalive_requests 3;", " keepalive_requests=3 "},
    [D_keepalive_time] = {LOCATION, "keepalive_time 3s;", " keepalive_time=3000 "},
    [D_client_header_timeout] = {SERVER, "client_header_timeout 3s;", " header_timeout=3000 "},
    [D_client_body_timeout] = {LOCATION, "client_body_timeout 4s;", " body_timeout=4000 "},
    [D_send_timeout] = {LOCATION, "send_timeout 2s;", " send_timeout=2000 "},
    [D_lingering_close] = {LOCATION, "lingering_close always;", " linger=2:"},
    [D_lingering_time] = {LOCATION, "lingering_time 9s;", ":9000:"},
    [D_lingering_timeout] = {LOCATION, "lingering_timeout 8s;", ":8000 "},
    [D_reset_timedout_connection] = {LOCATION, "reset_timedout_connection on;", " reset=1 "},
    [D_client_header_buffer_size] = {SERVER, "client_header_buffer_size 2k;", " buffers=2048:"},
    [D_large_client_header_buffers] = {SERVER, "large_client_header_buffers 2 4k;", ":2:4096 "},
    [D_client_body_buffer_size] = {LOCATION, "client_body_buffer_size 9k;", " body_buffer=9216 "},
    [D_client_max_body_size] = {LOCATION, "client_max_body_size 0;", " max_body=0 "},
    [D_ignore_invalid_headers] = {SERVER, "ignore_invalid_headers off;", " ignore_invalid=0 "},
    [D_underscores_in_headers] = {SERVER, "underscores_in_headers on;", " underscores=1 "},
    [D_tcp_nodelay] = {LOCATION, "tcp_nodelay off;", " nodelay=0 "},
    [D_tcp_nopush] = {LOCATION, "tcp_nopush on;", " nopush=1 "},
    [D_ssl_certificate] = {HTTP, "ssl_certificate c; ssl_certificate_key k;", " pairs=c:k, "},
    [D_ssl_certificate_key] = {SERVER,
                               "ssl_certificate_key k; ssl_certificate_key l;"
                               "ssl_certificate c; ssl_certificate d;",
                               " pairs=c:k,d:l, "},
    [D_ssl_password_file] = {HTTP, "ssl_password_file p;", " password=p "},
    [D_ssl_protocols] = {SERVER, "ssl_protocols TLSv1 TLSv1.3;", " protocols=9 "},
    [D_ssl_ciphers] = {SERVER, "ssl_ciphers AES128;", " ciphers=AES128 "},
    [D_ssl_prefer_server_ciphers] = {SERVER, "ssl_prefer_server_ciphers on;", " prefer=1 "},
    [D_ssl_ecdh_curve] = {SERVER, "ssl_ecdh_curve X25519:P-256;", " curves=X25519:P-256 "},
    [D_ssl_dhparam] = {SERVER, "ssl_dhparam d;", " dhparam=d "},
    [D_ssl_session_cache] = {HTTP, "ssl_session_cache builtin:9 shared:s:64k;", " cache=2:9:1:0 "},
    [D_ssl_session_timeout] = {SERVER, "ssl_session_timeout 2s;", " session=2000 "},
    [D_ssl_session_tickets] = {SERVER, "ssl_session_tickets off;", " tickets=0: "},
    [D_ssl_session_ticket_key] = {SERVER, "ssl_session_ticket_key a; ssl_session_ticket_key b;",
                                  " tickets=1:a,b, "},
    [D_ssl_verify_client] = {SERVER, "ssl_verify_client optional_no_ca;", " verify=3:1 "},
    [D_ssl_verify_depth] = {SERVER, "ssl_verify_depth 4;", " verify=0:4 "},
    [D_ssl_client_certificate] = {SERVER, "ssl_client_certificate c;", " authorities=c:"},
    [D_ssl_trusted_certificate] = {SERVER, "ssl_trusted_certificate t;", ":t:"},
    [D_ssl_crl] = {SERVER, "ssl_crl r;", ":r "},
    [D_ssl_reject_handshake] = {SERVER, "ssl_reject_handshake on;", " reject=1 "},
    [D_ssl_buffer_size] = {SERVER, "ssl_buffer_size 4k;", " record=4096 "},
    [D_log_format] = {HTTP, "log_format f escape=json a$status b; access_log x f;",
                      " log=/srv/x,f,1,3,0,0 "},
    [D_access_log] = {LOCATION, "access_log y combined buffer=4k flush=2s;",
                      " log=/srv/y,combined,0,"},
    [D_upstream] = {HTTP,
                    "upstream u { server 127.0.0.1:1 weight=3 max_fails=2 fail_timeout=4s; "
                    "server unix:/s backup; }",
                    " upstream=u,127.0.0.1:1/3/2/4000,unix:/s/1/1/10000, "},
    [D_least_conn] = {UPSTREAM, "least_conn;", " method=1 "},
    [D_ip_hash] = {UPSTREAM, "ip_hash;", " method=2 "},
    [D_hash] = {UPSTREAM, "hash $uri consistent;", " method=4 "},
    [D_random] = {UPSTREAM, "random two least_conn;", " method=6 "},
    [D_keepalive] = {UPSTREAM, "keepalive 9;", " idle=9 "},
    [D_zone] = {UPSTREAM, "zone z 64k;", " zone=0 "},
    [D_proxy_pass] = {LOCATION, "proxy_pass http://127.0.0.1:1/x;", " proxy=127.0.0.1:1/x "},
    [D_proxy_http_version] = {LOCATION, "proxy_http_version 1.1; proxy_pass http://127.0.0.1:1;",
                              " http_1_0=0 "},
    [D_proxy_set_header] = {LOCATION, "proxy_set_header X-A b; proxy_pass http://127.0.0.1:1;",
                            "X-A,Host,Connection,"},
    [D_proxy_hide_header] = {LOCATION, "proxy_hide_header X-B; proxy_pass http://127.0.0.1:1;",
                             " hide=x-b, "},
    [D_proxy_pass_header] = {LOCATION, "proxy_pass_header Server; proxy_pass http://127.0.0.1:1;",
                             " hidden=1fc00 "},
    [D_proxy_ignore_headers] =
        {LOCATION, "proxy_ignore_headers X-Accel-Redirect Vary; proxy_pass http://127.0.0.1:1;",
         " ignored=101 "},
    [D_proxy_method] = {LOCATION, "proxy_method PUT; proxy_pass http://127.0.0.1:1;", " method=1 "},
    [D_proxy_pass_request_headers] =
        {LOCATION, "proxy_pass_request_headers off; proxy_pass http://127.0.0.1:1;", " pass=1:0 "},
    [D_proxy_pass_request_body] = {LOCATION,
                                   "proxy_pass_request_body off; proxy_pass http://127.0.0.1:1;",
                                   " pass=0:1 "},
    [D_proxy_set_body] = {LOCATION, "proxy_set_body x; proxy_pass http://127.0.0.1:1;",
                          " set_body=1 "},
    [D_proxy_request_buffering] = {LOCATION,
                                   "proxy_request_buffering off; proxy_pass http://127.0.0.1:1;",
                                   " request_buffering=0 "},
    [D_proxy_buffering] = {LOCATION, "proxy_buffering off; proxy_pass http://127.0.0.1:1;",
                           " buffering=0 "},
    [D_proxy_buffer_size] = {LOCATION, "proxy_buffer_size 2k; proxy_pass http://127.0.0.1:1;",
                             " buffers=2048:"},
    [D_proxy_buffers] = {LOCATION, "proxy_buffers 3 1k; proxy_pass http://127.0.0.1:1;", ":3072 "},
    [D_proxy_max_temp_file_size] = {LOCATION,
                                    "proxy_max_temp_file_size 0; proxy_pass http://127.0.0.1:1;",
                                    " max_temp=0 "},
    [D_proxy_temp_path] = {LOCATION, "proxy_temp_path t 1 2; proxy_pass http://127.0.0.1:1;",
                           " temp=/srv/t "},
    [D_proxy_connect_timeout] = {LOCATION,
                                 "proxy_connect_timeout 1s; proxy_pass http://127.0.0.1:1;",
                                 " times=1000:"},
    [D_proxy_send_timeout] = {LOCATION, "proxy_send_timeout 2s; proxy_pass http://127.0.0.1:1;",
                              ":2000:"},
    [D_proxy_read_timeout] = {LOCATION, "proxy_read_timeout 3s; proxy_pass http://127.0.0.1:1;",
                              ":3000 "},
    [D_proxy_next_upstream] = {LOCATION,
                               "proxy_next_upstream http_500 off; proxy_pass http://127.0.0.1:1;",
                               " next=808:"},
    [D_proxy_next_upstream_timeout] =
        {LOCATION, "proxy_next_upstream_timeout 4s; proxy_pass http://127.0.0.1:1;", ":4000:"},
    [D_proxy_next_upstream_tries] = {LOCATION,
                                     "proxy_next_upstream_tries 5; proxy_pass http://127.0.0.1:1;",
                                     ":5 "},
    [D_proxy_intercept_errors] = {LOCATION,
                                  "proxy_intercept_errors on; proxy_pass http://127.0.0.1:1;",
                                  " intercept=1 "},
    [D_proxy_redirect] = {LOCATION, "proxy_redirect http://a/ /b/; proxy_pass http://127.0.0.1:1;",
                          " redirect=http://a/>/b/, "},
    [D_proxy_ignore_client_abort] = {LOCATION,
                                     "proxy_ignore_client_abort on; proxy_pass http://127.0.0.1:1;",
                                     " ignore_abort=1 "},
    [D_proxy_socket_keepalive] = {LOCATION,
                                  "proxy_socket_keepalive on; proxy_pass http://127.0.0.1:1;",
                                  " socket_keepalive=1 "},
    [D_proxy_busy_buffers_size] = {LOCATION, "proxy_busy_buffers_size 8k;", NULL},
    [D_proxy_temp_file_write_size] = {LOCATION, "proxy_temp_file_write_size 8k;", NULL},
    [D_proxy_headers_hash_max_size] = {LOCATION, "proxy_headers_hash_max_size 1;", NULL},
    [D_proxy_headers_hash_bucket_size] = {LOCATION, "proxy_headers_hash_bucket_size 1;", NULL},
    [D_proxy_ssl_server_name] = {LOCATION,
                                 "proxy_ssl_server_name on; proxy_pass https://127.0.0.1:1;",
                                 " ssl=1:"},
    [D_proxy_ssl_name] = {LOCATION, "proxy_ssl_name x; proxy_pass https://127.0.0.1:1;",
                          " ssl_name=x "},
    [D_proxy_ssl_verify] =
        {LOCATION,
         "proxy_ssl_verify on; proxy_ssl_trusted_certificate t; proxy_pass https://127.0.0.1:1;",
         " client_verify=1:"},
    [D_proxy_ssl_verify_depth] = {LOCATION,
                                  "proxy_ssl_verify_depth 7; proxy_pass https://127.0.0.1:1;",
                                  ":7 client"},
    [D_proxy_ssl_trusted_certificate] =
        {LOCATION, "proxy_ssl_trusted_certificate t; proxy_pass https://127.0.0.1:1;",
         " client_files=t:"},
    [D_proxy_ssl_crl] = {LOCATION, "proxy_ssl_crl c; proxy_pass https://127.0.0.1:1;",
                         " client_files=:c "},
    [D_proxy_ssl_certificate] =
        {LOCATION,
         "proxy_ssl_certificate c; proxy_ssl_certificate_key k; proxy_pass https://127.0.0.1:1;",
         " client_pair=c:k "},
    [D_proxy_ssl_certificate_key] =
        {LOCATION,
         "proxy_ssl_certificate_key k; proxy_ssl_certificate c; proxy_pass https://127.0.0.1:1;",
         " client_pair=c:k "},
    [D_proxy_ssl_password_file] = {LOCATION,
                                   "proxy_ssl_password_file p; proxy_pass https://127.0.0.1:1;",
                                   " client_password=p "},
    [D_proxy_ssl_protocols] = {LOCATION,
                               "proxy_ssl_protocols TLSv1.3; proxy_pass https://127.0.0.1:1;",
                               " client_protocols=8 "},
    [D_proxy_ssl_ciphers] = {LOCATION, "proxy_ssl_ciphers AES; proxy_pass https://127.0.0.1:1;",
                             " client_ciphers=AES "},
    [D_proxy_ssl_session_reuse] = {LOCATION,
                                   "proxy_ssl_session_reuse off; proxy_pass https://127.0.0.1:1;",
                                   " ssl=0:0 "},
    [D_client_body_temp_path] = {LOCATION, "client_body_temp_path b;", " body_temp=/srv/b "},
};

/* ---- configurations with a line of the test's ------------------------------------------------ */

static const struct {
    unsigned level;
    const char *name, *before, *after;
} levels[] = {
    {MAIN, "main", "", "\nevents {} http { server { listen 127.0.0.1:1; location / {} } }"},
    {EVENTS, "events", "events {", "\n} http { server { listen 127.0.0.1:1; location / {} } }"},
    {HTTP, "http", "events {} http {", "\nserver { listen 127.0.0.1:1; location / {} } }"},
    {SERVER, "server", "events {} http { server { listen 127.0.0.1:1;", "\nlocation / {} } }"},
    {UPSTREAM, "upstream", "events {} http { upstream u { server 127.0.0.1:1;",
     "\n} server { listen 127.0.0.1:1; location / {} } }"},
    {LOCATION, "location", "events {} http { server { listen 127.0.0.1:1; location / {", "\n} } }"},
};
#define LEVELS (sizeof levels / sizeof levels[0])
#define LINE "mw.conf:2:1"

/* The line is the second one, whatever the level. */
static const char *at_level(unsigned level, const char *line)
{
    static char text[1024];
    if (level == WHOLE)
        return line;
    for (size_t i = 0; i < LEVELS; i++) {
        if (levels[i].level == level)
            snprintf(text, sizeof text, "%s\n%s%s\n", levels[i].before, line, levels[i].after);
    }
    return text;
}

static void every_directive_has_a_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        if (cases[i].text == NULL)
            fail_msg("no case for \"%s\": add one to `cases`", conf_directives[i].name);
    }
}

static void every_directive_does_what_it_says(void **state)
{
    (void)state;
    static char plain[sizeof dumped];
    fixture_write("part.conf", "etag off;", 9);
    snprintf(plain, sizeof plain, "%s", dump(fixture_load(at_level(MAIN, ""))));
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const char *text = dump(fixture_load(at_level(cases[i].level, cases[i].text)));
        bool ignored = i == D_user && geteuid() != 0;
        if (cases[i].shows == NULL || ignored) {
            assert_string_equal(text, plain);
            continue;
        }
        if (strstr(text, cases[i].shows) == NULL)
            fail_msg("%s: \"%s\" is not in%s", cases[i].text, cases[i].shows, text);
        if (strstr(plain, cases[i].shows) != NULL)
            fail_msg("\"%s\" is there without %s", cases[i].shows, cases[i].text);
    }
}

/* ---- refused, whatever the directive --------------------------------------------------------- */

static const char *line_of(const struct directive *directive, size_t count)
{
    static char line[256];
    size_t used = (size_t)snprintf(line, sizeof line, "%s", directive->name);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, " x");
    snprintf(line + used, sizeof line - used, directive->block ? " {}" : ";");
    return line;
}

static void each_level_refuses_what_is_not_its_own(void **state)
{
    (void)state;
    char message[256];
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct directive *directive = &conf_directives[i];
        snprintf(message, sizeof message, "\"%s\" directive is not allowed here", directive->name);
        for (size_t j = 0; j < LEVELS; j++) {
            if ((directive->contexts & levels[j].level) == 0)
                fixture_refuses(at_level(levels[j].level, line_of(directive, 1)), message, LINE);
        }
    }
}

static unsigned a_level(const struct directive *directive)
{
    unsigned level = MAIN;
    while ((directive->contexts & level) == 0)
        level <<= 1;
    return level;
}

static void wrong_counts_of_arguments_are_refused(void **state)
{
    (void)state;
    char message[256];
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct directive *directive = &conf_directives[i];
        unsigned level = a_level(directive);
        snprintf(message, sizeof message, "invalid number of arguments in \"%s\" directive",
                 directive->name);
        if (directive->args_min > 0)
            fixture_refuses(at_level(level, line_of(directive, directive->args_min - 1)), message,
                            LINE);
        if (directive->args_max != CONF_ARGS_ANY)
            fixture_refuses(at_level(level, line_of(directive, directive->args_max + 1)), message,
                            LINE);
    }
}

static void braces_where_none_belong_are_refused(void **state)
{
    (void)state;
    char message[256], line[128];
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct directive *directive = &conf_directives[i];
        snprintf(line, sizeof line, "%s x%s", directive->name, directive->block ? ";" : " {}");
        snprintf(message, sizeof message,
                 directive->block ? "directive \"%s\" has no opening \"{\""
                                  : "directive \"%s\" is not terminated by \";\"",
                 directive->name);
        fixture_refuses(at_level(a_level(directive), line), message, LINE);
    }
}

static void a_second_one_is_refused(void **state)
{
    (void)state;
    char message[256], line[256];
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct directive *directive = &conf_directives[i];
        unsigned level = cases[i].level;
        if ((directive->contexts & REPEATED) != 0 || level == WHOLE ||
            strncmp(cases[i].text, directive->name, strlen(directive->name)) != 0)
            continue;
        snprintf(line, sizeof line, "%s\n%s", cases[i].text, cases[i].text);
        snprintf(message, sizeof message, "\"%s\" directive is duplicate", directive->name);
        fixture_refuses(at_level(level, line), message, "mw.conf:3:1");
    }
}

static void simple_values_are_checked(void **state)
{
    (void)state;
    char line[256], place[64];
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct directive *directive = &conf_directives[i];
        if (directive->kind == SETTER_CUSTOM)
            continue;
        snprintf(line, sizeof line, "%s bogus;", directive->name);
        snprintf(place, sizeof place, "mw.conf:2:%zu", strlen(directive->name) + 2);
        assert_null(fixture_try(at_level(a_level(directive), line), NULL));
        snprintf(line, sizeof line, "\"bogus\" in \"%s\" directive", directive->name);
        assert_non_null(strstr(fixture->error.message, line));
        const char *found = strstr(fixture->error.file, "mw.conf");
        assert_non_null(found);
        snprintf(line, sizeof line, "%s:%u:%u", found, fixture->error.line, fixture->error.column);
        assert_string_equal(line, place);
    }
}

/* ---- what needs more than one case ----------------------------------------------------------- */

static void auto_counts_the_cpus_this_process_may_use(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    const struct conf *conf = fixture_load("worker_processes auto; events {}");
    assert_int_equal(conf->workers, CPU_COUNT(&before) > 128 ? 128 : CPU_COUNT(&before));
    int cpu = 0;
    while (!CPU_ISSET((size_t)cpu, &before))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    conf = fixture_load("worker_processes auto; worker_cpu_affinity auto; events {}");
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(conf->workers, 1);
    assert_true(conf->affinity_auto);
    assert_int_equal(conf->affinity_count, cpu < 64);
    if (cpu < 64)
        assert_true(conf->affinity[0] == UINT64_C(1) << cpu);
}

static void unknown_names_are_guessed(void **state)
{
    (void)state;
    fixture_refuses("evnts {}", "unknown directive \"evnts\" (did you mean \"events\"?)",
                    "mw.conf:1:1");
    fixture_refuses(at_level(SERVER, "lisen 80;"),
                    "unknown directive \"lisen\" (did you mean \"listen\"?)", LINE);
    fixture_refuses(at_level(LOCATION, "tcp_no_delay on;"),
                    "unknown directive \"tcp_no_delay\" (did you mean \"tcp_nodelay\"?)", LINE);
    fixture_refuses(at_level(MAIN, "nonsense 1;"), "unknown directive \"nonsense\"", LINE);
    fixture_refuses(at_level(HTTP, "gzip on;"),
                    "unknown directive \"gzip\" (nginx has it, this build does not)", LINE);
    fixture_refuses(at_level(HTTP, "fastcgi_cache_lock on;"),
                    "unknown directive \"fastcgi_cache_lock\" (nginx has it, this build does not)",
                    LINE);
    fixture_refuses(at_level(MAIN, "'' 1;"), "unknown directive \"\"", LINE);
    char longest[600];
    memset(longest, 'x', sizeof longest);
    memcpy(longest + sizeof longest - 4, " 1;", 4);
    assert_null(fixture_try(at_level(MAIN, longest), NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_directive_has_a_case),
        FIXTURE_TEST(every_directive_does_what_it_says),
        FIXTURE_TEST(each_level_refuses_what_is_not_its_own),
        FIXTURE_TEST(wrong_counts_of_arguments_are_refused),
        FIXTURE_TEST(braces_where_none_belong_are_refused),
        FIXTURE_TEST(a_second_one_is_refused),
        FIXTURE_TEST(simple_values_are_checked),
        FIXTURE_TEST(auto_counts_the_cpus_this_process_may_use),
        FIXTURE_TEST(unknown_names_are_guessed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
