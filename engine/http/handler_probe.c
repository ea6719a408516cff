/* Test handlers that end by themselves: echo, delay, bytes, upload. */
#include "engine/http/answer.h"
#include "engine/http/handler.h"
#include "engine/http/test_body.h"
#include "engine/os/clock.h"

static void echo_answer(struct exchange *x)
{
    struct conf_str body = test_body_echo(x);
    if (body.at == NULL)
        answer_page(x, 500);
    else
        answer_text(x, 200, STR("text/plain"), body);
}

/* The body of a POST is read before the answer: an answer to half a request would tell the client
 * nothing about the other half. */
const struct handler handler_echo = {.reads_body = true, .body_end = echo_answer};

/* ---- delay: as echo, after ?ms= -----------------------------------------------------------------
 */

static void delay_begin(struct exchange *x)
{
    x->wake_ns = x->site->now_ns + exchange_argument(x, "ms", 0) * NS_PER_MS;
    if (x->wake_ns <= x->site->now_ns)
        exchange_wake(x);
}

const struct handler handler_delay = {
    .reads_body = true, .body_end = delay_begin, .wake = echo_answer};

/* ---- bytes: ?n= bytes of the pattern, spread over ?ms= ------------------------------------------
 */

enum { BYTES_STEP_MS = 10 };

static void bytes_start(struct exchange *x)
{
    struct answer *answer = &x->answer;
    if (exchange_known_header(x, HTTP1_NAME_X_MW_NONCE).at == NULL)
        x->nonce = 0; /* here n is the number of bytes */
    answer->status = 200;
    answer->content_type = STR("application/octet-stream");
    answer->body = BODY_PULL;
    answer->length = exchange_argument(x, "n", 0);
    answer->length_known = true;
    x->state.bytes.total = answer->length;
    x->state.bytes.spread_ns = exchange_argument(x, "ms", 0) * NS_PER_MS;
    x->state.bytes.began_ns = x->site->now_ns;
}

/* How many bytes may have been sent by now. */
static uint64_t bytes_due(const struct exchange *x)
{
    uint64_t passed_ns = x->site->now_ns - x->state.bytes.began_ns;
    if (passed_ns >= x->state.bytes.spread_ns)
        return x->state.bytes.total;
    double share = (double)passed_ns / (double)x->state.bytes.spread_ns;
    return (uint64_t)((double)x->state.bytes.total * share);
}

static enum pull bytes_pull(struct exchange *x, char *room, size_t size, size_t *len)
{
    uint64_t sent = x->state.bytes.sent;
    uint64_t due = bytes_due(x);
    if (sent == x->state.bytes.total)
        return PULL_END;
    if (due <= sent) {
        x->wake_ns = x->site->now_ns + BYTES_STEP_MS * NS_PER_MS;
        return PULL_WAIT;
    }
    size_t most = size < TEST_PATTERN_RUN ? size : TEST_PATTERN_RUN;
    *len = due - sent < most ? (size_t)(due - sent) : most;
    memcpy(room, test_pattern(sent), *len);
    x->state.bytes.sent += *len;
    return PULL_DATA;
}

const struct handler handler_bytes = {.start = bytes_start, .pull = bytes_pull};

/* ---- upload: checks the body against the pattern ------------------------------------------------
 */

static void upload_start(struct exchange *x)
{
    x->state.upload.good = true;
}

static void upload_body(struct exchange *x, struct conf_str piece)
{
    uint64_t offset = x->body_bytes - piece.len; /* exchange_body has counted this piece */
    while (piece.len > 0) {
        size_t run = piece.len < TEST_PATTERN_RUN ? piece.len : TEST_PATTERN_RUN;
        if (memcmp(piece.at, test_pattern(offset), run) != 0)
            x->state.upload.good = false;
        piece = str_make(piece.at + run, piece.len - run);
        offset += run;
    }
}

static void upload_end(struct exchange *x)
{
    struct builder body;
    builder_start(&body, &x->pool, 64);
    builder_add_u64(&body, x->nonce);
    builder_add_char(&body, ' ');
    builder_add_u64(&body, x->body_bytes);
    builder_add(&body, x->state.upload.good ? STR(" ok\n") : STR(" bad\n"));
    struct conf_str text = builder_end(&body);
    if (text.at == NULL)
        answer_page(x, 500);
    else
        answer_text(x, 200, STR("text/plain"), text);
}

const struct handler handler_upload = {
    .reads_body = true, .start = upload_start, .body = upload_body, .body_end = upload_end};
