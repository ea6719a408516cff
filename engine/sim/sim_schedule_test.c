/* Schedules as text: what is written is read back and does the same; every mistake is named. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/sim/sim_run.h"
#include "engine/sim/sim_schedule.h"

static struct sim_plan plan, again;
static char complaint[SIM_COMPLAINT_MAX];

/* The file's name; the caller removes it. */
static const char *write_file(const char *text)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/sim-schedule-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *out = fdopen(fd, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    return path;
}

static int read_text(const char *text)
{
    const char *path = write_file(text);
    int err = sim_schedule_read(&plan, path, complaint);
    unlink(path);
    return err;
}

static void what_is_written_does_the_same(void **state)
{
    static const struct sim_outputs nothing = {.history_path = NULL};
    struct sim *s = sim_new();
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_result drawn, read;
        sim_plan_draw(&plan, seed);
        const char *path = write_file("");
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_true(sim_schedule_write(&plan, out));
        fclose(out);
        if (sim_schedule_read(&again, path, complaint) < 0)
            fail_msg("%s", complaint);
        unlink(path);
        sim_run(s, &plan, &nothing, &drawn);
        sim_run(s, &again, &nothing, &read);
        assert_true(drawn.hash == read.hash);
        assert_true(drawn.events == read.events);
    }
    sim_free(s);
}

#define TITLE "mw-sim schedule\n"

static void every_mistake_is_named(void **state)
{
    static const struct {
        const char *text, *says;
    } all[] = {
        {"", "`mw-sim schedule` in the first line"},
        {"workers 2\n", "`mw-sim schedule` in the first line"},
        {TITLE "wokers 2\n", ":2: an option, seed, theme"},
        {TITLE "workers two\n", ":2: a number is expected, not 'two'"},
        {TITLE "workers 9\n", "1 to 8 workers"},
        {TITLE "drain 5\n", "a time, as 50ms or 3s,"},
        {TITLE "drain 5s 6s\n", "the end of the line is expected, not '6s'"},
        {TITLE "load a nobody rate=1\n", "a kind of clients, as fresh"},
        {TITLE "load a tls rate=1\n", "a kind of clients that the simulation has"},
        {TITLE "load a fresh\n", "a rate or a number of clients"},
        {TITLE "load a fresh rate=1\nload a held clients=1\n", "a name that no other load has"},
        {TITLE "at 5ms dance\n", "an act that may stand at a time"},
        {TITLE "at 5ms wait 1s ok 1 >=\n", "an act that may stand at a time"},
        {TITLE "at 5ms signal-worker SIGKILL 0\n", "a signal, as HUP,"},
        {TITLE "at 5ms arm 1s net.accept errno=NONSENSE\n", "a fault rule"},
        {TITLE "at 5ms burst crowd 3\n", "the name of a load"},
        {TITLE "then hup 1\n", "`at` is expected"},
        {TITLE "story x\nat 5ms ask 1s\n", "`then` in a story"},
        {TITLE "story x\nthen wait 1s ok >=\n", "a condition in postfix order"},
        {TITLE "story x\nthen wait 1s nobody 1 ==\n", "a condition in postfix order"},
        {TITLE "story x\nthen stop gently 1s\n", "a word that this act knows"},
        {TITLE "param nothing 1\n", "a parameter of the judge's"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        complaint[0] = '\0';
        assert_int_equal(read_text(all[i].text), -1);
        if (strstr(complaint, all[i].says) == NULL)
            fail_msg("'%s' for: %s", complaint, all[i].text);
    }
    assert_int_equal(sim_schedule_read(&plan, "/nowhere/at/all", complaint), -1);
    assert_non_null(strstr(complaint, "cannot be read"));
}

/* A story waits for what it sees, and says so when that does not come. */
static void a_story_runs_act_by_act(void **state)
{
    static const char text[] =
        TITLE "story two/steps\nworkers 2\nload fresh fresh rate=100 timeout=8s\n"
              "then wait 10s ok 20 >= fresh.failed 0 == and\nthen phase act\nthen config 3\n"
              "then hup 1\nthen reported ok 5s\n"
              "then wait 5s workers 3 == generation config == and\n"
              "then wait 100ms ok ok begin - 1000 >=\nthen stop graceful 10s\n";
    static const struct sim_outputs nothing = {.history_path = NULL};
    struct sim_result result;
    struct sim *s = sim_new();
    (void)state;
    if (read_text(text) < 0)
        fail_msg("%s", complaint);
    sim_run(s, &plan, &nothing, &result);
    assert_int_equal(result.violated, 0);
    assert_true(result.broken == NULL && result.requests > 20);
    assert_non_null(sim_trouble(s, 0));
    assert_non_null(strstr(sim_trouble(s, 0), "act 7: not within 100 ms: ok is "));
    assert_null(sim_trouble(s, 1));
    assert_int_equal(judge_result(sim_judge(s), G_reload_honest)->verdict, VERDICT_HOLDS);
    sim_free(s);
}

/* Schedules that once failed: each says what it found and what mended it. */
static void what_once_failed_holds(void **state)
{
    static const struct sim_outputs nothing = {.history_path = NULL};
    DIR *folder = opendir("scenarios/regressions");
    struct sim *s = sim_new();
    unsigned count = 0;
    (void)state;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct sim_result result;
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "scenarios/regressions/%s", entry->d_name);
        if (sim_schedule_read(&plan, path, complaint) < 0)
            fail_msg("%s", complaint);
        sim_run(s, &plan, &nothing, &result);
        if (result.violated > 0 || result.broken != NULL)
            fail_msg("it fails again: build/bin/mw-sim replay %s", path);
        count++;
    }
    closedir(folder);
    assert_true(count > 0);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_does_the_same),
        cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(a_story_runs_act_by_act),
        cmocka_unit_test(what_once_failed_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
