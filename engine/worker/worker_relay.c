/* Answers between server and client. */
#include "engine/worker/worker_relay.h"

#include "engine/http/body_store.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_impl.h"

static bool file_waits(const struct relay *relay)
{
    return relay->file_at < relay->file_len;
}

bool relay_is_empty(const struct relay *relay)
{
    if (file_waits(relay))
        return false;
    for (const struct buffer *b = relay->front; b != NULL; b = b->next)
        if (b->at < b->len)
            return false;
    return true;
}

static struct relay_room room_behind(struct buffer *buffer)
{
    return (struct relay_room){.at = buffer->bytes + buffer->len,
                               .len = buffer->size - buffer->len};
}

static bool relay_grow(struct worker *w, struct relay *relay)
{
    struct buffer *buffer = buffer_take(w, BUFFER_BYTES);
    if (buffer == NULL)
        return false;
    if (relay->back != NULL)
        relay->back->next = buffer;
    else
        relay->front = buffer;
    relay->back = buffer;
    relay->memory += buffer->size;
    return true;
}

struct relay_room relay_room(struct worker *w, struct relay *relay,
                             const struct relay_limits *limits)
{
    if (!file_waits(relay)) {
        if (limits->one_buffer && !relay_is_empty(relay))
            return (struct relay_room){.len = 0};
        if (relay->back != NULL && relay->back->len < relay->back->size)
            return room_behind(relay->back);
        if ((relay->memory < limits->memory || relay_is_empty(relay)) && relay_grow(w, relay))
            return room_behind(relay->back);
    }
    if (limits->one_buffer || relay->file_len >= limits->file)
        return (struct relay_room){.len = 0};
    uint64_t left = limits->file - relay->file_len;
    size_t len = left < sizeof w->scratch ? (size_t)left : sizeof w->scratch;
    return (struct relay_room){.at = w->scratch, .len = len, .spill = true};
}

void relay_fill(struct relay *relay, size_t len)
{
    relay->back->len += (uint32_t)len;
}

int relay_spill(struct relay *relay, const char *at, size_t len, const char *folder, bool *opened)
{
    if (!relay->has_file) {
        int fd = temp_file_open(folder);
        if (fd < 0)
            return fd;
        relay->file = fd;
        relay->has_file = *opened = true;
    }
    int err = temp_file_append(relay->file, at, len);
    if (err == 0)
        relay->file_len += len;
    return err;
}

/* Buffers whose bytes were sent go back. The last one is used again from its start. */
static void relay_drop_sent(struct worker *w, struct relay *relay)
{
    while (relay->front != NULL && relay->front->at == relay->front->len) {
        struct buffer *sent = relay->front;
        if (sent == relay->back && sent != relay->first) {
            sent->at = sent->len = 0;
            return;
        }
        relay->front = sent->next;
        sent->next = NULL;
        if (relay->front == NULL)
            relay->back = NULL;
        relay->memory -= sent->size;
        if (sent != relay->first)
            buffer_give(w, sent);
    }
}

static enum pull pull_from_file(struct relay *relay, struct buffer *out, struct conf_str *piece)
{
    ssize_t got = sys_pread(relay->file, out->bytes, out->size, (off_t)relay->file_at);
    if (got <= 0)
        return PULL_BROKEN;
    relay->file_at += (uint64_t)got;
    *piece = str_make(out->bytes, (size_t)got);
    return PULL_DATA;
}

enum pull relay_pull(struct worker *w, struct relay *relay, struct buffer *out,
                     struct conf_str *piece)
{
    relay_drop_sent(w, relay);
    struct buffer *front = relay->front;
    if (front != NULL && front->at < front->len) {
        *piece = str_make(front->bytes + front->at, front->len - front->at);
        front->at = front->len;
        return PULL_DATA;
    }
    if (file_waits(relay))
        return pull_from_file(relay, out, piece);
    if (relay->broken)
        return PULL_BROKEN;
    return relay->ended ? PULL_END : PULL_WAIT;
}

void relay_free(struct worker *w, struct relay *relay)
{
    while (relay->front != NULL) {
        struct buffer *buffer = relay->front;
        relay->front = buffer->next;
        buffer->next = NULL;
        if (buffer != relay->first)
            buffer_give(w, buffer);
    }
    buffer_give(w, relay->first);
    if (relay->has_file)
        sys_close(relay->file);
    *relay = (struct relay){0};
}
