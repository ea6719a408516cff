/* Paths: what they mean, and which ways around a root are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/http/uri.h"

/* NULL: refused. */
static const char *normalised(const char *raw, size_t raw_len, bool merge_slashes)
{
    static char out[256];
    size_t len = 0;
    if (uri_normalise(str_make(raw, raw_len), merge_slashes, out, &len) != URI_OK)
        return NULL;
    assert_true(len <= raw_len);
    out[len] = '\0';
    return out;
}

static void paths_mean_what_they_should(void **state)
{
    static const char *const cases[][2] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a%20b", "/a b"},
        {"/%41%4a%4A", "/AJJ"},
        {"/a//b///c", "/a/b/c"},
        {"//", "/"},
        {"/./a/.", "/a/"},
        {"/a/./b", "/a/b"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/a/b/../", "/a/"},
        {"/a/b/../../c", "/c"},
        {"/a%2fb", "/a/b"},
        {"/a/%2e%2e/b", "/b"},
        {"/...", "/..."},
        {"/.a/..b", "/.a/..b"},
        {"/a+b", "/a+b"},
        {"/%25%32%65", "/%2e"}, /* decoded once, not twice */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *out = normalised(cases[i][0], strlen(cases[i][0]), true);
        assert_non_null(out);
        assert_string_equal(out, cases[i][1]);
    }
}

static void ways_above_the_root_are_refused(void **state)
{
    static const char *const cases[] = {
        "/..", "/../", "/a/../..", "/%2e%2e/etc", "/a/%2e%2e/%2e%2e/etc", "/..%2fetc", "a", "", "*",
        "/%",  "/%4",  "/%4g",     "/a%00b"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (normalised(cases[i], strlen(cases[i]), true) != NULL)
            fail_msg("\"%s\" was accepted", cases[i]);
}

static void slashes_stay_where_asked(void **state)
{
    (void)state;
    assert_string_equal(normalised("/a//b", 5, false), "/a//b");
    assert_string_equal(normalised("/a//..", 6, false), "/a/");
    assert_string_equal(normalised("//..", 4, false), "/");
}

/* Whatever bytes come, the result stays below the root. */
static void no_bytes_lead_out(void **state)
{
    static const char alphabet[] = "/.%2eaf/.";
    uint32_t seed = 1;
    (void)state;
    for (int round = 0; round < 200000; round++) {
        char raw[24] = "/";
        size_t len = 1 + (seed >> 8) % 22;
        for (size_t i = 1; i < len; i++) {
            seed = seed * 1664525 + 1013904223;
            raw[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        seed = seed * 1664525 + 1013904223;
        const char *out = normalised(raw, len, round % 2);
        if (out == NULL)
            continue;
        size_t end = strlen(out);
        assert_int_equal(out[0], '/');
        assert_null(strstr(out, "/../"));
        assert_false(end >= 3 && strcmp(out + end - 3, "/..") == 0);
    }
}

static void arguments_are_found(void **state)
{
    struct conf_str args = STR("a=1&bb=2&empty=&flag&A=3");
    struct conf_str value;
    (void)state;
    assert_true(uri_argument(args, STR("bb"), &value) && str_equal(value, STR("2")));
    assert_true(uri_argument(args, STR("a"), &value) && str_equal(value, STR("1")));
    assert_true(uri_argument(args, STR("empty"), &value) && value.len == 0);
    assert_true(uri_argument(args, STR("flag"), &value) && value.len == 0);
    assert_false(uri_argument(args, STR("b"), &value));
    assert_false(uri_argument(STR(""), STR("b"), &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_mean_what_they_should),
        cmocka_unit_test(ways_above_the_root_are_refused),
        cmocka_unit_test(slashes_stay_where_asked),
        cmocka_unit_test(no_bytes_lead_out),
        cmocka_unit_test(arguments_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
