/* Expires and Cache-Control, in each of nginx's forms. */
#include "engine/http/expires.h"

#include <time.h>

#include "engine/conf/expires.h"
#include "engine/http/date.h"
#include "engine/http/variables.h"
#include "engine/os/clock.h"

#define YEARS_10_S UINT64_C(315360000)

static void expires_write(struct builder *head, struct conf_str date, struct conf_str control,
                          const uint64_t *max_age_s)
{
    builder_add(head, STR("Expires: "));
    builder_add(head, date);
    builder_add(head, STR("\r\nCache-Control: "));
    builder_add(head, control);
    if (max_age_s != NULL)
        builder_add_u64(head, *max_age_s);
    builder_add(head, STR("\r\n"));
}

/* The next time that it is so many seconds after midnight, local time; -1: it cannot be told. */
static int64_t expires_next(int64_t now_s, int64_t of_day_s)
{
    time_t now = (time_t)now_s;
    struct tm local;
    if (localtime_r(&now, &local) == NULL)
        return -1;
    local.tm_hour = (int)(of_day_s / 3600);
    local.tm_min = (int)(of_day_s % 3600 / 60);
    local.tm_sec = (int)(of_day_s % 60);
    time_t next = mktime(&local);
    if (next > now)
        return next;
    local.tm_mday++;
    return mktime(&local);
}

static void expires_at(struct builder *head, int64_t at_s, int64_t age_s, bool past)
{
    char date[DATE_HTTP_LEN + 1];
    uint64_t max_age_s = age_s > 0 ? (uint64_t)age_s : 0;
    date_format_http(at_s > 0 ? (uint64_t)at_s : 0, date);
    bool kept = !past && age_s >= 0;
    expires_write(head, str_make(date, DATE_HTTP_LEN), kept ? STR("max-age=") : STR("no-cache"),
                  kept ? &max_age_s : NULL);
}

static bool expires_by(struct exchange *x, const struct conf_expires *expires, struct builder *head)
{
    static const uint64_t long_s = YEARS_10_S;
    int64_t now_s = (int64_t)(x->site->wall_ns / NS_PER_S), at_s = now_s + expires->seconds;
    switch (expires->kind) {
    case EXPIRES_OFF:
    case EXPIRES_VARIABLE:
        return false;
    case EXPIRES_EPOCH:
        expires_write(head, STR("Thu, 01 Jan 1970 00:00:01 GMT"), STR("no-cache"), NULL);
        return true;
    case EXPIRES_MAX:
        expires_write(head, STR("Thu, 31 Dec 2037 23:55:55 GMT"), STR("max-age="), &long_s);
        return true;
    case EXPIRES_DAILY:
        at_s = expires_next(now_s, expires->seconds);
        if (at_s >= 0)
            expires_at(head, at_s, at_s - now_s, false);
        return at_s >= 0;
    case EXPIRES_MODIFIED:
        if (x->answer.modified_s >= 0 && expires->seconds != 0)
            at_s = x->answer.modified_s + expires->seconds;
        break;
    case EXPIRES_ACCESS:
        break;
    }
    expires_at(head, at_s, at_s - now_s, expires->seconds < 0);
    return true;
}

bool expires_add(struct exchange *x, struct builder *head)
{
    struct conf_expires expires = x->location->expires;
    if (expires.kind == EXPIRES_VARIABLE) {
        struct conf_str value = variable_expand(x, &expires.text);
        if (value.at == NULL || expires_parse(value, expires.modified, &expires) != NULL)
            return false;
    }
    return expires_by(x, &expires, head);
}
