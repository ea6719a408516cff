/* The history: what happened, as fixed-size records, one file per witness.
 *
 * A file is a 64-byte header and 64-byte records in the machine's byte order. It is written
 * through a shared mapping, so the records of a process that is killed survive it; the unused
 * tail is zero (kind 0 = end). Files of one run lie in one folder and are merged by time. */
#ifndef SCENARIOS_HISTORY_HIST_H
#define SCENARIOS_HISTORY_HIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/history/words.def"

enum hist_kind {
    HIST_NONE = 0,
#define HIST_KIND(id, name, meaning, pid, slot, gen, conn, req, a, b, c) HIST_##id,
#include "scenarios/history/history.def"
#undef HIST_KIND
    HIST_KIND_COUNT
};

#define HIST_WORD(id, word, meaning) id,
enum hist_outcome { HIST_OUTCOME_LIST(HIST_WORD) HIST_OUTCOME_COUNT };
enum hist_population { HIST_POPULATION_LIST(HIST_WORD) HIST_POPULATION_COUNT };
enum hist_close { HIST_CLOSE_LIST(HIST_WORD) HIST_CLOSE_COUNT };
enum hist_phase { HIST_PHASE_LIST(HIST_WORD) HIST_PHASE_COUNT };
enum hist_report { HIST_REPORT_LIST(HIST_WORD) HIST_REPORT_COUNT };
enum hist_target { HIST_TARGET_LIST(HIST_WORD) HIST_TARGET_COUNT };
enum hist_leftover { HIST_LEFTOVER_LIST(HIST_WORD) HIST_LEFTOVER_COUNT };
enum hist_pause { HIST_PAUSE_LIST(HIST_WORD) HIST_PAUSE_COUNT };
enum hist_trait { HIST_TRAIT_LIST(HIST_WORD) HIST_TRAIT_COUNT };
enum hist_why { HIST_WHY_LIST(HIST_WORD) HIST_WHY_COUNT };
enum hist_upgrade { HIST_UPGRADE_LIST(HIST_WORD) HIST_UPGRADE_COUNT };
enum hist_param { HIST_PARAM_LIST(HIST_WORD) HIST_PARAM_COUNT };
enum hist_fault { HIST_FAULT_LIST(HIST_WORD) HIST_FAULT_COUNT };
enum hist_flag_index { HIST_FLAG_LIST(HIST_WORD) HIST_FLAG_COUNT };
#undef HIST_WORD
/* hist_record.flags is a set of 1u << enum hist_flag_index. */
#define HIST_BIT(flag) ((uint16_t)(1u << (flag)))

enum hist_role {
    HIST_ROLE_NONE,
    HIST_PROBER,
    HIST_WATCH,
    HIST_DIRECTOR,
    HIST_MASTER,
    HIST_WORKER,
    HIST_FAULT,
    HIST_SIM,
    HIST_ROLE_COUNT
};

struct hist_record {
    uint64_t t_ns; /* CLOCK_MONOTONIC, or virtual time in the simulator */
    uint16_t kind; /* enum hist_kind */
    uint16_t role; /* enum hist_role: who wrote it */
    int16_t slot;  /* worker slot or population index, -1 none */
    uint16_t flags;
    uint32_t pid;
    uint32_t gen;
    uint64_t conn;
    uint64_t req;
    uint64_t a, b, c;
};
_Static_assert(sizeof(struct hist_record) == 64, "one cache line");

/* The connection number both ends can compute. addr in network byte order, port in host order. */
static inline uint64_t hist_conn(uint32_t addr_be, uint16_t port)
{
    return ((uint64_t)__builtin_bswap32(addr_be) << 16) | port;
}

/* The same for a client on a unix socket that the kernel has named (autobind, unix(7)): a NUL and
 * five hexadecimal digits at the beginning of `sun_path`. 0: it has no such name. */
static inline uint64_t hist_conn_unix(const char *sun_path)
{
    uint64_t number = 0;
    for (int i = 1; i <= 5; i++) {
        char c = sun_path[i];
        bool digit = c >= '0' && c <= '9';
        if (sun_path[0] != '\0' || (!digit && (c < 'a' || c > 'f')))
            return 0;
        number = number << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return number + 1;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* A writer appends to one file. Not thread safe; a forked child must open its own (hist_forget). */
struct hist_writer {
    struct hist_record *window; /* NULL: closed, hist_put does nothing */
    size_t window_count;        /* records in the window */
    size_t next;                /* next free record in the window */
    uint64_t window_offset;     /* bytes */
    uint64_t dropped;           /* records lost because the file could not grow */
    int fd;
    uint16_t role;
};

/* Creates `path` (must not exist). Returns 0 or a negative errno; on error *w is closed. */
int hist_open(struct hist_writer *w, const char *path, enum hist_role role);
/* Opens `dir`/NAME-PID.mwh where dir is the value of MW_HISTORY. Returns 1 opened, 0 MW_HISTORY is
 * not set (w is closed), or a negative errno. A taken name gets a number appended. */
int hist_open_env(struct hist_writer *w, const char *name, enum hist_role role);
/* Appends *r; fills in role, and t_ns where it is 0. Never fails: a full disk counts in dropped. */
void hist_put(struct hist_writer *w, const struct hist_record *r);
/* Trims the unused tail and closes. */
void hist_close(struct hist_writer *w);
/* In a forked child: lets go of the parent's mapping and descriptor without touching the file. */
void hist_forget(struct hist_writer *w);
uint64_t hist_now_ns(void);

/* The process's own sink, used by the engine and the fault board. Closed until opened; putting
 * into a closed sink costs one branch. */
extern struct hist_writer hist_self;
static inline bool hist_on(void)
{
    return hist_self.window != NULL;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* All records of a run in time order (stable: equal times keep file order). */
struct hist {
    struct hist_record *records; /* owned */
    size_t count;
};

/* Reads one file, or every *.mwh of a folder, and merges. Returns 0 or a negative errno; a file
 * that is not a history gives -EINVAL and its name and fault in `why`. One that ends inside a
 * record was cut short: what is whole of it is read, and `why`, empty else, says so. */
int hist_read(struct hist *h, const char *path, char *why, size_t why_size);
void hist_free(struct hist *h);
/* Writes them as one file, which must not exist. Returns 0 or a negative errno. */
int hist_write(const struct hist *h, const char *path);
/* When the story began (director.begin), or the first record's time; 0 of an empty history. */
uint64_t hist_begin_ns(const struct hist *h);

/* ---- words ---------------------------------------------------------------------------------- */

const char *hist_kind_name(unsigned kind); /* "client.end"; "?" if out of range */
const char *hist_role_name(unsigned role);
const char *hist_outcome_name(unsigned word); /* and so on, one for each list in words.def */
const char *hist_population_name(unsigned word);
const char *hist_close_name(unsigned word);
const char *hist_phase_name(unsigned word);
const char *hist_report_name(unsigned word);
const char *hist_target_name(unsigned word);
const char *hist_leftover_name(unsigned word);
const char *hist_pause_name(unsigned word);
const char *hist_trait_name(unsigned word);
const char *hist_why_name(unsigned word);
const char *hist_upgrade_name(unsigned word);
const char *hist_param_name(unsigned word);
const char *hist_fault_name(unsigned word);
/* One record as one line for people: time relative to t0_ns in seconds, kind, then named fields
 * with their words. Returns what snprintf would. */
int hist_print(char *out, size_t size, const struct hist_record *r, uint64_t t0_ns);

#endif
