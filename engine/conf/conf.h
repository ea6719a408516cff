/* One generation's configuration: read once, immutable, freed when its last user is gone.
 *
 * conf_load() reads nginx's configuration language and returns either a whole configuration or one
 * error with FILE:LINE:COLUMN. It opens no listener, log or document: the master does that from
 * what stands here, so that checking a configuration changes nothing. Durations are in ns, sizes in
 * bytes; defaults are nginx's unless docs/configuration.md says otherwise. */
#ifndef ENGINE_CONF_CONF_H
#define ENGINE_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "engine/conf/conf_str.h"
#include "engine/conf/conf_tls.h"
#include "engine/os/log.h"

/* Text with variables, compiled: literals and variables in turn. */
enum conf_variable {
    VAR_LITERAL,
    VAR_CAPTURE, /* $1 to $9: group `index` of the last match */
    VAR_NAMED,   /* a variable that the configuration defines: conf.variables[index] */
#define VARIABLE(symbol, name, meaning) VAR_##symbol,
#define PREFIX_VARIABLE(symbol, name, meaning) VAR_##symbol,
#include "engine/conf/variables.def"
#undef VARIABLE
#undef PREFIX_VARIABLE
    VAR_COUNT
};
struct conf_segment {
    enum conf_variable variable;
    uint32_t index; /* VAR_CAPTURE, VAR_NAMED */
    /* The literal, or a prefix variable's argument in lower case, with - for _ where it names a
     * header (http_, sent_http_). */
    struct conf_str text;
};
struct conf_text {
    const struct conf_segment *segments;
    size_t count;
};

/* A compiled regular expression. Its named groups are variables. */
struct conf_capture {
    uint32_t variable; /* in conf.variables */
    uint32_t group;
};
struct conf_regex {
    struct pcre2_real_code_8 *code;
    struct conf_str pattern;
    const struct conf_capture *captures;
    size_t capture_count;
    const struct conf_regex *next; /* all of a configuration: freed with it */
};

/* A variable that takes its value from a table. */
struct conf_map_entry {
    struct conf_str key;            /* in lower case; ".x" of *.x and .x, "x." of x.* */
    bool whole_too;                 /* ".x" fits "x" as well */
    const struct conf_regex *regex; /* or this */
    struct conf_text value;
};
struct conf_map_entries {
    const struct conf_map_entry *items;
    size_t count;
};
struct conf_map {
    struct conf_text source;
    bool hostnames, is_volatile;
    struct conf_map_entries exact;        /* sorted by key */
    struct conf_map_entries heads, tails; /* the longest first */
    struct conf_map_entries regexes;
    struct conf_text fallback;
};

/* A variable that the configuration defines. */
struct conf_named {
    struct conf_str name;
    const struct conf_map *map; /* NULL: `set` or a named group gives it a value */
};

/* Addresses of a kind: all, those of unix sockets, or those whose first bits are the same. */
struct conf_network {
    int family; /* AF_UNSPEC: all */
    unsigned bits;
    uint8_t address[16];
};
struct conf_access {
    struct conf_network network;
    bool allow;
};

/* try_files: the first that exists, else status, else the target. */
struct conf_try {
    struct conf_text name; /* without the slash of a folder */
    bool folder;
};
struct conf_tries {
    const struct conf_try *tries;
    size_t count;
    int status;              /* 0: none */
    struct conf_text target; /* a path or @name */
};

struct conf_error_page {
    int status;
    int answer; /* the status that is sent; -1 the same, 0 what is found there */
    struct conf_text target;
};

enum conf_escape { ESCAPE_DEFAULT, ESCAPE_JSON, ESCAPE_NONE };
struct conf_log_format {
    struct conf_str name;
    struct conf_text text;
    enum conf_escape escape;
};

/* A file that workers append lines to, or a syslog server ("syslog:..."). Unique by path within a
 * configuration. */
struct conf_log_file {
    struct conf_str path; /* absolute, unless it is a server */
    size_t index;         /* in conf.log_files */
};
struct conf_access_log {
    const struct conf_log_file *file; /* NULL: path has variables */
    struct conf_text path;
    struct conf_text condition; /* count 0: none; empty or 0: no line */
    const struct conf_log_format *format;
    size_t buffer_size; /* 0: each line is written at once */
    uint64_t flush_ns;
};

/* Headers of an answer whose place others take: expires and two names of add_header. */
enum conf_replaces {
    REPLACES_FRESHNESS = 1 << 0, /* Expires, Cache-Control */
    REPLACES_MODIFIED = 1 << 1,  /* Last-Modified */
    REPLACES_ETAG = 1 << 2,
};

/* One of several error logs of a level. */
struct conf_error_log {
    struct conf_str path; /* or "syslog:...", or "stderr" */
    int level;            /* enum log_level */
    const struct conf_log_file *file;
};

struct conf_header {
    struct conf_str name;
    struct conf_text value;
    bool always;
    uint8_t replaces; /* add_header: enum conf_replaces */
};

struct conf_type {
    struct conf_str extension, type;
};

/* The answer of a location, chosen when the configuration is read. */
enum conf_handler {
    HANDLE_STATIC, /* files below root or alias */
    HANDLE_STATUS_JSON,
    HANDLE_STATUS_PROMETHEUS,
    HANDLE_STUB_STATUS,
    /* test handlers (directive test_handler): see docs/configuration.md */
    HANDLE_ECHO,   /* body: "NONCE LABEL SLOT PID GENERATION\n"; `test_handler echo LABEL;` */
    HANDLE_DELAY,  /* as echo, after ?ms= milliseconds */
    HANDLE_BYTES,  /* ?n= bytes of pattern.h; ?ms= spreads them over that time */
    HANDLE_UPLOAD, /* checks the whole body against pattern.h: "NONCE BYTES ok|bad\n" */
    HANDLE_STREAM, /* text/event-stream: an event each ?ms= (default 100), for ?for= ms, 0 no end */
    HANDLE_TUNNEL, /* 101 Upgrade: mw-tunnel, then echoes every byte until EOF */
    HANDLE_PROXY,  /* proxy_pass */
};

/* How long an answer may be kept. */
struct conf_expires {
    enum conf_expires_kind {
        EXPIRES_OFF,
        EXPIRES_EPOCH,    /* it is old already */
        EXPIRES_MAX,      /* for ever */
        EXPIRES_ACCESS,   /* seconds from now */
        EXPIRES_MODIFIED, /* seconds from when the document was changed */
        EXPIRES_DAILY,    /* the next time it is so many seconds after midnight */
        EXPIRES_VARIABLE, /* text says it */
    } kind;
    bool modified; /* EXPIRES_VARIABLE: times count from when the document was changed */
    int64_t seconds;
    struct conf_text text;
};

/* What limit_req and limit_conn count requests by, and how many may come. */
struct conf_limit {
    struct conf_text key;
    uint64_t rate; /* limit_req: thousandths of a request a second */
};
struct conf_limit_rule {
    size_t zone;    /* in conf.zones */
    uint64_t burst; /* limit_req: thousandths of a request; limit_conn: requests under way */
    uint64_t delay; /* limit_req: from so many on they wait */
};
struct conf_limits {
    const struct conf_limit_rule *rules;
    size_t count;
    int status;
    int log_level; /* enum log_level */
    bool dry_run;
};

/* What happens to a request, in this order. */
enum phase {
#define PHASE(symbol, meaning) PHASE_##symbol,
#include "engine/http/phases.def"
#undef PHASE
    PHASE_COUNT
};

/* What `rewrite`, `set`, `if`, `break` and `return` do, in the order they are written. */
struct conf_rule {
    enum conf_rule_kind {
        RULE_SET,
        RULE_SET_ARGS,       /* set $args */
        RULE_SET_LIMIT_RATE, /* set $limit_rate */
        RULE_REWRITE,
        RULE_RETURN,
        RULE_BREAK,
        RULE_IF,
    } kind;
    uint32_t variable;              /* RULE_SET: in conf.variables */
    int status;                     /* RULE_RETURN (444: no answer); RULE_REWRITE: a redirect's */
    struct conf_text text;          /* value; replacement; body or target; right side of = */
    const struct conf_regex *regex; /* RULE_REWRITE; RULE_IF with TEST_MATCH */
    enum conf_then {
        THEN_NEXT,  /* go on with the next rule */
        THEN_LAST,  /* find the location anew */
        THEN_BREAK, /* stay in this location */
    } then;
    bool keeps_args; /* RULE_REWRITE: the query string follows the new one */
    enum conf_test {
        TEST_TRUE, /* not empty and not 0 */
        TEST_EQUAL,
        TEST_MATCH,
        TEST_FILE,
        TEST_FOLDER,
        TEST_EXISTS,
        TEST_EXECUTABLE,
    } test;                        /* RULE_IF */
    bool negative;                 /* RULE_IF: != !~ !~* !-f ... */
    struct conf_text left;         /* RULE_IF */
    const struct conf_rule *rules; /* RULE_IF: what is done inside */
    size_t rule_count;
    const struct conf_location *location; /* RULE_IF: what holds from then on; NULL in a server */
};

struct conf_location;

/* The locations of one level, as they are looked for. */
struct conf_locations {
    const struct conf_location *const *exact; /* sorted by path */
    size_t exact_count;
    const struct conf_location *const *prefixes; /* sorted by path */
    size_t prefix_count;
    const struct conf_location *const *regexes; /* in the order they are written */
    size_t regex_count;
    bool adds_slash; /* of any of them */
};
struct conf_proxy;
struct conf_upstream;

/* open_file_cache and what belongs to it. */
struct conf_file_cache {
    size_t max; /* files; 0: off */
    uint64_t inactive_ns, valid_ns;
    uint32_t min_uses;
    bool errors;
};

struct conf_location {
    enum conf_match {
        LOCATION_PREFIX,       /* "/x" */
        LOCATION_EXACT,        /* "= /x" */
        LOCATION_PREFIX_FINAL, /* "^~ /x" */
        LOCATION_REGEX,        /* "~ x", "~* x" */
        LOCATION_NAMED,        /* "@x" */
        LOCATION_PART,         /* of another: its `if` or `limit_except`; or the server's level */
    } match;
    struct conf_str path;           /* with its modifier for LOCATION_REGEX: as written */
    const struct conf_regex *regex; /* LOCATION_REGEX */
    bool adds_slash;                /* passes on what begins with "/x/": "/x" is redirected there */
    const struct conf_location *shorter; /* the next shorter prefix of the level that fits */
    struct conf_locations inner;         /* nested locations */
    size_t number;                       /* in conf.locations */
    uint32_t phases;                     /* bits of enum phase: those with work to do */
    const struct conf_rule *rules;
    size_t rule_count;
    struct conf_limits limit_req, limit_conn;
    struct conf_expires expires;
    enum { IF_MODIFIED_OFF, IF_MODIFIED_EXACT, IF_MODIFIED_BEFORE } if_modified_since;
    size_t max_ranges; /* of one request; SIZE_MAX any */
    bool absolute_redirect, port_in_redirect, server_name_in_redirect;
    enum { BODY_IN_MEMORY, BODY_IN_FILE, BODY_IN_FILE_THAT_STAYS } body_in_file;
    bool keepalive_disable_msie6, keepalive_disable_safari;
    struct conf_text limit_rate, limit_rate_after;
    bool limits_rate;                   /* limit_rate is not 0 */
    const struct conf_location *except; /* for other methods than these; NULL: none */
    const struct conf_str *except_methods;
    size_t except_method_count;
    const struct conf_access *access;
    size_t access_count;
    const struct conf_network *proxies; /* set_real_ip_from */
    size_t proxy_count;
    struct conf_str real_ip_header; /* in lower case; empty: from the PROXY protocol */
    bool real_ip_recursive, recursive_error_pages, satisfy_any;
    const struct conf_tries *tries; /* NULL: none */
    const struct conf_error_page *error_pages;
    size_t error_page_count;
    enum conf_handler handler;
    struct conf_str label; /* HANDLE_ECHO and others: the configuration's own name for itself */
    struct conf_text root; /* or, where `aliased`, what stands for the location's path */
    size_t alias_skip;     /* aliased: so many bytes of the path are replaced */
    bool aliased;
    const struct conf_text *index;
    size_t index_count;
    const struct conf_header *headers;
    size_t header_count;
    uint8_t replaces;              /* what headers and expires may replace: enum conf_replaces */
    const struct conf_type *types; /* sorted by extension */
    size_t type_count;
    struct conf_str default_type;
    const struct conf_access_log *access_logs;
    size_t access_log_count;
    uint64_t keepalive_header_ns; /* "Keep-Alive: timeout=" in answers; 0: no such header */
    uint64_t keepalive_timeout_ns, keepalive_time_ns, client_body_timeout_ns, send_timeout_ns;
    uint64_t client_header_timeout_ns; /* the server's */
    uint64_t lingering_time_ns, lingering_timeout_ns;
    uint32_t keepalive_requests;
    enum { LINGERING_OFF, LINGERING_ON, LINGERING_ALWAYS } lingering_close;
    uint64_t client_max_body_size; /* 0 any */
    size_t client_body_buffer_size;
    struct conf_file_cache file_cache;
    bool sendfile, tcp_nodelay, tcp_nopush, reset_timedout_connection, server_tokens, etag,
        internal;
    bool log_not_found, rewrite_log, uninitialized_variable_warn;
    struct conf_str body_temp_path;         /* client_body_temp_path */
    const struct conf_proxy *proxy;         /* HANDLE_PROXY: conf_proxy.h */
    int error_level;                        /* enum log_level of error_log; of several the most */
    const struct conf_log_file *error_file; /* of this level's error_log; NULL: conf.error_log */
    int error_file_level;
    const struct conf_error_log *more_error_logs;
    size_t more_error_log_count;
};

struct conf_server {
    const struct conf_str *names; /* exact (lower case), "*.x", ".x", "x.*", "~regex", "" */
    size_t name_count;
    const struct conf_regex *const *name_regexes; /* of the "~" names, in their order */
    size_t name_regex_count;
    struct conf_locations locations;
    const struct conf_location *const *named; /* LOCATION_NAMED */
    size_t named_count;
    const struct conf_location *fallback; /* the server's own level: no location matched */
    size_t client_header_buffer_size, large_buffer_size, large_buffer_count;
    bool merge_slashes, ignore_invalid_headers, underscores_in_headers;
    size_t index; /* in conf.servers */
    const struct conf_tls *tls;
};

/* A name that a server of an address answers to. */
struct conf_listen_name {
    struct conf_str name;
    const struct conf_server *server;
};

/* An address to listen on; unique by address within a configuration. */
struct conf_listen {
    struct sockaddr_storage addr;
    socklen_t addr_len;
    struct conf_str text; /* as error messages name it: 127.0.0.1:80, [::1]:80, unix:/path */
    int backlog;          /* default 511 */
    int rcvbuf, sndbuf;   /* 0: the system's */
    int fastopen;         /* queue length, 0 off */
    int keepalive_idle_s, keepalive_interval_s, keepalive_count; /* of so_keepalive; 0: as above */
    bool deferred, reuseport, ipv6only, so_keepalive;
    bool ssl, proxy_protocol;
    const struct conf_server *default_server;
    const struct conf_server *const *servers; /* all servers on this address */
    size_t server_count;
    const struct conf_listen_name *names; /* the exact ones of all servers, sorted */
    size_t exact_name_count;
    bool has_wildcard_names, has_regex_names; /* of a server of this address */
};

enum { CONF_ZONE_NAME_MAX = 63, CONF_ZONE_BYTES_MIN = 32768 };
/* Shared memory that directives ask for; unique by name within a configuration. */
enum conf_zone_kind {
#define ZONE_KIND(symbol, directive) CONF_ZONE_##symbol,
#include "engine/conf/zones.def"
#undef ZONE_KIND
    CONF_ZONE_KIND_COUNT
};
struct conf_zone {
    struct conf_str name;
    enum conf_zone_kind kind;
    size_t size;                    /* bytes */
    const struct conf_limit *limit; /* of limit_req and limit_conn */
};

/* A file the configuration was read from. */
struct conf_source {
    struct conf_str path, text;
};

struct conf {
    uint32_t generation; /* set by the master */
    /* main */
    bool daemon, fault_points;
    struct conf_str user, group, pid_path, error_log, working_directory, prefix;
    enum log_level error_level;
    const struct conf_error_log *more_error_logs; /* beside error_log */
    size_t more_error_log_count;
    uint32_t workers;       /* auto is resolved: CPUs this process may use */
    uint64_t rlimit_nofile; /* 0: not set */
    uint64_t rlimit_core;   /* bytes + 1; 0: not set */
    int priority;           /* nice value */
    bool affinity_auto;
    const uint64_t *affinity; /* CPU masks, slot modulo count; NULL none */
    size_t affinity_count;
    const struct conf_str *env; /* NAME or NAME=VALUE */
    size_t env_count;
    uint64_t shutdown_timeout_ns;            /* worker_shutdown_timeout; 0 none */
    uint64_t watchdog_ns;                    /* worker_watchdog, default 30 s; 0 off */
    uint64_t backoff_min_ns, backoff_max_ns; /* worker_respawn_backoff MIN MAX, default 10ms 10s */
    uint32_t reload_generations;             /* reload_generations, default 16 */
    uint64_t reload_timeout_ns; /* reload_timeout: new workers must be ready, default 30 s */
    /* events */
    uint32_t worker_connections; /* default 512 */
    bool multi_accept;
    /* http */
    const struct conf_listen *listens;
    size_t listen_count;
    const struct conf_server *servers;
    size_t server_count;
    const struct conf_location *const *locations; /* of all servers, each level and part */
    size_t location_count;
    const struct conf_named *variables;
    size_t variable_count;
    const struct conf_regex *regexes;         /* the newest; a chain */
    const struct conf_tls *const *client_tls; /* what proxies speak with, by conf_proxy.tls_index */
    size_t client_tls_count;
    const struct conf_upstream *const *upstreams; /* conf_proxy.h */
    size_t upstream_count;
    const struct conf_log_file *log_files;
    size_t log_file_count;
    const struct conf_zone *zones;
    size_t zone_count;
    const struct conf_source *sources; /* for -T: each file once, in the order first read */
    size_t source_count;
    struct arena *arena; /* owns everything above */
};

/* One error, for one line: `[emerg] MESSAGE in FILE:LINE:COLUMN`; line 0: no place. */
struct conf_error {
    char message[512];
    char file[256];
    unsigned line, column;
};

/* Reads `path` (absolute). `prefix` is the folder relative paths start from (-p), absolute, ending
 * in '/'; `globals` are the directives of -g, or NULL. Returns NULL and fills *error on failure.
 * The caller owns the result. */
struct conf *conf_load(const char *path, const char *prefix, const char *globals,
                       struct conf_error *error);
void conf_free(struct conf *conf);
/* "[emerg] MESSAGE in FILE:LINE:COLUMN" */
void conf_error_print(const struct conf_error *error, char *out, size_t size);

#endif
