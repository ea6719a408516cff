/* Variables: what is answered, as far as it is known. */
#include <strings.h>

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

/* The answer's head is text already: its lines are searched rather than kept twice. */
GETTER(sent_http)
{
    struct conf_str rest = x->answer.head;
    while (rest.len > 0) {
        struct conf_str value = str_cut(&rest, '\n');
        struct conf_str name = str_cut(&value, ':');
        if (name.len == argument.len && strncasecmp(name.at, argument.at, name.len) == 0) {
            value.len -= value.len > 0; /* the CR */
            return str_trim(value);
        }
    }
    return variable_none;
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
