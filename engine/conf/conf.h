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
#define VARIABLE(symbol, name, meaning) VAR_##symbol,
#define PREFIX_VARIABLE(symbol, name, meaning) VAR_##symbol,
#include "engine/conf/variables.def"
#undef VARIABLE
#undef PREFIX_VARIABLE
    VAR_COUNT
};
struct conf_segment {
    enum conf_variable variable;
    /* The literal, or a prefix variable's argument in lower case, with - for _ where it names a
     * header (http_, sent_http_). */
    struct conf_str text;
};
struct conf_text {
    const struct conf_segment *segments;
    size_t count;
};

enum conf_escape { ESCAPE_DEFAULT, ESCAPE_JSON, ESCAPE_NONE };
struct conf_log_format {
    struct conf_str name;
    struct conf_text text;
    enum conf_escape escape;
};

/* A file that workers append access log lines to. Unique by path within a configuration. */
struct conf_log_file {
    struct conf_str path; /* absolute */
    size_t index;         /* in conf.log_files */
};
struct conf_access_log {
    const struct conf_log_file *file;
    const struct conf_log_format *format;
    size_t buffer_size; /* 0: each line is written at once */
    uint64_t flush_ns;
};

struct conf_header {
    struct conf_str name;
    struct conf_text value;
    bool always;
};

struct conf_type {
    struct conf_str extension, type;
};

/* The answer of a location, chosen when the configuration is read. */
enum conf_handler {
    HANDLE_STATIC, /* files below root or alias */
    HANDLE_RETURN,
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
};

struct conf_location {
    enum {
        LOCATION_PREFIX,       /* "/x" */
        LOCATION_EXACT,        /* "= /x" */
        LOCATION_PREFIX_FINAL, /* "^~ /x" */
    } match;
    struct conf_str path;
    enum conf_handler handler;
    struct conf_str label; /* HANDLE_ECHO and others: the configuration's own name for itself */
    struct conf_str root, alias; /* alias empty: root + uri */
    const struct conf_str *index;
    size_t index_count;
    int return_status;            /* HANDLE_RETURN; 444 closes without an answer */
    struct conf_text return_text; /* body, or the target of a redirect (301 302 303 307 308) */
    const struct conf_header *headers;
    size_t header_count;
    const struct conf_type *types; /* sorted by extension */
    size_t type_count;
    struct conf_str default_type;
    const struct conf_access_log *access_logs;
    size_t access_log_count;
    uint64_t keepalive_header_ns; /* "Keep-Alive: timeout=" in answers; 0: no such header */
    uint64_t keepalive_timeout_ns, keepalive_time_ns, client_body_timeout_ns, send_timeout_ns;
    uint64_t lingering_time_ns, lingering_timeout_ns;
    uint32_t keepalive_requests;
    enum { LINGERING_OFF, LINGERING_ON, LINGERING_ALWAYS } lingering_close;
    uint64_t client_max_body_size; /* 0 any */
    size_t client_body_buffer_size;
    bool sendfile, tcp_nodelay, tcp_nopush, reset_timedout_connection, server_tokens, etag,
        internal;
    bool log_not_found;
    int error_level;                        /* enum log_level of error_log */
    const struct conf_log_file *error_file; /* of this level's error_log; NULL: conf.error_log */
};

struct conf_server {
    const struct conf_str *names; /* exact (lower case), "*.x", ".x", "x.*", "" */
    size_t name_count;
    const struct conf_location *locations; /* exact first, then prefixes, longest first */
    size_t location_count;
    const struct conf_location *fallback; /* the server's own level: no location matched */
    uint64_t client_header_timeout_ns;
    size_t client_header_buffer_size, large_buffer_size, large_buffer_count;
    bool merge_slashes, ignore_invalid_headers, underscores_in_headers;
    size_t index; /* in conf.servers */
    const struct conf_tls *tls;
};

/* An address to listen on; unique by address within a configuration. */
struct conf_listen {
    struct sockaddr_storage addr;
    socklen_t addr_len;
    struct conf_str text; /* as error messages name it: 127.0.0.1:80, [::1]:80, unix:/path */
    int backlog;          /* default 511 */
    int rcvbuf, sndbuf;   /* 0: the system's */
    int fastopen;         /* queue length, 0 off */
    bool deferred, reuseport, ipv6only, so_keepalive;
    bool ssl, proxy_protocol;
    const struct conf_server *default_server;
    const struct conf_server *const *servers; /* all servers on this address */
    size_t server_count;
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
    size_t size; /* bytes */
};

/* A file the configuration was read from. */
struct conf_source {
    struct conf_str path, text;
};

struct conf {
    uint32_t generation; /* set by the master */
    /* main */
    bool daemon, master_process, fault_points;
    struct conf_str user, group, pid_path, error_log, working_directory, prefix;
    enum log_level error_level;
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
    uint64_t reload_timeout_ns; /* reload_timeout: new workers must be ready, default 30 s */
    /* events */
    uint32_t worker_connections; /* default 512 */
    bool multi_accept;
    /* http */
    const struct conf_listen *listens;
    size_t listen_count;
    const struct conf_server *servers;
    size_t server_count;
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
