/* The phases of a request (phases.def): one function each, called in turn until one answers. */
#ifndef ENGINE_HTTP_PHASES_H
#define ENGINE_HTTP_PHASES_H

#include "engine/http/exchange.h"

enum phase_result {
    PHASE_NEXT,  /* go on with the next phase */
    PHASE_DONE,  /* answered, or the handler has begun */
    PHASE_AGAIN, /* the path has changed: find its location */
    PHASE_WAIT,  /* called again when x->wake_ns has come, or by exchange_wake */
};

typedef enum phase_result phase_function(struct exchange *x);
#define PHASE(symbol, meaning) phase_function phase_##symbol;
#include "engine/http/phases.def"
#undef PHASE

/* Goes on from x->phase until the request is answered, a handler has begun, or it waits. */
void phases_run(struct exchange *x);
/* A request whose handler has asked for another path or location goes on there. */
static inline void phases_continue(struct exchange *x)
{
    if (x->restarted)
        phases_run(x);
}

#endif
