/* The pid file, and finding it by a configuration with mistakes. */
#include "engine/master/pidfile.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/master/find_pid.h"
#include "faultinject/board.h"
#include "faultinject/fault.h"
#include "faultinject/plan.h"

static char folder[64], file[128];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/pidfile-test-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(file, sizeof(file), "%s/file", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(folder); /* fails when something was left there */
}

static void put(const char *text)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void is_written_read_and_removed_by_its_owner(void **state)
{
    (void)state;
    assert_int_equal(pidfile_read(file), -ENOENT);
    assert_int_equal(pidfile_write(file, 123), 0);
    assert_int_equal(pidfile_read(file), 123);
    assert_int_equal(pidfile_write(file, 4567), 0);
    pidfile_remove(file, 123); /* it names somebody else by now */
    assert_int_equal(pidfile_read(file), 4567);
    pidfile_remove(file, 4567);
    assert_int_equal(access(file, F_OK), -1);
}

#if MW_FAULTS
/* A master that stops has no use for a descriptor less: its pid file goes all the same. */
static void is_removed_though_it_cannot_be_read(void **state)
{
    struct fault_board_file board;
    struct fault_plan plan;
    struct fault_plan_error error;
    char path[128];
    (void)state;
    snprintf(path, sizeof(path), "%s/board", folder);
    assert_int_equal(fault_board_open(&board, path, true, 1), 0);
    setenv("MW_FAULT_BOARD", path, 1);
    assert_int_equal(fault_attach(), 0);
    assert_int_equal(pidfile_write(file, 123), 0);
    assert_true(fault_plan_parse(&plan, "fs.open errno=EMFILE", &error));
    assert_true(fault_board_arm(&board, &plan.rules[0]) >= 0);
    assert_int_equal(pidfile_remove(file, 123), 0);
    assert_int_equal(access(file, F_OK), -1);
    put("456"); /* somebody else's, that cannot be read either, stays */
    assert_int_equal(pidfile_remove(file, 123), 0);
    assert_int_equal(access(file, F_OK), 0);
    fault_board_disarm(&board, 0);
    fault_board_close(&board);
    unlink(path);
}
#endif

static void what_holds_no_pid_is_refused(void **state)
{
    static const char *const texts[] = {"", "\n", "x", "-5", "0", "99999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put(texts[i]);
        assert_int_equal(pidfile_read(file), -EINVAL);
    }
    assert_int_equal(pidfile_write("/no/such/folder/file", 1), -ENOENT);
}

static void is_found_in_a_broken_configuration(void **state)
{
    static const struct {
        const char *text, *found;
    } cases[] = {
        {"pid run/a.pid; nonsense on;", "/srv/run/a.pid"},
        {"nonsense on; pid /b.pid; http {", "/b.pid"},
        {"http { pid c.pid; } ", "/srv/logs/mw-engine.pid"}, /* not of the main level */
        {"user pid; # pid d.pid;\n", "/srv/logs/mw-engine.pid"},
        {"} pid e.pid;", "/srv/logs/mw-engine.pid"},
        {"x { y { } } pid \"f g.pid\";", "/srv/f g.pid"},
        {"error_log \"never closed", "/srv/logs/mw-engine.pid"},
        {"pid", "/srv/logs/mw-engine.pid"},
    };
    struct master_options options = {.conf_path = file, .prefix = "/srv/"};
    char out[256];
    (void)state;
    assert_false(find_pid_path(&options, out, sizeof(out)));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put(cases[i].text);
        assert_true(find_pid_path(&options, out, sizeof(out)));
        assert_string_equal(out, cases[i].found);
    }
    options.globals = "daemon off; pid g.pid;";
    assert_true(find_pid_path(&options, out, sizeof(out)));
    assert_string_equal(out, "/srv/g.pid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_written_read_and_removed_by_its_owner, setup, teardown),
#if MW_FAULTS
        cmocka_unit_test_setup_teardown(is_removed_though_it_cannot_be_read, setup, teardown),
#endif
        cmocka_unit_test_setup_teardown(what_holds_no_pid_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(is_found_in_a_broken_configuration, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
