/* The values of `expires`. */
#include "engine/conf/expires.h"

#include <string.h>

#include "engine/conf/load.h"
#include "engine/conf/setters.h"
#include "engine/conf/value.h"
#include "engine/os/clock.h"

enum { DAY_S = 24 * 60 * 60 };

static bool expires_word(struct conf_str text, struct conf_expires *out)
{
    static const struct {
        const char *word;
        enum conf_expires_kind kind;
    } words[] = {{"off", EXPIRES_OFF}, {"epoch", EXPIRES_EPOCH}, {"max", EXPIRES_MAX}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_is(text, words[i].word)) {
            out->kind = words[i].kind;
            return true;
        }
    }
    return false;
}

const char *expires_parse(struct conf_str text, bool modified, struct conf_expires *out)
{
    uint64_t ns;
    if (!modified && expires_word(text, out))
        return NULL;
    out->kind = modified ? EXPIRES_MODIFIED : EXPIRES_ACCESS;
    char sign = text.len > 0 ? text.at[0] : '\0';
    if (sign == '@' && modified)
        return "a time of day cannot be used with \"modified\"";
    if (sign == '@')
        out->kind = EXPIRES_DAILY;
    if (sign == '@' || sign == '+' || sign == '-')
        text = (struct conf_str){text.at + 1, text.len - 1};
    if (!value_time(text, &ns))
        return "it must be off, epoch, max, a time such as 30d or -1, or @ and a time of day";
    out->seconds = (int64_t)(ns / NS_PER_S);
    if (out->kind == EXPIRES_DAILY && out->seconds > DAY_S)
        return "a time of day is less than 24 hours";
    if (sign == '-')
        out->seconds = -out->seconds;
    return NULL;
}

bool set_expires(struct load *load, struct scope *scope, const struct directive *directive,
                 const struct statement *statement)
{
    (void)directive;
    bool modified = statement->count == 2;
    const struct word *word = &statement->args[statement->count - 1];
    struct conf_expires *expires = &scope->expires;
    if (modified && !str_is(statement->args[0].text, "modified"))
        return load_fail(load, &statement->args[0].place,
                         "invalid value \"%s\", it must be \"modified\"",
                         statement->args[0].text.at);
    expires->modified = modified;
    if (memchr(word->text.at, '$', word->text.len) != NULL) {
        expires->kind = EXPIRES_VARIABLE;
        return text_compile(load, word, &expires->text);
    }
    const char *wrong = expires_parse(word->text, modified, expires);
    return wrong == NULL || load_fail(load, &word->place, "invalid value \"%s\" in \"expires\": %s",
                                      word->text.at, wrong);
}
