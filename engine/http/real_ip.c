/* Behind a proxy the client's address is what a trusted proxy says it is. */
#include "engine/http/network.h"
#include "engine/http/phases.h"

/* The last address of a list, which is cut off *list. */
static struct conf_str real_ip_last(struct conf_str *list)
{
    size_t end = list->len;
    while (end > 0 && (list->at[end - 1] == ' ' || list->at[end - 1] == ','))
        end--;
    size_t begin = end;
    while (begin > 0 && list->at[begin - 1] != ' ' && list->at[begin - 1] != ',')
        begin--;
    struct conf_str last = str_make(list->at + begin, end - begin);
    list->len = begin;
    return last;
}

static bool real_ip_trusts(const struct exchange *x, const union http_address *address)
{
    return network_any_has(x->location->proxies, x->location->proxy_count, address);
}

/* Goes through one header from its end, as long as what it says is said by someone trusted. */
static void real_ip_walk(struct exchange *x, struct conf_str list, union http_address *address,
                         bool *found)
{
    union http_address next;
    while (list.len > 0 && real_ip_trusts(x, address)) {
        if (!network_parse_address(real_ip_last(&list), &next))
            return;
        *address = next;
        *found = true;
        if (!x->location->real_ip_recursive)
            return;
    }
}

static bool real_ip_from_headers(struct exchange *x, union http_address *address)
{
    struct conf_str name = x->location->real_ip_header;
    bool found = false;
    for (unsigned i = x->head.header_count; i > 0; i--) {
        const struct http1_header *header = &x->headers[i - 1];
        struct conf_str sent = str_make(x->buf + header->name_at, header->name_len);
        if (!str_equal_nocase(sent, name))
            continue;
        real_ip_walk(x, exchange_span(x, header->value), address, &found);
        if (found && !x->location->real_ip_recursive)
            break;
    }
    return found;
}

static enum phase_result real_ip_find(struct exchange *x)
{
    if (x->peer != &x->client->peer || !real_ip_trusts(x, x->peer))
        return PHASE_NEXT;
    union http_address address = *x->peer;
    bool found = x->location->real_ip_header.len > 0 && real_ip_from_headers(x, &address);
    if (x->location->real_ip_header.len == 0 && x->client->proxied != NULL &&
        x->client->proxied->known) {
        address = x->client->proxied->source;
        found = true;
    }
    union http_address *kept = found ? pool_take(&x->pool, sizeof *kept) : NULL;
    if (kept == NULL)
        return PHASE_NEXT;
    *kept = address;
    x->peer = kept;
    return PHASE_NEXT;
}

enum phase_result phase_real_ip(struct exchange *x)
{
    return real_ip_find(x);
}

enum phase_result phase_location_real_ip(struct exchange *x)
{
    return real_ip_find(x);
}
