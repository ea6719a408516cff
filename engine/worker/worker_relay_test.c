/* Answers on their way to the client: whatever the pace of both sides, the bytes come out as they
 * went in, and never more of them are held than the limits allow. */
#include "engine/worker/worker_relay.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/worker/worker_impl.h"

#define FOLDER "/tmp"

struct rig {
    struct worker *w;
    struct relay relay;
    struct relay_limits limits;
    struct buffer *out;
    uint64_t in, taken; /* bytes that went in and came out */
    uint32_t random;
};

static uint32_t draw(struct rig *r, uint32_t below)
{
    r->random = r->random * 1664525 + 1013904223;
    return (r->random >> 8) % below;
}

/* The byte at a place of the stream. */
static char byte_at(uint64_t place)
{
    return (char)(place * 2654435761u >> 13);
}

static void rig_start(struct rig *r, size_t memory, uint64_t file, bool one_buffer)
{
    *r = (struct rig){
        .limits = {.memory = memory, .file = file, .one_buffer = one_buffer, .folder = FOLDER}};
    r->w = calloc(1, sizeof *r->w);
    assert_non_null(r->w);
    r->out = buffer_take(r->w, BUFFER_BYTES);
}

static void rig_end(struct rig *r)
{
    relay_free(r->w, &r->relay);
    buffer_give(r->w, r->out);
    memory_free(r->w);
    free(r->w);
}

/* As the worker does: the body begins behind the answer's head, in one buffer with it. */
static void rig_begin_behind_head(struct rig *r, uint32_t head, uint32_t body)
{
    struct buffer *first = buffer_take(r->w, BUFFER_BYTES);
    for (uint32_t i = 0; i < body; i++)
        first->bytes[head + i] = byte_at(r->in++);
    first->at = head;
    first->len = head + body;
    r->relay.first = r->relay.front = r->relay.back = first;
    r->relay.memory = first->size;
}

/* Up to `most` bytes come from the server. How many there was room for; *spilled: into the file. */
static size_t rig_put(struct rig *r, size_t most, bool *spilled)
{
    struct relay_room room = relay_room(r->w, &r->relay, &r->limits);
    size_t len = room.len < most ? room.len : most;
    bool opened;
    for (size_t i = 0; i < len; i++)
        room.at[i] = byte_at(r->in + i);
    r->in += len;
    *spilled = room.spill;
    if (room.spill)
        assert_int_equal(relay_spill(&r->relay, room.at, len, FOLDER, &opened), 0);
    else if (len > 0)
        relay_fill(&r->relay, len);
    return len;
}

static enum pull rig_take(struct rig *r)
{
    struct conf_str piece = {NULL, 0};
    enum pull made = relay_pull(r->w, &r->relay, r->out, &piece);
    assert_true((made == PULL_DATA) == (piece.len > 0));
    for (size_t i = 0; i < piece.len; i++)
        if (piece.at[i] != byte_at(r->taken + i))
            fail_msg("byte %llu is not the one that came there", (unsigned long long)r->taken + i);
    r->taken += piece.len;
    assert_true(r->taken <= r->in);
    return made;
}

static void nothing_comes_out_of_nothing(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 2 * BUFFER_BYTES, 0, false);
    assert_true(relay_is_empty(&r.relay));
    assert_int_equal(rig_take(&r), PULL_WAIT);
    r.relay.ended = true;
    assert_int_equal(rig_take(&r), PULL_END);
    r.relay.broken = true;
    assert_int_equal(rig_take(&r), PULL_BROKEN);
    rig_end(&r);
}

static void memory_has_a_bound_and_is_used_again(void **state)
{
    (void)state;
    struct rig r;
    bool spilled;
    rig_start(&r, 3 * BUFFER_BYTES, 0, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_put(&r, SIZE_MAX, &spilled), BUFFER_BYTES);
    assert_int_equal(rig_put(&r, 1, &spilled), 0);
    assert_int_equal(rig_take(&r), PULL_DATA);
    assert_int_equal(rig_put(&r, 1, &spilled), 0); /* given to the client is not sent yet */
    assert_int_equal(rig_take(&r), PULL_DATA);
    assert_int_equal(rig_put(&r, SIZE_MAX, &spilled), BUFFER_BYTES);
    assert_false(spilled);
    while (rig_take(&r) == PULL_DATA)
        ;
    assert_true(r.taken == r.in && relay_is_empty(&r.relay));
    rig_end(&r);
}

static void what_follows_a_file_goes_there_until_it_is_read(void **state)
{
    (void)state;
    struct rig r;
    bool spilled;
    rig_start(&r, BUFFER_BYTES, 3 * BUFFER_BYTES, false);
    assert_int_equal(rig_put(&r, SIZE_MAX, &spilled), BUFFER_BYTES);
    assert_false(spilled);
    assert_int_equal(rig_put(&r, 1000, &spilled), 1000);
    assert_true(spilled && r.relay.has_file);
    assert_int_equal(rig_take(&r), PULL_DATA); /* memory is free again, and older than the file */
    assert_int_equal(rig_put(&r, 1000, &spilled), 1000);
    assert_true(spilled);
    assert_int_equal(rig_take(&r), PULL_DATA); /* the file, all of it */
    assert_true(r.taken == r.in);
    assert_int_equal(rig_put(&r, 1000, &spilled), 1000);
    assert_false(spilled);
    while (rig_put(&r, SIZE_MAX, &spilled) > 0)
        ;
    assert_true(r.relay.file_len == r.limits.file); /* no further */
    r.relay.ended = r.relay.broken = true;
    while (rig_take(&r) == PULL_DATA) /* what came is sent all the same */
        ;
    assert_true(r.taken == r.in);
    assert_int_equal(rig_take(&r), PULL_BROKEN);
    rig_end(&r);
}

static void without_buffering_the_client_is_waited_for(void **state)
{
    (void)state;
    struct rig r;
    bool spilled;
    rig_start(&r, 8 * BUFFER_BYTES, UINT64_MAX, true);
    rig_begin_behind_head(&r, 300, 50);
    assert_int_equal(rig_put(&r, 10, &spilled), 0);
    assert_int_equal(rig_take(&r), PULL_DATA);
    assert_int_equal(rig_put(&r, 10, &spilled), 10);
    assert_int_equal(rig_put(&r, 10, &spilled), 0);
    assert_int_equal(rig_take(&r), PULL_DATA);
    assert_int_equal(rig_take(&r), PULL_WAIT);
    assert_true(r.taken == 60);
    rig_end(&r);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct rig r;
    bool opened = false;
    rig_start(&r, 0, 1000, false);
    assert_int_equal(relay_spill(&r.relay, "x", 1, "/no/such/folder", &opened), -ENOENT);
    assert_true(!opened && !r.relay.has_file && relay_is_empty(&r.relay));
    rig_end(&r);
}

static void storms_keep_the_order(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 300; seed++) {
        struct rig r;
        bool spilled;
        rig_start(&r, (seed % 4) * BUFFER_BYTES, (seed % 3) * 50000, seed % 5 == 0);
        r.random = seed;
        if (seed % 2 == 0)
            rig_begin_behind_head(&r, draw(&r, 5000), draw(&r, 5000));
        for (int i = 0; i < 200; i++) {
            if (draw(&r, 2) == 0)
                rig_put(&r, 1 + draw(&r, 30000), &spilled);
            else
                rig_take(&r);
            assert_true(r.relay.memory <= r.limits.memory + 2 * (size_t)BUFFER_BYTES);
            assert_true(r.relay.file_len <= r.limits.file);
        }
        r.relay.ended = true;
        while (rig_take(&r) == PULL_DATA)
            ;
        assert_true(r.taken == r.in);
        assert_true(relay_is_empty(&r.relay));
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_comes_out_of_nothing),
        cmocka_unit_test(memory_has_a_bound_and_is_used_again),
        cmocka_unit_test(what_follows_a_file_goes_there_until_it_is_read),
        cmocka_unit_test(without_buffering_the_client_is_waited_for),
        cmocka_unit_test(a_folder_that_is_not_there_is_told),
        cmocka_unit_test(storms_keep_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
