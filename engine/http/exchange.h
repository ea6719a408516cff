/* One request and its answer. The driver (the worker) parses heads, moves bytes and keeps time;
 * what a request means and what is answered is decided here, without a socket or an event loop in
 * sight.
 *
 * A request's life as the driver sees it:
 *
 *     exchange_prepare(x, site, client)    the first byte came
 *     http1_feed(&x->head, ...)            until the head is whole
 *     exchange_execute(x, buf)             routes and starts the handler (or exchange_refuse)
 *     exchange_body, exchange_body_end     if exchange_wants_body(x)
 *     exchange_wake                        when x->wake_ns has come
 *     ... until exchange_answered(x) ...
 *     exchange_head                        the answer's head, then its body: x->answer.body
 *     exchange_pull                        for BODY_PULL
 *     exchange_end                         writes the access log and gives the memory back
 */
#ifndef ENGINE_HTTP_EXCHANGE_H
#define ENGINE_HTTP_EXCHANGE_H

#include <netinet/in.h>
#include <sys/types.h>

#include "engine/core/http1.h"
#include "engine/http/date.h"
#include "engine/http/pool.h"
#include "engine/shm/scoreboard.h"
#include "engine/shm/zone.h"

enum { EXCHANGE_HEADERS_MAX = 100, ANSWER_HEADERS_MAX = 8, INTERNAL_REDIRECTS_MAX = 10 };

struct access_logs;
struct documents;
struct upstreams;

/* What all requests of a worker share. */
struct http_site {
    const struct conf *conf;
    const struct scoreboard *board;
    const struct zones *zones; /* parallel to conf->zones */
    struct access_logs *logs;
    struct documents *documents; /* NULL: every request opens its own */
    const struct upstreams *upstreams;
    struct conf_str hostname;
    int slot;
    uint32_t generation;
    pid_t pid;
    uint64_t now_ns, wall_ns; /* of this turn of the loop: http_site_tick */
    struct date_cache date;
    uint64_t last_nonce; /* of the request before: sabotage.neighbour_body */
};
void http_site_tick(struct http_site *site, uint64_t now_ns, uint64_t wall_ns);

/* Who asks; lives as long as the connection. */
union http_address {
    struct sockaddr plain; /* a unix peer has only its family */
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};
/* What a PROXY header says; known: it named addresses. */
struct http_proxied {
    union http_address source, destination;
    bool known;
};
struct http_client {
    const struct conf_listen *listen;
    union http_address peer;
    struct tls *tls;                    /* NULL: it speaks plainly */
    const struct http_proxied *proxied; /* NULL: there was no PROXY header */
    uint64_t number;                    /* $connection */
    uint64_t opened_ns;
    uint32_t requests; /* this one included */
    int fd;
    bool pipelined;
};

enum answer_body {
    BODY_NONE,
    BODY_MEMORY,   /* answer.memory */
    BODY_FILE,     /* answer.file_fd, from file_offset, length bytes */
    BODY_PULL,     /* exchange_pull makes the next piece */
    BODY_UPSTREAM, /* the driver has it from the server that was asked (engine/http/talk.h) */
};

struct answer_header {
    struct conf_str name, value;
};

struct answer {
    int status; /* 0: not decided yet */
    enum answer_body body;
    struct conf_str memory;
    int file_fd;               /* owned, or document's; -1 none */
    struct document *document; /* whose file it is; NULL: nobody else's */
    uint64_t file_offset;
    uint64_t length; /* of the body, where known */
    bool length_known;
    bool chunked;       /* set by exchange_head */
    bool chunks_over;   /* the last chunk was made */
    bool upgraded;      /* 101: from here on bytes go through exchange_input and exchange_pull */
    bool silent;        /* close without a word (return 444) */
    bool from_upstream; /* reason, passed and these are set: */
    bool has_server, has_date; /* among the passed headers */
    struct conf_str reason;    /* of the status line */
    struct conf_str passed;    /* header lines as they are */
    struct conf_str content_type;
    int64_t modified_s; /* of the document, since the epoch; -1: there is none */
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t header_count;
    struct conf_str head; /* as formatted, for $sent_http_* */
};

enum pull {
    PULL_DATA, /* a piece to send */
    PULL_WAIT, /* nothing now: at x->wake_ns, or when x->wants_input and input has come */
    PULL_END,
    PULL_BROKEN, /* the promised length cannot be kept: close the connection */
};

struct handler;
struct talk;
struct talk_try;

struct exchange {
    struct http_site *site;
    const struct http_client *client;
    const struct conf_server *server;
    const struct conf_location *location;
    const struct handler *handler;

    /* the request */
    const char *buf; /* what the spans of `head` point into; stays in place until exchange_end */
    struct http1 head;
    struct http1_header headers[EXCHANGE_HEADERS_MAX];
    struct conf_str path, args, host; /* path normalised; host in lower case */
    uint64_t nonce;                   /* 0 none */
    uint64_t body_bytes;              /* of the request, so far */
    uint64_t started_ns;
    struct conf_str *values;     /* of conf.variables; NULL: none has one yet */
    struct regex_groups *groups; /* of the last match; NULL: there was none */
    uint8_t phase;               /* enum phase it is in */
    uint8_t redirects;
    bool restarted;     /* phase was set anew: go on there */
    bool internal;      /* not what the client asked for, but where that has led */
    bool uri_changed;   /* by the rules of this level: look for another location */
    bool fits_location; /* the path begins as the location's does: alias may be used */
    bool lacks_slash;   /* its location is found, but it must be asked for with a slash */
    bool adds_to_alias; /* try_files found a file below the alias of a regular expression */
    bool on_error_page; /* errors on the way to an error page get their standard page */
    bool body_over;     /* the request's body has come, whole */
    int sent_status;    /* 0: what the handler says; else this is sent, whatever it says */
    uint8_t limit_req, limit_conn; /* enum limit_verdict */
    struct conf_str body_path;     /* of client_body_in_file_only on; at NULL: it has no name */
    const char *request_id;        /* NULL: nobody has asked for it */
    struct limit_hold *holds;      /* what limit_conn counts it in */
    bool rate_is_set;              /* by set $limit_rate, or an upstream */
    uint64_t rate_bytes, rate_after_bytes; /* limit_rate; 0: none */
    uint8_t map_depth;                     /* of maps that ask for each other */
    const union http_address *peer;        /* the client's, as far as known */

    struct talk *talk;                 /* with servers behind us: talk.h; NULL: none */
    struct talk_try *tries, *last_try; /* of all talks of this request */

    /* the answer */
    struct answer answer;
    uint64_t wake_ns; /* 0: no time to wait for */
    bool wants_input;
    uint64_t bytes_sent, body_sent; /* counted by the driver */

    union { /* of the handler */
        struct {
            uint64_t sent, total, spread_ns, began_ns;
        } bytes;
        struct {
            bool good;
        } upload;
        struct byteranges *parts;
        struct {
            uint64_t count, every_ns, next_ns, until_ns;
        } stream;
        struct {
            struct conf_str pending;
            bool ended;
        } tunnel;
    } state;

    struct pool pool;
};

void exchange_prepare(struct exchange *x, struct http_site *site, const struct http_client *client);
/* The head is whole and stands in buf. Afterwards the answer may be there already. */
void exchange_execute(struct exchange *x, const char *buf);
/* Answers with an error page instead; for heads that are malformed (buf may hold half a head). */
void exchange_refuse(struct exchange *x, const char *buf, int status);

/* Must the body be read before the answer comes? Otherwise the driver throws it away. */
bool exchange_wants_body(const struct exchange *x);
void exchange_body(struct exchange *x, struct conf_str piece);
void exchange_body_end(struct exchange *x);
void exchange_wake(struct exchange *x);
static inline bool exchange_answered(const struct exchange *x)
{
    return x->answer.status != 0;
}

/* The client has gone: what the log says of a request that it has no answer for. */
static inline void exchange_abandon(struct exchange *x, int status)
{
    if (x->location != NULL && !exchange_answered(x))
        x->answer.status = status;
}

/* Can only the connection's end show where the answer ends? */
bool exchange_must_close(const struct exchange *x);
/* Formats the answer's head; `close` says whether the connection ends after it. NULL: no memory. */
struct conf_str exchange_head(struct exchange *x, bool close);
/* Makes the next piece of the body in `room` (at least 64 bytes), framed as the head said. */
enum pull exchange_pull(struct exchange *x, char *room, size_t size, struct conf_str *piece);
/* Bytes from the client of an upgraded connection. They must stay in place until exchange_pull says
 * PULL_WAIT again. */
void exchange_input(struct exchange *x, struct conf_str piece);
void exchange_input_end(struct exchange *x);
/* Writes the access log where there was a request, and gives back memory and file. */
void exchange_end(struct exchange *x);

/* ---- for handlers ---------------------------------------------------------------------------- */

static inline struct conf_str exchange_span(const struct exchange *x, struct http1_span span)
{
    return str_make(x->buf + span.at, span.len);
}
/* The method; GET on the way to an error page. */
struct conf_str exchange_method(const struct exchange *x);
/* Value of a request header the parser knows; at == NULL without one. */
struct conf_str exchange_known_header(const struct exchange *x, enum http1_name name);
/* The number in argument `name`, or `otherwise`. */
uint64_t exchange_argument(const struct exchange *x, const char *name, uint64_t otherwise);
/* A line in the error log that says whom it is about, if the location's error_log wants it. */
void exchange_log(const struct exchange *x, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sends the request to another path of the same server, as if the client had asked for it; what was
 * answered so far is forgotten. The caller must return at once: what comes next follows then. */
void exchange_redirect(struct exchange *x, struct conf_str path, struct conf_str args);
/* ... or to a location "@name". */
void exchange_redirect_named(struct exchange *x, struct conf_str name);
/* Counts a change of path; false: there were too many, and 500 is answered. */
bool exchange_may_redirect(struct exchange *x);
/* A path that the configuration or an upstream made; false: it leads out of the root (logged). */
bool exchange_set_path(struct exchange *x, struct conf_str path, struct conf_str args);

#endif
