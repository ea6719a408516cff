/* Connections to the servers that requests are passed to, and answers on their way from there to
 * the client. Carries out what engine/http/talk.h says; nothing outside engine/worker includes it.
 *
 *   worker_upstream.c        asks a server: connects, sends, tells the talk what went wrong
 *   worker_upstream_read.c   receives the answer, or a tunnel's bytes
 *   worker_uplink.c          the life of a connection to a server; the idle ones
 *   worker_uplink_io.c       how its bytes move: plainly or through TLS
 *   worker_relay.c           what came and is not sent to the client yet */
#ifndef ENGINE_WORKER_WORKER_UPSTREAM_H
#define ENGINE_WORKER_WORKER_UPSTREAM_H

#include "engine/http/talk.h"
#include "engine/worker/worker_impl.h"

enum uplink_state {
    UPLINK_CONNECTING,
    UPLINK_HANDSHAKE, /* TLS */
    UPLINK_ASKING,    /* the request is sent, its answer's head awaited */
    UPLINK_ANSWERING, /* the answer's body comes */
    UPLINK_TUNNEL,
    UPLINK_IDLE, /* kept for another request */
};

struct uplink {
    ev_io io;
    ev_timer timer;
    struct worker *worker;
    struct link link;     /* in its group's idle list; alone otherwise */
    struct connection *c; /* whose request it carries; NULL: idle */
    struct peers *peers;
    int server; /* in the group */
    int fd;
    struct tls *tls;                 /* NULL: it speaks plainly */
    const struct conf_proxy *tls_of; /* whose settings it speaks TLS with; NULL: none */
    uint8_t state;                   /* enum uplink_state */
    uint8_t events;                  /* EV_READ | EV_WRITE that are watched */
    bool reused;
    bool sent_all;    /* of the request, as far as it has come */
    bool send_failed; /* it takes no more; perhaps it has answered already */
    uint32_t requests;
    uint64_t opened_ns;
    uint64_t due_ns;   /* when the server has waited too long; UINT64_MAX: never */
    uint64_t timer_ns; /* when the timer will come; 0: it is not set */
    size_t head_sent;
    uint64_t body_sent;
};

/* ---- worker_uplink.c ------------------------------------------------------------------------- */

/* An idle connection to that server, which speaks TLS as `tls_of` says (NULL: plainly), or NULL. */
struct uplink *uplink_reuse(struct worker *w, struct peers *peers, int server,
                            const struct conf_proxy *tls_of);
/* A new one: connected, connecting, or NULL and *err. */
struct uplink *uplink_open(struct worker *w, struct peers *peers, int server, bool keepalive,
                           int *err);
void uplink_close(struct uplink *u);
/* Its request is over: keeps it for another one if it may. */
void uplink_finish(struct uplink *u, bool may_keep);
void uplink_watch(struct uplink *u, int events);
/* The server has so long from now on; 0: for ever. */
void uplink_wait(struct uplink *u, uint64_t timeout_ns);
/* ---- worker_uplink_io.c ---------------------------------------------------------------------- */

/* Begins TLS on a connection that stands. 0, or a negative errno. */
int uplink_secure(struct uplink *u, const struct talk *talk);
/* Is there input that no readiness of the socket will tell of? */
bool uplink_pending(const struct uplink *u);
/* Bytes taken or given; otherwise -EAGAIN or another negative errno. recv: 0 is the end. */
ssize_t uplink_recv(struct uplink *u, void *buf, size_t len);
ssize_t uplink_writev(struct uplink *u, const struct iovec *iov, int count);
ssize_t uplink_send_file(struct uplink *u, int file, uint64_t from, uint64_t len);

/* ---- worker_upstream.c ----------------------------------------------------------------------- */

static inline struct talk *uplink_talk(const struct uplink *u)
{
    return u->c->flight->x.talk;
}
/* Sends what there is to send. */
void upstream_send(struct turn *t);
/* It went wrong before the client had anything: another server, or an error page. */
void upstream_fail(struct turn *t, enum retry_cause cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The answer has begun (TALK_GO_ON), or its server is out of it and the exchange goes on. */
void upstream_go_on(struct turn *t, enum talk_next next);
/* What a socket or a timer of the connection says. */
void upstream_happen(struct uplink *u, int revents);
void upstream_time_out(struct uplink *u);

/* ---- worker_upstream_read.c ------------------------------------------------------------------ */

void upstream_receive(struct turn *t);
/* Sends the client what there is for it, unless it cannot take more now. */
void upstream_pass_on(struct turn *t);

#endif
