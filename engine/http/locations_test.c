/* Which location answers: random trees of locations, looked through in the simplest way there is,
 * and by the engine. */
#include "engine/http/http_fixture.h"

#define NODES 14
enum { ANY = -1, SERVER_LEVEL = -1 };

struct node {
    enum conf_match match;
    int parent; /* SERVER_LEVEL, or its place in nodes */
    char path[16];
};
static struct node nodes[NODES];
static int node_count;
static uint64_t random_state;

static size_t random_below(size_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % limit;
}

/* ---- the model: nginx's rules, word for word ---------------------------------------------------
 */

/* Patterns are ^TEXT, TEXT$ or TEXT. */
static bool pattern_matches(const char *pattern, const char *uri)
{
    size_t len = strlen(pattern), uri_len = strlen(uri);
    if (pattern[0] == '^')
        return strncmp(uri, pattern + 1, len - 1) == 0;
    if (pattern[len - 1] == '$')
        return uri_len >= len - 1 && strncmp(uri + uri_len - (len - 1), pattern, len - 1) == 0;
    return strstr(uri, pattern) != NULL;
}

static int longest_prefix(int level, const char *uri)
{
    int best = ANY;
    for (int i = 0; i < node_count; i++) {
        bool prefix = nodes[i].match == LOCATION_PREFIX || nodes[i].match == LOCATION_PREFIX_FINAL;
        if (nodes[i].parent != level || !prefix ||
            strncmp(nodes[i].path, uri, strlen(nodes[i].path)) != 0)
            continue;
        if (best == ANY || strlen(nodes[i].path) > strlen(nodes[best].path))
            best = i;
    }
    return best;
}

/* Returns whether the search is over; *found is the best so far. */
static bool model_level(int level, const char *uri, int *found)
{
    for (int i = 0; i < node_count; i++) {
        if (nodes[i].parent == level && nodes[i].match == LOCATION_EXACT &&
            strcmp(nodes[i].path, uri) == 0) {
            *found = i;
            return true;
        }
    }
    int prefix = longest_prefix(level, uri);
    if (prefix != ANY) {
        *found = prefix;
        if (model_level(prefix, uri, found))
            return true;
        if (nodes[prefix].match == LOCATION_PREFIX_FINAL)
            return false;
    }
    for (int i = 0; i < node_count; i++) {
        if (nodes[i].parent != level || nodes[i].match != LOCATION_REGEX ||
            !pattern_matches(nodes[i].path, uri))
            continue;
        *found = i;
        model_level(i, uri, found);
        return true;
    }
    return false;
}

/* ---- trees -------------------------------------------------------------------------------------
 */

/* A path of 'a' and 'b', so short that paths often are beginnings of each other. */
static void random_path(char *out, const char *begin, size_t more)
{
    size_t len = strlen(begin);
    memcpy(out, begin, len);
    for (size_t n = random_below(more + 1); n > 0; n--)
        out[len++] = random_below(2) ? 'a' : 'b';
    out[len] = '\0';
}

static void random_pattern(char *out)
{
    char text[8];
    random_path(text, random_below(2) ? "/" : "a", 2);
    switch (random_below(3)) {
    case 0:
        snprintf(out, 16, "^%s", text);
        break;
    case 1:
        snprintf(out, 16, "%s$", text);
        break;
    default:
        snprintf(out, 16, "%s", text);
    }
}

static bool node_is_new(const struct node *node)
{
    for (int i = 0; i < node_count; i++) {
        bool both = (nodes[i].match == LOCATION_EXACT) == (node->match == LOCATION_EXACT);
        if (nodes[i].parent == node->parent && both && node->match != LOCATION_REGEX &&
            strcmp(nodes[i].path, node->path) == 0)
            return false;
    }
    return true;
}

static void random_tree(void)
{
    node_count = 0;
    for (int tries = 0; tries < 3 * NODES && node_count < NODES; tries++) {
        struct node node = {.match = (enum conf_match)random_below(4), .parent = SERVER_LEVEL};
        if (node_count > 0 && random_below(3) > 0)
            node.parent = (int)random_below((size_t)node_count);
        if (node.parent >= 0 && nodes[node.parent].match == LOCATION_EXACT)
            node.parent = SERVER_LEVEL;
        if (node.parent >= 0 && nodes[node.parent].match == LOCATION_REGEX)
            node.match = LOCATION_REGEX;
        if (node.match == LOCATION_REGEX)
            random_pattern(node.path);
        else
            random_path(node.path, node.parent >= 0 ? nodes[node.parent].path : "/", 2);
        if (node_is_new(&node))
            nodes[node_count++] = node;
    }
}

static size_t write_level(char *out, size_t size, int parent)
{
    static const char *const modifiers[] = {[LOCATION_PREFIX] = "",
                                            [LOCATION_EXACT] = "= ",
                                            [LOCATION_PREFIX_FINAL] = "^~ ",
                                            [LOCATION_REGEX] = "~ "};
    size_t used = 0;
    for (int i = 0; i < node_count; i++) {
        if (nodes[i].parent != parent)
            continue;
        used += (size_t)snprintf(out + used, size - used, "location %s%s { test_handler echo %d;\n",
                                 modifiers[nodes[i].match], nodes[i].path, i);
        used += write_level(out + used, size - used, i);
        used += (size_t)snprintf(out + used, size - used, "}\n");
    }
    return used;
}

static void every_level_chooses_as_nginx_does(void **state)
{
    (void)state;
    char text[4096], request[64], uri[16], answer[32];
    unsigned by_regex = 0, nested = 0;
    for (random_state = 7; nested < 1000 || by_regex < 1000;) {
        random_tree();
        size_t used = (size_t)snprintf(text, sizeof text, "server { listen 127.0.0.1:1;\n");
        used += write_level(text + used, sizeof text - used, SERVER_LEVEL);
        snprintf(text + used, sizeof text - used, "}");
        fixture_unload();
        fixture_load(text);
        for (int i = 0; i < 40; i++) {
            int expected = ANY;
            random_path(uri, "/", 6);
            model_level(SERVER_LEVEL, uri, &expected);
            snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", uri);
            snprintf(answer, sizeof answer, "- %d ", expected);
            int status = fixture_get(request);
            bool right =
                expected == ANY ? status == 404 : strncmp(fx->body, answer, strlen(answer)) == 0;
            if (!right)
                fail_msg("%s leads to \"%s\" (%d), expected %d in\n%s", uri, fx->body, status,
                         expected, text);
            by_regex += expected != ANY && nodes[expected].match == LOCATION_REGEX;
            nested += expected != ANY && nodes[expected].parent != SERVER_LEVEL;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_level_chooses_as_nginx_does, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
