/* The scoreboard's memory: making and finding it, giving out rows, keeping totals and reports. */
#include "engine/shm/scoreboard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/os/memfd.h"
#include "engine/os/sys.h"
#include "engine/shm/scoreboard_snapshot.h"
#include "faultinject/fault.h"

static const char memory_name[] = "masterwork-scoreboard";

/* A reader meets a master in the middle of retiring a row for an instant, or for ever if it was
 * killed there. */
enum { SNAPSHOT_TRIES = 1000 };

struct scoreboard *scoreboard_new(int *err)
{
    int fd;
    struct scoreboard *board = memfd_map(memory_name, sizeof(*board), &fd, err);
    if (board == NULL)
        return NULL;
    board->fd = fd;
    board->version = SCORE_VERSION;
    return board;
}

void scoreboard_free(struct scoreboard *board)
{
    sys_close(board->fd);
    memfd_unmap(board, sizeof(*board));
}

const struct scoreboard *scoreboard_attach(pid_t master, int *err)
{
    const struct scoreboard *board = memfd_find(master, memory_name, sizeof(*board), err);
    if (board != NULL && (board->version != SCORE_VERSION || board->master_pid != master)) {
        scoreboard_detach(board);
        *err = -ENOENT;
        return NULL;
    }
    return board;
}

void scoreboard_detach(const struct scoreboard *board)
{
    memfd_unmap(board, sizeof(*board));
}

/* ---- rows ------------------------------------------------------------------------------ */

int scoreboard_take(struct scoreboard *board, pid_t pid, int slot, uint32_t generation,
                    uint64_t now_ns)
{
    for (int i = 0; i < SCORE_SLOTS_MAX; i++) {
        struct score_row *row = &board->rows[i];
        if (SCORE_GET(row->state) != SCORE_FREE)
            continue;
        memset(row, 0, sizeof(*row));
        row->pid = pid;
        row->slot = slot;
        row->generation = generation;
        row->since_ns = now_ns;
        SCORE_SET(row->state, SCORE_STARTING);
        return i;
    }
    return -1;
}

static void add_counters(struct score_counters *sum, const struct score_counters *one, bool gauges)
{
#define C(symbol, name, gauge, meaning)                                                            \
    if (!(gauge) || gauges)                                                                        \
        SCORE_ADD(sum->symbol, SCORE_GET(one->symbol));
    SCORE_COUNTERS(C)
#undef C
}

/* What a dead worker had open is no more; what it has done stays done. */
void scoreboard_retire(struct scoreboard *board, int row)
{
    SCORE_ADD(board->retiring, 1);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    fault_step(FAULT_shm_update);
    if (!fault_sabotage(FAULT_sabotage_forget_totals))
        add_counters(&board->retired, &board->rows[row].counters, false);
    SCORE_SET(board->rows[row].state, SCORE_FREE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    SCORE_ADD(board->retiring, 1);
}

static void copy_row(struct score_row *to, const struct score_row *from)
{
    to->state = SCORE_GET(from->state);
    to->pid = SCORE_GET(from->pid);
    to->slot = SCORE_GET(from->slot);
    to->generation = SCORE_GET(from->generation);
    to->since_ns = SCORE_GET(from->since_ns);
    to->heartbeat = SCORE_GET(from->heartbeat);
    to->draining = SCORE_GET(from->draining);
    memset(&to->counters, 0, sizeof(to->counters));
    add_counters(&to->counters, &from->counters, true);
}

/* Totals are made from the very rows that are shown, so that a page always adds up. */
void scoreboard_snapshot(const struct scoreboard *board, struct score_snapshot *out)
{
    uint32_t before = 0, after = 1;

    for (int tries = 0; tries < SNAPSHOT_TRIES && (before != after || before % 2 != 0); tries++) {
        before = SCORE_GET(board->retiring);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        memset(&out->total, 0, sizeof(out->total));
        add_counters(&out->total, &board->retired, false);
        out->row_count = 0;
        for (int i = 0; i < SCORE_SLOTS_MAX; i++)
            if (SCORE_GET(board->rows[i].state) != SCORE_FREE)
                copy_row(&out->rows[out->row_count++], &board->rows[i]);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        after = SCORE_GET(board->retiring);
    }
    int counted = out->row_count - fault_sabotage(FAULT_sabotage_total_misses_worker);
    for (int i = 0; i < counted; i++)
        add_counters(&out->total, &out->rows[i].counters, true);
}

void scoreboard_total(const struct scoreboard *board, struct score_counters *out)
{
    struct score_snapshot snapshot;
    scoreboard_snapshot(board, &snapshot);
    *out = snapshot.total;
}

/* ---- reports --------------------------------------------------------------------------- */

void scoreboard_report(struct scoreboard *board, uint32_t generation, uint32_t outcome,
                       const char *text)
{
    uint64_t count = board->report_count;
    struct score_report *report = &board->reports[count % SCORE_REPORTS];
    report->generation = generation;
    report->outcome = outcome;
    snprintf(report->text, sizeof(report->text), "%s", text);
    __atomic_store_n(&board->report_count, count + 1, __ATOMIC_RELEASE);
}

bool scoreboard_find_report(const struct scoreboard *board, uint32_t after,
                            struct score_report *out)
{
    uint64_t count = __atomic_load_n(&board->report_count, __ATOMIC_ACQUIRE);
    uint64_t first = count > SCORE_REPORTS ? count - SCORE_REPORTS : 0;

    for (uint64_t i = first; i < count; i++) {
        *out = board->reports[i % SCORE_REPORTS];
        out->text[sizeof(out->text) - 1] = '\0';
        if (out->generation > after)
            return true;
    }
    return false;
}
