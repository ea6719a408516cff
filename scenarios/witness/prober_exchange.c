/* Sends requests, reads answers, and classifies every end in exactly one way. */
#include "scenarios/witness/prober_exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "scenarios/witness/prober_conn.h"
#include "scenarios/witness/prober_pace.h"
#include "scenarios/witness/prober_record.h"

enum { SENDS_PER_TURN = 64 };

static size_t write_head(const struct prober_population *pop, char *out, size_t size,
                         uint64_t nonce);
static void begin_answer(struct prober_conn *c);
static void take(struct prober_conn *c, const char *data, size_t len);
static void take_unasked(struct prober_conn *c, const char *data, size_t len);
static void answered(struct prober_conn *c, bool extra, bool at_eof);
static void wrong(struct prober_conn *c);
static void settle(struct prober_conn *c, bool extra, bool at_eof);

void prober_exchange_prepare(struct prober_conn *c, uint64_t due_ns)
{
    struct prober_population *pop = c->pop;
    c->first = 0;
    c->count = (uint8_t)pop->spec.depth;
    c->head_len = 0;
    c->sent = 0;
    for (unsigned i = 0; i < c->count; i++) {
        struct prober_request *r = &c->requests[i];
        *r = (struct prober_request){
            .nonce = prober_nonce(pop->prober), .due_ns = due_ns, .after = c->carried + i};
        c->head_len += (uint32_t)write_head(pop, c->out + c->head_len, pop->head_len_max, r->nonce);
        r->end = c->head_len + pop->spec.body_bytes;
        c->last_nonce = r->nonce;
    }
    pop->counts.requests += c->count;
    c->total = c->head_len + pop->spec.body_bytes;
    begin_answer(c);
}

void prober_exchange_start(struct prober_conn *c)
{
    struct prober_population *pop = c->pop;
    if (pop->spec.kind == HIST_HELD && !pop->running && !pop->released) {
        prober_conn_abandon(c);
        return;
    }
    prober_conn_set_state(c, CONN_BUSY);
    c->deadline_ns = c->since_ns + pop->spec.timeout_ms * PROBER_NS_PER_MS;
    for (unsigned i = 0; i < c->count; i++)
        prober_record_request(c, &c->requests[i], 0);
    c->carried += c->count;
    prober_pace_begin(c);
    prober_exchange_send(c);
}

/* Sends from the heads, then from the pattern, up to what is allowed. */
static ssize_t write_some(struct prober_conn *c, uint64_t limit)
{
    size_t head = 0, body = 0;
    const char *pattern = NULL;
    if (c->sent < c->head_len)
        head = (size_t)((limit < c->head_len ? limit : c->head_len) - c->sent);
    if (limit > c->head_len) {
        uint64_t at = c->sent > c->head_len ? c->sent - c->head_len : 0;
        uint64_t left = limit - c->head_len - at;
        body = left < PATTERN_SPAN_MAX ? (size_t)left : PATTERN_SPAN_MAX;
        pattern = pattern_span(at, &body);
    }
    return prober_conn_write(c, c->out + c->sent, head, pattern, body);
}

static void tell_sent(struct prober_conn *c)
{
    for (unsigned i = c->first; i < (unsigned)c->first + c->count; i++) {
        struct prober_request *r = &c->requests[i];
        if (r->sent || r->end > c->sent)
            continue;
        r->sent = true;
        prober_record_sent(c, r);
    }
}

void prober_exchange_send(struct prober_conn *c)
{
    uint64_t limit = c->total < c->allowed ? c->total : c->allowed;
    bool blocked = false;
    if (c->state != CONN_BUSY || c->tunnel)
        return;
    for (int i = 0; c->sent < limit && c->send_error == 0 && !blocked; i++) {
        if (i == SENDS_PER_TURN) {
            blocked = true; /* others have a turn too */
            break;
        }
        ssize_t n = write_some(c, limit);
        if (n > 0) {
            c->sent += (uint64_t)n;
        } else if (errno == EAGAIN) {
            blocked = true;
        } else if (errno != EINTR) {
            /* An answer may have come before the failure: reading decides, not this. */
            c->send_error = errno;
        }
        if (n > 0 && c->deadline_ns != 0 && c->pop->kind->standing)
            c->deadline_ns = hist_now_ns() + c->pop->spec.timeout_ms * PROBER_NS_PER_MS;
    }
    tell_sent(c);
    prober_conn_watch(c, (c->resting ? 0 : EV_READ) | (blocked ? EV_WRITE : 0));
    if (c->abuse != ABUSE_NONE && (c->sent == limit || c->send_error != 0))
        prober_pace_abuse(c);
}

void prober_exchange_receive(struct prober_conn *c)
{
    struct prober *p = c->pop->prober;
    do {
        size_t room = prober_pace_read_limit(c);
        if (room == 0)
            return;
        ssize_t n = prober_conn_read(c, p->buffer, room);
        if (n > 0) {
            if (c->state == CONN_BUSY)
                take(c, p->buffer, (size_t)n);
            else if (c->state == CONN_IDLE)
                take_unasked(c, p->buffer, (size_t)n);
        } else if (n == 0) {
            prober_exchange_lost(c, 0);
        } else if (errno == EAGAIN || errno == EINTR) {
            return;
        } else {
            prober_exchange_lost(c, errno);
        }
    } while (c->tls != NULL && c->state != CONN_CLOSED);
}

void prober_exchange_end(struct prober_conn *c, enum hist_outcome current, enum hist_outcome rest)
{
    for (bool first = true; c->count > 0; first = false) {
        prober_record_end(c, &c->requests[c->first], first ? current : rest, 0);
        c->first_byte_ns = 0; /* the others have no answer under way */
        c->first++;
        c->count--;
    }
}

/* A send may have used up the reset; what is left of it looks like an end. Where part of the
 * request is unsent, a reset behind the server's FIN (EPIPE) counts too: it did not read to the
 * end. Where all was sent it does not: the server had closed decently before the request came. */
static bool was_reset(const struct prober_conn *c)
{
    return c->send_error == ECONNRESET || (c->send_error == EPIPE && c->sent < c->total);
}

void prober_exchange_lost(struct prober_conn *c, int error)
{
    bool reset = error != 0 || was_reset(c);
    if (c->state == CONN_IDLE || c->state == CONN_LINGER) {
        bool told = c->announced || (c->state == CONN_LINGER && c->pop->kind->says_close);
        prober_conn_close(c, reset  ? HIST_CLOSE_RESET
                             : told ? HIST_CLOSE_ANNOUNCED
                                    : HIST_CLOSE_SILENT);
        return;
    }
    if (error == EPROTO) {
        wrong(c);
        return;
    }
    if (!reset && !c->tunnel && c->head_told && prober_response_ends_at_eof(&c->response)) {
        answered(c, false, true);
        return;
    }
    enum hist_outcome before = reset ? HIST_RESET_BEFORE : HIST_EOF_BEFORE;
    enum hist_outcome within = reset ? HIST_RESET_MID : HIST_TRUNCATED;
    prober_exchange_end(c, c->first_byte_ns != 0 ? within : before, before);
    prober_conn_close(c, reset ? HIST_CLOSE_RESET_LOST : HIST_CLOSE_LOST);
}

size_t prober_exchange_head_max(const struct prober_spec *spec)
{
    static const size_t fixed = 320; /* everything but the path, with every number at its longest */
    return fixed + strlen(spec->path);
}

static size_t write_head(const struct prober_population *pop, char *out, size_t size,
                         uint64_t nonce)
{
    char length[48] = "";
    if (pop->kind->method[0] == 'P')
        snprintf(length, sizeof(length), "Content-Length: %" PRIu64 "\r\n", pop->spec.body_bytes);
    int n = snprintf(out, size,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nX-Mw-Nonce: %" PRIu64 "\r\n%s%s%s\r\n",
                     pop->kind->method, pop->spec.path, nonce, length,
                     pop->kind->says_close ? "Connection: close\r\n" : "",
                     pop->kind->upgrades ? "Connection: Upgrade\r\nUpgrade: mw-tunnel\r\n" : "");
    return (size_t)n;
}

static void begin_answer(struct prober_conn *c)
{
    struct prober_spec *spec = &c->pop->spec;
    enum prober_check_kind kind = c->pop->kind->check;
    if (spec->bytes > 0 && kind == CHECK_ECHO)
        kind = CHECK_PATTERN;
    c->first_byte_ns = 0;
    c->head_told = false;
    prober_response_init(&c->response);
    prober_check_begin(&c->check, kind, c->requests[c->first].nonce);
    c->check.expected = spec->bytes;
    c->check.uploaded = spec->body_bytes;
}

/* Whether the status is the one that was hoped for. */
static bool is_expected(const struct prober_conn *c)
{
    uint64_t expect = c->pop->spec.expect;
    return expect != 0 ? c->response.status == expect : c->response.status < 500;
}

/* What came is no answer, or not this request's; there is no telling what else would come. */
static void wrong(struct prober_conn *c)
{
    prober_exchange_end(c, HIST_WRONG_BODY, HIST_ABANDONED);
    prober_conn_close(c, HIST_CLOSE_CLIENT);
}

static void take(struct prober_conn *c, const char *data, size_t len)
{
    if (c->deadline_ns != 0 && c->pop->kind->standing)
        c->deadline_ns = hist_now_ns() + c->pop->spec.timeout_ms * PROBER_NS_PER_MS;
    while (c->state == CONN_BUSY) {
        size_t used = 0;
        if (c->tunnel) {
            prober_tunnel_take(c, data, len);
            return;
        }
        if (c->first_byte_ns == 0 && len > 0)
            c->first_byte_ns = hist_now_ns();
        enum prober_event event = prober_response_step(&c->response, data, len, &used);
        data += used;
        len -= used;
        switch (event) {
        case RESPONSE_MORE:
            return;
        case RESPONSE_HEAD:
            prober_record_first_byte(c, &c->requests[c->first]);
            if (!is_expected(c))
                c->check.kind = CHECK_FRAMING;
            break;
        case RESPONSE_BODY:
            prober_check_feed(&c->check, c->response.body, c->response.body_len);
            if (c->check.wrong)
                wrong(c);
            break;
        case RESPONSE_BAD:
            wrong(c);
            return;
        case RESPONSE_DONE:
            if (c->response.status == 101 && c->pop->kind->upgrades)
                prober_tunnel_begin(c);
            else
                answered(c, len > 0 && c->count == 1, false);
            if (len == 0)
                return;
        }
    }
}

/* Bytes on an idle connection: a server may say why it is about to close (408). Whatever it is,
 * the connection is not used again. */
static void take_unasked(struct prober_conn *c, const char *data, size_t len)
{
    size_t used;
    prober_response_init(&c->response);
    enum prober_event event = prober_response_step(&c->response, data, len, &used);
    if (event == RESPONSE_HEAD && c->response.close)
        c->announced = true;
    prober_conn_set_state(c, CONN_LINGER);
}

/* What a complete answer was. */
static enum hist_outcome judge(struct prober_conn *c, bool extra, bool at_eof, uint16_t *flags)
{
    const struct prober_response *r = &c->response;
    const struct prober_spec *spec = &c->pop->spec;
    uint32_t label = 0;
    enum prober_verdict body = prober_check_end(&c->check, at_eof, &label);
    *flags = HIST_BIT(HIST_F_ANSWERED);
    if (!is_expected(c))
        return HIST_SERVER_ERROR;
    if (extra || (r->has_nonce && r->nonce != c->requests[c->first].nonce))
        return HIST_WRONG_BODY;
    /* A status that is no success was asked for: its body is the server's own. */
    if (spec->expect >= 300)
        return HIST_OK;
    if (label != 0 && r->gen != 0 && label != r->gen)
        *flags |= HIST_BIT(HIST_F_MIXED_GEN);
    if (body == BODY_CUT && at_eof) {
        *flags &= (uint16_t)~HIST_BIT(HIST_F_ANSWERED);
        return HIST_TRUNCATED;
    }
    return body == BODY_RIGHT ? HIST_OK : HIST_WRONG_BODY;
}

static void answered(struct prober_conn *c, bool extra, bool at_eof)
{
    uint16_t flags;
    c->announced = c->response.close;
    enum hist_outcome outcome = judge(c, extra, at_eof, &flags);
    prober_record_end(c, &c->requests[c->first], outcome, flags);
    c->first++;
    c->count--;
    if (c->count > 0 && !c->announced) {
        begin_answer(c);
        return;
    }
    /* Requests behind a last answer were not lost: HTTP lets a client send them elsewhere. */
    c->first_byte_ns = 0;
    prober_exchange_end(c, HIST_ABANDONED, HIST_ABANDONED);
    settle(c, extra, at_eof);
}

/* Nothing is outstanding any more: keep the connection, wait for the server's FIN, or close. */
static void settle(struct prober_conn *c, bool extra, bool at_eof)
{
    bool last = c->announced || c->pop->kind->says_close;
    prober_pace_end(c);
    if (at_eof)
        prober_conn_close(c, HIST_CLOSE_ANNOUNCED);
    else if (extra)
        prober_conn_close(c, HIST_CLOSE_CLIENT);
    else if (!last && c->sent == c->total && c->pop->kind->keeps)
        prober_conn_set_state(c, CONN_IDLE); /* a stopped pool closes it before the loop sleeps */
    else
        prober_conn_set_state(c, CONN_LINGER);
    if (c->state == CONN_LINGER && !last && c->sent == c->total && prober_conn_lives(c))
        prober_conn_close(c, HIST_CLOSE_CLIENT);
    if (c->state != CONN_CLOSED)
        prober_conn_watch(c, EV_READ);
}
