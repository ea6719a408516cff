/* Wall time as text. Day and month names are written by hand because strftime's depend on the
 * locale. */
#include <stdio.h>
#include <time.h>

#include "engine/http/date.h"
#include "engine/os/clock.h"

static const char date_days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char date_months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Two digits at `out`; returns what follows them. */
static char *date_two(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
    return out + 2;
}

static char *date_four(char *out, int value)
{
    return date_two(date_two(out, value / 100), value % 100);
}

static char *date_text(char *out, const char *text)
{
    size_t len = strlen(text);
    memcpy(out, text, len);
    return out + len;
}

static char *date_clock(char *out, const struct tm *tm)
{
    out = date_text(date_two(out, tm->tm_hour), ":");
    out = date_text(date_two(out, tm->tm_min), ":");
    return date_two(out, tm->tm_sec);
}

/* "+0200", or "+02:00" with a colon. */
static char *date_zone(char *out, long east_s, const char *colon)
{
    out = date_text(out, east_s < 0 ? "-" : "+");
    int minutes = (int)((east_s < 0 ? -east_s : east_s) / 60);
    return date_two(date_text(date_two(out, minutes / 60), colon), minutes % 60);
}

void date_format_http(uint64_t second, char *out)
{
    time_t when = (time_t)second;
    struct tm tm;
    gmtime_r(&when, &tm);
    out = date_text(date_text(out, date_days[tm.tm_wday]), ", ");
    out = date_text(date_two(out, tm.tm_mday), " ");
    out = date_text(date_text(out, date_months[tm.tm_mon]), " ");
    out = date_text(date_four(out, tm.tm_year + 1900), " ");
    *date_text(date_clock(out, &tm), " GMT") = '\0';
}

void date_update(struct date_cache *cache, uint64_t wall_ns)
{
    uint64_t second = wall_ns / NS_PER_S;
    if (second == cache->second)
        return;
    cache->second = second;
    char *out = date_text(cache->line, "Date: ");
    date_format_http(second, out);
    date_text(out + DATE_HTTP_LEN, "\r\n");

    time_t when = (time_t)second;
    struct tm tm;
    localtime_r(&when, &tm);
    out = date_text(date_two(cache->log, tm.tm_mday), "/");
    out = date_text(date_text(out, date_months[tm.tm_mon]), "/");
    out = date_text(date_four(out, tm.tm_year + 1900), ":");
    out = date_text(date_clock(out, &tm), " ");
    *date_zone(out, tm.tm_gmtoff, "") = '\0';

    out = date_text(date_four(cache->iso8601, tm.tm_year + 1900), "-");
    out = date_text(date_two(out, tm.tm_mon + 1), "-");
    out = date_text(date_two(out, tm.tm_mday), "T");
    *date_zone(date_clock(out, &tm), tm.tm_gmtoff, ":") = '\0';
}

static bool date_digits(const char *at, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        *value = *value * 10 + (at[i] - '0');
    }
    return true;
}

bool date_parse_http(struct conf_str text, uint64_t *second)
{
    struct tm tm = {.tm_mon = -1};
    const char *at = text.at;
    if (text.len != DATE_HTTP_LEN || memcmp(at + 25, " GMT", 4) != 0 ||
        !date_digits(at + 5, 2, &tm.tm_mday) || !date_digits(at + 12, 4, &tm.tm_year) ||
        !date_digits(at + 17, 2, &tm.tm_hour) || !date_digits(at + 20, 2, &tm.tm_min) ||
        !date_digits(at + 23, 2, &tm.tm_sec))
        return false;
    for (int month = 0; month < 12; month++)
        if (memcmp(at + 8, date_months[month], 3) == 0)
            tm.tm_mon = month;
    if (tm.tm_mon < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_year < 1970)
        return false;
    tm.tm_year -= 1900;
    *second = (uint64_t)timegm(&tm);
    return true;
}
