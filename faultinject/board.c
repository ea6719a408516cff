/* The fault board: making, opening, arming and disarming. Deciding is in decide.c. */
#include "faultinject/board.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faultinject/decide.h"
#include "faultinject/points.h"
#include "scenarios/history/hist.h"

static const uint64_t board_magic = UINT64_C(0x6472616f6266776d); /* "mwfboard" */
enum { BOARD_VERSION = 2 };

void fault_board_init(struct fault_board *board, uint64_t seed)
{
    board->version = BOARD_VERSION;
    board->signature = fault_points_signature();
    board->seed = seed;
    __atomic_store_n(&board->magic, board_magic, __ATOMIC_RELEASE);
}

/* ---- arming -----------------------------------------------------------------------------------
 */

static uint64_t cell_bit(unsigned index)
{
    return UINT64_C(1) << index;
}

static uint64_t armed_cells(const struct fault_board *board)
{
    uint64_t all = 0;
    for (unsigned point = 0; point < FAULT_POINT_COUNT; point++)
        all |= __atomic_load_n(&board->rules_of[point], __ATOMIC_RELAXED);
    return all;
}

/* The count is made anew each time, so that an armer killed half way does no lasting harm. */
static void lock_board(struct fault_board_file *file)
{
    if (file->fd >= 0)
        while (flock(file->fd, LOCK_EX) == -1 && errno == EINTR)
            ;
}

static void unlock_board(struct fault_board_file *file)
{
    uint32_t count = (uint32_t)__builtin_popcountll(armed_cells(file->board));
    __atomic_store_n(&file->board->armed, count, __ATOMIC_RELEASE);
    if (file->fd >= 0)
        flock(file->fd, LOCK_UN);
}

/* The first cell that never held a rule; then the one that was disarmed longest ago would be best,
 * but the first disarmed will do. -1: all are armed. */
static int free_cell(const struct fault_board *board)
{
    uint64_t armed = armed_cells(board);
    int disarmed = -1;
    for (unsigned i = 0; i < FAULT_RULES_MAX; i++) {
        if (armed & cell_bit(i))
            continue;
        if (board->cells[i].epoch == 0)
            return (int)i;
        if (disarmed < 0)
            disarmed = (int)i;
    }
    return disarmed;
}

/* A window that no point opens is open from the arming on. */
static void write_cell(struct fault_cell *cell, const struct fault_rule *rule, uint64_t now_ns)
{
    uint32_t writing = cell->epoch | 1, written = writing + 1;
    uint64_t zero = (uint64_t)(written & 0xffff) << 48;
    __atomic_store_n(&cell->epoch, writing, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    fault_rule_copy(&cell->rule, rule);
    __atomic_store_n(&cell->calls, zero, __ATOMIC_RELAXED);
    __atomic_store_n(&cell->fired, zero, __ATOMIC_RELAXED);
    __atomic_store_n(&cell->opened, zero | (rule->from_point < 0), __ATOMIC_RELAXED);
    __atomic_store_n(&cell->armed_ns, now_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&cell->epoch, written, __ATOMIC_SEQ_CST);
}

static void add_to(uint64_t sets[FAULT_POINT_COUNT], int64_t point, uint64_t bit)
{
    if (point >= 0)
        __atomic_or_fetch(&sets[point], bit, __ATOMIC_SEQ_CST);
}

int fault_board_arm_at(struct fault_board_file *file, const struct fault_rule *rule,
                       uint64_t now_ns)
{
    lock_board(file);
    struct fault_board *board = file->board;
    int index = free_cell(board);
    if (index >= 0) {
        uint64_t bit = cell_bit((unsigned)index);
        write_cell(&board->cells[index], rule, now_ns);
        add_to(board->moments_of, rule->from_point, bit);
        add_to(board->moments_of, rule->until_point, bit);
        add_to(board->rules_of, rule->point, bit);
    }
    unlock_board(file);
    return index >= 0 ? index : -ENOSPC;
}

int fault_board_arm(struct fault_board_file *file, const struct fault_rule *rule)
{
    return fault_board_arm_at(file, rule, hist_now_ns());
}

bool fault_board_disarm(struct fault_board_file *file, unsigned index)
{
    struct fault_board *board = file->board;
    lock_board(file);
    bool armed = index < FAULT_RULES_MAX && (armed_cells(board) & cell_bit(index));
    if (armed) {
        struct fault_cell *cell = &board->cells[index];
        for (unsigned point = 0; point < FAULT_POINT_COUNT; point++) {
            __atomic_and_fetch(&board->rules_of[point], ~cell_bit(index), __ATOMIC_SEQ_CST);
            __atomic_and_fetch(&board->moments_of[point], ~cell_bit(index), __ATOMIC_SEQ_CST);
        }
        __atomic_add_fetch(&cell->epoch, 2, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &cell->epoch, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
    unlock_board(file);
    return armed;
}

void fault_board_seed(struct fault_board_file *file, uint64_t seed)
{
    __atomic_store_n(&file->board->seed, seed, __ATOMIC_RELAXED);
}

bool fault_board_status(const struct fault_board *board, unsigned index,
                        struct fault_status *status)
{
    if (index >= FAULT_RULES_MAX)
        return false;
    const struct fault_cell *cell = &board->cells[index];
    uint32_t epoch;
    do {
        epoch = __atomic_load_n(&cell->epoch, __ATOMIC_SEQ_CST);
        if (epoch == 0 || (epoch & 1))
            return false; /* never armed, or an armer died in the middle of it */
        fault_rule_copy(&status->rule, &cell->rule);
        status->calls = fault_count(__atomic_load_n(&cell->calls, __ATOMIC_RELAXED));
        status->fired = fault_count(__atomic_load_n(&cell->fired, __ATOMIC_RELAXED));
        status->armed = armed_cells(board) & cell_bit(index);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    } while (__atomic_load_n(&cell->epoch, __ATOMIC_SEQ_CST) != epoch);
    return true;
}

/* ---- files ------------------------------------------------------------------------------------
 */

/* A board is made under another name and then linked into place, so that nobody sees half of one.
 */
static int create_board(const char *path, uint64_t seed)
{
    char temporary[PATH_MAX];
    int len = snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    if (len < 0 || (size_t)len >= sizeof temporary)
        return -ENAMETOOLONG;
    int error = 0, fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    struct fault_board *board = MAP_FAILED;
    if (ftruncate(fd, sizeof *board) == 0)
        board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (board == MAP_FAILED) {
        error = -errno;
    } else {
        fault_board_init(board, seed);
        munmap(board, sizeof *board);
        if (link(temporary, path) != 0 && errno != EEXIST)
            error = -errno;
    }
    unlink(temporary);
    close(fd);
    return error;
}

static int map_board(struct fault_board_file *file)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)offsetof(struct fault_board, rules_of))
        return -EBADMSG;
    struct fault_board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    if (board == MAP_FAILED)
        return -errno;
    file->board = board;
    if (__atomic_load_n(&board->magic, __ATOMIC_ACQUIRE) != board_magic)
        return -EBADMSG;
    if (board->version != BOARD_VERSION || board->signature != fault_points_signature() ||
        st.st_size != (off_t)sizeof *board)
        return -EPROTO;
    return 0;
}

int fault_board_open(struct fault_board_file *file, const char *path, bool create, uint64_t seed)
{
    *file = (struct fault_board_file){.fd = open(path, O_RDWR | O_CLOEXEC)};
    if (file->fd < 0 && errno == ENOENT && create) {
        int error = create_board(path, seed);
        if (error)
            return error;
        file->fd = open(path, O_RDWR | O_CLOEXEC);
    }
    if (file->fd < 0)
        return -errno;
    int error = map_board(file);
    if (error)
        fault_board_close(file);
    return error;
}

void fault_board_close(struct fault_board_file *file)
{
    if (file->board)
        munmap(file->board, sizeof *file->board);
    if (file->fd >= 0)
        close(file->fd);
    *file = (struct fault_board_file){.fd = -1};
}

const char *fault_board_strerror(int error)
{
    if (error == -EBADMSG)
        return "the file is not a fault board (mw-fault arm --board makes one)";
    if (error == -EPROTO)
        return "the board was made by another build; remove it and arm again";
    if (error == -ENOSPC)
        return "all 64 rules of the board are armed; disarm some first";
    return strerror(-error);
}
