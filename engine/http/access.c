/* allow and deny: the first rule that fits the client counts; without one it may ask. */
#include "engine/http/answer.h"
#include "engine/http/network.h"
#include "engine/http/phases.h"

enum phase_result phase_access(struct exchange *x)
{
    const struct conf_location *location = x->location;
    for (size_t i = 0; i < location->access_count; i++) {
        if (!network_has(&location->access[i].network, x->peer))
            continue;
        if (location->access[i].allow)
            return PHASE_NEXT;
        exchange_log(x, LEVEL_ERR, "access forbidden by rule");
        answer_page(x, 403);
        return PHASE_DONE;
    }
    return PHASE_NEXT;
}
