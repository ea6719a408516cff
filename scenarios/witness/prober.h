/* The prober's shared structures: a prober has populations, a population has connections, a
 * connection has requests. One thread, one libev loop. */
#ifndef SCENARIOS_WITNESS_PROBER_H
#define SCENARIOS_WITNESS_PROBER_H

#include <ev.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "scenarios/history/hist.h"
#include "scenarios/witness/prober_check.h"
#include "scenarios/witness/prober_response.h"
#include "scenarios/witness/prober_spec.h"

#define PROBER_NS_PER_S UINT64_C(1000000000)
#define PROBER_NS_PER_MS UINT64_C(1000000)

enum {
    PROBER_POPULATIONS_MAX = 32,
    PROBER_READ_BYTES = 65536,
    PROBER_HISTOGRAM_BUCKETS = 64 * 32,
    PROBER_PIDS = 16,
};

struct prober;
struct prober_population;
struct prober_tls; /* a TLS session; prober_tls.h */

/* The life of a connection. prober_conn_set_state() is the one place that changes it. */
enum prober_state {
    CONN_CLOSED,
    CONN_CONNECTING, /* connect() is under way */
    CONN_HANDSHAKE,  /* established, TLS is being agreed on */
    CONN_BUSY,       /* a request is outstanding */
    CONN_IDLE,       /* in the pool */
    CONN_LINGER,     /* the last answer is complete; waiting for the server's FIN */
};

/* What an abusive client does once `allowed` bytes are sent. */
enum prober_abuse { ABUSE_NONE, ABUSE_RESET, ABUSE_CLOSE, ABUSE_HALF_OPEN, ABUSE_GARBAGE };

struct prober_request {
    uint64_t nonce;
    uint64_t due_ns;
    uint64_t end;   /* bytes of the connection's batch after which it is sent */
    uint64_t after; /* requests sent on the connection before it */
    bool begun, sent;
};

struct prober_conn {
    struct ev_io io;
    struct ev_timer pace; /* slow sending, slow reading, tunnel bytes */
    struct prober_population *pop;
    TAILQ_ENTRY(prober_conn) link; /* in the idle list, the free list or the graveyard */
    struct prober_tls *tls;
    size_t index; /* in prober.conns */
    uint64_t conn;
    uint64_t connect_ns;
    uint64_t since_ns;    /* idle or lingering since; busy: the batch was begun */
    uint64_t deadline_ns; /* patience ends; 0 none */
    uint64_t first_byte_ns;
    uint64_t total, sent, allowed; /* bytes of the batch under way */
    uint64_t carried;              /* requests sent on it */
    uint64_t last_nonce;
    uint64_t echoed, poured; /* tunnel bytes back and sent */
    uint32_t head_len;
    int send_error; /* errno of a failed send, 0 none */
    uint8_t state, first, count;
    uint8_t abuse;
    bool announced; /* the server said, or HTTP says, that it will close */
    bool head_told; /* client.first_byte is written */
    bool tunnel;    /* 101 was answered */
    bool resting;   /* reading waits for the pace */

    bool leaving; /* a tunnel sends no more and waits for its last echo */
    struct prober_response response;
    struct prober_check check;
    char *out; /* heads of the batch, out_size bytes behind the requests */
    struct prober_request requests[];
};
TAILQ_HEAD(prober_conn_list, prober_conn);

/* Due times of requests that found no free connection. */
struct prober_queue {
    uint64_t *due_ns;
    size_t room, first, count;
};

struct prober_counts {
    uint64_t requests; /* begun, or ended without having begun */
    uint64_t ended, ok, failed;
    uint64_t outcomes[HIST_OUTCOME_COUNT];
};

struct prober_population {
    struct prober *prober;
    const struct prober_kind *kind;
    struct prober_spec spec;
    struct sockaddr_in target;
    int index;
    bool running;
    bool released; /* held requests are finished instead of held */
    bool dispatch; /* something changed that may let a request begin, or end what is stopped */
    uint64_t quit_by_ns; /* what is left then is given up; UINT64_MAX: not told to quit */
    /* arrivals, by absolute time */
    uint64_t next_due_ns, step_ns, step_rest, step_divisor, step_carry;
    uint64_t next_start_ns; /* standing: no new connection before */
    uint64_t failed_seen;   /* standing: ends that were not ok, when last looked at */
    bool closed;            /* standing: one came to its end since last looked at */
    struct prober_queue queue;
    struct prober_conn_list idle, spare;
    uint64_t open; /* connections that count against `clients` */
    uint64_t established;
    uint64_t held_told_at_ns;
    uint64_t held_told; /* in the last client.held */
    size_t head_len_max;
    struct prober_counts counts;
    uint32_t newest_gen;
    struct {
        uint32_t pid;
        uint64_t seen_ns;
    } pids[PROBER_PIDS];
};

struct prober {
    struct ev_loop *loop;
    struct hist_writer history;
    struct sockaddr_in target;
    uint32_t source_first, source_count, source_next; /* host byte order; count 0: any */
    uint64_t nonce_seed, nonce_count, random;
    struct prober_population populations[PROBER_POPULATIONS_MAX];
    int population_count;
    struct prober_conn **conns; /* all that are not closed */
    size_t conn_count, conn_room, sweep_next;
    uint64_t progress_ns, held_ns;     /* next due */
    struct prober_conn_list graveyard; /* closed in this turn of the loop */
    struct ev_io timer;
    struct ev_prepare prepare;
    int timer_fd;
    uint64_t armed_ns, heartbeat_ns;
    uint64_t lag_ns, lag_worst_ns; /* worst since the last progress line, and ever */
    uint64_t lag_told_ns, lag_told_at_ns, lagging_until_ns;
    uint64_t own_errors;          /* the prober's failures, not the server's */
    uint64_t own_errors_since_ns; /* in a row since; 0 the last attempt went well */
    uint32_t own_pid;
    bool quitting;
    int exit_code;
    uint64_t latency_max_ns, latency_count;
    uint64_t histogram[PROBER_HISTOGRAM_BUCKETS];
    char buffer[PROBER_READ_BYTES];
};

#endif
