/* Deciding: each selector, the order of rules, the random streams and who draws from which. */
#include "faultinject/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faultinject/plan.h"

/* A board in memory of our own, as the simulator has it. */
struct world {
    struct fault_board_file file;
    struct fault_self self;
    uint64_t now_ns;
};

static void arm(struct world *w, const char *text)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    if (!fault_plan_parse(&plan, text, &error))
        fail_msg("%s: %s", text, error.what);
    for (size_t i = 0; i < plan.count; i++)
        assert_true(fault_board_arm_at(&w->file, &plan.rules[i], w->now_ns) >= 0);
}

static struct world *world_new(uint64_t seed, const char *text)
{
    struct world *w = calloc(1, sizeof *w);
    w->file = (struct fault_board_file){.board = calloc(1, sizeof *w->file.board), .fd = -1};
    w->now_ns = 1000000000;
    fault_board_init(w->file.board, seed);
    fault_self_start(&w->self, w->file.board, FAULT_ROLE_WORKER, 2, 5, 1234);
    arm(w, text);
    return w;
}

static void world_free(struct world *w)
{
    free(w->file.board);
    free(w);
}

static bool ask(struct world *w, enum fault_point point, struct fault_decision *out)
{
    unsigned next = 0;
    return fault_decide(w->file.board, &w->self, point, w->now_ns, &next, out);
}

/* Which of `calls` calls fire, as text: "..x.". */
static const char *pattern(struct world *w, enum fault_point point, size_t calls)
{
    static char text[512];
    struct fault_decision decision;
    for (size_t i = 0; i < calls; i++)
        text[i] = ask(w, point, &decision) ? 'x' : '.';
    text[calls] = '\0';
    return text;
}

static void selectors_choose_calls(void **state)
{
    (void)state;
    static const struct {
        const char *plan, *fires;
    } cases[] = {
        {"net.accept errno", "xxxxxxxx"},
        {"net.accept errno after=3", "...xxxxx"},
        {"net.accept errno times=2", "xx......"},
        {"net.accept errno after=3 times=2", "...xx..."},
        {"net.accept errno every=3", "..x..x.."},
        {"net.accept errno every=2 after=3", "....x.x."},
        {"net.accept errno every=2 times=2", ".x.x...."},
        {"net.accept errno nth=1", "x......."},
        {"net.accept errno nth=5", "....x..."},
        {"net.accept errno chance=1/1", "xxxxxxxx"},
        {"net.accept errno role=worker", "xxxxxxxx"},
        {"net.accept errno role=master", "........"},
        {"net.accept errno slot=2", "xxxxxxxx"},
        {"net.accept errno slot=1", "........"},
        {"net.accept errno generation=5", "xxxxxxxx"},
        {"net.accept errno generation=0", "........"},
        {"net.accept errno pid=1234", "xxxxxxxx"},
        {"net.accept errno pid=1235", "........"},
        {"net.recv errno", "........"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world *w = world_new(1, cases[i].plan);
        const char *fires = pattern(w, FAULT_net_accept, strlen(cases[i].fires));
        if (strcmp(fires, cases[i].fires) != 0)
            fail_msg("%s: %s, expected %s", cases[i].plan, fires, cases[i].fires);
        world_free(w);
    }
}

static void calls_of_others_are_not_counted(void **state)
{
    (void)state;
    struct world *w = world_new(1, "net.accept errno nth=2 role=master");
    pattern(w, FAULT_net_accept, 7);
    fault_self_start(&w->self, w->file.board, FAULT_ROLE_MASTER, -1, 5, 99);
    assert_string_equal(pattern(w, FAULT_net_accept, 4), ".x..");
    struct fault_status status;
    assert_true(fault_board_status(w->file.board, 0, &status));
    assert_int_equal(status.calls, 4);
    assert_int_equal(status.fired, 1);
    world_free(w);
}

static void the_first_rule_that_fires_decides(void **state)
{
    (void)state;
    struct world *w = world_new(1, "net.recv errno=ENOMEM nth=2; net.recv short=7");
    struct fault_decision d;
    assert_true(ask(w, FAULT_net_recv, &d) && d.hit.kind == FAULT_SHORT && d.hit.value == 7);
    assert_true(ask(w, FAULT_net_recv, &d) && d.hit.kind == FAULT_ERRNO && d.rule == 0);
    assert_true(ask(w, FAULT_net_recv, &d) && d.hit.kind == FAULT_SHORT);
    assert_int_equal(d.rule, 1);
    assert_int_equal(d.nth, 2); /* it did not see the call that failed */
    world_free(w);
}

static void the_walk_goes_on_behind_a_rule(void **state)
{
    (void)state;
    struct world *w = world_new(1, "net.recv delay=1ms; net.send errno; net.recv errno=ENOMEM");
    struct fault_decision d;
    unsigned next = 0;
    assert_true(fault_decide(w->file.board, &w->self, FAULT_net_recv, w->now_ns, &next, &d));
    assert_int_equal(d.hit.kind, FAULT_DELAY);
    assert_true(fault_decide(w->file.board, &w->self, FAULT_net_recv, w->now_ns, &next, &d));
    assert_int_equal(d.hit.kind, FAULT_ERRNO);
    assert_false(fault_decide(w->file.board, &w->self, FAULT_net_recv, w->now_ns, &next, &d));
    world_free(w);
}

/* ---- windows ----------------------------------------------------------------------------------
 */

/* A call a second of the rule's point; between them the letters of `script` pass other points:
 * p and c the parse and the commit of a reload, - none. */
static const char *windowed(const char *plan, const char *script)
{
    static char text[64];
    struct world *w = world_new(1, plan);
    struct fault_decision d;
    size_t i = 0;
    for (; script[i] != '\0'; i++) {
        if (script[i] == 'p')
            ask(w, FAULT_master_reload_parse, &d);
        if (script[i] == 'c')
            ask(w, FAULT_master_reload_commit, &d);
        text[i] = ask(w, FAULT_net_accept, &d) ? 'x' : '.';
        w->now_ns += 1000000000;
    }
    text[i] = '\0';
    world_free(w);
    return text;
}

static void a_window_is_between_two_moments(void **state)
{
    (void)state;
    static const struct {
        const char *selectors, *script, *fires;
    } cases[] = {
        {"from=2s", "------", "..xxxx"},
        {"until=2s", "------", "xx...."},
        {"from=2s until=4s", "------", "..xx.."},
        {"from=master.reload.parse", "--p--c-", "..xxxxx"},
        {"until=master.reload.commit", "--c--p-", "xx....."},
        {"from=master.reload.parse until=master.reload.commit", "-p-c-pp-c-", ".xx..xxx.."},
        {"from=master.reload.parse until=2s", "-p-----", ".xx...."},
        {"from=1s until=master.reload.commit", "---c-", ".xx.."},
        /* calls outside of the window are not counted */
        {"from=2s nth=2", "------", "...x.."},
        {"from=master.reload.parse until=master.reload.commit every=2", "pc-p-cp-", "...x..x."},
        {"from=master.reload.parse until=master.reload.commit times=1", "pcpcpc", "x....."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char plan[160];
        snprintf(plan, sizeof plan, "net.accept errno %s", cases[i].selectors);
        const char *fires = windowed(plan, cases[i].script);
        if (strcmp(fires, cases[i].fires) != 0)
            fail_msg("%s at %s: %s", plan, cases[i].script, fires);
    }
}

/* The call that opens a window is inside of it, the one that closes it is not. */
static void a_rule_may_be_for_the_point_that_moves_its_window(void **state)
{
    (void)state;
    struct world *w = world_new(1, "master.reload.parse errno from=master.reload.parse until="
                                   "master.reload.commit; master.reload.commit delay=1ms "
                                   "from=master.reload.parse until=master.reload.commit");
    struct fault_decision d;
    assert_true(ask(w, FAULT_master_reload_parse, &d));
    assert_false(ask(w, FAULT_master_reload_commit, &d));
    world_free(w);
}

static void a_disarmed_rule_has_no_window(void **state)
{
    (void)state;
    struct world *w = world_new(1, "net.accept errno from=master.reload.parse");
    assert_true(fault_board_asks(w->file.board, FAULT_master_reload_parse));
    fault_board_disarm(&w->file, 0);
    assert_false(fault_board_asks(w->file.board, FAULT_master_reload_parse));
    world_free(w);
}

static void a_firing_knows_its_call(void **state)
{
    (void)state;
    struct world *w = world_new(1, "net.accept errno every=3");
    struct fault_decision d;
    for (uint64_t call = 1; call <= 9; call++)
        if (ask(w, FAULT_net_accept, &d))
            assert_true(d.call == call && d.nth == call / 3);
    assert_int_equal(d.call, 9);
    world_free(w);
}

/* ---- random streams ---------------------------------------------------------------------------
 */

enum { DRAWS = 400 };
static const char *const half = "net.accept errno chance=1/2; net.recv errno chance=1/2";

static void same_seed_same_decisions(void **state)
{
    (void)state;
    char first[512];
    struct world *w = world_new(7, half);
    memcpy(first, pattern(w, FAULT_net_accept, DRAWS), DRAWS + 1);
    world_free(w);
    w = world_new(7, half);
    pattern(w, FAULT_net_recv, 13); /* another point's stream is none of its business */
    assert_string_equal(pattern(w, FAULT_net_accept, DRAWS), first);
    world_free(w);
    w = world_new(8, half);
    assert_string_not_equal(pattern(w, FAULT_net_accept, DRAWS), first);
    world_free(w);
}

static void each_identity_has_a_stream_of_its_own(void **state)
{
    (void)state;
    static const struct {
        enum fault_role role;
        int slot;
        uint32_t generation;
    } who[] = {{FAULT_ROLE_WORKER, 0, 1},
               {FAULT_ROLE_WORKER, 1, 1},
               {FAULT_ROLE_WORKER, 0, 2},
               {FAULT_ROLE_MASTER, 0, 1},
               {FAULT_ROLE_WORKER, 0, 1}};
    enum { WHO = sizeof who / sizeof who[0] };
    char fires[WHO][DRAWS + 1];
    struct world *w = world_new(7, half);
    for (size_t i = 0; i < WHO; i++) {
        fault_self_start(&w->self, w->file.board, who[i].role, who[i].slot, who[i].generation, 1);
        memcpy(fires[i], pattern(w, FAULT_net_accept, DRAWS), DRAWS + 1);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(fires[i], fires[j]); /* the last: the same in its second life */
    }
    world_free(w);
    w = world_new(7, half);
    fault_self_start(&w->self, w->file.board, FAULT_ROLE_WORKER, 0, 2, 999);
    assert_string_equal(pattern(w, FAULT_net_accept, DRAWS), fires[2]); /* pids do not matter */
    world_free(w);
}

static void a_chance_is_about_as_likely_as_it_says(void **state)
{
    (void)state;
    struct world *w = world_new(3, "net.accept errno chance=1/10");
    struct fault_decision d;
    int fired = 0;
    for (int i = 0; i < 100000; i++)
        fired += ask(w, FAULT_net_accept, &d);
    assert_in_range(fired, 9500,
                    10500); /* five standard deviations; and it is the same each time */
    world_free(w);
}

static void corrupt_draws_where(void **state)
{
    (void)state;
    struct world *w = world_new(3, "net.recv corrupt");
    struct fault_decision a, b;
    assert_true(ask(w, FAULT_net_recv, &a) && ask(w, FAULT_net_recv, &b));
    assert_true(a.hit.value >= 0 && b.hit.value >= 0 && a.hit.value != b.hit.value);
    world_free(w);
}

static void more_identities_than_the_table_holds_do_no_harm(void **state)
{
    (void)state;
    struct world *w = world_new(3, half);
    for (uint32_t i = 0; i < 2 * FAULT_LIVES_MAX; i++)
        fault_self_start(&w->self, w->file.board, FAULT_ROLE_WORKER, 0, i, 1);
    assert_int_equal(w->self.life, 0);
    pattern(w, FAULT_net_accept, DRAWS);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_choose_calls),
        cmocka_unit_test(calls_of_others_are_not_counted),
        cmocka_unit_test(the_first_rule_that_fires_decides),
        cmocka_unit_test(the_walk_goes_on_behind_a_rule),
        cmocka_unit_test(a_window_is_between_two_moments),
        cmocka_unit_test(a_rule_may_be_for_the_point_that_moves_its_window),
        cmocka_unit_test(a_disarmed_rule_has_no_window),
        cmocka_unit_test(a_firing_knows_its_call),
        cmocka_unit_test(same_seed_same_decisions),
        cmocka_unit_test(each_identity_has_a_stream_of_its_own),
        cmocka_unit_test(a_chance_is_about_as_likely_as_it_says),
        cmocka_unit_test(corrupt_draws_where),
        cmocka_unit_test(more_identities_than_the_table_holds_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
