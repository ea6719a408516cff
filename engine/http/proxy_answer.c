/* The client's answer, made of the server's. */
#include <stdlib.h>
#include <strings.h>

#include "engine/http/answer.h"
#include "engine/http/error_page.h"
#include "engine/http/regex.h"
#include "engine/http/talk.h"
#include "engine/http/uri.h"
#include "engine/http/variables.h"
#include "engine/os/log.h"

static struct conf_str value_of(const struct talk *talk, const struct http1_header *header)
{
    return str_make(talk->buf + header->value.at, header->value.len);
}

struct conf_str talk_header(const struct talk *talk, struct conf_str name)
{
    for (unsigned i = 0; talk->buf != NULL && i < talk->response.header_count; i++) {
        const struct http1_header *header = &talk->headers[i];
        if (header->name_len == name.len &&
            strncasecmp(talk->buf + header->name_at, name.at, name.len) == 0)
            return value_of(talk, header);
    }
    return str_make(NULL, 0);
}

static struct conf_str known_header(const struct talk *talk, enum http1_response_name name)
{
    for (unsigned i = 0; i < talk->response.header_count; i++)
        if (talk->headers[i].name == name)
            return value_of(talk, &talk->headers[i]);
    return str_make(NULL, 0);
}

/* ---- proxy_redirect -------------------------------------------------------------------------- */

/* The first rule that fits rewrites what `text` starts with. */
static struct conf_str redirected(struct talk *talk, struct conf_str text)
{
    struct exchange *x = talk->x;
    for (size_t i = 0; i < talk->conf->redirect_count; i++) {
        const struct conf_proxy_redirect *rule = &talk->conf->redirects[i];
        if (rule->regex != NULL) {
            if (regex_match(x, rule->regex, text) == REGEX_YES)
                return variable_expand(x, &rule->to);
            continue;
        }
        struct conf_str from = variable_expand(x, &rule->from);
        if (!str_starts(text, from))
            continue;
        struct builder out;
        builder_start(&out, &x->pool, text.len + 64);
        builder_add(&out, variable_expand(x, &rule->to));
        builder_add(&out, str_make(text.at + from.len, text.len - from.len));
        return builder_end(&out);
    }
    return text;
}

/* Refresh: 5; url=http://... */
static struct conf_str refreshed(struct talk *talk, struct conf_str value)
{
    for (size_t at = 0; at + 4 <= value.len; at++) {
        if (strncasecmp(value.at + at, "url=", 4) != 0)
            continue;
        struct conf_str url = str_make(value.at + at + 4, value.len - at - 4);
        struct conf_str changed = redirected(talk, url);
        if (changed.at == url.at)
            return value;
        struct builder out;
        builder_start(&out, &talk->x->pool, at + changed.len + 8);
        builder_add(&out, str_make(value.at, at + 4));
        builder_add(&out, changed);
        return builder_end(&out);
    }
    return value;
}

/* ---- headers --------------------------------------------------------------------------------- */

static bool is_hidden(const struct talk *talk, const struct http1_header *header)
{
    if (header->name != HTTP1_RESPONSE_OTHER)
        return (talk->conf->hidden >> header->name & 1) != 0;
    for (size_t i = 0; i < talk->conf->hide_count; i++) {
        struct conf_str hide = talk->conf->hide[i];
        if (hide.len == header->name_len &&
            strncasecmp(hide.at, talk->buf + header->name_at, hide.len) == 0)
            return true;
    }
    return false;
}

static bool is_ignored(const struct talk *talk, enum conf_proxy_ignorable what)
{
    return (talk->conf->ignored & what) != 0;
}

static void add_line(struct builder *to, const struct talk *talk, const struct http1_header *header,
                     struct conf_str value)
{
    builder_add(to, str_make(talk->buf + header->name_at, header->name_len));
    builder_add(to, STR(": "));
    builder_add(to, value);
    builder_add(to, STR("\r\n"));
}

/* What X-Accel-Buffering and X-Accel-Limit-Rate ask for. */
static void take_wishes(struct talk *talk, const struct http1_header *header)
{
    struct conf_str value = value_of(talk, header);
    if (header->name == HTTP1_RESPONSE_X_ACCEL_BUFFERING &&
        !is_ignored(talk, PROXY_IGNORE_BUFFERING)) {
        if (str_equal_nocase(value, STR("yes")))
            talk->buffers = true;
        else if (str_equal_nocase(value, STR("no")))
            talk->buffers = false;
    }
    if (header->name == HTTP1_RESPONSE_X_ACCEL_LIMIT_RATE &&
        !is_ignored(talk, PROXY_IGNORE_LIMIT_RATE))
        talk->x->rate_is_set = str_to_u64(value, &talk->x->rate_bytes);
}

/* One header of the server's answer: what it means to us, and whether the client gets it. */
static void take_header(struct talk *talk, const struct http1_header *header, struct builder *to)
{
    struct answer *answer = &talk->x->answer;
    struct conf_str value = value_of(talk, header);
    bool hidden = is_hidden(talk, header);
    switch ((enum http1_response_name)header->name) {
    case HTTP1_RESPONSE_CONTENT_LENGTH:
    case HTTP1_RESPONSE_TRANSFER_ENCODING:
    case HTTP1_RESPONSE_CONNECTION:
    case HTTP1_RESPONSE_KEEP_ALIVE:
        return; /* of one connection only */
    case HTTP1_RESPONSE_CONTENT_TYPE:
        if (!hidden)
            answer->content_type = value;
        return;
    case HTTP1_RESPONSE_LOCATION:
        value = redirected(talk, value);
        break;
    case HTTP1_RESPONSE_REFRESH:
        value = refreshed(talk, value);
        break;
    case HTTP1_RESPONSE_SERVER:
        answer->has_server |= !hidden;
        break;
    case HTTP1_RESPONSE_DATE:
        answer->has_date |= !hidden;
        break;
    case HTTP1_RESPONSE_X_ACCEL_BUFFERING:
    case HTTP1_RESPONSE_X_ACCEL_LIMIT_RATE:
        take_wishes(talk, header);
        break;
    default:
        break;
    }
    if (!hidden)
        add_line(to, talk, header, value);
}

static void take_body(struct talk *talk)
{
    const struct http1_response *response = &talk->response;
    struct answer *answer = &talk->x->answer;
    answer->length_known = response->content_length_set;
    answer->length = response->content_length;
    if (response->framing != HTTP1_NO_BODY)
        answer->body = BODY_UPSTREAM;
}

static enum talk_next pass(struct talk *talk)
{
    struct exchange *x = talk->x;
    struct answer *answer = &x->answer;
    const struct http1_response *response = &talk->response;
    struct builder lines;
    builder_start(&lines, &x->pool, response->at + 64);
    for (unsigned i = 0; i < response->header_count; i++)
        take_header(talk, &talk->headers[i], &lines);
    answer->passed = builder_end(&lines);
    if (answer->passed.at == NULL) {
        answer_page(x, 500);
        return TALK_DROP;
    }
    answer->reason = str_make(talk->buf + response->reason.at, response->reason.len);
    answer->from_upstream = true;
    take_body(talk);
    answer->status = response->status;
    return TALK_GO_ON;
}

/* ---- other answers --------------------------------------------------------------------------- */

static enum talk_next upgrade(struct talk *talk)
{
    struct exchange *x = talk->x;
    if (!(x->head.flags & HTTP1_UPGRADE_ASKED)) {
        exchange_log(x, LEVEL_ERR,
                     "upstream sent an unexpected 101 while reading response header "
                     "from upstream");
        answer_page(x, 502);
        return TALK_DROP;
    }
    enum talk_next next = pass(talk);
    if (next == TALK_GO_ON) {
        answer_header(x, STR("Connection"), STR("upgrade"));
        x->answer.upgraded = true;
        x->answer.body = BODY_UPSTREAM;
        x->answer.length_known = false;
    }
    return next;
}

/* X-Accel-Redirect: what the client gets is found on another path, or in a named location. */
static enum talk_next accel(struct talk *talk, struct conf_str target)
{
    struct exchange *x = talk->x;
    char *copy = pool_take(&x->pool, target.len + 1); /* the answer goes before what it names */
    talk_end(talk);
    if (copy == NULL) {
        answer_page(x, 500);
        return TALK_DROP;
    }
    memcpy(copy, target.at, target.len);
    target.at = copy;
    if (x->head.method_id != HTTP1_HEAD)
        x->head.method_id = HTTP1_GET;
    if (target.len > 0 && target.at[0] == '@') {
        exchange_redirect_named(x, target);
    } else {
        struct conf_str args = target;
        struct conf_str path = str_cut(&args, '?');
        char *room = pool_take(&x->pool, path.len + 1);
        size_t len = 0;
        if (room == NULL || uri_normalise(path, x->server->merge_slashes, room, &len) != URI_OK) {
            answer_page(x, 404);
            return TALK_DROP;
        }
        exchange_redirect(x, str_make(room, len), args);
    }
    return TALK_DROP;
}

enum talk_next talk_make_answer(struct talk *talk)
{
    if (talk->response.status == 101)
        return upgrade(talk);
    if (!is_ignored(talk, PROXY_IGNORE_REDIRECT)) {
        struct conf_str target = known_header(talk, HTTP1_RESPONSE_X_ACCEL_REDIRECT);
        if (target.at != NULL)
            return accel(talk, target);
    }
    if (talk->conf->intercept_errors && error_page_exists(talk->x, talk->response.status)) {
        answer_page(talk->x, talk->response.status);
        return TALK_DROP;
    }
    return pass(talk);
}
