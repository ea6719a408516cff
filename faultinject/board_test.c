/* The board: files that are and are not boards, arming, disarming, and armers that die half way. */
#include "faultinject/board.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "faultinject/decide.h"
#include "scenarios/history/hist.h"
#include "faultinject/plan.h"

struct place {
    char dir[64], path[96];
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/board-test-XXXXXX");
    if (!mkdtemp(p->dir))
        return -1;
    snprintf(p->path, sizeof p->path, "%s/board", p->dir);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    int left = rmdir(p->dir); /* fails if something else was left there */
    free(p);
    return left;
}

static struct fault_rule rule_of(const char *text)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    assert_true(fault_plan_parse(&plan, text, &error));
    return plan.rules[0];
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static void a_board_is_made_and_found_again(void **state)
{
    struct place *p = *state;
    struct fault_board_file a, b;
    assert_int_equal(fault_board_open(&a, p->path, false, 0), -ENOENT);
    assert_int_equal(fault_board_open(&a, p->path, true, 42), 0);
    struct fault_rule rule = rule_of("net.accept errno=EMFILE");
    assert_int_equal(fault_board_arm(&a, &rule), 0);
    assert_int_equal(fault_board_open(&b, p->path, true, 43), 0);
    assert_int_equal(b.board->seed, 42); /* it was there: the seed stays */
    assert_int_equal(b.board->armed, 1);
    fault_board_seed(&b, 44);
    assert_int_equal(a.board->seed, 44);
    fault_board_close(&a);
    fault_board_close(&b);
}

static void what_is_no_board_is_refused(void **state)
{
    struct place *p = *state;
    struct fault_board_file file;
    char *other = calloc(1, sizeof(struct fault_board));
    write_file(p->path, "", 0);
    assert_int_equal(fault_board_open(&file, p->path, true, 1), -EBADMSG);
    write_file(p->path, other, sizeof(struct fault_board));
    assert_int_equal(fault_board_open(&file, p->path, true, 1), -EBADMSG);
    unlink(p->path);
    assert_int_equal(fault_board_open(&file, p->dir, false, 1), -EISDIR);
    assert_int_equal(fault_board_open(&file, "/nowhere/board", true, 1), -ENOENT);
    free(other);
}

static void a_board_of_another_build_is_refused(void **state)
{
    struct place *p = *state;
    struct fault_board_file file;
    assert_int_equal(fault_board_open(&file, p->path, true, 1), 0);
    uint64_t signature = file.board->signature;
    file.board->signature++;
    assert_int_equal(fault_board_open(&(struct fault_board_file){0}, p->path, true, 1), -EPROTO);
    file.board->signature = signature;
    file.board->version++;
    assert_int_equal(fault_board_open(&(struct fault_board_file){0}, p->path, true, 1), -EPROTO);
    file.board->version--;
    assert_int_equal(truncate(p->path, sizeof(struct fault_board) - 1), 0);
    assert_int_equal(fault_board_open(&(struct fault_board_file){0}, p->path, true, 1), -EPROTO);
    fault_board_close(&file);
}

static void indices_are_stable(void **state)
{
    struct place *p = *state;
    struct fault_board_file file;
    struct fault_rule rule = rule_of("net.accept errno=EMFILE");
    struct fault_status status;
    assert_int_equal(fault_board_open(&file, p->path, true, 1), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fault_board_arm(&file, &rule), i);
    assert_true(fault_board_disarm(&file, 1));
    assert_false(fault_board_disarm(&file, 1));
    assert_false(fault_board_disarm(&file, 40));
    assert_false(fault_board_disarm(&file, FAULT_RULES_MAX));
    assert_int_equal(file.board->armed, 2);
    assert_true(fault_board_status(file.board, 1, &status));
    assert_false(status.armed);
    assert_false(fault_board_status(file.board, 3, &status));
    for (int i = 3; i < FAULT_RULES_MAX; i++) /* a fresh place is taken before a used one */
        assert_int_equal(fault_board_arm(&file, &rule), i);
    assert_int_equal(fault_board_arm(&file, &rule), 1);
    assert_int_equal(fault_board_arm(&file, &rule), -ENOSPC);
    assert_int_equal(file.board->armed, FAULT_RULES_MAX);
    fault_board_close(&file);
}

static void a_place_used_again_starts_from_zero(void **state)
{
    struct place *p = *state;
    struct fault_board_file file;
    struct fault_self self;
    struct fault_decision d, again;
    struct fault_status status;
    unsigned next = 0;
    assert_int_equal(fault_board_open(&file, p->path, true, 1), 0);
    struct fault_rule first = rule_of("net.accept errno=EMFILE");
    struct fault_rule second = rule_of("net.recv short=9");
    for (int i = 0; i < FAULT_RULES_MAX; i++)
        fault_board_arm(&file, &first);
    fault_self_start(&self, file.board, FAULT_ROLE_MASTER, -1, 1, 1);
    assert_true(fault_decide(file.board, &self, FAULT_net_accept, hist_now_ns(), &next, &d));
    assert_true(fault_still_armed(file.board, &d));
    fault_board_disarm(&file, 0);
    assert_false(fault_still_armed(file.board, &d));
    assert_true(fault_board_status(file.board, 0, &status) && status.fired == 1); /* still told */
    assert_int_equal(fault_board_arm(&file, &second), 0);
    assert_false(fault_still_armed(file.board, &d));
    assert_true(fault_board_status(file.board, 0, &status));
    assert_int_equal(status.calls + status.fired, 0);
    next = 0;
    assert_true(fault_decide(file.board, &self, FAULT_net_recv, hist_now_ns(), &next, &again));
    assert_int_equal(again.hit.value, 9);
    assert_int_equal(again.nth, 1);
    fault_board_close(&file);
}

/* What an armer leaves that is killed between its writes. */
static void a_dead_armers_debris_is_mended(void **state)
{
    struct place *p = *state;
    struct fault_board_file file;
    struct fault_self self;
    struct fault_decision d;
    struct fault_status status;
    unsigned next = 0;
    assert_int_equal(fault_board_open(&file, p->path, true, 1), 0);
    struct fault_rule rule = rule_of("net.accept errno=EMFILE");
    file.board->cells[0].epoch = 1; /* it died while it wrote the rule */
    file.board->cells[1].epoch = 2; /* and one died before the count was made */
    file.board->cells[1].rule = rule;
    file.board->rules_of[FAULT_net_accept] = 2;
    assert_false(fault_board_status(file.board, 0, &status));
    fault_self_start(&self, file.board, FAULT_ROLE_MASTER, -1, 1, 1);
    assert_true(fault_board_disarm(&file, 1));
    assert_int_equal(file.board->armed, 0);
    assert_int_equal(fault_board_arm(&file, &rule), 2);
    assert_int_equal(file.board->armed, 1);
    for (int i = 3; i < FAULT_RULES_MAX; i++)
        fault_board_arm(&file, &rule);
    assert_int_equal(fault_board_arm(&file, &rule), 0); /* the half written place is of use again */
    assert_true(fault_decide(file.board, &self, FAULT_net_accept, hist_now_ns(), &next, &d));
    assert_int_equal(d.rule, 0);
    fault_board_close(&file);
}

/* Many processes make the board and arm at once; each finds it whole and gets places of its own. */
static void many_armers_share_one_board(void **state)
{
    struct place *p = *state;
    enum { ARMERS = 8, EACH = FAULT_RULES_MAX / ARMERS };
    pid_t pids[ARMERS];
    struct fault_rule rule = rule_of("net.accept errno=EMFILE times=1");
    for (int i = 0; i < ARMERS; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        struct fault_board_file mine;
        int bad = fault_board_open(&mine, p->path, true, 5);
        for (int k = 0; !bad && k < EACH; k++)
            bad = fault_board_arm(&mine, &rule) < 0;
        _exit(bad ? 1 : 0);
    }
    for (int i = 0; i < ARMERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    struct fault_board_file file;
    assert_int_equal(fault_board_open(&file, p->path, false, 0), 0);
    assert_int_equal(file.board->armed, FAULT_RULES_MAX);
    assert_int_equal(file.board->seed, 5);
    assert_int_equal(fault_board_arm(&file, &rule), -ENOSPC);
    fault_board_close(&file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_board_is_made_and_found_again),     TEST(what_is_no_board_is_refused),
        TEST(a_board_of_another_build_is_refused), TEST(indices_are_stable),
        TEST(a_place_used_again_starts_from_zero), TEST(a_dead_armers_debris_is_mended),
        TEST(many_armers_share_one_board),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
