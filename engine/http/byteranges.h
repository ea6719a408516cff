/* Several ranges of a document in one answer (multipart/byteranges). */
#ifndef ENGINE_HTTP_BYTERANGES_H
#define ENGINE_HTTP_BYTERANGES_H

#include "engine/http/range.h"
#include "engine/http/exchange.h"

/* Makes the answer's body of these ranges (two or more) of answer.file_fd, a document of `size`
 * bytes; they must last as long as the exchange. False: no memory. */
bool byteranges_answer(struct exchange *x, const struct range *ranges, size_t count, uint64_t size);

#endif
