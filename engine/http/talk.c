/* A request's tries: which server is asked, what became of it, and what follows from that. */
#include "engine/http/talk.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/http/answer.h"
#include "engine/http/phases.h"
#include "engine/os/log.h"

static const char *talk_doing(const struct talk *talk)
{
    if (talk->state == TALK_ENDS)
        return "reading upstream";
    if (talk->shaking)
        return "SSL handshaking to upstream";
    if (talk->try->connect_ns == TALK_UNKNOWN)
        return "connecting to upstream";
    if (!talk->sent_whole)
        return "sending request to upstream";
    return "reading response header from upstream";
}

/* ---- tries ----------------------------------------------------------------------------------- */

static uint64_t since_began(const struct talk *talk)
{
    return talk->x->site->now_ns - talk->try->began_ns;
}

static bool talk_add_try(struct talk *talk, struct conf_str addr)
{
    struct exchange *x = talk->x;
    struct talk_try *try = pool_take(&x->pool, sizeof *try);
    if (try == NULL)
        return false;
    *try = (struct talk_try){
        .addr = addr,
        .began_ns = x->site->now_ns,
        .connect_ns = TALK_UNKNOWN,
        .header_ns = TALK_UNKNOWN,
        .response_ns = TALK_UNKNOWN,
        .redirected = talk->try == NULL && x->last_try != NULL,
    };
    if (x->last_try != NULL)
        x->last_try->next = try;
    else
        x->tries = try;
    x->last_try = talk->try = try;
    return true;
}

static void talk_release(struct talk *talk, enum balance_outcome outcome)
{
    if (talk->server_index == BALANCE_NONE)
        return;
    if (talk->try->response_ns == TALK_UNKNOWN)
        talk->try->response_ns = since_began(talk);
    if (peers_release(talk->peers, talk->server_index, outcome, talk->x->site->now_ns))
        exchange_log(talk->x, LEVEL_WARN, "upstream server temporarily disabled while %s",
                     talk_doing(talk));
    talk->server_index = BALANCE_NONE;
    if (talk->retry.tries_left > 0)
        talk->retry.tries_left--;
}

/* The client gets this page, or what error_page makes of it: perhaps another talk. */
static void talk_give_up(struct talk *talk, int status)
{
    struct exchange *x = talk->x;
    talk->state = TALK_OVER;
    talk->buf = NULL;
    if (exchange_answered(x))
        return;
    answer_page(x, status);
    phases_continue(x);
}

bool talk_pick(struct talk *talk)
{
    struct exchange *x = talk->x;
    int index = peers_pick(talk->peers, &talk->choice, x->site->now_ns);
    const struct conf_upstream *group = talk->peers->conf;
    if (!talk_add_try(talk, index == BALANCE_NONE ? group->name : group->servers[index].text)) {
        talk_give_up(talk, 500);
        return false;
    }
    talk->server_index = index;
    talk->retry.request_sent = talk->sent_whole = talk->shaking = false;
    if (index == BALANCE_NONE) {
        talk->server = NULL;
        exchange_log(x, LEVEL_ERR, "no live upstreams while connecting to upstream");
        talk->try->status = 502;
        talk->try->response_ns = 0;
        talk_give_up(talk, 502);
        return false;
    }
    talk->server = &group->servers[index];
    talk->state = TALK_ASKED;
    return true;
}

void talk_connected(struct talk *talk)
{
    talk->try->connect_ns = since_began(talk);
}

void talk_sent(struct talk *talk, size_t bytes)
{
    talk->retry.request_sent = true;
    talk->try->sent += bytes;
}

void talk_taken(struct talk *talk, size_t bytes)
{
    body_store_drop(&talk->body, bytes);
    talk->retry.body_gone = true;
}

/* ---- the answer ------------------------------------------------------------------------------ */

void talk_expect(struct talk *talk, const char *buf)
{
    talk->buf = buf;
    http1_response_init(&talk->response, talk->headers, TALK_HEADERS_MAX, talk->head_only);
}

void talk_received(struct talk *talk, size_t bytes, size_t of_body)
{
    talk->try->received += bytes;
    talk->try->length += of_body;
}

static enum talk_next talk_try_another(struct talk *talk, enum retry_cause cause, unsigned status)
{
    bool failed = retry_is_failure(cause, status);
    talk_release(talk, failed ? BALANCE_FAILED : BALANCE_SERVED);
    talk->state = TALK_READY;
    talk->buf = NULL;
    return TALK_AGAIN;
}

enum talk_next talk_answered(struct talk *talk, const char *buf)
{
    struct http1_response *response = &talk->response;
    talk->buf = buf;
    if (response->status < 200 && response->status != 101)
        return TALK_INTERIM;
    talk->try->header_ns = since_began(talk);
    talk->try->status = response->status;
    if (retry_wants_status(talk->conf, response->status)) {
        struct retry next = talk->retry;
        next.tries_left -= next.tries_left > 0; /* this one is not released yet */
        if (retry_may(talk->conf, &next, RETRY_STATUS, response->status, talk->x->site->now_ns))
            return talk_try_another(talk, RETRY_STATUS, response->status);
    }
    enum talk_next next = talk_make_answer(talk);
    talk->retry.committed = true;
    if (next == TALK_DROP) {
        talk_end(talk);
        talk->buf = NULL;
        phases_continue(talk->x);
    } else {
        talk->state = TALK_ENDS;
    }
    return next;
}

void talk_over(struct talk *talk)
{
    talk_release(talk, BALANCE_SERVED);
    talk->state = TALK_OVER;
}

void talk_end(struct talk *talk)
{
    talk_release(talk, BALANCE_SERVED);
    talk->state = TALK_OVER;
}

void talk_free(struct talk *talk)
{
    talk_end(talk);
    body_store_end(&talk->body);
}

/* ---- trouble --------------------------------------------------------------------------------- */

static __attribute__((format(printf, 2, 0))) void
talk_complain(struct talk *talk, const char *format, va_list arguments)
{
    char message[512];
    vsnprintf(message, sizeof message, format, arguments);
    exchange_log(talk->x, LEVEL_ERR, "%s while %s", message, talk_doing(talk));
}

enum talk_next talk_failed(struct talk *talk, enum retry_cause cause, bool reused,
                           const char *format, ...)
{
    struct exchange *x = talk->x;
    va_list arguments;
    va_start(arguments, format);
    talk_complain(talk, format, arguments);
    va_end(arguments);
    bool stale = reused && cause == RETRY_ERROR;
    if (stale) {
        talk->retry.tries_left++; /* a try that was none */
        talk->choice.tried[talk->server_index / 64] &= ~(UINT64_C(1) << (talk->server_index % 64));
    }
    talk->try->status = (uint16_t)retry_status(cause);
    talk_release(talk, stale ? BALANCE_SERVED : BALANCE_FAILED);
    if (retry_may(talk->conf, &talk->retry, cause, 0, x->site->now_ns)) {
        talk->state = TALK_READY;
        talk->buf = NULL;
        return TALK_AGAIN;
    }
    talk_give_up(talk, retry_status(cause));
    return TALK_DROP;
}

void talk_lacks(struct talk *talk, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    talk_complain(talk, format, arguments);
    va_end(arguments);
    talk->try->status = 500;
    talk_release(talk, BALANCE_SERVED);
    talk_give_up(talk, 500);
}

void talk_broke(struct talk *talk, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    talk_complain(talk, format, arguments);
    va_end(arguments);
    talk_release(talk, BALANCE_FAILED);
    talk->state = TALK_OVER;
}

size_t talk_describe(const struct talk *talk, char *out, size_t size)
{
    int len;
    if (talk->server == NULL && talk->try == NULL)
        return 0;
    struct conf_str addr = talk->try->addr;
    bool local = addr.len > 5 && memcmp(addr.at, "unix:", 5) == 0;
    len = snprintf(out, size, ", upstream: \"%s://%.*s%s%.*s\"", talk->tls ? "https" : "http",
                   (int)addr.len, addr.at, local ? ":" : "", (int)talk->uri.len, talk->uri.at);
    return (size_t)len < size ? (size_t)len : size - 1;
}
