/* Reading PROXY headers. */
#include "engine/http/proxy_protocol.h"

#include <arpa/inet.h>

enum { V1_BYTES_MAX = 107, V2_HEAD_BYTES = 16 };

/* ---- version 1: a line ----------------------------------------------------------------------- */

/* An address and a port of one end. */
static bool v1_address(struct conf_str host, int family, union http_address *out)
{
    char text[INET6_ADDRSTRLEN];
    if (host.len == 0 || host.len >= sizeof text)
        return false;
    memcpy(text, host.at, host.len);
    text[host.len] = '\0';
    out->plain.sa_family = (sa_family_t)family;
    void *raw = family == AF_INET ? (void *)&out->in.sin_addr : (void *)&out->in6.sin6_addr;
    return inet_pton(family, text, raw) == 1;
}

static bool v1_port(struct conf_str text, union http_address *out)
{
    uint64_t port;
    if (text.len > 5 || !str_to_u64(text, &port) || port > UINT16_MAX)
        return false;
    out->in.sin_port = htons((uint16_t)port); /* in6 has it in the same place */
    return true;
}

static bool v1_words(struct conf_str line, struct http_proxied *out)
{
    struct conf_str protocol = str_cut(&line, ' ');
    if (str_equal(protocol, STR("UNKNOWN")))
        return true; /* whatever follows */
    bool six = str_equal(protocol, STR("TCP6"));
    if (!six && !str_equal(protocol, STR("TCP4")))
        return false;
    struct conf_str source = str_cut(&line, ' '), destination = str_cut(&line, ' ');
    struct conf_str source_port = str_cut(&line, ' ');
    int family = six ? AF_INET6 : AF_INET;
    out->known = v1_address(source, family, &out->source) &&
                 v1_address(destination, family, &out->destination) &&
                 v1_port(source_port, &out->source) && v1_port(line, &out->destination);
    return out->known;
}

static enum proxy_protocol v1_parse(struct conf_str bytes, struct http_proxied *out, size_t *used)
{
    const struct conf_str begin = STR("PROXY ");
    size_t common = bytes.len < begin.len ? bytes.len : begin.len;
    if (memcmp(bytes.at, begin.at, common) != 0)
        return PROXY_PROTOCOL_BAD;
    size_t most = bytes.len < V1_BYTES_MAX ? bytes.len : V1_BYTES_MAX;
    const char *end = memchr(bytes.at, '\n', most);
    if (end == NULL)
        return bytes.len < V1_BYTES_MAX ? PROXY_PROTOCOL_MORE : PROXY_PROTOCOL_BAD;
    if (end[-1] != '\r')
        return PROXY_PROTOCOL_BAD;
    struct conf_str line = str_make(bytes.at + begin.len, (size_t)(end - bytes.at) - 1 - begin.len);
    *used = (size_t)(end - bytes.at) + 1;
    return v1_words(line, out) ? PROXY_PROTOCOL_DONE : PROXY_PROTOCOL_BAD;
}

/* ---- version 2: binary ----------------------------------------------------------------------- */

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static void v2_address(int family, const unsigned char *host, const unsigned char *port,
                       union http_address *out)
{
    out->plain.sa_family = (sa_family_t)family;
    memcpy(&out->in.sin_port, port, 2);
    if (family == AF_INET)
        memcpy(&out->in.sin_addr, host, 4);
    else
        memcpy(&out->in6.sin6_addr, host, 16);
}

/* What says LOCAL, or is no TCP over IP, has no addresses that could be of use. */
static bool v2_addresses(const unsigned char *head, size_t len, struct http_proxied *out)
{
    enum { LOCAL = 0, PROXY = 1, STREAM = 1, INET = 1, INET6 = 2 };
    unsigned command = head[12] & 15u, family = head[13] >> 4, transport = head[13] & 15u;
    const unsigned char *at = head + V2_HEAD_BYTES;
    size_t width = family == INET ? 4 : 16;
    if (command != PROXY || transport != STREAM || (family != INET && family != INET6))
        return command == LOCAL || command == PROXY;
    if (len < 2 * width + 4)
        return false;
    int system_family = family == INET ? AF_INET : AF_INET6;
    v2_address(system_family, at, at + 2 * width, &out->source);
    v2_address(system_family, at + width, at + 2 * width + 2, &out->destination);
    out->known = true;
    return true;
}

static enum proxy_protocol v2_parse(struct conf_str bytes, struct http_proxied *out, size_t *used)
{
    const unsigned char *head = (const unsigned char *)bytes.at;
    if (bytes.len < V2_HEAD_BYTES)
        return PROXY_PROTOCOL_MORE;
    size_t len = (size_t)head[14] << 8 | head[15];
    if (head[12] >> 4 != 2 || V2_HEAD_BYTES + len > PROXY_PROTOCOL_BYTES_MAX)
        return PROXY_PROTOCOL_BAD;
    if (bytes.len < V2_HEAD_BYTES + len)
        return PROXY_PROTOCOL_MORE;
    *used = V2_HEAD_BYTES + len;
    return v2_addresses(head, len, out) ? PROXY_PROTOCOL_DONE : PROXY_PROTOCOL_BAD;
}

enum proxy_protocol proxy_protocol_parse(struct conf_str bytes, struct http_proxied *out,
                                         size_t *used)
{
    *out = (struct http_proxied){.known = false};
    *used = 0;
    if (bytes.len == 0)
        return PROXY_PROTOCOL_MORE;
    size_t common = bytes.len < sizeof v2_signature ? bytes.len : sizeof v2_signature;
    if (memcmp(bytes.at, v2_signature, common) == 0)
        return v2_parse(bytes, out, used);
    return v1_parse(bytes, out, used);
}
