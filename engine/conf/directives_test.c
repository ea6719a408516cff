/* Every directive of directives.def: that it does something, where it may stand, and how it is
 * refused. A directive without a case here fails the first test. */
#include <sched.h>

#include "engine/conf/conf_fixture.h"
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
    [D_master_process] = {MAIN, "master_process off;", " master_process=0 "},
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
};

/* ---- a configuration as text ----------------------------------------------------------------- */

static char dumped[16384];
static size_t dumped_len;

static __attribute__((format(printf, 1, 2))) void put(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    dumped_len += (size_t)vsnprintf(dumped + dumped_len, sizeof dumped - dumped_len, format, args);
    va_end(args);
    assert_true(dumped_len < sizeof dumped);
}

static void put_strings(const char *name, const struct conf_str *strings, size_t count)
{
    put("%s=", name);
    for (size_t i = 0; i < count; i++)
        put("%s,", strings[i].at);
    put(" ");
}

static unsigned ms(uint64_t ns)
{
    return (unsigned)(ns / 1000000);
}

static void dump_main(const struct conf *conf)
{
    put(" daemon=%d master_process=%d fault_points=%d user=%s:%s pid=%s error_log=%s:%d "
        "directory=%s ",
        conf->daemon, conf->master_process, conf->fault_points, conf->user.at, conf->group.at,
        conf->pid_path.at, conf->error_log.at, (int)conf->error_level, conf->working_directory.at);
    put("workers=%u nofile=%u core=%u priority=%d shutdown=%u watchdog=%u backoff=%u:%u "
        "reload=%u connections=%u multi_accept=%d ",
        conf->workers, (unsigned)conf->rlimit_nofile, (unsigned)conf->rlimit_core, conf->priority,
        ms(conf->shutdown_timeout_ns), ms(conf->watchdog_ns), ms(conf->backoff_min_ns),
        ms(conf->backoff_max_ns), ms(conf->reload_timeout_ns), conf->worker_connections,
        conf->multi_accept);
    put_strings("env", conf->env, conf->env_count);
    put("affinity=%d:", conf->affinity_auto);
    for (size_t i = 0; i < conf->affinity_count; i++)
        put("%u,", (unsigned)conf->affinity[i]);
    put(" servers=%zu ", conf->server_count);
    for (size_t i = 0; i < conf->listen_count; i++)
        put("listen=%s,%d ", conf->listens[i].text.at, conf->listens[i].backlog);
}

static void dump_server(const struct conf_server *server)
{
    put_strings("names", server->names, server->name_count);
    put("merge_slashes=%d ignore_invalid=%d underscores=%d header_timeout=%u buffers=%zu:%zu:%zu ",
        server->merge_slashes, server->ignore_invalid_headers, server->underscores_in_headers,
        ms(server->fallback->client_header_timeout_ns), server->client_header_buffer_size,
        server->large_buffer_count, server->large_buffer_size);
}

static const char *file_name(const struct conf_tls_text *text)
{
    const char *slash = strrchr(text->text.at, '/');
    return slash != NULL ? slash + 1 : text->text.at;
}

static void dump_tls(const struct conf_tls *tls)
{
    put("pairs=");
    for (size_t i = 0; i < tls->pair_count; i++)
        put("%s:%s,", file_name(&tls->pairs[i].certificate), file_name(&tls->pairs[i].key));
    put(" password=%s protocols=%u ciphers=%s prefer=%d curves=%s cache=%d:%zu:%d:%zu session=%u "
        "tickets=%d:",
        file_name(&tls->password_file), tls->protocols, tls->ciphers.text.at,
        tls->prefer_server_ciphers, tls->curves.text.at, (int)tls->cache, tls->builtin_sessions,
        tls->shared, tls->zone, ms(tls->session_timeout_ns), tls->tickets);
    for (size_t i = 0; i < tls->ticket_key_count; i++)
        put("%s,", file_name(&tls->ticket_keys[i]));
    put(" verify=%d:%u authorities=%s:%s:%s reject=%d record=%zu ", (int)tls->verify,
        tls->verify_depth, file_name(&tls->client_certificate),
        file_name(&tls->trusted_certificate), file_name(&tls->crl), tls->reject_handshake,
        tls->buffer_size);
}

static void dump_lists(const struct conf_location *location)
{
    put_strings("index", location->index, location->index_count);
    put("headers=");
    for (size_t i = 0; i < location->header_count; i++)
        put("%s%d,", location->headers[i].name.at, location->headers[i].always);
    put(" types=");
    for (size_t i = 0; i < location->type_count; i++)
        put("%s:%s,", location->types[i].extension.at, location->types[i].type.at);
    for (size_t i = 0; i < location->access_log_count; i++) {
        const struct conf_access_log *log = &location->access_logs[i];
        put(" log=%s,%s,%d,%zu,%zu,%u", log->file->path.at, log->format->name.at,
            (int)log->format->escape, log->format->text.count, log->buffer_size, ms(log->flush_ns));
    }
    put(" ");
}

static void dump_rules(const struct conf_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put("rule=%d:%d:%d:%d ", (int)rules[i].kind, rules[i].status, (int)rules[i].then,
            rules[i].keeps_args);
        if (rules[i].kind == RULE_IF)
            put("test=%d:%d ", (int)rules[i].test, rules[i].negative);
        dump_rules(rules[i].rules, rules[i].rule_count);
    }
}

static void dump_access(const struct conf_location *location)
{
    put("access=");
    for (size_t i = 0; i < location->access_count; i++)
        put("%d:%d:%u,", location->access[i].allow, location->access[i].network.family,
            location->access[i].network.bits);
    put(" any=%d ", location->satisfy_any);
    put_strings("except", location->except_methods, location->except_method_count);
    put("proxies=");
    for (size_t i = 0; i < location->proxy_count; i++)
        put("%d:%u,", location->proxies[i].family, location->proxies[i].bits);
    put(" real_ip=%s:%d ", location->real_ip_header.at, location->real_ip_recursive);
}

static void dump_limits(const char *name, const struct conf_limits *limits)
{
    put("%s=", name);
    for (size_t i = 0; i < limits->count; i++)
        put("%zu:%u:%u,", limits->rules[i].zone, (unsigned)limits->rules[i].burst,
            (unsigned)limits->rules[i].delay);
    put(" %s_limits=%d/%d/%d ", name, limits->status, limits->log_level, limits->dry_run);
}

static void dump_detours(const struct conf_location *location)
{
    static const struct conf_tries none;
    const struct conf_tries *tries = location->tries == NULL ? &none : location->tries;
    put("tries=");
    for (size_t i = 0; i < tries->count; i++)
        put("%d,", tries->tries[i].folder);
    put("%d pages=", tries->status);
    for (size_t i = 0; i < location->error_page_count; i++)
        put("%d:%d,", location->error_pages[i].status, location->error_pages[i].answer);
    put(" recursive=%d ", location->recursive_error_pages);
}

static void dump_location(const struct conf_location *location)
{
    put("path=%d%s root=%s:%d:%zu handler=%d label=%s default_type=%s rewrite_log=%d warn=%d ",
        (int)location->match, location->path.at, location->root.segments[0].text.at,
        location->aliased, location->aliased ? location->alias_skip : 0, (int)location->handler,
        location->label.at, location->default_type.at, location->rewrite_log,
        location->uninitialized_variable_warn);
    dump_rules(location->rules, location->rule_count);
    dump_access(location);
    dump_limits("req", &location->limit_req);
    dump_limits("conn", &location->limit_conn);
    put("rate=%s:%s:%d ", location->limit_rate.segments[0].text.at,
        location->limit_rate_after.segments[0].text.at, location->limits_rate);
    dump_detours(location);
    put("keepalive=%u:%u keepalive_requests=%u keepalive_time=%u body_timeout=%u send_timeout=%u "
        "linger=%d:%u:%u body_buffer=%zu max_body=%u ",
        ms(location->keepalive_timeout_ns), ms(location->keepalive_header_ns),
        location->keepalive_requests, ms(location->keepalive_time_ns),
        ms(location->client_body_timeout_ns), ms(location->send_timeout_ns),
        (int)location->lingering_close, ms(location->lingering_time_ns),
        ms(location->lingering_timeout_ns), location->client_body_buffer_size,
        (unsigned)location->client_max_body_size);
    put("sendfile=%d nodelay=%d nopush=%d reset=%d tokens=%d etag=%d internal=%d not_found=%d "
        "error_level=%d ",
        location->sendfile, location->tcp_nodelay, location->tcp_nopush,
        location->reset_timedout_connection, location->server_tokens, location->etag,
        location->internal, location->log_not_found, location->error_level);
    put("files=%zu:%u:%u:%u:%d ", location->file_cache.max, ms(location->file_cache.inactive_ns),
        ms(location->file_cache.valid_ns), location->file_cache.min_uses,
        location->file_cache.errors);
    dump_lists(location);
}

/* Everything but the sources, which a test changes by its text already. */
static const char *dump(const struct conf *conf)
{
    dumped_len = 0;
    dump_main(conf);
    for (size_t i = 0; i < conf->zone_count; i++)
        if (conf->zones[i].limit != NULL)
            put("zone=%s:%zu:%u ", conf->zones[i].name.at, conf->zones[i].size,
                (unsigned)conf->zones[i].limit->rate);
    static const struct conf_map none;
    for (size_t i = 0; i < conf->variable_count; i++) {
        const struct conf_map *map = conf->variables[i].map;
        map = map == NULL ? &none : map;
        put("variable=%s:%zu:%zu:%zu ", conf->variables[i].name.at, map->exact.count,
            map->heads.count, map->regexes.count);
    }
    for (size_t i = 0; i < conf->server_count; i++) {
        dump_server(&conf->servers[i]);
        dump_tls(conf->servers[i].tls);
    }
    for (size_t i = 0; i < conf->location_count; i++)
        dump_location(conf->locations[i]);
    return dumped;
}

/* ---- configurations with a line of the test's ------------------------------------------------ */

static const struct {
    unsigned level;
    const char *name, *before, *after;
} levels[] = {
    {MAIN, "main", "", "\nevents {} http { server { listen 127.0.0.1:1; location / {} } }"},
    {EVENTS, "events", "events {", "\n} http { server { listen 127.0.0.1:1; location / {} } }"},
    {HTTP, "http", "events {} http {", "\nserver { listen 127.0.0.1:1; location / {} } }"},
    {SERVER, "server", "events {} http { server { listen 127.0.0.1:1;", "\nlocation / {} } }"},
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
