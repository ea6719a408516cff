/* The scoreboard as one consistent picture: what its pages are made of. */
#ifndef ENGINE_SHM_SCOREBOARD_SNAPSHOT_H
#define ENGINE_SHM_SCOREBOARD_SNAPSHOT_H

#include "engine/shm/scoreboard.h"

struct score_snapshot {
    struct score_counters total; /* of the rows below and of workers that are gone */
    int row_count;
    struct score_row rows[SCORE_SLOTS_MAX];
};

void scoreboard_snapshot(const struct scoreboard *board, struct score_snapshot *out);

#endif
