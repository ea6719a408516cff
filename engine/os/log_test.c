/* The error log's format, levels, reopening, and that lines of several processes never tear. */
#include "engine/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char path[128], moved[160];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/log_test.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/error.log", folder);
    snprintf(moved, sizeof moved, "%s.1", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_open("stderr", LEVEL_NOTICE);
    unlink(path);
    unlink(moved);
    return rmdir(folder);
}

static char *slurp(const char *name)
{
    static char text[1 << 20];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    fclose(file);
    return text;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0)
        fail_msg("\"%s\" does not match %s", text, pattern);
    regfree(&regex);
}

static void a_line_has_nginx_format(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    errno = EDOM;
    log_line(LEVEL_WARN, "*%d %s", 7, "message");
    assert_int_equal(errno, EDOM);
    char pattern[160];
    snprintf(pattern, sizeof pattern,
             "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \\[warn\\] %d#%d: "
             "\\*7 message\n$",
             (int)getpid(), (int)gettid());
    assert_matches(slurp(path), pattern);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0133, 0);
    assert_true(fcntl(log_fd(), F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(log_fd(), F_GETFL) & O_APPEND);
}

static void levels_above_the_limit_are_silent(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_ERR), 0);
    log_line(LEVEL_WARN, "no");
    log_line(LEVEL_ERR, "yes");
    log_line(LEVEL_EMERG, "also");
    assert_matches(slurp(path), "^[^\n]*\\[error\\][^\n]* yes\n[^\n]*\\[emerg\\][^\n]* also\n$");
}

static void control_bytes_cannot_begin_a_line(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    log_line(LEVEL_INFO, "%s", "a\nb\x7f\xc3\xa9");
    assert_non_null(strstr(slurp(path), ": a\\x0Ab\\x7F\xc3\xa9\n"));
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    static char text[10000];
    for (int fill = 0; fill < 2; fill++) {
        memset(text, fill == 0 ? 'x' : '\n', sizeof text - 1);
        log_line(LEVEL_INFO, "%s", text);
    }
    const char *log = slurp(path);
    const char *first_end = strchr(log, '\n');
    assert_non_null(first_end);
    assert_in_range(first_end - log, 1500, 2048);
    assert_in_range(strlen(first_end + 1), 1500, 2048);
    assert_ptr_equal(strchr(first_end + 1, '\n'), log + strlen(log) - 1);
}

static void reopen_follows_the_name(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    log_line(LEVEL_INFO, "one");
    assert_int_equal(rename(path, moved), 0);
    log_line(LEVEL_INFO, "two");
    assert_int_equal(log_reopen(), 0);
    log_line(LEVEL_INFO, "three");
    assert_matches(slurp(moved), "one\n[^\n]*two\n$");
    assert_matches(slurp(path), "^[^\n]*three\n$");
}

static void a_failed_open_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    int fd = log_fd();
    assert_int_equal(log_open("/nonexistent/folder/log", LEVEL_EMERG), -ENOENT);
    assert_int_equal(log_open("", LEVEL_EMERG), -ENOENT);
    assert_int_equal(log_fd(), fd);
    log_line(LEVEL_INFO, "still here");
    assert_matches(slurp(path), "still here\n$");
    assert_int_equal(log_open("stderr", LEVEL_INFO), 0);
    assert_int_equal(log_fd(), 2);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(log_reopen(), 0);
    assert_int_equal(log_fd(), 2);
}

#define WRITERS 4
#define LINES 500

static void lines_of_several_processes_never_tear(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    pid_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        assert_true(writers[i] >= 0);
        if (writers[i] == 0) {
            for (int n = 0; n < LINES; n++)
                log_line(LEVEL_INFO, "<%0*d>", 20 + i * 30, n);
            _exit(0);
        }
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(waitpid(writers[i], NULL, 0), writers[i]);
    regex_t regex;
    assert_int_equal(regcomp(&regex, "^[0-9/]{10} [0-9:]{8} \\[info\\] [0-9]+#[0-9]+: <[0-9]+>$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    int count = 0;
    char *rest = slurp(path);
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0'; count++)
        assert_int_equal(regexec(&regex, line, 0, NULL, 0), 0);
    assert_int_equal(count, WRITERS * LINES);
    regfree(&regex);
}

static void level_words_are_nginx_words(void **state)
{
    (void)state;
    enum log_level level = LEVEL_DEBUG;
    assert_true(log_level_parse("emerg", &level) && level == LEVEL_EMERG);
    assert_true(log_level_parse("error", &level) && level == LEVEL_ERR);
    assert_true(log_level_parse("debug", &level) && level == LEVEL_DEBUG);
    assert_false(log_level_parse("err", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LEVEL_DEBUG);
}

static void a_failed_check_says_where_and_aborts(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_INFO), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sigaction usual = {.sa_handler = SIG_DFL};
        sigaction(SIGABRT, &usual, NULL);
        CHECK(child == 0);
        CHECK(child == 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_matches(
        slurp(path),
        "^[^\n]*\\[alert\\] [0-9#]+: check failed: child == 1 at .*log_test.c:[0-9]+\n$");
}

static void lines_go_to_all_that_are_open(void **state)
{
    (void)state;
    assert_int_equal(log_open(path, LEVEL_ERR), 0);
    assert_int_equal(log_open_also(moved, LEVEL_INFO), 0);
    log_line(LEVEL_INFO, "only there");
    log_line(LEVEL_ERR, "in both");
    assert_null(strstr(slurp(path), "only there"));
    assert_non_null(strstr(slurp(path), "in both"));
    assert_non_null(strstr(slurp(moved), "only there"));
    assert_non_null(strstr(slurp(moved), "in both"));
    assert_int_equal(log_open_also("/no/such/folder/x", LEVEL_INFO), -ENOENT);
    for (int i = 1; i < LOG_MORE_MAX; i++)
        assert_int_equal(log_open_also("stderr", LEVEL_EMERG), 0);
    assert_int_equal(log_open_also("stderr", LEVEL_EMERG), -ENOSPC);
    assert_int_equal(log_open(path, LEVEL_ERR), 0); /* and no others */
    log_line(LEVEL_ERR, "alone again");
    assert_null(strstr(slurp(moved), "alone again"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_nginx_format, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_above_the_limit_are_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(control_bytes_cannot_begin_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(long_messages_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(reopen_follows_the_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_open_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_of_several_processes_never_tear, setup, teardown),
        cmocka_unit_test(level_words_are_nginx_words),
        cmocka_unit_test_setup_teardown(a_failed_check_says_where_and_aborts, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_go_to_all_that_are_open, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
