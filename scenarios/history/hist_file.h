/* What stands in the first 64 bytes of a history file. */
#ifndef SCENARIOS_HISTORY_HIST_FILE_H
#define SCENARIOS_HISTORY_HIST_FILE_H

#include <stdint.h>

#include "scenarios/history/hist.h"

#define HIST_MAGIC "MWHIST\r\n"
#define HIST_MAGIC_TEXT "MWHIST"
enum { HIST_VERSION = 1 };

/* `vocabulary` is a number made from all names of kinds and words: a file that was written when
 * history.def said something else must not be misread. 0 = not stated. */
struct hist_header {
    char magic[8];
    uint32_t version;
    uint32_t record_bytes;
    uint64_t vocabulary;
    uint64_t opened_ns; /* monotonic */
    uint64_t wall_ns;   /* the wall clock at the same moment */
    uint32_t role;
    uint32_t pid;
    uint8_t unused[16];
};

void hist_header_fill(struct hist_header *header, enum hist_role role);
/* NULL: a history this program can read; otherwise what is wrong with it. */
const char *hist_header_fault(const struct hist_header *header);
uint64_t hist_vocabulary(void);

#endif
