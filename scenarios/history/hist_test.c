/* What the history promises: records of a killed process survive, files grow, a full disk drops
 * records and harms nobody, the merge is stable, and every kind prints. */
#include "scenarios/history/hist.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "faultinject/fault.h"
#include "scenarios/history/hist_file.h"
#include "scenarios/history/pattern.h"
#include "scenarios/history/words.h"

static char folder[64];

static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/mw-hist-test-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int folder_remove(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put(struct hist_writer *w, uint64_t t_ns, uint64_t req)
{
    struct hist_record r = {.t_ns = t_ns, .kind = HIST_CLIENT_REQUEST, .slot = -1, .req = req};
    hist_put(w, &r);
}

static struct hist read_all(const char *path)
{
    struct hist h;
    char why[256];
    int err = hist_read(&h, path, why, sizeof(why));
    if (err != 0)
        fail_msg("%s", why);
    return h;
}

static void records_come_back(void **state)
{
    (void)state;
    struct hist_writer w;
    assert_int_equal(hist_open(&w, in_folder("a.mwh"), HIST_PROBER), 0);
    put(&w, 5, 1);
    put(&w, 0, 2);
    hist_close(&w);
    struct stat st;
    assert_int_equal(stat(in_folder("a.mwh"), &st), 0);
    assert_int_equal(st.st_size, 3 * 64);
    struct hist h = read_all(in_folder("a.mwh"));
    assert_int_equal(h.count, 2);
    assert_int_equal(h.records[0].role, HIST_PROBER);
    assert_int_equal(h.records[0].t_ns, 5);
    assert_true(h.records[1].t_ns > 5);
    assert_int_equal(h.records[1].req, 2);
    hist_free(&h);
    assert_int_equal(hist_open(&w, in_folder("a.mwh"), HIST_PROBER), -EEXIST);
    assert_null(w.window);
}

static void a_closed_sink_takes_nothing(void **state)
{
    (void)state;
    struct hist_writer w = {0};
    put(&w, 1, 1);
    hist_close(&w);
    hist_forget(&w);
    assert_int_equal(w.dropped, 0);
    assert_false(hist_on());
}

static void records_of_a_killed_process_survive(void **state)
{
    (void)state;
    enum { PUT = 10000 };
    int done[2];
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct hist_writer w;
        if (hist_open(&w, in_folder("killed.mwh"), HIST_WORKER) != 0)
            _exit(1);
        for (uint64_t i = 1; i <= PUT; i++)
            put(&w, i, i);
        if (write(done[1], "", 1) != 1)
            _exit(1);
        for (uint64_t i = PUT + 1;; i++)
            put(&w, i, i);
    }
    char byte;
    close(done[1]);
    assert_int_equal(read(done[0], &byte, 1), 1);
    close(done[0]);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    struct hist h = read_all(in_folder("killed.mwh"));
    assert_true(h.count >= PUT);
    for (size_t i = 0; i < h.count; i++) {
        assert_int_equal(h.records[i].req, i + 1);
        assert_int_equal(h.records[i].t_ns, i + 1);
    }
    hist_free(&h);
}

/* A file that cannot grow is the same as a full disk to the writer. */
static void a_full_disk_drops_records(void **state)
{
    (void)state;
    struct hist_writer w;
    struct rlimit before, limit;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(hist_open(&w, in_folder("full.mwh"), HIST_WORKER), 0);
    limit = before;
    limit.rlim_cur = 4096 * 64;
    sigaction(SIGXFSZ, &ignore, &old);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (uint64_t i = 1; i <= 4095 + 10; i++)
        put(&w, i, i);
    assert_int_equal(w.dropped, 10);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    sigaction(SIGXFSZ, &old, NULL);
    while (w.dropped < 1024)
        put(&w, 5000, 5000);
    put(&w, 5001, 5001); /* there is room again */
    hist_close(&w);
    assert_int_equal(w.dropped, 1024);
    struct hist h = read_all(in_folder("full.mwh"));
    assert_int_equal(h.count, 4096);
    assert_int_equal(h.records[4095].req, 5001);
    hist_free(&h);
}

static void a_forked_child_lets_go(void **state)
{
    (void)state;
    struct hist_writer w;
    assert_int_equal(hist_open(&w, in_folder("parent.mwh"), HIST_MASTER), 0);
    put(&w, 1, 1);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        hist_forget(&w);
        put(&w, 2, 2);
        _exit(w.window != NULL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    put(&w, 3, 3);
    hist_close(&w);
    struct hist h = read_all(in_folder("parent.mwh"));
    assert_int_equal(h.count, 2);
    assert_int_equal(h.records[1].req, 3);
    hist_free(&h);
}

static void the_environment_names_the_file(void **state)
{
    (void)state;
    struct hist_writer w, second;
    char path[128];
    unsetenv("MW_HISTORY");
    assert_int_equal(hist_open_env(&w, "worker", HIST_WORKER), 0);
    assert_null(w.window);
    setenv("MW_HISTORY", folder, 1);
    assert_int_equal(hist_open_env(&w, "worker", HIST_WORKER), 1);
    assert_int_equal(hist_open_env(&second, "worker", HIST_WORKER), 1);
    snprintf(path, sizeof(path), "%s/worker-%ld.mwh", folder, (long)getpid());
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/worker-%ld-1.mwh", folder, (long)getpid());
    assert_int_equal(access(path, F_OK), 0);
    hist_close(&w);
    hist_close(&second);
    setenv("MW_HISTORY", in_folder("missing"), 1);
    assert_int_equal(hist_open_env(&w, "worker", HIST_WORKER), -ENOENT);
    assert_null(w.window);
    unsetenv("MW_HISTORY");
}

/* Three files that overlap, one of them out of order inside. */
static void files_merge_by_time_and_stay_stable(void **state)
{
    (void)state;
    static const uint64_t times[3][5] = {
        {10, 20, 20, 40, 50}, {5, 20, 30, 25, 60}, {20, 20, 20, 20, 70}};
    static const char *const names[3] = {"a.mwh", "b.mwh", "c.mwh"};
    for (int f = 0; f < 3; f++) {
        struct hist_writer w;
        assert_int_equal(hist_open(&w, in_folder(names[f]), HIST_SIM), 0);
        for (int i = 0; i < 5; i++)
            put(&w, times[f][i], (uint64_t)(f * 10 + i));
        hist_close(&w);
    }
    static const uint64_t order[15] = {10, 0, 1, 2, 11, 20, 21, 22, 23, 13, 12, 3, 4, 14, 24};
    struct hist h = read_all(folder);
    assert_int_equal(h.count, 15);
    for (size_t i = 0; i < 15; i++)
        assert_int_equal(h.records[i].req, order[i]);
    assert_int_equal(hist_write(&h, in_folder("merged")), 0);
    struct hist again = read_all(in_folder("merged"));
    assert_int_equal(again.count, 15);
    assert_memory_equal(again.records, h.records, 15 * sizeof(*h.records));
    assert_int_equal(hist_write(&h, in_folder("merged")), -EEXIST);
    hist_free(&again);
    hist_free(&h);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static void odd_files_are_refused_with_a_reason(void **state)
{
    (void)state;
    struct hist h;
    char why[256];
    struct hist_header header;
    assert_int_equal(hist_read(&h, folder, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "no *.mwh"));
    assert_int_equal(hist_read(&h, in_folder("none"), why, sizeof(why)), -ENOENT);
    assert_int_equal(hist_read(&h, "/dev/null", why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "/dev/null: it is no regular file"));
    write_file(in_folder("x.mwh"), "short", 5);
    assert_int_equal(hist_read(&h, folder, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "x.mwh: it is shorter"));
    hist_header_fill(&header, HIST_SIM);
    header.magic[0] = 'm';
    write_file(in_folder("x.mwh"), &header, sizeof(header));
    assert_int_equal(hist_read(&h, folder, why, sizeof(why)), -EINVAL);
    hist_header_fill(&header, HIST_SIM);
    header.vocabulary ^= 1;
    write_file(in_folder("x.mwh"), &header, sizeof(header));
    assert_int_equal(hist_read(&h, folder, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "another vocabulary"));
    header.vocabulary = 0;
    write_file(in_folder("x.mwh"), &header, sizeof(header));
    assert_int_equal(hist_read(&h, folder, why, sizeof(why)), 0);
    assert_int_equal(h.count, 0);
    hist_free(&h);
}

static void a_torn_tail_is_left_out(void **state)
{
    (void)state;
    struct {
        struct hist_header header;
        struct hist_record records[3];
    } file = {.records = {{.t_ns = 1, .kind = HIST_CLIENT_DONE}, {.t_ns = 2}, {.kind = 1}}};
    hist_header_fill(&file.header, HIST_SIM);
    write_file(in_folder("torn.mwh"), &file, sizeof(file));
    struct hist h = read_all(folder);
    assert_int_equal(h.count, 1);
    hist_free(&h);
    char why[256];
    write_file(in_folder("torn.mwh"), &file, sizeof(file.header) + 64 + 30);
    assert_int_equal(hist_read(&h, folder, why, sizeof(why)), 0);
    assert_non_null(strstr(why, "torn.mwh: it ends inside a record"));
    assert_int_equal(h.count, 1);
    hist_free(&h);
    write_file(in_folder("torn.mwh"), &file, sizeof(file.header) + 64);
    assert_int_equal(hist_read(&h, folder, why, sizeof(why)), 0);
    assert_string_equal(why, "");
    hist_free(&h);
}

static void assert_printed(const struct hist_record *r, const char *part)
{
    char line[512];
    int n = hist_print(line, sizeof(line), r, 1000000000);
    assert_int_equal(n, strlen(line));
    if (strstr(line, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, line);
}

static void unix_clients_are_known_by_the_kernels_name(void **state)
{
    (void)state;
    assert_int_equal(hist_conn_unix("\0"
                                    "00000"),
                     1);
    assert_int_equal(hist_conn_unix("\0"
                                    "1a2bf"),
                     0x1a2c0);
    assert_int_equal(hist_conn_unix("\0"
                                    "1a2bg"),
                     0);
    assert_int_equal(hist_conn_unix("\0\0\0\0\0\0"), 0);
    assert_int_equal(hist_conn_unix("/run/x.sock"), 0);
}

static void records_print_with_their_words(void **state)
{
    (void)state;
    struct hist_record end = {.t_ns = 3500000000,
                              .kind = HIST_CLIENT_END,
                              .slot = 2,
                              .pid = 77,
                              .gen = 3,
                              .flags = HIST_BIT(HIST_F_REUSED),
                              .conn = hist_conn(__builtin_bswap32(0x7f000102), 4321),
                              .req = 9,
                              .a = HIST_RESET_MID,
                              .b = 200 | 512 << 16,
                              .c = 1500000};
    assert_printed(&end, "   2.500000  client.end");
    assert_printed(&end, "server=77 population=2 config=3 conn=127.0.1.2:4321 req=9 "
                         "outcome=reset-mid-response status=200 bytes=512 "
                         "latency-since-due=1.5ms +reused");
    struct hist_record exit = {.kind = HIST_WATCH_EXIT, .slot = -1, .pid = 5, .a = SIGSEGV};
    assert_printed(&exit, "process=5 wait-status=SIGSEGV parent-pid=0");
    struct hist_record failed = {.kind = HIST_CLIENT_CONNECT_FAILED, .b = ECONNREFUSED};
    assert_printed(&failed, "errno=ECONNREFUSED");
    struct hist_record stop = {.kind = HIST_DIRECTOR_STOP, .a = 2};
    assert_printed(&stop, "(master killed)");
    struct hist_record proc = {.kind = HIST_WATCH_PROC, .a = 12ull << 32 | 40};
    assert_printed(&proc, "descriptors=12 mappings=40");
    struct hist_record fault = {.kind = HIST_FAULT_FIRED, .a = 0, .b = 1ull << 32 | EMFILE};
    assert_printed(&fault, "fault_point=net.accept errno=24");
    struct hist_record signal = {.kind = HIST_DIRECTOR_SIGNAL, .a = SIGHUP, .b = HIST_TO_MASTER};
    assert_printed(&signal, "signal-number=SIGHUP target=master");
    struct hist_record odd = {.kind = 60000};
    assert_printed(&odd, "?");
}

/* Whatever numbers a record holds, printing stays inside its buffer. */
static void every_kind_prints_within_bounds(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind <= HIST_KIND_COUNT; kind++)
        for (size_t size = 0; size < 300; size += 7) {
            char line[301];
            struct hist_record r;
            memset(&r, 0xff, sizeof(r));
            memset(line, '#', sizeof(line));
            r.kind = (uint16_t)kind;
            int n = hist_print(line, size, &r, 0);
            assert_true(n > 0);
            assert_int_equal(line[size], '#');
            assert_true(size == 0 || strlen(line) < size);
        }
}

static void lists_are_whole(void **state)
{
    (void)state;
    assert_string_equal(hist_kind_name(HIST_CLIENT_END), "client.end");
    assert_string_equal(hist_kind_name(HIST_KIND_COUNT), "?");
    assert_string_equal(hist_outcome_name(HIST_SERVER_ERROR), "5xx");
    assert_string_equal(hist_report_name(HIST_REPORT_COUNT), "?");
    assert_string_equal(hist_role_name(HIST_SIM), "sim");
    assert_int_equal(HIST_FAULT_COUNT, FAULT_KIND_COUNT);
    assert_int_equal(HIST_FAULT_STALL, FAULT_STALL);
    assert_int_equal(HIST_FAULT_SABOTAGE, FAULT_SABOTAGE);
    /* A field that is said to hold a word must name a list that exists. */
    for (unsigned kind = 1; kind < HIST_KIND_COUNT; kind++)
        for (unsigned f = 0; f < HIST_FIELD_COUNT; f++) {
            const char *text = hist_kinds[kind].fields[f];
            if (strncmp(text, "enum ", 5) != 0)
                continue;
            text += strncmp(text, "enum hist_", 10) == 0 ? 10 : 5;
            assert_non_null(hist_list_find(text, strcspn(text, " ,")));
        }
}

/* A shift by anything but a whole period changes the first bytes. */
static void the_pattern_tells_places_apart(void **state)
{
    (void)state;
    unsigned char first[178], other[178];
    pattern_fill(first, sizeof(first), 0);
    for (uint64_t offset = 1; offset < 89 * 89; offset++) {
        pattern_fill(other, sizeof(other), offset);
        assert_memory_not_equal(first, other, sizeof(first));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_come_back, folder_make, folder_remove),
        cmocka_unit_test(a_closed_sink_takes_nothing),
        cmocka_unit_test_setup_teardown(records_of_a_killed_process_survive, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(a_full_disk_drops_records, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(a_forked_child_lets_go, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(the_environment_names_the_file, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(files_merge_by_time_and_stay_stable, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(odd_files_are_refused_with_a_reason, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(a_torn_tail_is_left_out, folder_make, folder_remove),
        cmocka_unit_test(records_print_with_their_words),
        cmocka_unit_test(unix_clients_are_known_by_the_kernels_name),
        cmocka_unit_test(every_kind_prints_within_bounds),
        cmocka_unit_test(lists_are_whole),
        cmocka_unit_test(the_pattern_tells_places_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
