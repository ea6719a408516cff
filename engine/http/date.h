/* Wall time as text: HTTP dates and the forms of access logs. A worker formats once a second. */
#ifndef ENGINE_HTTP_DATE_H
#define ENGINE_HTTP_DATE_H

#include "engine/http/str.h"

enum { DATE_HTTP_LEN = 29, DATE_LINE_LEN = 37, DATE_LOG_LEN = 26, DATE_ISO_LEN = 25 };

/* One second's texts. Ask with date_update before each use; it works only when the second changed.
 */
struct date_cache {
    uint64_t second;                /* of wall time; 0 nothing cached yet */
    char line[DATE_LINE_LEN + 1];   /* Date: Mon, 23 Nov 2026 21:33:01 GMT, CR, LF */
    char log[DATE_LOG_LEN + 1];     /* 23/Nov/2026:21:33:01 +0000 */
    char iso8601[DATE_ISO_LEN + 1]; /* 2026-11-23T21:33:01+00:00 */
};

void date_update(struct date_cache *cache, uint64_t wall_ns);
/* `second` since the epoch as an HTTP date; `out` takes DATE_HTTP_LEN + 1 bytes. */
void date_format_http(uint64_t second, char *out);
/* Reads the preferred form of an HTTP date (RFC 9110 5.6.7); false: it is not one. */
bool date_parse_http(struct conf_str text, uint64_t *second);

#endif
