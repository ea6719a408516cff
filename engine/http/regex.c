/* Matching with PCRE2. One match block serves the whole process: a request keeps only where its
 * groups lie. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/http/regex.h"
#include "engine/http/variables.h"

enum { REGEX_GROUPS_MAX = 100, REGEX_KEPT = 10 };

struct regex_groups {
    struct conf_str subject;
    uint32_t count;
    size_t at[REGEX_KEPT], end[REGEX_KEPT];
};

static pcre2_match_data *regex_block(void)
{
    static pcre2_match_data *block;
    if (block == NULL)
        block = pcre2_match_data_create(REGEX_GROUPS_MAX, NULL);
    return block;
}

static struct conf_str regex_cut(struct conf_str subject, size_t at, size_t end)
{
    return at == PCRE2_UNSET ? str_make(NULL, 0) : str_make(subject.at + at, end - at);
}

/* False: no memory. */
static bool regex_keep(struct exchange *x, const struct conf_regex *regex, struct conf_str subject,
                       const PCRE2_SIZE *pairs, uint32_t count)
{
    if (x->groups == NULL && (x->groups = pool_take(&x->pool, sizeof *x->groups)) == NULL)
        return false;
    struct regex_groups *groups = x->groups;
    groups->subject = subject;
    groups->count = count < REGEX_KEPT ? count : REGEX_KEPT;
    for (uint32_t i = 0; i < groups->count; i++) {
        groups->at[i] = pairs[2 * i];
        groups->end[i] = pairs[2 * i + 1];
    }
    for (size_t i = 0; i < regex->capture_count; i++) {
        uint32_t group = regex->captures[i].group;
        struct conf_str value = group < count
                                    ? regex_cut(subject, pairs[2 * group], pairs[2 * group + 1])
                                    : str_make(NULL, 0);
        if (!variable_set(x, regex->captures[i].variable, value.at != NULL ? value : STR("")))
            return false;
    }
    return true;
}

/* The number of groups, or an error of PCRE2. */
static int regex_run(const struct conf_regex *regex, struct conf_str subject)
{
    pcre2_match_data *block = regex_block();
    return block == NULL
               ? PCRE2_ERROR_NOMEMORY
               : pcre2_match(regex->code, (PCRE2_SPTR)subject.at, subject.len, 0, 0, block, NULL);
}

bool regex_fits(const struct conf_regex *regex, struct conf_str subject)
{
    return regex_run(regex, subject) >= 0;
}

enum regex_verdict regex_match(struct exchange *x, const struct conf_regex *regex,
                               struct conf_str subject)
{
    int count = regex_run(regex, subject);
    if (count == PCRE2_ERROR_NOMATCH)
        return REGEX_NO;
    if (count == 0)
        count = REGEX_GROUPS_MAX; /* there are more groups than we look at */
    if (count > 0 &&
        regex_keep(x, regex, subject, pcre2_get_ovector_pointer(regex_block()), (uint32_t)count))
        return REGEX_YES;
    PCRE2_UCHAR reason[128] = "no memory";
    if (count < 0)
        pcre2_get_error_message(count, reason, sizeof reason);
    exchange_log(x, LEVEL_ERR, "regular expression \"%s\" failed on \"%.*s\": %s",
                 regex->pattern.at, (int)subject.len, subject.at, (const char *)reason);
    return REGEX_FAILED;
}

struct conf_str regex_group(const struct exchange *x, uint32_t group)
{
    const struct regex_groups *groups = x->groups;
    if (groups == NULL || group >= groups->count)
        return str_make(NULL, 0);
    return regex_cut(groups->subject, groups->at[group], groups->end[group]);
}
