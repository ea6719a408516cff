/* The tables of fault points and kinds, and looking things up in them. */
#include "faultinject/points.h"

#include <string.h>

#define BIT(kind) FAULT_KIND_BIT(FAULT_##kind)
#define F_STEP_KINDS (BIT(DELAY) | BIT(CRASH) | BIT(EXIT) | BIT(STALL) | BIT(SPIN))
#define F_SYS (F_STEP_KINDS | BIT(ERRNO))
#define F_BYTES (F_SYS | BIT(SHORT))
#define F_DATA (F_BYTES | BIT(CORRUPT))
#define F_STEP F_STEP_KINDS
#define F_SAB BIT(SABOTAGE)

/* A step can be made to fail where it has an errno to fail with. */
#define KINDS_OF(kinds, default_errno) ((kinds) | ((default_errno) ? BIT(ERRNO) : 0))

static const struct {
    const char *name;
    unsigned where;
    unsigned kinds;
    int default_errno;
    const char *text;
} points[FAULT_POINT_COUNT] = {
#define FAULT_POINT(symbol, name, where, kinds, default_errno, text)                               \
    [FAULT_##symbol] = {name, where, KINDS_OF(kinds, default_errno), default_errno, text},
#include "faultinject/points.def"
#undef FAULT_POINT
};

static const struct {
    const char *name;
    const char *sentence;
} kinds[FAULT_KIND_COUNT] = {
    [FAULT_NONE] = {"none", ""},
    [FAULT_ERRNO] = {"errno", "the call or step fails with errno=NAME; without NAME with the "
                              "point's own default"},
    [FAULT_DELAY] = {"delay", "it takes delay=TIME longer (ns, us, ms, s)"},
    [FAULT_SHORT] = {"short", "at most short=BYTES are moved (default 1)"},
    [FAULT_CRASH] = {"crash", "the process dies by crash=SIGNAL (default SEGV)"},
    [FAULT_EXIT] = {"exit", "the process exits with exit=CODE (default 1)"},
    [FAULT_STALL] = {"stall", "the process hangs there, asleep, until the rule is disarmed"},
    [FAULT_SPIN] = {"spin", "the process hangs there, burning CPU, until the rule is disarmed"},
    [FAULT_CORRUPT] = {"corrupt", "one bit of the data that is moved is flipped"},
    [FAULT_SABOTAGE] = {"sabotage", "a wrong behaviour is switched on (the word may be left out)"},
};

const struct fault_point_info *fault_point_info(unsigned point)
{
    static char sentences[FAULT_POINT_COUNT][160];
    static struct fault_point_info infos[FAULT_POINT_COUNT];
    if (point >= FAULT_POINT_COUNT)
        return NULL;
    struct fault_point_info *info = &infos[point];
    if (!info->name) {
        const char *text = points[point].text, *dashes = strstr(text, " -- ");
        size_t len = dashes ? (size_t)(dashes - text) : strlen(text);
        if (len >= sizeof sentences[point])
            len = sizeof sentences[point] - 1;
        memcpy(sentences[point], text, len);
        *info = (struct fault_point_info){points[point].name,  points[point].where,
                                          points[point].kinds, points[point].default_errno,
                                          sentences[point],    dashes ? dashes + 4 : ""};
    }
    return info;
}

static bool same(const char *word, const char *at, size_t len)
{
    return strlen(word) == len && memcmp(word, at, len) == 0;
}

bool fault_point_parse(const char *name, size_t len, enum fault_point *out)
{
    for (unsigned i = 0; i < FAULT_POINT_COUNT; i++)
        if (same(points[i].name, name, len)) {
            *out = (enum fault_point)i;
            return true;
        }
    return false;
}

bool fault_kind_parse(const char *name, size_t len, enum fault_kind *out)
{
    for (unsigned i = FAULT_NONE + 1; i < FAULT_KIND_COUNT; i++)
        if (same(kinds[i].name, name, len)) {
            *out = (enum fault_kind)i;
            return true;
        }
    return false;
}

const char *fault_point_name(unsigned point)
{
    return point < FAULT_POINT_COUNT ? points[point].name : "?";
}

const char *fault_kind_name(unsigned kind)
{
    return kind < FAULT_KIND_COUNT ? kinds[kind].name : "?";
}

const char *fault_kind_sentence(unsigned kind)
{
    return kind < FAULT_KIND_COUNT ? kinds[kind].sentence : "";
}

const char *fault_role_name(unsigned role)
{
    static const char *const names[] = {"any", "master", "worker"};
    return role < sizeof names / sizeof names[0] ? names[role] : "?";
}

uint64_t fault_points_signature(void)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (unsigned i = 0; i < FAULT_POINT_COUNT; i++)
        for (const char *c = points[i].name;; c++) {
            hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
            if (!*c)
                break;
        }
    return hash;
}
