/* Regular expressions of the configuration: compiled once, for all requests. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/conf/load.h"

static bool regex_fail(struct load *load, const struct word *word, const char *pattern, int code,
                       size_t offset)
{
    PCRE2_UCHAR reason[128];
    pcre2_get_error_message(code, reason, sizeof reason);
    return load_fail(load, &word->place, "regular expression \"%s\" failed at character %zu: %s",
                     pattern, offset + 1, (const char *)reason);
}

/* Each named group is a variable that a match sets. */
static bool regex_captures(struct load *load, const struct word *word, struct conf_regex *regex)
{
    uint32_t count = 0, entry_size = 0;
    const unsigned char *entry = NULL;
    struct list captures = {0};
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_size);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &entry);
    for (uint32_t i = 0; i < count; i++, entry += entry_size) {
        const char *name = (const char *)entry + 2;
        struct conf_capture *capture = load_add(load, &captures, sizeof *capture);
        if (capture == NULL ||
            !named_define(load, word, (struct conf_str){name, __builtin_strlen(name)},
                          &capture->variable))
            return false;
        capture->group = (uint32_t)entry[0] << 8 | entry[1];
    }
    regex->captures = captures.items;
    regex->capture_count = captures.count;
    return true;
}

const struct conf_regex *regex_compile(struct load *load, const struct word *word,
                                       const char *pattern, bool ignore_case)
{
    int code;
    size_t offset;
    struct conf_regex *regex = load_alloc(load, sizeof *regex);
    if (regex == NULL || !load_copy(load, pattern, __builtin_strlen(pattern), &regex->pattern))
        return NULL;
    regex->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                ignore_case ? PCRE2_CASELESS : 0, &code, &offset, NULL);
    if (regex->code == NULL) {
        regex_fail(load, word, pattern, code, offset);
        return NULL;
    }
    regex->next = load->conf->regexes; /* from here on the configuration's end frees it */
    load->conf->regexes = regex;
    /* Without machine code (no memory for it, no such machine) it is interpreted. */
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return regex_captures(load, word, regex) ? regex : NULL;
}

void regex_free_all(const struct conf_regex *regexes)
{
    for (; regexes != NULL; regexes = regexes->next)
        pcre2_code_free(regexes->code);
}
