/* What a level takes from the levels around it, and what it does not. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "engine/conf/conf_fixture.h"

#define S UINT64_C(1000000000)

static const struct conf_location *find(const struct conf *conf, const char *path)
{
    for (size_t i = 0; i < conf->location_count; i++) {
        if (strcmp(conf->locations[i]->path.at, path) == 0)
            return conf->locations[i];
    }
    fail_msg("no location %s", path);
    return NULL;
}

/* What stands in a root or alias without variables. */
static void assert_folder(const struct conf_location *location, const char *folder, bool aliased)
{
    assert_int_equal(location->root.count, 1);
    assert_text(location->root.segments[0].text, folder);
    assert_int_equal(location->aliased, aliased);
}

static void defaults_are_nginx_defaults(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load("events {} http { server {} }");
    assert_true(conf->daemon && conf->fault_points);
    assert_int_equal(conf->workers, 1);
    assert_int_equal(conf->worker_connections, 512);
    assert_true(conf->watchdog_ns == 30 * S && conf->reload_timeout_ns == 30 * S);
    assert_true(conf->backoff_min_ns == S / 100 && conf->backoff_max_ns == 10 * S);
    assert_true(conf->shutdown_timeout_ns == 0 && conf->rlimit_nofile == 0);
    assert_true(conf->rlimit_core == 0 && conf->priority == 0 && conf->affinity_count == 0);
    assert_text(conf->error_log, "/srv/logs/error.log");
    assert_int_equal(conf->error_level, LEVEL_ERR);
    assert_text(conf->pid_path, "/srv/logs/mw-engine.pid");
    assert_text(conf->user, "");
    assert_text(conf->working_directory, "");
    assert_text(conf->prefix, "/srv/");
    const struct conf_server *server = &conf->servers[0];
    assert_int_equal(server->name_count, 1);
    assert_text(server->names[0], "");
    assert_int_equal(server->locations.prefix_count, 0);
    assert_true(server->fallback->client_header_timeout_ns == 60 * S);
    assert_int_equal(server->client_header_buffer_size, 1024);
    assert_int_equal(server->large_buffer_count, 4);
    assert_int_equal(server->large_buffer_size, 8192);
    assert_true(server->merge_slashes && server->ignore_invalid_headers);
    assert_false(server->underscores_in_headers);
    assert_text(conf->listens[0].text, geteuid() == 0 ? "0.0.0.0:80" : "0.0.0.0:8000");
    assert_int_equal(conf->listens[0].backlog, 511);
}

static void location_defaults_are_nginx_defaults(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(fixture_server(""));
    const struct conf_location *location = conf->servers[0].fallback;
    assert_int_equal(location->handler, HANDLE_STATIC);
    assert_folder(location, "/srv/html", false);
    assert_text(location->index[0].segments[0].text, "index.html");
    assert_text(location->default_type, "text/plain");
    assert_int_equal(location->type_count, 3);
    assert_text(location->types[0].extension, "gif");
    assert_text(location->types[1].type, "text/html");
    assert_int_equal(location->access_log_count, 1);
    assert_text(location->access_logs[0].file->path, "/srv/logs/access.log");
    assert_text(location->access_logs[0].format->name, "combined");
    assert_int_equal(location->access_logs[0].format->text.count, 16);
    assert_true(location->keepalive_timeout_ns == 75 * S && location->keepalive_header_ns == 0);
    assert_true(location->keepalive_time_ns == 3600 * S);
    assert_true(location->client_body_timeout_ns == 60 * S && location->send_timeout_ns == 60 * S);
    assert_true(location->lingering_time_ns == 30 * S && location->lingering_timeout_ns == 5 * S);
    assert_int_equal(location->lingering_close, LINGERING_ON);
    assert_int_equal(location->keepalive_requests, 1000);
    assert_true(location->client_max_body_size == 1 << 20);
    assert_int_equal(location->client_body_buffer_size, 16384);
    assert_true(location->tcp_nodelay && location->server_tokens && location->etag);
    assert_true(location->log_not_found);
    assert_false(location->sendfile || location->tcp_nopush || location->internal ||
                 location->reset_timedout_connection);
    assert_int_equal(location->error_level, LEVEL_ERR);
    assert_null(location->error_file);
}

static void a_value_comes_from_the_nearest_level(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(
        "error_log e.log info; events {} http { etag off; send_timeout 1s; sendfile on;\n"
        "server { send_timeout 2s; root /s;\n"
        "location /a { send_timeout 3s; location /a/b { root /b; location /a/b/c { etag on; } } }\n"
        "location /d { error_log d.log crit; } } }");
    const struct conf_location *c = find(conf, "/a/b/c"), *d = find(conf, "/d");
    assert_true(c->send_timeout_ns == 3 * S && c->etag && c->sendfile);
    assert_folder(c, "/b", false);
    assert_int_equal(c->error_level, LEVEL_INFO);
    assert_null(c->error_file);
    assert_true(d->send_timeout_ns == 2 * S && !d->etag && d->sendfile);
    assert_folder(d, "/s", false);
    assert_int_equal(d->error_level, LEVEL_CRIT);
    assert_text(d->error_file->path, "/srv/d.log");
    assert_ptr_equal(d->error_file, &conf->log_files[d->error_file->index]);
    assert_true(conf->servers[0].fallback->send_timeout_ns == 2 * S);
}

static void lists_are_inherited_whole_or_not_at_all(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(
        "events {} http { index i j; add_header X-1 1; add_header X-2 2 always;\n"
        "access_log one; access_log two; types { a/a a; } server {\n"
        "location /none {}\n"
        "location /own { index k; add_header X-3 3; access_log three; types { b/b b B c; } }\n"
        "location /off { access_log off; location /off/in {} } } }");
    const struct conf_location *none = find(conf, "/none"), *own = find(conf, "/own");
    assert_int_equal(none->index_count, 2);
    assert_int_equal(none->header_count, 2);
    assert_true(!none->headers[0].always && none->headers[1].always);
    assert_int_equal(none->access_log_count, 2);
    assert_int_equal(none->type_count, 1);
    assert_int_equal(own->index_count, 1);
    assert_text(own->index[0].segments[0].text, "k");
    assert_int_equal(own->header_count, 1);
    assert_int_equal(own->access_log_count, 1);
    assert_text(own->access_logs[0].file->path, "/srv/three");
    assert_int_equal(own->type_count, 2);
    assert_int_equal(find(conf, "/off")->access_log_count, 0);
    assert_int_equal(find(conf, "/off/in")->access_log_count, 0);
    assert_int_equal(conf->log_file_count, 3);
    for (size_t i = 0; i < conf->log_file_count; i++)
        assert_int_equal(conf->log_files[i].index, i);
    assert_ptr_equal(find(conf, "/none")->access_logs[0].file,
                     conf->servers[0].fallback->access_logs[0].file);
}

static void what_a_location_does_is_its_own(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(fixture_server(
        "location /r { return 200 x; location /r/in {} }\n"
        "location /i { internal; test_handler delay v1; location /i/in {} }\n"
        "location /u { return https://$host; } location /two { return 201; return 202; }"));
    assert_int_equal(find(conf, "/r")->rules[0].kind, RULE_RETURN);
    assert_int_equal(find(conf, "/r/in")->rule_count, 0);
    assert_true(find(conf, "/i")->internal && find(conf, "/i")->handler == HANDLE_DELAY);
    assert_text(find(conf, "/i")->label, "v1");
    assert_false(find(conf, "/i/in")->internal);
    assert_int_equal(find(conf, "/i/in")->handler, HANDLE_STATIC);
    assert_int_equal(find(conf, "/u")->rules[0].status, 302);
    assert_int_equal(find(conf, "/u")->rules[0].text.count, 2);
    assert_int_equal(find(conf, "/two")->rules[0].status, 201);
}

static void rules_keep_their_order(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(fixture_server(
        "location / { return 200; } set $a b; if ($a = b) { break; return 301 /x; }\n"
        "rewrite ^/a(.*)$ /b$1? last;"));
    const struct conf_location *server = conf->servers[0].fallback;
    assert_int_equal(server->rule_count, 3);
    assert_int_equal(server->rules[0].kind, RULE_SET);
    assert_int_equal(server->rules[1].kind, RULE_IF);
    assert_int_equal(server->rules[1].test, TEST_EQUAL);
    assert_int_equal(server->rules[1].rule_count, 2);
    assert_null(server->rules[1].location);
    assert_int_equal(server->rules[1].rules[1].status, 301);
    assert_int_equal(server->rules[2].then, THEN_LAST);
    assert_false(server->rules[2].keeps_args);
    assert_true(server->phases & 1u << PHASE_server_rewrite);
    assert_false(server->phases & 1u << PHASE_rewrite);
    assert_true(find(conf, "/")->phases & 1u << PHASE_rewrite);
}

static void an_if_is_a_part_of_its_location(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(
        fixture_server("location /a/ { alias /d/; test_handler delay v1; add_header X-A a;\n"
                       "if ($arg_x) { add_header X-B b; } if (!-f /y) { root /r; } }"));
    const struct conf_location *outer = find(conf, "/a/");
    const struct conf_location *first = outer->rules[0].location,
                               *second = outer->rules[1].location;
    assert_int_equal(first->match, LOCATION_PART);
    assert_int_equal(first->handler, HANDLE_DELAY);
    assert_text(first->label, "v1");
    assert_folder(first, "/d/", true);
    assert_int_equal(first->alias_skip, 3);
    assert_text(first->headers[0].name, "X-B");
    assert_text(second->headers[0].name, "X-A");
    assert_folder(second, "/r", false);
    assert_true(outer->rules[1].negative && outer->rules[1].test == TEST_FILE);
    assert_ptr_equal(conf->locations[second->number], second);
}

static void an_alias_grows_with_the_path(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(fixture_server(
        "root /r; location /a/ { alias /data/; location /a/b/ {} location = /a/c {}\n"
        "location /a/d/ { root /d; } location /a/e/ { alias x/; } }"));
    static const struct {
        const char *path, *folder;
        size_t skip;
    } aliases[] = {{"/a/", "/data/", 3},
                   {"/a/b/", "/data/", 3},
                   {"/a/c", "/data/", 3},
                   {"/a/e/", "/srv/x/", 5}};
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        assert_folder(find(conf, aliases[i].path), aliases[i].folder, true);
        assert_int_equal(find(conf, aliases[i].path)->alias_skip, aliases[i].skip);
    }
    assert_folder(find(conf, "/a/d/"), "/d", false);
    assert_folder(conf->servers[0].fallback, "/r", false);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void text_is_compiled(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(
        fixture_server("return 200 \"a$URI${status}b$arg_A_b$http_X_Y$sent_http_q\\n\";"));
    const struct conf_text *text = &conf->servers[0].fallback->rules[0].text;
    static const struct {
        enum conf_variable variable;
        const char *text;
    } expected[] = {
        {VAR_LITERAL, "a"}, {VAR_uri, ""},     {VAR_status, ""},     {VAR_LITERAL, "b"},
        {VAR_arg, "a_b"},   {VAR_http, "x-y"}, {VAR_sent_http, "q"}, {VAR_LITERAL, "\n"},
    };
    assert_int_equal(text->count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < text->count; i++) {
        assert_int_equal(text->segments[i].variable, expected[i].variable);
        assert_text(text->segments[i].text, expected[i].text);
    }
}

static void every_variable_compiles(void **state)
{
    (void)state;
#define VARIABLE(symbol, name, meaning) {"$" name, VAR_##symbol},
#define PREFIX_VARIABLE(symbol, name, meaning) {"$" name "x", VAR_##symbol},
    static const struct {
        const char *text;
        enum conf_variable variable;
    } all[] = {
#include "engine/conf/variables.def"
    };
#undef VARIABLE
#undef PREFIX_VARIABLE
    char line[128];
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(line, sizeof line, "return 200 %s;", all[i].text);
        const struct conf *conf = fixture_load(fixture_server(line));
        const struct conf_text *text = &conf->servers[0].fallback->rules[0].text;
        assert_int_equal(text->count, 1);
        assert_int_equal(text->segments[0].variable, all[i].variable);
    }
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void addresses_are_shared_by_servers(void **state)
{
    (void)state;
    const struct conf *conf = fixture_load(
        "events {} http { server { listen 127.0.0.1:81; listen [::1]:81; server_name a; }\n"
        "server { listen 127.0.0.1:81 default_server rcvbuf=8k sndbuf=9k fastopen=3 deferred\n"
        "  reuseport so_keepalive=30m::10 backlog=7 bind; server_name b; }\n"
        "server { listen 127.0.0.1:81; listen localhost:82; listen *:83; listen 84;\n"
        "  listen [::]:84 ipv6only=on; listen unix:run/x; listen 127.0.0.2; listen 90-92; } }");
    assert_int_equal(conf->listen_count, 11);
    const struct conf_listen *shared = &conf->listens[0];
    assert_text(shared->text, "127.0.0.1:81");
    assert_int_equal(shared->server_count, 3);
    assert_ptr_equal(shared->default_server, &conf->servers[1]);
    assert_ptr_equal(shared->servers[2], &conf->servers[2]);
    assert_true(shared->deferred && shared->reuseport && shared->so_keepalive);
    assert_int_equal(shared->keepalive_idle_s, 1800);
    assert_int_equal(shared->keepalive_interval_s, 0);
    assert_int_equal(shared->keepalive_count, 10);
    assert_int_equal(shared->rcvbuf, 8192);
    assert_int_equal(shared->sndbuf, 9216);
    assert_int_equal(shared->fastopen, 3);
    assert_int_equal(shared->backlog, 7);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&shared->addr;
    assert_int_equal(ntohs(v4->sin_port), 81);
    assert_int_equal(v4->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    static const char *const texts[] = {
        "127.0.0.1:81",    "[::1]:81",     "127.0.0.1:82", "0.0.0.0:83", "0.0.0.0:84", "[::]:84",
        "unix:/srv/run/x", "127.0.0.2:80", "0.0.0.0:90",   "0.0.0.0:91", "0.0.0.0:92"};
    for (size_t i = 0; i < conf->listen_count; i++)
        assert_text(conf->listens[i].text, texts[i]);
    assert_ptr_equal(conf->listens[1].default_server, &conf->servers[0]);
    assert_true(conf->listens[1].ipv6only && conf->listens[5].ipv6only);
    assert_false(conf->listens[4].ipv6only);
}

static void names_are_lower_case(void **state)
{
    (void)state;
    const struct conf *conf =
        fixture_load(fixture_server("server_name Ab.C *.D .e F.*; server_name \"\" $hostname;"));
    const struct conf_server *server = &conf->servers[0];
    static const char *const names[] = {"ab.c", "*.d", ".e", "f.*", ""};
    assert_int_equal(server->name_count, 6);
    for (size_t i = 0; i < 5; i++)
        assert_text(server->names[i], names[i]);
    assert_true(server->names[5].len > 0);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void includes_work_at_every_level(void **state)
{
    (void)state;
    fixture_write("a1.inc", "location /a1 {}", 15);
    fixture_write("a2.inc", "location /a2 {}", 15);
    fixture_write("types.inc", "text/x x;", 9);
    fixture_write("off.inc", "etag off;", 9);
    fixture_write("c.inc", "worker_connections 3;", 21);
    const struct conf *conf = fixture_load(
        "events { include c.inc; } http { types { include types.inc; b/b b; } server {\n"
        "include a*.inc; include none-*.inc; location /x { include off.inc; }\n"
        "location /y { include off.inc; } } }");
    assert_int_equal(conf->worker_connections, 3);
    assert_false(find(conf, "/x")->etag || find(conf, "/y")->etag);
    assert_true(find(conf, "/a1")->etag && find(conf, "/a2")->etag);
    assert_int_equal(find(conf, "/x")->type_count, 2);
    static const char *const order[] = {"mw.conf", "c.inc",  "types.inc",
                                        "a1.inc",  "a2.inc", "off.inc"};
    assert_int_equal(conf->source_count, 6);
    for (size_t i = 0; i < conf->source_count; i++)
        assert_string_equal(strrchr(conf->sources[i].path.at, '/') + 1, order[i]);
    assert_text(conf->sources[5].text, "etag off;");
    assert_int_equal(strncmp(conf->sources[0].text.at, "events { include", 16), 0);
}

static void the_command_line_is_read_first(void **state)
{
    (void)state;
    const struct conf *conf = fixture_try("worker_processes 2; events {}", "daemon off; pid /x;");
    assert_non_null(conf);
    assert_false(conf->daemon);
    assert_text(conf->pid_path, "/x");
    assert_int_equal(conf->workers, 2);
    assert_int_equal(conf->source_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(defaults_are_nginx_defaults),
        FIXTURE_TEST(location_defaults_are_nginx_defaults),
        FIXTURE_TEST(a_value_comes_from_the_nearest_level),
        FIXTURE_TEST(lists_are_inherited_whole_or_not_at_all),
        FIXTURE_TEST(what_a_location_does_is_its_own),
        FIXTURE_TEST(rules_keep_their_order),
        FIXTURE_TEST(an_if_is_a_part_of_its_location),
        FIXTURE_TEST(an_alias_grows_with_the_path),
        FIXTURE_TEST(text_is_compiled),
        FIXTURE_TEST(every_variable_compiles),
        FIXTURE_TEST(addresses_are_shared_by_servers),
        FIXTURE_TEST(names_are_lower_case),
        FIXTURE_TEST(includes_work_at_every_level),
        FIXTURE_TEST(the_command_line_is_read_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
