/* Several ranges of a document: each with a head of its own, between boundaries. */
#include "engine/http/byteranges.h"

#include <stdio.h>

#include "engine/http/handler.h"
#include "engine/os/sys.h"

enum { BOUNDARY_LEN = 20, PART_HEAD_MAX = 512 };

struct byteranges {
    const struct range *ranges;
    size_t count, at; /* at: the part under way; count: only the end is left */
    uint64_t size;
    uint64_t sent; /* of this part's bytes */
    char boundary[BOUNDARY_LEN + 1];
    struct conf_str type;
    struct conf_str text; /* of a head or the end, as far as not sent yet */
    char room[PART_HEAD_MAX];
};

static const char part_head[] = "\r\n--%s\r\nContent-Type: %.*s\r\nContent-Range: bytes "
                                "%llu-%llu/%llu\r\n\r\n";

/* The head of part `at`, or what ends the answer. */
static struct conf_str byteranges_text(struct byteranges *parts, size_t at)
{
    int len;
    if (at == parts->count) {
        len = snprintf(parts->room, sizeof parts->room, "\r\n--%s--\r\n", parts->boundary);
    } else {
        const struct range *range = &parts->ranges[at];
        int type_len = parts->type.len < PART_HEAD_MAX / 2 ? (int)parts->type.len : 0;
        len = snprintf(parts->room, sizeof parts->room, part_head, parts->boundary, type_len,
                       parts->type.at, (unsigned long long)range->offset,
                       (unsigned long long)(range->offset + range->len - 1),
                       (unsigned long long)parts->size);
    }
    return str_make(parts->room, (size_t)len);
}

static enum pull byteranges_pull(struct exchange *x, char *room, size_t size, size_t *len)
{
    struct byteranges *parts = x->state.parts;
    if (parts->text.len > 0) {
        *len = parts->text.len < size ? parts->text.len : size;
        memcpy(room, parts->text.at, *len);
        parts->text = str_make(parts->text.at + *len, parts->text.len - *len);
        return PULL_DATA;
    }
    if (parts->at == parts->count)
        return PULL_END;
    const struct range *range = &parts->ranges[parts->at];
    uint64_t left = range->len - parts->sent;
    ssize_t got = sys_pread(x->answer.file_fd, room, left < size ? (size_t)left : size,
                            (off_t)(range->offset + parts->sent));
    if (got <= 0)
        return PULL_BROKEN; /* the file became shorter than the length we announced */
    parts->sent += (uint64_t)got;
    *len = (size_t)got;
    if (parts->sent == range->len) {
        parts->sent = 0;
        parts->text = byteranges_text(parts, ++parts->at);
    }
    return PULL_DATA;
}

static const struct handler handler_byteranges = {.pull = byteranges_pull};

bool byteranges_answer(struct exchange *x, const struct range *ranges, size_t count, uint64_t size)
{
    struct answer *answer = &x->answer;
    struct byteranges *parts = pool_take(&x->pool, sizeof *parts);
    struct builder type;
    if (parts == NULL)
        return false;
    *parts = (struct byteranges){
        .ranges = ranges, .count = count, .size = size, .type = answer->content_type};
    snprintf(parts->boundary, sizeof parts->boundary, "%0*llu", BOUNDARY_LEN,
             (unsigned long long)(x->site->wall_ns ^ x->client->number));
    answer->length = 0;
    for (size_t i = 0; i <= count; i++)
        answer->length += byteranges_text(parts, i).len + (i < count ? ranges[i].len : 0);
    builder_start(&type, &x->pool, 64);
    builder_add(&type, STR("multipart/byteranges; boundary="));
    builder_add(&type, str_make(parts->boundary, BOUNDARY_LEN));
    answer->content_type = builder_end(&type);
    parts->text = byteranges_text(parts, 0);
    answer->body = BODY_PULL;
    x->state.parts = parts;
    x->handler = &handler_byteranges;
    return answer->content_type.at != NULL;
}
