/* What is always true of admission, and the words for its states, events and effects. */
#include "engine/core/adm.h"

#include "engine/core/check.h"
#include "engine/core/words.h"

void adm_check(const struct adm *a)
{
    CORE_CHECK(a->state < ADM_STATE_COUNT);
    CORE_CHECK(a->limit >= 1 && a->limit <= a->options.connections_max);
    CORE_CHECK(a->active <= a->accepted);
    CORE_CHECK(a->grant == 0 || a->state == ADM_ACCEPTING);
    CORE_CHECK(a->retry_ns >= a->options.retry_min_ns && a->retry_ns <= a->options.retry_max_ns);
    switch (a->state) {
    case ADM_NEW:
    case ADM_GONE:
        CORE_CHECK(a->deadline_ns == ADM_NEVER_NS);
        break;
    case ADM_ACCEPTING:
        CORE_CHECK(a->deadline_ns == ADM_NEVER_NS && a->active < a->limit);
        break;
    case ADM_FULL: /* nothing frees unseen, yet relief is asked for again */
        CORE_CHECK(a->deadline_ns != ADM_NEVER_NS && a->active >= a->limit);
        break;
    case ADM_STARVED: /* a pause without an end would be for ever */
        CORE_CHECK(a->stuck || a->deadline_ns != ADM_NEVER_NS);
        break;
    case ADM_DRAINING:
        CORE_CHECK(a->active > 0);
        break;
    case ADM_STATE_COUNT:
        abort();
    }
}

CORE_WORDS(adm_state_name, ADM_STATES(CORE_WORD))
CORE_WORDS(adm_event_name, ADM_EVENTS(CORE_WORD))
CORE_WORDS(adm_effect_name, ADM_EFFECTS(CORE_WORD))

unsigned adm_cell_count(void)
{
    return ADM_STATE_COUNT * ADM_EVENT_COUNT;
}

bool adm_cell_name(unsigned cell, struct core_cell *out)
{
#define ROW(event, new_, accepting, full, starved, draining, gone)                                 \
    [ADM_NEW][ADM_EV_##event] = #new_, [ADM_ACCEPTING][ADM_EV_##event] = #accepting,               \
    [ADM_FULL][ADM_EV_##event] = #full, [ADM_STARVED][ADM_EV_##event] = #starved,                  \
    [ADM_DRAINING][ADM_EV_##event] = #draining, [ADM_GONE][ADM_EV_##event] = #gone,
    static const char *const actions[ADM_STATE_COUNT][ADM_EVENT_COUNT] = {
#include "engine/core/adm_cells.def"
    };
#undef ROW
    if (cell >= adm_cell_count())
        return false;
    unsigned state = cell / ADM_EVENT_COUNT, event = cell % ADM_EVENT_COUNT;
    *out = (struct core_cell){.row = adm_state_name(state),
                              .input = adm_event_name(event),
                              .action = actions[state][event]};
    return true;
}
