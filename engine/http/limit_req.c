/* limit_req: a leaky bucket for each key. The excess is how far a client is ahead of its rate, in
 * thousandths of a request; it melts as time passes. */
#include "engine/http/answer.h"
#include "engine/http/limits.h"
#include "engine/http/phases.h"
#include "engine/http/variables.h"
#include "engine/os/clock.h"
#include "engine/shm/table.h"
#include "engine/shm/zone.h"

enum { ONE_REQUEST = 1000, KEY_MAX = 1024, REQ_BLOCK_BYTES = 64 };

struct bucket {
    uint64_t last_ms; /* when the excess was counted */
    uint64_t excess;
};

static void limit_req_init(void *room, size_t size)
{
    table_init(room, size, REQ_BLOCK_BYTES, clock_now_ns());
}

const struct zone_kind zone_kind_limit_req = {.name = "limit_req", .init = limit_req_init};

static uint64_t bucket_excess(const struct bucket *bucket, uint64_t rate, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms > bucket->last_ms ? now_ms - bucket->last_ms : 0;
    uint64_t melted = rate * passed_ms / 1000, more = bucket->excess + ONE_REQUEST;
    return more > melted ? more - melted : 0;
}

/* The excess with this request; `count`: it is one, if the rule lets it pass. */
static uint64_t limit_req_ask(struct exchange *x, const struct conf_limit_rule *rule,
                              struct conf_str key, bool count)
{
    struct zone *zone = zones_at(x->site->zones, rule->zone);
    uint64_t rate = x->site->conf->zones[rule->zone].limit->rate, excess = 0;
    uint64_t now_ms = x->site->now_ns / NS_PER_MS;
    zone_lock(zone);
    struct table *table = table_of(zone_room(zone));
    struct entry *entry = table_find(table, key.at, key.len);
    if (entry != NULL)
        excess = bucket_excess(entry_value(entry), rate, now_ms);
    else if (count)
        entry = table_add(table, key.at, key.len, sizeof(struct bucket), true);
    if (count && entry != NULL && excess <= rule->burst) {
        struct bucket *bucket = entry_value(entry);
        *bucket = (struct bucket){now_ms, excess};
    }
    zone_unlock(zone);
    return excess;
}

/* False: the rule does not count this request. */
static bool limit_req_key(struct exchange *x, const struct conf_limit_rule *rule,
                          struct conf_str *key)
{
    *key = variable_expand(x, &x->site->conf->zones[rule->zone].limit->key);
    if (key->len <= KEY_MAX)
        return key->len > 0;
    exchange_log(x, LEVEL_ERR, "the value of the key for zone \"%s\" is more than %d bytes",
                 x->site->conf->zones[rule->zone].name.at, KEY_MAX);
    return false;
}

/* One line, as nginx has it. */
static void limit_req_log(const struct exchange *x, const struct conf_limit_rule *rule,
                          uint64_t excess, const char *what, int level)
{
    exchange_log(x, (enum log_level)level, "%s%s, excess: %llu.%03u by zone \"%s\"", what,
                 x->location->limit_req.dry_run ? ", dry run" : "",
                 (unsigned long long)(excess / ONE_REQUEST), (unsigned)(excess % ONE_REQUEST),
                 x->site->conf->zones[rule->zone].name.at);
}

/* The first rule that refuses; NULL: all let it pass, and it is counted by all. *delay_ms is how
 * long it has to wait, by the strictest. */
static const struct conf_limit_rule *limit_req_ask_all(struct exchange *x, uint64_t *excess,
                                                       uint64_t *delay_ms,
                                                       const struct conf_limit_rule **slowest)
{
    const struct conf_limits *limits = &x->location->limit_req;
    *delay_ms = 0;
    /* With several rules, none counts a request that another one refuses. */
    for (int count = limits->count == 1; count < 2; count++) {
        for (size_t i = 0; i < limits->count; i++) {
            const struct conf_limit_rule *rule = &limits->rules[i];
            struct conf_str key;
            if (!limit_req_key(x, rule, &key))
                continue;
            x->limit_req = LIMIT_PASSED;
            uint64_t now = limit_req_ask(x, rule, key, count);
            if (now > rule->burst) {
                *excess = now;
                return rule;
            }
            uint64_t rate = x->site->conf->zones[rule->zone].limit->rate;
            uint64_t wait_ms = now > rule->delay ? (now - rule->delay) * 1000 / rate : 0;
            if (wait_ms > *delay_ms) {
                *delay_ms = wait_ms;
                *excess = now;
                *slowest = rule;
            }
        }
    }
    return NULL;
}

static enum phase_result limit_req_reject(struct exchange *x, const struct conf_limit_rule *rule,
                                          uint64_t excess)
{
    const struct conf_limits *limits = &x->location->limit_req;
    limit_req_log(x, rule, excess, "limiting requests", limits->log_level);
    x->limit_req = limits->dry_run ? LIMIT_REJECTED_DRY_RUN : LIMIT_REJECTED;
    if (limits->dry_run)
        return PHASE_NEXT;
    answer_page(x, limits->status);
    return PHASE_DONE;
}

enum phase_result phase_limit_req(struct exchange *x)
{
    const struct conf_limits *limits = &x->location->limit_req;
    const struct conf_limit_rule *slowest = NULL;
    uint64_t excess = 0, delay_ms = 0;
    if (x->limit_req != LIMIT_NOT_ASKED)
        return PHASE_NEXT; /* it has waited, or came from another location */
    const struct conf_limit_rule *refuses = limit_req_ask_all(x, &excess, &delay_ms, &slowest);
    if (refuses != NULL)
        return limit_req_reject(x, refuses, excess);
    if (delay_ms == 0)
        return PHASE_NEXT;
    int level = limits->log_level < LEVEL_INFO ? limits->log_level + 1 : LEVEL_INFO;
    limit_req_log(x, slowest, excess, "delaying request", level);
    x->limit_req = limits->dry_run ? LIMIT_DELAYED_DRY_RUN : LIMIT_DELAYED;
    if (limits->dry_run)
        return PHASE_NEXT;
    x->wake_ns = x->site->now_ns + delay_ms * NS_PER_MS;
    return PHASE_WAIT;
}
