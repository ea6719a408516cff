/* Setters of the rules that are carried out in the order they are written: set, if, rewrite, break
 * and return. */
#include "engine/conf/load.h"

#include <string.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"

static const struct conf_str rule_nothing = {"", 0};

static struct conf_rule *rule_add(struct load *load, struct scope *scope, enum conf_rule_kind kind)
{
    struct conf_rule *rule = load_add(load, &scope->rules, sizeof *rule);
    if (rule != NULL)
        rule->kind = kind;
    return rule;
}

static bool rule_is_url(struct conf_str text)
{
    return str_begins(text, "http://") || str_begins(text, "https://") ||
           str_begins(text, "$scheme");
}

bool set_return(struct load *load, struct scope *scope, const struct directive *directive,
                const struct statement *statement)
{
    (void)directive;
    const struct word *code = &statement->args[0], *text = &statement->args[1];
    uint64_t status = 302;
    if (statement->count == 1 && rule_is_url(code->text))
        text = code;
    else if (!value_number(code->text, &status) || status < 1 || status > 999)
        return load_fail(load, &code->place, "invalid return code \"%s\"", code->text.at);
    struct conf_rule *rule = rule_add(load, scope, RULE_RETURN);
    if (rule == NULL)
        return false;
    rule->status = (int)status;
    bool has_text = statement->count == 2 || text == code;
    return !has_text || text_compile(load, text, &rule->text);
}

bool set_break(struct load *load, struct scope *scope, const struct directive *directive,
               const struct statement *statement)
{
    (void)directive;
    (void)statement;
    return rule_add(load, scope, RULE_BREAK) != NULL;
}

/* The name in a word that must be $NAME and nothing else. */
static bool rule_variable(struct load *load, const struct word *word, struct conf_str *name)
{
    if (word->text.len < 2 || word->text.at[0] != '$')
        return load_fail(load, &word->place,
                         "invalid variable name \"%s\", a $ and a name are expected",
                         word->text.at);
    *name = (struct conf_str){word->text.at + 1, word->text.len - 1};
    return true;
}

bool set_set(struct load *load, struct scope *scope, const struct directive *directive,
             const struct statement *statement)
{
    (void)directive;
    struct conf_str name;
    if (!rule_variable(load, &statement->args[0], &name))
        return false;
    enum conf_rule_kind kind = str_is(name, "args")         ? RULE_SET_ARGS
                               : str_is(name, "limit_rate") ? RULE_SET_LIMIT_RATE
                                                            : RULE_SET;
    struct conf_rule *rule = rule_add(load, scope, kind);
    return rule != NULL &&
           (kind != RULE_SET || named_define(load, &statement->args[0], name, &rule->variable)) &&
           text_compile(load, &statement->args[1], &rule->text);
}

/* ---- rewrite --------------------------------------------------------------------------------- */

static bool rewrite_flag(struct load *load, const struct word *word, struct conf_rule *rule)
{
    if (str_is(word->text, "last"))
        rule->then = THEN_LAST;
    else if (str_is(word->text, "break"))
        rule->then = THEN_BREAK;
    else if (str_is(word->text, "redirect"))
        rule->status = 302;
    else if (str_is(word->text, "permanent"))
        rule->status = 301;
    else
        return load_fail(load, &word->place,
                         "invalid parameter \"%s\", it must be \"last\", \"break\", \"redirect\" "
                         "or \"permanent\"",
                         word->text.at);
    return true;
}

bool set_rewrite(struct load *load, struct scope *scope, const struct directive *directive,
                 const struct statement *statement)
{
    (void)directive;
    const struct word *pattern = &statement->args[0];
    struct word to = statement->args[1];
    struct conf_rule *rule = rule_add(load, scope, RULE_REWRITE);
    if (rule == NULL)
        return false;
    rule->regex = regex_compile(load, pattern, pattern->text.at, false);
    if (rule->regex == NULL)
        return false;
    if (to.text.len == 0)
        return load_fail(load, &to.place, "empty replacement in \"rewrite\" directive");
    if (rule_is_url(to.text))
        rule->status = 302;
    if (statement->count == 3 && !rewrite_flag(load, &statement->args[2], rule))
        return false;
    /* A question mark at the end: the old query string is not added. */
    rule->keeps_args = to.text.at[to.text.len - 1] != '?';
    to.text.len -= !rule->keeps_args;
    return text_compile(load, &to, &rule->text);
}

/* ---- if -------------------------------------------------------------------------------------- */

static bool if_invalid(struct load *load, const struct word *word)
{
    return load_fail(load, &word->place,
                     "invalid condition \"%s\", expected are ($x), ($x = text), ($x ~ regex), "
                     "(-f file) and the like",
                     word->text.at);
}

/* The words between the brackets. */
static bool if_words(struct load *load, const struct statement *statement, struct list *words)
{
    size_t count = statement->count;
    for (size_t i = 0; i < count; i++) {
        struct word word = statement->args[i];
        if (i == 0) {
            if (word.text.len == 0 || word.text.at[0] != '(')
                return if_invalid(load, &word);
            word.text = (struct conf_str){word.text.at + 1, word.text.len - 1};
            word.place.column++;
        }
        if (i + 1 == count) {
            if (word.text.len == 0 || word.text.at[word.text.len - 1] != ')')
                return if_invalid(load, &word);
            word.text.len--;
        }
        bool bracket = word.text.len == 0 && (i == 0 || i + 1 == count);
        if (bracket)
            continue;
        struct word *slot = load_add(load, words, sizeof *slot);
        if (slot == NULL || !load_copy(load, word.text.at, word.text.len, &word.text))
            return false;
        *slot = word;
    }
    return true;
}

static bool if_compare(struct load *load, const struct word *words, struct conf_rule *rule)
{
    const struct word *sign = &words[1], *right = &words[2];
    rule->negative = sign->text.at[0] == '!';
    const char *operation = sign->text.at + rule->negative;
    if (strcmp(operation, "=") == 0) {
        rule->test = TEST_EQUAL;
        return text_compile(load, right, &rule->text);
    }
    bool ignore_case = strcmp(operation, "~*") == 0;
    if (!ignore_case && strcmp(operation, "~") != 0)
        return load_fail(load, &sign->place,
                         "unexpected \"%s\" in condition, it must be =, !=, ~, ~*, !~ or !~*",
                         sign->text.at);
    rule->test = TEST_MATCH;
    rule->regex = regex_compile(load, right, right->text.at, ignore_case);
    return rule->regex != NULL;
}

static bool if_file(struct load *load, const struct word *words, struct conf_rule *rule)
{
    static const struct {
        char letter;
        enum conf_test test;
    } tests[] = {{'f', TEST_FILE}, {'d', TEST_FOLDER}, {'e', TEST_EXISTS}, {'x', TEST_EXECUTABLE}};
    const char *sign = words[0].text.at;
    rule->negative = sign[0] == '!';
    sign += rule->negative;
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (sign[0] == '-' && sign[1] == tests[i].letter && sign[2] == '\0') {
            rule->test = tests[i].test;
            return text_compile(load, &words[1], &rule->left);
        }
    }
    return if_invalid(load, &words[0]);
}

static bool if_condition(struct load *load, const struct statement *statement,
                         struct conf_rule *rule)
{
    struct list found = {0};
    struct conf_str name;
    if (!if_words(load, statement, &found))
        return false;
    const struct word *words = found.items;
    if (found.count == 2)
        return if_file(load, words, rule);
    if (found.count != 1 && found.count != 3)
        return if_invalid(load, &statement->args[0]);
    if (words[0].text.at[0] != '$')
        return if_invalid(load, &words[0]);
    if (!rule_variable(load, &words[0], &name) || !text_compile(load, &words[0], &rule->left))
        return false;
    rule->test = TEST_TRUE;
    return found.count == 1 || if_compare(load, words, rule);
}

bool set_if(struct load *load, struct scope *scope, const struct directive *directive,
            const struct statement *statement)
{
    (void)directive;
    bool in_server = scope->context == SERVER;
    struct scope *inner =
        scope_new(load, scope, in_server ? SERVER_IF : LOCATION_IF, &statement->name.place);
    struct conf_rule condition = {.kind = RULE_IF};
    if (inner == NULL || !if_condition(load, statement, &condition))
        return false;
    inner->match = LOCATION_PART;
    inner->path = scope->path.at != NULL ? scope->path : rule_nothing;
    if (!parse_block(load, inner, parse_directive, statement))
        return false;
    struct conf_rule *rule = rule_add(load, scope, RULE_IF);
    if (rule == NULL)
        return false;
    *rule = condition;
    rule->rules = inner->rules.items;
    rule->rule_count = inner->rules.count;
    return in_server || scope_add_part(load, scope, inner, scope->rules.count - 1);
}
