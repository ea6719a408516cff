/* Variables of requests that are passed to other servers. */
#include "engine/http/talk.h"
#include "engine/http/variables_impl.h"

GETTER(proxy_host)
{
    return x->talk != NULL ? x->talk->host : variable_none;
}

GETTER(proxy_port)
{
    return x->talk != NULL ? x->talk->port : variable_none;
}

GETTER(proxy_add_x_forwarded_for)
{
    struct conf_str addr = variable_remote_addr(x, argument);
    struct builder list;
    builder_start(&list, &x->pool, 128);
    for (unsigned i = 0; i < x->head.header_count; i++) {
        if (x->headers[i].name != HTTP1_NAME_X_FORWARDED_FOR)
            continue;
        builder_add(&list, exchange_span(x, x->headers[i].value));
        builder_add(&list, STR(", "));
    }
    builder_add(&list, addr);
    return builder_end(&list);
}

GETTER(proxy_internal_body_length)
{
    const struct talk *talk = x->talk;
    if (talk == NULL || talk->body_length == TALK_UNKNOWN)
        return variable_none;
    return talk->has_body ? variable_number(x, talk->body_length) : variable_none;
}

GETTER(proxy_internal_chunked)
{
    const struct talk *talk = x->talk;
    bool chunked = talk != NULL && talk->has_body && talk->body_length == TALK_UNKNOWN;
    return chunked ? STR("chunked") : variable_none;
}

/* ---- what became of the servers that were asked ---------------------------------------------- */

typedef void try_print(struct exchange *x, const struct talk_try *try, struct builder *out);

/* "a, b : c": commas between tries, a colon where an internal redirect came between. */
static struct conf_str each_try(struct exchange *x, try_print *print)
{
    if (x->tries == NULL)
        return variable_none;
    struct builder out;
    builder_start(&out, &x->pool, 64);
    for (const struct talk_try *try = x->tries; try != NULL; try = try->next) {
        if (try != x->tries)
            builder_add(&out, try->redirected ? STR(" : ") : STR(", "));
        print(x, try, &out);
    }
    return builder_end(&out);
}

static void print_number(struct builder *out, uint64_t number)
{
    builder_add_u64(out, number);
}

static void print_time(struct exchange *x, struct builder *out, uint64_t ns)
{
    builder_add(out, ns == TALK_UNKNOWN ? STR("-") : variable_seconds(x, ns));
}

static void print_addr(struct exchange *x, const struct talk_try *try, struct builder *out)
{
    (void)x;
    builder_add(out, try->addr);
}

static void print_status(struct exchange *x, const struct talk_try *try, struct builder *out)
{
    (void)x;
    if (try->status != 0)
        print_number(out, try->status);
    else
        builder_add_char(out, '-');
}

static void print_connect_time(struct exchange *x, const struct talk_try *try, struct builder *out)
{
    print_time(x, out, try->connect_ns);
}

static void print_header_time(struct exchange *x, const struct talk_try *try, struct builder *out)
{
    print_time(x, out, try->header_ns);
}

static void print_response_time(struct exchange *x, const struct talk_try *try, struct builder *out)
{
    print_time(x, out, try->response_ns);
}

static void print_length(struct exchange *x, const struct talk_try *try, struct builder *out)
{
    (void)x;
    print_number(out, try->length);
}

static void print_sent(struct exchange *x, const struct talk_try *try, struct builder *out)
{
    (void)x;
    print_number(out, try->sent);
}

static void print_received(struct exchange *x, const struct talk_try *try, struct builder *out)
{
    (void)x;
    print_number(out, try->received);
}

GETTER(upstream_addr)
{
    return each_try(x, print_addr);
}

GETTER(upstream_status)
{
    return each_try(x, print_status);
}

GETTER(upstream_connect_time)
{
    return each_try(x, print_connect_time);
}

GETTER(upstream_header_time)
{
    return each_try(x, print_header_time);
}

GETTER(upstream_response_time)
{
    return each_try(x, print_response_time);
}

GETTER(upstream_response_length)
{
    return each_try(x, print_length);
}

GETTER(upstream_bytes_sent)
{
    return each_try(x, print_sent);
}

GETTER(upstream_bytes_received)
{
    return each_try(x, print_received);
}

GETTER(upstream_http)
{
    return x->talk != NULL ? talk_header(x->talk, argument) : variable_none;
}
