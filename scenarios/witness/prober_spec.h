/* What the prober is told to do: the populations of clients, as text and as numbers. */
#ifndef SCENARIOS_WITNESS_PROBER_SPEC_H
#define SCENARIOS_WITNESS_PROBER_SPEC_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/history/hist.h"

enum { PROBER_NAME_MAX = 32, PROBER_PATH_MAX = 256, PROBER_DEPTH_MAX = 64, PROBER_UNIX_MAX = 108 };

/* How the body of an answer is checked. */
enum prober_check_kind {
    CHECK_FRAMING, /* only that it is complete */
    CHECK_ECHO,    /* "NONCE LABEL[ anything]\n" */
    CHECK_UPLOAD,  /* "NONCE BYTES ok|bad\n", or as echo */
    CHECK_PATTERN, /* pattern.h from offset 0 */
    CHECK_STREAM,  /* events "data: NONCE k\n\n", k without gaps */
};

/* What a kind of client is, apart from the numbers of one population. */
struct prober_kind {
    const char *method;
    enum prober_check_kind check;
    bool standing;   /* keeps `clients` connections open; the others are begun by arrivals */
    bool keeps;      /* a connection is kept for the next request */
    bool says_close; /* the request carries Connection: close */
    bool upgrades;   /* the request carries Upgrade: mw-tunnel */
    bool tls;
    bool counts; /* its failures are failures */
    /* What a population has that does not say otherwise. */
    uint64_t rate_milli, clients, body_bytes, read_rate, send_rate, depth;
};

struct prober_spec {
    enum hist_population kind;
    char name[PROBER_NAME_MAX];
    char path[PROBER_PATH_MAX];
    uint64_t rate_milli; /* arrivals per second x 1000 */
    uint64_t clients;
    uint64_t body_bytes;
    uint64_t bytes;     /* of the answer; 0 not stated */
    uint64_t read_rate; /* bytes per second; 0 as fast as they come */
    uint64_t send_rate; /* bytes per second; 0 at once */
    uint64_t depth;
    uint64_t timeout_ms;
    uint64_t connect_timeout_ms;
    uint64_t expect;                 /* status; 0 any below 500 */
    uint64_t port;                   /* 0 the target's */
    uint64_t tls;                    /* 1 over TLS, whatever the kind */
    char unix_path[PROBER_UNIX_MAX]; /* empty: over TCP */
    bool paused;
};

const struct prober_kind *prober_kind(enum hist_population kind);

/* Reads KIND,name=N,... . Returns 0, or -EINVAL with column, fault and what was expected in `why`.
 */
int prober_spec_parse(struct prober_spec *spec, const char *text, char *why, size_t why_size);
/* Reads a rate, requests per second with up to three decimals, as thousandths. */
bool prober_rate_parse(const char *text, size_t len, uint64_t *rate_milli);
/* HOST:PORT, IPv4 or a name that has such an address. */
int prober_target_parse(struct sockaddr_in *target, const char *text, char *why, size_t why_size);
/* A-B or A, IPv4 addresses in host byte order. */
int prober_sources_parse(uint32_t *first, uint32_t *count, const char *text, char *why,
                         size_t why_size);

#endif
