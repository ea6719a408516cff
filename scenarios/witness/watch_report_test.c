/* What the watcher sees besides processes - accept queues and the pid file - and what it tells. */
#include "scenarios/witness/watch_fixture.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
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
        TEST(accept_queues_are_measured),
        TEST(the_pid_file_is_read),
        TEST(the_tree_is_told_in_json),
        TEST(a_root_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
