/* Where a request is passed to: the group of servers, and the URI they are asked for. */
#include "engine/conf/address.h"
#include "engine/http/talk.h"
#include "engine/http/variables.h"
#include "engine/os/log.h"

/* ---- the URI --------------------------------------------------------------------------------- */

/* Characters that a decoded path may hold and a URI may not. */
static bool must_escape(unsigned char c)
{
    return c <= ' ' || c >= 0x7f || c == '%' || c == '?' || c == '#';
}

static void add_escaped(struct builder *to, struct conf_str text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (!must_escape(c))
            continue;
        builder_add(to, str_make(text.at + from, i - from));
        const char escape[3] = {'%', hex[c >> 4], hex[c & 15]};
        builder_add(to, str_make(escape, sizeof escape));
        from = i + 1;
    }
    builder_add(to, str_make(text.at + from, text.len - from));
}

/* Does the target, as the client sent it, still say what is asked for? */
static bool is_as_sent(const struct exchange *x)
{
    if (x->head.path.len == 0)
        return false;
    /* A named location, too, asks for what the client did. */
    return !x->internal ||
           (x->path.at == x->buf + x->head.path.at && x->args.at == x->buf + x->head.query.at);
}

static struct conf_str uri_as_sent(const struct exchange *x)
{
    uint32_t end = x->head.target.at + x->head.target.len;
    return str_make(x->buf + x->head.path.at, end - x->head.path.at);
}

/* The path from `skip` on behind `prefix`, and the arguments. */
static struct conf_str uri_join(struct exchange *x, struct conf_str prefix, size_t skip)
{
    struct builder uri;
    builder_start(&uri, &x->pool, prefix.len + x->path.len + x->args.len + 16);
    builder_add(&uri, prefix);
    struct conf_str rest = str_make(x->path.at + skip, x->path.len - skip);
    if ((x->head.flags & HTTP1_HAS_ESCAPE) || x->internal)
        add_escaped(&uri, rest);
    else
        builder_add(&uri, rest);
    if (x->args.len > 0) {
        builder_add_char(&uri, '?');
        builder_add(&uri, x->args);
    }
    return builder_end(&uri);
}

static struct conf_str uri_of(struct talk *talk)
{
    struct exchange *x = talk->x;
    const struct conf_proxy *conf = talk->conf;
    if (conf->has_uri) {
        size_t skip = x->fits_location ? conf->location_len : 0;
        return uri_join(x, conf->uri, skip < x->path.len ? skip : x->path.len);
    }
    return is_as_sent(x) ? uri_as_sent(x) : uri_join(x, STR(""), 0);
}

/* ---- variables in proxy_pass ----------------------------------------------------------------- */

/* A group of one server that exists for this request only. */
struct passing {
    struct peers peers;
    struct conf_upstream conf;
    struct conf_upstream_server server;
    struct balance_server balance_server;
    struct balance_state balance_state;
    char text[ADDRESS_TEXT_MAX];
};

static struct peers *passing_peers(struct exchange *x, struct conf_str name,
                                   const struct address *address)
{
    struct passing *p = pool_take(&x->pool, sizeof *p);
    if (p == NULL)
        return NULL;
    memset(p, 0, sizeof *p);
    size_t len = address_print(address, p->text);
    memcpy(&p->server.addr, &address->to, address->len);
    p->server.addr_len = address->len;
    p->server.text = str_make(p->text, len);
    p->server.name = name;
    p->conf = (struct conf_upstream){
        .name = name, .servers = &p->server, .server_count = 1, .primary_count = 1};
    p->balance_server = (struct balance_server){.weight = 1};
    p->peers = (struct peers){.conf = &p->conf, .available = 1, .random = 1};
    p->peers.group = (struct balance_group){.servers = &p->balance_server,
                                            .states = &p->balance_state,
                                            .count = 1,
                                            .primaries = 1,
                                            .random = &p->peers.random};
    balance_init(&p->peers.group);
    return &p->peers;
}

static struct conf_str lowered(struct exchange *x, struct conf_str text)
{
    char *lower = pool_take(&x->pool, text.len + 1);
    for (size_t i = 0; lower != NULL && i < text.len; i++)
        lower[i] = str_lower(text.at[i]);
    return str_make(lower, lower != NULL ? text.len : 0);
}

/* Splits what follows the scheme in address and URI. */
static struct conf_str cut_address(struct conf_str *rest)
{
    bool local = str_starts(*rest, STR("unix:"));
    size_t end = local ? 5 : 0;
    while (end < rest->len && rest->at[end] != (local ? ':' : '/') &&
           (local || rest->at[end] != '?'))
        end++;
    struct conf_str address = str_make(rest->at, end);
    end += local && end < rest->len;
    *rest = str_make(rest->at + end, rest->len - end);
    return address;
}

static int find_evaluated(struct talk *talk)
{
    struct exchange *x = talk->x;
    struct conf_str url = variable_expand(x, &talk->conf->pass);
    talk->tls = str_starts(url, STR("https://"));
    size_t skip = talk->tls ? 8 : 7;
    if (!talk->tls && !str_starts(url, STR("http://"))) {
        exchange_log(x, LEVEL_ERR, "invalid URL prefix in \"%.*s\"", (int)url.len, url.at);
        return 500;
    }
    struct conf_str rest = str_make(url.at + skip, url.len - skip);
    struct conf_str name = cut_address(&rest);
    struct address_parts parts;
    struct address address;
    const char *wrong = address_split(name, talk->tls ? 443 : 80, &parts);
    if (wrong != NULL) {
        exchange_log(x, LEVEL_ERR, "%s in upstream \"%.*s\"", wrong, (int)name.len, name.at);
        return 500;
    }
    talk->host = parts.unix_path ? STR("localhost") : name;
    talk->port = parts.port.len > 0 ? parts.port : talk->tls ? STR("443") : STR("80");
    struct conf_str lower = lowered(x, name);
    talk->peers = lower.at != NULL ? upstreams_find(x->site->upstreams, lower) : NULL;
    if (talk->peers == NULL && address_numeric(&parts, &address))
        talk->peers = passing_peers(x, name, &address);
    if (talk->peers == NULL) {
        exchange_log(x, LEVEL_ERR, "no resolver defined to resolve %.*s", (int)parts.host.len,
                     parts.host.at);
        return 502;
    }
    talk->uri = rest.len > 0 ? rest : uri_of(talk);
    if (talk->uri.len > 0 && talk->uri.at[0] == '?') {
        struct builder uri;
        builder_start(&uri, &x->pool, rest.len + 2);
        builder_add_char(&uri, '/');
        builder_add(&uri, rest);
        talk->uri = builder_end(&uri);
    }
    return 0;
}

int talk_find_target(struct talk *talk)
{
    const struct conf_proxy *conf = talk->conf;
    if (conf->upstream == NULL)
        return find_evaluated(talk);
    talk->peers = upstreams_of(talk->x->site->upstreams, conf->upstream);
    talk->tls = conf->tls;
    talk->host = conf->host;
    talk->port = conf->port;
    talk->uri = uri_of(talk);
    return talk->uri.at != NULL ? 0 : 500;
}
