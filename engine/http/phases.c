/* Drives a request through its phases. What a location has no use for is not called. */
#include "engine/http/phases.h"

#include "engine/http/answer.h"
#include "engine/http/handler.h"
#include "engine/http/route.h"
#include "engine/http/static.h"
#include "engine/os/log.h"

static phase_function *const phase_table[PHASE_COUNT] = {
#define PHASE(symbol, meaning) [PHASE_##symbol] = phase_##symbol,
#include "engine/http/phases.def"
#undef PHASE
};

void phases_run(struct exchange *x)
{
    for (;;) {
        x->phase += (uint8_t)__builtin_ctz(x->location->phases >> x->phase);
        x->restarted = false;
        enum phase_result result = phase_table[x->phase](x);
        if (x->restarted)
            continue;
        if (result == PHASE_NEXT)
            x->phase++;
        else if (result == PHASE_AGAIN)
            x->phase = PHASE_find_location;
        else
            return;
    }
}

/* limit_except: another method than those named has a configuration of its own. */
static bool phase_is_excepted(const struct exchange *x)
{
    const struct conf_location *location = x->location;
    struct conf_str method = exchange_method(x);
    for (size_t i = 0; i < location->except_method_count; i++) {
        struct conf_str named = location->except_methods[i];
        bool head = str_equal(named, STR("GET")) && x->head.method_id == HTTP1_HEAD;
        if (head || str_equal(named, method))
            return true;
    }
    return false;
}

/* May the client send what it has announced? False: refused. */
static bool phase_check_request(struct exchange *x)
{
    if (x->location->internal && !x->internal) {
        answer_page(x, 404);
        return false;
    }
    if (x->sent_status != 0)
        return true; /* the request was refused already: this is its error page */
    if (x->head.flags & HTTP1_EXPECT_OTHER) {
        answer_page(x, 417);
        return false;
    }
    uint64_t limit = x->location->client_max_body_size;
    if (limit != 0 && x->head.framing == HTTP1_LENGTH && x->head.content_length > limit) {
        log_line(LEVEL_ERR, "*%llu client intended to send too large body: %llu bytes",
                 (unsigned long long)x->client->number, (unsigned long long)x->head.content_length);
        answer_page(x, 413);
        return false;
    }
    return true;
}

enum phase_result phase_find_location(struct exchange *x)
{
    x->uri_changed = false;
    x->fits_location = true;
    x->adds_to_alias = x->lacks_slash = false;
    x->location = route_location(x);
    if (x->location == NULL) {
        x->location = x->server->fallback;
        answer_page(x, 500);
        return PHASE_DONE;
    }
    if (x->location->except != NULL && !phase_is_excepted(x))
        x->location = x->location->except;
    if (!phase_check_request(x))
        return PHASE_DONE;
    if (x->lacks_slash) {
        static_add_slash(x);
        return PHASE_DONE;
    }
    return PHASE_NEXT;
}

enum phase_result phase_content(struct exchange *x)
{
    x->handler = handler_table[x->location->handler];
    if (x->handler->start != NULL)
        x->handler->start(x);
    bool no_body = x->head.framing == HTTP1_NO_BODY || x->body_over;
    if (!x->restarted && no_body)
        exchange_body_end(x);
    return PHASE_DONE;
}
