/* Titles of statuses. */
#include "engine/http/status.h"

struct conf_str status_title(int status)
{
    switch (status) {
#define HTTP_STATUS(number, title)                                                                 \
    case number:                                                                                   \
        return STR(title);
#include "engine/http/status.def"
#undef HTTP_STATUS
    default:
        return STR("");
    }
}
