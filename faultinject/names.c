/* Words of the plan language. Names of errnos and signals are the C library's own, so that no table
 * of ours can be wrong. */
#include "faultinject/names.h"

#include <signal.h>
#include <string.h>
#include <stdio.h>

static bool same(const char *name, const char *at, size_t len)
{
    return name && strlen(name) == len && memcmp(name, at, len) == 0;
}

const char *names_errno(int number)
{
    return number > 0 && number <= NAMES_ERRNO_MAX ? strerrorname_np(number) : NULL;
}

const char *names_signal(int number)
{
    return number > 0 && number <= NAMES_SIGNAL_MAX ? sigabbrev_np(number) : NULL;
}

bool names_errno_parse(const char *at, size_t len, int *number)
{
    if (same("EWOULDBLOCK", at, len)) /* the other name of EAGAIN */
        return names_errno_parse("EAGAIN", strlen("EAGAIN"), number);
    for (*number = 1; *number <= NAMES_ERRNO_MAX; ++*number)
        if (same(names_errno(*number), at, len))
            return true;
    return false;
}

bool names_signal_parse(const char *at, size_t len, int *number)
{
    if (len > 3 && memcmp(at, "SIG", 3) == 0) {
        at += 3;
        len -= 3;
    }
    for (*number = 1; *number <= NAMES_SIGNAL_MAX; ++*number)
        if (same(names_signal(*number), at, len))
            return true;
    return false;
}

bool names_signal_harms(int number)
{
    return number != SIGCHLD && number != SIGCONT && number != SIGURG && number != SIGWINCH;
}

/* ---- numbers ----------------------------------------------------------------------------------
 */

bool names_integer_parse(const char *at, size_t len, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(at[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return value <= max;
}

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {{"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"ns", 1}};
enum { UNIT_COUNT = sizeof units / sizeof units[0] };

bool names_duration_parse(const char *at, size_t len, uint64_t *ns)
{
    size_t digits = 0;
    while (digits < len && at[digits] >= '0' && at[digits] <= '9')
        digits++;
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (same(units[i].name, at + digits, len - digits)) {
            uint64_t most = INT64_MAX / units[i].ns, number;
            if (!names_integer_parse(at, digits, most, &number))
                return false;
            *ns = number * units[i].ns;
            return true;
        }
    return false;
}

int names_duration_print(char *out, size_t size, uint64_t ns)
{
    size_t i = 0;
    while (i < UNIT_COUNT - 1 && (ns == 0 || ns % units[i].ns != 0))
        i++;
    return snprintf(out, size, "%llu%s", (unsigned long long)(ns / units[i].ns), units[i].name);
}

/* ---- guessing ---------------------------------------------------------------------------------
 */

enum { GUESS_LEN_MAX = 48 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* How many letters must be added, dropped, changed or swapped with their neighbour. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned rows[3][GUESS_LEN_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    return row[b_len];
}

void names_guess_start(struct names_guess *guess, const char *word, size_t len)
{
    *guess = (struct names_guess){.word = word, .len = len};
    guess->best_distance = len < 4 ? 2 : 2 + (unsigned)len / 6;
}

void names_guess_offer(struct names_guess *guess, const char *candidate)
{
    size_t len = candidate ? strlen(candidate) : 0;
    if (len == 0 || len > GUESS_LEN_MAX || guess->len == 0 || guess->len > GUESS_LEN_MAX)
        return;
    unsigned d = distance(guess->word, guess->len, candidate, len);
    /* A candidate none of whose letters stayed is no guess. */
    if (d < len && d < guess->best_distance) {
        guess->best = candidate;
        guess->best_distance = d;
    }
}
