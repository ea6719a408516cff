/* `mw-engine -s WORD [--wait]`: a word to the running master. */
#ifndef ENGINE_MASTER_CONTROL_H
#define ENGINE_MASTER_CONTROL_H

#include <stdbool.h>

#include "engine/master/master.h"

/* Does `word` name a control signal? */
bool control_knows(const char *word);
/* Sends it to the master that the configuration's pid file names. With `wait` (reload only) also
 * waits for the outcome and prints it. Returns the exit code; what is wrong is said on stderr. */
int control_send(const struct master_options *options, const char *word, bool wait);
struct conf;
/* What a test of a configuration must not do. */
void control_sabotage_test(const struct conf *conf);

#endif
