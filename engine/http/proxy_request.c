/* The request as the server behind us gets it. */
#include <strings.h>

#include "engine/http/talk.h"
#include "engine/http/variables.h"

static bool is_set(const struct conf_proxy *conf, const char *name, size_t len)
{
    for (size_t i = 0; i < conf->header_count; i++) {
        struct conf_str set = conf->headers[i].name;
        if (set.len == len && strncasecmp(set.at, name, len) == 0)
            return true;
    }
    return false;
}

static void add_line(struct builder *head, struct conf_str name, struct conf_str value)
{
    builder_add(head, name);
    builder_add(head, STR(": "));
    builder_add(head, value);
    builder_add(head, STR("\r\n"));
}

static void add_set_headers(struct talk *talk, struct builder *head)
{
    for (size_t i = 0; i < talk->conf->header_count; i++) {
        const struct conf_header *header = &talk->conf->headers[i];
        struct conf_str value = variable_expand(talk->x, &header->value);
        if (value.len > 0)
            add_line(head, header->name, value);
    }
}

static void add_client_headers(struct talk *talk, struct builder *head)
{
    struct exchange *x = talk->x;
    for (unsigned i = 0; i < x->head.header_count; i++) {
        const struct http1_header *header = &x->headers[i];
        struct conf_str name = str_make(x->buf + header->name_at, header->name_len);
        if (variable_header_counts(x, header) && !is_set(talk->conf, name.at, name.len))
            add_line(head, name, exchange_span(x, header->value));
    }
}

bool talk_write_request(struct talk *talk)
{
    struct exchange *x = talk->x;
    const struct conf_proxy *conf = talk->conf;
    struct conf_str method =
        conf->method.count > 0 ? variable_expand(x, &conf->method) : exchange_method(x);
    talk->head_only = str_equal(method, STR("HEAD"));
    struct builder head;
    builder_start(&head, &x->pool, x->head.at + talk->uri.len + 256);
    builder_add(&head, method);
    builder_add_char(&head, ' ');
    builder_add(&head, talk->uri);
    builder_add(&head, conf->http_1_0 ? STR(" HTTP/1.0\r\n") : STR(" HTTP/1.1\r\n"));
    add_set_headers(talk, &head);
    if (conf->pass_headers)
        add_client_headers(talk, &head);
    builder_add(&head, STR("\r\n"));
    talk->head = builder_end(&head);
    return talk->head.at != NULL;
}
