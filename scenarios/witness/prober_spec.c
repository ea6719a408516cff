/* Reads the text of a population, with errors that point at the place. */
#include "scenarios/witness/prober_spec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    TIMEOUT_DEFAULT_MS = 10000,
    SOURCES_MAX = 4096,
    NUMBER_DIGITS_MAX = 12,
};

/* clang-format off */
static const struct prober_kind kinds[HIST_POPULATION_COUNT] = {
    [HIST_FRESH] = {.method = "GET", .check = CHECK_ECHO, .says_close = true, .counts = true,
                    .rate_milli = 10000, .clients = 256, .depth = 1},
    [HIST_POOLED] = {.method = "GET", .check = CHECK_ECHO, .keeps = true, .counts = true,
                     .rate_milli = 10000, .clients = 16, .depth = 1},
    [HIST_PIPELINED] = {.method = "GET", .check = CHECK_ECHO, .keeps = true, .counts = true,
                        .rate_milli = 10000, .clients = 4, .depth = 4},
    [HIST_POST] = {.method = "POST", .check = CHECK_UPLOAD, .keeps = true, .counts = true,
                   .rate_milli = 10000, .clients = 8, .body_bytes = 1024, .depth = 1},
    [HIST_UPLOAD] = {.method = "POST", .check = CHECK_UPLOAD, .standing = true, .says_close = true,
                     .counts = true, .clients = 4, .body_bytes = 65536, .send_rate = 32768,
                     .depth = 1},
    [HIST_DOWNLOAD] = {.method = "GET", .check = CHECK_PATTERN, .standing = true,
                       .says_close = true, .counts = true, .clients = 4, .read_rate = 262144,
                       .depth = 1},
    [HIST_TUNNEL] = {.method = "GET", .check = CHECK_FRAMING, .standing = true, .upgrades = true,
                     .counts = true, .clients = 4, .send_rate = 1000, .depth = 1},
    [HIST_STREAM] = {.method = "GET", .check = CHECK_STREAM, .standing = true, .counts = true,
                     .clients = 4, .depth = 1},
    [HIST_TLS] = {.method = "GET", .check = CHECK_ECHO, .says_close = true, .tls = true,
                  .counts = true, .rate_milli = 10000, .clients = 64, .depth = 1},
    [HIST_SLOW] = {.method = "GET", .check = CHECK_ECHO, .standing = true, .says_close = true,
                   .counts = true, .clients = 4, .send_rate = 100, .depth = 1},
    [HIST_HELD] = {.method = "GET", .check = CHECK_ECHO, .standing = true, .says_close = true,
                   .counts = true, .clients = 4, .depth = 1},
    [HIST_IDLE] = {.method = "GET", .check = CHECK_ECHO, .standing = true, .keeps = true,
                   .counts = true, .clients = 4, .depth = 1},
    [HIST_EARLY] = {.method = "POST", .check = CHECK_FRAMING, .counts = true, .rate_milli = 10000,
                    .clients = 16, .body_bytes = 1 << 20, .depth = 1},
    [HIST_ABUSIVE] = {.method = "GET", .check = CHECK_FRAMING, .rate_milli = 10000, .clients = 64,
                      .depth = 1},
};

/* The numbers a population may be given. */
static const struct key {
    const char *name;
    size_t offset;
    uint64_t min, max;
} keys[] = {
    {"clients", offsetof(struct prober_spec, clients), 1, 100000},
    {"body", offsetof(struct prober_spec, body_bytes), 0, UINT64_C(1) << 40},
    {"bytes", offsetof(struct prober_spec, bytes), 1, UINT64_C(1) << 40},
    {"read_rate", offsetof(struct prober_spec, read_rate), 0, UINT64_C(1) << 40},
    {"send_rate", offsetof(struct prober_spec, send_rate), 0, UINT64_C(1) << 40},
    {"depth", offsetof(struct prober_spec, depth), 1, PROBER_DEPTH_MAX},
    {"timeout", offsetof(struct prober_spec, timeout_ms), 1, 86400000},
    {"connect_timeout", offsetof(struct prober_spec, connect_timeout_ms), 1, 86400000},
    {"expect", offsetof(struct prober_spec, expect), 100, 599},
    {"port", offsetof(struct prober_spec, port), 1, 65535},
    {"tls", offsetof(struct prober_spec, tls), 0, 1},
};
/* clang-format on */

static const char keys_known[] = "name path rate clients body bytes read_rate send_rate depth "
                                 "timeout connect_timeout expect port tls unix paused";

struct reader {
    const char *text;
    char *why;
    size_t why_size;
};

static int fault(const struct reader *in, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int read_kind(const struct reader *in, struct prober_spec *spec, const char *word,
                     size_t len);
static int read_item(const struct reader *in, struct prober_spec *spec, const char *item,
                     size_t len);

const struct prober_kind *prober_kind(enum hist_population kind)
{
    return &kinds[kind];
}

int prober_spec_parse(struct prober_spec *spec, const char *text, char *why, size_t why_size)
{
    struct reader in = {text, why, why_size};
    const char *at = text;
    for (;;) {
        size_t len = strcspn(at, ",");
        int rc = at == text ? read_kind(&in, spec, at, len) : read_item(&in, spec, at, len);
        if (rc < 0)
            return rc;
        if (at[len] == '\0')
            break;
        at += len + 1;
    }
    if (spec->name[0] == '\0')
        return fault(&in, at + strlen(at), "name=NAME is missing; records and commands need it");
    if (spec->depth > 1 && spec->kind != HIST_PIPELINED)
        return fault(&in, text, "depth= is only for pipelined clients");
    return 0;
}

bool prober_rate_parse(const char *text, size_t len, uint64_t *rate_milli)
{
    uint64_t value = 0;
    int decimals = -1;
    size_t digits = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || digits++ >= 9 || decimals == 3)
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (decimals >= 0)
            decimals++;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < 3; i++)
        value *= 10;
    *rate_milli = value;
    return digits > 0 && value <= UINT64_C(1000000000);
}

static int fault(const struct reader *in, const char *at, const char *format, ...)
{
    int n = snprintf(in->why, in->why_size, "population '%s', column %zu: ", in->text,
                     (size_t)(at - in->text) + 1);
    if (n > 0 && (size_t)n < in->why_size) {
        va_list args;
        va_start(args, format);
        vsnprintf(in->why + n, in->why_size - (size_t)n, format, args);
        va_end(args);
    }
    return -EINVAL;
}

static int read_kind(const struct reader *in, struct prober_spec *spec, const char *word,
                     size_t len)
{
    for (unsigned k = 0; k < HIST_POPULATION_COUNT; k++) {
        const char *name = hist_population_name(k);
        if (strlen(name) != len || memcmp(name, word, len) != 0)
            continue;
        *spec = (struct prober_spec){
            .kind = (enum hist_population)k,
            .path = "/",
            .rate_milli = kinds[k].rate_milli,
            .clients = kinds[k].clients,
            .body_bytes = kinds[k].body_bytes,
            .read_rate = kinds[k].read_rate,
            .send_rate = kinds[k].send_rate,
            .depth = kinds[k].depth,
            .tls = kinds[k].tls,
            .timeout_ms = TIMEOUT_DEFAULT_MS,
            .connect_timeout_ms = TIMEOUT_DEFAULT_MS,
        };
        return 0;
    }
    char known[256] = "";
    for (unsigned k = 0; k < HIST_POPULATION_COUNT; k++) {
        strncat(known, " ", sizeof(known) - strlen(known) - 1);
        strncat(known, hist_population_name(k), sizeof(known) - strlen(known) - 1);
    }
    return fault(in, word, "'%.*s' is not a kind of client; there are:%s", (int)len, word, known);
}

static bool read_number(const char *text, size_t len, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(text[i] - '0');
    }
    return len > 0 && len <= NUMBER_DIGITS_MAX;
}

static bool is_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return len > 0 && len < PROBER_NAME_MAX;
}

static bool is_path(const char *text, size_t len, size_t room)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return len > 0 && len < room && text[0] == '/';
}

static int read_text(const struct reader *in, struct prober_spec *spec, const char *key,
                     const char *value, size_t len)
{
    if (key[0] == 'n') {
        if (!is_name(value, len))
            return fault(in, value, "a name is 1 to %d letters, digits, '-', '_' or '.'",
                         PROBER_NAME_MAX - 1);
        memcpy(spec->name, value, len);
        spec->name[len] = '\0';
        return 0;
    }
    bool is_unix = key[0] == 'u';
    size_t room = is_unix ? sizeof(spec->unix_path) : sizeof(spec->path);
    char *to = is_unix ? spec->unix_path : spec->path;
    if (!is_path(value, len, room))
        return fault(in, value, "a path begins with '/', is shorter than %zu bytes, without spaces",
                     room);
    memcpy(to, value, len);
    to[len] = '\0';
    return 0;
}

static int read_item(const struct reader *in, struct prober_spec *spec, const char *item,
                     size_t len)
{
    if (len == 6 && memcmp(item, "paused", 6) == 0) {
        spec->paused = true;
        return 0;
    }
    const char *equals = memchr(item, '=', len);
    if (equals == NULL)
        return fault(in, item, "expected KEY=VALUE or 'paused', found '%.*s'", (int)len, item);
    size_t key_len = (size_t)(equals - item);
    const char *value = equals + 1;
    size_t value_len = len - key_len - 1;
    if (key_len == 4 && (memcmp(item, "name", 4) == 0 || memcmp(item, "path", 4) == 0 ||
                         memcmp(item, "unix", 4) == 0))
        return read_text(in, spec, item, value, value_len);
    if (key_len == 4 && memcmp(item, "rate", 4) == 0)
        return prober_rate_parse(value, value_len, &spec->rate_milli)
                   ? 0
                   : fault(in, value, "a rate is requests per second, 0 to 1000000, '%.*s' is not",
                           (int)value_len, value);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strlen(keys[i].name) != key_len || memcmp(keys[i].name, item, key_len) != 0)
            continue;
        uint64_t number;
        if (!read_number(value, value_len, &number) || number < keys[i].min || number > keys[i].max)
            return fault(in, value, "%s is a number from %llu to %llu, '%.*s' is not", keys[i].name,
                         (unsigned long long)keys[i].min, (unsigned long long)keys[i].max,
                         (int)value_len, value);
        memcpy((char *)spec + keys[i].offset, &number, sizeof(number));
        return 0;
    }
    return fault(in, item, "unknown key '%.*s'; there are: %s", (int)key_len, item, keys_known);
}

int prober_target_parse(struct sockaddr_in *target, const char *text, char *why, size_t why_size)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof(host) ||
        !read_number(colon + 1, strlen(colon + 1), &port) || port < 1 || port > 65535) {
        snprintf(why, why_size, "--target '%s': expected HOST:PORT with a port from 1 to 65535",
                 text);
        return -EINVAL;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc != 0) {
        snprintf(why, why_size, "--target '%s': no IPv4 address for '%s' (%s)", text, host,
                 gai_strerror(rc));
        return -EINVAL;
    }
    memcpy(target, found->ai_addr, sizeof(*target));
    target->sin_port = htons((uint16_t)port);
    freeaddrinfo(found);
    return 0;
}

int prober_sources_parse(uint32_t *first, uint32_t *count, const char *text, char *why,
                         size_t why_size)
{
    char from[INET_ADDRSTRLEN] = "";
    const char *dash = strchr(text, '-');
    size_t len = dash != NULL ? (size_t)(dash - text) : strlen(text);
    struct in_addr a, b;
    if (len < sizeof(from)) {
        memcpy(from, text, len);
        from[len] = '\0';
    }
    if (inet_pton(AF_INET, from, &a) != 1 ||
        inet_pton(AF_INET, dash != NULL ? dash + 1 : from, &b) != 1 ||
        ntohl(b.s_addr) < ntohl(a.s_addr) || ntohl(b.s_addr) - ntohl(a.s_addr) >= SOURCES_MAX) {
        snprintf(why, why_size,
                 "--sources '%s': expected FIRST-LAST, two IPv4 addresses in order, at most %d",
                 text, SOURCES_MAX);
        return -EINVAL;
    }
    *first = ntohl(a.s_addr);
    *count = ntohl(b.s_addr) - ntohl(a.s_addr) + 1;
    return 0;
}
