/* Choosing a server by name and a location by path. */
#include "engine/http/route.h"

#include "engine/http/regex.h"

static int route_compare(struct conf_str a, struct conf_str b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* The first of equal names. */
static const struct conf_server *route_exact(const struct conf_listen *listen, struct conf_str host)
{
    size_t low = 0, high = listen->exact_name_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (route_compare(listen->names[middle].name, host) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < listen->exact_name_count && str_equal(listen->names[low].name, host);
    return found ? listen->names[low].server : NULL;
}

/* How well a wildcard fits: the order of these is the order of preference. */
enum route_kind { ROUTE_NO, ROUTE_TAIL_WILDCARD, ROUTE_HEAD_WILDCARD };

static bool route_ends(struct conf_str text, struct conf_str suffix)
{
    return text.len > suffix.len &&
           memcmp(text.at + text.len - suffix.len, suffix.at, suffix.len) == 0;
}

static enum route_kind route_match_name(struct conf_str name, struct conf_str host)
{
    size_t star = name.len > 2 && name.at[0] == '*';
    if (name.len > 1 && name.at[star] == '.')
        return route_ends(host, str_make(name.at + star, name.len - star)) ? ROUTE_HEAD_WILDCARD
                                                                           : ROUTE_NO;
    if (name.len > 2 && name.at[name.len - 1] == '*') {
        struct conf_str prefix = str_make(name.at, name.len - 1);
        return host.len > prefix.len && str_starts(host, prefix) ? ROUTE_TAIL_WILDCARD : ROUTE_NO;
    }
    return ROUTE_NO;
}

static const struct conf_server *route_wildcard(const struct conf_listen *listen,
                                                struct conf_str host)
{
    const struct conf_server *best = NULL;
    enum route_kind best_kind = ROUTE_NO;
    size_t best_len = 0;
    for (size_t i = 0; i < listen->server_count; i++) {
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

const struct conf_server *route_server(const struct conf_listen *listen, struct conf_str host)
{
    const struct conf_server *exact = route_exact(listen, host);
    if (exact != NULL || !listen->has_wildcard_names)
        return exact;
    return route_wildcard(listen, host);
}

/* x NULL: there is no request yet. */
static const struct conf_server *route_regex(struct exchange *x, const struct conf_listen *listen,
                                             struct conf_str host)
{
    for (size_t i = 0; i < listen->server_count; i++) {
        const struct conf_server *server = listen->servers[i];
        for (size_t j = 0; j < server->name_regex_count; j++) {
            const struct conf_regex *regex = server->name_regexes[j];
            if (x != NULL ? regex_match(x, regex, host) == REGEX_YES : regex_fits(regex, host))
                return server;
        }
    }
    return NULL;
}

const struct conf_server *route_early(const struct conf_listen *listen, struct conf_str host)
{
    const struct conf_server *server = route_server(listen, host);
    return server == NULL && listen->has_regex_names ? route_regex(NULL, listen, host) : server;
}

const struct conf_server *route_request(struct exchange *x)
{
    const struct conf_listen *listen = x->client->listen;
    const struct conf_server *server = NULL;
    if (listen->server_count > 1)
        server = route_server(listen, x->host);
    if (server == NULL && listen->has_regex_names && x->host.len > 0)
        server = route_regex(x, listen, x->host);
    return server != NULL ? server : listen->default_server;
}

/* ---- locations ------------------------------------------------------------------------------- */

/* The last of the sorted locations that is not greater than the path. */
static const struct conf_location *route_not_greater(const struct conf_location *const *sorted,
                                                     size_t count, struct conf_str path)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (route_compare(sorted[middle]->path, path) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? sorted[low - 1] : NULL;
}

/* The longest prefix stands right before the path, or is a prefix of what stands there. */
static const struct conf_location *route_prefix(const struct conf_locations *level,
                                                struct conf_str path)
{
    const struct conf_location *found =
        route_not_greater(level->prefixes, level->prefix_count, path);
    while (found != NULL && !str_starts(path, found->path))
        found = found->shorter;
    return found;
}

enum route_end { ROUTE_NOTHING, ROUTE_PREFIX, ROUTE_FINAL, ROUTE_FAILED };

static enum route_end route_level(struct exchange *x, const struct conf_locations *level);

static enum route_end route_level_regex(struct exchange *x, const struct conf_locations *level)
{
    for (size_t i = 0; i < level->regex_count; i++) {
        const struct conf_location *location = level->regexes[i];
        switch (regex_match(x, location->regex, x->path)) {
        case REGEX_NO:
            continue;
        case REGEX_FAILED:
            return ROUTE_FAILED;
        case REGEX_YES:
            x->location = location;
            return route_level(x, &location->inner) == ROUTE_FAILED ? ROUTE_FAILED : ROUTE_FINAL;
        }
    }
    return ROUTE_NOTHING;
}

/* Is there a location for this path and a slash, which says that it is to be redirected there? */
static bool route_adds_slash(struct exchange *x, const struct conf_locations *level)
{
    char *room = pool_take(&x->pool, x->path.len + 1);
    if (room == NULL)
        return false;
    memcpy(room, x->path.at, x->path.len);
    room[x->path.len] = '/';
    struct conf_str path = str_make(room, x->path.len + 1);
    const struct conf_location *const found[] = {
        route_not_greater(level->exact, level->exact_count, path),
        route_not_greater(level->prefixes, level->prefix_count, path),
    };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        if (found[i] == NULL || !found[i]->adds_slash || !str_equal(found[i]->path, path))
            continue;
        x->location = found[i];
        x->lacks_slash = true;
        return true;
    }
    return false;
}

/* nginx's algorithm: an exact location ends the search. Otherwise the longest prefix is remembered
 * and its own locations are looked at; then the regular expressions of the level decide, unless
 * the prefix forbids it. */
static enum route_end route_level(struct exchange *x, const struct conf_locations *level)
{
    if (level->exact_count + level->prefix_count + level->regex_count == 0)
        return ROUTE_NOTHING; /* as in most locations */
    const struct conf_location *exact =
        route_not_greater(level->exact, level->exact_count, x->path);
    if (exact != NULL && str_equal(exact->path, x->path)) {
        x->location = exact;
        return ROUTE_FINAL;
    }
    const struct conf_location *prefix = route_prefix(level, x->path);
    bool whole = prefix != NULL && prefix->path.len == x->path.len;
    if (level->adds_slash && !whole && route_adds_slash(x, level))
        return ROUTE_FINAL;
    enum route_end end = ROUTE_NOTHING;
    if (prefix != NULL) {
        x->location = prefix;
        end = route_level(x, &prefix->inner);
        if (end == ROUTE_FINAL || end == ROUTE_FAILED)
            return end;
        end = ROUTE_PREFIX;
    }
    if (level->regex_count == 0 || (prefix != NULL && prefix->match == LOCATION_PREFIX_FINAL))
        return end;
    enum route_end regex = route_level_regex(x, level);
    return regex == ROUTE_NOTHING ? end : regex;
}

const struct conf_location *route_location(struct exchange *x)
{
    x->location = x->server->fallback;
    return route_level(x, &x->server->locations) == ROUTE_FAILED ? NULL : x->location;
}

const struct conf_location *route_named(const struct conf_server *server, struct conf_str name)
{
    for (size_t i = 0; i < server->named_count; i++)
        if (str_equal(server->named[i]->path, name))
            return server->named[i];
    return NULL;
}
