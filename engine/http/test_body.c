/* Bodies that witnesses can check. */
#include "engine/http/test_body.h"

#include "faultinject/fault.h"
#include "scenarios/history/pattern.h"

enum { TEST_PATTERN_PERIOD = 89 * 89 };

const char *test_pattern(uint64_t offset)
{
    static char run[TEST_PATTERN_PERIOD + TEST_PATTERN_RUN];
    if (run[0] == '\0')
        pattern_fill((unsigned char *)run, sizeof run, 0);
    return run + offset % TEST_PATTERN_PERIOD;
}

static void test_add_nonce(struct builder *to, uint64_t nonce)
{
    if (nonce != 0)
        builder_add_u64(to, nonce);
    else
        builder_add_char(to, '-');
}

struct conf_str test_body_echo(struct exchange *x)
{
    struct builder body;
    builder_start(&body, &x->pool, 128);
    test_add_nonce(&body, x->nonce);
    builder_add_char(&body, ' ');
    builder_add(&body, x->location->label.len > 0 ? x->location->label : STR("-"));
    builder_add_char(&body, ' ');
    builder_add_u64(&body, (uint64_t)x->site->slot);
    builder_add_char(&body, ' ');
    builder_add_u64(&body, (uint64_t)x->site->pid);
    builder_add_char(&body, ' ');
    builder_add_u64(&body, x->site->generation);
    builder_add_char(&body, '\n');
    struct conf_str text = builder_end(&body);
    return text.at != NULL ? test_body_sabotage(x, text) : text;
}

struct conf_str test_body_sabotage(struct exchange *x, struct conf_str body)
{
    bool neighbour = fault_sabotage(FAULT_sabotage_neighbour_body);
    bool mixed = fault_sabotage(FAULT_sabotage_mixed_generation);
    uint64_t before = x->site->last_nonce;
    x->site->last_nonce = x->nonce;
    if (!neighbour && !mixed)
        return body;
    struct conf_str rest = body;
    struct conf_str nonce = str_cut(&rest, ' ');
    size_t digits = 0;
    while (digits < rest.len && rest.at[digits] >= '0' && rest.at[digits] <= '9')
        digits++;
    uint64_t label;
    bool numbered = str_to_u64(str_make(rest.at, digits), &label) && label > 0;
    struct builder wrong;
    builder_start(&wrong, &x->pool, body.len + 32);
    if (neighbour)
        test_add_nonce(&wrong, before);
    else
        builder_add(&wrong, nonce);
    if (nonce.len < body.len)
        builder_add_char(&wrong, ' ');
    if (mixed && numbered)
        builder_add_u64(&wrong, label - 1);
    else
        builder_add(&wrong, str_make(rest.at, digits));
    builder_add(&wrong, str_make(rest.at + digits, rest.len - digits));
    struct conf_str text = builder_end(&wrong);
    return text.at != NULL ? text : body;
}
