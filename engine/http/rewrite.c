/* Carries out the rules of a server or location, in the order they are written. */
#include "engine/http/rewrite.h"

#include "engine/http/answer.h"
#include "engine/http/limits.h"
#include "engine/http/phases.h"
#include "engine/http/regex.h"
#include "engine/http/test_body.h"
#include "engine/http/uri.h"
#include "engine/http/variables.h"
#include "engine/os/sys.h"

enum rules_end {
    RULES_OVER,     /* all of them were looked at */
    RULES_STOPPED,  /* by break, last, or a flag */
    RULES_ANSWERED, /* by return, a redirect, or an error */
};

static enum rules_end rules_run(struct exchange *x, const struct conf_rule *rules, size_t count);

static enum phase_result rules_phase(struct exchange *x)
{
    x->uri_changed = false;
    const struct conf_location *level = x->location;
    if (rules_run(x, level->rules, level->rule_count) == RULES_ANSWERED)
        return PHASE_DONE;
    return PHASE_NEXT;
}

enum phase_result phase_server_rewrite(struct exchange *x)
{
    return rules_phase(x);
}

enum phase_result phase_rewrite(struct exchange *x)
{
    enum phase_result result = rules_phase(x);
    if (result != PHASE_NEXT || !x->uri_changed)
        return result;
    if (!exchange_may_redirect(x))
        return PHASE_DONE;
    return PHASE_AGAIN;
}

static enum rules_end rules_fail(struct exchange *x)
{
    answer_page(x, 500);
    return RULES_ANSWERED;
}

/* ---- return ---------------------------------------------------------------------------------- */

void rewrite_return(struct exchange *x, int status, const struct conf_text *text)
{
    if (status == 444) {
        answer_page(x, status);
        x->answer.silent = true;
        return;
    }
    x->answer.status = status; /* for a text with $status */
    struct conf_str value = variable_expand(x, text);
    if (value.at == NULL)
        answer_page(x, 500);
    else if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
        answer_redirect(x, status, value);
    else if (text->count == 0 && status >= 400)
        answer_page(x, status);
    else
        answer_text(x, status, answer_type_of_path(x), test_body_sabotage(x, value));
}

/* ---- rewrite --------------------------------------------------------------------------------- */

/* What a group matched, written as the client would have to write it inside a query string. */
static void rewrite_add_escaped(struct builder *to, struct conf_str value)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if (c > ' ' && c < 0x7f && strchr("#%&+?", c) == NULL) {
            builder_add_char(to, (char)c);
            continue;
        }
        builder_add_char(to, '%');
        builder_add_char(to, hex[c >> 4]);
        builder_add_char(to, hex[c & 15]);
    }
}

/* The replacement with its variables; *question: where its first literal "?" was (left out, unless
 * it is a redirect), or SIZE_MAX. */
static struct conf_str rewrite_expand(struct exchange *x, const struct conf_rule *rule,
                                      size_t *question)
{
    struct builder to;
    struct conf_str raw = exchange_span(x, x->head.path);
    bool was_escaped = (x->head.flags & HTTP1_HAS_ESCAPE) || memchr(raw.at, '+', raw.len) != NULL;
    *question = SIZE_MAX;
    builder_start(&to, &x->pool, 128);
    for (size_t i = 0; i < rule->text.count; i++) {
        const struct conf_segment *segment = &rule->text.segments[i];
        struct conf_str value = variable_segment(x, segment);
        bool in_args = rule->status != 0 || *question != SIZE_MAX;
        if (segment->variable == VAR_CAPTURE && was_escaped && in_args) {
            rewrite_add_escaped(&to, value);
            continue;
        }
        const char *mark = segment->variable == VAR_LITERAL && *question == SIZE_MAX
                               ? memchr(value.at, '?', value.len)
                               : NULL;
        if (mark != NULL) {
            size_t before = (size_t)(mark - value.at);
            builder_add(&to, str_make(value.at, before));
            *question = to.len;
            size_t skip = rule->status == 0;
            value = str_make(mark + skip, value.len - before - skip);
        }
        if (value.len > 0)
            builder_add(&to, value);
    }
    return builder_end(&to);
}

/* `first`, then the request's own query string where it is to follow. */
static struct conf_str rewrite_join_args(struct exchange *x, struct conf_str first, char separator,
                                         bool keeps)
{
    if (!keeps || x->args.len == 0)
        return first;
    struct builder joined;
    builder_start(&joined, &x->pool, first.len + x->args.len + 2);
    builder_add(&joined, first);
    builder_add_char(&joined, separator);
    builder_add(&joined, x->args);
    return builder_end(&joined);
}

static enum rules_end rewrite_redirect(struct exchange *x, const struct conf_rule *rule,
                                       struct conf_str target, size_t question)
{
    char *decoded = pool_take(&x->pool, target.len + 1);
    if (decoded == NULL)
        return rules_fail(x);
    target = str_make(decoded, uri_decode_redirect(target, decoded));
    target = rewrite_join_args(x, target, question != SIZE_MAX ? '&' : '?', rule->keeps_args);
    if (target.at == NULL)
        return rules_fail(x);
    answer_redirect(x, rule->status, target);
    return RULES_ANSWERED;
}

static void rewrite_log(struct exchange *x, const struct conf_rule *rule, bool matches)
{
    if (x->location->rewrite_log)
        exchange_log(x, LEVEL_NOTICE, "\"%s\" %s \"%.*s\"", rule->regex->pattern.at,
                     matches ? "matches" : "does not match", (int)x->path.len, x->path.at);
}

static enum rules_end rule_rewrite(struct exchange *x, const struct conf_rule *rule)
{
    enum regex_verdict verdict = regex_match(x, rule->regex, x->path);
    if (verdict == REGEX_FAILED)
        return rules_fail(x);
    rewrite_log(x, rule, verdict == REGEX_YES);
    if (verdict == REGEX_NO)
        return RULES_OVER;
    size_t question;
    struct conf_str to = rewrite_expand(x, rule, &question);
    if (to.at == NULL)
        return rules_fail(x);
    if (rule->status != 0)
        return rewrite_redirect(x, rule, to, question);
    struct conf_str path = to, args = rule->keeps_args ? x->args : STR("");
    if (question != SIZE_MAX) {
        path.len = question;
        args = rewrite_join_args(x, str_make(to.at + question, to.len - question), '&',
                                 rule->keeps_args);
    }
    if (path.len == 0)
        exchange_log(x, LEVEL_ERR, "the rewritten URI has a zero length");
    if (path.len == 0 || args.at == NULL || !exchange_set_path(x, path, args))
        return rules_fail(x);
    if (x->location->rewrite_log)
        exchange_log(x, LEVEL_NOTICE, "rewritten data: \"%.*s\", args: \"%.*s\"", (int)path.len,
                     path.at, (int)args.len, args.at);
    x->internal = true;
    x->uri_changed = rule->then != THEN_BREAK;
    x->fits_location = x->fits_location && rule->then != THEN_BREAK;
    return rule->then == THEN_NEXT ? RULES_OVER : RULES_STOPPED;
}

/* ---- if -------------------------------------------------------------------------------------- */

static bool test_file(const struct conf_rule *rule, struct conf_str path)
{
    struct stat file;
    if (path.len == 0 || sys_stat(path.at, &file) != 0)
        return false;
    switch (rule->test) {
    case TEST_FILE:
        return S_ISREG(file.st_mode);
    case TEST_FOLDER:
        return S_ISDIR(file.st_mode);
    case TEST_EXECUTABLE:
        return (file.st_mode & S_IXUSR) != 0;
    default:
        return true;
    }
}

/* 1 yes, 0 no, -1 it cannot be told. */
static int rule_test(struct exchange *x, const struct conf_rule *rule)
{
    struct conf_str left = variable_expand(x, &rule->left), right;
    if (left.at == NULL)
        return -1;
    switch (rule->test) {
    case TEST_TRUE:
        return left.len > 0 && !str_equal(left, STR("0"));
    case TEST_EQUAL:
        right = variable_expand(x, &rule->text);
        return right.at == NULL ? -1 : str_equal(left, right);
    case TEST_MATCH: {
        enum regex_verdict verdict = regex_match(x, rule->regex, left);
        return verdict == REGEX_FAILED ? -1 : verdict == REGEX_YES;
    }
    default:
        return test_file(rule, left);
    }
}

static enum rules_end rule_if(struct exchange *x, const struct conf_rule *rule)
{
    int holds = rule_test(x, rule);
    if (holds < 0)
        return rules_fail(x);
    if ((holds == 1) == rule->negative)
        return RULES_OVER;
    if (rule->location != NULL)
        x->location = rule->location;
    return rules_run(x, rule->rules, rule->rule_count);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static enum rules_end rule_set(struct exchange *x, const struct conf_rule *rule)
{
    struct conf_str value = variable_expand(x, &rule->text);
    if (value.at == NULL)
        return rules_fail(x);
    if (rule->kind == RULE_SET_ARGS)
        x->args = value;
    else if (rule->kind == RULE_SET_LIMIT_RATE)
        x->rate_is_set = limits_parse_size(value, &x->rate_bytes);
    else if (!variable_set(x, rule->variable, value))
        return rules_fail(x);
    return RULES_OVER;
}

static enum rules_end rule_run(struct exchange *x, const struct conf_rule *rule)
{
    switch (rule->kind) {
    case RULE_SET:
    case RULE_SET_ARGS:
    case RULE_SET_LIMIT_RATE:
        return rule_set(x, rule);
    case RULE_REWRITE:
        return rule_rewrite(x, rule);
    case RULE_IF:
        return rule_if(x, rule);
    case RULE_RETURN:
        rewrite_return(x, rule->status, &rule->text);
        return RULES_ANSWERED;
    case RULE_BREAK:
        x->uri_changed = false;
        return RULES_STOPPED;
    }
    return RULES_OVER;
}

static enum rules_end rules_run(struct exchange *x, const struct conf_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum rules_end end = rule_run(x, &rules[i]);
        if (end != RULES_OVER)
            return end;
    }
    return RULES_OVER;
}
