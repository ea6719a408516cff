/* Addresses of servers that are spoken to: from text to sockaddr and back. */
#include "engine/conf/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "engine/conf/value.h"

static const char *split_port(struct conf_str text, uint16_t *number)
{
    uint64_t value;
    if (!value_number(text, &value) || value < 1 || value > 65535)
        return "invalid port";
    *number = (uint16_t)value;
    return NULL;
}

static const char *split_v6(struct conf_str text, struct address_parts *parts)
{
    const char *close = memchr(text.at, ']', text.len);
    if (close == NULL || close == text.at + 1)
        return "invalid host";
    parts->v6 = true;
    parts->host = (struct conf_str){text.at + 1, (size_t)(close - text.at) - 1};
    struct conf_str rest = {close + 1, text.len - parts->host.len - 2};
    if (rest.len == 0)
        return NULL;
    if (rest.at[0] != ':')
        return "invalid host";
    parts->port = (struct conf_str){rest.at + 1, rest.len - 1};
    return split_port(parts->port, &parts->number);
}

const char *address_split(struct conf_str text, uint16_t port, struct address_parts *parts)
{
    *parts = (struct address_parts){.port = {"", 0}, .number = port};
    if (text.len >= 5 && memcmp(text.at, "unix:", 5) == 0) {
        parts->unix_path = true;
        parts->host = (struct conf_str){text.at + 5, text.len - 5};
        if (parts->host.len == 0)
            return "no path in the unix domain socket";
        return parts->host.len < sizeof(((struct sockaddr_un *)NULL)->sun_path)
                   ? NULL
                   : "too long path in the unix domain socket";
    }
    if (text.len > 0 && text.at[0] == '[')
        return split_v6(text, parts);
    const char *colon = memchr(text.at, ':', text.len);
    parts->host = (struct conf_str){text.at, colon ? (size_t)(colon - text.at) : text.len};
    if (parts->host.len == 0)
        return "no host";
    if (colon == NULL)
        return NULL;
    parts->port = (struct conf_str){colon + 1, text.len - parts->host.len - 1};
    return split_port(parts->port, &parts->number);
}

bool address_numeric(const struct address_parts *parts, struct address *address)
{
    char text[INET6_ADDRSTRLEN];
    *address = (struct address){0};
    if (parts->unix_path) {
        address->to.un.sun_family = AF_UNIX;
        memcpy(address->to.un.sun_path, parts->host.at, parts->host.len);
        address->len = sizeof address->to.un;
        return true;
    }
    if (parts->host.len >= sizeof text)
        return false;
    memcpy(text, parts->host.at, parts->host.len);
    text[parts->host.len] = '\0';
    if (parts->v6) {
        address->to.v6.sin6_family = AF_INET6;
        address->to.v6.sin6_port = htons(parts->number);
        address->len = sizeof address->to.v6;
        return inet_pton(AF_INET6, text, &address->to.v6.sin6_addr) == 1;
    }
    address->to.v4.sin_family = AF_INET;
    address->to.v4.sin_port = htons(parts->number);
    address->len = sizeof address->to.v4;
    return inet_pton(AF_INET, text, &address->to.v4.sin_addr) == 1;
}

size_t address_print(const struct address *address, char out[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";
    int len;
    if (address->to.any.sa_family == AF_UNIX) {
        len = snprintf(out, ADDRESS_TEXT_MAX, "unix:%s", address->to.un.sun_path);
    } else if (address->to.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->to.v6.sin6_addr, host, sizeof host);
        len = snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(address->to.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &address->to.v4.sin_addr, host, sizeof host);
        len = snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(address->to.v4.sin_port));
    }
    return (size_t)len;
}
