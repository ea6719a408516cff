/* A text of the configuration, wherever it lies. */
#ifndef ENGINE_CONF_CONF_STR_H
#define ENGINE_CONF_CONF_STR_H

#include <stddef.h>

struct conf_str {
    const char *at; /* NUL-terminated as well; "" and 0 where empty */
    size_t len;
};

#endif
