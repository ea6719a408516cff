/* One request's dealings with the servers it is passed to: what http and the driver (the worker)
 * tell each other. http says what to send, whom to ask, what an answer means; the driver connects,
 * moves bytes, keeps time and connections. It looks at x->talk after each call of exchange_*:
 *
 *     TALK_WAITS   the client's body is still being read
 *     TALK_READY   talk_pick() names a server; connect to it, talk_sent() and send
 *                      talk->head, then talk->body (memory, or its file)
 *                  a streamed body grows with exchange_body: send more then; talk_taken() forgets
 *                  what has gone; talk->body_whole says that no more comes
 *     TALK_ASKED   bytes of the answer's head go to http1_response_feed(&talk->response), and when
 *                  it is whole: talk_answered()
 *     TALK_ENDS    the answer is made: x->answer with body BODY_UPSTREAM is what the driver still
 *                  receives, talk_received() counts it, talk_over() says that it was all
 *     TALK_OVER    the server is released; nothing more is to be done
 *
 * Whatever goes wrong is told to talk_failed(), which says what is next. Everything lives as long
 * as the exchange; what response spans point into must stay in place as long. */
#ifndef ENGINE_HTTP_TALK_H
#define ENGINE_HTTP_TALK_H

#include "engine/conf/conf_proxy.h"
#include "engine/core/balance.h"
#include "engine/core/http1_response.h"
#include "engine/http/body_store.h"
#include "engine/http/exchange.h"
#include "engine/upstream/peers.h"
#include "engine/upstream/retry.h"

enum { TALK_HEADERS_MAX = 100 };
#define TALK_UNKNOWN UINT64_MAX

/* What became of one server that was asked: for $upstream_*. */
struct talk_try {
    struct talk_try *next;
    struct conf_str addr;
    uint64_t began_ns;
    uint64_t connect_ns, header_ns, response_ns; /* since then; TALK_UNKNOWN: not reached */
    uint64_t sent, received, length;             /* bytes; length: of the answer's body */
    uint16_t status;                             /* 0: none */
    bool redirected;                             /* the first after an internal redirect */
};

enum talk_state { TALK_WAITS, TALK_READY, TALK_ASKED, TALK_ENDS, TALK_OVER };

/* What is to be done next. */
enum talk_next {
    TALK_GO_ON,  /* the server's answer is the client's: x->answer is made of it */
    TALK_AGAIN,  /* ask another server: the state is TALK_READY */
    TALK_DROP,   /* the client gets another answer, or none: give the connection up */
    TALK_INTERIM /* 1xx: another head follows */
};

struct uplink; /* the driver's connection to a server */

struct talk {
    struct exchange *x;
    const struct conf_proxy *conf;
    enum talk_state state;

    /* whom to ask */
    struct peers *peers;
    struct balance_choice choice;
    const struct conf_upstream_server *server; /* being asked, or asked last; NULL */
    int server_index;                          /* BALANCE_NONE: none is held */
    struct retry retry;
    struct talk_try *tries, *try;    /* `try`: the last one */
    struct uplink *link;             /* the driver's; NULL: none */
    bool tls, shaking;               /* https; the driver does the handshake */
    struct conf_str host, port, uri; /* $proxy_host, $proxy_port; the URI that is asked for */
    char peer_key[16];               /* of ip_hash */

    /* the request */
    struct conf_str head;
    struct body_store body;
    uint64_t body_length; /* TALK_UNKNOWN: it goes in chunks */
    bool streams;         /* the body is passed on as it comes */
    bool body_whole;      /* no more of it comes */
    bool has_body;
    bool sent_whole; /* the driver has sent all of it in this try */
    bool head_only;  /* HEAD: no body is answered */

    /* the answer */
    struct http1_response response;
    struct http1_header headers[TALK_HEADERS_MAX];
    const char *buf; /* what response's spans point into; NULL: no head has come */
    bool buffers;    /* proxy_buffering, or what X-Accel-Buffering says */
};

/* ---- for the driver -------------------------------------------------------------------------- */

/* Takes a server for the next try. false: there is none; the client has its answer. */
bool talk_pick(struct talk *talk);
/* The connection stands, new or `reused`. */
void talk_connected(struct talk *talk);
/* From now on the server may have seen something of the request. */
void talk_sent(struct talk *talk, size_t bytes);
/* A streamed body's first bytes have gone. */
void talk_taken(struct talk *talk, size_t bytes);
/* Readies talk->response for a head whose first byte stands at `buf`. */
void talk_expect(struct talk *talk, const char *buf);
/* The head is whole and stands at `buf`. */
enum talk_next talk_answered(struct talk *talk, const char *buf);
void talk_received(struct talk *talk, size_t bytes, size_t of_body);
/* The answer has come, whole; the server did well. */
void talk_over(struct talk *talk);
/* `reused`: an idle connection was taken and the server had closed it, which says nothing against
 * the server. The message is a sentence without its end: "connect() failed (111: ...)". */
enum talk_next talk_failed(struct talk *talk, enum retry_cause cause, bool reused,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));
/* No server is to blame, none is asked instead: this machine lacks what a connection needs. */
void talk_lacks(struct talk *talk, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An answer that had begun cannot be finished: only a line in the log. */
void talk_broke(struct talk *talk, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends it, wherever it is: the client has gone, or has another answer. */
void talk_end(struct talk *talk);
/* Gives back what it holds outside the exchange's memory. */
void talk_free(struct talk *talk);

/* ---- within http ----------------------------------------------------------------------------- */

/* proxy_request.c: writes talk->head. false: no memory. */
bool talk_write_request(struct talk *talk);
/* proxy_target.c: finds talk->peers, host, port and uri; 0, or the status to answer with. */
int talk_find_target(struct talk *talk);
/* proxy_answer.c: makes x->answer from the server's. */
enum talk_next talk_make_answer(struct talk *talk);
/* The value of a header of the server's answer; at == NULL: none. `name` is in lower case. */
struct conf_str talk_header(const struct talk *talk, struct conf_str name);
/* ", upstream: \"http://ADDRESS/URI\"" for a line of the log; its length, 0 without a server. */
size_t talk_describe(const struct talk *talk, char *out, size_t size);

#endif
