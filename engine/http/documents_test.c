/* Open documents: shared within a turn, right in the next one, kept as open_file_cache says. */
#include "engine/http/documents.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "engine/http/http_fixture.h"

enum { OLD = 1000000000, NEW = 1100000000 };

static void begin(const char *directives)
{
    char http[512];
    fixture_file("a", "old text", OLD);
    fixture_file("b", "b", OLD);
    fixture_file("c", "c", OLD);
    snprintf(http, sizeof http, "server { listen 127.0.0.1:1; root %%s; %s }", directives);
    fixture_load(http);
    fx->site.documents = documents_new();
}

static int end(void **state)
{
    fixture_end();
    documents_free(fx->site.documents);
    fixture_unload();
    fixture_remove(fx->folder);
    free(fx);
    (void)state;
    return 0;
}

static const char *get(const char *name)
{
    char request[128];
    snprintf(request, sizeof request, "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n", name);
    int status = fixture_get(request);
    return status == 200 ? fx->body : status == 404 ? "404" : "?";
}

static void end_turn(uint64_t later_ns)
{
    fixture_end();
    documents_end_turn(fx->site.documents);
    fixture_pass(later_ns);
}

/* A new file takes the name of the one before. */
static void replace(const char *name, const char *text)
{
    char from[128], to[128];
    fixture_file("new", text, NEW);
    fixture_path(from, sizeof from, "new");
    fixture_path(to, sizeof to, name);
    assert_int_equal(rename(from, to), 0);
}

/* How many descriptors of files in the fixture's folder are open. */
static int opened(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char link[300], target[300];
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        ssize_t len = readlink(link, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        if (strstr(target, fx->folder) != NULL && strstr(target, "error.log") == NULL)
            count++;
    }
    closedir(folder);
    return count;
}

static void a_turn_opens_once_and_the_next_looks(void **state)
{
    (void)state;
    begin("");
    assert_string_equal(get("a"), "old text");
    replace("a", "new text");
    assert_string_equal(get("a"), "old text"); /* it had come before */
    assert_int_equal(opened(), 1);
    end_turn(0);
    assert_string_equal(get("a"), "new text");
    assert_true(head_has("Last-Modified: Tue, 09 Nov 2004 11:33:20 GMT"));
    assert_int_equal(opened(), 1);
    end_turn(0);
    end_turn(0); /* nobody has asked for it in this one */
    assert_int_equal(opened(), 0);
}

static void what_changes_in_place_is_seen_in_the_next_turn(void **state)
{
    (void)state;
    begin("");
    assert_string_equal(get("a"), "old text");
    end_turn(0);
    fixture_file("a", "new text", OLD); /* as long and, for all it says, as old */
    assert_string_equal(get("a"), "new text");
}

/* Who may read everything asks as somebody who may not. */
static int get_as_other(const char *name)
{
    char request[128];
    snprintf(request, sizeof request, "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n", name);
    bool root = geteuid() == 0;
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    int status = fixture_get(request);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    return status;
}

static void what_may_no_longer_be_read_is_refused_in_the_next_turn(void **state)
{
    (void)state;
    char path[128];
    begin("");
    fixture_path(path, sizeof path, "a");
    assert_int_equal(chmod(fx->folder, 0755), 0);
    assert_int_equal(get_as_other("a"), 200);
    end_turn(0);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(get_as_other("a"), 403);
}

static void without_descriptors_the_turn_before_gives_its_own(void **state)
{
    (void)state;
    struct rlimit before, few;
    begin("");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int lowest = open("/dev/null", O_RDONLY);
    close(lowest);
    few = (struct rlimit){.rlim_cur = (rlim_t)lowest + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    const char *first = get("a");
    bool served = strcmp(first, "old text") == 0;
    end_turn(0);
    served = served && strcmp(get("b"), "b") == 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(served);
}

static void what_is_being_sent_outlives_its_turn(void **state)
{
    (void)state;
    begin("sendfile on;");
    static char much[20001];
    memset(much, 'x', sizeof much - 1);
    fixture_file("a", much, OLD);
    fixture_ask("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    documents_end_turn(fx->site.documents);
    documents_end_turn(fx->site.documents);
    assert_int_equal(opened(), 1);
    assert_int_equal(fixture_answer(false), 200);
    assert_int_equal(fx->body_len, 20000);
    fixture_end();
    assert_int_equal(opened(), 0);
}

static void a_kept_file_is_served_until_it_is_checked(void **state)
{
    (void)state;
    begin("open_file_cache max=10; open_file_cache_valid 30s;");
    assert_string_equal(get("a"), "old text");
    end_turn(1 * NS_PER_S);
    replace("a", "new text");
    assert_string_equal(get("a"), "old text");
    end_turn(28 * NS_PER_S);
    assert_string_equal(get("a"), "old text");
    end_turn(2 * NS_PER_S);
    assert_string_equal(get("a"), "new text");
    end_turn(31 * NS_PER_S);
    assert_string_equal(get("a"), "new text"); /* checked, and still the same */
    assert_int_equal(opened(), 1);
}

static void a_location_without_a_cache_sees_the_change(void **state)
{
    (void)state;
    begin("location /a { open_file_cache max=10; } location = /x { rewrite ^ /b break; }");
    assert_string_equal(get("a"), "old text");
    end_turn(0);
    replace("a", "new text");
    fx->x.location = fx->conf->servers[0].fallback;
    char path[128];
    fixture_path(path, sizeof path, "a");
    struct document *document = document_take(&fx->x, str_make(path, strlen(path)));
    assert_int_equal(document->file.st_mtim.tv_sec, NEW);
    document_give(document);
}

static void the_longest_unused_make_room(void **state)
{
    (void)state;
    begin("open_file_cache max=2;");
    get("a");
    end_turn(0);
    get("b");
    end_turn(0);
    get("a");
    end_turn(0);
    get("c");
    end_turn(0);
    assert_int_equal(opened(), 2);
    replace("a", "new text");
    replace("b", "new b");
    assert_string_equal(get("a"), "old text"); /* kept */
    assert_string_equal(get("b"), "new b");    /* had gone */
}

static void what_is_not_asked_for_goes(void **state)
{
    (void)state;
    begin("open_file_cache max=10 inactive=10s; open_file_cache_min_uses 2;");
    get("a");
    get("a");
    get("b");
    end_turn(11 * NS_PER_S);
    get("c"); /* b, asked for once, goes; a stays for another period */
    end_turn(0);
    assert_int_equal(opened(), 2);
    end_turn(11 * NS_PER_S);
    get("c");
    get("b");
    end_turn(0);
    assert_int_equal(opened(), 2); /* now a is gone as well */
}

static void failures_are_remembered_only_where_asked(void **state)
{
    (void)state;
    begin("location /no { open_file_cache max=10; }"
          "location /miss { open_file_cache max=10; open_file_cache_errors on; }");
    assert_string_equal(get("no"), "404");
    assert_string_equal(get("miss"), "404");
    end_turn(0);
    fixture_file("no", "now", NEW);
    fixture_file("miss", "now", NEW);
    assert_string_equal(get("no"), "now");
    assert_string_equal(get("miss"), "404");
    end_turn(61 * NS_PER_S);
    assert_string_equal(get("miss"), "now");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, end)
    const struct CMUnitTest tests[] = {
        TEST(a_turn_opens_once_and_the_next_looks),
        TEST(what_changes_in_place_is_seen_in_the_next_turn),
        TEST(what_may_no_longer_be_read_is_refused_in_the_next_turn),
        TEST(without_descriptors_the_turn_before_gives_its_own),
        TEST(what_is_being_sent_outlives_its_turn),
        TEST(a_kept_file_is_served_until_it_is_checked),
        TEST(a_location_without_a_cache_sees_the_change),
        TEST(the_longest_unused_make_room),
        TEST(what_is_not_asked_for_goes),
        TEST(failures_are_remembered_only_where_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
