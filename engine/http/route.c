/* Choosing a server by name and a location by path. */
#include "engine/http/route.h"

/* How well a server name fits: the order of these is the order of preference. */
enum route_kind { ROUTE_NO, ROUTE_TAIL_WILDCARD, ROUTE_HEAD_WILDCARD, ROUTE_EXACT };

static bool route_ends(struct conf_str text, struct conf_str suffix)
{
    return text.len >= suffix.len &&
           memcmp(text.at + text.len - suffix.len, suffix.at, suffix.len) == 0;
}

static enum route_kind route_match_name(struct conf_str name, struct conf_str host)
{
    if (name.len > 2 && str_starts(name, STR("*."))) {
        struct conf_str suffix = str_make(name.at + 1, name.len - 1);
        return host.len > suffix.len && route_ends(host, suffix) ? ROUTE_HEAD_WILDCARD : ROUTE_NO;
    }
    if (name.len > 1 && name.at[0] == '.') {
        if (str_equal(str_make(name.at + 1, name.len - 1), host))
            return ROUTE_EXACT;
        return host.len > name.len && route_ends(host, name) ? ROUTE_HEAD_WILDCARD : ROUTE_NO;
    }
    if (name.len > 2 && route_ends(name, STR(".*"))) {
        struct conf_str prefix = str_make(name.at, name.len - 1);
        return host.len > prefix.len && str_starts(host, prefix) ? ROUTE_TAIL_WILDCARD : ROUTE_NO;
    }
    return str_equal(name, host) ? ROUTE_EXACT : ROUTE_NO;
}

const struct conf_server *route_server(const struct conf_listen *listen, struct conf_str host)
{
    const struct conf_server *best = listen->default_server;
    enum route_kind best_kind = ROUTE_NO;
    size_t best_len = 0;
    for (size_t i = 0; i < listen->server_count && best_kind != ROUTE_EXACT; i++) {
        const struct conf_server *server = listen->servers[i];
        for (size_t j = 0; j < server->name_count; j++) {
            enum route_kind kind = route_match_name(server->names[j], host);
            size_t len = server->names[j].len;
            if (kind > best_kind || (kind != ROUTE_NO && kind == best_kind && len > best_len)) {
                best = server;
                best_kind = kind;
                best_len = len;
            }
        }
    }
    return best;
}

const struct conf_location *route_location(const struct conf_server *server, struct conf_str path)
{
    /* Exact locations come first and prefixes longest first, so the first that fits is the one;
     * LOCATION_PREFIX_FINAL differs only where regular expressions could still take over. */
    for (size_t i = 0; i < server->location_count; i++) {
        const struct conf_location *location = &server->locations[i];
        bool fits = location->match == LOCATION_EXACT ? str_equal(path, location->path)
                                                      : str_starts(path, location->path);
        if (fits)
            return location;
    }
    return server->fallback;
}
