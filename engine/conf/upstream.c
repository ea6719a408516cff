/* The `upstream` block: a group of servers, and how one of them is chosen. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "engine/conf/address.h"
#include "engine/conf/conf_proxy.h"
#include "engine/conf/load.h"
#include "engine/conf/setters.h"
#include "engine/conf/upstreams.h"
#include "engine/conf/value.h"

#define SERVERS_MAX 512 /* of a group, addresses counted */
#define WEIGHT_MAX 65535
#define CIRCLE_WEIGHT_MAX 4096 /* of all servers of a consistent hash: 160 points for each */
#define KEEPALIVE_REQUESTS 1000
#define KEEPALIVE_TIME_NS (UINT64_C(3600) * 1000000000)
#define KEEPALIVE_TIMEOUT_NS (UINT64_C(60) * 1000000000)
#define FAIL_TIMEOUT_NS (UINT64_C(10) * 1000000000)

/* ---- addresses ------------------------------------------------------------------------------- */

static bool server_add(struct load *load, struct list *servers, const struct place *place,
                       const struct conf_upstream_server *like, const struct address *address)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len = address_print(address, text);
    if (servers->count == SERVERS_MAX)
        return load_fail(load, place, "more than %d addresses in one upstream", SERVERS_MAX);
    struct conf_upstream_server *server = load_add(load, servers, sizeof *server);
    if (server == NULL)
        return false;
    *server = *like;
    memcpy(&server->addr, &address->to, address->len);
    server->addr_len = address->len;
    return load_copy(load, text, len, &server->text);
}

/* All addresses of one family that a name has. */
static bool server_add_found(struct load *load, struct list *servers, const struct place *place,
                             const struct conf_upstream_server *like, const struct addrinfo *found,
                             int family)
{
    for (; found != NULL; found = found->ai_next) {
        struct address address = {.len = found->ai_addrlen};
        if (found->ai_family != family || found->ai_addrlen > sizeof address.to)
            continue;
        memcpy(&address.to, found->ai_addr, found->ai_addrlen);
        if (!server_add(load, servers, place, like, &address))
            return false;
    }
    return true;
}

static bool server_resolve(struct load *load, struct list *servers, const struct place *place,
                           const struct conf_upstream_server *like,
                           const struct address_parts *parts)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    char port[8];
    struct conf_str host;
    if (!load_copy(load, parts->host.at, parts->host.len, &host))
        return false;
    snprintf(port, sizeof port, "%u", parts->number);
    if (getaddrinfo(host.at, port, &hints, &found) != 0)
        return load_fail(load, place, "host not found in upstream \"%s\"", host.at);
    bool good = server_add_found(load, servers, place, like, found, AF_INET) &&
                server_add_found(load, servers, place, like, found, AF_INET6);
    freeaddrinfo(found);
    return good;
}

bool upstream_add_servers(struct load *load, struct list *servers, const struct place *place,
                          const struct conf_upstream_server *like, uint16_t port)
{
    struct address_parts parts;
    struct address address;
    const char *wrong = address_split(like->name, port, &parts);
    if (wrong != NULL)
        return load_fail(load, place, "%s in upstream \"%s\"", wrong, like->name.at);
    if (address_numeric(&parts, &address))
        return server_add(load, servers, place, like, &address);
    if (parts.v6)
        return load_fail(load, place, "invalid IPv6 address in upstream \"%s\"", like->name.at);
    return server_resolve(load, servers, place, like, &parts);
}

/* ---- server ---------------------------------------------------------------------------------- */

static bool parameter_number(struct load *load, const struct word *word, const char *name,
                             uint64_t low, uint64_t high, uint32_t *out)
{
    size_t skip = strlen(name);
    uint64_t value;
    struct conf_str text = {word->text.at + skip, word->text.len - skip};
    if (!value_number(text, &value) || value < low || value > high)
        return load_fail(load, &word->place, "invalid value \"%s\", %llu to %llu is expected",
                         word->text.at, (unsigned long long)low, (unsigned long long)high);
    *out = (uint32_t)value;
    return true;
}

static bool parameter_set(struct load *load, const struct word *word,
                          struct conf_upstream_server *server)
{
    struct conf_str text = word->text;
    if (str_begins(text, "weight="))
        return parameter_number(load, word, "weight=", 1, WEIGHT_MAX, &server->weight);
    if (str_begins(text, "max_fails="))
        return parameter_number(load, word, "max_fails=", 0, UINT32_MAX, &server->max_fails);
    if (str_begins(text, "max_conns="))
        return parameter_number(load, word, "max_conns=", 0, UINT32_MAX, &server->max_conns);
    if (str_begins(text, "fail_timeout=")) {
        struct conf_str time = {text.at + strlen("fail_timeout="),
                                text.len - strlen("fail_timeout=")};
        return value_time(time, &server->fail_timeout_ns) ||
               load_fail(load, &word->place, "invalid time in \"%s\"", text.at);
    }
    if (str_is(text, "backup"))
        return server->backup = true;
    if (str_is(text, "down"))
        return server->down = true;
    return load_fail(load, &word->place, "invalid parameter \"%s\"", text.at);
}

static bool server_set(struct load *load, struct scope *scope, const struct statement *statement)
{
    struct conf_upstream_server server = {
        .weight = 1, .max_fails = 1, .fail_timeout_ns = FAIL_TIMEOUT_NS};
    const struct place *place = &statement->name.place;
    if (statement->block)
        return load_fail(load, place, "\"server\" directive is not allowed here");
    if (statement->count == 0)
        return load_fail(load, place, "invalid number of arguments in \"server\" directive");
    const struct word *name = &statement->args[0];
    if (!load_copy(load, name->text.at, name->text.len, &server.name))
        return false;
    for (size_t i = 1; i < statement->count; i++)
        if (!parameter_set(load, &statement->args[i], &server))
            return false;
    return upstream_add_servers(load, &scope->upstream_servers, &name->place, &server, 80);
}

/* ---- the method ------------------------------------------------------------------------------ */

static bool method_use(struct load *load, struct scope *scope, const struct statement *statement,
                       enum conf_balance method)
{
    if (scope->balance != CONF_ROUND_ROBIN)
        return load_fail(load, &statement->name.place,
                         "\"%s\": the group has a load balancing method already",
                         statement->name.text.at);
    scope->balance = (int)method;
    return true;
}

bool set_balance(struct load *load, struct scope *scope, const struct directive *directive,
                 const struct statement *statement)
{
    bool least = directive_id(directive) == D_least_conn;
    return method_use(load, scope, statement, least ? CONF_LEAST_CONN : CONF_IP_HASH);
}

bool set_hash(struct load *load, struct scope *scope, const struct directive *directive,
              const struct statement *statement)
{
    (void)directive;
    if (statement->count == 2 && !str_is(statement->args[1].text, "consistent"))
        return load_fail(load, &statement->args[1].place, "invalid parameter \"%s\"",
                         statement->args[1].text.at);
    return text_compile(load, &statement->args[0], &scope->balance_key) &&
           method_use(load, scope, statement, statement->count == 2 ? CONF_CONSISTENT : CONF_HASH);
}

bool set_random(struct load *load, struct scope *scope, const struct directive *directive,
                const struct statement *statement)
{
    static const char *const words[] = {"two", "least_conn"};
    (void)directive;
    for (size_t i = 0; i < statement->count; i++)
        if (!str_is(statement->args[i].text, words[i]))
            return load_fail(load, &statement->args[i].place, "invalid parameter \"%s\"",
                             statement->args[i].text.at);
    return method_use(load, scope, statement,
                      statement->count == 0 ? CONF_RANDOM : CONF_RANDOM_TWO);
}

bool set_upstream_zone(struct load *load, struct scope *scope, const struct directive *directive,
                       const struct statement *statement)
{
    uint64_t size = 0;
    const struct word *last = &statement->args[statement->count - 1];
    if (statement->count == 2 && (!value_size(last->text, &size) || size == 0))
        return load_fail(load, &last->place, "invalid zone size \"%s\"", last->text.at);
    size_t index;
    if (!load_zone(load, CONF_ZONE_upstream, statement->args[0].text, size,
                   &statement->args[0].place, &index))
        return false;
    scope_set(scope, directive_id(directive), index, (struct conf_str){"", 0});
    return true;
}

/* ---- the block ------------------------------------------------------------------------------- */

static bool upstream_entry(struct load *load, struct scope *scope,
                           const struct statement *statement)
{
    if (str_is(statement->name.text, "server"))
        return server_set(load, scope, statement);
    if (str_is(statement->name.text, "include") && statement->count == 1 && !statement->block)
        return parse_include_as(load, scope, upstream_entry, statement);
    return parse_directive(load, scope, statement);
}

/* Backups behind the others, each in their order. */
static bool upstream_sort(struct load *load, const struct list *list, struct conf_upstream *out)
{
    const struct conf_upstream_server *read = list->items;
    struct conf_upstream_server *servers = load_alloc(load, list->count * sizeof *servers);
    if (servers == NULL)
        return false;
    for (int backups = 0; backups < 2; backups++) {
        for (size_t i = 0; i < list->count; i++)
            if (read[i].backup == (backups != 0))
                servers[out->server_count++] = read[i];
        if (!backups)
            out->primary_count = out->server_count;
    }
    out->servers = servers;
    return true;
}

static bool upstream_check(struct load *load, const struct conf_upstream *upstream,
                           const struct place *place)
{
    uint64_t weight = 0;
    if (upstream->primary_count == 0)
        return load_fail(load, place, "no servers are inside upstream \"%s\"", upstream->name.at);
    bool keyed = upstream->method >= CONF_IP_HASH;
    if (keyed && upstream->primary_count < upstream->server_count)
        return load_fail(load, place,
                         "upstream \"%s\": this method of load balancing knows no \"backup\"",
                         upstream->name.at);
    for (size_t i = 0; i < upstream->server_count; i++)
        weight += upstream->servers[i].weight;
    if (upstream->method == CONF_CONSISTENT && weight > CIRCLE_WEIGHT_MAX)
        return load_fail(load, place,
                         "upstream \"%s\": the weights of a consistent hash add up to %llu, %d is "
                         "the most",
                         upstream->name.at, (unsigned long long)weight, CIRCLE_WEIGHT_MAX);
    return true;
}

static uint64_t upstream_number(const struct scope *scope, enum directive_id id, uint64_t otherwise)
{
    return scope->values[id].set ? scope->values[id].number : otherwise;
}

bool upstream_add(struct load *load, const struct conf_upstream *upstream)
{
    struct conf_upstream *kept = load_alloc(load, sizeof *kept);
    struct conf_upstream **slot = load_add(load, &load->upstreams, sizeof(struct conf_upstream *));
    if (kept == NULL || slot == NULL)
        return false;
    *kept = *upstream;
    kept->index = load->upstreams.count - 1;
    *slot = kept;
    return true;
}

const struct conf_upstream *upstream_find(const struct load *load, struct conf_str name)
{
    struct conf_upstream *const *all = load->upstreams.items;
    for (size_t i = 0; i < load->upstreams.count; i++)
        if (str_equal(all[i]->name, name))
            return all[i];
    return NULL;
}

bool set_upstream(struct load *load, struct scope *scope, const struct directive *directive,
                  const struct statement *statement)
{
    (void)directive;
    const struct word *name = &statement->args[0];
    struct scope *inner = scope_new(load, scope, UPSTREAM, &statement->name.place);
    struct conf_upstream upstream = {.declared = true};
    if (inner == NULL || !load_copy_lower(load, name->text, &upstream.name))
        return false;
    if (upstream_find(load, upstream.name) != NULL)
        return load_fail(load, &name->place, "duplicate upstream \"%s\"", upstream.name.at);
    if (!parse_block(load, inner, upstream_entry, statement) ||
        !upstream_sort(load, &inner->upstream_servers, &upstream))
        return false;
    upstream.method = (enum conf_balance)inner->balance;
    upstream.key = inner->balance_key;
    upstream.keepalive = (uint32_t)upstream_number(inner, D_keepalive, 0);
    upstream.keepalive_requests =
        (uint32_t)upstream_number(inner, D_keepalive_requests, KEEPALIVE_REQUESTS);
    upstream.keepalive_time_ns = upstream_number(inner, D_keepalive_time, KEEPALIVE_TIME_NS);
    upstream.keepalive_timeout_ns =
        upstream_number(inner, D_keepalive_timeout, KEEPALIVE_TIMEOUT_NS);
    upstream.has_zone = inner->values[D_zone].set;
    upstream.zone = inner->values[D_zone].number;
    return upstream_check(load, &upstream, &name->place) && upstream_add(load, &upstream);
}
