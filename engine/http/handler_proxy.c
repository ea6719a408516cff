/* proxy_pass: the request is handed to another server. The head of it is made here, its body kept
 * or streamed; the driver does the rest through engine/http/talk.h. */
#include <errno.h>
#include <stdio.h>

#include "engine/http/answer.h"
#include "engine/http/handler.h"
#include "engine/http/talk.h"
#include "engine/http/variables.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"

/* ---- beginning ------------------------------------------------------------------------------- */

/* The client's address as ip_hash takes it: of IPv4 three bytes, so that neighbours share. */
static struct conf_str address_key(struct talk *talk)
{
    const union http_address *peer = talk->x->peer;
    memset(talk->peer_key, 0, sizeof talk->peer_key);
    if (peer->plain.sa_family == AF_INET6) {
        memcpy(talk->peer_key, &peer->in6.sin6_addr, 16);
        return str_make(talk->peer_key, 16);
    }
    if (peer->plain.sa_family == AF_INET)
        memcpy(talk->peer_key, &peer->in.sin_addr, 3);
    return str_make(talk->peer_key, 3);
}

static void begin_choice(struct talk *talk)
{
    const struct conf_upstream *group = talk->peers->conf;
    struct conf_str key = STR("");
    if (group->method == CONF_IP_HASH)
        key = address_key(talk);
    else if (group->method == CONF_HASH || group->method == CONF_CONSISTENT)
        key = variable_expand(talk->x, &group->key);
    balance_begin(&talk->choice, key.at, key.len);
    uint32_t tries = talk->peers->available;
    if (talk->conf->next_tries != 0 && talk->conf->next_tries < tries)
        tries = talk->conf->next_tries;
    uint8_t method = talk->x->head.method_id;
    talk->retry = (struct retry){.began_ns = talk->x->site->now_ns,
                                 .tries_left = tries,
                                 .idempotent = method != HTTP1_POST && method != HTTP1_PATCH};
}

/* The request can go out: everything that its head says is known. */
static void get_ready(struct talk *talk)
{
    if (!talk_write_request(talk)) {
        answer_page(talk->x, 500);
        return;
    }
    begin_choice(talk);
    talk->state = TALK_READY;
}

static bool may_stream(const struct exchange *x, const struct conf_proxy *conf)
{
    if (conf->request_buffering || conf->sets_body || !conf->pass_body)
        return false;
    if (x->body_over)
        return false;
    return x->head.framing == HTTP1_LENGTH || (x->head.framing == HTTP1_CHUNKED && !conf->http_1_0);
}

/* Content-Length: 0 is passed on as well. */
static bool says_body(const struct exchange *x)
{
    if (x->internal && x->head.method_id == HTTP1_GET)
        return false; /* the body went with the request that led here */
    return x->head.framing != HTTP1_NO_BODY ||
           http1_find(&x->head, HTTP1_NAME_CONTENT_LENGTH) != NULL;
}

/* Another location has passed this request on already; the body that it kept is used again. */
static void take_over_body(struct talk *talk)
{
    struct talk *before = talk->x->talk;
    if (before == NULL)
        return;
    talk_end(before);
    talk->body = before->body;
    body_store_start(&before->body);
}

static void proxy_start(struct exchange *x)
{
    const struct conf_proxy *conf = x->location->proxy;
    struct talk *talk = pool_take(&x->pool, sizeof *talk);
    if (talk == NULL) {
        answer_page(x, 500);
        return;
    }
    memset(talk, 0, offsetof(struct talk, headers));
    talk->x = x;
    talk->conf = conf;
    talk->server_index = BALANCE_NONE;
    talk->buf = NULL;
    talk->buffers = conf->buffering;
    body_store_start(&talk->body);
    talk->streams = may_stream(x, conf);
    talk->has_body = conf->sets_body || (conf->pass_body && says_body(x));
    take_over_body(talk);
    x->talk = talk;
    int refusal = talk_find_target(talk);
    if (refusal != 0) {
        answer_page(x, refusal);
        return;
    }
    if (talk->streams) {
        talk->body_length = x->head.framing == HTTP1_LENGTH ? x->head.content_length : TALK_UNKNOWN;
        get_ready(talk);
    }
}

/* ---- the client's body ----------------------------------------------------------------------- */

static int stream_body(struct talk *talk, struct conf_str piece)
{
    if (talk->body_length != TALK_UNKNOWN)
        return body_store_push(&talk->body, piece);
    char head[HTTP1_CHUNK_HEAD_MAX];
    size_t len = http1_chunk_head(head, piece.len);
    int err = body_store_push(&talk->body, str_make(head, len));
    if (err == 0)
        err = body_store_push(&talk->body, piece);
    return err != 0 ? err : body_store_push(&talk->body, STR(HTTP1_CHUNK_TAIL));
}

static void proxy_body(struct exchange *x, struct conf_str piece)
{
    struct talk *talk = x->talk;
    int err = 0;
    if (talk->streams)
        err = stream_body(talk, piece);
    else if (talk->conf->pass_body)
        err = body_store_add(
            &talk->body, piece,
            x->location->body_in_file != BODY_IN_MEMORY ? 0 : x->location->client_body_buffer_size,
            x->location->body_temp_path.at);
    if (err != 0) {
        exchange_log(x, LEVEL_CRIT, "a client request body cannot be kept in \"%s\" (%d: %s)",
                     x->location->body_temp_path.at, -err, strerror(-err));
        answer_page(x, 500);
    }
}

static bool set_body(struct talk *talk)
{
    struct conf_str text = variable_expand(talk->x, &talk->conf->body);
    body_store_end(&talk->body);
    return text.at != NULL && (text.len == 0 || body_store_push(&talk->body, text) == 0);
}

/* client_body_in_file_only on: the file gets a name, and outlives the request. */
static void keep_body_file(struct exchange *x, const struct talk *talk)
{
    enum { NAME_MAX_LEN = 64 };
    char name[NAME_MAX_LEN];
    struct builder path;
    snprintf(name, sizeof name, "/%llu-%d-%llu", (unsigned long long)x->site->wall_ns,
             (int)x->site->pid, (unsigned long long)x->client->number);
    builder_start(&path, &x->pool, x->location->body_temp_path.len + NAME_MAX_LEN);
    builder_add(&path, x->location->body_temp_path);
    builder_add(&path, str_make(name, strlen(name)));
    struct conf_str whole = builder_end(&path);
    int err = whole.at == NULL ? -ENOMEM : sys_link_fd(talk->body.fd, whole.at);
    if (err == 0)
        x->body_path = whole;
    else
        exchange_log(x, LEVEL_CRIT, "a client request body cannot be named in \"%s\" (%d: %s)",
                     x->location->body_temp_path.at, -err, strerror(-err));
}

static void proxy_body_end(struct exchange *x)
{
    struct talk *talk = x->talk;
    talk->body_whole = true;
    if (x->location->body_in_file == BODY_IN_FILE_THAT_STAYS && talk->body.fd >= 0)
        keep_body_file(x, talk);
    if (talk->streams) {
        if (talk->body_length == TALK_UNKNOWN &&
            body_store_push(&talk->body, STR(HTTP1_CHUNK_LAST)) != 0)
            answer_page(x, 500);
        return;
    }
    if (talk->conf->sets_body && !set_body(talk)) {
        answer_page(x, 500);
        return;
    }
    talk->body_length = talk->body.length;
    get_ready(talk);
}

const struct handler handler_proxy = {
    .reads_body = true, .start = proxy_start, .body = proxy_body, .body_end = proxy_body_end};
