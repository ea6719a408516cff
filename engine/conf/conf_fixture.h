/* What the tests of the configuration share: files in a folder of their own, and one load. */
#ifndef ENGINE_CONF_CONF_FIXTURE_H
#define ENGINE_CONF_CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/conf/conf.h"

#define FIXTURE_FILES 16
#define FIXTURE_PREFIX "/srv/"

struct fixture {
    char folder[40];
    char paths[FIXTURE_FILES][128];
    size_t path_count;
    struct conf *conf;
    struct conf_error error;
};

/* Tests run one after the other, each with a fixture of its own. */
static struct fixture *fixture;

static inline int fixture_setup(void **state)
{
    fixture = calloc(1, sizeof *fixture);
    if (fixture == NULL)
        return -1;
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/mw_conf_test.XXXXXX");
    *state = fixture;
    return mkdtemp(fixture->folder) == NULL ? -1 : 0;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    conf_free(fixture->conf);
    for (size_t i = 0; i < fixture->path_count; i++)
        remove(fixture->paths[i]);
    int gone = rmdir(fixture->folder);
    free(fixture);
    return gone;
}

/* Writes, or overwrites, a file of the folder; returns its path. */
static inline const char *fixture_write(const char *name, const char *text, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fixture->folder, name);
    size_t i = 0;
    while (i < fixture->path_count && strcmp(fixture->paths[i], path) != 0)
        i++;
    assert_true(i < FIXTURE_FILES);
    snprintf(fixture->paths[i], sizeof fixture->paths[i], "%s", path);
    fixture->path_count = i == fixture->path_count ? i + 1 : fixture->path_count;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    return fixture->paths[i];
}

static inline const struct conf *fixture_try(const char *text, const char *globals)
{
    conf_free(fixture->conf);
    fixture->conf = conf_load(fixture_write("mw.conf", text, strlen(text)), FIXTURE_PREFIX, globals,
                              &fixture->error);
    return fixture->conf;
}

static inline const struct conf *fixture_load(const char *text)
{
    char line[1024];
    if (fixture_try(text, NULL) == NULL) {
        conf_error_print(&fixture->error, line, sizeof line);
        fail_msg("%s\n%s", line, text);
    }
    return fixture->conf;
}

/* `place` is NAME:LINE:COLUMN, NAME without its folder; NULL where the error has no place. */
static inline void fixture_refuses_with(const char *text, const char *globals, const char *message,
                                        const char *place)
{
    char found[320] = "none";
    const struct conf_error *error = &fixture->error;
    if (fixture_try(text, globals) != NULL)
        fail_msg("accepted, expected \"%s\":\n%s", message, text);
    const char *slash = strrchr(error->file, '/');
    if (error->line != 0)
        snprintf(found, sizeof found, "%s:%u:%u", slash == NULL ? error->file : slash + 1,
                 error->line, error->column);
    if (strcmp(error->message, message) != 0)
        fail_msg("found    %s\nexpected %s\n%s", error->message, message, text);
    if (strcmp(found, place == NULL ? "none" : place) != 0)
        fail_msg("%s at %s, expected %s", message, found, place);
}

static inline void fixture_refuses(const char *text, const char *message, const char *place)
{
    fixture_refuses_with(text, NULL, message, place);
}

/* `body` inside the one server of a whole configuration, on a line of its own: line 3. */
static inline const char *fixture_server(const char *body)
{
    static char text[8192];
    snprintf(text, sizeof text, "events {}\nhttp { server { listen 127.0.0.1:8080;\n%s\n} }\n",
             body);
    return text;
}

static inline void assert_text(struct conf_str str, const char *expected)
{
    assert_string_equal(str.at, expected);
    assert_int_equal(str.len, strlen(expected));
}

#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

#endif
