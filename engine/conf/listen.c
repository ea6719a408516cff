/* The `listen` directive: addresses, their options, and which servers answer on each. */
#include "engine/conf/load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"

#define LISTEN_BACKLOG 511
#define LISTEN_PORT 80
#define LISTEN_PORT_UNPRIVILEGED 8000

/* What one directive asks for; its port may stand for a range. */
struct listen_wish {
    struct conf_listen listen;
    unsigned port_low, port_high;
    bool default_server, options_set;
};

/* ---- addresses ------------------------------------------------------------------------------- */

static bool address_bad(struct load *load, const struct word *word, const char *what)
{
    return load_fail(load, &word->place, "%s in \"%s\" of the \"listen\" directive", what,
                     word->text.at);
}

static bool port_parse(struct conf_str text, unsigned *port)
{
    uint64_t value;
    if (!value_number(text, &value) || value < 1 || value > 65535)
        return false;
    *port = (unsigned)value;
    return true;
}

static bool ports_parse(struct conf_str text, struct listen_wish *wish)
{
    const char *dash = memchr(text.at, '-', text.len);
    if (dash == NULL) {
        bool good = port_parse(text, &wish->port_low);
        wish->port_high = wish->port_low;
        return good;
    }
    struct conf_str low = {text.at, (size_t)(dash - text.at)};
    struct conf_str high = {dash + 1, text.len - low.len - 1};
    return port_parse(low, &wish->port_low) && port_parse(high, &wish->port_high) &&
           wish->port_low <= wish->port_high;
}

/* Names are not looked up: a reload must not wait for a name server. */
static bool host_parse(struct conf_str host, struct listen_wish *wish)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&wish->listen.addr;
    char text[INET6_ADDRSTRLEN];
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.at, host.len);
    text[host.len] = '\0';
    v4->sin_family = AF_INET;
    wish->listen.addr_len = sizeof *v4;
    if (str_is(host, "*"))
        return true;
    if (str_is(host, "localhost")) {
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return true;
    }
    return inet_pton(AF_INET, text, &v4->sin_addr) == 1;
}

static bool host6_parse(struct conf_str host, struct listen_wish *wish)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&wish->listen.addr;
    char text[INET6_ADDRSTRLEN];
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.at, host.len);
    text[host.len] = '\0';
    v6->sin6_family = AF_INET6;
    wish->listen.addr_len = sizeof *v6;
    wish->listen.ipv6only = true;
    return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

static bool address6_parse(struct load *load, const struct word *word, struct listen_wish *wish)
{
    const char *close = memchr(word->text.at, ']', word->text.len);
    if (close == NULL)
        return address_bad(load, word, "invalid host");
    struct conf_str host = {word->text.at + 1, (size_t)(close - word->text.at) - 1};
    struct conf_str port = {close + 2, word->text.len - host.len - 3};
    if (!host6_parse(host, wish))
        return address_bad(load, word, "invalid IPv6 address");
    if (close[1] == '\0')
        return true;
    if (close[1] != ':' || !ports_parse(port, wish))
        return address_bad(load, word, "invalid port");
    return true;
}

static bool address4_parse(struct load *load, const struct word *word, struct listen_wish *wish)
{
    struct conf_str text = word->text;
    const char *colon = memchr(text.at, ':', text.len);
    struct conf_str host = {text.at, colon != NULL ? (size_t)(colon - text.at) : text.len};
    bool only_port = colon == NULL && strspn(text.at, "0123456789-") == text.len;
    if (text.len == 0 || host.len == 0)
        return address_bad(load, word, "no host");
    if (only_port)
        host = (struct conf_str){"*", 1};
    if (!host_parse(host, wish))
        return address_bad(load, word, "invalid host (an address or \"localhost\" is expected)");
    struct conf_str port = only_port ? text : (struct conf_str){host.at + host.len + 1, 0};
    if (colon != NULL)
        port.len = text.len - host.len - 1;
    if ((only_port || colon != NULL) && !ports_parse(port, wish))
        return address_bad(load, word, "invalid port");
    return true;
}

static bool address_unix_parse(struct load *load, const struct word *word, struct listen_wish *wish)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&wish->listen.addr;
    struct conf_str name = {word->text.at + 5, word->text.len - 5}, path;
    if (name.len == 0)
        return address_bad(load, word, "no path");
    if (!load_path(load, load->conf->prefix, name, &path))
        return false;
    if (path.len >= sizeof un->sun_path)
        return address_bad(load, word, "too long path");
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.at, path.len + 1);
    wish->listen.addr_len = sizeof *un;
    wish->port_low = wish->port_high = 0;
    return true;
}

static bool address_parse(struct load *load, const struct word *word, struct listen_wish *wish)
{
    wish->port_low = wish->port_high = LISTEN_PORT;
    if (str_begins(word->text, "unix:"))
        return address_unix_parse(load, word, wish);
    if (str_begins(word->text, "["))
        return address6_parse(load, word, wish);
    return address4_parse(load, word, wish);
}

/* ---- options --------------------------------------------------------------------------------- */

static bool option_bad(struct load *load, const struct word *word, const char *name)
{
    return load_fail(load, &word->place, "invalid %s \"%s\" of the \"listen\" directive", name,
                     word->text.at);
}

static bool option_int(struct load *load, const struct word *word, struct conf_str value, bool size,
                       const char *name, int *out)
{
    uint64_t number;
    bool good = size ? value_size(value, &number) : value_number(value, &number);
    if (!good || number < 1 || number > INT32_MAX)
        return option_bad(load, word, name);
    *out = (int)number;
    return true;
}

static bool option_flag(struct load *load, const struct word *word, struct conf_str value,
                        const char *name, bool *out)
{
    return value_flag(value, out) ||
           load_fail(load, &word->place,
                     "invalid %s \"%s\" of the \"listen\" directive, it must be \"on\" or \"off\"",
                     name, word->text.at);
}

/* Seconds, or empty. */
static bool keepalive_time(struct conf_str text, int *out_s)
{
    uint64_t ns = 0;
    if (text.len > 0 && !value_time(text, &ns))
        return false;
    *out_s = (int)(ns / 1000000000);
    return text.len == 0 || (ns >= 1000000000 && ns / 1000000000 <= INT16_MAX);
}

/* on, off, or IDLE:INTERVAL:COUNT, of which any may be left out. */
static bool option_keepalive(struct load *load, const struct word *word, struct conf_str value,
                             struct conf_listen *listen)
{
    if (value_flag(value, &listen->so_keepalive))
        return true;
    struct conf_str parts[3] = {{NULL, 0}};
    const char *at = value.at, *end = value.at + value.len;
    size_t count = 0;
    for (; count < 3 && at <= end; count++) {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        const char *stop = colon != NULL && count < 2 ? colon : end;
        parts[count] = (struct conf_str){at, (size_t)(stop - at)};
        at = stop + 1;
    }
    uint64_t probes = 0;
    listen->so_keepalive = true;
    bool good = count == 3 && value.len > 2 &&
                keepalive_time(parts[0], &listen->keepalive_idle_s) &&
                keepalive_time(parts[1], &listen->keepalive_interval_s) &&
                (parts[2].len == 0 ||
                 (value_number(parts[2], &probes) && probes >= 1 && probes <= INT8_MAX));
    listen->keepalive_count = (int)probes;
    return good ||
           load_fail(load, &word->place,
                     "invalid so_keepalive \"%s\" of the \"listen\" directive, it must be \"on\", "
                     "\"off\" or IDLE:INTERVAL:COUNT, such as 30m::10",
                     word->text.at);
}

/* Options with a value. *known stays false where the name is none of them. */
static bool option_value(struct load *load, const struct word *word, struct listen_wish *wish,
                         bool *known)
{
    struct conf_listen *listen = &wish->listen;
    const char *equals = memchr(word->text.at, '=', word->text.len);
    if (equals == NULL)
        return true;
    struct conf_str value = {equals + 1, word->text.len - (size_t)(equals + 1 - word->text.at)};
    *known = true;
    if (str_begins(word->text, "backlog="))
        return option_int(load, word, value, false, "backlog", &listen->backlog);
    if (str_begins(word->text, "fastopen="))
        return option_int(load, word, value, false, "fastopen", &listen->fastopen);
    if (str_begins(word->text, "rcvbuf="))
        return option_int(load, word, value, true, "rcvbuf", &listen->rcvbuf);
    if (str_begins(word->text, "sndbuf="))
        return option_int(load, word, value, true, "sndbuf", &listen->sndbuf);
    if (str_begins(word->text, "so_keepalive="))
        return option_keepalive(load, word, value, listen);
    if (str_begins(word->text, "ipv6only=")) {
        if (listen->addr.ss_family != AF_INET6)
            return load_fail(load, &word->place,
                             "ipv6only is not supported on addr \"%s\" of the \"listen\" directive",
                             listen->text.at);
        return option_flag(load, word, value, "ipv6only", &listen->ipv6only);
    }
    *known = false;
    return true;
}

static bool option_unsupported(struct conf_str option)
{
    static const char *const names[] = {"http2", "quic", "multipath"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (str_is(option, names[i]))
            return true;
    }
    return str_begins(option, "setfib=") || str_begins(option, "accept_filter=");
}

static bool option_parse(struct load *load, const struct word *word, struct listen_wish *wish)
{
    bool known = false;
    if (str_is(word->text, "default_server") || str_is(word->text, "default")) {
        wish->default_server = true;
        return true;
    }
    if (option_unsupported(word->text))
        return load_fail(load, &word->place,
                         "the \"%s\" parameter of the \"listen\" directive is not supported by "
                         "this build",
                         word->text.at);
    if (str_is(word->text, "ssl"))
        return wish->listen.ssl = true;
    if (str_is(word->text, "proxy_protocol"))
        return wish->listen.proxy_protocol = true;
    wish->options_set = true;
    if (str_is(word->text, "bind"))
        return true; /* every address has a socket of its own anyway */
    if (str_is(word->text, "deferred"))
        return wish->listen.deferred = true;
    if (str_is(word->text, "reuseport"))
        return wish->listen.reuseport = true;
    if (!option_value(load, word, wish, &known))
        return false;
    return known ||
           load_fail(load, &word->place, "invalid parameter \"%s\" of the \"listen\" directive",
                     word->text.at);
}

/* ---- the addresses of all servers ------------------------------------------------------------ */

static in_port_t *listen_port(struct conf_listen *listen)
{
    if (listen->addr.ss_family == AF_INET)
        return &((struct sockaddr_in *)&listen->addr)->sin_port;
    return &((struct sockaddr_in6 *)&listen->addr)->sin6_port;
}

static bool listen_name(struct load *load, struct conf_listen *listen)
{
    char host[INET6_ADDRSTRLEN] = "", text[sizeof(struct sockaddr_un) + 8];
    if (listen->addr.ss_family == AF_UNIX) {
        snprintf(text, sizeof text, "unix:%s", ((struct sockaddr_un *)&listen->addr)->sun_path);
    } else {
        bool v6 = listen->addr.ss_family == AF_INET6;
        const void *addr = v6 ? (const void *)&((struct sockaddr_in6 *)&listen->addr)->sin6_addr
                              : (const void *)&((struct sockaddr_in *)&listen->addr)->sin_addr;
        inet_ntop(listen->addr.ss_family, addr, host, sizeof host);
        snprintf(text, sizeof text, v6 ? "[%s]:%u" : "%s:%u", host, ntohs(*listen_port(listen)));
    }
    return load_copy(load, text, strlen(text), &listen->text);
}

static struct listener *listener_find(const struct load *load, struct conf_str text)
{
    struct listener **listeners = load->listeners.items;
    for (size_t i = 0; i < load->listeners.count; i++) {
        if (str_equal(listeners[i]->listen.text, text))
            return listeners[i];
    }
    return NULL;
}

static struct listener *listener_new(struct load *load, const struct listen_wish *wish,
                                     const struct place *place)
{
    if (load->listeners.count == CONF_LISTENS_MAX) {
        load_fail(load, place, "more than %d addresses to listen on", CONF_LISTENS_MAX);
        return NULL;
    }
    struct listener **slot = load_add(load, &load->listeners, sizeof *slot);
    struct listener *listener = load_scratch(load, sizeof *listener);
    if (slot == NULL || listener == NULL)
        return NULL;
    *listener = (struct listener){.listen = wish->listen, .place = *place};
    *slot = listener;
    return listener;
}

/* Of several servers on an address one may give options, and one may be the default. */
static bool listener_join(struct load *load, struct listener *listener, struct scope *server,
                          const struct listen_wish *wish, const struct place *place)
{
    struct conf_str text = listener->listen.text;
    struct scope *const *servers = listener->servers.items;
    for (size_t i = 0; i < listener->servers.count; i++) {
        if (servers[i] == server)
            return load_fail(load, place, "a duplicate listen %s", text.at);
    }
    if (wish->options_set && listener->options_set)
        return load_fail(load, place, "duplicate listen options for %s", text.at);
    if (wish->default_server && listener->default_server != NULL)
        return load_fail(load, place, "a duplicate default server for %s", text.at);
    /* What is spoken on an address may be said by any of them. */
    bool ssl = listener->listen.ssl || wish->listen.ssl;
    bool proxy_protocol = listener->listen.proxy_protocol || wish->listen.proxy_protocol;
    if (wish->options_set) {
        listener->listen = wish->listen;
        listener->listen.text = text;
        listener->options_set = true;
    }
    listener->listen.ssl = ssl;
    listener->listen.proxy_protocol = proxy_protocol;
    if (wish->default_server)
        listener->default_server = server;
    struct scope **slot = load_add(load, &listener->servers, sizeof(struct scope *));
    if (slot != NULL)
        *slot = server;
    return slot != NULL;
}

static bool listen_add(struct load *load, struct scope *server, struct listen_wish *wish,
                       const struct place *place)
{
    server->has_listen = true;
    for (unsigned port = wish->port_low; port <= wish->port_high; port++) {
        if (wish->listen.addr.ss_family != AF_UNIX)
            *listen_port(&wish->listen) = htons((in_port_t)port);
        if (!listen_name(load, &wish->listen))
            return false;
        struct listener *listener = listener_find(load, wish->listen.text);
        if (listener == NULL)
            listener = listener_new(load, wish, place);
        if (listener == NULL || !listener_join(load, listener, server, wish, place))
            return false;
    }
    return true;
}

bool listen_default(struct load *load, struct scope *server)
{
    struct listen_wish wish = {.listen.backlog = LISTEN_BACKLOG};
    host_parse((struct conf_str){"*", 1}, &wish);
    wish.port_low = geteuid() == 0 ? LISTEN_PORT : LISTEN_PORT_UNPRIVILEGED;
    wish.port_high = wish.port_low;
    return listen_add(load, server, &wish, &server->place);
}

bool set_listen(struct load *load, struct scope *scope, const struct directive *directive,
                const struct statement *statement)
{
    (void)directive;
    struct listen_wish wish = {.listen.backlog = LISTEN_BACKLOG};
    const struct word *address = &statement->args[0];
    if (!address_parse(load, address, &wish))
        return false;
    wish.listen.text = address->text;
    for (size_t i = 1; i < statement->count; i++) {
        if (!option_parse(load, &statement->args[i], &wish))
            return false;
    }
    return listen_add(load, scope, &wish, &address->place);
}

/* ---- conflicts ------------------------------------------------------------------------------- */

/* `wild` is a wildcard that takes the other's address as well. */
static bool listen_covers(const struct conf_listen *wild, const struct conf_listen *other)
{
    struct conf_listen a = *wild, b = *other;
    if (a.addr.ss_family == AF_UNIX || b.addr.ss_family == AF_UNIX ||
        *listen_port(&a) != *listen_port(&b))
        return false;
    if (a.addr.ss_family == AF_INET)
        return ((struct sockaddr_in *)&a.addr)->sin_addr.s_addr == INADDR_ANY &&
               b.addr.ss_family == AF_INET;
    bool any6 = IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&a.addr)->sin6_addr);
    return any6 && (b.addr.ss_family == AF_INET6 || !a.ipv6only);
}

bool listen_check_conflicts(struct load *load)
{
    struct listener **all = load->listeners.items;
    for (size_t i = 0; i < load->listeners.count; i++) {
        for (size_t j = 0; j < load->listeners.count; j++) {
            if (i != j && listen_covers(&all[i]->listen, &all[j]->listen))
                return load_fail(load, &all[j]->place,
                                 "cannot listen on %s beside %s: this build has one socket for "
                                 "each address, use either",
                                 all[j]->listen.text.at, all[i]->listen.text.at);
        }
    }
    return true;
}
