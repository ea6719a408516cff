/* Variables: what is answered, as far as it is known. */
#include "engine/http/limits.h"
#include "engine/http/variables_impl.h"

static struct conf_str variable_verdict(uint8_t verdict)
{
    static const char *const words[] = {
        [LIMIT_PASSED] = "PASSED",
        [LIMIT_DELAYED] = "DELAYED",
        [LIMIT_REJECTED] = "REJECTED",
        [LIMIT_DELAYED_DRY_RUN] = "DELAYED_DRY_RUN",
        [LIMIT_REJECTED_DRY_RUN] = "REJECTED_DRY_RUN",
    };
    const char *word = words[verdict];
    return word != NULL ? str_make(word, strlen(word)) : variable_none;
}

GETTER(body_bytes_sent)
{
    return variable_number(x, x->body_sent);
}

GETTER(bytes_sent)
{
    return variable_number(x, x->bytes_sent);
}

/* The value of a line in a head's text. */
static struct conf_str line_value(struct conf_str text, struct conf_str name)
{
    while (text.len > 0) {
        struct conf_str value = str_cut(&text, '\n');
        if (str_equal_nocase(str_cut(&value, ':'), name)) {
            value.len -= value.len > 0; /* the CR */
            return str_trim(value);
        }
    }
    return variable_none;
}

/* Of an answer whose head is not written yet: what expires and add_header may ask for. */
static struct conf_str coming_value(struct exchange *x, struct conf_str name)
{
    const struct answer *answer = &x->answer;
    if (answer->content_type.len > 0 && str_equal_nocase(name, STR("content-type")))
        return answer->content_type;
    if (answer->length_known && str_equal_nocase(name, STR("content-length")))
        return variable_number(x, answer->length);
    for (size_t i = 0; i < answer->header_count; i++)
        if (str_equal_nocase(answer->headers[i].name, name))
            return answer->headers[i].value;
    return line_value(answer->passed, name);
}

/* The answer's head is text already: its lines are searched rather than kept twice. */
GETTER(sent_http)
{
    return x->answer.head.len > 0 ? line_value(x->answer.head, argument)
                                  : coming_value(x, argument);
}

GETTER(status)
{
    int status = x->sent_status != 0 ? x->sent_status : x->answer.status;
    return status != 0 ? variable_number(x, (uint64_t)status) : STR("000");
}

GETTER(limit_conn_status)
{
    return variable_verdict(x->limit_conn);
}

GETTER(limit_rate)
{
    limits_find_rate(x);
    return variable_number(x, x->rate_bytes);
}

GETTER(limit_req_status)
{
    return variable_verdict(x->limit_req);
}
