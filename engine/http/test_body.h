/* Bodies that witnesses can check, and the sabotages that make them wrong on purpose. */
#ifndef ENGINE_HTTP_TEST_BODY_H
#define ENGINE_HTTP_TEST_BODY_H

#include "engine/http/exchange.h"

/* At least TEST_PATTERN_RUN bytes of the pattern (scenarios/history/pattern.h) from `offset` on. */
enum { TEST_PATTERN_RUN = 16384 };
const char *test_pattern(uint64_t offset);

/* "NONCE LABEL SLOT PID GENERATION\n" of this request; at == NULL: no memory. */
struct conf_str test_body_echo(struct exchange *x);

/* `body` as a sabotaged worker would send it: sabotage.neighbour_body puts the nonce of the request
 * before in place of the first word, sabotage.mixed_generation the number before in place of the
 * second. The same body when neither is armed. */
struct conf_str test_body_sabotage(struct exchange *x, struct conf_str body);

#endif
