/* Addresses of servers that are spoken to: HOST[:PORT], [V6][:PORT], unix:PATH. */
#ifndef ENGINE_CONF_ADDRESS_H
#define ENGINE_CONF_ADDRESS_H

#include <netinet/in.h>
#include <sys/un.h>

#include "engine/conf/conf.h"

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    } to;
    socklen_t len;
};

/* A text taken apart, nothing looked up. */
struct address_parts {
    struct conf_str host; /* without brackets; of unix: the path */
    struct conf_str port; /* len 0: none was given */
    uint16_t number;      /* the port's, or the default */
    bool unix_path, v6;
};
/* NULL, or what is wrong with the text. */
const char *address_split(struct conf_str text, uint16_t port, struct address_parts *parts);
/* Is it a number or a path, so that nothing must be looked up? Then it is in *address. */
bool address_numeric(const struct address_parts *parts, struct address *address);

enum { ADDRESS_TEXT_MAX = 128 };
/* 127.0.0.1:80, [::1]:80, unix:/path; returns the length. */
size_t address_print(const struct address *address, char out[ADDRESS_TEXT_MAX]);

#endif
