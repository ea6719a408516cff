/* What a configuration says about proxying: groups of servers (`upstream`), and how a location
 * speaks to them. Part of conf.h. */
#ifndef ENGINE_CONF_CONF_PROXY_H
#define ENGINE_CONF_CONF_PROXY_H

#include "engine/conf/conf.h"

/* One address of one `server` of an upstream: a name with several addresses becomes several. */
struct conf_upstream_server {
    struct conf_str name; /* as configured */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    struct conf_str text;                  /* the address: 127.0.0.1:80, [::1]:80, unix:/path */
    uint32_t weight, max_fails, max_conns; /* max_conns 0: any */
    uint64_t fail_timeout_ns;
    bool down, backup;
};

/* The methods of engine/core/balance.h, in its order. */
enum conf_balance {
    CONF_ROUND_ROBIN,
    CONF_LEAST_CONN,
    CONF_IP_HASH,
    CONF_HASH,
    CONF_CONSISTENT,
    CONF_RANDOM,
    CONF_RANDOM_TWO,
};

struct conf_upstream {
    struct conf_str name;                       /* of the block; else HOST:PORT, unix:PATH */
    const struct conf_upstream_server *servers; /* backups last */
    size_t server_count, primary_count;
    enum conf_balance method;
    struct conf_text key; /* CONF_HASH, CONF_CONSISTENT */
    uint32_t keepalive;   /* idle connections a worker keeps; 0: none */
    uint32_t keepalive_requests;
    uint64_t keepalive_time_ns, keepalive_timeout_ns;
    bool has_zone;
    size_t zone;   /* in conf.zones */
    bool declared; /* by a block; otherwise it stands for an address in a proxy_pass */
    size_t index;  /* in conf.upstreams */
};

/* proxy_next_upstream: when another server is asked. C(SYMBOL, "word") */
#define PROXY_NEXT_CASES(C)                                                                        \
    C(ERROR, "error")                                                                              \
    C(TIMEOUT, "timeout")                                                                          \
    C(INVALID_HEADER, "invalid_header")                                                            \
    C(HTTP_500, "http_500")                                                                        \
    C(HTTP_502, "http_502")                                                                        \
    C(HTTP_503, "http_503")                                                                        \
    C(HTTP_504, "http_504")                                                                        \
    C(HTTP_403, "http_403")                                                                        \
    C(HTTP_404, "http_404")                                                                        \
    C(HTTP_429, "http_429")                                                                        \
    C(NON_IDEMPOTENT, "non_idempotent")                                                            \
    C(OFF, "off")

enum conf_proxy_next_bit {
#define C(symbol, word) PROXY_NEXT_BIT_##symbol,
    PROXY_NEXT_CASES(C)
#undef C
};
enum conf_proxy_next {
#define C(symbol, word) PROXY_NEXT_##symbol = 1 << PROXY_NEXT_BIT_##symbol,
    PROXY_NEXT_CASES(C)
#undef C
};

/* proxy_ignore_headers. I(SYMBOL, "name") */
#define PROXY_IGNORABLE(I)                                                                         \
    I(REDIRECT, "X-Accel-Redirect")                                                                \
    I(EXPIRES, "X-Accel-Expires")                                                                  \
    I(LIMIT_RATE, "X-Accel-Limit-Rate")                                                            \
    I(BUFFERING, "X-Accel-Buffering")                                                              \
    I(CHARSET, "X-Accel-Charset")                                                                  \
    I(CACHE_CONTROL, "Cache-Control")                                                              \
    I(OWN_EXPIRES, "Expires")                                                                      \
    I(SET_COOKIE, "Set-Cookie")                                                                    \
    I(VARY, "Vary")

enum conf_proxy_ignorable_bit {
#define I(symbol, name) PROXY_IGNORE_BIT_##symbol,
    PROXY_IGNORABLE(I)
#undef I
};
enum conf_proxy_ignorable {
#define I(symbol, name) PROXY_IGNORE_##symbol = 1 << PROXY_IGNORE_BIT_##symbol,
    PROXY_IGNORABLE(I)
#undef I
};

/* A change of Location and Refresh: what the value starts with becomes `to`, or all of it where it
 * matches a regular expression. */
struct conf_proxy_redirect {
    const struct conf_regex *regex; /* NULL: from */
    struct conf_text from, to;
};

/* How one location proxies. */
struct conf_proxy {
    /* where to; without `upstream` the target is `pass`, whose variables decide */
    const struct conf_upstream *upstream;
    struct conf_text pass;
    bool tls;
    bool has_uri;
    struct conf_str uri;  /* replaces the location's path, where has_uri */
    size_t location_len;  /* of the path it replaces */
    struct conf_str host; /* $proxy_host */
    struct conf_str port; /* $proxy_port */
    /* the request */
    bool http_1_0;
    struct conf_text method; /* count 0: the client's */
    struct conf_text body;   /* proxy_set_body; count 0: the client's */
    bool sets_body;
    bool pass_body, pass_headers;
    bool request_buffering;
    const struct conf_header *headers; /* set, the defaults among them */
    size_t header_count;
    size_t body_buffer_size;
    /* the answer */
    bool buffering;
    bool intercept_errors;
    uint32_t hidden;             /* bits of enum http1_response_name that are not passed */
    const struct conf_str *hide; /* other names */
    size_t hide_count;
    uint32_t ignored; /* enum conf_proxy_ignorable */
    size_t buffer_size, buffers_size, busy_size;
    uint64_t max_temp_file_size;
    const struct conf_proxy_redirect *redirects;
    size_t redirect_count;
    struct conf_str temp_path;
    /* trouble */
    uint64_t connect_timeout_ns, send_timeout_ns, read_timeout_ns;
    uint32_t next; /* enum conf_proxy_next */
    uint32_t next_tries;
    uint64_t next_timeout_ns;
    bool ignore_client_abort, socket_keepalive;
    /* TLS, where tls is set or variables may ask for it */
    size_t tls_index; /* in conf.client_tls */
    struct conf_text ssl_name;
    bool ssl_server_name, ssl_session_reuse;
};

#endif
