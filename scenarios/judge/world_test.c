/* The judge's memory: processes told of twice, in any order, and by numbers used again; connections
 * and requests that come and go; causes; and histories that make no sense. */
#include "scenarios/judge/judge_story.h"
#include "scenarios/judge/table.h"
#include "scenarios/judge/world.h"

static struct world world;

static void tell(const char *text)
{
    struct story *s = story_read(text);
    world_init(&world);
    for (size_t i = 0; i < s->count; i++)
        world_take(&world, &s->records[i]);
    free(s);
}

static int forget(void **state)
{
    (void)state;
    world_release(&world);
    return 0;
}

static uint64_t at(double seconds)
{
    return (uint64_t)((seconds + STORY_T0_S) * 1e9 + 0.5);
}

static void a_tree_is_followed(void **state)
{
    (void)state;
    tell(STORY_ENGINE "1 engine.drain pid=11\n2 watch.exit pid=11 a=SIGKILL b=10\n");
    assert_int_equal(world.master_pid, 10);
    assert_int_equal(world.live_workers, 1);
    const struct world_process *p = world_process(&world, 11);
    assert_non_null(p);
    assert_true(p->is_worker && !p->is_master);
    assert_int_equal(p->parent, 10);
    assert_int_equal(p->slot, 0);
    assert_int_equal(p->born_ns, at(-0.7));
    assert_int_equal(p->ready_ns, at(-0.6));
    assert_int_equal(p->drain_ns, at(1));
    assert_int_equal(p->exit_ns, at(2));
    assert_int_equal(p->exit_status, SIGKILL);
    assert_int_equal(world.last_exit.pid, 11);
    assert_true(world_process(&world, 10)->is_master);
    assert_null(world_process(&world, 99));
}

static void two_witnesses_tell_of_one_process(void **state)
{
    (void)state;
    /* It was dead before its master had told of its birth; then the master reaps it. */
    tell(STORY_SERVER
         "1 watch.fork pid=13 a=10\n1.1 watch.exit pid=13 a=unknown b=10\n"
         "1.2 engine.spawn pid=13 slot=2 gen=1\n1.3 engine.worker_exit pid=13 a=SIGSEGV\n");
    assert_int_equal(world.live_workers, 2);
    const struct world_process *p = world_process(&world, 13);
    assert_int_equal(p->exit_ns, at(1.1));
    assert_int_equal(p->exit_status, SIGSEGV);
    assert_int_equal(p->slot, 2);
}

static bool count_visit(const struct world_process *p, void *arg)
{
    (void)p;
    ++*(int *)arg;
    return true;
}

static void a_number_is_used_again(void **state)
{
    (void)state;
    tell(STORY_ENGINE "1 watch.exit pid=11 a=0 b=10\n1.1 engine.worker_exit pid=11 a=0\n"
                      "2 watch.fork pid=11 a=10\n2.1 engine.spawn pid=11 slot=0 gen=2\n");
    const struct world_process *p = world_process(&world, 11);
    assert_int_equal(p->exit_ns, 0);
    assert_int_equal(p->born_ns, at(2));
    assert_int_equal(p->gen, 2);
    assert_int_equal(p->ready_ns, 0);
    assert_int_equal(world.live_workers, 2);
    int count = 0;
    world_processes(&world, count_visit, &count);
    assert_int_equal(count, 4);
}

static void a_new_master_is_no_worker(void **state)
{
    (void)state;
    tell(STORY_SERVER "1 watch.fork pid=20 a=10\n1.1 engine.master pid=20 a=10\n"
                      "1.2 watch.fork pid=21 a=20\n");
    assert_int_equal(world.live_workers, 3);
    assert_true(world_process(&world, 20)->is_master);
    assert_false(world_process(&world, 20)->is_worker);
    assert_true(world_process(&world, 21)->is_worker);
    assert_int_equal(world.master_pid, 10);
}

/* A server that nobody watches shows its processes by what they answer. */
static void answers_tell_of_processes(void **state)
{
    (void)state;
    tell("0 director.ready pid=10 gen=1\n1 client.first_byte pid=30 gen=4 c=3\n");
    const struct world_process *p = world_process(&world, 30);
    assert_non_null(p);
    assert_true(p->is_worker);
    assert_int_equal(p->gen, 4);
    assert_int_equal(p->slot, 2);
    assert_int_equal(p->ready_ns, at(1));
}

static void connections_and_requests_come_and_go(void **state)
{
    (void)state;
    tell(STORY_SERVER "1 client.connect conn=7 slot=1\n1.1 client.connected conn=7\n"
                      "1.2 engine.accept conn=7 pid=12\n1.3 client.request conn=7 req=70\n"
                      "1.4 client.sent conn=7 req=70\n1.5 engine.request conn=7 req=70 pid=12\n"
                      "1.6 client.first_byte conn=7 req=70 pid=12 gen=3\n"
                      "1.7 engine.response conn=7 req=70 pid=12 a=200\n"
                      "1.8 client.end conn=7 req=70 pid=12 gen=3 a=ok\n");
    const struct world_request *q = world_request(&world, 70);
    assert_non_null(q);
    assert_int_equal(q->begun.t_ns, at(1.3));
    assert_int_equal(q->sent_ns, at(1.4));
    assert_int_equal(q->executed.pid, 12);
    assert_int_equal(q->first_byte_ns, at(1.6));
    assert_int_equal(q->responded.a, 200);
    const struct world_connection *c = world_connection(&world, 7);
    assert_int_equal(c->population, 1);
    assert_int_equal(c->server_pid, 12);
    assert_int_equal(c->requests, 1);
    assert_int_equal(c->newest_gen, 3);
    struct hist_record end = {.t_ns = at(2), .kind = HIST_CLIENT_CLOSE, .conn = 7};
    world_take(&world, &end);
    assert_null(world_request(&world, 70));
    assert_non_null(world_connection(&world, 7));
    struct hist_record next = {.t_ns = at(3), .kind = HIST_CLIENT_CONNECT, .conn = 7};
    world_take(&world, &next);
    c = world_connection(&world, 7);
    assert_int_equal(c->connect_ns, at(3));
    assert_int_equal(c->server_pid, 0);
    assert_int_equal(c->requests, 0);
    /* The server's close of the one before comes late. */
    struct hist_record late = {.t_ns = at(3.1), .kind = HIST_ENGINE_CLOSE, .conn = 7};
    world_take(&world, &late);
    assert_int_equal(world_connection(&world, 7)->closed_by_server.kind, HIST_NONE);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    world_init(&world);
    for (uint64_t i = 1; i <= 300000; i++) {
        struct hist_record r = {.t_ns = i, .kind = HIST_CLIENT_CONNECT, .conn = i};
        world_take(&world, &r);
        r.kind = HIST_CLIENT_REQUEST;
        r.req = i;
        world_take(&world, &r);
    }
    assert_non_null(world_request(&world, 1));
    assert_null(world_request(&world, 300000));
    struct hist_record end = {.t_ns = 300001, .kind = HIST_CLIENT_END, .req = 1, .conn = 1};
    world_take(&world, &end);
    struct hist_record begun = {.t_ns = 300002, .kind = HIST_CLIENT_REQUEST, .req = 300000};
    world_take(&world, &begun);
    assert_null(world_request(&world, 1));
    assert_non_null(world_request(&world, 300000));
}

static void the_story_is_followed(void **state)
{
    (void)state;
    tell(STORY_SERVER "1 director.phase a=act\n2 director.config gen=2 a=1\n"
                      "2.1 director.reload gen=2 a=1 b=1\n2.2 director.reloaded gen=2 a=ok b=1\n"
                      "3 director.config gen=3 a=0\n3.1 director.reload gen=3 a=0 b=2\n"
                      "3.2 director.reloaded gen=3 a=refused b=2\n4 director.stop a=1\n");
    assert_int_equal(world.phase, HIST_PHASE_ACT);
    assert_int_equal(world.config_current, 2);
    assert_int_equal(world.config_latest, 3);
    assert_false(world.config_latest_valid);
    assert_int_equal(world.reloads_asked, 2);
    assert_int_equal(world.reloads_ok, 1);
    assert_int_equal(world.reloads_refused, 1);
    assert_int_equal(world.reload_ended_ns, at(3.2));
    assert_int_equal(world.stop_ns, at(4));
    assert_true(world.stop_graceful);
    assert_int_equal(world_param(&world, HIST_P_WORKERS, 9), 2);
    assert_int_equal(world_param(&world, HIST_P_FD_LIMIT, 9), 9);
    struct hist_record again = {.t_ns = at(5), .kind = HIST_DIRECTOR_READY, .gen = 1};
    world_take(&world, &again);
    assert_int_equal(world.stop_ns, 0);
}

static void causes_are_told_apart(void **state)
{
    (void)state;
    tell(STORY_SERVER "1 director.signal pid=11 a=SIGTERM b=worker\n"
                      "2 director.signal pid=12 a=SIGSTOP b=worker\n"
                      "3 fault.fired pid=11 a=net.recv b=0x200000000\n"
                      "4 fault.fired pid=11 a=sabotage.vanish b=0x900000000\n"
                      "5 watch.exit pid=12 a=SIGSEGV b=10\n"
                      "6 director.signal pid=10 a=SIGHUP b=master\n"
                      "7 director.signal pid=10 a=SIGKILL b=group\n"
                      "8 storm.signal pid=11 a=SIGKILL b=worker c=ESRCH\n");
    const unsigned any = WORLD_BREAKS | WORLD_SLOWS | WORLD_EXITS;
    assert_int_equal(world_cause(&world, 11, 0, at(1.5), WORLD_BREAKS)->t_ns, at(1));
    assert_null(world_cause(&world, 12, 0, at(1.5), any));
    assert_int_equal(world_cause(&world, 12, 0, at(2.5), WORLD_SLOWS)->t_ns, at(2));
    assert_null(world_cause(&world, 12, 0, at(2.5), WORLD_BREAKS));
    assert_int_equal(world_cause(&world, 11, 0, at(4.5), WORLD_SLOWS)->t_ns, at(3));
    assert_null(world_cause(&world, 11, at(3.5), at(4.5), any));
    assert_int_equal(world_cause(&world, 12, at(4.5), at(5.5), WORLD_EXITS)->t_ns, at(5));
    assert_null(world_cause(&world, 0, at(5.5), at(6.5), any));
    assert_int_equal(world_cause(&world, 11, at(6.5), at(9), any)->t_ns, at(7));
}

/* Checkers wait a second before they judge; a storm of 10 kHz is over by then. */
static void a_storm_makes_nobody_forget_a_cause(void **state)
{
    (void)state;
    tell(STORY_SERVER "1 director.signal pid=11 a=SIGSEGV b=worker\n");
    struct hist_record kill = {
        .kind = HIST_STORM_SIGNAL, .pid = 12, .a = SIGKILL, .b = HIST_TO_WORKER};
    for (unsigned i = 0; i < 10000; i++) {
        kill.t_ns = at(1.0 + i / 10000.0);
        world_take(&world, &kill);
    }
    assert_non_null(world_cause(&world, 11, at(0.9), at(1.1), WORLD_BREAKS));
}

/* A watcher that polls does not know how a worker ended. */
static void an_unknown_end_is_a_crash_unless_asked_for(void **state)
{
    (void)state;
    tell(STORY_SERVER "1 watch.exit pid=11 a=unknown b=10\n2 director.reload gen=2 a=1\n"
                      "3 watch.exit pid=12 a=unknown b=10\n");
    assert_non_null(world_cause(&world, 11, 0, at(9), WORLD_EXITS));
    assert_null(world_cause(&world, 12, 0, at(9), WORLD_EXITS));
}

static void lags_cover_the_time_before_them(void **state)
{
    (void)state;
    tell("1 client.lag a=200ms\n");
    const uint64_t limit_ns = 100000000;
    assert_true(world_lagged(&world, at(0.9), at(0.95), limit_ns));
    assert_true(world_lagged(&world, at(0.5), at(0.85), limit_ns));
    assert_false(world_lagged(&world, at(0.5), at(0.7), limit_ns));
    assert_false(world_lagged(&world, at(1.1), at(1.2), limit_ns));
    assert_false(world_lagged(&world, at(0.9), at(0.95), 2 * limit_ns));
}

/* Whatever a history says, the judge reads it to the end. */
static void nonsense_is_survived(void **state)
{
    (void)state;
    world_init(&world);
    struct judge *j = judge_new();
    uint64_t x = 42;
    for (int i = 0; i < 200000; i++) {
        struct hist_record r;
        uint64_t words[8];
        for (int w = 0; w < 8; w++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            words[w] = i % 3 == 0 ? x : x % 40;
        }
        memcpy(&r, words, sizeof(r));
        r.kind = (uint16_t)(words[1] % (HIST_KIND_COUNT + 3));
        if (i % 2 == 0)
            r.t_ns = (uint64_t)i * 1000;
        judge_observe(j, &r);
    }
    judge_finish(j);
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        assert_true(judge_result(j, (enum guarantee)g)->text[0] != '\0');
    judge_free(j);
}

static void an_empty_history_proves_nothing(void **state)
{
    (void)state;
    world_init(&world);
    struct judge *j = judge_new();
    judge_finish(j);
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        assert_int_equal(judge_result(j, (enum guarantee)g)->verdict, VERDICT_UNKNOWN);
    judge_free(j);
}

static void a_table_keeps_what_was_put_in(void **state)
{
    (void)state;
    world_init(&world);
    struct table t;
    table_init(&t, sizeof(uint64_t), 5000);
    uint64_t x = 7;
    static uint64_t keys[4000];
    for (size_t i = 0; i < 4000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        keys[i] = x;
        uint64_t *item = table_add(&t, x);
        assert_int_equal(*item, 0);
        *item = x + 1;
    }
    for (size_t i = 0; i < 4000; i += 2)
        table_remove(&t, keys[i]);
    table_remove(&t, 12345);
    assert_int_equal(t.used, 2000);
    for (size_t i = 0; i < 4000; i++) {
        uint64_t *item = table_find(&t, keys[i]);
        assert_true(i % 2 == 0 ? item == NULL : item != NULL && *item == keys[i] + 1);
    }
    for (uint64_t key = 1; key <= 3000; key++)
        assert_non_null(table_add(&t, key));
    assert_null(table_add(&t, 3001));
    assert_null(table_add(&t, 0));
    assert_non_null(table_find(&t, keys[1]));
    table_release(&t);
    assert_null(table_find(&t, keys[1]));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, forget)
    const struct CMUnitTest tests[] = {
        TEST(a_tree_is_followed),
        TEST(two_witnesses_tell_of_one_process),
        TEST(a_number_is_used_again),
        TEST(a_new_master_is_no_worker),
        TEST(answers_tell_of_processes),
        TEST(connections_and_requests_come_and_go),
        TEST(memory_is_bounded),
        TEST(the_story_is_followed),
        TEST(causes_are_told_apart),
        TEST(a_storm_makes_nobody_forget_a_cause),
        TEST(an_unknown_end_is_a_crash_unless_asked_for),
        TEST(lags_cover_the_time_before_them),
        TEST(nonsense_is_survived),
        TEST(an_empty_history_proves_nothing),
        TEST(a_table_keeps_what_was_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
