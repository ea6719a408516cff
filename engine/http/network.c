/* Addresses and networks of them. An IPv4 address that came over an IPv6 socket is one. */
#include "engine/http/network.h"

#include <arpa/inet.h>

/* The bytes of an address, as IPv4 where it is one in disguise. */
static const uint8_t *network_bytes(const union http_address *address, int *family)
{
    *family = address->plain.sa_family;
    if (*family == AF_INET)
        return (const uint8_t *)&address->in.sin_addr;
    if (*family != AF_INET6)
        return NULL;
    const uint8_t *bytes = address->in6.sin6_addr.s6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
        return bytes;
    *family = AF_INET;
    return bytes + 12;
}

static bool network_bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

bool network_has(const struct conf_network *network, const union http_address *address)
{
    int family;
    const uint8_t *bytes = network_bytes(address, &family);
    if (network->family == AF_UNSPEC)
        return true;
    if (network->family == AF_INET6 && address->plain.sa_family == AF_INET6)
        return network_bits_equal(address->in6.sin6_addr.s6_addr, network->address, network->bits);
    return network->family == family &&
           (bytes == NULL || network_bits_equal(bytes, network->address, network->bits));
}

bool network_any_has(const struct conf_network *networks, size_t count,
                     const union http_address *address)
{
    for (size_t i = 0; i < count; i++)
        if (network_has(&networks[i], address))
            return true;
    return false;
}

static bool network_port(struct conf_str text, in_port_t *port)
{
    uint64_t number;
    if (!str_to_u64(text, &number) || number > UINT16_MAX)
        return false;
    *port = htons((uint16_t)number);
    return true;
}

static bool network_pton(struct conf_str text, union http_address *address)
{
    char plain[INET6_ADDRSTRLEN];
    if (text.len >= sizeof plain)
        return false;
    memcpy(plain, text.at, text.len);
    plain[text.len] = '\0';
    if (inet_pton(AF_INET, plain, &address->in.sin_addr) == 1)
        address->in.sin_family = AF_INET;
    else if (inet_pton(AF_INET6, plain, &address->in6.sin6_addr) == 1)
        address->in6.sin6_family = AF_INET6;
    else
        return false;
    return true;
}

bool network_parse_address(struct conf_str text, union http_address *address)
{
    memset(address, 0, sizeof *address);
    struct conf_str host = text, port = STR("0");
    const char *bracket = text.len > 0 && text.at[0] == '[' ? memchr(text.at, ']', text.len) : NULL;
    const char *colon = memchr(text.at, ':', text.len);
    if (bracket != NULL) {
        host = str_make(text.at + 1, (size_t)(bracket - text.at) - 1);
        struct conf_str rest = str_make(bracket + 1, text.len - host.len - 2);
        if (rest.len > 0 && rest.at[0] != ':')
            return false;
        if (rest.len > 0)
            port = str_make(rest.at + 1, rest.len - 1);
    } else if (colon != NULL && memchr(text.at, '.', (size_t)(colon - text.at)) != NULL) {
        host = str_make(text.at, (size_t)(colon - text.at));
        port = str_make(colon + 1, text.len - host.len - 1);
    }
    return network_pton(host, address) && network_port(port, &address->in.sin_port);
}
