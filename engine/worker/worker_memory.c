/* Memory of requests under way. Both kinds go back to short lists, so that busy workers do not ask
 * the system and idle ones do not keep what they needed at their busiest. */
#include <stdlib.h>

#include "engine/os/sys.h"
#include "engine/worker/worker_impl.h"

struct buffer *buffer_take(struct worker *w, size_t size)
{
    struct buffer *buffer = w->spare_buffers;
    if (size == BUFFER_BYTES && buffer != NULL) {
        w->spare_buffers = buffer->next;
        w->spare_buffer_count--;
    } else {
        buffer = sys_alloc(sizeof *buffer + size);
        if (buffer == NULL)
            return NULL;
    }
    buffer->next = NULL;
    buffer->size = (uint32_t)size;
    buffer->at = buffer->len = 0;
    return buffer;
}

void buffer_give(struct worker *w, struct buffer *buffer)
{
    if (buffer == NULL)
        return;
    if (buffer->size != BUFFER_BYTES || w->spare_buffer_count >= SPARE_MAX) {
        free(buffer);
        return;
    }
    buffer->next = w->spare_buffers;
    w->spare_buffers = buffer;
    w->spare_buffer_count++;
}

struct flight *flight_take(struct worker *w, const struct http_client *client)
{
    struct flight *flight = w->spare_flights;
    if (flight != NULL) {
        w->spare_flights = flight->next;
        w->spare_flight_count--;
    } else {
        flight = sys_alloc(sizeof *flight);
        if (flight == NULL)
            return NULL;
    }
    memset(flight, 0, offsetof(struct flight, x));
    exchange_prepare(&flight->x, &w->site, client);
    return flight;
}

void flight_give(struct worker *w, struct flight *flight)
{
    if (flight == NULL)
        return;
    if (!flight->over) {
        upstream_drop(flight);
        exchange_end(&flight->x);
    }
    relay_free(w, &flight->relay);
    buffer_give(w, flight->out);
    if (w->spare_flight_count >= SPARE_MAX) {
        free(flight);
        return;
    }
    flight->next = w->spare_flights;
    w->spare_flights = flight;
    w->spare_flight_count++;
}

void memory_free(struct worker *w)
{
    while (w->spare_buffers != NULL) {
        struct buffer *buffer = w->spare_buffers;
        w->spare_buffers = buffer->next;
        free(buffer);
    }
    while (w->spare_flights != NULL) {
        struct flight *flight = w->spare_flights;
        w->spare_flights = flight->next;
        free(flight);
    }
}
