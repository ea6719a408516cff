/* The list of statuses, looked up. */
#include "engine/http/status.h"

struct conf_str status_title(int status)
{
    switch (status) {
#define HTTP_STATUS(number, title)                                                                 \
    case number:                                                                                   \
        return STR(title);
#define HTTP_NOTE(number, note)
#include "engine/http/status.def"
#undef HTTP_STATUS
#undef HTTP_NOTE
    default:
        return STR("");
    }
}

struct conf_str status_note(int status)
{
    switch (status) {
#define HTTP_STATUS(number, title)
#define HTTP_NOTE(number, note)                                                                    \
    case number:                                                                                   \
        return STR(note);
#include "engine/http/status.def"
#undef HTTP_STATUS
#undef HTTP_NOTE
    default:
        return STR("");
    }
}

struct conf_str status_line(int status)
{
    switch (status) {
#define HTTP_STATUS(number, title)                                                                 \
    case number:                                                                                   \
        return STR("HTTP/1.1 " #number " " title "\r\n");
#define HTTP_NOTE(number, note)
#include "engine/http/status.def"
#undef HTTP_STATUS
#undef HTTP_NOTE
    default:
        return STR("");
    }
}
