/* What a location's answer is made by: one table, a row for each enum conf_handler. */
#ifndef ENGINE_HTTP_HANDLER_H
#define ENGINE_HTTP_HANDLER_H

#include "engine/http/exchange.h"

struct handler {
    /* The answer waits for the body's end (body_end); without this the body is thrown away. */
    bool reads_body;
    void (*start)(struct exchange *x);
    void (*body)(struct exchange *x, struct conf_str piece);
    void (*body_end)(struct exchange *x);
    void (*wake)(struct exchange *x);
    enum pull (*pull)(struct exchange *x, char *room, size_t size, size_t *len);
};

extern const struct handler *const handler_table[];

extern const struct handler handler_static;
extern const struct handler handler_proxy;
extern const struct handler handler_status_json;
extern const struct handler handler_status_prometheus;
extern const struct handler handler_stub_status;
extern const struct handler handler_echo;
extern const struct handler handler_delay;
extern const struct handler handler_bytes;
extern const struct handler handler_upload;
extern const struct handler handler_stream;
extern const struct handler handler_tunnel;

#endif
