/* Classes of characters of HTTP/1.x, shared by the parts of the parser. */
#ifndef ENGINE_CORE_HTTP1_CHARS_H
#define ENGINE_CORE_HTTP1_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/core/http1.h"

enum http1_class {
    HTTP1_C_TOKEN = 1 << 0,  /* tchar: methods and header names */
    HTTP1_C_PLAIN = 1 << 1,  /* letters, digits, hyphen */
    HTTP1_C_TARGET = 1 << 2, /* what is seen on paper but '#', and bytes above ASCII */
    HTTP1_C_VALUE = 1 << 3,  /* all but control bytes, and the tab */
    HTTP1_C_HOST = 1 << 4,   /* reg-name of RFC 3986 */
    HTTP1_C_MARK = 1 << 5,   /* '/', '?', '%': a target's turning points */
    HTTP1_C_HEX = 1 << 6,
};

extern const uint8_t http1_classes[256];

static inline bool http1_is(char c, unsigned classes)
{
    return (http1_classes[(uint8_t)c] & classes) != 0;
}
/* The value [at, end) without white space around it. */
static inline struct http1_span http1_trim(const char *buf, uint32_t at, uint32_t end)
{
    while (at < end && (buf[at] == ' ' || buf[at] == '\t'))
        at++;
    while (end > at && (buf[end - 1] == ' ' || buf[end - 1] == '\t'))
        end--;
    return (struct http1_span){at, end - at};
}
/* Are the bytes all HTTP1_C_VALUE? */
bool http1_value_is_clean(const char *at, size_t len);
/* enum http1_name of a header name in any letter case. */
uint8_t http1_name_of(const char *at, size_t len);

#endif
