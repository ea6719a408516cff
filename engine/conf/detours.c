/* Setters of where a request goes instead: try_files and error_page. */
#include "engine/conf/load.h"

#include <string.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"

bool set_try_files(struct load *load, struct scope *scope, const struct directive *directive,
                   const struct statement *statement)
{
    (void)directive;
    size_t count = statement->count - 1;
    const struct word *last = &statement->args[count];
    struct conf_try *tries = load_alloc(load, count * sizeof *tries);
    struct conf_tries *all = load_alloc(load, sizeof *all);
    uint64_t status = 0;
    if (tries == NULL || all == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct word word = statement->args[i];
        tries[i].folder = word.text.len > 0 && word.text.at[word.text.len - 1] == '/';
        word.text.len -= tries[i].folder;
        if (!text_compile(load, &word, &tries[i].name))
            return false;
    }
    bool coded = str_begins(last->text, "=");
    if (coded &&
        (!value_number((struct conf_str){last->text.at + 1, last->text.len - 1}, &status) ||
         status > 999))
        return load_fail(load, &last->place, "invalid code \"%s\"", last->text.at + 1);
    *all = (struct conf_tries){.tries = tries, .count = count, .status = (int)status};
    scope->tries = all;
    return coded || text_compile(load, last, &all->target);
}

/* ---- error_page ------------------------------------------------------------------------------ */

enum { KEEPS_STATUS = -1, STATUS_MIN = 300, STATUS_MAX = 599, STATUS_GONE = 499 };

/* What nginx answers 400 in the end, whatever it calls it inside. */
static int error_default_answer(uint64_t status)
{
    return status >= 494 && status <= 497 ? 400 : KEEPS_STATUS;
}

static bool error_code(struct load *load, struct scope *scope, const struct word *word, int answer,
                       const struct conf_text *target)
{
    uint64_t status;
    if (!value_number(word->text, &status))
        return load_fail(load, &word->place, "invalid value \"%s\", a status is expected",
                         word->text.at);
    if (status < STATUS_MIN || status > STATUS_MAX || status == STATUS_GONE)
        return load_fail(load, &word->place, "value \"%s\" must be between %d and %d%s",
                         word->text.at, STATUS_MIN, STATUS_MAX,
                         status == STATUS_GONE ? ", but not 499" : "");
    struct conf_error_page *page = load_add(load, &scope->error_pages, sizeof *page);
    if (page == NULL)
        return false;
    *page = (struct conf_error_page){.status = (int)status, .answer = answer, .target = *target};
    if (answer == KEEPS_STATUS)
        page->answer = error_default_answer(status);
    return true;
}

bool set_error_page(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    (void)directive;
    size_t codes = statement->count - 1;
    const struct word *other = &statement->args[codes - 1];
    int answer = KEEPS_STATUS;
    struct conf_text target;
    if (str_begins(other->text, "=")) {
        uint64_t status = 0;
        codes--;
        if (codes == 0 ||
            (other->text.len > 1 &&
             (!value_number((struct conf_str){other->text.at + 1, other->text.len - 1}, &status) ||
              status > 999)))
            return load_fail(load, &other->place,
                             "invalid value \"%s\", CODE ... =[CODE] URI is "
                             "expected",
                             other->text.at);
        answer = (int)status;
    }
    if (!text_compile(load, &statement->args[statement->count - 1], &target))
        return false;
    for (size_t i = 0; i < codes; i++)
        if (!error_code(load, scope, &statement->args[i], answer, &target))
            return false;
    return true;
}
