/* Setters of who may ask: allow, deny, limit_except, and whose word for a client's address counts.
 */
#include "engine/conf/load.h"

#include <arpa/inet.h>
#include <string.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"

/* ADDRESS[/BITS]; false: it is not one. */
static bool network_parse(struct conf_str text, struct conf_network *network)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = memchr(text.at, '/', text.len);
    size_t len = slash == NULL ? text.len : (size_t)(slash - text.at);
    if (len >= sizeof address)
        return false;
    memcpy(address, text.at, len);
    address[len] = '\0';
    if (inet_pton(AF_INET, address, network->address) == 1)
        network->family = AF_INET;
    else if (inet_pton(AF_INET6, address, network->address) == 1)
        network->family = AF_INET6;
    else
        return false;
    uint64_t bits = network->family == AF_INET ? 32 : 128, most = bits;
    if (slash != NULL &&
        (!value_number((struct conf_str){slash + 1, text.len - len - 1}, &bits) || bits > most))
        return false;
    network->bits = (unsigned)bits;
    return true;
}

static bool network_read(struct load *load, const struct word *word, bool all_allowed,
                         struct conf_network *network)
{
    if (str_is(word->text, "unix:")) {
        network->family = AF_UNIX;
        return true;
    }
    if (all_allowed && str_is(word->text, "all")) {
        network->family = AF_UNSPEC;
        return true;
    }
    return network_parse(word->text, network) ||
           load_fail(load, &word->place,
                     "invalid parameter \"%s\", an address, ADDRESS/BITS%s or unix: is expected",
                     word->text.at, all_allowed ? ", all" : "");
}

bool set_access(struct load *load, struct scope *scope, const struct directive *directive,
                const struct statement *statement)
{
    struct conf_access *rule = load_add(load, &scope->access, sizeof *rule);
    if (rule == NULL)
        return false;
    rule->allow = directive_id(directive) == D_allow;
    return network_read(load, &statement->args[0], true, &rule->network);
}

bool set_real_ip_from(struct load *load, struct scope *scope, const struct directive *directive,
                      const struct statement *statement)
{
    (void)directive;
    struct conf_network *network = load_add(load, &scope->proxies, sizeof *network);
    return network != NULL && network_read(load, &statement->args[0], false, network);
}

bool set_real_ip_header(struct load *load, struct scope *scope, const struct directive *directive,
                        const struct statement *statement)
{
    struct conf_str name;
    if (!load_copy_lower(load, statement->args[0].text, &name))
        return false;
    scope_set(scope, directive_id(directive), str_is(name, "proxy_protocol"), name);
    return true;
}

/* ---- limit_except ---------------------------------------------------------------------------- */

static bool except_method(struct load *load, struct scope *scope, const struct word *word)
{
    static const char *const known[] = {"GET",     "HEAD",     "POST",      "PUT",  "DELETE",
                                        "MKCOL",   "COPY",     "MOVE",      "LOCK", "UNLOCK",
                                        "OPTIONS", "PROPFIND", "PROPPATCH", "PATCH"};
    char upper[16] = "";
    for (size_t i = 0; i < word->text.len && i + 1 < sizeof upper; i++) {
        char c = word->text.at[i];
        upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    size_t i = 0, count = sizeof known / sizeof known[0];
    while (i < count && strcmp(known[i], upper) != 0)
        i++;
    if (i == count || strlen(known[i]) != word->text.len)
        return load_fail(load, &word->place, "invalid method \"%s\"", word->text.at);
    struct conf_str *slot = load_add(load, &scope->except_methods, sizeof *slot);
    if (slot != NULL)
        *slot = (struct conf_str){known[i], strlen(known[i])};
    return slot != NULL;
}

bool set_limit_except(struct load *load, struct scope *scope, const struct directive *directive,
                      const struct statement *statement)
{
    (void)directive;
    struct scope *inner = scope_new(load, scope, LIMIT_EXCEPT, &statement->name.place);
    if (inner == NULL)
        return false;
    inner->match = LOCATION_PART;
    inner->path = scope->path;
    for (size_t i = 0; i < statement->count; i++)
        if (!except_method(load, scope, &statement->args[i]))
            return false;
    return parse_block(load, inner, parse_directive, statement) &&
           scope_add_part(load, scope, inner, PART_EXCEPT);
}
