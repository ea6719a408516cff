/* A configuration as text: what the tests of directives look for a directive's effect in. */
#ifndef ENGINE_CONF_DUMP_FIXTURE_H
#define ENGINE_CONF_DUMP_FIXTURE_H

#include "engine/conf/conf_fixture.h"
#include "engine/conf/conf_proxy.h"
#include "engine/conf/load.h"

static char dumped[16384];
static size_t dumped_len;

static inline __attribute__((format(printf, 1, 2))) void put(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    dumped_len += (size_t)vsnprintf(dumped + dumped_len, sizeof dumped - dumped_len, format, args);
    va_end(args);
    assert_true(dumped_len < sizeof dumped);
}

static inline void put_strings(const char *name, const struct conf_str *strings, size_t count)
{
    put("%s=", name);
    for (size_t i = 0; i < count; i++)
        put("%s,", strings[i].at);
    put(" ");
}

static inline unsigned ms(uint64_t ns)
{
    return (unsigned)(ns / 1000000);
}

static inline void dump_main(const struct conf *conf)
{
    put(" daemon=%d fault_points=%d user=%s:%s pid=%s error_log=%s:%d "
        "directory=%s ",
        conf->daemon, conf->fault_points, conf->user.at, conf->group.at, conf->pid_path.at,
        conf->error_log.at, (int)conf->error_level, conf->working_directory.at);
    put("workers=%u nofile=%u core=%u priority=%d shutdown=%u watchdog=%u backoff=%u:%u "
        "reload=%u generations=%u connections=%u multi_accept=%d ",
        conf->workers, (unsigned)conf->rlimit_nofile, (unsigned)conf->rlimit_core, conf->priority,
        ms(conf->shutdown_timeout_ns), ms(conf->watchdog_ns), ms(conf->backoff_min_ns),
        ms(conf->backoff_max_ns), ms(conf->reload_timeout_ns), conf->reload_generations,
        conf->worker_connections, conf->multi_accept);
    put_strings("env", conf->env, conf->env_count);
    put("affinity=%d:", conf->affinity_auto);
    for (size_t i = 0; i < conf->affinity_count; i++)
        put("%u,", (unsigned)conf->affinity[i]);
    put(" servers=%zu ", conf->server_count);
    for (size_t i = 0; i < conf->listen_count; i++)
        put("listen=%s,%d ", conf->listens[i].text.at, conf->listens[i].backlog);
}

static inline void dump_server(const struct conf_server *server)
{
    put_strings("names", server->names, server->name_count);
    put("merge_slashes=%d ignore_invalid=%d underscores=%d header_timeout=%u buffers=%zu:%zu:%zu ",
        server->merge_slashes, server->ignore_invalid_headers, server->underscores_in_headers,
        ms(server->fallback->client_header_timeout_ns), server->client_header_buffer_size,
        server->large_buffer_count, server->large_buffer_size);
}

static inline const char *file_name(const struct conf_tls_text *text)
{
    const char *slash = strrchr(text->text.at, '/');
    return slash != NULL ? slash + 1 : text->text.at;
}

static inline void dump_tls(const struct conf_tls *tls)
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
    put(" dhparam=%s", file_name(&tls->dhparam));
    put(" verify=%d:%u authorities=%s:%s:%s reject=%d record=%zu ", (int)tls->verify,
        tls->verify_depth, file_name(&tls->client_certificate),
        file_name(&tls->trusted_certificate), file_name(&tls->crl), tls->reject_handshake,
        tls->buffer_size);
}

static inline void dump_lists(const struct conf_location *location)
{
    put("index=");
    for (size_t i = 0; i < location->index_count; i++)
        put("%s,", location->index[i].segments[0].text.at);
    put(" ");
    put("headers=");
    for (size_t i = 0; i < location->header_count; i++)
        put("%s%d,", location->headers[i].name.at, location->headers[i].always);
    put(" types=");
    for (size_t i = 0; i < location->type_count; i++)
        put("%s:%s,", location->types[i].extension.at, location->types[i].type.at);
    for (size_t i = 0; i < location->access_log_count; i++) {
        const struct conf_access_log *log = &location->access_logs[i];
        if (log->file == NULL) {
            put(" log_path=%zu", log->path.count);
            continue;
        }
        put(" log=%s,%s,%d,%zu,%zu,%u", log->file->path.at, log->format->name.at,
            (int)log->format->escape, log->format->text.count, log->buffer_size, ms(log->flush_ns));
    }
    put(" ");
}

static inline void dump_rules(const struct conf_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put("rule=%d:%d:%d:%d ", (int)rules[i].kind, rules[i].status, (int)rules[i].then,
            rules[i].keeps_args);
        if (rules[i].kind == RULE_IF)
            put("test=%d:%d ", (int)rules[i].test, rules[i].negative);
        dump_rules(rules[i].rules, rules[i].rule_count);
    }
}

static inline void dump_access(const struct conf_location *location)
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

static inline void dump_limits(const char *name, const struct conf_limits *limits)
{
    put("%s=", name);
    for (size_t i = 0; i < limits->count; i++)
        put("%zu:%u:%u,", limits->rules[i].zone, (unsigned)limits->rules[i].burst,
            (unsigned)limits->rules[i].delay);
    put(" %s_limits=%d/%d/%d ", name, limits->status, limits->log_level, limits->dry_run);
}

static inline void dump_detours(const struct conf_location *location)
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

static inline void dump_location(const struct conf_location *location)
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
    put("in_file=%d expires=%d:%d since=%d ranges=%zu redirect=%d%d%d disable=%d%d ",
        (int)location->body_in_file, (int)location->expires.kind, (int)location->expires.seconds,
        (int)location->if_modified_since, location->max_ranges, location->absolute_redirect,
        location->port_in_redirect, location->server_name_in_redirect,
        location->keepalive_disable_msie6, location->keepalive_disable_safari);
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
    put("body_temp=%s ", location->body_temp_path.at);
}

static inline void dump_proxy(const struct conf_proxy *proxy)
{
    put("proxy=%s%s http_1_0=%d method=%zu pass=%d:%d set_body=%d request_buffering=%d "
        "buffering=%d ",
        proxy->upstream->name.at, proxy->uri.at, proxy->http_1_0, proxy->method.count,
        proxy->pass_body, proxy->pass_headers, proxy->sets_body, proxy->request_buffering,
        proxy->buffering);
    for (size_t i = 0; i < proxy->header_count; i++)
        put("%s,", proxy->headers[i].name.at);
    put(" ");
    put_strings("hide", proxy->hide, proxy->hide_count);
    put("hidden=%x ignored=%x buffers=%zu:%zu max_temp=%u temp=%s times=%u:%u:%u next=%x:%u:%u ",
        proxy->hidden, proxy->ignored, proxy->buffer_size, proxy->buffers_size,
        (unsigned)proxy->max_temp_file_size, proxy->temp_path.at, ms(proxy->connect_timeout_ns),
        ms(proxy->send_timeout_ns), ms(proxy->read_timeout_ns), proxy->next,
        ms(proxy->next_timeout_ns), proxy->next_tries);
    put("intercept=%d ignore_abort=%d socket_keepalive=%d redirect=", proxy->intercept_errors,
        proxy->ignore_client_abort, proxy->socket_keepalive);
    for (size_t i = 0; i < proxy->redirect_count; i++)
        put("%s>%s,", proxy->redirects[i].from.segments[0].text.at,
            proxy->redirects[i].to.segments[0].text.at);
    put(" ");
}

static inline void dump_client_tls(const struct conf_proxy *proxy, const struct conf_tls *tls)
{
    put("ssl=%d:%d ssl_name=%s client_verify=%d:%u client_protocols=%u client_ciphers=%s ",
        proxy->ssl_server_name, proxy->ssl_session_reuse, proxy->ssl_name.segments[0].text.at,
        (int)tls->verify, tls->verify_depth, tls->protocols, tls->ciphers.text.at);
    put("client_files=%s:%s client_password=%s ", file_name(&tls->trusted_certificate),
        file_name(&tls->crl), file_name(&tls->password_file));
    if (tls->pair_count > 0)
        put("client_pair=%s:%s ", file_name(&tls->pairs[0].certificate),
            file_name(&tls->pairs[0].key));
}

static inline void dump_upstream(const struct conf_upstream *upstream)
{
    put("upstream=%s,", upstream->name.at);
    for (size_t i = 0; i < upstream->server_count; i++)
        put("%s/%u/%u/%u,", upstream->servers[i].text.at, upstream->servers[i].weight,
            upstream->servers[i].max_fails, ms(upstream->servers[i].fail_timeout_ns));
    put(" method=%d idle=%u zone=%d ", (int)upstream->method, upstream->keepalive,
        upstream->has_zone ? (int)upstream->zone : -1);
}

/* Everything but the sources, which a test changes by its text already. */
static inline const char *dump(const struct conf *conf)
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
    for (size_t i = 0; i < conf->location_count; i++)
        if (conf->locations[i]->proxy != NULL)
            dump_proxy(conf->locations[i]->proxy);
    for (size_t i = 0; i < conf->location_count; i++)
        if (conf->locations[i]->proxy != NULL && conf->locations[i]->proxy->tls)
            dump_client_tls(conf->locations[i]->proxy, conf->client_tls[0]);
    for (size_t i = 0; i < conf->upstream_count; i++)
        dump_upstream(conf->upstreams[i]);
    return dumped;
}

#endif
