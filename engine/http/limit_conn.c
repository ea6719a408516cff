/* limit_conn: how many requests with the same key are under way, in all workers. A worker that dies
 * takes its requests with it: the count says which process holds how many, and those of a dead one
 * are dropped when the limit is reached. */
#include <errno.h>

#include "engine/http/answer.h"
#include "engine/http/limits.h"
#include "engine/http/phases.h"
#include "engine/http/variables.h"
#include "engine/os/clock.h"
#include "engine/os/sys.h"
#include "engine/shm/table.h"
#include "engine/shm/zone.h"

enum { HOLDERS = 6, CONN_KEY_MAX = 255, CONN_BLOCK_BYTES = 128 };

struct holding {
    uint32_t total;
    uint32_t others; /* held by processes beyond the table */
    struct {
        int32_t pid;
        uint32_t count;
    } holders[HOLDERS];
};

/* What a request holds; in its pool. */
struct limit_hold {
    struct limit_hold *next;
    size_t zone;
    struct conf_str key;
};

static void limit_conn_init(void *room, size_t size)
{
    table_init(room, size, CONN_BLOCK_BYTES, clock_now_ns());
}

const struct zone_kind zone_kind_limit_conn = {.name = "limit_conn", .init = limit_conn_init};

static uint32_t *holding_of(struct holding *holding, pid_t pid)
{
    for (int i = 0; i < HOLDERS; i++)
        if (holding->holders[i].pid == pid)
            return &holding->holders[i].count;
    for (int i = 0; i < HOLDERS; i++) {
        if (holding->holders[i].count == 0) {
            holding->holders[i].pid = pid;
            return &holding->holders[i].count;
        }
    }
    return &holding->others;
}

static void holding_drop_dead(struct holding *holding)
{
    for (int i = 0; i < HOLDERS; i++) {
        if (holding->holders[i].count > 0 && sys_kill(holding->holders[i].pid, 0) == -ESRCH) {
            holding->total -= holding->holders[i].count;
            holding->holders[i].count = 0;
        }
    }
}

/* False: there are too many already. */
static bool limit_conn_take(struct exchange *x, const struct conf_limit_rule *rule,
                            struct conf_str key)
{
    struct zone *zone = zones_at(x->site->zones, rule->zone);
    bool taken = false;
    zone_lock(zone);
    struct table *table = table_of(zone_room(zone));
    struct entry *entry = table_find(table, key.at, key.len);
    if (entry == NULL)
        entry = table_add(table, key.at, key.len, sizeof(struct holding), false);
    if (entry != NULL) {
        struct holding *holding = entry_value(entry);
        if (holding->total >= rule->burst)
            holding_drop_dead(holding);
        taken = holding->total < rule->burst;
        holding->total += taken;
        *holding_of(holding, x->site->pid) += taken;
    }
    zone_unlock(zone);
    return taken;
}

static void limit_conn_give(struct exchange *x, const struct limit_hold *hold)
{
    struct zone *zone = zones_at(x->site->zones, hold->zone);
    zone_lock(zone);
    struct table *table = table_of(zone_room(zone));
    /* Without an entry the zone was emptied: someone died while changing it. */
    struct entry *entry = table_find(table, hold->key.at, hold->key.len);
    if (entry != NULL) {
        struct holding *holding = entry_value(entry);
        uint32_t *count = holding_of(holding, x->site->pid);
        holding->total -= holding->total > 0;
        *count -= *count > 0;
        if (holding->total == 0)
            table_remove(table, entry);
    }
    zone_unlock(zone);
}

void limits_release(struct exchange *x)
{
    for (const struct limit_hold *hold = x->holds; hold != NULL; hold = hold->next)
        limit_conn_give(x, hold);
    x->holds = NULL;
}

static enum phase_result limit_conn_reject(struct exchange *x, const struct conf_limit_rule *rule)
{
    const struct conf_limits *limits = &x->location->limit_conn;
    exchange_log(x, (enum log_level)limits->log_level, "limiting connections%s by zone \"%s\"",
                 limits->dry_run ? ", dry run," : "", x->site->conf->zones[rule->zone].name.at);
    limits_release(x);
    x->limit_conn = limits->dry_run ? LIMIT_REJECTED_DRY_RUN : LIMIT_REJECTED;
    if (limits->dry_run)
        return PHASE_NEXT;
    answer_page(x, limits->status);
    return PHASE_DONE;
}

enum phase_result phase_limit_conn(struct exchange *x)
{
    const struct conf_limits *limits = &x->location->limit_conn;
    if (x->limit_conn != LIMIT_NOT_ASKED)
        return PHASE_NEXT;
    for (size_t i = 0; i < limits->count; i++) {
        const struct conf_limit_rule *rule = &limits->rules[i];
        struct conf_str key = variable_expand(x, &x->site->conf->zones[rule->zone].limit->key);
        if (key.len == 0)
            continue;
        if (key.len > CONN_KEY_MAX) {
            exchange_log(x, LEVEL_ERR, "the value of the key for zone \"%s\" is more than %d bytes",
                         x->site->conf->zones[rule->zone].name.at, CONN_KEY_MAX);
            continue;
        }
        x->limit_conn = LIMIT_PASSED;
        struct limit_hold *hold = pool_take(&x->pool, sizeof *hold);
        if (hold == NULL || !limit_conn_take(x, rule, key))
            return limit_conn_reject(x, rule);
        *hold = (struct limit_hold){x->holds, rule->zone, key};
        x->holds = hold;
    }
    return PHASE_NEXT;
}
