/* The plan language: what is read, what is refused and how, and that printing and reading agree. */
#include "faultinject/plan.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "faultinject/errnos.h"
#include "faultinject/names.h"
#include "faultinject/points.h"

static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static void read_one(const char *text, struct fault_rule *rule)
{
    struct fault_plan plan;
    struct fault_plan_error error;
    if (!fault_plan_parse(&plan, text, &error))
        fail_msg("%s: %s", text, error.what);
    assert_int_equal(plan.count, 1);
    *rule = plan.rules[0];
}

static void a_rule_says_what_it_says(void **state)
{
    (void)state;
    struct fault_rule r;
    read_one("net.accept errno=EMFILE after=3 times=2 role=worker slot=1", &r);
    assert_int_equal(r.point, FAULT_net_accept);
    assert_int_equal(r.kind, FAULT_ERRNO);
    assert_int_equal(r.value, EMFILE);
    assert_int_equal(r.after, 3);
    assert_int_equal(r.times, 2);
    assert_int_equal(r.role, FAULT_ROLE_WORKER);
    assert_int_equal(r.slot, 1);
    assert_int_equal(r.generation, -1);
    read_one("net.accept delay=50ms chance=1/10 generation=0 pid=77", &r);
    assert_int_equal(r.value, 50000000);
    assert_int_equal(r.chance_of, 1);
    assert_int_equal(r.chance_in, 10);
    assert_int_equal(r.generation, 0);
    assert_int_equal(r.slot, -1);
    assert_int_equal(r.pid, 77);
    read_one("worker.request crash=SIGABRT nth=7", &r);
    assert_int_equal(r.value, SIGABRT);
    assert_int_equal(r.nth, 7);
}

static void defaults_are_filled_in(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int kind;
        int64_t value;
    } cases[] = {
        {"net.bind errno", FAULT_ERRNO, EADDRINUSE},
        {"worker.boot crash", FAULT_CRASH, SIGSEGV},
        {"worker.boot exit", FAULT_EXIT, 1},
        {"net.recv short", FAULT_SHORT, 1},
        {"worker.loop stall", FAULT_STALL, 0},
        {"worker.loop spin", FAULT_SPIN, 0},
        {"fs.write corrupt", FAULT_CORRUPT, 0},
        {"sabotage.reap_one", FAULT_SABOTAGE, 0},
        {"sabotage.reap_one sabotage", FAULT_SABOTAGE, 0},
        {"sabotage.reap_one times=1", FAULT_SABOTAGE, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fault_rule r;
        read_one(cases[i].text, &r);
        assert_int_equal(r.kind, cases[i].kind);
        assert_int_equal(r.value, cases[i].value);
    }
}

static void rules_are_separated_by_lines_and_semicolons(void **state)
{
    (void)state;
    struct fault_plan plan;
    struct fault_plan_error error;
    const char *text = "# who fails\n\n  net.accept errno=EMFILE;net.recv short=3 ; \t\n"
                       "sabotage.reap_one # one only; no more\r\nworker.boot exit=9\n;;";
    assert_true(fault_plan_parse(&plan, text, &error));
    assert_int_equal(plan.count, 4);
    assert_int_equal(plan.rules[1].value, 3);
    assert_int_equal(plan.rules[2].point, FAULT_sabotage_reap_one);
    assert_int_equal(plan.rules[3].value, 9);
    assert_true(fault_plan_parse(&plan, " \n# nothing", &error));
    assert_int_equal(plan.count, 0);
}

static void a_bad_plan_is_refused_with_its_place_and_a_guess(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line, column;
        const char *what, *expected, *suggestion;
    } cases[] = {
        {"net.acept errno", 1, 1, "net.acept", "name of a fault point", "net.accept"},
        {"xyzzy", 1, 1, "xyzzy", "mw-fault list", ""},
        {"net.accept", 1, 11, "does not say what", "errno delay crash", ""},
        {"net.accept after=3", 1, 12, "after", "errno delay crash", ""},
        {"net.accept ernno=EMFILE", 1, 12, "ernno", "errno", "errno"},
        {"net.accept errno=EMFIL", 1, 18, "EMFIL", "errno", "EMFILE"},
        {"net.accept errno=24", 1, 18, "24", "name of an errno", ""},
        {"net.accept errno=", 1, 18, "\"\"", "name of an errno", ""},
        {"net.accept short=3", 1, 12, "cannot do short", "errno", ""},
        {"net.sendfile corrupt", 1, 14, "cannot do corrupt", "short", ""},
        {"worker.boot errno=EIO", 1, 13, "cannot fail", "delay crash", ""},
        {"sabotage.reap_one crash", 1, 19, "cannot do crash", "sabotage", ""},
        {"net.recv sabotage", 1, 10, "cannot do sabotage", "errno", ""},
        {"net.recv delay", 1, 10, "how long", "50ms", ""},
        {"net.recv delay=50", 1, 16, "50", "unit", ""},
        {"net.recv delay=1.5s", 1, 16, "1.5s", "whole number", ""},
        {"net.recv delay=0ms", 1, 16, "0ms", "whole number", ""},
        {"net.recv delay=99999999999s", 1, 16, "time", "whole number", ""},
        {"net.recv short=0", 1, 16, "0", "from 1", ""},
        {"worker.boot crash=SEVG", 1, 19, "SEVG", "signal", "SEGV"},
        {"worker.boot crash=CHLD", 1, 19, "CHLD", "SEGV", ""},
        {"worker.boot exit=256", 1, 18, "256", "to 255", ""},
        {"worker.boot stall=3", 1, 13, "takes no value", "stall", ""},
        {"net.recv errno afer=3", 1, 16, "afer", "after=", "after"},
        {"net.recv errno after=x", 1, 22, "x", "whole number", ""},
        {"net.recv errno times=0", 1, 22, "0", "from 1", ""},
        {"net.recv errno nth=0", 1, 20, "0", "from 1", ""},
        {"net.recv errno after=1 after=2", 1, 24, "twice", "at most once", ""},
        {"net.recv errno nth=2 times=1", 1, 22, "nth does not go with", "after=N-1", ""},
        {"net.recv errno chance=1/0", 1, 23, "1/0", "ratio", ""},
        {"net.recv errno chance=3/2", 1, 23, "3/2", "ratio", ""},
        {"net.recv errno chance=0.1", 1, 23, "0.1", "ratio", ""},
        {"net.recv errno role=wroker", 1, 21, "wroker", "master worker", "worker"},
        {"net.recv errno slot=-1", 1, 21, "-1", "from 0", ""},
        {"net.recv errno pid=0", 1, 20, "0", "from 1", ""},
        {"net.accept errno=ENOSPC", 1, 18, "never fail with ENOSPC", "EMFILE", "EMFILE"},
        {"fs.open errno=EMLINK", 1, 15, "never fail with EMLINK", "ENOSPC", "EMFILE"},
        {"fs.read errno=ECONNRESET", 1, 15, "never fail with ECONNRESET", "EINTR EIO", "EIO"},
        {"net.send errno=ENOSPC", 1, 16, "never fail with ENOSPC", "EPIPE", "EPIPE"},
        {"net.recv errno from=2", 1, 21, "no time", "2s", ""},
        {"net.recv errno from=master.reload.pase", 1, 21, "master.reload.pase", "a time",
         "master.reload.parse"},
        {"net.recv errno until=sabotage.reap_one", 1, 22, "no moment", "fault point", ""},
        {"net.recv errno from=3s until=2s", 1, 24, "before it opens", "after", ""},
        {"net.recv errno until=net.send from=net.send", 1, 31, "where it opens", "after", ""},
        {"sabotage.reap_on", 1, 1, "reap_on", "fault point", "sabotage.reap_one"},
        {"sabotage.reap_one tmes=2", 1, 19, "tmes", "times=", "times"},
        {"net.recv errno net.send errno", 1, 16, "net.send", "after=", ""},
        {"net.recv errno\n# fine\n\tnet.send shrt", 3, 11, "shrt", "short", "short"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fault_plan plan;
        struct fault_plan_error e;
        if (fault_plan_parse(&plan, cases[i].text, &e))
            fail_msg("accepted: %s", cases[i].text);
        if (e.line != cases[i].line || e.column != cases[i].column ||
            !strstr(e.what, cases[i].what) || !strstr(e.expected, cases[i].expected) ||
            strcmp(e.suggestion, cases[i].suggestion) != 0)
            fail_msg("%s: line %u, column %u: %s; expected %s; did you mean \"%s\"", cases[i].text,
                     e.line, e.column, e.what, e.expected, e.suggestion);
    }
}

static void an_error_points_at_the_word(void **state)
{
    (void)state;
    struct fault_plan plan;
    struct fault_plan_error error;
    char message[1024];
    const char *text = "net.recv errno\n\tnet.send errno=EPIP";
    assert_false(fault_plan_parse(&plan, text, &error));
    int len = fault_plan_error_print(message, sizeof message, text, &error);
    assert_int_equal(len, strlen(message));
    assert_string_equal(message, "line 2, column 17: no errno is called \"EPIP\"\n"
                                 "    \tnet.send errno=EPIP\n"
                                 "    \t               ^~~~\n"
                                 "expected the name of an errno, such as EMFILE or ECONNRESET\n"
                                 "did you mean \"EPIPE\"?\n");
}

static void too_many_rules_are_refused(void **state)
{
    (void)state;
    struct fault_plan plan;
    struct fault_plan_error error;
    char text[(FAULT_RULES_MAX + 1) * 20] = "";
    for (int i = 0; i < FAULT_RULES_MAX; i++)
        strncat(text, "net.recv errno\n", sizeof text - strlen(text) - 1);
    assert_true(fault_plan_parse(&plan, text, &error));
    assert_int_equal(plan.count, FAULT_RULES_MAX);
    strncat(text, "net.recv errno\n", sizeof text - strlen(text) - 1);
    assert_false(fault_plan_parse(&plan, text, &error));
    assert_int_equal(error.line, FAULT_RULES_MAX + 1);
}

/* ---- any rule ---------------------------------------------------------------------------------
 */

static int64_t any_value(uint64_t *state, enum fault_point point, unsigned kind)
{
    static const uint64_t units[] = {1, 1000, 1000000, 1000000000};
    switch (kind) {
    case FAULT_ERRNO:
        for (;;) {
            int number = 1 + (int)(draw(state) % NAMES_ERRNO_MAX);
            if (names_errno(number) && errnos_possible(point, number))
                return number;
        }
    case FAULT_DELAY:
        return (int64_t)((1 + draw(state) % 5000) * units[draw(state) % 4]);
    case FAULT_CRASH:
        for (;;) {
            int number = 1 + (int)(draw(state) % NAMES_SIGNAL_MAX);
            if (names_signal_harms(number))
                return number;
        }
    case FAULT_SHORT:
        return 1 + (int64_t)(draw(state) % 100000);
    case FAULT_EXIT:
        return (int64_t)(draw(state) % 256);
    default:
        return 0;
    }
}

static void any_window(uint64_t *state, struct fault_rule *rule)
{
    uint64_t which = draw(state) % 16;
    if (which & 1)
        rule->from_point = FAULT_master_reload_parse;
    else if (which & 2)
        rule->from_ns = 1 + draw(state) % 1000;
    if (which & 4)
        rule->until_point = FAULT_master_reload_commit;
    else if (which & 8)
        rule->until_ns = 1001 + draw(state) % 1000;
}

static struct fault_rule any_rule(uint64_t *state)
{
    struct fault_rule r = FAULT_RULE_INIT;
    r.point = (int64_t)(draw(state) % FAULT_POINT_COUNT);
    unsigned kinds = fault_point_info((unsigned)r.point)->kinds;
    do
        r.kind = (int64_t)(draw(state) % FAULT_KIND_COUNT);
    while (!(kinds & FAULT_KIND_BIT(r.kind)));
    r.value = any_value(state, (enum fault_point)r.point, (unsigned)r.kind);
    uint64_t which = draw(state);
    if (which & 1) {
        r.nth = 1 + draw(state) % 1000;
    } else {
        r.after = which & 2 ? draw(state) % 1000 : 0;
        r.times = which & 4 ? 1 + draw(state) % 1000 : 0;
        r.every = which & 8 ? 1 + draw(state) % 1000 : 0;
    }
    if (which & 16) {
        r.chance_in = 1 + draw(state) % 1000;
        r.chance_of = 1 + draw(state) % r.chance_in;
    }
    r.role = (int64_t)((which >> 5) % 3);
    r.slot = which & 256 ? (int64_t)(draw(state) % 256) : -1;
    r.generation = which & 512 ? (int64_t)(uint32_t)draw(state) : -1;
    r.pid = which & 1024 ? 1 + (int64_t)(draw(state) % 4000000) : 0;
    any_window(state, &r);
    return r;
}

static void any_rule_is_read_back_as_it_was_printed(void **unused)
{
    (void)unused;
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        struct fault_rule rule = any_rule(&state), again;
        char text[512], reprinted[512];
        int len = fault_rule_print(text, sizeof text, &rule);
        assert_int_equal(len, strlen(text));
        read_one(text, &again);
        if (memcmp(&rule, &again, sizeof rule) != 0)
            fail_msg("read back differently: %s", text);
        fault_rule_print(reprinted, sizeof reprinted, &again);
        assert_string_equal(text, reprinted);
    }
}

/* A plan with one byte changed is read or refused at a place inside of it, never anything else. */
static void any_damaged_plan_is_read_or_refused_in_its_bounds(void **unused)
{
    (void)unused;
    static const char letters[] = "abcnetrcvp.=/;# \n\t0159EMFIL";
    uint64_t state = 4101842887655102017u;
    int refused = 0;
    for (int i = 0; i < 20000; i++) {
        struct fault_rule rule = any_rule(&state);
        struct fault_plan plan;
        struct fault_plan_error error;
        char text[512], message[2048];
        size_t len = (size_t)fault_rule_print(text, sizeof text, &rule);
        for (int changes = 0; changes < 3; changes++)
            text[draw(&state) % len] = letters[draw(&state) % (sizeof letters - 1)];
        if (fault_plan_parse(&plan, text, &error))
            continue;
        refused++;
        assert_true(error.at + error.len <= len && error.line > 0 && error.column > 0);
        assert_true(error.what[0] && error.expected[0]);
        int printed = fault_plan_error_print(message, sizeof message, text, &error);
        assert_int_equal(printed, strlen(message));
    }
    assert_true(refused > 10000);
}

static void names_are_the_systems(void **state)
{
    (void)state;
    int number;
    assert_true(names_errno_parse("ECONNRESET", 10, &number) && number == ECONNRESET);
    assert_true(names_errno_parse("EWOULDBLOCK", 11, &number) && number == EAGAIN);
    assert_false(names_errno_parse("EOK", 3, &number));
    assert_true(names_signal_parse("SIGWINCH", 8, &number) && number == SIGWINCH);
    assert_true(names_signal_parse("KILL", 4, &number) && number == SIGKILL);
    assert_false(names_signal_parse("SIG", 3, &number));
    uint64_t n;
    assert_true(names_integer_parse("18446744073709551615", 20, UINT64_MAX, &n));
    assert_false(names_integer_parse("18446744073709551616", 20, UINT64_MAX, &n));
    assert_false(names_integer_parse("", 0, 9, &n));
    char text[32];
    names_duration_print(text, sizeof text, 1500000000);
    assert_string_equal(text, "1500ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_says_what_it_says),
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(rules_are_separated_by_lines_and_semicolons),
        cmocka_unit_test(a_bad_plan_is_refused_with_its_place_and_a_guess),
        cmocka_unit_test(an_error_points_at_the_word),
        cmocka_unit_test(too_many_rules_are_refused),
        cmocka_unit_test(any_rule_is_read_back_as_it_was_printed),
        cmocka_unit_test(any_damaged_plan_is_read_or_refused_in_its_bounds),
        cmocka_unit_test(names_are_the_systems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
