/* The values of `expires`, as the configuration or a variable gives them. */
#ifndef ENGINE_CONF_EXPIRES_H
#define ENGINE_CONF_EXPIRES_H

#include <stdbool.h>

#include "engine/conf/conf.h"

/* off, epoch, max, [-]TIME or @TIME; `modified`: the time counts from the document's last change.
 * NULL, or what is wrong with it. */
const char *expires_parse(struct conf_str text, bool modified, struct conf_expires *out);

#endif
