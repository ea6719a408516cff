/* What the parts of conf_load share: the load in progress, scopes that hold what was set at each
 * level, and the directive table. Not for users of conf.h. */
#ifndef ENGINE_CONF_LOAD_H
#define ENGINE_CONF_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/conf/arena.h"
#include "engine/conf/conf.h"
#include "engine/conf/conf_proxy.h"
#include "engine/conf/lex.h"

#define CONF_WORKERS_MAX 128
#define CONF_DEPTH_MAX 32    /* of blocks within blocks */
#define CONF_INCLUDES_MAX 16 /* of files within files */
#define CONF_FILE_MAX (16u << 20)
#define CONF_LISTENS_MAX 4096 /* addresses */
#define CONF_ARGS_ANY UINT32_MAX
#define CONF_UNSET UINT64_MAX

/* The position of a word: what an error names. */
struct place {
    const char *file;
    unsigned line, column;
};
struct word {
    struct conf_str text;
    struct place place;
};
/* `name args ... ;` or `name args ... { }`; what `{` opened is still to be parsed. */
struct statement {
    struct word name;
    struct word *args;
    size_t count;
    bool block;
};

enum directive_id {
#define DIRECTIVE(name, contexts, arguments, setter, fallback, sentence) D_##name,
#include "engine/conf/directives.def"
#undef DIRECTIVE
    DIRECTIVE_COUNT
};

enum {
    MAIN = 1,
    EVENTS = 2,
    HTTP = 4,
    SERVER = 8,
    LOCATION = 16,
    REPEATED = 32,
    SERVER_IF = 64,    /* `if` of a server */
    LOCATION_IF = 128, /* `if` of a location */
    LIMIT_EXCEPT = 256,
    ANY_IF = SERVER_IF | LOCATION_IF,
    UPSTREAM = 256,
};

/* An array that grows; its items lie in the configuration's own arena. */
struct list {
    void *items;
    size_t count, capacity;
};

/* What one directive set at one level. */
struct value {
    bool set;
    uint64_t number, second;
    struct conf_str text;
    struct conf_text compiled;
    struct place place;
};

/* A block inside a location that has values of its own. */
#define PART_EXCEPT SIZE_MAX
struct part {
    struct scope *scope;
    size_t rule; /* its place in the outer scope's rules; PART_EXCEPT: of limit_except */
};

/* One level: the defaults, main, events, http, a server or a location. A directive that is not set
 * here is looked up in the parent, which is all there is to inheritance. */
struct scope {
    struct scope *parent;
    unsigned context;
    struct place place;
    struct value values[DIRECTIVE_COUNT];
    struct list index, headers, access_logs, types; /* the first level with `set` counts, whole */
    struct list more_error_logs;                    /* likewise; struct conf_error_log */
    struct list names;                              /* server: struct conf_str */
    struct list name_regexes;                       /* server: const struct conf_regex * */
    struct list locations;                          /* struct scope *, in the order read */
    struct list certificates, keys, ticket_keys;    /* http, server: struct conf_tls_text */
    bool tls_shared;                                /* ssl_session_cache */
    size_t tls_zone;
    uint64_t tls_builtin;
    struct list upstream_servers; /* upstream: struct conf_upstream_server */
    int balance;                  /* upstream: enum conf_balance */
    struct conf_text balance_key;
    struct list proxy_headers;                  /* struct conf_header */
    struct list proxy_hide, proxy_pass_headers; /* struct conf_str, lower case */
    struct list proxy_redirects;                /* struct proxy_redirect_wish */
    struct conf_text proxy_target;              /* of proxy_pass, where it has variables */
    struct place proxy_place;
    bool has_listen;
    size_t number; /* server: in conf.servers */
    /* location */
    enum conf_match match;
    struct conf_str path;
    enum conf_handler handler;
    const struct directive *handler_directive; /* NULL: none was named */
    struct conf_str label;
    struct conf_text folder;             /* of root or alias */
    struct list limit_reqs, limit_conns; /* struct conf_limit_rule */
    struct conf_text limit_rate, limit_rate_after;
    struct conf_expires expires;
    struct list access;      /* struct conf_access */
    struct list proxies;     /* struct conf_network */
    struct list error_pages; /* struct conf_error_page */
    struct list except_methods;
    const struct conf_tries *tries;
    struct list rules; /* struct conf_rule */
    const struct conf_regex *regex;
    struct list parts; /* struct part: its if and limit_except blocks */
};

/* An access_log that becomes a file only where a location uses it. */
struct access_wish {
    struct conf_access_log log;
    struct conf_str path;
    struct place place;
};

/* A proxy_redirect until it is known where the location passes its requests. */
struct proxy_redirect_wish {
    bool preset; /* `default` */
    struct conf_proxy_redirect redirect;
    struct place place;
};

/* A listen address while servers are still being added. */
struct listener {
    struct conf_listen listen;
    struct place place;
    struct list servers; /* struct scope * */
    struct scope *default_server;
    bool options_set;
};

struct load {
    struct conf *conf;
    struct arena *scratch; /* gone when conf_load returns */
    struct conf_error *error;
    bool failed;
    struct lex *lex; /* the file being read */
    const char *file;
    struct conf_str folder; /* of the main file, ends in '/' */
    unsigned depth, includes;
    struct scope defaults, main;
    struct scope *http;
    bool has_events;
    size_t log_file_max; /* directives that name a log */
    struct list sources, env, affinity, log_files, formats, listeners, servers, zones, variables,
        locations;
    struct list client_tls; /* struct conf_tls * */
    struct list upstreams;  /* struct conf_upstream *; upstreams.h */
};

typedef bool directive_setter(struct load *load, struct scope *scope,
                              const struct directive *directive, const struct statement *statement);

enum setter_kind {
    SETTER_FLAG,
    SETTER_NUMBER,
    SETTER_SIZE,
    SETTER_TIME,
    SETTER_WORDS,
    SETTER_IGNORED,
    SETTER_CUSTOM,
};
struct directive {
    const char *name;
    unsigned contexts;
    uint32_t args_min, args_max;
    bool block;
    enum setter_kind kind;
    uint64_t low, high;       /* SETTER_NUMBER, SETTER_SIZE */
    const char *const *words; /* SETTER_WORDS: the value is the index; ends in NULL */
    directive_setter *set;    /* SETTER_CUSTOM */
    const char *syntax;       /* SETTER_CUSTOM: the arguments as documented */
    const char *fallback;     /* NULL: none */
    const char *sentence;
};

/* directive.c */
extern const struct directive conf_directives[DIRECTIVE_COUNT];
static inline enum directive_id directive_id(const struct directive *directive)
{
    return (enum directive_id)(directive - conf_directives);
}
const struct directive *directive_find(const char *name);
/* Reports an unknown name, with the likely right one. */
bool directive_unknown(struct load *load, const struct word *name);
/* Sets one argument of any kind but custom. */
bool directive_set_scalar(struct load *load, struct scope *scope, const struct directive *directive,
                          const struct statement *statement);

/* parse.c; an entry handler is called for each statement of a block. */
typedef bool entry_handler(struct load *load, struct scope *scope,
                           const struct statement *statement);
bool parse_file(struct load *load, struct scope *scope, entry_handler *entry, const char *path,
                const struct place *place);
bool parse_text(struct load *load, struct scope *scope, entry_handler *entry, const char *file,
                struct conf_str text);
bool parse_block(struct load *load, struct scope *scope, entry_handler *entry,
                 const struct statement *statement);
bool parse_directive(struct load *load, struct scope *scope, const struct statement *statement);
bool parse_include_as(struct load *load, struct scope *scope, entry_handler *entry,
                      const struct statement *statement);

/* load.c */
struct conf *conf_load_chunked(const char *path, const char *prefix, const char *globals,
                               struct conf_error *error, size_t chunk_bytes);
/* memory.c; all return false or NULL after recording the error. */
bool load_fail(struct load *load, const struct place *place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *load_alloc(struct load *load, size_t size_bytes);   /* in the configuration's arena */
void *load_scratch(struct load *load, size_t size_bytes); /* until conf_load returns */
void *load_add(struct load *load, struct list *list, size_t item_bytes); /* zeroed item */
bool load_copy(struct load *load, const char *at, size_t len, struct conf_str *out);
bool load_copy_lower(struct load *load, struct conf_str text, struct conf_str *out);
/* `name` unless absolute, below `folder`. */
bool load_path(struct load *load, struct conf_str folder, struct conf_str name,
               struct conf_str *out);
bool load_refuse_variables(struct load *load, const struct word *word, const char *directive);
/* Never fails: build.c made room for log_file_max files. */
const struct conf_log_file *load_log_file(struct load *load, struct conf_str path);

/* zone.c: declares a zone (size in bytes), or names one that is declared elsewhere (size 0). Its
 * place in conf.zones comes back in *index. */
bool load_zone(struct load *load, enum conf_zone_kind kind, struct conf_str name, size_t size,
               const struct place *place, size_t *index);
/* What limit_req or limit_conn count in it; a zone may be declared once. */
bool load_zone_limit(struct load *load, size_t index, const struct conf_limit *limit,
                     const struct place *place);
/* Everything was read: each zone that was named must have been declared. */
bool load_build_zones(struct load *load);

/* scope.c */
const struct value *scope_value(const struct scope *scope, enum directive_id id);
static inline uint64_t scope_number(const struct scope *scope, enum directive_id id)
{
    return scope_value(scope, id)->number;
}
struct scope *scope_new(struct load *load, struct scope *parent, unsigned context,
                        const struct place *place);
bool scope_add_part(struct load *load, struct scope *scope, struct scope *part, size_t rule);
void scope_set(struct scope *scope, enum directive_id id, uint64_t number, struct conf_str text);

/* regex.c; NULL after recording the error. */
const struct conf_regex *regex_compile(struct load *load, const struct word *word,
                                       const char *pattern, bool ignore_case);
void regex_free_all(const struct conf_regex *regexes);

/* named.c: variables that the configuration defines. They may be used before they are defined. */
bool named_use(struct load *load, const struct word *word, struct conf_str name, uint32_t *index);
bool named_define(struct load *load, const struct word *word, struct conf_str name,
                  uint32_t *index);
bool named_define_map(struct load *load, const struct word *word, struct conf_str name,
                      const struct conf_map *map);
/* Everything was read: each one used must be defined. */
bool named_build(struct load *load);

/* text.c */
bool text_is_built_in(struct conf_str name);
bool text_compile(struct load *load, const struct word *word, struct conf_text *out);

/* listen.c */
bool listen_default(struct load *load, struct scope *server);
bool listen_check_conflicts(struct load *load);

/* tls.c: what a proxy's proxy_ssl_* directives amount to. */
bool build_client_tls(struct load *load, const struct scope *scope, struct conf_proxy *proxy);
/* tls.c: what a server's ssl_* directives amount to, and whether an address with TLS has enough. */
bool build_tls(struct load *load, const struct scope *server, struct conf_server *out);
bool build_tls_listen(struct load *load, const struct conf_listen *listen,
                      const struct place *place);
/* answers.c: a location has one directive that says what is answered. */
bool handler_use(struct load *load, struct scope *scope, const struct directive *directive,
                 const struct statement *statement, enum conf_handler handler);

/* proxy_build.c */
/* `answering` is the level whose proxy_pass counts. */
bool build_proxy(struct load *load, const struct scope *scope, const struct scope *answering,
                 struct conf_location *location);

/* build.c: everything was read; makes what conf.h promises. */
bool build_conf(struct load *load);

static inline bool str_is(struct conf_str str, const char *text)
{
    return __builtin_strlen(text) == str.len && __builtin_memcmp(str.at, text, str.len) == 0;
}
static inline bool str_equal(struct conf_str a, struct conf_str b)
{
    return a.len == b.len && __builtin_memcmp(a.at, b.at, a.len) == 0;
}
static inline bool str_begins(struct conf_str str, const char *text)
{
    size_t len = __builtin_strlen(text);
    return str.len >= len && __builtin_memcmp(str.at, text, len) == 0;
}

#endif
