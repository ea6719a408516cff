/* Test handlers that stay: event streams and upgraded connections. */
#include <stdio.h>

#include "engine/http/answer.h"
#include "engine/http/handler.h"
#include "engine/os/clock.h"

/* ---- stream: one event each ?ms=, for ?for= ms
 * --------------------------------------------------- */

enum { STREAM_EVERY_MS = 100 };

static void stream_start(struct exchange *x)
{
    uint64_t every_ms = exchange_argument(x, "ms", STREAM_EVERY_MS);
    uint64_t for_ms = exchange_argument(x, "for", 0);
    x->answer.status = 200;
    x->answer.content_type = STR("text/event-stream");
    x->answer.body = BODY_PULL;
    answer_header(x, STR("Cache-Control"), STR("no-cache"));
    x->state.stream.every_ns = (every_ms > 0 ? every_ms : 1) * NS_PER_MS;
    x->state.stream.next_ns = x->site->now_ns;
    x->state.stream.until_ns = for_ms > 0 ? x->site->now_ns + for_ms * NS_PER_MS : UINT64_MAX;
}

static enum pull stream_pull(struct exchange *x, char *room, size_t size, size_t *len)
{
    uint64_t now_ns = x->site->now_ns;
    if (now_ns >= x->state.stream.until_ns)
        return PULL_END;
    if (now_ns < x->state.stream.next_ns) {
        x->wake_ns = x->state.stream.next_ns < x->state.stream.until_ns ? x->state.stream.next_ns
                                                                        : x->state.stream.until_ns;
        return PULL_WAIT;
    }
    *len = (size_t)snprintf(room, size, "data: %llu %llu\n\n", (unsigned long long)x->nonce,
                            (unsigned long long)x->state.stream.count++);
    /* Counted from now, not from when it was due: a late worker does not send a burst. */
    x->state.stream.next_ns = now_ns + x->state.stream.every_ns;
    return PULL_DATA;
}

const struct handler handler_stream = {.start = stream_start, .pull = stream_pull};

/* ---- tunnel: 101, then every byte comes back
 * ------------------------------------------------------ */

static void tunnel_start(struct exchange *x)
{
    struct conf_str upgrade = exchange_known_header(x, HTTP1_NAME_UPGRADE);
    bool asked = (x->head.flags & HTTP1_UPGRADE_ASKED) && upgrade.at != NULL &&
                 str_list_has(upgrade, STR("mw-tunnel"));
    if (!asked) {
        answer_page(x, 426);
        answer_header(x, STR("Upgrade"), STR("mw-tunnel"));
        return;
    }
    x->answer.status = 101;
    x->answer.upgraded = true;
    x->answer.body = BODY_PULL;
    answer_header(x, STR("Connection"), STR("Upgrade"));
    answer_header(x, STR("Upgrade"), STR("mw-tunnel"));
    x->wants_input = true;
}

static enum pull tunnel_pull(struct exchange *x, char *room, size_t size, size_t *len)
{
    struct conf_str *pending = &x->state.tunnel.pending;
    if (pending->len == 0)
        return x->state.tunnel.ended ? PULL_END : PULL_WAIT;
    *len = pending->len < size ? pending->len : size;
    memcpy(room, pending->at, *len);
    *pending = str_make(pending->at + *len, pending->len - *len);
    return PULL_DATA;
}

const struct handler handler_tunnel = {.start = tunnel_start, .pull = tunnel_pull};
