/* Makes the immutable configuration from what the levels say: every location gets its values from
 * its own level or the nearest one above. */
#include "engine/conf/load.h"

#include <stdlib.h>
#include <string.h>

/* ---- inherited whole ------------------------------------------------------------------------- */

/* The nearest level that names this directive at all; its list counts whole. */
static const struct scope *build_level(const struct scope *scope, enum directive_id id)
{
    while (!scope->values[id].set && scope->parent != NULL)
        scope = scope->parent;
    return scope;
}

static int build_compare_types(const void *a, const void *b)
{
    const struct conf_type *left = a, *right = b;
    return strcmp(left->extension.at, right->extension.at);
}

static bool build_access_logs(struct load *load, const struct scope *scope,
                              struct conf_location *location)
{
    const struct scope *level = build_level(scope, D_access_log);
    const struct access_wish *wishes = level->access_logs.items;
    size_t count = level->values[D_access_log].number != 0 ? 0 : level->access_logs.count;
    struct conf_access_log *logs = load_alloc(load, count * sizeof *logs);
    if (logs == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        logs[i] = wishes[i].log;
        if (logs[i].path.count == 0)
            logs[i].file = load_log_file(load, wishes[i].path);
    }
    location->access_logs = logs;
    location->access_log_count = count;
    return true;
}

static void build_error_log(struct load *load, const struct scope *scope,
                            struct conf_location *location)
{
    const struct scope *level = build_level(scope, D_error_log);
    const struct value *value = &level->values[D_error_log];
    struct conf_error_log *more = level->more_error_logs.items;
    location->error_level = location->error_file_level = (int)value->number;
    if (!str_equal(value->text, load->conf->error_log))
        location->error_file = load_log_file(load, value->text);
    location->more_error_logs = more;
    location->more_error_log_count = level->more_error_logs.count;
    for (size_t i = 0; i < location->more_error_log_count; i++) {
        if (!str_is(more[i].path, "stderr"))
            more[i].file = load_log_file(load, more[i].path);
        if (more[i].level > location->error_level)
            location->error_level = more[i].level;
    }
}

/* ---- one location ---------------------------------------------------------------------------- */

/* root and alias override each other; below a location with an alias, what follows that location's
 * own path is added to the alias. */
static void build_folder(const struct scope *scope, struct conf_location *location)
{
    const struct scope *level = scope;
    while (!level->values[D_alias].set && !level->values[D_root].set && level->parent != NULL)
        level = level->parent;
    location->root = level->folder;
    location->aliased = level->values[D_alias].set;
    location->alias_skip = level->match == LOCATION_REGEX ? SIZE_MAX : level->path.len;
}

static void build_replaces(struct conf_location *location)
{
    location->replaces = location->expires.kind != EXPIRES_OFF ? REPLACES_FRESHNESS : 0;
    for (size_t i = 0; i < location->header_count; i++)
        location->replaces |= location->headers[i].replaces;
}

static void build_numbers(const struct scope *scope, struct conf_location *location)
{
    const struct value *keepalive = scope_value(scope, D_keepalive_timeout);
    location->keepalive_timeout_ns = keepalive->number;
    location->keepalive_header_ns = keepalive->second;
    location->keepalive_time_ns = scope_number(scope, D_keepalive_time);
    location->keepalive_requests = (uint32_t)scope_number(scope, D_keepalive_requests);
    location->client_header_timeout_ns = scope_number(scope, D_client_header_timeout);
    location->client_body_timeout_ns = scope_number(scope, D_client_body_timeout);
    location->client_body_buffer_size = scope_number(scope, D_client_body_buffer_size);
    location->client_max_body_size = scope_number(scope, D_client_max_body_size);
    location->send_timeout_ns = scope_number(scope, D_send_timeout);
    location->lingering_close = (int)scope_number(scope, D_lingering_close);
    location->lingering_time_ns = scope_number(scope, D_lingering_time);
    location->lingering_timeout_ns = scope_number(scope, D_lingering_timeout);
    location->sendfile = scope_number(scope, D_sendfile) != 0;
    location->tcp_nodelay = scope_number(scope, D_tcp_nodelay) != 0;
    location->tcp_nopush = scope_number(scope, D_tcp_nopush) != 0;
    location->reset_timedout_connection = scope_number(scope, D_reset_timedout_connection) != 0;
    location->server_tokens = scope_number(scope, D_server_tokens) != 0;
    location->expires = build_level(scope, D_expires)->expires;
    location->if_modified_since = (int)scope_number(scope, D_if_modified_since);
    location->body_in_file = (int)scope_number(scope, D_client_body_in_file_only);
    location->max_ranges = scope_number(scope, D_max_ranges);
    location->absolute_redirect = scope_number(scope, D_absolute_redirect) != 0;
    location->port_in_redirect = scope_number(scope, D_port_in_redirect) != 0;
    location->server_name_in_redirect = scope_number(scope, D_server_name_in_redirect) != 0;
    location->keepalive_disable_msie6 = scope_number(scope, D_keepalive_disable) & 1;
    location->keepalive_disable_safari = scope_number(scope, D_keepalive_disable) & 2;
    location->etag = scope_number(scope, D_etag) != 0;
    location->rewrite_log = scope_number(scope, D_rewrite_log) != 0;
    location->uninitialized_variable_warn = scope_number(scope, D_uninitialized_variable_warn) != 0;
    location->log_not_found = scope_number(scope, D_log_not_found) != 0;
    location->internal = scope->values[D_internal].set; /* not inherited */
}

/* allow and deny are one list: either of them makes a level's own. */
static void build_access(const struct scope *scope, struct conf_location *location)
{
    const struct scope *level = scope;
    while (level->access.count == 0 && level->parent != NULL)
        level = level->parent;
    const struct list *proxies = &build_level(scope, D_set_real_ip_from)->proxies;
    const struct value *header = scope_value(scope, D_real_ip_header);
    location->access = level->access.items;
    location->access_count = level->access.count;
    location->proxies = proxies->items;
    location->proxy_count = proxies->count;
    location->real_ip_header = header->number != 0 ? (struct conf_str){"", 0} : header->text;
    location->real_ip_recursive = scope_number(scope, D_real_ip_recursive) != 0;
    location->recursive_error_pages = scope_number(scope, D_recursive_error_pages) != 0;
    location->satisfy_any = scope_number(scope, D_satisfy) != 0;
}

static struct conf_limits build_limits(const struct list *rules, uint64_t status, uint64_t level,
                                       uint64_t dry_run)
{
    static const enum log_level levels[] = {LEVEL_INFO, LEVEL_NOTICE, LEVEL_WARN, LEVEL_ERR};
    return (struct conf_limits){.rules = rules->items,
                                .count = rules->count,
                                .status = (int)status,
                                .log_level = (int)levels[level],
                                .dry_run = dry_run != 0};
}

static void build_all_limits(const struct scope *scope, struct conf_location *location)
{
    location->limit_req = build_limits(
        &build_level(scope, D_limit_req)->limit_reqs, scope_number(scope, D_limit_req_status),
        scope_number(scope, D_limit_req_log_level), scope_number(scope, D_limit_req_dry_run));
    location->limit_conn = build_limits(
        &build_level(scope, D_limit_conn)->limit_conns, scope_number(scope, D_limit_conn_status),
        scope_number(scope, D_limit_conn_log_level), scope_number(scope, D_limit_conn_dry_run));
    const struct scope *rate = build_level(scope, D_limit_rate);
    location->limit_rate = rate->limit_rate;
    location->limit_rate_after = build_level(scope, D_limit_rate_after)->limit_rate_after;
    location->limits_rate = rate->values[D_limit_rate].number != 0 ||
                            rate->limit_rate.segments[0].variable != VAR_LITERAL;
}

/* Which phases have anything to do here. */
static uint32_t build_phases(const struct scope *scope, const struct conf_location *location)
{
    uint32_t phases = 1u << PHASE_find_location | 1u << PHASE_content;
    if (location->rule_count > 0)
        phases |= 1u << (scope->context == SERVER ? PHASE_server_rewrite : PHASE_rewrite);
    if (location->proxy_count > 0)
        phases |= 1u << PHASE_real_ip | 1u << PHASE_location_real_ip;
    if (location->limit_req.count > 0)
        phases |= 1u << PHASE_limit_req;
    if (location->limit_conn.count > 0)
        phases |= 1u << PHASE_limit_conn;
    if (location->access_count > 0)
        phases |= 1u << PHASE_access;
    if (location->tries != NULL)
        phases |= 1u << PHASE_try_files;
    return phases;
}

static bool build_parts(struct load *load, const struct scope *scope, struct conf_location *outer);

/* An `if` goes on with what the location around it answers with. */
static const struct scope *build_answering(const struct scope *scope)
{
    while (scope->match == LOCATION_PART && scope->context != SERVER &&
           scope->handler_directive == NULL)
        scope = scope->parent;
    return scope;
}

static void build_file_cache(const struct scope *scope, struct conf_location *location)
{
    const struct value *cache = scope_value(scope, D_open_file_cache);
    location->file_cache = (struct conf_file_cache){
        .max = (size_t)cache->number,
        .inactive_ns = cache->second,
        .valid_ns = scope_number(scope, D_open_file_cache_valid),
        .min_uses = (uint32_t)scope_number(scope, D_open_file_cache_min_uses),
        .errors = scope_number(scope, D_open_file_cache_errors) != 0,
    };
}

static bool build_location(struct load *load, const struct scope *scope,
                           struct conf_location *location)
{
    const struct list *index = &build_level(scope, D_index)->index;
    const struct list *headers = &build_level(scope, D_add_header)->headers;
    const struct list *types = &build_level(scope, D_types)->types;
    const struct list *pages = &build_level(scope, D_error_page)->error_pages;
    const struct scope *answering = build_answering(scope);
    struct conf_location **slot = load_add(load, &load->locations, sizeof *slot);
    if (slot == NULL)
        return false;
    *slot = location;
    *location = (struct conf_location){
        .match = scope->match,
        .path = scope->path.at == NULL ? (struct conf_str){"", 0} : scope->path,
        .regex = scope->regex,
        .rules = scope->rules.items,
        .rule_count = scope->rules.count,
        .except_methods = scope->except_methods.items,
        .except_method_count = scope->except_methods.count,
        .tries = scope->tries,
        .error_pages = pages->items,
        .error_page_count = pages->count,
        .handler = answering->handler,
        .label = answering->label.at == NULL ? (struct conf_str){"", 0} : answering->label,
        .index = index->items,
        .index_count = index->count,
        .headers = headers->items,
        .header_count = headers->count,
        .types = types->items,
        .type_count = types->count,
        .default_type = scope_value(scope, D_default_type)->text,
    };
    if (types->count > 0)
        qsort(types->items, types->count, sizeof(struct conf_type), build_compare_types);
    build_numbers(scope, location);
    build_replaces(location);
    location->body_temp_path = scope_value(scope, D_client_body_temp_path)->text;
    if (location->handler == HANDLE_PROXY && !build_proxy(load, scope, answering, location))
        return false;
    build_error_log(load, scope, location);
    build_folder(scope, location);
    build_file_cache(scope, location);
    build_access(scope, location);
    build_all_limits(scope, location);
    location->phases = build_phases(scope, location);
    return build_access_logs(load, scope, location) && build_parts(load, scope, location);
}

static struct conf_location *build_new_location(struct load *load, const struct scope *scope)
{
    struct conf_location *location = load_alloc(load, sizeof *location);
    return location != NULL && build_location(load, scope, location) ? location : NULL;
}

static bool build_parts(struct load *load, const struct scope *scope, struct conf_location *outer)
{
    const struct part *parts = scope->parts.items;
    struct conf_rule *rules = scope->rules.items;
    for (size_t i = 0; i < scope->parts.count; i++) {
        const struct conf_location *location = build_new_location(load, parts[i].scope);
        if (location == NULL)
            return false;
        if (parts[i].rule == PART_EXCEPT)
            outer->except = location;
        else
            rules[parts[i].rule].location = location;
    }
    return true;
}

/* ---- the locations of a level ---------------------------------------------------------------- */

static int build_compare_paths(const void *a, const void *b)
{
    const struct conf_location *const *left = a, *const *right = b;
    return strcmp((*left)->path.at, (*right)->path.at);
}

/* Sorted by path, the prefixes of a path stand in front of it. */
static void build_shorter(struct conf_location *const *prefixes, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct conf_location *shorter = prefixes[i - 1];
        while (shorter != NULL && !str_begins(prefixes[i]->path, shorter->path.at))
            shorter = shorter->shorter;
        prefixes[i]->shorter = shorter;
    }
}

/* As in nginx, what is passed to another server under "/x/" may be asked for as "/x". */
static void build_slashes(struct conf_location *const *locations, size_t count,
                          struct conf_locations *level)
{
    for (size_t i = 0; i < count; i++) {
        struct conf_str path = locations[i]->path;
        bool slash = path.len > 1 && path.at[path.len - 1] == '/';
        locations[i]->adds_slash = slash && locations[i]->handler == HANDLE_PROXY;
        level->adds_slash |= locations[i]->adds_slash;
    }
}

static bool build_level_locations(struct load *load, const struct scope *level,
                                  struct conf_locations *out, struct list *named)
{
    struct scope *const *scopes = level->locations.items;
    struct list exact = {0}, prefixes = {0}, regexes = {0};
    for (size_t i = 0; i < level->locations.count; i++) {
        struct list *list = scopes[i]->match == LOCATION_EXACT   ? &exact
                            : scopes[i]->match == LOCATION_REGEX ? &regexes
                            : scopes[i]->match == LOCATION_NAMED ? named
                                                                 : &prefixes;
        struct conf_location **slot = load_add(load, list, sizeof *slot);
        struct conf_location *location = slot == NULL ? NULL : build_new_location(load, scopes[i]);
        if (location == NULL)
            return false;
        *slot = location;
        if (!build_level_locations(load, scopes[i], &location->inner, named))
            return false;
    }
    struct list *const sorted[] = {&exact, &prefixes};
    for (size_t i = 0; i < 2; i++)
        if (sorted[i]->count > 0)
            qsort(sorted[i]->items, sorted[i]->count, sizeof(struct conf_location *),
                  build_compare_paths);
    build_shorter(prefixes.items, prefixes.count);
    *out = (struct conf_locations){.exact = exact.items,
                                   .exact_count = exact.count,
                                   .prefixes = prefixes.items,
                                   .prefix_count = prefixes.count,
                                   .regexes = regexes.items,
                                   .regex_count = regexes.count};
    build_slashes(prefixes.items, prefixes.count, out);
    build_slashes(exact.items, exact.count, out);
    return true;
}

/* All of them, so that what is made for each can be found by number. */
static void build_number_locations(struct load *load)
{
    struct conf_location **all = load->locations.items;
    for (size_t i = 0; i < load->locations.count; i++)
        all[i]->number = i;
    load->conf->locations = load->locations.items;
    load->conf->location_count = load->locations.count;
}

/* ---- servers and addresses ------------------------------------------------------------------- */

static bool build_server_locations(struct load *load, const struct scope *scope,
                                   struct conf_server *server)
{
    struct list named = {0};
    server->fallback = build_new_location(load, scope);
    if (server->fallback == NULL || !build_level_locations(load, scope, &server->locations, &named))
        return false;
    server->named = named.items;
    server->named_count = named.count;
    return true;
}

static bool build_server(struct load *load, struct scope *scope, struct conf_server *server)
{
    static const struct conf_str no_name = {"", 0};
    const struct value *large = scope_value(scope, D_large_client_header_buffers);
    *server = (struct conf_server){
        .names = scope->names.count == 0 ? &no_name : scope->names.items,
        .name_count = scope->names.count == 0 ? 1 : scope->names.count,
        .name_regexes = scope->name_regexes.items,
        .name_regex_count = scope->name_regexes.count,
        .client_header_buffer_size = scope_number(scope, D_client_header_buffer_size),
        .large_buffer_count = large->number,
        .large_buffer_size = large->second,
        .merge_slashes = scope_number(scope, D_merge_slashes) != 0,
        .ignore_invalid_headers = scope_number(scope, D_ignore_invalid_headers) != 0,
        .underscores_in_headers = scope_number(scope, D_underscores_in_headers) != 0,
        .index = scope->number,
    };
    return build_tls(load, scope, server) && build_server_locations(load, scope, server);
}

static bool build_servers(struct load *load)
{
    size_t count = load->servers.count;
    struct conf_server *servers = load_alloc(load, count * sizeof *servers);
    if (servers == NULL)
        return false;
    struct scope *const *scopes = load->servers.items;
    for (size_t i = 0; i < count; i++) {
        if (!build_server(load, scopes[i], &servers[i]))
            return false;
    }
    load->conf->servers = servers;
    load->conf->server_count = count;
    return true;
}

static int build_compare_names(const void *a, const void *b)
{
    const struct conf_listen_name *left = a, *right = b;
    int order = strcmp(left->name.at, right->name.at);
    /* Of two servers with one name the first counts. */
    return order != 0 ? order
                      : (left->server->index > right->server->index) -
                            (left->server->index < right->server->index);
}

/* ".x" is both x itself and a wildcard. */
static bool build_names(struct load *load, struct conf_listen *listen)
{
    struct list names = {0};
    for (size_t i = 0; i < listen->server_count; i++) {
        const struct conf_server *server = listen->servers[i];
        listen->has_regex_names |= server->name_regex_count > 0;
        for (size_t j = 0; j < server->name_count; j++) {
            struct conf_str name = server->names[j];
            bool dot = name.len > 1 && name.at[0] == '.';
            bool wildcard = memchr(name.at, '*', name.len) != NULL;
            listen->has_wildcard_names |= dot || wildcard;
            if (wildcard || str_begins(name, "~"))
                continue;
            struct conf_listen_name *slot = load_add(load, &names, sizeof *slot);
            if (slot == NULL)
                return false;
            *slot = (struct conf_listen_name){{name.at + dot, name.len - dot}, server};
        }
    }
    if (names.count > 0)
        qsort(names.items, names.count, sizeof(struct conf_listen_name), build_compare_names);
    listen->names = names.items;
    listen->exact_name_count = names.count;
    return true;
}

static bool build_listen(struct load *load, const struct listener *listener,
                         struct conf_listen *listen)
{
    const struct conf_server *all = load->conf->servers;
    struct scope *const *scopes = listener->servers.items;
    size_t count = listener->servers.count;
    const struct conf_server **servers = load_alloc(load, count * sizeof(struct conf_server *));
    if (servers == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        servers[i] = &all[scopes[i]->number];
    *listen = listener->listen;
    listen->servers = servers;
    listen->server_count = count;
    listen->default_server =
        listener->default_server != NULL ? &all[listener->default_server->number] : servers[0];
    return build_names(load, listen) && build_tls_listen(load, listen, &listener->place);
}

static bool build_listens(struct load *load)
{
    size_t count = load->listeners.count;
    struct conf_listen *listens = load_alloc(load, count * sizeof *listens);
    if (listens == NULL)
        return false;
    struct listener *const *listeners = load->listeners.items;
    for (size_t i = 0; i < count; i++) {
        if (!build_listen(load, listeners[i], &listens[i]))
            return false;
    }
    load->conf->listens = listens;
    load->conf->listen_count = count;
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static struct conf_str build_text(const struct value *value)
{
    return value->set ? value->text : (struct conf_str){"", 0};
}

static void build_main(struct load *load)
{
    struct conf *conf = load->conf;
    const struct scope *main = &load->main;
    const struct value *core = &main->values[D_worker_rlimit_core];
    conf->daemon = scope_number(main, D_daemon) != 0;
    conf->fault_points = scope_number(main, D_fault_points) != 0;
    conf->pid_path = scope_value(main, D_pid)->text;
    conf->error_log = scope_value(main, D_error_log)->text;
    conf->error_level = (enum log_level)scope_number(main, D_error_log);
    conf->more_error_logs = main->more_error_logs.items;
    conf->more_error_log_count = main->more_error_logs.count;
    conf->working_directory = build_text(&main->values[D_working_directory]);
    conf->workers = (uint32_t)scope_number(main, D_worker_processes);
    conf->rlimit_nofile = main->values[D_worker_rlimit_nofile].number;
    conf->rlimit_core = core->set ? core->number + 1 : 0;
    conf->shutdown_timeout_ns = scope_number(main, D_worker_shutdown_timeout);
    conf->watchdog_ns = scope_number(main, D_worker_watchdog);
    conf->reload_timeout_ns = scope_number(main, D_reload_timeout);
    conf->reload_generations = (uint32_t)scope_number(main, D_reload_generations);
    conf->worker_connections = (uint32_t)scope_number(main, D_worker_connections);
    conf->multi_accept = scope_number(main, D_multi_accept) != 0;
    conf->env = load->env.items;
    conf->env_count = load->env.count;
    conf->sources = load->sources.items;
    conf->source_count = load->sources.count;
    if (conf->user.at == NULL)
        conf->user = conf->group = (struct conf_str){"", 0};
}

/* As in nginx, the last mask is for all further workers. */
static bool build_affinity(struct load *load)
{
    const uint64_t *masks = load->affinity.items;
    while (!load->conf->affinity_auto && load->affinity.count > 0 &&
           load->affinity.count < load->conf->workers) {
        uint64_t last = masks[load->affinity.count - 1];
        uint64_t *slot = load_add(load, &load->affinity, sizeof *slot);
        if (slot == NULL)
            return false;
        *slot = last;
        masks = load->affinity.items;
    }
    load->conf->affinity = load->affinity.items;
    load->conf->affinity_count = load->affinity.count;
    return true;
}

/* All files that may be needed fit, so that none moves while others are found. */
static bool build_log_files(struct load *load)
{
    struct list *files = &load->log_files;
    files->items = load_alloc(load, load->log_file_max * sizeof(struct conf_log_file));
    load->conf->log_files = files->items;
    return files->items != NULL;
}

bool build_conf(struct load *load)
{
    build_main(load);
    if (!build_affinity(load) || !build_log_files(load) || !build_servers(load) ||
        !build_listens(load) || !load_build_zones(load) || !named_build(load))
        return false;
    build_number_locations(load);
    load->conf->log_file_count = load->log_files.count;
    load->conf->client_tls = load->client_tls.items;
    load->conf->client_tls_count = load->client_tls.count;
    load->conf->upstreams = load->upstreams.items;
    load->conf->upstream_count = load->upstreams.count;
    return true;
}
