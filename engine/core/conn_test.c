/* The life of a connection: what each part of it leads to, deadlines, keep-alive, drain, lingering
 * and sabotage. */
#include "engine/core/conn_rig.h"

#include "engine/core/cells_fixture.h"

#define EV(word) .kind = CONN_EV_##word
#define FLAGS(f) .flags = (f)

static void is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct conn) <= 64);
}

static void step_in(unsigned state, unsigned kind)
{
    struct rig r;
    rig_lead(&r, state);
    rig_step(&r, (struct conn_event){.kind = (uint8_t)kind});
}

static void has_a_cell_for_everything(void **state)
{
    (void)state;
    unsigned aborted = cells_that_abort(step_in, CONN_STATE_COUNT, CONN_EVENT_COUNT);
    assert_true(aborted > 80 && aborted < 170);
}

static void serves_and_keeps(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    EXPECT(&r, "read-on", EV(ACCEPTED));
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(60));
    EXPECT(&r, "recv", EV(READABLE));
    r.now_ns += SECONDS(1);
    EXPECT(&r, "parse", EV(BYTES));
    EXPECT(&r, "", EV(HEAD_MORE));
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(59)); /* not prolonged */
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    assert_int_equal(conn_next_deadline_ns(&r.c), CONN_NEVER_NS);
    EXPECT(&r, "keep", EV(RESPONSE));
    assert_false(conn_closes(&r.c));
    EXPECT(&r, "", EV(ANSWERED));
    assert_int_equal(r.c.state, CONN_IDLE);
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(75));
    EXPECT(&r, "recv", EV(READABLE));
    EXPECT(&r, "parse", EV(BYTES));
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(60));
    EXPECT(&r, "execute", EV(HEAD_DONE));
    EXPECT(&r, "announce", EV(RESPONSE));
    assert_true(conn_closes(&r.c));
    EXPECT(&r, "close:done", EV(ANSWERED)); /* the client asked for it and has sent all */
    assert_int_equal(r.c.requests, 2);
}

static void shakes_hands_first(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    EXPECT(&r, "read-on", EV(ACCEPTED), FLAGS(CONN_SHAKES));
    assert_int_equal(r.c.state, CONN_SHAKING);
    uint64_t deadline_ns = r.now_ns + SECONDS(60);
    EXPECT(&r, "shake", EV(READABLE));
    r.now_ns += SECONDS(20);
    EXPECT(&r, "", EV(EMPTY));
    EXPECT(&r, "shake", EV(READABLE));
    EXPECT(&r, "read-off write-on", EV(BLOCKED)); /* what the client sends can wait */
    EXPECT(&r, "shake", EV(WRITABLE));
    EXPECT(&r, "write-off read-on", EV(EMPTY));
    EXPECT(&r, "shake", EV(READABLE));
    EXPECT(&r, "", EV(SHAKEN));
    assert_int_equal(r.c.state, CONN_FRESH);
    assert_int_equal(conn_next_deadline_ns(&r.c), deadline_ns); /* the first head's time runs */
    EXPECT(&r, "parse", EV(BYTES));
    rig_lead(&r, CONN_SHAKING); /* the last of it was written */
    rig_step(&r, (struct conn_event){EV(BLOCKED)});
    EXPECT(&r, "write-off read-on", EV(SHAKEN));
}

static void shaking_hands_ends_in_many_ways(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_SHAKING);
    EXPECT(&r, "close:bad", EV(HEAD_BAD));
    rig_lead(&r, CONN_SHAKING);
    EXPECT(&r, "close:peer", EV(END));
    rig_lead(&r, CONN_SHAKING);
    EXPECT(&r, "close:shed", EV(REAP));
    rig_lead(&r, CONN_SHAKING); /* a drain lets it go on, and bounds it like everything */
    EXPECT(&r, "", EV(DRAIN));
    r.now_ns += SECONDS(60);
    EXPECT(&r, "close:timeout", EV(TIMER));
    rig_lead(&r, CONN_SHAKING);
    rig_step(&r, (struct conn_event){EV(DRAIN)});
    rig_step(&r, (struct conn_event){EV(SHAKEN)});
    EXPECT(&r, "parse", EV(BYTES));
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "announce", EV(RESPONSE));
}

static void pipelined_requests_do_not_wait(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_READING);
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "read-off", EV(READABLE)); /* more comes: it stays in the kernel */
    EXPECT(&r, "keep", EV(RESPONSE), FLAGS(CONN_BUFFERED));
    EXPECT(&r, "parse", EV(ANSWERED), FLAGS(CONN_BUFFERED));
    EXPECT(&r, "read-on", EV(HEAD_MORE));
    EXPECT(&r, "recv", EV(READABLE));
    EXPECT(&r, "parse", EV(BYTES));
}

static void a_body_is_read_when_wanted(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_READING);
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE | CONN_HAS_BODY | CONN_EXPECTS));
    EXPECT(&r, "continue parse-body", EV(BODY_WANTED));
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(50));
    EXPECT(&r, "write-on", EV(BLOCKED));
    EXPECT(&r, "send", EV(WRITABLE));
    EXPECT(&r, "write-off", EV(FLUSHED));
    EXPECT(&r, "recv", EV(READABLE));
    r.now_ns += SECONDS(1);
    EXPECT(&r, "parse-body", EV(BYTES));
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(50));
    EXPECT(&r, "", EV(BODY_HELD));
    assert_int_equal(conn_next_deadline_ns(&r.c), CONN_NEVER_NS);
    EXPECT(&r, "read-off", EV(READABLE));
    EXPECT(&r, "read-on parse-body", EV(BODY_WANTED));
    EXPECT(&r, "", EV(BODY_DONE));
    EXPECT(&r, "keep", EV(RESPONSE));
    EXPECT(&r, "", EV(ANSWERED));
    assert_int_equal(r.c.state, CONN_IDLE);
}

static void a_small_unwanted_body_is_dropped(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_EXECUTING);
    EXPECT(&r, "keep", EV(RESPONSE), .left = 65536);
    EXPECT(&r, "recv", EV(READABLE));
    EXPECT(&r, "parse-body", EV(BYTES));
    EXPECT(&r, "", EV(ANSWERED));
    assert_int_equal(r.c.state, CONN_DISCARDING);
    EXPECT(&r, "recv", EV(READABLE));
    EXPECT(&r, "parse-body", EV(BYTES));
    EXPECT(&r, "parse", EV(BODY_DONE), FLAGS(CONN_BUFFERED));
    rig_lead(&r, CONN_DISCARDING);
    r.now_ns += SECONDS(5);
    EXPECT(&r, "close:timeout", EV(TIMER));
}

static void a_large_unwanted_body_costs_the_connection(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_EXECUTING);
    EXPECT(&r, "announce", EV(RESPONSE), .left = CONN_LEFT_UNKNOWN);
    EXPECT(&r, "shutdown-write", EV(ANSWERED));
    EXPECT(&r, "recv", EV(READABLE));
    EXPECT(&r, "discard", EV(BYTES));
    EXPECT(&r, "close:done", EV(END));
    rig_lead(&r, CONN_READING); /* nobody knows whether a client that waits for 100 sends it */
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE | CONN_HAS_BODY | CONN_EXPECTS));
    EXPECT(&r, "announce", EV(RESPONSE), .left = 1);
}

static void bad_requests_are_answered_and_left(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_READING);
    EXPECT(&r, "respond:431", EV(HEAD_BAD), .status = 431);
    EXPECT(&r, "announce", EV(RESPONSE), FLAGS(CONN_BUFFERED));
    EXPECT(&r, "shutdown-write discard", EV(ANSWERED), FLAGS(CONN_BUFFERED));
    EXPECT(&r, "close:bad", EV(RESET));
    rig_lead(&r, CONN_BODY);
    EXPECT(&r, "respond:400", EV(BODY_BAD), .status = 400);
    EXPECT(&r, "announce", EV(RESPONSE));
    EXPECT(&r, "shutdown-write", EV(ANSWERED));
    rig_lead(&r, CONN_WRITING);
    EXPECT(&r, "", EV(BODY_BAD), .status = 400);
    EXPECT(&r, "shutdown-write", EV(ANSWERED));
    EXPECT(&r, "close:bad", EV(END));
}

static void slow_clients_are_told(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_READING);
    r.now_ns += SECONDS(60) - 1;
    EXPECT(&r, "", EV(TIMER));
    r.now_ns += 1;
    EXPECT(&r, "respond:408", EV(TIMER));
    EXPECT(&r, "announce", EV(RESPONSE));
    EXPECT(&r, "shutdown-write", EV(ANSWERED));
    r.now_ns += SECONDS(5);
    EXPECT(&r, "close:timeout", EV(TIMER));
    rig_lead(&r, CONN_BODY);
    r.now_ns += SECONDS(50);
    EXPECT(&r, "respond:408", EV(TIMER));
    rig_lead(&r, CONN_FRESH); /* nothing was asked: nobody to tell */
    r.now_ns += SECONDS(60);
    EXPECT(&r, "recv", EV(TIMER));
    EXPECT(&r, "close:timeout", EV(EMPTY));
    rig_lead(&r, CONN_READING);
    r.limits.reset_timedout = true;
    r.now_ns += SECONDS(60);
    EXPECT(&r, "reset:timeout", EV(TIMER));
}

static void slow_readers_are_bounded_streams_are_not(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_WRITING);
    EXPECT(&r, "write-on", EV(BLOCKED), FLAGS(CONN_PROGRESS));
    r.now_ns += SECONDS(39);
    EXPECT(&r, "send", EV(WRITABLE));
    EXPECT(&r, "", EV(BLOCKED)); /* took nothing: the clock goes on */
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(1));
    EXPECT(&r, "", EV(BLOCKED), FLAGS(CONN_PROGRESS));
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(40));
    EXPECT(&r, "write-off", EV(FLUSHED));
    assert_int_equal(conn_next_deadline_ns(&r.c), CONN_NEVER_NS);
    EXPECT(&r, "write-on", EV(BLOCKED));
    r.now_ns += SECONDS(40);
    EXPECT(&r, "close:timeout", EV(TIMER));
}

static void an_idle_one_gets_a_last_look(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_IDLE);
    r.now_ns += SECONDS(75);
    EXPECT(&r, "recv", EV(TIMER));
    EXPECT(&r, "parse", EV(BYTES)); /* a request had arrived: it is served, and is the last */
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "announce", EV(RESPONSE));
    EXPECT(&r, "shutdown-write", EV(ANSWERED));
    EXPECT(&r, "close:done", EV(END));
    rig_lead(&r, CONN_IDLE);
    r.now_ns += SECONDS(75);
    EXPECT(&r, "recv", EV(TIMER));
    EXPECT(&r, "close:idle", EV(EMPTY));
}

static void one_that_must_go_is_told_if_it_was_here_a_moment_ago(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_IDLE);
    assert_false(conn_leaves(&r.c));
    EXPECT(&r, "", EV(REAP));
    assert_true(conn_leaves(&r.c));
    r.now_ns += CONN_REAP_IDLE_NS - 1;
    EXPECT(&r, "", EV(TIMER));
    EXPECT(&r, "recv", EV(READABLE));
    EXPECT(&r, "parse", EV(BYTES));
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "announce", EV(RESPONSE));
    rig_lead(&r, CONN_IDLE); /* it does not come */
    EXPECT(&r, "", EV(REAP));
    r.now_ns += CONN_REAP_IDLE_NS;
    EXPECT(&r, "recv", EV(TIMER));
    EXPECT(&r, "close:shed", EV(EMPTY));
    rig_lead(&r, CONN_IDLE); /* it has not been here for long */
    r.now_ns += CONN_REAP_IDLE_NS;
    EXPECT(&r, "recv", EV(REAP));
    EXPECT(&r, "close:shed", EV(EMPTY));
}

static void limits_announce_the_close(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_WRITING);
    assert_false(conn_closes(&r.c));
    rig_lead(&r, CONN_READING);
    r.limits.keepalive_requests = 1;
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "announce", EV(RESPONSE));
    rig_lead(&r, CONN_EXECUTING);
    rig_step(&r, (struct conn_event){EV(BODY_DONE)});
    r.now_ns += SECONDS(3600);
    EXPECT(&r, "announce", EV(RESPONSE));
    rig_lead(&r, CONN_EXECUTING);
    rig_step(&r, (struct conn_event){EV(BODY_DONE)});
    r.limits.keepalive_timeout_ns = 0;
    EXPECT(&r, "announce", EV(RESPONSE), FLAGS(CONN_BUFFERED));
    rig_lead(&r, CONN_EXECUTING);
    EXPECT(&r, "", EV(REAP));
    EXPECT(&r, "announce", EV(RESPONSE));
}

static void a_drain_finishes_what_has_begun(void **state)
{
    (void)state;
    for (unsigned s = CONN_SHAKING; s < CONN_STATE_COUNT; s++) {
        struct rig r;
        rig_lead(&r, s);
        EXPECT(&r, "", EV(DRAIN));
        assert_int_equal(r.c.state, s);
    }
    struct rig r;
    rig_lead(&r, CONN_FRESH);
    rig_step(&r, (struct conn_event){EV(DRAIN)});
    EXPECT(&r, "parse", EV(BYTES));
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "announce", EV(RESPONSE));
    rig_lead(&r, CONN_WRITING); /* said that it stays: waits for one more request */
    rig_step(&r, (struct conn_event){EV(DRAIN)});
    EXPECT(&r, "", EV(BODY_DONE));
    EXPECT(&r, "", EV(ANSWERED));
    assert_int_equal(r.c.state, CONN_IDLE);
    EXPECT(&r, "parse", EV(BYTES));
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "announce", EV(RESPONSE));
    EXPECT(&r, "shutdown-write", EV(ANSWERED));
}

static void a_drain_serves_what_was_sent_with_it(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_READING);
    EXPECT(&r, "", EV(DRAIN));
    for (unsigned i = 0; i < CONN_GRACE_MAX; i++) {
        EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
        EXPECT(&r, "keep", EV(RESPONSE), FLAGS(CONN_BUFFERED));
        EXPECT(&r, "parse", EV(ANSWERED), FLAGS(CONN_BUFFERED));
    }
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "announce", EV(RESPONSE), FLAGS(CONN_BUFFERED));
}

static void a_drain_shortens_idleness_only_if_told(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_IDLE);
    uint64_t deadline_ns = conn_next_deadline_ns(&r.c);
    EXPECT(&r, "", EV(DRAIN));
    assert_int_equal(conn_next_deadline_ns(&r.c), deadline_ns);
    r.limits.drain_idle_ns = SECONDS(2);
    EXPECT(&r, "", EV(DRAIN));
    assert_int_equal(conn_next_deadline_ns(&r.c), r.now_ns + SECONDS(2));
    r.now_ns += SECONDS(2);
    EXPECT(&r, "recv", EV(TIMER));
    EXPECT(&r, "close:drain", EV(EMPTY));
}

static void the_bound_cuts_everything(void **state)
{
    (void)state;
    for (unsigned s = CONN_SHAKING; s < CONN_LINGERING; s++) {
        struct rig r;
        rig_lead(&r, s);
        EXPECT(&r, "close:drain", EV(CUT));
    }
    struct rig r;
    rig_lead(&r, CONN_LINGERING); /* its answer had been sent */
    EXPECT(&r, "close:done", EV(CUT));
}

static void lingering_is_bounded(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_LINGERING);
    uint64_t end_ns = r.now_ns + SECONDS(30);
    while (r.now_ns + SECONDS(4) < end_ns) { /* a client that never stops sending */
        r.now_ns += SECONDS(4);
        EXPECT(&r, "", EV(TIMER));
        EXPECT(&r, "recv", EV(READABLE));
        EXPECT(&r, "discard", EV(BYTES));
    }
    assert_int_equal(conn_next_deadline_ns(&r.c), end_ns);
    r.now_ns = end_ns;
    EXPECT(&r, "close:done", EV(TIMER));
}

static void lingering_follows_the_configuration(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_READING);
    r.limits.lingering = CONN_LINGERING_ALWAYS;
    EXPECT(&r, "execute", EV(HEAD_DONE));
    EXPECT(&r, "announce", EV(RESPONSE));
    EXPECT(&r, "shutdown-write", EV(ANSWERED));
    rig_lead(&r, CONN_EXECUTING);
    r.limits.lingering = CONN_LINGERING_OFF;
    EXPECT(&r, "announce", EV(RESPONSE), .left = CONN_LEFT_UNKNOWN);
    EXPECT(&r, "close:done", EV(ANSWERED));
}

static void a_half_closed_client_is_answered(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_WRITING);
    EXPECT(&r, "read-off", EV(END));
    EXPECT(&r, "", EV(BODY_DONE));
    EXPECT(&r, "parse", EV(ANSWERED), FLAGS(CONN_BUFFERED));
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "keep", EV(RESPONSE), FLAGS(CONN_BUFFERED));
    EXPECT(&r, "parse", EV(ANSWERED), FLAGS(CONN_BUFFERED));
    EXPECT(&r, "close:peer", EV(HEAD_MORE));
    rig_lead(&r, CONN_READING);
    EXPECT(&r, "close:peer", EV(END));
}

static void tunnels_last(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_EXECUTING);
    rig_step(&r, (struct conn_event){EV(BODY_DONE)});
    EXPECT(&r, "", EV(RESPONSE), FLAGS(CONN_UPGRADED));
    EXPECT(&r, "tunnel", EV(ANSWERED));
    assert_int_equal(conn_next_deadline_ns(&r.c), CONN_NEVER_NS);
    EXPECT(&r, "", EV(DRAIN));
    EXPECT(&r, "recv", EV(READABLE));
    EXPECT(&r, "", EV(BYTES));
    EXPECT(&r, "write-on read-off", EV(BLOCKED));
    EXPECT(&r, "send", EV(WRITABLE));
    EXPECT(&r, "write-off read-on", EV(FLUSHED));
    EXPECT(&r, "read-off", EV(END));
    EXPECT(&r, "close:done", EV(ANSWERED));
    rig_lead(&r, CONN_TUNNEL);
    EXPECT(&r, "shutdown-write", EV(ANSWERED)); /* the handler ends it first */
}

static void handlers_may_give_up(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_EXECUTING);
    EXPECT(&r, "close:done", EV(ABANDONED));
    rig_lead(&r, CONN_WRITING);
    EXPECT(&r, "close:error", EV(ABANDONED));
    rig_lead(&r, CONN_EXECUTING);
    r.limits.reset_timedout = true;
    EXPECT(&r, "reset:done", EV(ABANDONED));
}

static void a_life_begins_anew(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_WRITING);
    EXPECT(&r, "close:peer", EV(RESET));
    EXPECT(&r, "", EV(READABLE));
    EXPECT(&r, "", EV(TIMER));
    EXPECT(&r, "read-on", EV(ACCEPTED), FLAGS(CONN_DRAINING));
    assert_int_equal(r.c.requests, 0);
    EXPECT(&r, "parse", EV(BYTES));
    EXPECT(&r, "execute", EV(HEAD_DONE), FLAGS(CONN_KEEP_ALIVE));
    EXPECT(&r, "announce", EV(RESPONSE));
}

static void sabotage_does_wrong(void **state)
{
    (void)state;
    struct rig r;
    rig_lead(&r, CONN_WRITING);
    rig_step(&r, (struct conn_event){EV(BODY_DONE)});
    EXPECT(&r, "close:fault", EV(ANSWERED), .sabotage = CONN_SAB_SILENT_CLOSE);
    rig_lead(&r, CONN_EXECUTING);
    EXPECT(&r, "announce", EV(RESPONSE), FLAGS(CONN_MUST_CLOSE));
    EXPECT(&r, "close:fault", EV(ANSWERED), .sabotage = CONN_SAB_NO_LINGER);
    rig_lead(&r, CONN_IDLE);
    EXPECT(&r, "close:fault", EV(DRAIN), .sabotage = CONN_SAB_CLOSE_IDLE_ON_DRAIN);
    rig_lead(&r, CONN_IDLE);
    EXPECT(&r, "", EV(DRAIN));
    EXPECT(&r, "close:fault", EV(READABLE), .sabotage = CONN_SAB_CLOSE_IDLE_ON_DRAIN);
    rig_lead(&r, CONN_EXECUTING);
    EXPECT(&r, "close:fault", EV(DRAIN), .sabotage = CONN_SAB_DROP_INFLIGHT);
    rig_lead(&r, CONN_FRESH);
    EXPECT(&r, "reset:fault", EV(DRAIN), .sabotage = CONN_SAB_RESET_ACCEPTED);
    rig_lead(&r, CONN_READING);
    EXPECT(&r, "reset:fault", EV(DRAIN), .sabotage = CONN_SAB_RESET_ACCEPTED);
    uint32_t all = 0;
    for (unsigned kind = 0; kind < CONN_EVENT_COUNT; kind++)
        all |= conn_sabotages(kind);
    assert_int_equal(all, (1u << CONN_SAB_COUNT) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_small),
        cmocka_unit_test(has_a_cell_for_everything),
        cmocka_unit_test(serves_and_keeps),
        cmocka_unit_test(shakes_hands_first),
        cmocka_unit_test(shaking_hands_ends_in_many_ways),
        cmocka_unit_test(pipelined_requests_do_not_wait),
        cmocka_unit_test(a_body_is_read_when_wanted),
        cmocka_unit_test(a_small_unwanted_body_is_dropped),
        cmocka_unit_test(a_large_unwanted_body_costs_the_connection),
        cmocka_unit_test(bad_requests_are_answered_and_left),
        cmocka_unit_test(slow_clients_are_told),
        cmocka_unit_test(slow_readers_are_bounded_streams_are_not),
        cmocka_unit_test(an_idle_one_gets_a_last_look),
        cmocka_unit_test(one_that_must_go_is_told_if_it_was_here_a_moment_ago),
        cmocka_unit_test(limits_announce_the_close),
        cmocka_unit_test(a_drain_finishes_what_has_begun),
        cmocka_unit_test(a_drain_serves_what_was_sent_with_it),
        cmocka_unit_test(a_drain_shortens_idleness_only_if_told),
        cmocka_unit_test(the_bound_cuts_everything),
        cmocka_unit_test(lingering_is_bounded),
        cmocka_unit_test(lingering_follows_the_configuration),
        cmocka_unit_test(a_half_closed_client_is_answered),
        cmocka_unit_test(tunnels_last),
        cmocka_unit_test(handlers_may_give_up),
        cmocka_unit_test(a_life_begins_anew),
        cmocka_unit_test(sabotage_does_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
