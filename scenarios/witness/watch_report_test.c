/* What the watcher sees besides processes - accept queues and the pid file - and what it tells. */
#include "scenarios/witness/watch_fixture.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

/* A worker with a child of its own. */
static void grow_two_deep(void)
{
    pid_t pid = branch();
    if (pid == 0) {
        stage->shared->pids[1] = branch();
        if (stage->shared->pids[1] == 0)
            stage->shared->pids[1] = getpid();
        for (;;)
            pause();
    }
    stage->shared->pids[0] = pid;
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    wait_at(0);
}

static void grow_one_worker(void)
{
    stage->shared->pids[0] = branch();
    if (stage->shared->pids[0] == 0) {
        stage->shared->pids[0] = getpid();
        for (;;)
            pause();
    }
    wait_at(0);
}

/* ---- listeners and the pid file ---------------------------------------------------------------
 */

static void idle(void)
{
    wait_at(0);
}

static int listen_on(struct sockaddr_in *addr, int backlog)
{
    socklen_t len = sizeof *addr;
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)addr, sizeof *addr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void accept_queues_are_measured(void **state)
{
    (void)state;
    struct sockaddr_in addr;
    struct hist_record r;
    int clients[3];
    stage->listener = listen_on(&addr, 17);
    uint16_t port = ntohs(addr.sin_port);
    stage->options.ports[0] = port;
    stage->options.port_count = 1;
    start(idle);
    assert_true(recorded(HIST_WATCH_LISTEN, 0, port, &r) && r.b == 1 && r.c != 0);
    uint64_t inode = r.c;
    assert_true(recorded(HIST_WATCH_QUEUE, 0, port, &r) && r.b == 0 && r.c == 17);
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(clients[i], (struct sockaddr *)&addr, sizeof addr), 0);
    }
    LOOK_UNTIL(recorded(HIST_WATCH_QUEUE, 0, port, &r) && r.b == 3);
    close(accept(stage->listener, NULL, NULL));
    LOOK_UNTIL(recorded(HIST_WATCH_QUEUE, 0, port, &r) && r.b == 2);
    close(stage->listener);
    LOOK_UNTIL(recorded(HIST_WATCH_LISTEN, 0, port, &r) && r.b == 0 && r.c == inode);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
}

static void write_pid(pid_t pid)
{
    FILE *f = fopen(stage->pidfile, "we");
    fprintf(f, "%ld\n", (long)pid);
    fclose(f);
}

static bool pidfile_says(pid_t pid, bool live)
{
    struct hist_record r;
    return recorded(HIST_WATCH_PIDFILE, 0, 0, &r) && r.pid == (uint32_t)pid && r.b == live;
}

static void the_pid_file_is_read(void **state)
{
    (void)state;
    struct hist_record r;
    char oldbin[128];
    stage->options.pidfile = stage->pidfile;
    start(grow_one_worker);
    assert_true(pidfile_says(0, false));
    pid_t child = told_pid(0);
    write_pid(stage->root);
    LOOK_UNTIL(pidfile_says(stage->root, true));
    write_pid(child);
    LOOK_UNTIL(pidfile_says(child, false)); /* a worker is no master */
    write_pid(getpid());
    LOOK_UNTIL(pidfile_says(getpid(), false)); /* alive, but a stranger */
    write_pid(stage->root);
    LOOK_UNTIL(pidfile_says(stage->root, true));
    snprintf(oldbin, sizeof oldbin, "%s.oldbin", stage->pidfile);
    assert_int_equal(rename(stage->pidfile, oldbin), 0);
    LOOK_UNTIL(pidfile_says(0, false));
    LOOK_UNTIL(recorded(HIST_WATCH_PIDFILE, stage->root, 1, &r) && r.b == 1);
    kill(stage->root, SIGKILL);
    LOOK_UNTIL(recorded(HIST_WATCH_PIDFILE, stage->root, 1, &r) && r.b == 0);
    unlink(oldbin);
}

/* Executes a program and has its pid written before the tree is looked at again. */
static void grow_a_new_master(void)
{
    wait_at(0);
    pid_t pid = branch();
    if (pid == 0) {
        execl("/bin/sleep", "sleep", "1000", (char *)NULL); /* or until the test is over */
        _exit(99);
    }
    stage->shared->pids[0] = pid;
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

static bool runs_sleep(pid_t pid)
{
    char path[64], name[16] = "";
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
    FILE *f = pid > 0 ? fopen(path, "re") : NULL;
    if (f && !fgets(name, sizeof name, f))
        name[0] = '\0';
    if (f)
        fclose(f);
    return strcmp(name, "sleep\n") == 0;
}

static void a_new_master_is_no_stranger(void **state)
{
    (void)state;
    const struct timespec pause_time = {.tv_nsec = 2000000};
    struct hist h;
    char why[128];
    stage->options.pidfile = stage->pidfile;
    start(grow_a_new_master);
    look();
    open_gate(0);
    for (int tries = 0; tries < 10000 && !runs_sleep(stage->shared->pids[0]); tries++)
        nanosleep(&pause_time, NULL);
    pid_t master = stage->shared->pids[0];
    assert_true(runs_sleep(master));
    write_pid(master);
    watch_pidfile_look(&stage->watch.pidfile, &stage->watch.tree);
    LOOK_UNTIL(pidfile_says(master, true));
    assert_int_equal(hist_read(&h, stage->path, why, sizeof why), 0);
    for (size_t i = 0; i < h.count; i++)
        if (h.records[i].kind == HIST_WATCH_PIDFILE && h.records[i].pid == (uint32_t)master)
            assert_int_equal(h.records[i].b, 1);
    hist_free(&h);
}

/* ---- when it was ------------------------------------------------------------------------------
 */

/* What happens while the watcher looks, and when it began to. */
struct happening {
    pid_t worker;
    uint64_t after_ns;
    uint64_t killed_ns, unlinked_ns, closed_ns;
};

static void *happen(void *arg)
{
    struct happening *it = arg;
    while (hist_now_ns() < it->after_ns)
        ;
    it->killed_ns = hist_now_ns();
    kill(it->worker, SIGKILL);
    it->unlinked_ns = hist_now_ns();
    unlink(stage->pidfile);
    it->closed_ns = hist_now_ns();
    close(stage->listener);
    return NULL;
}

static void grow_one_after_another(void)
{
    for (;;) {
        pid_t pid = branch();
        if (pid == 0)
            for (;;)
                pause();
        stage->shared->pids[0] = pid;
        waitpid(pid, NULL, 0);
        wait_at(0);
    }
}

static bool is_over(const struct happening *it)
{
    const struct watch_process *worker = watch_tree_find(&stage->watch.tree, it->worker);
    return (!worker || worker->exited) && stage->watch.tree.workers == 0 &&
           stage->watch.pidfile.pids[0] == 0 && stage->watch.listen.socket_count == 0;
}

static void check_times(const struct happening *it, uint16_t port)
{
    struct hist_record r, sample;
    assert_true(recorded(HIST_WATCH_EXIT, it->worker, ANY, &r));
    assert_true(r.t_ns >= it->killed_ns);
    assert_true(recorded(HIST_WATCH_PROC, it->worker, ANY, &sample));
    assert_true(sample.t_ns <= r.t_ns); /* no sample of what has ended */
    assert_false(recorded(HIST_WATCH_EXEC, it->worker, ANY, &sample));
    assert_true(recorded(HIST_WATCH_PIDFILE, 0, 0, &r) && r.pid == 0);
    assert_true(r.t_ns >= it->unlinked_ns);
    assert_true(recorded(HIST_WATCH_LISTEN, 0, port, &r) && r.b == 0);
    assert_true(r.t_ns >= it->closed_ns);
}

/* The first sample of the tree without the worker. */
static uint64_t first_without_ns(uint64_t from_ns)
{
    struct hist h;
    char why[128];
    uint64_t t_ns = 0;
    assert_int_equal(hist_read(&h, stage->path, why, sizeof why), 0);
    for (size_t i = 0; i < h.count && t_ns == 0; i++)
        if (h.records[i].kind == HIST_WATCH_TREE && h.records[i].t_ns > from_ns &&
            h.records[i].a == 0)
            t_ns = h.records[i].t_ns;
    hist_free(&h);
    return t_ns;
}

/* Each round something happens in the middle of a look; how far in differs. */
static void nothing_is_seen_before_it_happened(void **state)
{
    enum { ROUNDS = 40, SPREAD_NS = 300000 };
    (void)state;
    struct sockaddr_in addr;
    stage->listener = listen_on(&addr, 5);
    uint16_t port = ntohs(addr.sin_port);
    stage->options.ports[0] = port;
    stage->options.port_count = 1;
    stage->options.pidfile = stage->pidfile;
    start(grow_one_after_another);
    for (int round = 0; round < ROUNDS; round++) {
        struct happening it = {.worker = told_pid(0)};
        pthread_t thread;
        struct hist_record r;
        write_pid(stage->root);
        LOOK_UNTIL(stage->watch.tree.workers == 1 && pidfile_says(stage->root, true) &&
                   stage->watch.listen.socket_count == 1 &&
                   recorded(HIST_WATCH_PROC, it.worker, ANY, &r));
        uint64_t from_ns = hist_now_ns(), until_ns = from_ns + 20000000000;
        it.after_ns = from_ns + 100000 + (uint64_t)round * (SPREAD_NS / ROUNDS);
        assert_int_equal(pthread_create(&thread, NULL, happen, &it), 0);
        while (!is_over(&it) && hist_now_ns() < until_ns)
            look();
        pthread_join(thread, NULL);
        assert_true(is_over(&it));
        check_times(&it, port);
        assert_true(first_without_ns(from_ns) >= it.killed_ns);
        stage->shared->pids[0] = 0;
        stage->listener = listen_on(&addr, 5);
        stage->watch.listen.ports[0].port = port = ntohs(addr.sin_port);
        open_gate(0);
    }
    close(stage->listener);
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static json_t *told(const char *event)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    watch_tell(&stage->watch, event, out);
    fclose(out);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

static json_int_t integer(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

static void the_tree_is_told_in_json(void **state)
{
    (void)state;
    struct sockaddr_in addr;
    stage->listener = listen_on(&addr, 5);
    char port[8];
    stage->options.ports[0] = ntohs(addr.sin_port);
    stage->options.port_count = 1;
    stage->options.pidfile = stage->pidfile;
    start(grow_two_deep);
    write_pid(stage->root);
    pid_t child = told_pid(0), grandchild = told_pid(1);
    LOOK_UNTIL(watch_tree_find(&stage->watch.tree, grandchild) != NULL);
    look();
    json_t *json = told("tree");
    assert_string_equal(json_string_value(json_object_get(json, "event")), "tree");
    assert_int_equal(integer(json, "master"), stage->root);
    assert_int_equal(integer(json, "pidfile"), stage->root);
    assert_int_equal(integer(json, "zombies"), 0);
    assert_true(json_is_true(json_object_get(json, "alive")));
    json_t *workers = json_object_get(json, "workers"), *others = json_object_get(json, "others");
    assert_int_equal(json_array_size(workers), 1);
    assert_int_equal(integer(json_array_get(workers, 0), "pid"), child);
    assert_int_equal(integer(json_array_get(workers, 0), "ppid"), stage->root);
    assert_true(integer(json_array_get(workers, 0), "fds") > 0);
    assert_int_equal(json_array_size(others), 1);
    assert_int_equal(integer(json_array_get(others, 0), "pid"), grandchild);
    snprintf(port, sizeof port, "%u", stage->options.ports[0]);
    json_t *queue = json_object_get(json_object_get(json, "queues"), port);
    assert_int_equal(json_integer_value(json_array_get(queue, 1)), 5);
    json_decref(json);
    assert_false(watch_has_news(&stage->watch, hist_now_ns() + 1000000000));
    kill(child, SIGKILL);
    LOOK_UNTIL(watch_has_news(&stage->watch, hist_now_ns()));
    LOOK_UNTIL(stage->watch.tree.workers == 0);
    json = told("done");
    assert_int_equal(json_array_size(json_object_get(json, "workers")), 0);
    json_decref(json);
    close(stage->listener);
}

static void a_root_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    char why[256];
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    stage->options.root = gone;
    assert_int_equal(hist_open(&stage->history, stage->path, HIST_WATCH), 0);
    assert_int_equal(watch_open(&stage->watch, &stage->options, &stage->history, why, sizeof why),
                     -ESRCH);
    assert_non_null(strstr(why, "No such process"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(accept_queues_are_measured),  TEST(the_pid_file_is_read),
        TEST(a_new_master_is_no_stranger), TEST(nothing_is_seen_before_it_happened),
        TEST(the_tree_is_told_in_json),    TEST(a_root_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
