/* What the files of the worker share. Nothing outside engine/worker includes this.
 *
 *   worker.c         life: start, signals, channel, heartbeat, leaving
 *   worker_boot.c    what the process becomes before it serves: limits, user, priority, CPU
 *   worker_accept.c  carries out what admission (engine/core/adm.h) decides
 *   worker_conn.c    carries out what a connection (engine/core/conn.h) decides
 *   worker_shake.c   what comes before the first request: PROXY headers, TLS
 *   worker_io.c      moves bytes: receives, parses, sends
 *   worker_wire.c    how they move: plainly or through TLS
 *   worker_memory.c  buffers and flights, held only while a connection needs them
 *   worker_upstream.h  servers that requests are passed to: four files of their own */
#ifndef ENGINE_WORKER_WORKER_IMPL_H
#define ENGINE_WORKER_WORKER_IMPL_H

#include <ev.h>
#include <signal.h>

#include "engine/core/adm.h"
#include "engine/core/conn.h"
#include "engine/http/access_log.h"
#include "engine/http/exchange.h"
#include "engine/tls/tls.h"
#include "engine/upstream/peers.h"
#include "engine/worker/worker.h"
#include "engine/worker/worker_relay.h"
#include "scenarios/history/hist.h"

enum {
    BUFFER_BYTES = 16384, /* of an ordinary buffer; longer heads get a larger one */
    SEND_TURN_BYTES =
        2 * 1024 * 1024, /* one connection sends so much before others have their turn */
    RATE_STEP_NS = 50 * 1000 * 1000, /* limit_rate sends not more often */
    REQUESTS_PER_TURN = 32,          /* and so many pipelined requests */
    DISCARD_BYTES = 256 * 1024, /* rest of an unwanted body that does not cost the connection */
    SPARE_MAX = 64,             /* buffers and flights kept for the next request */
    EVENTS_PER_TURN_MAX = 8,
};

/* A place for bytes: what came and is not used up is bytes[at..len). */
struct buffer {
    struct buffer *next; /* in the list of spare ones */
    uint32_t size, at, len;
    char bytes[];
};

/* One request under way: taken when its first byte comes, given back when all of it is over. An
 * idle connection has none. */
struct flight {
    struct flight *next; /* in the list of spare ones */
    uint32_t base;       /* where its head starts in the connection's buffer */
    bool parsed;         /* the head is whole: the buffer must stay in place */
    bool over;           /* answered and logged; what is left is a body nobody wants */
    bool corked;
    struct http1_body body;
    struct conf_str prefix;             /* 100 Continue, as far as it is not sent yet */
    struct conf_str head;               /* of the answer, as far as not sent yet */
    struct conf_str frame, piece, tail; /* ... and a chunk's size, data, and end */
    char frame_text[HTTP1_CHUNK_HEAD_MAX];
    struct relay relay; /* an answer that another server gives */
    bool body_held;     /* the client's body waits until some of it has gone to that server */
    uint64_t file_left;
    off_t file_at;
    struct buffer *out; /* room for pieces of a generated body */
    struct exchange x;
};

/* Its texts in the order in which they are sent. */
#define FLIGHT_TEXTS(f)                                                                            \
    {                                                                                              \
        (f)->prefix, (f)->head, (f)->frame, (f)->piece, (f)->tail                                  \
    }
enum { FLIGHT_TEXT_COUNT = 5 };
static inline bool flight_has_texts(const struct flight *flight)
{
    return flight->prefix.len > 0 || flight->head.len > 0 || flight->frame.len > 0 ||
           flight->piece.len > 0 || flight->tail.len > 0;
}

struct link {
    struct link *prev, *next;
};

/* One client connection; all are made at start. An idle one holds nothing else. */
struct connection {
    ev_io io;
    ev_timer timer;
    struct worker *worker;
    struct link link; /* in worker.free, idle, deferred or fresh; alone otherwise */
    struct conn conn;
    struct http_client client;
    struct buffer *in;     /* NULL: nothing is buffered */
    struct flight *flight; /* NULL: no request */
    uint64_t timer_ns;     /* when the timer will come; 0 it is not set */
    uint64_t hist_id;
    uint64_t last_nonce;
    uint8_t events; /* EV_READ | EV_WRITE that conn wants */
    uint8_t gauge;  /* which of reading, writing, waiting counts it */
    bool idle_listed;
    bool deferred;
    bool fresh; /* just accepted: it is read once before it is watched */
    bool nodelay;
    bool input_held;  /* a tunnel's server cannot take more: the client is not read */
    bool input_ended; /* a tunnel's client sends no more */
    bool vanishing;   /* sabotage.vanish: leaves no trace */
};

struct listener {
    ev_io io;
    struct worker *worker;
    const struct conf_listen *conf;
    int fd;
    uint16_t port;
    uint32_t part; /* of the sockets that share its address */
};

/* Another worker of this generation, by slot: when its heartbeat was last seen to move. */
struct peer {
    uint64_t beat, moved_ns;
};

/* Idle connections to the servers of one group, the longest idle first. */
struct uplink_pool {
    struct link idle;
    uint32_t count;
};

struct worker {
    const struct worker_args *args;
    struct ev_loop *loop;
    struct adm adm;
    struct http_site site;
    struct access_logs logs;
    char hostname[256];
    pid_t parent;  /* the master */
    uint32_t owed; /* enum channel_kind that the master has not been told yet; 0 none */
    bool orphaned, leaving, started, given_up;
    uint64_t fd_limit;
    int exit_code;

    ev_async signalled;
    ev_io channel;
    ev_timer heartbeat, admission, others;
    ev_check turn;
    ev_prepare rest;

    struct listener *listeners;
    size_t listener_count;
    bool watching; /* the listeners */
    struct peer peers[SCORE_SLOTS_MAX];
    struct connection *connections;
    struct link free, idle, deferred, fresh; /* idle: the longest idle first */
    uint64_t connection_number;
    struct upstreams upstreams;
    uint32_t uplink_count;                 /* connections to other servers, idle ones included */
    struct uplink_pool *uplink_pools;      /* parallel to conf->upstreams */
    struct tls_sessions **uplink_sessions; /* by conf_proxy.tls_index, then by server */

    struct conn_limits *limits; /* parallel to conf.locations */
    struct buffer *spare_buffers;
    struct flight *spare_flights;
    unsigned spare_buffer_count, spare_flight_count;
    char scratch[BUFFER_BYTES]; /* for input that is thrown away, and records of TLS */
};

/* ---- worker.c ----------------------------------------------------------------------------------
 */

#define WORKER_COUNT(w, counter, n) SCORE_ADD((w)->args->row->counters.counter, n)
/* Writes a record of this worker into the history. */
void worker_record(struct worker *w, enum hist_kind kind, const struct hist_record *fields);
/* Ends the loop; the process will exit with `code`. */
void worker_leave(struct worker *w, int code);
void worker_give_up(struct worker *w); /* its loop has lost a descriptor */

/* ---- worker_boot.c -----------------------------------------------------------------------------
 */

/* Limits, working directory, CPU, priority and, last, user. 0, or a negative errno (logged). */
int worker_boot(const struct worker_args *args);

/* ---- worker_accept.c ---------------------------------------------------------------------------
 */

/* 0, or a negative errno. */
int admission_init(struct worker *w);
void admission_help(struct worker *w);
void admission_happen(struct worker *w, enum adm_event_kind kind, uint64_t value);
/* QUIT, or the master's word for it. */
void admission_order_drain(struct worker *w);
void admission_free(struct worker *w);

/* ---- worker_conn.c -----------------------------------------------------------------------------
 */

int connections_init(struct worker *w);
void connections_free(struct worker *w);
/* Takes over an accepted socket. */
void connection_open(struct worker *w, const struct listener *listener, int fd,
                     const struct sockaddr_storage *peer);
/* Reads those that were accepted in this turn, before the loop sleeps. */
void connections_serve_newcomers(struct worker *w);
/* Sabotage shed_established: cuts a connection whose answer takes its time. */
void connections_sabotage_cut(struct worker *w);
/* Tells every connection. */
void connections_tell(struct worker *w, enum conn_event_kind kind);
/* CONN_EV_REAP to so many connections: the longest idle first, then others. */
void connections_relieve(struct worker *w, uint32_t count);

/* Events of one connection that wait to be decided on; effects add to them. */
struct turn {
    struct connection *c;
    struct conn_event events[EVENTS_PER_TURN_MAX];
    unsigned first, count;
    unsigned requests;
    bool ended; /* the connection is gone */
};
void turn_push(struct turn *t, enum conn_event_kind kind, unsigned flags);
void turn_push_event(struct turn *t, struct conn_event event);
/* Decides on its events and those that come of them, then looks after the connection. */
void turn_run(struct turn *t);

/* ---- worker_shake.c ----------------------------------------------------------------------------
 */

void io_shake(struct turn *t);
tls_choose shake_choose;
/* The connection is over. */
void shake_end(struct connection *c);

/* ---- worker_wire.c -----------------------------------------------------------------------------
 */

/* Sends of the answer's texts, or of its file up to `most` bytes. Bytes sent or -errno. */
ssize_t wire_send(struct connection *c, size_t most);
ssize_t wire_recv(struct connection *c, char *buf, size_t len);
/* TLS's close_notify. False: there is no room for it now. */
bool wire_say_goodbye(struct connection *c);
/* Is there input that no readiness of the socket will tell of? */
bool wire_pending(const struct connection *c);

/* ---- worker_io.c -------------------------------------------------------------------------------
 */

/* A failed call on a connection's socket, as an event. */
void io_push_failure(struct turn *t, int err);
void io_receive(struct turn *t);
void io_parse(struct turn *t);
void io_parse_body(struct turn *t);
void io_execute(struct turn *t);
void io_respond(struct turn *t, int status);
void io_continue(struct turn *t);
/* The connection has decided whether it closes: formats the head and starts to send. */
void io_begin_answer(struct turn *t);
void io_send(struct turn *t);
void io_enter_tunnel(struct turn *t);
/* The exchange has its answer. */
void io_push_response(struct turn *t);
/* Reads the body where the exchange has come to want it. */
void io_want_body(struct turn *t);
/* The time a request waited for has come. */
void io_wake(struct turn *t);
/* Is there input that belongs to the next request? */
bool io_buffered(const struct connection *c);

/* ---- worker_upstream.c, worker_upstream_read.c, worker_uplink.c ---------------------------------
 */

/* After each call of exchange_*: asks a server if the exchange wants one, sends what has come of a
 * streamed body. Afterwards there may be an answer. */
void upstream_attend(struct turn *t);
/* Has the client gone, and is its request (there is one) worth nothing without it? */
bool upstream_client_has_left(const struct connection *c);
/* The request needs its server no more. */
void upstream_drop(struct flight *flight);
/* Gets the next piece of a BODY_UPSTREAM for the client; what was got before is sent. */
enum pull upstream_pull(struct connection *c);
/* What the client sent through a tunnel. */
void upstream_tunnel_send(struct turn *t);
/* Closes up to so many idle connections to servers. How many it closed. */
uint32_t uplinks_relieve(struct worker *w, uint32_t count);
/* 0, or -ENOMEM. */
int uplinks_init(struct worker *w);
void uplinks_free(struct worker *w);

/* ---- worker_memory.c ---------------------------------------------------------------------------
 */

/* NULL: no memory. */
struct buffer *buffer_take(struct worker *w, size_t size);
void buffer_give(struct worker *w, struct buffer *buffer);
struct flight *flight_take(struct worker *w, const struct http_client *client);
void flight_give(struct worker *w, struct flight *flight);
void memory_free(struct worker *w);

static inline void link_init(struct link *link)
{
    link->prev = link->next = link;
}
static inline bool link_alone(const struct link *link)
{
    return link->next == link;
}
static inline void link_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link_init(link);
}
static inline void link_append(struct link *list, struct link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}
#define CONNECTION_OF(pointer)                                                                     \
    ((struct connection *)(void *)((char *)(pointer)-offsetof(struct connection, link)))

#endif
