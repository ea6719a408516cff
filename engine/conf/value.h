/* Numbers, sizes and times as nginx writes them. */
#ifndef ENGINE_CONF_VALUE_H
#define ENGINE_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/conf/conf.h"

/* Each returns false, leaving *out alone, for anything but a whole value in range. */
bool value_number(struct conf_str text, uint64_t *out);
bool value_size(struct conf_str text, uint64_t *out_bytes); /* 10, 8k, 1m, 2G */
bool value_time(struct conf_str text, uint64_t *out_ns);    /* 30, 500ms, 1h30m, "1d 12h" */
bool value_flag(struct conf_str text, bool *out);           /* on, off */

#endif
