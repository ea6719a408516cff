/* Statuses and what is said about them. */
#ifndef ENGINE_HTTP_STATUS_H
#define ENGINE_HTTP_STATUS_H

#include "engine/http/str.h"

#define SERVER_VERSION "0.1.0"
#define SERVER_NAME "masterwork"

/* "Not Found"; empty for a status nobody named. */
struct conf_str status_title(int status);
/* "HTTP/1.1 404 Not Found\r\n"; empty for a status nobody named. */
struct conf_str status_line(int status);
/* Of a status that only servers know: what its page says. Empty for all others. */
struct conf_str status_note(int status);
/* As clients see it. */
static inline int status_seen(int status)
{
    return status_note(status).len > 0 ? 400 : status;
}

#endif
