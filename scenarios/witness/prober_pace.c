/* Clients that are slow, long or hostile on purpose. */
#include "scenarios/witness/prober_pace.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "scenarios/witness/prober_conn.h"
#include "scenarios/witness/prober_exchange.h"
#include "scenarios/witness/prober_record.h"

enum {
    PACE_CHUNK_BYTES = 2048, /* about so much is moved at each tick */
    PACE_TICK_MIN_MS = 10,
    PACE_TICK_MAX_MS = 200,
    TUNNEL_TICK_MS = 50,
    TUNNEL_WINDOW_BYTES = 32768, /* of bytes that have not come back */
    ABUSE_PATIENCE_MS = 1000,
    GARBAGE_BYTES_MAX = 200,
};

static void on_pace(struct ev_loop *loop, struct ev_timer *w, int revents);
static void plan_abuse(struct prober_conn *c);
static void pour(struct prober_conn *c);

static uint64_t bytes_by_now(const struct prober_conn *c, uint64_t rate)
{
    uint64_t elapsed_us = (hist_now_ns() - c->since_ns) / 1000;
    return elapsed_us / 1000000 * rate + elapsed_us % 1000000 * rate / 1000000;
}

static void start_timer(struct prober_conn *c, uint64_t tick_ms)
{
    double seconds = (double)tick_ms / 1000;
    ev_timer_init(&c->pace, on_pace, seconds, seconds);
    ev_timer_start(c->pop->prober->loop, &c->pace);
}

static uint64_t tick_ms(uint64_t rate)
{
    uint64_t ms = PACE_CHUNK_BYTES * 1000 / rate;
    return ms < PACE_TICK_MIN_MS ? PACE_TICK_MIN_MS : ms > PACE_TICK_MAX_MS ? PACE_TICK_MAX_MS : ms;
}

void prober_pace_begin(struct prober_conn *c)
{
    const struct prober_spec *spec = &c->pop->spec;
    c->allowed = UINT64_MAX;
    if (spec->kind == HIST_HELD) {
        if (c->pop->released)
            return;
        c->allowed = c->total - 2; /* all but the last line end */
        c->deadline_ns = 0;
    } else if (spec->kind == HIST_ABUSIVE) {
        plan_abuse(c);
    } else if (spec->kind != HIST_TUNNEL && (spec->send_rate > 0 || spec->read_rate > 0)) {
        uint64_t rate = spec->send_rate > 0 ? spec->send_rate : spec->read_rate;
        if (spec->send_rate > 0)
            c->allowed = spec->body_bytes > 0 ? c->head_len : 1;
        start_timer(c, tick_ms(rate));
    }
}

void prober_pace_end(struct prober_conn *c)
{
    ev_timer_stop(c->pop->prober->loop, &c->pace);
    c->resting = false;
}

/* What is read at once, at this rate: less would be a system call for a handful of bytes. */
static uint64_t portion(uint64_t rate)
{
    uint64_t bytes = rate * tick_ms(rate) / 1000;
    return bytes > 0 ? bytes : 1;
}

size_t prober_pace_read_limit(struct prober_conn *c)
{
    uint64_t rate = c->pop->spec.read_rate;
    if (rate == 0 || c->state != CONN_BUSY)
        return PROBER_READ_BYTES;
    uint64_t may = bytes_by_now(c, rate) + 2 * portion(rate);
    if (may < c->response.body_bytes + portion(rate)) {
        c->resting = true;
        prober_conn_watch(c, c->io.events & EV_WRITE);
        return 0;
    }
    may -= c->response.body_bytes;
    return may < PROBER_READ_BYTES ? (size_t)may : PROBER_READ_BYTES;
}

void prober_pace_release(struct prober_conn *c)
{
    if (c->state != CONN_BUSY)
        return;
    c->allowed = UINT64_MAX;
    c->deadline_ns = hist_now_ns() + c->pop->spec.timeout_ms * PROBER_NS_PER_MS;
    prober_exchange_send(c);
}

static void on_pace(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    struct prober_conn *c =
        (struct prober_conn *)(void *)((char *)w - offsetof(struct prober_conn, pace));
    const struct prober_spec *spec = &c->pop->spec;
    (void)loop;
    (void)revents;
    if (c->tunnel) {
        pour(c);
        return;
    }
    if (spec->send_rate > 0 && c->sent < c->total) {
        uint64_t base = spec->body_bytes > 0 ? c->head_len : 1;
        c->allowed = base + bytes_by_now(c, spec->send_rate);
        prober_exchange_send(c);
    }
    if (c->resting) {
        c->resting = false;
        c->deadline_ns = hist_now_ns() + spec->timeout_ms * PROBER_NS_PER_MS; /* it was our rest */
        prober_conn_watch(c, (c->io.events & EV_WRITE) | EV_READ);
    }
}

/* ---- tunnels: pattern bytes, from a place that the nonce chooses --------------------------- */

void prober_tunnel_begin(struct prober_conn *c)
{
    c->tunnel = true;
    c->since_ns = hist_now_ns();
    start_timer(c, TUNNEL_TICK_MS);
    if (c->pop->running)
        pour(c);
    else
        prober_tunnel_leave(c);
}

static uint64_t tunnel_base(const struct prober_conn *c)
{
    return c->requests[c->first].nonce % PATTERN_PERIOD;
}

static void tunnel_end(struct prober_conn *c, enum hist_outcome outcome)
{
    prober_exchange_end(c, outcome, outcome);
    prober_conn_close(c, HIST_CLOSE_CLIENT);
}

static void pour(struct prober_conn *c)
{
    const struct prober_spec *spec = &c->pop->spec;
    uint64_t until = bytes_by_now(c, spec->send_rate) + 1;
    if (until > c->echoed + TUNNEL_WINDOW_BYTES)
        until = c->echoed + TUNNEL_WINDOW_BYTES;
    if (spec->bytes > 0 && until >= spec->bytes)
        until = spec->bytes;
    while (!c->leaving && c->poured < until && c->send_error == 0) {
        size_t len = (size_t)(until - c->poured);
        const char *bytes = pattern_span(tunnel_base(c) + c->poured, &len);
        ssize_t n = prober_conn_write(c, bytes, len, NULL, 0);
        if (n < 0) {
            /* Full: the next tick goes on. Broken: reading decides what it was. */
            if (errno != EAGAIN && errno != EINTR)
                c->send_error = errno;
            break;
        }
        if (c->poured == c->echoed)
            c->deadline_ns = hist_now_ns() + spec->timeout_ms * PROBER_NS_PER_MS;
        c->poured += (uint64_t)n;
    }
    if (spec->bytes > 0 && c->poured >= spec->bytes)
        prober_tunnel_leave(c);
}

void prober_tunnel_take(struct prober_conn *c, const char *data, size_t len)
{
    while (len > 0) {
        size_t n = len;
        const char *right = pattern_span(tunnel_base(c) + c->echoed, &n);
        if (n > c->poured - c->echoed || memcmp(right, data, n) != 0) {
            tunnel_end(c, HIST_WRONG_BODY);
            return;
        }
        c->echoed += n;
        c->response.body_bytes += n;
        data += n;
        len -= n;
    }
    if (c->poured == c->echoed)
        c->deadline_ns = 0;
    if (c->leaving && c->poured == c->echoed)
        tunnel_end(c, HIST_OK);
}

void prober_tunnel_leave(struct prober_conn *c)
{
    c->leaving = true;
    if (c->poured == c->echoed)
        tunnel_end(c, HIST_OK);
}

/* ---- abuse ----------------------------------------------------------------------------------- */

static void plan_abuse(struct prober_conn *c)
{
    uint64_t dice = prober_random(c->pop->prober);
    c->abuse = (uint8_t)(ABUSE_RESET + dice % 4);
    c->deadline_ns = c->since_ns + ABUSE_PATIENCE_MS * PROBER_NS_PER_MS;
    if (c->abuse == ABUSE_GARBAGE) {
        c->head_len = 1 + (uint32_t)(dice >> 8) % GARBAGE_BYTES_MAX;
        for (uint32_t i = 0; i < c->head_len; i++)
            c->out[i] = (char)prober_random(c->pop->prober);
        c->total = c->head_len;
        c->requests[0].end = c->total;
    }
    c->allowed = c->abuse == ABUSE_GARBAGE ? c->total : 1 + (dice >> 8) % c->total;
}

void prober_pace_abuse(struct prober_conn *c)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (c->abuse == ABUSE_RESET)
        setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (c->abuse == ABUSE_RESET || c->abuse == ABUSE_CLOSE)
        prober_conn_abandon(c);
    /* The others wait, half open, until the server or their patience ends it. */
}
